//! Places: sorted sets whose scores are geohashes.

mod options;
mod places;
pub(super) mod radius_rows;
pub(super) mod rows;
mod search;

use super::CommandError;
use crate::geohash::{self, Point, Unit};
use crate::numbers::parse_float;
use crate::protocol::ReplyBuffer;

/// The point of two words, longitude and latitude.
fn parse_point(longitude: &[u8], latitude: &[u8]) -> Result<Point, CommandError> {
    let degrees = |word| parse_float(word).ok_or(CommandError::NotAFloat);
    let point = Point {
        longitude: degrees(longitude)?,
        latitude: degrees(latitude)?,
    };
    if point.is_valid() {
        return Ok(point);
    }
    let (longitude, latitude) = (point.longitude, point.latitude);
    let text = format!("ERR invalid longitude,latitude pair {longitude:.6},{latitude:.6}");
    Err(CommandError::Text(text.into()))
}

fn parse_unit(word: &[u8]) -> Result<Unit, CommandError> {
    Unit::from_name(word).ok_or(CommandError::text(
        "ERR unsupported unit provided. please use M, KM, FT, MI",
    ))
}

/// The point of a member's score.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // Any number gives a point.
fn point_of(score: f64) -> Point {
    geohash::decode(score as u64)
}

/// A score of a point: its bits, as a number.
#[allow(clippy::cast_precision_loss)] // Redis loses the same.
fn score_of(point: Point) -> f64 {
    geohash::encode(point) as f64
}

/// Writes a point's coordinates.
fn write_point(out: &mut ReplyBuffer, point: Point) {
    out.array_header(2);
    for degrees in [point.longitude, point.latitude] {
        let text = format!("{degrees:.17}");
        let text = text.trim_end_matches('0').trim_end_matches('.');
        out.double_text(text);
    }
}
