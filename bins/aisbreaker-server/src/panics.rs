//! Panic messages. Only the place of a panic is reported: its message may repeat a secret or the
//! content of a request.

use std::panic::{Location, PanicHookInfo};

/// Reports panics to the terminal, until there is a log.
#[expect(clippy::print_stderr, reason = "there is no log yet")]
pub(crate) fn report_to_terminal() {
    std::panic::set_hook(Box::new(|info| {
        eprintln!("aisbreaker-server: panicked at {}", location(info))
    }));
}

/// Reports panics to the log from now on.
pub(crate) fn report_to_log() {
    std::panic::set_hook(Box::new(|info| {
        tracing::error!(
            place = location(info),
            "a fault of this server: it panicked"
        );
    }));
}

fn location(info: &PanicHookInfo<'_>) -> String {
    info.location()
        .map_or_else(|| "an unknown place".to_owned(), Location::to_string)
}

#[cfg(test)]
mod tests {
    use std::{
        fmt,
        num::NonZeroU32,
        process::{Command, Output},
    };

    use tracing_subscriber::EnvFilter;

    use super::*;
    use crate::logging::{self, Format, LogOptions};

    /// No 12 bytes of it occur anywhere else.
    const CANARY: &str = "qX7vKp2mZt9wLr4cYb8nHs3d";
    /// Variable that selects what the child process does.
    const PART: &str = "PANICS_TEST_PART";
    const PARTS: [&str; 3] = ["terminal", "text", "json"];

    struct PanicsWhenShown;

    impl fmt::Debug for PanicsWhenShown {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            panic!("shown: {CANARY}")
        }
    }

    /// Runs in the child process that the other test starts, since a process has one panic hook and
    /// one log.
    #[test]
    #[ignore = "the test below runs it"]
    fn panics_in_a_child_process() {
        let Some(part) = std::env::var_os(PART) else {
            return;
        };
        report_to_terminal();
        let format = match part.to_str() {
            Some("text") => Some(Format::Text),
            Some("json") => Some(Format::Json),
            _ => None,
        };
        let log = format.map(|format| {
            let options = LogOptions {
                filter: EnvFilter::new("trace"),
                format,
                max_per_second: NonZeroU32::MAX,
            };
            logging::start(options).guard
        });

        let panics: [fn(); 5] = [
            || panic!("a text: {CANARY}"),
            || std::panic::panic_any(CANARY),
            || std::panic::panic_any(CANARY.to_owned()),
            || assert_eq!(CANARY.parse::<u8>().or(Err(CANARY)).unwrap(), 0),
            || tracing::error!(canary = ?PanicsWhenShown, "while a line is written"),
        ];
        for panic in panics {
            // Without a log, nothing formats the value of the last one.
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
    fn a_panic_is_reported_by_its_place_and_without_its_message() {
        for part in PARTS {
            let Output {
                status,
                stdout,
                stderr,
            } = Command::new(std::env::current_exe().unwrap())
                .args([
                    "--exact",
                    "panics::tests::panics_in_a_child_process",
                    "--ignored",
                    "--nocapture",
                ])
                .env(PART, part)
                .env("RUST_BACKTRACE", "full")
                .output()
                .unwrap();

            let output = String::from_utf8([stderr, stdout].concat()).unwrap();
            assert!(
                status.success() && output.contains("1 passed"),
                "{part}: {output}"
            );
            let places = output
                .lines()
                .filter(|line| line.contains("src/panics.rs:"))
                .count();
            let expected = if part == "terminal" { 4 } else { 5 };
            assert_eq!(places, expected, "{part}: {output}");
            assert_eq!(
                output.matches("ERROR").count(),
                if part == "terminal" { 0 } else { 5 },
                "{part}: {output}"
            );
            for piece in CANARY.as_bytes().windows(12) {
                let piece = str::from_utf8(piece).unwrap();
                assert!(!output.contains(piece), "{part}: {piece} in {output}");
            }
        }
    }
}
