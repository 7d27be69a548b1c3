//! What one check has found.

use std::fmt;

use serde_json::{Value, json};

/// The outcome of one check.
pub(super) struct Finding {
    /// What was checked, in a word.
    check: &'static str,
    pub(super) status: Status,
    message: String,
    /// What to do, unless all is well.
    advice: Option<&'static str>,
}

#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) enum Status {
    Ok,
    /// It works, and may be a mistake.
    Warn,
    Fail,
    /// There was nothing to check.
    Skip,
}

impl Finding {
    pub(super) fn ok(check: &'static str, message: impl Into<String>) -> Self {
        Self::new(check, Status::Ok, message.into(), None)
    }

    pub(super) fn skip(check: &'static str, message: impl Into<String>) -> Self {
        Self::new(check, Status::Skip, message.into(), None)
    }

    pub(super) fn warn(
        check: &'static str,
        message: impl Into<String>,
        advice: &'static str,
    ) -> Self {
        Self::new(check, Status::Warn, message.into(), Some(advice))
    }

    pub(super) fn fail(
        check: &'static str,
        message: impl Into<String>,
        advice: &'static str,
    ) -> Self {
        Self::new(check, Status::Fail, message.into(), Some(advice))
    }

    fn new(
        check: &'static str,
        status: Status,
        message: String,
        advice: Option<&'static str>,
    ) -> Self {
        Self {
            check,
            status,
            message,
            advice,
        }
    }

    pub(super) fn to_json(&self) -> Value {
        json!({
            "check": self.check,
            "status": self.status.name(),
            "message": self.message,
            "advice": self.advice,
        })
    }
}

/// Returns the finding of a fault in the settings.
pub(super) fn of_fault(fault: &str) -> Finding {
    Finding::fail(
        "settings",
        fault,
        "mend the setting; --help lists all of them",
    )
}

impl Status {
    fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
            Self::Skip => "skip",
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            check,
            status,
            message,
            advice,
        } = self;
        write!(f, "{:<5}{check:<9} {message}", status.name())?;
        match advice {
            Some(advice) => write!(f, "\n     -> {advice}"),
            None => Ok(()),
        }
    }
}
