//! MIGRATE: moves keys to another server, or copies them.
//!
//! As in Redis, nothing else runs meanwhile: the keys that the target has acknowledged are those that go here. Each wait for
//! the target has the call's time limit.

use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use super::dump::payload;
use super::{CommandError, CommandResult, Context};
use crate::catalog::spec::{Argument, ArgumentKind, Arity, Categories, Flags, Group, KeySpec};
use crate::commands::row::Row;
use crate::keyspace::EventClass;
use crate::numbers::parse_i64;
use crate::protocol::{Args, Reply};

/// The options of the call that have operands; what follows KEYS are keys.
const OPERANDS: &[(&str, usize)] = &[("AUTH", 1), ("AUTH2", 2)];

/// How long a wait may be where the call says nothing reasonable.
const TIMEOUT: Duration = Duration::from_secs(1);

/// The longest line of the target that counts as a reply.
const REPLY_BYTES_MAX: u64 = 4096;

pub(super) static COMMANDS: &[Row] = &[Row::new("migrate", Arity::AtLeast(6), migrate)
    .flags(
        Flags::WRITE
            .union(Flags::MOVABLEKEYS)
            .union(Flags::NOSCRIPT)
            .union(Flags::SLOW)
            .union(Flags::ALONE),
    )
    .categories(Categories::KEYSPACE.union(Categories::DANGEROUS))
    .keys(&[
        KeySpec::unless_after(&["RW", "access", "delete"], 3, "KEYS", OPERANDS),
        KeySpec::rest_after(
            &["RW", "access", "delete", "incomplete"],
            "KEYS",
            6,
            OPERANDS,
        ),
    ])
    .group(Group::Generic, "2.6.0")
    .summary("Moves keys to another server.")
    .complexity("O(N) for the keys, as DUMP, DEL and RESTORE together.")
    .arguments(&[
        Argument::new("host", ArgumentKind::String),
        Argument::new("port", ArgumentKind::Integer),
        Argument::new(
            "key-selector",
            ArgumentKind::OneOf(&[Argument::key(), Argument::token("empty-string", "\"\"")]),
        ),
        Argument::new("destination-db", ArgumentKind::Integer),
        Argument::new("timeout", ArgumentKind::Integer),
        Argument::token("copy", "COPY").optional().since("3.0.0"),
        Argument::token("replace", "REPLACE")
            .optional()
            .since("3.0.0"),
        Argument::new(
            "authentication",
            ArgumentKind::OneOf(&[
                Argument::new("auth", ArgumentKind::String)
                    .shown_as("password")
                    .with_token("AUTH")
                    .since("4.0.7"),
                Argument::new(
                    "auth2",
                    ArgumentKind::Block(&[
                        Argument::new("username", ArgumentKind::String),
                        Argument::new("password", ArgumentKind::String),
                    ]),
                )
                .with_token("AUTH2")
                .since("6.0.0"),
            ]),
        )
        .optional(),
        Argument::new("keys", ArgumentKind::Key(1))
            .shown_as("key")
            .with_token("KEYS")
            .optional()
            .multiple()
            .since("3.0.6"),
    ])
    .tips(&["nondeterministic_output"])
    .history(&[
        ("3.0.0", "Added the `COPY` and `REPLACE` options."),
        ("3.0.6", "Added the `KEYS` option."),
        ("4.0.7", "Added the `AUTH` option."),
        ("6.0.0", "Added the `AUTH2` option."),
    ])];

/// A call's arguments.
#[derive(Debug)]
struct Call<'a> {
    host: &'a str,
    port: u16,
    database: i64,
    timeout: Duration,
    copy: bool,
    replace: bool,
    /// What AUTH gets.
    auth: Vec<&'a [u8]>,
    keys: Vec<&'a [u8]>,
}

