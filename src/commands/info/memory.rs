//! What INFO and MEMORY STATS say of memory.
//!
//! Redis's fields keep the meaning that dashboards give them: `used_memory` is what the data takes, records in the pool
//! and index in DRAM, and comes down when keys go; `maxmemory` is what it may come to. What the pool has allocated for
//! it, and does not give back, stands where Redis has its allocator's pages.

use std::sync::atomic::Ordering;

use super::report::{Report, human};
use crate::commands::{CommandError, Context};
use crate::system::resident_bytes;

/// What the data takes, bytes.
#[derive(Clone, Copy, Debug)]
pub(in crate::commands) struct MemoryUse {
    /// All of it.
    pub used: u64,
    /// The highest `used` that any call has seen.
    pub peak: u64,
    /// Records in the pool.
    pub dataset: u64,
    /// Index and ordered views, in DRAM.
    pub overhead: u64,
    /// What the pool has allocated, free places within that included, and DRAM.
    pub allocated: u64,
    /// The process's resident set, which counts the pages of the pool that it has touched.
    pub resident: u64,
    /// The most that records in the pool may take; 0 if the engine does not say.
    pub pool_max: u64,
    /// What `maxmemory` is, or without it what the pool can hold.
    pub max: u64,
    /// Used, but not compared with `max`.
    pub not_counted: u64,
    /// Buffers of clients.
    pub of_clients: u64,
    /// Keys.
    pub keys: u64,
    /// Records that wait to be removed.
    pub pending_removals: u64,
    /// Records that were removed in the background.
    pub background_removals: u64,
}

impl MemoryUse {
    /// As it is now.
    pub fn now(ctx: &Context<'_>) -> Result<Self, CommandError> {
        let stats = ctx.keyspace.stats()?;
        let overhead = stats.index_bytes + stats.ordered_view_bytes;
        let used = stats.stored_bytes + overhead;
        let peak = &ctx.server.stats.used_memory_peak_bytes;
        let peak = peak.fetch_max(used, Ordering::Relaxed).max(used);
        let configured = ctx.server.config.settings().maxmemory;
        // The pool's own limit is one for records alone.
        let (max, not_counted) = match configured {
            0 => (stats.stored_bytes_max, overhead),
            max => (max, 0),
        };
        let clients = ctx.server.clients.all();
        let of_clients = clients.iter().map(|client| client.memory_bytes());
        Ok(Self {
            used,
            peak,
            dataset: stats.stored_bytes,
            overhead,
            allocated: stats.allocated_bytes.max(stats.stored_bytes) + overhead,
            resident: resident_bytes(),
            pool_max: stats.stored_bytes_max,
            max,
            not_counted,
            of_clients: of_clients.sum::<usize>() as u64,
            keys: stats.records,
            pending_removals: stats.pending_removals,
            background_removals: stats.background_removals,
        })
    }

    /// Allocated and not used, as a ratio of what is used.
    pub fn fragmentation(&self) -> f64 {
        percent(self.allocated, self.used) / 100.0
    }

    /// Resident, as a ratio of what is allocated.
    pub fn resident_ratio(&self) -> f64 {
        percent(self.resident, self.allocated) / 100.0
    }
}

pub(super) fn memory(ctx: &Context<'_>, report: &mut Report) -> Result<(), CommandError> {
    let memory = MemoryUse::now(ctx)?;
    let settings = ctx.server.config.settings();
    report.bytes("used_memory", memory.used);
    report.bytes("used_memory_rss", memory.resident);
    report.bytes("used_memory_peak", memory.peak);
    report.field(
        "used_memory_peak_perc",
        format_args!("{:.2}%", percent(memory.used, memory.peak)),
    );
    report.field("used_memory_overhead", memory.overhead);
    report.field("used_memory_startup", 0);
    report.field("used_memory_dataset", memory.dataset);
    let share = percent(memory.dataset, memory.used);
    report.field("used_memory_dataset_perc", format_args!("{share:.2}%"));
    report.field("allocator_allocated", memory.used);
    report.field("allocator_active", memory.allocated);
    report.field("allocator_resident", memory.resident);
    report.bytes("total_system_memory", total_system_bytes());
    let scripts = ctx.server.scripting.figures();
    report.field("used_memory_vm_eval", scripts.vm_bytes);
    report.bytes("used_memory_lua", scripts.vm_bytes);
    report.field("used_memory_scripts_eval", scripts.text_bytes);
    report.field("number_of_cached_scripts", scripts.cached);
    report.field("number_of_functions", scripts.functions);
    report.field("number_of_libraries", scripts.libraries);
    report.field("used_memory_vm_functions", scripts.functions_vm_bytes);
    report.bytes(
        "used_memory_vm_total",
        scripts.vm_bytes + scripts.functions_vm_bytes,
    );
    report.field("used_memory_functions", scripts.library_bytes);
    report.bytes(
        "used_memory_scripts",
        scripts.text_bytes + scripts.library_bytes,
    );
    report.field("maxmemory", memory.max);
    report.field("maxmemory_human", human(memory.max));
    report.field("maxmemory_policy", settings.maxmemory_policy.as_str());
    report.field(
        "allocator_frag_ratio",
        format_args!("{:.2}", memory.fragmentation()),
    );
    report.field("allocator_frag_bytes", memory.allocated - memory.used);
    report.field(
        "allocator_rss_ratio",
        format_args!("{:.2}", memory.resident_ratio()),
    );
    report.field(
        "allocator_rss_bytes",
        i128::from(memory.resident) - i128::from(memory.allocated),
    );
    // The allocator's resident set is taken to be the process's.
    report.field("rss_overhead_ratio", "1.00");
    report.field("rss_overhead_bytes", 0);
    report.field(
        "mem_fragmentation_ratio",
        format_args!("{:.2}", percent(memory.resident, memory.used) / 100.0),
    );
    report.field(
        "mem_fragmentation_bytes",
        i128::from(memory.resident) - i128::from(memory.used),
    );
    report.field("mem_not_counted_for_evict", memory.not_counted);
    report.field("mem_replication_backlog", 0);
    report.field("mem_total_replication_buffers", 0);
    report.field("mem_clients_slaves", 0);
    report.field("mem_clients_normal", memory.of_clients);
    report.field("mem_cluster_links", 0);
    report.field("mem_aof_buffer", 0);
    report.field("mem_allocator", "mimalloc");
    report.field("active_defrag_running", 0);
    report.field("lazyfree_pending_objects", memory.pending_removals);
    report.field("lazyfreed_objects", memory.background_removals);
    Ok(())
}

#[allow(clippy::cast_precision_loss)] // Two decimals are shown.
pub(in crate::commands) fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 * 100.0 / whole as f64
    }
}

fn total_system_bytes() -> u64 {
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|rest| rest.trim().strip_suffix(" kB")?.parse::<u64>().ok())
        .map_or(0, |kib| kib * 1024)
}
