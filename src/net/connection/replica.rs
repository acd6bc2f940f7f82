//! A connection whose client follows as a replica: it gets a copy of the data, unless it has one, and then the stream.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout};

use super::output::until;
use super::{Connection, End, READ_BYTES};
use crate::keyspace::{Keyspace, now_ms};
use crate::numbers::parse_i64;
use crate::protocol::{Args, Parsed, RequestLimits, RequestParser};
use crate::state::feed::{CopyError, Phase, Piece, Replica, make_copy, new_id};
use crate::state::{ClientHandle, FollowRequest, Server};

/// How much of the stream one write takes.
const WRITE_BYTES: usize = 64 * 1024;

/// Pieces of a copy that wait for the replica.
const PIECES_AHEAD: usize = 4;

/// How often a replica that waits for its copy gets a sign of life.
const SIGN_TIME: Duration = Duration::from_secs(1);

/// How long to wait for a script that runs for long before looking again.
const BUSY_TIME: Duration = Duration::from_millis(20);

/// How long a stopping server goes on sending the stream.
const LAST_TIME: Duration = Duration::from_secs(1);

/// How often it looks meanwhile whether more has come.
const LAST_LOOKS: u32 = 20;
const LAST_LOOK_TIME: Duration = Duration::from_millis(5);

/// A replica's place among the replicas, which ends with its connection.
struct Membership {
    server: Arc<Server>,
    replica: Arc<Replica>,
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.server.feed.remove(&self.replica);
        let handle = &self.replica.handle;
        handle.is_replica.store(false, Ordering::Relaxed);
    }
}

/// What the two directions of a link share.
struct Link {
    server: Arc<Server>,
    keyspace: Arc<Keyspace>,
    handle: Arc<ClientHandle>,
    replica: Arc<Replica>,
    /// Whether the replica has told where it is since this was unset.
    has_told: AtomicBool,
    told: Notify,
}

impl Connection {
    /// Serves a client that asked for the stream, until its connection ends.
    pub(super) async fn follow<S>(&mut self, stream: &mut S) -> io::Result<End>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let Some(request) = self.session.follow.take() else {
            return Ok(End::Closed);
        };
        while !self.unsent.is_empty() && !self.unsent.is_lost() {
            self.unsent.progress(stream, None).await?;
        }
        self.session.withdraw(&self.server, &self.keyspace);
        let handle = Arc::clone(&self.session.handle);
        let announced = self.session.announced.clone().unwrap_or_default();
        let replica = Arc::new(Replica::new(Arc::clone(&handle), announced));
        handle.is_replica.store(true, Ordering::Relaxed);
        let _membership = Membership {
            server: Arc::clone(&self.server),
            replica: Arc::clone(&replica),
        };
        let link = Link {
            server: Arc::clone(&self.server),
            keyspace: Arc::clone(&self.keyspace),
            handle: Arc::clone(&handle),
            replica,
            has_told: AtomicBool::new(false),
            told: Notify::new(),
        };
        let (mut reader, mut writer) = tokio::io::split(stream);
        let input = std::mem::take(&mut self.input);
        let mut reading = std::pin::pin!(link.read(&mut reader, input));
        let mut writing = std::pin::pin!(link.write(&mut writer, &request));
        let mut deadline = None;
        let end = loop {
            tokio::select! {
                biased;
                end = &mut reading => break end,
                end = &mut writing => break end,
                () = handle.killed(), if deadline.is_none() => {
                    if !handle.drains() {
                        break Ok(End::Killed);
                    }
                    deadline = Some(Instant::now() + LAST_TIME);
                }
                () = until(deadline) => break Ok(End::Killed),
            }
        };
        tracing::info!(replica = %handle.addr, ?end, "the link to a replica ended");
        end
    }
}

impl Link {
    /// Reads what the replica tells.
    async fn read<R>(&self, reader: &mut R, mut input: BytesMut) -> io::Result<End>
    where
        R: AsyncRead + Unpin,
    {
        let mut parser = RequestParser::default();
        loop {
            let settings = self.server.config.settings();
            let limits = RequestLimits {
                bulk_bytes_max: settings.proto_max_bulk_len,
                authenticated: true,
            };
            let consumed = match parser.parse(&input, limits) {
                Err(_) => return Ok(End::Closed),
                Ok(Parsed::Request { consumed }) => {
                    self.hear(Args::new(&input, parser.arguments()));
                    consumed
                }
                Ok(Parsed::Inline { consumed } | Parsed::Nothing { consumed }) => consumed,
                Ok(Parsed::Incomplete { .. }) => {
                    if input.len() > settings.client_query_buffer_limit {
                        return Ok(End::QueryLimit);
                    }
                    input.reserve(READ_BYTES);
                    if reader.read_buf(&mut input).await? == 0 {
                        return Ok(End::Left);
                    }
                    continue;
                }
            };
            input.advance(consumed);
        }
    }

