//! Claims with a grant, in the one spelling in which a server seals them.
//!
//! Such claims have their members in the order of the structs, without white space and without
//! escapes, so that reading them takes comparisons and little else. Whatever is spelled otherwise,
//! or is refused, is left to the `Deserialize` implementations, which accept all that is accepted
//! here and read the same from it.

mod reader;

use std::{collections::BTreeMap, num::NonZeroU32};

use self::reader::{Members, Reader};
use super::{
    budgets::{BudgetLimits, Budgets, ReservePolicy},
    grant::{Grant, ServiceSecret},
    model_alias::ModelAlias,
    quotas::{RequestLimits, RequestQuotas},
    registered::{NumericDate, RegisteredClaims},
    restriction::Restriction,
    usd::Usd,
};
use crate::format::Version;

/// Reads the claims of a key of version 2, or returns `None` if they have another spelling.
pub(super) fn read(json: &str) -> Option<(RegisteredClaims<'_>, Grant)> {
    let mut reader = Reader::new(json);
    let mut members = Members::new();
    let registered = read_registered(&mut reader, &mut members)?;
    let grant = read_grant(&mut reader, &mut members)?;
    members.end(&mut reader)?;
    reader.end()?;
    Some((registered, grant))
}

fn read_registered<'de>(
    reader: &mut Reader<'de>,
    members: &mut Members,
) -> Option<RegisteredClaims<'de>> {
    let mut claims = RegisteredClaims::new(Version::V2);
    members.required(reader, r#""aud":"#)?;
    claims.audience = Some(reader.text()?.into());
    members.required(reader, r#""iat":"#)?;
    claims.issued_at = Some(NumericDate::Whole(reader.number()?));
    members.required(reader, r#""exp":"#)?;
    claims.expiry = Some(NumericDate::Whole(reader.number()?));
    if members.next_is(reader, r#""nbf":"#) {
        claims.not_before = Some(NumericDate::Whole(reader.number()?));
    }
    members.required(reader, r#""jti":"#)?;
    claims.id = Some(reader.text()?.into());
    Some(claims)
}

fn read_grant(reader: &mut Reader<'_>, members: &mut Members) -> Option<Grant> {
    let mut grant = Grant::default();
    if members.next_is(reader, r#""name":"#) {
        grant.name = Some(reader.text()?.to_owned());
    }
    if members.next_is(reader, r#""requestQuotas":"#) {
        grant.request_quotas = Some(read_quotas(reader)?);
    }
    if members.next_is(reader, r#""budgets":"#) {
        grant.budgets = Some(Box::new(read_budgets(reader)?));
    }
    if members.next_is(reader, r#""serviceSecrets":"#) {
        grant.service_secrets = reader.list(read_service_secret)?;
    }
    if members.next_is(reader, r#""modelAliases":"#) {
        grant.model_aliases = read_aliases(reader)?;
    }
    if members.next_is(reader, r#""restrict":"#) {
        grant.restrict = reader.list(read_restriction)?;
    }
    if members.next_is(reader, r#""delegation":"#) {
        grant.delegation = Some(reader.number()?.try_into().ok()?);
    }
    Some(grant)
}

fn read_quotas(reader: &mut Reader<'_>) -> Option<RequestQuotas> {
    reader.literal(r#"{"perClientRequestLimits":"#)?;
    let per_client_request_limits = read_limits(reader)?;
    reader.literal(r#","globalRequestLimits":"#)?;
    let global_request_limits = read_limits(reader)?;
    reader.literal("}")?;
    Some(RequestQuotas {
        per_client_request_limits,
        global_request_limits,
    })
}

fn read_limits(reader: &mut Reader<'_>) -> Option<RequestLimits> {
    reader.literal(r#"{"requestsPerMinute":"#)?;
    let requests_per_minute = read_limit(reader)?;
    reader.literal(r#","requestsPerHour":"#)?;
    let requests_per_hour = read_limit(reader)?;
    reader.literal(r#","requestsPerDay":"#)?;
    let requests_per_day = read_limit(reader)?;
    reader.literal("}")?;
    Some(RequestLimits {
        requests_per_minute,
        requests_per_hour,
        requests_per_day,
    })
}

fn read_limit(reader: &mut Reader<'_>) -> Option<NonZeroU32> {
    NonZeroU32::new(reader.number()?.try_into().ok()?)
}

fn read_budgets(reader: &mut Reader<'_>) -> Option<Budgets> {
    let mut budgets = Budgets::default();
    let mut members = Members::new();
    if members.next_is(reader, r#""perClient":"#) {
        budgets.per_client = read_budget_limits(reader)?;
        if budgets.per_client.usd_per_month.is_some() || budgets.per_client.usd_total.is_some() {
            return None;
        }
    }
    if members.next_is(reader, r#""global":"#) {
        budgets.global = read_budget_limits(reader)?;
    }
    if members.next_is(reader, r#""reserve":"#) {
        reader.literal(r#""strict""#)?;
        budgets.reserve = ReservePolicy::Strict;
    }
    if members.next_is(reader, r#""outputReserve":"#) {
        budgets.output_reserve = Some(read_limit(reader)?.get());
    }
    members.end(reader)?;
    Some(budgets)
}

fn read_budget_limits(reader: &mut Reader<'_>) -> Option<BudgetLimits> {
    let mut limits = BudgetLimits::default();
    let mut members = Members::new();
    if members.next_is(reader, r#""tokensPerMinute":"#) {
        limits.tokens_per_minute = Some(read_tokens(reader)?);
    }
    if members.next_is(reader, r#""tokensPerHour":"#) {
        limits.tokens_per_hour = Some(read_tokens(reader)?);
    }
    if members.next_is(reader, r#""tokensPerDay":"#) {
        limits.tokens_per_day = Some(read_tokens(reader)?);
    }
    if members.next_is(reader, r#""usdPerDay":"#) {
        limits.usd_per_day = Some(read_usd(reader)?);
    }
    if members.next_is(reader, r#""usdPerMonth":"#) {
        limits.usd_per_month = Some(read_usd(reader)?);
    }
    if members.next_is(reader, r#""usdTotal":"#) {
        limits.usd_total = Some(read_usd(reader)?);
    }
    members.end(reader)?;
    Some(limits)
}

fn read_tokens(reader: &mut Reader<'_>) -> Option<u64> {
    let tokens = reader.number()?;
    (1..=BudgetLimits::MAX_TOKENS)
        .contains(&tokens)
        .then_some(tokens)
}

fn read_usd(reader: &mut Reader<'_>) -> Option<Usd> {
    let usd: Usd = reader.text()?.parse().ok()?;
    (usd.nanos() > 0).then_some(usd)
}

fn read_service_secret(reader: &mut Reader<'_>) -> Option<ServiceSecret> {
    reader.literal(r#"{"serviceId":"#)?;
    let service_id = reader.text()?;
    reader.literal(r#","authSecret":"#)?;
    let mut secret = ServiceSecret::new(service_id, reader.text()?.into());
    if reader.literal(r#","url":"#).is_some() {
        secret.url = read_one_or_many(reader)?;
    }
    if reader.literal(r#","fallback":"#).is_some() {
        secret.fallback = read_one_or_many(reader)?;
    }
    reader.literal("}")?;
    Some(secret)
}

fn read_one_or_many(reader: &mut Reader<'_>) -> Option<Vec<String>> {
    match reader.text() {
        Some(one) => Some(vec![one.to_owned()]),
        None => reader.list(read_string),
    }
}

fn read_string(reader: &mut Reader<'_>) -> Option<String> {
    reader.text().map(str::to_owned)
}

/// Reads aliases that are strings. Those that are objects are rare.
fn read_aliases(reader: &mut Reader<'_>) -> Option<BTreeMap<String, ModelAlias>> {
    let mut aliases = BTreeMap::new();
    reader.literal("{")?;
    loop {
        let name = read_string(reader)?;
        reader.literal(":")?;
        aliases.insert(name, ModelAlias::from(reader.text()?));
        if reader.literal(",").is_none() {
            reader.literal("}")?;
            return Some(aliases);
        }
    }
}

fn read_restriction(reader: &mut Reader<'_>) -> Option<Restriction> {
    let mut restriction = Restriction::default();
    let mut members = Members::new();
    if members.next_is(reader, r#""services":"#) {
        restriction.services = Some(reader.list(read_string)?);
    }
    if members.next_is(reader, r#""operations":"#) {
        restriction.operations = Some(reader.list(read_string)?);
    }
    if members.next_is(reader, r#""clients":"#) {
        restriction.clients = Some(reader.list(read_string)?);
    }
    if members.next_is(reader, r#""origins":"#) {
        restriction.origins = Some(reader.list(read_string)?);
    }
    if members.next_is(reader, r#""maxBodyBytes":"#) {
        restriction.max_body_bytes = Some(reader.number()?);
    }
    members.end(reader)?;
    Some(restriction)
}

#[cfg(test)]
mod tests;
