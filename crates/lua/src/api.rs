//! The table `redis` and what this crate replaces of Lua's own libraries.

use mlua::{Lua, MultiValue, Table, Value};

use crate::arguments::{checked_int, number_of, text_of, truncated};
use crate::current::{CURRENT, Current, Exchange, Registered, State, function};
use crate::failure::{Failure, error_table};
use crate::flags::{ScriptFlags, is_valid_name};
use crate::host::{Host, LogLevel};
use crate::native::Native;
use crate::random::{RANDOM_MAX, Random};

/// The version that scripts see as `redis.REDIS_VERSION`.
pub(crate) struct Version<'a>(pub &'a str);

impl Version<'_> {
    /// 7.2.4 as 0x00070204.
    fn number(&self) -> i64 {
        self.0.split('.').take(3).fold(0, |number, part| {
            (number << 8) | (part.parse::<i64>().unwrap_or(0) & 0xff)
        })
    }
}

type Results = Result<MultiValue, Failure>;

type Body = fn(&Lua, &mut dyn Host, &mut State, &MultiValue) -> Results;

fn one(value: Value) -> MultiValue {
    MultiValue::from_vec(vec![value])
}

/// The table `redis` as EVAL and FCALL have it.
pub(crate) fn redis_table(
    lua: &Lua,
    native: &Native,
    version: &Version<'_>,
    exchange: &Exchange,
) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    add_version_and_log(lua, native, &table, version)?;
    table.raw_set("call", call(lua, native, exchange, true)?)?;
    table.raw_set("pcall", call(lua, native, exchange, false)?)?;
    let functions: [(&str, Body); 6] = [
        ("setresp", set_resp),
        ("sha1hex", sha1hex),
        ("error_reply", error_reply),
        ("status_reply", status_reply),
        ("set_repl", set_repl),
        ("acl_check_cmd", acl_check_cmd),
    ];
    for (name, body) in functions {
        table.raw_set(name, function(lua, &native.raising, body)?)?;
    }
    for (name, flags) in [
        ("REPL_NONE", 0),
        ("REPL_AOF", 1),
        ("REPL_SLAVE", 2),
        ("REPL_REPLICA", 2),
        ("REPL_ALL", 3),
    ] {
        table.raw_set(name, flags)?;
    }
    Ok(table)
}

/// What only EVAL has of the table `redis`: functions of the debugger, which does not exist here, and one without effect.
pub(crate) fn add_eval_functions(lua: &Lua, native: &Native, table: &Table) -> mlua::Result<()> {
    let answer = |value: bool| {
        function(lua, &native.raising, move |_, _, _, _| {
            Ok(one(Value::Boolean(value)))
        })
    };
    table.raw_set("breakpoint", answer(false)?)?;
    table.raw_set("replicate_commands", answer(true)?)?;
    let debug = function(lua, &native.raising, |_, _, _, _| Ok(MultiValue::new()))?;
    table.raw_set("debug", debug)
}

/// The table `redis` as a library has it while it loads.
pub(crate) fn library_table(
    lua: &Lua,
    native: &Native,
    version: &Version<'_>,
) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    add_version_and_log(lua, native, &table, version)?;
    let keep = native.keep.clone();
    let register = function(lua, &native.raising, move |_, _, state, args| {
        register_function(&keep, state, args)
    })?;
    table.raw_set("register_function", register)?;
    Ok(table)
}

fn add_version_and_log(
    lua: &Lua,
    native: &Native,
    table: &Table,
    version: &Version<'_>,
) -> mlua::Result<()> {
    table.raw_set("REDIS_VERSION", version.0)?;
    table.raw_set("REDIS_VERSION_NUM", version.number())?;
    table.raw_set("log", function(lua, &native.raising, log)?)?;
    for (name, level) in [
        ("LOG_DEBUG", 0),
        ("LOG_VERBOSE", 1),
        ("LOG_NOTICE", 2),
        ("LOG_WARNING", 3),
    ] {
        table.raw_set(name, level)?;
    }
    Ok(())
}

/// `redis.call` raises a command's error, `redis.pcall` returns it.
fn call(
    lua: &Lua,
    native: &Native,
    exchange: &Exchange,
    raises: bool,
) -> mlua::Result<mlua::Function> {
    let packed = lua.create_function(|_, ()| {
        CURRENT.with(|Current { host, state }| {
            state.take_packed();
            state.call(host);
            state.leave_reply();
        });
        Ok(())
    })?;
    let values = lua.create_function(move |lua, args: MultiValue| {
        let taken = CURRENT.with(|Current { host, state }| {
            state.take_arguments(&args)?;
            state.call(host);
            state.leave_reply();
            Ok(())
        });
        match taken {
            Ok(()) => Ok(one(Value::Nil)),
            Err(Failure::Reply(text)) if !raises => {
                let table = Value::Table(error_table(lua, &text)?);
                Ok(MultiValue::from_vec(vec![Value::Nil, table]))
            }
            Err(failure) => failure.into_results(lua),
        }
    })?;
    let (words, bytes, size) = exchange.addresses();
    native
        .caller
        .call((packed, values, words, bytes, size, raises))
}

