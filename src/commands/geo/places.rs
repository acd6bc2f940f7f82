//! Places by name: GEOADD, GEODIST, GEOHASH, GEOPOS.

use super::{UNIT, parse_point, parse_unit, point_of, score_of, write_point};
use crate::catalog::spec::{Argument, ArgumentKind, Arity, Categories, Flags, Group, KeySpec};
use crate::commands::row::Row;
use crate::commands::sortedsets::{AddOptions, add_members};
use crate::commands::{CommandError, CommandResult, Context, Outcome};
use crate::geohash::{self, Unit};
use crate::keyspace::Scores;
use crate::protocol::Args;

pub(in crate::commands) static COMMANDS: &[Row] = &[
    Row::new("geoadd", Arity::AtLeast(5), geoadd)
        .flags(Flags::WRITE.union(Flags::DENYOOM))
        .categories(Categories::GEO)
        .keys(&[KeySpec::first(&["RW", "update"])])
        .group(Group::Geo, "3.2.0")
        .summary("Adds places with their coordinates")
        .complexity("O(log(N))")
        .arguments(&[
            Argument::key(),
            Argument::new(
                "condition",
                ArgumentKind::OneOf(&[Argument::token("nx", "NX"), Argument::token("xx", "XX")]),
            )
            .optional()
            .since("6.2.0"),
            Argument::token("change", "CH").optional().since("6.2.0"),
            Argument::new(
                "longitude_latitude_member",
                ArgumentKind::Block(&[
                    Argument::new("longitude", ArgumentKind::Double),
                    Argument::new("latitude", ArgumentKind::Double),
                    Argument::new("member", ArgumentKind::String),
                ]),
            )
            .multiple(),
        ])
        .history(&[("6.2.0", "Added the `CH`, `NX` and `XX` options.")]),
    Row::new("geodist", Arity::AtLeast(4), geodist)
        .flags(Flags::READONLY)
        .categories(Categories::GEO)
        .keys(&[KeySpec::first(&["RO", "access"])])
        .group(Group::Geo, "3.2.0")
        .summary("Returns the distance between two places")
        .complexity("O(log(N))")
        .arguments(&[
            Argument::key(),
            Argument::new("member1", ArgumentKind::String),
            Argument::new("member2", ArgumentKind::String),
            UNIT.optional(),
        ]),
    Row::new("geohash", Arity::AtLeast(2), geohash)
        .flags(Flags::READONLY)
        .categories(Categories::GEO)
        .keys(&[KeySpec::first(&["RO", "access"])])
        .group(Group::Geo, "3.2.0")
        .summary("Returns places as geohash strings")
        .complexity("O(log(N))")
        .arguments(&[
            Argument::key(),
            Argument::new("member", ArgumentKind::String).multiple(),
        ]),
    Row::new("geopos", Arity::AtLeast(2), geopos)
        .flags(Flags::READONLY)
        .categories(Categories::GEO)
        .keys(&[KeySpec::first(&["RO", "access"])])
        .group(Group::Geo, "3.2.0")
        .summary("Returns the coordinates of places")
        .complexity("O(N)")
        .arguments(&[
            Argument::key(),
            Argument::new("member", ArgumentKind::String).multiple(),
        ]),
];

fn geoadd(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let mut options = AddOptions::default();
    let mut at = 2;
    for argument in args.from(2) {
        if argument.eq_ignore_ascii_case(b"nx") {
            options.only_new = true;
        } else if argument.eq_ignore_ascii_case(b"xx") {
            options.only_present = true;
        } else if argument.eq_ignore_ascii_case(b"ch") {
            options.count_changed = true;
        } else {
            break;
        }
        at += 1;
    }
    if !(args.len() - at).is_multiple_of(3) || options.only_new && options.only_present {
        return Err(CommandError::Syntax);
    }
    let mut pairs = Vec::with_capacity((args.len() - at) / 3);
    let mut rest = args.from(at);
    while let (Some(longitude), Some(latitude), Some(member)) =
        (rest.next(), rest.next(), rest.next())
    {
        pairs.push((member, score_of(parse_point(longitude, latitude)?)));
    }
    add_members(ctx, &args[1], &pairs, options)
}

fn score(scores: Option<Scores<'_>>, member: &[u8]) -> Result<Option<f64>, CommandError> {
    let score = scores.map(|scores| scores.score(member)).transpose()?;
    Ok(score.flatten())
}

fn geodist(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let unit = match args.get(4) {
        None => Unit::Meters,
        Some(argument) if args.len() == 5 => parse_unit(argument)?,
        Some(_) => return Err(CommandError::Syntax),
    };
    ctx.sorted_set(&args[1], |scores, out| {
        match (score(scores, &args[2])?, score(scores, &args[3])?) {
            (Some(from), Some(to)) => {
                let distance = geohash::distance_m(point_of(from), point_of(to)) / unit.meters();
                out.bulk(geohash::distance_text(distance).as_bytes());
            }
            _ => out.null(),
        }
        Ok(())
    })?;
    Ok(Outcome::Written)
}

fn geohash(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    ctx.sorted_set(&args[1], |scores, out| {
        out.array_header(args.len() - 2);
        for member in args.from(2) {
            match score(scores, member)? {
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
                // Any number gives a text.
                Some(score) => out.bulk(geohash::text(score as u64).as_bytes()),
                None => out.null(),
            }
        }
        Ok(())
    })?;
    Ok(Outcome::Written)
}

fn geopos(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    ctx.sorted_set(&args[1], |scores, out| {
        out.array_header(args.len() - 2);
        for member in args.from(2) {
            match score(scores, member)? {
                Some(score) => write_point(out, point_of(score)),
                None => out.null_array(),
            }
        }
        Ok(())
    })?;
    Ok(Outcome::Written)
}
