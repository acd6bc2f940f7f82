//! Counters for INFO, in stripes, so that threads do not contend for a cache line.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

use super::histogram::{Durations, Histogram};

/// How many kinds of errors are counted separately. There is a limit, because clients can invent error kinds.
const ERROR_CODES_MAX: usize = 128;

/// Keyspace hits and misses, counted by read commands as Redis counts them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lookups {
    /// Keys found.
    pub hits: u64,
    /// Keys not found.
    pub misses: u64,
    /// The call is a repetition: the keys that it did not find were already reported.
    pub is_again: bool,
}

/// One command's counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CommandStats {
    /// Calls that ran.
    pub calls: u64,
    /// Time of these calls, ns.
    pub nanos: u64,
    /// Calls refused before they ran: arity, authentication, no memory.
    pub rejected: u64,
    /// Calls that ran and replied with an error.
    pub failed: u64,
}

#[derive(Debug, Default)]
struct AtomicCommandStats {
    calls: AtomicU64,
    nanos: AtomicU64,
    rejected: AtomicU64,
    failed: AtomicU64,
    /// Created at the first call.
    durations: OnceLock<Histogram>,
}

/// The counters of one worker's connections.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Stripe {
    commands: Vec<AtomicCommandStats>,
    hits: AtomicU64,
    misses: AtomicU64,
    input_bytes: AtomicU64,
    output_bytes: AtomicU64,
    error_replies: AtomicU64,
    /// Error replies by their first word.
    errors: Mutex<BTreeMap<String, u64>>,
    reads: AtomicU64,
    writes: AtomicU64,
}

/// All counters since the start, or since CONFIG RESETSTAT.
#[derive(Debug)]
pub struct Stats {
    stripes: Vec<Stripe>,
    /// Connections accepted.
    pub connections_received: AtomicU64,
    /// Connections refused at maxclients.
    pub connections_rejected: AtomicU64,
    /// Clients closed for an output buffer over its limit.
    pub output_limit_disconnections: AtomicU64,
    /// Clients that the server disconnected because all clients together took too much memory.
    pub evicted_clients: AtomicU64,
    /// Clients closed for an input buffer over its limit.
    pub query_limit_disconnections: AtomicU64,
    /// Whether a client asked for BGREWRITEAOF and was refused.
    pub bgrewriteaof_refused: AtomicBool,
    /// Output buffers that were freed because they had grown large.
    pub reply_buffer_shrinks: AtomicU64,
    /// Output buffers that grew beyond what a client keeps.
    pub reply_buffer_expands: AtomicU64,
    /// The highest `used_memory` that INFO has shown, bytes. CONFIG RESETSTAT does not reset it.
    pub used_memory_peak_bytes: AtomicU64,
}

/// A sum over all stripes.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)] // The names are those of the counters above.
pub struct StatsSnapshot {
    pub commands: Vec<CommandStats>,
    pub hits: u64,
    pub misses: u64,
    pub input_bytes: u64,
    pub output_bytes: u64,
    pub error_replies: u64,
    pub reads: u64,
    pub writes: u64,
}

impl Stats {
    /// All counters at zero, for `commands` commands, with a stripe for each of `workers`.
    pub fn new(commands: usize, workers: usize) -> Self {
        let stripe = || Stripe {
            commands: (0..commands)
                .map(|_| AtomicCommandStats::default())
                .collect(),
            ..Stripe::default()
        };
        Self {
            stripes: (0..workers.max(1)).map(|_| stripe()).collect(),
            connections_received: AtomicU64::new(0),
            connections_rejected: AtomicU64::new(0),
            output_limit_disconnections: AtomicU64::new(0),
            evicted_clients: AtomicU64::new(0),
            query_limit_disconnections: AtomicU64::new(0),
            bgrewriteaof_refused: AtomicBool::new(false),
            reply_buffer_shrinks: AtomicU64::new(0),
            reply_buffer_expands: AtomicU64::new(0),
            used_memory_peak_bytes: AtomicU64::new(0),
        }
    }

    /// The stripe with this number.
    #[inline]
    pub fn stripe(&self, number: usize) -> &Stripe {
        // A worker has a stripe of its own, and a division would take as long as the counting.
        match self.stripes.get(number) {
            Some(stripe) => stripe,
            None => &self.stripes[number % self.stripes.len()],
        }
    }

