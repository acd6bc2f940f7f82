//! Places in an area: GEOSEARCH and GEOSEARCHSTORE.

use super::options::{Form, Options, Order};
use super::{COUNT, ORDER, UNIT, WITH_COORD, WITH_DIST, WITH_HASH, point_of, write_point};
use crate::catalog::spec::{Argument, ArgumentKind, Arity, Categories, Flags, Group, KeySpec};
use crate::commands::row::Row;
use crate::commands::sources::{self, DESTINATION, SOURCE};
use crate::commands::{CommandResult, Context, Outcome};
use crate::geohash::{self, Area};
use crate::keyspace::{EventClass, Kind, Scores, View};
use crate::protocol::{Args, Reply, ReplyBuffer};

/// Where the search begins.
const FROM: Argument = Argument::new(
    "from",
    ArgumentKind::OneOf(&[
        Argument::new("member", ArgumentKind::String).with_token("FROMMEMBER"),
        Argument::new(
            "longitude_latitude",
            ArgumentKind::Block(&[
                Argument::new("longitude", ArgumentKind::Double),
                Argument::new("latitude", ArgumentKind::Double),
            ]),
        )
        .with_token("FROMLONLAT"),
    ]),
);
/// How far it reaches.
const BY: Argument = Argument::new(
    "by",
    ArgumentKind::OneOf(&[
        Argument::new(
            "circle",
            ArgumentKind::Block(&[
                Argument::new("radius", ArgumentKind::Double).with_token("BYRADIUS"),
                UNIT,
            ]),
        ),
        Argument::new(
            "box",
            ArgumentKind::Block(&[
                Argument::new("width", ArgumentKind::Double).with_token("BYBOX"),
                Argument::new("height", ArgumentKind::Double),
                UNIT,
            ]),
        ),
    ]),
);

pub(in crate::commands) static COMMANDS: &[Row] = &[
    Row::new("geosearch", Arity::AtLeast(7), geosearch)
        .flags(Flags::READONLY)
        .categories(Categories::GEO)
        .keys(&[KeySpec::first(&["RO", "access"])])
        .group(Group::Geo, "6.2.0")
        .summary("Returns the places in a circle or a box")
        .complexity("O(N+log(M))")
        .arguments(&[
            Argument::key(),
            FROM,
            BY,
            ORDER,
            COUNT,
            WITH_COORD,
            WITH_DIST,
            WITH_HASH,
        ])
        .history(&[("7.0.0", "Added support for uppercase unit names.")]),
    Row::new("geosearchstore", Arity::AtLeast(8), geosearchstore)
        .flags(Flags::WRITE.union(Flags::DENYOOM).union(Flags::COPIES))
        .categories(Categories::GEO)
        .keys(&[
            KeySpec::first(&["OW", "update"]),
            KeySpec::range(&["RO", "access"], 2, 0, 1),
        ])
        .group(Group::Geo, "6.2.0")
        .summary("Stores the places in a circle or a box")
        .complexity("O(N+log(M))")
        .arguments(&[
            Argument::new("destination", ArgumentKind::Key(0)),
            Argument::new("source", ArgumentKind::Key(1)),
            FROM,
            BY,
            ORDER,
            COUNT,
            Argument::token("storedist", "STOREDIST").optional(),
        ])
        .history(&[("7.0.0", "Added support for uppercase unit names.")]),
];

/// A place that was found.
struct Found<'a> {
    member: &'a [u8],
    score: f64,
    /// From the centre, in the search's unit.
    distance: f64,
}

fn search<'a>(places: Scores<'a>, area: &Area, options: &Options<'_>) -> Vec<Found<'a>> {
    let mut found = Vec::new();
    let enough = options.count.filter(|_| options.any).unwrap_or(usize::MAX);
    for (min, max) in area.cells() {
        #[allow(clippy::cast_precision_loss)] // As the scores themselves.
        let (min, max) = (min as f64, max as f64);
        let start = places.partition_point(|score, _| score < min);
        let end = places.partition_point(|score, _| score < max);
        for (member, score) in places.range(start..end.max(start)) {
            let Some(distance) = area.distance_m(point_of(score)) else {
                continue;
            };
            found.push(Found {
                member,
                score,
                distance: distance / area.unit.meters(),
            });
            if found.len() >= enough {
                return found;
            }
        }
    }
    found
}

