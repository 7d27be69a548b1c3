//! What does a `process` call cost without sockets: opening the key, charging twelve limits, and
//! the response of `chat:dummy`?

#![expect(
    clippy::unwrap_used,
    reason = "a benchmark that cannot go on must stop"
)]

use std::net::{IpAddr, Ipv4Addr};

use aisbreaker_benches::gateway::GatewayClient;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

fn calls(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let gateway = runtime.block_on(GatewayClient::new());
    let mut group = c.benchmark_group("gateway");
    group.throughput(Throughput::Elements(1));
    group.bench_function("process/dummy", |b| {
        b.iter(|| runtime.block_on(gateway.process(CLIENT, false)))
    });
    group.bench_function("process/dummy-streamed", |b| {
        b.iter(|| runtime.block_on(gateway.process(CLIENT, true)))
    });
    group.bench_function("process/bad-key", |b| {
        b.iter(|| runtime.block_on(gateway.process_with_bad_key(CLIENT)))
    });
    group.bench_function("mint", |b| {
        b.iter(|| runtime.block_on(gateway.mint(CLIENT)))
    });
    group.bench_function("ping", |b| {
        b.iter(|| runtime.block_on(gateway.ping(CLIENT)))
    });
    group.finish();
}

criterion_group!(benches, calls);
criterion_main!(benches);
