//! The arguments of a search.

use super::{parse_point, parse_unit};
use crate::commands::CommandError;
use crate::geohash::{Area, Point, Shape, Unit};
use crate::keyspace::Scores;
use crate::numbers::{parse_float, parse_i64};
use crate::protocol::{Args, Arguments};

/// Which command searches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// GEOSEARCH; with a destination as argument 1, GEOSEARCHSTORE.
    Search { stores: bool },
    /// GEORADIUS or GEORADIUSBYMEMBER, which may store unless it is the form that only reads.
    Radius { by_member: bool, may_store: bool },
}

impl Form {
    /// The argument that names the places.
    pub(super) fn source(self) -> usize {
        match self {
            Form::Search { stores: true } => 2,
            _ => 1,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    None,
    Nearest,
    Farthest,
}

/// A search.
#[allow(clippy::struct_excessive_bools)] // Each is an argument of the call.
pub(super) struct Options<'a> {
    /// `None` if there are no places to search, so that a member's place is unknown.
    pub(super) area: Option<Area>,
    pub(super) order: Order,
    pub(super) count: Option<usize>,
    pub(super) any: bool,
    pub(super) with_distance: bool,
    pub(super) with_hash: bool,
    pub(super) with_point: bool,
    /// Where the result goes.
    pub(super) destination: Option<&'a [u8]>,
    pub(super) store_distance: bool,
}

const NO_MEMBER: CommandError = CommandError::text("ERR could not decode requested zset member");

/// A member's place; `None` where there are no places at all.
fn member_point(places: Option<Scores<'_>>, member: &[u8]) -> Result<Option<Point>, CommandError> {
    let Some(places) = places else {
        return Ok(None);
    };
    let score = places.score(member)?.ok_or(NO_MEMBER)?;
    Ok(Some(super::point_of(score)))
}

fn parse_radius(radius: &[u8], unit: &[u8]) -> Result<(Shape, Unit), CommandError> {
    let radius = parse_float(radius).ok_or(CommandError::text("ERR need numeric radius"))?;
    if radius < 0.0 {
        return Err(CommandError::text("ERR radius cannot be negative"));
    }
    Ok((Shape::Circle { radius }, parse_unit(unit)?))
}

fn parse_box(width: &[u8], height: &[u8], unit: &[u8]) -> Result<(Shape, Unit), CommandError> {
    let width = parse_float(width).ok_or(CommandError::text("ERR need numeric width"))?;
    let height = parse_float(height).ok_or(CommandError::text("ERR need numeric height"))?;
    if width < 0.0 || height < 0.0 {
        return Err(CommandError::text("ERR height or width cannot be negative"));
    }
    Ok((Shape::Box { width, height }, parse_unit(unit)?))
}

/// The part of the area that is parsed so far.
#[derive(Default)]
struct Where {
    /// Whether the call names a centre. Its point may be unknown.
    centred: bool,
    centre: Option<Point>,
    shape: Option<(Shape, Unit)>,
}

impl<'a> Options<'a> {
    pub(super) fn parse(
        args: Args<'a>,
        form: Form,
        places: Option<Scores<'_>>,
    ) -> Result<Self, CommandError> {
        let mut options = Self {
            area: None,
            order: Order::None,
            count: None,
            any: false,
            with_distance: false,
            with_hash: false,
            with_point: false,
            destination: None,
            store_distance: false,
        };
        let mut area = Where::default();
        let argument = |at| args.get(at).unwrap_or_default();
        let first = match form {
            Form::Search { stores } => {
                if stores {
                    options.destination = args.get(1);
                }
                form.source() + 1
            }
            Form::Radius { by_member, .. } => {
                let at = if by_member {
                    area.centre = member_point(places, argument(2))?;
                    3
                } else {
                    area.centre = Some(parse_point(argument(2), argument(3))?);
                    4
                };
                area.centred = true;
                area.shape = if by_member && places.is_none() {
                    // Redis ignores the radius of a missing key.
                    Some((Shape::Circle { radius: 0.0 }, Unit::Meters))
                } else {
                    Some(parse_radius(argument(at), argument(at + 1))?)
                };
                at + 2
            }
        };
        let mut rest = args.from(first);
        while let Some(argument) = rest.next() {
            let known = options.parse_flag(argument)
                || options.parse_values(argument, &mut rest, form)?
                || matches!(form, Form::Search { .. })
                    && area.parse(argument, &mut rest, places)?;
            if !known {
                return Err(CommandError::Syntax);
            }
        }
        options.check(args, form, &area)?;
        if let (Some(centre), Some((shape, unit))) = (area.centre, area.shape) {
            options.area = Some(Area {
                centre,
                shape,
                unit,
            });
        }
        if options.count.is_some() && !options.any && options.order == Order::None {
            options.order = Order::Nearest;
        }
        Ok(options)
    }

