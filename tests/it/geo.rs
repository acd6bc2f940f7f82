//! The geo commands over TCP, on every engine. The replies are those of a real server of the protocol.

use common::{Options, RawClient, Server, TestResult, Value, check_events, on_every_engine, show};

/// Calls and their replies, in order, on an empty database.
const SCRIPT: &[(&str, &str)] = &[
    // Adding
    (
        "GEOADD g 13.361389 38.115556 Palermo 15.087269 37.502669 Catania",
        ":2",
    ),
    ("GEOADD g 13.361389 38.115556 Palermo", ":0"),
    ("GEOADD g NX 1 1 Palermo 2.349014 48.864716 Paris", ":1"),
    ("GEOADD g XX CH 13.5 38.2 Palermo 4 50 Nowhere", ":1"),
    (
        "GEOADD g CH 13.361389 38.115556 Palermo -74.0059413 40.7127837 NewYork",
        ":2",
    ),
    ("GEOADD g NX XX 1 1 a", SYNTAX),
    (
        "GEOADD g 1 1",
        "-ERR wrong number of arguments for 'geoadd' command",
    ),
    ("GEOADD g 1 1 a 2", SYNTAX),
    ("GEOADD g x 1 a", NOT_A_FLOAT),
    (
        "GEOADD g 181 1 a",
        "-ERR invalid longitude,latitude pair 181.000000,1.000000",
    ),
    (
        "GEOADD g 1 -85.06 a",
        "-ERR invalid longitude,latitude pair 1.000000,-85.060000",
    ),
    (
        "GEOADD g 1 1 a 200 100 b",
        "-ERR invalid longitude,latitude pair 200.000000,100.000000",
    ),
    ("ZSCORE g a", "nil"),
    ("ZSCORE g Palermo", "3479099956230698"),
    ("TYPE g", "+zset"),
    // Looking
    (
        "GEOPOS g Palermo none Paris",
        "[[13.36138933897018433 38.11555639549629859] nil-array [2.34901160001754761 48.86471570750150306]]",
    ),
    ("GEOPOS none a", "[nil-array]"),
    ("GEOPOS g", "[]"),
    (
        "GEOHASH g Palermo Catania none",
        "[sqc8b49rny0 sqdtr74hyu0 nil]",
    ),
    ("GEOHASH none a", "[nil]"),
    ("GEODIST g Palermo Catania", "166274.1516"),
    ("GEODIST g Palermo Catania km", "166.2742"),
    ("GEODIST g Palermo Catania MI", "103.3182"),
    ("GEODIST g Palermo Catania ft", "545518.8700"),
    ("GEODIST g Palermo Palermo", "0.0000"),
    ("GEODIST g Palermo none", "nil"),
    ("GEODIST none a b", "nil"),
    ("GEODIST g Palermo Catania yd", BAD_UNIT),
    ("GEODIST g Palermo Catania km x", SYNTAX),
    // Searching
    (
        "GEOSEARCH g FROMLONLAT 15 37 BYRADIUS 200 km ASC",
        "[Catania Palermo]",
    ),
    (
        "GEOSEARCH g FROMLONLAT 15 37 BYRADIUS 200 km DESC WITHDIST WITHCOORD WITHHASH",
        "[[Palermo 190.4424 :3479099956230698 [13.36138933897018433 38.11555639549629859]] [Catania 56.4413 :3479447370796909 [15.08726745843887329 37.50266842333162032]]]",
    ),
    (
        "GEOSEARCH g FROMLONLAT 15 37 BYBOX 400 400 km ASC WITHDIST",
        "[[Catania 56.4413] [Palermo 190.4424]]",
    ),
    (
        "GEOSEARCH g FROMMEMBER Paris BYRADIUS 1500 km COUNT 1",
        "[Paris]",
    ),
    (
        "GEOSEARCH g FROMMEMBER Paris BYRADIUS 1500 km COUNT 2 DESC",
        "[Palermo Paris]",
    ),
    ("GEOSEARCH g FROMMEMBER Palermo BYRADIUS 0 m", "[Palermo]"),
    (
        "GEOSEARCH g FROMMEMBER Paris BYRADIUS 10000 km COUNT 9 ANY ASC",
        "[Paris Palermo Catania NewYork]",
    ),
    (
        "GEOSEARCH g FROMMEMBER none BYRADIUS 1 m",
        "-ERR could not decode requested zset member",
    ),
    ("GEOSEARCH none FROMMEMBER x BYRADIUS 1 m", "[]"),
    ("GEOSEARCH none FROMLONLAT 1 1 BYRADIUS 1 m WITHDIST", "[]"),
    (
        "GEOSEARCH g FROMLONLAT 15 37 FROMMEMBER Paris BYRADIUS 1 m",
        SYNTAX,
    ),
    (
        "GEOSEARCH g FROMLONLAT 15 37 BYRADIUS 1 m BYBOX 1 1 m",
        SYNTAX,
    ),
    (
        "GEOSEARCH g BYRADIUS 1 m ASC WITHDIST",
        "-ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for GEOSEARCH",
    ),
    (
        "GEOSEARCH g FROMMEMBER Paris ASC WITHDIST COUNT 1",
        "-ERR exactly one of BYRADIUS and BYBOX can be specified for GEOSEARCH",
    ),
    (
        "GEOSEARCH g FROMMEMBER Paris BYRADIUS -1 m",
        "-ERR radius cannot be negative",
    ),
    (
        "GEOSEARCH g FROMMEMBER Paris BYRADIUS x m",
        "-ERR need numeric radius",
    ),
    (
        "GEOSEARCH g FROMMEMBER Paris BYBOX 1 -1 m",
        "-ERR height or width cannot be negative",
    ),
    (
        "GEOSEARCH g FROMMEMBER Paris BYBOX 1 x m",
        "-ERR need numeric height",
    ),
    ("GEOSEARCH g FROMMEMBER Paris BYBOX 1 1 yd", BAD_UNIT),
    (
        "GEOSEARCH g FROMMEMBER Paris BYRADIUS 1 m ANY",
        "-ERR the ANY argument requires COUNT argument",
    ),
    (
        "GEOSEARCH g FROMMEMBER Paris BYRADIUS 1 m COUNT 0",
        "-ERR COUNT must be > 0",
    ),
    (
        "GEOSEARCH g FROMMEMBER Paris BYRADIUS 1 m COUNT x",
        NOT_AN_INTEGER,
    ),
    (
        "GEOSEARCH g FROMMEMBER Paris BYRADIUS 1 m STOREDIST",
        SYNTAX,
    ),
    (
        "GEOSEARCH g FROMLONLAT 15 97 BYRADIUS 1 m",
        "-ERR invalid longitude,latitude pair 15.000000,97.000000",
    ),
    // Storing what is found
    ("GEOSEARCHSTORE to g FROMLONLAT 15 37 BYRADIUS 200 km", ":2"),
    (
        "ZRANGE to 0 -1 WITHSCORES",
        "[Palermo 3479099956230698 Catania 3479447370796909]",
    ),
    (
        "GEOSEARCHSTORE to g FROMLONLAT 15 37 BYBOX 400 400 km COUNT 1 STOREDIST",
        ":1",
    ),
    ("ZRANGE to 0 -1", "[Catania]"),
    (
        "GEOSEARCHSTORE to g FROMLONLAT 15 37 BYBOX 400 400 km WITHDIST",
        "-ERR GEOSEARCHSTORE is not compatible with WITHDIST, WITHHASH and WITHCOORD options",
    ),
    (
        "GEOSEARCHSTORE to none FROMLONLAT 15 37 BYBOX 400 400 km",
        ":0",
    ),
    ("EXISTS to", ":0"),
    // The older commands
    ("GEORADIUS g 15 37 200 km ASC", "[Catania Palermo]"),
    (
        "GEORADIUS g 15 37 200 km WITHDIST WITHHASH COUNT 1 DESC",
        "[[Palermo 190.4424 :3479099956230698]]",
    ),
    (
        "GEORADIUS_RO g 15 37 100 km WITHCOORD",
        "[[Catania [15.08726745843887329 37.50266842333162032]]]",
    ),
    (
        "GEORADIUSBYMEMBER g Palermo 200 km ASC",
        "[Palermo Catania]",
    ),
    (
        "GEORADIUSBYMEMBER_RO g Palermo 200 km DESC WITHDIST",
        "[[Catania 166.2742] [Palermo 0.0000]]",
    ),
    (
        "GEORADIUSBYMEMBER g none 200 km",
        "-ERR could not decode requested zset member",
    ),
    ("GEORADIUSBYMEMBER none Palermo 200 km", "[]"),
    ("GEORADIUS none 15 37 200 km", "[]"),
    ("GEORADIUS g 15 37 200 km STORE to", ":2"),
    (
        "ZRANGE to 0 -1 WITHSCORES",
        "[Palermo 3479099956230698 Catania 3479447370796909]",
    ),
    ("GEORADIUSBYMEMBER g Paris 10 km STOREDIST to", ":1"),
    ("ZRANGE to 0 -1 WITHSCORES", "[Paris 0]"),
    ("GEORADIUS g 15 37 200 km STORE to WITHDIST", NOT_WITH),
    ("GEORADIUS_RO g 15 37 200 km STORE to", SYNTAX),
    ("GEORADIUSBYMEMBER_RO g Paris 200 km STOREDIST to", SYNTAX),
    ("GEORADIUS none 15 37 200 km STORE to", ":0"),
    ("EXISTS to", ":0"),
    ("GEORADIUS g 15 37 x km", "-ERR need numeric radius"),
    ("GEORADIUS g 15 37 -1 km", "-ERR radius cannot be negative"),
    ("GEORADIUS g 15 37 1 yd", BAD_UNIT),
    (
        "GEORADIUS g 15 97 1 m",
        "-ERR invalid longitude,latitude pair 15.000000,97.000000",
    ),
    ("GEORADIUS g 15 37 1 m BYBOX 1 1 m", SYNTAX),
    // Other types
    ("SET str v", "+OK"),
    ("GEOADD str 1 1 a", WRONG_TYPE),
    ("GEOPOS str a", WRONG_TYPE),
    ("GEOHASH str a", WRONG_TYPE),
    ("GEODIST str a b", WRONG_TYPE),
    ("GEOSEARCH str FROMLONLAT 15 37 BYRADIUS 1 m", WRONG_TYPE),
    ("GEOSEARCH str BAD 1 2 3 4 5", WRONG_TYPE),
    (
        "GEOSEARCHSTORE to str FROMLONLAT 15 37 BYRADIUS 1 m",
        WRONG_TYPE,
    ),
    ("GEORADIUS str 15 37 1 m", WRONG_TYPE),
    ("GEORADIUSBYMEMBER str a 1 m", WRONG_TYPE),
];

