//! Places: sorted sets whose scores are geohashes.

mod options;
pub(super) mod places;
pub(super) mod radius;
pub(super) mod search;

use super::CommandError;
use crate::catalog::spec::{Argument, ArgumentKind};
use crate::geohash::{self, Point, Unit};
use crate::numbers::parse_float;
use crate::protocol::ReplyBuffer;

/// A unit of lengths.
const UNIT: Argument = Argument::new(
    "unit",
    ArgumentKind::OneOf(&[
        Argument::token("m", "M"),
        Argument::token("km", "KM"),
        Argument::token("ft", "FT"),
        Argument::token("mi", "MI"),
    ]),
);
/// The order of the places that are found.
const ORDER: Argument = Argument::new(
    "order",
    ArgumentKind::OneOf(&[
        Argument::token("asc", "ASC"),
        Argument::token("desc", "DESC"),
    ]),
)
.optional();
/// How many places are wanted, and whether any are as good as the nearest.
const COUNT: Argument = Argument::new(
    "count",
    ArgumentKind::Block(&[
        Argument::new("count", ArgumentKind::Integer).with_token("COUNT"),
        Argument::token("any", "ANY").optional(),
    ]),
)
.optional();
const WITH_COORD: Argument = Argument::token("withcoord", "WITHCOORD").optional();
const WITH_DIST: Argument = Argument::token("withdist", "WITHDIST").optional();
const WITH_HASH: Argument = Argument::token("withhash", "WITHHASH").optional();

/// The point of two arguments, longitude and latitude.
fn parse_point(longitude: &[u8], latitude: &[u8]) -> Result<Point, CommandError> {
    let degrees = |argument| parse_float(argument).ok_or(CommandError::NotAFloat);
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

fn parse_unit(argument: &[u8]) -> Result<Unit, CommandError> {
    Unit::from_name(argument).ok_or(CommandError::text(
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
