//! The load that redis-benchmark cannot make: commands at a fixed rate, and keys filled in quickly.
//!
//! Started by `scripts/bench`; `--help` shows its two commands. At the fixed rate each command has a due time that no
//! reply moves, and its latency counts from there: a server that stops for 10 ms pays for all commands of those 10 ms.

use std::collections::VecDeque;
use std::error::Error;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::thread;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand, ValueEnum};
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::prctl::set_timerslack;
use nix::sys::time::TimeSpec;

/// How long the last replies may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// How much a connection reads at once.
const READ_BYTES: usize = 1 << 16;
/// About how much of a filling goes out in one piece.
const PIECE_BYTES: usize = 1 << 18;
/// The unmeasured overwrites go out once in this time.
const BACKGROUND_PERIOD_NS: u64 = 1_000_000;
/// More unanswered overwrites than this wait for their server.
const BACKGROUND_OPEN_MAX: u64 = 10_000;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Loads a Redis-compatible server on 127.0.0.1.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Load,
}

#[derive(Subcommand)]
enum Load {
    /// SET the keys FROM to UP-TO (left out), in one long pipeline; each must be answered with OK.
    Fill {
        #[arg(long)]
        port: u16,
        #[arg(long, default_value = "key:")]
        prefix: String,
        #[arg(long, default_value_t = 0)]
        from: u64,
        #[arg(long)]
        up_to: u64,
        /// The number in 16 hexadecimal digits, again and again up to this length.
        #[arg(long)]
        value_bytes: usize,
        /// This value instead, for all keys.
        #[arg(long)]
        value: Option<String>,
    },
    /// Commands over random keys at due times; prints, as native u64, each one's latency from its due time and how
    /// late it went out, in nanoseconds; the last pair is the overwrites done beside and those left out.
    FixedRate {
        #[arg(long)]
        port: u16,
        #[arg(long)]
        command: Kind,
        #[arg(long)]
        per_second: u64,
        #[arg(long)]
        seconds: f64,
        #[arg(long, default_value_t = 50)]
        clients: usize,
        #[arg(long)]
        keys: u64,
        #[arg(long)]
        value_bytes: usize,
        /// SETs per second over one more connection, in batches each millisecond, which are not measured.
        #[arg(long, default_value_t = 0)]
        overwrites_per_second: u64,
        /// Ends earlier, as soon as the standard input is closed. Nothing may be written to it.
        #[arg(long)]
        until_closed: bool,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    Get,
    Set,
    /// Each command a GET or a SET, by chance.
    Mixed,
}

fn append_set(out: &mut Vec<u8>, key: &[u8], value: &[u8]) -> io::Result<()> {
    write!(out, "*3\r\n$3\r\nSET\r\n${}\r\n", key.len())?;
    out.extend_from_slice(key);
    write!(out, "\r\n${}\r\n", value.len())?;
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
    Ok(())
}

/// As redis-benchmark names its keys.
fn key_of(prefix: &str, number: u64) -> Vec<u8> {
    format!("{prefix}{number:012}").into_bytes()
}

/// A value that only this key has.
fn value_of(number: u64, bytes: usize) -> Vec<u8> {
    let digits = format!("{number:016x}");
    digits.bytes().cycle().take(bytes).collect()
}

/// Reads `count` replies that must be OK; stops at the first other one.
fn expect_oks(mut stream: TcpStream, count: u64) -> Outcome<()> {
    const OK: &[u8] = b"+OK\r\n";
    let mut left = usize::try_from(count)? * OK.len();
    let mut buffer = vec![0; READ_BYTES];
    let mut place = 0;
    while left > 0 {
        let length = stream.read(&mut buffer)?;
        if length == 0 {
            return Err("the server closed the connection".into());
        }
        for (at, byte) in buffer[..length].iter().enumerate() {
            if *byte != OK[place] {
                let end = length.min(at + 200);
                return Err(String::from_utf8_lossy(&buffer[at..end]).into());
            }
            place = (place + 1) % OK.len();
        }
        left = left.saturating_sub(length);
    }
    Ok(())
}

fn fill(
    port: u16,
    prefix: &str,
    numbers: std::ops::Range<u64>,
    bytes: usize,
    value: Option<&str>,
) -> Outcome<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    let count = numbers.end.saturating_sub(numbers.start);
    let replies = stream.try_clone()?;
    let reader = thread::spawn(move || expect_oks(replies, count));
    let mut piece = Vec::with_capacity(PIECE_BYTES * 2);
    for number in numbers {
        let key = key_of(prefix, number);
        match value {
            Some(value) => append_set(&mut piece, &key, value.as_bytes())?,
            None => append_set(&mut piece, &key, &value_of(number, bytes))?,
        }
        if piece.len() >= PIECE_BYTES {
            if reader.is_finished() {
                break;
            }
            stream.write_all(&piece)?;
            piece.clear();
        }
    }
    stream.write_all(&piece)?;
    reader.join().map_err(|_| "the reading thread ended")?
}

