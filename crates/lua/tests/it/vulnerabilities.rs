//! The known vulnerabilities of Lua 5.1 and of Redis's libraries. `scripts/lua-guards` shows what happens without the guards.

use crate::host::Subject;

/// CVE-2025-49844: while the parser ran, nothing held the chunk's name, and the collector freed it. The NUL byte makes it another
/// string than the one that the script holds.
#[test]
fn the_parser_holds_the_name_of_its_chunk() {
    let reply = Subject::new().eval(
        "local names = {} \
         for i = 1, 200 do \
             local pieces = {'return \"', ('x'):rep(2000), '\" .. ', nil} \
             local at = 0 \
             local f, e = load(function() \
                 at = at + 1 \
                 collectgarbage() collectgarbage() \
                 local junk = {} for j = 1, 50 do junk[j] = ('@name' .. i .. ' '):rep(3) .. j end \
                 return pieces[at] \
             end, '@name' .. i .. ' ' .. ('n'):rep(20) .. '\\0') \
             names[i] = e \
         end \
         for i = 1, 200 do \
             local expected = 'name' .. i .. ' ' .. ('n'):rep(20) .. ':1:' \
             if names[i]:sub(1, #expected) ~= expected then return names[i] end \
         end \
         return 'fine'",
    );
    assert_eq!(reply, "$4\r\nfine\r\n");
}

/// CVE-2025-46817: the number of results overflowed to a small one.
#[test]
fn unpack_counts_its_results_without_overflow() {
    let mut subject = Subject::new();
    for range in [
        "0, 2147483647",
        "-2147483648, 2147483647",
        "-2147483648, -1",
        "1, 2147483647",
        "-2, 2147483646",
    ] {
        let reply = subject.eval(&format!("return {{pcall(unpack, {{}}, {range})}}"));
        assert!(
            reply.ends_with("$26\r\ntoo many results to unpack\r\n"),
            "{range}: {reply}"
        );
    }
}

/// CVE-2025-46819: the length of a long string's delimiter overflowed.
#[test]
fn a_long_strings_delimiter_has_a_limit() {
    let mut subject = Subject::new();
    let script = |bytes: usize| {
        format!(
            "local d = ('='):rep({bytes}) \
             local f, e = loadstring('return [' .. d .. '[x]' .. d .. ']') \
             return f and f() or e:sub(-60)"
        )
    };
    assert_eq!(subject.eval(&script(1_000_000)), "$1\r\nx\r\n");
    let reply = subject.eval(&script(1_000_001));
    assert!(
        reply.contains("invalid long string delimiter") || reply.contains("==="),
        "{reply}"
    );
    assert!(!reply.starts_with("$1\r\n"), "{reply}");
}

/// CVE-2025-46818: a script could change the metatable of strings, and so what the next one does.
#[test]
fn the_metatables_of_basic_types_are_closed() {
    let mut subject = Subject::new();
    for attack in [
        "getmetatable('').__index = function() return 'evil' end",
        "getmetatable('').__add = function() return 'evil' end",
        "rawset(getmetatable(''), '__add', function() return 'evil' end)",
        "setmetatable(getmetatable(''), {__index = {__add = 1}})",
        "table.insert(getmetatable(''), 1)",
    ] {
        let reply = subject.eval(attack);
        assert!(
            reply.contains("Attempt to modify a readonly table"),
            "{attack}: {reply}"
        );
    }
    for plain in [
        "nil",
        "true",
        "1",
        "print or nil",
        "function() end",
        "coroutine.create(function() end)",
    ] {
        let reply = subject.eval(&format!(
            "return tostring(getmetatable({}))",
            plain.replace("print or ", "")
        ));
        assert_eq!(reply, "$3\r\nnil\r\n", "{plain}");
    }
    assert_eq!(
        subject.eval("return pcall(function() return ('1') + {} end)"),
        "$-1\r\n"
    );
}

