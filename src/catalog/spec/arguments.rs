//! The arguments of a command, as COMMAND DOCS describes them.

/// One argument, as COMMAND DOCS describes it.
#[derive(Clone, Copy, Debug)]
pub struct Argument {
    /// Name for people and completion.
    pub name: &'static str,
    /// What it is.
    pub kind: ArgumentKind,
    /// What stands for it in a synopsis, where that is not its name; or empty.
    pub display: &'static str,
    /// The literal word that comes first, or empty.
    pub token: &'static str,
    /// May be left out.
    pub optional: bool,
    /// May stand several times.
    pub multiple: bool,
    /// Where it may stand several times: the token is repeated each time.
    pub multiple_token: bool,
    /// The version that added it, where later than the command; or empty.
    pub since: &'static str,
    /// The version that deprecated it; or empty.
    pub deprecated_since: &'static str,
}

/// What an argument is.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)] // Each is the type of that name in COMMAND DOCS.
pub enum ArgumentKind {
    String,
    Integer,
    Double,
    /// A key; the number is the index of its key specification.
    Key(usize),
    Pattern,
    UnixTime,
    PureToken,
    OneOf(&'static [Argument]),
    Block(&'static [Argument]),
}

impl Argument {
    /// A required argument.
    pub const fn new(name: &'static str, kind: ArgumentKind) -> Self {
        Self {
            name,
            kind,
            display: "",
            token: "",
            optional: false,
            multiple: false,
            multiple_token: false,
            since: "",
            deprecated_since: "",
        }
    }

    /// The word `token` alone.
    pub const fn token(name: &'static str, token: &'static str) -> Self {
        Self::new(name, ArgumentKind::PureToken).with_token(token)
    }

    /// The first key.
    pub const fn key() -> Self {
        Self::new("key", ArgumentKind::Key(0))
    }

    /// Preceded by the word `token`.
    #[must_use]
    pub const fn with_token(mut self, token: &'static str) -> Self {
        self.token = token;
        self
    }

    /// May be left out.
    #[must_use]
    pub const fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    /// May stand several times.
    #[must_use]
    pub const fn multiple(mut self) -> Self {
        self.multiple = true;
        self
    }

    /// Its token comes before each of several.
    #[must_use]
    pub const fn repeated_token(mut self) -> Self {
        self.multiple_token = true;
        self
    }

    /// Shown as `display` in a synopsis.
    #[must_use]
    pub const fn shown_as(mut self, display: &'static str) -> Self {
        self.display = display;
        self
    }

    /// Deprecated in `version`.
    #[must_use]
    pub const fn deprecated_since(mut self, version: &'static str) -> Self {
        self.deprecated_since = version;
        self
    }

    /// Added in `version`.
    #[must_use]
    pub const fn since(mut self, version: &'static str) -> Self {
        self.since = version;
        self
    }
}
