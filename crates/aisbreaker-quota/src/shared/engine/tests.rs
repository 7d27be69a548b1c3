//! What is charged in advance and given back, with the time set, against a server of the test's
//! own.

#[expect(dead_code, reason = "other tests stop, pause and ask the server")]
#[path = "../../../tests/support/redis_server.rs"]
mod redis_server;

use std::{num::NonZeroU32, time::Duration};

use proptest::{prelude::*, test_runner::TestRunner};

use self::redis_server::RedisServer;
use super::*;
use crate::{
    Limits, Standing, Window,
    shared::message::Back,
    slots::{Moment, coarse},
};

/// One step of a history of leases.
#[derive(Clone, Debug)]
enum Step {
    /// Goes on by this many milliseconds.
    Wait(u64),
    /// Charges with a weight and a wish for more, on the counters of a group.
    Charge {
        group: usize,
        weight: u32,
        extra: u32,
    },
    /// As before, giving back what the group holds.
    Renew {
        group: usize,
        weight: u32,
        extra: u32,
    },
    /// Uses some of what a group holds, if its slot is not over.
    Use { group: usize, amount: u32 },
    /// Gives back what a group holds.
    End { group: usize },
}

/// What a group holds.
#[derive(Clone, Copy, Debug)]
struct Held {
    slot: u32,
    amount: u32,
}

/// Two groups: each has a counter of its own, and one in common.
struct History {
    engine: SharedEngine,
    limits: [Limits; 2],
    now: u64,
    held: [Vec<Held>; 2],
    /// What each group was admitted, at what time it was used.
    log: [Vec<(u64, u32)>; 2],
    /// Whether all was given back before it could be folded.
    is_exact: bool,
}

impl History {
    fn charges(&self, group: usize) -> [Charge<&'static str>; 2] {
        [
            Charge::new(["a", "b"][group], self.limits[0]),
            Charge::shared("all", self.limits[1]),
        ]
    }

    fn at(&self) -> Duration {
        Duration::from_secs(864_000) + Duration::from_millis(self.now)
    }

    fn slot(&self) -> u32 {
        Moment::at(self.at()).slot()
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
                let back = self.held[group].pop();
                self.charge(group, weight, extra, back).await;
            }
            Step::Use { group, amount } => self.use_up(group, amount),
            Step::End { group } => {
                if let Some(held) = self.held[group].pop() {
                    let back = self.back(held);
                    let names = self.engine.0.names(&self.charges(group));
                    let command = self.engine.0.link.function.give_back(&names.keys, back);
                    let _answer = self
                        .engine
                        .0
                        .link
                        .ask(&command, self.engine.0.deadline())
                        .await
                        .unwrap();
                }
            }
        }
    }

    fn back(&mut self, held: Held) -> Back {
        self.is_exact &= self.slot() - held.slot <= 100;
        Back {
            slot: held.slot,
            amount: held.amount,
        }
    }

    async fn charge(&mut self, group: usize, weight: u32, extra: u32, held: Option<Held>) {
        let back = held.map(|held| self.back(held));
        let besides = Besides {
            extra,
            back,
            at: Some(self.at()),
        };
        let weight = NonZeroU32::new(weight).unwrap();
        let decided = self
            .engine
            .0
            .decide(
                &self.charges(group),
                weight,
                besides,
                self.engine.0.deadline(),
            )
            .await;
        match decided {
            Ok((_, amount)) => {
                self.log[group].push((self.now, weight.get()));
                if amount > 0 {
                    self.held[group].push(Held {
                        slot: self.slot(),
                        amount,
                    });
                }
                self.holds();
            }
            Err(SharedRefusal::Quota(_)) => {}
            Err(SharedRefusal::Store(error)) => panic!("{error}"),
        }
    }

    fn use_up(&mut self, group: usize, amount: u32) {
        let slot = self.slot();
        if let Some(held) = self.held[group].iter_mut().find(|held| held.slot == slot) {
            let amount = amount.min(held.amount);
            held.amount -= amount;
            self.log[group].push((self.now, amount));
            self.held[group].retain(|held| held.amount > 0);
            self.holds();
        }
    }

    /// In every window that ends now no more was used than its limit.
    fn holds(&self) {
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

    /// Gives all back; then the counters count what was used and nothing else, unless some came
    /// back too late.
    async fn settle(&mut self) {
        for group in [0, 1] {
            while !self.held[group].is_empty() {
                self.play(&Step::End { group }).await;
            }
        }
        for group in [0, 1] {
            let charges = self.charges(group);
            let standings = self.engine.peek_at(&charges, self.at()).await.unwrap();
            for (
                charge,
                Standing {
                    window,
                    limit,
                    remaining,
                    ..
                },
            ) in standings.iter()
            {
                let mine = |index: usize| charge == 1 || index == group;
                let used: u32 = self
                    .log
                    .iter()
                    .enumerate()
                    .filter(|(index, _)| mine(*index))
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

    /// What of a log a window counts that is as exact as its slots.
    fn counted(&self, log: &[(u64, u32)], window: Window) -> u32 {
        let of = |millis: u64| {
            let slot =
                Moment::at(Duration::from_secs(864_000) + Duration::from_millis(millis)).slot();
            coarse(slot, window)
        };
        let now = of(self.now);
        log.iter()
            .filter(|(at, _)| now - of(*at) <= 100)
            .map(|(_, weight)| weight)
            .sum()
    }
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
        3 => group.prop_map(|group| Step::End { group }),
    ]
}

fn limits() -> impl Strategy<Value = Limits> {
    let number = || (1_u32..200).prop_map(|number| NonZeroU32::new(number).unwrap());
    (number(), number(), number()).prop_map(|(minute, hour, day)| Limits::new(minute, hour, day))
}

#[test]
fn leases_never_admit_more_than_the_limits_and_all_that_comes_back_in_time_can_be_had() {
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
            let options = SharedOptions {
                deadline: Duration::from_secs(30),
                prefix: format!("history-{}", number.get()),
                lease: None,
            };
            let engine =
                SharedEngine::start(StoreAddress::parse(&server.url()).unwrap(), options).unwrap();
            assert!(
                engine
                    .states()
                    .wait_for(|state| *state == StoreState::Up)
                    .await
                    .is_ok()
            );
            let (held, log) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
            let mut history = History {
                engine,
                limits,
                now: 0,
                held,
                log,
                is_exact: true,
            };
            for step in &steps {
                history.play(step).await;
            }
            history.settle().await;
        });
        Ok(())
    });
    played.unwrap_or_else(|failure| panic!("{failure}"));
}
