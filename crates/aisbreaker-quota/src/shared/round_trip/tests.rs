//! Random histories of charges in advance and their release, with a set clock, against a real
//! server.

#[expect(dead_code, reason = "other tests stop and pause the server")]
#[path = "../../../tests/support/redis_server.rs"]
mod redis_server;

use proptest::{prelude::*, test_runner::TestRunner};

use self::redis_server::RedisServer;
use super::*;
use crate::{
    limits::Limits,
    slots::{Moment, coarse},
    standings::Standing,
    window::Window,
};

/// One step of a history.
#[derive(Clone, Debug)]
enum Step {
    /// Advances the clock by this many milliseconds.
    Wait(u64),
    /// Charges the counters of a group, and `extra` in advance if there is that much.
    Charge {
        group: usize,
        weight: u32,
        extra: u32,
    },
    /// Charges like `Charge`, and releases what the group holds in the same call.
    Renew {
        group: usize,
        weight: u32,
        extra: u32,
    },
    /// Uses some of what a group holds, if its slot has not ended.
    Use { group: usize, amount: u32 },
    /// Releases what a group holds.
    Release { group: usize },
}

/// What a group was charged in advance in one slot and has not used.
#[derive(Clone, Copy, Debug)]
struct Held {
    slot: u32,
    amount: u32,
}

/// Two groups, each with a counter of its own and one in common.
struct History {
    store: RoundTrip,
    limits: [Limits; 2],
    now: u64,
    held: [Vec<Held>; 2],
    /// What each group has used, and when.
    log: [Vec<(u64, u32)>; 2],
    /// Whether everything was released before it could be folded.
    is_exact: bool,
}

impl History {
    fn new(store: RoundTrip, limits: [Limits; 2]) -> Self {
        Self {
            store,
            limits,
            now: 0,
            held: [Vec::new(), Vec::new()],
            log: [Vec::new(), Vec::new()],
            is_exact: true,
        }
    }

    fn charges(&self, group: usize) -> [Charge<&'static str>; 2] {
        [
            Charge::new(["a", "b"][group], self.limits[0]),
            Charge::shared("all", self.limits[1]),
        ]
    }

    async fn play(&mut self, step: &Step) {
        match *step {
            Step::Wait(millis) => self.now += millis,
            Step::Charge {
                group,
                weight,
                extra,
            } => self.charge(group, weight, extra, None).await,
            Step::Renew {
                group,
                weight,
                extra,
            } => {
                let held = self.held[group].pop();
                self.charge(group, weight, extra, held).await;
            }
            Step::Use { group, amount } => self.use_held(group, amount),
            Step::Release { group } => {
                if let Some(held) = self.held[group].pop() {
                    let unused = self.unused(held);
                    let names = self.store.keys(&self.charges(group)).names;
                    self.store.release(&names, unused).await.unwrap();
                }
            }
        }
    }

    fn unused(&mut self, held: Held) -> Unused {
        self.is_exact &= slot_at(self.now) - held.slot <= 100;
        Unused {
            slot: held.slot,
            amount: held.amount,
        }
    }

    async fn charge(&mut self, group: usize, weight: u32, extra: u32, held: Option<Held>) {
        let options = ChargeOptions {
            extra,
            unused: held.map(|held| self.unused(held)),
            at: Some(time_at(self.now)),
        };
        let (charges, deadline) = (self.charges(group), self.store.deadline());
        let weight = NonZeroU32::new(weight).unwrap();
        match self.store.charge(&charges, weight, options, deadline).await {
            Ok((_, amount)) => {
                self.log[group].push((self.now, weight.get()));
                if amount > 0 {
                    let slot = slot_at(self.now);
                    self.held[group].push(Held { slot, amount });
                }
                self.assert_within_limits();
            }
            Err(SharedRefusal::Quota(_)) => {}
            Err(SharedRefusal::Store(error)) => panic!("{error}"),
        }
    }

    fn use_held(&mut self, group: usize, amount: u32) {
        let slot = slot_at(self.now);
        let Some(held) = self.held[group].iter_mut().find(|held| held.slot == slot) else {
            return;
        };
        let used = amount.min(held.amount);
        held.amount -= used;
        self.log[group].push((self.now, used));
        self.held[group].retain(|held| held.amount > 0);
        self.assert_within_limits();
    }

