//! The dense form: 6 bits a register, the lowest bits of the first byte first.

use super::REGISTERS;

const BITS: usize = 6;
const MASK: u8 = (1 << BITS) - 1;

/// The length of all registers.
pub(super) const BYTES: usize = REGISTERS * BITS / 8;

/// Three bytes hold four registers.
type Group = [u8; 3];

fn unpacked([a, b, c]: Group) -> [u8; 4] {
    [
        a & MASK,
        (a >> 6 | b << 2) & MASK,
        (b >> 4 | c << 4) & MASK,
        c >> 2,
    ]
}

fn packed([a, b, c, d]: [u8; 4]) -> Group {
    [a | b << 6, b >> 2 | c << 4, c >> 4 | d << 2]
}

/// All registers in turn.
pub(super) fn registers(bytes: &[u8]) -> impl Iterator<Item = u8> {
    let (groups, _) = bytes.as_chunks();
    groups.iter().flat_map(|&group| unpacked(group))
}

pub(super) fn get(bytes: &[u8], register: usize) -> u8 {
    let (groups, _) = bytes.as_chunks();
    groups
        .get(register / 4)
        .map_or(0, |&group| unpacked(group)[register % 4])
}

/// Raises a register to `rank` if it is lower. Returns whether it was.
pub(super) fn raise(bytes: &mut [u8], register: usize, rank: u8) -> bool {
    let (groups, _) = bytes.as_chunks_mut();
    let Some(group) = groups.get_mut(register / 4) else {
        return false;
    };
    let mut four = unpacked(*group);
    let raised = &mut four[register % 4];
    if *raised >= rank {
        return false;
    }
    *raised = rank;
    *group = packed(four);
    true
}
