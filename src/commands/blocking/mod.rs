//! Commands that wait for an element: what they wait for, and for how long.
//!
//! The handler tries at once. If no key has an element, the call goes into the keys' queues. The thread that fills one
//! of these keys tries the call again for the waiting client.

mod call;
pub(super) mod lists;
pub(super) mod scores;

use std::time::{Duration, Instant};

use super::{CommandError, CommandResult, Context, Outcome};
use crate::catalog::spec::{Argument, ArgumentKind, KeySpec};
use crate::keyspace::now_ms;
use crate::numbers::{Extended, parse_float};
use crate::protocol::Args;
use crate::state::{BlockedCall, Wait};

pub(super) use call::Call;

const TIMEOUT: Argument = Argument::new("timeout", ArgumentKind::Double);
const KEYS_AND_TIMEOUT: &[Argument] = &[Argument::key().multiple(), TIMEOUT];
/// The keys before the timeout.
const POPPED: &[KeySpec] = &[KeySpec::range(&["RW", "access", "delete"], 1, -2, 1)];

fn keys_before_timeout(args: Args<'_>) -> Vec<Vec<u8>> {
    let keys = args.from(1).take(args.len() - 2);
    keys.map(<[u8]>::to_vec).collect()
}

/// Tries the call, and waits if no key has an element. A call inside a transaction never waits.
fn attempt(ctx: &mut Context<'_>, call: Call, deadline: Option<Instant>) -> CommandResult {
    let reply = call.attempt(ctx.keyspace, ctx.session.db, ctx.access)?;
    Ok(match reply {
        Some(reply) => reply.into(),
        None if ctx.session.in_step() => call.nothing().into(),
        None => Outcome::Block(Box::new(Wait {
            call: Box::new(call),
            deadline,
        })),
    })
}

/// The end of a timeout, a number of seconds; `None` where it has none.
fn parse_timeout(text: &[u8]) -> Result<Option<Instant>, CommandError> {
    let out_of_range = || CommandError::text("ERR timeout is out of range");
    let seconds = match parse_float(text) {
        Some(seconds) => seconds,
        // Redis reads a longer type of float.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Option<Duration>, String> {
        let before = Instant::now();
        let deadline = parse_timeout(text.as_bytes()).map_err(|error| error.to_string())?;
        Ok(deadline.map(|deadline| deadline - before))
    }

    #[test]
    fn timeouts_are_seconds() {
        for text in ["0", "0.0", "-0", "-0.0001", "0e9"] {
            assert_eq!(parse(text), Ok(None), "{text}");
        }
        for (text, ms) in [
            ("1", 1000),
            ("0.05", 50),
            (".5", 500),
            ("1e-1", 100),
            ("0.0001", 1),
            ("0x10", 16_000),
        ] {
            let time = parse(text).ok().flatten().unwrap_or_default();
            let (least, most) = (Duration::from_millis(ms), Duration::from_millis(ms + 5000));
            assert!(least <= time && time < most, "{text}: {time:?}");
        }
    }

    #[test]
    fn timeouts_that_are_none() {
        for text in ["", "x", "1s", " 1", "1 ", "nan"] {
            let error = "ERR timeout is not a float or out of range".to_owned();
            assert_eq!(parse(text), Err(error), "{text}");
        }
        for text in ["-1", "-0.001", "-1e300", "-inf"] {
            assert_eq!(
                parse(text),
                Err("ERR timeout is negative".to_owned()),
                "{text}"
            );
        }
        for text in ["inf", "1e300", "1e4000", "9223372036854775807", "1e17"] {
            assert_eq!(
                parse(text),
                Err("ERR timeout is out of range".to_owned()),
                "{text}"
            );
        }
    }
}
