//! This server, the bare proxy and other gateways in one run: all are started once, and measured in
//! rotation.

use std::{path::Path, process::Command, time::Duration};

use aisbreaker_benches::provider::ReplyOptions;
use serde::{Deserialize, Serialize};

use crate::{
    latency::Summary,
    machine::Machine,
    measure::{ClosedRun, Spread, progress, run_open_loop},
    peers::{self, Peer},
    scenarios::Plan,
    target::{self, PLAIN_SECRET, Target},
};

/// The name of this part on the command line.
pub(crate) const PART: &str = "gateways";

/// Connections of the closed loop, all of them busy.
const CONNECTIONS: usize = 64;
/// Requests per second of the open loop: few enough for the slowest.
const CALM_RATE: f64 = 100.0;

const OUR_WORK: &str = "opens a sealed key, counts the call in twelve limits, finds the secret for \
    the host, scans the body for the model, reads the usage of the response, counts it in metrics, and \
    writes a log line (beyond 1000 per second, lines are dropped)";
const BARE_WORK: &str =
    "forwards: hyper on both sides and a pool of connections, and nothing in between";

/// What was measured in one run.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct GatewayRun {
    pub(crate) machine: Machine,
    pub(crate) connections: usize,
    /// Requests per second of the open loop.
    pub(crate) calm_rate: f64,
    /// Bytes of the sealed key that this server gets; the others get a short secret.
    pub(crate) key_length: usize,
    /// Seconds for which each gateway was measured at each load in a round.
    pub(crate) seconds: f64,
    /// This server, the bare proxy, and then the others.
    pub(crate) gateways: Vec<Gateway>,
}

#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Gateway {
    pub(crate) name: String,
    pub(crate) version: String,
    /// What it does for a request.
    pub(crate) work: String,
    /// Whether it is more than a proxy.
    pub(crate) is_gateway: bool,
    pub(crate) rounds: Vec<Round>,
}

/// What was measured of one gateway in one round.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) struct Round {
    /// Of the closed loop, at full load.
    pub(crate) per_second: f64,
    pub(crate) cpu_micros: f64,
    pub(crate) resident_megabytes: f64,
    pub(crate) busy_millis: Times,
    /// Of the open loop.
    pub(crate) calm_millis: Times,
}

/// Response times in milliseconds.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) struct Times {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

impl From<Summary> for Times {
    fn from(Summary { p50, p99, .. }: Summary) -> Self {
        Self { p50, p99 }
    }
}

/// Picks a figure of a round.
pub(crate) type Figure = fn(&Round) -> f64;

impl GatewayRun {
    /// Returns the row of the bare proxy.
    pub(crate) fn bare_proxy(&self) -> &Gateway {
        &self.gateways[1]
    }

    /// Returns the figure of a gateway as a multiple of that of the bare proxy in the same round.
    pub(crate) fn ratio(&self, gateway: &Gateway, figure: Figure) -> Spread {
        let pairs = gateway.rounds.iter().zip(&self.bare_proxy().rounds);
        Spread::of(pairs.map(|(ours, bare)| figure(ours) / figure(bare)))
    }
}

impl Gateway {
    fn of(peer: &Peer) -> Self {
        Self {
            name: peer.name.clone(),
            version: peer.version(),
            work: peer.work.clone(),
            is_gateway: peer.is_gateway,
            rounds: Vec::new(),
        }
    }

    pub(crate) fn figure(&self, figure: Figure) -> Spread {
        Spread::of(self.rounds.iter().map(figure))
    }
}

/// Measures this server, the bare proxy and the gateways in this file.
pub(crate) fn measure(file: &Path, plan: &Plan, machine: Machine) -> GatewayRun {
    let peers = peers::read(file);
    let mut gateways = vec![
        Gateway {
            name: "aisbreaker".to_owned(),
            version: server_version(&plan.server),
            work: OUR_WORK.to_owned(),
            is_gateway: true,
            rounds: Vec::new(),
        },
        Gateway {
            name: "bare proxy".to_owned(),
            version: String::new(),
            work: BARE_WORK.to_owned(),
            is_gateway: false,
            rounds: Vec::new(),
        },
    ];
    gateways.extend(peers.iter().map(Gateway::of));

    progress("starting: ");
    let provider = target::provider(ReplyOptions::default());
    let ours = target::ours(&plan.server, provider.address());
    let bare_proxy = Target {
        process: target::bare_proxy(provider.address()),
        request: target::plain_request(),
    };
    let running: Vec<_> = peers
        .iter()
        .map(|peer| peer.start(provider.address()))
        .collect();
    let mut targets = vec![&ours, &bare_proxy];
    targets.extend(running.iter().map(|peer| &peer.target));

    let time = plan.time * 3;
    for target in &targets {
        let _not_counted = round(target, time);
    }
    for number in 0..plan.rounds {
        for index in rotation(targets.len(), number) {
            gateways[index].rounds.push(round(targets[index], time));
        }
        progress(".");
    }
    progress("\n");
    GatewayRun {
        machine,
        connections: CONNECTIONS,
        calm_rate: CALM_RATE,
        key_length: ours.request.len() - targets[1].request.len() + PLAIN_SECRET.len(),
        seconds: time.as_secs_f64(),
        gateways,
    }
}

/// Returns the order of a round: each begins with another gateway, and every other one goes
/// backwards, so that none always follows the same one.
fn rotation(gateways: usize, round: usize) -> impl Iterator<Item = usize> {
    (0..gateways).map(move |place| {
        let place = if round.is_multiple_of(2) {
            place
        } else {
            gateways - 1 - place
        };
        (place + round) % gateways
    })
}

fn round(target: &Target, time: Duration) -> Round {
    let (busy, _) = ClosedRun::new(CONNECTIONS, time).run(target, None);
    let (calm, _) = run_open_loop(target, CALM_RATE, time);
    Round {
        per_second: busy.per_second,
        cpu_micros: busy.cpu,
        resident_megabytes: busy.resident,
        busy_millis: busy.answer.into(),
        calm_millis: calm.answer.into(),
    }
}

/// Asks the server's binary for its version.
fn server_version(server: &Path) -> String {
    let output = Command::new(server).arg("--version").output();
    let text = output
        .expect("build it first: cargo build --profile dist -p aisbreaker-server")
        .stdout;
    let text = String::from_utf8_lossy(&text);
    text.split_whitespace()
        .last()
        .unwrap_or_default()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_round_has_every_gateway_and_begins_with_another() {
        let firsts: Vec<usize> = (0..10)
            .map(|round| {
                let order: Vec<usize> = rotation(5, round).collect();
                let mut sorted = order.clone();
                sorted.sort_unstable();
                assert_eq!(sorted, [0, 1, 2, 3, 4], "round {round}: {order:?}");
                order[0]
            })
            .collect();
        for gateway in 0..5 {
            let times = firsts.iter().filter(|first| **first == gateway).count();
            assert_eq!(times, 2, "{firsts:?}");
        }
    }
}