fn arrange(found: &mut Vec<Found<'_>>, options: &Options<'_>) {
    let by_distance = |a: &Found<'_>, b: &Found<'_>| a.distance.total_cmp(&b.distance);
    match options.order {
        Order::None => {}
        Order::Nearest => found.sort_by(by_distance),
        Order::Farthest => found.sort_by(|a, b| by_distance(b, a)),
    }
    found.truncate(options.count.unwrap_or(usize::MAX));
}

/// Searches, and arranges the places as the call says.
fn find<'a>(places: Option<Scores<'a>>, options: &Options<'_>) -> Vec<Found<'a>> {
    let mut found = match (places, &options.area) {
        (Some(places), Some(area)) => search(places, area, options),
        _ => Vec::new(),
    };
    arrange(&mut found, options);
    found
}

fn write(out: &mut ReplyBuffer, found: &[Found<'_>], options: &Options<'_>) {
    let more = [options.with_distance, options.with_hash, options.with_point];
    let more = more.into_iter().filter(|&on| on).count();
    out.array_header(found.len());
    for place in found {
        if more > 0 {
            out.array_header(1 + more);
        }
        out.bulk(place.member);
        if options.with_distance {
            out.bulk(geohash::distance_text(place.distance).as_bytes());
        }
        if options.with_hash {
            #[allow(clippy::cast_possible_truncation)] // 52 bits.
            out.integer(place.score as i64);
        }
        if options.with_point {
            write_point(out, point_of(place.score));
        }
    }
}

fn geosearch(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    run(ctx, args, Form::Search { stores: false })
}

fn geosearchstore(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    run(ctx, args, Form::Search { stores: true })
}

pub(super) fn run(ctx: &mut Context<'_>, args: Args<'_>, form: Form) -> CommandResult {
    // The destination stands among arguments that are only parsed under the lock of the places. So lock what looks like
    // the destination; if it turns out to be something else, the call is an error anyway.
    let stores_to = match form {
        Form::Search { stores: true } => args.get(1),
        Form::Radius {
            may_store: true, ..
        } => last_destination(args),
        _ => None,
    };
    let source = &args[form.source()];
    if let Some(destination) = stores_to {
        return store(ctx, args, form, source, destination);
    }
    ctx.sorted_set(source, |places, out| {
        let options = Options::parse(args, form, places)?;
        write(out, &find(places, &options), &options);
        Ok(())
    })?;
    Ok(Outcome::Written)
}

/// The argument behind the last STORE or STOREDIST of a call of GEORADIUS.
fn last_destination(args: Args<'_>) -> Option<&[u8]> {
    let is_store = |argument: &[u8]| {
        argument.eq_ignore_ascii_case(b"store") || argument.eq_ignore_ascii_case(b"storedist")
    };
    let at = args.from(5).rposition(is_store)?;
    args.get(5 + at + 1)
}

fn store(
    ctx: &mut Context<'_>,
    args: Args<'_>,
    form: Form,
    source: &[u8],
    destination: &[u8],
) -> CommandResult {
    let mut found = Vec::new();
    let stored = ctx.database().update_many([destination, source], |keys| {
        found = sources::look_up(keys, |_| true);
        let places = keys.view(SOURCE).map(View::sorted_set).transpose()?;
        let options = Options::parse(args, form, places)?;
        let places = find(places, &options);
        if options.destination != Some(destination) {
            write(ctx.out, &places, &options);
            return Ok(None);
        }
        let mut new = keys.build(DESTINATION, Kind::SortedSet);
        for place in &places {
            let score = if options.store_distance {
                place.distance
            } else {
                place.score
            };
            new.scored(place.member, score)?;
        }
        if !new.is_empty() {
            keys.set_dirty(new.len());
        }
        let event = match form {
            Form::Search { .. } => "geosearchstore",
            Form::Radius { .. } => "georadiusstore",
        };
        Ok(Some(sources::store(keys, new, EventClass::ZSET, event)?))
    });
    ctx.count_lookups(found);
    let stored = stored?;
    // Distances may be rounded otherwise elsewhere, and ANY takes any places.
    ctx.effect_is_key(destination)?;
    Ok(match stored {
        Some(len) => Reply::count(len).into(),
        None => Outcome::Written,
    })
}
