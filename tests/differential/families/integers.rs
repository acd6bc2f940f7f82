//! Random calls on sets of integers: of every width, at its ends, and with members that only look like integers. Those come
//! to sets of their own, which are then no intsets any more; the others have their order and their encoding exactly.

use super::{Call, Compare, Random};

/// One call.
pub fn call(random: &mut Random) -> Call {
    let key = random.key_of("ints");
    match random.below(40) {
        0..9 => {
            let count = random.pick(&[1, 1, 1, 2, 5, 12]);
            let members: Vec<_> = (0..count).map(|_| integer(random)).collect();
            Call::new(["SADD"]).arg(key).args(members)
        }
        9..12 => {
            let members: Vec<_> = (0..=random.below(4)).map(|_| member(random)).collect();
            Call::new(["SREM"]).arg(key).args(members)
        }
        12 | 13 => Call::new(["SISMEMBER"]).arg(key).arg(member(random)),
        14 => {
            let members: Vec<_> = (0..6).map(|_| member(random)).collect();
            Call::new(["SMISMEMBER"]).arg(key).args(members)
        }
        15..19 => Call::new(["SMEMBERS"]).arg(key),
        19 => Call::new(["SSCAN"]).arg(key).args(["0", "COUNT", "2"]),
        20 | 21 => Call::new([random.pick(&["SPOP", "SRANDMEMBER"])])
            .arg(key)
            .args(random.one_in(2).then(|| random.chosen_count()))
            .compare(Compare::Chosen),
        22 | 23 => {
            let to = random.pick(&["ints", "ints", "near"]);
            let words = [random.own_key(to), integer(random).into_bytes()];
            Call::new(["SMOVE"]).arg(key).args(words)
        }
        24 | 25 => {
            let name = random.pick(&["SINTER", "SUNION", "SDIFF"]);
            Call::new([name]).args(random.keys_of("ints", 3))
        }
        26 | 27 => {
            let name = random.pick(&["SINTERSTORE", "SUNIONSTORE", "SDIFFSTORE"]);
            Call::new([name])
                .arg(random.own_key("ints"))
                .args(random.keys_of("ints", 3))
        }
        28 => Call::new(["COPY"])
            .arg(key)
            .arg(random.own_key("ints"))
            .arg("REPLACE"),
        29 => Call::new(["RENAME"]).arg(key).arg(random.own_key("ints")),
        30 => Call::new(["RESTORE"])
            .arg(random.own_key("ints"))
            .args(["0".as_bytes(), &key, b"REPLACE"])
            .compare(Compare::Restore),
        31 => Call::new(["SORT"])
            .arg(key)
            .args(random.one_in(2).then_some("DESC")),
        32 => Call::new(["SCARD"]).arg(key),
        33 => Call::new(["OBJECT", "ENCODING"]).arg(random.own_key("ints")),
        // What happens where other members come.
        34..36 => {
            let key = random.own_key("near");
            let members: Vec<_> = (0..=random.below(3)).map(|_| member(random)).collect();
            Call::new(["SADD"]).arg(key).args(members)
        }
        36 => Call::new(["SREM"])
            .arg(random.own_key("near"))
            .arg(member(random)),
        37 => Call::new(["SMEMBERS"])
            .arg(random.own_key("near"))
            .compare(Compare::Unordered),
        38 => Call::new(["DEL"]).arg(random.own_key("near")),
        _ => Call::new(["DEL"]).arg(key),
    }
}

/// An integer as Redis writes it.
fn integer(random: &mut Random) -> String {
    let ends = [
        0,
        i16::MIN.into(),
        i16::MAX.into(),
        i32::MIN.into(),
        i32::MAX.into(),
        i64::MIN,
        i64::MAX,
    ];
    let number = match random.below(6) {
        0 => random.pick(&ends).saturating_add(random.within(-1..=1)),
        1 => random.within(-70_000..70_000),
        _ => random.within(-40..100),
    };
    number.to_string()
}

/// An integer, or a text that is none although it looks like one.
fn member(random: &mut Random) -> String {
    let number = integer(random);
    match random.below(12) {
        0 => format!("0{number}"),
        1 => format!("+{number}"),
        2 => format!(" {number}"),
        3 => format!("{number} "),
        4 => format!("{number}.0"),
        5 => random
            .pick(&["-0", "", "-", "9223372036854775808", "-9223372036854775809"])
            .to_owned(),
        _ => number,
    }
}
