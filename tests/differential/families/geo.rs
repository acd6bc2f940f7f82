//! Random calls of the geo commands, good and bad.
//!
//! Places have many digits, so that no two have the same distance from a third. So every order is unique.

use super::{Call, Compare, Random};

/// One call, sometimes a bad one.
pub fn call(random: &mut Random) -> Call {
    let key = random.key_of("geo");
    let call = match random.below(50) {
        0..10 => add(random, key),
        10..14 => {
            let call = Call::new(["GEODIST"])
                .arg(key)
                .arg(member(random))
                .arg(member(random));
            if random.one_in(2) {
                call.arg(unit(random))
            } else {
                call
            }
        }
        14..17 => Call::new(["GEOHASH"]).arg(key).args(members(random)),
        17..21 => Call::new([random.any_case("geopos")])
            .arg(key)
            .args(members(random)),
        21..31 => return search(random, key),
        31..35 => {
            let call = Call::new(["GEOSEARCHSTORE"])
                .arg(random.own_key("geo"))
                .arg(key);
            let call = centre_and_shape(random, call);
            let call = order_and_count(random, call);
            call.args(random.maybe(3, "storedist"))
        }
        35..43 => return radius(random, key),
        43 => Call::new(["ZREM"]).arg(key).args(members(random)),
        44 => Call::new(["ZRANGE"])
            .arg(key)
            .args(["0", "-1", "WITHSCORES"]),
        45 => return Call::line(random.pick(&["HELLO 3", "HELLO 2", "HELLO 2"])),
        46 | 47 => return Call::line(random.pick(BAD)),
        48 => Call::new(["ZSCORE"]).arg(key).arg(member(random)),
        _ => Call::new(["DEL"]).arg(key),
    };
    random.spoil(call)
}

const BAD: &[&str] = &[
    "GEOADD geo:1",
    "GEOADD geo:1 1 2",
    "GEOADD geo:1 NX XX 1 2 a",
    "GEOADD geo:1 181 2 a",
    "GEOADD geo:1 1 86 a",
    "GEOADD geo:1 x 2 a",
    "GEOADD geo:1 nan 2 a",
    "GEOADD geo:1 1 2 a 3",
    "GEODIST geo:1 a",
    "GEODIST geo:1 a b feet",
    "GEODIST geo:1 a b m x",
    "GEOHASH geo:1",
    "GEOHASH geo:9 a",
    "GEOPOS geo:1",
    "GEOPOS geo:9 a b",
    "GEOSEARCH geo:1",
    "GEOSEARCH geo:1 FROMLONLAT 1 2",
    "GEOSEARCH geo:1 BYRADIUS 1 km",
    "GEOSEARCH geo:1 FROMLONLAT 1 2 BYRADIUS 1 km BYBOX 1 1 km",
    "GEOSEARCH geo:1 FROMLONLAT 1 2 FROMMEMBER a BYRADIUS 1 km",
    "GEOSEARCH geo:1 FROMLONLAT 1 x BYRADIUS 1 km",
    "GEOSEARCH geo:1 FROMLONLAT 200 2 BYRADIUS 1 km",
    "GEOSEARCH geo:1 FROMLONLAT 1 2 BYRADIUS -1 km",
    "GEOSEARCH geo:1 FROMLONLAT 1 2 BYRADIUS x km",
    "GEOSEARCH geo:1 FROMLONLAT 1 2 BYBOX -1 2 km",
    "GEOSEARCH geo:1 FROMLONLAT 1 2 BYBOX 1 km",
    "GEOSEARCH geo:1 FROMLONLAT 1 2 BYRADIUS 1 parsec",
    "GEOSEARCH geo:1 FROMLONLAT 1 2 BYRADIUS 1 km COUNT 0",
    "GEOSEARCH geo:1 FROMLONLAT 1 2 BYRADIUS 1 km COUNT x",
    "GEOSEARCH geo:1 FROMLONLAT 1 2 BYRADIUS 1 km ANY",
    "GEOSEARCH geo:1 FROMLONLAT 1 2 BYRADIUS 1 km STOREDIST",
    "GEOSEARCH geo:1 FROMMEMBER nobody BYRADIUS 1 km",
    "GEOSEARCH geo:9 FROMMEMBER nobody BYRADIUS 1 km",
    "GEOSEARCHSTORE geo:1 geo:2 FROMLONLAT 1 2 BYRADIUS 1 km WITHDIST",
    "GEOSEARCHSTORE geo:1 geo:2 FROMMEMBER nobody BYRADIUS 1 km",
    "GEORADIUS geo:1 1 2 3",
    "GEORADIUS geo:1 1 2 3 km STORE",
    "GEORADIUS geo:1 1 2 3 km WITHDIST STORE geo:2",
    "GEORADIUS_RO geo:1 1 2 3 km STORE geo:2",
    "GEORADIUS geo:1 1 2 3 km NONSENSE",
    "GEORADIUSBYMEMBER geo:1 nobody 3 km",
    "GEORADIUSBYMEMBER_RO geo:1 nobody 3 km STOREDIST geo:2",
];

