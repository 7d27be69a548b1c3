//! Addresses, passwords, access rights and TLS.

use std::path::Path;
use std::process::Command;

use aisbreaker_quota::shared::{InvalidStore, SharedEngine, SharedOptions, StoreAddress};
use tokio::time::timeout;

use crate::oracle::number;
use crate::redis_server::{RedisServer, free_port, skipped};
use crate::support::{
    PATIENCE, options, options_with_lease, per_day, remaining, start, wait_until_down,
    wait_until_up,
};

const PASSWORD: &str = "Pz7tBk4xMv9qWn2rLc6y";
/// The rights that an engine needs.
const RIGHTS: [&str; 9] = [
    "+fcall",
    "+fcall_ro",
    "+function|load",
    "+mget",
    "+get",
    "+set",
    "+setex",
    "+time",
    "~{aisbreaker}:*",
];

/// No part of the password is in `text`.
fn assert_hides_password(text: &str) {
    for piece in PASSWORD.as_bytes().windows(12) {
        assert!(!text.contains(str::from_utf8(piece).unwrap()), "{text}");
    }
}

#[test]
fn addresses_are_parsed_or_rejected_without_being_repeated() {
    let good = [
        "redis://127.0.0.1",
        "redis://127.0.0.1:6379/3",
        "redis://u:p@h/1",
        "redis://:p@h",
        "rediss://h:6380",
        "valkey://h",
        "valkeys://h:1",
        "redis+cluster://a:1,b:2",
        "rediss+cluster://u:p@a:1,b:2/",
        "redis://[::1]:6379",
        "redis+unix:///run/redis.sock",
        "redis://u:p%40%2F%3A@h",
    ];
    for url in good {
        assert!(StoreAddress::parse(url).is_ok(), "{url}");
        assert_eq!(
            format!("{:?}", StoreAddress::parse(url).unwrap()),
            "StoreAddress(..)"
        );
    }
    let bad = [
        "",
        "redis",
        "127.0.0.1:6379",
        "http://h",
        "redis://",
        "redis://h:99999",
        "redis://h/zero",
        "redis://h/-1",
        "rediss://h#insecure",
        "redis://h#x",
        "redis+cluster://",
        "redis+cluster://a:1,b:2/3",
        "redis+sentinel://h",
        "redis+clusters://h",
        "unix+cluster://h",
        "redis+cluster://a:1,,b:2",
        "redis://0.0.0.0",
        "Pz7tBk4xMv9qWn2rLc6y",
    ];
    for url in bad {
        assert_eq!(
            StoreAddress::parse(url).err(),
            Some(InvalidStore::Url),
            "{url}"
        );
    }
    assert_hides_password(&InvalidStore::Url.to_string());
}

#[tokio::test]
async fn prefixes_without_spaces_and_braces_are_valid() {
    for (prefix, is_good) in [
        ("a", true),
        ("a-1:b", true),
        ("", false),
        ("a b", false),
        ("{a}", false),
        ("a\n", false),
    ] {
        let mut options = SharedOptions::default();
        options.prefix = prefix.to_owned();
        let address = StoreAddress::parse("redis://127.0.0.1:1").unwrap();
        assert_eq!(
            SharedEngine::start(address, options).is_ok(),
            is_good,
            "{prefix:?}"
        );
    }
    let mut options = SharedOptions::default();
    options.prefix = "a".repeat(101);
    assert_eq!(options.check(), Err(InvalidStore::Prefix));
}

#[tokio::test]
async fn wrong_password_is_reported_and_never_repeated() {
    let Some(redis) = RedisServer::start(&["--requirepass", "right:/@word"]) else {
        return;
    };
    let port = redis.port;
    let url = |password: &str| format!("redis://:{password}@127.0.0.1:{port}/");
    for wrong in [format!("redis://127.0.0.1:{port}/"), url(PASSWORD)] {
        let engine = start(&wrong, options());
        let cause = wait_until_down(&engine).await;
        assert!(
            cause.contains("NOAUTH")
                || cause.contains("WRONGPASS")
                || cause.contains("authentication"),
            "{cause}"
        );
        assert_hides_password(&format!("{cause} {engine:?} {:?}", engine.states()));
    }
    wait_until_up(&start(&url("right%3A%2F%40word"), options())).await;
}

#[tokio::test]
async fn databases_are_separate() {
    let Some(redis) = RedisServer::start(&[]) else {
        return;
    };
    let at = |database: u8| start(&format!("{}{database}", redis.url()), options());
    let (one, two) = (at(1), at(2));
    wait_until_up(&one).await;
    wait_until_up(&two).await;
    one.charge(&per_day("a", 9), number(4)).await.unwrap();
    assert_eq!(
        (
            remaining(&one, &per_day("a", 9)).await,
            remaining(&two, &per_day("a", 9)).await
        ),
        (5, 9)
    );
}