    /// Sums up all stripes.
    pub fn snapshot(&self) -> StatsSnapshot {
        let mut sum = StatsSnapshot::default();
        for stripe in &self.stripes {
            sum.commands
                .resize(stripe.commands.len(), CommandStats::default());
            for (sum, stats) in sum.commands.iter_mut().zip(&stripe.commands) {
                sum.calls += stats.calls.load(Ordering::Relaxed);
                sum.nanos += stats.nanos.load(Ordering::Relaxed);
                sum.rejected += stats.rejected.load(Ordering::Relaxed);
                sum.failed += stats.failed.load(Ordering::Relaxed);
            }
            sum.hits += stripe.hits.load(Ordering::Relaxed);
            sum.misses += stripe.misses.load(Ordering::Relaxed);
            sum.input_bytes += stripe.input_bytes.load(Ordering::Relaxed);
            sum.output_bytes += stripe.output_bytes.load(Ordering::Relaxed);
            sum.error_replies += stripe.error_replies.load(Ordering::Relaxed);
            sum.reads += stripe.reads.load(Ordering::Relaxed);
            sum.writes += stripe.writes.load(Ordering::Relaxed);
        }
        sum
    }

    /// The durations of one command's calls; `None` if none was timed.
    pub fn durations(&self, command: usize) -> Option<Durations> {
        let commands = self
            .stripes
            .iter()
            .filter_map(|stripe| stripe.commands.get(command));
        Durations::sum(commands.filter_map(|stats| stats.durations.get()))
    }

    /// Error replies by their first word.
    pub fn errors(&self) -> BTreeMap<String, u64> {
        let mut sum = BTreeMap::new();
        for stripe in &self.stripes {
            for (code, count) in stripe.errors.lock().iter() {
                if sum.len() < ERROR_CODES_MAX || sum.contains_key(code) {
                    *sum.entry(code.clone()).or_default() += count;
                }
            }
        }
        sum
    }

    /// Resets the counters for CONFIG RESETSTAT.
    pub fn reset(&self) {
        for stripe in &self.stripes {
            for stats in &stripe.commands {
                for counter in [&stats.calls, &stats.nanos, &stats.rejected, &stats.failed] {
                    counter.store(0, Ordering::Relaxed);
                }
                if let Some(durations) = stats.durations.get() {
                    durations.reset();
                }
            }
            stripe.errors.lock().clear();
            for counter in [
                &stripe.hits,
                &stripe.misses,
                &stripe.input_bytes,
                &stripe.output_bytes,
                &stripe.error_replies,
                &stripe.reads,
                &stripe.writes,
            ] {
                counter.store(0, Ordering::Relaxed);
            }
        }
        for counter in [
            &self.connections_received,
            &self.connections_rejected,
            &self.output_limit_disconnections,
            &self.evicted_clients,
            &self.query_limit_disconnections,
            &self.reply_buffer_shrinks,
            &self.reply_buffer_expands,
        ] {
            counter.store(0, Ordering::Relaxed);
        }
    }
}

impl Stripe {
    /// Adds a run of calls of one command.
    pub fn add_command(&self, command: usize, stats: CommandStats) {
        let Some(counters) = self.commands.get(command) else {
            return;
        };
        for (counter, value) in [
            (&counters.calls, stats.calls),
            (&counters.nanos, stats.nanos),
            (&counters.rejected, stats.rejected),
            (&counters.failed, stats.failed),
        ] {
            if value > 0 {
                counter.fetch_add(value, Ordering::Relaxed);
            }
        }
    }

    /// Adds calls of one command with the same duration, by [`bucket_of`](super::bucket_of).
    #[inline]
    pub fn add_durations(&self, command: usize, bucket: usize, calls: u64) {
        if let Some(stats) = self.commands.get(command) {
            let durations = stats.durations.get_or_init(Histogram::default);
            durations.add(bucket, calls);
        }
    }

    /// Counts an error reply, also by its first word.
    pub fn add_error(&self, text: &str) {
        self.error_replies.fetch_add(1, Ordering::Relaxed);
        let code = text.split(' ').next().unwrap_or_default();
        let mut errors = self.errors.lock();
        if let Some(count) = errors.get_mut(code) {
            *count += 1;
        } else if errors.len() < ERROR_CODES_MAX {
            errors.insert(code.to_owned(), 1);
        }
    }

    /// Counts a read from a client.
    #[inline]
    pub fn add_read(&self) {
        self.reads.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a write to a client.
    #[inline]
    pub fn add_write(&self) {
        self.writes.fetch_add(1, Ordering::Relaxed);
    }

    /// Adds a batch's figures other than its commands.
    pub fn add_batch(&self, lookups: Lookups, input_bytes: u64, output_bytes: u64) {
        for (counter, value) in [
            (&self.hits, lookups.hits),
            (&self.misses, lookups.misses),
            (&self.input_bytes, input_bytes),
            (&self.output_bytes, output_bytes),
        ] {
            if value > 0 {
                counter.fetch_add(value, Ordering::Relaxed);
            }
        }
    }
}
