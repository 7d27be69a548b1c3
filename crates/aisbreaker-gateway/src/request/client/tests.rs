use http::HeaderValue;

use super::*;

fn headers(name: &HeaderName, lines: &[&str]) -> HeaderMap {
    lines
        .iter()
        .map(|line| (name.clone(), HeaderValue::from_str(line).unwrap()))
        .collect()
}

fn proxies() -> Vec<IpNet> {
    ["10.0.0.0/8", "fd00::/8"]
        .iter()
        .map(|net| net.parse().unwrap())
        .collect()
}

/// Returns the client of a request from a trusted proxy with these lines of `X-Forwarded-For`.
fn behind_a_proxy(lines: &[&[u8]]) -> IpAddr {
    let lines = lines
        .iter()
        .map(|line| (X_FORWARDED_FOR, HeaderValue::from_bytes(line).unwrap()));
    client_address("10.0.0.1".parse().unwrap(), &lines.collect(), &proxies())
}

#[test]
fn client_is_the_right_most_untrusted_address() {
    let rows: [(&str, &[&str], &str); 16] = [
        ("192.0.2.1", &["198.51.100.7"], "192.0.2.1"),
        ("192.0.2.1", &["198.51.100.7, 10.0.0.1"], "192.0.2.1"),
        ("2001:db8::1", &["198.51.100.7"], "2001:db8::1"),
        ("10.0.0.1", &[], "10.0.0.1"),
        ("10.0.0.1", &["198.51.100.7"], "198.51.100.7"),
        ("fd00::1", &["198.51.100.7"], "198.51.100.7"),
        ("::ffff:10.0.0.1", &["198.51.100.7"], "198.51.100.7"),
        ("::ffff:192.0.2.1", &["198.51.100.7"], "192.0.2.1"),
        (
            "10.0.0.1",
            &["1.1.1.1, 198.51.100.7, 10.2.3.4"],
            "198.51.100.7",
        ),
        (
            "10.0.0.1",
            &["1.1.1.1", "198.51.100.7", "10.2.3.4"],
            "198.51.100.7",
        ),
        (
            "10.0.0.1",
            &["1.1.1.1, 198.51.100.7", "10.2.3.4, fd00::1"],
            "198.51.100.7",
        ),
        (
            "10.0.0.1",
            &["198.51.100.7", "1.1.1.1, 10.2.3.4"],
            "1.1.1.1",
        ),
        ("10.0.0.1", &["2001:db8::7, fd00::1"], "2001:db8::7"),
        ("10.0.0.1", &["10.0.0.9, 10.0.0.8"], "10.0.0.9"),
        ("10.0.0.1", &["10.0.0.9", "10.0.0.8"], "10.0.0.9"),
        (
            "10.0.0.1",
            &["::ffff:10.0.0.9, ::ffff:10.0.0.8"],
            "10.0.0.9",
        ),
    ];
    for (peer, lines, expected) in rows {
        let found = client_address(
            peer.parse().unwrap(),
            &headers(&X_FORWARDED_FOR, lines),
            &proxies(),
        );
        assert_eq!(
            found,
            expected.parse::<IpAddr>().unwrap(),
            "{peer} {lines:?}"
        );
    }
}

#[test]
fn an_address_is_read_in_every_form_that_proxies_write() {
    let rows = [
        ("198.51.100.7", "198.51.100.7"),
        ("198.51.100.7:4711", "198.51.100.7"),
        ("198.51.100.7:0", "198.51.100.7"),
        ("  198.51.100.7  ", "198.51.100.7"),
        ("\t198.51.100.7:4711\t", "198.51.100.7"),
        ("2001:db8::7", "2001:db8::7"),
        ("2001:DB8::A", "2001:db8::a"),
        ("2001:0db8:0000:0000:0000:0000:0000:0007", "2001:db8::7"),
        ("[2001:db8::7]", "2001:db8::7"),
        ("[2001:db8::7]:4711", "2001:db8::7"),
        (" [2001:DB8::7]:65535 ", "2001:db8::7"),
        ("::ffff:198.51.100.7", "198.51.100.7"),
        ("::FFFF:C633:6407", "198.51.100.7"),
        ("[::ffff:198.51.100.7]", "198.51.100.7"),
        ("[::ffff:198.51.100.7]:4711", "198.51.100.7"),
        ("[fe80::1%2]:80", "fe80::1"),
    ];
    for (entry, expected) in rows {
        let expected: IpAddr = expected.parse().unwrap();
        for line in [
            entry.to_owned(),
            format!("1.1.1.1,{entry}"),
            format!("1.1.1.1, {entry} ,10.2.3.4"),
        ] {
            assert_eq!(behind_a_proxy(&[line.as_bytes()]), expected, "{line:?}");
        }
        assert_eq!(
            behind_a_proxy(&[b"1.1.1.1", entry.as_bytes()]),
            expected,
            "{entry:?} on a line of its own"
        );
    }
}

