//! Random calls from 64 threads at once, checked against a log of all admissions.
//!
//! Threads work in rounds in which all of them read the same time, so that the log knows at which
//! time each charge counts. Between rounds every counter must match the log exactly. In the end no
//! window may have admitted more than its limit.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Barrier, Mutex};
use std::thread;
use std::time::Instant;

use aisbreaker_quota::{Admitted, Charge, Engine, Limits, Refusal, Window};

use crate::oracle::{at, limits, millis, number, some_instant};
use crate::subject::sweep_all;

const THREADS: u64 = 64;
const ROUNDS: usize = 40;
const CALLS: usize = 16;
const KEYS: usize = 8;

/// A seeded pseudo-random number generator (SplitMix64).
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[usize::try_from(self.below(u64::try_from(choices.len()).unwrap())).unwrap()]
    }

    /// Returns a limit from 1 to a million, each order of magnitude equally often.
    fn limit(&mut self) -> u32 {
        u32::try_from((1 + self.below(10)) * self.of(&[1, 10, 100, 1_000, 10_000, 100_000]))
            .unwrap()
    }

    fn key(&mut self) -> usize {
        usize::try_from(self.below(u64::try_from(KEYS).unwrap())).unwrap()
    }
}

/// One admission: when, for which key, how much, and under which limits.
#[derive(Clone, Copy, Debug)]
struct Entry {
    time: u64,
    key: usize,
    weight: u32,
    limits: Limits,
}

/// A check after each round, with the log so far. Returns what is wrong.
type Check<'a> = &'a (dyn Fn(usize, &[Entry]) -> Option<String> + Sync);

/// How the clock moves from round to round.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Clock {
    Forward,
    ForwardAndBack,
}

impl Clock {
    fn times(self, random: &mut Random) -> Vec<u64> {
        let mut now = 0_u64;
        let next = |_| {
            let forward = [
                0, 0, 1, 600, 7_000, 59_999, 60_000, 60_600, 3_600_000, 864_000, 86_400_000,
                90_000_000,
            ];
            let back = [1, 600, 61_000, 3_700_000, 100_000_000];
            now = match self {
                Self::ForwardAndBack if random.below(3) == 0 => {
                    now.saturating_sub(random.of(&back))
                }
                Self::Forward | Self::ForwardAndBack => now + random.of(&forward),
            };
            now
        };
        (0..ROUNDS).map(next).collect()
    }
}

/// What all threads of a test share.
struct Scene {
    engine: Engine<usize>,
    epoch: Instant,
    /// The limits of each key, for each kind of thread: some may use limits twice as large.
    limits: [[Limits; KEYS]; 3],
    /// The clock in each round.
    times: Vec<u64>,
    /// The time at which a charge counts in each round: the latest that counters have seen.
    counted: Vec<u64>,
    seed: u64,
}

impl Scene {
    fn new(seed: u64, capacity: usize, clock: Clock, kinds: [u32; 3]) -> Self {
        let mut random = Random(seed);
        let numbers: [[u32; 3]; KEYS] =
            std::array::from_fn(|_| std::array::from_fn(|_| random.limit()));
        let limits = kinds.map(|times| {
            numbers.map(|[minute, hour, day]| limits(minute * times, hour * times, day * times))
        });
        let epoch = some_instant();
        let shard_by = |key: &usize| u64::try_from(key % 3).unwrap();
        let engine = Engine::with_shard_by(epoch, capacity, shard_by);
        let times = clock.times(&mut random);
        let latest = |latest: &mut u64, time: &u64| {
            *latest = (*latest).max(*time);
            Some(*latest)
        };
        let counted = times.iter().scan(0, latest).collect();
        Self {
            engine,
            epoch,
            limits,
            times,
            counted,
            seed,
        }
    }

    fn charge<const N: usize>(
        &self,
        keys: [usize; N],
        limits: &[Limits; KEYS],
        weight: u32,
        round: usize,
    ) -> Result<Admitted<N>, Refusal<N>> {
        let charges = keys.map(|key| match key {
            0 | 1 => Charge::shared(key, limits[key]),
            _ => Charge::new(key, limits[key]),
        });
        self.engine
            .charge(&charges, number(weight), self.epoch + at(self.times[round]))
    }

