//! `Debug` of every public type that holds a secret shows no piece of it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fmt::Debug, sync::Arc};

use aisbreaker_api::{Request, Response, ServiceId, ServicePattern, ServiceProps, Usage};
use aisbreaker_egress::{Client, Policy, Timeouts, UrlSource};
use aisbreaker_services::{
    AuthScheme, Call, Credentials, Destination, Endpoint, Event, PathJoin, Providers, Registry,
    Relay, Reply, SealedSecret, SecretNeed, ServiceRestrictions, secret_header,
    services::{Network, OpenAiChat, Options, ServiceSettings, standard},
};
use futures_util::{StreamExt as _, stream};
use http::HeaderMap;

// No 12 consecutive bytes of these occur anywhere else.
const SEALED: &str = "Hq8vNx3kTz6wRb2mYc9jLd5gPf7s";
const BEARER: &str = "Vt4yKm9qXz7cWj2nRh6dGb8fLp3s";
const CALLERS: &str = "Jw6zPt2xBk8vMq4nCr9hYd3gSf5l";

fn shown(value: &impl Debug) -> String {
    format!("{value:?}\n{value:#?}\n{value:x?}")
}

fn sealed() -> SealedSecret {
    let urls = vec!["https://one.example".to_owned()];
    SealedSecret::new(
        ServicePattern::parse("chat:openai.com").unwrap(),
        SEALED.into(),
        urls,
    )
}

fn own() -> SealedSecret {
    SealedSecret::new(
        ServicePattern::parse("").unwrap(),
        "{{secret}}".into(),
        Vec::new(),
    )
}

fn call(credentials: &Credentials) -> Call {
    let client = Client::new(Policy::strict(), Timeouts::default());
    let registry = standard(client, Options::default()).build();
    let credentials = Arc::new(credentials.clone());
    Call::new(
        ServiceProps::new("chat:openai.com"),
        Request::user_text("Hi"),
        credentials,
        registry,
    )
    .unwrap()
}

fn destination(credentials: &Credentials) -> Destination {
    let endpoint = Endpoint {
        default_url: Some("https://one.example"),
        default_path: "/v1",
        operator_origins: &[],
        path_join: PathJoin::Append,
        secret: SecretNeed::Required,
    };
    Destination::choose(&endpoint, &call(credentials)).unwrap()
}

#[test]
fn debug_output_shows_no_piece_of_a_secret() {
    let bearer = Some(BEARER.into());
    let of_a_key = Credentials::Sealed {
        secrets: vec![sealed(), own()],
        bearer: bearer.clone(),
        restrictions: ServiceRestrictions::default(),
        url_source: UrlSource::Trusted,
    };
    let of_the_caller = Credentials::Caller(CALLERS.into());
    let with_the_bearer = Credentials::Sealed {
        secrets: vec![own()],
        bearer,
        restrictions: ServiceRestrictions::default(),
        url_source: UrlSource::Trusted,
    };
    let [id, other] = ["chat:openai.com", "chat:other"].map(|id| ServiceId::parse(id).unwrap());
    let secret = destination(&of_a_key).secret.unwrap();
    let (name, secret_value) = AuthScheme::Bearer.header(&secret).unwrap();
    let mut headers = HeaderMap::from_iter([(name, secret_value.clone())]);
    headers.insert("x-api-key", secret_header("", &CALLERS.into()).unwrap());
    let client = Client::new(Policy::strict(), Timeouts::default());
    // A service may put a secret into its answer. That is content, which is not shown either.
    let mut response = Response::new(Vec::new(), Usage::new(SEALED));
    response.conversation_state = Some(SEALED.to_owned());
    let events = stream::iter([Ok(Event::Final(response.clone()))]).boxed();
    let rows = [
        ("SealedSecret", shown(&sealed())),
        ("Credentials of a key", shown(&of_a_key)),
        ("Credentials of the caller", shown(&of_the_caller)),
        (
            "Credential that is bound",
            shown(&of_a_key.for_service(&id)),
        ),
        (
            "Credential of the bearer",
            shown(&of_a_key.for_service(&other)),
        ),
        (
            "Credential of the caller",
            shown(&of_the_caller.for_service(&id)),
        ),
        ("Call", shown(&call(&of_a_key))),
        ("Call with the caller's own", shown(&call(&of_the_caller))),
        ("Destination", shown(&destination(&of_a_key))),
        (
            "Destination with the caller's own",
            shown(&destination(&of_the_caller)),
        ),
        (
            "Destination with the bearer",
            shown(&destination(&with_the_bearer)),
        ),
        ("a header of a Destination", shown(&secret_value)),
        ("headers of a Destination", shown(&headers)),
        ("Reply", shown(&Reply::Final(response))),
        ("Reply in a stream", shown(&Reply::Stream(events))),
        (
            "Registry",
            shown(&standard(client.clone(), Options::default()).build()),
        ),
        ("Builder", shown(&Registry::builder())),
        (
            "OpenAiChat",
            shown(&OpenAiChat::new(
                client.clone(),
                Providers::builtin().find("openai.com").unwrap(),
                ServiceSettings::default(),
            )),
        ),
        (
            "Relay",
            shown(&Relay::new(client.clone(), Providers::builtin())),
        ),
        ("Network", shown(&Network::new(client))),
    ];

    for (row, shown) in rows {
        for secret in [SEALED, BEARER, CALLERS] {
            for piece in secret.as_bytes().windows(12) {
                let piece = str::from_utf8(piece).unwrap();
                assert!(!shown.contains(piece), "{row}: {piece} in {shown}");
            }
        }
        assert!(!shown.is_empty(), "{row}");
    }
}
