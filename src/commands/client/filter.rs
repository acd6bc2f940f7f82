//! The options of CLIENT KILL and CLIENT LIST.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Argument, ArgumentKind, ClientHandle, CommandError, parse_i64};
use crate::acl::{Acl, User};
use crate::error::shown;
use crate::protocol::{Args, Arguments};

/// What kinds of clients Redis tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Normal,
    Master,
    Replica,
    Pubsub,
}

impl Type {
    /// That of a client.
    pub(super) fn of(client: &ClientHandle) -> Self {
        if client.is_replica.load(Ordering::Relaxed) {
            Type::Replica
        } else if client.is_master.load(Ordering::Relaxed) {
            Type::Master
        } else if client.is_subscriber() {
            Type::Pubsub
        } else {
            Type::Normal
        }
    }
}

const TYPES_OF_LIST: &[Argument] = &[
    Argument::token("normal", "NORMAL"),
    Argument::token("master", "MASTER"),
    Argument::token("replica", "REPLICA"),
    Argument::token("pubsub", "PUBSUB"),
];

const TYPES_OF_KILL: &[Argument] = &[
    Argument::token("normal", "NORMAL"),
    Argument::token("master", "MASTER").since("3.2.0"),
    Argument::token("slave", "SLAVE"),
    Argument::token("replica", "REPLICA").since("5.0.0"),
    Argument::token("pubsub", "PUBSUB"),
];

pub(super) const LIST_ARGUMENTS: &[Argument] = &[
    Argument::new("client-type", ArgumentKind::OneOf(TYPES_OF_LIST))
        .with_token("TYPE")
        .optional()
        .since("5.0.0"),
    Argument::new("client-id", ArgumentKind::Integer)
        .with_token("ID")
        .optional()
        .multiple()
        .since("6.2.0"),
];

pub(super) const KILL_ARGUMENTS: &[Argument] = &[Argument::new(
    "filter",
    ArgumentKind::OneOf(&[
        Argument::new("old-format", ArgumentKind::String)
            .shown_as("ip:port")
            .deprecated_since("2.8.12"),
        Argument::new("new-format", ArgumentKind::OneOf(KILL_FILTERS)).multiple(),
    ]),
)];

const KILL_FILTERS: &[Argument] = &[
    Argument::new("client-id", ArgumentKind::Integer)
        .with_token("ID")
        .optional()
        .since("2.8.12"),
    Argument::new("client-type", ArgumentKind::OneOf(TYPES_OF_KILL))
        .with_token("TYPE")
        .optional()
        .since("2.8.12"),
    Argument::new("username", ArgumentKind::String)
        .with_token("USER")
        .optional(),
    Argument::new("addr", ArgumentKind::String)
        .shown_as("ip:port")
        .with_token("ADDR")
        .optional(),
    Argument::new("laddr", ArgumentKind::String)
        .shown_as("ip:port")
        .with_token("LADDR")
        .optional()
        .since("6.2.0"),
    Argument::new(
        "skipme",
        ArgumentKind::OneOf(&[Argument::token("yes", "YES"), Argument::token("no", "NO")]),
    )
    .with_token("SKIPME")
    .optional(),
    Argument::new("maxage", ArgumentKind::Integer)
        .with_token("MAXAGE")
        .optional()
        .since("7.4.0"),
];

/// A client type's name.
pub(super) fn parse_type(argument: &[u8]) -> Result<Type, CommandError> {
    let types: [(&[u8], Type); 5] = [
        (b"normal", Type::Normal),
        (b"slave", Type::Replica),
        (b"replica", Type::Replica),
        (b"pubsub", Type::Pubsub),
        (b"master", Type::Master),
    ];
    types
        .into_iter()
        .find_map(|(name, kind)| argument.eq_ignore_ascii_case(name).then_some(kind))
        .ok_or_else(|| {
            let argument = shown(argument, usize::MAX);
            CommandError::Text(format!("ERR Unknown client type '{argument}'").into())
        })
}

