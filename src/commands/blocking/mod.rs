//! Commands that wait for an element: what they wait for, and for how long.

mod call;

use std::time::{Duration, Instant};

use super::CommandError;
use super::numbers::Extended;
use super::numbers::parse_float;
use crate::keyspace::now_ms;

pub use call::Call;

/// A command that waits.
#[derive(Debug)]
pub struct Wait {
    /// What it is to do.
    pub call: Call,
    /// Until when; `None` is for ever.
    pub deadline: Option<Instant>,
}

/// The end of a timeout, a number of seconds; `None` where it has none.
fn parse_timeout(text: &[u8]) -> Result<Option<Instant>, CommandError> {
    let out_of_range = || CommandError::text("ERR timeout is out of range");
    let seconds = match parse_float(text) {
        Some(seconds) => seconds,
        None if Extended::parse(text).is_some() => return Err(out_of_range()),
        None => {
            return Err(CommandError::text(
                "ERR timeout is not a float or out of range",
            ));
        }
    };
    let ms = (seconds * 1000.0).ceil();
    if ms < 0.0 {
        return Err(CommandError::text("ERR timeout is negative"));
    }
    #[allow(clippy::cast_precision_loss)] // Nobody waits so long.
    let ms_max = (i64::MAX - now_ms()) as f64;
    if ms >= ms_max {
        return Err(out_of_range());
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Checked above.
    let ms = ms as u64;
    if ms == 0 {
        return Ok(None);
    }
    Ok(Instant::now().checked_add(Duration::from_millis(ms)))
}
