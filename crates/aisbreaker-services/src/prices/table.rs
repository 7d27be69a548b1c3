//! The built-in table.
//!
//! Its first line says what it is made of, and begins with its day. The second one names the
//! columns:
//!
//! - `provider`: the id; empty if it is that of the row before.
//! - `models`: names, in lower case, and prefixes such as `gpt-4o-audio*`.
//! - `standard`, `priority`, `flex`, `batch`: dollars per million tokens of the service tiers.
//!   `3,15,0.3` are the rates of input, output, tokens from a cache, written to a cache for five
//!   minutes, for an hour, input of audio, and output of audio. An empty one is not known. Then may
//!   come `200000:6,22.5`, the rates of calls that read more tokens than that. `x0.5` are the
//!   standard ones times a factor.
//! - `max_output`, `context`: tokens. `per_request`: dollars.

use std::{borrow::Cow, collections::HashMap, sync::Arc, sync::LazyLock};

use super::{
    dollars::{parse_nanos, parse_thousandths},
    names::Names,
    price::{Above, Price, Row, Tariff, TierTariff, WrittenRates},
};

const TEXT: &str = include_str!("../prices.tsv");

/// The rows of the built-in table.
pub(super) struct Builtin {
    pub(super) rows: HashMap<&'static str, Names>,
}

pub(super) static BUILTIN: LazyLock<Builtin> = LazyLock::new(read_builtin);

/// Returns the day of the table.
pub(super) fn date() -> &'static str {
    let first_line = TEXT.strip_prefix("# ").unwrap_or(TEXT);
    first_line.split(';').next().unwrap_or_default()
}

/// Returns the day of the table in days since the Unix epoch, 0 if it cannot be read.
pub(super) fn day() -> u64 {
    let mut parts = date().split('-').map(|part| part.parse().ok());
    match (parts.next(), parts.next(), parts.next()) {
        (Some(Some(year)), Some(Some(month)), Some(Some(day))) => {
            days_since_epoch(year, month, day)
        }
        _ => 0,
    }
}

/// Returns the days from 1970-01-01 to a day of the Gregorian calendar.
fn days_since_epoch(year: u64, month: u64, day: u64) -> u64 {
    // Years that begin in March end with the day that leap years add.
    let (year, month) = match month {
        ..=2 => (year.saturating_sub(1), month + 9),
        _ => (year, month - 3),
    };
    let days = year * 365 + year / 4 - year / 100 + year / 400;
    let day_of_year = (month * 153 + 2) / 5 + day;
    (days + day_of_year).saturating_sub(719_469)
}

/// Reads the table. A row that cannot be read is left out: a test checks that there is none.
pub(super) fn read_builtin() -> Builtin {
    let mut rows: HashMap<&'static str, Names> = HashMap::new();
    let mut provider = "";
    for line in TEXT.lines().skip(2) {
        let Some((id, rest)) = line.split_once('\t') else {
            continue;
        };
        if !id.is_empty() {
            provider = id;
        }
        let Some((models, row)) = read_row(rest) else {
            continue;
        };
        let price = Price(Arc::new(row));
        let names = rows.entry(provider).or_default();
        for model in models.split(' ') {
            names.insert(Cow::Borrowed(model), price.clone());
        }
    }
    Builtin { rows }
}

/// Reads a row from its second cell on.
fn read_row(text: &str) -> Option<(&str, Row)> {
    let mut cells = text.split('\t');
    let models = cells.next()?;
    let standard = read_tariff(cells.next()?)?;
    let mut cell = || cells.next().unwrap_or_default();
    let row = Row {
        standard,
        priority: read_optional(cell(), read_tier)?,
        flex: read_optional(cell(), read_tier)?,
        batch: read_optional(cell(), read_tier)?,
        max_output: read_optional(cell(), |text| text.parse().ok())?,
        context: read_optional(cell(), |text| text.parse().ok())?,
        per_request: read_optional(cell(), parse_nanos)?,
    };
    (!models.is_empty() && cells.next().is_none()).then_some((models, row))
}

/// Reads a cell that may be empty. Returns `None` if it cannot be read.
fn read_optional<T>(text: &str, read: impl Fn(&str) -> Option<T>) -> Option<Option<T>> {
    if text.is_empty() {
        return Some(None);
    }
    read(text).map(Some)
}

fn read_tier(text: &str) -> Option<TierTariff> {
    match text.strip_prefix('x') {
        Some(factor) => parse_thousandths(factor).map(TierTariff::Factor),
        None => read_tariff(text).map(|tariff| TierTariff::Rates(Box::new(tariff))),
    }
}

