//! Applies what a master sends: some units of its stream, as one durable step with the place behind them.
//!
//! The thread is alone in the gate, as for EXEC, so no client sees half of a unit. After a crash the data set and its place
//! are those behind some step: nothing is applied twice or left out.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::lookup::named;
use super::units_ahead::UnitsAhead;
use super::{Dispatcher, Next, Surroundings};
use crate::catalog::spec::Flags;
use crate::commands::Command;
use crate::keyspace::{
    DATABASES, Keyspace, KeyspaceError, Known, NO_DEADLINE_PASSES, NotAlone, Presence,
    RECLAIM_IN_GATE_TIME_MAX,
};
use crate::numbers::parse_i64;
use crate::protocol::{Args, Protocol, ReplyBuffer};
use crate::state::replication::{Place, Stream, Unit};
use crate::state::{Server, Session};

/// A step takes no new unit after so long: clients wait meanwhile.
const STEP_TIME: Duration = Duration::from_millis(2);

/// How many units a step takes at most.
const STEP_UNITS_MAX: usize = 4096;

/// The same where the pool journals what their keys held.
const JOURNALED_UNITS_MAX: usize = 128;

/// A reply longer than this gives its memory back.
const KEPT_REPLY_BYTES: usize = 64 * 1024;

/// Commands of a master's stream that change no key by themselves.
const NO_WRITES: &[&str] = &[
    "ping",
    "select",
    "publish",
    "spublish",
    "pfcount",
    "script|load",
    "script|flush",
];

/// What a step has done.
#[derive(Debug, Default)]
pub struct Applied {
    /// The bytes of the units that it has applied.
    pub bytes: usize,
    /// Whether the master has asked how far the replica is.
    pub wants_answer: bool,
    /// Why the unit behind them could not be applied.
    pub failure: Option<Failure>,
}

/// Why a unit could not be applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Another master is followed now, or none.
    #[error("another decision was made")]
    Decided,
    /// A script runs for long, and the stream waits for its end.
    #[error("a script runs for long")]
    Busy,
    /// A command that this server cannot apply.
    #[error("the master sent '{0}', which this server does not apply")]
    Unknown(String),
    /// A database that is not there.
    #[error("the master writes to database {0}, and this server has {1}")]
    Database(String, usize),
    /// The pool is full; the unit has changed nothing.
    #[error("the pool has no room for what the master sent ('{0}')")]
    NoRoom(String),
    /// The pool failed; the unit has changed nothing.
    #[error("the pool failed: {0}")]
    Store(String),
    /// A unit of several commands was applied in part. The data set has no place any more.
    #[error("the pool had no room for a part of a transaction, so the replica needs a full copy")]
    Torn,
}

