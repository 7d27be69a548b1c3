//! The tables of `docs/configuration.md`, which come from the settings.

use std::{env, fs, path::Path};

use aisbreaker_token::RequestQuotas;

use super::{Draft, SETTINGS, draft};
use crate::settings::{
    secret_files::has_own_row,
    setting::{OnReload, Setting},
};

/// What stands around the tables in the page.
const BEGIN: &str = "<!-- generated from the settings: begin -->\n";
const END: &str = "<!-- generated from the settings: end -->\n";

/// The headings of the tables, each with its first setting.
const TABLES: &[(&str, &str)] = &[
    ("AISBREAKER_CONFIG", "Start and listener"),
    ("keys.sealing", "Keys, minting and revocation"),
    ("public_hosts", "Hosts, proxies and egress"),
    ("quotas.server", "Quotas, budgets and their state"),
    ("redis.url", "Redis"),
    ("max_connections", "Sizes and counts"),
    ("header_timeout", "Times"),
    ("log.filter", "Log"),
];

const HEADER: &str = "\
| Environment | Key in the file | Default | Reload | What it does |
|---|---|---|---|---|
";

#[test]
fn the_tables_of_the_documentation_are_those_of_the_settings() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    let page = fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (tables, after) = rest.split_once(END).unwrap();
    let expected = tables_of_settings();

    if env::var_os("UPDATE_DOCS").is_some() {
        fs::write(path, [before, BEGIN, &expected, END, after].concat()).unwrap();
        return;
    }
    assert_eq!(
        tables, expected,
        "docs/configuration.md is out of date; write its tables anew: UPDATE_DOCS=1 cargo test -p \
         aisbreaker-server settings::table"
    );
}

fn tables_of_settings() -> String {
    let draft = draft();
    let mut headings = TABLES.iter().peekable();
    let mut text = String::new();
    for setting in SETTINGS {
        if let Some((_, heading)) = headings.next_if(|(first, _)| *first == setting.name()) {
            text.push_str(&format!("\n### {heading}\n\n{HEADER}"));
        }
        text.push_str(&row(setting, &draft));
    }
    assert!(headings.next().is_none(), "a heading has no setting");
    text.push('\n');
    text
}

fn row(setting: &Setting, draft: &Draft) -> String {
    let mut environment = format!("`{}`", setting.variable);
    if let Some(flag) = setting.flag {
        environment.push_str(&format!(", flag `--{}`", flag.name));
    }
    let mut key = setting.key.map_or("–".to_owned(), |key| format!("`{key}`"));
    // The others have a row for their files.
    if setting.is_secret && !has_own_row(setting) {
        environment.push_str(", `…_FILE`");
        key.push_str(", `…_file`");
    }
    let default = default(setting, draft);
    let reload = match setting.on_reload {
        OnReload::Apply => "yes",
        OnReload::NeedRestart => "–",
    };
    let mut help = setting.help.to_owned();
    if let Some(required) = setting.requires {
        help.push_str(&format!("; only with `{required}`"));
    }
    format!("| {environment} | {key} | {default} | {reload} | {help} |\n")
}

fn default(setting: &Setting, draft: &Draft) -> String {
    if let Some(default) = setting.default {
        return format!("`{default}`");
    }
    let in_effect = setting
        .effective
        .and_then(|effective| effective(&draft.settings));
    match in_effect.map(|text| serde_json::from_str(&text)) {
        Some(Ok(quotas)) => counts(&quotas),
        // None, or one that depends on other settings, of which the description speaks.
        Some(Err(_)) | None => "–".to_owned(),
    }
}

/// Returns quotas per minute, hour and day.
fn counts(quotas: &RequestQuotas) -> String {
    let limits = [
        ("client", &quotas.per_client_request_limits),
        ("global", &quotas.global_request_limits),
    ];
    let texts = limits.map(|(scope, limits)| {
        let (minute, hour, day) = (
            limits.requests_per_minute,
            limits.requests_per_hour,
            limits.requests_per_day,
        );
        format!("{scope} {minute} / {hour} / {day}")
    });
    texts.join(", ")
}
