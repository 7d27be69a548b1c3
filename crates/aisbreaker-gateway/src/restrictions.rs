//! What a key may not be used for, although its secrets would allow it.
//!
//! A key has a list of restrictions, and every one of them must hold. A member that is absent
//! restricts nothing, and an empty list allows nothing. What a request shows before its service is
//! known is judged here; `services` are part of the credentials, and judged wherever a service is
//! called.

pub(crate) mod bypass;
mod origin;

use std::net::IpAddr;

use aisbreaker_api::ServicePattern;
use aisbreaker_services::ServiceRestrictions;
use aisbreaker_token::Restriction;
use http::{HeaderValue, Method};
use ipnet::{IpNet, Ipv4Net};

use self::origin::WebOrigin;
use crate::{
    cors::AllowedOrigin,
    route::{PROCESS, family::Family, operation::Operation},
};

/// The bits before the one of an IPv4 address in IPv6 (RFC 4291 section 2.5.5.2).
const MAPPED_PREFIX_BITS: u8 = 96;

/// The restrictions of a key, apart from `services`.
#[derive(Debug, Default)]
pub(crate) struct Restrictions {
    rules: Vec<Rule>,
    /// The largest body that all of them allow, in bytes.
    max_body_bytes: Option<u64>,
}

/// One restriction.
#[derive(Debug)]
struct Rule {
    /// Whether it restricts the services as well.
    has_services: bool,
    operations: Option<OperationSet>,
    clients: Option<Vec<IpNet>>,
    origins: Option<Vec<WebOrigin>>,
}

/// Operations, each a bit.
#[derive(Clone, Copy, Debug)]
struct OperationSet(u64);

/// What a key is used for.
#[derive(Clone, Copy, Debug)]
pub struct KeyUse {
    /// As `operations` has it; `None`: it is always allowed.
    operation: Option<&'static str>,
    /// The family of resources that it reaches.
    family: Option<&'static Family>,
}

/// Which value of a restriction cannot be understood.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct InvalidRestriction {
    pub(crate) member: &'static str,
    pub(crate) index: usize,
    pub(crate) problem: &'static str,
}

/// The restriction that refused a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum RestrictionError {
    Client,
    Origin,
    Operation(&'static str),
}

impl KeyUse {
    /// A call of `process`.
    pub(crate) const PROCESS: Self = Self {
        operation: Some(PROCESS),
        family: None,
    };
    /// A question about the key itself.
    pub(crate) const QUESTION: Self = Self {
        operation: None,
        family: None,
    };

    /// Returns the use for a request to a provider's API. Models may always be listed.
    pub(crate) fn of(operation: Operation, method: &Method) -> Self {
        let family = operation.family(method);
        let is_list = matches!(operation, Operation::Models | Operation::Model);
        let operation = match family {
            Some(family) => Some(family.name()),
            None if is_list => None,
            None => Some(operation.name()),
        };
        Self { operation, family }
    }
}

impl Restrictions {
    /// Parses the restrictions of a key, `services` into restrictions of their own.
    ///
    /// # Errors
    /// [`InvalidRestriction`] for the first value that cannot be understood.
    pub(crate) fn parse(
        list: &[Restriction],
    ) -> Result<(Self, ServiceRestrictions), InvalidRestriction> {
        let mut restrictions = Self::default();
        let mut services = Vec::new();
        for restriction in list {
            let allowed = parse_each("services", restriction.services.as_deref(), parse_service)?;
            services.extend(allowed);
            let max_body_bytes = restriction.max_body_bytes;
            let of_all = restrictions
                .max_body_bytes
                .into_iter()
                .chain(max_body_bytes);
            restrictions.max_body_bytes = of_all.min();
            let operations = parse_each(
                "operations",
                restriction.operations.as_deref(),
                parse_operation,
            )?;
            restrictions.rules.push(Rule {
                has_services: restriction.services.is_some(),
                operations: operations.map(OperationSet::of),
                clients: parse_each("clients", restriction.clients.as_deref(), parse_network)?,
                origins: parse_each("origins", restriction.origins.as_deref(), parse_origin)?,
            });
        }
        Ok((restrictions, ServiceRestrictions::new(services)))
    }

    /// Returns whether no operation or no origin is left that all of them allow.
    pub(crate) fn contradict(&self) -> bool {
        let operations = self.rules.iter().filter_map(|rule| rule.operations);
        let common = operations.fold(u64::MAX, |common, set| common & set.0);
        let mut origins = self.rules.iter().filter_map(|rule| rule.origins.as_ref());
        let has_origin = match origins.next() {
            Some(first) => first
                .iter()
                .any(|origin| origins.clone().all(|list| list.contains(origin))),
            None => true,
        };
        common == 0 || !has_origin
    }

    /// Returns whether a restriction names this operation.
    fn name(&self, operation: &str) -> bool {
        self.rules.iter().any(|rule| rule.names(operation))
    }

    /// Returns whether a restriction to services does not name this operation.
    fn hold_services_from(&self, operation: &str) -> bool {
        let mut rules = self.rules.iter();
        rules.any(|rule| rule.has_services && !rule.names(operation))
    }