fn set_resp(_: &Lua, _: &mut dyn Host, state: &mut State, args: &MultiValue) -> Results {
    use redis_core::protocol::Protocol;

    if args.len() != 1 {
        return Err(Failure::reply("redis.setresp() requires one argument."));
    }
    state.protocol = match integer(args.front()) {
        2 => Protocol::Resp2,
        3 => Protocol::Resp3,
        _ => return Err(Failure::reply("RESP version must be 2 or 3.")),
    };
    Ok(MultiValue::new())
}

fn sha1hex(lua: &Lua, _: &mut dyn Host, _: &mut State, args: &MultiValue) -> Results {
    if args.len() != 1 {
        return Err(Failure::reply("wrong number of arguments"));
    }
    let text = args.front().and_then(text_of).unwrap_or_default();
    Ok(one(Value::String(
        lua.create_string(crate::sha1_hex(&text))?,
    )))
}

fn error_reply(lua: &Lua, _: &mut dyn Host, _: &mut State, args: &MultiValue) -> Results {
    let Some(text) = only_string(args) else {
        return wrong_arguments(lua);
    };
    let text = text.split(|&byte| byte == 0).next().unwrap_or_default();
    let text = text.strip_prefix(b"-").unwrap_or(text);
    let (code, message) = match text.iter().position(|&byte| byte == b' ') {
        Some(space) => (&text[..space], &text[space + 1..]),
        None => (&b"ERR"[..], text),
    };
    let is_break = |byte: &u8| matches!(byte, b'\r' | b'\n');
    let first = message
        .iter()
        .position(|byte| !is_break(byte))
        .unwrap_or(message.len());
    let last = message
        .iter()
        .rposition(|byte| !is_break(byte))
        .map_or(first, |last| last + 1);
    let text = [code, b" ", &message[first..last]].concat();
    Ok(one(Value::Table(error_table(lua, &text)?)))
}

fn status_reply(lua: &Lua, _: &mut dyn Host, _: &mut State, args: &MultiValue) -> Results {
    let Some(text) = only_string(args) else {
        return wrong_arguments(lua);
    };
    let table = lua.create_table_with_capacity(0, 1)?;
    table.raw_set("ok", lua.create_string(text)?)?;
    Ok(one(Value::Table(table)))
}

/// Redis returns this error, it does not raise it.
fn wrong_arguments(lua: &Lua) -> Results {
    Ok(one(Value::Table(error_table(
        lua,
        b"ERR wrong number or type of arguments",
    )?)))
}

fn set_repl(_: &Lua, _: &mut dyn Host, _: &mut State, args: &MultiValue) -> Results {
    if args.len() != 1 {
        return Err(Failure::reply("redis.set_repl() requires two arguments."));
    }
    if integer(args.front()) & !3 != 0 {
        return Err(Failure::reply(
            "Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE.",
        ));
    }
    Ok(MultiValue::new())
}

fn acl_check_cmd(_: &Lua, host: &mut dyn Host, state: &mut State, args: &MultiValue) -> Results {
    state.take_arguments(args)?;
    let may = host.may_call(state.args());
    may.map(|may| one(Value::Boolean(may)))
        .ok_or_else(|| Failure::reply("Invalid command passed to redis.acl_check_cmd()"))
}

fn log(_: &Lua, host: &mut dyn Host, _: &mut State, args: &MultiValue) -> Results {
    let mut args = args.iter();
    let level = args.next();
    if args.len() == 0 {
        return Err(Failure::reply(
            "redis.log() requires two arguments or more.",
        ));
    }
    let level = level
        .and_then(number_of)
        .ok_or_else(|| Failure::reply("First argument must be a number (log level)."))?;
    let level = LogLevel::from_number(truncated(level))
        .ok_or_else(|| Failure::reply("Invalid debug level."))?;
    let mut message = Vec::new();
    for (index, text) in args
        .enumerate()
        .filter_map(|(index, arg)| Some((index, text_of(arg)?)))
    {
        if index > 0 {
            message.push(b' ');
        }
        message.extend_from_slice(&text);
    }
    host.log(level, &message);
    Ok(MultiValue::new())
}

