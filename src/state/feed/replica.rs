//! A replica, as its connection and others see it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU64, Ordering};

use crate::keyspace::now_ms;
use crate::state::ClientHandle;

/// What a replica has told of itself before it asked for data (REPLCONF).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools)] // Independent properties of a replica.
pub struct Announced {
    /// The port that it listens on.
    pub port: u16,
    /// The address that it is to be named by.
    pub ip: Option<String>,
    /// It finds the end of a copy by a mark.
    pub reads_to_mark: bool,
    /// It takes another id with `+CONTINUE`.
    pub takes_id: bool,
    /// It wants no more than the copy.
    pub only_copy: bool,
    /// The copy is to have no keys, or no functions.
    pub without_keys: bool,
    /// The copy is to have no functions.
    pub without_functions: bool,
    /// It reads version 11 of RDB files.
    pub reads_newer: bool,
}

/// How far a replica is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// Its copy is not begun.
    Waits,
    /// It gets its copy.
    Copies,
    /// It follows the stream.
    Online,
}

impl Phase {
    /// INFO's word.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Waits => "wait_bgsave",
            Phase::Copies => "send_bulk",
            Phase::Online => "online",
        }
    }
}

/// The place of a replica that needs nothing of the stream yet.
const NOWHERE: u64 = u64::MAX;

/// A replica.
#[derive(Debug)]
pub struct Replica {
    /// Its connection.
    pub handle: Arc<ClientHandle>,
    /// What it has told.
    pub announced: Announced,
    phase: AtomicU8,
    /// How much of the stream its connection has taken.
    place: AtomicU64,
    /// How much of the stream it has.
    acknowledged: AtomicU64,
    /// How much of the stream it has in its append-only file.
    synced: AtomicU64,
    /// When it last told that, ms.
    told_at: AtomicI64,
    /// Since when it is over the soft limit of its output, ms; 0 if it is not.
    over_soft_since: AtomicI64,
}

impl Replica {
    /// A replica that has got nothing yet.
    pub fn new(handle: Arc<ClientHandle>, announced: Announced) -> Self {
        Self {
            handle,
            announced,
            phase: AtomicU8::new(Phase::Waits as u8),
            place: AtomicU64::new(NOWHERE),
            acknowledged: AtomicU64::new(0),
            synced: AtomicU64::new(0),
            told_at: AtomicI64::new(now_ms()),
            over_soft_since: AtomicI64::new(0),
        }
    }

    /// Where others find it: what it announced, or its connection's address.
    pub fn ip(&self) -> String {
        self.announced.ip.clone().unwrap_or_else(|| {
            let addr = &self.handle.addr;
            let ip = addr.rsplit_once(':').map_or(&addr[..], |(ip, _)| ip);
            ip.trim_matches(['[', ']']).to_owned()
        })
    }

    /// Whether others find it at this address.
    pub fn is_at(&self, host: &str, port: u16) -> bool {
        self.announced.port == port && self.ip().eq_ignore_ascii_case(host)
    }

    /// How far it is.
    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Acquire) {
            0 => Phase::Waits,
            1 => Phase::Copies,
            _ => Phase::Online,
        }
    }

    /// Says how far it is.
    pub fn set_phase(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Release);
        self.told_at.store(now_ms(), Ordering::Relaxed);
    }

    /// Whether it follows the stream.
    pub fn is_online(&self) -> bool {
        self.phase() == Phase::Online
    }

    /// How much of the stream its connection has taken; `None` if it needs nothing of it.
    pub fn place(&self) -> Option<u64> {
        let place = self.place.load(Ordering::Acquire);
        (place != NOWHERE).then_some(place)
    }

    /// Sets that place.
    pub fn set_place(&self, place: Option<u64>) {
        self.place
            .store(place.unwrap_or(NOWHERE), Ordering::Release);
    }

    /// The replica has told how much it has, and how much in its append-only file if it has one.
    pub fn acknowledge(&self, offset: u64, synced: Option<u64>) {
        self.acknowledged.fetch_max(offset, Ordering::AcqRel);
        if let Some(synced) = synced {
            self.synced.fetch_max(synced, Ordering::AcqRel);
        }
        self.told_at.store(now_ms(), Ordering::Relaxed);
    }

    /// How much of the stream it has; or, with `synced`, has in its append-only file.
    pub fn acknowledged(&self, synced: bool) -> u64 {
        let figure = if synced {
            &self.synced
        } else {
            &self.acknowledged
        };
        figure.load(Ordering::Acquire)
    }

    /// For how long it has told nothing, ms.
    pub fn silence_ms(&self, now: i64) -> i64 {
        (now - self.told_at.load(Ordering::Relaxed)).max(0)
    }

    /// Since when it is over the soft limit, ms; `None` if it is not. `is_over` says whether it is now.
    pub(super) fn over_soft(&self, is_over: bool, now: i64) -> Option<i64> {
        if !is_over {
            self.over_soft_since.store(0, Ordering::Relaxed);
            return None;
        }
        let since = self.over_soft_since.load(Ordering::Relaxed);
        if since == 0 {
            self.over_soft_since.store(now, Ordering::Relaxed);
            return Some(now);
        }
        Some(since)
    }
}
