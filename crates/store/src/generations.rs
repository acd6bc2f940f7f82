//! Which generation of keys each database holds.

use super::DATABASES;

/// The generations of the databases, kept with the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generations {
    /// The generation of each database.
    pub of_database: [u32; DATABASES],
    /// The next unused number.
    pub next: u32,
}

impl Default for Generations {
    /// The generations of a new pool: database n has generation n.
    fn default() -> Self {
        let mut of_database = [0; DATABASES];
        let mut next = 0;
        for generation in &mut of_database {
            *generation = next;
            next += 1;
        }
        Self { of_database, next }
    }
}
