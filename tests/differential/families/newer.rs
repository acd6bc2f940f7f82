//! What later versions brought: random calls that a server of such a version answers too.

use super::{Call, Compare, Random, events, run};
use common::{Newer, Subject, TestResult, Value};

/// Comparisons and several keys at once, as Valkey 9.1 has them too.
pub fn strings() -> TestResult {
    let Some(real) = Newer::Valkey.start(&[])? else {
        return Ok(());
    };
    run::compare_replies_with(&real, "strings since 8.4", &[string_call])?;
    events::compare_with(&real, &[string_call])
}

/// BITOP's later operations, as Redis 8.2 has them.
pub fn bits() -> TestResult {
    let Some(real) = Newer::Redis.start(&[])? else {
        return Ok(());
    };
    run::compare_replies_with(&real, "bits since 8.2", &[bit_call])?;
    events::compare_with(&real, &[bit_call])
}

pub fn bit_call(random: &mut Random) -> Call {
    let call = match random.below(10) {
        0..=3 => {
            let value = random.value();
            Call::new(["SET"]).arg(random.own_key("bits")).arg(value)
        }
        4 => Call::new(["SETBIT"])
            .arg(random.own_key("bits"))
            .arg(random.within(0..200).to_string())
            .arg("1"),
        5 => Call::new(["GET"]).arg(random.own_key("bits")),
        _ => {
            let name = random.pick(&["diff", "diff1", "andor", "one", "xor", "nor"]);
            let count = 1 + random.below(4);
            let call = Call::new(["BITOP"]).arg(random.any_case(name));
            let call = call.arg(random.own_key("bits"));
            (0..count).fold(call, |call, _| {
                let kind = if random.one_in(8) { "none" } else { "bits" };
                call.arg(random.own_key(kind))
            })
        }
    };
    random.spoil(call)
}

/// Calls that log or filter, with replies that both servers must give.
pub fn clients() -> TestResult {
    let Some(real) = Newer::Valkey.start(&[])? else {
        return Ok(());
    };
    let ours = Subject::start("cmap")?;
    let (mut ours, mut real) = (ours.raw()?, real.raw()?);
    for line in CLIENTS.trim().lines().map(str::trim) {
        let (found, wanted) = (ours.line(line)?, real.line(line)?);
        if line.starts_with("CLIENT LIST") && !found.is_error() {
            let lines = |reply: &Value| reply.text().map(|text| text.lines().count());
            assert_eq!(lines(&found), lines(&wanted), "{line}");
        } else if line.starts_with("COMMANDLOG GET") && !found.is_error() {
            assert_eq!(logged(&found), logged(&wanted), "{line}");
        } else {
            assert_eq!(found, wanted, "{line}");
        }
    }
    Ok(())
}

/// The words of each entry of a log: times and sizes are the server's own.
fn logged(reply: &Value) -> Vec<Option<Value>> {
    let entries = reply.items().unwrap_or_default().iter();
    entries
        .map(|entry| entry.items().and_then(|fields| fields.get(3)).cloned())
        .collect()
}

