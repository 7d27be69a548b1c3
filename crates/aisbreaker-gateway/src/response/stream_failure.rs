//! Why a stream ended in an error.

use crate::failure::ErrorType;

/// Why a stream ended in an error, for the log.
#[derive(Clone, Debug)]
pub(crate) struct StreamFailure {
    pub(crate) error_type: ErrorType,
    pub(crate) cause: String,
}
