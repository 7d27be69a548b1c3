//! The server's own API, below `/api/v1`.

pub(crate) mod info;
pub(crate) mod introspect;
pub(crate) mod jwks;
pub(crate) mod metadata;
pub(crate) mod openapi;
pub(crate) mod process;
pub(crate) mod quota;
pub(crate) mod revoke;
pub(crate) mod token;
