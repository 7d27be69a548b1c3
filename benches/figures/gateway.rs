//! Rows about contention between threads that share a gateway.
//!
//! Two threads with one gateway are compared with two threads that have one each. Both fill two
//! processors, so the difference is the cost of what is shared: the counters and locks of the
//! gateway and of its client, and the queues of the runtime.

use std::net::{IpAddr, Ipv4Addr};

use aisbreaker_benches::{gateway::GatewayClient, provider::ReplyOptions};
use tokio::runtime::{Builder, Runtime};

use crate::{
    cpu,
    row::{Measurement, Sample},
};

/// Calls per sample.
const CALLS: u32 = 16_384;
/// The number of callers, each with one call in flight.
const CALLERS: u32 = 32;

/// The service that is called.
#[derive(Clone, Copy, Debug)]
enum Service {
    Dummy,
    /// Through connections in memory, which the client pools.
    Provider,
}

pub(crate) fn rows() -> Vec<Measurement> {
    vec![
        Measurement::ratio(
            "chat:dummy without sockets, two threads: CPU / a gateway each",
            "ns",
            1.15,
            || (shared(Service::Dummy), separate(Service::Dummy)),
        )
        .noted("the goal is ours"),
        Measurement::ratio(
            "JSON call without sockets, two threads: CPU / a gateway and client each",
            "ns",
            1.15,
            || (shared(Service::Provider), separate(Service::Provider)),
        )
        .noted("the goal is ours"),
    ]
}

/// Measures one gateway in a runtime with two threads.
fn shared(service: Service) -> Sample {
    let runtime = threads(2);
    let calls = runtime.block_on(gateway(service));
    Box::new(move || cpu_per_call(|| runtime.block_on(make_calls(&calls, service, CALLERS))))
}

/// Measures two gateways, each in a runtime with one thread.
fn separate(service: Service) -> Sample {
    let pair = [(); 2].map(|()| {
        let runtime = threads(1);
        let calls = runtime.block_on(gateway(service));
        (runtime, calls)
    });
    Box::new(move || {
        cpu_per_call(|| {
            std::thread::scope(|scope| {
                for (runtime, calls) in &pair {
                    scope.spawn(|| runtime.block_on(make_calls(calls, service, CALLERS / 2)));
                }
            });
        })
    })
}

fn threads(count: usize) -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(count)
        .enable_all()
        .build()
        .expect("a runtime")
}

async fn gateway(service: Service) -> GatewayClient {
    match service {
        Service::Dummy => GatewayClient::new().await,
        Service::Provider => GatewayClient::with_provider(ReplyOptions::default()).await,
    }
}

/// Makes the calls of this many callers, each from another client address, with requests of its own.
async fn make_calls(calls: &GatewayClient, service: Service, callers: u32) {
    let tasks: Vec<_> = (0..callers)
        .map(|caller| {
            let calls = calls.another();
            tokio::spawn(async move {
                let client = IpAddr::V4(Ipv4Addr::from_bits(0xc000_0200 + caller));
                for _ in 0..CALLS / CALLERS {
                    match service {
                        Service::Dummy => calls.process(client, false).await,
                        Service::Provider => calls.chat(client, false).await,
                    };
                    // Otherwise a caller whose calls never wait would occupy its thread.
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("it does not panic");
    }
}

fn cpu_per_call(run: impl FnOnce()) -> f64 {
    let before = cpu::of_this_process();
    run();
    (cpu::of_this_process() - before).as_secs_f64() * 1e9 / f64::from(CALLS)
}
