//! The cases that are measured.

use std::{
    hint::black_box,
    net::{IpAddr, Ipv4Addr},
    num::NonZeroU32,
    time::{Duration, Instant, SystemTime},
};

use aisbreaker_benches::{
    claims::{grant, host, ring},
    gateway::GatewayClient,
    provider::ReplyOptions,
};
use aisbreaker_quota::{Charge, Engine, Limits};
use aisbreaker_token::ValidityPeriod;
use clap::ValueEnum;

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const NOW: Duration = Duration::from_secs(1_795_396_965);

/// A case.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Case {
    /// Open a key with 890 bytes of claims
    Open,
    /// Open a key with 890 bytes of claims that was sealed offline
    OpenOffline,
    /// Decide over twelve limits
    Quota,
    /// A JSON call that is forwarded to a provider
    Json,
    /// The same, streamed in 100 chunks that arrive one by one
    Stream,
    /// The same, streamed in 100 chunks that arrive at once
    Burst,
    /// A call to `chat:dummy`
    Dummy,
    /// A call to `chat:openai.com`, which is translated for the provider and back
    Process,
}

impl Case {
    /// Returns how many calls are enough for a stable figure.
    pub(crate) fn calls(self) -> u32 {
        match self {
            Self::Open | Self::Quota => 1000,
            Self::OpenOffline | Self::Json | Self::Dummy | Self::Process => 200,
            Self::Stream | Self::Burst => 50,
        }
    }

    /// Returns its name on the command line.
    pub(crate) fn name(self) -> String {
        self.to_possible_value()
            .expect("none is skipped")
            .get_name()
            .to_owned()
    }

    pub(crate) fn run(self, calls: u32) {
        match self {
            Self::Open => open(calls),
            Self::OpenOffline => open_offline(calls),
            Self::Quota => decide(calls),
            Self::Json => chat(calls, ReplyOptions::default()),
            Self::Stream => chat(
                calls,
                ReplyOptions {
                    chunks: 100,
                    yields_after_chunk: true,
                    ..ReplyOptions::default()
                },
            ),
            Self::Burst => chat(
                calls,
                ReplyOptions {
                    chunks: 100,
                    at_once: true,
                    ..ReplyOptions::default()
                },
            ),
            Self::Dummy => dummy(calls),
            Self::Process => process(calls),
        }
    }
}

fn open(calls: u32) {
    let (ring, host, now) = (ring(), host(), SystemTime::UNIX_EPOCH + NOW);
    let key = ring
        .seal(&grant(890), &host, now, Duration::from_secs(86_400))
        .expect("it is sealed");
    for _ in 0..calls {
        let opened = ring
            .open_grant(black_box(key.expose()), &host, now)
            .expect("it opens");
        black_box(opened);
    }
}

fn open_offline(calls: u32) {
    let (ring, host, now) = (
        ring().with_offline_keys(),
        host(),
        SystemTime::UNIX_EPOCH + NOW,
    );
    let period = ValidityPeriod::new(now, Duration::from_secs(86_400));
    let key = ring
        .public_key()
        .seal(&grant(890), &host, period)
        .expect("it is sealed");
    for _ in 0..calls {
        let opened = ring
            .open_grant(black_box(key.expose()), &host, now)
            .expect("it opens");
        black_box(opened);
    }
}

/// Charges the counters of a request: of the server and of the key, per client and global.
fn decide(calls: u32) {
    let epoch = Instant::now();
    let engine = Engine::with_shard_by(epoch, 10_000, |(_, _, client): &(u8, [u64; 2], u64)| {
        *client
    });
    let limits = Limits::new(u32::MAX, u32::MAX, u32::MAX);
    let charges = [
        Charge::new((1, [0, 0], 42), limits),
        Charge::new((2, [7, 8], 42), limits),
        Charge::shared((3, [7, 8], 0), limits),
        Charge::shared((4, [0, 0], 0), limits),
    ];
    for _ in 0..calls {
        engine
            .charge(black_box(&charges), NonZeroU32::MIN, epoch)
            .expect("it is admitted");
    }
}

fn chat(calls: u32, reply: ReplyOptions) {
    run(async {
        let gateway = GatewayClient::with_provider(reply).await;
        for _ in 0..calls {
            let response = gateway.chat(CLIENT, reply.chunks > 0).await;
            let end: &[u8] = if reply.chunks > 0 {
                b"null}]}\n\n"
            } else {
                b"\"total_tokens\":315}}"
            };
            let text = || String::from_utf8_lossy(&response);
            assert!(response.ends_with(end), "{}", text());
        }
    });
}

fn dummy(calls: u32) {
    run(async {
        let gateway = GatewayClient::new().await;
        for _ in 0..calls {
            black_box(gateway.process(CLIENT, false).await);
        }
    });
}

fn process(calls: u32) {
    run(async {
        let gateway = GatewayClient::with_provider(ReplyOptions::default()).await;
        for _ in 0..calls {
            let response = gateway.process_chat(CLIENT).await;
            let text = || String::from_utf8_lossy(&response);
            assert!(response.starts_with(b"{\"outputs\":[{"), "{}", text());
            assert!(response.ends_with(b"\"total_tokens\":315}}}"), "{}", text());
        }
    });
}

fn run(calls: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(calls);
}
