//! What a service manager learns through `NOTIFY_SOCKET`.

use std::{
    os::{
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr, UnixDatagram},
    },
    path::{Path, PathBuf},
};

use rustix::time::{ClockId, clock_gettime};

use crate::support::{ConfigFile, KEY, PATIENCE, Server};

const ABSTRACT: &str = "aisbreaker-test-of-notifications";

/// The service manager's end of the socket.
struct Manager(UnixDatagram);

impl Manager {
    fn receive(&self) -> String {
        let mut bytes = [0; 200];
        let length = self.0.recv(&mut bytes).expect("a datagram");
        String::from_utf8(bytes[..length].to_vec()).expect("UTF-8")
    }
}

/// A path in the directory of this test, without a file.
fn unused_path(name: &str) -> PathBuf {
    let name = format!("{name}-{}", std::process::id());
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _removed = std::fs::remove_file(&path);
    path
}

fn start(notify_socket: &str, config: &ConfigFile) -> Server {
    Server::start_with(
        &["--listen", "127.0.0.1:0", "--config", config.path()],
        &[
            ("AUTH_ENCRYPTION_KEYPHRASE", KEY),
            ("NOTIFY_SOCKET", notify_socket),
        ],
    )
}

fn monotonic_micros() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let micros = now.tv_sec * 1_000_000 + now.tv_nsec / 1_000;
    u64::try_from(micros).expect("a time after the boot")
}

/// Asserts that the next two messages are those of a reload, at a time that is right.
fn assert_reload(manager: &Manager, server: &Server) {
    let before = monotonic_micros();
    server.signal("HUP");
    let reloading = manager.receive();
    let after = monotonic_micros();
    let (state, time) = reloading.split_once('\n').expect("two lines");
    assert_eq!(state, "RELOADING=1");
    let micros = time.strip_prefix("MONOTONIC_USEC=").expect("the time");
    let micros: u64 = micros.parse().expect("a number");
    assert!(
        (before..=after).contains(&micros),
        "{before} {micros} {after}"
    );
    assert_eq!(manager.receive(), "READY=1");
}

#[test]
fn the_service_manager_learns_of_the_start_of_reloads_and_of_the_end() {
    let path = unused_path("notify");
    let name = format!("{ABSTRACT}-{}", std::process::id());
    let in_abstract = SocketAddr::from_abstract_name(&name).expect("an abstract name");
    let rows = [
        (
            path.to_str().expect("UTF-8").to_owned(),
            SocketAddr::from_pathname(&path).expect("a path"),
        ),
        (format!("@{name}"), in_abstract),
    ];
    for (notify_socket, address) in rows {
        let socket = UnixDatagram::bind_addr(&address).expect("a socket");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let manager = Manager(socket);
        let config = ConfigFile::new("");
        let mut server = start(&notify_socket, &config);
        assert_eq!(manager.receive(), "READY=1", "{notify_socket}");
        assert_eq!(server.get("/readyz").status, 200);

        assert_reload(&manager, &server);
        config.replace("no_setting = 1");
        assert_reload(&manager, &server);

        server.signal("TERM");
        assert_eq!(manager.receive(), "STOPPING=1", "{notify_socket}");
        let (status, log) = server.wait_for_exit();
        assert_eq!(status.code(), Some(0), "{log}");
        assert!(!log.contains("NOTIFY_SOCKET"), "{log}");
        manager.0.set_nonblocking(true).expect("no waiting");
        assert!(manager.0.recv(&mut [0]).is_err(), "nothing more");
    }
}

#[test]
fn an_unusable_socket_is_one_warning() {
    let path = unused_path("nobody");
    for notify_socket in [
        path.to_str().expect("UTF-8"),
        "a/relative/path",
        "vsock:2:1234",
    ] {
        let config = ConfigFile::new("");
        let mut server = start(notify_socket, &config);
        server.signal("HUP");
        server.wait_for_log("the reload", |line| {
            let text = line["message"].as_str().unwrap_or_default();
            text.starts_with("SIGHUP")
        });
        assert_eq!(server.get("/readyz").status, 200);
        server.signal("TERM");
        let (status, log) = server.wait_for_exit();
        assert_eq!(status.code(), Some(0), "{log}");
        assert_eq!(log.matches("NOTIFY_SOCKET").count(), 1, "{log}");
    }
}