/// The same in RESP3.
const RESP3: &[(&str, &str)] = &[
    (
        "GEOADD g 13.361389 38.115556 Palermo 15.087269 37.502669 Catania",
        ":2",
    ),
    (
        "GEOPOS g Palermo none",
        "[[,13.36138933897018433 ,38.11555639549629859] null]",
    ),
    ("GEODIST g Palermo Catania", "166274.1516"),
    ("GEODIST g Palermo none", "null"),
    ("GEOHASH g Palermo none", "[sqc8b49rny0 null]"),
    (
        "GEOSEARCH g FROMLONLAT 15 37 BYRADIUS 200 km ASC WITHDIST WITHCOORD WITHHASH",
        "[[Catania 56.4413 :3479447370796909 [,15.08726745843887329 ,37.50266842333162032]] [Palermo 190.4424 :3479099956230698 [,13.36138933897018433 ,38.11555639549629859]]]",
    ),
    (
        "GEORADIUSBYMEMBER g Palermo 200 km DESC",
        "[Catania Palermo]",
    ),
];

const WRONG_TYPE: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value";
const NOT_AN_INTEGER: &str = "-ERR value is not an integer or out of range";
const NOT_A_FLOAT: &str = "-ERR value is not a valid float";
const SYNTAX: &str = "-ERR syntax error";
const BAD_UNIT: &str = "-ERR unsupported unit provided. please use M, KM, FT, MI";
const NOT_WITH: &str = "-ERR STORE option in GEORADIUS is not compatible with WITHDIST, WITHHASH and WITHCOORD options";

