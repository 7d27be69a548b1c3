//! How long a request waited for providers.

use std::time::Duration;

use aisbreaker_services::ProviderCall;

/// The time that a request waited for providers.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct CallTimes {
    /// While at least one call was under way.
    pub(crate) waited: Duration,
    /// Until the last call began to answer, since that call began.
    pub(crate) first_byte: Option<Duration>,
}

impl CallTimes {
    /// Returns the times of calls, which this sorts by their beginning.
    pub(crate) fn of(calls: &mut [ProviderCall]) -> Self {
        calls.sort_by_key(|call| call.started);
        let mut times = Self::default();
        let mut last_end = None;
        for call in calls {
            // The list of models calls several providers at a time.
            let started = match last_end {
                Some(end) if end > call.started => end,
                Some(_) | None => call.started,
            };
            let waited = call.ended.saturating_duration_since(started);
            times.waited = times.waited.saturating_add(waited);
            times.first_byte = call.time_to_answer();
            last_end = last_end.max(Some(call.ended));
        }
        times
    }
}

#[cfg(test)]
mod tests {
    use aisbreaker_api::ServiceId;
    use aisbreaker_services::ProviderCalls;
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn times_in_which_calls_overlap_count_once() {
        let id = ServiceId::parse("chat:openai.com").unwrap();
        let calls = ProviderCalls::kept();
        let second = Duration::from_secs(1);

        let mut long = calls.begin(&id);
        advance(second).await;
        let mut short = calls.begin(&id);
        advance(second).await;
        short.complete();
        advance(second).await;
        long.complete();
        advance(5 * second).await;
        let mut last = calls.begin(&id);
        advance(2 * second).await;
        last.note_content();
        advance(second).await;
        last.complete();

        let times = calls.read(CallTimes::of);
        assert_eq!(times.waited, 6 * second);
        assert_eq!(times.first_byte, Some(2 * second));
        assert_eq!(CallTimes::of(&mut []), CallTimes::default());
    }
}
