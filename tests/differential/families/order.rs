//! Random calls on small hashes and sets, whose elements have an order: that of insertion in a hash, ascending in a set
//! of integers.

use super::{Call, Random};

/// One call.
pub fn call(random: &mut Random) -> Call {
    let hash = random.key_of("hash");
    let set = random.key_of("set");
    match random.below(30) {
        0..6 => {
            let pairs: Vec<_> = (0..=random.below(4))
                .flat_map(|_| [field(random), field(random)])
                .collect();
            Call::new(["HSET"]).arg(hash).args(pairs)
        }
        6 => Call::new(["HSETNX"])
            .arg(hash)
            .args([field(random), field(random)]),
        7 => Call::new(["HINCRBY"]).arg(hash).args(["counter", "1"]),
        8 | 9 => Call::new(["HDEL"]).arg(hash).arg(field(random)),
        10..13 => Call::new(["HGETALL"]).arg(hash),
        13 => Call::new([random.pick(&["HKEYS", "HVALS"])]).arg(hash),
        14 => Call::new(["HSCAN"]).arg(hash).args(["0", "COUNT", "2"]),
        15 => Call::new(["HSCAN"]).arg(hash).args(["7", "MATCH", "*1*"]),
        16..20 => {
            let members: Vec<_> = (0..=random.below(4)).map(|_| integer(random)).collect();
            Call::new(["SADD"]).arg(set).args(members)
        }
        20 | 21 => Call::new(["SREM"]).arg(set).arg(integer(random)),
        22..25 => Call::new(["SMEMBERS"]).arg(set),
        25 => Call::new(["SSCAN"]).arg(set).args(["0", "COUNT", "2"]),
        26 => {
            let name = random.pick(&["SINTER", "SUNION", "SDIFF"]);
            Call::new([name]).args(random.keys_of("set", 3))
        }
        27 => {
            let name = random.pick(&["SINTERSTORE", "SUNIONSTORE", "SDIFFSTORE"]);
            Call::new([name]).arg(set).args(random.keys_of("set", 3))
        }
        28 => Call::new(["COPY"]).arg(hash).arg(random.key_of("hash")),
        _ => Call::new(["DEL"]).arg(if random.one_in(2) { hash } else { set }),
    }
}

fn field(random: &mut Random) -> String {
    format!("field{}", random.below(40))
}

fn integer(random: &mut Random) -> String {
    random.within(-40..100).to_string()
}
