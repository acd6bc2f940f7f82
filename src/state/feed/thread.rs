//! The thread that makes the stream.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::queue::{Due, Item};
use super::{Feed, Replica};
use crate::config::{OutputBufferLimit, Settings};
use crate::keyspace::{Keyspace, now_ms};
use crate::state::Server;

/// How often the thread looks after the replicas.
const LOOK_TIME: Duration = Duration::from_millis(100);

/// Effects that come within this time leave with one commit. The time doubles up to the longest while so many come in it: each
/// round wakes this thread, the replicas' connections, and the replicas.
const GATHER_TIME_MIN: Duration = Duration::from_micros(100);
const GATHER_TIME_MAX: Duration = Duration::from_millis(1);
const MANY_EFFECTS: u64 = 16;

/// How long the thread waits after the pool has refused a commit.
const REFUSED_TIME: Duration = Duration::from_millis(100);

/// The thread. Dropping it ends the stream.
#[derive(Debug)]
pub struct FeedThread {
    server: Arc<Server>,
    thread: Option<JoinHandle<()>>,
}

impl FeedThread {
    /// Starts the thread.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn start(server: &Arc<Server>, keyspace: &Arc<Keyspace>) -> io::Result<Self> {
        let (of_thread, keyspace) = (Arc::clone(server), Arc::clone(keyspace));
        let thread = std::thread::Builder::new()
            .name("feed".into())
            .spawn(move || run(&of_thread, &keyspace))?;
        Ok(Self {
            server: Arc::clone(server),
            thread: Some(thread),
        })
    }
}

impl Drop for FeedThread {
    fn drop(&mut self) {
        self.server.feed.queue.end();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the feed's thread had panicked");
        }
    }
}

fn run(server: &Server, keyspace: &Keyspace) {
    let feed = &server.feed;
    let mut looked = Instant::now();
    let mut pinged = Instant::now();
    let mut gather_time = GATHER_TIME_MIN;
    let mut due = Due::default();
    loop {
        // While many come, the next ones are not waited for first: that would be another wake-up in each round.
        if due.tickets >= MANY_EFFECTS || feed.queue.wait(LOOK_TIME) {
            feed.queue.gather(gather_time);
        }
        let turn = feed.turn.lock();
        feed.queue.take(&mut due);
        gather_time = if due.tickets >= MANY_EFFECTS {
            (2 * gather_time).min(GATHER_TIME_MAX)
        } else {
            (gather_time / 2).max(GATHER_TIME_MIN)
        };
        let has_effects = due.items.iter().any(Item::is_effects);
        while has_effects && let Err(error) = keyspace.commit() {
            tracing::error!(%error, "the pool refused a commit: replicas get nothing meanwhile");
            std::thread::sleep(REFUSED_TIME);
            if *server.shutdown.borrow() {
                return;
            }
        }
        let settings = server.config.settings();
        feed.append(&mut due, &settings);
        drop(turn);
        if due.ends {
            return;
        }
        feed.check_limits(server, &settings);
        if looked.elapsed() >= LOOK_TIME {
            looked = Instant::now();
            feed.look_after(server, keyspace, &settings, &mut pinged);
            server.look_at_failover(keyspace, &settings);
        }
    }
}

impl Feed {
    /// Appends effects to the stream. The caller has committed what they stand for, and has the turn.
    pub(super) fn append(&self, due: &mut Due, settings: &Settings) {
        let replicas = self.replicas();
        let mut stream = self.stream.lock();
        if due.lost {
            tracing::error!("more effects waited than memory allows: replicas get full copies");
            lose(&mut stream, &replicas);
        }
        let before = stream.end;
        for item in &mut due.items {
            match item {
                Item::Effects(dbs, bytes) => {
                    if stream.state_keeps() || !replicas.is_empty() {
                        stream.append_effects(*dbs, bytes);
                    }
                }
                Item::Marker(marker) => {
                    let end = stream.copied();
                    marker.replica.set_place(Some(end));
                    if let Some(reply) = marker.reply.take() {
                        // The replica may be gone.
                        let _ = reply.send((stream.state().id, end));
                    }
                }
            }
        }
        stream.set_next_ticket(due.next);
        if due.asks && !replicas.is_empty() {
            stream.append_command(&[b"REPLCONF", b"GETACK", b"*"]);
        }
        stream.seal();
        let end = stream.end;
        if end != before {
            let least = replicas.iter().filter_map(|one| one.place()).min();
            stream.trim(settings.feed.backlog_bytes, least);
        }
        drop(stream);
        self.release_intents(due.next);
        if end != before {
            self.grown.send_replace(end);
        }
    }