/// What a client may be asked for. Each part holds where it is given.
#[derive(Debug, Default)]
struct Criteria<'a> {
    ids: Vec<u64>,
    kind: Option<Type>,
    user: Option<Arc<User>>,
    addr: Option<&'a [u8]>,
    laddr: Option<&'a [u8]>,
    ip: Option<&'a [u8]>,
    name: Option<&'a [u8]>,
    lib_name: Option<&'a [u8]>,
    lib_ver: Option<&'a [u8]>,
    flags: Option<&'a [u8]>,
    db: Option<usize>,
    capa: Option<u8>,
}

/// The letters that FLAGS may name: those that CLIENT LIST of any version shows.
const FLAGS: &[u8] = b"AbBcdeEgiIMNOPrRStTuUx";

impl<'a> Criteria<'a> {
    /// Takes one option with its values; returns whether there is such an option. `prefix` is what stands before its name in
    /// errors.
    fn take(
        &mut self,
        option: &str,
        rest: &mut Arguments<'a>,
        around: &Around<'_>,
        negated: bool,
    ) -> Result<bool, CommandError> {
        let Around { acl, list } = around;
        let refused = |text: String| Err(CommandError::Text(text.into()));
        if !matches!(
            option,
            "id" | "type"
                | "user"
                | "addr"
                | "laddr"
                | "ip"
                | "name"
                | "lib-name"
                | "lib-ver"
                | "flags"
                | "db"
                | "capa"
        ) {
            return Ok(false);
        }
        let value = rest.next().ok_or(CommandError::Syntax)?;
        match option {
            "id" => {
                self.ids = vec![parse_id(value, *list)?];
                while let Some(id) = rest.clone().next().filter(|next| parse_i64(next).is_some()) {
                    self.ids.push(parse_id(id, *list)?);
                    rest.next();
                }
            }
            "type" => self.kind = Some(parse_type(value)?),
            "user" => {
                let Some(user) = acl.get(value) else {
                    let user = shown(value, usize::MAX);
                    return refused(format!("ERR No such user '{user}'"));
                };
                self.user = Some(user);
            }
            "addr" => self.addr = Some(value),
            "laddr" => self.laddr = Some(value),
            "ip" => self.ip = Some(value),
            "name" => self.name = Some(value),
            "lib-name" => self.lib_name = Some(value),
            "lib-ver" => self.lib_ver = Some(value),
            "flags" if !value.iter().all(|flag| FLAGS.contains(flag)) => {
                let which = if negated { "NOT-FLAGS" } else { "provided" };
                let flags = shown(value, usize::MAX);
                return refused(format!(
                    "ERR Unknown flags found in the {which} filter: {flags}"
                ));
            }
            "flags" => self.flags = Some(value),
            "db" => {
                let db = parse_i64(value).and_then(|db| usize::try_from(db).ok());
                let db = db.filter(|&db| db < crate::keyspace::DATABASES);
                self.db = Some(db.ok_or(CommandError::text(
                    "ERR DB number should be between 0 and 15",
                ))?);
            }
            _ => {
                let Some(capa) = capabilities(value) else {
                    let which = if negated { "NOT-CAPA" } else { "provided" };
                    let capa = shown(value, usize::MAX);
                    return refused(format!(
                        "ERR Unknown capa found in the {which} filter: {capa}"
                    ));
                };
                self.capa = Some(capa);
            }
        }
        Ok(true)
    }

