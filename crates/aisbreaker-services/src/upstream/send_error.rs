//! Errors of the HTTP client as errors of a call, with the texts that clients of the server know.

use std::error::Error;

use aisbreaker_egress::{BudgetSpent, CollectError, Failure, Refusal, SendError, Stage};

use crate::{
    call_failure::CallFailure,
    destination::Destination,
    error::{ErrorDetail, ServiceError},
};

impl From<SendError> for ServiceError {
    fn from(error: SendError) -> Self {
        explained(&error, error.clone())
    }
}

/// Returns the error of a call that failed before the head of its answer was complete.
pub(crate) fn no_answer(error: SendError, destination: &Destination) -> ServiceError {
    let is_cut = error == SendError::Cut;
    let failure = CallFailure::new(error, destination);
    if !is_cut {
        return explained(failure.send_error(), failure.clone());
    }
    let text = "the connection to the service broke before its answer came, or what came is not \
                valid HTTP; try again";
    ServiceError::NoAnswer(ErrorDetail::new(text).with_source(failure))
}

/// Returns the error with the text for callers, and this cause.
fn explained(error: &SendError, cause: impl Error + Send + Sync + 'static) -> ServiceError {
    let detail = |text: String| ErrorDetail::new(text).with_source(cause);
    match error {
        SendError::Forbidden(refusal) => {
            ServiceError::Forbidden(detail(refusal_text(*refusal).to_owned()))
        }
        SendError::Unreachable(failure) => ServiceError::Unreachable(detail(failure_text(failure))),
        SendError::Busy => {
            let text = "too many calls to this service are under way; try again";
            ServiceError::Overloaded(detail(text.to_owned()))
        }
        SendError::Timeout(stage) => ServiceError::Timeout(detail(timeout_text(*stage).to_owned())),
        SendError::TransferCoding => {
            let text = "the service's answer has a transfer coding that was not asked for";
            ServiceError::BadAnswer(detail(text.to_owned()))
        }
        SendError::Cut => {
            let text = "the service's answer was cut short or is not valid HTTP";
            ServiceError::BadAnswer(detail(text.to_owned()))
        }
    }
}

impl From<CollectError> for ServiceError {
    fn from(error: CollectError) -> Self {
        match error {
            CollectError::Broken(error) => error.into(),
            CollectError::TooLong { limit_bytes } => too_long(limit_bytes),
            CollectError::BudgetSpent(spent) => spent.into(),
        }
    }
}

impl From<BudgetSpent> for ServiceError {
    fn from(spent: BudgetSpent) -> Self {
        let text = format!("this server is overloaded: {spent}; try again");
        Self::Overloaded(ErrorDetail::new(text).with_source(spent))
    }
}

/// Returns the error of an answer that is longer than its limit.
pub(crate) fn too_long(limit_bytes: usize) -> ServiceError {
    let text = format!("the service's answer is longer than {limit_bytes} bytes");
    let source = CollectError::TooLong { limit_bytes };
    ServiceError::BadAnswer(ErrorDetail::new(text).with_source(source))
}

fn refusal_text(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::Scheme => {
            "this server calls services over https only, unless its operator allows the address \
             (egress.allow; for a url of callers also egress.allow_callers)"
        }
        Refusal::Address => {
            "this server calls public addresses only, unless its operator allows the address \
             (egress.allow; for a url of callers also egress.allow_callers)"
        }
        Refusal::InvalidUrl => "the host of the address has characters that cannot be used",
    }
}

/// Returns the text; the words after `Error` are those that clients of the original server look for.
fn failure_text(failure: &Failure) -> String {
    match failure {
        Failure::Resolution { host } => format!(
            "there is no host {host}; check the url of the service (Error: getaddrinfo ENOTFOUND {host})"
        ),
        Failure::Refused => {
            "the service refuses connections; check its url, or try again later (Error: connect \
             ECONNREFUSED)"
                .to_owned()
        }
        Failure::Tls => {
            "Error: the TLS connection to the service failed; its url may need http, or its \
                         certificate is not valid"
                .to_owned()
        }
        Failure::Network => {
            "Error: the service could not be reached; check its url, or try again later".to_owned()
        }
    }
}

fn timeout_text(stage: Stage) -> &'static str {
    match stage {
        Stage::Connect => "the connection to the service took too long",
        Stage::Response => "the service took too long to answer",
        Stage::Idle => "the service stopped in the middle of its answer for too long",
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;

    #[test]
    fn an_unknown_host_has_the_text_that_clients_look_for() {
        let unknown = SendError::Unreachable(Failure::Resolution {
            host: "no-such-host.example".to_owned(),
        });

        let text = "there is no host no-such-host.example; check the url of the service (Error: \
                    getaddrinfo ENOTFOUND no-such-host.example)";
        let error = ServiceError::from(unknown.clone());
        assert_eq!(error, ServiceError::Unreachable(text.into()));
        let source = error.source().unwrap();
        assert_eq!(source.downcast_ref(), Some(&unknown));
    }
}
