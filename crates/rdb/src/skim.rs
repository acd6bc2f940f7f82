//! Finds the end of a value: takes its bytes from the source, by its encoding, without decoding them. So the decoder gets all
//! of a value, whose size is known by then to be within the limits.

use std::io::Read;

use redis_core::serialised::form;

use crate::RdbError;
use crate::source::{Source, Span};

/// What lies in a string that holds a whole small collection.
#[derive(Clone, Copy)]
enum Packed {
    Zipmap,
    Ziplist,
    Listpack,
    Integers,
}

/// Takes a value's bytes. An unknown encoding is `None`.
pub(crate) fn value<R: Read>(source: &mut Source<R>, form: u8) -> Result<Option<Span>, RdbError> {
    let start = source.len();
    match form {
        form::STRING => return source.string().map(Some),
        form::LIST | form::SET => strings(source, 1)?,
        form::HASH => strings(source, 2)?,
        // The earliest deadline comes first.
        form::HASH_EXPIRING => {
            source.take(8)?;
            for _ in 0..source.number()? {
                source.number()?;
                element(source)?;
                element(source)?;
            }
        }
        form::HASH_LISTPACK_EXPIRING => {
            source.take(8)?;
            packed(source, Packed::Listpack)?;
        }
        form::SORTED_SET => members(source, |source| source.take(8).map(drop))?,
        form::SORTED_SET_TEXT => members(source, text_score)?,
        form::HASH_ZIPMAP => packed(source, Packed::Zipmap)?,
        form::LIST_ZIPLIST | form::SORTED_SET_ZIPLIST | form::HASH_ZIPLIST => {
            packed(source, Packed::Ziplist)?;
        }
        form::SET_INTEGERS => packed(source, Packed::Integers)?,
        form::HASH_LISTPACK | form::SORTED_SET_LISTPACK | form::SET_LISTPACK => {
            packed(source, Packed::Listpack)?;
        }
        form::LIST_OF_ZIPLISTS => {
            for _ in 0..source.number()? {
                packed(source, Packed::Ziplist)?;
            }
        }
        form::LIST_OF_LISTPACKS => {
            for _ in 0..source.number()? {
                match source.number()? {
                    1 => element(source)?,
                    2 => packed(source, Packed::Listpack)?,
                    _ => return Err(source.damaged("a list has an unknown sort of node")),
                }
            }
        }
        form::STREAM | form::STREAM_2 | form::STREAM_3 => stream(source, form)?,
        _ => return Ok(None),
    }
    Ok(Some(Span {
        whole: start..source.len(),
        plain: None,
    }))
}

fn element<R: Read>(source: &mut Source<R>) -> Result<(), RdbError> {
    source.count_elements(1)?;
    source.string().map(drop)
}

fn strings<R: Read>(source: &mut Source<R>, each: u64) -> Result<(), RdbError> {
    for _ in 0..source.number()? {
        for _ in 0..each {
            element(source)?;
        }
    }
    Ok(())
}

fn members<R: Read>(
    source: &mut Source<R>,
    score: fn(&mut Source<R>) -> Result<(), RdbError>,
) -> Result<(), RdbError> {
    for _ in 0..source.number()? {
        element(source)?;
        score(source)?;
    }
    Ok(())
}

fn text_score<R: Read>(source: &mut Source<R>) -> Result<(), RdbError> {
    match source.byte()? {
        // Infinite, or no number.
        253..=255 => Ok(()),
        bytes => source.take(bytes.into()).map(drop),
    }
}

/// Takes a string that holds a collection, and counts the elements that its head promises. The decoder refuses it if it has
/// others. A compressed one is bounded by the memory that the decoder gives to all compressed strings.
fn packed<R: Read>(source: &mut Source<R>, what: Packed) -> Result<(), RdbError> {
    let span = source.string()?;
    let Some(plain) = span.plain else {
        return Ok(());
    };
    let bytes = source.bytes(plain);
    let short = |at: usize| {
        let count = bytes.get(at..)?.first_chunk().copied();
        count
            .map(u16::from_le_bytes)
            .filter(|&count| count < u16::MAX)
    };
    let promised = match what {
        Packed::Ziplist => short(8).map(u64::from),
        Packed::Listpack => short(4).map(u64::from),
        Packed::Integers => {
            let count = bytes.get(4..).and_then(|rest| rest.first_chunk().copied());
            count.map(|count| u32::from_le_bytes(count).into())
        }
        Packed::Zipmap => bytes
            .first()
            .filter(|&&fields| fields < 254)
            .map(|&fields| 2 * u64::from(fields)),
    };
    // An element takes two bytes at least.
    let elements = promised.unwrap_or(bytes.len() as u64 / 2);
    source.count_elements(elements)
}

/// See `redis_core::serialised::stream` for the form.
fn stream<R: Read>(source: &mut Source<R>, form: u8) -> Result<(), RdbError> {
    for _ in 0..source.number()? {
        source.string()?;
        packed(source, Packed::Listpack)?;
    }
    // Length and last id; then the first id, the highest deleted one, and how many entries were added.
    numbers(source, if form == form::STREAM { 3 } else { 8 })?;
    for _ in 0..source.number()? {
        element(source)?;
        // The last id that was delivered; then how many entries were read.
        numbers(source, if form == form::STREAM { 2 } else { 3 })?;
        for _ in 0..source.number()? {
            source.count_elements(1)?;
            source.take(16 + 8)?;
            source.number()?;
        }
        for _ in 0..source.number()? {
            element(source)?;
            source.take(if form == form::STREAM_3 { 16 } else { 8 })?;
            for _ in 0..source.number()? {
                source.take(16)?;
            }
        }
    }
    Ok(())
}

fn numbers<R: Read>(source: &mut Source<R>, count: usize) -> Result<(), RdbError> {
    (0..count).try_for_each(|_| source.number().map(drop))
}
