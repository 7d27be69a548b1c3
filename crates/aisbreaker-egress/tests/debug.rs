//! `Debug` of the types that hold a caller's secrets shows no part of them.

use aisbreaker_egress::{Client, Outgoing, Policy, Timeouts};
use http::{HeaderMap, HeaderValue, Method, header};

/// No other text has 12 bytes in common with it.
const SECRET: &str = "Hq8vNx3kTz6wRb2mYc9jLd5gPf7s";

#[test]
fn debug_output_shows_no_part_of_a_secret() {
    let mut marked = HeaderValue::from_static(SECRET);
    marked.set_sensitive(true);
    let marked = HeaderMap::from_iter([(header::AUTHORIZATION, marked)]);
    let plain = HeaderMap::from_iter([(header::COOKIE, HeaderValue::from_static(SECRET))]);
    let get = Outgoing::new(Method::GET, plain, Vec::new()).with_query(Some(SECRET.to_owned()));
    let post = Outgoing::post(marked, SECRET);
    let client = Client::new(Policy::strict(), Timeouts::default());
    let rows = [
        ("Outgoing", format!("{post:?}\n{post:#?}\n{post:x?}")),
        (
            "Outgoing with unmarked headers",
            format!("{get:?}\n{get:#?}\n{get:x?}"),
        ),
        ("Payload", format!("{:?}", post.body)),
        ("Client", format!("{client:?}\n{client:#?}\n{client:x?}")),
    ];

    for (row, shown) in rows {
        for part in SECRET.as_bytes().windows(12) {
            let part = str::from_utf8(part).unwrap();
            assert!(!shown.contains(part), "{row}: {part} in {shown}");
        }
        assert!(!shown.is_empty(), "{row}");
    }
}
