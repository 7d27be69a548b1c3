//! Messages that come in pieces, too slowly, too long or not in valid frames.

use std::{future::poll_fn, net::Ipv4Addr};

use aisbreaker_egress::MemoryBudget;

use super::*;
use crate::memory::ClientMemories;

/// A client that sends so many bytes at once.
struct Pieces<'a> {
    sent: &'a [u8],
    size: usize,
}

impl AsyncRead for Pieces<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let size = self.size.min(self.sent.len()).min(buf.remaining());
        let (piece, rest) = self.sent.split_at(size);
        buf.put_slice(piece);
        self.sent = rest;
        Poll::Ready(Ok(()))
    }
}

const MAX_PAUSE: Duration = Duration::from_secs(60);

fn filter(judge: Judge) -> RequestFilter {
    filter_within(&MemoryBudget::default(), judge)
}

fn filter_within(budget: &MemoryBudget, judge: Judge) -> RequestFilter {
    let memories = ClientMemories::new(budget.clone(), 1 << 20);
    let memory = memories.for_client(Ipv4Addr::LOCALHOST.into());
    RequestFilter::new(judge, (100_000, MAX_PAUSE), memory.empty_hold())
}

fn passing() -> Judge {
    Box::new(|message| Box::pin(async move { Ok([message, Bytes::new(), Bytes::new()]) }))
}

/// A client that sends these pieces, each after a pause, and then waits.
struct Paused {
    pieces: std::vec::IntoIter<Vec<u8>>,
    pause: Duration,
    sleep: Pin<Box<Sleep>>,
}

impl Paused {
    fn new(pieces: Vec<Vec<u8>>, pause: Duration) -> Self {
        Self {
            pieces: pieces.into_iter(),
            pause,
            sleep: Box::pin(tokio::time::sleep(pause)),
        }
    }
}

impl AsyncRead for Paused {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.sleep.as_mut().poll(cx));
        let Some(piece) = self.pieces.next() else {
            return Poll::Pending;
        };
        buf.put_slice(&piece);
        let next = Instant::now() + self.pause;
        self.sleep.as_mut().reset(next);
        Poll::Ready(Ok(()))
    }
}

/// Reads all that the provider gets until nothing more comes, or a message is refused. Returns the
/// status of the refusal and after how many seconds it came.
async fn refusal(filter: &mut RequestFilter, client: &mut Paused) -> Option<(u16, u64)> {
    let begun = Instant::now();
    let reading = async {
        loop {
            let mut piece = [0; 4096];
            let mut buf = ReadBuf::new(&mut piece);
            if poll_fn(|cx| filter.poll_read(cx, client, &mut buf))
                .await
                .is_err()
            {
                return;
            }
        }
    };
    let _nothing_more = tokio::time::timeout(Duration::from_secs(100_000), reading).await;
    let failure = filter.take_failure()?;
    Some((failure.status.as_u16(), begun.elapsed().as_secs()))
}

#[tokio::test(start_paused = true)]
async fn a_message_must_neither_pause_nor_trickle() {
    let seconds = Duration::from_secs;
    let long = masked(0x81, &[b'x'; 50_000], [1; 4]);
    let bytewise = |bytes: &[u8]| bytes.iter().map(|byte| vec![*byte]).collect::<Vec<_>>();
    let begun = masked(0x01, b"begun", [1; 4]);
    let with_pings = |ping: Vec<u8>| [vec![begun.clone()], vec![ping; 100]].concat();
    let rows = [
        ("half a header", vec![vec![0x81]], seconds(1), Some(61)),
        ("a header", vec![long[..8].to_vec()], seconds(1), Some(61)),
        ("a fragment", vec![begun.clone()], seconds(1), Some(61)),
        ("a trickle", bytewise(&long), seconds(1), Some(61)),
        (
            "a fragment, and then pings",
            with_pings(masked(0x89, b"ping", [1; 4])),
            seconds(1),
            Some(61),
        ),
        (
            "a fragment, and then empty ones",
            with_pings(masked(0x00, b"", [1; 4])),
            seconds(1),
            Some(61),
        ),
        (
            "steadily",
            long.chunks(10_000).map(<[u8]>::to_vec).collect(),
            seconds(9),
            None,
        ),
        (
            "long pauses between messages",
            vec![masked(0x81, b"x", [1; 4]); 9],
            seconds(1_000),
            None,
        ),
    ];
    for (row, pieces, pause, expected) in rows {
        let mut filter = filter(passing());
        let refused = refusal(&mut filter, &mut Paused::new(pieces, pause)).await;
        // On the second, whichever of two timers is first.
        let refused = refused.map(|(status, after)| (status, after.clamp(61, 62)));
        assert_eq!(refused, expected.map(|after| (408, after)), "{row}");
    }
}

