//! Lists: an array in the configuration file, a text with separators elsewhere.
//!
//! Every entry that cannot be used is a problem, named by its position and, where it cannot be a
//! secret, by its text.

use std::{fmt, net::IpAddr};

use aisbreaker_api::{Origin, ServicePattern};
use aisbreaker_egress::Policy;
use aisbreaker_token::{Host, OpeningKey, ServerKey};
use ipnet::IpNet;
use toml::Value;

use super::{Given, Problem, Source, surrounding_problem, unusable};

/// The longest entry that is repeated.
const MAX_SHOWN_BYTES: usize = 64;
/// From this length on, letters and digits without a break may be a secret in the wrong place.
const SECRET_RUN: usize = 20;

/// The problems of a list, collected so that all are reported.
struct Problems<'a> {
    given: &'a Given,
    found: Vec<String>,
}

impl Given {
    /// Returns the entries of a list: an array in the file, a text with separators elsewhere.
    pub(in crate::settings) fn entries(
        &self,
        is_separator: fn(char) -> bool,
    ) -> Result<Vec<&str>, Problem> {
        let mut entries: Vec<&str> = match &self.value {
            Value::String(text) => text.split(is_separator).map(str::trim).collect(),
            Value::Array(values) => {
                let mut texts = Vec::new();
                for (index, value) in values.iter().enumerate() {
                    let Some(text) = value.as_str() else {
                        let position = index + 1;
                        return Err(format!("entry {position} is not a string").into());
                    };
                    texts.push(text);
                }
                texts
            }
            Value::Integer(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::Datetime(_)
            | Value::Table(_) => return Err("must be a list of strings".into()),
        };
        entries.retain(|entry| !entry.is_empty());
        Ok(entries)
    }

    pub(in crate::settings) fn hosts(&self) -> Result<Vec<Host>, Problem> {
        self.comma_list(|entry| {
            Host::parse(entry).map_err(|_syntax| "is not a host name such as api.example.com")
        })
    }

    pub(in crate::settings) fn networks(&self) -> Result<Vec<IpNet>, Problem> {
        self.comma_list(|entry| network(entry).ok_or("is not a network such as 10.0.0.0/8"))
    }

    /// Returns the strict policy with these exceptions.
    pub(in crate::settings) fn egress_policy(&self) -> Result<Policy, Problem> {
        let mut policy = Policy::strict();
        let exceptions = self.comma_list(|exception| {
            let extended = policy.clone().allow(exception)?;
            policy = extended;
            Ok::<_, aisbreaker_egress::InvalidException>(())
        });
        exceptions.map(|_added| policy)
    }

    pub(in crate::settings) fn origins(&self) -> Result<Vec<Origin>, Problem> {
        if self.value.as_str() == Some("") {
            return Err("must be a list of origins such as https://llm.example.com".into());
        }
        self.comma_list(|entry| {
            Origin::parse(entry)
                .map_err(|_syntax| "is not an origin such as https://llm.example.com")
        })
    }

    pub(in crate::settings) fn service_patterns(&self) -> Result<Vec<ServicePattern>, Problem> {
        let patterns = self.comma_list(|entry| {
            ServicePattern::parse(entry)
                .map_err(|_syntax| "is not a service id such as chat:openai.com or chat:")
        })?;
        if patterns.is_empty() {
            return Err(
                "must be a list of service ids such as chat:openai.com or chat:, and not empty"
                    .into(),
            );
        }
        Ok(patterns)
    }

    pub(in crate::settings) fn opening_keys(&self) -> Result<Vec<OpeningKey>, Problem> {
        let is_from_file = self.source == Source::File;
        self.list(char::is_whitespace, |entry| {
            match surrounding_problem(entry) {
                Some(problem) if !is_from_file => Err(Problem::from(problem)),
                Some(_) | None => ServerKey::parse_for_opening(entry).map_err(unusable),
            }
        })
    }

    fn comma_list<T, E: fmt::Display>(
        &self,
        parse: impl FnMut(&str) -> Result<T, E>,
    ) -> Result<Vec<T>, Problem> {
        self.list(is_comma, parse)
    }

    /// Parses all entries. The error of `parse` continues the name of an entry, as in "is not a
    /// network", and must not repeat it.
    fn list<T, E: fmt::Display>(
        &self,
        is_separator: fn(char) -> bool,
        mut parse: impl FnMut(&str) -> Result<T, E>,
    ) -> Result<Vec<T>, Problem> {
        let mut parsed = Vec::new();
        let mut problems = Problems {
            given: self,
            found: Vec::new(),
        };
        for (index, entry) in self.entries(is_separator)?.into_iter().enumerate() {
            match parse(entry) {
                Ok(value) => parsed.push(value),
                Err(problem) => problems.add(index, entry, &problem),
            }
        }
        problems.or(parsed)
    }
}

impl Problems<'_> {
    fn add(&mut self, index: usize, entry: &str, problem: &dyn fmt::Display) {
        let position = index + 1;
        let shown = if self.given.is_secret || may_be_secret(entry) {
            String::new()
        } else {
            format!(" \"{entry}\"")
        };
        self.found
            .push(format!("entry {position}{shown} {problem}"));
    }

    /// Returns the value of a list, unless there are problems: then all of them in one.
    fn or<T>(self, value: T) -> Result<T, Problem> {
        if self.found.is_empty() {
            return Ok(value);
        }
        Err(self.found.join("; ").into())
    }
}

/// Returns whether a text may be a secret that was put into the wrong setting: it is long, has white
/// space or a user in it, or many letters and digits without a break.
fn may_be_secret(text: &str) -> bool {
    let is_of_key = |c: char| c.is_ascii_alphanumeric() || "-_+=".contains(c);
    text.len() > MAX_SHOWN_BYTES
        || text.contains(|c: char| c == '@' || c.is_whitespace() || c.is_control())
        || text
            .split(|c| !is_of_key(c))
            .any(|run| run.len() >= SECRET_RUN)
}

pub(in crate::settings) fn is_comma(c: char) -> bool {
    c == ','
}

/// Parses a network, or a single address as the network of itself. An IPv6-mapped IPv4 network is
/// refused: addresses are compared in their IPv4 form, so it would never match.
fn network(text: &str) -> Option<IpNet> {
    let network = match text.parse() {
        Ok(network) => network,
        Err(_) => IpNet::from(text.parse::<IpAddr>().ok()?),
    };
    match network {
        IpNet::V6(v6) if v6.network().to_ipv4_mapped().is_some() => None,
        IpNet::V4(_) | IpNet::V6(_) => Some(network),
    }
}
