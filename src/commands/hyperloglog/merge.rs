//! PFMERGE, and the union of several sketches.

use super::REGISTERS;
use super::hash::Mark;
use super::sketch::{Draft, Ranks, Sketch};
use crate::catalog::spec::{Argument, ArgumentKind, Arity, Categories, Flags, Group, KeySpec};
use crate::commands::row::Row;
use crate::commands::sources::DESTINATION;
use crate::commands::{CommandError, CommandResult, Context};
use crate::keyspace::{EventClass, StringForm, StringView};
use crate::protocol::{Args, Reply};

pub(in crate::commands) static COMMANDS: &[Row] =
    &[Row::new("pfmerge", Arity::AtLeast(2), pfmerge)
        .flags(Flags::WRITE.union(Flags::DENYOOM).union(Flags::REWRITES))
        .categories(Categories::HYPERLOGLOG)
        .keys(&[
            KeySpec::first(&["RW", "access", "insert"]),
            KeySpec::range(&["RO", "access"], 2, -1, 1),
        ])
        .group(Group::Hyperloglog, "2.8.9")
        .summary("Makes a HyperLogLog of what it and others have seen")
        .complexity("O(N) for N keys")
        .arguments(&[
            Argument::new("destkey", ArgumentKind::Key(0)),
            Argument::new("sourcekey", ArgumentKind::Key(1))
                .optional()
                .multiple(),
        ])];

/// The highest rank of each register in several sketches.
#[derive(Debug)]
pub(super) struct Union {
    ranks: Box<Ranks>,
    /// One of the sketches is dense.
    is_dense: bool,
}

impl Default for Union {
    fn default() -> Self {
        Self {
            ranks: Box::new([0; REGISTERS]),
            is_dense: false,
        }
    }
}

impl Union {
    pub(super) fn take(&mut self, string: StringView<'_>) -> Result<(), CommandError> {
        Sketch::read(string, |sketch| {
            self.is_dense |= sketch.is_dense();
            Ok(sketch.merge_into(&mut self.ranks)?)
        })
    }

    pub(super) fn ranks(&self) -> impl Iterator<Item = u8> {
        self.ranks.iter().copied()
    }

    fn marks(&self) -> impl Iterator<Item = Mark> {
        let marks = self.ranks().enumerate();
        marks
            .map(|(register, rank)| Mark { register, rank })
            .filter(|mark| mark.rank > 0)
    }
}

fn pfmerge(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let sparse_bytes_max = ctx.server.config.settings().hll_sparse_max_bytes;
    ctx.database().update_many(args.from(1), |keys| {
        let mut union = Union::default();
        for (i, key) in args.from(1).enumerate() {
            let taken = keys.read_string(i, |string| union.take(string));
            ctx.looked_up(key, !matches!(taken, Ok(None)));
            taken?.transpose()?;
        }
        let current = keys.read_string(DESTINATION, |string| {
            Sketch::read(string, |sketch| {
                Ok((Draft::copy(sketch), string.expires_at))
            })
        })?;
        let (mut merged, expires_at) = match current.transpose()? {
            Some(current) => current,
            None => (Draft::empty(), None),
        };
        if union.is_dense {
            merged.make_dense()?;
        }
        for mark in union.marks() {
            merged.raise(mark, sparse_bytes_max)?;
        }
        keys.put(DESTINATION, StringForm::Raw, &merged.finish(), expires_at);
        // Redis counts a union as an addition of many elements.
        keys.event(DESTINATION, EventClass::STRING, "pfadd");
        Ok(())
    })?;
    Ok(Reply::Ok.into())
}
