//! What shells and `man` get of the command line.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use crate::support::run;

/// Runs a subcommand that must succeed, and returns what it printed.
fn printed(arguments: &[&str]) -> String {
    let output = run(arguments, &[]);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// The names of the subcommands, as `--help` lists them.
fn subcommands() -> Vec<String> {
    let help = printed(&["-h"]);
    let (_, after) = help.split_once("Commands:\n").unwrap();
    let lines = after.lines().take_while(|line| !line.is_empty());
    let names = lines.filter_map(|line| line.split_whitespace().next());
    let names: Vec<String> = names
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect();
    assert!(names.contains(&"keygen".to_owned()), "{help}");
    names
}

#[test]
fn every_shell_completes_every_subcommand() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = printed(&["completions", shell]);
        for name in subcommands() {
            assert!(script.contains(&name), "{shell}: {name}");
        }
        assert!(
            script.contains("metrics") || script.contains("listen"),
            "{shell}"
        );
    }
    assert_eq!(run(&["completions", "dos"], &[]).status.code(), Some(2));
}

#[test]
fn bash_takes_its_completion_script() {
    let script = printed(&["completions", "bash"]);
    let mut bash = Command::new("bash")
        .arg("-n")
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = bash.stdin.take().unwrap();
    input.write_all(script.as_bytes()).unwrap();
    drop(input);
    assert!(bash.wait().unwrap().success());
}

#[test]
fn there_is_a_manual_page_of_the_program_and_of_every_subcommand() {
    let page = printed(&["man"]);
    assert!(page.contains(".TH aisbreaker-server 1"), "{page}");
    // The settings without a flag are in it too.
    assert!(page.contains("AISBREAKER_DRAIN_TIMEOUT"), "{page}");
    for name in subcommands() {
        let title = format!(".TH aisbreaker-server-{name} 1");
        let page = printed(&["man", &name]);
        assert!(page.contains(&title), "{name}: {page}");
        let escaped = format!("aisbreaker\\-server\\-{}", name.replace('-', "\\-"));
        assert!(page.contains(&escaped), "{name}: {page}");
    }
    let unknown = run(&["man", "nothing"], &[]);
    let problem = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert_eq!(unknown.status.code(), Some(1), "{problem}");
    assert!(problem.contains("nothing is not a subcommand"), "{problem}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_reader_that_has_gone_is_no_crash() {
    // The device is always full, as a closed pipe is.
    let full = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_aisbreaker-server"))
        .arg("man")
        .stdout(full)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    let problem = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{problem}");
    assert!(!problem.contains("panic"), "{problem}");
}
