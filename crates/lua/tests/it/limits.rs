//! Scripts that ask for too much get an error, and the next script runs.

use std::time::{Duration, Instant};

use pmemkv_lua::{Limits, LoadError, Protocol, ReplyBuffer, Run};

use crate::host::Subject;

const MEMORY_BYTES: usize = 32 << 20;

fn subject() -> Subject {
    Subject::with(Limits {
        memory_bytes: MEMORY_BYTES,
        ..Limits::default()
    })
}

/// Runs on a stack of two mebibytes, as the threads of a server have it.
fn on_a_small_stack(test: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new()
        .stack_size(2 << 20)
        .spawn(test)
        .expect("a thread");
    thread.join().expect("the test holds");
}

#[test]
fn memory_has_a_limit() {
    let mut subject = subject();
    for script in [
        "local t = {} for i = 1, 1e9 do t[i] = i end",
        "return ('x'):rep(1e9)",
        "local s = 'x' while true do s = s .. s end",
        "local t = {} while true do t[#t + 1] = function() return t end end",
        "return table.concat({('x'):rep(1e7), ('y'):rep(1e7), ('z'):rep(1e7)})",
        "return ('x'):rep(1e6):gsub('x', ('y'):rep(1e4))",
        "local t = {} for i = 1, 1e9 do t[i] = coroutine.create(function() end) end",
        "return select(2, load(function() return 'aaaaaaaaaaaaaaaa' end))",
        "return cjson.encode({('x'):rep(1e7), ('x'):rep(1e7), ('x'):rep(1e7), ('x'):rep(1e7)})",
        "local s = ('x'):rep(1e7) return cmsgpack.pack(s, s, s, s)",
        "local s = ('x'):rep(1e7) return struct.pack('ssss', s, s, s, s)",
        "local s = ('x'):rep(1e7) return redis.call('echo', s, s, s, s, s)",
        "local f = {} for i = 1, 30 do f[i] = 1 end local t = {unpack(f)} while true do t = {t, t, t} for i = 1, 3 do t[i] = {t[i], ('y'):rep(1e5) .. i .. #f} f[#f + 1] = t[i] end end",
    ] {
        let started = Instant::now();
        let reply = subject.eval(script);
        let reply = &reply[..reply.len().min(200)];
        assert!(
            reply.contains("not enough memory") || reply.contains("Wrong number of args"),
            "{script}: {reply}"
        );
        assert!(started.elapsed() < Duration::from_secs(60), "{script}");
        assert_eq!(
            subject.eval("return 'fine'"),
            "$4\r\nfine\r\n",
            "after {script}"
        );
        assert!(subject.interpreter.used_memory() < MEMORY_BYTES, "{script}");
    }
}

/// The result names one string so often that no memory would hold the reply.
#[test]
fn a_result_is_no_larger_than_the_output_takes() {
    let mut subject = Subject::new();
    let script = b"local n = {} for i = 1, 1000 do n[i] = ('x'):rep(1e4) end \
                   local t = {} for i = 1, 1e6 do t[i] = n end return t";
    let function = subject.interpreter.compile(script).expect("a script");
    let none: [&[u8]; 0] = [];
    let run = Run {
        function,
        name: b"name",
        keys: none.into_iter(),
        args: none.into_iter(),
    };
    let mut out = ReplyBuffer::new(Protocol::Resp2);
    out.set_limit(1 << 20);
    subject.interpreter.run(run, &mut subject.host, &mut out);
    assert!(out.is_overflown());
}

#[test]
fn a_script_survives_an_error_of_memory_that_it_catches() {
    let reply =
        subject().eval("local ok, e = pcall(string.rep, 'x', 1e9) return {tostring(ok), e}");
    assert_eq!(reply, "*2\r\n$5\r\nfalse\r\n$17\r\nnot enough memory\r\n");
}

#[test]
fn recursion_has_a_limit() {
    on_a_small_stack(|| {
        let mut subject = Subject::new();
        for (script, error) in [
            (
                "local function f() return 1 + f() end return f()",
                "stack overflow",
            ),
            (
                "local t = setmetatable({}, {}) getmetatable(t).__index = function(_, k) return t[k + 1] end return t[1]",
                "C stack overflow",
            ),
            (
                "local t t = setmetatable({}, {__tostring = function() return tostring(t) end}) return tostring(t)",
                "C stack overflow",
            ),
            (
                "local function f() return ('x'):gsub('x', f) end return f()",
                "C stack overflow",
            ),
            ("local function f() return pcall(f) end return {f()}", ""),
            (
                "local function f() return coroutine.wrap(f)() end return f()",
                "C stack overflow",
            ),
            (
                "local function f(a, b) local t = {3, 2, 1} table.sort(t, f) return true end return f()",
                "C stack overflow",
            ),
            ("local function f() return load(f) end return f()", ""),
            (
                "local t = setmetatable({}, {__lt = function(a, b) return a < b end}) return t < t",
                "C stack overflow",
            ),
            (
                "local t = setmetatable({}, {__concat = function(a, b) return a .. b end}) return t .. t",
                "C stack overflow",
            ),
            (
                "local t = setmetatable({}, {__index = function(t, k) return cjson.encode({t[k]}) end}) return t[1]",
                "C stack overflow",
            ),
            (
                "local function f() return xpcall(error, f) end return {f()}",
                "",
            ),
        ] {
            let reply = subject.eval(script);
            assert!(
                reply.contains(error),
                "{script}: {}",
                &reply[..reply.len().min(300)]
            );
            assert_eq!(
                subject.eval("return 'fine'"),
                "$4\r\nfine\r\n",
                "after {script}"
            );
        }
    });
}

