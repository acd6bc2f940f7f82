//! Counters for INFO: striped, so that threads do not contend for a cache line.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::commands::Lookups;

/// One command's counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CommandStats {
    /// Calls that ran.
    pub calls: u64,
    /// Time that they took, ns.
    pub nanos: u64,
    /// Calls refused before they ran: arity, authentication, no room.
    pub rejected: u64,
    /// Calls that ran and answered an error.
    pub failed: u64,
}

#[derive(Debug, Default)]
struct AtomicCommandStats {
    calls: AtomicU64,
    nanos: AtomicU64,
    rejected: AtomicU64,
    failed: AtomicU64,
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
    /// Clients closed for an input buffer over its limit.
    pub query_limit_disconnections: AtomicU64,
    /// The highest `used_memory` that INFO has shown, bytes. CONFIG RESETSTAT leaves it.
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
}

impl Stats {
    /// Zeroes, for `commands` commands and a stripe for each of `workers`.
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
            query_limit_disconnections: AtomicU64::new(0),
            used_memory_peak_bytes: AtomicU64::new(0),
        }
    }

    /// The stripe of that number.
    pub fn stripe(&self, number: usize) -> &Stripe {
        &self.stripes[number % self.stripes.len()]
    }

    /// Sums everything up.
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
        }
        sum
    }

    /// CONFIG RESETSTAT.
    pub fn reset(&self) {
        for stripe in &self.stripes {
            for stats in &stripe.commands {
                for counter in [&stats.calls, &stats.nanos, &stats.rejected, &stats.failed] {
                    counter.store(0, Ordering::Relaxed);
                }
            }
            for counter in [
                &stripe.hits,
                &stripe.misses,
                &stripe.input_bytes,
                &stripe.output_bytes,
                &stripe.error_replies,
            ] {
                counter.store(0, Ordering::Relaxed);
            }
        }
        for counter in [
            &self.connections_received,
            &self.connections_rejected,
            &self.output_limit_disconnections,
            &self.query_limit_disconnections,
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

    /// Adds what one batch did besides its commands.
    pub fn add_batch(&self, lookups: Lookups, input_bytes: u64, output_bytes: u64, errors: u64) {
        for (counter, value) in [
            (&self.hits, lookups.hits),
            (&self.misses, lookups.misses),
            (&self.input_bytes, input_bytes),
            (&self.output_bytes, output_bytes),
            (&self.error_replies, errors),
        ] {
            if value > 0 {
                counter.fetch_add(value, Ordering::Relaxed);
            }
        }
    }
}
