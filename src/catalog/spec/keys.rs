//! Where the keys of a call are.

use smallvec::SmallVec;

use crate::numbers::parse_i64;
use crate::protocol::Args;

/// Where keys stand in a call and what is done to them; Redis's key specifications.
#[derive(Clone, Copy, Debug)]
pub struct KeySpec {
    /// Flags in Redis's spelling: `RO`, `RW`, `OW`, `RM`, `access`, `update`, `insert`, `delete`, `not_key`, ...
    pub flags: &'static [&'static str],
    /// Position of the first key among the arguments; the command's name has position 0.
    pub first: usize,
    /// Position of the last key relative to `first`; -1 is the last argument, -2 the one before it.
    pub last: isize,
    /// Distance between keys.
    pub step: usize,
    /// How the keys are found.
    pub find: Find,
    /// A remark for people, or empty.
    pub notes: &'static str,
}

/// How a [`KeySpec`]'s keys are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Find {
    /// From argument `first` on, up to `last`.
    Range,
    /// Argument `first` says how many keys follow it.
    Counted,
    /// The operand of this option, whose name stands at `first` or later.
    After(&'static str, Options),
    /// As [`After`](Self::After), but not shown: Redis says that it does not know the keys.
    HiddenAfter(&'static str, Options),
    /// The first half of what follows this word, which stands at `first` or later.
    HalfAfter(&'static str),
    /// Argument `first` alone, unless this word stands behind it.
    Unless(&'static str, Options),
    /// All that follows this word, which stands at `first` or later.
    RestAfter(&'static str, Options),
    /// Names that the call makes up from what it reads, so that they are unknown before it runs.
    Unknown,
}

/// The options of a command that have operands, each with their number. An operand is never taken for an option:
/// `SORT k BY store` stores nothing.
pub type Options = &'static [(&'static str, usize)];

/// An argument that is a key: its position, and the position of its specification in [`CommandSpec::keys`].
///
/// [`CommandSpec::keys`]: super::CommandSpec::keys
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundKey {
    /// The argument's position in the call; the command's name has position 0.
    pub argument: usize,
    /// `None` if the call gives an impossible number of keys. Redis names the keys of some such calls, but does not say
    /// how the call would use them.
    pub spec: Option<usize>,
}

/// The keys that were found in a call.
pub type FoundKeys = SmallVec<[FoundKey; 4]>;

/// Finds the arguments of a call that are keys by these specifications. Finds none if the call gives a number of keys
/// that it cannot have, because it will fail.
pub(super) fn find(specs: &[KeySpec], args: Args<'_>) -> FoundKeys {
    let mut found = FoundKeys::new();
    for (number, spec) in specs.iter().enumerate() {
        if spec.flags.contains(&"not_key") {
            continue;
        }
        let Some(positions) = spec.arguments(args) else {
            return find_loosely(specs, args);
        };
        found.extend(positions.map(|argument| FoundKey {
            argument,
            spec: Some(number),
        }));
    }
    found
}

/// Finds keys as Redis does if the number of keys is no proper number: Redis reads the digits at its beginning. The
/// counted keys then come first, before a destination.
fn find_loosely(specs: &[KeySpec], args: Args<'_>) -> FoundKeys {
    let mut found = FoundKeys::new();
    let key = |argument| FoundKey {
        argument,
        spec: None,
    };
    for spec in specs.iter().filter(|spec| spec.find == Find::Counted) {
        let count = args.get(spec.first).map_or(0, leading_i32);
        let Some(positions) = spec.counted_arguments(count, args) else {
            return found;
        };
        found.extend(positions.map(key));
    }
    for spec in specs.iter().filter(|spec| spec.find != Find::Counted) {
        found.extend(spec.arguments(args).into_iter().flatten().map(key));
    }
    found
}

/// The number at the beginning of an argument, as C's `atoi` reads it: spaces and a sign may come first, it ignores what
/// follows the digits, and keeps only 32 bits.
#[allow(clippy::cast_possible_truncation)] // As in C.
fn leading_i32(word: &[u8]) -> i32 {
    let word = word.trim_ascii_start();
    let (negative, digits) = match word {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] | digits => (false, digits),
    };
    let digits = digits.iter().take_while(|byte| byte.is_ascii_digit());
    let number = digits.fold(0_i64, |number, digit| {
        let digit = i64::from(digit - b'0');
        let digit = if negative { -digit } else { digit };
        number.saturating_mul(10).saturating_add(digit)
    });
    number as i32
}

impl KeySpec {
    /// Keys at arguments `first`, `first + step`, ... up to `first + last` (or counted from the end where negative).
    pub const fn range(
        flags: &'static [&'static str],
        first: usize,
        last: isize,
        step: usize,
    ) -> Self {
        Self {
            flags,
            first,
            last,
            step,
            find: Find::Range,
            notes: "",
        }
    }

    /// As many keys as argument `first` says, after it.
    pub const fn counted(flags: &'static [&'static str], first: usize) -> Self {
        Self {
            find: Find::Counted,
            ..Self::range(flags, first, 0, 1)
        }
    }

    /// As many keys as argument `first` says, each followed by its value.
    pub const fn counted_pairs(flags: &'static [&'static str], first: usize) -> Self {
        Self {
            step: 2,
            ..Self::counted(flags, first)
        }
    }

    /// The operand of the option `keyword`, whose name stands at `first` or later. `options` are all that have operands.
    pub const fn after(
        flags: &'static [&'static str],
        keyword: &'static str,
        first: usize,
        options: Options,
    ) -> Self {
        Self {
            find: Find::After(keyword, options),
            ..Self::range(flags, first, 0, 1)
        }
    }

    /// As [`after`](Self::after), but COMMAND INFO does not show it.
    pub const fn hidden_after(
        flags: &'static [&'static str],
        keyword: &'static str,
        first: usize,
        options: Options,
    ) -> Self {
        Self {
            find: Find::HiddenAfter(keyword, options),
            ..Self::range(flags, first, 0, 1)
        }
    }

    /// The first half of the arguments after `word`, which stands at `first` or later.
    pub const fn half_after(
        flags: &'static [&'static str],
        word: &'static str,
        first: usize,
    ) -> Self {
        Self {
            find: Find::HalfAfter(word),
            ..Self::range(flags, first, -1, 1)
        }
    }

    /// Argument `first`, unless `word` stands behind it. `options` are those with operands that may stand before it.
    pub const fn unless_after(
        flags: &'static [&'static str],
        first: usize,
        word: &'static str,
        options: Options,
    ) -> Self {
        Self {
            find: Find::Unless(word, options),
            ..Self::range(flags, first, 0, 1)
        }
    }

    /// All arguments after `word`, which stands at `first` or later.
    pub const fn rest_after(
        flags: &'static [&'static str],
        word: &'static str,
        first: usize,
        options: Options,
    ) -> Self {
        Self {
            find: Find::RestAfter(word, options),
            ..Self::range(flags, first, -1, 1)
        }
    }

    /// Keys that only the call itself finds.
    pub const fn unknown(flags: &'static [&'static str]) -> Self {
        Self {
            find: Find::Unknown,
            ..Self::range(flags, 0, 0, 1)
        }
    }

    /// With a remark for people.
    #[must_use]
    pub const fn with_notes(mut self, notes: &'static str) -> Self {
        self.notes = notes;
        self
    }

    /// One key, argument 1.
    pub const fn first(flags: &'static [&'static str]) -> Self {
        Self::range(flags, 1, 0, 1)
    }

    /// The positions of the arguments that are keys; `None` if the call gives a number of keys that it cannot have.
    pub fn arguments(&self, args: Args<'_>) -> Option<impl Iterator<Item = usize> + use<>> {
        let len = args.len();
        let (first, past) = match self.find {
            Find::Range => match usize::try_from(self.last) {
                Ok(offset) => (self.first, self.first + offset + 1),
                Err(_) => (
                    self.first,
                    (len + 1).saturating_sub(self.last.unsigned_abs()),
                ),
            },
            Find::Counted => {
                let count = args.get(self.first).and_then(parse_i64);
                let count = count.filter(|&count| count > 0)?;
                // Redis keeps only 32 bits too.
                #[allow(clippy::cast_possible_truncation)]
                return self.counted_arguments(count as i32, args);
            }
            Find::After(keyword, options) | Find::HiddenAfter(keyword, options) => {
                let at = operand(args, self.first, keyword, options).unwrap_or(len);
                (at, at + 1)
            }
            Find::HalfAfter(word) => {
                let is_word = |&at: &usize| {
                    args.get(at)
                        .is_some_and(|argument| argument.eq_ignore_ascii_case(word.as_bytes()))
                };
                let at = (self.first..len).find(is_word).map_or(len, |at| at + 1);
                (at, at + (len - at) / 2)
            }
            Find::Unless(word, options) => {
                let is_there = behind(args, self.first + 1, word, options).is_some();
                (self.first, self.first + usize::from(!is_there))
            }
            Find::RestAfter(word, options) => {
                let at = behind(args, self.first, word, options).unwrap_or(len);
                (at, len)
            }
            Find::Unknown => (0, 0),
        };
        Some((first..past.min(len)).step_by(self.step.max(1)))
    }

    /// The `count` arguments after the one with the number; `None` if there are not so many.
    fn counted_arguments(
        &self,
        count: i32,
        args: Args<'_>,
    ) -> Option<std::iter::StepBy<std::ops::Range<usize>>> {
        let first = self.first + 1;
        let count = usize::try_from(count).ok().filter(|&count| count > 0)?;
        let past = first.checked_add(count.checked_mul(self.step)?)?;
        (past <= args.len()).then(|| (first..past).step_by(self.step))
    }
}