impl Dispatcher {
    /// Applies units of `stream` from `place` on, which moves behind them, until it takes too long. What it has applied is
    /// durable after the next commit.
    pub fn apply(
        &mut self,
        keyspace: &Keyspace,
        server: &Server,
        session: &mut Session,
        stream: &Stream,
        (place, decision): (&mut Option<Place>, u64),
    ) -> Result<Applied, KeyspaceError> {
        let refused = |failure| Applied {
            failure: Some(failure),
            ..Applied::default()
        };
        // Nobody waits for itself: it leaves before it enters alone.
        let mut presence = Presence::beside(keyspace.gate());
        presence.leave();
        let alone = match keyspace.gate().enter_alone(true) {
            Ok(alone) => alone,
            Err(NotAlone::Busy | NotAlone::SlowInside) => return Ok(refused(Failure::Busy)),
        };
        if server.replication.decision() != decision {
            return Ok(refused(Failure::Decided));
        }
        let Some(start) = *place else {
            return Ok(refused(Failure::Torn));
        };
        self.start(keyspace, session, true);
        // The master has acknowledged these writes. A refusal would only make the replica differ.
        self.refuses_writes = false;
        self.access.now = NO_DEADLINE_PASSES;
        session.select(start.db);
        session.in_exec = true;
        self.exec_until = Some(Instant::now() + RECLAIM_IN_GATE_TIME_MAX);
        let began = self.run.mark();
        let mut around = Surroundings {
            keyspace,
            server,
            presence,
        };
        let (keys, units_max) = if keyspace.looks_elements_up() {
            (written_keys(stream, start.db), JOURNALED_UNITS_MAX)
        } else {
            (Vec::new(), STEP_UNITS_MAX)
        };
        let mut applied = Applied::default();
        let mut next = start;
        let is_followed = Self::begin_step(&around);
        let stepped = keyspace.atomically(&keys, &mut || {
            let mut out = ReplyBuffer::new(Protocol::Resp2);
            let mut units = UnitsAhead::new(stream.units().take(units_max));
            while let Some((unit, known)) = units.next(keyspace, session.db) {
                let applying = || self.apply_unit(&mut around, session, &unit, &mut out);
                match keyspace.knowing(known.map(Known::key), applying) {
                    Ok(wants_answer) => applied.wants_answer |= wants_answer,
                    Err(failure) => {
                        applied.failure = Some(failure);
                        break;
                    }
                }
                applied.bytes = unit.bytes_through();
                if self.run.until_mark(began) >= STEP_TIME {
                    break;
                }
            }
            next.offset += applied.bytes as u64;
            next.db = session.db;
            let is_torn = applied.failure == Some(Failure::Torn);
            *place = (!is_torn).then_some(next);
            if applied.bytes > 0 || is_torn {
                store_place(keyspace, *place);
            }
        });
        Self::end_step(&around, session, is_followed);
        if stepped.is_ok() && place.is_some() {
            server.feed.pass_on(stream.next_bytes(applied.bytes));
        }
        session.in_exec = false;
        self.exec_until = None;
        drop(alone);
        if keyspace.waiting().has_ready() && around.presence.come_back_unless_busy() {
            keyspace.waiting().serve();
        }
        drop(around);
        self.end(server, applied.bytes, 0);
        stepped?;
        Ok(applied)
    }

    /// Applies one unit, whole or not at all. Returns whether the master wants an answer.
    fn apply_unit(
        &mut self,
        around: &mut Surroundings<'_>,
        session: &mut Session,
        unit: &Unit<'_>,
        out: &mut ReplyBuffer,
    ) -> Result<bool, Failure> {
        let mut wants_answer = false;
        let mut commands = Vec::with_capacity(unit.calls().len());
        for args in unit.calls() {
            commands.push(command_of(args, unit, &mut wants_answer)?);
        }
        let mut has_run = false;
        for (command, args) in commands.into_iter().zip(unit.calls()) {
            let Some(command) = command else {
                continue;
            };
            out.clear(KEPT_REPLY_BYTES);
            let is_script = command.spec.flags.contains(Flags::RUNS_SCRIPT);
            let next = if is_script {
                self.script(around, session, command, args, out)
            } else {
                self.call(around, session, command, args, out)
            };
            debug_assert_ne!(next, Next::Elsewhere, "the thread is patient");
            let error = out.in_one().filter(|reply| reply.starts_with(b"-"));
            if let Some(error) = error {
                let error = String::from_utf8_lossy(error).trim().to_owned();
                failed_here(around.server, session, command, args, &error).map_err(|failure| {
                    if has_run || is_script {
                        Failure::Torn
                    } else {
                        failure
                    }
                })?;
            }
            has_run |= command.spec.flags.contains(Flags::WRITE) || is_script;
        }
        Ok(wants_answer)
    }
}

