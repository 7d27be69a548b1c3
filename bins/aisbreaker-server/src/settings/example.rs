//! The example of a configuration file: every setting with what it is for, commented out.

use super::{secret_files::has_own_row, setting::Setting, table::SETTINGS};

/// The longest line of a comment.
const MAX_COLUMNS: usize = 100;

const HEAD: &str = "\
# Settings of aisbreaker-server: aisbreaker-server --config FILE

# Every line of a setting is commented out and shows the default or, where there is none, an example.
# A flag beats the environment, the environment beats this file. See what is in effect, and from
# where: aisbreaker-server --config FILE check --print

# Secrets are better kept in files of their own, readable for the server alone. Every secret has a
# key that ends in _file for that, and may be passed as a credential of systemd called
# aisbreaker.<key>. Give each one once.
";

const TABLES: &str = r#"
# Tables come last: what follows the header of one belongs to it.

# Providers in addition to those that are built in, or in place of them.
#[[provider]]
#id = "llm.example.com"
#aliases = ["house"]
#url = "https://llm.example.com"
#openai = "/v1"
#anthropic = ""
#auth = "bearer"
#secret = "optional"
#engine = "small"
#headers = { x-team = "research" }
#usage = "house"
#stream_usage = true
#translate = true                      # the dialect that it does not speak

# How the usage in responses of a provider is read.
#[usage.house]
#input = ["read + cached", "read"]
#output = ["written"]
#cached = ["cached"]
#cost = ["cents"]                      # the provider's own, which wins over a price
#cost_units_per_dollar = 100

# Per service: further origins to which sealed secrets may go, and the engine of requests without one.
#[services."chat:openai.com"]
#origins = ["https://llm.example.com"]
#engine = "gpt-4o-mini"

# Prices in dollars per million tokens, by provider and model; they win over those that are built in. A
# name may end in *. per_request is dollars.
#[prices."openai.com"]
#"gpt-5" = { input = 1.25, cached = 0.125, output = 10, max_output = 128000, context = 400000 }
#"dall-e-3" = { per_request = 0.12 }
#[prices."gemini.google.com"]
#"gemini-2.5-pro" = { input = 1.25, output = 10, above = { tokens = 200000, input = 2.5, output = 15 } }
#[prices."azure.com"]
#"my-deployment" = { like = "openai.com/gpt-4.1" }
#[prices."ollama"]
#"*" = { free = true }
"#;

/// Returns the example file.
pub(crate) fn example_file() -> String {
    let mut text = HEAD.to_owned();
    for setting in SETTINGS {
        if let Some(key) = setting.key {
            add_setting(&mut text, setting, key);
        }
    }
    text.push_str(TABLES);
    text
}

fn add_setting(text: &mut String, setting: &Setting, key: &str) {
    text.push('\n');
    add_comment(text, &format!("{}.", setting.help));
    let mut names = setting.variable.to_owned();
    if let Some(flag) = setting.flag {
        names.push_str(&format!(", --{}", flag.name));
    }
    if let Some(required) = setting.requires {
        names.push_str(&format!("; only with {required}"));
    }
    add_comment(text, &names);
    text.push_str(&format!("#{key} = {}\n", value(setting)));
    if setting.is_secret && !has_own_row(setting) {
        let file = key.replace(['.', '_'], "-");
        text.push_str(&format!("#{key}_file = \"/etc/aisbreaker/{file}\"\n"));
    }
}

/// Returns the default, or else the example, in TOML.
fn value(setting: &Setting) -> String {
    match setting.default {
        None => setting.example.to_owned(),
        Some(default) if default.parse::<u64>().is_ok() || default.parse::<bool>().is_ok() => {
            default.to_owned()
        }
        Some(default) => format!("\"{default}\""),
    }
}

/// Adds a comment in lines that are not too long.
fn add_comment(text: &mut String, comment: &str) {
    let mut line = "#".to_owned();
    for word in comment.split_whitespace() {
        if line.len() + 1 + word.len() > MAX_COLUMNS {
            text.push_str(&line);
            text.push('\n');
            "#".clone_into(&mut line);
        }
        line.push(' ');
        line.push_str(word);
    }
    text.push_str(&line);
    text.push('\n');
}
