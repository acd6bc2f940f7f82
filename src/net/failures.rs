//! A socket that accepts nobody for a while: the log tells when it begins, now and then that it goes on, and when it ends.

use std::io;
use std::time::{Duration, Instant};

/// How often the log says that it goes on.
const TOLD_AGAIN: Duration = Duration::from_secs(60);

/// How long a socket is left alone after a failure. Most often no file descriptor is left, and trying again at once would
/// only burn the core.
const PAUSE: Duration = Duration::from_millis(10);

/// What failed at one socket since it last accepted somebody.
#[derive(Debug, Default)]
pub(super) struct Failures {
    count: u64,
    since: Option<Instant>,
    told: Option<Instant>,
}

impl Failures {
    /// Tells of a failure, where it is time to, and waits before the next try.
    pub(super) async fn pause_after(&mut self, error: &io::Error) {
        if self.note(Instant::now()) {
            tracing::warn!(%error, failed = self.count, "connections cannot be accepted{}", advice(error));
        }
        tokio::time::sleep(PAUSE).await;
    }

    /// Counts a failure; whether the log should tell of it.
    fn note(&mut self, now: Instant) -> bool {
        self.count += 1;
        self.since.get_or_insert(now);
        let tells = self.told.is_none_or(|told| now - told >= TOLD_AGAIN);
        if tells {
            self.told = Some(now);
        }
        tells
    }

    /// A connection was accepted.
    pub(super) fn end(&mut self) {
        let Some(since) = self.since.take() else {
            return;
        };
        // A socket that works every other time is told of once a minute, not each time.
        if self.told.is_some_and(|told| told >= since) {
            tracing::info!(
                failed = self.count,
                seconds = since.elapsed().as_secs(),
                "connections are accepted again"
            );
        }
        self.count = 0;
    }
}

/// What an administrator can do about it.
fn advice(error: &io::Error) -> &'static str {
    match error.raw_os_error().map(nix::errno::Errno::from_raw) {
        Some(nix::errno::Errno::EMFILE) => {
            ": no file descriptor is left for them ('ulimit -n', 'maxclients')"
        }
        Some(nix::errno::Errno::ENFILE) => ": the system has no file descriptor left",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_tells_of_the_first_failure_and_of_one_a_minute() {
        let start = Instant::now();
        let mut failures = Failures::default();
        let mut told = Vec::new();
        for second in 0..150 {
            if failures.note(start + Duration::from_secs(second)) {
                told.push((second, failures.count));
            }
        }
        assert_eq!(told, [(0, 1), (60, 61), (120, 121)]);
        failures.end();
        assert_eq!(failures.count, 0);
        // Soon after the last line the log stays silent.
        assert!(!failures.note(start + Duration::from_secs(151)));
        assert!(failures.note(start + Duration::from_secs(180)));
    }
}
