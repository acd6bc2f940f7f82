//! Replication: whom this server follows, how the link to that master fares, and what clients of a replica may do.
//!
//! A server that follows nobody is a master. The link itself is `net`'s; it reports here, and looks here whom to follow.

mod place;
mod stream;

pub use place::{Place, ReplicationId};
pub use stream::{Stream, StreamError, UNIT_BYTES_MAX, Unit};

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::catalog::spec::Flags;
use crate::config::{Master, ReplicationSettings};
use crate::error::CommandError;

/// What clients may not do.
const NO_WRITES: u8 = 1;
const NO_STALE_READS: u8 = 2;

/// The reply to a write on a replica.
pub const READ_ONLY: CommandError =
    CommandError::text("READONLY You can't write against a read only replica.");

const STALE: CommandError = CommandError::text(
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
);

/// How far the link to the master is, in ROLE's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// There is none; the next attempt is due.
    Down,
    /// The connection is being made.
    Connecting,
    /// Master and replica introduce each other.
    Handshake,
    /// The master's data set comes in.
    Sync,
    /// The replica follows the master's changes.
    Up,
}

impl Link {
    /// ROLE's word.
    pub fn word(self) -> &'static str {
        match self {
            Link::Down => "connect",
            Link::Connecting => "connecting",
            Link::Handshake => "handshake",
            Link::Sync => "sync",
            Link::Up => "connected",
        }
    }
}

/// A master's data set on its way.
#[derive(Clone, Copy, Debug)]
pub struct Transfer {
    /// Its bytes, if the master said how many.
    pub total: Option<u64>,
    /// The bytes that have arrived.
    pub read: u64,
}

/// The state of a replica.
#[derive(Clone, Debug)]
pub struct Following {
    /// Whom it follows.
    pub master: Master,
    /// The number of the decision to follow that master. What began under an earlier one must not go on.
    pub decision: u64,
    /// The link.
    pub link: Link,
    /// Since when there is no link, or when it came up.
    pub since: Instant,
    /// When the master was last heard.
    pub heard: Instant,
    /// How far the pool's data set is, durably; `None` if only a full copy of the master's data set would do.
    pub place: Option<Place>,
    /// Bytes of the stream that have arrived and are not applied.
    pub ahead_bytes: u64,
    /// The data set on its way.
    pub transfer: Option<Transfer>,
    /// Why the link ended the last time.
    pub error: Option<String>,
}

#[derive(Debug)]
struct State {
    following: Option<Following>,
    decision: u64,
    settings: ReplicationSettings,
}

/// What INFO counts.
#[derive(Debug, Default)]
pub struct ReplicationFigures {
    /// Data sets that were taken as a whole.
    pub full_syncs: AtomicU64,
    /// Links that went on from the replica's place.
    pub partial_syncs: AtomicU64,
    /// Commands of the master that failed here.
    pub errors: AtomicU64,
    /// Bytes that came from masters.
    pub input_bytes: AtomicU64,
    /// Bytes that went to masters.
    pub output_bytes: AtomicU64,
}

impl ReplicationFigures {
    /// CONFIG RESETSTAT.
    pub fn reset(&self) {
        for figure in [
            &self.full_syncs,
            &self.partial_syncs,
            &self.errors,
            &self.input_bytes,
            &self.output_bytes,
        ] {
            figure.store(0, Ordering::Relaxed);
        }
    }
}

/// Replication, as all threads share it.
#[derive(Debug)]
pub struct Replication {
    /// What clients may not do now. Each command looks at it.
    restrictions: AtomicU8,
    state: Mutex<State>,
    /// The number of the last decision whom to follow.
    decisions: watch::Sender<u64>,
    /// Counters.
    pub figures: ReplicationFigures,
}

impl Replication {
    /// The state at the start. `settings` say whom to follow; [`found_place`](Self::found_place) comes later.
    pub fn new(settings: &ReplicationSettings) -> Self {
        let replication = Self {
            restrictions: AtomicU8::new(0),
            state: Mutex::new(State {
                following: None,
                decision: 0,
                settings: settings.clone(),
            }),
            decisions: watch::Sender::new(0),
            figures: ReplicationFigures::default(),
        };
        replication.follow(settings.master.clone(), None);
        replication
    }

    /// Whether anything is refused to clients.
    #[inline]
    pub fn restricts(&self) -> bool {
        self.restrictions.load(Ordering::Relaxed) != 0
    }

    /// Whether clients may not write.
    pub fn is_read_only(&self) -> bool {
        self.restrictions.load(Ordering::Relaxed) & NO_WRITES != 0
    }