#[tokio::test(start_paused = true)]
async fn memory_is_held_for_what_has_come_until_it_is_written() {
    let budget = MemoryBudget::new(1 << 20);
    let begun = masked(0x81, &[b'x'; 90_000], [1; 4]);
    // Announced, and not sent.
    let mut filter = filter_within(&budget, passing());
    let mut client = Paused::new(vec![begun[..20].to_vec()], Duration::ZERO);
    let mut piece = [0; 4096];
    let mut buf = ReadBuf::new(&mut piece);
    let mut read = async |client: &mut Paused| {
        buf.clear();
        let read = poll_fn(|cx| filter.poll_read(cx, client, &mut buf));
        let read = tokio::time::timeout(Duration::from_secs(1), read).await;
        read.is_ok_and(|read| read.is_ok())
    };
    assert!(!read(&mut client).await);
    assert_eq!(budget.held_bytes(), 0);

    let rest = begun[20..].chunks(10_000).map(<[u8]>::to_vec).collect();
    let mut client = Paused::new(rest, Duration::ZERO);
    assert!(read(&mut client).await);
    assert!(budget.held_bytes() >= 90_000, "on its way");
    while read(&mut client).await {}
    assert_eq!(budget.held_bytes(), 0, "written");

    // Refused.
    let half = masked(0x01, &[b'x'; 60_000], [1; 4]);
    let pieces = half.chunks(10_000).map(<[u8]>::to_vec).collect();
    assert!(!read(&mut Paused::new(pieces, Duration::ZERO)).await);
    assert!(budget.held_bytes() >= 60_000, "half of it");
    let wrong = masked(0x81, b"another one", [1; 4]);
    assert!(!read(&mut Paused::new(vec![wrong], Duration::ZERO)).await);
    assert_eq!(budget.held_bytes(), 0, "refused");
}

fn masked(first_byte: u8, payload: &[u8], mask: [u8; 4]) -> Vec<u8> {
    let mut frame = frame_header(0, payload.len(), Some(mask));
    frame[0] = first_byte;
    let masks = mask.iter().cycle();
    frame.extend(payload.iter().zip(masks).map(|(byte, mask)| byte ^ mask));
    frame
}

/// Reads all that the provider gets, in small pieces.
async fn read_all(filter: &mut RequestFilter, sent: &[u8], size: usize) -> io::Result<Vec<u8>> {
    let mut client = Pieces { sent, size };
    let mut all = Vec::new();
    loop {
        let mut piece = [0; 7];
        let mut buf = ReadBuf::new(&mut piece);
        poll_fn(|cx| filter.poll_read(cx, &mut client, &mut buf)).await?;
        if buf.filled().is_empty() {
            return Ok(all);
        }
        all.extend_from_slice(buf.filled());
    }
}

/// Returns the frames as their first bytes and payloads.
fn unmasked(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut frames = Vec::new();
    while let Some(header) = FrameHeader::parse(bytes) {
        let mask = header.mask.expect("a mask");
        let end = header.len + usize::try_from(header.payload_len).unwrap();
        let masks = mask.iter().cycle();
        let payload = bytes[header.len..end].iter().zip(masks);
        frames.push((bytes[0], payload.map(|(byte, mask)| byte ^ mask).collect()));
        bytes = &bytes[end..];
    }
    assert!(bytes.is_empty());
    frames
}

#[tokio::test]
async fn messages_are_judged_whole_however_they_come() {
    let long = vec![b'x'; 70_000];
    let sent = [
        masked(0x81, b"one", [1, 2, 3, 4]),
        masked(0x01, b"tw", [9, 8, 7, 6]),
        masked(0x89, b"ping", [5, 5, 5, 5]),
        masked(0x00, b"", [0; 4]),
        masked(0x80, b"o", [3, 1, 4, 1]),
        masked(0x81, &long, [2, 7, 1, 8]),
        masked(0x88, &[3, 232], [1, 1, 1, 1]),
    ]
    .concat();
    let expected = vec![
        (0x81, b"<one>".to_vec()),
        (0x89, b"ping".to_vec()),
        (0x81, b"<two>".to_vec()),
        (0x81, [b"<", &*long, b">"].concat()),
        (0x88, vec![3, 232]),
    ];
    for size in [1, 2, 3, 5, 4096, usize::MAX] {
        let mut filter = filter(Box::new(|message| {
            Box::pin(async move {
                tokio::task::yield_now().await;
                Ok([Bytes::from_static(b"<"), message, Bytes::from_static(b">")])
            })
        }));
        let all = read_all(&mut filter, &sent, size).await.unwrap();
        assert!(unmasked(&all) == expected, "in pieces of {size}");
    }
}

#[tokio::test]
async fn frames_that_cannot_be_read_are_refused() {
    let unmasked = [0x81, 1, b'a'].to_vec();
    let rows = [
        ("unmasked", unmasked, 400),
        ("binary", masked(0x82, b"a", [1; 4]), 400),
        ("compressed", masked(0xc1, b"a", [1; 4]), 400),
        ("nothing to continue", masked(0x80, b"a", [1; 4]), 400),
        ("a fragment of a ping", masked(0x09, b"a", [1; 4]), 400),
        ("a long ping", masked(0x89, &[0; 126], [1; 4]), 400),
        (
            "a message within another one",
            [masked(0x01, b"a", [1; 4]), masked(0x81, b"b", [1; 4])].concat(),
            400,
        ),
        (
            "too long",
            frame_header(OPCODE_TEXT, 100_001, Some([1; 4])),
            413,
        ),
        (
            "too long together",
            [
                masked(0x01, &[b'a'; 60_000], [1; 4]),
                masked(0x80, &[b'a'; 60_000], [1; 4]),
            ]
            .concat(),
            413,
        ),
        (
            "of any length",
            [&[0x81, 0xff][..], &[0xff; 12]].concat(),
            413,
        ),
    ];
    for (row, sent, status) in rows {
        let mut filter = filter(Box::new(|_| panic!("judged")));
        let refused = read_all(&mut filter, &sent, usize::MAX).await;
        assert!(refused.is_err(), "{row}");
        let failure = filter.take_failure().expect("why");
        assert_eq!(failure.status.as_u16(), status, "{row}");
    }
}
