//! No way out for a secret: the table of what the holder of a key tries so that its sealed secret
//! is sent elsewhere.
//!
//! A recording listener, the trap, stands at each address where the bytes would arrive. In the rows
//! its address is `EVIL`, and that of the provider to which the secret is bound is `GOOD`;
//! `EVILPORT` and `GOODPORT` are their ports, `SELF` is the server itself. To add an attempt, add a
//! row: how rows are tried is in the modules below this one, which is long because the whole table
//! is to be in one place.

mod attempt;
mod calls;
mod heads;
mod replies;

use attempt::{
    Caller::{self, Key, Nobody, Says},
    Outcome::{self, AtHome, Bare, Own, OwnKey, Stays},
    Seals,
};

const CHAT: &str = "sk-canary-chat-0123456789";
const FOUR: &str = "sk-canary-four-0123456789";
const HOP: &str = "sk-canary-hop-0123456789";

/// The usual key: a secret for one engine, one for the others, and one for other servers.
const SEALED: Seals = &[
    ("chat:openai.com/gpt-4", FOUR, &["http://GOOD/four"]),
    ("chat:openai.com", CHAT, &["http://GOOD"]),
    ("aisbreaker:", HOP, &["http://GOOD/hop", "http://GOOD"]),
];

/// Keys that must all keep their secret from every address of [`ADDRESSES`].
const KEYS: &[(&str, Seals)] = &[
    ("bound to an address", SEALED),
    (
        "bound to two addresses",
        &[(
            "",
            CHAT,
            &["https://elsewhere.example/x", "http://GOOD/base/"],
        )],
    ),
    (
        "bound to an address with an engine in it",
        &[(
            "",
            CHAT,
            &["http://GOOD/${engine}#no-default-path", "http://GOOD"],
        )],
    ),
    (
        "bound to the service's own address",
        &[("chat:", CHAT, &[]), ("aisbreaker:", HOP, &[])],
    ),
    ("for everything, without an address", &[("", CHAT, &[])]),
];

/// The services that call out.
const SERVICES: [&str; 5] = [
    "chat:openai.com",
    "chat:openai.com/gpt-4",
    "chat:openai.com/org/model",
    "aisbreaker:network",
    "aisbreaker:proxy",
];

