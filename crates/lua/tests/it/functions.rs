//! Libraries of functions.

use pmemkv_lua::{
    HeaderError, Interpreter, Interrupt, Kind, LOAD_TIMEOUT, Limits, LoadError, Outcome, Protocol,
    ReplyBuffer, Run, ScriptFlags, library_header,
};

use crate::host::Memory;
use crate::redis::Redis;

fn interpreter() -> Interpreter {
    Interpreter::new(Kind::Functions, "7.2.4", Limits::default()).expect("an interpreter")
}

/// FCALL, as the reply's bytes.
fn call(interpreter: &mut Interpreter, function: pmemkv_lua::Handle, name: &str) -> Vec<u8> {
    let mut out = ReplyBuffer::new(Protocol::Resp2);
    let run = Run {
        function,
        name: name.as_bytes(),
        keys: [&b"k1"[..]].into_iter(),
        args: [&b"a1"[..], b"a2"].into_iter(),
    };
    match interpreter.run(run, &mut Memory::default(), &mut out) {
        Outcome::Written => out.in_one().expect("a short reply").to_vec(),
        Outcome::Failed(error) => [b"-", error.text.as_slice(), b"\r\n"].concat(),
    }
}

#[test]
fn a_library_registers_functions() {
    let mut interpreter = interpreter();
    let library = interpreter
        .load_library(
            b"#!lua name=mylib\n\
              local calls = 0\n\
              redis.register_function('first', function(keys, args) calls = calls + 1 return {keys[1], args[2], calls} end)\n\
              redis.register_function{function_name='second', description='it is', flags={'no-writes', 'ALLOW-OOM'},\n\
                callback=function() return redis.call('ping') end}",
            &mut Memory::default(),
        )
        .expect("a library");
    assert_eq!(library.name, b"mylib");
    let [first, second] = library.functions.as_slice() else {
        panic!("two functions")
    };
    assert_eq!(
        (first.name.as_slice(), first.description.as_deref()),
        (&b"first"[..], None)
    );
    assert_eq!(first.flags, ScriptFlags::default());
    assert_eq!(second.description.as_deref(), Some(&b"it is"[..]));
    assert_eq!(
        second.flags,
        ScriptFlags::NO_WRITES.union(ScriptFlags::ALLOW_OOM)
    );
    assert_eq!(
        second.flags.names().collect::<Vec<_>>(),
        ["no-writes", "allow-oom"]
    );
    for calls in 1..3 {
        let expected = format!("*3\r\n$2\r\nk1\r\n$2\r\na2\r\n:{calls}\r\n");
        assert_eq!(
            call(&mut interpreter, first.function, "first"),
            expected.as_bytes()
        );
    }
    assert_eq!(
        call(&mut interpreter, second.function, "second"),
        b"+PONG\r\n"
    );
}

/// Libraries that load or fail, here and on redis-server.
const LIBRARIES: &[&str] = &[
    "redis.register_function('x', function() return 1 end)",
    "",
    "return 1",
    "x=",
    "x = 1",
    "return x",
    "return redis.call('get', 'x')",
    "redis.log(redis.LOG_DEBUG, 'x') redis.register_function('x', function() return 1 end)",
    "redis.log(1)",
    "error('boo')",
    "local t = nil t.x = 1",
    "redis.register_function()",
    "redis.register_function('x')",
    "redis.register_function('x', 1)",
    "redis.register_function('x', redis.log, 1)",
    "redis.register_function({}, redis.log)",
    "redis.register_function('x!', redis.log)",
    "redis.register_function('', redis.log)",
    "redis.register_function('x', redis.log) redis.register_function('x', redis.log)",
    "redis.register_function{}",
    "redis.register_function{function_name='x'}",
    "redis.register_function{callback=redis.log}",
    "redis.register_function{function_name={}, callback=redis.log}",
    "redis.register_function{function_name='x', callback=1}",
    "redis.register_function{function_name='x', callback=redis.log, flags=1}",
    "redis.register_function{function_name='x', callback=redis.log, flags={'nosuch'}}",
    "redis.register_function{function_name='x', callback=redis.log, flags={1}}",
    "redis.register_function{function_name='x', callback=redis.log, description={}}",
    "redis.register_function{function_name='x', callback=redis.log, nosuch=1}",
    "redis.register_function{function_name='x', callback=redis.log, [{}]=1}",
    "redis.register_function{FUNCTION_NAME='x', callback=function() return math.floor(1.5) end}",
    "redis.register_function('x', function() return redis.register_function end)",
    "redis.register_function('x', function() return redis.register_function('y', redis.log) end)",
    "redis.register_function('x', function() y = 1 end)",
    "redis.register_function('x', function() return y end)",
    "redis.register_function('x', function() return KEYS end)",
    "redis.register_function('x', function(k, a) return {k, a, #k, #a} end)",
    "redis.register_function('x', function() return redis.breakpoint() end)",
    "redis.register_function('x', function() return redis.replicate_commands() end)",
    "redis.register_function('x', function() return tostring(redis.debug) end)",
    "redis.register_function('x', function() error('boo') end)",
    "redis.register_function('x', function() error({err='MY boo'}) end)",
    "redis.register_function('x', function() return redis.call('nosuch') end)",
    "redis.register_function('x', function() return redis.pcall('nosuch') end)",
    "redis.register_function('x', function() return redis.error_reply('MY boo') end)",
    "redis.register_function('x', function() return redis.status_reply('fine') end)",
    "redis.register_function('x', function() setmetatable(_G, {}) end)",
    "redis.register_function('x', function() rawset(_G, 'y', 1) end)",
    "redis.register_function('x', function() return _VERSION end)",
    "redis.register_function('x', function() math.y = 1 end)",
    "redis.register_function('x', function() local t = {} for k in pairs(redis) do t[#t + 1] = k end table.sort(t) return t end)",
    "redis.register_function('x', function() local t = {} for k in pairs(_G) do t[#t + 1] = k end table.sort(t) return t end)",
    "local redis = redis redis.register_function('x', function() return redis.call end)",
    "redis.x = 1",
    "setmetatable(redis, {})",
    "local f = redis.register_function f('x', function() return cjson.encode({1, 2}) end)",
];

