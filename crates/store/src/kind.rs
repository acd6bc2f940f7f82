//! The types of values, and the numbers that records give them.

/// The type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A binary-safe string.
    String = 0,
    /// Elements by position.
    List = 1,
    /// Members without order.
    Set = 2,
    /// Members in the order of their scores.
    SortedSet = 3,
    /// Values by field.
    Hash = 4,
    /// Entries by time, and groups that read them. Numbers 5 and 6 stand for forms of strings.
    Stream = 7,
    /// A list whose elements all lie in its key's record.
    CompactList = 9,
    /// A set whose members all lie in its key's record.
    CompactSet = 10,
    /// A sorted set whose members all lie in its key's record.
    CompactSortedSet = 11,
    /// A hash whose fields all lie in its key's record.
    CompactHash = 12,
}

impl Kind {
    /// The type with that number.
    pub fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Kind::String),
            1 => Some(Kind::List),
            2 => Some(Kind::Set),
            3 => Some(Kind::SortedSet),
            4 => Some(Kind::Hash),
            7 => Some(Kind::Stream),
            9 => Some(Kind::CompactList),
            10 => Some(Kind::CompactSet),
            11 => Some(Kind::CompactSortedSet),
            12 => Some(Kind::CompactHash),
            _ => None,
        }
    }

    /// TYPE's name for it.
    pub fn name(self) -> &'static str {
        match self.plain() {
            Kind::List => "list",
            Kind::Set => "set",
            Kind::SortedSet => "zset",
            Kind::Hash => "hash",
            Kind::Stream => "stream",
            _ => "string",
        }
    }

    /// The type that clients see: a compact hash is a hash.
    #[inline]
    #[must_use]
    pub fn plain(self) -> Self {
        match self {
            Kind::CompactList => Kind::List,
            Kind::CompactSet => Kind::Set,
            Kind::CompactSortedSet => Kind::SortedSet,
            Kind::CompactHash => Kind::Hash,
            other => other,
        }
    }

    /// The compact form of a type; `None` if the type has none.
    #[must_use]
    pub fn compact(self) -> Option<Self> {
        match self.plain() {
            Kind::List => Some(Kind::CompactList),
            Kind::Set => Some(Kind::CompactSet),
            Kind::SortedSet => Some(Kind::CompactSortedSet),
            Kind::Hash => Some(Kind::CompactHash),
            _ => None,
        }
    }

    /// Whether all elements lie in the record of the key.
    #[inline]
    #[must_use]
    pub fn is_compact(self) -> bool {
        self != self.plain()
    }
}

/// How Redis would hold a string, as far as the bytes alone do not tell. OBJECT ENCODING shows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum StringForm {
    /// As SET holds it: an integer as a number, up to 44 bytes together with their header, others in a buffer.
    #[default]
    Plain = 0,
    /// In a buffer, whatever its bytes are, because a command has changed it in place.
    Raw = 1,
    /// As Plain, but an integer stays text, because a command has computed the text.
    Text = 2,
    /// No key's value: the record of all libraries of functions ([`LIBRARIES`](crate::LIBRARIES)).
    Libraries = 3,
    /// No key's value: how far a replica has followed its master ([`PLACE`](crate::PLACE)).
    Place = 4,
}

/// What a record knows about its value: the type, and the form of a string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordKind {
    /// The type.
    pub kind: Kind,
    /// The form; for other types always [`StringForm::Plain`].
    pub form: StringForm,
}

impl From<Kind> for RecordKind {
    fn from(kind: Kind) -> Self {
        Self {
            kind,
            form: StringForm::Plain,
        }
    }
}

impl From<StringForm> for RecordKind {
    fn from(form: StringForm) -> Self {
        Self {
            kind: Kind::String,
            form,
        }
    }
}

/// The numbers in records for strings in other forms than [`StringForm::Plain`].
const RAW_STRING: u8 = 5;
const TEXT_STRING: u8 = 6;
/// The largest number that a record has room for, so that types have the ones below.
const LIBRARIES_TEXT: u8 = 31;
const PLACE_TEXT: u8 = 30;

impl RecordKind {
    /// The number, which is part of the pool's format. For a plain value it is the number of the type.
    pub fn number(self) -> u8 {
        match self.form {
            StringForm::Plain => self.kind as u8,
            StringForm::Raw => RAW_STRING,
            StringForm::Text => TEXT_STRING,
            StringForm::Libraries => LIBRARIES_TEXT,
            StringForm::Place => PLACE_TEXT,
        }
    }

    /// The kind with that number.
    pub fn from_number(number: u8) -> Option<Self> {
        match number {
            RAW_STRING => Some(StringForm::Raw.into()),
            TEXT_STRING => Some(StringForm::Text.into()),
            LIBRARIES_TEXT => Some(StringForm::Libraries.into()),
            PLACE_TEXT => Some(StringForm::Place.into()),
            _ => Kind::from_number(number).map(Self::from),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        let known = |&number: &u8| RecordKind::from_number(number).is_some();
        let numbers: Vec<u8> = (0..=u8::MAX).filter(known).collect();
        assert_eq!(numbers, [0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 30, 31]);
        for number in numbers {
            let kind = RecordKind::from_number(number);
            assert_eq!(kind.map(RecordKind::number), Some(number));
        }
        // Pools that were made before strings had forms.
        assert_eq!(RecordKind::from_number(0), Some(Kind::String.into()));
    }

    #[test]
    fn compact_forms_are_of_the_same_type() {
        for kind in (0..=u8::MAX).filter_map(Kind::from_number) {
            assert_eq!(kind.name(), kind.plain().name());
            assert!(!kind.plain().is_compact());
            if let Some(compact) = kind.compact() {
                assert!(compact.is_compact());
                assert_eq!(compact.plain(), kind.plain());
            }
        }
    }
}
