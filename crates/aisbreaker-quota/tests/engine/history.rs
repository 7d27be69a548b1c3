//! Plays histories to a subject and checks every result against an exact log.

use aisbreaker_quota::{Charge, Refusal, Standings};

use crate::{
    oracle::{Kind, Log, elapsed},
    strategies::Call,
    subject::Subject,
};

/// A subject, the logs of its keys, and the clock.
#[derive(Debug)]
pub(crate) struct History<S: Subject> {
    subject: S,
    logs: Vec<Log<S::Limits>>,
    now: u64,
    /// The latest time at which a sweep freed a key.
    freed_at: u64,
    overflow: OverflowClock,
    /// Whether an untracked key has used an overflow counter. From then on, refusals may be
    /// stricter than necessary.
    pub(crate) has_overflowed: bool,
}

/// What the overflow counter knows of the time.
#[derive(Debug, Default)]
struct OverflowClock {
    seen: u64,
    /// When it was last charged.
    charged: Option<u64>,
}

impl<S: Subject> History<S> {
    pub(crate) fn new(subject: S, logs: Vec<Log<S::Limits>>) -> Self {
        Self {
            subject,
            logs,
            now: 0,
            freed_at: 0,
            overflow: OverflowClock::default(),
            has_overflowed: false,
        }
    }

