//! Keeps the URLs of recent calls, since most calls go where others went before.

use std::{
    fmt,
    hash::{BuildHasher as _, Hash},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use aisbreaker_api::ServiceUrl;
use aisbreaker_egress::{PreparedUrl, SendError, UrlSource};
use foldhash::fast::RandomState;

/// How many URLs are kept at most.
const SLOTS: usize = 128;
/// The longest texts of a key, in bytes, whose URL is kept.
const MAX_KEY_BYTES: usize = 512;

/// What the URL of a call depends on, and who chose it, where the caller names none and the texts
/// have no placeholder.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) struct UrlKey<'a> {
    /// The base URL: that of the key, else the default one.
    pub(super) base: &'a str,
    /// The prefix of the provider, and the path behind it.
    pub(super) path: [&'a str; 2],
    /// The default URL of the provider.
    pub(super) default_url: Option<&'a str>,
    /// As what URLs of the key are judged.
    pub(super) source: UrlSource,
}

impl UrlKey<'_> {
    /// Returns whether the URL may be kept. One with a query is not, since that may hold a secret.
    fn may_be_kept(&self) -> bool {
        let [prefix, path] = self.path;
        let texts = [
            self.base,
            prefix,
            path,
            self.default_url.unwrap_or_default(),
        ];
        let length: usize = texts.iter().map(|text| text.len()).sum();
        length <= MAX_KEY_BYTES
            && !self.base.contains(['?', '#'])
            && !texts.iter().any(|text| text.contains('$'))
    }
}

/// The URL of a call, and what requests to it need.
pub(super) struct CallUrl {
    pub(super) url: ServiceUrl,
    pub(super) source: UrlSource,
    /// The URL as the HTTP client takes it, unless that reads it in another way.
    pub(super) prepared: Result<PreparedUrl, SendError>,
}

/// A bounded number of URLs. A later one takes the place of an earlier one, so callers that name
/// many only make others resolve theirs again.
pub(super) struct UrlCache {
    hasher: RandomState,
    slots: Box<[Mutex<Option<Kept>>]>,
}

struct Kept {
    base: Box<str>,
    path: [Box<str>; 2],
    default_url: Option<Box<str>>,
    source: UrlSource,
    url: Arc<CallUrl>,
}

impl Kept {
    fn key(&self) -> UrlKey<'_> {
        let [prefix, path] = &self.path;
        UrlKey {
            base: &self.base,
            path: [prefix, path],
            default_url: self.default_url.as_deref(),
            source: self.source,
        }
    }
}

impl UrlCache {
    /// Returns the URL for this key, if it is kept.
    pub(super) fn find(&self, key: &UrlKey<'_>) -> Option<Arc<CallUrl>> {
        let slot = self.slot(key)?;
        let kept = slot.as_ref()?;
        (kept.key() == *key).then(|| Arc::clone(&kept.url))
    }

    /// Keeps the URL for this key, if it may be kept and can be called.
    pub(super) fn keep(&self, key: &UrlKey<'_>, url: &Arc<CallUrl>) {
        if url.prepared.is_err() || !key.may_be_kept() {
            return;
        }
        let kept = Kept {
            base: key.base.into(),
            path: key.path.map(Into::into),
            default_url: key.default_url.map(Into::into),
            source: key.source,
            url: Arc::clone(url),
        };
        // Dropped after the lock is released.
        let _replaced = self.slot(key).and_then(|mut slot| slot.replace(kept));
    }

