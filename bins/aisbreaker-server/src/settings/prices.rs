//! The operator's price table: a whole table, which only the configuration file can hold.

use aisbreaker_services::{
    Providers,
    prices::{OperatorPrices, Prices},
};
use toml::Value;

use super::{
    effective::{EffectiveValue, file_values},
    faults::Faults,
    sources::Sources,
};

const PRICES: &str = "prices";

/// Reads the tables `[prices."<provider>"]`, and returns the prices with them and the values as they
/// may be shown. The providers are those of the table with the operator's rows.
pub(super) fn read(
    sources: &mut Sources,
    providers: &Providers,
    faults: &mut Faults,
) -> (Prices, Vec<EffectiveValue>) {
    let prices = Prices::builtin();
    let Some(value) = sources.take_from_file(PRICES) else {
        return (prices, Vec::new());
    };
    let values = file_values(PRICES, &value);
    let Value::Table(table) = value else {
        faults.add(&sources.in_file(PRICES), "must be a table");
        return (prices, values);
    };
    match OperatorPrices::read(&table, providers) {
        Ok(table) => (prices.with_table(table), values),
        Err(invalid) => {
            for price in invalid {
                let name = sources.in_file(&format!("{PRICES}.{}", price.path));
                faults.add(&name, price.problem);
            }
            (prices, values)
        }
    }
}
