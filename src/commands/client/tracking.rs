//! CLIENT TRACKING and its kin: clients that cache keys and are told when these change.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::super::{CommandError, CommandResult, Context};
use super::{PLAIN, sub};
use crate::catalog::spec::{Argument, ArgumentKind, Arity};
use crate::commands::row::Row;
use crate::error::shown;
use crate::numbers::parse_i64;
use crate::protocol::{Args, Reply};
use crate::state::{Clients, Mode};

const ARGUMENTS: &[Argument] = &[
    Argument::new(
        "status",
        ArgumentKind::OneOf(&[Argument::token("on", "ON"), Argument::token("off", "OFF")]),
    ),
    Argument::new("client-id", ArgumentKind::Integer)
        .with_token("REDIRECT")
        .optional(),
    Argument {
        multiple_token: true,
        ..Argument::new("prefix", ArgumentKind::String)
            .with_token("PREFIX")
            .optional()
            .multiple()
    },
    Argument::token("bcast", "BCAST").optional(),
    Argument::token("optin", "OPTIN").optional(),
    Argument::token("optout", "OPTOUT").optional(),
    Argument::token("noloop", "NOLOOP").optional(),
];

pub(super) const TRACKING: Row = sub(
    "tracking",
    Arity::AtLeast(3),
    PLAIN,
    "6.0.0",
    "Sets whether the connection is told of changes of the keys that it reads.",
    ARGUMENTS,
    tracking,
)
.complexity("O(1). Some options may introduce additional complexity.");

pub(super) const CACHING: Row = sub(
    "caching",
    Arity::Exactly(3),
    PLAIN,
    "6.0.0",
    "Sets whether the keys of the next command are tracked.",
    &[Argument::new(
        "mode",
        ArgumentKind::OneOf(&[Argument::token("yes", "YES"), Argument::token("no", "NO")]),
    )],
    caching,
);

pub(super) const TRACKINGINFO: Row = sub(
    "trackinginfo",
    Arity::Exactly(2),
    PLAIN,
    "6.2.0",
    "Describes how the connection tracks keys.",
    &[],
    tracking_info,
);

pub(super) const GETREDIR: Row = sub(
    "getredir",
    Arity::Exactly(2),
    PLAIN,
    "6.0.0",
    "Answers the client that gets the connection's invalidations.",
    &[],
    getredir,
);

/// The arguments of CLIENT TRACKING after ON or OFF.
#[derive(Debug, Default)]
struct Options<'a> {
    mode: Mode,
    redirect: u64,
    prefixes: Vec<&'a [u8]>,
}

impl<'a> Options<'a> {
    fn parse(args: Args<'a>, clients: &Clients) -> Result<Self, CommandError> {
        let mut options = Self::default();
        let mut rest = args.from(3);
        while let Some(argument) = rest.next() {
            let mode = match argument.to_ascii_lowercase().as_slice() {
                b"bcast" => Mode::BCAST,
                b"optin" => Mode::OPTIN,
                b"optout" => Mode::OPTOUT,
                b"noloop" => Mode::NOLOOP,
                b"redirect" if rest.len() > 0 => {
                    options.redirect(rest.next().unwrap_or_default(), clients)?;
                    continue;
                }
                b"prefix" if rest.len() > 0 => {
                    options.prefixes.extend(rest.next());
                    continue;
                }
                _ => return Err(CommandError::Syntax),
            };
            options.mode = options.mode.union(mode);
        }
        Ok(options)
    }

    fn redirect(&mut self, argument: &[u8], clients: &Clients) -> Result<(), CommandError> {
        if self.redirect != 0 {
            return Err(CommandError::text(
                "ERR A client can only redirect to a single other client",
            ));
        }
        let id = parse_i64(argument).ok_or(CommandError::NotAnInteger)?;
        self.redirect = u64::try_from(id)
            .ok()
            .filter(|&id| clients.get(id).is_some())
            .ok_or(CommandError::text(
                "ERR The client ID you want redirect to does not exist",
            ))?;
        Ok(())
    }