    /// Hears how much the replica has. It gets no reply to that, nor to anything else.
    fn hear(&self, args: Args<'_>) {
        let is = |at: usize, word: &str| {
            let argument = args.get(at);
            argument.is_some_and(|argument| argument.eq_ignore_ascii_case(word.as_bytes()))
        };
        if !is(0, "replconf") || !is(1, "ack") {
            return;
        }
        let offset = |at: usize| {
            args.get(at)
                .and_then(parse_i64)
                .map(|offset| u64::try_from(offset).unwrap_or(0))
        };
        let synced = if is(3, "fack") { offset(4) } else { None };
        let feed = &self.server.feed;
        self.replica.acknowledge(offset(2).unwrap_or(0), synced);
        self.has_told.store(true, Ordering::Release);
        self.told.notify_one();
        self.handle
            .last_active_ms
            .store(now_ms(), Ordering::Relaxed);
        if feed.refuses_writes() {
            feed.count_near(&self.server.config.settings(), now_ms());
        }
        feed.serve_waiting(&self.keyspace);
    }

    /// Sends what the replica asked for, then the stream.
    async fn write<W>(&self, writer: &mut W, request: &FollowRequest) -> io::Result<End>
    where
        W: AsyncWrite + Unpin,
    {
        let feed = &self.server.feed;
        let (replica, addr) = (&self.replica, &self.handle.addr);
        if let Some(id) = &request.hands_over
            && let Err(refusal) = self.take_over(id.clone()).await?
        {
            self.send(writer, format!("-{refusal}\r\n").as_bytes())
                .await?;
            return Ok(End::Closed);
        }
        let asked = request.resumes.as_ref();
        let resumed = asked.and_then(|(id, has)| feed.resume(replica, id, *has));
        if let Some(id) = resumed {
            let id = if replica.announced.takes_id {
                format!(" {id}")
            } else {
                String::new()
            };
            self.send(writer, format!("+CONTINUE{id}\r\n").as_bytes())
                .await?;
            feed.figures.partial.fetch_add(1, Ordering::Relaxed);
            tracing::info!(replica = %addr, "a replica goes on from its place");
        } else {
            if asked.is_some_and(|(id, _)| id != "?") {
                feed.figures.partial_refused.fetch_add(1, Ordering::Relaxed);
            }
            feed.add(replica);
            tracing::info!(replica = %addr, "a replica gets a full copy");
            if let Err(error) = self.send_copy(writer, request).await? {
                if !matches!(error, CopyError::Gone) {
                    tracing::warn!(replica = %addr, %error, "the copy for a replica failed: it will ask again");
                }
                return Ok(End::Closed);
            }
            if replica.announced.only_copy {
                replica.set_place(None);
                // The client closes.
                return std::future::pending().await;
            }
        }
        replica.set_phase(Phase::Online);
        self.send_stream(writer).await
    }

    /// Becomes the master in the history of this id, at the wish of the present one.
    async fn take_over(&self, id: String) -> io::Result<Result<(), String>> {
        let (server, keyspace) = (Arc::clone(&self.server), Arc::clone(&self.keyspace));
        let addr = self.handle.addr.clone();
        let taking = tokio::task::spawn_blocking(move || {
            let alone = loop {
                match keyspace.gate().enter_alone(true) {
                    Ok(alone) => break alone,
                    Err(_) if *server.shutdown.borrow() => {
                        return Err("ERR the server stops".to_owned());
                    }
                    Err(_) => std::thread::sleep(BUSY_TIME),
                }
            };
            // Somebody else may have decided meanwhile whom this server follows.
            let following = server.replication.following();
            let place = following.and_then(|following| following.place);
            if !place.is_some_and(|place| place.id.as_str().eq_ignore_ascii_case(&id)) {
                return Err("ERR PSYNC FAILOVER replid must match my replid.".to_owned());
            }
            let promoted = server.promote(&keyspace);
            drop(alone);
            tracing::info!(client = %addr, "this server is a master now: its master hands over");
            promoted.map(|_| ()).map_err(|error| format!("ERR {error}"))
        });
        taking.await.map_err(io::Error::other)
    }

