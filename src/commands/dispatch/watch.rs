//! Who watches commands: the slow log, the latency monitor, MONITOR; and CLIENT PAUSE, which holds them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lua::ScriptFlags;

use super::super::redact::{hidden_arguments, name_len, shown_arguments};
use super::super::scripting::call::Manner;
use super::{Command, Surroundings};
use crate::acl::{self, Subjects, User};
use crate::catalog::spec::Flags;
use crate::config::Config;
use crate::protocol::Args;
use crate::state::{Paused, Server, Session, monitors, slowlog};

/// What of the configuration each call asks for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Watch {
    version: Option<u64>,
    /// Calls that take as long are of interest, ns.
    pub(super) slow_nanos: u64,
    /// Requests and replies of as many bytes are of interest.
    request_bytes: usize,
    reply_bytes: usize,
    /// Durations are kept for each command.
    pub(super) tracks: bool,
    /// How long a script may run before other clients get BUSY; 0 for ever.
    busy: Duration,
}

impl Watch {
    /// Follows changes of the configuration.
    #[inline]
    pub(super) fn refresh(&mut self, config: &Config) {
        if self.version != Some(config.version()) {
            *self = Self::of(config);
        }
    }

    /// Whether a call is one for the logs of large calls.
    #[inline]
    pub(super) fn is_large(&self, request_bytes: usize, reply_bytes: usize) -> bool {
        request_bytes >= self.request_bytes || reply_bytes >= self.reply_bytes
    }

    /// How long a script may run before other clients get BUSY.
    pub(super) fn busy_threshold(&mut self, config: &Config) -> Duration {
        self.refresh(config);
        if self.busy.is_zero() {
            Duration::MAX
        } else {
            self.busy
        }
    }

    #[cold]
    fn of(config: &Config) -> Self {
        let version = config.version();
        let settings = config.settings();
        let slowlog = u64::try_from(settings.slowlog_log_slower_than_micros)
            .map_or(u64::MAX, |micros| micros.saturating_mul(1000));
        let latency = match settings.latency_monitor_threshold_ms {
            0 => u64::MAX,
            ms => ms.saturating_mul(1_000_000),
        };
        Self {
            version: Some(version),
            slow_nanos: slowlog.min(latency),
            request_bytes: least_bytes(settings.commandlog_request_larger_than_bytes),
            reply_bytes: least_bytes(settings.commandlog_reply_larger_than_bytes),
            tracks: settings.latency_tracking,
            busy: Duration::from_millis(settings.busy_reply_threshold_ms),
        }
    }
}

/// From how many bytes on calls are logged; a negative number says that none are.
fn least_bytes(setting: i64) -> usize {
    usize::try_from(setting).unwrap_or(usize::MAX)
}

/// Notes a call with a large request or a large reply.
#[cold]
pub(super) fn note_large(
    around: &Surroundings<'_>,
    session: &Session,
    (command, args): (&'static Command, Args<'_>),
    reply_bytes: usize,
) {
    if session.in_script || command.spec.flags.contains(Flags::SKIP_SLOWLOG) {
        return;
    }
    let (server, settings) = (around.server, around.server.config.settings());
    let request_bytes = args.bytes();
    let logs = [
        (
            request_bytes,
            settings.commandlog_request_larger_than_bytes,
            &server.large_requests,
            settings.commandlog_large_request_max_len,
        ),
        (
            reply_bytes,
            settings.commandlog_reply_larger_than_bytes,
            &server.large_replies,
            settings.commandlog_large_reply_max_len,
        ),
    ];
    for (bytes, least, log, len_max) in logs {
        if bytes >= least_bytes(least) && len_max > 0 {
            log.push(logged(session, command, args, bytes as u64), len_max);
        }
    }
}

/// The entry of a call in the slow log or its like.
fn logged(
    session: &Session,
    command: &'static Command,
    args: Args<'_>,
    amount: u64,
) -> slowlog::SlowCall {
    let at = SystemTime::now().duration_since(UNIX_EPOCH);
    let shown = shown_arguments(command, args);
    slowlog::SlowCall {
        id: 0,
        at_s: at.map_or(0, |at| i64::try_from(at.as_secs()).unwrap_or(i64::MAX)),
        amount,
        arguments: slowlog::shortened(shown.into_iter()),
        subjects: slowlog::subjects(command, args),
        name_len: name_len(command),
        addr: session.handle.addr.clone(),
        name: session.handle.name.lock().clone(),
    }
}

