//! The operator's price table, as it is written in the configuration file.

use std::{borrow::Cow, collections::HashMap, fmt, sync::Arc};

use toml::{Table, Value};

use super::{
    Rows,
    dollars::{parse_nanos, parse_thousandths},
    names::canonical,
    price::{Above, Price, Row, Tariff, TierTariff, WrittenRates},
    table::BUILTIN,
};
use crate::Providers;

const RATES: [&str; 7] = [
    "input",
    "output",
    "cached",
    "cache_write",
    "cache_write_1h",
    "input_audio",
    "output_audio",
];
/// The other members of a price.
const MEMBERS: [&str; 7] = [
    "above",
    "priority",
    "per_request",
    "free",
    "like",
    "max_output",
    "context",
];
/// The members that may stand beside `free` and `like`.
const LIMITS: [&str; 2] = ["max_output", "context"];

/// Rows of the operator, which win over the built-in ones.
#[derive(Clone, Default)]
pub struct OperatorPrices {
    pub(super) rows: Rows,
}

/// A member of the operator's table that cannot be used. It does not hold the value.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{path} {problem}")]
#[non_exhaustive]
pub struct InvalidPrice {
    /// The member, as in TOML: `"openai.com".gpt-5.input`.
    pub path: String,
    /// What is wrong, as a continuation of the path.
    pub problem: String,
}

impl OperatorPrices {
    /// Reads a table of providers, by id or alias, whose members are models:
    ///
    /// ```toml
    /// ["openai.com"]
    /// "gpt-5" = { input = 1.25, cached = 0.125, output = 10, max_output = 128000 }
    /// "gpt-5-*" = { like = "openai.com/gpt-5" }
    /// [ollama]
    /// "*" = { free = true }
    /// ```
    ///
    /// Rates are dollars per million tokens. `max_output` and `context` that are missing are those
    /// of the built-in row.
    ///
    /// # Errors
    /// Everything that cannot be used.
    pub fn read(table: &Table, providers: &Providers) -> Result<Self, Vec<InvalidPrice>> {
        let mut reader = Reader {
            providers,
            rows: HashMap::new(),
            likes: Vec::new(),
            faults: Vec::new(),
        };
        for (name, models) in table {
            reader.read_provider(name, models);
        }
        reader.resolve_likes();
        if reader.faults.is_empty() {
            Ok(Self { rows: reader.rows })
        } else {
            Err(reader.faults)
        }
    }
}

impl fmt::Debug for OperatorPrices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.rows.keys()).finish()
    }
}

/// The rows and faults so far.
struct Reader<'a> {
    providers: &'a Providers,
    rows: Rows,
    /// The rows whose price is that of another model, which all others must be known for.
    likes: Vec<Like>,
    faults: Vec<InvalidPrice>,
}

/// A row with the price of another model.
struct Like {
    path: String,
    provider: String,
    pattern: String,
    /// `provider/model`.
    target: String,
    limits: Limits,
}

#[derive(Clone, Copy)]
struct Limits {
    max_output: Option<u64>,
    context: Option<u64>,
}

/// What a row says about a price.
enum Written {
    Row(Row),
    Like(String),
}

