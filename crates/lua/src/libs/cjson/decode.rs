//! `cjson.decode`

use mlua::{LightUserData, Lua, MultiValue, Table, Value};

use super::{Config, one_argument};
use crate::arguments::checked_string;
use crate::current::State;
use crate::failure::Failure;
use crate::format;
use crate::libs::Results;

/// How deep values may nest whatever the script sets. The C library fails there too, since it has no more slots.
const DEPTH_MAX: usize = 3990;

pub(super) fn decode(lua: &Lua, config: &mut Config, _: &State, args: &MultiValue) -> Results {
    one_argument(args)?;
    let text = checked_string(lua, args, 1)?;
    let text = text.as_bytes();
    if text.len() >= 2 && (text[0] == 0 || text[1] == 0) {
        return Err(Failure::text(
            "JSON parser does not support UTF-16 or UTF-32",
        ));
    }
    let mut parser = Parser {
        lua,
        invalid_numbers: config.decode_invalid,
        depth_max: usize::try_from(config.decode_depth)
            .unwrap_or(0)
            .min(DEPTH_MAX),
        text: &text,
        at: 0,
    };
    Ok(MultiValue::from_vec(vec![parser.document()?]))
}

/// A piece of the text. Its names in error texts are those of the C library.
#[derive(Debug)]
enum Token {
    ObjectBegin,
    ObjectEnd,
    ArrayBegin,
    ArrayEnd,
    String(Vec<u8>),
    Number(f64),
    Boolean(bool),
    Null,
    Colon,
    Comma,
    End,
    Error(&'static str),
}

impl Token {
    fn name(&self) -> &'static str {
        match self {
            Token::ObjectBegin => "T_OBJ_BEGIN",
            Token::ObjectEnd => "T_OBJ_END",
            Token::ArrayBegin => "T_ARR_BEGIN",
            Token::ArrayEnd => "T_ARR_END",
            Token::String(_) => "T_STRING",
            Token::Number(_) => "T_NUMBER",
            Token::Boolean(_) => "T_BOOLEAN",
            Token::Null => "T_NULL",
            Token::Colon => "T_COLON",
            Token::Comma => "T_COMMA",
            Token::End => "T_END",
            Token::Error(text) => text,
        }
    }
}

/// A table that is being read.
enum Frame {
    Array { table: Table, next: i64 },
    Object { table: Table, key: Value },
}

struct Parser<'a> {
    lua: &'a Lua,
    invalid_numbers: bool,
    depth_max: usize,
    text: &'a [u8],
    at: usize,
}

/// A token and where it begins, or where it went wrong.
type Found = (Token, usize);

fn unexpected(expected: &str, (token, at): &Found) -> Failure {
    Failure::text(format!(
        "Expected {expected} but found {} at character {}",
        token.name(),
        at + 1
    ))
}

