//! What can be checked by the network only: the port, names, providers, the clock and the store.

use std::{
    collections::BTreeSet,
    io::ErrorKind,
    net::SocketAddr,
    time::{Duration, SystemTime},
};

use aisbreaker_egress::{self as egress, Client, Outgoing, Refusal, SendError, UrlSource};
use aisbreaker_gateway::{Clock as _, SystemClock};
use aisbreaker_services::{Providers, services::Options};
use aisbreaker_token::Host;
use futures_util::future::join_all;
use http::{HeaderMap, header};
use tokio::net::{TcpListener, lookup_host};

use super::finding::Finding;
use crate::settings::{Settings, StoreSettings};

/// How long one call may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The difference between two clocks from which on times in API keys are wrong for their holders.
const MAX_CLOCK_SKEW: Duration = Duration::from_secs(30);

/// Makes all checks. `named` are providers of the built-in table that the operator asks about.
pub(super) async fn check(settings: Settings, named: &[&str]) -> Vec<Finding> {
    let mut findings = check_port("listen", settings.listen).await;
    if let Some(address) = settings.metrics_listen {
        findings.extend(check_port("metrics.listen", address).await);
    }
    for host in &settings.gateway.public_hosts {
        findings.extend(check_name(host).await);
    }
    let client = Client::new(settings.egress, settings.timeouts).with_bounds(settings.bounds);
    findings.extend(check_providers(&client, &settings.services, named).await);
    findings.push(match settings.store {
        Some(store) => check_store(store).await,
        None => Finding::skip("redis", "no store is configured: this server counts alone"),
    });
    findings
}

/// Checks that the server could listen, or does so already.
async fn check_port(name: &str, address: SocketAddr) -> Vec<Finding> {
    let finding = match TcpListener::bind(address).await {
        Ok(_free) => Finding::ok("port", format!("{name}: {address} is free")),
        Err(error) if error.kind() == ErrorKind::AddrInUse => Finding::warn(
            "port",
            format!("{name}: {address} is in use"),
            "if that is this server, all is well; otherwise choose another port",
        ),
        Err(error) => Finding::fail(
            "port",
            format!("{name}: cannot listen on {address}: {error}"),
            "choose an address of this machine, and a port above 1023 or the right to use it",
        ),
    };
    vec![finding]
}

/// Checks that a public host name has an address.
async fn check_name(host: &Host) -> Option<Finding> {
    let name = host.as_str();
    let message = match lookup_host((name.trim_matches(['[', ']']), 0)).await {
        Ok(mut addresses) => match addresses.next() {
            Some(address) => {
                let message = format!("{name} is {}", address.ip());
                return Some(Finding::ok("names", message));
            }
            None => format!("{name} has no address"),
        },
        Err(error) => format!("{name} has no address: {error}"),
    };
    Some(Finding::warn(
        "names",
        message,
        "clients cannot find this public host, unless their name server knows more than that of this \
         machine",
    ))
}

/// Calls each provider once, and compares the clocks of those that answer with this one.
async fn check_providers(client: &Client, services: &Options, named: &[&str]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut urls = configured_urls(services);
    for name in named {
        match services.providers.find(name).map(|provider| &provider.url) {
            Some(Some(url)) => {
                urls.insert(url.clone());
            }
            Some(None) => findings.push(Finding::skip(
                "provider",
                format!("{name} has no address of its own: keys name it"),
            )),
            None => findings.push(Finding::fail(
                "provider",
                format!("{name} is not in the provider table"),
                "docs/providers.md lists the providers; further ones are rows in the configuration file",
            )),
        }
    }
    if urls.is_empty() {
        findings.push(Finding::skip(
            "provider",
            "none is configured; --provider openai.com calls one of the built-in table",
        ));
    }
    let answers = join_all(urls.iter().map(|url| call(client, url))).await;
    let mut skew = None;
    for (finding, answered_skew) in answers {
        findings.push(finding);
        skew = match (skew, answered_skew) {
            // The smallest: it is their clock if only one of them differs.
            (Some(one), Some(other)) => Some(Duration::min(one, other)),
            (one, other) => one.or(other),
        };
    }
    findings.push(clock_finding(skew));
    findings
}

/// Returns the URLs of the rows and origins that the configuration file has.
fn configured_urls(services: &Options) -> BTreeSet<String> {
    let builtin = Providers::builtin();
    let mut urls = BTreeSet::new();
    for provider in services.providers.iter() {
        let known = builtin.find(&provider.id).map(|known| &known.url);
        if known != Some(&provider.url)
            && let Some(url) = &provider.url
        {
            urls.insert(url.clone());
        }
    }
    let origins = services.operator_origins.values().flatten();
    urls.extend(origins.map(ToString::to_string));
    urls
}

