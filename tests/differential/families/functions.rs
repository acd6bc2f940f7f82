//! Random libraries: loaded, replaced, called, dumped and restored. Payloads go from each server to the other one.

use common::{RawClient, RedisServer, Subject, TestResult, Value, show};

use super::{Call, Random};

/// What a function does.
const BODIES: &[&str] = &[
    "return 1",
    "return {keys, args}",
    "return {#keys, #args, keys[1], args[1]}",
    "return redis.call(unpack(args))",
    "return redis.pcall(unpack(args))",
    "local n = redis.call('incr', 'counter') return n",
    "redis.call('set', keys[1], args[1]) return redis.call('get', keys[1])",
    "calls = 1",
    "return calls",
    "count = count + 1 return count",
    "error('boom')",
    "error({err = 'MY boom'})",
    "return redis.error_reply('MY own')",
    "return redis.status_reply('fine')",
    "return redis.call('function', 'list')",
    "return redis.call('fcall', 'f1', 0)",
    "return redis.register_function('late', function() return 1 end)",
    "return KEYS",
    "redis.setresp(3) return {double = 3.5}",
    "return cjson.encode({1, 2, 3})",
];

const NAMES: &[&str] = &["f1", "f2", "f3", "f_4", "f!", ""];
const CALLED: &[&str] = &[
    "f1", "f2", "f3", "F1", "F_4", "f_4", "f!", "", "own_0_1", "own_1_2",
];
const LIBRARIES: &[&str] = &["a", "b", "c", "A", "lib_d", "e!", ""];
const FLAGS: &[&str] = &[
    "",
    "",
    "'no-writes'",
    "'allow-oom'",
    "'allow-stale'",
    "'no-cluster'",
    "'allow-cross-slot-keys'",
    "'no-writes', 'allow-oom'",
    "'NO-WRITES'",
    "'nosuch'",
    "1",
];
const HEADERS: &[&str] = &[
    "#!lua name={}\n",
    "#!lua name={}\n",
    "#!lua name={}\n",
    "#!lua name={}\n",
    "#!lua name={}\n",
    "#!LUA NAME={}\n",
    "#!lua name={} name=x\n",
    "#!lua nosuch={}\n",
    "#!python name={}\n",
    "name={}\n",
];

/// The text of a library, sometimes a bad one.
fn library(random: &mut Random) -> String {
    let number = random.below(LIBRARIES.len());
    let mut text = random.pick(HEADERS).replace("{}", LIBRARIES[number]);
    text.push_str("local count = 0\n");
    for function in 0..=random.below(3) {
        // Of several functions that other libraries have too, the server's own order chooses the one that it tells of.
        let own = format!("own_{number}_{function}");
        let name = if function == 0 {
            random.pick(NAMES)
        } else {
            &own
        };
        let body = random.pick(BODIES);
        let body = format!("function(keys, args) {body} end");
        let line = match random.below(8) {
            0..4 => format!("redis.register_function('{name}', {body})\n"),
            4..7 => {
                let flags = random.pick(FLAGS);
                let description =
                    random.pick(&["", "description = 'what it does', ", "description = 1, "]);
                format!(
                    "redis.register_function{{function_name = '{name}', {description}flags = {{{flags}}}, callback = {body}}}\n"
                )
            }
            _ => random
                .pick(&[
                    "redis.call('get', 'a')\n",
                    "x = 1\n",
                    "error('no')\n",
                    "return 1\n",
                    "this is no Lua\n",
                    "redis.register_function()\n",
                    "redis.register_function('x', 1)\n",
                ])
                .to_string(),
        };
        text.push_str(&line);
    }
    text
}

