//! Reads a file item by item.

use std::io;

use redis_core::serialised::{Object, decode_string, form};

use crate::error::shown;
use crate::keys::{About, Keys, Raw};
use crate::opcode::{self, refused};
use crate::source::{Source, Span};
use crate::{RdbError, module, skim};

/// The latest version of Redis's format that is read: Redis 7.4 to 8.2.
const REDIS_VERSION_MAX: u32 = 12;
/// The version of Valkey's own format: Valkey 9.
const VALKEY_VERSION: u32 = 80;
/// For errors.
pub(crate) const KNOWN_VERSIONS: &str = "1 to 12 of Redis, 80 of Valkey";
/// The first version with a checksum at the end.
const CHECKSUM_VERSION: u32 = 5;

/// What one item may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The bytes of one key with its value, as they lie in the file.
    pub item_bytes_max: usize,
    /// The elements of one value.
    pub elements_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            item_bytes_max: 1 << 30,
            elements_max: 1 << 26,
        }
    }
}

/// A key with its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Key {
    /// The key.
    pub key: Vec<u8>,
    /// The value. A collection has elements.
    pub value: Object,
    /// The deadline in milliseconds since the Unix epoch, perhaps past.
    pub expires_at: Option<i64>,
    /// For how many seconds the key was not used, where the server that wrote the file kept that.
    pub idle_s: Option<u64>,
    /// How often the key was used, on LFU's logarithmic scale, where that server kept it.
    pub frequency: Option<u8>,
}

/// One item of a file.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// A note about the server that wrote the file.
    Aux {
        /// What it tells.
        name: Vec<u8>,
        /// What it says.
        value: Vec<u8>,
    },
    /// The number of the database of all keys that follow. Before the first one it is 0.
    Database(u64),
    /// A library's text.
    Function(Vec<u8>),
    /// A key.
    Key(Key),
    /// The end, whose checksum is right. The input was read up to here and no further.
    End,
}

/// So many bytes of a file have one key at most, as far as anybody makes room for keys ahead.
const KEY_BYTES_MIN: u64 = 16;

/// An item, a key as it lies in the file.
enum Read {
    Item(Item),
    Key(Raw),
}

/// Reads a file from any input. Give it one that is buffered: it takes a few bytes at a time, and never more than the file
/// has.
#[derive(Debug)]
pub struct Reader<R> {
    source: Source<R>,
    version: u32,
    is_valkey: bool,
    checks_sum: bool,
    is_over: bool,
    sizes: Option<u64>,
    empty_keys: u64,
    module_items: u64,
}

impl<R: io::Read> Reader<R> {
    /// Reads the head of a file.
    ///
    /// # Errors
    /// An error where the input is no RDB file, or of a version that nobody here knows.
    pub fn new(input: R, limits: Limits) -> Result<Self, RdbError> {
        let mut source = Source::new(input, limits);
        let head: [u8; 9] = source.array()?;
        source.end_item();
        let (is_valkey, digits) = if let Some(digits) = head.strip_prefix(b"REDIS") {
            (false, digits)
        } else if let Some(digits) = head.strip_prefix(b"VALKEY") {
            (true, digits)
        } else {
            return Err(RdbError::NotRdb);
        };
        if !digits.iter().all(u8::is_ascii_digit) {
            return Err(RdbError::NotRdb);
        }
        let version = digits
            .iter()
            .fold(0, |number, digit| number * 10 + u32::from(digit - b'0'));
        let known = if is_valkey {
            version == VALKEY_VERSION
        } else {
            (1..=REDIS_VERSION_MAX).contains(&version)
        };
        if !known {
            let whose = if is_valkey { "Valkey" } else { "Redis" };
            return Err(RdbError::Version(format!("{version} of {whose}")));
        }
        Ok(Self {
            source,
            version,
            is_valkey,
            checks_sum: true,
            is_over: false,
            sizes: None,
            empty_keys: 0,
            module_items: 0,
        })
    }

    /// Whether the checksum at the end must be right.
    #[must_use]
    pub fn checking_sum(mut self, checks: bool) -> Self {
        self.checks_sum = checks;
        self
    }

