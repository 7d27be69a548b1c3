//! Histories: calls to a subject with an exact log beside it, and what must hold whenever one is
//! played.

use aisbreaker_quota::{Charge, Refusal, Standings, Window};

use crate::{
    calls::Call,
    oracle::{Log, at, is_idle},
    subject::Subject,
};

/// A subject, the logs beside it, and the clock.
#[derive(Debug)]
pub(crate) struct History<S> {
    subject: S,
    logs: Vec<Log>,
    now: u64,
    /// The latest time at which a sweep freed a key.
    freed_at: u64,
    strangers: Strangers,
    /// Whether a key has been without a counter of its own: from then on refusals may be needless.
    pub(crate) has_shared: bool,
}

/// The counter of keys that have none of their own, as far as its clock goes.
#[derive(Debug, Default)]
struct Strangers {
    seen: u64,
    /// When it was last charged.
    charged: Option<u64>,
}

impl<S: Subject> History<S> {
    pub(crate) fn new(subject: S, logs: Vec<Log>) -> Self {
        Self {
            subject,
            logs,
            now: 0,
            freed_at: 0,
            strangers: Strangers::default(),
            has_shared: false,
        }
    }

    /// Moves the clock on, sweeps if the call says so, and charges.
    fn play(&mut self, call: &Call) -> Result<(), Refusal<3>> {
        self.step(call);
        let weight = self.weight(call);
        self.charge(call.keys, weight)
    }

    fn step(&mut self, call: &Call) {
        self.now = self.now.saturating_add_signed(call.step);
        if call.sweep {
            self.sweep();
        }
    }

    fn charges<const N: usize>(&self, keys: [usize; N]) -> [Charge<usize>; N] {
        keys.map(|key| match key {
            0 => Charge::shared(key, self.logs[key].limits),
            _ => Charge::new(key, self.logs[key].limits),
        })
    }

    /// The weight of a call as this history's limits have it.
    fn weight(&self, call: &Call) -> u32 {
        call.weight
            .under(call.keys.map(|key| self.logs[key].limits))
    }

    /// Charges at the current time, keeps the logs and checks the answer against them: never more
    /// than a limit in its window, and no refusal that a slotted window would not give, unless keys
    /// have shared a counter.
    fn charge<const N: usize>(&mut self, keys: [usize; N], weight: u32) -> Result<(), Refusal<N>> {
        let answer = self.subject.charge(&self.charges(keys), weight, self.now);
        // Counters are looked at, and so may learn the time, unless the weight alone is too much.
        let looked = keys.iter().all(|key| {
            Window::ALL
                .iter()
                .all(|w| self.logs[*key].limits.of(*w).get() >= weight)
        });
        if looked && (answer.is_ok() || S::REFUSALS_TELL_THE_TIME) {
            self.tell_the_time(keys, answer.is_ok());
        }
        match &answer {
            Ok(_) => {
                for key in keys {
                    let log = &mut self.logs[key];
                    log.admitted.push((log.seen, weight));
                    assert!(
                        log.holds(log.seen),
                        "let too many through: key {key} at {}",
                        self.now
                    );
                }
            }
            Err(refusal) if !self.has_shared => {
                let needless = keys.iter().all(|key| {
                    let times =
                        u64::try_from(keys.iter().filter(|other| *other == key).count()).unwrap();
                    let log = &self.logs[*key];
                    log.fits_slotted(times * u64::from(weight), log.seen.max(self.now))
                });
                assert!(
                    !needless,
                    "stricter than one slot: {keys:?} at {}: {refusal:?}",
                    self.now
                );
            }
            Err(_) => {}
        }
        answer.map(drop)
    }

    /// Which time each counter of a request has seen. Keys without a counter get one while there is
    /// room, if the request is admitted; those that find none share one, and those that leave it
    /// for one of their own take its time along.
    fn tell_the_time<const N: usize>(&mut self, keys: [usize; N], is_admitted: bool) {
        let mut room = self.subject.capacity() - self.logs.iter().filter(|log| log.tracked).count();
        for (place, key) in keys.into_iter().enumerate() {
            if keys[..place].contains(&key) {
                continue;
            }
            let log = &mut self.logs[key];
            if log.tracked {
                log.seen = log.seen.max(self.now);
                continue;
            }
            let now = self.now.max(self.freed_at);
            let is_own = room > 0;
            room -= usize::from(is_own);
            if is_own
                && self
                    .strangers
                    .charged
                    .is_none_or(|charged| is_idle(charged, now))
            {
                if is_admitted {
                    (log.tracked, log.seen) = (true, now);
                }
                continue;
            }
            self.strangers.seen = self.strangers.seen.max(now);
            self.has_shared = true;
            if is_admitted {
                (log.tracked, log.seen) = (is_own, self.strangers.seen);
                if !is_own {
                    self.strangers.charged = Some(self.strangers.seen);
                }
            }
        }
    }

