//! What a user may do: flags, passwords and selectors. Rules define it and describe it.

use sha2::{Digest, Sha256};

use super::selector::Selector;

/// The SHA-256 of a password. The server keeps no plain passwords.
type Hash = [u8; 32];

/// Why a rule is refused, as Redis words it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// No such command, subcommand or category.
    #[error("Unknown command or category name in ACL")]
    UnknownCommand,
    /// The word is no rule.
    #[error("Syntax error")]
    Syntax,
    /// A pattern of keys although all keys are allowed.
    #[error(
        "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have any effect. Try \
         'resetkeys' to start with an empty list of patterns"
    )]
    KeysAfterAll,
    /// A pattern of channels although all channels are allowed.
    #[error(
        "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and does not have any effect. \
         Try 'resetchannels' to start with an empty list of channels"
    )]
    ChannelsAfterAll,
    /// The user has no such password.
    #[error("The password you are trying to remove from the user does not exist")]
    NoSuchPassword,
    /// A malformed hash.
    #[error(
        "The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters"
    )]
    BadHash,
    /// A second definition of a user.
    #[error("Duplicate user found. A user can only be defined once in config files")]
    Duplicate,
    /// A first argument of a subcommand: `+config|get|x`.
    #[error("Allowing first-arg of a subcommand is not supported")]
    FirstArgOfSubcommand,
}

/// Why a list of rules is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RulesError {
    /// The selector that begins with this word has no end.
    Unmatched(Vec<u8>),
    /// This rule is wrong.
    Rule(Vec<u8>, RuleError),
}

/// What one user may do.
#[allow(clippy::struct_excessive_bools)] // Each is a rule's own flag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    enabled: bool,
    nopass: bool,
    skips_sanitizing: bool,
    passwords: Vec<Hash>,
    root: Selector,
    selectors: Vec<Selector>,
    /// What new selectors and `reset` begin with: all channels, or none.
    channels_by_default: bool,
}

impl Rules {
    /// The rules of a new user: it is off and may do nothing, except for all channels with `channels_by_default`.
    pub fn new(channels_by_default: bool) -> Self {
        Self {
            enabled: false,
            nopass: false,
            skips_sanitizing: false,
            passwords: Vec::new(),
            root: Selector::new(channels_by_default),
            selectors: Vec::new(),
            channels_by_default,
        }
    }

    /// The rules of an unconfigured default user: it may do everything, without a password.
    pub fn everything(channels_by_default: bool) -> Self {
        let mut rules = Self::new(channels_by_default);
        for word in ["on", "nopass", "~*", "&*", "+@all"] {
            rules.apply(word.as_bytes()).expect("these are rules");
        }
        rules
    }

    /// Applies one rule. An error changes nothing. A selector must be one word here.
    pub fn apply(&mut self, rule: &[u8]) -> Result<(), RuleError> {
        match rule.to_ascii_lowercase().as_slice() {
            b"" => {}
            b"on" => self.enabled = true,
            b"off" => self.enabled = false,
            b"nopass" => {
                self.nopass = true;
                self.passwords.clear();
            }
            b"resetpass" => {
                self.nopass = false;
                self.passwords.clear();
            }
            b"skip-sanitize-payload" => self.skips_sanitizing = true,
            b"sanitize-payload" => self.skips_sanitizing = false,
            b"clearselectors" => self.selectors.clear(),
            b"reset" => *self = Self::new(self.channels_by_default),
            _ => self.apply_with_argument(rule)?,
        }
        Ok(())
    }

    fn apply_with_argument(&mut self, rule: &[u8]) -> Result<(), RuleError> {
        match rule {
            [b'>', password @ ..] => self.add_password(hash(password)),
            [b'#', hash @ ..] => self.add_password(parse_hash(hash)?),
            [b'<', password @ ..] => self.remove_password(&hash(password))?,
            [b'!', hash @ ..] => self.remove_password(&parse_hash(hash)?)?,
            [b'(', .., b')'] => {
                let selector = Selector::parse(rule, self.channels_by_default)?;
                self.selectors.push(selector);
            }
            _ => self.root.apply(rule)?,
        }
        Ok(())
    }

    fn add_password(&mut self, hash: Hash) {
        self.nopass = false;
        if !self.passwords.contains(&hash) {
            self.passwords.push(hash);
        }
    }

    fn remove_password(&mut self, hash: &Hash) -> Result<(), RuleError> {
        let place = self.passwords.iter().position(|other| other == hash);
        self.passwords
            .remove(place.ok_or(RuleError::NoSuchPassword)?);
        Ok(())
    }

