//! How a WebSocket ends: by either side, by the server, or by a broken connection.

use std::{sync::mpsc, time::Duration};

use serde_json::json;
use tungstenite::{
    Message,
    protocol::{CloseFrame, frame::coding::CloseCode},
};

use super::{echoing_provider, key, key_with, open};
use crate::support::{
    PATIENCE, Provider, ReloadableServer, Request, Server,
    websocket::{ProviderWebSocket, handshake, read_close},
};

/// Starts a provider that reports the end of each WebSocket: the close frame, if there is one.
fn reporting_provider(
    begin: impl Fn(&mut ProviderWebSocket) + Send + Sync + 'static,
) -> (Provider, mpsc::Receiver<Option<(u16, String)>>) {
    let (report, reported) = mpsc::channel();
    let provider = Provider::start(move |request, wire| {
        let mut websocket = wire.agree(request, &[]);
        begin(&mut websocket);
        let mut closed = None;
        loop {
            match websocket.read() {
                Ok(Message::Close(Some(CloseFrame { code, reason }))) => {
                    closed = Some((code.into(), reason.to_string()));
                }
                Ok(_) => {}
                Err(_ended) => break,
            }
        }
        let _test_is_over = report.send(closed);
    });
    (provider, reported)
}

fn frame(code: u16, reason: &'static str) -> CloseFrame {
    CloseFrame {
        code: CloseCode::from(code),
        reason: reason.into(),
    }
}

#[test]
fn the_close_frame_of_the_client_reaches_the_provider() {
    let (provider, closed) = reporting_provider(|_| {});
    let server = Server::with_loopback_egress(&[]);
    let request = open(&key(&server, &provider)).header("x-request-id", "closed");
    let (_, mut websocket) = server.open_websocket(&request);

    websocket.close(Some(frame(4001, "done"))).unwrap();

    assert_eq!(read_close(&mut websocket).0, 4001);
    let expected = Some((4001, "done".to_owned()));
    assert_eq!(closed.recv_timeout(PATIENCE).unwrap(), expected);
    let line = server.wait_for_request("closed");
    assert_eq!(
        (&line["close_code"], &line["error"]),
        (&json!(4001), &json!(null))
    );
}

#[test]
fn the_close_frame_of_the_provider_reaches_the_client() {
    let (provider, _closed) = reporting_provider(|websocket| {
        websocket.send("last".into()).unwrap();
        websocket
            .close(Some(frame(3000, "your hour is over")))
            .unwrap();
    });
    let server = Server::with_loopback_egress(&[]);
    let request = open(&key(&server, &provider)).header("x-request-id", "closed");
    let (_, mut websocket) = server.open_websocket(&request);

    assert_eq!(websocket.read().unwrap().to_text().unwrap(), "last");
    let expected = (3000, "your hour is over".to_owned());
    assert_eq!(read_close(&mut websocket), expected);
    assert!(websocket.read().is_err(), "the connection ends");
    let line = server.wait_for_request("closed");
    assert_eq!(
        (&line["close_code"], &line["error"]),
        (&json!(3000), &json!("provider_error"))
    );
}

#[test]
fn a_provider_that_closes_as_it_should_has_not_failed() {
    for (code, error) in [
        (1000, json!(null)),
        (1001, json!(null)),
        (1011, json!("provider_error")),
    ] {
        let (provider, _closed) = reporting_provider(move |websocket| {
            websocket.close(Some(frame(code, ""))).unwrap();
        });
        let server = Server::with_loopback_egress(&[]);
        let request = open(&key(&server, &provider)).header("x-request-id", "closed");
        let (_, mut websocket) = server.open_websocket(&request);
        assert_eq!(read_close(&mut websocket).0, code);
        assert!(websocket.read().is_err(), "the connection ends");
        let line = server.wait_for_request("closed");
        assert_eq!(
            (&line["close_code"], &line["error"]),
            (&json!(code), &error)
        );
    }
}

#[test]
fn a_cut_is_passed_on_as_one() {
    let provider = Provider::start(|request, wire| {
        let mut websocket = wire.agree(request, &[]);
        websocket.send("half".into()).unwrap();
        wire.write([0x81, 100, b'x']);
        wire.close();
    });
    let server = Server::with_loopback_egress(&[]);
    let request = open(&key(&server, &provider)).header("x-request-id", "cut");
    let (_, mut websocket) = server.open_websocket(&request);
    assert_eq!(websocket.read().unwrap().to_text().unwrap(), "half");
    assert!(websocket.read().is_err());
    let line = server.wait_for_request("cut");
    assert_eq!(
        (&line["error"], &line["status"]),
        (&json!("provider_cut"), &json!(101))
    );

    let (provider, closed) = reporting_provider(|_| {});
    let request = open(&key(&server, &provider)).header("x-request-id", "left");
    let (_, websocket) = server.open_websocket(&request);
    drop(websocket);
    assert_eq!(closed.recv_timeout(PATIENCE).unwrap(), None);
    let line = server.wait_for_request("left");
    assert_eq!(
        (&line["error"], &line["close_code"]),
        (&json!("client_left"), &json!(null))
    );
}