/// Judges the error of a command that succeeded on the master. Like Redis, the replica goes on after an error that lies in
/// the data.
#[cold]
fn failed_here(
    server: &Server,
    session: &Session,
    command: &Command,
    args: Args<'_>,
    error: &str,
) -> Result<(), Failure> {
    if error.starts_with("-OOM") {
        return Err(Failure::NoRoom(command.full_name.to_owned()));
    }
    if error.starts_with("-ERR pmemkv:") {
        return Err(Failure::Store(error.to_owned()));
    }
    if command.spec.name == "select" {
        let db = args.get(1).unwrap_or_default();
        let databases = server.config.settings().databases;
        return Err(Failure::Database(
            String::from_utf8_lossy(db).into_owned(),
            databases,
        ));
    }
    let figures = &server.replication.figures;
    if figures
        .errors
        .fetch_add(1, Ordering::Relaxed)
        .is_power_of_two()
    {
        let client = &session.handle.addr;
        let name = command.full_name;
        tracing::error!(master = %client, command = name, error, "a command that succeeded on the master fails on this replica: their data sets differ");
    }
    Ok(())
}

/// The command of a call; `None` of one that only frames or asks.
fn command_of(
    args: Args<'_>,
    unit: &Unit<'_>,
    wants_answer: &mut bool,
) -> Result<Option<&'static Command>, Failure> {
    let name = &args[0];
    if name.eq_ignore_ascii_case(b"replconf") {
        *wants_answer |= args
            .get(1)
            .is_some_and(|word| word.eq_ignore_ascii_case(b"getack"));
        return Ok(None);
    }
    if unit.is_transaction()
        && (name.eq_ignore_ascii_case(b"multi") || name.eq_ignore_ascii_case(b"exec"))
    {
        return Ok(None);
    }
    let unknown = || {
        let words = args.from(0).take(2);
        let words: Vec<String> = words
            .map(|word| word[..word.len().min(32)].escape_ascii().to_string())
            .collect();
        Failure::Unknown(words.join(" "))
    };
    let command = named(args).map_err(|_| unknown())?;
    let flags = command.spec.flags;
    let belongs = flags.contains(Flags::WRITE)
        || flags.contains(Flags::RUNS_SCRIPT)
        || NO_WRITES.contains(&command.full_name);
    (belongs && command.spec.arity.accepts(args.len()))
        .then_some(Some(command))
        .ok_or_else(unknown)
}

/// Stores the place behind what the running step has applied.
fn store_place(keyspace: &Keyspace, place: Option<Place>) {
    let record = place.map(|place| place.encode());
    let record = record.as_ref().map(<[u8; _]>::as_slice);
    let until = Instant::now() + RECLAIM_IN_GATE_TIME_MAX;
    loop {
        let error = match keyspace.place().store(record) {
            Ok(()) => return,
            Err(KeyspaceError::OutOfMemory) if Instant::now() < until => {
                let memory = keyspace.memory_check();
                match memory.reclaim_in_gate(1, until) {
                    Ok(_) => continue,
                    Err(error) => error,
                }
            }
            Err(error) => error,
        };
        // Without its place the step must not become durable. Nothing can undo it but the next start.
        tracing::error!(%error, "the replica's place could not be stored: the process ends, and a restart undoes the last step");
        std::process::abort();
    }
}

/// The keys that the stream's next units may write, with their databases: the layout `pairs` journals them at once.
fn written_keys(stream: &Stream, mut db: usize) -> Vec<(usize, &[u8])> {
    let mut keys = Vec::new();
    for args in stream
        .units()
        .take(JOURNALED_UNITS_MAX)
        .flat_map(|unit| unit.calls())
    {
        let Ok(command) = named(args) else {
            continue;
        };
        if command.spec.name == "select"
            && let Some(new) = args.get(1).and_then(parse_i64)
            && let Ok(new) = usize::try_from(new)
            && new < DATABASES
        {
            db = new;
        }
        if !command.spec.flags.contains(Flags::WRITE)
            || !command.spec.arity.accepts(args.len())
            || command.spec.flags.contains(Flags::CROSS_DB)
        {
            continue;
        }
        let found = command.spec.find_keys(args).into_iter();
        keys.extend(
            found
                .filter_map(|key| args.get(key.argument))
                .map(|key| (db, key)),
        );
    }
    keys.sort_unstable();
    keys.dedup();
    keys
}
