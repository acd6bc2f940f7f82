//! What acknowledged writes survive. It depends on the memory or disk under the pool.

use crate::config::Settings;
use crate::pmemkv::{self, Backing, Engine};
use crate::store::Options;

/// What acknowledged writes survive.
#[derive(Clone, Copy, Debug)]
pub struct Survival {
    /// In words, for the log and INFO.
    pub words: &'static str,
    /// Whether they survive the end of the process.
    pub process: bool,
    /// Whether they survive a loss of power.
    pub power: bool,
}

impl Survival {
    /// What writes survive with these options and settings.
    pub fn of(engine: Engine, options: &Options, settings: &Settings) -> Self {
        use crate::config::Durability;
        let (words, power) = if engine.persistent {
            match (pmemkv::backing(&options.pool_path), settings.durability) {
                (Backing::Dax, Durability::Auto | Durability::Power) => (
                    "power loss, kernel crash and process death (CPU flushes to persistent memory)",
                    true,
                ),
                (Backing::Dax, Durability::Process)
                | (Backing::Ordinary, Durability::Auto | Durability::Process) => (
                    "process death and a clean reboot; NOT power loss (no msync: set 'durability power' for that)",
                    false,
                ),
                (Backing::Ordinary, Durability::Power) => (
                    "power loss, kernel crash and process death (msync at each commit)",
                    true,
                ),
                (Backing::Tmpfs | Backing::Hugetlbfs, _) => (
                    "process death and upgrades; NOT a reboot (the pool is in memory of this boot)",
                    false,
                ),
            }
        } else {
            (
                "nothing: the engine keeps data in this process's memory",
                false,
            )
        };
        Self {
            words,
            process: engine.persistent,
            power,
        }
    }
}
