//! The shared engine as its users see it.

use std::{
    fmt::{self, Display},
    num::NonZeroU32,
    sync::Arc,
    time::Duration,
};

use tokio::{sync::watch, task::AbortHandle, time::Instant};

use super::{
    address::StoreAddress,
    error::{InvalidStore, SharedRefusal, StoreError},
    lease::Leases,
    link::{Link, StoreState},
    message::{self, Besides, Decided, Names},
};
use crate::{
    answer::{Admitted, Standings},
    limits::Charge,
};

/// The longest prefix of names.
const MAX_PREFIX: usize = 100;

/// How a [`SharedEngine`] behaves. [`SharedOptions::default`] has the defaults; set what differs.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SharedOptions {
    /// How long a decision waits for the store at most: 20 ms, unless set.
    pub deadline: Duration,
    /// What the names of the counters begin with, in braces: `aisbreaker`, unless set. Engines with
    /// one prefix share counters. In a cluster it decides on which node they are.
    pub prefix: String,
    /// How many charges may be taken from the store in advance for counters that are charged often,
    /// to be used within 0.6 seconds by this engine alone; `None`, unless set: none.
    pub lease: Option<NonZeroU32>,
}

impl Default for SharedOptions {
    fn default() -> Self {
        Self {
            deadline: Duration::from_millis(20),
            prefix: "aisbreaker".to_owned(),
            lease: None,
        }
    }
}

impl SharedOptions {
    /// Whether an engine can be started with these options.
    ///
    /// # Errors
    /// As [`SharedEngine::start`].
    pub fn check(&self) -> Result<(), InvalidStore> {
        let is_plain = |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, '{' | '}');
        let is_fit =
            (1..=MAX_PREFIX).contains(&self.prefix.len()) && self.prefix.chars().all(is_plain);
        if is_fit {
            Ok(())
        } else {
            Err(InvalidStore::Prefix)
        }
    }
}

/// Counts charges in a store that other processes use as well, and decides what is admitted.
///
/// It promises what [`Engine`](crate::Engine) does, by the clock of the store: no more than a limit
/// in any interval as long as its window, counted for all processes together; all counters of a
/// decision or none; exact waits. A decision is one round trip. Cheap to clone; clones share the
/// connection.
#[derive(Clone)]
pub struct SharedEngine(Arc<Shared>);

pub(super) struct Shared {
    pub(super) link: Arc<Link>,
    options: SharedOptions,
    leases: Option<Leases>,
    keeper: AbortHandle,
}