impl Reader<'_> {
    fn read_provider(&mut self, name: &str, models: &Value) {
        let path = quoted(name);
        let Some(provider) = self.providers.find(name) else {
            return self.fault(&path, "is not a provider: docs/providers.md lists them");
        };
        let id = provider.id.clone();
        let Value::Table(models) = models else {
            return self.fault(&path, "must be a table of models");
        };
        let mut seen = Vec::new();
        for (model, row) in models {
            let path = format!("{path}.{}", quoted(model));
            let pattern = canonical(model);
            let name = pattern.strip_suffix('*').unwrap_or(&pattern);
            let is_name = name.chars().all(|c| !c.is_whitespace() && c != '*');
            if pattern.is_empty() || !is_name {
                self.fault(
                    &path,
                    "must be the name of a model, with * at most at the end",
                );
            } else if seen.contains(&pattern) || self.is_known(&id, &pattern) {
                self.fault(&path, "is given twice");
            } else {
                self.read_row(&path, &id, &pattern, row);
                seen.push(pattern);
            }
        }
    }

    /// Returns whether the provider has been given this name under another one of its own.
    fn is_known(&self, provider: &str, pattern: &str) -> bool {
        let is_row = self
            .rows
            .get(provider)
            .is_some_and(|names| names.contains(pattern));
        let mut likes = self.likes.iter();
        is_row || likes.any(|like| like.provider == provider && like.pattern == pattern)
    }

    fn read_row(&mut self, path: &str, provider: &str, pattern: &str, row: &Value) {
        let Value::Table(row) = row else {
            return self.fault(
                path,
                "must be a table, such as { input = 1.25, output = 10 }",
            );
        };
        let mut members = Members {
            path,
            row,
            faults: &mut self.faults,
        };
        let before = members.faults.len();
        let written = members.read();
        let limits = members.limits();
        if self.faults.len() > before {
            return;
        }
        match written {
            Some(Written::Row(row)) => self.insert(provider, pattern, row, limits),
            Some(Written::Like(target)) => self.likes.push(Like {
                path: path.to_owned(),
                provider: provider.to_owned(),
                pattern: pattern.to_owned(),
                target,
                limits,
            }),
            None => {}
        }
    }

    /// Adds a row, with the limits given or else those of the built-in row.
    fn insert(&mut self, provider: &str, pattern: &str, mut row: Row, limits: Limits) {
        let builtin = BUILTIN.rows.get(provider);
        let builtin = builtin.and_then(|names| names.find(pattern));
        let default = builtin.map_or(
            Limits {
                max_output: row.max_output,
                context: row.context,
            },
            |price| Limits {
                max_output: price.max_output(),
                context: price.context(),
            },
        );
        row.max_output = limits.max_output.or(default.max_output);
        row.context = limits.context.or(default.context);
        let names = self.rows.entry(provider.to_owned()).or_default();
        names.insert(Cow::Owned(pattern.to_owned()), Price(Arc::new(row)));
    }

    fn resolve_likes(&mut self) {
        for like in std::mem::take(&mut self.likes) {
            match self.find_target(&like.target) {
                Ok(price) => {
                    let row = (*price.0).clone();
                    self.insert(&like.provider, &like.pattern, row, like.limits);
                }
                Err(problem) => self.fault(&format!("{}.like", like.path), problem),
            }
        }
    }

    /// Returns the price of `provider/model`.
    fn find_target(&self, target: &str) -> Result<Price, &'static str> {
        let (name, model) = target
            .split_once('/')
            .ok_or("must be a provider and a model, such as \"openai.com/gpt-4.1\"")?;
        let provider = self
            .providers
            .find(name)
            .ok_or("does not begin with the name of a provider")?;
        let model = canonical(model);
        let of_operator = super::find_in(&self.rows, &provider.id, &model);
        of_operator
            .or_else(|| BUILTIN.rows.get(provider.id.as_str())?.find(&model))
            .cloned()
            .ok_or("names a model that has no price of its own")
    }

    fn fault(&mut self, path: &str, problem: impl Into<String>) {
        self.faults.push(InvalidPrice {
            path: path.to_owned(),
            problem: problem.into(),
        });
    }
}

/// Reads the members of a row.
struct Members<'a> {
    path: &'a str,
    row: &'a Table,
    faults: &'a mut Vec<InvalidPrice>,
}

