//! An upload or a download of any length takes less than a megabyte of memory.

use std::{
    panic::{self, AssertUnwindSafe},
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use super::{LONG, Transport, head, key, upload};
use crate::support::{Connection, Server, Ticker, UploadProvider, content_at, is_content_at};

const MIB: usize = 1 << 20;
/// The length of what is passed on: that of the largest file of OpenAI.
const LENGTH: usize = 512 * MIB;

/// Has the allocator return what is freed at once, so that the memory of the process is what it
/// holds. Only jemalloc, which the published server has, does so everywhere.
const NOTHING_RETAINED: [(&str, &str); 3] = [
    (
        "_RJEM_MALLOC_CONF",
        "dirty_decay_ms:0,muzzy_decay_ms:0,tcache:false",
    ),
    ("MALLOC_ARENA_MAX", "1"),
    ("MALLOC_TRIM_THRESHOLD_", "0"),
];

/// Returns by how much the memory of the server grows meanwhile, at the highest of samples.
fn growth(server: &Server, during: impl FnOnce()) -> usize {
    let before = server.anonymous_memory();
    let is_over = AtomicBool::new(false);
    let highest = thread::scope(|scope| {
        let sampler = scope.spawn(|| {
            let mut highest = before;
            while !is_over.load(Ordering::Relaxed) {
                highest = highest.max(server.anonymous_memory());
            }
            highest
        });
        let outcome = panic::catch_unwind(AssertUnwindSafe(during));
        is_over.store(true, Ordering::Relaxed);
        let highest = sampler.join().expect("samples");
        outcome.map(|()| highest)
    });
    highest.unwrap_or_else(|panic| panic::resume_unwind(panic)) - before
}

/// Starts a provider that is slower than its clients, and so fills all buffers.
fn slow_provider() -> UploadProvider {
    UploadProvider::start(|upload| {
        let mut ticker = Ticker::start(50);
        for _ in 0..5 {
            ticker.tick();
            upload.read(4 * MIB);
        }
        upload.read_to_end();
        upload.respond(200);
    })
}

#[test]
fn upload_takes_less_than_a_megabyte() {
    let provider = slow_provider();
    let server = Server::with_loopback_egress(&NOTHING_RETAINED);
    let key = key(&server, &provider);
    for transport in Transport::ALL {
        let send = |length| {
            let response = upload(&server, &key, transport, length);
            assert_eq!(response.status, 200, "{transport:?}: {response:?}");
            let received = provider.next_upload();
            assert!(received.is_complete && received.is_intact, "{received:?}");
            assert_eq!(received.bytes, length);
        };
        // What the first upload of a process allocates for good is not of the upload.
        send(LONG);
        let length = if transport.is_announced() {
            LENGTH
        } else {
            LENGTH / 4
        };
        let growth = growth(&server, || send(length));
        assert!(growth < MIB, "{transport:?}: {growth} bytes");
    }
}

#[test]
fn download_takes_less_than_a_megabyte() {
    let provider = UploadProvider::start(|upload| {
        let length: usize = upload
            .request()
            .header("x-length")
            .unwrap()
            .parse()
            .unwrap();
        let length_text = length.to_string();
        upload.wire.head(
            200,
            &[
                ("Content-Type", "application/octet-stream"),
                ("Content-Length", &length_text),
            ],
        );
        let mut offset = 0;
        while offset < length {
            let piece = content_at(offset, length - offset);
            upload.wire.write(&piece);
            offset += piece.len();
        }
    });
    let server = Server::with_loopback_egress(&NOTHING_RETAINED);
    let key = key(&server, &provider);
    let receive = |length: usize| {
        let request = head(&key, Transport::Length, 0).header("X-Length", length.to_string());
        let mut connection = Connection::open_with_receive_buffer(server.address(), 64 << 10);
        connection.write(&request.to_bytes());
        assert_eq!(connection.head().status, 200);
        let mut ticker = Ticker::start(50);
        let mut offset = 0;
        while offset < length {
            // Slowly at first, so that all buffers fill.
            if offset < 4 * MIB {
                ticker.tick();
            }
            let piece = connection.read_exact((length - offset).min(MIB));
            assert!(is_content_at(offset, &piece), "at {offset}");
            offset += piece.len();
        }
    };
    receive(4 * MIB);
    let growth = growth(&server, || receive(LENGTH));
    assert!(growth < MIB, "{growth} bytes");
}
