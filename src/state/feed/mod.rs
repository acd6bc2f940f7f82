//! What replicas follow: the stream of effects, its backlog, and the replicas.
//!
//! An effect is what a replica must run to make a change that a call has made here. It goes this way:
//!
//! 1. The keyspace tells of a change under the key's lock. There the change takes a [ticket](Feed::told), so that tickets
//!    rise in the order in which each key changes, whatever thread changes it.
//! 2. After the call the dispatcher [fills](Feed::finish_call) the tickets with effects: often the call itself, sometimes another
//!    one. The effects of a transaction or a script wait for its end and fill its last ticket, since nothing else runs
//!    meanwhile. A thread gives away the effects of a [batch](Feed::flush) of calls at once.
//! 3. The thread ([`FeedThread`]) takes effects in the order of the tickets, up to the first one that is not filled. It commits, so
//!    that no replica has what a crash could take back here, and appends them to the [stream](Stream).
//! 4. Each replica's connection sends the stream from its place on.
//!
//! While no replica was there lately, calls read one flag and do nothing else. A server that follows a master itself passes
//! that one's stream on instead.

mod batch;
mod copy;
mod effect;
mod finish;
mod history;
mod kept;
mod left;
mod passing;
mod pieces;
mod queue;
pub mod recording;
mod replica;
mod stream;
mod thread;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use parking_lot::{Mutex, RwLock};
use smallvec::{SmallVec, smallvec};
use tokio::sync::watch;

pub use self::copy::{CopyError, Piece, make as make_copy};
pub use self::effect::{Part, Parts, encode};
pub use self::finish::Call;
pub use self::history::{Secret, leaves_history};
use self::kept::Kept;
pub use self::kept::Subject;
pub use self::left::Left;
pub use self::queue::Marker;
use self::queue::Queue;
use self::recording::Told;
pub use self::replica::{Announced, Phase, Replica};
pub use self::stream::{Stream, StreamState, new_id};
pub use self::thread::FeedThread;
use super::Blocked;
use crate::keyspace::{CopyValue, Followed, Keyspace, Waiter};

/// What replicas follow.
#[derive(Debug)]
pub struct Feed {
    /// The ticket of the next change. 0 is none.
    next_ticket: AtomicU64,
    queue: Queue,
    /// Held by the thread that takes effects from the queue, until they are in the stream.
    turn: Mutex<()>,
    stream: Mutex<Stream>,
    /// The stream's end, for those that send it.
    grown: watch::Sender<u64>,
    replicas: Mutex<Vec<Arc<Replica>>>,
    /// Clients that wait for replicas.
    waiting: Mutex<Vec<Arc<Blocked>>>,
    /// Whether too few replicas are near for clients to write.
    refuses_writes: AtomicBool,
    /// Since when there is no replica, if calls are still followed.
    alone_since: Mutex<Option<Instant>>,
    /// The file that has the history for the next process.
    kept: RwLock<Option<Arc<Kept>>>,
    /// Its number, if changes are named in it; otherwise 0.
    named_in: AtomicU64,
    /// Whether there is one, or one is being made.
    has_file: AtomicBool,
    /// The pool that the file lies beside; `None` where a history cannot be kept.
    pool: OnceLock<Option<PathBuf>>,
    /// Copies a value, for effects that are a whole key.
    copy: CopyValue,
    /// Figures of INFO.
    pub figures: Figures,
}

/// What INFO's section Stats tells.
#[derive(Debug, Default)]
pub struct Figures {
    /// Full copies that were begun.
    pub full: AtomicU64,
    /// Replicas that went on from their place.
    pub partial: AtomicU64,
    /// Replicas that could not.
    pub partial_refused: AtomicU64,
    /// Bytes that replicas were sent.
    pub output_bytes: AtomicU64,
}

impl Figures {
    /// CONFIG RESETSTAT.
    pub fn reset(&self) {
        for figure in [
            &self.full,
            &self.partial,
            &self.partial_refused,
            &self.output_bytes,
        ] {
            figure.store(0, Ordering::Relaxed);
        }
    }
}

/// How a call's tickets are filled.
pub type Filled = SmallVec<[(u64, Parts); 1]>;

impl Feed {
    /// A feed that nobody follows. `copy` copies values.
    pub fn new(copy: CopyValue) -> Self {
        Self {
            copy,
            next_ticket: AtomicU64::new(1),
            queue: Queue::default(),
            turn: Mutex::default(),
            stream: Mutex::new(Stream::new()),
            grown: watch::Sender::new(0),
            replicas: Mutex::default(),
            waiting: Mutex::default(),
            refuses_writes: AtomicBool::new(false),
            alone_since: Mutex::default(),
            kept: RwLock::default(),
            named_in: AtomicU64::new(0),
            has_file: AtomicBool::new(false),
            pool: OnceLock::new(),
            figures: Figures::default(),
        }
    }

    /// Takes a ticket for a change. The caller holds what orders the change among others.
    pub fn ticket(&self) -> u64 {
        self.next_ticket.fetch_add(1, Ordering::Relaxed)
    }

    /// The ticket of the next change.
    fn next_ticket(&self) -> u64 {
        self.next_ticket.load(Ordering::Relaxed)
    }

