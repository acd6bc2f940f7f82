//! No script leaves anything behind for the next.

use crate::host::Subject;

#[test]
fn no_script_reaches_the_next() {
    let mut subject = Subject::new();
    for script in [
        "x = 1",
        "_G.x = 1",
        "rawset(_G, 'x', 1)",
        "KEYS.x = 1 ARGV.x = 1 KEYS[1] = 'k'",
        "string.x = 1",
        "string.rep = nil",
        "math.random = nil",
        "table.insert = nil",
        "redis.call = nil",
        "redis.x = 1",
        "cjson.x = 1",
        "cjson.encode = nil",
        "bit.band = nil",
        "struct.pack = nil",
        "cmsgpack.pack = nil",
        "coroutine.x = 1",
        "getmetatable('').x = 1",
        "getmetatable('').__index = nil",
        "getmetatable(_G).__index = nil",
        "setmetatable(_G, nil)",
        "setmetatable(_G, {__newindex = function() end})",
        "setmetatable(string, {__index = {x = 1}})",
        "table.insert(_G, 1)",
        "table.sort(_G)",
        "table.remove(_G, 1)",
        "for k in pairs(_G) do rawset(_G, k, nil) end",
        "local f = loadstring('x = 1') f()",
        "coroutine.wrap(function() x = 1 end)()",
        "xpcall(function() error({}) end, function(e) e.x = 1 return e end)",
        "error(redis)",
        "error(_G)",
        "error(string)",
        "redis.setresp(3)",
        "cjson.encode_max_depth(1) cjson.decode_max_depth(1) cjson.encode_number_precision(1)",
        "cjson.encode_sparse_array(true, 1, 1) cjson.encode_invalid_numbers('null') cjson.decode_invalid_numbers('off')",
        "cjson.encode_keep_buffer(false)",
        "collectgarbage('stop')",
        "collectgarbage('setpause', 1000000)",
        "collectgarbage('setstepmul', 1)",
        "coroutine.yield()",
        "local c = coroutine.create(function() coroutine.yield() end) coroutine.resume(c) KEYS.c = c",
    ] {
        let seen = |subject: &mut Subject| {
            subject.eval(
                "local seen = {} \
                 local function look(name, t, depth) \
                     for k, v in pairs(t) do \
                         local path = name .. '.' .. tostring(k) \
                         if k == 'KEYS' or k == 'ARGV' then \
                             local n = 0 for _ in pairs(v) do n = n + 1 end \
                             seen[#seen + 1] = path .. n \
                         elseif type(v) == 'table' and v ~= _G then look(path, v, depth + 1) \
                         else seen[#seen + 1] = path .. '=' .. tostring(v) end \
                     end \
                 end \
                 look('', _G, 0) \
                 look('string', getmetatable(''), 0) \
                 look('G', getmetatable(_G), 0) \
                 seen[#seen + 1] = tostring(getmetatable(string)) .. tostring(getmetatable(redis)) \
                 seen[#seen + 1] = type(redis.call('get', 'none')) \
                 seen[#seen + 1] = tostring(cjson.encode_max_depth()) .. tostring(cjson.decode_max_depth()) \
                 seen[#seen + 1] = tostring(cjson.encode_number_precision()) .. tostring(cjson.encode_sparse_array()) \
                 seen[#seen + 1] = tostring(cjson.encode_invalid_numbers()) .. tostring(cjson.decode_invalid_numbers()) \
                 seen[#seen + 1] = tostring(cjson.encode_keep_buffer()) \
                 seen[#seen + 1] = collectgarbage('setpause', 200) .. ' ' .. collectgarbage('setstepmul', 200) \
                 table.sort(seen) \
                 return table.concat(seen, '\\n')",
            )
        };
        let before = seen(&mut subject);
        assert!(before.contains(".redis.call=function"), "{before}");
        subject.eval(script);
        assert_eq!(seen(&mut subject), before, "after {script}");
    }
}

#[test]
fn the_collector_runs_after_a_script_stopped_it() {
    let mut subject = Subject::new();
    subject.eval("collectgarbage('stop')");
    for _ in 0..200 {
        subject.eval("local t = {} for i = 1, 10000 do t[i] = {} end");
    }
    assert!(subject.interpreter.used_memory() < 50 << 20);
}

#[test]
fn random_numbers_are_those_of_redis() {
    let mut subject = Subject::new();
    assert_eq!(
        subject.eval("return tostring(math.random())"),
        "$16\r\n0.39646477363839\r\n"
    );
    assert_eq!(
        subject.eval("return tostring(math.random())"),
        "$16\r\n0.84048536971234\r\n"
    );
    // A script's seed ends with the script.
    let seeded = "math.randomseed(7) return math.random(1000000)";
    let mut undisturbed = Subject::new();
    undisturbed.eval("return {math.random(), math.random()}");
    assert_eq!(subject.eval(seeded), undisturbed.eval(seeded));
    let next = "return math.random(1000000)";
    assert_eq!(subject.eval(next), undisturbed.eval(next));
}

#[test]
fn what_a_script_logs_reaches_the_host() {
    let mut subject = Subject::new();
    subject.eval("redis.log(redis.LOG_WARNING, 'a', 1, nil, {}, 1.5)");
    let expected = (pmemkv_lua::LogLevel::Warning, b"a 1 1.5".to_vec());
    assert_eq!(subject.host.logged, [expected]);
}

#[test]
fn a_panic_of_the_host_leaves_the_interpreter_usable() {
    struct Panics;

    impl pmemkv_lua::Host for Panics {
        fn call(&mut self, _: pmemkv_lua::Args<'_>, _: &mut pmemkv_lua::ReplyBuffer) {
            panic!("a fault of the server");
        }
        fn may_call(&mut self, _: pmemkv_lua::Args<'_>) -> Option<bool> {
            None
        }
        fn log(&mut self, _: pmemkv_lua::LogLevel, _: &[u8]) {}
    }

    let mut subject = Subject::new();
    for script in [
        "return redis.call('x')",
        "return pcall(redis.call, 'x')",
        "return {xpcall(function() redis.call('x') end, function(e) return 'caught' end)}",
        "return {coroutine.resume(coroutine.create(function() redis.call('x') end))}",
        "return {load(function() redis.call('x') end)}",
    ] {
        let handle = subject
            .interpreter
            .compile(script.as_bytes())
            .expect("a script");
        let none: [&[u8]; 0] = [];
        let run = pmemkv_lua::Run {
            function: handle,
            name: b"name",
            keys: none.into_iter(),
            args: none.into_iter(),
        };
        let mut out = pmemkv_lua::ReplyBuffer::new(pmemkv_lua::Protocol::Resp2);
        let interpreter = std::panic::AssertUnwindSafe(&mut subject.interpreter);
        let result = std::panic::catch_unwind(move || {
            let interpreter = interpreter;
            interpreter.0.run(run, &mut Panics, &mut out)
        });
        let panic = result.expect_err("the panic passes through the script");
        assert_eq!(
            panic.downcast_ref::<&str>(),
            Some(&"a fault of the server"),
            "{script}"
        );
        assert_eq!(subject.eval("return redis.call('ping')"), "+PONG\r\n");
    }
}

#[test]
fn an_interpreter_runs_on_any_thread() {
    let mut subject = Subject::new();
    for _ in 0..3 {
        subject = std::thread::spawn(move || {
            assert_eq!(subject.eval("return redis.call('ping')"), "+PONG\r\n");
            subject
        })
        .join()
        .expect("the script runs");
    }
}