    /// Makes the calls of one thread in one round and returns what was admitted. A call has one to
    /// three keys, possibly some of them twice, and a random part of the least limit as weight.
    fn play_round(&self, random: &mut Random, limits: &[Limits; KEYS], round: usize) -> Vec<Entry> {
        let time = self.counted[round];
        let mut admitted = Vec::new();
        for _ in 0..CALLS {
            let keys = [random.key(), random.key(), random.key()];
            let [first, second, third] = keys;
            let least = keys
                .iter()
                .flat_map(|key| Window::ALL.map(|window| limits[*key].of(window).get()))
                .min();
            let weight = match random.below(20) {
                0 => least.unwrap(),
                1..8 => 1,
                _ => {
                    u32::try_from(1 + random.below(u64::from(least.unwrap().div_ceil(30)))).unwrap()
                }
            };
            let (count, is_admitted) = match random.below(3) {
                0 => (1, self.charge([first], limits, weight, round).is_ok()),
                1 => (
                    2,
                    self.charge([first, second], limits, weight, round).is_ok(),
                ),
                _ => (
                    3,
                    self.charge([third, first, second], limits, weight, round)
                        .is_ok(),
                ),
            };
            let charged = keys.into_iter().take(if is_admitted { count } else { 0 });
            admitted.extend(charged.map(|key| Entry {
                time,
                key,
                weight,
                limits: limits[key],
            }));
        }
        admitted
    }

    /// Returns what the counter of a key counts in each window.
    fn used(&self, key: usize, round: usize) -> [u32; 3] {
        let unlimited = Limits::per_minute(u32::MAX);
        let charge = if key < 2 {
            Charge::shared(key, unlimited)
        } else {
            Charge::new(key, unlimited)
        };
        let standings = self
            .engine
            .peek(&[charge], self.epoch + at(self.times[round]));
        Window::ALL.map(|window| u32::MAX - standings.of(0, window).unwrap().remaining)
    }

    /// Plays all rounds with all threads and returns the log. In each round some threads call
    /// `also`; after it, one calls `check`.
    ///
    /// A fault that `check` finds fails the test at the end, since a thread that stops early would
    /// keep the others waiting.
    fn play(&self, also: &(dyn Fn(usize) + Sync), check: Check<'_>) -> Vec<Entry> {
        let (barrier, log) = (
            Barrier::new(usize::try_from(THREADS).unwrap()),
            Mutex::new(Vec::new()),
        );
        let faults = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for thread in 0..THREADS {
                let (barrier, log, faults) = (&barrier, &log, &faults);
                scope.spawn(move || {
                    let mut random = Random(self.seed * 1_000 + thread);
                    let limits = random.of(&self.limits);
                    for round in 0..ROUNDS {
                        if thread % 16 == 0 {
                            also(round);
                        }
                        let admitted = self.play_round(&mut random, &limits, round);
                        log.lock().unwrap().extend(admitted);
                        if barrier.wait().is_leader() {
                            faults
                                .lock()
                                .unwrap()
                                .extend(check(round, &log.lock().unwrap()));
                        }
                        barrier.wait();
                    }
                });
            }
        });
        let faults = faults.into_inner().unwrap();
        assert_eq!(
            faults.first(),
            None,
            "seed {}, the first of {}",
            self.seed,
            faults.len()
        );
        log.into_inner().unwrap()
    }

    fn sweep(&self, round: usize) {
        sweep_all(&self.engine, self.epoch + at(self.times[round]));
    }
}

/// No interval as long as a window admitted more than its limit. Where threads use different
/// limits, those with the lower ones were admitted no more than theirs.
fn assert_within_limits(log: &[Entry], name: &str) {
    // Everything that a key was admitted at one time under one limit counts like one charge.
    let mut loads = BTreeMap::<(usize, u64, Window, u32), u64>::new();
    for Entry {
        time,
        key,
        weight,
        limits,
    } in log
    {
        for window in Window::ALL {
            *loads
                .entry((*key, *time, window, limits.of(window).get()))
                .or_default() += u64::from(*weight);
        }
    }
    for &(key, time, window, limit) in loads.keys() {
        let counts = |&(other, at, of, by): &(usize, u64, Window, u32)| {
            other == key && of == window && by <= limit && at <= time && at + millis(window) >= time
        };
        let load: u64 = loads
            .iter()
            .filter(|(at, _)| counts(at))
            .map(|(_, load)| load)
            .sum();
        assert!(
            load <= u64::from(limit),
            "{name}: {load} of {limit} per {window:?}, key {key} at {time}"
        );
    }
}

/// Returns what the log counts in each window: slot `k` while `now - k <= 100`.
fn expected(log: &[Entry], key: usize, now: u64) -> [u32; 3] {
    Window::ALL.map(|window| {
        let slot = millis(window) / 100;
        let counts = |entry: &&Entry| entry.key == key && now / slot - entry.time / slot <= 100;
        log.iter().filter(counts).map(|entry| entry.weight).sum()
    })
}

