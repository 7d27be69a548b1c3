//! Which services were called for one request.

use std::{
    fmt::Write as _,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use aisbreaker_api::ServiceId;

/// The services called for one request, with the status of each. Clones share one list.
#[derive(Clone, Debug, Default)]
pub struct Attempts(Arc<Mutex<Vec<Attempt>>>);

#[derive(Debug)]
struct Attempt {
    service_id: String,
    status: u16,
}

impl Attempts {
    /// Records that a service was called and answered with this status.
    pub fn record(&self, service_id: &ServiceId, status: u16) {
        let service_id = service_id.as_str().replace(|c: char| !is_printable(c), "?");
        self.lock().push(Attempt { service_id, status });
    }

    /// Returns the id of the service called last.
    #[must_use]
    pub fn last(&self) -> Option<String> {
        let attempts = self.lock();
        let last = attempts.last()?;
        Some(last.service_id.clone())
    }

    /// Returns all attempts in order, as a structured list of strings with a parameter (RFC 9651
    /// section 3.1), or `None` if there are none:
    /// `"chat:openai.com/gpt-4o";status=503, "chat:groq.com/llama-3.1-8b";status=200`.
    #[must_use]
    pub fn to_structured_list(&self) -> Option<String> {
        let attempts = self.lock();
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

    fn lock(&self) -> MutexGuard<'_, Vec<Attempt>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns whether a character stands for itself in a structured string.
fn is_printable(c: char) -> bool {
    c.is_ascii_graphic() && !matches!(c, '"' | '\\')
}
