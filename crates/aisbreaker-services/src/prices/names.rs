//! The rows of one provider by the names of models.

use std::{borrow::Cow, collections::HashMap};

use super::price::Price;

/// What Gemini's API accepts before the name of a model.
const RESOURCE: &str = "models/";

/// The rows of a provider: by name, and by prefix.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    exact: HashMap<Cow<'static, str>, Price>,
    prefixes: Vec<(Cow<'static, str>, Price)>,
}

impl Names {
    /// Adds a row under a name, or under a prefix that ends in `*`. An earlier row of that name is
    /// replaced.
    pub(super) fn insert(&mut self, pattern: Cow<'static, str>, price: Price) {
        let Some(length) = pattern.strip_suffix('*').map(str::len) else {
            self.exact.insert(pattern, price);
            return;
        };
        let prefix = match pattern {
            Cow::Borrowed(text) => Cow::Borrowed(text.split_at(length).0),
            Cow::Owned(mut text) => {
                text.truncate(length);
                Cow::Owned(text)
            }
        };
        self.prefixes.retain(|(known, _)| *known != prefix);
        self.prefixes.push((prefix, price));
    }

    /// Returns whether there is a row under this very name or prefix.
    pub(super) fn contains(&self, pattern: &str) -> bool {
        match pattern.strip_suffix('*') {
            Some(prefix) => self.prefixes.iter().any(|(known, _)| known == prefix),
            None => self.exact.contains_key(pattern),
        }
    }

    /// Returns the row of a name in its canonical form.
    pub(super) fn find(&self, model: &str) -> Option<&Price> {
        self.exact
            .get(model)
            .or_else(|| self.exact.get(without_date(model)?))
            .or_else(|| self.of_longest_prefix(model))
    }

    fn of_longest_prefix(&self, model: &str) -> Option<&Price> {
        let matching = self.prefixes.iter();
        matching
            .filter(|(prefix, _)| model.starts_with(prefix.as_ref()))
            .max_by_key(|(prefix, _)| prefix.len())
            .map(|(_, price)| price)
    }
}

/// Returns the form of a model's name in which it is looked up.
pub(super) fn canonical(model: &str) -> String {
    let name = model.to_ascii_lowercase();
    match name.strip_prefix(RESOURCE) {
        Some(rest) => rest.to_owned(),
        None => name,
    }
}

/// Returns a name without the date at its end, if there is one: `-2024-08-06`, `-20240806` or
/// `@20240806`.
fn without_date(model: &str) -> Option<&str> {
    let dashed = split_off(model, 11).filter(|(_, end)| is_dashed_date(end));
    let (name, _) = dashed.or_else(|| split_off(model, 9).filter(|(_, end)| is_plain_date(end)))?;
    (!name.is_empty()).then_some(name)
}

/// Splits a name so that the end has this many bytes.
fn split_off(model: &str, length: usize) -> Option<(&str, &str)> {
    model.split_at_checked(model.len().checked_sub(length)?)
}

fn is_dashed_date(end: &str) -> bool {
    let Some(date) = end.strip_prefix('-') else {
        return false;
    };
    match *date.split('-').collect::<Vec<_>>() {
        [year, month, day] if year.len() == 4 && month.len() == 2 => is_date(year, month, day),
        _ => false,
    }
}

fn is_plain_date(end: &str) -> bool {
    let Some(date) = end.strip_prefix(['-', '@']) else {
        return false;
    };
    let Some((year, rest)) = date.split_at_checked(4) else {
        return false;
    };
    match rest.split_at_checked(2) {
        Some((month, day)) => is_date(year, month, day),
        None => false,
    }
}

/// Returns whether these are a year of this century, a month and a day.
fn is_date(year: &str, month: &str, day: &str) -> bool {
    let is_within = |text: &str, range: std::ops::RangeInclusive<u32>| {
        text.bytes().all(|byte| byte.is_ascii_digit())
            && text.parse().is_ok_and(|number| range.contains(&number))
    };
    is_within(year, 2000..=2099) && is_within(month, 1..=12) && is_within(day, 1..=31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_at_the_end_of_a_name_is_recognised() {
        let rows = [
            ("gpt-4o-2024-08-06", Some("gpt-4o")),
            ("claude-opus-5-20260924", Some("claude-opus-5")),
            ("claude-opus-5@20260924", Some("claude-opus-5")),
            ("gpt-4o", None),
            ("grok-4-0709", None),
            ("model-20261301", None),
            ("model-20260100", None),
            ("model-19991231", None),
            ("model-2024-8-06", None),
            ("model-2024-0806", None),
            ("model_20240806", None),
            ("model-+2024806", None),
            ("-20240806", None),
            ("20240806", None),
            ("éé20240806", None),
            ("é0240806", None),
            ("", None),
        ];
        for (name, expected) in rows {
            assert_eq!(without_date(name), expected, "{name}");
        }
    }
}
