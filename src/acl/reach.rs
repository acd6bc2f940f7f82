//! What a user reaches that no word of a call names: the keys that a walk over a database meets, and the calls of others
//! that MONITOR and the slow log show.

use smallvec::SmallVec;

use super::pattern::Access;
use super::rules::Rules;
use super::selector::Selector;
use crate::catalog::Command;
use crate::protocol::Args;

/// What stands for a word that somebody may not see. Redis's text.
pub const REDACTED: &[u8] = b"(redacted)";

const READING: Access = Access {
    read: true,
    write: false,
};

/// The selectors that let a user run one command: their patterns say which keys it may meet there. Patterns of other
/// selectors do not count, as they do not count for a call that names its keys.
#[derive(Clone, Debug)]
pub struct Reach<'a> {
    selectors: SmallVec<[&'a Selector; 2]>,
}

/// What somebody must reach to see the words of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subject {
    /// The key at this word, for reading.
    Key(usize),
    /// The channel at this word, or the pattern of channels.
    Channel { word: usize, is_pattern: bool },
}

/// All that somebody must reach to see the words of a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subjects {
    known: SmallVec<[Subject; 2]>,
    /// There are keys that are not known: only users who may read all see the words.
    other_keys: bool,
    /// There are channels that are not known.
    other_channels: bool,
}

/// Commands whose words are another call's, whose keys nobody looks for.
const HOLDING_CALLS: [&str; 3] = ["command|getkeys", "command|getkeysandflags", "acl|dryrun"];

impl Rules {
    /// What the user reaches by a command whose first argument is `first_arg`.
    pub fn reach(&self, command: &Command, first_arg: Option<&[u8]>) -> Reach<'_> {
        let allow = |selector: &&Selector| selector.allows_command(command, first_arg);
        Reach {
            selectors: self.all_selectors().filter(allow).collect(),
        }
    }
}

impl Reach<'_> {
    /// Whether the user may read every key there.
    pub fn reads_all(&self) -> bool {
        self.selectors
            .iter()
            .any(|selector| selector.reads_all_keys())
    }

    /// Whether the user may read the key.
    pub fn reads(&self, key: &[u8]) -> bool {
        self.selectors
            .iter()
            .any(|selector| selector.allows_key(key, READING))
    }

    /// Whether the user may know that the key exists: it may do anything at all with it, as EXISTS asks.
    pub fn knows(&self, key: &[u8]) -> bool {
        self.selectors
            .iter()
            .any(|selector| selector.allows_key(key, Access::default()))
    }

    /// Whether the user may see the words of a call: one selector must let it read all of its keys, and listen to all of
    /// its channels. `word` gives the words that `subjects` tells of; a missing one hides the call.
    pub fn sees<'w>(
        &self,
        subjects: &Subjects,
        word: impl Fn(usize) -> Option<&'w [u8]> + Copy,
    ) -> bool {
        self.selectors.iter().any(|selector| {
            if subjects.other_keys && !selector.reads_all_keys()
                || subjects.other_channels && !selector.allows_all_channels()
            {
                return false;
            }
            subjects.known.iter().all(|&subject| match subject {
                Subject::Key(place) => {
                    selector.reads_all_keys()
                        || word(place).is_some_and(|key| selector.allows_key(key, READING))
                }
                Subject::Channel {
                    word: place,
                    is_pattern,
                } => {
                    selector.allows_all_channels()
                        || word(place)
                            .is_some_and(|channel| selector.allows_channel(channel, is_pattern))
                }
            })
        })
    }
}

impl Subjects {
    /// Those of a call.
    pub fn of(command: &Command, args: Args<'_>) -> Self {
        let keys = command.spec.find_keys(args).into_iter();
        let channels = command.spec.channels(args.len()).into_iter();
        let channels = channels.flat_map(|(words, is_pattern)| {
            words.map(move |word| Subject::Channel { word, is_pattern })
        });
        Self {
            known: keys
                .map(|key| Subject::Key(key.argument))
                .chain(channels)
                .collect(),
            other_keys: HOLDING_CALLS.contains(&command.full_name),
            other_channels: false,
        }
    }

    /// Keeps those of the first `len` words; what the others were is not known from now on.
    pub fn shorten(&mut self, len: usize) {
        let (mut other_keys, mut other_channels) = (false, false);
        self.known.retain(|subject| {
            let (word, other) = match *subject {
                Subject::Key(word) => (word, &mut other_keys),
                Subject::Channel { word, .. } => (word, &mut other_channels),
            };
            *other |= word >= len;
            word < len
        });
        self.known.shrink_to_fit();
        self.other_keys |= other_keys;
        self.other_channels |= other_channels;
    }
}
