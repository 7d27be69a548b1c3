//! The state of all quotas of a request, as responses report it.

use std::cmp::Reverse;

use aisbreaker_quota::{Standing, Standings, Window};

use super::counters::{COUNTERS, KEY_CLIENT, KEY_GLOBAL};

/// The state of all quotas of a request.
#[derive(Debug)]
pub(crate) enum QuotaState {
    /// Those of the server and of one key.
    OneKey(Standings<COUNTERS>),
    /// Those of the server and of several keys, of which one was made from the next.
    Chain(Box<[[Standing; 3]]>),
}

/// Which requests a limit of a key counts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum CountedRequests {
    OfClient,
    OfAllClients,
}

impl QuotaState {
    /// Keeps the state of a chain: the server's limits per client, those of each key per client,
    /// those of each key for all clients, and the server's for all clients.
    pub(super) fn of_chain<const N: usize>(standings: Standings<N>) -> Self {
        let mut counters = Vec::with_capacity(N);
        for counter in 0..N {
            let of = |window| standings.of(counter, window);
            if let (Some(minute), Some(hour), Some(day)) =
                (of(Window::Minute), of(Window::Hour), of(Window::Day))
            {
                counters.push([minute, hour, day]);
            }
        }
        Self::Chain(counters.into())
    }

    /// Returns one limit of the counter at this index, in the order in which they were charged.
    pub(super) fn of(&self, counter: usize, window: Window) -> Option<Standing> {
        match self {
            Self::OneKey(standings) => standings.of(counter, window),
            Self::Chain(counters) => counters
                .get(counter)?
                .iter()
                .find(|standing| standing.window == window)
                .copied(),
        }
    }

    /// Returns the key's limit that is reported; of a chain of keys, the tightest one.
    pub(super) fn of_key(&self, counted: CountedRequests, window: Window) -> Option<Standing> {
        let counters = match (self, counted) {
            (Self::OneKey(standings), CountedRequests::OfClient) => {
                return standings.of(KEY_CLIENT, window);
            }
            (Self::OneKey(standings), CountedRequests::OfAllClients) => {
                return standings.of(KEY_GLOBAL, window);
            }
            (Self::Chain(counters), counted) => {
                let keys = counters.len().saturating_sub(2) / 2;
                match counted {
                    CountedRequests::OfClient => 1..=keys,
                    CountedRequests::OfAllClients => keys + 1..=2 * keys,
                }
            }
        };
        tightest(counters.filter_map(|counter| self.of(counter, window)))
    }
}

/// Returns the limit with the least remaining. On a tie it is the one that resets last, since that
/// decides the wait.
pub(super) fn tightest(standings: impl Iterator<Item = Standing>) -> Option<Standing> {
    standings.min_by_key(|standing| (standing.remaining, Reverse(standing.reset)))
}
