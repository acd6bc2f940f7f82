//! Points of the earth in the form of Redis's geo commands: scores of a sorted set. Points that are near each other mostly
//! have scores that are near each other.
//!
//! A score is a geohash of 52 bits. It halves longitude and latitude 26 times each; a bit tells whether the point lies in
//! the upper half, and the bits of longitude and latitude alternate. So the points of one cell, however large, are one
//! range of scores. Latitudes end at about 85 degrees, where the Mercator map of web pages is a square; [`text`] covers the
//! whole earth, as geohash.org does.
//!
//! All computations have the order of Redis's, so that the results are the same to the last bit.

mod area;
#[cfg(test)]
mod tests;

pub use area::{Area, Shape};

/// The largest longitude in both directions, in degrees.
pub const LONGITUDE_MAX: f64 = 180.0;
/// The largest latitude in both directions, in degrees.
pub const LATITUDE_MAX: f64 = 85.051_128_78;

const EARTH_RADIUS_M: f64 = 6_372_797.560_856;

/// How often a score halves each coordinate.
const SCORE_STEP: u8 = 26;

/// A point, in degrees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// From -180 in the west to 180 in the east.
    pub longitude: f64,
    /// From -90 in the south to 90 in the north. Points that have a score stay within [`LATITUDE_MAX`].
    pub latitude: f64,
}

/// A unit of length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// `m`
    Meters,
    /// `km`
    Kilometers,
    /// `ft`
    Feet,
    /// `mi`
    Miles,
}

impl Unit {
    /// The unit of this name, in upper or lower case.
    pub fn from_name(name: &[u8]) -> Option<Self> {
        let units = [
            ("m", Unit::Meters),
            ("km", Unit::Kilometers),
            ("ft", Unit::Feet),
            ("mi", Unit::Miles),
        ];
        let is = |text: &str| name.eq_ignore_ascii_case(text.as_bytes());
        units.into_iter().find(|(text, _)| is(text)).map(|u| u.1)
    }

    /// How many meters one of the unit has.
    pub fn meters(self) -> f64 {
        match self {
            Unit::Meters => 1.0,
            Unit::Kilometers => 1000.0,
            Unit::Feet => 0.3048,
            Unit::Miles => 1609.34,
        }
    }
}

impl Point {
    /// Whether the point has a score.
    pub fn is_valid(self) -> bool {
        self.longitude.abs() <= LONGITUDE_MAX && self.latitude.abs() <= LATITUDE_MAX
    }
}

/// The score of a valid point.
pub fn encode(point: Point) -> u64 {
    Cell::of(point, SCORE_STEP, LATITUDE_MAX).bits()
}

/// The centre of a score's cell. Any number gives a valid point.
pub fn decode(score: u64) -> Point {
    let bounds = Cell::from_bits(score, SCORE_STEP).bounds();
    let middle = |min: f64, max: f64, end: f64| f64::midpoint(min, max).clamp(-end, end);
    Point {
        longitude: middle(bounds.west, bounds.east, LONGITUDE_MAX),
        latitude: middle(bounds.south, bounds.north, LATITUDE_MAX),
    }
}

/// The 11 characters by which geohash.org names the place of a score. The score has no bits for the last one, so it is `0`.
pub fn text(score: u64) -> String {
    const DIGITS: &[u8; 32] = b"0123456789bcdefghjkmnpqrstuvwxyz";
    let bits = Cell::of(decode(score), SCORE_STEP, 90.0).bits();
    let digits = (0..10).map(|place| {
        let [.., digit] = (bits >> (47 - 5 * place) & 31).to_be_bytes();
        char::from(DIGITS[usize::from(digit)])
    });
    digits.chain(['0']).collect()
}

/// The distance between two points on a sphere, by the haversine formula.
pub fn distance_m(from: Point, to: Point) -> f64 {
    let across = ((to.longitude.to_radians() - from.longitude.to_radians()) / 2.0).sin();
    if across == 0.0 {
        return latitude_distance_m(from, to);
    }
    let (from, to) = (from.latitude.to_radians(), to.latitude.to_radians());
    let along = ((to - from) / 2.0).sin();
    let square = along * along + from.cos() * to.cos() * across * across;
    2.0 * EARTH_RADIUS_M * square.sqrt().asin()
}

