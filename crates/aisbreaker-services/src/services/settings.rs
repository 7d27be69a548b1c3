//! What an operator may set about one service.

use aisbreaker_api::Origin;

/// What an operator may set about a service that calls a provider.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ServiceSettings {
    /// The engine if the caller names none, in place of the service's own default.
    pub engine: Option<String>,
    /// Origins to which sealed secrets may go in addition to those in the key.
    pub operator_origins: Vec<Origin>,
}

impl ServiceSettings {
    /// Sets the engine if the caller names none.
    #[must_use]
    pub fn with_engine(mut self, engine: impl Into<String>) -> Self {
        self.engine = Some(engine.into());
        self
    }

    /// Sets the origins to which sealed secrets may go in addition to those in the key.
    #[must_use]
    pub fn with_operator_origins(mut self, origins: Vec<Origin>) -> Self {
        self.operator_origins = origins;
        self
    }
}
