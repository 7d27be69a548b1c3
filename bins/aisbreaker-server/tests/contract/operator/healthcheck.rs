//! `aisbreaker-server healthcheck`: whether the server of this machine is ready.

use crate::support::{ConfigFile, KEY, Provider, Server, run};

/// Runs `healthcheck`. Returns its exit code and its errors.
fn healthcheck(arguments: &[&str], environment: &[(&str, &str)]) -> (Option<i32>, String) {
    let output = run(&[&["healthcheck"], arguments].concat(), environment);
    assert!(output.stdout.is_empty());
    (
        output.status.code(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

const HEALTHY: (Option<i32>, String) = (Some(0), String::new());

#[test]
fn server_that_listens_as_the_settings_say_is_asked() {
    let hosts = ("AISBREAKER_PUBLIC_HOSTS", "api.example.com");
    let sealing = ("AUTH_ENCRYPTION_KEYPHRASE", KEY);
    for any in ["0.0.0.0", "[::]", "127.0.0.1", "localhost"] {
        let listen = format!("{any}:0");
        let server = Server::start_with(&["--listen", &listen], &[sealing, hosts]);
        let port = server.address().port().to_string();
        let listen = format!("{any}:{port}");
        let file = ConfigFile::new(&format!("listen = \"{listen}\"\n"));

        assert_eq!(healthcheck(&["--listen", &listen], &[]), HEALTHY, "{any}");
        assert_eq!(
            healthcheck(&[], &[("AISBREAKER_LISTEN", &listen)]),
            HEALTHY,
            "{any}"
        );
        assert_eq!(
            healthcheck(&["--config", file.path()], &[hosts]),
            HEALTHY,
            "{any}"
        );
    }
}

#[test]
fn port_variable_and_other_settings_do_not_matter() {
    let server = Server::start(&[]);
    let environment = [
        ("PORT", &*server.address().port().to_string()),
        // Not read: keys take time, and their faults are those of the server.
        ("AUTH_ENCRYPTION_KEYPHRASE_FILE", "/no/such/file"),
    ];
    assert_eq!(healthcheck(&[], &environment), HEALTHY);
}

#[test]
fn server_that_is_not_ready_is_unhealthy() {
    let provider = Provider::start(|_, wire| {
        wire.respond(503, &[("Content-Length", "0")], "");
    });
    let address = provider.address().to_string();
    let (code, errors) = healthcheck(&["--listen", &address], &[]);
    assert_eq!(code, Some(1));
    assert!(
        errors.contains(&format!("{address} is not ready: status 503")),
        "{errors}"
    );

    let closed = crate::support::closed_url();
    let address = closed
        .strip_prefix("http://")
        .unwrap()
        .trim_end_matches('/');
    let (code, errors) = healthcheck(&["--listen", address], &[]);
    assert_eq!(code, Some(1));
    assert!(
        errors.contains(&format!("{address} does not answer: ")),
        "{errors}"
    );

    let (code, errors) = healthcheck(&["--listen", "127.0.0.1:0"], &[]);
    assert_eq!(code, Some(1));
    assert!(errors.contains("set a fixed one"), "{errors}");
}
