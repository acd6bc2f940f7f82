//! The areas of a search: a circle or a box around a point.

use super::{Bounds, Cell, EARTH_RADIUS_M, LATITUDE_MAX, Point, SCORE_STEP, Unit};
use super::{distance_m, latitude_distance_m};

/// Half the length of the equator, in meters, on the map that the cells divide.
const MAP_HALF_M: f64 = 20_037_726.37;

/// Radians of one degree, as Redis computes with them: `to_degrees` multiplies by another constant, and its results
/// differ in the last bits.
const RADIANS: f64 = std::f64::consts::PI / 180.0;

/// The shape of an area, in the area's unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    /// A circle: all points that are no farther from the centre than this.
    Circle {
        /// The radius.
        radius: f64,
    },
    /// A box: all points that are no farther from the centre than half its width, and half its height along the meridian.
    Box {
        /// From west to east.
        width: f64,
        /// From south to north.
        height: f64,
    },
}

/// The area of a search.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Area {
    /// The centre, a valid point.
    pub centre: Point,
    /// Circle or box.
    pub shape: Shape,
    /// The unit of the shape's lengths.
    pub unit: Unit,
}

impl Area {
    /// The distance of a point from the centre, in meters; `None` if the area does not contain the point.
    pub fn distance_m(&self, point: Point) -> Option<f64> {
        let unit_m = self.unit.meters();
        match self.shape {
            Shape::Circle { radius } => {
                let distance = distance_m(self.centre, point);
                (distance <= radius * unit_m).then_some(distance)
            }
            Shape::Box { width, height } => {
                let sideways = Point {
                    longitude: self.centre.longitude,
                    latitude: point.latitude,
                };
                let inside = latitude_distance_m(point, self.centre) <= height * unit_m / 2.0
                    && distance_m(point, sideways) <= width * unit_m / 2.0;
                inside.then(|| distance_m(self.centre, point))
            }
        }
    }

    /// Ranges of scores (start included, end excluded) that cover the area. They hold points outside of it too.
    ///
    /// The ranges are up to nine cells of one size, in the order in which Redis searches them. A search without a sort order
    /// answers in that order.
    pub fn cells(&self) -> Vec<(u64, u64)> {
        let bounds = self.bounds();
        let mut step = step_for(self.reach_m(), self.centre.latitude);
        let mut cell = Cell::of(self.centre, step, LATITUDE_MAX);
        if step > 1 && !neighbours_reach(cell, &bounds) {
            step -= 1;
            cell = Cell::of(self.centre, step, LATITUDE_MAX);
        }
        let own = cell.bounds();
        // With the largest cells, one and the same cell is the neighbour on both sides, so no side may skip it.
        let small = step >= 2;
        let skips = |columns: i8, rows: i8| {
            small
                && (rows < 0 && own.south < bounds.south
                    || rows > 0 && own.north > bounds.north
                    || columns < 0 && own.west < bounds.west
                    || columns > 0 && own.east > bounds.east)
        };
        let mut cells: Vec<Cell> = NEIGHBOURS
            .into_iter()
            .filter(|&(columns, rows)| !skips(columns, rows))
            .map(|(columns, rows)| cell.moved(columns, rows))
            .collect();
        cells.dedup();
        cells.into_iter().map(Cell::scores).collect()
    }

    /// The distance of the area's farthest point from the centre, in meters.
    fn reach_m(&self) -> f64 {
        let reach = match self.shape {
            Shape::Circle { radius } => radius,
            Shape::Box { width, height } => {
                ((width / 2.0) * (width / 2.0) + (height / 2.0) * (height / 2.0)).sqrt()
            }
        };
        reach * self.unit.meters()
    }

    /// The area's bounds in degrees. Its side that is nearer to a pole decides how wide it is.
    fn bounds(&self) -> Bounds {
        let Point {
            longitude,
            latitude,
        } = self.centre;
        let unit_m = self.unit.meters();
        let (width, height) = match self.shape {
            Shape::Circle { radius } => (radius * unit_m, radius * unit_m),
            Shape::Box { width, height } => (width / 2.0 * unit_m, height / 2.0 * unit_m),
        };
        let up = height / EARTH_RADIUS_M / RADIANS;
        let outer = if latitude < 0.0 {
            latitude - up
        } else {
            latitude + up
        };
        let sideways = width / EARTH_RADIUS_M / outer.to_radians().cos() / RADIANS;
        Bounds {
            west: longitude - sideways,
            south: latitude - up,
            east: longitude + sideways,
            north: latitude + up,
        }
    }
}

/// The offsets of a cell and its neighbours, as columns to the east and rows to the north.
const NEIGHBOURS: [(i8, i8); 9] = [
    (0, 0),
    (0, 1),
    (0, -1),
    (1, 0),
    (-1, 0),
    (1, 1),
    (-1, 1),
    (1, -1),
    (-1, -1),
];

/// How often the map must be halved to give cells of which nine cover a circle.
fn step_for(radius_m: f64, latitude: f64) -> u8 {
    if radius_m == 0.0 {
        return SCORE_STEP;
    }
    let mut step: i32 = -1;
    let mut reach_m = radius_m;
    while reach_m < MAP_HALF_M {
        reach_m *= 2.0;
        step += 1;
    }
    // A degree of longitude gets shorter towards the poles.
    if latitude.abs() > 66.0 {
        step -= 1;
    }
    if latitude.abs() > 80.0 {
        step -= 1;
    }
    u8::try_from(step.max(1)).map_or(SCORE_STEP, |step| step.min(SCORE_STEP))
}

/// Whether a cell with its neighbours covers the bounds.
fn neighbours_reach(cell: Cell, bounds: &Bounds) -> bool {
    cell.moved(0, 1).bounds().north >= bounds.north
        && cell.moved(0, -1).bounds().south <= bounds.south
        && cell.moved(1, 0).bounds().east >= bounds.east
        && cell.moved(-1, 0).bounds().west <= bounds.west
}