/// `service.url` as it leads, or might be read to lead, from the bound address to the trap; and the
/// status.
const ADDRESSES: &[(&str, u16)] = &[
    // Another host, port or scheme.
    ("http://EVIL", 403),
    ("http://EVIL/", 403),
    ("HTTP://EVIL", 403),
    ("https://EVIL", 403),
    ("https://GOOD", 403),
    ("http://127.0.0.2:GOODPORT", 403),
    ("http://localhost:GOODPORT", 403),
    ("https://elsewhere.example:444/x", 403),
    ("http://elsewhere.example/x", 403),
    ("https://elsewhere.example./x", 403),
    ("ws://EVIL", 400),
    ("ftp://EVIL", 400),
    ("gopher://EVIL", 400),
    ("file:///etc/passwd", 400),
    ("unix://EVIL", 400),
    ("javascript:http://EVIL", 400),
    ("data:text/plain,http://EVIL", 400),
    // A path, a query or a fragment that looks like the bound address, and the marker in the wrong
    // place.
    ("http://EVIL/#no-default-path", 403),
    ("http://EVIL/v1/chat/completions#no-default-path", 403),
    ("http://EVIL/http://GOOD", 403),
    ("http://EVIL/GOOD/", 403),
    ("http://EVIL?http://GOOD#no-default-path", 403),
    ("http://EVIL/?u=http://GOOD/#no-default-path", 403),
    ("http://EVIL#no-default-path/http://GOOD", 403),
    ("http://EVIL#no-default-path#http://GOOD", 400),
    ("http://EVIL#@GOOD", 400),
    ("http://EVIL?@GOOD", 400),
    ("http://GOOD#no-default-path@EVIL", 400),
    ("http://GOOD#no-default-path.evil.example", 400),
    ("http://127.0.0.1#no-default-path:EVILPORT", 403),
    ("http://127.0.0.1:#no-default-pathEVILPORT", 403),
    ("#no-default-pathhttp://EVIL", 400),
    ("ht#no-default-pathtp://EVIL", 400),
    ("http:/#no-default-path/EVIL", 400),
    // User names.
    ("http://GOOD@EVIL", 400),
    ("http://GOOD@EVIL/#no-default-path", 400),
    ("https://api.openai.com@EVIL", 400),
    ("https://api.openai.com:443@EVIL", 400),
    ("http://GOOD:pw@EVIL", 400),
    ("http://@EVIL", 400),
    ("http://GOOD%40EVIL", 400),
    ("http://GOOD%2f@EVIL", 400),
    ("http://GOOD\\@EVIL", 400),
    ("http://EVIL\\@GOOD", 400),
    // Slashes, spaces, line ends, and several addresses in one.
    ("http:\\\\EVIL", 400),
    ("http:/EVIL", 400),
    ("http:EVIL", 400),
    ("http:////EVIL", 400),
    ("http://\\EVIL", 400),
    ("//EVIL", 400),
    ("\\\\EVIL", 400),
    ("/EVIL", 400),
    ("EVIL", 400),
    ("", 400),
    (" http://EVIL", 400),
    ("http://EVIL ", 400),
    ("\thttp://EVIL", 400),
    ("ht\ntp://EVIL", 400),
    ("http://EVIL\r\nHost: GOOD", 400),
    ("http://GOOD\r\nHost: EVIL", 400),
    ("http://GOOD/\r\nHost:EVIL\r\n\r\n", 400),
    ("http://EVIL\0GOOD", 400),
    ("http://EVIL\u{85}", 400),
    ("http://EVIL\u{2028}", 400),
    ("http://GOOD, http://EVIL", 400),
    ("http://GOOD http://EVIL", 400),
    ("http://GOOD,http://EVIL", 400),
    // The trap's address in other words.
    ("http://localhost:EVILPORT", 403),
    ("http://LOCALHOST:EVILPORT", 403),
    ("http://localhost.:EVILPORT", 403),
    ("http://loc%61lhost:EVILPORT", 403),
    ("http://127.0.0.1.:EVILPORT", 403),
    ("http://127.1:EVILPORT", 403),
    ("http://127.0.1:EVILPORT", 403),
    ("http://2130706433:EVILPORT", 403),
    ("http://0x7f000001:EVILPORT", 403),
    ("http://0x7f.1:EVILPORT", 403),
    ("http://0177.0.0.1:EVILPORT", 403),
    ("http://017700000001:EVILPORT", 403),
    ("http://127.000.000.001:EVILPORT", 403),
    ("http://127.0.0.1%20:EVILPORT", 400),
    ("http://１２７.0.0.1:EVILPORT", 403),
    ("http://①②⑦.0.0.1:EVILPORT", 403),
    ("http://127。0。0。1:EVILPORT", 403),
    ("http://127．0．0．1:EVILPORT", 403),
    ("http://127%2e0%2e0%2e1:EVILPORT", 403),
    ("http://%31%32%37.0.0.1:EVILPORT", 403),
    ("http://127.0.0.1%2e:EVILPORT", 403),
    ("http://127.0.0.1\u{200b}:EVILPORT", 403),
    ("http://127.0.0.1\u{ad}:EVILPORT", 403),
    ("http://127.0.0.1%00:EVILPORT", 400),
    ("http://0:EVILPORT", 403),
    ("http://0.0.0.0:EVILPORT", 403),
    ("http://[::1]:EVILPORT", 403),
    ("http://[::]:EVILPORT", 403),
    ("http://[::ffff:127.0.0.1]:EVILPORT", 403),
    ("http://[::ffff:7f00:1]:EVILPORT", 403),
    ("http://[::127.0.0.1]:EVILPORT", 403),
    ("http://[64:ff9b::127.0.0.1]:EVILPORT", 403),
    ("http://[::1%25lo]:EVILPORT", 400),
    ("http://[fe80::1%lo]:EVILPORT", 400),
    ("http://127.0.0.1:GOODPORTEVILPORT", 400),
    ("http://127.0.0.1:0EVILPORT", 403),
    ("http://127.0.0.1:EVILPORT:GOODPORT", 400),
    ("http://127.0.0.1:GOODPORT:EVILPORT", 400),
    ("http://127.0.0.1:-EVILPORT", 400),
    ("http://127.0.0.1:+EVILPORT", 400),
    ("http://127.0.0.1:0", 400),
    // Names that look like the bound ones.
    ("http://GOOD.evil.example", 400),
    ("http://127.0.0.1.evil.example:GOODPORT", 403),
    ("https://api.openai.com.", 403),
    ("https://api.openai.com:444", 403),
    ("http://api.openai.com", 403),
    ("http://api.openai.com:443", 403),
    ("https://api.openai.com.evil.example", 403),
    ("https://api.openai.com%2eevil.example", 403),
    ("https://api.openai.com%2fevil.example", 400),
    ("https://evil.example/api.openai.com", 403),
    ("https://xn--pi-6kc.openai.com", 403),
    ("https://аpi.openai.com", 403),
    ("https://api.openaı.com", 403),
    ("https://api-openai.com", 403),
    ("https://openai.com", 403),
    ("https://*.openai.com", 400),
    // The engine before the path.
    ("http://${engine}", 400),
    ("http://${engine}@EVIL", 400),
    ("http://127.0.0.1:${engine}", 400),
    ("http://127.0.0.1:EVILPORT${engine}", 400),
    ("http://127.0.0.1:EVILPORT${eng#no-default-pathine}", 400),
    ("http://GOOD${engine}#no-default-path", 400),
    ("${engine}://EVIL", 400),
];

