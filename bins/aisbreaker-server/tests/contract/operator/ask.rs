//! `aisbreaker-server ask`: one streamed answer of a server.

use crate::support::{
    Provider, Server, closed_url,
    openai::{SECRET, completion_stream, openai_key},
    run, sse,
};

/// Runs `ask`. Returns its exit code and what it printed: the answer, and the figures or the error.
fn ask(arguments: &[&str], environment: &[(&str, &str)]) -> (Option<i32>, String, String) {
    let output = run(&[&["ask"], arguments].concat(), environment);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

/// The URL of a server by the name to which the keys of the tests are bound.
fn localhost(server: &Server) -> String {
    server.url().replace("127.0.0.1", "localhost")
}

/// Arguments and the environment.
type Invocation<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)]);

#[test]
fn the_dummy_answers_without_a_key_at_a_server_that_is_named_or_runs_here() {
    let server = Server::start(&[]);
    let (url, address) = (server.url(), server.address().to_string());
    let rows: [Invocation<'_>; 3] = [
        (&["Hi", "--server", &url], &[]),
        (&["Hi"], &[("AISBREAKER_SERVER_URL", &url)]),
        (&["Hi"], &[("AISBREAKER_LISTEN", &address)]),
    ];
    for (arguments, environment) in rows {
        let (code, answer, figures) = ask(arguments, environment);
        assert_eq!(code, Some(0), "{arguments:?}: {figures}");
        assert!(
            answer.contains("'Hi'") && answer.ends_with('\n'),
            "{answer}"
        );
        assert!(
            figures.starts_with("first text after ") && figures.contains(" ms; tokens: "),
            "{figures}"
        );
    }
}

#[test]
fn the_first_service_of_the_key_is_asked_and_its_tokens_are_reported() {
    let usage = sse(&serde_json::json!({"choices": [], "usage":
        {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}}));
    let stream = completion_stream(&["The answer", " is \u{1b}[2J42."]);
    let stream = stream.replace("data: [DONE]", &format!("{usage}data: [DONE]"));
    let provider = Provider::start(move |_, wire| wire.whole_stream(&stream));
    let server = Server::with_loopback_egress(&[]);
    let key = openai_key(&server, &provider);
    let url = localhost(&server);
    let sources: [(&[&str], &str); 2] = [
        (&[], "AISBREAKER_API_KEY"),
        (&["--key", "env:OTHER_KEY"], "OTHER_KEY"),
    ];
    for (option, variable) in sources {
        let arguments = [&["What is it?", "--server", &url], option].concat();
        let (code, answer, figures) = ask(&arguments, &[(variable, &key)]);
        assert_eq!(code, Some(0), "{figures}");
        // Without the control character.
        assert_eq!(answer, "The answer is [2J42.\n");
        assert!(figures.contains("tokens: 7 in, 5 out"), "{figures}");
        assert!(
            !figures.contains(SECRET) && !figures.contains(&key),
            "{figures}"
        );
    }
    let received = provider.requests();
    let asked = &received[0].json()["messages"][0]["content"];
    assert_eq!(asked, "What is it?");
}

#[test]
fn no_message_of_a_server_controls_the_terminal() {
    let refusal = r#"{"message": "to\u001b[2Jo\u009b busy", "error": {"message": "to\u001b[2Jo\u009b busy"}}"#;
    let length = refusal.len().to_string();
    let provider = Provider::start(move |_, wire| {
        let fields = [
            ("Content-Type", "application/json"),
            ("Content-Length", &*length),
        ];
        wire.respond(400, &fields, refusal);
    });
    let url = provider.url();
    let key = format!("aisbreaker_{}", "a".repeat(40));
    let asked: [&[&str]; 3] = [
        &["ask", "Hi", "--service", "chat:dummy", "--server", &url],
        &["ask", "Hi", "--server", &url],
        &["inspect", "--server", &url],
    ];
    for arguments in asked {
        let output = run(arguments, &[("AISBREAKER_API_KEY", &key)]);
        let problem = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {problem}");
        assert!(problem.contains("to[2Jo busy"), "{arguments:?}: {problem}");
        let is_control = |c: char| c.is_control() && c != '\n';
        assert!(!problem.contains(is_control), "{arguments:?}: {problem:?}");
    }
}

#[test]
fn the_address_in_the_environment_is_in_no_help() {
    let environment = [("AISBREAKER_SERVER_URL", "https://user:canary@ai.example")];
    for arguments in [&["ask", "--help"][..], &["ask", "-h"], &["man", "ask"]] {
        let output = run(arguments, &environment);
        let help = String::from_utf8(output.stdout).unwrap();
        assert!(help.contains("AISBREAKER_SERVER_URL"), "{help}");
        assert!(!help.contains("canary"), "{help}");
    }
}

#[test]
fn each_failure_has_a_message_and_repeats_no_secret() {
    let server = Server::start(&[]);
    let provider = Provider::start(|_, wire| wire.whole_stream("data: {\"error\": 1}\n\n"));
    let broken = Server::with_loopback_egress(&[]);
    let broken_key = openai_key(&broken, &provider);
    let (url, closed, broken_url) = (localhost(&server), closed_url(), localhost(&broken));
    let foreign = [&*broken_key, "x"].concat();
    let variable = "AISBREAKER_API_KEY";
    let (foreign_key, broken_key_set) = ((variable, &*foreign), (variable, &*broken_key));
    type Row<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], &'a str);
    let rows: [Row<'_>; 7] = [
        (&["Hi", "--server", &url], &[foreign_key], "not valid"),
        (&["Hi", "--server", &closed], &[], "refuses connections"),
        (&["Hi", "--server", "here"], &[], "--server"),
        (
            &["Hi", "--server", &url, "--service", "chat:nowhere"],
            &[],
            "chat:nowhere",
        ),
        (
            &["Hi", "--server", &url, "--service", "chat:openai.com"],
            &[],
            "missing auth.secret",
        ),
        (
            &["Hi", "--server", &url, "--key", SECRET],
            &[],
            "never the secret itself",
        ),
        (
            &["Hi", "--server", &broken_url],
            &[broken_key_set],
            "chat:openai.com",
        ),
    ];
    for (arguments, environment, named) in rows {
        let (code, _, problem) = ask(arguments, environment);
        assert_eq!(code, Some(1), "{arguments:?}: {problem}");
        assert!(problem.contains(named), "{arguments:?}: {problem}");
        assert!(!problem.contains("AIsNetwork"), "{arguments:?}: {problem}");
        for secret in [SECRET, &*broken_key, &*foreign] {
            assert!(!problem.contains(secret), "{arguments:?}: {problem}");
        }
    }
}
