//! What a key allows, how it is narrowed, and how it ends.

mod command_line;
mod exchange;
mod minting_options;
