//! What a command is, as data.
//!
//! COMMAND and its subcommands, arity checks, ACL categories, statistics and the coverage tests all derive from
//! these rows. The meaning of every field is that of Redis 7.2's COMMAND DOCS and COMMAND INFO.

mod arguments;
mod keys;
mod notes;

pub use arguments::{Argument, ArgumentKind};
pub use keys::{Find, FoundKey, FoundKeys, KeySpec};
pub use notes::Notes;

use crate::protocol::Args;

/// One command, or one subcommand of a container.
#[derive(Clone, Copy, Debug)]
pub struct CommandSpec {
    /// Lower-case name; of a subcommand without its container: `setname`.
    pub name: &'static str,
    /// How many arguments a call has, the name (and a subcommand's container) included.
    pub arity: Arity,
    /// Behaviour flags.
    pub flags: Flags,
    /// ACL categories besides those that follow from the flags.
    pub categories: Categories,
    /// Where the keys are; empty for commands without keys.
    pub keys: &'static [KeySpec],
    /// The group that COMMAND DOCS names.
    pub group: Group,
    /// Redis's version that brought the command; for `PMEMKV.*` this project's.
    pub since: &'static str,
    /// One line for people, in our own words.
    pub summary: &'static str,
    /// Time complexity; empty where Redis states none.
    pub complexity: &'static str,
    /// What COMMAND INFO and COMMAND DOCS say besides.
    pub notes: Notes,
    /// Arguments after the name.
    pub arguments: &'static [Argument],
}

/// How many arguments a call must have, the command's name included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arity {
    /// Exactly this many.
    Exactly(usize),
    /// This many or more.
    AtLeast(usize),
}

impl Arity {
    /// Whether a call of `arguments` arguments fits.
    pub fn accepts(self, arguments: usize) -> bool {
        match self {
            Arity::Exactly(n) => arguments == n,
            Arity::AtLeast(n) => arguments >= n,
        }
    }

    /// Redis's number: negative for a minimum.
    pub fn number(self) -> i64 {
        match self {
            Arity::Exactly(n) => i64::try_from(n).unwrap_or(i64::MAX),
            Arity::AtLeast(n) => -i64::try_from(n).unwrap_or(i64::MAX),
        }
    }
}

/// A set of behaviour flags, Redis's names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(u32);

macro_rules! flags {
    ($($(#[$doc:meta])* $name:ident = $bit:literal, $text:literal;)*) => {
        impl Flags {
            /// No flag.
            pub const NONE: Flags = Flags(0);
            $($(#[$doc])* pub const $name: Flags = Flags(1 << $bit);)*

            /// Every flag that COMMAND INFO shows, with Redis's name for it.
            pub const NAMED: &'static [(Flags, &'static str)] = &[$((Flags::$name, $text)),*];
        }
    };
}

flags! {
    /// May change data.
    WRITE = 0, "write";
    /// Reads keys and never changes them.
    READONLY = 1, "readonly";
    /// May need memory in the pool: the server refuses the call when the pool is full.
    DENYOOM = 2, "denyoom";
    /// Administrative.
    ADMIN = 3, "admin";
    /// Pub/sub.
    PUBSUB = 12, "pubsub";
    /// Not allowed in scripts.
    NOSCRIPT = 5, "noscript";
    /// May block the client.
    BLOCKING = 11, "blocking";
    /// Allowed while the server loads.
    LOADING = 6, "loading";
    /// Allowed on a stale replica.
    STALE = 7, "stale";
    /// Not shown by MONITOR.
    SKIP_MONITOR = 8, "skip_monitor";
    /// Not logged in the slow log.
    SKIP_SLOWLOG = 9, "skip_slowlog";
    /// Constant or logarithmic time.
    FAST = 4, "fast";
    /// May run before authentication.
    NO_AUTH = 10, "no_auth";
    /// May have no keys although it takes some.
    NO_MANDATORY_KEYS = 22, "no_mandatory_keys";
    /// Not allowed inside MULTI.
    NO_MULTI = 15, "no_multi";
    /// Keys are not where first, last and step say.
    MOVABLEKEYS = 14, "movablekeys";
    /// Allowed while a script is timed out.
    ALLOW_BUSY = 13, "allow_busy";
    /// Not allowed while a replica loads what it gets beside serving.
    NO_ASYNC_LOADING = 20, "no_async_loading";
    /// May run long (walks the keyspace, sleeps): dispatch moves other work off the thread first.
    SLOW = 16, "";
    /// Runs at once inside MULTI.
    UNQUEUED = 17, "";
    /// May write keys of other databases than the selected one.
    CROSS_DB = 18, "";
    /// Ends a transaction by running it.
    EXECUTES = 19, "";
    /// Runs a script: dispatch runs it, as it does a transaction.
    RUNS_SCRIPT = 21, "";
    /// Allowed to a RESP2 client that listens to channels.
    WHILE_SUBSCRIBED = 24, "";
    /// Runs with no other command beside it, as in Redis, where all wait for it.
    ALONE = 26, "";
    /// What it answers are messages: they are sent also where replies are switched off.
    PUSHES = 25, "";
    /// Writes the whole string of a key, however little of it changes, and needs memory for all of it.
    REWRITES = 28, "";
    /// May write as much as all of its keys hold, and needs memory for all of it.
    COPIES = 27, "";
}

impl Flags {
    /// Both sets together.
    #[must_use]
    pub const fn union(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }

    /// Whether all of `other` is in `self`.
    pub const fn contains(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }
}

/// A set of ACL categories.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Categories(u32);

macro_rules! categories {
    ($($name:ident = $bit:literal, $text:literal;)*) => {
        #[allow(missing_docs)] // Each is the ACL category of that name.
        impl Categories {
            pub const NONE: Categories = Categories(0);
            $(pub const $name: Categories = Categories(1 << $bit);)*

            /// Every category with its name, in the order in which Redis lists them.
            pub const NAMED: &'static [(Categories, &'static str)] = &[$((Categories::$name, $text)),*];
        }
    };
}

