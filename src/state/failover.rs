//! A coordinated failover (FAILOVER): this master stops its clients' writes, waits until a replica has everything, and becomes
//! the replica of that one.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use parking_lot::Mutex;

use super::Server;
use super::feed::Replica;
use crate::config::{Master, Settings};
use crate::keyspace::{Keyspace, KeyspaceError, now_ms};

/// How far a failover is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Writes wait, and a replica takes what it lacks.
    WaitsForSync,
    /// The replica is asked to be the master.
    InProgress,
}

/// What a client has asked for.
#[derive(Clone, Debug)]
pub struct Handover {
    /// The replica that is to be the master; without one, the first that has everything.
    pub target: Option<(String, u16)>,
    /// Until when it must have everything.
    pub until: Option<Instant>,
    /// Whether it becomes the master then, whatever it has.
    pub forces: bool,
}

/// The failover, if there is one.
#[derive(Debug, Default)]
pub struct Failover {
    state: Mutex<Option<(Handover, Phase)>>,
    is_on: AtomicBool,
}

impl Failover {
    /// Whether there is one.
    pub fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Relaxed)
    }

    /// How far it is.
    pub fn phase(&self) -> Option<Phase> {
        self.state.lock().as_ref().map(|(_, phase)| *phase)
    }

    /// INFO's word.
    pub fn word(&self) -> &'static str {
        match self.phase() {
            None => "no-failover",
            Some(Phase::WaitsForSync) => "waiting-for-sync",
            Some(Phase::InProgress) => "failover-in-progress",
        }
    }

    fn set(&self, state: Option<(Handover, Phase)>) {
        self.is_on.store(state.is_some(), Ordering::Relaxed);
        *self.state.lock() = state;
    }
}

impl Server {
    /// Begins a failover. The caller is alone in the gate, and there is none.
    pub fn begin_failover(&self, keyspace: &Keyspace, handover: Handover) {
        tracing::info!(target = ?handover.target, "FAILOVER requested");
        self.failover.set(Some((handover, Phase::WaitsForSync)));
        self.pause.hand_over(true);
        // Nothing may change meanwhile, not even by expiry.
        keyspace.expiry().hold(i64::MAX);
        self.feed.ask_replicas();
    }

    /// The failover is over, in whatever way.
    pub fn end_failover(&self, keyspace: &Keyspace) {
        self.failover.set(None);
        self.pause.hand_over(false);
        let rest = self.pause.rest().map(|rest| rest.as_millis());
        let rest = rest.and_then(|rest| i64::try_from(rest).ok());
        let until = rest.map_or(0, |rest| now_ms().saturating_add(rest));
        keyspace.expiry().hold(until);
    }

    /// Gives a failover up: this server is, or becomes again, a master. The caller is alone in the gate.
    pub fn abort_failover(&self, keyspace: &Keyspace, why: &str) -> Result<(), KeyspaceError> {
        let phase = self.failover.phase();
        tracing::warn!(why, "the failover was aborted");
        let promoted = match phase {
            Some(Phase::InProgress) => self.promote(keyspace).map(|_| ()),
            _ => Ok(()),
        };
        self.end_failover(keyspace);
        promoted
    }

    /// Goes on with a failover that waits for a replica. The thread of the feed looks ten times a second; it holds nothing.
    pub fn look_at_failover(&self, keyspace: &Keyspace, settings: &Settings) {
        if !self.failover.is_on() || !self.may_go_on() {
            return;
        }
        // While a script runs for long, another look comes later.
        let Ok(alone) = keyspace.gate().enter_alone(true) else {
            return;
        };
        let went_on = self.go_on_alone(keyspace, settings);
        drop(alone);
        if let Err(error) = went_on {
            tracing::error!(%error, "the failover was aborted: the pool failed");
            self.end_failover(keyspace);
        }
    }

    /// The failover that waits, if there is one.
    fn waiting_handover(&self) -> Option<Handover> {
        let state = self.failover.state.lock();
        let (handover, phase) = state.as_ref()?;
        (*phase == Phase::WaitsForSync).then(|| handover.clone())
    }

    /// Whether something may have happened that a failover waits for.
    fn may_go_on(&self) -> bool {
        self.waiting_handover().is_some_and(|handover| {
            let is_late = handover.until.is_some_and(|until| until <= Instant::now());
            is_late || self.caught_up(&handover).is_some()
        })
    }

    /// The master to be, if it has all that the stream has.
    fn caught_up(&self, handover: &Handover) -> Option<Master> {
        let end = self.feed.state().end;
        let replicas = self.feed.replicas();
        let is_target = |replica: &Replica| match &handover.target {
            Some((host, port)) => replica.is_at(host, *port),
            None => true,
        };
        let mut fitting = replicas.iter().filter(|replica| {
            replica.is_online() && replica.acknowledged(false) == end && is_target(replica)
        });
        fitting.next().map(|replica| Master {
            host: replica.ip(),
            port: replica.announced.port,
        })
    }

    fn go_on_alone(&self, keyspace: &Keyspace, settings: &Settings) -> Result<(), KeyspaceError> {
        // Another thread may have come first.
        let Some(handover) = self.waiting_handover() else {
            return Ok(());
        };
        // The last effects may still be on their way to the stream.
        let is_settled = self.feed.settle(keyspace, settings);
        let caught_up = self.caught_up(&handover).filter(|_| is_settled);
        let is_late = handover.until.is_some_and(|until| until <= Instant::now());
        let forced = handover.target.as_ref().map(|(host, port)| Master {
            host: host.clone(),
            port: *port,
        });
        let master = match (caught_up, forced) {
            (Some(master), _) => master,
            (None, Some(master)) if is_late && handover.forces => {
                tracing::warn!(
                    "the replica has not got everything in time, and becomes the master nevertheless: FAILOVER FORCE"
                );
                master
            }
            _ if is_late => {
                return self.abort_failover(keyspace, "Replica never caught up before timeout");
            }
            _ => return Ok(()),
        };
        tracing::info!(
            host = master.host,
            port = master.port,
            "the failover goes on: this server becomes the replica of that one"
        );
        self.failover.set(Some((handover, Phase::InProgress)));
        self.follow_master(keyspace, master)
    }
}
