//! Data of modules: skipped where it belongs to no key, and named where it does.

use std::io::Read;

use crate::RdbError;
use crate::source::Source;

/// Takes a module's data up to its end mark. Each part says what it is.
pub(crate) fn skip<R: Read>(source: &mut Source<R>) -> Result<(), RdbError> {
    loop {
        match source.number()? {
            0 => return Ok(()),
            // Integers.
            1 | 2 => {
                source.number()?;
            }
            // Numbers in single and double precision.
            3 => {
                source.take(4)?;
            }
            4 => {
                source.take(8)?;
            }
            5 => {
                source.string()?;
            }
            _ => return Err(source.damaged("a module's data has an unknown part")),
        }
    }
}

/// The module's name, which its number holds: nine letters of six bits each, and a version of ten bits.
pub(crate) fn name(number: u64) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    (0..9)
        .rev()
        .map(|place| char::from(LETTERS[(number >> (10 + 6 * place) & 63) as usize]))
        .collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn names() {
        let letters = [17, 30, 9, 18, 14, 13, 62, 17, 11];
        let number = letters
            .iter()
            .fold(0u64, |number, letter| number << 6 | letter);
        assert_eq!(super::name(number << 10 | 3), "ReJSON-RL");
    }
}