    /// Disconnects replicas that are too far behind.
    fn check_limits(&self, server: &Server, settings: &Settings) {
        let limit = settings.client_output_buffer_limits.replica;
        let (now, end) = (now_ms(), *self.grown.borrow());
        for replica in self.replicas() {
            let Some(place) = replica.place() else {
                continue;
            };
            let bytes = end.saturating_sub(place);
            let waiting = usize::try_from(bytes).unwrap_or(usize::MAX);
            replica
                .handle
                .unsent_bytes
                .store(waiting, Ordering::Relaxed);
            if is_beyond(&replica, limit, bytes, now) && !replica.handle.is_killed() {
                let stats = &server.stats;
                stats
                    .output_limit_disconnections
                    .fetch_add(1, Ordering::Relaxed);
                tracing::warn!(replica = %replica.handle.addr, bytes, "closed: a replica is over client-output-buffer-limit");
                replica.set_place(None);
                replica.handle.kill();
            }
        }
    }

    fn look_after(
        &self,
        server: &Server,
        keyspace: &Keyspace,
        settings: &Settings,
        pinged: &mut Instant,
    ) {
        let now = now_ms();
        let replicas = self.replicas();
        let timeout = i64::try_from(settings.replication.timeout.as_millis()).unwrap_or(i64::MAX);
        for replica in &replicas {
            if replica.is_online() && replica.silence_ms(now) > timeout {
                tracing::warn!(replica = %replica.handle.addr, "closed: a replica is silent for longer than repl-timeout");
                replica.handle.kill();
            }
        }
        if pinged.elapsed() >= settings.feed.ping_period {
            *pinged = Instant::now();
            // During a failover the stream must come to its end.
            if replicas.iter().any(|replica| replica.is_online()) && !server.failover.is_on() {
                let mut stream = self.stream.lock();
                stream.append_command(&[b"PING"]);
                stream.seal();
                let end = stream.state().end;
                drop(stream);
                self.grown.send_replace(end);
            }
        }
        self.count_near(settings, now);
        if !settings.feed.outlives_crash && self.is_kept() {
            self.stop_file(keyspace);
        }
        let least = settings.feed.backlog_ttl;
        let alone_since = *self.alone_since.lock();
        if let (Some(ttl), Some(since)) = (least, alone_since)
            && since.elapsed() >= ttl
        {
            self.stop_keeping(server, keyspace);
        }
        self.serve_waiting(keyspace);
    }

    /// Compares the number of replicas that are near with the one that clients need to write.
    pub fn count_near(&self, settings: &Settings, now: i64) {
        let feed = &settings.feed;
        let lag_max = i64::try_from(feed.lag_max.as_millis()).unwrap_or(i64::MAX);
        let asked = feed.replicas_min > 0 && lag_max > 0;
        let refuses = asked && self.near(lag_max, now) < feed.replicas_min;
        self.refuses_writes.store(refuses, Ordering::Relaxed);
    }

    /// How many replicas have told within `lag_max` ms that they are there.
    pub fn near(&self, lag_max: i64, now: i64) -> usize {
        let replicas = self.replicas.lock();
        let is_near =
            |one: &&Arc<Replica>| one.is_online() && one.silence_ms(now) / 1000 * 1000 <= lag_max;
        replicas.iter().filter(is_near).count()
    }

    /// Stops following calls: no replica was there for `repl-backlog-ttl`.
    fn stop_keeping(&self, server: &Server, keyspace: &Keyspace) {
        if *server.shutdown.borrow() || server.replication.is_replica() {
            return;
        }
        // While a script runs for long, another look comes later.
        let Ok(alone) = keyspace.gate().enter_alone(true) else {
            return;
        };
        if self.replicas.lock().is_empty() {
            keyspace.events().follow(false);
            *self.alone_since.lock() = None;
            self.drop_file();
            self.stream.lock().forget(false);
            if let Err(error) = keyspace.place().store(None) {
                tracing::warn!(%error, "the pool keeps a note of the former backlog");
            }
            tracing::info!("the backlog is given back: no replica was there for repl-backlog-ttl");
        }
        drop(alone);
    }
}

/// Whether a replica that has `bytes` to take is over its limit.
fn is_beyond(replica: &Replica, limit: OutputBufferLimit, bytes: u64, now: i64) -> bool {
    let is_over_soft = limit.soft_bytes > 0 && bytes > limit.soft_bytes;
    let since = replica.over_soft(is_over_soft, now);
    let soft_ms = i64::try_from(limit.soft_time.as_millis()).unwrap_or(i64::MAX);
    let has_stayed = since.is_some_and(|since| now - since > soft_ms);
    has_stayed || (limit.hard_bytes > 0 && bytes > limit.hard_bytes)
}

/// Begins another history. The replicas need full copies.
fn lose(stream: &mut super::Stream, replicas: &[Arc<Replica>]) {
    stream.forget(true);
    if let Some(kept) = &stream.kept {
        kept.begin(stream);
    }
    for replica in replicas {
        replica.set_place(None);
        replica.handle.kill();
    }
}