    /// Why a client's command is refused. `writes`: it, or a command that it runs, may write.
    #[cold]
    pub fn refusal(&self, flags: Flags, writes: bool) -> Option<CommandError> {
        let restrictions = self.restrictions.load(Ordering::Relaxed);
        if writes && restrictions & NO_WRITES != 0 {
            return Some(READ_ONLY);
        }
        (restrictions & NO_STALE_READS != 0 && !flags.contains(Flags::STALE)).then_some(STALE)
    }

    /// The state of a replica; `None` on a master.
    pub fn following(&self) -> Option<Following> {
        self.state.lock().following.clone()
    }

    /// Whether this server follows a master.
    pub fn is_replica(&self) -> bool {
        self.state.lock().following.is_some()
    }

    /// Decides whom to follow from now on, from which place. The caller is alone in the gate, or the server starts.
    pub fn follow(&self, master: Option<Master>, place: Option<Place>) {
        let mut state = self.state.lock();
        state.decision += 1;
        let decision = state.decision;
        let now = Instant::now();
        state.following = master.map(|master| Following {
            master,
            decision,
            link: Link::Down,
            since: now,
            heard: now,
            place,
            ahead_bytes: 0,
            transfer: None,
            error: None,
        });
        self.restrict(&state);
        drop(state);
        self.decisions.send_replace(decision);
    }

    /// Says what place the pool has, at the start.
    pub fn found_place(&self, place: Option<Place>) {
        if let Some(following) = &mut self.state.lock().following {
            following.place = place;
        }
    }

    /// The number of the last decision whom to follow. Alone in the gate, a thread sees a number that stays.
    pub fn decision(&self) -> u64 {
        self.state.lock().decision
    }

    /// Tells of new decisions.
    pub fn decisions(&self) -> watch::Receiver<u64> {
        self.decisions.subscribe()
    }

    /// Changes the state of the replica that follows by this decision; nothing if another one was made.
    pub fn report(&self, decision: u64, change: impl FnOnce(&mut Following)) {
        let mut state = self.state.lock();
        let Some(following) = &mut state.following else {
            return;
        };
        if following.decision != decision {
            return;
        }
        let was_up = following.link == Link::Up;
        change(following);
        if was_up != (following.link == Link::Up) {
            following.since = Instant::now();
        }
        self.restrict(&state);
    }

    /// Applies new settings.
    pub fn configure(&self, settings: &ReplicationSettings) {
        let mut state = self.state.lock();
        state.settings = settings.clone();
        self.restrict(&state);
    }

    fn restrict(&self, state: &State) {
        let mut restrictions = 0;
        if let Some(following) = &state.following {
            if state.settings.read_only {
                restrictions |= NO_WRITES;
            }
            if !state.settings.serves_stale && following.link != Link::Up {
                restrictions |= NO_STALE_READS;
            }
        }
        self.restrictions.store(restrictions, Ordering::Relaxed);
    }
}

impl Default for Replication {
    /// A master.
    fn default() -> Self {
        Self::new(&ReplicationSettings::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(read_only: bool, serves_stale: bool) -> ReplicationSettings {
        ReplicationSettings {
            master: Some(Master {
                host: "m".to_owned(),
                port: 1,
            }),
            read_only,
            serves_stale,
            ..ReplicationSettings::default()
        }
    }

    fn refusals(replication: &Replication) -> [bool; 3] {
        let refuses = |flags, writes| replication.refusal(flags, writes).is_some();
        [
            refuses(Flags::WRITE, true),
            refuses(Flags::READONLY, false),
            refuses(Flags::STALE, false),
        ]
    }

    #[test]
    fn clients_are_restricted_by_role_link_and_settings() {
        let master = Replication::default();
        assert!(!master.restricts() && !master.is_replica());
        let replica = Replication::new(&settings(true, false));
        let decision = replica.decision();
        assert_eq!(refusals(&replica), [true, true, false]);
        replica.report(decision, |following| following.link = Link::Up);
        assert_eq!(refusals(&replica), [true, false, false]);
        replica.configure(&settings(false, true));
        assert!(!replica.restricts());
        replica.report(decision, |following| following.link = Link::Sync);
        assert!(!replica.restricts());
        replica.configure(&settings(true, true));
        assert_eq!(refusals(&replica), [true, false, false]);
        replica.follow(None, None);
        assert!(!replica.restricts());
    }

    #[test]
    fn an_earlier_decision_reports_nothing() {
        let replica = Replication::new(&settings(true, true));
        let earlier = replica.decision();
        replica.follow(settings(true, true).master, None);
        replica.report(earlier, |following| following.link = Link::Up);
        let link = replica.following().map(|following| following.link);
        assert_eq!(link, Some(Link::Down));
        assert_ne!(replica.decision(), earlier);
    }
}
