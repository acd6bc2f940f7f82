//! The link to a master that this server follows: a thread of its own connects, introduces itself, takes the master's data
//! set or goes on from its place, and applies the master's changes as they come.
//!
//! The thread reads no more than it has applied, but for a buffer: a slow pool slows the master's sending down.

mod data_set;
mod link;
mod payload;
mod synced;
mod wire;

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use self::wire::Ends;
use crate::commands::{Failure, FullSyncError};
use crate::keyspace::{Keyspace, KeyspaceError};
use crate::net::workers::STACK_BYTES;
use crate::state::Server;
use crate::state::replication::{Link, StreamError};

/// The rest before the next attempt: it doubles from the first to the longest while attempts fail.
const REST_MIN: Duration = Duration::from_millis(100);
const REST_MAX: Duration = Duration::from_secs(5);

/// How often to look whether the pool is read.
const LOOK_TIME: Duration = Duration::from_millis(20);

/// The same failure is logged again after so long.
const SAY_AGAIN_TIME: Duration = Duration::from_secs(60);

/// Why a link ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum LinkError {
    /// Another decision was made whom to follow.
    #[error("another decision was made")]
    Decided,
    /// The server stops.
    #[error("the server stops")]
    Stopping,
    /// CLIENT KILL.
    #[error("a client killed the link")]
    Killed,
    /// The master said nothing for too long.
    #[error("the master said nothing for longer than repl-timeout")]
    Timeout,
    /// The master has closed the connection.
    #[error("the master closed the connection")]
    Closed,
    /// The network.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// TLS cannot be set up.
    #[error("{0}")]
    Tls(String),
    /// The master refused a step of the introduction.
    #[error("the master refuses {0}: {1}")]
    Refused(&'static str, String),
    /// The master said what makes no sense.
    #[error("{0}")]
    Protocol(String),
    /// Its stream makes no sense.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// A change cannot be applied.
    #[error(transparent)]
    Apply(#[from] Failure),
    /// Its data set cannot be taken.
    #[error("full synchronisation: {0}")]
    FullSync(#[from] FullSyncError),
    /// Its data set is damaged, or not one that can be read.
    #[error("full synchronisation: the master's data set: {0}")]
    DataSet(#[from] rdb::RdbError),
    /// The pool failed.
    #[error("{0}")]
    Pool(#[from] KeyspaceError),
}

/// The thread of the link. Dropping it ends the thread; the server has been told to stop before.
#[derive(Debug)]
pub struct ReplicaThread(Option<JoinHandle<()>>);

impl ReplicaThread {
    /// Starts it. It follows whom the server decides to follow.
    pub fn start(server: &Arc<Server>, keyspace: &Arc<Keyspace>) -> io::Result<Self> {
        let ends = Ends::new(server)?;
        let (server, keyspace) = (Arc::clone(server), Arc::clone(keyspace));
        let thread = std::thread::Builder::new()
            .name("replica".into())
            .stack_size(STACK_BYTES)
            .spawn(move || run(ends, &server, &keyspace))?;
        Ok(Self(Some(thread)))
    }
}

impl Drop for ReplicaThread {
    fn drop(&mut self) {
        if let Some(thread) = self.0.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of the link to the master had panicked");
        }
    }
}

fn run(mut ends: Ends, server: &Arc<Server>, keyspace: &Keyspace) {
    // What is not read yet could be older than what the master sends.
    while !keyspace.loading().is_done() {
        if *server.shutdown.borrow() {
            return;
        }
        std::thread::sleep(LOOK_TIME);
    }
    let mut rest = REST_MIN;
    let mut said: Option<(String, Instant)> = None;
    loop {
        let decision = server.replication.decision();
        let Some(following) = server.replication.following() else {
            rest = REST_MIN;
            if ends.wait_for_decision(decision) {
                continue;
            }
            return;
        };
        let decision = following.decision;
        let mut was_up = false;
        let error = link::follow(&mut ends, server, keyspace, &following, &mut was_up);
        server.replication.report(decision, |following| {
            following.link = Link::Down;
            following.transfer = None;
            following.ahead_bytes = 0;
            following.error = Some(error.to_string());
        });
        if was_up {
            rest = REST_MIN;
            said = None;
        }
        match error {
            LinkError::Stopping => return,
            LinkError::Decided | LinkError::Apply(Failure::Decided) => {
                rest = REST_MIN;
                continue;
            }
            LinkError::FullSync(FullSyncError::Decided) => continue,
            error => {
                let text = error.to_string();
                let is_new = said
                    .as_ref()
                    .is_none_or(|(last, at)| *last != text || at.elapsed() >= SAY_AGAIN_TIME);
                if is_new {
                    let master = format!("{} {}", following.master.host, following.master.port);
                    tracing::warn!(master, error = text, "the link to the master is down");
                    said = Some((text, Instant::now()));
                }
            }
        }
        if !ends.rest(decision, rest) {
            return;
        }
        rest = (rest * 2).min(REST_MAX);
    }
}
