//! The memory that each client may hold, as a part of the memory budget of all bodies.
//!
//! A client that sends and requests much cannot take the memory of all others.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use aisbreaker_egress::{BudgetSpent, MemoryBudget, MemoryReservation};
use aisbreaker_services::ServiceError;
use bytes::Bytes;
use foldhash::quality::RandomState;

use crate::client_id::ClientId;

/// How many clients are kept even if they have no request in flight.
const KEPT_CLIENTS: usize = 64;

/// The memory of all clients with requests in flight, and of not many more. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct ClientMemories(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    total: MemoryBudget,
    limit_bytes: usize,
    clients: Mutex<Clients>,
}

#[derive(Debug)]
struct Clients {
    memories: HashMap<ClientId, Arc<ClientMemory>, RandomState>,
    /// How many there may be before those without a request are removed.
    max_count: usize,
}

/// The memory of one client, which its requests share.
#[derive(Debug)]
pub(crate) struct ClientMemory {
    budget: MemoryBudget,
}

/// Bytes of a client's memory that are held until this is dropped.
#[derive(Debug)]
pub(crate) struct MemoryHold {
    // Dropped in this order: the reservation first.
    reservation: MemoryReservation,
    memory: Arc<ClientMemory>,
}

/// Bytes whose hold ends when the last clone or slice of them is dropped.
struct HeldBytes {
    bytes: Bytes,
    _hold: MemoryHold,
}

impl ClientMemories {
    /// Creates a table over this budget, of which each client may hold `limit_bytes`.
    pub(crate) fn new(total: MemoryBudget, limit_bytes: usize) -> Self {
        Self(Arc::new(Inner {
            total,
            limit_bytes,
            clients: Mutex::new(Clients {
                memories: HashMap::default(),
                max_count: KEPT_CLIENTS,
            }),
        }))
    }

    /// Returns the memory of the client at this address.
    pub(crate) fn for_client(&self, address: IpAddr) -> Arc<ClientMemory> {
        let client = ClientId::of(address);
        let mut clients = self.lock();
        if let Some(memory) = clients.memories.get(&client) {
            return Arc::clone(memory);
        }
        if clients.memories.len() >= clients.max_count {
            clients.remove_idle();
        }
        let budget = self.0.total.part(self.0.limit_bytes);
        let memory = Arc::new(ClientMemory { budget });
        clients.memories.insert(client, Arc::clone(&memory));
        memory
    }

    fn lock(&self) -> MutexGuard<'_, Clients> {
        let clients = &self.0.clients;
        clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clients {
    /// Removes the clients that hold nothing and have no request in flight. It is called when the
    /// clients may have doubled in number, so that each new one pays for few others.
    fn remove_idle(&mut self) {
        // Only under the lock is a memory handed out that nobody else has.
        self.memories
            .retain(|_, memory| Arc::strong_count(memory) > 1);
        let busy = self.memories.len();
        self.max_count = busy.saturating_mul(2).max(KEPT_CLIENTS);
    }
}

impl ClientMemory {
    pub(crate) fn budget(&self) -> &MemoryBudget {
        &self.budget
    }

    /// Returns the same bytes, held until the last of them is dropped; see [`MemoryHold::attach`].
    ///
    /// # Errors
    /// Those of [`MemoryHold::attach`].
    pub(crate) fn attach(self: &Arc<Self>, bytes: Bytes) -> Result<Bytes, ServiceError> {
        if MemoryBudget::is_uncounted(bytes.len()) {
            return Ok(bytes);
        }
        self.empty_hold().attach(bytes)
    }

    /// Creates a hold of zero bytes.
    pub(crate) fn empty_hold(self: &Arc<Self>) -> MemoryHold {
        MemoryHold {
            reservation: self.budget.reservation(),
            memory: Arc::clone(self),
        }
    }
}

impl MemoryHold {
    /// Resizes the hold to this many bytes.
    pub(crate) fn resize(&mut self, bytes: usize) -> Result<(), BudgetSpent> {
        self.reservation.hold(bytes)
    }

