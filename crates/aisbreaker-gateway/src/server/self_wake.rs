//! Re-polls a future that woke its own task, without a trip through the scheduler.
//!
//! hyper passes the pieces of a body through a channel. Where one task polls both ends of it, each
//! piece wakes that same task, and a runtime with several threads then wakes another thread to take
//! the task over. Polling again at once took the CPU time of a proxied request from 93 to 66 µs and
//! its median latency from 145 to 111 µs (1000 requests a second, with hyper on both sides;
//! `benches/load/profile.md`).

use std::{
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
};

use self::sync::{AtomicU8, AtomicWaker, Ordering};

/// Atomics: those of the standard library, or those of loom under `cfg(loom)`.
mod sync {
    #[cfg(not(loom))]
    pub(super) use std::sync::atomic::{AtomicU8, Ordering};

    #[cfg(all(test, not(loom)))]
    pub(super) use std::sync::atomic::AtomicUsize;

    #[cfg(not(loom))]
    pub(super) use futures_util::task::AtomicWaker;
    #[cfg(all(test, loom))]
    pub(super) use loom::sync::atomic::AtomicUsize;
    #[cfg(loom)]
    pub(super) use loom::sync::atomic::{AtomicU8, Ordering};

    /// loom's waker with the signatures of the one in `futures_util`.
    #[cfg(loom)]
    #[derive(Debug, Default)]
    pub(super) struct AtomicWaker(loom::future::AtomicWaker);

    #[cfg(loom)]
    impl AtomicWaker {
        pub(super) fn register(&self, waker: &std::task::Waker) {
            self.0.register_by_ref(waker);
        }

        pub(super) fn wake(&self) {
            self.0.wake();
        }
    }
}

/// How often [`SelfWake::poll`] polls at most. A future may wake itself forever, and other tasks
/// must get to run.
const MAX_POLLS: usize = 4;

/// Bit of [`Shared::state`]: [`SelfWake::poll`] is running.
const POLLING: u8 = 1;
/// Bit of [`Shared::state`]: the future was woken since it was last polled.
const WOKEN: u8 = 2;

/// Polls a future again at once if it woke its own task while it was polled.
#[derive(Debug)]
pub(super) struct SelfWake {
    shared: Arc<Shared>,
    waker: Waker,
}

#[derive(Debug)]
struct Shared {
    /// Changed by read-modify-write only, so that a wake comes either before the end of a poll,
    /// which then sees [`WOKEN`], or after it, and then the wake sees that [`POLLING`] is gone.
    state: AtomicU8,
    task: AtomicWaker,
}

impl Default for SelfWake {
    fn default() -> Self {
        let shared = Arc::new(Shared {
            state: AtomicU8::new(0),
            task: AtomicWaker::default(),
        });
        let waker = Waker::from(Arc::clone(&shared));
        Self { shared, waker }
    }
}

impl SelfWake {
    /// Calls `poll` until it returns [`Poll::Ready`], or was not woken meanwhile, four times at
    /// most. Afterwards a wake reaches the task of `cx` as usual.
    pub(super) fn poll<T>(
        &mut self,
        cx: &Context<'_>,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let Shared { state, task } = &*self.shared;
        task.register(cx.waker());
        let mut polled = Poll::Pending;
        for _ in 0..MAX_POLLS {
            state.swap(POLLING, Ordering::AcqRel);
            polled = poll(&mut Context::from_waker(&self.waker));
            if polled.is_ready() || state.load(Ordering::Relaxed) & WOKEN == 0 {
                break;
            }
        }
        let last = state.fetch_and(!POLLING, Ordering::AcqRel);
        if polled.is_pending() && last & WOKEN != 0 {
            task.wake();
        }
        polled
    }
}

impl Wake for Shared {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let state = self.state.fetch_or(WOKEN, Ordering::AcqRel);
        if state & POLLING == 0 {
            self.task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    #[cfg(not(loom))]
    use std::thread;

    #[cfg(loom)]
    use loom::thread;

    use super::sync::AtomicUsize;
    use super::*;

    struct WakeCount(AtomicUsize);

    impl Wake for WakeCount {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::AcqRel);
        }
    }

    impl WakeCount {
        fn new() -> Arc<Self> {
            Arc::new(Self(AtomicUsize::new(0)))
        }

        fn get(&self) -> usize {
            self.0.load(Ordering::Acquire)
        }
    }

    #[cfg(not(loom))]
    #[test]
    fn a_self_wake_polls_again_without_waking_the_task() {
        let task = WakeCount::new();
        let waker = Waker::from(Arc::clone(&task));
        let (mut self_wake, mut polls, mut last) = (SelfWake::default(), 0, None);

        let polled = self_wake.poll(&Context::from_waker(&waker), |cx| {
            polls += 1;
            if polls < 3 {
                cx.waker().wake_by_ref();
            }
            last = Some(cx.waker().clone());
            Poll::<()>::Pending
        });

        assert_eq!((polled, polls, task.get()), (Poll::Pending, 3, 0));
        last.unwrap().wake();
        assert_eq!(task.get(), 1, "a later wake reaches the task");
    }

    #[cfg(not(loom))]
    #[test]
    fn an_endless_self_wake_yields_to_other_tasks() {
        let task = WakeCount::new();
        let waker = Waker::from(Arc::clone(&task));
        let mut polls = 0;
        let polled = SelfWake::default().poll(&Context::from_waker(&waker), |cx| {
            polls += 1;
            cx.waker().wake_by_ref();
            Poll::<()>::Pending
        });
        assert_eq!((polled, polls, task.get()), (Poll::Pending, MAX_POLLS, 1));
    }

    #[cfg(not(loom))]
    #[test]
    fn no_wake_of_another_thread_is_lost() {
        for _ in 0..2_000 {
            wake_from_another_thread_while_polling();
        }
    }

    /// Every interleaving, and every value that the memory model allows a load to return.
    #[cfg(loom)]
    #[test]
    fn no_wake_of_another_thread_is_lost() {
        loom::model(wake_from_another_thread_while_polling);
    }

    /// The future becomes ready, and then wakes its task, on another thread that starts while it is
    /// polled.
    fn wake_from_another_thread_while_polling() {
        let task = WakeCount::new();
        let waker = Waker::from(Arc::clone(&task));
        let is_done = Arc::new(AtomicUsize::new(0));
        let (mut self_wake, mut other) = (SelfWake::default(), None);

        let polled = self_wake.poll(&Context::from_waker(&waker), |cx| {
            other.get_or_insert_with(|| {
                let (waker, done) = (cx.waker().clone(), Arc::clone(&is_done));
                thread::spawn(move || {
                    done.store(1, Ordering::Release);
                    waker.wake();
                })
            });
            match is_done.load(Ordering::Acquire) {
                1 => Poll::Ready(()),
                _ => Poll::Pending,
            }
        });
        other.unwrap().join().unwrap();

        assert!(
            polled.is_ready() || task.get() > 0,
            "the task sleeps forever"
        );
    }
}
