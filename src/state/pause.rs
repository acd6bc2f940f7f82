//! CLIENT PAUSE: commands and their clients wait until the time has passed or a client ends the pause.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// The longest pause, for times that the clock cannot represent.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// Which commands wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Paused {
    /// Commands that may change data.
    Writes,
    /// All commands.
    All,
}

/// The current pause, if there is one.
#[derive(Debug, Default)]
pub struct Pause {
    state: Mutex<Option<(Paused, Instant)>>,
    /// Whether there may be a pause; every command reads it.
    is_on: AtomicBool,
    over: Notify,
}

impl Pause {
    /// Whether there may be a pause; [`present`](Self::present) gives the exact answer.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Relaxed)
    }

    /// Starts a pause. It never shortens or weakens a running pause.
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

    /// Ends the pause.
    pub fn end(&self) {
        *self.state.lock() = None;
        self.is_on.store(false, Ordering::Relaxed);
        self.over.notify_waiters();
    }

    /// Which commands wait now.
    pub fn present(&self) -> Option<Paused> {
        self.now().map(|(paused, _)| paused)
    }

    /// The remaining time of the pause; `None` if there is none.
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

    /// Returns when the pause is over.
    pub async fn over(&self) {
        loop {
            // Create this before checking the state, so that it also sees an end right after the check.
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