/// Notes a call that took long.
#[cold]
pub(super) fn note_slow(
    around: &Surroundings<'_>,
    session: &Session,
    command: &'static Command,
    args: Args<'_>,
    nanos: u64,
) {
    let flags = command.spec.flags;
    let event = if flags.contains(Flags::FAST) {
        "fast-command"
    } else {
        "command"
    };
    let latency = around.keyspace.latency();
    latency.note(event, Duration::from_nanos(nanos));
    if session.in_script {
        // The slow log shows the script as a whole.
        return;
    }
    let settings = around.server.config.settings();
    let micros = nanos / 1000;
    let is_slow =
        u64::try_from(settings.slowlog_log_slower_than_micros).is_ok_and(|least| micros >= least);
    if !is_slow || settings.slowlog_max_len == 0 || flags.contains(Flags::SKIP_SLOWLOG) {
        return;
    }
    let call = logged(session, command, args, micros);
    around.server.slowlog.push(call, settings.slowlog_max_len);
}

/// Shows a call to those who watch.
#[cold]
pub(super) fn show(server: &Server, session: &Session, command: &'static Command, args: Args<'_>) {
    let flags = command.spec.flags;
    if flags.contains(Flags::ADMIN) || flags.contains(Flags::SKIP_MONITOR) {
        return;
    }
    show_always(server, session, command, args);
}

/// As [`show`], also of a command that shows itself.
#[cold]
pub(super) fn show_always(
    server: &Server,
    session: &Session,
    command: &'static Command,
    args: Args<'_>,
) {
    let at = SystemTime::now();
    let source = if session.in_script {
        monitors::Source::Script
    } else {
        monitors::Source::Client(&session.handle)
    };
    let line =
        |arguments: Vec<&[u8]>| monitors::line(at, session.db, source, arguments.into_iter());
    let lines = monitors::Lines {
        whole: line(shown_arguments(command, args)),
        hidden: line(hidden_arguments(command, args)),
    };
    let limits = server.config.settings().client_output_buffer_limits;
    let sees = |user: &User| sees(user, command, args);
    let ended = server.monitors.show(&lines, &sees, &limits);
    if ended > 0 {
        let counter = &server.stats.output_limit_disconnections;
        counter.fetch_add(ended, std::sync::atomic::Ordering::Relaxed);
        tracing::warn!(
            ended,
            "the server disconnected clients in MONITOR that did not read"
        );
    }
}

/// Whether a user in MONITOR may see the arguments of a call: the selector that lets it monitor must cover them.
fn sees(user: &User, command: &Command, args: Args<'_>) -> bool {
    let rules = user.rules();
    if rules.is_unrestricted() {
        return true;
    }
    let monitor = acl::command(b"monitor").expect("there is such a command");
    let reach = rules.reach(monitor, None);
    reach.sees(&Subjects::of(command, args), |word| args.get(word))
}

/// Whether CLIENT PAUSE has the command wait.
#[cold]
pub(super) fn is_paused(
    server: &Server,
    session: &Session,
    command: &Command,
    args: Args<'_>,
) -> bool {
    if session.monitors {
        return false;
    }
    match server.pause.present() {
        None => false,
        Some(Paused::All) => true,
        Some(Paused::Writes) => {
            let queued = session.transaction.as_ref();
            may_write(server, command, args)
                || (command.spec.flags.contains(Flags::EXECUTES)
                    && queued.is_some_and(|transaction| {
                        let mut queue = transaction.queue.iter();
                        queue.any(|queued| may_write(server, queued.command, queued.args.args()))
                    }))
        }
    }
}

/// Whether CLIENT PAUSE WRITE has the command wait. A script may write unless it says that it does not.
fn may_write(server: &Server, command: &Command, args: Args<'_>) -> bool {
    let flags = command.spec.flags;
    if flags.contains(Flags::RUNS_SCRIPT) && !flags.contains(Flags::READONLY) {
        let script = args.get(1).unwrap_or_default();
        let says = Manner::of(command.spec.name).flags(&server.scripting, script);
        return !says.is_some_and(|flags| flags.contains(ScriptFlags::NO_WRITES));
    }
    may_replicate(command)
}

/// Whether Redis might send the command to its replicas: it writes, or others hear of it, or it keeps an estimate in a value.
pub(super) fn may_replicate(command: &Command) -> bool {
    command.spec.flags.contains(Flags::WRITE)
        || matches!(command.full_name, "publish" | "spublish" | "pfcount")
}
