//! The providers that the log and the metrics name: those of the provider table, and `other`.

use std::{collections::HashMap, sync::Arc};

use aisbreaker_services::Providers;
use arc_swap::ArcSwap;

/// What stands for every provider that is not in the table, since callers choose such names.
const OTHER: &str = "other";

/// The providers by all their names.
#[derive(Debug)]
pub(crate) struct KnownProviders {
    by_name: ArcSwap<HashMap<String, Arc<KnownProvider>, foldhash::fast::RandomState>>,
    other: Arc<KnownProvider>,
}

/// A provider of the table, or all others.
#[derive(Debug)]
pub(crate) struct KnownProvider {
    name: String,
}

impl KnownProviders {
    pub(crate) fn new() -> Self {
        Self {
            by_name: ArcSwap::default(),
            other: Arc::new(KnownProvider::new(OTHER)),
        }
    }

    /// Adds the providers of a table. Those that were added before stay.
    pub(crate) fn add(&self, table: &Providers) {
        let mut by_name = (**self.by_name.load()).clone();
        for row in table.iter() {
            let known = match by_name.get(&row.id) {
                Some(known) if known.name == row.id => Arc::clone(known),
                Some(_) | None => Arc::new(KnownProvider::new(&row.id)),
            };
            for name in row.names() {
                by_name.insert(name.to_owned(), Arc::clone(&known));
            }
        }
        self.by_name.store(Arc::new(by_name));
    }

    /// Returns the provider with this id or alias.
    pub(crate) fn find(&self, name: Option<&str>) -> Arc<KnownProvider> {
        let by_name = self.by_name.load();
        let known = name.and_then(|name| by_name.get(name));
        Arc::clone(known.unwrap_or(&self.other))
    }
}

impl KnownProvider {
    fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
        }
    }

    /// Returns its id, or `other`.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}