    /// Advances the clock, sweeps if the call says so, and charges.
    fn play(&mut self, call: &Call) -> Result<(), Refusal<3, S::Limits>> {
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

    fn charges<const N: usize>(&self, keys: [usize; N]) -> [Charge<usize, S::Limits>; N] {
        keys.map(|key| self.logs[key].limits.charge(key))
    }

    /// Returns the weight of a call under the limits of this history.
    fn weight(&self, call: &Call) -> u32 {
        call.weight
            .under(call.keys.map(|key| self.logs[key].limits))
    }

    /// Charges at the current time, updates the logs and checks the result against them.
    ///
    /// No window may admit more than its limit. Unless keys have used the overflow, no refusal may
    /// be stricter than a slotted window.
    fn charge<const N: usize>(
        &mut self,
        keys: [usize; N],
        weight: u32,
    ) -> Result<(), Refusal<N, S::Limits>> {
        let result = self.subject.charge(&self.charges(keys), weight, self.now);
        // A weight above a limit is refused before the counters are looked up.
        let is_looked_up = keys.iter().all(|key| {
            let windows = self.logs[*key].limits.windows();
            windows.into_iter().all(|(_, _, limit)| limit >= weight)
        });
        if is_looked_up && (result.is_ok() || S::REFUSALS_ADVANCE_COUNTERS) {
            self.advance_counters(keys, result.is_ok());
        }
        match &result {
            Ok(_) => {
                for key in keys {
                    let log = &mut self.logs[key];
                    log.admitted.push((log.seen, weight));
                    assert!(
                        log.is_within_limits(log.seen),
                        "let too many through: key {key} at {}",
                        self.now
                    );
                }
            }
            Err(refusal) if !self.has_overflowed => {
                let is_needless = keys.iter().all(|key| {
                    let times =
                        u64::try_from(keys.iter().filter(|other| *other == key).count()).unwrap();
                    let log = &self.logs[*key];
                    log.fits_slotted(times * u64::from(weight), log.seen.max(self.now))
                });
                assert!(
                    !is_needless,
                    "stricter than one slot: {keys:?} at {}: {refusal:?}",
                    self.now
                );
            }
            Err(_) => {}
        }
        result.map(drop)
    }

    /// Updates which time the counters of a request have seen.
    ///
    /// Untracked keys get a counter if the request is admitted and there is room; otherwise they
    /// use the overflow. A key that leaves the overflow takes its time along.
    fn advance_counters<const N: usize>(&mut self, keys: [usize; N], is_admitted: bool) {
        let mut room = self.subject.capacity() - self.logs.iter().filter(|log| log.tracked).count();
        for (index, key) in keys.into_iter().enumerate() {
            if keys[..index].contains(&key) {
                continue;
            }
            let log = &mut self.logs[key];
            if log.tracked {
                log.seen = log.seen.max(self.now);
                continue;
            }
            let now = self.now.max(self.freed_at);
            let has_room = room > 0;
            room -= usize::from(has_room);
            let is_overflow_idle = self
                .overflow
                .charged
                .is_none_or(|charged| S::Limits::is_overflow_idle(charged, now));
            if has_room && is_overflow_idle {
                if is_admitted {
                    (log.tracked, log.seen) = (true, now);
                }
                continue;
            }
            self.overflow.seen = self.overflow.seen.max(now);
            self.has_overflowed = true;
            if is_admitted {
                (log.tracked, log.seen) = (has_room, self.overflow.seen);
                if !has_room {
                    self.overflow.charged = Some(self.overflow.seen);
                }
            }
        }
    }

    /// Sweeps all of the subject, which frees the keys that are idle now.
    fn sweep(&mut self) {
        if !self.subject.sweep(self.now) {
            return;
        }
        for log in &mut self.logs {
            if log.tracked && log.limits.is_idle(log.seen, self.now) {
                (log.tracked, self.freed_at) = (false, self.freed_at.max(self.now));
            }
        }
    }

    /// Reports whether the expected number of keys is tracked.
    fn tracks_expected_keys(&self) -> bool {
        let expected = self.logs.iter().filter(|log| log.tracked).count();
        self.subject
            .tracked()
            .is_none_or(|tracked| tracked == expected)
    }

    /// Advances the clock to when a refusal said the request would be admitted, and checks that it
    /// is refused just before and admitted then.
    fn wait_out<const N: usize>(
        &mut self,
        keys: [usize; N],
        weight: u32,
        refusal: &Refusal<N, S::Limits>,
    ) {
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
        let windows = self.logs[keys[charge]].limits.windows();
        assert!(
            windows
                .iter()
                .any(|(of, _, by)| *of == window && *by == limit.get())
        );
        let standing = standings.of_charge(charge).find(|one| one.window == window);
        assert_eq!(standing.unwrap().remaining, remaining);
        let unit = <S::Limits as Kind>::UNIT;
        let wait = u64::try_from(retry_after.as_nanos() / unit.as_nanos()).unwrap();
        assert_eq!(
            elapsed::<S::Limits>(wait),
            retry_after,
            "slots end on whole units"
        );

        let before = self
            .subject
            .charge(&self.charges(keys), weight, self.now + wait - 1);
        assert!(
            matches!(before, Err(Refusal::Exceeded { retry_after, .. }) if retry_after == unit),
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

/// Checks that decisions admit no more than the windows allow, and no less than windows of 101
/// slots would. Returns how many were admitted, and how many were refused.
pub(crate) fn check_decisions<S: Subject>(
    subject: S,
    logs: Vec<Log<S::Limits>>,
    calls: &[Call],
) -> [usize; 2] {
    let mut history = History::new(subject, logs);
    let mut counts = [0; 2];
    for call in calls {
        counts[usize::from(history.play(call).is_err())] += 1;
        assert!(
            history.tracks_expected_keys(),
            "{history:?}",
            history = history.logs
        );
    }
    counts
}

/// Checks that a refused request is refused until its announced wait is over, to the unit of
/// time, and admitted then. For clocks that do not step back.
pub(crate) fn check_waits<S: Subject>(subject: S, logs: Vec<Log<S::Limits>>, calls: &[Call]) {
    let mut history = History::new(subject, logs);
    for call in calls {
        history.step(call);
        let weight = history.weight(call);
        if let Err(refusal) = history.charge(call.keys, weight) {
            history.wait_out(call.keys, weight, &refusal);
        }
        let [key, ..] = call.keys;
        if let Err(refusal) = history.charge([key], 1) {
            history.wait_out([key], 1, &refusal);
        }
    }
}

/// Checks that a refusal leaves all counters as they were, and that an admission returns the
/// standings that a peek finds after it. For clocks that do not step back.
pub(crate) fn check_refusals_change_nothing<S: Subject>(
    subject: S,
    logs: Vec<Log<S::Limits>>,
    calls: &[Call],
) {
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

/// Checks that what remains can be charged, and no more. For clocks that do not step back.
pub(crate) fn check_remaining<S: Subject>(subject: S, logs: Vec<Log<S::Limits>>, calls: &[Call]) {
    let mut history = History::new(subject, logs);
    for call in calls {
        let _either = history.play(call);
        let [key, ..] = call.keys;
        let charges = history.charges([key]);
        let standings: Standings<1, S::Limits> = history.subject.peek(&charges, history.now);
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
