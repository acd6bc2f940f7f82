//! Places in an area: GEOSEARCH, GEOSEARCHSTORE, GEORADIUS, GEORADIUSBYMEMBER and their forms that only read.

use super::options::{Form, Options, Order};
use super::{point_of, write_point};
use crate::commands::sources::{self, DESTINATION, SOURCE};
use crate::commands::{CommandResult, Context, Outcome};
use crate::geohash::{self, Area};
use crate::keyspace::{EventClass, Kind, Scores, View};
use crate::protocol::{Args, Reply, ReplyBuffer};

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

/// What is found, arranged as it is wanted.
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

pub(super) fn geosearch(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    run(ctx, args, Form::Search { stores: false })
}

pub(super) fn geosearchstore(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    run(ctx, args, Form::Search { stores: true })
}

pub(super) fn georadius(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    run(ctx, args, radius(false, true))
}

pub(super) fn georadius_ro(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    run(ctx, args, radius(false, false))
}

pub(super) fn georadiusbymember(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    run(ctx, args, radius(true, true))
}

pub(super) fn georadiusbymember_ro(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    run(ctx, args, radius(true, false))
}

fn radius(by_member: bool, may_store: bool) -> Form {
    Form::Radius {
        by_member,
        may_store,
    }
}

fn run(ctx: &mut Context<'_>, args: Args<'_>, form: Form) -> CommandResult {
    // Where the result goes stands among the words that can only be read with the places at hand. What looks like it
    // is locked; it is an error anyway where it turns out to be something else.
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

/// The word behind the last STORE or STOREDIST of a call of GEORADIUS.
fn last_destination(args: Args<'_>) -> Option<&[u8]> {
    let is_store = |word: &[u8]| {
        word.eq_ignore_ascii_case(b"store") || word.eq_ignore_ascii_case(b"storedist")
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
            keys.changed(new.len());
        }
        let event = match form {
            Form::Search { .. } => "geosearchstore",
            Form::Radius { .. } => "georadiusstore",
        };
        Ok(Some(sources::store(keys, new, EventClass::ZSET, event)?))
    });
    ctx.count_lookups(found);
    Ok(match stored? {
        Some(len) => Reply::count(len).into(),
        None => Outcome::Written,
    })
}