fn register_function(keep: &mlua::Function, state: &mut State, args: &MultiValue) -> Results {
    let Some(registered) = &mut state.registered else {
        return Err(Failure::reply(
            "redis.register_function can only be called on FUNCTION LOAD command",
        ));
    };
    let (name, description, flags, callback) = match args.len() {
        1 => named_arguments(args.front())?,
        2 => {
            let name = args.front().and_then(text_of).ok_or_else(|| {
                Failure::reply("first argument to redis.register_function must be a string")
            })?;
            let Some(Value::Function(callback)) = args.get(1) else {
                return Err(Failure::reply(
                    "second argument to redis.register_function must be a function",
                ));
            };
            (name, None, ScriptFlags::default(), callback.clone())
        }
        _ => {
            return Err(Failure::reply(
                "wrong number of arguments to redis.register_function",
            ));
        }
    };
    if !is_valid_name(&name) {
        return Err(Failure::reply(
            "Library names can only contain letters, numbers, or underscores(_) and must be at least one character long",
        ));
    }
    if registered.iter().any(|other| other.name == name) {
        return Err(Failure::reply("Function already exists in the library"));
    }
    let function = crate::Handle(keep.call(callback)?);
    registered.push(Registered {
        name,
        description,
        flags,
        function,
    });
    Ok(MultiValue::new())
}

type Named = (Vec<u8>, Option<Vec<u8>>, ScriptFlags, mlua::Function);

fn named_arguments(argument: Option<&Value>) -> Result<Named, Failure> {
    let Some(Value::Table(table)) = argument else {
        return Err(Failure::reply(
            "calling redis.register_function with a single argument is only applicable to Lua table (representing named arguments).",
        ));
    };
    let (mut name, mut description, mut callback) = (None, None, None);
    let mut flags = ScriptFlags::default();
    for pair in table.pairs::<Value, Value>() {
        let (key, value) = pair?;
        let key = text_of(&key).ok_or_else(|| {
            Failure::reply("named argument key given to redis.register_function is not a string")
        })?;
        match key.to_ascii_lowercase().as_slice() {
            b"function_name" => {
                name = Some(text_of(&value).ok_or_else(|| {
                    Failure::reply(
                        "function_name argument given to redis.register_function must be a string",
                    )
                })?);
            }
            b"description" => {
                description = Some(text_of(&value).ok_or_else(|| {
                    Failure::reply(
                        "description argument given to redis.register_function must be a string",
                    )
                })?);
            }
            b"callback" => {
                let Value::Function(function) = value else {
                    return Err(Failure::reply(
                        "callback argument given to redis.register_function must be a function",
                    ));
                };
                callback = Some(function);
            }
            b"flags" => {
                let Value::Table(list) = value else {
                    return Err(Failure::reply(
                        "flags argument to redis.register_function must be a table representing function flags",
                    ));
                };
                flags = flags_of(&list)?;
            }
            _ => {
                return Err(Failure::reply(
                    "unknown argument given to redis.register_function",
                ));
            }
        }
    }
    let name = name.ok_or_else(|| {
        Failure::reply("redis.register_function must get a function name argument")
    })?;
    let callback = callback
        .ok_or_else(|| Failure::reply("redis.register_function must get a callback argument"))?;
    Ok((name, description, flags, callback))
}

fn flags_of(list: &Table) -> Result<ScriptFlags, Failure> {
    let mut flags = ScriptFlags::default();
    for index in 1.. {
        let name: Value = list.raw_get(index)?;
        if name.is_nil() {
            break;
        }
        let flag = text_of(&name).and_then(|name| ScriptFlags::named_in_any_case(&name));
        flags = flags.union(flag.ok_or_else(|| Failure::reply("unknown flag given"))?);
    }
    Ok(flags)
}

/// `math.random`, as Lua has it but for where the numbers come from.
pub(crate) fn random(_: &Lua, _: &mut dyn Host, state: &mut State, args: &MultiValue) -> Results {
    // The largest number would give 1, which is not below 1.
    let number = f64::from(state.random.next() % 0x7fff_ffff) / RANDOM_MAX;
    let number = match args.len() {
        0 => number,
        1 => {
            let upper = checked_int(args, 1)?;
            if upper < 1 {
                return Err(Failure::Argument(1, "interval is empty".into()));
            }
            (number * f64::from(upper)).floor() + 1.0
        }
        2 => {
            let (lower, upper) = (checked_int(args, 1)?, checked_int(args, 2)?);
            if lower > upper {
                return Err(Failure::Argument(2, "interval is empty".into()));
            }
            let width = upper.wrapping_sub(lower).wrapping_add(1);
            (number * f64::from(width)).floor() + f64::from(lower)
        }
        _ => return Err(Failure::text("wrong number of arguments")),
    };
    Ok(one(Value::Number(number)))
}

/// `math.randomseed`. It holds until the script ends.
pub(crate) fn random_seed(
    _: &Lua,
    _: &mut dyn Host,
    state: &mut State,
    args: &MultiValue,
) -> Results {
    let seeded = Random::seeded(checked_int(args, 1)?);
    let before = std::mem::replace(&mut state.random, seeded);
    state.random_before.get_or_insert(before);
    Ok(MultiValue::new())
}

fn integer(value: Option<&Value>) -> i64 {
    truncated(value.and_then(number_of).unwrap_or(0.0))
}

fn only_string(args: &MultiValue) -> Option<Vec<u8>> {
    match (args.len(), args.front()) {
        (1, Some(Value::String(text))) => Some(text.as_bytes().to_vec()),
        _ => None,
    }
}
