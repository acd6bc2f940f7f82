//! Reads values in every form in which Redis dumps them.

use std::borrow::Cow;
use std::collections::HashSet;

use super::reader::{Elements, Reader};
use super::{Object, deadlines, form, integers, listpack, stream, ziplist, zipmap};

/// The value of a body. `None` if the body is not valid, is a collection without elements, has an element twice, or has compressed strings
/// that would take more than `inflated_bytes_max`.
pub(super) fn body(bytes: &[u8], inflated_bytes_max: usize) -> Option<Object> {
    let (&form, bytes) = bytes.split_first()?;
    value(form, bytes, inflated_bytes_max).filter(|object| !object.is_empty())
}

/// As [`body`], of the bytes behind the encoding's number, and a collection may have no elements.
pub(super) fn value(form: u8, bytes: &[u8], inflated_bytes_max: usize) -> Option<Object> {
    let mut reader = Reader::inflating(bytes, inflated_bytes_max);
    let object = object(&mut reader, form)?;
    (reader.is_empty() && is_distinct(&object)).then_some(object)
}

fn object(reader: &mut Reader<'_>, form: u8) -> Option<Object> {
    Some(match form {
        form::STRING => Object::String(reader.string()?.into_owned()),
        form::LIST => Object::List(strings(reader)?),
        form::LIST_ZIPLIST => Object::List(reader.packed(ziplist::decode)?),
        form::LIST_OF_ZIPLISTS => Object::List(nodes(reader, ziplist_node)?),
        form::LIST_OF_LISTPACKS => Object::List(nodes(reader, listpack_node)?),
        form::SET => Object::Set(strings(reader)?),
        form::SET_INTEGERS => Object::Set(reader.packed(integers::decode)?),
        form::SET_LISTPACK => Object::Set(reader.packed(listpack::decode)?),
        form::HASH => Object::Hash(fields(reader)?),
        form::HASH_ZIPMAP => Object::Hash(pairs(reader.packed(zipmap::decode)?)?),
        form::HASH_ZIPLIST => Object::Hash(pairs(reader.packed(ziplist::decode)?)?),
        form::HASH_LISTPACK => Object::Hash(pairs(reader.packed(listpack::decode)?)?),
        form::HASH_EXPIRING => deadlines::read(reader)?,
        form::HASH_LISTPACK_EXPIRING => deadlines::read_listpack(reader)?,
        form::SORTED_SET => Object::SortedSet(members(reader, binary_score)?),
        form::SORTED_SET_TEXT => Object::SortedSet(members(reader, text_score)?),
        form::SORTED_SET_ZIPLIST => scored(reader.packed(ziplist::decode)?)?,
        form::SORTED_SET_LISTPACK => scored(reader.packed(listpack::decode)?)?,
        form::STREAM | form::STREAM_2 | form::STREAM_3 => {
            Object::Stream(Box::new(stream::read(reader, form)?))
        }
        _ => return None,
    })
}

impl Object {
    /// Whether it is a collection without elements, which no key holds. A stream without entries is a value.
    pub fn is_empty(&self) -> bool {
        match self {
            Object::String(_) | Object::Stream(_) => false,
            Object::List(elements) | Object::Set(elements) => elements.is_empty(),
            Object::Hash(fields) => fields.is_empty(),
            Object::ExpiringHash(fields) => fields.is_empty(),
            Object::SortedSet(members) => members.is_empty(),
        }
    }
}

fn is_distinct(object: &Object) -> bool {
    fn all<'a>(mut elements: impl ExactSizeIterator<Item = &'a Vec<u8>>) -> bool {
        let mut seen = HashSet::with_capacity(elements.len());
        elements.all(|element| seen.insert(element))
    }
    match object {
        Object::String(_) | Object::List(_) | Object::Stream(_) => true,
        Object::Set(members) => all(members.iter()),
        Object::Hash(fields) => all(fields.iter().map(|(field, _)| field)),
        Object::ExpiringHash(fields) => all(fields.iter().map(|field| &field.name)),
        Object::SortedSet(members) => all(members.iter().map(|(member, _)| member)),
    }
}

pub(super) fn owned(reader: &mut Reader<'_>) -> Option<Vec<u8>> {
    reader.string().map(Cow::into_owned)
}

fn strings(reader: &mut Reader<'_>) -> Option<Elements> {
    (0..reader.count()?).map(|_| owned(reader)).collect()
}

fn fields(reader: &mut Reader<'_>) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
    (0..reader.count()?)
        .map(|_| Some((owned(reader)?, owned(reader)?)))
        .collect()
}

fn members(
    reader: &mut Reader<'_>,
    score: fn(&mut Reader<'_>) -> Option<f64>,
) -> Option<Vec<(Vec<u8>, f64)>> {
    (0..reader.count()?)
        .map(|_| Some((owned(reader)?, score(reader)?)))
        .collect()
}

fn binary_score(reader: &mut Reader<'_>) -> Option<f64> {
    let score = f64::from_le_bytes(reader.array()?);
    (!score.is_nan()).then_some(score)
}

/// A score in the form of Redis before 4.0: a length and a decimal text. Special lengths stand for the scores that no
/// digits can write.
fn text_score(reader: &mut Reader<'_>) -> Option<f64> {
    match reader.byte()? {
        255 => Some(f64::NEG_INFINITY),
        254 => Some(f64::INFINITY),
        // NaN
        253 => None,
        length => parse_score(reader.take(length.into())?),
    }
}

fn parse_score(text: &[u8]) -> Option<f64> {
    let score: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    (!score.is_nan()).then_some(score)
}

/// The elements of a list that is a sequence of nodes.
fn nodes(
    reader: &mut Reader<'_>,
    node: fn(&mut Reader<'_>) -> Option<Elements>,
) -> Option<Elements> {
    let mut elements = Vec::new();
    for _ in 0..reader.count()? {
        elements.append(&mut node(reader)?);
    }
    Some(elements)
}

fn ziplist_node(reader: &mut Reader<'_>) -> Option<Elements> {
    reader.packed(ziplist::decode)
}

/// A node of a list of Redis 7: one large element, or a listpack.
fn listpack_node(reader: &mut Reader<'_>) -> Option<Elements> {
    match reader.length()? {
        1 => Some(vec![owned(reader)?]),
        2 => reader.packed(listpack::decode),
        _ => None,
    }
}

/// Takes the elements two by two. `None` if one is left over.
fn pairs(elements: Elements) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut pairs = Vec::with_capacity(elements.len() / 2);
    let mut elements = elements.into_iter();
    while let Some(first) = elements.next() {
        pairs.push((first, elements.next()?));
    }
    Some(pairs)
}

fn scored(elements: Elements) -> Option<Object> {
    let members = pairs(elements)?
        .into_iter()
        .map(|(member, score)| Some((member, parse_score(&score)?)));
    Some(Object::SortedSet(members.collect::<Option<_>>()?))
}
