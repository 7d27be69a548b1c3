//! Polling what wakes itself.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use futures_util::task::AtomicWaker;

/// How often something is polled in one turn of its task. It may want to be polled forever, and
/// other tasks must have their turn.
const MOST_TURNS: usize = 4;

/// Polls what wakes its own task while it is polled again at once, instead of by way of the
/// runtime's queue.
///
/// The pieces of a body go through a channel inside of the HTTP library. Where both ends are polled
/// by one task, each piece wakes it, and a runtime with several threads wakes another thread then
/// to take the task over.
#[derive(Debug)]
pub struct SelfWake {
    shared: Arc<Shared>,
    waker: Waker,
}

#[derive(Debug, Default)]
struct Shared {
    is_polled: AtomicBool,
    was_woken: AtomicBool,
    task: AtomicWaker,
}

impl Default for SelfWake {
    fn default() -> Self {
        let shared = Arc::<Shared>::default();
        let waker = Waker::from(Arc::clone(&shared));
        Self { shared, waker }
    }
}

impl SelfWake {
    /// Polls until there is a result, or nothing has woken the task meanwhile; the task of `cx` is
    /// woken later as usual.
    pub fn poll<T>(
        &mut self,
        cx: &Context<'_>,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let Shared {
            is_polled,
            was_woken,
            task,
        } = &*self.shared;
        task.register(cx.waker());
        is_polled.store(true, Ordering::SeqCst);
        let mut polled = Poll::Pending;
        for _ in 0..MOST_TURNS {
            was_woken.store(false, Ordering::SeqCst);
            polled = poll(&mut Context::from_waker(&self.waker));
            if polled.is_ready() || !was_woken.load(Ordering::SeqCst) {
                break;
            }
        }
        is_polled.store(false, Ordering::SeqCst);
        // Whoever wakes notes it before it looks whether the task is polled, so that no wake is
        // lost in between.
        if was_woken.swap(false, Ordering::SeqCst) && polled.is_pending() {
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
        self.was_woken.store(true, Ordering::SeqCst);
        if !self.is_polled.load(Ordering::SeqCst) {
            self.task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn what_wakes_itself_is_polled_again_and_its_task_is_not_woken() {
        let task = Arc::<Count>::default();
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

        assert_eq!(
            (polled, polls, task.0.load(Ordering::SeqCst)),
            (Poll::Pending, 3, 0)
        );
        last.unwrap().wake();
        assert_eq!(task.0.load(Ordering::SeqCst), 1, "a later wake goes on");
    }

    #[test]
    fn what_never_stops_to_wake_itself_gives_others_their_turn() {
        let task = Arc::<Count>::default();
        let waker = Waker::from(Arc::clone(&task));
        let mut polls = 0;
        let polled = SelfWake::default().poll(&Context::from_waker(&waker), |cx| {
            polls += 1;
            cx.waker().wake_by_ref();
            Poll::<()>::Pending
        });
        assert_eq!(
            (polled, polls, task.0.load(Ordering::SeqCst)),
            (Poll::Pending, MOST_TURNS, 1)
        );
    }

    /// Wakes from another thread while it is polled: none is lost, whenever they come.
    #[test]
    fn no_wake_of_another_thread_is_lost() {
        for _ in 0..2_000 {
            let task = Arc::<Count>::default();
            let waker = Waker::from(Arc::clone(&task));
            let is_done = Arc::<AtomicBool>::default();
            let (mut self_wake, mut other) = (SelfWake::default(), None);
            let mut poll = |self_wake: &mut SelfWake| {
                self_wake.poll(&Context::from_waker(&waker), |cx| {
                    let (waker, done) = (cx.waker().clone(), Arc::clone(&is_done));
                    other.get_or_insert_with(|| {
                        std::thread::spawn(move || {
                            done.store(true, Ordering::SeqCst);
                            waker.wake();
                        })
                    });
                    if is_done.load(Ordering::SeqCst) {
                        Poll::Ready(())
                    } else {
                        Poll::Pending
                    }
                })
            };
            let first = poll(&mut self_wake);
            other.unwrap().join().unwrap();
            assert!(
                first.is_ready() || task.0.load(Ordering::SeqCst) > 0,
                "the task sleeps forever"
            );
        }
    }
}
