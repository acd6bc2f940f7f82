//! What became of each round, counted by the kind of damage.

use std::collections::BTreeMap;
use std::fmt;

/// What a server made of a damaged pool.
pub enum Outcome {
    /// It serves what the model says.
    Right,
    /// It answers errors where something is missing.
    Told(String),
    /// It opened, took writes, and the next start refused the pool.
    ToldLater(String),
    /// It does not start.
    Refused(String),
    /// Only with repair, which lost nothing.
    RepairedRight,
    /// Only with repair, which lost something and said so.
    Repaired(String),
    /// It serves something else, and says nothing.
    Silent(String),
    /// It crashed, or did not come to an end.
    Crashed(String),
    /// Silent or crashed, with repair.
    InRepair(Box<Outcome>),
}

impl Outcome {
    /// Whether no server should do that.
    pub fn is_bad(&self) -> bool {
        matches!(
            self,
            Outcome::Silent(_) | Outcome::Crashed(_) | Outcome::InRepair(_)
        )
    }

    fn column(&self) -> usize {
        match self {
            Outcome::Right => 0,
            Outcome::Told(_) => 1,
            Outcome::ToldLater(_) => 2,
            Outcome::Refused(_) => 3,
            Outcome::RepairedRight => 4,
            Outcome::Repaired(_) => 5,
            Outcome::Silent(_) => 6,
            Outcome::Crashed(_) => 7,
            Outcome::InRepair(inner) => match **inner {
                Outcome::Crashed(_) => 9,
                _ => 8,
            },
        }
    }
}

const COLUMNS: [&str; 10] = [
    "right",
    "told",
    "told later",
    "refused",
    "repaired",
    "lost, said",
    "SILENT",
    "CRASH",
    "SILENT repair",
    "CRASH repair",
];

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", COLUMNS[self.column()])?;
        let mut inner = self;
        while let Outcome::InRepair(within) = inner {
            inner = within;
        }
        match inner {
            Outcome::Told(what)
            | Outcome::ToldLater(what)
            | Outcome::Refused(what)
            | Outcome::Repaired(what)
            | Outcome::Silent(what)
            | Outcome::Crashed(what) => write!(f, ": {what}"),
            _ => Ok(()),
        }
    }
}

/// The counts.
#[derive(Default)]
pub struct Tally(BTreeMap<&'static str, [usize; COLUMNS.len()]>);

impl Tally {
    /// Counts one round.
    pub fn add(&mut self, kind: &'static str, outcome: &Outcome) {
        self.0.entry(kind).or_default()[outcome.column()] += 1;
    }

    /// Whether any round ended badly.
    pub fn has_bad(&self) -> bool {
        self.0
            .values()
            .any(|counts| counts[6..].iter().any(|&count| count > 0))
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<16}", "")?;
        for column in COLUMNS {
            write!(f, "{column:>14}")?;
        }
        writeln!(f)?;
        let mut sums = [0; COLUMNS.len()];
        for (kind, counts) in &self.0 {
            line(f, kind, counts)?;
            for (sum, count) in sums.iter_mut().zip(counts) {
                *sum += count;
            }
        }
        line(f, "all", &sums)
    }
}

fn line(f: &mut fmt::Formatter<'_>, name: &str, counts: &[usize]) -> fmt::Result {
    write!(f, "{name:<16}")?;
    for count in counts {
        write!(f, "{count:>14}")?;
    }
    writeln!(f)
}
