//! EVAL, FCALL and their like: a script or a function runs alone in the keyspace, and all that it writes is one durable step.
//!
//! A script that was quick the last time runs on its client's worker. A new one, and one that was not quick, runs on a
//! thread that serves no other clients: so the workers can answer BUSY, and SCRIPT KILL, while it runs for long.

mod host;

use std::sync::Arc;
use std::time::{Duration, Instant};

use lua::{Outcome as Ended, ScriptError, ScriptFlags};

use self::host::{About, ScriptHost};
use super::{Dispatcher, Next, Surroundings, watch};
use crate::catalog::spec::Flags;
use crate::commands::scripting::call::{Manner, Named, first_argument};
use crate::commands::{Command, CommandError};
use crate::keyspace::{NotAlone, RECLAIM_TIME_MAX};
use crate::protocol::{Args, ReplyBuffer};
use crate::state::scripting::{Held, Runnable, ScriptName};
use crate::state::{Server, Session};

/// A script that takes longer than this is not quick.
const QUICK_TIME: Duration = Duration::from_millis(5);

/// How a call of a script went.
enum Went {
    /// The reply is written.
    Done,
    /// The script did not run.
    Refused(CommandError),
    /// It ran, or could not be compiled, and this is the reply.
    Failed(ScriptError),
    /// It has not run: it is for a thread that serves no other clients.
    Elsewhere,
}

impl From<CommandError> for Went {
    /// An error of the call itself, which is counted like that of any command.
    fn from(error: CommandError) -> Self {
        Went::Failed(ScriptError {
            text: error.to_string().into_bytes(),
            counted: false,
        })
    }
}

/// What a call runs, found.
struct Found {
    name: Name,
    runnable: Runnable,
    /// The place of the call's first argument that is no key.
    first_argument: usize,
}

/// What error texts call it.
enum Name {
    Script(ScriptName),
    Function(Arc<[u8]>),
}

impl Name {
    fn bytes(&self) -> &[u8] {
        match self {
            Name::Script(name) => name,
            Name::Function(name) => name,
        }
    }
}

/// What a script may do.
struct Rights {
    writes: bool,
    /// Why it may call no command that takes memory.
    memory: Result<(), CommandError>,
}

impl Dispatcher {
    /// Runs a script and writes its reply; or does nothing, for [`Next::Elsewhere`].
    pub(super) fn script(
        &mut self,
        around: &mut Surroundings<'_>,
        session: &mut Session,
        command: &'static Command,
        args: Args<'_>,
        out: &mut ReplyBuffer,
    ) -> Next {
        let mark = self.run.mark();
        let lookups = self.lookups;
        let start = out.len();
        let Some(memory) = self.memory_for_script(around, session, command, args) else {
            return Next::Elsewhere;
        };
        let went = if session.in_exec {
            self.script_alone(around, session, command, (args, memory), out)
        } else {
            around.server.feed.flush();
            let was_alone = around.presence.is_alone();
            let alone = around.presence.be_alone(self.takes_slow);
            if !was_alone {
                self.alone_since = self.run.restart();
            }
            match alone {
                Ok(()) => self.script_step(around, session, command, (args, memory), out),
                Err(not) => {
                    let went = match not {
                        NotAlone::SlowInside => Went::Elsewhere,
                        NotAlone::Busy => Went::Refused(around.busy()),
                    };
                    around.presence.come_back_unless_busy();
                    went
                }
            }
        };
        let stripe = around.server.stats.stripe(self.stripe);
        match went {
            Went::Elsewhere => {
                out.discard(start);
                self.lookups = lookups;
                return Next::Elsewhere;
            }
            Went::Refused(error) => {
                return self.refuse(around, session, (Some(command), error), args, out);
            }
            Went::Done => self.run.count(command, stripe, session),
            Went::Failed(error) => {
                self.run.count(command, stripe, session);
                self.run.failed();
                let text = String::from_utf8_lossy(&error.text);
                if !error.counted {
                    stripe.add_error(&text);
                }
                out.truncate(start);
                out.error(&text);
            }
        }
        // The time of EVAL includes that of all its commands.
        self.done(mark, around, session, command, args);
        Next::Continue
    }