    async fn send<W>(&self, writer: &mut W, bytes: &[u8]) -> io::Result<()>
    where
        W: AsyncWrite + Unpin,
    {
        let patience = self.server.config.settings().replication.timeout;
        let sent = timeout(patience, async {
            writer.write_all(bytes).await?;
            writer.flush().await
        });
        sent.await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }

    /// Sends a copy of the data, and waits until the replica can take the stream.
    async fn send_copy<W>(
        &self,
        writer: &mut W,
        request: &FollowRequest,
    ) -> io::Result<Result<(), CopyError>>
    where
        W: AsyncWrite + Unpin,
    {
        let (began, mut moment) = oneshot::channel();
        let (pieces, mut made) = mpsc::channel(PIECES_AHEAD);
        let (server, keyspace) = (Arc::clone(&self.server), Arc::clone(&self.keyspace));
        let replica = Arc::clone(&self.replica);
        let making = tokio::task::spawn_blocking(move || {
            make_copy(&server, &keyspace, &replica, began, pieces)
        });
        let (id, end) = loop {
            tokio::select! {
                biased;
                place = &mut moment => match place {
                    Ok(place) => break place,
                    Err(_) => return making.await.map_err(io::Error::other),
                },
                () = sleep(SIGN_TIME) => self.send(writer, b"\n").await?,
            }
        };
        if request.is_psync {
            let answer = format!("+FULLRESYNC {id} {end}\r\n");
            self.send(writer, answer.as_bytes()).await?;
        }
        self.replica.set_phase(Phase::Copies);
        let mark = self.replica.announced.reads_to_mark.then(new_id);
        if let Some(mark) = &mark {
            self.send(writer, format!("$EOF:{mark}\r\n").as_bytes())
                .await?;
        }
        let mut has_begun = mark.is_some();
        loop {
            tokio::select! {
                biased;
                piece = made.recv() => match piece {
                    Some(Piece::Length(length)) => {
                        has_begun = true;
                        self.send(writer, format!("${length}\r\n").as_bytes()).await?;
                    }
                    Some(Piece::Bytes(bytes)) => self.send(writer, &bytes).await?,
                    None => break,
                },
                () = sleep(SIGN_TIME), if !has_begun => self.send(writer, b"\n").await?,
            }
        }
        if let Err(error) = making.await.map_err(io::Error::other)? {
            return Ok(Err(error));
        }
        if let Some(mark) = mark {
            self.has_told.store(false, Ordering::Release);
            self.send(writer, mark.as_bytes()).await?;
            // The replica looks for the mark at the end of what it has read, so nothing may follow before it has seen it.
            let patience = self.server.config.settings().replication.timeout;
            let told = timeout(patience, async {
                while !self.replica.announced.only_copy && !self.has_told.load(Ordering::Acquire) {
                    self.told.notified().await;
                }
            });
            told.await
                .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?;
        }
        Ok(Ok(()))
    }

    async fn send_stream<W>(&self, writer: &mut W) -> io::Result<End>
    where
        W: AsyncWrite + Unpin,
    {
        let feed = &self.server.feed;
        let mut growth = feed.growth();
        let mut looks = LAST_LOOKS;
        let mut bytes = Vec::new();
        loop {
            growth.borrow_and_update();
            bytes.clear();
            let Some(sent) = feed.take(&self.replica, WRITE_BYTES, &mut bytes) else {
                // The feed has counted it, and said why.
                return Ok(End::Killed);
            };
            if sent > 0 {
                self.send(writer, &bytes).await?;
                continue;
            }
            if self.handle.is_killed() {
                // The last effects may still be on their way.
                looks -= 1;
                if looks == 0 || !self.handle.drains() {
                    return Ok(End::Killed);
                }
                sleep(LAST_LOOK_TIME).await;
                continue;
            }
            tokio::select! {
                grown = growth.changed() => if grown.is_err() {
                    return Ok(End::Killed);
                },
                () = self.handle.killed() => {}
            }
        }
    }
}