/// CVE-2024-31449: the smallest number of digits has no positive counterpart.
#[test]
fn tohex_takes_the_smallest_number_of_digits() {
    let mut subject = Subject::new();
    assert_eq!(
        subject.eval("return bit.tohex(0x12abcdef, -2147483648)"),
        "$8\r\n12ABCDEF\r\n"
    );
    assert_eq!(
        subject.eval("return bit.tohex(0x12abcdef, 2147483648)"),
        "$8\r\n12ABCDEF\r\n"
    );
}

/// CVE-2015-8080, CVE-2020-14147: sizes of `struct` overflowed.
#[test]
fn sizes_of_struct_do_not_overflow() {
    let mut subject = Subject::new();
    for script in [
        "return struct.pack('>I2147483648', 10)",
        "return struct.pack('i2147483648', 10)",
        "return struct.unpack('c2147483648', 'abc')",
        "return struct.unpack('c18446744073709551616', 'abc')",
        "return struct.size('i4294967300')",
    ] {
        let reply = subject.eval(script);
        assert!(
            reply.contains("integral size overflow"),
            "{script}: {reply}"
        );
    }
    for script in [
        "return struct.unpack('Lc0', struct.pack('L', 2^63) .. 'abc')",
        "return struct.unpack('lc0', struct.pack('l', -1) .. 'abc')",
        "return struct.unpack('c2147483647', 'abc')",
        "return struct.unpack('i', 'abcd', -2^31)",
        "return struct.unpack('i', 'abcd', -2^63)",
        "return struct.unpack('i', 'abcd', 2^63)",
        "return struct.unpack('i8', 'abcdefgh', -1)",
    ] {
        let reply = subject.eval(script);
        assert!(reply.contains("data string too short"), "{script}: {reply}");
    }
}

/// CVE-2018-11218, CVE-2022-24834: `cmsgpack` and `cjson` overflowed the stack and lengths.
#[test]
fn deep_and_long_values_of_the_libraries_are_errors() {
    let mut subject = Subject::new();
    for script in [
        "cjson.encode_max_depth(2147483647) local t = {} for i = 1, 100000 do t = {t} end return cjson.encode(t)",
        "cjson.decode_max_depth(2147483647) return cjson.decode(('['):rep(100000))",
        "cjson.decode_max_depth(2147483647) return cjson.decode(('{\"a\":'):rep(100000))",
        "return cmsgpack.unpack(('\\145'):rep(100000))",
        "return cmsgpack.unpack(('\\129\\1'):rep(100000))",
        "return cmsgpack.unpack('\\221\\255\\255\\255\\255')",
        "return cmsgpack.unpack('\\219\\255\\255\\255\\255')",
    ] {
        let reply = subject.eval(script);
        assert!(
            reply.starts_with("-ERR user_script:1: "),
            "{script}: {reply}"
        );
    }
    let mut subject = Subject::with(pmemkv_lua::Limits {
        memory_bytes: 8 << 20,
        ..Default::default()
    });
    // The keys of this array need more places than memory has.
    let reply =
        subject.eval("cjson.encode_sparse_array(false, 0) return cjson.encode({[2147483647] = 1})");
    assert!(reply.contains("not enough memory"), "{reply}");
}

/// Binary chunks could do anything to the interpreter.
#[test]
fn binary_chunks_are_refused() {
    let mut subject = Subject::new();
    for script in [
        "local f, e = loadstring(string.dump(function() return 1 end)) return tostring(f) .. e:sub(-40)",
        "local s = string.dump(function() return 1 end) \
         local f, e = load(function() local t = s s = nil return t end) return tostring(f) .. e:sub(-40)",
    ] {
        let reply = subject.eval(script);
        assert!(
            reply.contains("nil") && reply.contains("unexpected symbol near 'char(27)'"),
            "{reply}"
        );
    }
    let reply = subject.eval("\u{1b}Lua");
    assert!(
        reply.starts_with("-ERR Error compiling script (new function): "),
        "{reply}"
    );
}