    /// Returns the largest body that is allowed, in bytes.
    pub(crate) fn max_body_bytes(&self) -> Option<u64> {
        self.max_body_bytes
    }

    /// Returns which pages may read the response to a request with this `Origin`.
    pub(crate) fn allowed_origin(&self, origin: Option<&HeaderValue>) -> AllowedOrigin {
        let mut lists = self.rules.iter().filter_map(|rule| rule.origins.as_ref());
        let Some(first) = lists.next() else {
            return AllowedOrigin::Any;
        };
        let Some((value, origin)) = origin.and_then(|value| Some((value, WebOrigin::of(value)?)))
        else {
            return AllowedOrigin::None;
        };
        if first.contains(&origin) && lists.all(|list| list.contains(&origin)) {
            AllowedOrigin::One(value.clone())
        } else {
            AllowedOrigin::None
        }
    }

    /// Judges a use by this client, from a page of this origin.
    ///
    /// # Errors
    /// [`RestrictionError`] for the first restriction that does not hold.
    pub(crate) fn judge(
        &self,
        client: IpAddr,
        origin: &AllowedOrigin,
        key_use: KeyUse,
    ) -> Result<(), RestrictionError> {
        let client = client.to_canonical();
        for rule in &self.rules {
            if let Some(clients) = &rule.clients
                && !clients.iter().any(|network| network.contains(&client))
            {
                return Err(RestrictionError::Client);
            }
        }
        if *origin == AllowedOrigin::None {
            return Err(RestrictionError::Origin);
        }
        let Some(operation) = key_use.operation else {
            return Ok(());
        };
        for rule in &self.rules {
            if let Some(operations) = rule.operations
                && !operations.contains(operation)
            {
                return Err(RestrictionError::Operation(operation));
            }
        }
        Ok(())
    }
}

impl Rule {
    fn names(&self, operation: &str) -> bool {
        let operations = self.operations;
        operations.is_some_and(|set| set.contains(operation))
    }
}

/// Checks the values of one restriction.
///
/// # Errors
/// [`InvalidRestriction`] for the first value that cannot be understood.
pub(crate) fn check(restriction: &Restriction) -> Result<(), InvalidRestriction> {
    Restrictions::parse(std::slice::from_ref(restriction)).map(drop)
}

fn parse_each<T>(
    member: &'static str,
    texts: Option<&[String]>,
    parse: impl Fn(&str) -> Result<T, &'static str>,
) -> Result<Option<Vec<T>>, InvalidRestriction> {
    let Some(texts) = texts else {
        return Ok(None);
    };
    let mut values = Vec::with_capacity(texts.len());
    for (index, text) in texts.iter().enumerate() {
        let value = parse(text).map_err(|problem| InvalidRestriction {
            member,
            index,
            problem,
        })?;
        values.push(value);
    }
    Ok(Some(values))
}

fn parse_service(text: &str) -> Result<ServicePattern, &'static str> {
    ServicePattern::parse(text)
        .map_err(|_invalid| "must be at most 512 bytes without control characters")
}

fn parse_operation(text: &str) -> Result<u64, &'static str> {
    bit_of(text).ok_or("must be a path below /v1, such as chat/completions, or process")
}

/// Parses a network or an address. One of IPv4 addresses in IPv6 becomes one of IPv4.
fn parse_network(text: &str) -> Result<IpNet, &'static str> {
    let parsed = match text.parse::<IpAddr>() {
        Ok(address) => Ok(IpNet::from(address)),
        Err(_not_an_address) => text.parse(),
    };
    let network = parsed.map_err(|_invalid| "must be an address or a network, as 192.0.2.0/24")?;
    let IpNet::V6(v6) = network else {
        return Ok(network);
    };
    let bits = v6.prefix_len().checked_sub(MAPPED_PREFIX_BITS);
    match (bits, v6.addr().to_ipv4_mapped()) {
        (Some(bits), Some(v4)) => Ok(Ipv4Net::new(v4, bits).map_or(network, IpNet::V4)),
        (None, _) | (_, None) => Ok(network),
    }
}

fn parse_origin(text: &str) -> Result<WebOrigin, &'static str> {
    WebOrigin::parse(text).ok_or(
        "must be an origin as browsers send it: scheme, host and port, as https://app.example.com",
    )
}

impl OperationSet {
    fn of(bits: Vec<u64>) -> Self {
        Self(bits.into_iter().fold(0, |all, bit| all | bit))
    }

    fn contains(self, operation: &str) -> bool {
        bit_of(operation).is_some_and(|bit| self.0 & bit != 0)
    }
}

/// Returns the bit of an operation: the path below `/v1` as a template, or `process`.
fn bit_of(name: &str) -> Option<u64> {
    let mut names = std::iter::once(PROCESS).chain(Operation::names());
    let place = names.position(|known| known == name)?;
    1_u64.checked_shl(u32::try_from(place).ok()?)
}

#[cfg(test)]
mod tests;
