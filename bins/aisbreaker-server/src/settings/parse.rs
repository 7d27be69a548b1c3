//! Reads single settings into their types, and notes what cannot be read.

use std::{
    net::{IpAddr, SocketAddr},
    str::FromStr,
    time::Duration,
};

use aisbreaker_api::ServicePattern;
use aisbreaker_egress::Policy;
use aisbreaker_gateway::quotas_from_json;
use aisbreaker_token::{Host, PREFIX, RequestQuotas};
use ipnet::IpNet;
use secrecy::SecretString;
use toml::Value;

use super::values::{Faults, Given, Setting, Values};

/// The longest span of a setting: beyond it, clocks overflow.
const LONGEST: Duration = Duration::from_secs(100 * 366 * 86_400);
/// The shortest secret for minting, in characters: as short as a phrase that seals.
const SHORTEST_MINT_SECRET: usize = 10;
/// The largest number of a setting.
const LARGEST: usize = 1_000_000_000;

pub(super) struct Reader {
    pub(super) values: Values,
    pub(super) faults: Faults,
}

impl Reader {
    /// A setting that is one text.
    pub(super) fn text(&mut self, setting: Setting, keeps_empty: bool) -> Option<(String, String)> {
        let Given { name, value } = self.values.take(setting, keeps_empty, &mut self.faults)?;
        match value {
            Value::String(text) => Some((name, text)),
            Value::Integer(number) => Some((name, number.to_string())),
            Value::Float(_)
            | Value::Boolean(_)
            | Value::Datetime(_)
            | Value::Array(_)
            | Value::Table(_) => {
                self.faults.add(&name, "must be a string");
                None
            }
        }
    }

