//! CLIENT PAUSE: commands wait, and their clients with them, until a time has passed or somebody ends it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// A pause without an end that matters, for times that the clock cannot reach.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// Which commands wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Paused {
    /// Those that may change data.
    Writes,
    /// All.
    All,
}

/// The present pause, if there is one.
#[derive(Debug, Default)]
pub struct Pause {
    state: Mutex<Option<(Paused, Instant)>>,
    /// Whether there may be one: read at every command.
    is_on: AtomicBool,
    over: Notify,
}

impl Pause {
    /// Whether there may be a pause; [`present`](Self::present) knows.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Relaxed)
    }

    /// Begins a pause. One that goes on becomes neither shorter nor weaker by it.
    pub fn begin(&self, paused: Paused, time: Duration) {
        let now = Instant::now();
        let until = now.checked_add(time.min(LONGEST)).unwrap_or(now + LONGEST);
        let mut state = self.state.lock();
        *state = Some(match *state {
            Some((before, end)) if end > now => (before.max(paused), end.max(until)),
            _ => (paused, until),
        });
        self.is_on.store(true, Ordering::Relaxed);
    }

    /// Ends it.
    pub fn end(&self) {
        *self.state.lock() = None;
        self.is_on.store(false, Ordering::Relaxed);
        self.over.notify_waiters();
    }

    /// What waits now.
    pub fn present(&self) -> Option<Paused> {
        self.now().map(|(paused, _)| paused)
    }

    /// How long the pause still takes; `None` where there is none.
    pub fn rest(&self) -> Option<Duration> {
        self.now()
            .map(|(_, until)| until.saturating_duration_since(Instant::now()))
    }

    fn now(&self) -> Option<(Paused, Instant)> {
        let mut state = self.state.lock();
        if state.is_some_and(|(_, until)| until <= Instant::now()) {
            *state = None;
            self.is_on.store(false, Ordering::Relaxed);
        }
        *state
    }

    /// Returns once the pause is over.
    pub async fn over(&self) {
        loop {
            // Made before the look at the state: it then hears of an end that comes right after.
            let over = self.over.notified();
            let Some(rest) = self.rest() else {
                return;
            };
            tokio::select! {
                () = over => {}
                () = tokio::time::sleep(rest) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_shorter_nor_weaker() {
        let pause = Pause::default();
        assert!(!pause.is_on() && pause.present().is_none());
        pause.begin(Paused::All, Duration::from_secs(100));
        pause.begin(Paused::Writes, Duration::from_secs(1));
        assert_eq!(pause.present(), Some(Paused::All));
        assert!(
            pause
                .rest()
                .is_some_and(|rest| rest > Duration::from_secs(90))
        );
        pause.end();
        assert!(!pause.is_on() && pause.present().is_none());
        pause.begin(Paused::Writes, Duration::MAX);
        assert_eq!(pause.present(), Some(Paused::Writes));
        pause.end();
        pause.begin(Paused::All, Duration::ZERO);
        assert_eq!(pause.present(), None);
        assert!(!pause.is_on());
    }
}