categories! {
    KEYSPACE = 0, "keyspace";
    READ = 1, "read";
    WRITE = 2, "write";
    SET = 3, "set";
    SORTEDSET = 4, "sortedset";
    LIST = 5, "list";
    HASH = 6, "hash";
    STRING = 7, "string";
    BITMAP = 8, "bitmap";
    HYPERLOGLOG = 9, "hyperloglog";
    GEO = 10, "geo";
    STREAM = 11, "stream";
    PUBSUB = 12, "pubsub";
    ADMIN = 13, "admin";
    FAST = 14, "fast";
    SLOW = 15, "slow";
    BLOCKING = 16, "blocking";
    DANGEROUS = 17, "dangerous";
    CONNECTION = 18, "connection";
    TRANSACTION = 19, "transaction";
    SCRIPTING = 20, "scripting";
}

impl Categories {
    /// Both sets together.
    #[must_use]
    pub const fn union(self, other: Categories) -> Categories {
        Categories(self.0 | other.0)
    }

    /// Whether all of `other` is in `self`.
    pub const fn contains(self, other: Categories) -> bool {
        self.0 & other.0 == other.0
    }
}

impl CommandSpec {
    /// The arguments of a call that are keys.
    pub fn find_keys(&self, args: Args<'_>) -> FoundKeys {
        keys::find(self.keys, args)
    }

    /// The arguments of a call of `len` arguments that name channels, and whether they are patterns.
    pub fn channels(&self, len: usize) -> Option<(std::ops::Range<usize>, bool)> {
        match self.name {
            "publish" | "spublish" => Some((1..2, false)),
            "subscribe" | "ssubscribe" | "unsubscribe" | "sunsubscribe" => Some((1..len, false)),
            "psubscribe" | "punsubscribe" => Some((1..len, true)),
            _ => None,
        }
    }

    /// All ACL categories: those of the row and those that follow from its flags, by Redis's rules.
    pub fn acl_categories(&self) -> Categories {
        let mut all = self.categories;
        let implied = [
            (Flags::WRITE, Categories::WRITE),
            (Flags::ADMIN, Categories::ADMIN.union(Categories::DANGEROUS)),
            (Flags::PUBSUB, Categories::PUBSUB),
            (Flags::FAST, Categories::FAST),
            (Flags::BLOCKING, Categories::BLOCKING),
        ];
        for (flag, category) in implied {
            if self.flags.contains(flag) {
                all = all.union(category);
            }
        }
        let is_scripting = self.categories.contains(Categories::SCRIPTING);
        if self.flags.contains(Flags::READONLY) && !is_scripting {
            all = all.union(Categories::READ);
        }
        if !self.flags.contains(Flags::FAST) {
            all = all.union(Categories::SLOW);
        }
        all
    }
}

/// COMMAND DOCS's group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // Each is the group of that name.
pub enum Group {
    Generic,
    String,
    List,
    Connection,
    Server,
    Transactions,
    Pubsub,
    Scripting,
    Cluster,
    Hash,
    Set,
    SortedSet,
    Bitmap,
    Hyperloglog,
    Geo,
    Stream,
    /// Our own commands; shown as `module`, which clients know.
    Pmemkv,
}

impl Group {
    /// The name that COMMAND DOCS shows.
    pub fn name(self) -> &'static str {
        match self {
            Group::Generic => "generic",
            Group::String => "string",
            Group::List => "list",
            Group::Connection => "connection",
            Group::Server => "server",
            Group::Transactions => "transactions",
            Group::Pubsub => "pubsub",
            Group::Scripting => "scripting",
            Group::Cluster => "cluster",
            Group::Hash => "hash",
            Group::Set => "set",
            Group::SortedSet => "sorted-set",
            Group::Bitmap => "bitmap",
            Group::Hyperloglog => "hyperloglog",
            Group::Geo => "geo",
            Group::Stream => "stream",
            Group::Pmemkv => "module",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flag_has_a_bit_of_its_own() {
        let mut seen = Flags::NONE;
        for &(flag, name) in Flags::NAMED {
            assert_eq!(seen.0 & flag.0, 0, "{name:?} {flag:?}");
            seen = seen.union(flag);
        }
    }
}
