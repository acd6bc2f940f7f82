//! CLIENT PAUSE: commands and their clients wait until the time has passed or a client ends the pause. During FAILOVER writes
//! wait too.

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
    /// Whether writes wait for the end of a failover.
    hands_over: AtomicBool,
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
        self.is_on.store(self.hands_over(), Ordering::Relaxed);
        self.over.notify_waiters();
    }

    /// Has writes wait, whatever else does, until the same call says that they need not.
    pub fn hand_over(&self, waits: bool) {
        let state = self.state.lock();
        self.hands_over.store(waits, Ordering::Relaxed);
        self.is_on
            .store(waits || state.is_some(), Ordering::Relaxed);
        drop(state);
        self.over.notify_waiters();
    }

    fn hands_over(&self) -> bool {
        self.hands_over.load(Ordering::Relaxed)
    }

    /// Which commands wait now.
    pub fn present(&self) -> Option<Paused> {
        let own = self.now().map(|(paused, _)| paused);
        own.max(self.hands_over().then_some(Paused::Writes))
    }

    /// The remaining time of CLIENT PAUSE; `None` if there is none.
    pub fn rest(&self) -> Option<Duration> {
        self.now()
            .map(|(_, until)| until.saturating_duration_since(Instant::now()))
    }

    fn now(&self) -> Option<(Paused, Instant)> {
        let mut state = self.state.lock();
        if state.is_some_and(|(_, until)| until <= Instant::now()) {
            *state = None;
            self.is_on.store(self.hands_over(), Ordering::Relaxed);
        }
        *state
    }

    /// Returns when the pause is over.
    pub async fn over(&self) {
        loop {
            // Create this before checking the state, so that it also sees an end right after the check.
            let over = self.over.notified();
            let rest = match self.rest() {
                Some(rest) => rest,
                None if self.hands_over() => LONGEST,
                None => return,
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

    #[test]
    fn a_failover_pauses_beside_clients() {
        let pause = Pause::default();
        pause.hand_over(true);
        assert_eq!(pause.present(), Some(Paused::Writes));
        pause.begin(Paused::All, Duration::from_secs(100));
        assert_eq!(pause.present(), Some(Paused::All));
        pause.end();
        assert!(pause.is_on() && pause.rest().is_none());
        assert_eq!(pause.present(), Some(Paused::Writes));
        pause.hand_over(false);
        assert!(!pause.is_on() && pause.present().is_none());
    }
}