/// Service ids, and what [`SEALED`] gives them; at the trap's address, the sealed secret is
/// refused.
const SERVICE_IDS: &[(&str, Outcome)] = &[
    ("chat:openai.com", AtHome(CHAT)),
    ("chat:openai.com/", AtHome(CHAT)),
    ("chat:openai.com///", AtHome(CHAT)),
    ("chat:openai.com/gpt-4", AtHome(FOUR)),
    ("chat:openai.com/gpt-4/", AtHome(FOUR)),
    ("chat:openai.com/gpt-4/../gpt-5", AtHome(FOUR)),
    ("chat:openai.com/gpt-4o", AtHome(CHAT)),
    ("chat:openai.com/GPT-4", AtHome(CHAT)),
    ("chat:openai.com//gpt-4", AtHome(CHAT)),
    ("chat:openai.com/./gpt-4", AtHome(CHAT)),
    ("chat:openai.com/../x", AtHome(CHAT)),
    ("chat:openai.com/../../aisbreaker:network", AtHome(CHAT)),
    ("chat:openai.com/..%2f..%2fx", AtHome(CHAT)),
    ("chat:openai.com/gpt%2d4", AtHome(CHAT)),
    ("chat:openai.com/gpt‐4", AtHome(CHAT)),
    ("chat:openai.com/chat:dummy", AtHome(CHAT)),
    ("CHAT:openai.com", Stays(404)),
    ("chat:OpenAI.com", Stays(404)),
    ("chat:OPENAI.COM/gpt-4", Stays(404)),
    (" chat:openai.com", Stays(404)),
    ("chat:openai.com ", Stays(404)),
    ("chat: openai.com", Stays(404)),
    ("chat:openai.com.", Stays(404)),
    ("chat:openai.com:443", Stays(404)),
    ("chat:openai.com@EVIL", Stays(404)),
    ("chat:openai.com?x", Stays(404)),
    ("chat:openai.com#x", Stays(404)),
    ("chat:openai.com\\x", Stays(404)),
    ("chat:openai.com%2fgpt-4", Stays(404)),
    ("chat:openai.community", Stays(404)),
    ("chat:openai", Stays(404)),
    ("chat:openaі.com", Stays(404)),
    ("chat:openai。com", Stays(404)),
    ("chat：openai.com", Stays(404)),
    ("chat:openai.com\u{200b}", Stays(404)),
    ("chat:/openai.com", Stays(404)),
    ("chat://openai.com", Stays(404)),
    ("chat:../chat:openai.com", Stays(404)),
    ("chat/openai.com", Stays(404)),
    ("openai.com", Stays(404)),
    ("chat:", Stays(404)),
    ("chat", Stays(404)),
    ("", Stays(400)),
    ("chat:openai.com\n", Stays(400)),
    ("chat:openai.com\0/x", Stays(400)),
    ("chat:openai.com/\u{7f}", Stays(400)),
    ("aisbreaker:network", AtHome(HOP)),
    ("aisbreaker:proxy/", AtHome(HOP)),
    ("aisbreaker:network/chat:openai.com", AtHome(HOP)),
    ("aisbreaker:network/http://EVIL", AtHome(HOP)),
    ("aisbreaker:networks", Stays(404)),
    ("aisbreaker:Network", Stays(404)),
    ("aisbreaker:", Stays(404)),
    ("aisbreaker", Stays(404)),
];

/// Engines that might lead elsewhere from an address that holds `${engine}`.
const ENGINES: &[&str] = &[
    "@EVIL",
    "/@EVIL",
    "//EVIL",
    "///EVIL/",
    ".EVIL",
    ":80@EVIL",
    "%40EVIL",
    "?@EVIL",
    "?x=http://EVIL",
    "#@EVIL",
    "#no-default-path@EVIL",
    "\\\\EVIL",
    "\\@EVIL",
    "http://EVIL",
    "../../@EVIL",
    "../../..//EVIL",
    "..%2f..%2f@EVIL",
    "%2f%2fEVIL",
    "%5c%5cEVIL",
    "\u{ff0f}\u{ff0f}EVIL",
    "\u{2044}\u{2044}EVIL",
    "${engine}@EVIL",
    " @EVIL",
];

/// Addresses with the engine in them, as a key and as a call may name them, and whether they can be
/// used.
const ENGINE_ADDRESSES: &[(&str, bool)] = &[
    ("http://GOOD/${engine}", true),
    ("http://GOOD/${engine}#no-default-path", true),
    ("http://GOOD/x/../${engine}/${engine}#no-default-path", true),
    ("http://GOOD?${engine}#no-default-path", true),
    ("http://GOOD/#no-default-path/${engine}", true),
    ("http://GOOD${engine}", false),
    ("http://GOOD${engine}#no-default-path", false),
    ("http://${engine}GOOD", false),
    ("http://GOOD\\${engine}", false),
    ("http://GOOD#${engine}", false),
];