impl Parser<'_> {
    fn document(&mut self) -> Result<Value, Failure> {
        let mut frames: Vec<Frame> = Vec::new();
        let mut token = self.token();
        loop {
            // The token begins a value.
            let mut value = match token.0 {
                Token::String(text) => Value::String(self.lua.create_string(text)?),
                Token::Number(number) => Value::Number(number),
                Token::Boolean(value) => Value::Boolean(value),
                Token::Null => Value::LightUserData(LightUserData(std::ptr::null_mut())),
                Token::ArrayBegin => {
                    self.check_depth(frames.len() + 1)?;
                    let table = self.lua.create_table()?;
                    token = self.token();
                    if !matches!(token.0, Token::ArrayEnd) {
                        frames.push(Frame::Array { table, next: 1 });
                        continue;
                    }
                    Value::Table(table)
                }
                Token::ObjectBegin => {
                    self.check_depth(frames.len() + 1)?;
                    let table = self.lua.create_table()?;
                    let first = self.token();
                    if !matches!(first.0, Token::ObjectEnd) {
                        let key = self.key(first)?;
                        frames.push(Frame::Object { table, key });
                        token = self.token();
                        continue;
                    }
                    Value::Table(table)
                }
                _ => return Err(unexpected("value", &token)),
            };
            // The value is complete, and perhaps the tables that it ends.
            loop {
                let Some(frame) = frames.pop() else {
                    let end = self.token();
                    return match end.0 {
                        Token::End => Ok(value),
                        _ => Err(unexpected("the end", &end)),
                    };
                };
                match self.store(frame, value)? {
                    Stored::Open(frame) => frames.push(frame),
                    Stored::Closed(table) => {
                        value = Value::Table(table);
                        continue;
                    }
                }
                token = self.token();
                break;
            }
        }
    }

    /// Puts a value into its table and reads what follows.
    fn store(&mut self, frame: Frame, value: Value) -> Result<Stored, Failure> {
        match frame {
            Frame::Array { table, next } => {
                table.raw_set(next, value)?;
                let follows = self.token();
                match follows.0 {
                    Token::ArrayEnd => Ok(Stored::Closed(table)),
                    Token::Comma => Ok(Stored::Open(Frame::Array {
                        table,
                        next: next + 1,
                    })),
                    _ => Err(unexpected("comma or array end", &follows)),
                }
            }
            Frame::Object { table, key } => {
                table.raw_set(key, value)?;
                let follows = self.token();
                match follows.0 {
                    Token::ObjectEnd => Ok(Stored::Closed(table)),
                    Token::Comma => {
                        let token = self.token();
                        let key = self.key(token)?;
                        Ok(Stored::Open(Frame::Object { table, key }))
                    }
                    _ => Err(unexpected("comma or object end", &follows)),
                }
            }
        }
    }

    /// A key, and the colon behind it.
    fn key(&mut self, token: Found) -> Result<Value, Failure> {
        let (Token::String(text), _) = token else {
            return Err(unexpected("object key string", &token));
        };
        let key = Value::String(self.lua.create_string(text)?);
        let colon = self.token();
        match colon.0 {
            Token::Colon => Ok(key),
            _ => Err(unexpected("colon", &colon)),
        }
    }

    fn check_depth(&self, depth: usize) -> Result<(), Failure> {
        if depth <= self.depth_max {
            return Ok(());
        }
        Err(Failure::text(format!(
            "Found too many nested data structures ({depth}) at character {}",
            self.at
        )))
    }

    /// A byte of the text; NUL behind its end, as in C.
    fn byte(&self, at: usize) -> u8 {
        self.text.get(at).copied().unwrap_or(0)
    }

    fn token(&mut self) -> Found {
        while matches!(self.byte(self.at), b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
        }
        let start = self.at;
        let single = match self.byte(start) {
            b'{' => Token::ObjectBegin,
            b'}' => Token::ObjectEnd,
            b'[' => Token::ArrayBegin,
            b']' => Token::ArrayEnd,
            b',' => Token::Comma,
            b':' => Token::Colon,
            0 => return (Token::End, start),
            b'"' => return self.string(start),
            b'f' | b'i' | b'I' | b'n' | b'N' | b't' | b'+' | b'-' | b'0'..=b'9' => {
                return self.word(start);
            }
            _ => return (Token::Error("invalid token"), start),
        };
        self.at += 1;
        (single, start)
    }

    fn word(&mut self, start: usize) -> Found {
        let rest = &self.text[start..];
        if matches!(rest[0], b'-' | b'0'..=b'9') {
            if !self.invalid_numbers && is_invalid_number(rest) {
                return (Token::Error("invalid number"), start);
            }
            return self.number(start);
        }
        for (word, token) in [
            ("true", Token::Boolean(true)),
            ("false", Token::Boolean(false)),
            ("null", Token::Null),
        ] {
            if rest.starts_with(word.as_bytes()) {
                self.at += word.len();
                return (token, start);
            }
        }
        if self.invalid_numbers && is_invalid_number(rest) {
            return self.number(start);
        }
        (Token::Error("invalid token"), start)
    }

    fn number(&mut self, start: usize) -> Found {
        match format::leading_number(&self.text[start..]) {
            Some((number, length)) => {
                self.at += length;
                (Token::Number(number), start)
            }
            None => (Token::Error("invalid number"), start),
        }
    }

    fn string(&mut self, start: usize) -> Found {
        self.at += 1;
        let mut text = Vec::new();
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            let plain = rest
                .iter()
                .position(|byte| matches!(byte, b'"' | b'\\' | 0))
                .unwrap_or(rest.len());
            text.extend_from_slice(&rest[..plain]);
            self.at += plain;
            match self.byte(self.at) {
                b'"' => {
                    self.at += 1;
                    return (Token::String(text), start);
                }
                b'\\' => {
                    if let Err(error) = self.escape(&mut text) {
                        return (Token::Error(error), self.at);
                    }
                }
                _ => return (Token::Error("unexpected end of string"), self.at),
            }
        }
    }

    fn escape(&mut self, text: &mut Vec<u8>) -> Result<(), &'static str> {
        let byte = match self.byte(self.at + 1) {
            b'u' => return self.unicode(text).ok_or("invalid unicode escape code"),
            byte @ (b'"' | b'\\' | b'/') => byte,
            b'b' => 0x08,
            b't' => b'\t',
            b'n' => b'\n',
            b'f' => 0x0c,
            b'r' => b'\r',
            _ => return Err("invalid escape code"),
        };
        text.push(byte);
        self.at += 2;
        Ok(())
    }

    fn unicode(&mut self, text: &mut Vec<u8>) -> Option<()> {
        let first = self.hex(self.at + 2)?;
        let mut length = 6;
        let point = if first & 0xf800 == 0xd800 {
            if first & 0x400 != 0
                || self.byte(self.at + 6) != b'\\'
                || self.byte(self.at + 7) != b'u'
            {
                return None;
            }
            let second = self.hex(self.at + 8)?;
            if second & 0xfc00 != 0xdc00 {
                return None;
            }
            length = 12;
            (((first & 0x3ff) << 10) | (second & 0x3ff)) + 0x10000
        } else {
            first
        };
        let point = char::from_u32(point)?;
        text.extend_from_slice(point.encode_utf8(&mut [0; 4]).as_bytes());
        self.at += length;
        Some(())
    }

    fn hex(&self, at: usize) -> Option<u32> {
        (at..at + 4).try_fold(0, |value, at| {
            Some(value * 16 + char::from(self.byte(at)).to_digit(16)?)
        })
    }
}

/// A table after a value was stored.
enum Stored {
    Open(Frame),
    Closed(Table),
}

/// Whether a text begins as a number that C reads but JSON does not have.
fn is_invalid_number(text: &[u8]) -> bool {
    let text = match text {
        [b'+', ..] => return true,
        [b'-', rest @ ..] | rest => rest,
    };
    match text {
        [b'0', b'x' | b'X' | b'0'..=b'9', ..] => true,
        [b'0', ..] => false,
        [first, ..] if *first <= b'9' => false,
        _ => text.get(..3).is_some_and(|word| {
            word.eq_ignore_ascii_case(b"inf") || word.eq_ignore_ascii_case(b"nan")
        }),
    }
}
