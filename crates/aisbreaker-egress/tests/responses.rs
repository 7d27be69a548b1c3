//! Responses as servers might send them, in any pieces: the client makes of them what hyper's does.

use proptest::{collection::vec, prelude::*, sample::select};

#[path = "../fuzz/src/response.rs"]
#[expect(unreachable_pub, reason = "the fuzz target uses this as a library")]
#[expect(clippy::expect_used, reason = "a failed step of a test fails the test")]
mod response;

/// Fields that matter for the framing, whole and broken.
const FIELDS: [&str; 22] = [
    "Content-Length: 0",
    "Content-Length: 3",
    "Content-Length: 3, 3",
    "Content-Length: 4",
    "Content-Length: 03",
    "Content-Length: -1",
    "Content-Length:",
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: Chunked ",
    "Transfer-Encoding: gzip, chunked",
    "Transfer-Encoding: chunked, identity",
    "Transfer-Encoding: identity",
    "Connection: close",
    "Connection: keep-alive, x",
    "Upgrade: x",
    "X-Empty:",
    "X-Obs: \u{e9}",
    "X-Tab:\ta\tb\t",
    "X Y: z",
    " folded",
    "X-Bare: a\rb",
    "Trailer: x",
];

/// Parts of a body, whole and broken.
const BODY: [&str; 14] = [
    "abc",
    "3\r\nabc\r\n",
    "1\r\na\r\n",
    "A;x=y\r\n0123456789\r\n",
    "0003 \r\nabc\r\n",
    "0\r\n",
    "\r\n",
    "0\r\n\r\n",
    "x: y\r\n",
    "\n",
    "ffffffffffffffff\r\n",
    "10000000000000000\r\n",
    "HTTP/1.1 200 OK\r\n\r\n",
    "3\nabc\n",
];

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn are_read_as_by_hyper_however_they_are_cut(
        method: u8,
        cut in prop_oneof![1..20_u8, any::<u8>()],
        interim in select(vec!["", "", "", "HTTP/1.1 100 C\r\n\r\n", "HTTP/1.1 103 H\r\nx: y\r\n\r\n"]),
        status in select(vec![
            "HTTP/1.1 200 OK", "HTTP/1.1 200", "HTTP/1.0 200 OK", "HTTP/1.1 204 No Content",
            "HTTP/1.1 304 -", "HTTP/1.1 429 x\u{e9}", "HTTP/1.1 101 S", "HTTP/1.1 999 x", "HTTP/2 200", "\r\nHTTP/1.1 200 OK",
        ]),
        fields in vec(select(FIELDS.to_vec()), 0..4),
        end in select(vec!["\r\n", "\r\n", "\r\n", "\n", ""]),
        body in vec(select(BODY.to_vec()), 0..5),
        cut_off in prop_oneof![4 => Just(0_usize), 1 => 0..9_usize],
    ) {
        let mut answer = format!("{interim}{status}\r\n");
        for field in fields {
            answer.extend([field, "\r\n"]);
        }
        answer.push_str(end);
        answer.extend(body);
        let answer = &answer.as_bytes()[..answer.len().saturating_sub(cut_off)];
        response::check(&[&[method, cut], answer].concat());
    }
}
