//! A data set on the wire: of a length that the master announces, or up to a mark that it has announced.

use std::io::{self, Read};
use std::time::{Duration, Instant};

use super::LinkError;
use super::wire::Wire;
use crate::state::Server;
use crate::state::replication::Transfer;

/// The bytes of the mark behind a data set of unknown length.
const MARK_BYTES: usize = 40;

/// How often the master hears that the replica lives.
const SIGN_TIME: Duration = Duration::from_secs(1);

/// How often INFO learns how much has arrived, bytes.
const REPORT_BYTES: u64 = 1 << 20;

/// How the end of a data set is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// So many bytes are left.
    Length(u64),
    /// The mark follows.
    Mark([u8; MARK_BYTES]),
}

impl Framing {
    /// Reads the line before a data set: `$` and a length, or `$EOF:` and a mark.
    pub(super) fn parse(line: &[u8]) -> Option<Self> {
        let rest = line.strip_prefix(b"$")?;
        if let Some(mark) = rest.strip_prefix(b"EOF:") {
            return mark.try_into().ok().map(Framing::Mark);
        }
        let length = str::from_utf8(rest).ok()?;
        if !length.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        length.parse().ok().map(Framing::Length)
    }
}

/// The bytes of a data set.
pub(super) struct Payload<'p, 'e> {
    wire: &'p mut Wire<'e>,
    framing: Framing,
    server: &'p Server,
    decision: u64,
    total: Option<u64>,
    read: u64,
    reported: u64,
    signed: Instant,
    /// What really went wrong, where the reader got an error without words.
    failure: Option<LinkError>,
}

impl<'p, 'e> Payload<'p, 'e> {
    pub(super) fn new(
        wire: &'p mut Wire<'e>,
        framing: Framing,
        server: &'p Server,
        decision: u64,
    ) -> Self {
        let total = match framing {
            Framing::Length(length) => Some(length),
            Framing::Mark(_) => None,
        };
        let payload = Self {
            wire,
            framing,
            server,
            decision,
            total,
            read: 0,
            reported: 0,
            signed: Instant::now(),
            failure: None,
        };
        payload.report();
        payload
    }

    fn report(&self) {
        let transfer = Transfer {
            total: self.total,
            read: self.read,
        };
        self.server.replication.report(self.decision, |following| {
            following.transfer = Some(transfer);
            following.heard = Instant::now();
        });
    }

    /// How many bytes there are in all, where the master has said so.
    pub(super) fn total(&self) -> Option<u64> {
        self.total
    }

    /// What went wrong with the link, if it was the link.
    pub(super) fn take_failure(&mut self) -> Option<LinkError> {
        self.failure.take()
    }

    /// The data set has ended. Checks that the master says so too.
    pub(super) fn finish(mut self) -> Result<(), LinkError> {
        match self.framing {
            Framing::Length(0) => Ok(()),
            Framing::Length(left) => Err(LinkError::Protocol(format!(
                "the data set ends {left} bytes before the length that was announced"
            ))),
            Framing::Mark(mark) => {
                let mut found = [0; MARK_BYTES];
                let read = self.read_exact(&mut found);
                if let Some(failure) = self.failure.take() {
                    return Err(failure);
                }
                if read.is_err() || found != mark {
                    return Err(LinkError::Protocol(
                        "the mark does not follow the data set".into(),
                    ));
                }
                Ok(())
            }
        }
    }

    fn next(&mut self, buffer: &mut [u8]) -> Result<usize, LinkError> {
        if self.signed.elapsed() >= SIGN_TIME {
            self.signed = Instant::now();
            // The master may give up a replica that says nothing.
            self.wire.send(b"\n")?;
        }
        let left = match self.framing {
            Framing::Length(left) => left,
            Framing::Mark(_) => u64::MAX,
        };
        let wanted = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        if wanted == 0 {
            return Ok(0);
        }
        let there = self.wire.peek()?;
        let bytes = wanted.min(there.len());
        buffer[..bytes].copy_from_slice(&there[..bytes]);
        self.wire.take(bytes);
        if let Framing::Length(left) = &mut self.framing {
            *left -= bytes as u64;
        }
        self.read += bytes as u64;
        if self.read - self.reported >= REPORT_BYTES {
            self.reported = self.read;
            self.report();
        }
        Ok(bytes)
    }
}

impl Read for Payload<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.next(buffer).map_err(|error| {
            let text = error.to_string();
            self.failure = Some(error);
            io::Error::other(text)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_the_end_is_known() {
        assert_eq!(Framing::parse(b"$0"), Some(Framing::Length(0)));
        assert_eq!(Framing::parse(b"$1234"), Some(Framing::Length(1234)));
        let mark = [b'm'; MARK_BYTES];
        let line = [&b"$EOF:"[..], &mark].concat();
        assert_eq!(Framing::parse(&line), Some(Framing::Mark(mark)));
        for line in [
            &b""[..],
            b"$",
            b"$-1",
            b"$+1",
            b"$1x",
            b"12",
            b"$EOF:",
            b"$EOF:short",
            b"-ERR",
            b"$99999999999999999999",
        ] {
            assert_eq!(Framing::parse(line), None, "{}", line.escape_ascii());
        }
        assert_eq!(Framing::parse(&[&line[..], b"m"].concat()), None);
    }
}
