//! What later versions brought: random calls that a server of such a version answers too.

use super::{Call, Random, events, run};
use common::{Newer, TestResult};

/// Comparisons and several keys at once, as Valkey 9.1 has them too.
pub fn strings() -> TestResult {
    let Some(real) = Newer::Valkey.start(&[])? else {
        return Ok(());
    };
    run::compare_replies_with(&real, "strings since 8.4", &[string_call])?;
    events::compare_with(&real, &[string_call])
}

/// Few values, so that comparisons hold now and then.
const VALUES: &[&str] = &["", "1", "2", "10", "abc", "-5", "1.5"];

fn string_call(random: &mut Random) -> Call {
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
