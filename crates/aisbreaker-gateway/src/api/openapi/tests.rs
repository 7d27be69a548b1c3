//! The document says what the code does: no more, and no less.

use std::collections::{BTreeMap, BTreeSet};

use aisbreaker_services::Dialect;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header::RETRY_AFTER};
use serde_json::Value;

use super::DOCUMENT;
use crate::{
    cors::{self, AllowedOrigin},
    dialect,
    failure::{ErrorType, Failure},
    route::{
        Route::{self, *},
        console_path::ConsolePath,
        family,
        operation::Operation,
    },
};

/// The routes of this server's own API, and one for each operation of a provider's.
fn routes() -> Vec<Route> {
    let own = [
        Root, Ping, Version, Token, Revoke, Introspect, Process, Quota, Health, Ready, Hello, Jwks,
        Metadata, OpenApi,
    ];
    let console = ConsolePath::ALL.map(Console);
    for route in own {
        match route {
            // A route that is missing here is missing above as well.
            Root | Ping | Version | Token | Revoke | Introspect | Process | Quota | Health
            | Ready | Hello | Jwks | Metadata | OpenApi => {}
            Console(_) | Provider(_) => panic!("{route:?} is not the server's own"),
        }
    }
    let resources = family::resources().map(Operation::Resource);
    let operations = Operation::CALLS.into_iter().chain(resources);
    let of_server = own.into_iter().chain(console);
    of_server.chain(operations.map(Provider)).collect()
}

fn document() -> Value {
    serde_json::from_str(&DOCUMENT).unwrap()
}

fn names(object: &Value) -> BTreeSet<&str> {
    let members = object.as_object().unwrap();
    members.keys().map(String::as_str).collect()
}

fn texts(list: &Value) -> BTreeSet<&str> {
    let entries = list.as_array().unwrap();
    entries
        .iter()
        .map(|entry| entry.as_str().unwrap())
        .collect()
}

#[test]
fn it_has_the_routes_and_their_methods_and_no_others() {
    let document = document();
    let paths = &document["paths"];
    let known: BTreeSet<_> = routes().into_iter().map(Route::template).collect();
    assert_eq!(names(paths), known);
    for route in routes() {
        let path = route.template();
        let segments = path
            .split('/')
            .map(|segment| match segment.starts_with('{') {
                true => "x",
                false => segment,
            });
        let example = segments.collect::<Vec<_>>().join("/");
        let found = Route::of(&Method::GET, &example);
        assert_eq!(found.map(Route::template), Ok(path));
        let mut described = names(&paths[path]);
        let has_parameters = described.remove("parameters");
        assert_eq!(has_parameters, path.contains('{'), "{path}");
        let methods = route.methods().to_ascii_lowercase();
        assert_eq!(described, methods.split(", ").collect(), "{path}");
    }
}

#[test]
fn it_is_of_this_version() {
    let document = document();
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(document["openapi"], "3.1.0");
}

#[test]
fn restrictions_name_all_operations() {
    let document = document();
    let operations = &document["components"]["schemas"]["Restriction"]["properties"]["operations"];
    let expected = Operation::names().chain(["process"]).collect();
    assert_eq!(texts(&operations["items"]["enum"]), expected);
}