    /// A call on this thread panicked. Nobody knows what it has changed, so replicas need copies.
    pub fn abandon(&self) {
        let told = recording::end_call().told.into_iter();
        let mut filled: Filled = told.map(|told| (told.ticket, Parts::new())).collect();
        let of_step = recording::end_step().into_iter();
        filled.extend(of_step.map(|(ticket, _)| (ticket, Parts::new())));
        self.queue.lose();
        recording::add_filled(filled);
        self.flush();
    }

    /// Takes a ticket for a change that the keyspace tells of.
    pub fn told(&self, change: Followed<'_>) {
        let told = Told::new(self.ticket(), change);
        let Some(told) = recording::note(told) else {
            return;
        };
        // What no call does is an effect by itself: expiry and eviction remove keys. Otherwise it is a call that waited for
        // memory outside of the gate when somebody began to follow.
        if !told.is_by_itself() {
            self.queue.lose();
        }
        recording::add_filled(smallvec![told.into_removal()]);
        self.flush();
    }

    /// Gives what this thread's calls have left for replicas to the queue. A batch of calls does so before it leaves the gate:
    /// a thread that is alone in there finds all effects of before in the queue.
    pub fn flush(&self) {
        recording::give(|batch, intent| {
            let last = batch.last();
            if !batch.is_empty() {
                self.queue.fill(batch);
            }
            if let Some(intent) = intent {
                intent.end(last);
            }
        });
    }

    /// The same if it is much.
    fn flush_long(&self) {
        if recording::has_long_batch() {
            self.flush();
        }
    }

    /// Puts a marker behind all changes so far. The caller is alone in the gate.
    pub fn mark(&self, marker: Marker) {
        self.queue.mark(self.ticket(), marker);
    }

    /// The figures of the stream.
    pub fn state(&self) -> StreamState {
        self.stream.lock().state()
    }

    /// Hears when the stream grows.
    pub fn growth(&self) -> watch::Receiver<u64> {
        self.grown.subscribe()
    }

    /// Copies the next bytes for a replica, and moves its place behind them. Returns how many they are; `None` if the stream does
    /// not have them any more.
    pub fn take(&self, replica: &Replica, bytes_max: usize, into: &mut Vec<u8>) -> Option<usize> {
        let stream = self.stream.lock();
        let place = replica.place()?;
        let sent = stream.read(place, bytes_max, into)?;
        replica.set_place(Some(place + sent as u64));
        drop(stream);
        let output_bytes = &self.figures.output_bytes;
        output_bytes.fetch_add(sent as u64, Ordering::Relaxed);
        Some(sent)
    }

    /// Adds a replica that wants to go on from `offset` of a history, if the stream has all that follows. Returns the
    /// stream's id.
    pub fn resume(&self, replica: &Arc<Replica>, id: &str, offset: u64) -> Option<String> {
        let stream = self.stream.lock();
        let place = stream.place_of(id, offset)?;
        replica.set_place(Some(place));
        replica.acknowledge(place, None);
        self.add(replica);
        Some(stream.state().id)
    }

    /// Adds a replica that gets a full copy.
    pub fn add(&self, replica: &Arc<Replica>) {
        self.replicas.lock().push(Arc::clone(replica));
        *self.alone_since.lock() = None;
    }

    /// Removes a replica whose connection ends.
    pub fn remove(&self, replica: &Arc<Replica>) {
        let mut replicas = self.replicas.lock();
        replicas.retain(|one| !Arc::ptr_eq(one, replica));
        if replicas.is_empty() {
            *self.alone_since.lock() = Some(Instant::now());
        }
    }

    /// The replicas, in the order in which they came.
    pub fn replicas(&self) -> Vec<Arc<Replica>> {
        self.replicas.lock().clone()
    }

    /// Whether too few replicas are near for clients to write.
    #[inline]
    pub fn refuses_writes(&self) -> bool {
        self.refuses_writes.load(Ordering::Relaxed)
    }

    /// How many replicas have all up to `offset`; or, with `synced`, have it in their files too.
    pub fn acknowledgements(&self, offset: u64, synced: bool) -> usize {
        let replicas = self.replicas.lock();
        let has =
            |replica: &&Arc<Replica>| replica.is_online() && replica.acknowledged(synced) >= offset;
        replicas.iter().filter(has).count()
    }

    /// Where the stream ended when it got the effect of `ticket`. `None` if it does not have it yet.
    pub fn end_behind(&self, ticket: u64) -> Option<u64> {
        self.stream.lock().end_behind(ticket)
    }

    /// Has the replicas tell where they are.
    pub fn ask_replicas(&self) {
        self.queue.ask();
    }

    /// Tries a client that waits for replicas whenever one of them tells where it is.
    pub fn enter_waiting(&self, blocked: Arc<Blocked>, keyspace: &Keyspace) {
        // Replicas are asked behind what the client has written.
        self.flush();
        self.waiting.lock().push(blocked);
        self.ask_replicas();
        self.serve_waiting(keyspace);
    }

    /// Answers the clients whose wait for replicas is over.
    pub fn serve_waiting(&self, keyspace: &Keyspace) {
        if self.waiting.lock().is_empty() {
            return;
        }
        // The attempt takes the client's lock, and no lock of the feed may be held then.
        let waiting = std::mem::take(&mut *self.waiting.lock());
        let left: Vec<_> = waiting
            .into_iter()
            .filter(|blocked| !blocked.attempt(keyspace))
            .collect();
        self.waiting.lock().extend(left);
    }
}
