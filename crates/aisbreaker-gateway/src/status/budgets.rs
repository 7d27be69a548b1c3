//! The statuses of refusals by budgets.

use http::{HeaderName, HeaderValue, StatusCode, header::RETRY_AFTER};

use crate::{
    budgets::{
        account::Unit,
        demand::Unbounded,
        refusal::{BudgetError, BudgetExceeded},
    },
    clock::ceil_seconds,
    failure::{ErrorType, Failure},
};

/// With this field, the SDKs of OpenAI and Anthropic do not try again.
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");
/// The longest wait in seconds after which clients may try again by themselves.
const LONGEST_RETRY: u64 = 60;

impl From<BudgetError> for Failure {
    fn from(error: BudgetError) -> Self {
        match error {
            BudgetError::Exceeded(exceeded) => Self::from(*exceeded),
            BudgetError::PriceUnknown { provider, model } => Self::new(
                StatusCode::FORBIDDEN,
                format!(
                    "the key has a budget in dollars, and the price of the model {model} at {provider} is \
                     not known; the operator of this server can set it as prices.\"{provider}\".\"{model}\""
                ),
            )
            .with_type(ErrorType::PriceUnknown)
            .with_param("model"),
            BudgetError::Unbounded(what) => Self::new(
                StatusCode::BAD_REQUEST,
                match what {
                    Unbounded::Input => {
                        "the key reserves strictly (budgets.reserve), and what the request reads is not \
                         all in its body: send it as text, without references, media and the provider's \
                         tools, or use a model whose context window is known"
                    }
                    Unbounded::Output => {
                        "the key reserves strictly (budgets.reserve), and the most that the model writes \
                         is not known: send max_tokens"
                    }
                },
            ),
            BudgetError::Volatile => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "the key has a budget for longer than a day, and this server forgets its counts when it \
                 ends: it needs a state file or a shared store",
            )
            .with_type(ErrorType::StoreUnavailable),
            BudgetError::Full => Self::overloaded(
                "this server counts as many budgets as it can; try again",
            ),
            BudgetError::Unrecorded(cause) => Self::overloaded(
                "this server cannot record what the budget of the key may have spent at the moment, and \
                 so takes no requests with it; try again",
            )
            .with_type(ErrorType::StoreUnavailable)
            .with_cause(cause.to_string()),
            BudgetError::Unavailable(cause) => Self::overloaded(
                "this server cannot count budgets at the moment, and so takes no requests with them; try \
                 again",
            )
            .with_type(ErrorType::StoreUnavailable)
            .with_cause(cause.to_string()),
        }
    }
}

impl From<BudgetExceeded> for Failure {
    fn from(exceeded: BudgetExceeded) -> Self {
        let error_type = match exceeded.unit {
            _ if exceeded.is_spent() => ErrorType::BudgetSpent,
            Unit::Tokens => ErrorType::TokensExceeded,
            Unit::Usd => ErrorType::BudgetExceeded,
        };
        let status = if exceeded.is_spent() {
            StatusCode::PAYMENT_REQUIRED
        } else {
            StatusCode::TOO_MANY_REQUESTS
        };
        let mut failure = Self::new(status, exceeded.message()).with_type(error_type);
        if exceeded.is_spent() {
            return failure.with_kind("insufficient_quota");
        }
        let seconds = exceeded.retry_after.map(|wait| ceil_seconds(wait).max(1));
        if let Some(seconds) = seconds {
            failure = failure.with_header(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if seconds.is_none_or(|seconds| seconds > LONGEST_RETRY) {
            failure = failure.with_header(SHOULD_RETRY, HeaderValue::from_static("false"));
        }
        match exceeded.unit {
            Unit::Tokens => failure,
            Unit::Usd => failure.with_kind("insufficient_quota"),
        }
    }
}
