//! Which services were called for one request.

use std::{
    borrow::Cow,
    fmt::Write as _,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use aisbreaker_api::ServiceId;

/// The services called for one request, with the status of each. Clones share one list.
///
/// The default is for requests of which nobody asks; it keeps nothing.
#[derive(Clone, Debug, Default)]
pub struct Attempts(Option<Arc<Mutex<Vec<Attempt>>>>);

#[derive(Debug)]
struct Attempt {
    service_id: String,
    status: u16,
}

impl Attempts {
    /// Creates an empty list that keeps what is recorded.
    #[must_use]
    pub fn recorded() -> Self {
        Self(Some(Arc::default()))
    }

    /// Records that a service was called and answered with this status.
    pub fn record(&self, service_id: &ServiceId, status: u16) {
        let Self(Some(list)) = self else {
            return;
        };
        let service_id = printable_id(service_id).into_owned();
        lock(list).push(Attempt { service_id, status });
    }

    /// Returns all attempts in order, as a structured list of strings with a parameter (RFC 9651
    /// section 3.1), or `None` if there are none:
    /// `"chat:openai.com/gpt-4o";status=503, "chat:groq.com/llama-3.1-8b";status=200`.
    #[must_use]
    pub fn to_structured_list(&self) -> Option<String> {
        let attempts = lock(self.0.as_ref()?);
        if attempts.is_empty() {
            return None;
        }
        let mut list = String::new();
        for Attempt { service_id, status } in &*attempts {
            let separator = if list.is_empty() { "" } else { ", " };
            // Writing to a string does not fail.
            let _written = write!(list, "{separator}\"{service_id}\";status={status}");
        }
        Some(list)
    }
}

/// Returns a service id for logs: characters that could be mistaken for something else are replaced
/// by question marks.
#[must_use]
pub fn printable_id(service_id: &ServiceId) -> Cow<'_, str> {
    let text = service_id.as_str();
    let is_plain = |byte| matches!(byte, b'!' | b'#'..=b'[' | b']'..=b'~');
    if text.bytes().all(is_plain) {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(text.replace(|c: char| !is_printable(c), "?"))
    }
}

fn lock(list: &Mutex<Vec<Attempt>>) -> MutexGuard<'_, Vec<Attempt>> {
    list.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns whether a character stands for itself in a structured string.
fn is_printable(c: char) -> bool {
    c.is_ascii_graphic() && !matches!(c, '"' | '\\')
}
