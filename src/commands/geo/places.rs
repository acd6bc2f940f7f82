//! Places by name: GEOADD, GEODIST, GEOHASH, GEOPOS.

use super::{parse_point, parse_unit, point_of, score_of, write_point};
use crate::commands::sortedsets::{AddOptions, add_members};
use crate::commands::{CommandError, CommandResult, Context, Outcome};
use crate::geohash::{self, Unit};
use crate::keyspace::Scores;
use crate::protocol::Args;

pub(super) fn geoadd(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let mut options = AddOptions::default();
    let mut at = 2;
    for word in args.from(2) {
        if word.eq_ignore_ascii_case(b"nx") {
            options.only_new = true;
        } else if word.eq_ignore_ascii_case(b"xx") {
            options.only_present = true;
        } else if word.eq_ignore_ascii_case(b"ch") {
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
    let mut words = args.from(at);
    while let (Some(longitude), Some(latitude), Some(member)) =
        (words.next(), words.next(), words.next())
    {
        pairs.push((member, score_of(parse_point(longitude, latitude)?)));
    }
    add_members(ctx, &args[1], &pairs, options)
}

fn score(scores: Option<Scores<'_>>, member: &[u8]) -> Result<Option<f64>, CommandError> {
    let score = scores.map(|scores| scores.score(member)).transpose()?;
    Ok(score.flatten())
}

pub(super) fn geodist(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let unit = match args.get(4) {
        None => Unit::Meters,
        Some(word) if args.len() == 5 => parse_unit(word)?,
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

pub(super) fn geohash(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
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

pub(super) fn geopos(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
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
