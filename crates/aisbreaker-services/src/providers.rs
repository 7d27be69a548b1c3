//! The provider table: which providers there are, where they are called, which dialects they
//! support, and how they expect their secret.
//!
//! The built-in table is `providers.toml`; [`Providers::with_rows`] adds further rows.

mod provider;
mod rows;

use std::{collections::BTreeMap, fmt, sync::Arc};

pub use self::{
    provider::{AuthScheme, Dialect, DialectConfig, Provider},
    rows::{InvalidProvider, ProviderRows},
};
use crate::usage::UsageRule;

const BUILTIN: &str = include_str!("providers.toml");
/// The name of the dummy, a provider that answers without a network.
pub const DUMMY_PROVIDER: &str = "dummy";
/// The dummy, which is no row of the table: it is called without a network.
const DUMMY_ROWS: &str = r#"
[[provider]]
id = "dummy"
openai = "/v1"
anthropic = "/v1"
secret = "optional"
stream_usage = true
"#;

/// The provider table; cheap to clone.
#[derive(Clone)]
pub struct Providers {
    rows: Arc<Vec<Arc<Provider>>>,
    usage: Arc<BTreeMap<String, Arc<UsageRule>>>,
    dummy: Option<Arc<Provider>>,
}

impl Providers {
    /// Returns the table that comes with this crate.
    #[must_use]
    pub fn builtin() -> Self {
        let empty = Self {
            rows: Arc::default(),
            usage: Arc::default(),
            dummy: None,
        };
        // A test checks that the table is valid.
        let Ok(rows) = toml::from_str(BUILTIN) else {
            return empty;
        };
        let Ok(table) = empty.with_rows(rows) else {
            return empty;
        };
        Self {
            dummy: table.read_dummy(),
            ..table
        }
    }

    fn read_dummy(&self) -> Option<Arc<Provider>> {
        let rows: ProviderRows = toml::from_str(DUMMY_ROWS).ok()?;
        let row = rows.providers.into_iter().next()?;
        let provider = row.into_provider(&self.usage).ok()?;
        Some(Arc::new(Provider {
            is_dummy: true,
            ..provider
        }))
    }

    /// Returns this table with more rows. A row with an id or alias that is in the table already
    /// replaces that one, in its place.
    ///
    /// # Errors
    /// [`InvalidProvider`] for the first row that cannot be used.
    pub fn with_rows(&self, more: ProviderRows) -> Result<Self, InvalidProvider> {
        let mut usage = (*self.usage).clone();
        for (name, rule) in more.usage {
            usage.insert(name, Arc::new(rule));
        }
        let mut rows = (*self.rows).clone();
        for row in more.providers {
            let provider = row.into_provider(&usage)?;
            let is_replaced = |known: &Arc<Provider>| share_a_name(known, &provider);
            let at = rows.iter().position(is_replaced).unwrap_or(rows.len());
            rows.retain(|known| !is_replaced(known));
            rows.insert(at, Arc::new(provider));
        }
        Ok(Self {
            rows: Arc::new(rows),
            usage: Arc::new(usage),
            dummy: self.dummy.clone(),
        })
    }

    /// Returns the rows in their order, without the dummy.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Provider>> {
        self.rows.iter()
    }

    /// Returns the dummy, unless a row has its name.
    #[must_use]
    pub fn dummy(&self) -> Option<&Arc<Provider>> {
        let provider = self.find(DUMMY_PROVIDER)?;
        provider.is_dummy().then_some(provider)
    }

    /// Returns the provider with this id or alias. A row with the name of the dummy takes its place.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Arc<Provider>> {
        let is_named = |provider: &&Arc<Provider>| provider.names().any(|known| known == name);
        let row = self.rows.iter().find(is_named);
        row.or_else(|| self.dummy.as_ref().filter(is_named))
    }

    /// Returns the first provider that supports this dialect.
    #[must_use]
    pub fn first(&self, dialect: Dialect) -> Option<&Arc<Provider>> {
        self.rows
            .iter()
            .find(|provider| provider.dialect(dialect).is_some())
    }
}

fn share_a_name(one: &Provider, other: &Provider) -> bool {
    one.names()
        .any(|name| other.names().any(|known| known == name))
}

impl Default for Providers {
    fn default() -> Self {
        Self::builtin()
    }
}

impl fmt::Debug for Providers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.rows.iter().map(|provider| &provider.id))
            .finish()
    }
}