/// Calls the root of a URL's origin without a secret: any answer proves the way to it.
async fn call(client: &Client, url: &str) -> (Finding, Option<Duration>) {
    let clock = SystemClock::new();
    let Ok(url) = egress::parse_url(url) else {
        let advice = "correct the row in the configuration file";
        let finding = Finding::fail("provider", format!("{url} is not a URL"), advice);
        return (finding, None);
    };
    let authority = url.authority().map_or("", |authority| authority.as_str());
    let shown = format!("{}://{authority}", url.scheme_str().unwrap_or("https"));
    let root = egress::parse_url(&shown).unwrap_or(url);
    let deadline = client.deadline().min(tokio::time::Instant::now() + TIMEOUT);
    let outgoing = Outgoing::get(HeaderMap::new()).with_deadline(deadline);
    let start = clock.monotonic();
    match client.send(&root, UrlSource::Trusted, outgoing).await {
        Ok(response) => {
            let millis = (clock.monotonic() - start).as_millis();
            let skew = skew(response.headers(), clock.wall());
            let message = format!("{shown} answers after {millis} ms");
            (Finding::ok("provider", message), skew)
        }
        Err(error) => {
            let message = format!("{shown}: {error}");
            (Finding::fail("provider", message, advice(&error)), None)
        }
    }
}

fn advice(error: &SendError) -> &'static str {
    match error {
        SendError::Forbidden(Refusal::Scheme | Refusal::Address) => {
            "add it to AISBREAKER_EGRESS_ALLOW if it is meant to be called"
        }
        SendError::Forbidden(Refusal::InvalidUrl) => "correct the row in the configuration file",
        SendError::Unreachable(egress::Failure::Resolution { .. }) => {
            "check the name, and the name servers of this machine"
        }
        SendError::Unreachable(egress::Failure::Tls) => {
            "check the certificate of the provider, the authorities of this machine \
             (ca-certificates) and its clock"
        }
        SendError::Unreachable(egress::Failure::Refused | egress::Failure::Network)
        | SendError::Timeout(_)
        | SendError::Busy => "check the address, and the firewall between this machine and it",
        SendError::TransferCoding | SendError::Cut => {
            "the address may not be that of an HTTP server"
        }
    }
}

/// Returns the difference between this clock and that of a server, as its answer says (RFC 9110
/// section 6.6.1).
fn skew(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let date = headers.get(header::DATE)?.to_str().ok()?;
    let theirs = httpdate::parse_http_date(date).ok()?;
    Some(match now.duration_since(theirs) {
        Ok(behind) => behind,
        Err(ahead) => ahead.duration(),
    })
}

fn clock_finding(skew: Option<Duration>) -> Finding {
    match skew {
        None => Finding::skip("clock", "no provider has answered with its time"),
        Some(skew) if skew > MAX_CLOCK_SKEW => Finding::fail(
            "clock",
            format!(
                "it differs by {} s from that of the providers",
                skew.as_secs()
            ),
            "synchronise it (NTP): API keys expire by this clock",
        ),
        Some(_) => Finding::ok("clock", "it agrees with that of the providers"),
    }
}

async fn check_store(store: StoreSettings) -> Finding {
    match tokio::time::timeout(TIMEOUT, store.probe()).await {
        Ok(Ok(())) => Finding::ok("redis", "the store answers"),
        Ok(Err(problem)) => Finding::fail(
            "redis",
            problem,
            "check AISBREAKER_REDIS_URL, and that this machine may connect",
        ),
        Err(_late) => Finding::fail(
            "redis",
            "the store does not answer in time",
            "check AISBREAKER_REDIS_URL, and that this machine may connect",
        ),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn clocks_are_compared_both_ways() {
        let mut headers = HeaderMap::new();
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        headers.insert(header::DATE, HeaderValue::from_static(date));
        let theirs = httpdate::parse_http_date(date).unwrap();
        let minute = Duration::from_secs(60);
        for now in [theirs - minute, theirs + minute] {
            assert_eq!(skew(&headers, now), Some(minute));
        }
        assert_eq!(skew(&HeaderMap::new(), theirs), None);
        let statuses = [None, Some(Duration::ZERO), Some(minute)].map(|skew| {
            let json = clock_finding(skew).to_json();
            json["status"].as_str().unwrap().to_owned()
        });
        assert_eq!(statuses, ["skip", "ok", "fail"]);
    }
}
