//! The rows of the table agree with each other, with the defaults and with the documentation.

mod reference;

use aisbreaker_token::ServerKey;
use toml::Value;

use super::SETTINGS;
use crate::settings::{
    draft::Draft,
    given::{Given, Names, Source},
};

#[test]
fn every_stated_default_is_the_default() {
    let default = shown(&draft());
    for setting in SETTINGS {
        let Some(text) = setting.default else {
            continue;
        };
        let value = Value::String(text.to_owned());
        let given = Given::new(setting.variable, Source::Flag, value);
        let mut draft = draft();

        (setting.apply)(&mut draft, &given).unwrap();

        assert_eq!(shown(&draft), default, "{}", setting.variable);
    }
}

#[test]
fn every_setting_of_a_file_has_a_default_or_an_example() {
    for setting in SETTINGS {
        let has_value = setting.default.is_some() || !setting.example.is_empty();
        assert!(has_value || setting.key.is_none(), "{}", setting.variable);
    }
}

#[test]
fn examples_of_quotas_are_the_defaults() {
    let default = shown(&draft());
    for (key, example) in [
        ("quotas.server", super::SERVER_QUOTAS),
        ("quotas.default", super::DEFAULT_QUOTAS),
        ("quotas.mint", super::MINT_QUOTAS),
    ] {
        let table: toml::Table = format!("quotas = {example}").parse().unwrap();
        let given = Given::new(key, Source::File, table["quotas"].clone());
        let setting = SETTINGS.iter().find(|setting| setting.key == Some(key));
        let mut draft = draft();

        (setting.unwrap().apply)(&mut draft, &given).unwrap();

        assert_eq!(shown(&draft), default, "{key}");
    }
}

#[test]
fn names_are_unique_and_required_settings_exist() {
    for (index, setting) in SETTINGS.iter().enumerate() {
        for other in &SETTINGS[..index] {
            assert_ne!(setting.variable, other.variable);
            assert!(setting.key.is_none() || setting.key != other.key);
        }
        if let Some(required) = setting.requires {
            let mut variables = SETTINGS.iter().map(|setting| setting.variable);
            assert!(variables.any(|variable| variable == required), "{required}");
        }
    }
}

fn draft() -> Draft {
    Draft::new(ServerKey::from_bytes([7; 32]), Names::Resolve)
}

fn shown(draft: &Draft) -> String {
    let Draft {
        settings,
        store,
        state_interval,
        has_ceilings,
        ..
    } = draft;
    let (options, on_failure) = (&store.options, store.on_failure);
    format!("{settings:?} {options:?} {on_failure:?} {state_interval:?} {has_ceilings}")
}
