//! The same scripts here and on redis-server 7.0.

use pmemkv_lua::Protocol;

use crate::host::Subject;
use crate::redis::Redis;

/// The scripts of `scripts/*.lua`, one between two lines of dashes.
const FILES: [(&str, &str); 3] = [
    ("api", include_str!("scripts/api.lua")),
    ("libraries", include_str!("scripts/libraries.lua")),
    ("lines", include_str!("scripts/lines.lua")),
];

/// Runs every script in both protocols and returns the ones that differ.
fn differences(redis: &Redis, name: &str, scripts: &str) -> Vec<String> {
    let mut different = Vec::new();
    for (resp3, protocol) in [(false, Protocol::Resp2), (true, Protocol::Resp3)] {
        let mut connection = redis.connect(resp3);
        connection.send(&[b"FLUSHALL"]);
        let mut subject = Subject::new();
        for script in scripts
            .split("\n--\n")
            .filter(|script| !script.trim().is_empty())
        {
            let keys: [&[u8]; 2] = [b"k1", b"k\0\xff"];
            let args: [&[u8]; 2] = [b"a1", b"\r\n"];
            if script.contains("cjson.") {
                // Redis lets the settings of a script reach the next one; this starts its Lua anew.
                connection.send(&[b"SCRIPT", b"FLUSH"]);
            }
            let request: Vec<&[u8]> = [&b"EVAL"[..], script.as_bytes(), b"2"]
                .into_iter()
                .chain(keys)
                .chain(args)
                .collect();
            let expected = connection.send(&request);
            let ours = subject.eval_with(protocol, script.as_bytes(), &keys, &args);
            if ours != expected {
                different.push(format!(
                    "{name}, {protocol:?}: {script}\n  redis: {}\n  here:  {}",
                    expected.escape_ascii(),
                    ours.escape_ascii()
                ));
            }
        }
    }
    different
}

#[test]
fn scripts_answer_as_redis_server_does() {
    let Some(redis) = Redis::start() else {
        eprintln!("skipped: redis-server is not installed");
        return;
    };
    let different: Vec<String> = FILES
        .iter()
        .flat_map(|(name, scripts)| differences(&redis, name, scripts))
        .collect();
    assert!(
        different.is_empty(),
        "{} differ:\n{}",
        different.len(),
        different.join("\n")
    );
}
