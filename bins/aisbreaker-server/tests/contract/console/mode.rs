//! Where it is served: the setting `console`.

use super::{FILES, assert_is_secured};
use crate::support::{KEY, ReloadableServer, Request, Server, refused_start};

const LINK: &str = r#"<a href="console/">"#;

#[track_caller]
fn assert_is_on(server: &Server, expected: bool) {
    for (path, _) in FILES {
        let response = server.get(path);
        assert_eq!(response.status == 200, expected, "{path}: {response:?}");
    }
    assert_eq!(server.get("/").text().contains(LINK), expected);
}

/// Starts a server at this address with the mode, if one is given.
fn server_at(listen: &str, mode: Option<&str>) -> Server {
    let key = ("AUTH_ENCRYPTION_KEYPHRASE", KEY);
    let mode = mode.map(|mode| ("AISBREAKER_CONSOLE", mode));
    let environment: Vec<_> = [key].into_iter().chain(mode).collect();
    Server::start_with(&["--listen", listen], &environment)
}

#[test]
fn by_itself_it_is_on_at_loopback_addresses() {
    for mode in [None, Some("auto")] {
        for listen in ["127.0.0.1:0", "localhost:0", "127.0.0.2:0"] {
            assert_is_on(&server_at(listen, mode), true);
        }
    }
}

#[test]
fn on_and_off_are_as_they_say() {
    assert_is_on(&server_at("127.0.0.1:0", Some("on")), true);
    assert_is_on(&server_at("127.0.0.1:0", Some("off")), false);
}

#[test]
fn what_is_off_says_so_and_to_every_method() {
    let server = server_at("127.0.0.1:0", Some("off"));
    let paths = FILES.map(|(path, _)| path);
    for path in paths.into_iter().chain(["/console"]) {
        for method in ["GET", "POST", "OPTIONS"] {
            let response = server.send(&Request::new(method, path));

            assert_eq!(response.status, 404, "{method} {path}");
            assert_is_secured(path, &response);
            let message = response.message();
            assert!(message.contains("AISBREAKER_CONSOLE=on"), "{message}");
        }
    }
}

#[test]
fn the_flag_beats_the_environment() {
    let arguments = ["--listen", "127.0.0.1:0", "--console", "off"];
    let environment = [
        ("AUTH_ENCRYPTION_KEYPHRASE", KEY),
        ("AISBREAKER_CONSOLE", "on"),
    ];
    assert_is_on(&Server::start_with(&arguments, &environment), false);
}

#[test]
fn other_modes_prevent_the_start() {
    for mode in ["true", "yes", "On", "loopback"] {
        let error = refused_start(&[], &[("AISBREAKER_CONSOLE", mode)]);
        let expected = "AISBREAKER_CONSOLE must be auto, on or off";
        assert!(error.contains(expected), "{mode}: {error}");
    }
}

#[test]
fn a_reload_turns_it_on_and_off() {
    let server = ReloadableServer::start("console = \"off\"");
    assert_is_on(&server, false);
    for (text, is_on) in [
        ("", true),
        ("console = \"off\"", false),
        ("console = \"on\"", true),
        ("console = \"off\"", false),
        ("console = \"auto\"", true),
    ] {
        server.reload(text);
        assert_is_on(&server, is_on);
    }
    let cause = server.refuse("console = \"sometimes\"");
    assert!(cause.contains("must be auto, on or off"), "{cause}");
    assert_is_on(&server, true);
}

#[test]
fn the_log_says_at_the_start_whether_it_is_on() {
    for (mode, is_on) in [("auto", true), ("off", false)] {
        let server = server_at("127.0.0.1:0", Some(mode));
        let line = server.wait_for_log("the settings", |line| {
            line["message"] == "settings in effect"
        });
        assert_eq!(line["console"], is_on, "{line}");
    }
}
