//! What tokens cost: the built-in price table, and the operator's, which wins.
//!
//! The built-in table is `prices.tsv`, made by `benches/prices` out of public price lists. It has
//! rows for the providers of the built-in provider table, by their ids, and none for those whose
//! model names say nothing of the model, such as Azure. A model without a row has no price, which is
//! not the same as a price of zero.
//!
//! Amounts are nano-dollars: billionths of a US dollar. The provider's invoice decides what a call
//! really cost; prices of the table change without notice.

mod dollars;
mod names;
mod operator;
mod price;
mod table;

use std::{
    collections::HashMap,
    fmt,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use self::{names::Names, table::BUILTIN};
pub use self::{
    operator::{InvalidPrice, OperatorPrices},
    price::{Price, PricedReservation},
};
use crate::{Provider, dummy_api};

const SECONDS_OF_DAY: u64 = 86_400;

/// The rows of each provider, by its id.
type Rows = HashMap<String, Names>;

/// The prices of models; cheap to clone. The default are the built-in ones.
#[derive(Clone, Default)]
pub struct Prices {
    operator: Arc<Rows>,
}

impl Prices {
    /// Returns the built-in table. It is read once in a process.
    #[must_use]
    pub fn builtin() -> Self {
        Self::default()
    }

    /// Returns this table with the operator's rows, in place of those it had. They win over the
    /// built-in ones.
    #[must_use]
    pub fn with_table(self, table: OperatorPrices) -> Self {
        Self {
            operator: Arc::new(table.rows),
        }
    }

    /// Returns the price of a model of this provider, or `None` if it is not known.
    ///
    /// The operator's rows come first, then the built-in ones. Of either, the row of the exact name
    /// counts, or else the row of the name without the date at its end (`gpt-4o-2024-08-06`), or
    /// else the row of the longest prefix (`gpt-4o*`). Upper and lower case are the same. The dummy
    /// costs nothing.
    #[must_use]
    pub fn find(&self, provider: &Provider, model: &str) -> Option<Price> {
        if provider.is_dummy() {
            return Some(Price::free(dummy_api::MAX_OUTPUT_TOKENS.into()));
        }
        let model = names::canonical(model);
        let of_operator = find_in(&self.operator, &provider.id, &model);
        of_operator
            .or_else(|| BUILTIN.rows.get(provider.id.as_str())?.find(&model))
            .cloned()
    }

    /// Returns the day of the built-in table, such as `2026-11-29`.
    #[must_use]
    pub fn date() -> &'static str {
        table::date()
    }

    /// Returns the time since the beginning of that day; zero before it.
    #[must_use]
    pub fn age(now: SystemTime) -> Duration {
        let day = UNIX_EPOCH + Duration::from_secs(table::day() * SECONDS_OF_DAY);
        now.duration_since(day).unwrap_or_default()
    }
}

fn find_in<'a>(rows: &'a Rows, provider: &str, model: &str) -> Option<&'a Price> {
    rows.get(provider)?.find(model)
}

impl fmt::Debug for Prices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut providers: Vec<&String> = self.operator.keys().collect();
        providers.sort();
        f.debug_struct("Prices")
            .field("builtin", &table::date())
            .field("operator", &providers)
            .finish()
    }
}

/// Reads the built-in table anew and returns how many providers it has, to measure how long that
/// takes.
#[cfg(feature = "test-util")]
#[must_use]
pub fn read_builtin_again() -> usize {
    table::read_builtin().rows.len()
}
