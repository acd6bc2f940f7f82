//! The units and origins in which calls say when something expires.

use crate::catalog::spec::{Argument, ArgumentKind};
use crate::keyspace::Millis;

/// The options that say it, as COMMAND DOCS describes them.
pub(super) const EX: Argument = Argument::new("seconds", ArgumentKind::Integer).with_token("EX");
pub(super) const PX: Argument =
    Argument::new("milliseconds", ArgumentKind::Integer).with_token("PX");
pub(super) const EXAT: Argument =
    Argument::new("unix-time-seconds", ArgumentKind::UnixTime).with_token("EXAT");
pub(super) const PXAT: Argument =
    Argument::new("unix-time-milliseconds", ArgumentKind::UnixTime).with_token("PXAT");

/// The unit and the origin of a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TimeUnit {
    /// EX: seconds from now on.
    Seconds,
    /// PX: milliseconds from now on.
    Millis,
    /// EXAT: seconds since the Unix epoch.
    AtSeconds,
    /// PXAT: milliseconds since the Unix epoch.
    AtMillis,
}

impl TimeUnit {
    /// The unit that an option names.
    pub(super) fn of_option(option: &[u8]) -> Option<Self> {
        let is = |name: &str| option.eq_ignore_ascii_case(name.as_bytes());
        if is("EX") {
            Some(TimeUnit::Seconds)
        } else if is("PX") {
            Some(TimeUnit::Millis)
        } else if is("EXAT") {
            Some(TimeUnit::AtSeconds)
        } else if is("PXAT") {
            Some(TimeUnit::AtMillis)
        } else {
            None
        }
    }

    /// The point in time that a number of these units is; `None` if it cannot be represented.
    pub(super) fn point(self, number: i64, now: Millis) -> Option<Millis> {
        let millis = match self {
            TimeUnit::Seconds | TimeUnit::AtSeconds => number.checked_mul(1000)?,
            TimeUnit::Millis | TimeUnit::AtMillis => number,
        };
        match self {
            TimeUnit::Seconds | TimeUnit::Millis => millis.checked_add(now),
            TimeUnit::AtSeconds | TimeUnit::AtMillis => Some(millis),
        }
    }
}
