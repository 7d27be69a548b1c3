//! What is told of a panic: where it happened. Its message is not, since it may repeat a secret or
//! what a request says.

use std::panic::{Location, PanicHookInfo};

/// Until there is a log, panics are told on the terminal.
#[expect(clippy::print_stderr, reason = "there is no log yet")]
pub(crate) fn tell_terminal() {
    std::panic::set_hook(Box::new(|info| {
        eprintln!("aisbreaker-server: panicked at {}", place(info))
    }));
}

/// From now on, panics are told in the log.
pub(crate) fn tell_log() {
    std::panic::set_hook(Box::new(|info| {
        tracing::error!(place = place(info), "a fault of this server: it panicked");
    }));
}

fn place(info: &PanicHookInfo<'_>) -> String {
    info.location()
        .map_or_else(|| "an unknown place".to_owned(), Location::to_string)
}

#[cfg(test)]
mod tests {
    use std::{
        fmt,
        process::{Command, Output},
    };

    use tracing_subscriber::EnvFilter;

    use super::*;
    use crate::logging::{self, Format};

    /// No 12 bytes of it are anything else.
    const CANARY: &str = "qX7vKp2mZt9wLr4cYb8nHs3d";
    /// Tells a process of this test's own what to do.
    const PART: &str = "PANICS_TEST_PART";
    const PARTS: [&str; 3] = ["terminal", "text", "json"];

    struct PanicsWhenShown;

    impl fmt::Debug for PanicsWhenShown {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            panic!("shown: {CANARY}")
        }
    }

    /// A test of its own only in the process that the other test starts: there is one hook, and one
    /// log, in a process.
    #[test]
    #[ignore = "the test below runs it"]
    fn panics_in_a_process_of_its_own() {
        let Some(part) = std::env::var_os(PART) else {
            return;
        };
        tell_terminal();
        let log = match part.to_str() {
            Some("text") => Some(Format::Text),
            Some("json") => Some(Format::Json),
            _ => None,
        }
        .map(|format| logging::start(EnvFilter::new("trace"), format, std::num::NonZeroU64::MAX).0);

        let panics: [fn(); 5] = [
            || panic!("a text: {CANARY}"),
            || std::panic::panic_any(CANARY),
            || std::panic::panic_any(CANARY.to_owned()),
            || assert_eq!(CANARY.parse::<u8>().or(Err(CANARY)).unwrap(), 0),
            || tracing::error!(canary = ?PanicsWhenShown, "while a line is written"),
        ];
        for panic in panics {
            // Without a log, nobody shows the value of the last one.
            let _panicked = std::thread::Builder::new()
                .name(CANARY.to_owned())
                .spawn(panic)
                .unwrap()
                .join();
        }

        if let Some(log) = log {
            logging::finish(log);
        }
    }

    #[test]
    fn a_panic_tells_where_it_happened_and_not_what_it_says() {
        for part in PARTS {
            let Output {
                status,
                stdout,
                stderr,
            } = Command::new(std::env::current_exe().unwrap())
                .args([
                    "--exact",
                    "panics::tests::panics_in_a_process_of_its_own",
                    "--ignored",
                    "--nocapture",
                ])
                .env(PART, part)
                .env("RUST_BACKTRACE", "full")
                .output()
                .unwrap();

            let told = String::from_utf8([stderr, stdout].concat()).unwrap();
            assert!(
                status.success() && told.contains("1 passed"),
                "{part}: {told}"
            );
            let places = told
                .lines()
                .filter(|line| line.contains("src/panics.rs:"))
                .count();
            let expected = if part == "terminal" { 4 } else { 5 };
            assert_eq!(places, expected, "{part}: {told}");
            assert_eq!(
                told.matches("ERROR").count(),
                if part == "terminal" { 0 } else { 5 },
                "{part}: {told}"
            );
            for piece in CANARY.as_bytes().windows(12) {
                let piece = str::from_utf8(piece).unwrap();
                assert!(!told.contains(piece), "{part}: {piece} is told: {told}");
            }
        }
    }
}