    /// Applies the rules in `words`, in which a selector may be several words. After an error some rules may have been
    /// applied.
    pub fn apply_all<W: AsRef<[u8]>>(&mut self, words: &[W]) -> Result<(), RulesError> {
        for rule in merge_selectors(words).map_err(RulesError::Unmatched)? {
            if let Err(error) = self.apply(&rule) {
                return Err(RulesError::Rule(rule, error));
            }
        }
        Ok(())
    }

    /// Sets the only password; `None` accepts any password. For the directive `requirepass`.
    pub(super) fn set_only_password(&mut self, password: Option<&[u8]>) {
        self.passwords.clear();
        self.nopass = password.is_none();
        self.passwords.extend(password.map(hash));
    }

    /// Sets what `reset` and new selectors begin with: all channels, or none.
    pub(super) fn set_channels_by_default(&mut self, all: bool) {
        self.channels_by_default = all;
    }

    pub(super) fn channels_by_default(&self) -> bool {
        self.channels_by_default
    }

    /// Whether connections may authenticate as this user.
    pub fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// Whether the user accepts any password.
    pub fn takes_any_password(&self) -> bool {
        self.nopass
    }

    /// Whether a client may authenticate with this password. The time that it takes tells nothing about the stored
    /// passwords.
    pub fn accepts(&self, password: &[u8]) -> bool {
        let given = hash(password);
        let mut found = self.nopass;
        for kept in &self.passwords {
            let differing = kept
                .iter()
                .zip(&given)
                .fold(0, |bits, (a, b)| std::hint::black_box(bits | (a ^ b)));
            found |= differing == 0;
        }
        found && self.enabled
    }

    /// Whether a selector allows everything.
    pub fn is_unrestricted(&self) -> bool {
        self.all_selectors().any(Selector::is_unrestricted)
    }

    /// The root selector.
    pub fn root(&self) -> &Selector {
        &self.root
    }

    /// The selectors besides the root.
    pub fn selectors(&self) -> &[Selector] {
        &self.selectors
    }

    pub(super) fn all_selectors(&self) -> impl Iterator<Item = &Selector> {
        std::iter::once(&self.root).chain(&self.selectors)
    }

    /// The flags' names, in Redis's order.
    pub fn flags(&self) -> Vec<&'static str> {
        let mut flags = vec![if self.enabled { "on" } else { "off" }];
        if self.nopass {
            flags.push("nopass");
        }
        flags.push(if self.skips_sanitizing {
            "skip-sanitize-payload"
        } else {
            "sanitize-payload"
        });
        flags
    }

    /// The hashes of the passwords, in hexadecimal digits.
    pub fn password_hashes(&self) -> impl Iterator<Item = String> {
        self.passwords.iter().map(|hash| hex(hash))
    }

    /// The rules that define this user, as words. A selector is one word.
    pub fn words(&self) -> Vec<Vec<u8>> {
        let flags = self
            .flags()
            .into_iter()
            .map(|flag| flag.as_bytes().to_vec());
        let passwords = self.password_hashes().map(|hash| format!("#{hash}").into());
        let selectors = self.selectors.iter().map(Selector::describe_in_parentheses);
        flags
            .chain(passwords)
            .chain(self.root.words())
            .chain(selectors)
            .collect()
    }

    /// The rules in one line, as ACL LIST shows them.
    pub fn describe(&self) -> Vec<u8> {
        self.words().join(&b' ')
    }
}

fn hash(password: &[u8]) -> Hash {
    Sha256::digest(password).into()
}

/// Lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits
        .map(|digit| char::from(DIGITS[usize::from(digit)]))
        .collect()
}

fn parse_hash(text: &[u8]) -> Result<Hash, RuleError> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Ok(byte - b'0'),
        b'a'..=b'f' => Ok(byte - b'a' + 10),
        _ => Err(RuleError::BadHash),
    };
    let mut hash = [0; 32];
    if text.len() != 2 * hash.len() {
        return Err(RuleError::BadHash);
    }
    for (byte, pair) in hash.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Ok(hash)
}

/// Joins the words of each selector into one word. The error is the first word of a selector that has no end.
pub fn merge_selectors<W: AsRef<[u8]>>(words: &[W]) -> Result<Vec<Vec<u8>>, Vec<u8>> {
    let mut merged = Vec::new();
    let mut open: Option<(Vec<u8>, &[u8])> = None;
    for word in words {
        let word = word.as_ref();
        match &mut open {
            None if word.starts_with(b"(") && !word.ends_with(b")") => {
                open = Some((word.to_vec(), word));
            }
            None => merged.push(word.to_vec()),
            Some((selector, _)) => {
                selector.push(b' ');
                selector.extend_from_slice(word);
                if word.ends_with(b")") {
                    merged.extend(open.take().map(|(selector, _)| selector));
                }
            }
        }
    }
    match open {
        None => Ok(merged),
        Some((_, first)) => Err(first.to_vec()),
    }
}
