//! The providers that the log and the metrics name: those of the provider table, and `other`.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use aisbreaker_services::{CallOutcome, ProviderCall, Providers, Tokens};
use arc_swap::ArcSwap;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::{MetricType, histogram::Histogram},
};

use super::{
    buckets,
    requests::{add_one, non_zero},
};
use crate::route::CalledOperation;

/// What stands for every provider that is not in the table, since callers choose such names.
const OTHER: &str = "other";
/// The kinds of tokens. No token is of two kinds.
const TOKEN_KINDS: [&str; 4] = ["input", "input_cached", "output", "output_reasoning"];

/// The most tokens of one kind that count for one request.
const MAX_TOKENS: u64 = 1 << 32;

/// The providers by all their names.
#[derive(Debug)]
pub(crate) struct KnownProviders {
    by_name: ArcSwap<ByName>,
    /// All that were ever added, so that nothing that was counted is lost. Locked to add some.
    all: Mutex<Vec<Arc<KnownProvider>>>,
    other: Arc<KnownProvider>,
}

/// A provider of the table, or all others, and what is counted of it.
pub(crate) struct KnownProvider {
    name: String,
    operations: [OnceLock<Box<CallMetrics>>; CalledOperation::COUNT],
    tokens: [AtomicU64; TOKEN_KINDS.len()],
    fallbacks: [AtomicU64; CallOutcome::ALL.len()],
}

/// The calls for one operation.
struct CallMetrics {
    outcomes: [AtomicU64; CallOutcome::ALL.len()],
    first_byte: Histogram,
    duration: Histogram,
}

type ByName = HashMap<String, Arc<KnownProvider>, foldhash::fast::RandomState>;

impl KnownProviders {
    pub(crate) fn new() -> Self {
        Self {
            by_name: ArcSwap::default(),
            all: Mutex::default(),
            other: Arc::new(KnownProvider::new(OTHER)),
        }
    }

    /// Adds the providers of a table. Those that were added before stay.
    pub(crate) fn add(&self, table: &Providers) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let mut by_name = (**self.by_name.load()).clone();
        for row in table.iter().chain(table.dummy()) {
            let known = match all.iter().find(|known| known.name == row.id) {
                Some(known) => Arc::clone(known),
                None => {
                    let new = Arc::new(KnownProvider::new(&row.id));
                    all.push(Arc::clone(&new));
                    new
                }
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

    fn sorted(&self) -> Vec<Arc<KnownProvider>> {
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let mut providers = all.clone();
        drop(all);
        providers.push(Arc::clone(&self.other));
        providers.sort_by(|one, other| one.name.cmp(&other.name));
        providers
    }
}

impl KnownProvider {
    fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            operations: [const { OnceLock::new() }; CalledOperation::COUNT],
            tokens: [const { AtomicU64::new(0) }; TOKEN_KINDS.len()],
            fallbacks: [const { AtomicU64::new(0) }; CallOutcome::ALL.len()],
        }
    }

    /// Returns its id, or `other`.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn count_call(&self, operation: CalledOperation, call: &ProviderCall) {
        let Some(place) = self.operations.get(operation.index()) else {
            return;
        };
        let metrics = place.get_or_init(|| Box::new(CallMetrics::new()));
        add_one(metrics.outcomes.get(call.outcome as usize));
        metrics.duration.observe(call.duration().as_secs_f64());
        if let Some(time) = call.time_to_answer() {
            metrics.first_byte.observe(time.as_secs_f64());
        }
    }

    /// Counts a call that was made since another one had failed.
    pub(crate) fn count_fallback(&self, outcome: CallOutcome) {
        add_one(self.fallbacks.get(outcome as usize));
    }

    pub(crate) fn count_tokens(&self, tokens: Tokens) {
        let (input, output) = (tokens.input.unwrap_or(0), tokens.output.unwrap_or(0));
        let cached = tokens.cached.unwrap_or(0).min(input);
        let reasoning = tokens.reasoning.unwrap_or(0).min(output);
        let counts = [input - cached, cached, output - reasoning, reasoning];
        for (total, count) in self.tokens.iter().zip(counts) {
            if count > 0 {
                // A provider may report anything, and must not make the total wrap.
                total.fetch_add(count.min(MAX_TOKENS), Ordering::Relaxed);
            }
        }
    }

    fn used_operations(&self) -> impl Iterator<Item = (&'static str, &CallMetrics)> {
        let places = CalledOperation::names().zip(&self.operations);
        places.filter_map(|(name, place)| Some((name, &**place.get()?)))
    }
}

impl CallMetrics {
    fn new() -> Self {
        Self {
            outcomes: [const { AtomicU64::new(0) }; CallOutcome::ALL.len()],
            first_byte: Histogram::new(buckets::FIRST_BYTE),
            duration: Histogram::new(buckets::DURATION),
        }
    }
}