/// Which secret a call gets and where it goes: the key, who calls, the service's properties, and
/// the outcome.
const CALLS: &[(&str, Seals, Caller, &str, Outcome)] = &[
    (
        "an address for the service that passes on",
        SEALED,
        Key,
        r#"{"serviceId": "aisbreaker:nop", "url": "http://EVIL",
            "forward2ServiceProps": {"serviceId": "chat:openai.com"}}"#,
        AtHome(CHAT),
    ),
    (
        "the right address outside, another inside",
        SEALED,
        Key,
        r#"{"serviceId": "aisbreaker:nop", "url": "http://GOOD",
            "forward2ServiceProps": {"serviceId": "chat:openai.com", "url": "http://EVIL"}}"#,
        Stays(403),
    ),
    (
        "a hop elsewhere with the secret of the service behind it",
        SEALED,
        Key,
        r#"{"serviceId": "aisbreaker:network", "url": "http://EVIL",
            "forward2ServiceProps": {"serviceId": "chat:openai.com", "url": "http://GOOD"}}"#,
        Stays(403),
    ),
    (
        "a hop at home, and another address behind it",
        SEALED,
        Key,
        r#"{"serviceId": "aisbreaker:network",
            "forward2ServiceProps": {"serviceId": "chat:openai.com", "url": "http://EVIL"}}"#,
        AtHome(HOP),
    ),
    (
        "a hop at home, and a hop elsewhere behind it",
        SEALED,
        Key,
        r#"{"serviceId": "aisbreaker:proxy", "url": "http://GOOD", "forward2ServiceProps": {
            "serviceId": "aisbreaker:network", "url": "http://EVIL",
            "forward2ServiceProps": {"serviceId": "chat:openai.com"}}}"#,
        AtHome(HOP),
    ),
    (
        "a hop elsewhere with a key that has nothing for hops",
        &[("chat:openai.com", CHAT, &["http://GOOD"])],
        Key,
        r#"{"serviceId": "aisbreaker:network", "url": "http://EVIL",
            "forward2ServiceProps": {"serviceId": "chat:openai.com"}}"#,
        Bare,
    ),
    (
        "a hop by the other name of the one in the key",
        &[("aisbreaker:network", HOP, &["http://GOOD"])],
        Key,
        r#"{"serviceId": "aisbreaker:proxy", "url": "http://EVIL",
            "forward2ServiceProps": {"serviceId": "chat:openai.com"}}"#,
        Bare,
    ),
    (
        "a hop elsewhere that the key blocks",
        &[
            ("aisbreaker:network", "INVALID", &[]),
            ("", CHAT, &["http://GOOD"]),
        ],
        Key,
        r#"{"serviceId": "aisbreaker:network", "url": "http://EVIL",
            "forward2ServiceProps": {"serviceId": "chat:openai.com"}}"#,
        Bare,
    ),
    (
        "the caller's own key to another server, other secrets in it",
        &[
            ("aisbreaker:network", "{{secret}}", &[]),
            ("", CHAT, &["http://GOOD"]),
        ],
        Key,
        r#"{"serviceId": "aisbreaker:network", "url": "http://EVIL",
            "forward2ServiceProps": {"serviceId": "chat:openai.com"}}"#,
        OwnKey,
    ),
    (
        "an empty secret before one that matches as well",
        &[
            ("chat:openai.com/gpt-4", "", &[]),
            ("chat:openai.com", CHAT, &["http://GOOD"]),
        ],
        Key,
        r#"{"serviceId": "chat:openai.com/gpt-4", "url": "http://EVIL"}"#,
        Stays(401),
    ),
    (
        "a blocked service before one that matches as well",
        &[
            ("chat:openai.com", "INVALID", &[]),
            ("", CHAT, &["http://GOOD"]),
        ],
        Key,
        r#"{"serviceId": "chat:openai.com/gpt-4", "url": "http://EVIL"}"#,
        Stays(403),
    ),
    (
        "an address of another entry of the key",
        &[
            ("chat:openai.com", CHAT, &["https://elsewhere.example"]),
            ("aisbreaker:", HOP, &["http://EVIL"]),
        ],
        Key,
        r#"{"serviceId": "chat:openai.com", "url": "http://EVIL"}"#,
        Stays(403),
    ),
    (
        "an address of a later entry for the same service",
        &[
            ("chat:openai.com", CHAT, &["http://GOOD"]),
            ("chat:", "sk-own", &["http://EVIL"]),
        ],
        Key,
        r#"{"serviceId": "chat:openai.com", "url": "http://EVIL"}"#,
        Stays(403),
    ),
    (
        "other names for an address, a proxy, a secret and headers",
        SEALED,
        Key,
        r#"{"serviceId": "chat:openai.com", "URL": "http://EVIL", "Url": "http://EVIL", " url": "http://EVIL",
            "baseUrl": "http://EVIL", "base_url": "http://EVIL", "endpoint": "http://EVIL", "host": "EVIL",
            "proxy": "http://EVIL", "headers": {"Host": "EVIL"}, "authSecret": "{{secret}}",
            "auth": {"secret": "x", "url": "http://EVIL"}, "forwardTo": "http://EVIL", "operatorOrigins": "*"}"#,
        AtHome(CHAT),
    ),
    (
        "the address twice, the right one first",
        SEALED,
        Key,
        r#"{"serviceId": "chat:openai.com", "url": "http://GOOD", "url": "http://EVIL"}"#,
        Stays(403),
    ),
    (
        "the address twice, once in other letters",
        SEALED,
        Key,
        r#"{"serviceId": "chat:openai.com", "url": "http://GOOD", "\u0075rl": "http:\/\/EVIL"}"#,
        Stays(403),
    ),
    (
        "the service twice",
        SEALED,
        Key,
        r#"{"serviceId": "chat:openai.com", "serviceId": "aisbreaker:network", "url": "http://EVIL",
            "forward2ServiceProps": {"serviceId": "chat:dummy"}}"#,
        Stays(403),
    ),
    (
        "a list",
        SEALED,
        Key,
        r#"{"serviceId": "chat:openai.com", "url": ["http://GOOD", "http://EVIL"]}"#,
        Stays(400),
    ),
    (
        "an object",
        SEALED,
        Key,
        r#"{"serviceId": "chat:openai.com", "url": {"href": "http://EVIL"}}"#,
        Stays(400),
    ),
    (
        "a number",
        SEALED,
        Key,
        r#"{"serviceId": "chat:openai.com", "url": 2130706433}"#,
        Stays(400),
    ),
    // The secrets of the server's default key, and callers who bring another one or none.
    (
        "by default",
        HOUSE,
        Nobody,
        r#"{"serviceId": "chat:openai.com"}"#,
        AtHome(CHAT),
    ),
    (
        "by default, elsewhere",
        HOUSE,
        Nobody,
        r#"{"serviceId": "chat:openai.com", "url": "http://EVIL"}"#,
        Stays(403),
    ),
    (
        "by default, what stands for the caller's own",
        HOUSE,
        Nobody,
        r#"{"serviceId": "chat:openai.com/own", "url": "http://EVIL"}"#,
        Stays(401),
    ),
    (
        "by default, a hop with what stands for the caller's own",
        HOUSE,
        Nobody,
        r#"{"serviceId": "aisbreaker:network", "url": "http://EVIL", "forward2ServiceProps": {"serviceId": "chat:openai.com"}}"#,
        Bare,
    ),
    (
        "by default, a hop with the server's secret",
        HOUSE,
        Nobody,
        r#"{"serviceId": "aisbreaker:proxy", "url": "http://EVIL", "forward2ServiceProps": {"serviceId": "chat:openai.com"}}"#,
        Stays(403),
    ),
    (
        "another secret",
        HOUSE,
        Says("Bearer sk-own"),
        AWAY,
        Own("sk-own"),
    ),
    (
        "the literal for one's own",
        HOUSE,
        Says("Bearer {{secret}}"),
        AWAY,
        Own("{{secret}}"),
    ),
    (
        "the literal for none",
        HOUSE,
        Says("Bearer INVALID"),
        AWAY,
        Own("INVALID"),
    ),
    (
        "two in one",
        HOUSE,
        Says("Bearer sk-own, Bearer x"),
        AWAY,
        Own("sk-own, Bearer x"),
    ),
    ("no value", HOUSE, Says("Bearer"), AWAY, Stays(401)),
    ("an empty value", HOUSE, Says("Bearer  "), AWAY, Stays(401)),
    ("an empty field", HOUSE, Says(""), AWAY, Stays(401)),
    (
        "another scheme",
        HOUSE,
        Says("Basic YTpi"),
        AWAY,
        Stays(401),
    ),
    ("no scheme", HOUSE, Says("sk-own"), AWAY, Stays(401)),
    (
        "a key that is none",
        HOUSE,
        Says("Bearer aisbreaker_x"),
        AWAY,
        Stays(401),
    ),
    (
        "a key in quotes",
        HOUSE,
        Says("Bearer \"aisbreaker_x\""),
        AWAY,
        Stays(401),
    ),
];

