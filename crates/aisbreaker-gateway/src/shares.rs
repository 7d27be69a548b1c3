//! What each client holds of the budget: one that sends and asks for much leaves something to the
//! others.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use aisbreaker_egress::{BudgetSpent, MemoryBudget, MemoryReservation};
use aisbreaker_services::ServiceError;
use bytes::Bytes;

use crate::identity::ClientId;

/// The shares of all clients that have requests under way; others take no room. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Shares(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    whole: MemoryBudget,
    limit_bytes: usize,
    clients: Mutex<HashMap<ClientId, Entry>>,
}

#[derive(Debug)]
struct Entry {
    budget: MemoryBudget,
    requests: usize,
}

/// A client's share of the budget, as long as something is under way for it.
#[derive(Debug)]
pub(crate) struct Share {
    shares: Shares,
    client: ClientId,
    budget: MemoryBudget,
}

/// What is held of a client's share, until it is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    // In this order, so that the share lasts longer.
    reservation: MemoryReservation,
    share: Arc<Share>,
}

/// Bytes that count as held until whoever sends them has sent them.
struct Counted {
    bytes: Bytes,
    _held: Held,
}

impl Shares {
    /// Shares of this budget, none of which is over so many bytes.
    pub(crate) fn new(whole: MemoryBudget, limit_bytes: usize) -> Self {
        Self(Arc::new(Inner {
            whole,
            limit_bytes,
            clients: Mutex::default(),
        }))
    }

    /// The share of the client at this address.
    pub(crate) fn of(&self, client: IpAddr) -> Arc<Share> {
        let client = ClientId::of(client);
        let mut clients = self.lock();
        let entry = clients.entry(client).or_insert_with(|| Entry {
            budget: self.0.whole.part(self.0.limit_bytes),
            requests: 0,
        });
        entry.requests = entry.requests.saturating_add(1);
        let budget = entry.budget.clone();
        drop(clients);
        Arc::new(Share {
            shares: self.clone(),
            client,
            budget,
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ClientId, Entry>> {
        self.0
            .clients
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Share {
    pub(crate) fn budget(&self) -> &MemoryBudget {
        &self.budget
    }

    /// Holds nothing yet.
    pub(crate) fn held(self: &Arc<Self>) -> Held {
        Held {
            reservation: self.budget.reservation(),
            share: Arc::clone(self),
        }
    }
}

impl Held {
    /// From now on so many bytes are held.
    pub(crate) fn hold(&mut self, bytes: usize) -> Result<(), BudgetSpent> {
        self.reservation.hold(bytes)
    }

    /// Of whose share it is.
    pub(crate) fn share(&self) -> &Arc<Share> {
        &self.share
    }

    /// From now on nothing is held.
    pub(crate) fn release(&mut self) {
        self.reservation.release();
    }

    /// The same bytes, which count as held until the last of them is dropped: the HTTP library
    /// keeps what its client does not take. Few bytes are not counted.
    ///
    /// # Errors
    /// [`ServiceError::Overloaded`] when there is no room, [`ServiceError::BadAnswer`] when there
    /// never is.
    pub(crate) fn until_taken(mut self, bytes: Bytes) -> Result<Bytes, ServiceError> {
        if !self.share.budget.could_hold(bytes.len()) {
            let length = bytes.len();
            let text = format!(
                "the answer has {length} bytes, more than this server holds for one client"
            );
            return Err(ServiceError::BadAnswer(text.into()));
        }
        self.hold(bytes.len())?;
        let is_counted = self.reservation.held_bytes() > 0;
        Ok(if is_counted {
            Bytes::from_owner(Counted { bytes, _held: self })
        } else {
            bytes
        })
    }
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut clients = self.shares.lock();
        match clients.get_mut(&self.client) {
            Some(entry) if entry.requests > 1 => entry.requests = entry.requests.saturating_sub(1),
            Some(_) | None => {
                clients.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_has_one_share_and_takes_no_room_without_requests() {
        let shares = Shares::new(MemoryBudget::new(300_000), 200_000);
        let of = |text: &str| shares.of(text.parse().unwrap());
        let (first, second, other) = (of("192.0.2.1"), of("192.0.2.1"), of("192.0.2.2"));

        let mut held = first.budget().reservation();
        assert!(held.hold(150_000).is_ok());
        assert!(
            second.budget().reservation().hold(100_000).is_err(),
            "more than its share"
        );
        assert!(other.budget().reservation().hold(100_000).is_ok());
        assert!(
            other.budget().reservation().hold(190_000).is_err(),
            "more than is left"
        );

        drop(first);
        assert!(
            of("192.0.2.1")
                .budget()
                .reservation()
                .hold(100_000)
                .is_err(),
            "the share is still the same"
        );
        drop((second, other));
        assert!(shares.lock().is_empty());
    }

    #[test]
    fn an_answer_counts_until_its_last_byte_is_dropped() {
        let whole = MemoryBudget::new(300_000);
        let shares = Shares::new(whole.clone(), 200_000);
        let client = "192.0.2.1".parse().unwrap();

        let mut answer = shares
            .of(client)
            .held()
            .until_taken(vec![0; 150_000].into())
            .unwrap();
        let rest = answer.split_off(149_999);
        drop(answer);

        assert!(whole.held_bytes() >= 150_000, "a byte of it is not taken");
        let more = |bytes: usize| {
            shares
                .of(client)
                .held()
                .until_taken(vec![0; bytes].into())
                .unwrap_err()
        };
        assert!(
            matches!(more(100_000), ServiceError::Overloaded(_)),
            "its share is the same"
        );
        assert!(
            matches!(more(200_001), ServiceError::BadAnswer(_)),
            "it never fits"
        );
        drop(rest);
        assert_eq!(whole.held_bytes(), 0);
        assert!(shares.lock().is_empty());
    }
}
