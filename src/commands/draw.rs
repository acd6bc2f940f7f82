//! Elements drawn at random: HRANDFIELD, SRANDMEMBER, SPOP, ZRANDMEMBER.

use std::collections::HashSet;

use super::CommandError;
use crate::keyspace::{Fields, IndexKey, KeyspaceError, random_below};
use crate::numbers::parse_i64;

/// Draws with repetition that one call may ask for: their reply would not fit anywhere.
const DRAWS_MAX: u64 = 1 << 27;

/// How many elements are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Draw {
    /// Different ones, as many as there are at most.
    Different(usize),
    /// Each from all of them.
    Repeated(usize),
}

impl Draw {
    /// A count as these commands read it: a negative one wants repetitions.
    pub(super) fn parse(argument: &[u8]) -> Result<Self, CommandError> {
        let count = parse_i64(argument).ok_or(CommandError::NotAnInteger)?;
        if count == i64::MIN {
            return Err(CommandError::text(
                "ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
            ));
        }
        let number = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
        if count >= 0 {
            return Ok(Draw::Different(number));
        }
        if count.unsigned_abs() > DRAWS_MAX {
            return Err(CommandError::text("ERR value is out of range"));
        }
        Ok(Draw::Repeated(number))
    }

    /// Refuses a count whose double exceeds Redis's integers.
    pub(super) fn check_pairs(self) -> Result<(), CommandError> {
        let (Draw::Different(count) | Draw::Repeated(count)) = self;
        if count as u64 > (i64::MAX / 2).unsigned_abs() {
            return Err(CommandError::text("ERR value is out of range"));
        }
        Ok(())
    }
}

/// Names drawn from a hash or set, and how many they are. Different ones come in no order. Names are read as they are asked
/// for: they may be many more than a reply has room for.
pub(super) fn draw_names(
    fields: Fields<'_>,
    draw: Draw,
) -> Result<(usize, Box<dyn Iterator<Item = DrawnName> + '_>), KeyspaceError> {
    match draw {
        Draw::Repeated(count) => {
            let drawn = (0..count).map(move |_| Ok(fields.draw()?.unwrap_or_default()));
            Ok((count, Box::new(drawn)))
        }
        Draw::Different(count) => {
            let count = count.min(fields.len());
            Ok((count, different_names(fields, count)?))
        }
    }
}

type DrawnName = Result<IndexKey, KeyspaceError>;

/// `count` different names, or all there are.
pub(super) fn draw_different(
    fields: Fields<'_>,
    count: usize,
) -> Result<Vec<IndexKey>, KeyspaceError> {
    different_names(fields, count)?.collect()
}

fn different_names(
    fields: Fields<'_>,
    count: usize,
) -> Result<Box<dyn Iterator<Item = DrawnName> + '_>, KeyspaceError> {
    if count >= fields.len() {
        return Ok(Box::new(fields.names()?));
    }
    if count * 3 > fields.len() {
        let positions = HashSet::<usize>::from_iter(different(count, fields.len()));
        let all = (0..).zip(fields.names()?);
        let drawn = all.filter(move |(position, _)| positions.contains(position));
        return Ok(Box::new(drawn.map(|(_, name)| name)));
    }
    let mut drawn: HashSet<IndexKey> = HashSet::with_capacity(count);
    while drawn.len() < count {
        let Some(name) = fields.draw()? else { break };
        drawn.insert(name);
    }
    Ok(Box::new(drawn.into_iter().map(Ok)))
}

/// `count` different numbers below `end`, drawn at random, in no order.
pub(super) fn different(count: usize, end: usize) -> Vec<usize> {
    let count = count.min(end);
    // Floyd's sampling: each subset is as likely as any other.
    let mut drawn = HashSet::with_capacity(count);
    let mut numbers = Vec::with_capacity(count);
    for last in end - count..end {
        let number = random_below(last + 1);
        let number = if drawn.contains(&number) {
            last
        } else {
            number
        };
        drawn.insert(number);
        numbers.push(number);
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_numbers_are_different_and_each_is_drawn() {
        let mut seen = [0u32; 10];
        for _ in 0..1000 {
            let numbers = different(3, 10);
            let set: HashSet<usize> = numbers.iter().copied().collect();
            assert_eq!((numbers.len(), set.len()), (3, 3));
            for number in numbers {
                seen[number] += 1;
            }
        }
        // Each is expected 300 times; 100 is some 14 standard deviations away.
        assert!(
            seen.iter().all(|&times| times > 200 && times < 400),
            "{seen:?}"
        );
        assert_eq!(different(9, 3).len(), 3);
        assert_eq!(different(0, 3).len(), 0);
    }

    #[test]
    fn counts() {
        assert_eq!(Draw::parse(b"3").ok(), Some(Draw::Different(3)));
        assert_eq!(Draw::parse(b"-3").ok(), Some(Draw::Repeated(3)));
        assert_eq!(Draw::parse(b"0").ok(), Some(Draw::Different(0)));
        assert!(Draw::parse(b"-9223372036854775808").is_err());
        assert!(Draw::parse(b"x").is_err());
    }
}
