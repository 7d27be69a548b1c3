//! Contract section 1: where the server listens.

use crate::support::{ConfigFile, KEY, Provider, Server, refused_start};

#[test]
fn port_variable_sets_the_port() {
    let server = Server::start_with(&[], &[("PORT", "0"), ("AUTH_ENCRYPTION_KEYPHRASE", KEY)]);

    assert!(server.address().ip().is_loopback());
    assert_eq!(server.get("/api/v1/ping").status, 200);
    // A listen address takes precedence, since it is more specific.
    let occupied = Provider::trap();
    let environment = [
        ("PORT", &*occupied.port().to_string()),
        ("AISBREAKER_LISTEN", "127.0.0.1:0"),
    ];
    assert_eq!(
        Server::start_with(&[], &environment)
            .get("/api/v1/ping")
            .status,
        200
    );
}

#[test]
fn port_variable_replaces_only_the_port_of_the_file() {
    let occupied = Provider::trap();
    let file = ConfigFile::new(&format!("listen = \"127.0.0.1:{}\"\n", occupied.port()));
    let environment = [("PORT", "0"), ("AUTH_ENCRYPTION_KEYPHRASE", KEY)];

    let server = Server::start_with(&["--config", file.path()], &environment);
    assert_ne!(server.address().port(), occupied.port());
    assert_eq!(server.get("/api/v1/ping").status, 200);

    let elsewhere = ConfigFile::new("listen = \"127.0.0.2:1\"\n");
    let server = Server::start_with(&["--config", elsewhere.path()], &environment);
    assert_eq!(server.address().ip().to_string(), "127.0.0.2");
    assert_ne!(server.address().port(), 1);

    let environment = [
        ("PORT", &*occupied.port().to_string()),
        ("AUTH_ENCRYPTION_KEYPHRASE", KEY),
    ];
    let arguments = ["--config", elsewhere.path(), "--listen", "127.0.0.1:0"];
    assert_eq!(
        Server::start_with(&arguments, &environment)
            .address()
            .ip()
            .to_string(),
        "127.0.0.1"
    );
}

#[test]
fn occupied_port_is_reported() {
    let occupied = Provider::trap();

    let errors = refused_start(
        &["--listen", &occupied.address().to_string()],
        &[("AUTH_ENCRYPTION_KEYPHRASE", KEY)],
    );

    assert!(
        errors.contains(&occupied.address().to_string()) && !errors.contains("panicked"),
        "{errors}"
    );
}
