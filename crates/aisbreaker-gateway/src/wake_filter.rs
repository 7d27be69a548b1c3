//! Skips polls of a future that waits and was not woken.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use futures_util::task::AtomicWaker;

/// Polls a future only if it may have become ready: until it waits, and after each of its wakes.
///
/// A task that waits for several futures polls them all, whichever of them woke it, and hyper polls a
/// body several times for each piece of it. Where a poll costs much, this makes the needless ones
/// cheap.
pub(crate) struct WakeFilter {
    shared: Arc<Shared>,
    waker: Waker,
    is_pending: bool,
}

struct Shared {
    /// Whether the future was woken since it was last polled. Changed by read-modify-write only, so
    /// that a wake either comes before a poll, which then sees it, or after the task was registered
    /// for that poll, and then it reaches the task.
    is_woken: AtomicBool,
    task: AtomicWaker,
}

impl WakeFilter {
    /// Creates a filter for a future that was not polled yet.
    pub(crate) fn new() -> Self {
        let shared = Arc::new(Shared {
            is_woken: AtomicBool::new(false),
            task: AtomicWaker::new(),
        });
        let waker = Waker::from(Arc::clone(&shared));
        Self {
            shared,
            waker,
            is_pending: false,
        }
    }

    /// Calls `poll`, unless that returned [`Poll::Pending`] the last time and its waker was not used
    /// since. It must poll the same future each time.
    pub(crate) fn poll<T>(
        &mut self,
        cx: &Context<'_>,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        self.shared.task.register(cx.waker());
        let is_woken = self.shared.is_woken.swap(false, Ordering::AcqRel);
        if self.is_pending && !is_woken {
            return Poll::Pending;
        }
        let polled = poll(&mut Context::from_waker(&self.waker));
        self.is_pending = polled.is_pending();
        polled
    }
}

impl Wake for Shared {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.is_woken.swap(true, Ordering::AcqRel);
        self.task.wake();
    }
}

impl fmt::Debug for WakeFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WakeFilter(..)")
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::atomic::AtomicUsize, thread};

    use super::*;

    #[derive(Default)]
    struct WakeCount(AtomicUsize);

    impl Wake for WakeCount {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// Returns the waker of a new task, and how often it was woken.
    fn task() -> (Waker, Arc<WakeCount>) {
        let count = Arc::new(WakeCount::default());
        (Waker::from(Arc::clone(&count)), count)
    }

    #[test]
    fn a_waiting_future_is_polled_again_only_after_a_wake() {
        let (waker, count) = task();
        let cx = Context::from_waker(&waker);
        let (mut filter, mut polls, mut last) = (WakeFilter::new(), 0, None);
        let mut poll = |result: Poll<()>| {
            let polled = filter.poll(&cx, |cx| {
                polls += 1;
                last = Some(cx.waker().clone());
                result
            });
            (polled, polls, last.clone().unwrap())
        };

        let ready = [poll(Poll::Ready(())).1, poll(Poll::Pending).1];
        let (skipped, after_skip, last) = poll(Poll::Ready(()));
        assert_eq!((ready, skipped, after_skip), ([1, 2], Poll::Pending, 2));
        last.wake();
        assert_eq!(count.0.load(Ordering::Acquire), 1);
        let (polled, after_wake, _) = poll(Poll::Ready(()));
        assert_eq!((polled, after_wake), (Poll::Ready(()), 3));
    }

    #[test]
    fn a_future_that_wakes_itself_is_polled_again_by_its_task() {
        let (waker, count) = task();
        let cx = Context::from_waker(&waker);
        let mut filter = WakeFilter::new();
        let mut polls = 0;
        for _ in 0..3 {
            let polled: Poll<()> = filter.poll(&cx, |cx| {
                polls += 1;
                cx.waker().wake_by_ref();
                Poll::Pending
            });
            assert_eq!(polled, Poll::Pending);
        }
        assert_eq!((polls, count.0.load(Ordering::Acquire)), (3, 3));
    }

    /// The future becomes ready on another thread while its task polls it twice, the second time as
    /// another task.
    #[test]
    fn no_wake_of_another_thread_is_lost() {
        for _ in 0..2_000 {
            let is_done = Arc::new(AtomicBool::new(false));
            let (mut filter, mut other) = (WakeFilter::new(), None);
            let mut poll = |waker: &Waker| {
                filter.poll(&Context::from_waker(waker), |cx| {
                    other.get_or_insert_with(|| {
                        let (waker, done) = (cx.waker().clone(), Arc::clone(&is_done));
                        thread::spawn(move || {
                            done.store(true, Ordering::Release);
                            waker.wake();
                        })
                    });
                    match is_done.load(Ordering::Acquire) {
                        true => Poll::Ready(()),
                        false => Poll::Pending,
                    }
                })
            };
            let ((first, _), (second, count)) = (task(), task());
            let is_ready = poll(&first).is_ready() || poll(&second).is_ready();
            other.unwrap().join().unwrap();

            let is_woken = count.0.load(Ordering::Acquire) > 0;
            assert!(is_ready || is_woken, "the task sleeps forever");
        }
    }
}