#[test]
fn the_walk_stops_at_an_unreadable_entry() {
    let unreadable: [&[u8]; 40] = [
        b"",
        b" ",
        b"\t",
        b"garbage",
        b"unknown",
        b"_hidden",
        b"_hidden:4711",
        b"localhost",
        b"client.example",
        b"\"198.51.100.7\"",
        b"\"[2001:db8::7]:4711\"",
        b"'198.51.100.7'",
        b"for=198.51.100.7",
        b"for=\"[2001:db8::7]\"",
        b"198.51.100.7;proto=https",
        b"198.51.100.7 198.51.100.8",
        b"198.51.100.7/32",
        b"198.51.100",
        b"198.51.100.7.",
        b"198.51.100.256",
        b"198.051.100.007",
        b"0xc6.51.100.7",
        b"3325256711",
        b"198.51.100.7:",
        b"198.51.100.7:65536",
        b"198.51.100.7:port",
        b"[198.51.100.7]",
        b"[198.51.100.7]:80",
        b"2001:db8::7::",
        b"2001:db8::7%eth0",
        b"fe80::1%2",
        b"[fe80::1%eth0]:80",
        b"[fe80::1%2]",
        b"[2001:db8::7",
        b"2001:db8::7]",
        b"[[2001:db8::7]]",
        b"[2001:db8::7]:",
        b"[2001:db8::7]4711",
        b"\xff\xfe",
        "１９８.51.100.7".as_bytes(),
    ];
    let named = |address: &str| address.parse::<IpAddr>().unwrap();
    for entry in unreadable {
        let text = String::from_utf8_lossy(entry);
        let joined = |before: &[u8], after: &[u8]| [before, entry, after].concat();
        // Alone, right-most, between trusted proxies, and left of where the walk ends.
        assert_eq!(behind_a_proxy(&[entry]), named("10.0.0.1"), "{text:?}");
        assert_eq!(
            behind_a_proxy(&[&joined(b"198.51.100.7,", b"")]),
            named("10.0.0.1"),
            "{text:?}"
        );
        assert_eq!(
            behind_a_proxy(&[b"198.51.100.7", entry]),
            named("10.0.0.1"),
            "{text:?}"
        );
        assert_eq!(
            behind_a_proxy(&[&joined(b"198.51.100.7,", b",10.2.3.4")]),
            named("10.2.3.4"),
            "{text:?}"
        );
        assert_eq!(
            behind_a_proxy(&[entry, b"10.2.3.4"]),
            named("10.2.3.4"),
            "{text:?}"
        );
        assert_eq!(
            behind_a_proxy(&[&joined(b"", b",198.51.100.7")]),
            named("198.51.100.7"),
            "{text:?}"
        );
    }
}

#[test]
fn ten_thousand_entries_are_read_from_the_right() {
    let long = |entry: &str| vec![entry; 10_000].join(",");
    let spoofed =
        (0..10_000_u32).map(|i| IpAddr::from((0x0b00_0000 | i).to_be_bytes()).to_string());
    let spoofed = spoofed.collect::<Vec<_>>().join(", ");
    let rows = [
        (format!("{spoofed}, 198.51.100.7"), "198.51.100.7"),
        (format!("198.51.100.7,{}", long("10.2.3.4")), "198.51.100.7"),
        (long("10.2.3.4"), "10.2.3.4"),
        (format!("198.51.100.7{}", ",".repeat(10_000)), "10.0.0.1"),
        (format!("198.51.100.7,{}", long("unknown")), "10.0.0.1"),
    ];
    for (line, expected) in rows {
        let expected: IpAddr = expected.parse().unwrap();
        assert_eq!(
            behind_a_proxy(&[line.as_bytes()]),
            expected,
            "{}",
            &line[..60]
        );
        // The same entries, one per line.
        let lines: Vec<&[u8]> = line
            .split(',')
            .map(|entry| entry.trim().as_bytes())
            .collect();
        assert_eq!(behind_a_proxy(&lines), expected, "{} in lines", &line[..60]);
    }
}

#[test]
fn other_fields_that_name_clients_are_ignored_even_from_a_trusted_proxy() {
    let rows = [
        ("forwarded", "for=198.51.100.7"),
        (
            "forwarded",
            "for=\"[2001:db8::7]:4711\";by=10.0.0.1;proto=https, for=198.51.100.8",
        ),
        ("forwarded", "for=unknown, for=_hidden"),
        ("x-real-ip", "198.51.100.7"),
        ("x-client-ip", "198.51.100.7"),
        ("x-cluster-client-ip", "198.51.100.7"),
        ("x-forwarded", "198.51.100.7"),
        ("x-original-forwarded-for", "198.51.100.7"),
        ("true-client-ip", "198.51.100.7"),
        ("cf-connecting-ip", "198.51.100.7"),
        ("fastly-client-ip", "198.51.100.7"),
        ("via", "1.1 198.51.100.7"),
    ];
    let peer = "10.0.0.1".parse().unwrap();
    for (name, value) in rows {
        let mut fields = headers(&name.parse().unwrap(), &[value]);
        assert_eq!(
            client_address(peer, &fields, &proxies()),
            peer,
            "{name}: {value}"
        );

        // Nor do they affect the one that is read.
        fields.insert(X_FORWARDED_FOR, HeaderValue::from_static("192.0.2.9"));
        let named: IpAddr = "192.0.2.9".parse().unwrap();
        assert_eq!(
            client_address(peer, &fields, &proxies()),
            named,
            "{name}: {value}"
        );
    }
}
