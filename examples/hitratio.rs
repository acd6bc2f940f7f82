//! How often a cache finds what it is asked for: one trace of Zipf-drawn reads, where each miss is followed by a write.
//!
//! Run it against two servers with the same memory for data, and compare the ratios. `scripts/hit-ratio` does.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use clap::Parser;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

#[derive(Debug, Parser)]
struct Options {
    /// The server's port on 127.0.0.1.
    #[arg(long, default_value_t = 6379)]
    port: u16,
    /// How many keys there are to ask for.
    #[arg(long, default_value_t = 100_000)]
    keys: usize,
    /// How many reads are counted.
    #[arg(long, default_value_t = 500_000)]
    requests: usize,
    /// How many reads come before these.
    #[arg(long, default_value_t = 250_000)]
    warm_up: usize,
    /// The exponent of the Zipf draw.
    #[arg(long, default_value_t = 0.9)]
    skew: f64,
    /// The largest value, bytes. Sizes from 10 bytes on are drawn so that each ratio is as likely as another.
    #[arg(long, default_value_t = 100 * 1024)]
    value_bytes_max: usize,
    /// Reads sent at once.
    #[arg(long, default_value_t = 50)]
    pipeline: usize,
    /// Reads a second, so that the seconds that an LRU clock counts mean the same on both servers; 0 is no limit.
    #[arg(long, default_value_t = 0)]
    rate: u32,
    /// After each so many reads another tenth of a percent of the keys trade places in popularity; 0 is never.
    #[arg(long, default_value_t = 0)]
    drift: usize,
    /// The seed of the draw.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

const VALUE_BYTES_MIN: f64 = 10.0;

struct Client {
    stream: TcpStream,
    input: Vec<u8>,
    at: usize,
}

impl Client {
    fn fill(&mut self) -> io::Result<()> {
        if self.at > 1 << 20 {
            self.input.drain(..self.at);
            self.at = 0;
        }
        let before = self.input.len();
        self.input.resize(before + (64 << 10), 0);
        let read = self.stream.read(&mut self.input[before..])?;
        self.input.truncate(before + read);
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    fn line(&mut self) -> io::Result<String> {
        loop {
            let rest = &self.input[self.at..];
            if let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
                let line = String::from_utf8_lossy(&rest[..end]).trim_end().to_owned();
                self.at += end + 1;
                return Ok(line);
            }
            self.fill()?;
        }
    }

    /// The length of the value that comes next, `None` where there is none.
    fn value(&mut self) -> io::Result<Option<usize>> {
        let line = self.line()?;
        let Some(length) = line.strip_prefix('$') else {
            return Err(io::Error::other(line));
        };
        let Ok(length) = length.parse::<usize>() else {
            return Ok(None);
        };
        while self.input.len() - self.at < length + 2 {
            self.fill()?;
        }
        self.at += length + 2;
        Ok(Some(length))
    }

    fn done(&mut self) -> io::Result<()> {
        let line = self.line()?;
        if line.starts_with('+') {
            Ok(())
        } else {
            Err(io::Error::other(line))
        }
    }
}

fn push(calls: &mut Vec<u8>, words: &[&[u8]]) {
    calls.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        calls.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        calls.extend_from_slice(word);
        calls.extend_from_slice(b"\r\n");
    }
}

#[allow(clippy::cast_precision_loss)] // Two decimals are shown.
fn main() -> io::Result<()> {
    let options = Options::parse();
    let mut random = StdRng::seed_from_u64(options.seed);
    let (mut sum, mut rank) = (0.0, 0.0_f64);
    let sums: Vec<f64> = (0..options.keys)
        .map(|_| {
            rank += 1.0;
            sum += rank.powf(-options.skew);
            sum
        })
        .collect();
    let lengths: Vec<usize> = (0..options.keys)
        .map(|_| {
            let ratio = options.value_bytes_max as f64 / VALUE_BYTES_MIN;
            let length = VALUE_BYTES_MIN * ratio.powf(random.random());
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            // Between the bounds.
            let length = length as usize;
            length
        })
        .collect();
    // Which key has which rank.
    let mut keys: Vec<usize> = (0..options.keys).collect();
    let bytes = vec![b'x'; options.value_bytes_max];
    let mut client = Client {
        stream: TcpStream::connect(("127.0.0.1", options.port))?,
        input: Vec::new(),
        at: 0,
    };
    client.stream.set_nodelay(true)?;
    let started = Instant::now();
    let (mut hits, mut hit_bytes, mut read_bytes, mut written) = (0usize, 0, 0, 0usize);
    let mut done = 0;
    while done < options.warm_up + options.requests {
        let mut asked = Vec::with_capacity(options.pipeline);
        let mut calls = Vec::new();
        for n in done..done + options.pipeline {
            if options.drift > 0 && n % options.drift == 0 {
                for _ in 0..options.keys.div_ceil(1000) {
                    let (a, b) = (
                        random.random_range(0..options.keys),
                        random.random_range(0..options.keys),
                    );
                    keys.swap(a, b);
                }
            }
            let drawn = random.random_range(0.0..sum);
            let key = keys[sums.partition_point(|&sum| sum <= drawn)];
            push(&mut calls, &[b"GET", format!("key:{key}").as_bytes()]);
            asked.push(key);
        }
        client.stream.write_all(&calls)?;
        let mut missed = Vec::new();
        for &key in &asked {
            let found = client.value()?;
            if found.is_none() {
                missed.push(key);
            }
            if done >= options.warm_up {
                read_bytes += lengths[key];
                hits += usize::from(found.is_some());
                hit_bytes += found.unwrap_or(0);
            }
        }
        // A key that was missed twice at once is written once.
        missed.sort_unstable();
        missed.dedup();
        calls.clear();
        for &key in &missed {
            let name = format!("key:{key}");
            push(
                &mut calls,
                &[b"SET", name.as_bytes(), &bytes[..lengths[key]]],
            );
            written += lengths[key];
        }
        client.stream.write_all(&calls)?;
        for _ in &missed {
            client.done()?;
        }
        done += options.pipeline;
        if options.rate > 0 {
            let due = Duration::from_secs_f64(done as f64 / f64::from(options.rate));
            std::thread::sleep(due.saturating_sub(started.elapsed()));
        }
    }
    let counted = done - options.warm_up;
    writeln!(
        io::stdout(),
        "hits {:.2} %, bytes {:.2} %, written {:.1} MiB, {:.0} reads/s",
        hits as f64 * 100.0 / counted as f64,
        hit_bytes as f64 * 100.0 / read_bytes as f64,
        written as f64 / f64::from(1 << 20),
        done as f64 / started.elapsed().as_secs_f64()
    )
}