impl SharedEngine {
    /// An engine whose counters are in the store at this address. Connects in the background, with
    /// a task of the runtime that this is called in; that task ends with the last clone.
    ///
    /// # Errors
    /// [`InvalidStore::Prefix`] if the prefix is empty, longer than 100 bytes, or has spaces or
    /// braces.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn start(address: StoreAddress, options: SharedOptions) -> Result<Self, InvalidStore> {
        options.check()?;
        let link = Arc::new(Link::new());
        let probe = link.function.probe(&options.prefix);
        let (kept, deadline) = (Arc::clone(&link), options.deadline);
        let keeper =
            tokio::spawn(async move { kept.keep(address, probe, deadline).await }).abort_handle();
        let leases = options.lease.map(Leases::new);
        Ok(Self(Arc::new(Shared {
            link,
            options,
            leases,
            keeper,
        })))
    }

    /// Charges `weight` to every counter in `charges`, or to none.
    ///
    /// A counter is named in the store by what its key displays; keys that display alike are one
    /// counter. Otherwise as [`Engine::charge`](crate::Engine::charge).
    ///
    /// # Errors
    /// [`SharedRefusal::Quota`] if a limit has not enough left, [`SharedRefusal::Store`] if nobody
    /// can tell. A charge that missed its deadline may be counted all the same: the store is
    /// stricter for it, never more generous.
    ///
    /// # Cancel safety
    /// A charge that is dropped on its way may be counted.
    pub async fn charge<K: Display, const N: usize>(
        &self,
        charges: &[Charge<K>; N],
        weight: NonZeroU32,
    ) -> Result<Admitted<N>, SharedRefusal<N>> {
        let deadline = self.0.deadline();
        match &self.0.leases {
            Some(leases) => leases.charge(&self.0, charges, weight, deadline).await,
            None => {
                let decided = self
                    .0
                    .decide(charges, weight, Besides::default(), deadline)
                    .await;
                decided.map(|(admitted, _)| admitted)
            }
        }
    }

    /// Like [`charge`](Self::charge), at a time since the beginning of 2024 instead of the store's
    /// own. For tests.
    ///
    /// # Errors
    /// As [`charge`](Self::charge).
    #[doc(hidden)]
    pub async fn charge_at<K: Display, const N: usize>(
        &self,
        charges: &[Charge<K>; N],
        weight: NonZeroU32,
        at: Duration,
    ) -> Result<Admitted<N>, SharedRefusal<N>> {
        let besides = Besides {
            at: Some(at),
            ..Besides::default()
        };
        let decided = self
            .0
            .decide(charges, weight, besides, self.0.deadline())
            .await;
        decided.map(|(admitted, _)| admitted)
    }

    /// Tells every limit of `charges` as it stands, charging nothing.
    ///
    /// # Errors
    /// [`StoreError`] if the store does not answer.
    pub async fn peek<K: Display, const N: usize>(
        &self,
        charges: &[Charge<K>; N],
    ) -> Result<Standings<N>, StoreError> {
        self.0.peek(charges, None, self.0.deadline()).await
    }

    /// Like [`peek`](Self::peek), at a time since the beginning of 2024 instead of the store's own.
    /// For tests.
    ///
    /// # Errors
    /// As [`peek`](Self::peek).
    #[doc(hidden)]
    pub async fn peek_at<K: Display, const N: usize>(
        &self,
        charges: &[Charge<K>; N],
        at: Duration,
    ) -> Result<Standings<N>, StoreError> {
        self.0.peek(charges, Some(at), self.0.deadline()).await
    }

    /// Whether the store answers, now and whenever that changes.
    #[must_use]
    pub fn states(&self) -> watch::Receiver<StoreState> {
        self.0.link.states()
    }
}

impl fmt::Debug for SharedEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedEngine")
            .field("options", &self.0.options)
            .finish_non_exhaustive()
    }
}

impl Shared {
    /// When a decision that begins now is given up.
    pub(super) fn deadline(&self) -> Instant {
        let now = Instant::now();
        now.checked_add(self.options.deadline).unwrap_or(now)
    }

    pub(super) fn names<K: Display, const N: usize>(&self, charges: &[Charge<K>; N]) -> Names<N> {
        Names::new(&self.options.prefix, charges)
    }

    /// Charges; and how much was charged besides.
    pub(super) async fn decide<K: Display, const N: usize>(
        &self,
        charges: &[Charge<K>; N],
        weight: NonZeroU32,
        besides: Besides,
        deadline: Instant,
    ) -> Result<(Admitted<N>, u32), SharedRefusal<N>> {
        let names = self.names(charges);
        let asked = message::asked(&names, charges, weight)?;
        let command = self.link.function.charge(&names, charges, &asked, besides);
        let answer = self.link.ask(&command, deadline).await?;
        match message::decided(&answer, &names, charges, &asked) {
            Some(Decided::Admitted { standings, extra }) => Ok((Admitted { standings }, extra)),
            Some(Decided::Refused(refusal)) => Err(refusal.into()),
            None => Err(message::unreadable().into()),
        }
    }

    async fn peek<K: Display, const N: usize>(
        &self,
        charges: &[Charge<K>; N],
        at: Option<Duration>,
        deadline: Instant,
    ) -> Result<Standings<N>, StoreError> {
        let names = self.names(charges);
        let answer = self
            .link
            .ask(&self.link.function.peek(&names.keys, at), deadline)
            .await?;
        message::peeked(&answer, &names, charges).ok_or_else(message::unreadable)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

#[cfg(test)]
mod tests;