    /// Whether the options fit each other, and the client's mode.
    fn check(&self, before: Mode) -> Result<(), CommandError> {
        let has = |mode| self.mode.contains(mode);
        let error = if !has(Mode::BCAST) && !self.prefixes.is_empty() {
            "ERR PREFIX option requires BCAST mode to be enabled"
        } else if before.contains(Mode::ON) && has(Mode::BCAST) != before.contains(Mode::BCAST) {
            "ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then re-enabling \
             it with a different mode."
        } else if has(Mode::BCAST) && (has(Mode::OPTIN) || has(Mode::OPTOUT)) {
            "ERR OPTIN and OPTOUT are not compatible with BCAST"
        } else if has(Mode::OPTIN) && has(Mode::OPTOUT) {
            "ERR You can't specify both OPTIN mode and OPTOUT mode"
        } else if (has(Mode::OPTIN) && before.contains(Mode::OPTOUT))
            || (has(Mode::OPTOUT) && before.contains(Mode::OPTIN))
        {
            "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then re-enabling \
             it with a different mode."
        } else {
            return Ok(());
        };
        Err(CommandError::text(error))
    }

    /// Whether no prefix begins with another one, new or old.
    fn check_prefixes(&self, present: &BTreeSet<Bytes>) -> Result<(), CommandError> {
        for (place, prefix) in self.prefixes.iter().enumerate() {
            let overlaps = |other: &&[u8]| other.starts_with(prefix) || prefix.starts_with(other);
            if let Some(other) = present.iter().map(|other| &other[..]).find(overlaps) {
                return Err(overlap(prefix, "an existing prefix", other));
            }
            let mut later = self.prefixes[place + 1..].iter().copied();
            if let Some(other) = later.find(overlaps) {
                return Err(overlap(prefix, "another provided prefix", other));
            }
        }
        Ok(())
    }
}

fn overlap(prefix: &[u8], with: &str, other: &[u8]) -> CommandError {
    let (prefix, other) = (shown(prefix, usize::MAX), shown(other, usize::MAX));
    CommandError::Text(
        format!(
            "ERR Prefix '{prefix}' overlaps with {with} '{other}'. Prefixes for \
             a single client must not overlap."
        )
        .into(),
    )
}

fn tracking(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let options = Options::parse(args, &ctx.server.clients)?;
    let session = &mut *ctx.session;
    if args[2].eq_ignore_ascii_case(b"on") {
        options.check(session.handle.tracking.mode())?;
        options.check_prefixes(&session.tracking.prefixes)?;
        // Broadcast mode without a prefix means all keys.
        let all: &[&[u8]] = &[b""];
        let prefixes = match (options.mode.contains(Mode::BCAST), &*options.prefixes) {
            (true, []) => all,
            (_, prefixes) => prefixes,
        };
        ctx.server.tracking.enable(
            ctx.keyspace,
            &session.handle,
            &mut session.tracking,
            options.mode,
            options.redirect,
            prefixes.iter().map(|prefix| Bytes::copy_from_slice(prefix)),
        );
    } else if args[2].eq_ignore_ascii_case(b"off") {
        let tracking = &mut session.tracking;
        (ctx.server.tracking).disable(ctx.keyspace, &session.handle, tracking);
    } else {
        return Err(CommandError::Syntax);
    }
    Ok(Reply::Ok.into())
}

fn caching(ctx: &mut Context<'_>, args: Args<'_>) -> CommandResult {
    let mode = ctx.session.handle.tracking.mode();
    if !mode.contains(Mode::ON) {
        return Err(CommandError::text(
            "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode \
             enabled",
        ));
    }
    let (needed, error) = if args[2].eq_ignore_ascii_case(b"yes") {
        let error = "ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.";
        (Mode::OPTIN, error)
    } else if args[2].eq_ignore_ascii_case(b"no") {
        let error = "ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.";
        (Mode::OPTOUT, error)
    } else {
        return Err(CommandError::Syntax);
    };
    if !mode.contains(needed) {
        return Err(CommandError::text(error));
    }
    ctx.session.tracking.caching = true;
    Ok(Reply::Ok.into())
}