#[test]
fn both_sides_learn_that_the_server_shuts_down() {
    let (provider, closed) = reporting_provider(|_| {});
    let mut server = Server::with_loopback_egress(&[]);
    let request = open(&key(&server, &provider)).header("x-request-id", "drained");
    let (_, mut websocket) = server.open_websocket(&request);

    server.start_draining();

    let expected = (
        1001,
        "this server is shutting down; connect again".to_owned(),
    );
    assert_eq!(read_close(&mut websocket), expected);
    assert_eq!(closed.recv_timeout(PATIENCE).unwrap(), Some(expected));
    drop(websocket);
    let line = server.wait_for_request("drained");
    assert_eq!(line["error"], "draining", "{line}");
    let (status, _log) = server.wait_for_exit();
    assert!(status.success());
}

#[test]
fn a_close_frame_never_breaks_a_frame_that_is_passing() {
    let provider = Provider::start(|request, wire| {
        let _websocket = wire.agree(request, &[]);
        // The first half of a frame of 6 bytes, and the rest once the server drains.
        wire.write([0x81, 6, b'a', b'b', b'c']);
        wire.pause(Duration::from_secs(1));
        wire.write([b'd', b'e', b'f']);
        wire.write([0x81, 1, b'x']);
        wire.hold();
    });
    let server = Server::with_loopback_egress(&[]);
    let (_, mut websocket) = server.open_websocket(&open(&key(&server, &provider)));

    server.start_draining();

    assert_eq!(websocket.read().unwrap().to_text().unwrap(), "abcdef");
    assert_eq!(read_close(&mut websocket).0, 1001);
}

#[test]
fn a_websocket_that_is_idle_or_open_for_too_long_is_closed() {
    for (setting, reason) in [
        ("AISBREAKER_WEBSOCKET_IDLE_TIMEOUT", "nothing was sent"),
        ("AISBREAKER_WEBSOCKET_LIFETIME", "as long as it may"),
    ] {
        let (provider, closed) = reporting_provider(|_| {});
        let server = Server::with_loopback_egress(&[(setting, "1s")]);
        let request = open(&key(&server, &provider)).header("x-request-id", "timed out");
        let (_, mut websocket) = server.open_websocket(&request);

        let (code, text) = read_close(&mut websocket);

        assert_eq!(code, 1001);
        assert!(text.contains(reason), "{text}");
        assert_eq!(closed.recv_timeout(PATIENCE).unwrap(), Some((code, text)));
    }
}

#[test]
fn a_websocket_ends_with_its_key() {
    let provider = echoing_provider();
    let server = Server::with_loopback_egress(&[]);
    let short = key_with(&server, &provider, &json!({"expirationTimeSpan": "2s"}));
    let (_, mut expiring) = server.open_websocket(&open(&short));
    let long = key(&server, &provider);
    let (_, mut revoked) = server.open_websocket(&open(&long));
    let revocation = Request::post("/api/v1/oauth/revoke", format!("token={long}"))
        .set("Content-Type", "application/x-www-form-urlencoded");
    assert_eq!(server.send(&revocation).status, 200);

    assert_eq!(
        read_close(&mut expiring),
        (1008, "the key has expired".to_owned())
    );
    assert_eq!(
        read_close(&mut revoked),
        (1008, "the key is revoked".to_owned())
    );
}

/// Whatever of the settings it was: a WebSocket goes on with those that it began with.
#[test]
fn clients_connect_anew_once_the_settings_are_reloaded() {
    let (provider, closed) = reporting_provider(|_| {});
    let settings = "egress.allow = [\"127.0.0.0/8\"]\negress.allow_callers = true\n";
    let server = ReloadableServer::start(settings);
    let key = key(&server, &provider);
    let sockets = [open(&key), handshake("/v1/responses").bearer(&key)];
    let mut sockets = sockets.map(|request| server.open_websocket(&request).1);

    server.reload(&format!(
        "{settings}revoked_before = \"2100-01-01T00:00:00Z\"\n"
    ));

    let text = "the settings of this server have changed; connect again";
    let expected = (1001, text.to_owned());
    for websocket in &mut sockets {
        assert_eq!(read_close(websocket), expected);
        let reported = closed.recv_timeout(PATIENCE).unwrap();
        assert_eq!(reported, Some(expected.clone()));
    }
    assert_eq!(server.send(&open(&key)).status, 401);
}

#[test]
fn an_open_websocket_is_not_evicted_for_a_new_connection() {
    let provider = echoing_provider();
    let server = Server::with_loopback_egress(&[("AISBREAKER_MAX_CONNECTIONS", "2")]);
    let key = key(&server, &provider);
    let (_, mut websocket) = server.open_websocket(&open(&key));
    websocket.read().unwrap();
    let mut idle = server.connect();
    assert_eq!(idle.send(&Request::get("/api/v1/ping")).status, 200);
    // For longer than a connection is given that only waits for its client.
    idle.wait_in_vain(Duration::from_secs(3));

    // On a busy machine the first may not be given the place in time.
    let ping = Request::get("/api/v1/ping");
    let is_served = (0..1000).any(|_| server.send(&ping).status == 200);
    assert!(is_served, "no connection gives way");
    assert_eq!(idle.read_to_end(), b"", "the other one gave way");
    websocket.send("still here".into()).unwrap();
    assert_eq!(websocket.read().unwrap().to_text().unwrap(), "still here");
}
