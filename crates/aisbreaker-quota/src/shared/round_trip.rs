//! Decisions in the store, one round trip each.

use std::{fmt::Display, num::NonZeroU32, sync::Arc, time::Duration};

use redis::{Cmd, Value};
use tokio::{sync::watch, task::AbortHandle, time::Instant};

use super::{
    address::StoreAddress,
    denied::{self, Denied, DeniedCursor, DeniedKeys, DeniedPage, DenyError, NotCharged},
    error::{InvalidStore, SharedRefusal, StoreError},
    function::{ChargeOptions, Function, Unused},
    keys::CounterKeys,
    options::SharedOptions,
    reconnect::{Reconnect, StoreState},
    reply::{self, ChargeReply},
};
use crate::{charge::Charge, outcome::Admitted, standings::Standings};

/// The shortest wait for what is not a decision.
const MIN_RARE_DEADLINE: Duration = Duration::from_secs(1);

/// Takes decisions in the store, and ends the task that reconnects when it is dropped.
pub(super) struct RoundTrip {
    connection: Arc<Reconnect>,
    options: SharedOptions,
    reconnect_task: AbortHandle,
}

impl RoundTrip {
    /// Starts to connect in the background.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub(super) fn start(
        address: StoreAddress,
        options: SharedOptions,
    ) -> Result<Self, InvalidStore> {
        options.check()?;
        let connection = Arc::new(Reconnect::new());
        let probe = connection.function.probe(&options.prefix);
        let (reconnect, deadline) = (Arc::clone(&connection), options.deadline);
        let task = tokio::spawn(async move { reconnect.run(address, probe, deadline).await });
        Ok(Self {
            connection,
            options,
            reconnect_task: task.abort_handle(),
        })
    }

    pub(super) const fn options(&self) -> &SharedOptions {
        &self.options
    }

    pub(super) fn states(&self) -> watch::Receiver<StoreState> {
        self.connection.states()
    }

    pub(super) fn function(&self) -> &Function {
        &self.connection.function
    }

    /// Calls a function once, within the time of a decision.
    pub(super) async fn call(&self, command: &Cmd) -> Result<Value, StoreError> {
        self.connection.call(command, self.deadline()).await
    }

    /// Calls a function once, within the time of what no request waits for.
    pub(super) async fn call_patiently(&self, command: &Cmd) -> Result<Value, StoreError> {
        self.connection.call(command, self.rare_deadline()).await
    }

    /// Returns when a decision that begins now times out.
    pub(super) fn deadline(&self) -> Instant {
        let now = Instant::now();
        now.checked_add(self.options.deadline).unwrap_or(now)
    }

    pub(super) fn keys<K: Display, const N: usize>(
        &self,
        charges: &[Charge<K>; N],
    ) -> CounterKeys<N> {
        CounterKeys::new(&self.options.prefix, charges)
    }

    /// Charges every counter, or none. Returns how much was charged in advance as well.
    #[cfg(any(test, feature = "test-util"))]
    pub(super) async fn charge<K: Display, const N: usize>(
        &self,
        charges: &[Charge<K>; N],
        weight: NonZeroU32,
        options: ChargeOptions,
        deadline: Instant,
    ) -> Result<(Admitted<N>, u32), SharedRefusal<N>> {
        let charge = self.charge_unless_denied(charges, weight, &[], options, deadline);
        match charge.await {
            Ok(charged) => Ok(charged),
            Err(NotCharged::Refused(refusal)) => Err(refusal),
            // Not without names.
            Err(NotCharged::Denied) => Err(reply::unreadable().into()),
        }
    }

    /// Charges like [`charge`](Self::charge), unless one of the keys in `denied` exists.
    pub(super) async fn charge_unless_denied<K: Display, const N: usize>(
        &self,
        charges: &[Charge<K>; N],
        weight: NonZeroU32,
        denied: &[String],
        options: ChargeOptions,
        deadline: Instant,
    ) -> Result<(Admitted<N>, u32), NotCharged<N>> {
        let keys = self.keys(charges);
        let needed = keys.needed(charges, weight).map_err(SharedRefusal::from)?;
        let function = &self.connection.function;
        let command = function.charge(&keys, charges, &needed, options, denied);
        let reply = self.connection.call(&command, deadline).await?;
        match reply::read_charge(&reply, &keys, charges, &needed) {
            Some(ChargeReply::Admitted { standings, extra }) => Ok((Admitted { standings }, extra)),
            Some(ChargeReply::Refused(refusal)) => Err(SharedRefusal::Quota(refusal).into()),
            Some(ChargeReply::Denied) => Err(NotCharged::Denied),
            None => Err(reply::unreadable().into()),
        }
    }

    /// Returns the keys that exist while these names are denied.
    pub(super) fn denied_keys<D: Display>(&self, names: &[D]) -> Vec<String> {
        let keys = DeniedKeys::new(&self.options.prefix);
        names.iter().map(|name| keys.of_name(name)).collect()
    }

    /// Denies names. Returns how long engines with leases may still not know.
    pub(super) async fn deny(&self, names: &[Denied], most: u32) -> Result<Duration, DenyError> {
        let keys = DeniedKeys::new(&self.options.prefix);
        let command = self.connection.function.deny(keys, names, most);
        let reply = self.connection.call(&command, self.rare_deadline()).await?;
        denied::read_deny(&reply)
    }

    pub(super) async fn denied(&self, after: DeniedCursor) -> Result<DeniedPage, StoreError> {
        let keys = DeniedKeys::new(&self.options.prefix);
        let command = self.connection.function.denied(keys, after);
        let reply = self.connection.call(&command, self.rare_deadline()).await?;
        denied::read_page(&reply, after).ok_or_else(reply::unreadable)
    }

    pub(super) async fn forget_denied(&self, names: &[Denied]) -> Result<(), StoreError> {
        let keys = DeniedKeys::new(&self.options.prefix);
        let command = self.connection.function.forget(keys, names);
        let _ok = self.connection.call(&command, self.rare_deadline()).await?;
        Ok(())
    }

    /// Returns the deadline of what is larger than a decision, and that no request waits for.
    fn rare_deadline(&self) -> Instant {
        let now = Instant::now();
        let patience = self.options.deadline.max(MIN_RARE_DEADLINE);
        now.checked_add(patience).unwrap_or(now)
    }

    /// Reads the standing of every limit. `at` is a time since the store's epoch, if it is not the
    /// store's own.
    pub(super) async fn peek<K: Display, const N: usize>(
        &self,
        charges: &[Charge<K>; N],
        at: Option<Duration>,
    ) -> Result<Standings<N>, StoreError> {
        let deadline = self.deadline();
        let keys = self.keys(charges);
        let command = self.connection.function.peek(&keys.names, at);
        let reply = self.connection.call(&command, deadline).await?;
        reply::read_peek(&reply, &keys, charges).ok_or_else(reply::unreadable)
    }

    /// Releases what was charged in advance and not used.
    pub(super) async fn release(&self, names: &[String], unused: Unused) -> Result<(), StoreError> {
        let command = self.connection.function.release(names, unused);
        let _ok = self.connection.call(&command, self.deadline()).await?;
        Ok(())
    }
}

impl Drop for RoundTrip {
    fn drop(&mut self) {
        self.reconnect_task.abort();
    }
}

#[cfg(test)]
mod tests;