const CLIENTS: &str = "
    CLIENT SETNAME me
    CLIENT CAPA redirect other
    CLIENT LIST NAME me
    CLIENT LIST NOT-NAME me
    CLIENT LIST NAME other
    CLIENT LIST FLAGS N
    CLIENT LIST NOT-FLAGS N
    CLIENT LIST FLAGS Z
    CLIENT LIST NOT-FLAGS Z
    CLIENT LIST CAPA r
    CLIENT LIST NOT-CAPA r
    CLIENT LIST CAPA x
    CLIENT LIST DB 0
    CLIENT LIST DB 3
    CLIENT LIST NOT-DB 0
    CLIENT LIST IP 127.0.0.1
    CLIENT LIST NOT-IP 127.0.0.1
    CLIENT LIST LIB-NAME none
    CLIENT LIST NOT-LIB-NAME none
    CLIENT LIST TYPE normal NAME me
    CLIENT LIST NOT-TYPE normal
    CLIENT LIST USER default DB 0
    CLIENT LIST NOT-USER default
    CLIENT LIST USER nobody
    CLIENT LIST MAXAGE 1000
    CLIENT LIST MAXAGE 0
    CLIENT LIST IDLE 1000
    CLIENT LIST IDLE 0
    CLIENT LIST ID 9999 9998
    CLIENT LIST NOT-ID 9999 9998
    CLIENT LIST SKIPME yes
    CLIENT LIST NOT-MAXAGE 5
    CLIENT LIST NONSENSE 5
    CLIENT LIST NAME
    CLIENT KILL NAME other
    CLIENT KILL NOT-NAME me
    CLIENT KILL MAXAGE 1000
    CLIENT KILL MAXAGE x
    CLIENT KILL MAXAGE 0
    CLIENT KILL ID 9999 9998
    CLIENT KILL NOT-TYPE normal SKIPME no
    COMMANDLOG LEN slow
    COMMANDLOG GET 1
    COMMANDLOG GET 1 nonsense
    COMMANDLOG GET x slow
    COMMANDLOG GET -2 slow
    COMMANDLOG LEN large-request
    CONFIG SET commandlog-request-larger-than 75
    SET k aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
    SET k short
    CONFIG SET commandlog-reply-larger-than 75
    SET k bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb
    GET k
    STRLEN k
    CONFIG SET commandlog-request-larger-than -1
    CONFIG SET commandlog-reply-larger-than -1
    COMMANDLOG GET -1 large-reply
    COMMANDLOG LEN large-reply
    COMMANDLOG RESET large-reply
    COMMANDLOG LEN large-reply
    COMMANDLOG GET 2 large-request
    CONFIG GET commandlog-slow-execution-max-len
";

/// Deadlines of fields, as Redis 8.2 has them.
pub fn fields() -> TestResult {
    let Some(real) = Newer::Redis.start(&[])? else {
        return Ok(());
    };
    run::compare_replies_with(&real, "fields since 7.4", &[field_call])?;
    events::compare_with(&real, &[field_call])
}

pub fn field_call(random: &mut Random) -> Call {
    let key = random.key_of("hash");
    let call = match random.below(36) {
        0..=7 => {
            let (name, time) = match random.below(4) {
                0 => ("hexpire", random.ttl_s().to_string()),
                1 => ("HPEXPIRE", (random.ttl_s() * 1000).to_string()),
                2 => ("hexpireat", (random.unix_ms() / 1000).to_string()),
                _ => ("hpexpireat", random.unix_ms().to_string()),
            };
            let time = match random.below(30) {
                0 => random
                    .pick(&["-1", "x", "70368744177664", "9223372036854775807", "0"])
                    .to_owned(),
                _ => time,
            };
            let call = Call::new([random.any_case(name)]).arg(key).arg(time);
            let call = match random.below(3) {
                0 => call.arg(random.pick(&["NX", "xx", "GT", "lt", "GX"])),
                _ => call,
            };
            call.args(list_of_fields(random))
        }
        8..=10 => {
            let name = random.pick(&["HEXPIRETIME", "hpexpiretime"]);
            let call = Call::new([name]).arg(key).args(list_of_fields(random));
            return call.compare(Compare::Each);
        }
        11 => {
            return Call::new(["HPTTL"])
                .arg(key)
                .args(["FIELDS".into(), "1".into(), random.element()])
                .compare(Compare::Each);
        }
        12..=14 => Call::new(["HPERSIST"])
            .arg(key)
            .args(list_of_fields(random)),
        15..=18 => {
            let call = Call::new([random.any_case("hgetex")]).arg(key);
            let call = call.args(time_of_fields(random, "PERSIST"));
            call.args(list_of_fields(random))
        }
        19..=23 => {
            let call = Call::new([random.any_case("hsetex")]).arg(key);
            let call = match random.below(4) {
                0 => call.arg(random.pick(&["FNX", "fxx"])),
                _ => call,
            };
            let call = call.args(time_of_fields(random, "KEEPTTL"));
            let count = 1 + random.below(3);
            let shown = if random.one_in(20) { 2 } else { count };
            let pairs = (0..count).flat_map(|_| [random.element(), random.value()]);
            let pairs = pairs.collect::<Vec<_>>();
            call.arg("FIELDS").arg(shown.to_string()).args(pairs)
        }
        24 | 25 => Call::new(["HGETDEL"]).arg(key).args(list_of_fields(random)),
        26 | 27 => Call::new(["HSET"])
            .arg(key)
            .args([random.element(), random.value()]),
        28 => Call::new(["HINCRBY"]).arg(key).arg("n0").arg("1"),
        29 => Call::new(["HINCRBYFLOAT"]).arg(key).arg("n0").arg("1.5"),
        30 => Call::new(["HDEL"]).arg(key).arg(random.element()),
        31 => {
            return Call::new(["HGETALL"]).arg(key).compare(Compare::Pairs);
        }
        32 => {
            let to = random.key_of("hash");
            Call::new([random.pick(&["RENAME", "COPY"])])
                .arg(key)
                .arg(to)
        }
        33 => return random.walk("hscan", key),
        34 => {
            let to = random.key_of("hash");
            return Call::new(["RESTORE"])
                .arg(to)
                .arg("0")
                .arg(key)
                .arg("REPLACE")
                .compare(Compare::Restore);
        }
        _ => match random.below(3) {
            0 => Call::new(["SET"]).arg(random.own_key("string")).arg("7"),
            1 => Call::new(["DEL"]).arg(key),
            _ => Call::new(["HLEN"]).arg(key),
        },
    };
    random.spoil(call)
}

