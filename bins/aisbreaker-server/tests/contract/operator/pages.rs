//! `docs/errors.md` has every word and code of an error that the gateway's source has, and no other;
//! `docs/operate.md` has every field of the log.

use std::collections::BTreeSet;

const ERRORS: &str = include_str!("../../../../../docs/errors.md");
const OPERATE: &str = include_str!("../../../../../docs/operate.md");
const WORDS: &str =
    include_str!("../../../../../crates/aisbreaker-gateway/src/failure/error_type.rs");
const DIALECTS: &str = include_str!("../../../../../crates/aisbreaker-gateway/src/dialect.rs");
const STATUSES: &str = include_str!("../../../../../crates/aisbreaker-gateway/src/failure.rs");
const ACCESS_LINE: &str =
    include_str!("../../../../../crates/aisbreaker-gateway/src/telemetry/access_line.rs");
const OAUTH: &str = include_str!("../../../../../crates/aisbreaker-gateway/src/status/oauth.rs");

#[test]
fn words_of_the_log_are_in_the_table() {
    let assigned = WORDS.lines().filter(|line| line.contains(" = \""));
    let words: BTreeSet<&str> = assigned.filter_map(|line| literals(line).next()).collect();

    assert!(words.len() > 20, "{words:?}");
    assert_eq!(column(ERRORS, "## By the word in the log", 0), words);
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
    let documented = &column(ERRORS, heading, 0) | &column(ERRORS, heading, 1);
    assert_eq!(&documented - &BTreeSet::from(["null"]), openai);
    assert_eq!(
        column(ERRORS, "## Anthropic's form", 0),
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
    assert_eq!(column(ERRORS, heading, 0), codes.collect());
}

#[test]
fn fields_of_the_log_are_in_the_table() {
    let (_, code) = ACCESS_LINE.split_once("macro_rules! log").unwrap();
    let (code, _) = code.split_once("\"request\"").unwrap();
    let (_, code) = code.split_once("target: $target,").unwrap();
    let names = code
        .lines()
        .filter_map(|line| line.trim().split([' ', ',']).next());
    let is_name = |name: &&str| !name.is_empty() && is_word(name);
    let fields: BTreeSet<&str> = names.filter(is_name).collect();

    assert!(fields.len() > 20, "{fields:?}");
    let cells = column(OPERATE, "## The log", 0);
    let documented = cells.iter().flat_map(|cell| cell.split("`, `")).collect();
    assert_eq!(fields, documented);
}

/// Returns the text literals that consist of small letters and `_` alone.
fn literals(code: &str) -> impl Iterator<Item = &str> {
    let texts = code.split('"').skip(1).step_by(2);
    texts.filter(|text| !text.is_empty() && is_word(text))
}

fn is_word(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

/// Returns the words in a column of the first table below this heading.
fn column(page: &'static str, heading: &str, index: usize) -> BTreeSet<&'static str> {
    let (_, section) = page.split_once(&format!("\n{heading}\n")).unwrap();
    let (section, _) = section.split_once("\n## ").unwrap_or((section, ""));
    let rows = section.lines().filter(|line| line.starts_with('|'));
    // Without the header and the line below it.
    let cells = rows
        .skip(2)
        .map(|row| row.split('|').nth(index + 1).unwrap());
    cells.map(|cell| cell.trim().trim_matches('`')).collect()
}
