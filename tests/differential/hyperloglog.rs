//! Random calls of the `HyperLogLog` commands, good and bad. Their strings are not compared, since one set of registers
//! can be written in several ways; `tests/hyperloglog.rs` tries what each server makes of the other's.

use super::{Call, Random};

/// One call, sometimes a bad one.
pub fn call(random: &mut Random) -> Call {
    let key = random.own_key("hll");
    let call = match random.below(40) {
        0..20 => {
            let count = random.pick(&[0, 1, 1, 3, 20, 200]);
            (0..count).fold(Call::new(["pfadd"]).arg(key), |call, _| {
                let size = random.pick(&[10, 1000, 1_000_000]);
                call.arg(random.below(size).to_string())
            })
        }
        20..27 => Call::new(["PFCOUNT"]).arg(key),
        27..31 => Call::new(["PFCOUNT"])
            .arg(key)
            .arg(random.own_key("hll"))
            .arg("hll:none"),
        31..35 => Call::new(["PFMERGE"])
            .arg(key)
            .arg(random.own_key("hll"))
            .arg(random.own_key("hll")),
        35 => Call::new(["DEL"]).arg(key),
        36 => Call::new(["EXPIRE"]).arg(key).arg("1000"),
        37 => Call::new(["TYPE"]).arg(key),
        _ => return Call::line(random.pick(BAD)),
    };
    random.spoil(call)
}

const BAD: &[&str] = &[
    "SADD hll:set a",
    "SET hll:text HYLL",
    "SET hll:long HYLLxxxxxxxxxxxxxxxxxxxxxxx",
    "PFADD hll:set a",
    "PFADD hll:text a",
    "PFADD hll:long a",
    "PFADD",
    "PFCOUNT",
    "PFCOUNT hll:set",
    "PFCOUNT hll:text",
    "PFCOUNT hll:1 hll:set",
    "PFCOUNT hll:1 hll:long",
    "PFMERGE",
    "PFMERGE hll:2",
    "PFMERGE hll:set hll:1",
    "PFMERGE hll:1 hll:text",
];