impl<'a> Call<'a> {
    fn parse(args: Args<'a>) -> Result<Self, CommandError> {
        let argument = |at: usize| args.get(at).unwrap_or_default();
        let mut call = Call {
            host: std::str::from_utf8(argument(1)).unwrap_or_default(),
            port: 0,
            database: 0,
            timeout: TIMEOUT,
            copy: false,
            replace: false,
            auth: Vec::new(),
            keys: vec![argument(3)],
        };
        let mut rest = args.from(6);
        while let Some(option) = rest.next() {
            let is = |name: &str| option.eq_ignore_ascii_case(name.as_bytes());
            if is("COPY") {
                call.copy = true;
            } else if is("REPLACE") {
                call.replace = true;
            } else if is("AUTH") {
                call.auth = vec![rest.next().ok_or(CommandError::Syntax)?];
            } else if is("AUTH2") {
                let user = rest.next().ok_or(CommandError::Syntax)?;
                call.auth = vec![user, rest.next().ok_or(CommandError::Syntax)?];
            } else if is("KEYS") {
                if !argument(3).is_empty() {
                    return Err(CommandError::text(
                        "ERR When using MIGRATE KEYS option, the key argument must be set to the empty string",
                    ));
                }
                call.keys = rest.collect();
                break;
            } else {
                return Err(CommandError::Syntax);
            }
        }
        let number = |at: usize| parse_i64(argument(at)).ok_or(CommandError::NotAnInteger);
        let timeout = number(5)?;
        call.database = number(4)?;
        call.port = std::str::from_utf8(argument(2))
            .ok()
            .and_then(|port| port.parse().ok())
            .unwrap_or(0);
        if let Ok(timeout) = u64::try_from(timeout)
            && timeout > 0
        {
            call.timeout = Duration::from_millis(timeout);
        }
        Ok(call)
    }
}

/// What goes wrong between the servers.
fn failed(doing: &str) -> CommandError {
    let text = format!("IOERR error or timeout {doing} to target instance");
    CommandError::Text(text.into())
}

/// The connection to the target.
struct Target {
    reader: BufReader<TcpStream>,
    writer: BufWriter<TcpStream>,
}

