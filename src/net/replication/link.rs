//! One link: introduction, data set, stream.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::LinkError;
use super::data_set::read_data_set;
use super::payload::{Framing, Payload};
use super::synced::SyncedOffset;
use super::wire::{Ends, Wire};
use crate::acl::User;
use crate::commands::{Dispatcher, Failure, FullSync};
use crate::config::Settings;
use crate::keyspace::{Alone, Keyspace, RECLAIM_TIME_MAX, now_ms};
use crate::state::failover::Phase;
use crate::state::replication::{Following, Link, Place, ReplicationId, Stream};
use crate::state::{Endpoint, Server, Session};

/// How often the master hears how far the replica is.
const ANSWER_TIME: Duration = Duration::from_secs(1);

/// How long to wait for a script that runs for long before looking again.
const BUSY_TIME: Duration = Duration::from_millis(20);

/// A unit of more bytes has room made for it before it is applied.
const SMALL_BYTES: u64 = 1 << 16;

/// How the master lets the replica go on.
enum Going {
    /// From its place.
    On,
    /// With a full copy, which ends at this place.
    Anew(Place),
}

/// Follows a master until the link ends; returns why it did.
pub(super) fn follow(
    ends: &mut Ends,
    server: &Arc<Server>,
    keyspace: &Keyspace,
    following: &Following,
    was_up: &mut bool,
) -> LinkError {
    let mut registered = None;
    let result = Talk::connect(ends, server, keyspace, following).and_then(|mut talk| {
        registered = talk.wire.handle.as_ref().map(|handle| handle.id);
        talk.run(was_up)
    });
    if let Some(id) = registered {
        server.clients.remove(id);
    }
    match result {
        Err(error) => error,
        Ok(never) => match never {},
    }
}

/// A link, and what it needs of the server.
struct Talk<'t, 'e> {
    wire: Wire<'e>,
    server: &'t Arc<Server>,
    keyspace: &'t Keyspace,
    decision: u64,
    place: Option<Place>,
    synced: SyncedOffset,
}

impl<'t, 'e> Talk<'t, 'e> {
    fn connect(
        ends: &'e mut Ends,
        server: &'t Arc<Server>,
        keyspace: &'t Keyspace,
        following: &Following,
    ) -> Result<Self, LinkError> {
        let decision = following.decision;
        let report = |link| {
            server
                .replication
                .report(decision, |following| following.link = link);
        };
        report(Link::Connecting);
        let settings = server.config.settings();
        let mut wire = Wire::connect(ends, &following.master, &settings, decision)?;
        report(Link::Handshake);
        let endpoint = Endpoint {
            addr: wire.peer.clone(),
            laddr: wire.local.clone(),
            fd: 0,
            unix: false,
        };
        let handle = server
            .clients
            .register(endpoint, &User::superuser(), now_ms());
        handle.is_master.store(true, Ordering::Relaxed);
        wire.handle = Some(handle);
        Ok(Self {
            wire,
            server,
            keyspace,
            decision,
            place: following.place,
            synced: SyncedOffset::default(),
        })
    }

    fn run(&mut self, was_up: &mut bool) -> Result<Infallible, LinkError> {
        self.introduce()?;
        let figures = &self.server.replication.figures;
        match self.ask_for_stream()? {
            Going::On => {
                self.go_on()?;
                figures.partial_syncs.fetch_add(1, Ordering::Relaxed);
                let offset = self.place.map_or(0, |place| place.offset);
                tracing::info!(offset, "the replica goes on from its place");
            }
            Going::Anew(place) => {
                let began = Instant::now();
                self.report(|following| following.link = Link::Sync);
                self.take_data_set(place)?;
                figures.full_syncs.fetch_add(1, Ordering::Relaxed);
                let ms = began.elapsed().as_millis();
                tracing::info!(
                    ms,
                    offset = place.offset,
                    "the replica has the master's data set"
                );
            }
        }
        let place = self.place;
        self.report(|following| {
            following.link = Link::Up;
            following.place = place;
            following.transfer = None;
            following.error = None;
        });
        *was_up = true;
        self.follow_stream()
    }

