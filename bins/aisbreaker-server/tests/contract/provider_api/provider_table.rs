//! The table of providers in `docs/providers.md` is the built-in one.

use aisbreaker_services::{Dialect, Provider, Providers, SecretNeed};

const PAGE: &str = include_str!("../../../../../docs/providers.md");

/// Returns the row of the page for a provider.
fn row(provider: &Provider) -> String {
    let aliases = match &*provider.aliases {
        [] => "–".to_owned(),
        names => format!("`{}`", names.join("`, `")),
    };
    let speaks = |dialect| match provider.dialect(dialect) {
        Some(_) => "yes",
        None => "–",
    };
    let (openai, anthropic) = (speaks(Dialect::OpenAi), speaks(Dialect::Anthropic));
    let secret = match provider.secret {
        SecretNeed::Required => "required",
        SecretNeed::Optional => "optional",
    };
    let url = match &provider.url {
        Some(url) => format!("`{url}`"),
        None => "the `url` of the key".to_owned(),
    };
    let id = &provider.id;
    format!("| `{id}` | {aliases} | {openai} | {anthropic} | {secret} | {url} |")
}

#[test]
fn the_page_has_every_provider_in_the_order_of_the_table() {
    let providers = Providers::builtin();
    let rows: Vec<_> = providers.iter().map(|provider| row(provider)).collect();

    assert!(rows.len() > 20, "{rows:?}");
    let table = rows.join("\n");
    assert!(PAGE.contains(&table), "docs/providers.md lacks:\n{table}");
    let listed = PAGE
        .lines()
        .filter(|line| line.ends_with("` |") || line.ends_with("of the key |"));
    let listed = listed.filter(|line| line.split(" | ").count() == 6);
    assert_eq!(listed.count(), rows.len(), "rows that are not in the table");
}