    /// The file's version.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Whether the file has Valkey's own format.
    pub fn is_valkey(&self) -> bool {
        self.is_valkey
    }

    /// How many bytes were read.
    pub fn offset(&self) -> u64 {
        self.source.offset()
    }

    /// How many keys the file says that the present database has, if it has said so since the last call. It may be wrong, but it is
    /// no more than fit in a file of `total` bytes behind this place.
    pub fn take_sizes(&mut self, total: u64) -> Option<u64> {
        let fit = total.saturating_sub(self.offset()) / KEY_BYTES_MIN;
        self.sizes.take().map(|keys| keys.min(fit))
    }

    /// How many keys [`next`](Self::next) has skipped because their collections have no elements, which some versions of Redis
    /// wrote by mistake.
    pub fn empty_keys(&self) -> u64 {
        self.empty_keys
    }

    /// How many items of modules were skipped that belong to no key.
    pub fn module_items(&self) -> u64 {
        self.module_items
    }

    /// The input, which was read up to the end of the last item.
    pub fn into_inner(self) -> R {
        self.source.into_inner()
    }

    /// Reads the next item. After [`Item::End`] it reads nothing more.
    ///
    /// # Errors
    /// An error ends the file: what comes after it is not read.
    #[allow(clippy::should_implement_trait)] // An error, other than an iterator's item, is the end.
    pub fn next(&mut self) -> Result<Item, RdbError> {
        if self.is_over {
            return Ok(Item::End);
        }
        let item = self.decoded();
        self.is_over = matches!(item, Ok(Item::End) | Err(_));
        item
    }

    fn decoded(&mut self) -> Result<Item, RdbError> {
        loop {
            let raw = match self.read()? {
                Read::Item(item) => return Ok(item),
                Read::Key(raw) => raw,
            };
            let key = raw.decode(self.source.all())?.map(Key::from);
            self.source.end_item();
            match key {
                Some(key) => return Ok(Item::Key(key)),
                None => self.empty_keys += 1,
            }
        }
    }

    /// Reads keys as they lie in the file, without decoding them, until there are about `bytes_max` bytes of them or another
    /// item comes, which is returned. All of these keys are of the database of before that item. What `keys` had before is
    /// forgotten.
    ///
    /// # Errors
    /// As [`next`](Self::next), but for values that do not read: [`Keys::decode`] finds these.
    pub fn next_keys(
        &mut self,
        keys: &mut Keys,
        bytes_max: usize,
    ) -> Result<Option<Item>, RdbError> {
        keys.clear();
        if self.is_over {
            return Ok(Some(Item::End));
        }
        self.source.swap(&mut keys.bytes);
        let read = self.gather(&mut keys.each, bytes_max);
        self.source.swap(&mut keys.bytes);
        self.is_over = matches!(read, Ok(Some(Item::End)) | Err(_));
        read
    }

    fn gather(&mut self, keys: &mut Vec<Raw>, bytes_max: usize) -> Result<Option<Item>, RdbError> {
        while self.source.len() < bytes_max {
            match self.read()? {
                Read::Item(item) => return Ok(Some(item)),
                Read::Key(raw) => {
                    self.source.keep_item();
                    keys.push(raw);
                }
            }
        }
        Ok(None)
    }

