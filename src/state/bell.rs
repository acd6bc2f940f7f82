//! Wakes the one task that waits for a client: its connection.

use std::task::{Context, Waker};

use parking_lot::Mutex;

/// What the task of a connection listens to while it waits. Unlike a future that is made for each wait, it costs hardly
/// anything if the task listens again and again, and seldom has to be woken.
#[derive(Debug, Default)]
pub struct Bell {
    /// The task that listened last. A ring that it no longer waits for wakes it for nothing.
    listener: Mutex<Option<Waker>>,
}

impl Bell {
    /// Has later rings wake the task. The task looks at what a ring tells of after this call, not before it: so it misses
    /// nothing.
    #[inline]
    pub fn listen(&self, context: &Context<'_>) {
        let mut listener = self.listener.lock();
        match &mut *listener {
            Some(waker) if waker.will_wake(context.waker()) => {}
            other => *other = Some(context.waker().clone()),
        }
    }

    /// Wakes the task that listens. The caller has made visible what it tells of.
    pub fn ring(&self) {
        let listener = self.listener.lock().clone();
        if let Some(waker) = listener {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Poll;

    use super::*;

    #[tokio::test]
    async fn a_ring_wakes_whoever_listened_last_each_time() {
        const RINGS: usize = 1000;
        let bell = Arc::new(Bell::default());
        let rung = Arc::new(AtomicUsize::new(0));
        let ringer = std::thread::spawn({
            let (bell, rung) = (Arc::clone(&bell), Arc::clone(&rung));
            move || {
                for _ in 0..RINGS {
                    rung.fetch_add(1, Ordering::Release);
                    bell.ring();
                    std::thread::yield_now();
                }
            }
        });
        for seen in 0..RINGS {
            poll_fn(|context| {
                bell.listen(context);
                if rung.load(Ordering::Acquire) > seen {
                    Poll::Ready(())
                } else {
                    Poll::Pending
                }
            })
            .await;
        }
        assert!(ringer.join().is_ok());
    }
}
