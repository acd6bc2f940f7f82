//! One connection: it reads requests, runs them in order, makes their writes durable, and sends the replies in one
//! write. Output that the client does not take at once waits in [`unsent`], while the connection reads more requests.

mod ahead;
mod commits;
mod output;
mod registration;
mod replica;
mod stream;
mod unsent;
mod waiting;

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use bytes::{Buf, BytesMut};

use self::commits::commit_together;
use self::output::until;
pub use self::registration::Registration;
pub use self::stream::Stream;
use self::unsent::{Progress, Unsent};
use super::workers::Place;
use crate::commands::{Dispatcher, Next};
use crate::config::Settings;
use crate::keyspace::{Hashes, Keyspace, Presence};
use crate::protocol::{Args, OwnedArgs, Parsed, Protocol, ReplyBuffer, RequestParser};
use crate::state::{ClientHandle, Server, Session, Stripe};

/// The least free space for a read. Redis reads as much at a time.
const READ_BYTES: usize = 16 * 1024;

/// The most room that a read gets.
const RESERVED_BYTES_MAX: usize = 1 << 20;

/// The connection sends its replies at this many bytes even if more requests wait. It bounds the memory, and the time
/// until the client gets the first reply.
const OUTPUT_BYTES_PER_FLUSH: usize = 1 << 20;

/// The connection commits after this many bytes of requests even if more wait: the store keeps space for as much.
const INPUT_BYTES_PER_COMMIT: usize = 1 << 20;

/// An empty buffer larger than this is freed.
const KEPT_BUFFER_BYTES: usize = 64 * 1024;

/// How often a client with messages looks whether a long script is over.
const BUSY_LOOK: Duration = Duration::from_millis(20);

/// How many reads a connection still makes when the server stops, for input that the kernel has received already.
const LAST_READS: usize = 64;

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The client closed it, or its sending side.
    Left,
    /// A command or a protocol error closed it.
    Closed,
    /// The client was idle for too long.
    Idle,
    /// Another client killed it, or the server stops.
    Killed,
    /// The client sent more input than may wait.
    QueryLimit,
    /// The client left more output than may wait.
    OutputLimit,
    /// The pool failed, so the server must not acknowledge anything.
    StoreFailed,
}

/// A connection without its socket, so that a slow command can take it to another thread for a while.
struct Connection {
    input: BytesMut,
    /// The most memory that the input took since its memory was given back.
    input_bytes: usize,
    parser: RequestParser,
    /// How many more bytes the first request in the input needs, as far as its lengths tell.
    missing: usize,
    /// Whether the last event did not come at once.
    has_waited: bool,
    /// Whether the records of the next requests were asked for.
    has_asked: bool,
    /// Whether everything that the output acknowledges was committed together with others' writes.
    is_committed: bool,
    /// Replies and messages that wait for the commit.
    out: ReplyBuffer,
    unsent: Unsent,
    session: Session,
    dispatcher: Dispatcher,
    keyspace: Arc<Keyspace>,
    server: Arc<Server>,
    settings: Arc<Settings>,
    settings_version: u64,
    /// The number of its worker.
    worker: usize,
}

/// Why a batch ended.
enum Batch {
    /// All complete requests have run.
    Done,
    /// The output or the input is large enough for a commit before the next requests.
    More,
    /// The connection ends after it has sent its replies.
    Close,
    /// The next request has a slow command, and has not run.
    Slow(OwnedArgs),
    /// The next request waits for the end of CLIENT PAUSE, and has not run.
    Paused,
    /// The last command waits. More requests may follow it in the input.
    Blocked,
    /// The client becomes a replica.
    Follow,
}

