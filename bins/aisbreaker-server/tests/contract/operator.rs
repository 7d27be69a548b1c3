//! What the operator configures, and what logs and traces show.

mod ask;
mod check;
mod command_line;
mod doctor;
mod example_file;
mod healthcheck;
mod listen_address;
mod log_fields;
mod logs;
mod metrics;
mod notify;
mod openapi;
mod pages;
mod prices;
mod reload;
mod secret_files;
mod setting_messages;
mod settings;
mod settings_file;
mod silent_traps;
mod tls;
#[cfg(feature = "otel")]
mod traces;