/// The client that gets the messages: 0 for the client itself, -1 for none.
fn redirection(ctx: &Context<'_>) -> i64 {
    let state = &ctx.session.handle.tracking;
    if state.mode().contains(Mode::ON) {
        i64::try_from(state.redirect()).unwrap_or(i64::MAX)
    } else {
        -1
    }
}

#[allow(clippy::unnecessary_wraps)] // Handlers have one shape, also those that cannot fail.
fn getredir(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    Ok(Reply::Integer(redirection(ctx)).into())
}

#[allow(clippy::unnecessary_wraps)] // As above.
fn tracking_info(ctx: &mut Context<'_>, _: Args<'_>) -> CommandResult {
    let mode = ctx.session.handle.tracking.mode();
    let caching = ctx.session.tracking.caching;
    let has = |part| mode.contains(part);
    let flags = [
        (has(Mode::ON), "on"),
        (!has(Mode::ON), "off"),
        (has(Mode::BCAST), "bcast"),
        (has(Mode::OPTIN), "optin"),
        (has(Mode::OPTIN) && caching, "caching-yes"),
        (has(Mode::OPTOUT), "optout"),
        (has(Mode::OPTOUT) && caching, "caching-no"),
        (has(Mode::NOLOOP), "noloop"),
        (has(Mode::BROKEN), "broken_redirect"),
    ];
    let flags = flags
        .into_iter()
        .filter(|(holds, _)| *holds)
        .map(|(_, name)| Reply::text(name))
        .collect();
    let prefixes = ctx.session.tracking.prefixes.iter();
    let prefixes = prefixes.cloned().map(Reply::Bulk).collect();
    Ok(Reply::Map(vec![
        (Reply::text("flags"), Reply::Set(flags)),
        (Reply::text("redirect"), Reply::Integer(redirection(ctx))),
        (Reply::text("prefixes"), Reply::Array(prefixes)),
    ])
    .into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::OwnedArgs;

    fn check(line: &str, before: Mode, present: &[&'static str]) -> Result<(), String> {
        let arguments = format!("client tracking on {line}");
        let arguments = OwnedArgs::new(arguments.split_whitespace());
        Options::parse(arguments.args(), &Clients::default())
            .and_then(|options| {
                options.check(before)?;
                options.check_prefixes(&present.iter().map(|&prefix| prefix.into()).collect())
            })
            .map_err(|error| error.to_string())
    }

    #[test]
    fn options_that_do_not_go_together() {
        let refused = |line: &str, before, start: &str| {
            let error = check(line, before, &[]).expect_err("must be refused");
            assert!(error.starts_with(start), "{line}: {error}");
        };
        refused("prefix a", Mode::OFF, "ERR PREFIX option requires BCAST");
        refused("bcast optin", Mode::OFF, "ERR OPTIN and OPTOUT are not");
        refused("optin optout", Mode::OFF, "ERR You can't specify both");
        refused("bcast", Mode::ON, "ERR You can't switch BCAST mode");
        let optin = Mode::ON.union(Mode::OPTIN);
        refused("optout", optin, "ERR You can't switch OPTIN/OPTOUT");
        refused("redirect", Mode::OFF, "ERR syntax error");
        refused("redirect 9", Mode::OFF, "ERR The client ID you want");
        refused("redirect x", Mode::OFF, "ERR value is not an integer");
        refused("bcast prefix", Mode::OFF, "ERR syntax error");
        assert_eq!(check("optin noloop", optin, &[]), Ok(()));
    }

    #[test]
    fn prefixes_must_not_overlap() {
        let bcast = Mode::ON.union(Mode::BCAST);
        let check = |line, present| check(line, bcast, present);
        assert_eq!(check("bcast prefix a prefix b", &["c"]), Ok(()));
        assert_eq!(
            check("bcast prefix ab", &["a"]),
            Err("ERR Prefix 'ab' overlaps with an existing prefix 'a'. Prefixes for a single client must not overlap.".into())
        );
        assert_eq!(
            check("bcast prefix x prefix xyz", &[]),
            Err("ERR Prefix 'x' overlaps with another provided prefix 'xyz'. Prefixes for a single client must not overlap.".into())
        );
    }
}
