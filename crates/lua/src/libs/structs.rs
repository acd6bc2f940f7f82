//! The library `struct`: numbers and strings in C's layouts.

use mlua::{Lua, MultiValue, Value};

use super::{Body, Results};
use crate::arguments::{checked_number, checked_string, number_of, optional_integer, truncated};
use crate::buffer::Buffer;
use crate::current::State;
use crate::failure::Failure;
use crate::host::Host;

pub(super) const FUNCTIONS: [(&str, Body); 3] =
    [("pack", pack), ("unpack", unpack), ("size", size)];

/// The alignment of a double, which `!` without a number sets.
const ALIGN_MAX: usize = 8;
/// How many bytes an integer may take.
const INTEGER_BYTES_MAX: usize = 32;
/// How many values `unpack` may return: Lua's C functions have no more slots.
const RESULTS_MAX: usize = 7990;

/// A format that is being read.
struct Format<'a> {
    rest: &'a [u8],
    little: bool,
    align: usize,
}

/// One option of a format, with its number of bytes.
struct Option_ {
    letter: u8,
    size: usize,
}

impl<'a> Format<'a> {
    fn new(text: &'a [u8]) -> Self {
        Self {
            // C's string ends at a NUL byte.
            rest: text.split(|&byte| byte == 0).next().unwrap_or_default(),
            little: cfg!(target_endian = "little"),
            align: 1,
        }
    }

    fn next(&mut self) -> Result<Option<Option_>, Failure> {
        let Some((&letter, rest)) = self.rest.split_first() else {
            return Ok(None);
        };
        self.rest = rest;
        let size = match letter {
            b'B' | b'b' | b'x' => 1,
            b'H' | b'h' => 2,
            b'f' => 4,
            b'L' | b'l' | b'T' | b'd' => 8,
            b'c' => self.number(1)?,
            b'i' | b'I' => self.integer_size()?,
            _ => 0,
        };
        Ok(Some(Option_ { letter, size }))
    }

    fn integer_size(&mut self) -> Result<usize, Failure> {
        let size = self.number(4)?;
        if size > INTEGER_BYTES_MAX {
            return Err(Failure::text(format!(
                "integral size {size} is larger than limit of {INTEGER_BYTES_MAX}"
            )));
        }
        Ok(size)
    }

    /// The number that follows, which fits into C's `int`.
    fn number(&mut self, default: usize) -> Result<usize, Failure> {
        const MAX: usize = 0x7fff_ffff;
        let digits = self
            .rest
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        if digits == 0 {
            return Ok(default);
        }
        let (digits, rest) = self.rest.split_at(digits);
        self.rest = rest;
        digits.iter().try_fold(0usize, |number, &digit| {
            let digit = usize::from(digit - b'0');
            if number > MAX / 10 || number * 10 > MAX - digit {
                return Err(Failure::text("integral size overflow"));
            }
            Ok(number * 10 + digit)
        })
    }

    /// How many bytes to skip before an option at this position.
    fn padding(&self, position: usize, option: &Option_) -> usize {
        if option.size == 0 || option.letter == b'c' {
            return 0;
        }
        let size = option.size.min(self.align);
        // As C computes it, also for sizes that are no powers of two.
        size.wrapping_sub(position & (size - 1)) & (size - 1)
    }

    /// An option that says how the others are laid out.
    fn control(&mut self, letter: u8) -> Result<(), Failure> {
        match letter {
            b' ' => {}
            b'>' => self.little = false,
            b'<' => self.little = true,
            b'!' => {
                let align = self.number(ALIGN_MAX)?;
                if !align.is_power_of_two() {
                    return Err(Failure::text(format!(
                        "alignment {align} is not a power of 2"
                    )));
                }
                self.align = align;
            }
            _ => {
                let text = format!("invalid format option '{}'", char::from(letter));
                return Err(Failure::Argument(1, text));
            }
        }
        Ok(())
    }

    /// Bytes of the machine in the order that the format asks for, or the other way round.
    fn ordered<const N: usize>(&self, mut bytes: [u8; N]) -> [u8; N] {
        if !self.little {
            bytes.reverse();
        }
        bytes
    }
}

fn pack(lua: &Lua, _: &mut dyn Host, state: &mut State, args: &MultiValue) -> Results {
    let text = checked_string(lua, args, 1)?;
    let text = text.as_bytes();
    let mut format = Format::new(&text);
    let mut out = Buffer::new(state.buffer_bytes);
    // The C library puts a nil behind the arguments, and says so where one is missing.
    let mut args = args.clone();
    args.push_back(Value::Nil);
    let args = &args;
    let mut number = 2;
    while let Some(option) = format.next()? {
        out.put_zeros(format.padding(out.len(), &option))?;
        match option.letter {
            b'b' | b'B' | b'h' | b'H' | b'l' | b'L' | b'T' | b'i' | b'I' => {
                put_integer(
                    &mut out,
                    &format,
                    checked_number(args, number)?,
                    option.size,
                )?;
                number += 1;
            }
            b'x' => out.put(&[0])?,
            b'f' => {
                #[allow(clippy::cast_possible_truncation)] // As the format says.
                let value = checked_number(args, number)? as f32;
                out.put(&format.ordered(value.to_le_bytes()))?;
                number += 1;
            }
            b'd' => {
                out.put(&format.ordered(checked_number(args, number)?.to_le_bytes()))?;
                number += 1;
            }
            b'c' | b's' => {
                let value = checked_string(lua, args, number)?;
                let value = value.as_bytes();
                number += 1;
                let size = if option.size == 0 {
                    value.len()
                } else {
                    option.size
                };
                let part = value
                    .get(..size)
                    .ok_or_else(|| Failure::Argument(number, "string too short".into()))?;
                out.put(part)?;
                if option.letter == b's' {
                    out.put(&[0])?;
                }
            }
            other => format.control(other)?,
        }
    }
    Ok(MultiValue::from_vec(vec![Value::String(
        lua.create_string(out.bytes())?,
    )]))
}

