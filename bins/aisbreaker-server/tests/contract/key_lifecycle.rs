//! What a key allows, how it is narrowed, and how it ends.

mod minting_options;
