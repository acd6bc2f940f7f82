//! The check of a call against a user's rules.

use std::sync::OnceLock;

use smallvec::SmallVec;

use super::pattern::Access;
use super::rules::Rules;
use super::selector::Selector;
use crate::catalog::spec::{CommandSpec, Flags, FoundKey};
use crate::catalog::{Command, bitfield_only_reads, delex_reads, set_reads, table};
use crate::protocol::Args;

/// Why a call is denied. If several selectors deny it, the reply shows the greatest reason: that of the selector which
/// came closest to allowing it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Denial {
    /// The user may not run the command.
    Command,
    /// The user may not use the key in this argument.
    Key(usize),
    /// The user may not use the channel in this argument.
    Channel(usize),
}

/// Commands that only end subscriptions: that needs no permission on channels.
const LEAVING: [&str; 3] = ["unsubscribe", "sunsubscribe", "punsubscribe"];

/// The permissions that a command's calls need.
#[derive(Debug)]
struct Needs {
    /// The access to keys, for each of the command's key specifications.
    keys: SmallVec<[KeyAccess; 1]>,
    channels: bool,
}

/// What a call does to the keys of one specification.
#[derive(Clone, Copy, Debug)]
enum KeyAccess {
    Always(Access),
    /// SET: a write; a read too where it answers or compares the former string.
    OfSet,
    /// DELEX: a write; a read too where it compares the string.
    OfDelex,
    /// BITFIELD: a read; a write too, unless all subcommands are GET.
    OfBitfield,
}

impl Needs {
    fn new(command: &Command) -> Self {
        Self {
            keys: key_access(command.spec).collect(),
            channels: command.spec.channels(1).is_some() && !LEAVING.contains(&command.full_name),
        }
    }

    /// The needs of a command. The first call computes those of all commands.
    fn of(command: &Command) -> &'static Needs {
        static ALL: OnceLock<Vec<Needs>> = OnceLock::new();
        let all = ALL.get_or_init(|| table().all().iter().map(Needs::new).collect());
        &all[command.number]
    }

    /// The arguments that are keys, and the access that the call needs to each. If a call states a wrong number of
    /// keys, it will fail anyway, so its apparent keys need only match some pattern.
    fn keys(&self, command: &CommandSpec, args: Args<'_>) -> SmallVec<[(usize, Access); 4]> {
        let found = command.find_keys(args).into_iter();
        let accesses = found.map(|FoundKey { argument, spec }| {
            let access = spec.and_then(|spec| self.keys.get(spec));
            let access = access.map_or_else(Access::default, |access| access.of_call(args));
            (argument, access)
        });
        accesses.collect()
    }
}

impl KeyAccess {
    fn of_call(self, args: Args<'_>) -> Access {
        match self {
            KeyAccess::Always(access) => access,
            KeyAccess::OfSet => Access {
                read: set_reads(args),
                write: true,
            },
            KeyAccess::OfDelex => Access {
                read: delex_reads(args),
                write: true,
            },
            KeyAccess::OfBitfield => Access {
                read: true,
                write: !bitfield_only_reads(args),
            },
        }
    }
}

/// The access that each of a command's key specifications needs: read if the call returns values, write if it inserts,
/// changes or removes any. A call that only tells a key's existence, type or length needs neither.
fn key_access(command: &'static CommandSpec) -> impl Iterator<Item = KeyAccess> {
    command.keys.iter().map(|spec| {
        let has = |flag| spec.flags.contains(&flag);
        if has("variable_flags") {
            match command.name {
                "bitfield" => KeyAccess::OfBitfield,
                "delex" => KeyAccess::OfDelex,
                _ => KeyAccess::OfSet,
            }
        } else {
            KeyAccess::Always(Access {
                read: has("access"),
                write: has("insert") || has("delete") || has("update"),
            })
        }
    })
}

impl Rules {
    /// Whether a client may keep its subscription to a channel or, literally, to a pattern of channels.
    pub fn allows_channel(&self, channel: &[u8], is_pattern: bool) -> bool {
        self.all_selectors()
            .any(|selector| selector.allows_channel(channel, is_pattern))
    }

    /// Whether the user may make this call: one selector must allow all of it.
    pub fn check(&self, command: &Command, args: Args<'_>) -> Result<(), Denial> {
        let needs = Needs::of(command);
        let mut keys = None;
        let mut reason = Denial::Command;
        for selector in self.all_selectors() {
            match check_selector(selector, command, needs, args, &mut keys) {
                Ok(()) => return Ok(()),
                Err(denial) => reason = reason.max(denial),
            }
        }
        Err(reason)
    }

    /// Whether the user may make this call and read any key in it, of whatever name: one selector must allow both.
    pub fn allows_reading_all(&self, command: &Command, args: Args<'_>) -> bool {
        let needs = Needs::of(command);
        let mut keys = None;
        self.all_selectors().any(|selector| {
            selector.reads_all_keys()
                && check_selector(selector, command, needs, args, &mut keys).is_ok()
        })
    }
}

/// The keys of the call, found when the first selector needs them.
type FoundKeys = Option<SmallVec<[(usize, Access); 4]>>;

fn check_selector(
    selector: &Selector,
    command: &Command,
    needs: &Needs,
    args: Args<'_>,
    keys: &mut FoundKeys,
) -> Result<(), Denial> {
    let first_arg = args.get(1);
    if !command.spec.flags.contains(Flags::NO_AUTH) && !selector.allows_command(command, first_arg)
    {
        return Err(Denial::Command);
    }
    if !selector.allows_all_keys() && !needs.keys.is_empty() {
        for &(argument, access) in keys
            .get_or_insert_with(|| needs.keys(command.spec, args))
            .iter()
        {
            let key = args.get(argument).unwrap_or_default();
            if !selector.allows_key(key, access) {
                return Err(Denial::Key(argument));
            }
        }
    }
    if needs.channels
        && !selector.allows_all_channels()
        && let Some((channels, are_patterns)) = command.spec.channels(args.len())
    {
        for argument in channels {
            let channel = args.get(argument).unwrap_or_default();
            if !selector.allows_channel(channel, are_patterns) {
                return Err(Denial::Channel(argument));
            }
        }
    }
    Ok(())
}