    /// Returns the client's memory that this is a part of.
    pub(crate) fn memory(&self) -> &Arc<ClientMemory> {
        &self.memory
    }

    /// Returns the same bytes, held until the last of them is dropped: the HTTP library keeps what
    /// its client does not read. Bytes too few to matter are not counted.
    ///
    /// # Errors
    /// [`ServiceError::Overloaded`] when there is no room now, [`ServiceError::BadAnswer`] when
    /// there never will be.
    pub(crate) fn attach(mut self, bytes: Bytes) -> Result<Bytes, ServiceError> {
        let length = bytes.len();
        if !self.memory.budget.could_hold(length) {
            let problem = format!(
                "the answer has {length} bytes, more than this server holds for one client"
            );
            return Err(ServiceError::BadAnswer(problem.into()));
        }
        self.resize(length)?;
        if self.reservation.held_bytes() == 0 {
            return Ok(bytes);
        }
        Ok(Bytes::from_owner(HeldBytes { bytes, _hold: self }))
    }
}

impl AsRef<[u8]> for HeldBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_of_a_client_share_its_memory() {
        let clients = ClientMemories::new(MemoryBudget::new(300_000), 200_000);
        let of = |text: &str| clients.for_client(text.parse().unwrap());
        let (first, second, other) = (of("192.0.2.1"), of("192.0.2.1"), of("192.0.2.2"));

        let mut held = first.budget().reservation();
        assert!(held.hold(150_000).is_ok());
        assert!(
            second.budget().reservation().hold(100_000).is_err(),
            "more than the client's limit"
        );
        assert!(other.budget().reservation().hold(100_000).is_ok());
        assert!(
            other.budget().reservation().hold(190_000).is_err(),
            "more than is left of the total"
        );

        drop(first);
        let again = of("192.0.2.1");
        assert!(
            again.budget().reservation().hold(100_000).is_err(),
            "the memory is still the same"
        );
    }

    #[test]
    fn clients_without_requests_are_forgotten() {
        let clients = ClientMemories::new(MemoryBudget::default(), usize::MAX);
        let of = |number: u32| clients.for_client(IpAddr::V4(number.into()));
        let count = || clients.lock().memories.len();

        for number in 0..10_000 {
            drop(of(number));
            assert!(count() <= KEPT_CLIENTS);
        }

        let busy: Vec<_> = (0..1_000).map(of).collect();
        assert!(count() <= 2 * busy.len());
        let mut held = of(7).budget().reservation();
        held.hold(100_000).unwrap();
        for number in 0..10_000 {
            drop(of(number));
        }
        assert!(count() <= 2 * busy.len() + KEPT_CLIENTS);
        assert_eq!(of(7).budget().held_bytes(), held.held_bytes());

        drop((busy, held));
        for number in 20_000..30_000 {
            drop(of(number));
        }
        assert!(count() <= KEPT_CLIENTS);
    }

    #[test]
    fn a_response_is_held_until_its_last_byte_is_dropped() {
        let total = MemoryBudget::new(300_000);
        let clients = ClientMemories::new(total.clone(), 200_000);
        let client = "192.0.2.1".parse().unwrap();
        let attach = |bytes: usize| {
            let hold = clients.for_client(client).empty_hold();
            hold.attach(vec![0; bytes].into())
        };

        let mut response = attach(150_000).unwrap();
        let rest = response.split_off(149_999);
        drop(response);

        assert!(total.held_bytes() >= 150_000, "one byte is still there");
        assert!(
            matches!(attach(100_000), Err(ServiceError::Overloaded(_))),
            "the client's memory is the same"
        );
        assert!(
            matches!(attach(200_001), Err(ServiceError::BadAnswer(_))),
            "it can never fit"
        );
        drop(rest);
        assert_eq!(total.held_bytes(), 0);
    }
}
