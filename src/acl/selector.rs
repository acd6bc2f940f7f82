//! A selector allows certain commands on certain keys and channels. Every user has a root selector and may have more. A
//! user may make a call if one of its selectors allows all of it.

use std::collections::{BTreeMap, BTreeSet};

use super::names;
use super::pattern::{Access, KeyPattern};
use super::rules::RuleError;
use crate::catalog::{Command, table};
use crate::glob;
use crate::quoting::{quote, split_args};

/// The commands, keys and channels that a user may use together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    /// Allows all commands, those of later versions included.
    all_commands: bool,
    /// A bit for each command's number.
    allowed: Vec<u64>,
    /// First arguments, in lower case, with which a command is allowed although its bit is not set.
    first_args: BTreeMap<usize, BTreeSet<Vec<u8>>>,
    /// The rules on commands, for descriptions: whether each allows, and its name in lower case.
    command_rules: Vec<(bool, Vec<u8>)>,
    all_keys: bool,
    keys: Vec<KeyPattern>,
    all_channels: bool,
    channels: Vec<Vec<u8>>,
}

impl Selector {
    /// Allows nothing, or only all channels with `all_channels`.
    pub(super) fn new(all_channels: bool) -> Self {
        let mut selector = Self {
            all_commands: false,
            allowed: vec![0; table().all().len().div_ceil(64)],
            first_args: BTreeMap::new(),
            command_rules: Vec::new(),
            all_keys: false,
            keys: Vec::new(),
            all_channels,
            channels: Vec::new(),
        };
        selector.set_all_commands(false);
        selector
    }

    /// Parses a rule in parentheses.
    pub(super) fn parse(rule: &[u8], all_channels: bool) -> Result<Self, RuleError> {
        let inside = rule
            .strip_prefix(b"(")
            .and_then(|rule| rule.strip_suffix(b")"))
            .ok_or(RuleError::Syntax)?;
        let mut selector = Self::new(all_channels);
        // As in Redis, a rule that does not split, because a quote is not closed, counts as empty.
        for word in split_args(inside).unwrap_or_default() {
            selector.apply(&word)?;
        }
        Ok(selector)
    }

    /// Applies one rule.
    pub(super) fn apply(&mut self, rule: &[u8]) -> Result<(), RuleError> {
        match rule.to_ascii_lowercase().as_slice() {
            b"allkeys" | b"~*" => self.set_all_keys(true),
            b"resetkeys" => self.set_all_keys(false),
            b"allchannels" | b"&*" => self.set_all_channels(true),
            b"resetchannels" => self.set_all_channels(false),
            b"allcommands" | b"+@all" => self.set_all_commands(true),
            b"nocommands" | b"-@all" => self.set_all_commands(false),
            _ => match rule {
                [b'~' | b'%', ..] => self.add_keys(rule)?,
                [b'&', pattern @ ..] => self.add_channels(pattern)?,
                [sign @ (b'+' | b'-'), b'@', name @ ..] => {
                    self.set_category(name, *sign == b'+')?;
                }
                [b'+', name @ ..] => self.allow(name)?,
                [b'-', name @ ..] => self.forbid(name)?,
                _ => return Err(RuleError::Syntax),
            },
        }
        Ok(())
    }

    fn set_all_keys(&mut self, all: bool) {
        self.all_keys = all;
        self.keys.clear();
    }

    fn set_all_channels(&mut self, all: bool) {
        self.all_channels = all;
        self.channels.clear();
    }

    fn set_all_commands(&mut self, all: bool) {
        self.all_commands = all;
        self.allowed.fill(if all { u64::MAX } else { 0 });
        self.first_args.clear();
        self.command_rules = vec![(all, b"@all".to_vec())];
    }

    fn add_keys(&mut self, rule: &[u8]) -> Result<(), RuleError> {
        if self.all_keys {
            return Err(RuleError::KeysAfterAll);
        }
        let new = KeyPattern::parse(rule).ok_or(RuleError::Syntax)?;
        match self.keys.iter_mut().find(|old| old.pattern == new.pattern) {
            Some(old) => {
                old.access.read |= new.access.read;
                old.access.write |= new.access.write;
            }
            None => self.keys.push(new),
        }
        Ok(())
    }

    fn add_channels(&mut self, pattern: &[u8]) -> Result<(), RuleError> {
        if self.all_channels {
            return Err(RuleError::ChannelsAfterAll);
        }
        if super::has_spaces(pattern) {
            return Err(RuleError::Syntax);
        }
        if !self.channels.iter().any(|old| old == pattern) {
            self.channels.push(pattern.to_vec());
        }
        Ok(())
    }

    fn set_category(&mut self, name: &[u8], allow: bool) -> Result<(), RuleError> {
        let category = names::category(name).ok_or(RuleError::UnknownCommand)?;
        self.note_rule(&[b"@", name].concat(), allow);
        for command in table().all() {
            if command.spec.acl_categories().contains(category) {
                self.set_command(command, allow);
            }
        }
        Ok(())
    }

    fn allow(&mut self, name: &[u8]) -> Result<(), RuleError> {
        let Some(bar) = memchr::memrchr(b'|', name) else {
            let command = names::command(name).ok_or(RuleError::UnknownCommand)?;
            self.set_command(command, true);
            self.note_rule(name, true);
            return Ok(());
        };
        let (container, sub) = (&name[..bar], &name[bar + 1..]);
        let container = names::command(container).ok_or(RuleError::UnknownCommand)?;
        if names::is_subcommand(container) {
            return Err(RuleError::FirstArgOfSubcommand);
        }
        // In a file of users a space would split it into two words.
        if sub.is_empty() || super::has_spaces(sub) {
            return Err(RuleError::Syntax);
        }
        if container.is_container() {
            let command = names::command(name).ok_or(RuleError::UnknownCommand)?;
            self.set_command(command, true);
        } else {
            self.first_args
                .entry(container.number)
                .or_default()
                .insert(sub.to_ascii_lowercase());
        }
        self.note_rule(name, true);
        Ok(())
    }