/// Splitmix64: good enough to choose keys, and the same for every server.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// A connection that never waits.
struct Connection {
    stream: TcpStream,
    out: Vec<u8>,
    input: Vec<u8>,
}

impl Connection {
    fn open(port: u16) -> Outcome<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            out: Vec::new(),
            input: Vec::new(),
        })
    }

    fn flush(&mut self) -> Outcome<()> {
        while !self.out.is_empty() {
            match self.stream.write(&self.out) {
                Ok(length) => drop(self.out.drain(..length)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// How many replies came.
    fn receive(&mut self, buffer: &mut [u8]) -> Outcome<u64> {
        loop {
            match self.stream.read(buffer) {
                Ok(0) => return Err("the server closed a connection".into()),
                Ok(length) => {
                    self.input.extend_from_slice(&buffer[..length]);
                    if length < buffer.len() {
                        break;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
        let (mut replies, mut start) = (0, 0);
        while let Some(length) = reply_length(&self.input[start..])? {
            start += length;
            replies += 1;
        }
        self.input.drain(..start);
        Ok(replies)
    }
}

/// The length of the first reply to a GET or a SET, `None` when it is not all there. A missing value is an error:
/// the keys that are asked for all exist.
fn reply_length(input: &[u8]) -> Outcome<Option<usize>> {
    let Some(end) = input.windows(2).position(|pair| pair == b"\r\n") else {
        return Ok(None);
    };
    let line = std::str::from_utf8(&input[..end])?;
    let total = match line.as_bytes().first() {
        Some(b'+') => end + 2,
        Some(b'$') if line != "$-1" => end + 2 + line[1..].parse::<usize>()? + 2,
        _ => return Err(format!("unexpected reply {line:?}").into()),
    };
    Ok((input.len() >= total).then_some(total))
}

struct Plan {
    kind: Kind,
    period_ns: f64,
    total: u64,
    keys: u64,
    value: Vec<u8>,
    /// The SETs of each of the background's batches.
    batch: u64,
    /// Whether the end of the standard input ends the run.
    until_closed: bool,
}

/// What came out: latency and lateness of each command, then the overwrites done and left out.
struct Measured {
    pairs: Vec<[u64; 2]>,
    overwrites: [u64; 2],
}

struct Run {
    plan: Plan,
    chance: Chance,
    connections: Vec<Connection>,
    /// For each connection, the due times of what it has not answered.
    open: Vec<VecDeque<u64>>,
    background_open: u64,
    next_batch_ns: u64,
    sent: u64,
    lateness: VecDeque<u64>,
    measured: Measured,
}

impl Run {
    fn due_ns(&self, number: u64) -> u64 {
        #[allow(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss
        )] // Minutes in nanoseconds are exact in 53 bits.
        let due = (number as f64 * self.plan.period_ns) as u64;
        due
    }

    fn random_key(&mut self) -> Vec<u8> {
        key_of("key:", self.chance.next() % self.plan.keys)
    }

    /// Sends what is due at `now_ns`.
    fn send(&mut self, now_ns: u64) -> Outcome<()> {
        let clients = self.open.len();
        while self.sent < self.plan.total && self.due_ns(self.sent) <= now_ns {
            let due = self.due_ns(self.sent);
            let key = self.random_key();
            let get = match self.plan.kind {
                Kind::Get => true,
                Kind::Set => false,
                Kind::Mixed => self.chance.next() >> 63 == 0,
            };
            let place = usize::try_from(self.sent)? % clients;
            let connection = &mut self.connections[place];
            if get {
                write!(
                    connection.out,
                    "*2\r\n$3\r\nGET\r\n${}\r\n{}\r\n",
                    key.len(),
                    String::from_utf8_lossy(&key)
                )?;
            } else {
                append_set(&mut connection.out, &key, &self.plan.value)?;
            }
            connection.flush()?;
            self.open[place].push_back(due);
            self.lateness.push_back(now_ns - due);
            self.sent += 1;
        }
        while self.plan.batch > 0 && self.next_batch_ns <= now_ns && self.sent < self.plan.total {
            self.next_batch_ns += BACKGROUND_PERIOD_NS;
            if self.background_open > BACKGROUND_OPEN_MAX {
                self.measured.overwrites[1] += self.plan.batch;
                continue;
            }
            for _ in 0..self.plan.batch {
                let key = self.random_key();
                append_set(&mut self.connections[clients].out, &key, &self.plan.value)?;
            }
            self.connections[clients].flush()?;
            self.background_open += self.plan.batch;
            self.measured.overwrites[0] += self.plan.batch;
        }
        Ok(())
    }

    /// Waits for replies, or until something is due; returns the connections that have replies.
    fn sleep(&mut self, now_ns: u64) -> Outcome<Vec<usize>> {
        let mut next = self.due_ns(self.sent);
        if self.plan.batch > 0 {
            next = next.min(self.next_batch_ns);
        }
        if self.sent == self.plan.total {
            next = now_ns + 100_000_000;
        }
        let mut polled: Vec<PollFd> = self
            .connections
            .iter()
            .map(|connection| {
                let mut events = PollFlags::POLLIN;
                events.set(PollFlags::POLLOUT, !connection.out.is_empty());
                PollFd::new(connection.stream.as_fd(), events)
            })
            .collect();
        let input = io::stdin();
        let waits_for_end = self.plan.until_closed && self.sent < self.plan.total;
        if waits_for_end {
            polled.push(PollFd::new(input.as_fd(), PollFlags::POLLIN));
        }
        let wait = TimeSpec::from_duration(Duration::from_nanos(next.saturating_sub(now_ns)));
        ppoll(&mut polled, Some(wait), None)?;
        let is_ready = |one: &PollFd| one.any().unwrap_or(true);
        let is_over = waits_for_end && polled.pop().is_some_and(|input| is_ready(&input));
        let ready = polled.into_iter().enumerate();
        let ready = ready.filter(|(_, one)| is_ready(one));
        let ready = ready.map(|(place, _)| place).collect();
        if is_over {
            self.plan.total = self.sent;
        }
        Ok(ready)
    }

    fn go(mut self) -> Outcome<Measured> {
        let start = Instant::now();
        let clock = || u64::try_from(start.elapsed().as_nanos());
        let patience_ns = u64::try_from(PATIENCE.as_nanos())?;
        let mut buffer = vec![0; READ_BYTES];
        while self.sent < self.plan.total || self.open.iter().any(|open| !open.is_empty()) {
            let now = clock()?;
            if now > self.due_ns(self.plan.total) + patience_ns {
                return Err("replies are missing".into());
            }
            self.send(now)?;
            for place in self.sleep(clock()?)? {
                let replies = self.connections[place].receive(&mut buffer)?;
                self.connections[place].flush()?;
                let now = clock()?;
                if place == self.open.len() {
                    self.background_open -= replies;
                    continue;
                }
                for _ in 0..replies {
                    let due = self.open[place].pop_front();
                    let due = due.ok_or("more replies than commands")?;
                    // Lateness is only looked at as a whole: its order need not be that of the replies.
                    let late = self.lateness.pop_front().unwrap_or(0);
                    self.measured.pairs.push([now - due, late]);
                }
            }
        }
        Ok(self.measured)
    }
}

fn fixed_rate(port: u16, clients: usize, plan: Plan) -> Outcome<()> {
    // Sleeps end 50 us late otherwise.
    set_timerslack(1)?;
    let extra = usize::from(plan.batch > 0);
    let connections = (0..clients + extra).map(|_| Connection::open(port));
    let run = Run {
        chance: Chance(1),
        connections: connections.collect::<Outcome<_>>()?,
        open: vec![VecDeque::new(); clients],
        background_open: 0,
        next_batch_ns: 0,
        sent: 0,
        lateness: VecDeque::new(),
        measured: Measured {
            pairs: Vec::with_capacity(usize::try_from(plan.total)?),
            overwrites: [0; 2],
        },
        plan,
    };
    let measured = run.go()?;
    let mut out = Vec::with_capacity((measured.pairs.len() + 1) * 16);
    for pair in measured.pairs.iter().chain([&measured.overwrites]) {
        out.extend(pair.iter().flat_map(|number| number.to_ne_bytes()));
    }
    Ok(io::stdout().write_all(&out)?)
}

fn main() -> Outcome<()> {
    match Arguments::parse().command {
        Load::Fill {
            port,
            prefix,
            from,
            up_to,
            value_bytes,
            value,
        } => fill(port, &prefix, from..up_to, value_bytes, value.as_deref()),
        Load::FixedRate {
            port,
            command,
            per_second,
            seconds,
            clients,
            keys,
            value_bytes,
            overwrites_per_second,
            until_closed,
        } => {
            #[allow(
                clippy::cast_precision_loss,
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss
            )] // Both are small.
            let (period_ns, total) = (
                1e9 / per_second as f64,
                (per_second as f64 * seconds) as u64,
            );
            let plan = Plan {
                kind: command,
                period_ns,
                total,
                keys: keys.max(1),
                value: vec![b'v'; value_bytes],
                batch: overwrites_per_second * BACKGROUND_PERIOD_NS / 1_000_000_000,
                until_closed,
            };
            fixed_rate(port, clients.max(1), plan)
        }
    }
}