    /// Sweeps all of the subject; keys that are idle now are freed.
    fn sweep(&mut self) {
        if !self.subject.sweep(self.now) {
            return;
        }
        for log in self
            .logs
            .iter_mut()
            .filter(|log| log.tracked && is_idle(log.seen, self.now))
        {
            (log.tracked, self.freed_at) = (false, self.freed_at.max(self.now));
        }
    }

    /// Whether as many keys are tracked as should be.
    fn tracks_what_it_should(&self) -> bool {
        let expected = self.logs.iter().filter(|log| log.tracked).count();
        self.subject
            .tracked()
            .is_none_or(|tracked| tracked == expected)
    }

    /// Goes to where a refusal said the request would be admitted, looking in just before.
    fn follow<const N: usize>(&mut self, keys: [usize; N], weight: u32, refusal: &Refusal<N>) {
        let Refusal::Exceeded {
            retry_after,
            charge,
            window,
            limit,
            remaining,
            standings,
        } = *refusal
        else {
            return;
        };
        assert!(
            remaining < weight * u32::try_from(N).unwrap(),
            "{refusal:?}"
        );
        assert_eq!(self.logs[keys[charge]].limits.of(window), limit);
        assert_eq!(standings.of(charge, window).unwrap().remaining, remaining);
        let wait = u64::try_from(retry_after.as_millis()).unwrap();
        assert_eq!(at(wait), retry_after, "slots end on whole milliseconds");

        let before = self
            .subject
            .charge(&self.charges(keys), weight, self.now + wait - 1);
        assert!(
            matches!(before, Err(Refusal::Exceeded { retry_after, .. }) if retry_after == at(1)),
            "{before:?}"
        );

        self.now += wait;
        assert_eq!(
            self.charge(keys, weight),
            Ok(()),
            "the announced wait was too short"
        );
    }
}

/// Admits neither more than the window allows nor less than a window of a hundred and one slots
/// would. Returns how many were admitted, and how many refused.
pub(crate) fn exact<S: Subject>(subject: S, logs: Vec<Log>, calls: &[Call]) -> [usize; 2] {
    let mut history = History::new(subject, logs);
    let mut counts = [0; 2];
    for call in calls {
        counts[usize::from(history.play(call).is_err())] += 1;
        assert!(
            history.tracks_what_it_should(),
            "{history:?}",
            history = history.logs
        );
    }
    counts
}

/// A refused request is refused until the time it was told, to the millisecond, and admitted then.
/// For clocks that do not step back.
pub(crate) fn waits_are_exact<S: Subject>(subject: S, logs: Vec<Log>, calls: &[Call]) {
    let mut history = History::new(subject, logs);
    for call in calls {
        history.step(call);
        let weight = history.weight(call);
        if let Err(refusal) = history.charge(call.keys, weight) {
            history.follow(call.keys, weight, &refusal);
        }
        let [key, ..] = call.keys;
        if let Err(refusal) = history.charge([key], 1) {
            history.follow([key], 1, &refusal);
        }
    }
}

/// A refusal leaves all counters as they were; what an admission tells is what anybody finds
/// afterwards. For clocks that do not step back.
pub(crate) fn refusals_leave_no_trace<S: Subject>(subject: S, logs: Vec<Log>, calls: &[Call]) {
    let mut history = History::new(subject, logs);
    let everything = history.charges([0, 1, 2, 3, 4, 5]);
    for call in calls {
        history.step(call);
        let (subject, now) = (&history.subject, history.now);
        let state = || (subject.peek(&everything, now), subject.tracked());
        let (charges, weight) = (history.charges(call.keys), history.weight(call));
        let before = state();

        match subject.charge(&charges, weight, now) {
            Err(_) => assert_eq!(before, state(), "at {now}"),
            Ok(standings) => assert_eq!(standings, subject.peek(&charges, now), "at {now}"),
        }
    }
}

/// What is told to remain can be charged, and no more. For clocks that do not step back.
pub(crate) fn remaining_can_be_charged<S: Subject>(subject: S, logs: Vec<Log>, calls: &[Call]) {
    let mut history = History::new(subject, logs);
    for call in calls {
        let _either = history.play(call);
        let [key, ..] = call.keys;
        let charges = history.charges([key]);
        let standings: Standings<1> = history.subject.peek(&charges, history.now);
        let (_, tightest) = standings.tightest().unwrap();

        if let Some(more) = tightest.remaining.checked_add(1) {
            assert!(history.charge([key], more).is_err(), "more than remained");
        }
        if tightest.remaining > 0 {
            assert_eq!(
                history.charge([key], tightest.remaining),
                Ok(()),
                "less than remained"
            );
        }
    }
}
