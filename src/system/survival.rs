//! What acknowledged writes survive. It depends on the memory or disk under the pool.

use crate::config::{Durability, Settings};
use crate::pmemkv::{self, Backing, Engine};
use crate::store::{self, Options};

/// What acknowledged writes survive.
#[allow(clippy::struct_excessive_bools)] // Each answers another question.
#[derive(Clone, Copy, Debug)]
pub struct Survival {
    /// In words, for the log and INFO.
    pub words: &'static str,
    /// Whether they survive the end of the process.
    pub process: bool,
    /// Whether they survive a loss of power.
    pub power: bool,
    /// Whether a loss of power takes about the last second of them, and nothing else.
    pub every_second: bool,
    /// Whether each commit waits until a disk has it.
    pub waits_for_disk: bool,
}

impl Survival {
    /// What writes survive with these options and settings.
    pub fn of(engine: Engine, options: &Options, settings: &Settings) -> Self {
        let (words, power, every_second) = if engine.persistent {
            match (backing(options), settings.durability) {
                (Backing::Dax, Durability::Process) => (
                    "process death and a clean reboot; NOT power loss (no CPU flushes: set 'durability power' for that)",
                    false,
                    false,
                ),
                (Backing::Dax, _) => (
                    "power loss, kernel crash and process death (CPU flushes to persistent memory)",
                    true,
                    false,
                ),
                (Backing::Ordinary, Durability::Everysec | Durability::Auto)
                    if store::may_sync(engine, options) =>
                {
                    (
                        "process death; power loss and kernel crash but for about the last second (a sync each second)",
                        false,
                        true,
                    )
                }
                (Backing::Ordinary, Durability::Power) => (
                    "power loss, kernel crash and process death (msync at each commit)",
                    true,
                    false,
                ),
                (Backing::Ordinary, _) => (
                    "process death and a clean reboot; NOT power loss (no msync: set 'durability power' for that)",
                    false,
                    false,
                ),
                (Backing::Tmpfs | Backing::Hugetlbfs, _) => (
                    "process death and upgrades; NOT a reboot (the pool is in memory of this boot)",
                    false,
                    false,
                ),
            }
        } else {
            (
                "nothing: the engine keeps data in this process's memory",
                false,
                false,
            )
        };
        Self {
            words,
            process: engine.persistent,
            power,
            every_second,
            waits_for_disk: power && backing(options) == Backing::Ordinary,
        }
    }

    /// Why the pool cannot be synced each second, where the settings ask for that by name.
    pub fn refusal(
        self,
        engine: Engine,
        options: &Options,
        settings: &Settings,
    ) -> Option<&'static str> {
        let asks = settings.durability == Durability::Everysec && engine.persistent;
        (asks && backing(options) == Backing::Ordinary && !self.every_second).then_some(
            "durability everysec needs a pool of the layout packed: choose 'power' or 'process' for this one",
        )
    }

    /// What libpmem has to make of the pool's place for that.
    pub fn durability(self) -> pmemkv::Durability {
        if self.power || self.every_second {
            pmemkv::Durability::Power
        } else {
            pmemkv::Durability::Process
        }
    }
}

/// What is under the pool. Where libpmem was told that it is no memory, it is none.
fn backing(options: &Options) -> Backing {
    if std::env::var_os("PMEM_IS_PMEM_FORCE").is_some_and(|value| value == "0") {
        Backing::Ordinary
    } else {
        pmemkv::backing(&options.pool_path)
    }
}