    fn parse_flag(&mut self, argument: &[u8]) -> bool {
        match argument.to_ascii_lowercase().as_slice() {
            b"withdist" => self.with_distance = true,
            b"withhash" => self.with_hash = true,
            b"withcoord" => self.with_point = true,
            b"any" => self.any = true,
            b"asc" => self.order = Order::Nearest,
            b"desc" => self.order = Order::Farthest,
            _ => return false,
        }
        true
    }

    fn parse_values(
        &mut self,
        argument: &[u8],
        rest: &mut Arguments<'a>,
        form: Form,
    ) -> Result<bool, CommandError> {
        let is = |name: &[u8]| argument.eq_ignore_ascii_case(name);
        if is(b"count") && rest.len() > 0 {
            let count = rest.next().and_then(parse_i64);
            let count = count.ok_or(CommandError::NotAnInteger)?;
            let count = usize::try_from(count).ok().filter(|&count| count > 0);
            self.count = Some(count.ok_or(CommandError::text("ERR COUNT must be > 0"))?);
            return Ok(true);
        }
        match form {
            Form::Search { stores: true } if is(b"storedist") => self.store_distance = true,
            Form::Radius {
                may_store: true, ..
            } if rest.len() > 0 && (is(b"store") || is(b"storedist")) => {
                self.destination = rest.next();
                self.store_distance = is(b"storedist");
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn check(&self, args: Args<'_>, form: Form, area: &Where) -> Result<(), CommandError> {
        let with = self.with_distance || self.with_hash || self.with_point;
        if self.destination.is_some() && with {
            return Err(CommandError::text(match form {
                Form::Search { .. } => {
                    "ERR GEOSEARCHSTORE is not compatible with WITHDIST, WITHHASH and WITHCOORD options"
                }
                Form::Radius { .. } => {
                    "ERR STORE option in GEORADIUS is not compatible with WITHDIST, WITHHASH and WITHCOORD options"
                }
            }));
        }
        let name = String::from_utf8_lossy(&args[0]);
        if !area.centred {
            let text =
                format!("ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for {name}");
            return Err(CommandError::Text(text.into()));
        }
        if area.shape.is_none() {
            let text = format!("ERR exactly one of BYRADIUS and BYBOX can be specified for {name}");
            return Err(CommandError::Text(text.into()));
        }
        if self.any && self.count.is_none() {
            return Err(CommandError::text(
                "ERR the ANY argument requires COUNT argument",
            ));
        }
        Ok(())
    }
}

impl Where {
    fn parse(
        &mut self,
        argument: &[u8],
        rest: &mut Arguments<'_>,
        places: Option<Scores<'_>>,
    ) -> Result<bool, CommandError> {
        let is = |name: &[u8]| argument.eq_ignore_ascii_case(name);
        let left = rest.len();
        let mut next = || rest.next().unwrap_or_default();
        if is(b"frommember") && left >= 1 && !self.centred {
            self.centre = member_point(places, next())?;
            self.centred = true;
        } else if is(b"fromlonlat") && left >= 2 && !self.centred {
            self.centre = Some(parse_point(next(), next())?);
            self.centred = true;
        } else if is(b"byradius") && left >= 2 && self.shape.is_none() {
            self.shape = Some(parse_radius(next(), next())?);
        } else if is(b"bybox") && left >= 3 && self.shape.is_none() {
            self.shape = Some(parse_box(next(), next(), next())?);
        } else {
            return Ok(false);
        }
        Ok(true)
    }
}
