//! Calls to upstream servers over HTTP: what the services and the relay share.
//!
//! - `send`: sends a request; `send_error` explains why that failed;
//! - `headers`: the headers of a request, and those between AIsBreaker servers;
//! - `status`: the status of a response, and how long it asks the caller to wait;
//! - `answer_form`: whether an answer is a stream of events;
//! - `body`: response bodies of limited size;
//! - `error_context`: errors that name the service and hide its secret.

pub(crate) mod answer_form;
pub(crate) mod body;
pub(crate) mod error_context;
pub(crate) mod headers;
pub(crate) mod send;
pub(crate) mod send_error;
pub(crate) mod status;