/// Serves one client until its connection ends.
async fn serve<S>(mut stream: S, registration: &Registration, keyspace: Arc<Keyspace>)
where
    S: Stream,
{
    let Registration {
        server,
        handle,
        place,
    } = registration;
    let settings = server.config.settings();
    let connection = Box::new(Connection {
        input: BytesMut::with_capacity(READ_BYTES),
        input_bytes: READ_BYTES,
        parser: RequestParser::default(),
        missing: 0,
        has_waited: false,
        has_asked: false,
        is_committed: false,
        out: ReplyBuffer::new(Protocol::Resp2),
        unsent: Unsent::default(),
        session: Session::new(&server.acl, Arc::clone(handle)),
        dispatcher: Dispatcher::new(place.worker),
        keyspace,
        settings_version: server.config.version(),
        settings,
        server: Arc::clone(server),
        worker: place.worker,
    });
    // The socket closes after the counting, so that a client that sees the end finds it counted.
    let end = run(&mut stream, connection, place).await;
    let stats = &server.stats;
    match end {
        Ok(End::QueryLimit) => {
            stats
                .query_limit_disconnections
                .fetch_add(1, Ordering::Relaxed);
            tracing::warn!(client = %handle.addr, "closed: unread input over client-query-buffer-limit");
        }
        Ok(End::OutputLimit) => {
            stats
                .output_limit_disconnections
                .fetch_add(1, Ordering::Relaxed);
            tracing::warn!(client = %handle.addr, "closed: unsent output over client-output-buffer-limit");
        }
        Ok(end) => tracing::debug!(client = %handle.addr, ?end, "connection ended"),
        Err(error) => tracing::debug!(client = %handle.addr, %error, "connection lost"),
    }
}

async fn run<S>(stream: &mut S, connection: Box<Connection>, place: &Place) -> io::Result<End>
where
    S: Stream,
{
    let (mut connection, end) = talk(stream, connection, place).await?;
    connection.finish(stream, end).await
}

/// What a connection waits for.
enum Event {
    Stream(Progress),
    /// The client is gone, and everything that it sent has run.
    Gone,
    Killed,
    /// CLIENT PAUSE is over.
    Resumed,
    Mail,
    Late(End),
}

/// Runs requests until the connection must end. Output may still wait for the client then.
async fn talk<S>(
    stream: &mut S,
    mut connection: Box<Connection>,
    place: &Place,
) -> io::Result<(Box<Connection>, End)>
where
    S: Stream,
{
    let handle = Arc::clone(&connection.session.handle);
    let mut last_reads = LAST_READS;
    loop {
        let waits = handle.waits.load(Ordering::Relaxed);
        match connection.next_event(stream, waits).await? {
            Event::Stream(Progress::Read(0)) | Event::Gone => return Ok((connection, End::Left)),
            Event::Stream(Progress::Read(_)) => connection.stripe().add_read(),
            Event::Stream(Progress::Wrote) => {
                tokio::task::yield_now().await;
                continue;
            }
            // The request that waited runs now.
            Event::Resumed => {}
            Event::Mail => {
                connection.refresh_settings();
                connection.take_mail();
                match connection.send(stream).await {
                    None => continue,
                    Some(end) => return Ok((connection, end)),
                }
            }
            Event::Killed => return Ok((connection, End::Killed)),
            Event::Late(end) => return Ok((connection, end)),
        }
        handle.waits.store(false, Ordering::Relaxed);
        connection.refresh_settings();
        loop {
            let waits = place.is_shared() && connection.keyspace.waits_for_pages();
            if waits && connection.ask_for_pages() {
                tokio::task::yield_now().await;
            }
            let mut batch = connection.run_batch();
            if let Batch::Slow(args) = batch {
                let next;
                (connection, next) = run_elsewhere(connection, args).await?;
                batch = match next {
                    Next::Close => Batch::Close,
                    Next::Block => Batch::Blocked,
                    Next::Follow => Batch::Follow,
                    _ => continue,
                };
            }
            if place.is_shared() {
                connection.let_others_run().await;
            }
            if let Some(end) = connection.send(stream).await {
                return Ok((connection, end));
            }
            match batch {
                Batch::Done => break,
                Batch::Paused => {
                    handle.waits.store(true, Ordering::Relaxed);
                    break;
                }
                Batch::Blocked => {
                    if let Some(end) = connection.wait(stream).await? {
                        return Ok((connection, end));
                    }
                }
                Batch::Follow => {
                    let end = connection.follow(stream).await?;
                    return Ok((connection, end));
                }
                Batch::Close => return Ok((connection, End::Closed)),
                Batch::More | Batch::Slow(_) => {}
            }
        }
        let held_bytes = connection.input.len() + connection.session.queued_bytes();
        if held_bytes > connection.settings.client_query_buffer_limit {
            return Ok((connection, End::QueryLimit));
        }
        if handle.is_killed() {
            last_reads -= 1;
            if last_reads == 0 || !handle.drains() {
                return Ok((connection, End::Killed));
            }
        }
    }
}