/// A distance in the form that the geo commands answer: with four digits behind the point.
pub fn distance_text(distance: f64) -> String {
    // Like Redis, multiplies first and then rounds, a half to the even side. Distances on earth are far below 2^63.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let scaled = (distance * 1e4).round_ties_even() as u64;
    format!("{}.{:04}", scaled / 10_000, scaled % 10_000)
}

/// The distance between two points of the same longitude.
fn latitude_distance_m(from: Point, to: Point) -> f64 {
    EARTH_RADIUS_M * (to.latitude.to_radians() - from.latitude.to_radians()).abs()
}

/// A part of the earth: one of 2^`step` columns and as many rows, counted from the south-west. For a point on the eastern
/// or northern edge the number is one too large, as in Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cell {
    column: u32,
    row: u32,
    step: u8,
}

/// The sides of a cell or of an area, in degrees.
struct Bounds {
    west: f64,
    south: f64,
    east: f64,
    north: f64,
}

impl Cell {
    /// The cell that contains a point, on a map whose rows end at `latitude_max`.
    fn of(point: Point, step: u8, latitude_max: f64) -> Self {
        let count = f64::from(1u32 << step);
        let number = |degrees: f64, end: f64| {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Up to 2^26.
            {
                ((degrees + end) / (end + end) * count) as u32
            }
        };
        Self {
            column: number(point.longitude, LONGITUDE_MAX),
            row: number(point.latitude, latitude_max),
            step,
        }
    }

    fn from_bits(bits: u64, step: u8) -> Self {
        Self {
            column: every_second(bits >> 1),
            row: every_second(bits),
            step,
        }
    }

    /// The bits of column and row in turn, the column's first.
    fn bits(self) -> u64 {
        spread(self.column) << 1 | spread(self.row)
    }

    /// The sides, on a map whose rows end at [`LATITUDE_MAX`].
    fn bounds(self) -> Bounds {
        let count = f64::from(1u32 << self.step);
        let side = |number: u32, more: f64, end: f64| {
            -end + (f64::from(number) + more) / count * (end + end)
        };
        Bounds {
            west: side(self.column, 0.0, LONGITUDE_MAX),
            south: side(self.row, 0.0, LATITUDE_MAX),
            east: side(self.column, 1.0, LONGITUDE_MAX),
            north: side(self.row, 1.0, LATITUDE_MAX),
        }
    }

    /// The cell so many columns to the east and rows to the north. It wraps around at the edges of the map, also at the poles.
    fn moved(self, columns: i8, rows: i8) -> Self {
        let mask = (1u32 << self.step) - 1;
        let moved = |number: u32, by: i8| match by {
            0 => number,
            _ => number.wrapping_add_signed(by.into()) & mask,
        };
        Self {
            column: moved(self.column, columns),
            row: moved(self.row, rows),
            step: self.step,
        }
    }

    /// The range of its points' scores: the first one, and the first one behind the cell.
    fn scores(self) -> (u64, u64) {
        let below = 2 * (SCORE_STEP - self.step);
        (self.bits() << below, (self.bits() + 1) << below)
    }
}

/// Spreads the bits of a number: puts a zero before each of them.
fn spread(number: u32) -> u64 {
    let mut bits = u64::from(number);
    for (shift, mask) in MASKS.into_iter().rev() {
        bits = (bits | bits << shift) & mask;
    }
    bits
}

/// The inverse of `spread`: takes every second bit, from the lowest on.
fn every_second(bits: u64) -> u32 {
    let mut bits = bits & MASKS[0].1;
    for ((shift, _), (_, mask)) in MASKS.into_iter().zip(MASKS.into_iter().skip(1)) {
        bits = (bits | bits >> shift) & mask;
    }
    let [.., a, b, c, d] = (bits | bits >> 16).to_be_bytes();
    u32::from_be_bytes([a, b, c, d])
}

/// For each step, how far groups of bits move and which bits they then are.
const MASKS: [(u32, u64); 5] = [
    (1, 0x5555_5555_5555_5555),
    (2, 0x3333_3333_3333_3333),
    (4, 0x0f0f_0f0f_0f0f_0f0f),
    (8, 0x00ff_00ff_00ff_00ff),
    (16, 0x0000_ffff_0000_ffff),
];
