//! A clock of a server's own, which a test moves back and forth (clock.c).

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use tempfile::NamedTempFile;

use crate::Options;

/// The preloaded library.
const LIBRARY: &str = env!("TEST_CLOCK");

/// By how much the clock was ahead, and between which times of the real clock (ms) that may have been so.
#[derive(Clone, Copy, Debug)]
struct Span {
    from: i64,
    to: i64,
    ahead_ms: i64,
}

/// The clock. Times of the real clock and of this one are ms since the Unix epoch.
#[derive(Debug)]
pub struct Clock {
    file: NamedTempFile,
    spans: Mutex<Vec<Span>>,
}

impl Clock {
    /// One that tells the real time so far.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn new() -> io::Result<Self> {
        let file = NamedTempFile::new()?;
        store(file.as_file(), 0)?;
        let span = Span {
            from: i64::MIN,
            to: i64::MAX,
            ahead_ms: 0,
        };
        Ok(Self {
            file,
            spans: Mutex::new(vec![span]),
        })
    }

    /// Has the server go by this clock.
    #[must_use]
    pub fn govern(&self, options: Options) -> Options {
        options
            .environment("LD_PRELOAD", LIBRARY.as_ref())
            .environment("PMEMKV_TEST_CLOCK", self.file.path().as_os_str())
    }

    /// From now on it is so far ahead of the real clock, or behind it.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn set_ahead(&self, ahead_ms: i64) -> io::Result<()> {
        let mut spans = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        let from = real_ms();
        store(self.file.as_file(), ahead_ms)?;
        if let Some(last) = spans.last_mut() {
            last.to = real_ms();
        }
        spans.push(Span {
            from,
            to: i64::MAX,
            ahead_ms,
        });
        Ok(())
    }

    /// What it tells now.
    pub fn now_ms(&self) -> i64 {
        let now = real_ms();
        self.bounds(now, now).1
    }

    /// The lowest and the highest time that it may have told between two times of the real clock.
    pub fn bounds(&self, from_ms: i64, to_ms: i64) -> (i64, i64) {
        let spans = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut low, mut high) = (i64::MAX, i64::MIN);
        for span in spans.iter() {
            let (from, to) = (span.from.max(from_ms), span.to.min(to_ms));
            if from <= to {
                low = low.min(from + span.ahead_ms);
                high = high.max(to + span.ahead_ms);
            }
        }
        (low, high)
    }
}

/// The real clock.
///
/// # Panics
/// Panics where it tells a time before 1970.
pub fn real_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let ms = since.expect("the clock is right").as_millis();
    i64::try_from(ms).expect("the clock is right")
}

fn store(file: &File, ahead_ms: i64) -> io::Result<()> {
    file.write_all_at(&ahead_ms.to_ne_bytes(), 0)
}
