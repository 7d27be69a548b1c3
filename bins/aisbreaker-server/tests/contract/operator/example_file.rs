//! The example of a configuration file in `contrib/`: up to date, and usable.

use crate::support::{ConfigFile, KEY, run};

const FILE: &str = include_str!("../../../contrib/aisbreaker.toml");

#[test]
fn it_is_what_the_program_prints() {
    let output = run(&["check", "--example"], &[]);

    assert!(output.status.success());
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(
        printed == FILE,
        "print it anew: cargo run -p aisbreaker-server -- check --example > \
         bins/aisbreaker-server/contrib/aisbreaker.toml\n{printed}"
    );
}

#[test]
fn as_it_is_it_sets_nothing() {
    let file = ConfigFile::new(FILE);

    let output = run(&["check", "--print", "--config", file.path()], &[]);

    assert!(output.status.success());
    let printed = String::from_utf8(output.stdout).unwrap();
    let mut set = printed.lines().filter(|line| !line.contains(" default "));
    assert!(set.next().unwrap().starts_with("AISBREAKER_CONFIG "));
    assert_eq!(set.next(), None, "{printed}");
}

#[test]
fn every_setting_in_it_can_be_used() {
    let mut text = String::new();
    for line in FILE.lines() {
        let Some(setting) = line.strip_prefix('#') else {
            continue;
        };
        // Lines of text, and of files that are not there.
        let names_a_file = setting.contains("/etc/aisbreaker/");
        if setting.is_empty() || setting.starts_with(' ') || names_a_file {
            continue;
        }
        text.push_str(setting);
        text.push('\n');
    }
    for (key, secret) in [
        ("keys.sealing", KEY),
        ("default_api_key", "aisbreaker_example"),
        ("mint.secret", "a-long-secret"),
        ("admin_secret", "a-long-secret"),
    ] {
        let empty = format!("{key} = \"\"");
        assert!(text.contains(&empty), "{empty} is not in:\n{text}");
        text = text.replace(&empty, &format!("{key} = \"{secret}\""));
    }
    let file = ConfigFile::new(&text);

    let output = run(&["check", "--print", "--config", file.path()], &[]);

    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{errors}\n{text}");
    let printed = String::from_utf8(output.stdout).unwrap();
    let unset: Vec<&str> = printed
        .lines()
        .filter(|line| line.contains(" default "))
        .collect();
    // What no file can hold, and what was left out.
    for line in unset {
        let name = line.split(' ').next().unwrap();
        let is_expected = name == "PORT" || name.contains("_file");
        assert!(is_expected, "{line}");
    }
}
