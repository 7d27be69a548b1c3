//! The operator's prices in the configuration file. What they change is in the tests of budgets.

use aisbreaker_services::prices::Prices;

use crate::support::{ConfigFile, KEY, ReloadableServer, Server, refused_start, run};

const CANARY: &str = "Xv4kRz8mTq2wNb7pJc9y";

const TABLE: &str = r#"
[prices."openai.com"]
"gpt-5" = { input = 1.25, cached = 0.125, output = 10, max_output = 128000 }
[prices.azure]
"my-deployment" = { like = "openai.com/gpt-5" }
[prices."llm.example.com"]
"*" = { free = true }
[[provider]]
id = "llm.example.com"
openai = "/v1"
"#;

#[test]
fn those_in_effect_are_printed() {
    let file = ConfigFile::new(TABLE);
    let sealing = ("AUTH_ENCRYPTION_KEYPHRASE", KEY);

    let output = run(&["check", "--print", "--config", file.path()], &[sealing]);

    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), &*errors), (Some(0), ""));
    let printed = String::from_utf8(output.stdout).unwrap();
    for (name, value) in [
        (r#"prices."openai.com".gpt-5.cached"#, "0.125"),
        ("prices.azure.my-deployment.like", "openai.com/gpt-5"),
        (r#"prices."llm.example.com"."*".free"#, "true"),
    ] {
        let mut lines = printed.lines();
        let is_it = |line: &str| line.starts_with(name) && line.ends_with(&format!(" {value}"));
        assert!(lines.any(is_it), "{name} in:\n{printed}");
    }
}

#[test]
fn faults_are_named_without_values() {
    let file = ConfigFile::new(&format!(
        "[prices.\"openai.com\"]\ngpt-5 = {{ input = \"{CANARY}\", output = 1 }}\n\
         mine = {{ like = \"{CANARY}\" }}\n[prices]\nopenai = \"{CANARY}\"\nnone = {{}}\n"
    ));

    let errors = refused_start(&["--config", file.path()], &[]);

    for name in [
        r#"prices."openai.com".gpt-5.input in "#,
        r#"prices."openai.com".mine.like in "#,
        "prices.openai in ",
        "prices.none in ",
    ] {
        assert!(errors.contains(name), "{name}:\n{errors}");
    }
    assert!(!errors.contains(CANARY), "{errors}");
    let no_table = ConfigFile::new(&format!("prices = \"{CANARY}\""));
    let errors = refused_start(&["--config", no_table.path()], &[]);
    assert!(
        errors.contains("must be a table") && !errors.contains(CANARY),
        "{errors}"
    );
}

#[test]
fn they_are_reloaded_or_nothing_is() {
    let server = ReloadableServer::start(TABLE);
    server.reload("[prices.ollama]\n\"*\" = { free = true }");

    let cause = server.refuse(&format!(
        "[prices.ollama]\n\"*\" = {{ free = \"{CANARY}\" }}"
    ));

    let expected = r#"prices.ollama."*".free in "#;
    assert!(cause.starts_with(expected), "{cause}");
    assert!(!server.log().contains(CANARY), "{}", server.log());
}

#[test]
fn the_day_of_the_builtin_ones_is_logged_at_start() {
    let server = Server::start(&[]);
    let line = server.wait_for_log("the settings", |line| {
        line["message"] == "settings in effect"
    });
    assert_eq!(line["prices"], Prices::date());
}