fn member(random: &mut Random) -> Vec<u8> {
    if random.one_in(12) {
        return random.element();
    }
    format!("p{}", random.below(24)).into_bytes()
}

fn members(random: &mut Random) -> Vec<Vec<u8>> {
    (0..=random.below(4)).map(|_| member(random)).collect()
}

fn unit(random: &mut Random) -> &'static str {
    if random.one_in(30) {
        return random.pick(&["", "feet", "mm"]);
    }
    random.pick(&["m", "km", "ft", "mi", "KM", "Mi"])
}

/// Longitude and latitude.
fn place(random: &mut Random) -> [String; 2] {
    if random.one_in(40) {
        let bad = random
            .pick(&["180.1", "-181", "x", "", "inf", "nan", "90"])
            .to_owned();
        return [bad.clone(), bad];
    }
    // Near one another, or anywhere.
    let degrees = |random: &mut Random, max: i64| {
        let millionths = random.within(-max * 1_000_000..max * 1_000_000);
        format!(
            "{}{}.{:06}",
            if millionths < 0 { "-" } else { "" },
            millionths.abs() / 1_000_000,
            millionths.abs() % 1_000_000
        )
    };
    match random.below(4) {
        0 => [degrees(random, 180), degrees(random, 85)],
        _ => [degrees(random, 20), degrees(random, 15)],
    }
}

fn add(random: &mut Random, key: Vec<u8>) -> Call {
    let mut call = Call::new([random.any_case("geoadd")]).arg(key);
    while random.one_in(4) {
        call = call.arg(random.pick(&["nx", "XX", "CH", "ch"]));
    }
    let count = if random.one_in(10) {
        24
    } else {
        1 + random.below(5)
    };
    for _ in 0..count {
        let place = place(random);
        call = call.args(place).arg(member(random));
    }
    call
}

/// A length that reaches few, many or all.
fn length(random: &mut Random) -> String {
    match random.below(12) {
        0 => random
            .pick(&["0", "-1", "x", "", "1e400", "nan"])
            .to_owned(),
        1 => "20015.1".to_owned(),
        2 => random.within(1..1_000).to_string(),
        _ => format!("{}.5", random.within(1..3_000)),
    }
}

fn centre_and_shape(random: &mut Random, mut call: Call) -> Call {
    call = if random.one_in(2) {
        let place = place(random);
        call.arg(random.any_case("fromlonlat")).args(place)
    } else {
        call.arg(random.any_case("frommember")).arg(member(random))
    };
    call = if random.one_in(2) {
        call.arg(random.any_case("byradius")).arg(length(random))
    } else {
        call.arg(random.any_case("bybox"))
            .arg(length(random))
            .arg(length(random))
    };
    let unit = if random.one_in(3) { unit(random) } else { "km" };
    call.arg(unit)
}

/// COUNT decides the order too, and with ANY it decides which places come. So such calls ask for more than there are.
fn order_and_count(random: &mut Random, mut call: Call) -> Call {
    call = call
        .args(random.maybe(3, "asc"))
        .args(random.maybe(4, "desc"));
    match random.below(8) {
        0..3 => call.arg(random.any_case("count")).arg(random.count()),
        3 => call.arg("COUNT").arg("1000").arg(random.any_case("any")),
        _ => call,
    }
}

fn has(call: &Call, word: &str) -> bool {
    call.words
        .iter()
        .any(|found| found.eq_ignore_ascii_case(word.as_bytes()))
}

/// Without an order option, the order is undefined.
fn by_order(call: Call) -> Call {
    let any = has(&call, "any");
    if has(&call, "asc") || has(&call, "desc") || (has(&call, "count") && !any) {
        call
    } else {
        call.compare(Compare::Unordered)
    }
}

fn with(random: &mut Random, call: Call) -> Call {
    call.args(random.maybe(3, "withcoord"))
        .args(random.maybe(3, "withdist"))
        .args(random.maybe(3, "withhash"))
}

fn search(random: &mut Random, key: Vec<u8>) -> Call {
    let call = Call::new([random.any_case("geosearch")]).arg(key);
    let call = centre_and_shape(random, call);
    let call = with(random, call);
    by_order(order_and_count(random, call))
}

/// The four commands that came before GEOSEARCH.
fn radius(random: &mut Random, key: Vec<u8>) -> Call {
    let (name, by_member) = random.pick(&[
        ("GEORADIUS", false),
        ("georadius_ro", false),
        ("GEORADIUSBYMEMBER", true),
        ("georadiusbymember_ro", true),
    ]);
    let call = Call::new([name]).arg(key);
    let call = if by_member {
        call.arg(member(random))
    } else {
        let place = place(random);
        call.args(place)
    };
    let unit = if random.one_in(3) { unit(random) } else { "km" };
    let call = call.arg(length(random)).arg(unit);
    let call = order_and_count(random, call);
    if random.one_in(3) {
        let store = random.pick(&["STORE", "storedist"]);
        return call.arg(store).arg(random.own_key("geo"));
    }
    by_order(with(random, call))
}
