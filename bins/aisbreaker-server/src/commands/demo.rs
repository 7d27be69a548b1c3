//! `demo`: a server to look at, which needs no settings and leaves nothing behind.

mod greeting;

use std::{
    ffi::OsString,
    io::{self, Write as _},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
};

use aisbreaker_gateway::{Gateway, Limits};
use aisbreaker_token::Host;
use clap::{ArgMatches, Command};
use serde_json::json;

use self::greeting::{Greeting, is_name_of_setting};
use super::{Outcome, target::Target};
use crate::{
    gateway_setup,
    logging::{self, LogOptions},
    settings::{self, Flags, Settings},
    signals::Signals,
};

const LONG_ABOUT: &str = "\
Serves the dummy and the providers at port 3000 of this machine, or at another port if that one is taken, \
with the console and a page of live metrics. Prints where they are, a key and lines to paste. Ends with \
Ctrl-C, and all keys end with it.

Neither the environment nor a configuration file changes it, and it writes no file. Anyone who reaches it \
may mint keys; by itself, that is this machine alone.";

/// The one flag of a setting that it takes.
const LISTEN_FLAG: &str = "listen";
/// A line for each call, so that it can be seen to arrive, and none for what is not charged.
const LOG_FILTER: &str = "warn,aisbreaker_gateway::request=info";

pub(crate) fn command() -> Command {
    Command::new("demo")
        .about("Serves the dummy with the console on this machine, until Ctrl-C")
        .long_about(LONG_ABOUT)
}

pub(crate) fn run(flags: Flags, _arguments: &ArgMatches) -> Outcome {
    check_flags(&flags)?;
    let has_address = flags.contains_key(LISTEN_FLAG);
    let mut settings = settings::load(flags, std::iter::empty())?;
    let listener = bind(settings.listen, has_address)?;
    let address = listener.local_addr()?;
    // From another machine, or out of a container, it could not be reached.
    let metrics_listener = match address.ip().is_loopback() {
        true => Some(bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), true)?),
        false => None,
    };
    let metrics_address = metrics_listener.as_ref().map(TcpListener::local_addr);

    configure(&mut settings);
    let gateway = gateway_setup::gateway_alone(settings)?;
    let host = host_of(address.ip());
    let greeting = Greeting {
        url: url(address),
        metrics_url: metrics_address.transpose()?.map(url),
        key: mint(&gateway, &host)?,
        ignored: ignored(std::env::vars_os().map(|(name, _)| name)),
    };
    serve(&gateway, listener, metrics_listener, &greeting)
}

/// Refuses what would not be as it says.
fn check_flags(flags: &Flags) -> Result<(), String> {
    match flags.keys().find(|flag| **flag != LISTEN_FLAG) {
        Some(flag) => Err(format!(
            "the demo takes no --{flag}: start the server without 'demo' to use settings"
        )),
        None => Ok(()),
    }
}

/// Listens at this address. If it is only the usual one, at any port if that one is taken.
fn bind(address: SocketAddr, must_be_it: bool) -> Result<TcpListener, String> {
    let listener = match TcpListener::bind(address) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && !must_be_it => {
            TcpListener::bind((address.ip(), 0))
        }
        bound => bound,
    };
    let listener = listener.and_then(|listener| {
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    listener.map_err(|error| format!("cannot listen on {address}: {error}"))
}

/// Turns on everything that is worth a look, also for callers without a key. Nothing outlives the
/// process, so budgets may last as long as it does.
fn configure(settings: &mut Settings) {
    settings.gateway.default_quotas = settings.gateway.server_quotas;
    settings.gateway.console = true;
    settings.gateway.live_page = true;
    settings.gateway.long_budgets = true;
}

/// Returns the host that the key is bound to, and by which the address is printed.
fn host_of(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(Ipv4Addr::LOCALHOST) => "localhost".to_owned(),
        ip if ip.is_unspecified() => "localhost".to_owned(),
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

fn url(address: SocketAddr) -> String {
    format!("http://{}:{}", host_of(address.ip()), address.port())
}

/// Mints the key that is printed: for the dummy, since it holds no secret of a provider.
fn mint(gateway: &Gateway, host: &str) -> Result<String, Box<dyn std::error::Error>> {
    let host = Host::parse(host)?;
    let limits = json!({"requestsPerMinute": 60, "requestsPerHour": 600, "requestsPerDay": 6_000});
    let request = json!({
        "name": "demo",
        "expirationTimeSpan": "1d",
        "requestAuthAndQuotas": {
            "requestQuotas": {
                "perClientRequestLimits": limits,
                "globalRequestLimits": limits,
            },
            "serviceSecrets": [],
        },
    });
    let target = Target::of_gateway(gateway.clone(), &host);
    let answer = target.post(
        "/api/v1/oauth/token",
        "application/json",
        request.to_string(),
        None,
    )?;
    let answer = answer.success()?;
    let key = answer["access_token"].as_str();
    Ok(key.ok_or("the answer has no key")?.to_owned())
}

/// Returns the names of the settings among these variables. Their values are not looked at.
fn ignored(variables: impl Iterator<Item = OsString>) -> Vec<String> {
    let names = variables.filter_map(|name| name.into_string().ok());
    let mut names: Vec<_> = names.filter(|name| is_name_of_setting(name)).collect();
    names.sort();
    names
}

/// Serves until a signal, which ends everything at once.
fn serve(
    gateway: &Gateway,
    listener: TcpListener,
    metrics_listener: Option<TcpListener>,
    greeting: &Greeting,
) -> Outcome {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let options = LogOptions {
        filter: logging::parse_filter(LOG_FILTER)?,
        ..LogOptions::default()
    };
    let log = logging::start(options);
    let outcome = runtime.block_on(async {
        let mut signals = Signals::new()?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        if let Some(listener) = metrics_listener {
            let listener = tokio::net::TcpListener::from_std(listener)?;
            let serve = aisbreaker_gateway::serve_metrics(listener, gateway.clone(), Vec::new());
            tokio::spawn(serve);
        }
        greeting.print()?;
        let limits = Limits::default();
        tokio::select! {
            () = aisbreaker_gateway::serve(listener, gateway.clone(), limits, std::future::pending()) => {}
            () = log.limit.report(gateway) => {}
            () = signals.next() => {}
        }
        Ok(())
    });
    runtime.shutdown_background();
    logging::finish(log.guard);
    writeln!(
        io::stdout(),
        "\nThe demo has ended, and all of its keys with it."
    )?;
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_replaced_unless_it_was_asked_for() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = taken.local_addr().unwrap();
        let other = bind(address, false).unwrap().local_addr().unwrap();
        assert_eq!(other.ip(), address.ip());
        assert_ne!(other.port(), address.port());
        let problem = bind(address, true).unwrap_err();
        assert!(problem.starts_with(&format!("cannot listen on {address}: ")));
    }

    #[test]
    fn addresses_are_printed_as_clients_of_this_machine_reach_them() {
        let rows = [
            ("127.0.0.1:3000", "http://localhost:3000"),
            ("127.0.0.2:1", "http://127.0.0.2:1"),
            ("0.0.0.0:3000", "http://localhost:3000"),
            ("[::]:3000", "http://localhost:3000"),
            ("[::1]:3000", "http://[::1]:3000"),
            ("192.0.2.1:80", "http://192.0.2.1:80"),
        ];
        for (address, expected) in rows {
            assert_eq!(url(address.parse().unwrap()), expected);
            let host = host_of(address.parse::<SocketAddr>().unwrap().ip());
            assert!(Host::parse(&host).is_ok(), "{host}");
        }
    }
}
