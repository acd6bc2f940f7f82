//! Whose each extent is: a word in the first extent of its piece.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::Ordering;

use super::region::Found;
use super::{Arena, EXTENT_BYTES, HEADER_EXTENT, PIECE_EXTENTS};

/// What an extent is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Lines that say where others lie.
    Heads,
    /// Lines that others name.
    Blocks,
    /// Old values of words.
    Undo,
}

const KINDS: [Kind; 3] = [Kind::Heads, Kind::Blocks, Kind::Undo];

/// Whose an extent is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Owner {
    /// The shard.
    pub shard: u16,
    /// The generation of the keys.
    pub generation: u32,
}

/// The word of an extent: what it is used for, whose it is, and bits that tell a damaged word.
fn encode(extent: u32, kind: Kind, owner: Owner) -> u64 {
    let said = (kind as u64 + 1) << 48 | u64::from(owner.shard) << 32 | u64::from(owner.generation);
    said | check_bits(extent, said) << 52
}

fn check_bits(extent: u32, said: u64) -> u64 {
    let mixed = (said ^ u64::from(extent).rotate_left(40)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed >> 52
}

fn decode(extent: u32, word: u64) -> Option<(Kind, Owner)> {
    let said = word & ((1 << 52) - 1);
    let kind = usize::try_from(said >> 48).ok()?.checked_sub(1)?;
    let kind = *KINDS.get(kind)?;
    #[allow(clippy::cast_possible_truncation)] // Masked by the width of the fields.
    let owner = Owner {
        shard: (said >> 32) as u16,
        generation: said as u32,
    };
    (check_bits(extent, said) == word >> 52).then_some((kind, owner))
}

/// Notes whose an extent is.
pub(crate) fn set(arena: &Arena, extent: u32, (kind, owner): (Kind, Owner)) {
    let table = arena.words(extent / PIECE_EXTENTS * PIECE_EXTENTS);
    let word = &table[(extent % PIECE_EXTENTS) as usize];
    word.store(encode(extent, kind, owner), Ordering::Release);
}

/// All extents of a file of `len` bytes that were given out, by owner, and the first one that never was. The words are read from
/// the file: to map the page that each piece has of them takes longer.
pub(crate) fn all(file: &File, len: usize) -> Result<(Vec<Found>, u32), String> {
    let extents = u32::try_from(len / EXTENT_BYTES).map_err(|error| error.to_string())?;
    let mut table = [0; EXTENT_BYTES];
    let mut found = ByOwner::default();
    let mut next = HEADER_EXTENT + 1;
    for piece in (0..extents).step_by(PIECE_EXTENTS as usize) {
        file.read_exact_at(&mut table, u64::from(piece) * EXTENT_BYTES as u64)
            .map_err(|error| error.to_string())?;
        let (words, _) = table.as_chunks();
        for (extent, &word) in (piece..).zip(words) {
            let word = u64::from_ne_bytes(word);
            if word == 0 {
                continue;
            }
            let Some((kind, owner)) = decode(extent, word) else {
                return Err(format!("it does not say whose extent {extent} is"));
            };
            next = extent + 1;
            found.of(owner).add(kind, extent);
        }
    }
    Ok((found.into_all(), next))
}

/// What was found of each owner. There are a hundred thousand extents of twenty million keys, and a start waits for this: so
/// the shard is an index, and the generation, which hardly changes from one to the next, is looked for when it does.
#[derive(Default)]
struct ByOwner {
    /// For each generation what was found of its shards.
    generations: Vec<(u32, Vec<Option<Found>>)>,
    places: HashMap<u32, usize>,
    /// The place of the generation that was asked for last.
    last: usize,
}

impl ByOwner {
    fn of(&mut self, owner: Owner) -> &mut Found {
        let generation = owner.generation;
        let is_last = |&(last, _): &(u32, _)| last == generation;
        if !self.generations.get(self.last).is_some_and(is_last) {
            let new = self.generations.len();
            self.last = *self.places.entry(generation).or_insert(new);
            if self.last == new {
                self.generations.push((generation, Vec::new()));
            }
        }
        let (_, shards) = &mut self.generations[self.last];
        let shard = usize::from(owner.shard);
        if shards.len() <= shard {
            shards.resize_with(shard + 1, || None);
        }
        shards[shard].get_or_insert_with(|| Found::of(owner))
    }

    fn into_all(self) -> Vec<Found> {
        let shards = self.generations.into_iter().flat_map(|(_, shards)| shards);
        shards.flatten().collect()
    }
}
