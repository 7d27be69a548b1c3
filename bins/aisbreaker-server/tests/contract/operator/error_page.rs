//! `docs/errors.md` has every word and code of an error that the gateway's source has, and no other.

use std::collections::BTreeSet;

const PAGE: &str = include_str!("../../../../../docs/errors.md");
const WORDS: &str =
    include_str!("../../../../../crates/aisbreaker-gateway/src/failure/error_type.rs");
const DIALECTS: &str = include_str!("../../../../../crates/aisbreaker-gateway/src/dialect.rs");
const STATUSES: &str = include_str!("../../../../../crates/aisbreaker-gateway/src/failure.rs");
const OAUTH: &str = include_str!("../../../../../crates/aisbreaker-gateway/src/status/oauth.rs");

#[test]
fn words_of_the_log_are_in_the_table() {
    let assigned = WORDS.lines().filter(|line| line.contains(" = \""));
    let words: BTreeSet<&str> = assigned.filter_map(|line| literals(line).next()).collect();

    assert!(words.len() > 20, "{words:?}");
    assert_eq!(column("## By the word in the log", 0), words);
}

#[test]
fn types_and_codes_of_both_dialects_are_in_the_tables() {
    let (_, code) = DIALECTS.split_once("\nfn openai(").unwrap();
    let (openai, anthropic) = code.split_once("\nfn anthropic(").unwrap();
    let mut openai: BTreeSet<&str> = literals(openai).collect();
    // The member that is compared.
    assert!(openai.remove("model"));
    // It is taken from the word.
    openai.insert("model_price_unknown");

    let heading = "## OpenAI's form";
    let documented = &column(heading, 0) | &column(heading, 1);
    assert_eq!(&documented - &BTreeSet::from(["null"]), openai);
    assert_eq!(
        column("## Anthropic's form", 0),
        literals(anthropic).collect()
    );
}

#[test]
fn codes_of_oauth_are_in_the_table() {
    let (_, code) = STATUSES.split_once("fn into_oauth_error").unwrap();
    let (code, _) = code.split_once("\n    }\n").unwrap();
    let is_code = |word: &&str| word.contains('_');
    let codes = literals(code).chain(literals(OAUTH)).filter(is_code);

    let heading = "## Minting, exchange, introspection and revocation";
    assert_eq!(column(heading, 0), codes.collect());
}

/// Returns the text literals that consist of small letters and `_` alone.
fn literals(code: &str) -> impl Iterator<Item = &str> {
    let is_part = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    let texts = code.split('"').skip(1).step_by(2);
    texts.filter(move |text| !text.is_empty() && text.bytes().all(is_part))
}

/// Returns the words in a column of the first table below this heading.
fn column(heading: &str, index: usize) -> BTreeSet<&'static str> {
    let (_, section) = PAGE.split_once(&format!("\n{heading}\n")).unwrap();
    let (section, _) = section.split_once("\n## ").unwrap_or((section, ""));
    let rows = section.lines().filter(|line| line.starts_with('|'));
    // Without the header and the line below it.
    let cells = rows
        .skip(2)
        .map(|row| row.split('|').nth(index + 1).unwrap());
    cells.map(|cell| cell.trim().trim_matches('`')).collect()
}