    /// No window that ends now has more use than its limit.
    fn assert_within_limits(&self) {
        for window in Window::ALL {
            let length = u64::try_from(window.length().as_millis()).unwrap();
            let load = |log: &Vec<(u64, u32)>| -> u32 {
                log.iter()
                    .filter(|(at, _)| at + length >= self.now)
                    .map(|(_, weight)| weight)
                    .sum()
            };
            let [a, b] = [load(&self.log[0]), load(&self.log[1])];
            let [own, all] = self.limits.map(|limits| limits.of(window).get());
            assert!(
                a <= own && b <= own && a + b <= all,
                "{a} {b} at {now}",
                now = self.now
            );
        }
    }

    /// Releases everything. After that the counters count what was used and nothing else, unless
    /// some was released too late.
    async fn settle(&mut self) {
        for group in [0, 1] {
            while !self.held[group].is_empty() {
                self.play(&Step::Release { group }).await;
            }
        }
        for group in [0, 1] {
            let charges = self.charges(group);
            let at = Some(time_at(self.now));
            let standings = self.store.peek(&charges, at).await.unwrap();
            for (charge, standing) in standings.iter() {
                let Standing {
                    window,
                    limit,
                    remaining,
                    ..
                } = standing;
                let logs = self.log.iter().enumerate();
                let used: u32 = logs
                    .filter(|(index, _)| charge == 1 || *index == group)
                    .map(|(_, log)| self.counted(log, window))
                    .sum();
                let counted = limit.get() - remaining;
                assert!(counted >= used, "{charge} {window:?}: {counted} for {used}");
                assert!(
                    !self.is_exact || counted == used,
                    "{charge} {window:?}: {counted} for {used}"
                );
            }
        }
    }

    /// Returns what a window counts of a log, as exactly as its slots do.
    fn counted(&self, log: &[(u64, u32)], window: Window) -> u32 {
        let slot = |millis| coarse(slot_at(millis), window);
        let now = slot(self.now);
        log.iter()
            .filter(|(at, _)| now - slot(*at) <= 100)
            .map(|(_, weight)| weight)
            .sum()
    }
}

/// Returns the time since the store's epoch. Histories begin ten days after it, where slots of all
/// windows begin.
fn time_at(millis: u64) -> Duration {
    Duration::from_secs(864_000) + Duration::from_millis(millis)
}

fn slot_at(millis: u64) -> u32 {
    Moment::at(time_at(millis)).slot()
}

fn step() -> impl Strategy<Value = Step> {
    let (group, weight, extra) = (0_usize..2, 1_u32..4, 0_u32..60);
    prop_oneof![
        3 => (0_u64..700).prop_map(Step::Wait),
        1 => (0_u64..70_000).prop_map(Step::Wait),
        1 => (0_u64..4_000_000).prop_map(Step::Wait),
        4 => (group.clone(), weight.clone(), extra.clone())
            .prop_map(|(group, weight, extra)| Step::Charge { group, weight, extra }),
        2 => (group.clone(), weight, extra)
            .prop_map(|(group, weight, extra)| Step::Renew { group, weight, extra }),
        4 => (group.clone(), 1_u32..20).prop_map(|(group, amount)| Step::Use { group, amount }),
        3 => group.prop_map(|group| Step::Release { group }),
    ]
}

fn limits() -> impl Strategy<Value = Limits> {
    let limit = || 1_u32..200;
    (limit(), limit(), limit()).prop_map(|(minute, hour, day)| Limits::new(minute, hour, day))
}

/// Starts with counters that no other history uses.
async fn connected(server: &RedisServer, history: u32) -> RoundTrip {
    let options = SharedOptions {
        deadline: Duration::from_secs(30),
        prefix: format!("history-{history}"),
        lease: None,
    };
    let store = RoundTrip::start(StoreAddress::parse(&server.url()).unwrap(), options).unwrap();
    let mut states = store.states();
    assert!(
        states
            .wait_for(|state| *state == StoreState::Up)
            .await
            .is_ok()
    );
    store
}

#[test]
fn charges_in_advance_stay_within_limits_and_are_released_in_full() {
    let Some(server) = RedisServer::start(&[]) else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let config = ProptestConfig {
        cases: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let number = std::cell::Cell::new(0);
    let histories = ([limits(), limits()], prop::collection::vec(step(), 1..120));
    let played = TestRunner::new(config).run(&histories, |(limits, steps)| {
        number.set(number.get() + 1);
        runtime.block_on(async {
            let store = connected(&server, number.get()).await;
            let mut history = History::new(store, limits);
            for step in &steps {
                history.play(step).await;
            }
            history.settle().await;
        });
        Ok(())
    });
    played.unwrap_or_else(|failure| panic!("{failure}"));
}