#[tokio::test]
async fn documented_rights_suffice_and_each_is_necessary() {
    let Some(redis) = RedisServer::start(&[]) else {
        return;
    };
    let url = format!("redis://gate:{PASSWORD}@127.0.0.1:{}/", redis.port);
    let grant = |rights: &[&str]| {
        let password = format!(">{PASSWORD}");
        let user = [
            &["ACL", "SETUSER", "gate", "reset", "on", &password],
            rights,
        ]
        .concat();
        assert_eq!(redis.cli(&user).trim(), "OK");
        redis.cli(&["FUNCTION", "FLUSH"]);
    };
    grant(&RIGHTS);
    let engine = start(&url, options_with_lease(10));
    wait_until_up(&engine).await;
    let charges = per_day("a", 1_000);
    for _ in 0..50 {
        engine.charge(&charges, number(1)).await.unwrap();
    }
    engine.peek(&charges).await.unwrap();

    // The others are only needed now and then, see the next test.
    for missing in RIGHTS
        .iter()
        .filter(|right| !["+fcall_ro", "+get", "+set"].contains(right))
    {
        let rights: Vec<&str> = RIGHTS
            .iter()
            .copied()
            .filter(|right| right != missing)
            .collect();
        grant(&rights);
        let cause = wait_until_down(&start(&url, options())).await;
        assert!(
            cause.contains("NOPERM") || cause.contains("response error"),
            "{missing}: {cause}"
        );
    }
}

#[tokio::test]
async fn peek_and_release_need_the_other_rights() {
    let Some(redis) = RedisServer::start(&[]) else {
        return;
    };
    let charges = per_day("a", 1_000);
    for (missing, object) in [("+fcall_ro", "fcall_ro"), ("+get", "get"), ("+set", "set")] {
        redis.cli(&["ACL", "LOG", "RESET"]);
        let rights = RIGHTS.iter().copied().filter(|right| *right != missing);
        let password = format!(">{PASSWORD}");
        let user = ["ACL", "SETUSER", "gate", "reset", "on", &password]
            .into_iter()
            .chain(rights);
        assert_eq!(redis.cli(&user.collect::<Vec<_>>()).trim(), "OK");
        let url = format!("redis://gate:{PASSWORD}@127.0.0.1:{}/", redis.port);
        let engine = start(&url, options_with_lease(10));
        wait_until_up(&engine).await;

        let denied = timeout(PATIENCE, async {
            while !redis
                .cli(&["ACL", "LOG"])
                .lines()
                .any(|line| line == object)
            {
                let _either = engine.charge(&charges, number(1)).await;
                let _either = engine.peek(&charges).await;
            }
        });
        denied
            .await
            .unwrap_or_else(|_elapsed| panic!("{missing} is not needed"));
    }
}

/// Creates a CA, and the key and certificate of a server with this name.
fn create_certificates(directory: &Path, name: &str) {
    let script = format!(
        "set -e
         openssl req -x509 -newkey rsa:2048 -nodes -days 2 \
           -keyout ca.key -out ca.crt -subj /CN=authority
         openssl req -newkey rsa:2048 -nodes -keyout redis.key -out redis.csr -subj /CN={name}
         printf 'subjectAltName=DNS:{name}' > san
         openssl x509 -req -in redis.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 \
           -out redis.crt -extfile san"
    );
    let output = Command::new("sh")
        .args(["-c", &script])
        .current_dir(directory)
        .output()
        .expect("a shell");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Starts a server with the certificates in `directory`. Returns its port for TLS as well.
fn start_tls_server(directory: &Path) -> Option<(RedisServer, u16)> {
    let file = |name: &str| directory.join(name).to_str().unwrap().to_owned();
    let port = free_port();
    let redis = RedisServer::start(&[
        "--tls-port",
        &port.to_string(),
        "--tls-auth-clients",
        "no",
        "--tls-cert-file",
        &file("redis.crt"),
        "--tls-key-file",
        &file("redis.key"),
        "--tls-ca-cert-file",
        &file("ca.crt"),
    ])?;
    Some((redis, port))
}

#[tokio::test]
async fn tls_certificate_must_match_the_host_and_a_trusted_ca() {
    if Command::new("openssl").arg("version").output().is_err() {
        assert!(
            std::env::var_os("AISBREAKER_REQUIRE_REDIS").is_none(),
            "AISBREAKER_REQUIRE_REDIS is set, and openssl is not installed"
        );
        return skipped("openssl is not installed");
    }
    let directory = std::env::temp_dir().join(format!("aisbreaker-tls-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    create_certificates(&directory, "localhost");
    let Some((redis, port)) = start_tls_server(&directory) else {
        return;
    };
    let ca = std::fs::read(directory.join("ca.crt")).unwrap();
    let url = |host: &str| format!("rediss://{host}:{port}/");
    let trusting = |url: &str| {
        let address = StoreAddress::parse_with_ca(url, &ca).unwrap();
        SharedEngine::start(address, options()).unwrap()
    };

    wait_until_up(&trusting(&url("localhost"))).await;
    let refused = [
        ("unknown CA", start(&url("localhost"), options())),
        ("another host", trusting(&url("127.0.0.1"))),
    ];
    for (row, engine) in refused {
        let cause = wait_until_down(&engine).await;
        assert!(
            cause.contains("TLS") || cause.contains("I/O error"),
            "{row}: {cause}"
        );
    }
    let no_certificate = StoreAddress::parse_with_ca(&url("localhost"), b"no certificate");
    assert_eq!(no_certificate.err(), Some(InvalidStore::CaCertificate));
    assert_eq!(
        StoreAddress::parse_with_ca(&redis.url(), &ca).err(),
        Some(InvalidStore::CaCertificate)
    );
    std::fs::remove_dir_all(&directory).unwrap();
}