/// The server's default key.
const HOUSE: Seals = &[
    ("chat:openai.com/own", "{{secret}}", &[]),
    ("chat:openai.com", CHAT, &["http://GOOD"]),
    ("aisbreaker:network", "{{secret}}", &[]),
    ("aisbreaker:proxy", HOP, &["http://GOOD"]),
];

const AWAY: &str = r#"{"serviceId": "chat:openai.com", "url": "http://EVIL"}"#;

/// Hops to this very server: the key, the service's properties, and the outcome.
const HOPS_TO_SELF: &[(&str, Seals, &str, Outcome)] = &[
    (
        "to the provider at home",
        SELF_KEY,
        r#"{"serviceId": "aisbreaker:network", "url": "http://SELF",
            "forward2ServiceProps": {"serviceId": "chat:openai.com"}}"#,
        AtHome(CHAT),
    ),
    (
        "to the provider elsewhere",
        SELF_KEY,
        r#"{"serviceId": "aisbreaker:network", "url": "http://SELF",
            "forward2ServiceProps": {"serviceId": "chat:openai.com", "url": "http://EVIL"}}"#,
        Stays(403),
    ),
    (
        "to the provider elsewhere, three servers on",
        SELF_KEY,
        r#"{"serviceId": "aisbreaker:network", "url": "http://SELF", "forward2ServiceProps": {
            "serviceId": "aisbreaker:proxy", "url": "http://SELF", "forward2ServiceProps": {
            "serviceId": "aisbreaker:network", "url": "http://SELF", "forward2ServiceProps": {
            "serviceId": "aisbreaker:nop", "forward2ServiceProps": {
            "serviceId": "chat:openai.com", "url": "http://EVIL"}}}}}"#,
        Stays(403),
    ),
    (
        "to another server with the key itself",
        SELF_KEY,
        r#"{"serviceId": "aisbreaker:network", "url": "http://SELF", "forward2ServiceProps": {
            "serviceId": "aisbreaker:network", "url": "http://EVIL", "forward2ServiceProps": {
            "serviceId": "chat:openai.com"}}}"#,
        OwnKey,
    ),
    (
        "the secret for the hop, which the next server must not take for the caller's own",
        &[("aisbreaker:", HOP, &["http://SELF"])],
        r#"{"serviceId": "aisbreaker:network",
            "forward2ServiceProps": {"serviceId": "chat:openai.com", "url": "http://EVIL"}}"#,
        Stays(403),
    ),
    (
        "the secret for the hop, by another hop",
        &[("aisbreaker:network", HOP, &["http://SELF"])],
        r#"{"serviceId": "aisbreaker:network", "url": "http://SELF", "forward2ServiceProps": {
            "serviceId": "aisbreaker:proxy", "url": "http://EVIL", "forward2ServiceProps": {
            "serviceId": "chat:openai.com"}}}"#,
        Stays(403),
    ),
    (
        "the secret for the hop, three servers on",
        &[("aisbreaker:", HOP, &["http://SELF"])],
        r#"{"serviceId": "aisbreaker:network", "forward2ServiceProps": {
            "serviceId": "aisbreaker:nop", "forward2ServiceProps": {
            "serviceId": "aisbreaker:network", "url": "http://SELF", "forward2ServiceProps": {
            "serviceId": "chat:openai.com", "url": "http://EVIL"}}}}"#,
        Stays(403),
    ),
];

