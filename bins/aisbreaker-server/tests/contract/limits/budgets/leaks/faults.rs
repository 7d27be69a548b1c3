//! Providers that fail in every way of the faults suite, on both surfaces.

use serde_json::{Value, json};

use super::{
    CAP, Cost, Rates, check_sums, counted, input_of, post, priced_key, used, wait_for_requests,
};
use crate::own_api::provider_faults::cases::{Case, provider, quick};
use crate::support::{
    ConfigFile, KEY, Provider, Server, UnreachableAddresses, ample_quotas, call,
    provider_api::CHAT, service, streamed,
};

/// The price of all models, whose names are those of the faults.
const PRICES: &str = "[prices.\"openai.com\"]\n\"*\" = { input = 1, output = 2 }\n";
const RATES: Rates = Rates {
    input: 1_000,
    output: 2_000,
};

/// The cases in which the provider refuses the request by its status, which costs nothing. Whatever
/// else it does, even with a status that does not exist, it may have worked for the request, and
/// tells nothing of it.
const REFUSALS: [&str; 8] = [
    "401",
    "429",
    "500",
    "503",
    "503 in HTML",
    "500 that is cut short",
    "500 without end",
    "429 without body",
];

/// The cases whose body has no end. Below `/v1` it is passed on for as long as the client reads.
const ENDLESS: [&str; 2] = ["500 without end", "10 GB as announced"];

/// A server that knows the price of every case. The file must stay.
fn start() -> (Server, ConfigFile) {
    let file = ConfigFile::new(PRICES);
    let ample = ample_quotas().to_string();
    let environment = [
        ("AUTH_ENCRYPTION_KEYPHRASE", KEY),
        ("AISBREAKER_SERVER_QUOTAS", &*ample),
        ("AISBREAKER_MINT_QUOTAS", &*ample),
        ("AISBREAKER_EGRESS_ALLOW", "127.0.0.0/8"),
        ("AISBREAKER_EGRESS_ALLOW_CALLERS", "true"),
        ("AISBREAKER_METRICS_LISTEN", "127.0.0.1:0"),
    ];
    let arguments = ["--listen", "127.0.0.1:0", "--config", file.path()];
    (Server::start_with(&arguments, &environment), file)
}

fn chat(case: &Case, stream: bool) -> String {
    let messages = json!([{"role": "user", "content": "Hi"}]);
    json!({"model": case.name, "messages": messages, "max_tokens": CAP, "stream": stream})
        .to_string()
}

fn process_call(case: &Case, stream: bool) -> Value {
    let mut call = call(service(&format!("chat:openai.com/{}", case.name)), "Hi");
    call["request"]["internOptions"] = json!({"max_tokens": CAP});
    if stream { streamed(call) } else { call }
}

/// Sends a request, and returns what it was reserved as, and settled to.
fn costs(server: &Server, send: impl FnOnce()) -> [Cost; 2] {
    let counts = ["aisbreaker_budget_reserved", "aisbreaker_budget_settled"];
    let sums = || counts.map(|name| counted(server, name));
    let before = sums();
    send();
    let after = sums();
    [after[0].minus(before[0]), after[1].minus(before[1])]
}

/// Sends a case on both surfaces, streamed and not, and checks what it costs.
fn check(server: &Server, key: &str, case: &Case) -> [Cost; 2] {
    let mut sums = [Cost::default(); 2];
    for (surface, stream) in [
        ("v1", false),
        ("v1", true),
        ("process", false),
        ("process", true),
    ] {
        if surface == "v1" && ENDLESS.contains(&case.name) {
            continue;
        }
        let id = format!("{}-{surface}-{stream}", case.name.replace([' ', ','], "-"));
        let [reserved, cost] = costs(server, || {
            let request = match surface {
                "v1" => post(CHAT, key, &chat(case, stream), &id),
                _ => {
                    let body = process_call(case, stream).to_string();
                    post("/api/v1/process", key, &body, &id)
                }
            };
            let mut connection = server.connect();
            connection.write(&request.header("connection", "close").to_bytes());
            // An answer may break off anywhere.
            connection.read_to_end();
            wait_for_requests(server, &id, 1);
        });
        if surface == "v1" {
            let input = input_of(&chat(case, stream));
            assert_eq!(reserved, Cost::of(input, CAP, RATES), "{id}");
        }
        let is_refusal = REFUSALS.contains(&case.name);
        let expected = match is_refusal {
            true => Cost::default(),
            false => reserved,
        };
        assert_eq!(cost, expected, "{id}");
        sums = [sums[0].plus(reserved), sums[1].plus(cost)];
    }
    sums
}

#[test]
fn every_fault_of_a_provider_is_settled_by_the_table() {
    let (provider, (server, _file)): (Provider, _) = (provider(), start());
    let key = priced_key(&server, &provider);
    let mut sums = [Cost::default(); 2];
    for case in quick() {
        let costs = check(&server, &key, &case);
        sums = [sums[0].plus(costs[0]), sums[1].plus(costs[1])];
    }
    assert_eq!(provider.panics(), 0, "scripts of the provider panicked");
    check_sums(&server, &key, (sums[0], sums[1]));
}

#[test]
fn a_provider_that_is_not_reached_costs_nothing_on_either_surface() {
    let unreachable = UnreachableAddresses::new();
    let (server, _file) = start();
    let key = server.mint(&json!({"requestAuthAndQuotas": {
        "requestQuotas": ample_quotas(),
        "budgets": {"global": {"tokensPerDay": super::TOKEN_LIMIT,
            "usdPerDay": super::USD_LIMIT / 1_000_000_000}},
        "serviceSecrets": [
            {"serviceId": "chat:openai.com", "authSecret": "x", "url": unreachable.refusing_url()},
        ],
    }}));
    for stream in [false, true] {
        let case = quick().next().unwrap();
        let response = server.send(&post(CHAT, &key, &chat(&case, stream), "v1"));
        assert_eq!(response.status, 503, "{response:?}");
        server.process(&key, &process_call(&case, stream));
    }
    assert_eq!(used(&server, &key), Cost::default());
}