/// One call, sometimes a bad one.
pub fn call(random: &mut Random) -> Call {
    match random.below(100) {
        0..25 => {
            let call = Call::new(["FUNCTION", "LOAD"]);
            let call = if random.below(2) == 0 {
                call.arg("REPLACE")
            } else {
                call
            };
            call.arg(library(random))
        }
        25..70 => {
            let call = Call::new([random.pick(&["FCALL", "FCALL", "FCALL", "FCALL_RO"])]);
            let call = call.arg(random.pick(CALLED));
            match random.below(6) {
                0 => call.arg("0"),
                1 => call.arg("1").arg(random.key()).arg(random.value()),
                2 => call.arg("0").arg("GET").arg(random.key()),
                3 => call
                    .arg("0")
                    .arg("SET")
                    .arg(random.key())
                    .arg(random.value()),
                4 => call.arg(random.number()).arg(random.key()),
                _ => call.arg("1").arg(random.key()).arg("PING"),
            }
        }
        70..78 => Call::new(["FUNCTION", "DELETE"]).arg(random.pick(LIBRARIES)),
        78..80 => Call::line(random.pick(&[
            "FUNCTION FLUSH",
            "FUNCTION FLUSH SYNC",
            "FUNCTION FLUSH ASYNC",
        ])),
        // The order of functions is the server's own: `exchange` compares lists.
        80..84 => Call::new(["FUNCTION", "LIST", "LIBRARYNAME", "nosuch*", "WITHCODE"]),
        84..94 => Call::line(random.pick(&[
            "FUNCTION STATS",
            "FUNCTION KILL",
            "FUNCTION HELP",
            "FUNCTION NONSENSE",
            "FUNCTION",
            "FUNCTION LOAD",
            "FUNCTION LOAD REPLACE",
            "FUNCTION LOAD NOSUCH x",
            "FUNCTION LIST NOSUCH",
            "FUNCTION LIST LIBRARYNAME",
            "FUNCTION LIST WITHCODE WITHCODE",
            "FUNCTION FLUSH x",
            "FUNCTION FLUSH SYNC x",
            "FUNCTION RESTORE x",
            "FUNCTION RESTORE x y",
            "FUNCTION RESTORE x FLUSH y",
            "FCALL f1",
        ])),
        94 => Call::new(["MULTI"]),
        95..97 => Call::new(["EXEC"]),
        97 => Call::new(["SET"]).arg(random.key()).arg(random.value()),
        _ => Call::new(["GET"]).arg(random.key()),
    }
}

/// Libraries that go from one server to the other one by FUNCTION DUMP and FUNCTION RESTORE, with each policy.
pub fn exchange() -> TestResult {
    let (ours, real) = (Subject::start("cmap")?, RedisServer::start()?);
    let (mut ours, mut real) = (ours.raw()?, real.raw()?);
    let mut random = Random::new(20_260, 0);
    let mut exchanged = 0;
    for round in 0..300 {
        for client in [&mut ours, &mut real] {
            client.line("FUNCTION FLUSH")?;
        }
        // Long enough for Redis to compress it, now and then.
        for _ in 0..=random.below(4) {
            let mut text = library(&mut random);
            text.push_str(&"-- padding".repeat(random.below(40)));
            let replies =
                [&mut ours, &mut real].map(|client| client.call(&["FUNCTION", "LOAD", &text]));
            let [of_ours, of_real] = replies;
            assert_eq!(of_ours?, of_real?, "round {round}: {text}");
        }
        let dumps = [dump(&mut ours)?, dump(&mut real)?];
        let policy = random.pick(&["APPEND", "REPLACE", "FLUSH"]);
        // Others are there when it is restored.
        for _ in 0..random.below(3) {
            let text = library(&mut random);
            for client in [&mut ours, &mut real] {
                client.call(&["FUNCTION", "DELETE", "a"])?;
                client.call(&["FUNCTION", "LOAD", "REPLACE", &text])?;
            }
        }
        let restore = |client: &mut RawClient, payload: &[u8]| {
            client.call(&[&b"FUNCTION"[..], b"RESTORE", payload, policy.as_bytes()])
        };
        let of_ours = restore(&mut ours, &dumps[1])?;
        let of_real = restore(&mut real, &dumps[0])?;
        // Which of several collisions comes first is the server's own.
        let kind = |reply: &Value| show(reply).split(' ').next_back().map(str::to_owned);
        assert_eq!(
            kind(&of_ours),
            kind(&of_real),
            "round {round}: {of_ours:?} {of_real:?}"
        );
        assert_eq!(list(&mut ours)?, list(&mut real)?, "round {round}");
        exchanged += usize::from(!of_ours.is_error());
    }
    assert!(exchanged > 50, "{exchanged} restored");
    Ok(())
}

fn dump(client: &mut RawClient) -> TestResult<Vec<u8>> {
    let dump = client.line("FUNCTION DUMP")?;
    Ok(dump.bytes().ok_or("no dump")?.to_vec())
}

/// All libraries, in one order.
fn list(client: &mut RawClient) -> TestResult<Vec<String>> {
    let listed = client.line("FUNCTION LIST WITHCODE")?;
    let mut libraries = Vec::new();
    for library in listed.items().ok_or("no list")? {
        let fields = library.items().ok_or("no fields")?;
        let functions = fields[5].items().ok_or("no functions")?;
        let mut functions: Vec<String> = functions.iter().map(show).collect();
        functions.sort_unstable();
        let others: Vec<String> = fields.iter().map(show).collect();
        libraries.push(format!("{} {} {functions:?}", others[1], others[7]));
    }
    libraries.sort_unstable();
    Ok(libraries)
}
