//! What the operator configures, and what logs and traces show.

mod ask;
mod command_line;
mod doctor;
mod listen_address;
mod log_fields;
mod logs;
mod notify;
mod openapi;
mod reload;
mod settings;
mod settings_file;
#[cfg(feature = "otel")]
mod traces;