    /// Reads the next item. A key is not ended.
    fn read(&mut self) -> Result<Read, RdbError> {
        let mut about = About::default();
        let item = loop {
            let source = &mut self.source;
            match source.byte()? {
                opcode::EXPIRES_S => {
                    let seconds = i32::from_le_bytes(source.array()?);
                    about.expires_at = Some(i64::from(seconds) * 1000);
                }
                opcode::EXPIRES_MS => about.expires_at = Some(i64::from_le_bytes(source.array()?)),
                opcode::IDLE => about.idle_s = Some(source.number()?),
                opcode::FREQUENCY => about.frequency = Some(source.byte()?),
                opcode::AUX => {
                    let (name, value) = (source.string()?, source.string()?);
                    let (name, value) = (self.owned(&name)?, self.owned(&value)?);
                    self.source.end_item();
                    break Item::Aux { name, value };
                }
                opcode::DATABASE => {
                    let number = source.number()?;
                    source.end_item();
                    break Item::Database(number);
                }
                opcode::FUNCTION => {
                    let text = source.string()?;
                    let text = self.owned(&text)?;
                    self.source.end_item();
                    break Item::Function(text);
                }
                opcode::SIZES => {
                    self.sizes = Some(source.number()?);
                    source.number()?;
                    source.end_item();
                }
                opcode::SLOT_INFO => {
                    (0..3).try_for_each(|_| source.number().map(drop))?;
                    source.end_item();
                }
                opcode::MODULE_AUX => {
                    source.number()?;
                    module::skip(source)?;
                    source.end_item();
                    self.module_items += 1;
                }
                opcode::FUNCTION_OF_OLD => {
                    const WHAT: &str = "a library of functions in a form that only release candidates of Redis 7.0 wrote";
                    return Err(RdbError::UnsupportedItem(WHAT));
                }
                opcode::SLOT_IMPORT if self.is_valkey => {
                    const WHAT: &str = "an import of cluster slots that was not over";
                    return Err(RdbError::UnsupportedItem(WHAT));
                }
                opcode::END => break self.end()?,
                form => return Ok(Read::Key(self.key(form, about)?)),
            }
        };
        Ok(Read::Item(item))
    }

    fn owned(&self, span: &Span) -> Result<Vec<u8>, RdbError> {
        if let Some(plain) = &span.plain {
            return Ok(self.source.bytes(plain.clone()).to_vec());
        }
        match decode_string(self.source.bytes(span.whole.clone())) {
            Ok(string) => Ok(string.into_owned()),
            Err(_) => Err(self.source.damaged("a compressed string does not read")),
        }
    }

    /// Reads a key with its value.
    fn key(&mut self, form: u8, about: About) -> Result<Raw, RdbError> {
        if !self.is_known(form) {
            return Err(self
                .source
                .damaged("neither an item nor a type that is known"));
        }
        let key = self.source.string()?;
        self.refuse(form, &key)?;
        let Some(value) = skim::value(&mut self.source, form)? else {
            return Err(self.source.damaged("a type that is not known"));
        };
        Ok(Raw {
            key: key.whole,
            form,
            value: value.whole,
            about,
            end: self.source.offset(),
        })
    }

    /// Whether a byte is the number of an encoding in this file's format, one that is refused included.
    fn is_known(&self, form: u8) -> bool {
        match form {
            0..=form::SORTED_SET
            | refused::MODULE_OF_OLD
            | refused::MODULE
            | form::HASH_ZIPMAP..=form::STREAM_3 => true,
            // Valkey has one such encoding, with the number of Redis's first.
            _ if self.is_valkey => form == *refused::HASHES_WITH_DEADLINES.start(),
            // This server writes the first of them whatever the file's version.
            form::HASH_EXPIRING | form::HASH_LISTPACK_EXPIRING => true,
            _ => {
                self.version == REDIS_VERSION_MAX && refused::HASHES_WITH_DEADLINES.contains(&form)
            }
        }
    }

    /// Refuses what nobody here can hold, and says which key has it.
    fn refuse(&mut self, form: u8, key: &Span) -> Result<(), RdbError> {
        let what = match form {
            refused::MODULE_OF_OLD => "its value belongs to a module".to_owned(),
            refused::MODULE => {
                let module = module::name(self.source.number()?);
                format!("its value belongs to the module type {module}")
            }
            _ if refused::HASHES_WITH_DEADLINES.contains(&form) => {
                "it is a hash with deadlines of fields".to_owned()
            }
            _ => return Ok(()),
        };
        let key = shown(&self.owned(key)?);
        Err(RdbError::Unsupported { key, what })
    }

    fn end(&mut self) -> Result<Item, RdbError> {
        self.source.end_item();
        if self.version >= CHECKSUM_VERSION {
            let sum = self.source.checksum();
            let told = u64::from_le_bytes(self.source.array()?);
            self.source.end_item();
            if self.checks_sum && told != 0 && told != sum {
                return Err(RdbError::Checksum);
            }
        }
        Ok(Item::End)
    }
}
