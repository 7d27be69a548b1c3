//! What a key allows, how it is narrowed, and how it ends.

mod caller_chosen_addresses;
mod callers_without_a_key;
mod command_line;
mod minting_options;