const SELF_KEY: Seals = &[
    ("aisbreaker:", "{{secret}}", &[]),
    ("chat:openai.com", CHAT, &["http://GOOD"]),
];

/// Header fields of a call with [`SEALED`] that is to go home.
const FIELDS: &[(&str, &str, Outcome)] = &[
    ("Host", "EVIL", Stays(401)),
    ("Host", "GOOD", Stays(401)),
    ("Host", "127.0.0.1", Stays(401)),
    ("Host", "localhost:EVILPORT", AtHome(CHAT)),
    ("Host", "LOCALHOST.", AtHome(CHAT)),
    ("Host", "localhost@EVIL", Stays(400)),
    ("Host", "localhost, EVIL", Stays(400)),
    ("Host", "localhost/EVIL", Stays(400)),
    ("Host", "http://localhost", Stays(400)),
    ("Host", "", Stays(400)),
    ("X-Forwarded-Host", "EVIL", AtHome(CHAT)),
    ("X-Forwarded-Server", "EVIL", AtHome(CHAT)),
    ("X-Forwarded-Proto", "https", AtHome(CHAT)),
    ("X-Forwarded-Port", "EVILPORT", AtHome(CHAT)),
    ("X-Forwarded-Prefix", "http://EVIL", AtHome(CHAT)),
    ("X-Forwarded-For", "EVIL", AtHome(CHAT)),
    ("Forwarded", "for=EVIL;host=EVIL;proto=http", AtHome(CHAT)),
    ("X-Host", "EVIL", AtHome(CHAT)),
    ("X-Original-Host", "EVIL", AtHome(CHAT)),
    ("X-Original-URL", "http://EVIL/", AtHome(CHAT)),
    ("X-Rewrite-URL", "http://EVIL/", AtHome(CHAT)),
    ("X-Service-Url", "http://EVIL/", AtHome(CHAT)),
    ("X-HTTP-Method-Override", "CONNECT", AtHome(CHAT)),
    ("X-AIsBreaker-Hops", "1", AtHome(CHAT)),
    ("Connection", "authorization", AtHome(CHAT)),
    (
        "Connection",
        "host, content-type, x-aisbreaker-hops",
        AtHome(CHAT),
    ),
    ("Connection", "close, EVIL", AtHome(CHAT)),
    ("Proxy", "http://EVIL", AtHome(CHAT)),
    ("Proxy-Connection", "keep-alive", AtHome(CHAT)),
    ("Proxy-Authorization", "Bearer sk-own", AtHome(CHAT)),
    ("X-Api-Key", "sk-own", AtHome(CHAT)),
    ("Cookie", "session=own", AtHome(CHAT)),
    ("OpenAI-Organization", "own", AtHome(CHAT)),
    ("Upgrade", "h2c", AtHome(CHAT)),
    ("Upgrade", "websocket", AtHome(CHAT)),
    ("Alt-Used", "EVIL", AtHome(CHAT)),
    ("Via", "1.1 EVIL", AtHome(CHAT)),
    ("Location", "http://EVIL", AtHome(CHAT)),
    ("Content-Location", "http://EVIL", AtHome(CHAT)),
    ("Destination", "http://EVIL", AtHome(CHAT)),
    ("Referer", "http://EVIL", AtHome(CHAT)),
    ("Origin", "http://EVIL", AtHome(CHAT)),
    ("Link", "<http://EVIL>; rel=preconnect", AtHome(CHAT)),
    ("TE", "trailers", AtHome(CHAT)),
    ("Accept-Encoding", "gzip", AtHome(CHAT)),
    ("Authorization", "Bearer sk-own", Stays(400)),
    ("Authorization", "", Stays(400)),
];