    /// For each part that is given, whether the client has it.
    fn parts(&self, client: &ClientHandle) -> impl Iterator<Item = bool> {
        let text =
            |wanted: Option<&[u8]>, found: &str| wanted.map(|wanted| wanted == found.as_bytes());
        let ip = client.addr.rsplit_once(':').map_or("", |(ip, _)| ip);
        let ip = ip.trim_start_matches('[').trim_end_matches(']');
        [
            (!self.ids.is_empty()).then(|| self.ids.contains(&client.id)),
            self.kind.map(|kind| kind == Type::of(client)),
            self.user
                .as_ref()
                .map(|user| Arc::ptr_eq(&client.user.lock(), user)),
            text(self.addr, &client.addr),
            text(self.laddr, &client.laddr),
            text(self.ip, ip),
            self.name.map(|name| name == client.name.lock().as_bytes()),
            self.lib_name
                .map(|name| name == client.lib_name.lock().as_bytes()),
            self.lib_ver
                .map(|version| version == client.lib_ver.lock().as_bytes()),
            self.flags.map(|flags| {
                let found = client.flags();
                flags.iter().all(|flag| found.as_bytes().contains(flag))
            }),
            self.db.map(|db| db == client.db.load(Ordering::Relaxed)),
            self.capa
                .map(|capa| client.capabilities.load(Ordering::Relaxed) & capa == capa),
        ]
        .into_iter()
        .flatten()
    }
}

/// What a filter's options refer to.
struct Around<'a> {
    acl: &'a Acl,
    /// Whether it is CLIENT LIST's, which words its errors otherwise.
    list: bool,
}

/// The capability that Valkey's clients may claim: they follow a redirection.
const REDIRECT: u8 = 1;

/// The capability of CLIENT CAPA's word; others are ignored.
pub(super) fn capability(word: &[u8]) -> u8 {
    if word.eq_ignore_ascii_case(b"redirect") {
        REDIRECT
    } else {
        0
    }
}

/// The capabilities that the letters of a filter name.
fn capabilities(letters: &[u8]) -> Option<u8> {
    let known = !letters.is_empty() && letters.iter().all(|&letter| letter == b'r');
    known.then_some(REDIRECT)
}

/// Which clients CLIENT KILL or CLIENT LIST means.
#[derive(Debug, Default)]
pub(super) struct Filter<'a> {
    /// `CLIENT KILL addr`: answers OK or an error, not a number.
    pub(super) old_form: bool,
    wanted: Criteria<'a>,
    unwanted: Criteria<'a>,
    max_age_s: Option<u64>,
    idle_s: Option<i64>,
    skip_me: bool,
}

impl<'a> Filter<'a> {
    /// The filter of CLIENT KILL.
    pub(super) fn of_kill(args: Args<'a>, acl: &Acl) -> Result<Self, CommandError> {
        if args.len() == 3 {
            let mut filter = Filter {
                old_form: true,
                ..Filter::default()
            };
            filter.wanted.addr = args.get(2);
            return Ok(filter);
        }
        let mut filter = Filter {
            skip_me: true,
            ..Filter::default()
        };
        filter.read(args, &Around { acl, list: false })?;
        Ok(filter)
    }

    /// The filter of CLIENT LIST.
    pub(super) fn of_list(args: Args<'a>, acl: &Acl) -> Result<Self, CommandError> {
        let mut filter = Filter::default();
        filter.read(args, &Around { acl, list: true })?;
        Ok(filter)
    }

    fn read(&mut self, args: Args<'a>, around: &Around<'_>) -> Result<(), CommandError> {
        let mut rest = args.from(2);
        while let Some(option) = rest.next() {
            let option = String::from_utf8_lossy(option).to_ascii_lowercase();
            let taken = match option.strip_prefix("not-") {
                Some(option) => self.unwanted.take(option, &mut rest, around, true)?,
                None => self.wanted.take(&option, &mut rest, around, false)?,
            };
            if taken {
                continue;
            }
            let value = rest.next().ok_or(CommandError::Syntax)?;
            match option.as_str() {
                "maxage" => {
                    let age = positive(value, "maxage")?;
                    self.max_age_s = Some(age.unsigned_abs());
                }
                "idle" => self.idle_s = Some(positive(value, "idle")?),
                "skipme" if value.eq_ignore_ascii_case(b"yes") => self.skip_me = true,
                "skipme" if value.eq_ignore_ascii_case(b"no") => self.skip_me = false,
                _ => return Err(CommandError::Syntax),
            }
        }
        Ok(())
    }

    /// The ids that the call names, in its order.
    pub(super) fn ids(&self) -> &[u64] {
        &self.wanted.ids
    }