impl Members<'_> {
    fn read(&mut self) -> Option<Written> {
        let is_member = |name: &str| RATES.contains(&name) || MEMBERS.contains(&name);
        for name in self.row.keys().filter(|name| !is_member(name)) {
            let known = [&RATES[..], &MEMBERS[..]].concat().join(", ");
            self.fault(name, format!("is not one of {known}"));
        }
        let prices = self
            .row
            .keys()
            .filter(|name| !LIMITS.contains(&name.as_str()));
        let is_alone = prices.count() == 1;
        if let Some(like) = self.row.get("like") {
            return self.like(like, is_alone);
        }
        if let Some(free) = self.row.get("free") {
            return self.free(free, is_alone);
        }
        self.priced().map(Written::Row)
    }

    fn like(&mut self, like: &Value, is_alone: bool) -> Option<Written> {
        if !is_alone {
            self.fault("like", "must stand alone, or with max_output and context");
        }
        let Some(target) = like.as_str() else {
            self.fault(
                "like",
                "must be a provider and a model, such as \"openai.com/gpt-4.1\"",
            );
            return None;
        };
        Some(Written::Like(target.to_owned()))
    }

    fn free(&mut self, free: &Value, is_alone: bool) -> Option<Written> {
        if !is_alone {
            self.fault("free", "must stand alone, or with max_output and context");
        }
        if free.as_bool() != Some(true) {
            self.fault(
                "free",
                "must be true: leave it out where calls cost something",
            );
            return None;
        }
        Some(Written::Row(Row::default()))
    }

    fn priced(&mut self) -> Option<Row> {
        let per_request = self.dollars(self.row, "per_request", "per_request");
        let has_tokens = RATES
            .iter()
            .chain(&["above", "priority"])
            .any(|name| self.row.contains_key(*name));
        if !has_tokens && self.row.contains_key("per_request") {
            return Some(Row {
                per_request,
                ..Row::default()
            });
        }
        let standard = self.tariff()?;
        let priority = match self.row.get("priority") {
            Some(factor) => {
                let factor = number_text(factor).and_then(|text| parse_thousandths(&text));
                if factor.is_none() {
                    self.fault(
                        "priority",
                        "must be a factor up to 1000 with at most three decimals, such as 1.75",
                    );
                }
                factor.map(TierTariff::Factor)
            }
            None => None,
        };
        Some(Row {
            standard,
            priority,
            per_request,
            ..Row::default()
        })
    }

    fn tariff(&mut self) -> Option<Tariff> {
        let base = self.rates(self.row, "")?;
        let above = match self.row.get("above") {
            Some(Value::Table(above)) => Some(Box::new(self.above(above)?)),
            Some(_) => {
                self.fault(
                    "above",
                    "must be a table, such as { tokens = 200000, input = 2.5, output = 15 }",
                );
                return None;
            }
            None => None,
        };
        Some(Tariff {
            base: base.complete(),
            above,
        })
    }

    fn above(&mut self, above: &Table) -> Option<Above> {
        let is_member = |name: &str| name == "tokens" || RATES.contains(&name);
        for name in above.keys().filter(|name| !is_member(name)) {
            let known = RATES.join(", ");
            self.fault(
                &format!("above.{}", quoted(name)),
                format!("is not one of tokens, {known}"),
            );
        }
        if !above.contains_key("tokens") {
            self.fault("above", "needs tokens: the input beyond which it holds");
        }
        let tokens = self.count(above, "tokens", "above.tokens");
        let rates = self.rates(above, "above.")?;
        Some(Above {
            tokens: tokens?,
            rates: rates.complete(),
        })
    }

    /// Reads the rates of a table, whose path within the row is `prefix`.
    fn rates(&mut self, table: &Table, prefix: &str) -> Option<WrittenRates> {
        let mut rate = |name: &str| self.dollars(table, name, &format!("{prefix}{name}"));
        let [
            input,
            output,
            cached,
            cache_write,
            cache_write_1h,
            input_audio,
            output_audio,
        ] = RATES.map(&mut rate);
        if !table.contains_key("input") || !table.contains_key("output") {
            let problem = "needs input and output, in dollars per million tokens: output = 0 if it \
                           only reads";
            match prefix {
                "" => self.fault_of_row(&format!("{problem}; or per_request, free or like")),
                _ => self.fault("above", problem),
            }
        }
        Some(WrittenRates {
            input: input?,
            output: Some(output?),
            cached,
            cache_write,
            cache_write_1h,
            input_audio,
            output_audio,
        })
    }

    fn limits(&mut self) -> Limits {
        Limits {
            max_output: self.count(self.row, "max_output", "max_output"),
            context: self.count(self.row, "context", "context"),
        }
    }

    fn dollars(&mut self, table: &Table, name: &str, path: &str) -> Option<u64> {
        let nanos = number_text(table.get(name)?).and_then(|text| parse_nanos(&text));
        if nanos.is_none() {
            self.fault(
                path,
                "must be dollars from 0 to 9000000 with at most nine decimals",
            );
        }
        nanos
    }

    fn count(&mut self, table: &Table, name: &str, path: &str) -> Option<u64> {
        let count = table.get(name)?.as_integer();
        let count = count.and_then(|count| u64::try_from(count).ok());
        if count.is_none_or(|count| count == 0) {
            self.fault(path, "must be a number of tokens");
        }
        count
    }

    fn fault(&mut self, member: &str, problem: impl Into<String>) {
        self.faults.push(InvalidPrice {
            path: format!("{}.{member}", self.path),
            problem: problem.into(),
        });
    }

    fn fault_of_row(&mut self, problem: &str) {
        self.faults.push(InvalidPrice {
            path: self.path.to_owned(),
            problem: problem.to_owned(),
        });
    }
}

/// Returns a number, which may be written as text, as the shortest decimal that is that number.
fn number_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Float(number) => Some(number.to_string()),
        Value::Boolean(_) | Value::Datetime(_) | Value::Array(_) | Value::Table(_) => None,
    }
}

/// Returns a name as TOML has it.
fn quoted(name: &str) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if !name.is_empty() && name.chars().all(is_bare) {
        return name.to_owned();
    }
    format!("{name:?}")
}