fn run(client: &mut RawClient, script: &[(&str, &str)]) -> TestResult {
    for (line, expected) in script {
        assert_eq!(show(&client.line(line)?), *expected, "{line}");
    }
    Ok(())
}

fn replies(server: &Server) -> TestResult {
    let mut client = server.raw()?;
    run(&mut client, SCRIPT)?;
    client.line("FLUSHALL")?;
    client.line("HELLO 3")?;
    run(&mut client, RESP3)?;
    client.line("FLUSHALL")?;
    Ok(())
}

/// Two searches of many places agree: one by circle, and one that measures the distance of each place.
fn many_places(server: &Server) -> TestResult {
    let mut client = server.raw()?;
    // A grid, half a degree wide.
    for (x, y) in (0..20).flat_map(|x| (0..20).map(move |y| (x, y))) {
        let (longitude, latitude) = (f64::from(x) / 2.0 + 5.0, f64::from(y) / 2.0 + 45.0);
        client.line(&format!("GEOADD grid {longitude} {latitude} {x}:{y}"))?;
    }
    for radius_km in [10, 60, 300, 900] {
        let line = format!("GEOSEARCH grid FROMMEMBER 10:10 BYRADIUS {radius_km} km ASC WITHDIST");
        let reply = client.line(&line)?;
        let found = reply.items().ok_or("no array")?.len();
        let mut within = 0;
        for (x, y) in (0..20).flat_map(|x| (0..20).map(move |y| (x, y))) {
            let distance = client.line(&format!("GEODIST grid 10:10 {x}:{y} km"))?;
            let distance: f64 = distance.text().ok_or("no distance")?.parse()?;
            within += usize::from(distance <= f64::from(radius_km));
        }
        assert_eq!(found, within, "{radius_km} km");
        assert!(found > 0);
    }
    let any = client.line("GEOSEARCH grid FROMMEMBER 10:10 BYRADIUS 900 km COUNT 7 ANY")?;
    assert_eq!(any.items().map(<[Value]>::len), Some(7));
    client.line("DEL grid")?;
    Ok(())
}