    fn report(&self, change: impl FnOnce(&mut Following)) {
        self.server.replication.report(self.decision, |following| {
            following.heard = Instant::now();
            change(following);
        });
    }

    /// Says who the replica is.
    fn introduce(&mut self) -> Result<(), LinkError> {
        let settings = self.server.config.settings();
        self.wire.call(&[b"PING"])?;
        let pong = self.wire.line()?;
        // A master that wants a password first answers so.
        let is_alive = [
            &b"+"[..],
            b"-NOAUTH",
            b"-NOPERM",
            b"-ERR operation not permitted",
        ]
        .iter()
        .any(|start| pong.starts_with(start));
        if !is_alive {
            return Err(refused("PING", &pong));
        }
        let replication = &settings.replication;
        if let Some(password) = &replication.password {
            match &replication.user {
                Some(user) => self
                    .wire
                    .call(&[b"AUTH", user.as_ref(), password.as_ref()])?,
                None => self.wire.call(&[b"AUTH", password.as_ref()])?,
            }
            let answer = self.wire.line()?;
            if !answer.starts_with(b"+") {
                return Err(refused("the password of masterauth", &answer));
            }
        }
        let port = own_port(&settings).to_string();
        self.tell(&[b"REPLCONF", b"listening-port", port.as_bytes()])?;
        if let Some(ip) = &replication.announced_ip {
            self.tell(&[b"REPLCONF", b"ip-address", ip.as_bytes()])?;
        }
        self.tell(&[b"REPLCONF", b"capa", b"eof", b"capa", b"psync2"])
    }

    /// Tells the master something that an old master may not know. Only a refusal of the user's rights counts.
    fn tell(&mut self, words: &[&[u8]]) -> Result<(), LinkError> {
        self.wire.call(words)?;
        let answer = self.wire.line()?;
        if answer.starts_with(b"-NOAUTH") || answer.starts_with(b"-NOPERM") {
            return Err(refused("REPLCONF", &answer));
        }
        if !answer.starts_with(b"+") {
            let answer = answer.escape_ascii().to_string();
            tracing::debug!(answer, "the master does not know a REPLCONF");
        }
        Ok(())
    }

    /// Asks for the stream from the replica's place on.
    fn ask_for_stream(&mut self) -> Result<Going, LinkError> {
        match self.place {
            Some(place) => {
                let next = (place.offset + 1).to_string();
                let id = place.id;
                let words = [
                    b"PSYNC",
                    id.as_str().as_bytes(),
                    next.as_bytes(),
                    b"FAILOVER",
                ];
                let is_failover = self.server.failover.phase() == Some(Phase::InProgress);
                self.wire.call(&words[..3 + usize::from(is_failover)])?;
            }
            None => self.wire.call(&[b"PSYNC", b"?", b"-1"])?,
        }
        let answer = self.signs_then_line()?;
        let goes_on = [&b"+CONTINUE"[..], b"+FULLRESYNC"];
        self.end_failover(goes_on.iter().any(|word| answer.starts_with(word)))?;
        let words: Vec<&[u8]> = answer.split(|&byte| byte == b' ').collect();
        match (&words[..], &mut self.place) {
            ([b"+FULLRESYNC", id, offset], _) => {
                let offset = str::from_utf8(offset).ok();
                let offset = offset.and_then(|text| text.parse::<i64>().ok());
                let offset = offset.and_then(|offset| u64::try_from(offset).ok());
                match (ReplicationId::parse(id), offset) {
                    (Some(id), Some(offset)) => Ok(Going::Anew(Place { id, offset, db: 0 })),
                    _ => Err(senseless("FULLRESYNC", &answer)),
                }
            }
            ([b"+CONTINUE"], Some(_)) => Ok(Going::On),
            ([b"+CONTINUE", id], Some(place)) => {
                let id = ReplicationId::parse(id);
                place.id = id.ok_or_else(|| senseless("CONTINUE", &answer))?;
                Ok(Going::On)
            }
            _ if answer.starts_with(b"-") => Err(refused("PSYNC", &answer)),
            _ => Err(senseless("PSYNC", &answer)),
        }
    }