    /// A setting that is a list: an array in the file, one text with separators in the environment.
    pub(super) fn list(
        &mut self,
        setting: Setting,
        keeps_empty: bool,
        is_separator: fn(char) -> bool,
    ) -> Option<(String, Vec<String>)> {
        let Given { name, value } = self.values.take(setting, keeps_empty, &mut self.faults)?;
        let texts = match value {
            Value::String(text) => Some(
                text.split(is_separator)
                    .map(str::trim)
                    .map(str::to_owned)
                    .collect(),
            ),
            Value::Array(values) => values
                .iter()
                .map(|value| value.as_str().map(str::to_owned))
                .collect(),
            Value::Integer(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::Datetime(_)
            | Value::Table(_) => None,
        };
        let Some(texts): Option<Vec<String>> = texts else {
            self.faults.add(&name, "must be a list of strings");
            return None;
        };
        Some((
            name,
            texts.into_iter().filter(|text| !text.is_empty()).collect(),
        ))
    }

    /// A setting read by `parse`, whose error says what it must be.
    pub(super) fn parsed<T>(
        &mut self,
        setting: Setting,
        parse: impl FnOnce(&str) -> Result<T, &'static str>,
    ) -> Option<T> {
        let (name, text) = self.text(setting, false)?;
        parse(text.trim())
            .map_err(|problem| self.faults.add(&name, problem))
            .ok()
    }

    pub(super) fn duration(&mut self, setting: Setting, target: &mut Duration) {
        let parse = |text: &str| {
            let in_range = |duration: &Duration| !duration.is_zero() && *duration <= LONGEST;
            let duration = humantime::parse_duration(text).ok().filter(in_range);
            duration
                .ok_or("must be a span of time over zero and up to 100 years, such as 30s or 5m")
        };
        if let Some(duration) = self.parsed(setting, parse) {
            *target = duration;
        }
    }

    pub(super) fn count(&mut self, setting: Setting, target: &mut usize) {
        if let Some(count) = self.given_count(setting) {
            *target = count;
        }
    }

    pub(super) fn given_count(&mut self, setting: Setting) -> Option<usize> {
        self.parsed(setting, |text| {
            let count = text
                .parse()
                .ok()
                .filter(|count| (1..=LARGEST).contains(count));
            count.ok_or("must be a whole number from 1 to 1000000000")
        })
    }

    pub(super) fn parse_address(&mut self, name: &str, text: &str) -> Option<SocketAddr> {
        let address = text.trim().parse().ok();
        if address.is_none() {
            self.faults.add(
                name,
                "must be an IP address and a port, such as 127.0.0.1:3000 or [::]:3000",
            );
        }
        address
    }

    pub(super) fn address(&mut self, setting: Setting) -> Option<SocketAddr> {
        let (name, text) = self.text(setting, false)?;
        self.parse_address(&name, &text)
    }

    pub(super) fn port(&mut self, variable: &'static str) -> Option<u16> {
        let setting = Setting { key: "", variable };
        self.parsed(setting, |text| {
            text.parse().map_err(|_number| "must be a port number")
        })
    }

    pub(super) fn hosts(&mut self, setting: Setting) -> Vec<Host> {
        self.parsed_list(setting, "has an entry that is not a host name", |text| {
            Host::parse(text).ok()
        })
    }

    pub(super) fn networks(&mut self, setting: Setting) -> Vec<IpNet> {
        self.parsed_list(
            setting,
            "has an entry that is not a network such as 10.0.0.0/8",
            network,
        )
    }

    fn parsed_list<T>(
        &mut self,
        setting: Setting,
        problem: &str,
        parse: fn(&str) -> Option<T>,
    ) -> Vec<T> {
        let Some((name, texts)) = self.list(setting, false, |c| c == ',') else {
            return Vec::new();
        };
        let parsed: Vec<T> = texts.iter().filter_map(|text| parse(text)).collect();
        if parsed.len() != texts.len() {
            self.faults.add(&name, problem);
        }
        parsed
    }

    pub(super) fn egress(&mut self, setting: Setting) -> Policy {
        let mut policy = Policy::strict();
        let Some((name, exceptions)) = self.list(setting, false, |c| c == ',') else {
            return policy;
        };
        for exception in exceptions {
            match policy.clone().allow(&exception) {
                Ok(with_exception) => policy = with_exception,
                Err(error) => self
                    .faults
                    .add(&name, format_args!("has an unusable entry: {error}")),
            }
        }
        policy
    }

    pub(super) fn api_key(&mut self, setting: Setting) -> Option<SecretString> {
        let (name, text) = self.text(setting, false)?;
        if !text.starts_with(PREFIX) {
            self.faults.add(
                &name,
                format_args!("must be a key that starts with {PREFIX}"),
            );
            return None;
        }
        Some(text.into())
    }

    /// An empty variable is a mistake, not a wish to let anyone mint.
    pub(super) fn mint_secret(&mut self, setting: Setting) -> Option<SecretString> {
        let (name, text) = self.text(setting, true)?;
        if text.chars().count() < SHORTEST_MINT_SECRET {
            let problem = format_args!("is shorter than {SHORTEST_MINT_SECRET} characters");
            self.faults.add(&name, problem);
            return None;
        }
        Some(text.into())
    }

    pub(super) fn service_patterns(&mut self, setting: Setting) -> Option<Vec<ServicePattern>> {
        let (name, texts) = self.list(setting, true, |c| c == ',')?;
        let patterns: Option<Vec<_>> = texts
            .iter()
            .map(|text| ServicePattern::parse(text).ok())
            .collect();
        let patterns = patterns.filter(|patterns| !patterns.is_empty());
        if patterns.is_none() {
            self.faults.add(
                &name,
                "must be a list of service ids such as chat:openai.com or chat:",
            );
        }
        patterns
    }

    pub(super) fn quotas(&mut self, setting: Setting, target: &mut RequestQuotas) {
        let Some(Given { name, value }) = self.values.take(setting, false, &mut self.faults) else {
            return;
        };
        let json = value
            .as_str()
            .map_or_else(|| serde_json::to_string(&value), |json| Ok(json.to_owned()));
        let quotas = json.map_err(|error| error.to_string());
        match quotas.and_then(|json| quotas_from_json(&json).map_err(|error| error.to_string())) {
            Ok(quotas) => *target = quotas,
            Err(problem) => self
                .faults
                .add(&name, format_args!("is unusable: {problem}")),
        }
    }
}

/// A network, or a single address as the network of itself. An IPv4 network in its IPv6-mapped form
/// is none: addresses are compared in their IPv4 form, so it would never match.
fn network(text: &str) -> Option<IpNet> {
    let network = IpNet::from_str(text)
        .ok()
        .or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))?;
    let is_mapped = matches!(network, IpNet::V6(v6) if v6.network().to_ipv4_mapped().is_some());
    (!is_mapped).then_some(network)
}