    fn slot(&self, key: &UrlKey<'_>) -> Option<MutexGuard<'_, Option<Kept>>> {
        let hash = self.hasher.hash_one(key);
        let index = usize::try_from(hash % u64::try_from(SLOTS).ok()?).ok()?;
        let slot = self.slots.get(index)?;
        Some(slot.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Default for UrlCache {
    fn default() -> Self {
        Self {
            hasher: RandomState::default(),
            slots: (0..SLOTS).map(|_| Mutex::default()).collect(),
        }
    }
}

/// Shows no URL.
impl fmt::Debug for UrlCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UrlCache(..)")
    }
}

#[cfg(test)]
mod tests {
    use aisbreaker_egress::{Client, Policy, Timeouts};

    use super::*;

    fn call_url(text: &str) -> Arc<CallUrl> {
        let client = Client::new(Policy::strict(), Timeouts::default());
        let url = ServiceUrl::resolve(text, "", None).unwrap();
        let prepared = client.prepare(&url.as_str().parse().unwrap(), UrlSource::Trusted);
        Arc::new(CallUrl {
            url,
            source: UrlSource::Trusted,
            prepared,
        })
    }

    fn key<'a>(base: &'a str, path: &'a str) -> UrlKey<'a> {
        UrlKey {
            base,
            path: ["/v1", path],
            default_url: Some("https://default.example"),
            source: UrlSource::Trusted,
        }
    }

    #[test]
    fn finds_a_url_only_by_all_of_its_key() {
        let cache = UrlCache::default();
        let known = key("https://a.example", "/models");
        cache.keep(&known, &call_url("https://a.example/v1/models"));

        let found = cache.find(&known).unwrap();
        assert_eq!(found.url.as_str(), "https://a.example/v1/models");
        let others = [
            key("https://b.example", "/models"),
            key("https://a.example", "/messages"),
            UrlKey {
                path: ["/v", "1/models"],
                ..known
            },
            UrlKey {
                default_url: None,
                ..known
            },
            UrlKey {
                source: UrlSource::Untrusted,
                ..known
            },
        ];
        for other in others {
            assert!(cache.find(&other).is_none(), "{other:?}");
        }
    }

    #[test]
    fn keeps_no_query_no_placeholder_and_no_long_text() {
        let long = format!("https://a.example/{}", "a".repeat(MAX_KEY_BYTES));
        let rows = [
            key("https://a.example/x?key=secret#no-default-path", "/models"),
            key("https://a.example#no-default-path", "/models"),
            key("https://a.example/${engine}", "/models"),
            key("https://a.example", "/${engine}"),
            key(&long, "/models"),
        ];
        let (cache, url) = (UrlCache::default(), call_url("https://a.example/v1"));
        for row in rows {
            cache.keep(&row, &url);
            assert!(cache.find(&row).is_none(), "{row:?}");
        }
        assert_eq!(Arc::strong_count(&url), 1);
    }

    #[test]
    fn any_number_of_urls_takes_a_bounded_number_of_places() {
        let (cache, url) = (UrlCache::default(), call_url("https://a.example/v1"));
        for number in 0..20 * SLOTS {
            let base = format!("https://a{number}.example");
            cache.keep(&key(&base, "/models"), &url);
            assert!(cache.find(&key(&base, "/models")).is_some());
        }
        assert!(Arc::strong_count(&url) <= 1 + SLOTS);
    }

    /// More keys than slots, so that some share the slot of the one that is kept.
    #[test]
    fn a_key_that_differs_in_any_part_has_no_kept_url() {
        let cache = UrlCache::default();
        let kept = key("https://a.example", "/kept");
        cache.keep(&kept, &call_url("https://a.example/kept"));
        assert!(cache.find(&kept).is_some());
        for number in 0..20 * SLOTS {
            let text = format!("/{number}");
            let base = format!("https://a{number}.example");
            let others = [
                UrlKey {
                    base: &base,
                    ..kept
                },
                UrlKey {
                    path: [&text, kept.path[1]],
                    ..kept
                },
                UrlKey {
                    path: [kept.path[0], &text],
                    ..kept
                },
                UrlKey {
                    default_url: Some(&base),
                    ..kept
                },
            ];
            for other in others {
                assert!(cache.find(&other).is_none(), "{other:?}");
            }
        }
    }
}