    /// Whether the client is meant, when `own` asks.
    pub(super) fn fits(&self, client: &ClientHandle, own: u64, now_ms: i64) -> bool {
        self.wanted.parts(client).all(|has| has)
            && !self.unwanted.parts(client).any(|has| has)
            // Redis calls it so, but means the clients that are at least as old.
            && self
                .max_age_s
                .is_none_or(|age| client.connected.elapsed().as_secs() >= age)
            && self.idle_s.is_none_or(|idle| client.idle_s(now_ms) >= idle)
            && !(self.skip_me && client.id == own)
    }
}

fn positive(value: &[u8], option: &str) -> Result<i64, CommandError> {
    let number = parse_i64(value).ok_or_else(|| {
        CommandError::Text(format!("ERR {option} is not an integer or out of range").into())
    })?;
    if number <= 0 {
        let text = format!("ERR {option} should be greater than 0");
        return Err(CommandError::Text(text.into()));
    }
    Ok(number)
}

fn parse_id(value: &[u8], list: bool) -> Result<u64, CommandError> {
    let number = parse_i64(value);
    if list {
        // No client has an id below 1.
        return number
            .map(|id| u64::try_from(id).unwrap_or(0))
            .ok_or(CommandError::text("ERR Invalid client ID"));
    }
    number
        .and_then(|id| u64::try_from(id).ok())
        .filter(|&id| id > 0)
        .ok_or(CommandError::text("ERR client-id should be greater than 0"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::OwnedArgs;

    fn nobody() -> Acl {
        Acl::new(None, false, None)
    }

    fn error(arguments: &[&str]) -> String {
        let arguments = OwnedArgs::new(["client", "kill"].iter().chain(arguments));
        let error = Filter::of_kill(arguments.args(), &nobody()).expect_err("must be refused");
        error.to_string()
    }

    #[test]
    fn refuses_as_redis_does() {
        for (arguments, text) in [
            (&["ID", "x"][..], "ERR client-id should be greater than 0"),
            (&["ID", "0"], "ERR client-id should be greater than 0"),
            (&["TYPE", "x"], "ERR Unknown client type 'x'"),
            (&["USER", "x"], "ERR No such user 'x'"),
            (&["NOT-USER", "x"], "ERR No such user 'x'"),
            (&["SKIPME", "x"], "ERR syntax error"),
            (&["ID", "1", "ADDR"], "ERR syntax error"),
            (&["FOO", "1"], "ERR syntax error"),
            (&["NOT-MAXAGE", "1"], "ERR syntax error"),
            (
                &["MAXAGE", "x"],
                "ERR maxage is not an integer or out of range",
            ),
            (&["MAXAGE", "0"], "ERR maxage should be greater than 0"),
            (&["IDLE", "-1"], "ERR idle should be greater than 0"),
            (
                &["FLAGS", "ZZ"],
                "ERR Unknown flags found in the provided filter: ZZ",
            ),
            (
                &["NOT-FLAGS", "Z"],
                "ERR Unknown flags found in the NOT-FLAGS filter: Z",
            ),
            (
                &["CAPA", "x"],
                "ERR Unknown capa found in the provided filter: x",
            ),
        ] {
            assert_eq!(error(arguments), text, "{arguments:?}");
        }
    }

    #[test]
    fn one_word_is_an_address_and_may_be_ones_own() -> Result<(), CommandError> {
        let arguments = OwnedArgs::new(["client", "kill", "127.0.0.1:1"]);
        let filter = Filter::of_kill(arguments.args(), &nobody())?;
        assert!(filter.old_form && !filter.skip_me);
        assert_eq!(filter.wanted.addr, Some(&b"127.0.0.1:1"[..]));
        let arguments = OwnedArgs::new(["client", "kill", "id", "7", "8", "skipme", "No"]);
        let filter = Filter::of_kill(arguments.args(), &nobody())?;
        assert_eq!((filter.old_form, filter.ids()), (false, &[7, 8][..]));
        assert!(!filter.skip_me);
        Ok(())
    }
}
