//! What a replica says before it follows: REPLCONF, PSYNC, SYNC.

use super::{CommandError, CommandResult, Context, Outcome};
use crate::catalog::spec::{Argument, ArgumentKind, Arity, Categories, Flags, Group};
use crate::commands::row::Row;
use crate::error::shown;
use crate::numbers::parse_i64;
use crate::protocol::{Args, Reply};
use crate::state::FollowRequest;
use crate::state::replication::Link;

const ADMIN: Flags = Flags::ADMIN.union(Flags::NOSCRIPT);
const SYNC: Flags = ADMIN.union(Flags::NO_ASYNC_LOADING).union(Flags::NO_MULTI);
const REPLCONF: Flags = ADMIN
    .union(Flags::LOADING)
    .union(Flags::STALE)
    .union(Flags::ALLOW_BUSY);

/// The longest address that a replica may announce, bytes.
const IP_BYTES_MAX: usize = 255;

pub(super) static COMMANDS: &[Row] = &[
    Row::new("replconf", Arity::AtLeast(1), replconf)
        .flags(REPLCONF)
        .categories(Categories::NONE)
        .group(Group::Server, "3.0.0")
        .summary("An internal command for configuring the replication stream.")
        .complexity("O(1)")
        .internal(),
    Row::new("psync", Arity::AtLeast(3), psync)
        .flags(SYNC)
        .categories(Categories::NONE)
        .group(Group::Server, "2.8.0")
        .summary("An internal command used in replication.")
        .arguments(&[
            Argument::new("replicationid", ArgumentKind::String),
            Argument::new("offset", ArgumentKind::Integer),
        ]),
    Row::new("sync", Arity::Exactly(1), sync)
        .flags(SYNC)
        .categories(Categories::NONE)
        .group(Group::Server, "1.0.0")
        .summary("An internal command used in replication."),
];

fn replconf(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    if args.len().is_multiple_of(2) {
        return Err(CommandError::Syntax);
    }
    let mut announced = ctx.session.announced.clone().unwrap_or_default();
    let mut rest = args.from(1);
    while let (Some(option), Some(value)) = (rest.next(), rest.next()) {
        let is = |name: &str| option.eq_ignore_ascii_case(name.as_bytes());
        let number = || parse_i64(value).ok_or(CommandError::NotAnInteger);
        if is("listening-port") {
            announced.port = u16::try_from(number()?).unwrap_or(0);
        } else if is("ip-address") {
            let ip = str::from_utf8(value).ok();
            let is_plain = |ip: &&str| !ip.contains(|c: char| c.is_whitespace() || c.is_control());
            let ip = ip.filter(|ip| ip.len() <= IP_BYTES_MAX).filter(is_plain);
            let ip = ip.ok_or(CommandError::text(
                "ERR REPLCONF ip-address provided by replica instance is too long: more than 255 bytes, or no text",
            ))?;
            announced.ip = (!ip.is_empty()).then(|| ip.to_owned());
        } else if is("capa") {
            announced.reads_to_mark |= value.eq_ignore_ascii_case(b"eof");
            announced.takes_id |= value.eq_ignore_ascii_case(b"psync2");
        } else if is("rdb-only") {
            announced.only_copy = number()? == 1;
        } else if is("rdb-filter-only") {
            let words: Vec<&[u8]> = value
                .split(u8::is_ascii_whitespace)
                .filter(|word| !word.is_empty())
                .collect();
            let has_functions = words
                .iter()
                .any(|word| word.eq_ignore_ascii_case(b"functions"));
            if words.len() > usize::from(has_functions) {
                let word = shown(value, 128);
                let text = format!("ERR Unsupported rdb-filter-only option: {word}");
                return Err(CommandError::Text(text.into()));
            }
            // Without a word the copy has nothing.
            announced.without_keys = true;
            announced.without_functions = !has_functions;
        } else if is("version") {
            // Valkey tells it. Every Valkey reads version 11.
            announced.reads_newer = true;
        } else if is("ack") || is("getack") {
            // Only a replica that follows says this, or hears it, and gets no reply.
            return Ok(Outcome::Written);
        } else {
            let option = shown(option, 128);
            let text = format!("ERR Unrecognized REPLCONF option: {option}");
            return Err(CommandError::Text(text.into()));
        }
    }
    ctx.session.announced = Some(announced);
    Ok(Reply::Ok.into())
}

fn psync(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    // As in Redis, other words behind the offset say nothing.
    let hands_over = args
        .get(3)
        .is_some_and(|word| word.eq_ignore_ascii_case(b"failover"));
    let id = String::from_utf8_lossy(&args[1]).into_owned();
    let offset = parse_i64(&args[2]).ok_or(CommandError::NotAnInteger)?;
    // A replica asks for the byte behind those that it has.
    let has = u64::try_from(offset.saturating_sub(1)).ok();
    follow(
        ctx,
        FollowRequest {
            hands_over: hands_over.then(|| id.clone()),
            resumes: has.map(|has| (id, has)),
            is_psync: true,
        },
    )
}

fn sync(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    follow(
        ctx,
        FollowRequest {
            hands_over: None,
            resumes: None,
            is_psync: false,
        },
    )
}

fn follow(ctx: &mut Context<'_>, request: FollowRequest) -> CommandResult {
    if ctx.session.in_step() || ctx.session.monitors {
        return Err(CommandError::text("ERR SYNC and PSYNC are for replicas"));
    }
    let following = ctx.server.replication.following();
    if let Some(id) = &request.hands_over {
        let Some(following) = &following else {
            return Err(CommandError::text(
                "ERR PSYNC FAILOVER can't be sent to a master.",
            ));
        };
        let own = following.place.map(|place| place.id);
        if !own.is_some_and(|own| own.as_str().eq_ignore_ascii_case(id)) {
            return Err(CommandError::text(
                "ERR PSYNC FAILOVER replid must match my replid.",
            ));
        }
        // The connection does it before it answers, since it must be alone for that.
        ctx.session.follow = Some(request);
        return Ok(Outcome::Follow);
    }
    if ctx.server.failover.is_on() {
        return Err(CommandError::text(
            "NOMASTERLINK Can't SYNC while failing over",
        ));
    }
    if following.is_some_and(|following| following.link != Link::Up) {
        return Err(CommandError::text(
            "NOMASTERLINK Can't SYNC while not connected with my master",
        ));
    }
    ctx.session.follow = Some(request);
    Ok(Outcome::Follow)
}