/// Requests as such, with [`SEALED`] in `Authorization`: what is asked, of what, and what becomes
/// of it. `POST` has a call of `chat:openai.com` in its body.
const REQUESTS: &[(&str, &str, Outcome)] = &[
    ("POST", "/api/v1/process", AtHome(CHAT)),
    ("POST", "/api/v1alpha1/process/", AtHome(CHAT)),
    ("POST", "//api/v1/process", AtHome(CHAT)),
    ("POST", "http://localhost/api/v1/process", AtHome(CHAT)),
    (
        "POST",
        "http://localhost:EVILPORT/api/v1/process",
        AtHome(CHAT),
    ),
    (
        "POST",
        "/api/v1/process?url=http://EVIL&service.url=http://EVIL",
        AtHome(CHAT),
    ),
    ("POST", "http://EVIL/api/v1/process", Stays(401)),
    ("POST", "https://EVIL/api/v1alpha1/process", Stays(401)),
    ("POST", "http://localhost@EVIL/api/v1/process", Stays(400)),
    ("POST", "http://EVIL@localhost/api/v1/process", Stays(400)),
    ("POST", "http://EVIL", Stays(405)),
    ("POST", "//EVIL/api/v1/process", Stays(404)),
    ("POST", "/api/v1/process/http://EVIL", Stays(404)),
    ("POST", "/http://EVIL/api/v1/process", Stays(404)),
    ("POST", "/api/v1/../v1/process", Stays(404)),
    ("POST", "/api/v1%2fprocess", Stays(404)),
    ("POST", "/api/v1/oauth/token", Stays(400)),
    ("POST", "/api/v1alpha1/oauth/token/", Stays(400)),
    ("POST", "/api/v1/ping", Stays(405)),
    ("POST", "/healthz", Stays(405)),
    ("GET", "/", Stays(200)),
    ("GET", "http://EVIL/", Stays(200)),
    ("GET", "/api/v1/ping?url=http://EVIL", Stays(200)),
    ("GET", "/api/v1/version?name=http://EVIL", Stays(200)),
    ("GET", "http://EVIL/api/v1alpha1/version", Stays(200)),
    ("GET", "http://EVIL/healthz", Stays(200)),
    ("GET", "http://EVIL/readyz", Stays(200)),
    ("GET", "http://EVIL/stolen", Stays(404)),
    ("GET", "/api/v1/process?url=http://EVIL", Stays(405)),
    ("GET", "http://EVIL/api/v1/oauth/token", Stays(405)),
    ("HEAD", "/api/v1/process", Stays(204)),
    ("HEAD", "http://EVIL/api/v1alpha1/process", Stays(204)),
    ("HEAD", "http://EVIL/api/v1/oauth/token", Stays(405)),
    ("OPTIONS", "/api/v1/process", Stays(204)),
    ("OPTIONS", "http://EVIL/api/v1/oauth/token", Stays(204)),
    ("OPTIONS", "*", Stays(404)),
    ("PUT", "/api/v1/process", Stays(405)),
    ("TRACE", "/api/v1/process", Stays(405)),
    ("CONNECT", "EVIL", Stays(405)),
    ("CONNECT", "localhost:EVILPORT", Stays(405)),
];