    /// Runs a script whose effects are a step of their own.
    fn script_step(
        &mut self,
        around: &mut Surroundings<'_>,
        session: &mut Session,
        command: &'static Command,
        call: (Args<'_>, Result<(), CommandError>),
        out: &mut ReplyBuffer,
    ) -> Went {
        let is_followed = Self::begin_step(around);
        let went = self.script_alone(around, session, command, call, out);
        Self::end_step(around, session, is_followed);
        went
    }

    /// Whether there is memory for a script that writes; makes some if there is little. `None` if that takes a while and
    /// this thread has other clients.
    fn memory_for_script(
        &mut self,
        around: &mut Surroundings<'_>,
        session: &Session,
        command: &Command,
        args: Args<'_>,
    ) -> Option<Result<(), CommandError>> {
        let reads_only = command.spec.flags.contains(Flags::READONLY);
        let bytes = args.bytes() as u64;
        match around.keyspace.memory_check().check(bytes, self.access.now) {
            // EXEC has made what it could.
            Ok(waits) if !waits || session.in_exec || reads_only => Some(Ok(())),
            Ok(_) if !self.takes_slow => None,
            Ok(_) => {
                self.wait_for_memory(around, bytes, Instant::now() + RECLAIM_TIME_MAX);
                Some(Ok(()))
            }
            Err(error) => Some(Err(error.into())),
        }
    }

    /// Finds the script and runs it. The thread is alone in the gate.
    fn script_alone(
        &mut self,
        around: &mut Surroundings<'_>,
        session: &mut Session,
        command: &'static Command,
        (args, memory): (Args<'_>, Result<(), CommandError>),
        out: &mut ReplyBuffer,
    ) -> Went {
        let server = around.server;
        let manner = Manner::of(command.spec.name);
        let may_move = !self.takes_slow && !session.in_exec;
        let mut own = server.scripting.take();
        let held = own.get();
        let show = || {
            if server.monitors.any() {
                watch::show_always(server, session, command, args);
            }
        };
        let found = match find(held, manner, args, may_move) {
            Ok(Some(found)) => found,
            Ok(None) => return Went::Elsewhere,
            Err(error) => {
                show();
                return error.into();
            }
        };
        let rights = on_replica(found.runnable, session, server)
            .and_then(|()| rights(found.runnable, manner, memory, session.in_exec));
        if !matches!(rights, Err(Went::Refused(_))) {
            // Before its commands are shown.
            show();
        }
        let rights = match rights {
            Ok(rights) => rights,
            Err(refused) => return refused,
        };
        let db = session.db;
        session.in_script = true;
        // Everybody waits for the script, on whatever thread it runs.
        let patient = std::mem::replace(&mut self.access.patient, true);
        let started = self.run.restart();
        self.script_since = Some(started);
        let times = (started, may_move);
        let about = About {
            kind: manner.kind(),
            name: found.name.bytes(),
            args,
        };
        let mut host = ScriptHost::begin(self, around, session, about, rights, times);
        let ended = run(held, &found, args, &mut host, out);
        let is_moved = host.end();
        session.in_script = false;
        self.access.patient = patient;
        self.script_since = None;
        if session.db != db {
            session.select(db);
        }
        let is_quick = !is_moved && self.run.since(started) < QUICK_TIME;
        let mut pace = found.runnable.pace;
        if pace.note(is_quick, is_moved) {
            match &found.name {
                Name::Script(name) => held.scripts.set_pace(name, pace),
                Name::Function(name) => held.functions.set_pace(name, pace),
            }
        }
        // Others may run scripts as soon as this batch lets them in.
        drop(own);
        around
            .presence
            .stay_alone(|| self.run.since(self.alone_since));
        if is_moved {
            return Went::Elsewhere;
        }
        match ended {
            Ok(Ended::Written) => Went::Done,
            Ok(Ended::Failed(error)) => Went::Failed(error),
            Err(error) => error.into(),
        }
    }
}

/// What a call runs. `None` if only a thread without other clients should run it.
fn find(
    held: &mut Held,
    manner: Manner,
    args: Args<'_>,
    only_quick: bool,
) -> Result<Option<Found>, CommandError> {
    let script = args.get(1).unwrap_or_default();
    let Held { scripts, functions } = held;
    let unknown = || CommandError::text("NOSCRIPT No matching script. Please use EVAL.");
    // Redis looks for a function before it looks at the keys.
    let function = match manner.named {
        Named::Function => {
            let found = functions.find(script);
            Some(found.ok_or_else(|| CommandError::text("ERR Function not found"))?)
        }
        Named::Sha if script.len() != 40 => return Err(unknown()),
        Named::Sha | Named::Text => None,
    };
    let first_argument = first_argument(args, manner.named)?;
    let (name, runnable) = match (function, manner.named) {
        (Some((name, function)), _) => (Name::Function(name), function),
        (None, Named::Sha | Named::Function) => {
            let found = scripts.find(script).ok_or_else(unknown)?;
            (Name::Script(found.name), found.runnable)
        }
        (None, Named::Text) => {
            let found = match scripts.find_text(script) {
                Some(found) => found,
                None if only_quick => return Ok(None),
                None => scripts.load(script, false)?,
            };
            (Name::Script(found.name), found.runnable)
        }
    };
    let found = Found {
        name,
        runnable,
        first_argument,
    };
    Ok((runnable.pace.is_quick || !only_quick).then_some(found))
}

/// Refuses a script that says by its flags that it does what a client of a replica may not.
fn on_replica(runnable: Runnable, session: &Session, server: &Server) -> Result<(), Went> {
    let replication = &server.replication;
    match runnable.flags {
        Some(flags) if replication.restricts() && !session.is_master => {
            let stale = if flags.contains(ScriptFlags::ALLOW_STALE) {
                Flags::STALE
            } else {
                Flags::NONE
            };
            let writes = !flags.contains(ScriptFlags::NO_WRITES);
            replication
                .refusal(stale, writes)
                .map_or(Ok(()), |error| Err(error.into()))
        }
        _ => Ok(()),
    }
}

/// What the script may do by its own flags and by the command that runs it.
fn rights(
    runnable: Runnable,
    manner: Manner,
    memory: Result<(), CommandError>,
    in_exec: bool,
) -> Result<Rights, Went> {
    let Some(flags) = runnable.flags else {
        return Ok(Rights {
            writes: !manner.reads_only,
            memory,
        });
    };
    let reads_only = flags.contains(ScriptFlags::NO_WRITES);
    if reads_only || flags.contains(ScriptFlags::ALLOW_OOM) {
        if manner.reads_only && !reads_only {
            return Err(writes_refused());
        }
        return Ok(Rights {
            writes: !reads_only,
            memory: Ok(()),
        });
    }
    // Outside of EXEC Redis looks at the memory before it looks at the script.
    match memory {
        Err(error) if !in_exec => return Err(Went::Refused(error)),
        _ if manner.reads_only => return Err(writes_refused()),
        Err(CommandError::OverMaxmemory) => {
            return Err(CommandError::text(
                "OOM allow-oom flag is not set on the script, can not run it when used memory > 'maxmemory'",
            )
            .into());
        }
        Err(error) => return Err(Went::Refused(error)),
        Ok(()) => {}
    }
    Ok(Rights {
        writes: true,
        memory,
    })
}

fn writes_refused() -> Went {
    CommandError::text("ERR Can not execute a script with write flag using *_ro command.").into()
}

/// Runs the script: as one step, if it may write.
fn run(
    held: &mut Held,
    found: &Found,
    args: Args<'_>,
    host: &mut ScriptHost<'_, '_>,
    out: &mut ReplyBuffer,
) -> Result<Ended, CommandError> {
    let interpreter = match found.name {
        Name::Script(_) => held.scripts.interpreter()?,
        Name::Function(_) => held.functions.interpreter()?,
    };
    let keyspace = host.keyspace();
    let makes_step = host.makes_step();
    let mut ended = None;
    let mut run = || {
        let call = lua::Run {
            function: found.runnable.handle,
            name: found.name.bytes(),
            keys: args.from(3).take(found.first_argument - 3),
            args: args.from(found.first_argument),
        };
        ended = Some(interpreter.run(call, host, out));
    };
    if makes_step {
        keyspace.atomically(&[], &mut run)?;
    } else {
        run();
    }
    ended.ok_or_else(|| CommandError::text("ERR the script did not run"))
}