/// The position behind the first `word` from argument `first` on that is no operand of an option.
fn behind(args: Args<'_>, first: usize, word: &str, options: Options) -> Option<usize> {
    let mut at = first;
    while let Some(argument) = args.get(at) {
        let is = |name: &str| argument.eq_ignore_ascii_case(name.as_bytes());
        at += 1;
        if is(word) {
            return Some(at);
        }
        let option = options.iter().find(|(name, _)| is(name));
        at += option.map_or(0, |&(_, operands)| operands);
    }
    None
}

/// The position of the operand of the last option `keyword` from argument `first` on: the command uses the last one.
fn operand(args: Args<'_>, first: usize, keyword: &str, options: Options) -> Option<usize> {
    let mut found = None;
    let mut at = first;
    while let Some(word) = args.get(at) {
        let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
        at += 1;
        if is(keyword) && at < args.len() {
            found = Some(at);
        }
        let option = options.iter().find(|(name, _)| is(name));
        at += option.map_or(0, |&(_, operands)| operands);
    }
    found
}

#[cfg(test)]
mod tests {
    use crate::catalog::table::table;
    use crate::protocol::OwnedArgs;

    /// The keys of a call, in brackets if their specification is unknown.
    fn keys(line: &str) -> String {
        let words = OwnedArgs::new(line.split(' '));
        let args = words.args();
        let command = table().find(&args[0]).expect("there is such a command");
        let shown = command.spec.find_keys(args).into_iter().map(|key| {
            let word = String::from_utf8_lossy(&args[key.argument]).into_owned();
            match key.spec {
                Some(_) => word,
                None => format!("({word})"),
            }
        });
        shown.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_number_of_keys_that_cannot_be_gives_none() {
        for count in ["0", "-1", "-2", "4", "x", "", "2147483647"] {
            assert_eq!(keys(&format!("zunion {count} a b c")), "", "{count}");
            assert_eq!(keys(&format!("zunionstore d {count} a b c")), "", "{count}");
            assert_eq!(keys(&format!("bzmpop 0 {count} a b c")), "", "{count}");
        }
        for count in ["9223372036854775807", "99999999999999999999"] {
            assert_eq!(keys(&format!("sintercard {count} a")), "", "{count}");
        }
        assert_eq!(keys("zunion 2 a b c"), "a b");
        assert_eq!(keys("zunionstore d 2 a b c"), "d a b");
        assert_eq!(keys("zunionstore d 3 a b c"), "d a b c");
    }

    #[test]
    fn a_number_that_only_begins_well_is_read_as_redis_reads_it() {
        assert_eq!(keys("zunion 2x a b c"), "(a) (b)");
        assert_eq!(keys("zunion +2 a b c"), "(a) (b)");
        assert_eq!(keys("zunionstore d 02 a b c"), "(a) (b) (d)");
        assert_eq!(keys("zunionstore d 4x a b c"), "");
        assert_eq!(keys("zunionstore d -4294967294 a b c"), "(a) (b) (d)");
        assert_eq!(keys("sintercard 4294967298 a b c"), "a b");
        assert_eq!(keys("sintercard 4294967298x a b c"), "(a) (b)");
    }

    #[test]
    fn operands_are_no_options() {
        for (line, expected) in [
            ("sort a", "a"),
            ("sort a STORE", "a"),
            ("sort a store b", "a b"),
            ("sort a STORE b GET store", "a b"),
            ("sort a STORE b BY store", "a b"),
            ("sort a GET store b", "a"),
            ("sort a BY STORE b", "a"),
            ("sort a STORE b STORE c", "a c"),
            ("sort a STORE store", "a store"),
            ("sort a LIMIT 0 1 STORE b", "a b"),
            ("georadius a 0 0 1 m STORE STORE", "a STORE"),
            ("georadius a 0 0 1 m STOREDIST STORE STORE b", "a b STORE"),
            ("georadius a 0 0 1 m STORE b STOREDIST c", "a b c"),
            ("georadius a 0 0 1 m COUNT 1 STORE b", "a b"),
            (
                "georadiusbymember a m 1 km STOREDIST STOREDIST",
                "a STOREDIST",
            ),
        ] {
            assert_eq!(keys(line), expected, "{line}");
        }
    }

    #[test]
    fn the_keys_of_migrate_are_one_or_all_behind_the_word() {
        for (line, expected) in [
            ("migrate h 1 k 0 0", "k"),
            ("migrate h 1 k 0 0 COPY AUTH KEYS", "k"),
            ("migrate h 1 x 0 0 AUTH2 a KEYS keys a keys", "a keys"),
            ("migrate h 1 x 0 0 KEYS", ""),
        ] {
            assert_eq!(keys(line), expected, "{line}");
        }
    }

    #[test]
    fn the_keys_of_streams_are_the_first_half() {
        for (line, expected) in [
            ("xread streams a 0", "a"),
            ("xread count 1 STREAMS a b 0 0", "a b"),
            ("xread count 1 streams a b 0", "a"),
            ("xread count 1 streams a", ""),
            ("xread count 1 2", ""),
            ("xreadgroup group g c streams a b > >", "a b"),
            ("xreadgroup group g streams streams a >", "a"),
        ] {
            assert_eq!(keys(line), expected, "{line}");
        }
    }
}