/// Runs a slow command on a thread of its own, so that the worker can serve its other clients.
async fn run_elsewhere(
    mut connection: Box<Connection>,
    args: OwnedArgs,
) -> io::Result<(Box<Connection>, Next)> {
    let done = tokio::task::spawn_blocking(move || {
        let next = connection.run_slow(&args);
        (connection, next)
    });
    done.await.map_err(io::Error::other)
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.session.withdraw(&self.server, &self.keyspace);
    }
}

impl Connection {
    /// Waits for the next event, and writes waiting output meanwhile.
    async fn next_event<S>(&mut self, stream: &mut S, waits: bool) -> io::Result<Event>
    where
        S: Stream,
    {
        let room = room_ahead(self.missing, self.input.len());
        // The rest of the first buffer is room enough for the rest of a short request.
        if self.input.capacity() - self.input.len() < room / 2 {
            self.input.reserve(room);
        }
        self.input_bytes = self.input_bytes.max(self.input.capacity());
        let unsent_bytes = self.unsent.bytes();
        let event = self.wait_for_event(stream, waits).await?;
        if self.unsent.bytes() != unsent_bytes {
            self.has_written();
        }
        Ok(event)
    }

    async fn wait_for_event<S>(&mut self, stream: &mut S, waits: bool) -> io::Result<Event>
    where
        S: Stream,
    {
        let handle = &self.session.handle;
        // A subscriber need not send anything, and a client that must wait is not idle.
        let idle_limit = (self.settings.timeout).filter(|_| !waits && !handle.is_subscriber());
        let deadline = self.deadline(idle_limit);
        let is_lost = self.unsent.is_lost();
        self.has_waited = false;
        let mut resumed = pin!(self.server.pause.over());
        let mut mail = pin!(mail_may_go(handle, &self.keyspace));
        let mut late = pin!(until(deadline.map(|(at, _)| at)));
        poll_fn(|cx| {
            // The stream first, so that requests which have arrived are answered even if the connection must end.
            let input = Some(&mut self.input);
            if let Poll::Ready(progress) = self.unsent.poll_progress(stream, input, cx) {
                return Poll::Ready(progress.map(Event::Stream));
            }
            if is_lost {
                return Poll::Ready(Ok(Event::Gone));
            }
            handle.mailbox.bell.listen(cx);
            Poll::Ready(Ok(if handle.is_killed() {
                Event::Killed
            } else if waits && resumed.as_mut().poll(cx).is_ready() {
                Event::Resumed
            } else if handle.mailbox.has_mail() && mail.as_mut().poll(cx).is_ready() {
                Event::Mail
            } else if let Some((_, end)) = deadline
                && late.as_mut().poll(cx).is_ready()
            {
                Event::Late(end)
            } else {
                self.has_waited = true;
                return Poll::Pending;
            }))
        })
        .await
    }

