//! Rows about the built-in price table.

use aisbreaker_services::{
    Providers, Tokens,
    prices::{Prices, read_builtin_again},
};

use crate::{cpu::sample, row::Measurement};

pub(crate) fn rows() -> Vec<Measurement> {
    vec![
        Measurement::absolute(
            "reading the price table, once in a process",
            "ns",
            1e6,
            || sample(read_builtin_again),
        ),
        Measurement::absolute("finding a price, and what a call costs", "ns", 1e3, || {
            let provider = Providers::builtin()
                .find("openai.com")
                .expect("it is built in")
                .clone();
            let prices = Prices::builtin();
            let mut tokens = Tokens::default();
            (tokens.input, tokens.output) = (Some(1_000), Some(100));
            sample(move || {
                let price = prices.find(&provider, "gpt-5-2025-08-07");
                price.map(|price| price.cost(&tokens))
            })
        }),
    ]
}