impl Target {
    fn connect(call: &Call<'_>) -> io::Result<Self> {
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for address in (call.host, call.port).to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, call.timeout) {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    stream.set_read_timeout(Some(call.timeout))?;
                    stream.set_write_timeout(Some(call.timeout))?;
                    return Ok(Self {
                        reader: BufReader::new(stream.try_clone()?),
                        writer: BufWriter::new(stream),
                    });
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn send(&mut self, words: &[&[u8]]) -> io::Result<()> {
        write!(self.writer, "*{}\r\n", words.len())?;
        for word in words {
            write!(self.writer, "${}\r\n", word.len())?;
            self.writer.write_all(word)?;
            self.writer.write_all(b"\r\n")?;
        }
        Ok(())
    }

    /// Reads a reply of one line: an error is in the inner result.
    fn receive(&mut self) -> io::Result<Result<(), String>> {
        let mut line = Vec::new();
        let mut limited = (&mut self.reader).take(REPLY_BYTES_MAX);
        limited.read_until(b'\n', &mut line)?;
        let Some(line) = line.strip_suffix(b"\r\n") else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        match line.split_first() {
            Some((b'+', _)) => Ok(Ok(())),
            Some((b'-', text)) => Ok(Err(String::from_utf8_lossy(text).into_owned())),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

/// The error of the target, as the caller gets it.
fn refused(text: &str) -> CommandError {
    CommandError::Text(format!("ERR Target instance replied with error: {text}").into())
}

fn migrate(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let call = Call::parse(args)?;
    let database = ctx.database();
    let mut keys = Vec::with_capacity(call.keys.len());
    for &key in &call.keys {
        if let Some(info) = database.untouched().info(key)? {
            keys.push((key, info.expires_at));
        }
    }
    if keys.is_empty() {
        return Ok(Reply::Simple("NOKEY").into());
    }
    let mut target = Target::connect(&call)
        .map_err(|_| CommandError::text("IOERR error or timeout connecting to the client"))?;
    let mut greetings = 1;
    if !call.auth.is_empty() {
        let words = [b"AUTH".as_slice()]
            .into_iter()
            .chain(call.auth.iter().copied());
        let words: Vec<&[u8]> = words.collect();
        target.send(&words).map_err(|_| failed("writing"))?;
        greetings += 1;
    }
    let number = call.database.to_string();
    target
        .send(&[b"SELECT", number.as_bytes()])
        .and_then(|()| target.writer.flush())
        .map_err(|_| failed("writing"))?;
    for _ in 0..greetings {
        let reply = target.receive().map_err(|_| failed("reading"))?;
        reply.map_err(|text| refused(&text))?;
    }
    let (moved, outcome) = transfer(ctx, &call, &mut target, &keys);
    if !call.copy && !moved.is_empty() {
        ctx.update_many(moved.iter().copied(), |keys| {
            keys.set_dirty(moved.len());
            for place in 0..moved.len() {
                keys.remove(place);
                keys.event(place, EventClass::GENERIC, "del");
            }
            Ok::<_, CommandError>(())
        })?;
        ctx.effects_are_removals();
    }
    outcome.map(|()| Reply::Ok.into())
}

/// Sends the keys; returns those that the target has, and the first error.
fn transfer<'a>(
    ctx: &Context<'_>,
    call: &Call<'a>,
    target: &mut Target,
    keys: &[(&'a [u8], Option<i64>)],
) -> (Vec<&'a [u8]>, Result<(), CommandError>) {
    let mut moved = Vec::new();
    let mut outcome = Ok(());
    for &(key, expires_at) in keys {
        if moved.contains(&key) {
            continue;
        }
        let value = match ctx.database().untouched().view(key, payload) {
            Ok(Ok(Some(value))) => value,
            Ok(Ok(None)) => continue,
            Ok(Err(error)) | Err(error) => return (moved, Err(error.into())),
        };
        let now = ctx.access.clock();
        let ttl = expires_at.map_or(0, |at| (at - now).max(1)).to_string();
        let mut words = vec![b"RESTORE".as_slice(), key, ttl.as_bytes(), &value];
        if call.replace {
            words.push(b"REPLACE");
        }
        let sent = target.send(&words).and_then(|()| target.writer.flush());
        if sent.is_err() {
            return (moved, Err(failed("writing")));
        }
        match target.receive() {
            Ok(Ok(())) => moved.push(key),
            Ok(Err(text)) if outcome.is_ok() => outcome = Err(refused(&text)),
            Ok(Err(_)) => {}
            Err(_) => return (moved, Err(failed("reading"))),
        }
    }
    (moved, outcome)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::OwnedArgs;

    #[test]
    fn arguments_are_redis_s() {
        let check = |line: &str| {
            let words = line
                .split(' ')
                .map(|word| if word == "-" { "" } else { word });
            let owned = OwnedArgs::new(words);
            let parsed = Call::parse(owned.args());
            parsed
                .map(|call| {
                    let keys = call.keys.join(&b',');
                    (
                        String::from_utf8_lossy(&keys).into_owned(),
                        call.copy,
                        call.replace,
                        call.auth.len(),
                        call.timeout.as_millis(),
                    )
                })
                .map_err(|error| error.to_string())
        };
        let keys = |keys: &str| keys.to_owned();
        assert_eq!(
            check("migrate h 1 k 0 500 REPLACE copy"),
            Ok((keys("k"), true, true, 0, 500))
        );
        assert_eq!(
            check("migrate h 1 - 0 0 AUTH KEYS KEYS a KEYS"),
            Ok((keys("a,KEYS"), false, false, 1, 1000))
        );
        assert_eq!(
            check("migrate h 1 k 0 -5 AUTH2 u p"),
            Ok((keys("k"), false, false, 2, 1000))
        );
        for (line, error) in [
            (
                "migrate h 1 k 0 x",
                "ERR value is not an integer or out of range",
            ),
            (
                "migrate h 1 k x 0",
                "ERR value is not an integer or out of range",
            ),
            ("migrate h 1 k 0 0 AUTH", "ERR syntax error"),
            ("migrate h 1 k 0 0 AUTH2 u", "ERR syntax error"),
            ("migrate h 1 k 0 0 NONSENSE", "ERR syntax error"),
            (
                "migrate h 1 k 0 0 KEYS a",
                "ERR When using MIGRATE KEYS option, the key argument must be set to the empty string",
            ),
        ] {
            assert_eq!(check(line), Err(error.to_owned()), "{line}");
        }
    }
}