/// Plays a scene in which every key has a counter of its own, and checks all counters after every
/// round.
fn assert_counters_match_log(name: &str, scene: &Scene, also: &(dyn Fn(usize) + Sync)) {
    let first = (0..KEYS).map(|key| {
        let limits = scene.limits[0];
        assert!(
            scene.charge([key], &limits, 1, 0).is_ok(),
            "{name}: the first charge of a key"
        );
        Entry {
            time: scene.counted[0],
            key,
            weight: 1,
            limits: limits[key],
        }
    });
    let first: Vec<Entry> = first.collect();

    let mut log = scene.play(also, &|round, log| {
        let fault = |key| {
            let before = expected(&first, key, scene.counted[round]);
            let log = expected(log, key, scene.counted[round]);
            let both = [0, 1, 2].map(|window| before[window] + log[window]);
            let used = scene.used(key, round);
            (used != both).then(|| format!("key {key} after round {round}: {used:?}, not {both:?}"))
        };
        (0..KEYS).filter_map(fault).next()
    });

    log.extend(first);
    assert_within_limits(&log, name);
    assert!(
        log.len() > 1_000,
        "{name}: only {} charges admitted",
        log.len()
    );
}

#[test]
fn counters_match_the_log_after_sixty_four_threads() {
    for seed in 1..=4 {
        let scene = Scene::new(seed, 100, Clock::ForwardAndBack, [1, 2, 3]);
        assert_counters_match_log(&format!("seed {seed}"), &scene, &|_| {});
    }
}

#[test]
fn sweeps_amid_sixty_four_threads_change_no_counter() {
    for seed in 5..=8 {
        let scene = Scene::new(seed, 100, Clock::Forward, [1, 2, 3]);
        assert_counters_match_log(&format!("seed {seed}"), &scene, &|round| scene.sweep(round));
    }
}

#[test]
fn sixty_four_threads_at_the_capacity_keep_every_limit() {
    for (seed, capacity) in [(9, 0), (10, 1), (11, 3), (12, 5), (13, 7)] {
        let scene = Scene::new(seed, capacity, Clock::Forward, [1; 3]);
        let bounded = |round, _: &[Entry]| {
            let tracked = scene.engine.len();
            (tracked > capacity)
                .then(|| format!("{tracked} keys after round {round}, not {capacity}"))
        };

        let log = scene.play(&|round| scene.sweep(round), &bounded);

        assert_within_limits(&log, &format!("seed {seed}"));
        assert!(
            log.len() > 100,
            "seed {seed}: only {} charges admitted",
            log.len()
        );
    }
}

/// All threads advance one clock, so that they may read different times. A charge counts at some
/// time between what its thread read and what the clock says afterwards.
#[test]
fn sixty_four_threads_that_move_the_clock_keep_every_limit() {
    const LIMIT: u32 = 60;
    let (epoch, clock, log) = (some_instant(), AtomicU64::new(0), Mutex::new(Vec::new()));
    let engine = Engine::new(epoch, 4);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (engine, clock, log) = (&engine, &clock, &log);
            scope.spawn(move || {
                let mut random = Random(thread);
                for _ in 0..300 {
                    let (weight, key) = (1 + u32::try_from(random.below(3)).unwrap(), random.key());
                    let begun = clock.fetch_add(random.below(20), Ordering::SeqCst);
                    let charges = [
                        Charge::new(key, Limits::per_minute(LIMIT)),
                        Charge::shared(KEYS, Limits::per_minute(4 * LIMIT)),
                    ];
                    if engine
                        .charge(&charges, number(weight), epoch + at(begun))
                        .is_ok()
                    {
                        let entry = (begun, clock.load(Ordering::SeqCst), key, weight);
                        log.lock().unwrap().push(entry);
                    }
                    engine.sweep(epoch + at(begun));
                }
            });
        }
    });

    let log: Vec<(u64, u64, usize, u32)> = log.into_inner().unwrap();
    for key in 0..=KEYS {
        let limit = if key == KEYS { 4 * LIMIT } else { LIMIT };
        let of_key: Vec<_> = log
            .iter()
            .filter(|entry| key == KEYS || entry.2 == key)
            .collect();
        for (from, ..) in &of_key {
            let within = of_key
                .iter()
                .filter(|(begun, ended, ..)| begun >= from && *ended <= from + 60_000);
            let load: u32 = within.map(|(.., weight)| weight).sum();
            assert!(load <= limit, "{load} of {limit} from {from}, key {key}");
        }
    }
    let total: u32 = log.iter().map(|(.., weight)| weight).sum();
    assert!(
        total >= 8 * LIMIT,
        "only {total} admitted, in three minutes"
    );
}
