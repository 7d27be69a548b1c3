//! Addresses, passwords, rights and TLS.

use std::path::Path;
use std::process::Command;

use aisbreaker_quota::Charge;
use aisbreaker_quota::shared::{InvalidStore, SharedEngine, SharedOptions, StoreAddress};

use tokio::time::timeout;

use crate::redis_server::{RedisServer, free_port, skipped};
use crate::{PATIENCE, cause, is_up, number, options, per_day, remaining, start};

const PASSWORD: &str = "Pz7tBk4xMv9qWn2rLc6y";
/// All that an engine may need.
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

fn assert_is_secret(shown: &str) {
    for piece in PASSWORD.as_bytes().windows(12) {
        assert!(!shown.contains(str::from_utf8(piece).unwrap()), "{shown}");
    }
}

#[test]
fn addresses_are_read_or_refused_without_being_repeated() {
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
    assert_is_secret(&InvalidStore::Url.to_string());
}

#[tokio::test]
async fn prefixes_are_words() {
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
async fn a_wrong_password_is_told_as_such_and_never_repeated() {
    let Some(redis) = RedisServer::start(&["--requirepass", "right:/@word"]) else {
        return;
    };
    let port = redis.port;
    let url = |password: &str| format!("redis://:{password}@127.0.0.1:{port}/");
    for wrong in [format!("redis://127.0.0.1:{port}/"), url(PASSWORD)] {
        let engine = start(&wrong, options());
        let told = cause(&engine).await;
        assert!(
            told.contains("NOAUTH")
                || told.contains("WRONGPASS")
                || told.contains("authentication"),
            "{told}"
        );
        assert_is_secret(&format!("{told} {engine:?} {:?}", engine.states()));
    }
    is_up(&start(&url("right%3A%2F%40word"), options())).await;
}

#[tokio::test]
async fn databases_are_apart() {
    let Some(redis) = RedisServer::start(&[]) else {
        return;
    };
    let at = |database: u8| start(&format!("{}{database}", redis.url()), options());
    let (one, two) = (at(1), at(2));
    is_up(&one).await;
    is_up(&two).await;
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
async fn these_rights_suffice_and_none_of_them_can_be_left_out() {
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
    let mut leasing = options();
    leasing.lease = Some(number(10));
    let engine = start(&url, leasing);
    is_up(&engine).await;
    let charges = [Charge::new(
        "a",
        aisbreaker_quota::Limits::per_day(number(1_000)),
    )];
    for _ in 0..50 {
        engine.charge(&charges, number(1)).await.unwrap();
    }
    engine.peek(&charges).await.unwrap();

    // Those for what is only done now and then are seen where it is done.
    for left_out in RIGHTS
        .iter()
        .filter(|right| !["+fcall_ro", "+get", "+set"].contains(right))
    {
        let rights: Vec<&str> = RIGHTS
            .iter()
            .copied()
            .filter(|right| right != left_out)
            .collect();
        grant(&rights);
        let told = cause(&start(&url, options())).await;
        assert!(
            told.contains("NOPERM") || told.contains("response error"),
            "{left_out}: {told}"
        );
    }
}

#[tokio::test]
async fn peeking_and_giving_back_need_the_rest_of_the_rights() {
    let Some(redis) = RedisServer::start(&[]) else {
        return;
    };
    let charges = per_day("a", 1_000);
    for (left_out, object) in [("+fcall_ro", "fcall_ro"), ("+get", "get"), ("+set", "set")] {
        redis.cli(&["ACL", "LOG", "RESET"]);
        let rights = RIGHTS.iter().copied().filter(|right| *right != left_out);
        let password = format!(">{PASSWORD}");
        let user = ["ACL", "SETUSER", "gate", "reset", "on", &password]
            .into_iter()
            .chain(rights);
        assert_eq!(redis.cli(&user.collect::<Vec<_>>()).trim(), "OK");
        let mut leasing = options();
        leasing.lease = Some(number(10));
        let engine = start(
            &format!("redis://gate:{PASSWORD}@127.0.0.1:{}/", redis.port),
            leasing,
        );
        is_up(&engine).await;

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
            .unwrap_or_else(|_elapsed| panic!("nobody missed {left_out}"));
    }
}

/// Keys and certificates in this directory: an authority, and a server of this name.
fn certify(directory: &Path, name: &str) {
    let script = format!(
        "set -e; openssl req -x509 -newkey rsa:2048 -nodes -days 2 -keyout ca.key -out ca.crt -subj /CN=authority; \
         openssl req -newkey rsa:2048 -nodes -keyout redis.key -out redis.csr -subj /CN={name}; \
         printf 'subjectAltName=DNS:{name}' > san; \
         openssl x509 -req -in redis.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -out redis.crt -extfile san"
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

#[tokio::test]
async fn a_store_with_tls_must_be_who_it_says_by_an_authority_that_is_trusted() {
    if Command::new("openssl").arg("version").output().is_err() {
        assert!(
            std::env::var_os("AISBREAKER_REQUIRE_REDIS").is_none(),
            "there is no openssl"
        );
        return skipped("no openssl to make certificates with; install openssl");
    }
    let directory = std::env::temp_dir().join(format!("aisbreaker-tls-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    certify(&directory, "localhost");
    let file = |name: &str| directory.join(name).to_str().unwrap().to_owned();
    let (port, certificate, key, authority) = (
        free_port(),
        file("redis.crt"),
        file("redis.key"),
        file("ca.crt"),
    );
    let tls = [
        "--tls-port",
        &port.to_string(),
        "--tls-auth-clients",
        "no",
        "--tls-cert-file",
        &certificate,
    ];
    let Some(redis) = RedisServer::start(
        &[
            &tls[..],
            &["--tls-key-file", &key, "--tls-ca-cert-file", &authority],
        ]
        .concat(),
    ) else {
        return;
    };
    let authority = std::fs::read(&authority).unwrap();
    let url = |host: &str| format!("rediss://{host}:{port}/");
    let trusting = |url: &str| {
        SharedEngine::start(
            StoreAddress::parse_trusting(url, &authority).unwrap(),
            options(),
        )
        .unwrap()
    };

    is_up(&trusting(&url("localhost"))).await;
    let refused = [
        ("of nobody we know", start(&url("localhost"), options())),
        ("of another name", trusting(&url("127.0.0.1"))),
    ];
    for (row, engine) in refused {
        let told = cause(&engine).await;
        assert!(
            told.contains("TLS") || told.contains("I/O error"),
            "{row}: {told}"
        );
    }
    let no_authority = StoreAddress::parse_trusting(&url("localhost"), b"no certificate");
    assert_eq!(no_authority.err(), Some(InvalidStore::Authority));
    assert_eq!(
        StoreAddress::parse_trusting(&redis.url(), &authority).err(),
        Some(InvalidStore::Authority)
    );
    std::fs::remove_dir_all(&directory).unwrap();
}