#[test]
fn the_parser_has_a_limit() {
    on_a_small_stack(|| {
        let mut subject = Subject::new();
        for (begin, middle, end) in [
            ("return ", "(", "1"),
            ("return ", "{", "1"),
            ("", "do ", ""),
            ("return ", "- ", "1"),
            ("return ", "not ", "1"),
            ("return ", "function() return ", "1"),
            ("return ", "1 .. ", "1"),
            ("local a ", "= a[a", ""),
            ("a", ",a", "=1"),
            ("return a", "[a", "1"),
            ("return f", "{f", "1"),
        ] {
            let script = format!("{begin}{}{end}", middle.repeat(50_000));
            let reply = subject.eval(&script);
            assert!(
                reply.starts_with("-ERR Error compiling script (new function): "),
                "{middle}"
            );
        }
    });
}

#[test]
fn patterns_have_a_depth() {
    on_a_small_stack(|| {
        let mut subject = Subject::new();
        let reply = subject.eval("return ('a'):rep(300000):find(('a?'):rep(300000) .. 'b')");
        assert!(reply.contains("pattern too complex"), "{reply}");
        let reply = subject.eval("return ('a'):rep(300000):find(('(a'):rep(300000))");
        assert!(reply.contains("too many captures"), "{reply}");
        assert_eq!(
            subject.eval("return ('a'):rep(900):match(('a?'):rep(900)):len()"),
            ":900\r\n"
        );
    });
}

#[test]
fn a_script_that_runs_for_ever_is_killed() {
    for script in [
        "while true do end",
        "while true do pcall(function() while true do end end) end",
        "while true do xpcall(function() while true do end end, function() end) end",
        "coroutine.wrap(function() while true do end end)()",
        "while true do coroutine.resume(coroutine.create(function() while true do end end)) end",
        "local function f(n) while true do pcall(coroutine.wrap(f), n) end end f(1)",
        "while true do xpcall(function() while true do end end, function() while true do end end) end",
        "while true do load(function() while true do end end) end",
        "return ('a'):rep(40):find(('a?'):rep(40) .. ('a'):rep(41))",
        "return ('a'):rep(100000):find('.-.-.-b')",
        "return ('('):rep(1000000):find('%b()x')",
        "return ('a'):rep(3000000):find(('a'):rep(1000000) .. 'b', 1, true)",
        "return ('a'):rep(100000):gsub('.-b', '')",
        "for w in ('a'):rep(100000):gmatch('.-.-.-b') do end",
        "while true do ('x'):rep(100) end",
        "local t = setmetatable({}, {__index = function() while true do end end}) return t.x",
        "table.sort({3, 2, 1}, function() while true do end end)",
        "return load(function() while true do end end)",
    ] {
        let mut subject = Subject::new();
        subject.host.patience = Some(3);
        let started = Instant::now();
        let reply = subject.eval(script);
        assert!(
            reply.starts_with("-ERR Script killed by user with SCRIPT KILL..."),
            "{script}: {reply}"
        );
        assert!(started.elapsed() < Duration::from_secs(30), "{script}");
        subject.host.patience = None;
        assert_eq!(
            subject.eval("return 'fine'"),
            "$4\r\nfine\r\n",
            "after {script}"
        );
    }
}

#[test]
fn loops_inside_c_functions_end() {
    let mut subject = subject();
    for script in [
        "return ('').rep('', 2147483647)",
        "local t = {} for i = 0, 30 do t[2 ^ i] = 1 end return table.remove(t, 1)",
        "local t = {} for i = 0, 30 do t[2 ^ i] = 1 end return pcall(table.insert, t, 1, 1)",
        "return pcall(table.concat, {}, 'x', 1, 2147483647)",
    ] {
        let started = Instant::now();
        subject.eval(script);
        assert!(started.elapsed() < Duration::from_secs(60), "{script}");
    }
}

#[test]
fn a_scripts_length_has_a_limit() {
    let mut subject = Subject::with(Limits {
        script_bytes: 100,
        ..Limits::default()
    });
    assert!(subject.interpreter.compile(&[b' '; 100]).is_ok());
    assert_eq!(
        subject.interpreter.compile(&[b' '; 101]),
        Err(LoadError::TooLong(100))
    );
}

#[test]
fn many_scripts_are_held_at_once() {
    let mut subject = Subject::new();
    let handles: Vec<_> = (0..20_000)
        .map(|n| {
            subject
                .interpreter
                .compile(format!("return {n}").as_bytes())
                .expect("a script")
        })
        .collect();
    for handle in handles {
        subject.interpreter.release(handle);
    }
    assert_eq!(subject.eval("return 'fine'"), "$4\r\nfine\r\n");
}

#[test]
fn released_scripts_give_their_memory_back() {
    let mut subject = Subject::new();
    let mut compile = |n: usize| {
        let script = format!("return '{}'", format!("{n} ").repeat(10_000));
        let handle = subject
            .interpreter
            .compile(script.as_bytes())
            .expect("a script");
        subject.interpreter.release(handle);
        subject.interpreter.used_memory()
    };
    let most = (0..2000).map(&mut compile).max().expect("a figure");
    assert!(most < 20 << 20, "{most}");
}
