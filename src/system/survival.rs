//! What acknowledged writes survive, by where the pool lies.

use crate::config::Settings;
use crate::pmemkv::{self, Backing, Engine};
use crate::store::Options;

/// What acknowledged writes survive.
#[derive(Clone, Copy, Debug)]
pub struct Survival {
    /// In words; also shown in INFO.
    pub words: &'static str,
    /// Whether it is the end of the process, at least.
    pub process: bool,
    /// Whether it is a loss of power too.
    pub power: bool,
}

impl Survival {
    /// What they survive in this place.
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