fn read_tariff(text: &str) -> Option<Tariff> {
    let Some((base, above)) = text.split_once(' ') else {
        let base = read_rates(text)?.complete();
        return Some(Tariff { base, above: None });
    };
    let (tokens, rates) = above.split_once(':')?;
    let above = Above {
        tokens: tokens.parse().ok()?,
        rates: read_rates(rates)?.complete(),
    };
    Some(Tariff {
        base: read_rates(base)?.complete(),
        above: Some(Box::new(above)),
    })
}

fn read_rates(text: &str) -> Option<WrittenRates> {
    let mut cells = text.split(',');
    let input = parse_nanos(cells.next()?)?;
    let mut rate = || read_optional(cells.next().unwrap_or_default(), parse_nanos);
    let rates = WrittenRates {
        input,
        output: rate()?,
        cached: rate()?,
        cache_write: rate()?,
        cache_write_1h: rate()?,
        input_audio: rate()?,
        output_audio: rate()?,
    };
    cells.next().is_none().then_some(rates)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Providers;

    #[test]
    fn every_row_is_read_and_names_a_provider_of_the_table() {
        let lines: Vec<&str> = TEXT.lines().skip(2).collect();
        for line in &lines {
            let row = line.split_once('\t').and_then(|(_, rest)| read_row(rest));
            assert!(row.is_some(), "{line}");
        }
        assert!(lines.len() > 500, "{}", lines.len());
        let table = read_builtin();
        let providers = Providers::builtin();
        for id in table.rows.keys() {
            let provider = providers.find(id).unwrap();
            assert_eq!(provider.id, *id);
        }
        assert!(!table.rows.contains_key("azure.com"));
    }

    #[test]
    fn writing_to_a_cache_and_priority_cost_no_less_than_usual() {
        for line in TEXT.lines().skip(2) {
            let (_, rest) = line.split_once('\t').unwrap();
            let (_, row) = read_row(rest).unwrap();
            let tariffs = [Some(row.standard.clone()), priority(&row)];
            for tariff in tariffs.into_iter().flatten() {
                let above = tariff.above.as_ref().map(|above| above.rates);
                for rates in [Some(tariff.base), above].into_iter().flatten() {
                    assert!(rates.cache_write >= rates.input, "{line}");
                    assert!(rates.cache_write_1h >= rates.cache_write, "{line}");
                }
                assert!(tariff.base.input >= row.standard.base.input, "{line}");
                assert!(tariff.base.output >= row.standard.base.output, "{line}");
            }
        }
    }

    /// Returns the rates of priority, unless they are a factor of the standard ones.
    fn priority(row: &Row) -> Option<Tariff> {
        match row.priority.as_ref()? {
            TierTariff::Rates(tariff) => Some((**tariff).clone()),
            TierTariff::Factor(thousandths) => {
                assert!(*thousandths >= 1_000);
                None
            }
        }
    }

    #[test]
    fn names_are_in_their_canonical_form_and_given_once() {
        let mut seen = std::collections::HashSet::new();
        let mut provider = "";
        for line in TEXT.lines().skip(2) {
            let mut cells = line.split('\t');
            let id = cells.next().unwrap();
            if !id.is_empty() {
                provider = id;
            }
            for name in cells.next().unwrap().split(' ') {
                assert_eq!(super::super::names::canonical(name), name);
                assert!(seen.insert((provider, name)), "{provider} {name}");
            }
        }
    }

    #[test]
    fn the_table_is_small_and_says_where_it_comes_from() {
        assert!(TEXT.len() <= 64 * 1024, "{}", TEXT.len());
        let first_line = TEXT.lines().next().unwrap();
        for part in ["genai-prices ", "LiteLLM ", "MIT licence"] {
            assert!(first_line.contains(part), "{part}");
        }
        assert_eq!(date().len(), "2026-11-29".len());
        assert!(date().starts_with("20"));
    }

    #[test]
    fn days_are_counted_from_the_epoch() {
        assert_eq!(days_since_epoch(1970, 1, 1), 0);
        assert_eq!(days_since_epoch(2000, 2, 29), 11_016);
        assert_eq!(days_since_epoch(2000, 3, 1), 11_017);
        assert_eq!(days_since_epoch(2026, 11, 29), 20_786);
        assert!(day() >= 20_786);
    }

    #[test]
    fn a_row_that_cannot_be_read_is_refused() {
        for text in [
            "",
            "model",
            "model\t",
            "model\tfree",
            "\t1,2",
            "model\t1,2,3,4,5,6,7,8",
            "model\t1,2 200000",
            "model\t1,2 many:3,4",
            "model\t1,2\tx",
            "model\t1,2\t\t\t\tmany",
            "model\t1,2\t\t\t\t\t\tmany",
            "model\t1,2\t\t\t\t\t\t\t1",
        ] {
            assert!(read_row(text).is_none(), "{text:?}");
        }
        assert!(read_row("model\t1,2").is_some());
    }
}
