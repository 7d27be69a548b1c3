//! Figures about memory. Each is measured in a fresh process, since an allocator keeps freed
//! memory.

use std::{
    net::{IpAddr, Ipv4Addr},
    num::NonZeroU32,
    process::Command,
    time::{Duration, Instant},
};

use aisbreaker_benches::{gateway::GatewayClient, process::resident_bytes};
use aisbreaker_quota::{Charge, Engine, Limits};

use crate::{
    row::Sample,
    workload::{CLIENTS, LIMIT, decide, engine, now, peek},
};

/// Measures the named figure in a child process.
pub(crate) fn sample(name: &'static str) -> Sample {
    Box::new(move || {
        let this = std::env::current_exe().expect("this program has a path");
        let output = Command::new(this)
            .args(["--memory", name])
            .output()
            .expect("this program runs");
        String::from_utf8_lossy(&output.stdout)
            .trim()
            .parse()
            .expect("it prints a number")
    })
}

/// Measures the named figure in this process.
pub(crate) fn measure(name: &str) -> f64 {
    match name {
        "client-bytes" => bytes_per_client(false),
        "idle-client-bytes" => bytes_per_client(true),
        "full-cell-bytes" => bytes_per_full_cell(),
        "million-clients-megabytes" => million_clients(),
        _ => panic!("no such figure"),
    }
}

fn resident() -> f64 {
    resident_bytes(std::process::id())
}

/// Measures clients after one decision each. With `idle`, that decision has left all windows.
fn bytes_per_client(idle: bool) -> f64 {
    let (before, start) = (resident(), now());
    let engine = engine(start);
    for client in 0..CLIENTS {
        decide(&engine, client, start);
    }
    if idle {
        let later = start + Duration::from_secs(2 * 86_400);
        for client in 0..CLIENTS {
            peek(&engine, client, later);
        }
    }
    (resident() - before) / f64::from(u32::try_from(engine.len() / 2).expect("a million fits"))
}

fn bytes_per_full_cell() -> f64 {
    const CELLS: u32 = 20_000;
    let start = now();
    // At its maximum, so that its tables are well filled.
    let engine: Engine<u32> = Engine::new(start, 20_000);
    let before = resident();
    let limits = Limits::new(LIMIT.get(), LIMIT.get(), LIMIT.get());
    let charge_all = |at: Instant| {
        for cell in 0..CELLS {
            let _admitted = engine.charge(&[Charge::new(cell, limits)], NonZeroU32::MIN, at);
        }
    };
    // Every slot of the day, then of the last hour, then of the last minute.
    let day = (0..100).map(|slot| slot * 864_000);
    let hour = (0..100).map(|slot| 86_400_000 + slot * 36_000);
    let minute = (0..101).map(|slot| 90_000_000 + slot * 600);
    for millis in day.chain(hour).chain(minute) {
        charge_all(start + Duration::from_millis(millis));
    }
    (resident() - before) / f64::from(CELLS)
}

/// Measures the resident megabytes of a process whose gateway has served a million clients, each
/// once.
fn million_clients() -> f64 {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let gateway = GatewayClient::new().await;
        for client in 0..1_000_000 {
            gateway
                .process(IpAddr::V4(Ipv4Addr::from_bits(0x0b00_0000 + client)), false)
                .await;
        }
        // Before the gateway is dropped.
        resident() / 1e6
    })
}