    /// The next line that says something. Empty ones say that the master lives.
    fn signs_then_line(&mut self) -> Result<Vec<u8>, LinkError> {
        loop {
            let line = self.wire.line()?;
            if !line.is_empty() {
                return Ok(line);
            }
            self.report(|_| {});
        }
    }

    /// Goes on from the replica's place, in a history that may have another id by now.
    fn go_on(&mut self) -> Result<(), LinkError> {
        let Some(place) = self.place else {
            return Ok(());
        };
        // Nobody has what a crash could take back here.
        self.keyspace.commit()?;
        let alone = self.alone()?;
        self.keyspace.place().store(Some(&place.encode()))?;
        self.server.feed.continue_as(place);
        drop(alone);
        Ok(self.keyspace.commit()?)
    }

    /// Enters the gate alone, while the decision holds.
    fn alone(&self) -> Result<Alone<'t>, LinkError> {
        loop {
            match self.keyspace.gate().enter_alone(true) {
                Ok(_) if self.server.replication.decision() != self.decision => {
                    return Err(LinkError::Decided);
                }
                Ok(alone) => return Ok(alone),
                Err(_) if *self.server.shutdown.borrow() => return Err(LinkError::Stopping),
                Err(_) => std::thread::sleep(BUSY_TIME),
            }
        }
    }

    /// The master has answered whether it lets this server go on. In a failover it has thereby become the master, or refused.
    fn end_failover(&self, takes_over: bool) -> Result<(), LinkError> {
        if self.server.failover.phase() != Some(Phase::InProgress) {
            return Ok(());
        }
        let alone = self.alone()?;
        let ended = if takes_over {
            self.server.end_failover(self.keyspace);
            Ok(())
        } else {
            let why = "Failover target rejected psync request";
            self.server.abort_failover(self.keyspace, why)
        };
        drop(alone);
        Ok(ended?)
    }

    /// Takes the master's data set, which ends at `place`.
    fn take_data_set(&mut self, mut place: Place) -> Result<(), LinkError> {
        let line = self.signs_then_line()?;
        let framing = Framing::parse(&line);
        let framing = match framing {
            Some(framing) => framing,
            None if line.starts_with(b"-") => return Err(refused("PSYNC", &line)),
            None => return Err(senseless("PSYNC", &line)),
        };
        let mut sync = FullSync::begin(self.server, self.keyspace, self.decision)?;
        let mut payload = Payload::new(&mut self.wire, framing, self.server, self.decision);
        let read = read_data_set(&mut payload, &mut sync, &mut place);
        if let Some(failure) = payload.take_failure() {
            return Err(failure);
        }
        read?;
        payload.finish()?;
        sync.finish(place)?;
        // Also where the commit fails: the data set of this process is at that place.
        self.place = Some(place);
        self.report(|following| following.place = Some(place));
        Ok(self.keyspace.commit()?)
    }

    /// Applies what the master sends.
    fn follow_stream(&mut self) -> Result<Infallible, LinkError> {
        let Some(handle) = self.wire.handle.clone() else {
            return Err(LinkError::Stopping);
        };
        let mut session = Session::of_master(User::superuser(), Arc::clone(&handle));
        let mut dispatcher = Dispatcher::new(0);
        let mut stream = Stream::new(&self.wire.take_ahead());
        let mut heard = Instant::now();
        // At once: a master that sent its data set without a file waits for this answer.
        self.answer()?;
        let mut answered = Instant::now();
        stream.parse()?;
        loop {
            if stream.whole_bytes() == 0 {
                let limit = ANSWER_TIME.saturating_sub(answered.elapsed());
                match self.wire.read(stream.input(), limit) {
                    Ok(_) => {
                        heard = Instant::now();
                        stream.parse()?;
                    }
                    Err(LinkError::Timeout) if heard.elapsed() < self.wire.limit => {}
                    Err(error) => return Err(error),
                }
            }
            if stream.whole_bytes() > 0 {
                let wants_answer = self.apply(&mut dispatcher, &mut session, &mut stream)?;
                if wants_answer {
                    self.answer()?;
                }
                handle.last_active_ms.store(now_ms(), Ordering::Relaxed);
            }
            let ahead_bytes = stream.unapplied_bytes();
            handle
                .query_buffer_bytes
                .store(ahead_bytes, Ordering::Relaxed);
            let place = self.place;
            self.server.replication.report(self.decision, |following| {
                following.place = place;
                following.ahead_bytes = ahead_bytes as u64;
                following.heard = heard;
            });
            if answered.elapsed() >= ANSWER_TIME {
                answered = Instant::now();
                self.answer()?;
            }
        }
    }

    /// Applies units of the stream as one step, and makes them durable. Returns whether the master wants an answer.
    fn apply(
        &mut self,
        dispatcher: &mut Dispatcher,
        session: &mut Session,
        stream: &mut Stream,
    ) -> Result<bool, LinkError> {
        let memory = self.keyspace.memory_check();
        let bytes = stream.whole_bytes() as u64;
        if memory.needs_reclaim(bytes, now_ms()) {
            memory.reclaim(bytes, Instant::now() + RECLAIM_TIME_MAX, now_ms())?;
        }
        let progress = (&mut self.place, self.decision);
        let applied = dispatcher.apply(self.keyspace, self.server, session, stream, progress)?;
        // Also where the commit fails: what is staged belongs to this place.
        let place = self.place;
        self.report(|following| following.place = place);
        self.keyspace.commit()?;
        if let Some(place) = place {
            let settings = self.server.config.settings();
            self.server.feed.show(place.offset, &settings);
        }
        stream.applied(applied.bytes);
        match applied.failure {
            None => {}
            Some(Failure::Busy) => std::thread::sleep(BUSY_TIME),
            Some(failure) => {
                if matches!(failure, Failure::NoRoom(_)) {
                    // So that the next attempt finds room, if there is any to be made.
                    let until = Instant::now() + RECLAIM_TIME_MAX;
                    memory.reclaim(bytes.max(SMALL_BYTES), until, now_ms())?;
                }
                return Err(failure.into());
            }
        }
        Ok(applied.wants_answer)
    }

    /// Tells the master what is durable here.
    fn answer(&mut self) -> Result<(), LinkError> {
        // An earlier link may have left something staged.
        self.keyspace.commit()?;
        let offset = self.place.map_or(0, |place| place.offset);
        let synced = self.synced.of(offset, self.server, self.keyspace);
        let offset = offset.to_string();
        let synced = synced.map(|synced| synced.to_string());
        let mut words = vec![&b"REPLCONF"[..], b"ACK", offset.as_bytes()];
        if let Some(synced) = &synced {
            words.extend([&b"FACK"[..], synced.as_bytes()]);
        }
        self.wire.call(&words)
    }
}

/// The port that the replica tells its master.
fn own_port(settings: &Settings) -> u16 {
    let replication = &settings.replication;
    match (replication.announced_port, replication.tls) {
        (0, true) => settings.tls.port,
        (0, false) => settings.port,
        (announced, _) => announced,
    }
}

fn refused(what: &'static str, answer: &[u8]) -> LinkError {
    let answer = answer.strip_prefix(b"-").unwrap_or(answer);
    let shown = &answer[..answer.len().min(256)];
    LinkError::Refused(what, shown.escape_ascii().to_string())
}

fn senseless(what: &str, answer: &[u8]) -> LinkError {
    let shown = &answer[..answer.len().min(256)];
    let shown = shown.escape_ascii();
    LinkError::Protocol(format!(
        "the master's answer to {what} makes no sense: {shown}"
    ))
}