    fn forbid(&mut self, name: &[u8]) -> Result<(), RuleError> {
        let command = names::command(name).ok_or(RuleError::UnknownCommand)?;
        self.set_command(command, false);
        self.note_rule(name, false);
        Ok(())
    }

    /// Allows or forbids a command with all of its subcommands.
    fn set_command(&mut self, command: &Command, allow: bool) {
        for number in names::numbers(command) {
            let bit = 1 << (number % 64);
            if allow {
                self.allowed[number / 64] |= bit;
            } else {
                self.allowed[number / 64] &= !bit;
                self.all_commands = false;
            }
        }
        self.first_args.remove(&command.number);
    }

    /// Notes a rule for descriptions. It replaces the rules that it overrides: those of the same name and of its
    /// subcommands.
    fn note_rule(&mut self, name: &[u8], allow: bool) {
        let name = name.to_ascii_lowercase();
        self.command_rules.retain(|(_, old)| {
            let rest = old.strip_prefix(name.as_slice());
            !matches!(rest, Some([] | [b'|', ..]))
        });
        self.command_rules.push((allow, name));
    }

    /// Whether the selector allows everything.
    pub(super) fn is_unrestricted(&self) -> bool {
        self.all_commands && self.all_keys && self.all_channels
    }

    /// Whether the selector allows the command. `first_arg` is the argument after its name.
    pub(super) fn allows_command(&self, command: &Command, first_arg: Option<&[u8]>) -> bool {
        let number = command.number;
        if self.all_commands || self.allowed[number / 64] >> (number % 64) & 1 == 1 {
            return true;
        }
        let Some((args, word)) = self.first_args.get(&number).zip(first_arg) else {
            return false;
        };
        args.contains(word.to_ascii_lowercase().as_slice())
    }

    /// Whether the selector allows reading all keys.
    pub(super) fn reads_all_keys(&self) -> bool {
        let reads_all = |pattern: &KeyPattern| pattern.access.read && pattern.pattern == b"*";
        self.allows_all_keys() || self.keys.iter().any(reads_all)
    }

    /// Whether the selector allows every access to every key.
    pub(super) fn allows_all_keys(&self) -> bool {
        self.all_keys
    }

    /// Whether the selector allows this access to the key.
    pub(super) fn allows_key(&self, key: &[u8], access: Access) -> bool {
        self.all_keys || self.keys.iter().any(|pattern| pattern.allows(key, access))
    }

    /// Whether the selector allows every channel.
    pub(super) fn allows_all_channels(&self) -> bool {
        self.all_channels
    }

    /// Whether the selector allows the channel. A pattern of channels must literally equal an allowed pattern.
    pub(super) fn allows_channel(&self, channel: &[u8], is_pattern: bool) -> bool {
        self.all_channels
            || self.channels.iter().any(|pattern| {
                if is_pattern {
                    pattern == channel
                } else {
                    glob::matches(pattern, channel, false)
                }
            })
    }

    /// The rules on commands: `-@all +get`.
    pub fn describe_commands(&self) -> Vec<u8> {
        let rules: Vec<Vec<u8>> = self.command_words().collect();
        rules.join(&b' ')
    }

    fn command_words(&self) -> impl Iterator<Item = Vec<u8>> {
        self.command_rules.iter().map(|(allow, name)| {
            let sign: &[u8] = if *allow { b"+" } else { b"-" };
            [sign, name].concat()
        })
    }

    /// The patterns of keys: `~a* %R~b*`.
    pub fn describe_keys(&self) -> Vec<u8> {
        let rules: Vec<Vec<u8>> = self.key_words().collect();
        rules.join(&b' ')
    }

    fn key_words(&self) -> impl Iterator<Item = Vec<u8>> {
        let all = self.all_keys.then(|| b"~*".to_vec());
        all.into_iter()
            .chain(self.keys.iter().map(KeyPattern::describe))
    }

    /// The patterns of channels: `&a &b*`.
    pub fn describe_channels(&self) -> Vec<u8> {
        let rules: Vec<Vec<u8>> = self.channel_words().collect();
        rules.join(&b' ')
    }

    fn channel_words(&self) -> impl Iterator<Item = Vec<u8>> {
        let all = self.all_channels.then(|| b"&*".to_vec());
        let patterns = self.channels.iter();
        all.into_iter()
            .chain(patterns.map(|pattern| [b"&", pattern.as_slice()].concat()))
    }

    /// All rules that define this selector, in Redis's order.
    pub(super) fn words(&self) -> Vec<Vec<u8>> {
        let reset = (!self.all_channels).then(|| b"resetchannels".to_vec());
        self.key_words()
            .chain(reset)
            .chain(self.channel_words())
            .chain(self.command_words())
            .collect()
    }

    /// The rule in parentheses that defines this selector.
    pub(super) fn describe_in_parentheses(&self) -> Vec<u8> {
        let words: Vec<Vec<u8>> = self
            .words()
            .into_iter()
            .map(|word| {
                // Quote a word that would end the selector early or open a quote.
                if word.ends_with(b")") || word.iter().any(|byte| b"\"'".contains(byte)) {
                    quote(&word)
                } else {
                    word
                }
            })
            .collect();
        [b"(", words.join(&b' ').as_slice(), b")"].concat()
    }
}
