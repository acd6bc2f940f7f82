//! The library `bit`: operations on 32 bits, as Lua `BitOp` 1.0.2 has them.

use mlua::{Lua, MultiValue, Value};

use super::{Body, Results};
use crate::arguments::{argument, number_of};
use crate::current::State;
use crate::failure::Failure;
use crate::host::Host;

pub(super) const FUNCTIONS: [(&str, Body); 12] = [
    ("tobit", |_, _, _, args| result(bits(args, 1)?)),
    ("bnot", |_, _, _, args| result(!bits(args, 1)?)),
    ("band", |_, _, _, args| fold(args, |all, one| all & one)),
    ("bor", |_, _, _, args| fold(args, |all, one| all | one)),
    ("bxor", |_, _, _, args| fold(args, |all, one| all ^ one)),
    ("lshift", |_, _, _, args| shift(args, u32::wrapping_shl)),
    ("rshift", |_, _, _, args| shift(args, u32::wrapping_shr)),
    ("arshift", |_, _, _, args| {
        shift(args, |bits, count| {
            bits.cast_signed().wrapping_shr(count).cast_unsigned()
        })
    }),
    ("rol", |_, _, _, args| shift(args, u32::rotate_left)),
    ("ror", |_, _, _, args| shift(args, u32::rotate_right)),
    ("bswap", |_, _, _, args| result(bits(args, 1)?.swap_bytes())),
    ("tohex", to_hex),
];

/// An argument's lowest 32 bits. Adding this number moves them to the end of the double's mantissa, rounded.
fn bits(args: &MultiValue, number: i32) -> Result<u32, Failure> {
    const TO_MANTISSA: f64 = 6_755_399_441_055_744.0;
    let value = argument(args, number)
        .and_then(number_of)
        .ok_or_else(|| Failure::wrong_type(number, "number", args))?;
    #[allow(clippy::cast_possible_truncation)] // The lowest bits are what is asked for.
    Ok((value + TO_MANTISSA).to_bits() as u32)
}

/// Bits as the signed number that they are.
#[allow(clippy::unnecessary_wraps)] // The functions of the table return a result.
fn result(bits: u32) -> Results {
    Ok(MultiValue::from_vec(vec![Value::Number(f64::from(
        bits.cast_signed(),
    ))]))
}

fn fold(args: &MultiValue, operation: impl Fn(u32, u32) -> u32) -> Results {
    let mut all = bits(args, 1)?;
    // The C library goes from the last one on, which decides the argument that an error names.
    for number in (2..=i32::try_from(args.len()).unwrap_or(i32::MAX)).rev() {
        all = operation(all, bits(args, number)?);
    }
    result(all)
}

fn shift(args: &MultiValue, operation: impl Fn(u32, u32) -> u32) -> Results {
    let value = bits(args, 1)?;
    result(operation(value, bits(args, 2)? & 31))
}

/// `tohex(bits, digits)`: a negative number of digits asks for capitals.
fn to_hex(lua: &Lua, _: &mut dyn Host, _: &mut State, args: &MultiValue) -> Results {
    let value = bits(args, 1)?;
    let digits = if args.len() < 2 {
        8
    } else {
        bits(args, 2)?.cast_signed()
    };
    let text = format!("{value:08x}");
    let kept = usize::try_from(digits.unsigned_abs()).unwrap_or(8).min(8);
    let mut text = text[8 - kept..].to_owned();
    if digits < 0 {
        text.make_ascii_uppercase();
    }
    Ok(MultiValue::from_vec(vec![Value::String(
        lua.create_string(text)?,
    )]))
}