/// First lines, right and wrong.
const HEADERS: &[&str] = &[
    "#!lua name=x",
    "#!LUA name=x",
    "#!lua NAME=x",
    "#!lua",
    "#!lua name=",
    "#!lua name=x name=y",
    "#!lua name=x!",
    "#!lua name=x flags=no-writes",
    "#!lua nosuch",
    "#!python name=x",
    "#! name=x",
    "#!",
    "#!lua 'name=x'",
    "#!lua 'name=x",
    "lua name=x",
    "",
];

#[test]
fn libraries_load_as_in_redis_server() {
    let Some(redis) = Redis::start() else {
        eprintln!("skipped: redis-server is not installed");
        return;
    };
    let mut connection = redis.connect(false);
    let mut different = Vec::new();
    let texts = LIBRARIES
        .iter()
        .map(|code| format!("#!lua name=lib\n{code}"));
    let good = "redis.register_function('x', function() return 1 end)";
    for text in texts.chain(HEADERS.iter().map(|header| format!("{header}\n{good}"))) {
        connection.send(&[b"FUNCTION", b"FLUSH"]);
        let mut expected = connection.send(&[b"FUNCTION", b"LOAD", text.as_bytes()]);
        let mut interpreter = interpreter();
        let mut ours = match interpreter.load_library(text.as_bytes(), &mut Memory::default()) {
            Ok(library) => {
                let loaded = format!(
                    "${}\r\n{}\r\n",
                    library.name.len(),
                    String::from_utf8_lossy(&library.name)
                );
                let called = call(&mut interpreter, library.functions[0].function, "x");
                [loaded.into_bytes(), called].concat()
            }
            Err(error) => format!("-{error}\r\n").into_bytes(),
        };
        if expected.first() == Some(&b'$') {
            expected.extend(connection.send(&[b"FCALL", b"x", b"1", b"k1", b"a1", b"a2"]));
        }
        if text.contains("tostring(redis.debug)") {
            // An address.
            (ours, expected) = (Vec::new(), Vec::new());
        }
        if ours != expected {
            let (expected, ours) = (expected.escape_ascii(), ours.escape_ascii());
            different.push(format!("{text}\n  redis: {expected}\n  here:  {ours}"));
        }
    }
    assert!(
        different.is_empty(),
        "{} differ:\n{}",
        different.len(),
        different.join("\n")
    );
}

#[test]
fn a_library_that_loads_too_long_is_stopped() {
    struct Impatient;

    impl pmemkv_lua::Host for Impatient {
        fn call(&mut self, _: pmemkv_lua::Args<'_>, _: &mut ReplyBuffer) {}
        fn may_call(&mut self, _: pmemkv_lua::Args<'_>) -> Option<bool> {
            None
        }
        fn log(&mut self, _: pmemkv_lua::LogLevel, _: &[u8]) {}
        fn interrupt(&mut self) -> Interrupt {
            Interrupt::Kill(LOAD_TIMEOUT)
        }
    }

    let loaded = interpreter().load_library(b"#!lua name=x\nwhile true do end", &mut Impatient);
    let expected = LoadError::Registering("ERR FUNCTION LOAD timeout".into());
    assert_eq!(loaded, Err(expected));
}

#[test]
fn a_library_does_not_reach_another() {
    let mut interpreter = interpreter();
    let mut host = Memory::default();
    for text in [
        "x = 1",
        "redis.x = 1",
        "redis.register_function('f', function() x = 1 end)",
    ] {
        let text = format!("#!lua name=lib\n{text}");
        if let Ok(library) = interpreter.load_library(text.as_bytes(), &mut host) {
            call(&mut interpreter, library.functions[0].function, "f");
        }
        let probe = b"#!lua name=probe\nredis.register_function('f', function() return {tostring(rawget(_G, 'x')), tostring(rawget(redis, 'x'))} end)";
        let library = interpreter
            .load_library(probe, &mut host)
            .expect("a library");
        let reply = call(&mut interpreter, library.functions[0].function, "f");
        assert_eq!(reply, b"*2\r\n$3\r\nnil\r\n$3\r\nnil\r\n", "{text}");
    }
}

#[test]
fn scripts_have_no_libraries() {
    let mut scripts =
        Interpreter::new(Kind::Eval, "7.2.4", Limits::default()).expect("an interpreter");
    assert!(matches!(
        scripts.load_library(b"#!lua name=x\nreturn", &mut Memory::default()),
        Err(LoadError::Lua(_))
    ));
}

#[test]
fn a_librarys_name_is_read_alone() {
    let header = library_header(b"#!lua name=mylib\nredis.call()").expect("a header");
    assert_eq!(
        (
            header.name.as_slice(),
            header.engine.as_slice(),
            header.code
        ),
        (&b"mylib"[..], &b"lua"[..], 16)
    );
    assert_eq!(
        library_header(b"#!lua name=mylib"),
        Err(HeaderError::InvalidLibraryHeader)
    );
}