/// Events in Redis's order.
fn events(server: &Server) -> TestResult {
    check_events(
        server,
        &[
            ("GEOADD v 1 1 a", "new zadd"),
            ("GEOADD v 1 1 a", ""),
            ("GEOADD v CH 2 2 a", "zadd"),
            (
                "GEOSEARCHSTORE w v FROMLONLAT 1 1 BYRADIUS 500 km",
                "new geosearchstore",
            ),
            (
                "GEOSEARCHSTORE w none FROMLONLAT 1 1 BYRADIUS 500 km",
                "del",
            ),
            ("GEOSEARCHSTORE w none FROMLONLAT 1 1 BYRADIUS 500 km", ""),
            ("GEORADIUS v 1 1 500 km STORE w", "new georadiusstore"),
            ("GEORADIUSBYMEMBER v a 500 km STOREDIST w", "georadiusstore"),
            ("GEORADIUS v 80 80 1 m STORE w", "del"),
        ],
    )
}

/// Acknowledged writes are there after the process was killed.
fn survives_kill_9(store: &str) -> TestResult {
    let mut server = Server::start_with(Options::new(store))?;
    let mut client = server.raw()?;
    for line in [
        "GEOADD k 13.361389 38.115556 Palermo 15.087269 37.502669 Catania 2.349014 48.864716 Paris",
        "GEOADD k XX 13.5 38.2 Palermo",
        "GEOSEARCHSTORE near k FROMLONLAT 15 37 BYRADIUS 200 km",
        "GEORADIUSBYMEMBER k Paris 1 m STOREDIST one",
        "ZREM k Paris",
    ] {
        client.line(line)?;
    }
    server.kill_9()?;
    server.resume()?;
    let mut client = server.raw()?;
    run(
        &mut client,
        &[
            (
                "GEOPOS k Palermo Catania Paris",
                "[[13.50000053644180298 38.2000006309196749] [15.08726745843887329 37.50266842333162032] nil-array]",
            ),
            (
                "ZRANGE near 0 -1 WITHSCORES",
                "[Palermo 3479101704338477 Catania 3479447370796909]",
            ),
            ("ZRANGE one 0 -1 WITHSCORES", "[Paris 0]"),
        ],
    )
}

fn on(store: &str) -> TestResult {
    let server = Server::start(store)?;
    replies(&server)?;
    many_places(&server)?;
    events(&server)
}

on_every_engine!(on, persistent: survives_kill_9);