/// Calls `look` for every object in `value`.
fn walk<'a>(value: &'a Value, look: &mut impl FnMut(&'a serde_json::Map<String, Value>)) {
    match value {
        Value::Object(members) => {
            look(members);
            members.values().for_each(|member| walk(member, look));
        }
        Value::Array(entries) => entries.iter().for_each(|entry| walk(entry, look)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn every_component_is_used_and_every_reference_leads_to_one() {
    let document = document();
    let mut used = BTreeSet::new();
    walk(&document, &mut |members| {
        if let Some(Value::String(reference)) = members.get("$ref") {
            used.insert(reference.as_str());
        }
        let Some(Value::Array(alternatives)) = members.get("security") else {
            return;
        };
        for scheme in alternatives.iter().flat_map(names) {
            let schemes = &document["components"]["securitySchemes"];
            assert!(schemes.get(scheme).is_some(), "{scheme}");
        }
    });
    let mut defined = BTreeSet::new();
    for kind in names(&document["components"]) {
        if kind != "securitySchemes" {
            let components = names(&document["components"][kind]);
            defined.extend(
                components
                    .iter()
                    .map(|name| format!("#/components/{kind}/{name}")),
            );
        }
    }
    assert_eq!(used, defined.iter().map(String::as_str).collect());
}

#[test]
fn operations_have_ids_of_their_own_and_known_tags() {
    let document = document();
    let tags: Vec<&Value> = document["tags"].as_array().unwrap().iter().collect();
    let known: BTreeSet<_> = tags
        .iter()
        .map(|tag| tag["name"].as_str().unwrap())
        .collect();
    let (mut used, mut ids) = (BTreeSet::new(), BTreeSet::new());
    let by_path = routes().into_iter().map(|route| (route.template(), route));
    for route in BTreeMap::from_iter(by_path).into_values() {
        let item = &document["paths"][route.template()];
        for method in route.methods().to_ascii_lowercase().split(", ") {
            let operation = &item[method];
            used.extend(texts(&operation["tags"]));
            match operation.get("operationId") {
                Some(id) => assert!(ids.insert(id.as_str().unwrap().to_owned()), "{id}"),
                None => assert!(matches!(method, "head" | "options"), "{method} {route:?}"),
            }
        }
    }
    assert_eq!(used, known);
}

/// Every failure that the gateway can report, as far as its format depends on it.
fn failures() -> Vec<Failure> {
    let mut failures = Vec::new();
    for status in (400..600).map(|code| StatusCode::from_u16(code).unwrap()) {
        failures.push(Failure::new(status, ""));
        failures.push(Failure::new(status, "").with_param("model"));
        failures
            .push(Failure::new(status, "").with_header(RETRY_AFTER, HeaderValue::from_static("1")));
        failures.push(Failure::quota_exceeded("", None));
    }
    for error_type in ErrorType::ALL {
        failures.push(Failure::new(StatusCode::FORBIDDEN, "").with_type(*error_type));
    }
    failures
}

fn body(failure: &Failure, dialect: Option<Dialect>) -> Value {
    let bytes = dialect::error_body(failure, dialect, &HeaderValue::from_static("id"));
    serde_json::from_slice(&bytes).unwrap()
}

/// Returns the words in code quotes, without those in `others`.
fn quoted<'a>(description: &'a Value, others: &[&str]) -> BTreeSet<&'a str> {
    let parts = description.as_str().unwrap().split('`');
    let words = parts.skip(1).step_by(2);
    words.filter(|word| !others.contains(word)).collect()
}

#[test]
fn it_has_the_error_words_of_each_dialect_and_no_others() {
    let document = document();
    let schemas = &document["components"]["schemas"];
    for (schema, dialect, members) in [
        (
            "OpenAiError",
            Dialect::OpenAi,
            ["type", "code", "param"].as_slice(),
        ),
        ("AnthropicError", Dialect::Anthropic, ["type"].as_slice()),
    ] {
        let described = &schemas[schema]["properties"]["error"]["properties"];
        for member in members {
            let mut made = BTreeSet::new();
            for failure in failures() {
                let body = body(&failure, Some(dialect));
                assert_eq!(names(&body["error"]), names(described));
                made.extend(body["error"][member].as_str().map(str::to_owned));
            }
            let made: BTreeSet<_> = made.iter().map(String::as_str).collect();
            let words = quoted(&described[member]["description"], &["Retry-After"]);
            assert_eq!(words, made, "{schema} {member}");
        }
    }
}

#[test]
fn it_has_the_members_and_words_of_oauth_errors() {
    let document = document();
    let described = &document["components"]["schemas"]["OAuthError"]["properties"];
    let words = texts(&described["error"]["enum"]);
    for failure in failures() {
        let body = body(&failure.into_oauth_error(), None);
        assert_eq!(names(&body), names(described));
        assert!(words.contains(body["error"].as_str().unwrap()), "{body}");
    }
}

#[test]
fn it_has_the_header_fields_that_pages_may_read() {
    let document = document();
    let described = names(&document["components"]["headers"]);
    let mut headers = HeaderMap::new();
    cors::write_response(&AllowedOrigin::Any, &mut headers);
    let exposed = headers["access-control-expose-headers"].to_str().unwrap();
    for name in exposed.split(", ") {
        assert!(described.contains(name), "{name}");
    }
}
