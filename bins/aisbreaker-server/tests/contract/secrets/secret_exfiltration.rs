//! Everything that the holder of a key may try so that its sealed secret is sent elsewhere.
//!
//! A recording listener, the trap, is at each address where the bytes would arrive. In the tables
//! its address is `EVIL`, and that of the provider to which the secret is bound is `GOOD`;
//! `EVILPORT` and `GOODPORT` are their ports, and `SELF` is the server itself. To add an attempt,
//! add a row to the table of its kind in a module below.

mod addresses;
mod calls;
mod harness;
mod hops;
mod replies;
mod requests;
mod services;

use self::harness::KeyEntries;

/// The secrets that the keys seal for OpenAI's chat, for its engine `gpt-4`, and for hops.
const CHAT: &str = "sk-canary-chat-0123456789";
const GPT4: &str = "sk-canary-four-0123456789";
const HOP: &str = "sk-canary-hop-0123456789";

/// The key of most attempts: a secret for one engine, one for all others, and one for hops.
const USUAL_KEY: KeyEntries = &[
    ("chat:openai.com/gpt-4", GPT4, &["http://GOOD/four"]),
    ("chat:openai.com", CHAT, &["http://GOOD"]),
    ("aisbreaker:", HOP, &["http://GOOD/hop", "http://GOOD"]),
];