    /// Lets the worker's other connections run their requests, so that one commit serves all. Without anything to commit it
    /// returns at once: the replies need not wait for the others, and a second turn of the task costs nearly a tenth of a GET.
    ///
    /// Tokio's `yield_now` asks the kernel as well what else has arrived. If this connection has waited for its input, the
    /// worker has asked just before; for a lone client it would be a second system call for each request. If the input
    /// was there at once, more may follow without an end, and the kernel is asked each time.
    async fn let_others_run(&mut self) {
        if self.server.durability.waits_for_disk && self.keyspace.has_uncommitted() {
            self.has_waited = false;
            self.is_committed = commit_together(&self.keyspace).await;
            return;
        }
        if !std::mem::take(&mut self.has_waited) {
            return tokio::task::yield_now().await;
        }
        if !self.keyspace.has_uncommitted() {
            return;
        }
        let mut have_run = false;
        poll_fn(|cx| {
            if std::mem::replace(&mut have_run, true) {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    fn stripe(&self) -> &Stripe {
        self.server.stats.stripe(self.worker)
    }

    fn refresh_settings(&mut self) {
        let version = self.server.config.version();
        if version != self.settings_version {
            self.settings_version = version;
            self.settings = self.server.config.settings();
        }
    }

    /// Runs the complete requests of the input, up to a slow one.
    fn run_batch(&mut self) -> Batch {
        let gathered_max = self.limit_output(OUTPUT_BYTES_PER_FLUSH);
        let output_before = self.out.len();
        let mut consumed_all = 0;
        self.missing = 0;
        let Self {
            input,
            parser,
            has_asked,
            out,
            session,
            dispatcher,
            keyspace,
            server,
            settings,
            ..
        } = self;
        let mut has_asked = std::mem::take(has_asked);
        let mut around = dispatcher.begin(keyspace, server, session);
        let mut ahead = ahead::borrow();
        let (mut hashes, mut hashes_taken) = (Hashes::new(), 0);
        let batch = loop {
            if out.len() > gathered_max
                || consumed_all > INPUT_BYTES_PER_COMMIT
                || out.is_overflown()
            {
                break Batch::More;
            }
            let limits = ahead::limits(session, server, settings);
            if !limits.authenticated {
                // To a client that has not said who it is, other limits apply.
                ahead.clear();
            } else if ahead.is_empty() && parser.is_between_requests() {
                ahead.read(input, consumed_all, limits.bulk_bytes_max);
                (hashes, hashes_taken) = (Hashes::new(), 0);
                // For a single request it would gain nothing.
                let pays = !std::mem::take(&mut has_asked) && ahead.len() > 1;
                if pays && around.presence.is_inside() {
                    hashes = ahead::fetch(keyspace, session.db, input, &ahead);
                    // The fetching serves all of these requests, so its time must not count for the first one.
                    dispatcher.skip_time();
                }
            }
            let inline;
            let mut known = None;
            let (args, consumed) = if let Some((arguments, end)) = ahead.take() {
                let args = Args::new(input, arguments);
                if args.len() > 1 {
                    let hashes = hashes.get(hashes_taken);
                    known = hashes.and_then(|hashes| ahead::known(args, hashes));
                    hashes_taken += 1;
                }
                (args, end - consumed_all)
            } else {
                let rest = &input[consumed_all..];
                let parsed = match parser.parse(rest, limits) {
                    Ok(parsed) => parsed,
                    Err(error) => {
                        tracing::debug!(client = %session.handle.addr, %error, "protocol error");
                        out.error(&error.to_string());
                        break Batch::Close;
                    }
                };
                match parsed {
                    Parsed::Request { consumed } => (Args::new(rest, parser.arguments()), consumed),
                    Parsed::Inline { consumed } => {
                        inline = OwnedArgs::new(parser.inline());
                        (inline.args(), consumed)
                    }
                    Parsed::Nothing { consumed } => {
                        consumed_all += consumed;
                        continue;
                    }
                    Parsed::Incomplete { missing } => {
                        self.missing = missing;
                        break Batch::Done;
                    }
                }
            };
            consumed_all += consumed;
            let execute = || dispatcher.execute(&mut around, session, args, out);
            match keyspace.knowing(known, execute) {
                Next::Continue if consumed_all == input.len() => break Batch::Done,
                Next::Continue => {}
                Next::Close => break Batch::Close,
                Next::Block => break Batch::Blocked,
                Next::Follow => break Batch::Follow,
                Next::Elsewhere => break Batch::Slow(OwnedArgs::new(args.from(0))),
                Next::Postpone => {
                    consumed_all -= consumed;
                    break Batch::Paused;
                }
            }
        };
        drop(around);
        // Requests that were read ahead and have not run are read again.
        ahead::give_back(ahead);
        self.input.advance(consumed_all);
        self.parser.give_back();
        self.give_back_input();
        let written = self.out.len().saturating_sub(output_before);
        self.dispatcher.end(&self.server, consumed_all, written);
        self.note_state();
        batch
    }

    /// Gives back the memory of a long input once little of it is left.
    fn give_back_input(&mut self) {
        if self.input_bytes > KEPT_BUFFER_BYTES && self.input.len() < READ_BYTES {
            let mut input = BytesMut::with_capacity(READ_BYTES);
            input.extend_from_slice(&self.input);
            self.input = input;
            self.input_bytes = READ_BYTES;
        }
    }

    /// Runs one slow command, as a batch of its own.
    fn run_slow(&mut self, args: &OwnedArgs) -> Next {
        self.limit_output(OUTPUT_BYTES_PER_FLUSH);
        let output_before = self.out.len();
        let (session, out) = (&mut self.session, &mut self.out);
        let mut around = self
            .dispatcher
            .begin_slow(&self.keyspace, &self.server, session);
        let next = self
            .dispatcher
            .execute(&mut around, session, args.args(), out);
        drop(around);
        let written = self.out.len().saturating_sub(output_before);
        self.dispatcher.end(&self.server, 0, written);
        next
    }

    /// Appends the messages that have arrived to the replies.
    fn take_mail(&mut self) {
        // A running transaction may have left them. Entering the gate once waits for its end: the client must not get
        // a message before the transaction's writes are staged.
        if !Presence::of_worker(self.keyspace.gate(), self.worker).is_inside() {
            // A script runs for long. The messages wait.
            return;
        }
        self.limit_output(OUTPUT_BYTES_PER_FLUSH);
        self.session.handle.mailbox.take_into(&mut self.out);
        self.note_state();
    }

    /// Publishes this client's state for CLIENT LIST and its like.
    fn note_state(&self) {
        let handle = &self.session.handle;
        self.session.note_names();
        handle
            .last_active_ms
            .store(self.dispatcher.now(), Ordering::Relaxed);
        handle
            .query_buffer_bytes
            .store(self.input.len(), Ordering::Relaxed);
        let free = self.input.capacity() - self.input.len();
        handle
            .query_buffer_free_bytes
            .store(free, Ordering::Relaxed);
        handle
            .output_buffer_bytes
            .store(self.out.len(), Ordering::Relaxed);
    }
}

/// Returns when messages wait and no script runs for long: it may have sent them, and what it writes is not staged yet.
async fn mail_may_go(handle: &ClientHandle, keyspace: &Keyspace) {
    handle.mailbox.arrived().await;
    while keyspace.gate().is_busy() {
        tokio::time::sleep(BUSY_LOOK).await;
    }
}

/// How much room the next read gets, if `missing` bytes of a request are announced and `arrived` bytes are there: no more
/// than has arrived, so that an announced length alone takes no memory.
fn room_ahead(missing: usize, arrived: usize) -> usize {
    missing.clamp(READ_BYTES, arrived.clamp(READ_BYTES, RESERVED_BYTES_MAX))
}
