//! The server's command line, for processes that exit by themselves.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    process::{Command, Output, Stdio},
};

const BINARY: &str = env!("CARGO_BIN_EXE_aisbreaker-server");

/// Runs the server until it exits, which it must do by itself.
pub(crate) fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = server_command(arguments);
    set_environment(&mut command, environment);
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut stdout = child.stdout.take().expect("its standard output");
    let mut stderr = BufReader::new(child.stderr.take().expect("its standard error"));
    let mut errors = Vec::new();
    while stderr
        .read_until(b'\n', &mut errors)
        .expect("its standard error")
        > 0
    {
        // A server that starts although it must not is killed rather than waited for.
        if String::from_utf8_lossy(&errors).contains("listening") {
            let _killed = child.kill();
        }
    }
    let mut printed = Vec::new();
    stdout
        .read_to_end(&mut printed)
        .expect("its standard output");
    Output {
        status: child.wait().expect("a status"),
        stdout: printed,
        stderr: errors,
    }
}

/// Runs a server that must refuse to start with these settings, and returns its error output.
pub(crate) fn refused_start(arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let output = run(arguments, environment);
    let errors = String::from_utf8(output.stderr).expect("an explanation in UTF-8");
    assert!(
        !output.status.success() && output.status.code().is_some(),
        "it started: {errors}"
    );
    errors
}

pub(super) fn server_command(arguments: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command.args(arguments);
    command
}

/// A server that listens on any port, started by a shell after `setup`.
pub(super) fn shell_command(setup: &str) -> Command {
    let mut command = Command::new("sh");
    command.args([
        "-c",
        &format!("{setup} && exec \"$0\" \"$@\""),
        BINARY,
        "--listen",
        "127.0.0.1:0",
    ]);
    command
}

/// Sets the whole environment: nothing of that of the tests reaches the server.
pub(super) fn set_environment(command: &mut Command, environment: &[(&str, &str)]) {
    command.env_clear().envs(environment.iter().copied());
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
}