fn list_of_fields(random: &mut Random) -> Vec<Vec<u8>> {
    let count = 1 + random.below(3);
    let mut words = vec![b"fields".to_vec(), count.to_string().into_bytes()];
    words.extend((0..count).map(|_| match random.below(4) {
        0 => b"n0".to_vec(),
        _ => random.element(),
    }));
    words
}

/// An option with a time, or `other`, or nothing.
fn time_of_fields(random: &mut Random, other: &str) -> Vec<String> {
    match random.below(7) {
        0 => vec!["EX".to_owned(), random.ttl_s().to_string()],
        1 => vec!["px".to_owned(), (random.ttl_s() * 1000).to_string()],
        2 => vec!["EXAT".to_owned(), (random.future_ms() / 1000).to_string()],
        3 => vec!["PXAT".to_owned(), random.unix_ms().to_string()],
        4 => vec![other.to_owned()],
        _ => Vec::new(),
    }
}

/// Few values, so that comparisons hold now and then.
const VALUES: &[&str] = &["", "1", "2", "10", "abc", "-5", "1.5"];

pub fn string_call(random: &mut Random) -> Call {
    let (key, value) = (random.key(), random.pick(VALUES));
    match random.below(12) {
        0 | 1 => Call::new(["SET"]).arg(key).arg(value),
        2..=5 => {
            let option = random.any_case("ifeq");
            let call = Call::new(["SET"]).arg(key).arg(value).arg(option);
            let call = call
                .arg(random.pick(VALUES))
                .args(options(random, &["GET"]));
            random.spoil(call)
        }
        6 | 7 => {
            let call = Call::new([random.any_case("delifeq")]).arg(key).arg(value);
            random.spoil(call)
        }
        8..=10 => {
            let count = 1 + random.below(4);
            let call = Call::new([random.any_case("msetex")]).arg(count.to_string());
            let pairs = (0..count).flat_map(|_| {
                let value = random.pick(VALUES).as_bytes().to_vec();
                [random.key(), value]
            });
            let call = call.args(pairs.collect::<Vec<_>>());
            call.args(options(random, &["NX", "XX", "xx", "GET"]))
        }
        _ => match random.below(4) {
            0 => Call::new(["RPUSH"]).arg(key).arg("x"),
            1 => Call::new(["DEL"]).arg(key),
            2 => Call::new(["PEXPIRETIME"]).arg(random.own_key("fixed")),
            _ => Call::new(["GET"]).arg(key),
        },
    }
}

/// A deadline and some of `words`, now and then too many of them.
fn options(random: &mut Random, words: &[&str]) -> Vec<String> {
    let mut options = Vec::new();
    for _ in 0..random.below(3) {
        match random.below(8) {
            0 => options.extend(["EX".to_owned(), random.ttl_s().to_string()]),
            1 => options.extend(["px".to_owned(), (random.ttl_s() * 1000).to_string()]),
            2 => options.extend(["PXAT".to_owned(), random.future_ms().to_string()]),
            3 => options.extend([
                "EXAT".to_owned(),
                random.pick(&["0", "-1", "x", "99999999999"]).to_owned(),
            ]),
            4 => options.push("KEEPTTL".to_owned()),
            _ => options.push(random.pick(words).to_owned()),
        }
    }
    options
}
