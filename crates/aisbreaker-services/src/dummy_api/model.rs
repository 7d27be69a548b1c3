//! The models of the dummy.

use aisbreaker_api::ServiceId;
use http::StatusCode;

use super::fault::Fault;
use crate::services::dummy::{DEFAULT_GREETING, answer_to};

const ECHO: &str = "echo";
const ERROR: &str = "error-";

/// The models of the dummy that lists of models show. There is also one for every error status, such as
/// `dummy/error-429`.
pub const DUMMY_MODELS: [&str; 2] = ["dummy", "dummy/echo"];

/// A model of the dummy.
#[derive(Debug)]
pub(super) struct Model {
    /// The name that answers report.
    pub(super) name: String,
    behaviour: Behaviour,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Behaviour {
    /// Greets, and repeats what it was asked in a sentence.
    Greet,
    /// Repeats what it was asked, and nothing else.
    Echo,
    /// Fails with this status.
    Fail(StatusCode),
    /// There is no such model.
    Unknown,
}

impl Model {
    /// Returns the model that a service id such as `chat:dummy/echo` names.
    pub(super) fn of(service_id: &ServiceId) -> Self {
        let name = service_id.as_str();
        let (_, name) = name.split_once(':').unwrap_or(("", name));
        Self::named(name)
    }

    /// Returns the model of a name such as `dummy/echo`.
    pub(super) fn named(name: &str) -> Self {
        let (_, engine) = name.split_once('/').unwrap_or((name, ""));
        Self {
            name: name.trim_end_matches('/').to_owned(),
            behaviour: match engine {
                "" => Behaviour::Greet,
                ECHO => Behaviour::Echo,
                _ => match error_status(engine) {
                    Some(status) => Behaviour::Fail(status),
                    None => Behaviour::Unknown,
                },
            },
        }
    }

    pub(super) fn exists(&self) -> bool {
        self.behaviour != Behaviour::Unknown
    }

    /// Fails if the model does, or if there is none.
    pub(super) fn refuse(&self) -> Result<(), Fault> {
        match self.behaviour {
            Behaviour::Greet | Behaviour::Echo => Ok(()),
            Behaviour::Fail(status) => Err(Fault::asked_for(status, &self.name)),
            Behaviour::Unknown => Err(Fault::unknown_model()),
        }
    }

    /// Returns the text of the answer to a text.
    pub(super) fn text_for(&self, text: &str) -> String {
        match self.behaviour {
            Behaviour::Greet => answer_to(text, DEFAULT_GREETING),
            Behaviour::Echo | Behaviour::Fail(_) | Behaviour::Unknown => text.to_owned(),
        }
    }
}

/// Returns the status of an engine such as `error-429`.
fn error_status(engine: &str) -> Option<StatusCode> {
    let code = engine.strip_prefix(ERROR)?;
    let status: StatusCode = code.parse().ok()?;
    (status.is_client_error() || status.is_server_error()).then_some(status)
}