fn put_integer(
    out: &mut Buffer,
    format: &Format<'_>,
    number: f64,
    size: usize,
) -> Result<(), Failure> {
    let value = unsigned(number);
    let mut bytes = [0; INTEGER_BYTES_MAX];
    bytes[..8].copy_from_slice(&value.to_le_bytes());
    let bytes = &mut bytes[..size];
    if !format.little {
        bytes.reverse();
    }
    out.put(bytes)
}

/// A number as x86 casts it to an unsigned `long`.
fn unsigned(number: f64) -> u64 {
    const HALF: f64 = 9_223_372_036_854_775_808.0;
    if number < HALF {
        return truncated(number).cast_unsigned();
    }
    truncated(number - HALF).cast_unsigned() ^ (1 << 63)
}

fn unpack(lua: &Lua, _: &mut dyn Host, _: &mut State, args: &MultiValue) -> Results {
    let text = checked_string(lua, args, 1)?;
    let text = text.as_bytes();
    let mut format = Format::new(&text);
    let data = checked_string(lua, args, 2)?;
    let data = data.as_bytes();
    let start = optional_integer(args, 3, 1)?;
    if start == 0 {
        return Err(Failure::Argument(3, "offset must be 1 or greater".into()));
    }
    let mut position = usize::try_from(start.cast_unsigned() - 1).unwrap_or(usize::MAX);
    let too_short = || Failure::Argument(2, "data string too short".into());
    let part = |position: usize, size: usize| {
        let end = position.checked_add(size).ok_or_else(too_short)?;
        data.get(position..end).ok_or_else(too_short)
    };
    let mut results: Vec<Value> = Vec::new();
    while let Some(mut option) = format.next()? {
        position = position.saturating_add(format.padding(position, &option));
        let bytes = part(position, option.size)?;
        if results.len() >= RESULTS_MAX {
            return Err(Failure::text("stack overflow (too many results)"));
        }
        match option.letter {
            b'b' | b'B' | b'h' | b'H' | b'l' | b'L' | b'T' | b'i' | b'I' => {
                let signed = option.letter.is_ascii_lowercase();
                results.push(Value::Number(get_integer(bytes, format.little, signed)));
            }
            b'x' => {}
            b'f' => {
                let bytes: [u8; 4] = bytes.try_into().map_err(|_| too_short())?;
                results.push(Value::Number(f64::from(f32::from_le_bytes(
                    format.ordered(bytes),
                ))));
            }
            b'd' => {
                let bytes: [u8; 8] = bytes.try_into().map_err(|_| too_short())?;
                results.push(Value::Number(f64::from_le_bytes(format.ordered(bytes))));
            }
            b'c' => {
                if option.size == 0 {
                    let size = results
                        .last()
                        .and_then(number_of)
                        .ok_or_else(|| Failure::text("format 'c0' needs a previous size"))?;
                    results.pop();
                    option.size = usize::try_from(unsigned(size)).map_err(|_| too_short())?;
                }
                let bytes = part(position, option.size)?;
                results.push(Value::String(lua.create_string(bytes)?));
            }
            b's' => {
                let rest = part(position, data.len().saturating_sub(position))?;
                let end = rest
                    .iter()
                    .position(|&byte| byte == 0)
                    .ok_or_else(|| Failure::text("unfinished string in data"))?;
                results.push(Value::String(lua.create_string(&rest[..end])?));
                option.size = end + 1;
            }
            other => format.control(other)?,
        }
        position += option.size;
    }
    #[allow(clippy::cast_precision_loss)] // Lua's numbers are doubles.
    results.push(Value::Number((position + 1) as f64));
    Ok(MultiValue::from_vec(results))
}

/// An integer of up to 32 bytes. As in C, only the lowest eight count.
#[allow(clippy::cast_precision_loss)] // Lua's numbers are doubles.
fn get_integer(bytes: &[u8], little: bool, signed: bool) -> f64 {
    let append = |value: u64, byte: &u8| (value << 8) | u64::from(*byte);
    let mut value = if little {
        bytes.iter().rev().fold(0, append)
    } else {
        bytes.iter().fold(0, append)
    };
    if !signed {
        return value as f64;
    }
    let bits = u32::try_from(bytes.len() * 8).unwrap_or(0);
    // x86 shifts by a count's lowest six bits, and so does this for integers of more than eight bytes.
    let sign = u64::MAX.wrapping_shl(bits.wrapping_sub(1));
    if value & sign != 0 {
        value |= sign;
    }
    value.cast_signed() as f64
}

fn size(lua: &Lua, _: &mut dyn Host, _: &mut State, args: &MultiValue) -> Results {
    let text = checked_string(lua, args, 1)?;
    let text = text.as_bytes();
    let mut format = Format::new(&text);
    let mut position: usize = 0;
    while let Some(option) = format.next()? {
        position = position.saturating_add(format.padding(position, &option));
        match option.letter {
            b's' => return Err(Failure::Argument(1, "option 's' has no fixed size".into())),
            b'c' if option.size == 0 => {
                return Err(Failure::Argument(1, "option 'c0' has no fixed size".into()));
            }
            other if !other.is_ascii_alphanumeric() => format.control(other)?,
            _ => {}
        }
        position = position.saturating_add(option.size);
    }
    #[allow(clippy::cast_precision_loss)] // Lua's numbers are doubles.
    Ok(MultiValue::from_vec(vec![Value::Number(position as f64)]))
}