impl Collector for KnownProviders {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let providers = self.sorted();
        encode_calls(&providers, &mut encoder)?;
        let (name, help) = (
            "provider_first_byte_seconds",
            "Time from a call to the beginning of the provider's answer.",
        );
        encode_histograms(&providers, &mut encoder, (name, help), |calls| {
            &calls.first_byte
        })?;
        let (name, help) = (
            "provider_duration_seconds",
            "Time from a call to the end of the provider's answer.",
        );
        encode_histograms(&providers, &mut encoder, (name, help), |calls| {
            &calls.duration
        })?;
        encode_fallbacks(&providers, &mut encoder)?;
        encode_tokens(&providers, &mut encoder)
    }
}

fn encode_calls(
    providers: &[Arc<KnownProvider>],
    encoder: &mut DescriptorEncoder<'_>,
) -> fmt::Result {
    let (name, help) = (
        "provider_calls",
        "Calls to providers, by what became of them.",
    );
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for provider in providers {
        for (operation, calls) in provider.used_operations() {
            for (outcome, count) in CallOutcome::ALL.iter().zip(&calls.outcomes) {
                let labels = [
                    ("provider", provider.name()),
                    ("operation", operation),
                    ("outcome", outcome.as_str()),
                ];
                if let Some(count) = non_zero(count) {
                    count.encode(metric.encode_family(&labels)?)?;
                }
            }
        }
    }
    Ok(())
}

fn encode_histograms(
    providers: &[Arc<KnownProvider>],
    encoder: &mut DescriptorEncoder<'_>,
    (name, help): (&str, &str),
    histogram: fn(&CallMetrics) -> &Histogram,
) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Histogram)?;
    for provider in providers {
        for (operation, calls) in provider.used_operations() {
            let labels = [("provider", provider.name()), ("operation", operation)];
            histogram(calls).encode(metric.encode_family(&labels)?)?;
        }
    }
    Ok(())
}

fn encode_fallbacks(
    providers: &[Arc<KnownProvider>],
    encoder: &mut DescriptorEncoder<'_>,
) -> fmt::Result {
    let (name, help) = (
        "fallbacks",
        "Calls to a provider that were made since the call before had failed.",
    );
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for provider in providers {
        for (outcome, count) in CallOutcome::ALL.iter().zip(&provider.fallbacks) {
            let labels = [("provider", provider.name()), ("outcome", outcome.as_str())];
            if let Some(count) = non_zero(count) {
                count.encode(metric.encode_family(&labels)?)?;
            }
        }
    }
    Ok(())
}

fn encode_tokens(
    providers: &[Arc<KnownProvider>],
    encoder: &mut DescriptorEncoder<'_>,
) -> fmt::Result {
    let (name, help) = (
        "tokens",
        "Tokens that providers reported. No token is of two kinds.",
    );
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for provider in providers {
        for (kind, count) in TOKEN_KINDS.iter().zip(&provider.tokens) {
            if let Some(count) = non_zero(count) {
                let labels = [("provider", provider.name()), ("kind", *kind)];
                count.encode(metric.encode_family(&labels)?)?;
            }
        }
    }
    Ok(())
}

impl fmt::Debug for KnownProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KnownProvider").field(&self.name).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_stand_at_the_place_of_their_variant() {
        for (place, outcome) in CallOutcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome as usize, place);
        }
    }

    #[test]
    fn only_the_table_adds_names_and_a_new_one_keeps_what_was_counted() {
        let providers = KnownProviders::new();
        let table = Providers::builtin();
        providers.add(&table);
        let openai = providers.find(Some("openai.com"));
        openai.count_fallback(CallOutcome::Ok);

        providers.add(&table);

        assert!(Arc::ptr_eq(&openai, &providers.find(Some("openai.com"))));
        assert_eq!(providers.find(Some("nobody.example")).name(), OTHER);
        assert_eq!(providers.find(None).name(), OTHER);
        let dummy = providers.find(Some("dummy"));
        assert_eq!(dummy.name(), "dummy");
        assert_eq!(providers.sorted().len(), table.iter().count() + 2);
    }

    #[test]
    fn every_token_is_of_one_kind() {
        let provider = KnownProvider::new("p");
        let mut tokens = Tokens::default();
        tokens.input = Some(10);
        tokens.cached = Some(4);
        tokens.output = Some(7);
        provider.count_tokens(tokens);
        tokens.reasoning = Some(9);
        provider.count_tokens(tokens);

        let counts = provider.tokens.map(|count| count.into_inner());
        assert_eq!(counts, [12, 8, 7, 7]);
    }
}
