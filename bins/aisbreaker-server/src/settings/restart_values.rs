//! The values that a running server cannot change, so that a reload which would is refused.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret as _, SecretString};

use super::{
    given::Given,
    setting::{OnReload, Setting},
};

/// The values of all settings that need a restart, as they were given, by the names of the settings.
#[derive(Debug, Default)]
pub(crate) struct RestartValues(BTreeMap<&'static str, Option<SecretString>>);

impl RestartValues {
    /// Notes what was given for a setting: of several values, the last one holds.
    pub(super) fn note(&mut self, setting: &'static Setting, given: &[Given]) {
        if setting.on_reload == OnReload::Apply {
            return;
        }
        let name = setting.key.unwrap_or(setting.variable);
        let value = match given.last() {
            Some(given) => Some(given.comparable()),
            None => setting.default.map(SecretString::from),
        };
        self.0.insert(name, value);
    }

    /// Notes the content of the file that a setting names, which is compared in place of its path.
    pub(super) fn note_content(&mut self, name: &'static str, content: &[u8]) {
        let content = String::from_utf8_lossy(content).into_owned();
        self.0.insert(name, Some(content.into()));
    }

    /// Returns the names of the settings whose values differ.
    pub(crate) fn changed(&self, other: &Self) -> Vec<&'static str> {
        let mut changed = Vec::new();
        for (name, value) in &self.0 {
            let other = other.0.get(name).and_then(Option::as_ref);
            let [value, other] =
                [value.as_ref(), other].map(|value| value.map(SecretString::expose_secret));
            if value != other {
                changed.push(*name);
            }
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use toml::Value;

    use super::*;
    use crate::settings::{given::Source, setting::PLAIN};

    static RESTART: Setting = Setting {
        key: Some("count"),
        variable: "COUNT",
        default: Some("5"),
        ..PLAIN
    };
    static NO_DEFAULT: Setting = Setting {
        variable: "NO_DEFAULT",
        ..PLAIN
    };
    static APPLY: Setting = Setting {
        variable: "APPLY",
        on_reload: OnReload::Apply,
        ..PLAIN
    };

    fn noted(given: &[(&'static Setting, &[Value])]) -> RestartValues {
        let mut values = RestartValues::default();
        for (setting, of_setting) in given {
            let given: Vec<Given> = of_setting
                .iter()
                .map(|value| Given::new(setting.variable, Source::File, value.clone()))
                .collect();
            values.note(setting, &given);
        }
        values
    }

    #[test]
    fn only_another_value_of_a_setting_that_needs_a_restart_is_a_change() {
        let text = |text: &str| Value::String(text.to_owned());
        let rows: [(&[Value], &[Value], bool); 8] = [
            (&[], &[], false),
            (&[], &[text("5")], false),
            (&[Value::Integer(5)], &[text(" 5 ")], false),
            (&[text("1"), text("5")], &[text("2"), text("5")], false),
            (&[], &[text("6")], true),
            (&[text("6")], &[], true),
            (&[text("5"), text("6")], &[text("5")], true),
            (&[Value::Array(vec![text("5")])], &[text("5")], true),
        ];
        for (before, after, is_change) in rows {
            let before_values = noted(&[(&RESTART, before), (&NO_DEFAULT, &[])]);
            let after_values = noted(&[(&RESTART, after), (&NO_DEFAULT, &[])]);
            let expected: &[&str] = if is_change { &["count"] } else { &[] };
            let row = format!("{before:?} {after:?}");
            assert_eq!(before_values.changed(&after_values), expected, "{row}");
            let applied = noted(&[(&APPLY, before)]).changed(&noted(&[(&APPLY, after)]));
            assert_eq!(applied, [""; 0], "{row}");
        }
        let (unset, set) = (
            noted(&[(&NO_DEFAULT, &[])]),
            noted(&[(&NO_DEFAULT, &[text("")])]),
        );
        assert_eq!(unset.changed(&set), ["NO_DEFAULT"]);
        assert_eq!(set.changed(&unset), ["NO_DEFAULT"]);
    }

    #[test]
    fn debug_output_shows_no_value() {
        let secret = Value::String("a-password".to_owned());
        let shown = format!("{:?}", noted(&[(&RESTART, &[secret])]));
        assert!(!shown.contains("password"), "{shown}");
    }
}