/// What the holder of [`SEALED`] asks a minting route for, and the status.
const MINTINGS: &[(&str, u16)] = &[
    (r#"{"requestAuthAndQuotas": {}}"#, 200),
    (
        r#"{"requestAuthAndQuotas": {"serviceSecrets": [{"serviceId": "", "authSecret": "{{secret}}", "url": "http://EVIL"}]}}"#,
        200,
    ),
    (
        r#"{"requestAuthAndQuotas": {}, "clientId": "KEY", "clientSecret": "KEY"}"#,
        200,
    ),
    (
        r#"{"requestAuthAndQuotas": {"serviceSecrets": [{"serviceId": "", "authSecret": "KEY", "url": "http://EVIL"}]}}"#,
        200,
    ),
    (
        r#"{"requestAuthAndQuotas": {"serviceSecrets": "KEY"}}"#,
        400,
    ),
    (
        r#"{"requestAuthAndQuotas": {"serviceSecrets": [{"serviceId": "", "authSecret": "x", "url": "http://GOOD@EVIL"}]}}"#,
        400,
    ),
    (r#"{"requestAuthAndQuotas": "KEY"}"#, 400),
];

/// Where a provider says that its answer is; `SECRET` is the bearer value that it was sent.
const LOCATIONS: &[&str] = &[
    "http://EVIL/stolen",
    "//EVIL/stolen",
    "https://EVIL/stolen",
    "http://GOOD@EVIL/stolen",
    "http://EVIL/stolen?key=SECRET",
    "/stolen",
    "stolen",
];

/// The redirects that there are, and were.
const REDIRECTS: [u16; 9] = [300, 301, 302, 303, 304, 305, 306, 307, 308];

/// Other answers of a provider that name the trap: head and body, where `OK` stands for a good
/// answer, and the status.
const REPLIES: &[(&str, &str, u16)] = &[
    ("HTTP/1.1 200 OK\r\nRefresh: 0; url=http://EVIL/", "OK", 200),
    (
        "HTTP/1.1 200 OK\r\nAlt-Svc: http=\"EVIL\"; ma=3600, h2c=\"EVIL\", h2=\"EVIL\"",
        "OK",
        200,
    ),
    (
        "HTTP/1.1 200 OK\r\nLink: <http://EVIL/>; rel=\"preconnect preload next\"",
        "OK",
        200,
    ),
    (
        "HTTP/1.1 200 OK\r\nContent-Location: http://EVIL/\r\nLocation: http://EVIL/",
        "OK",
        200,
    ),
    (
        "HTTP/1.1 200 OK\r\nSet-Cookie: key=SECRET; Domain=EVIL",
        "OK",
        200,
    ),
    (
        "HTTP/1.1 200 OK\r\nReport-To: {\"endpoints\": [{\"url\": \"http://EVIL\"}]}",
        "OK",
        200,
    ),
    ("HTTP/1.1 201 Created\r\nLocation: http://EVIL/", "OK", 200),
    ("HTTP/1.1 202 Accepted\r\nLocation: http://EVIL/", "", 502),
    (
        "HTTP/1.1 200 OK",
        r#"<meta http-equiv="refresh" content="0; url=http://EVIL/">"#,
        502,
    ),
    (
        "HTTP/1.1 200 OK",
        r#"{"url": "http://EVIL/", "location": "http://EVIL/", "next": "http://EVIL/"}"#,
        502,
    ),
    (
        "HTTP/1.1 100 Continue\r\nLocation: http://EVIL/\r\n\r\nHTTP/1.1 200 OK",
        "OK",
        200,
    ),
    (
        "HTTP/1.1 103 Early Hints\r\nLink: <http://EVIL/>; rel=preconnect\r\n\r\nHTTP/1.1 200 OK",
        "OK",
        200,
    ),
    (
        "HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: h2c\r\nLocation: http://EVIL/",
        "",
        502,
    ),
    (
        "HTTP/1.1 401 Who\r\nWWW-Authenticate: Bearer realm=\"http://EVIL/\"",
        r#"{"error": {"message": "SECRET"}}"#,
        401,
    ),
    (
        "HTTP/1.1 407 Proxy\r\nProxy-Authenticate: Basic realm=\"http://EVIL/\"",
        r#"{"error": {"type": "SECRET"}}"#,
        407,
    ),
    (
        "HTTP/1.1 421 Misdirected\r\nAlt-Svc: http=\"EVIL\"",
        r#"{"error": {"message": "http://EVIL/?SECRET"}}"#,
        421,
    ),
    (
        "HTTP/1.1 429 Slow\r\nRetry-After: 1\r\nLocation: http://EVIL/",
        r#"{"error": {"message": "SECRETSECRET"}}"#,
        429,
    ),
    (
        "HTTP/1.1 503 Moved\r\nRetry-After: 0\r\nLocation: http://EVIL/",
        "SECRET",
        503,
    ),
];

/// Variables that make other programs send their requests through a proxy.
const PROXY_VARIABLES: [&str; 9] = [
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "ALL_PROXY",
    "all_proxy",
    "FTP_PROXY",
    "CGI_HTTP_PROXY",
    "GLOBAL_AGENT_HTTP_PROXY",
];
