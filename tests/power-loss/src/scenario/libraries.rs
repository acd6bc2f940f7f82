//! Libraries of functions, which are one record, and what their functions write.

use super::{Action, Scenario, Unit, calls};

pub fn all() -> Vec<Scenario> {
    let mut in_pairs = Scenario::new("libraries-in-pairs", "cmap/pairs");
    in_pairs.pool_size = "24mb";
    vec![
        libraries(Scenario::new("libraries", "cmap")),
        libraries(in_pairs),
    ]
}

/// Loads a library whose code is of about this length. Its function writes two keys.
fn load(name: &str, version: usize, length: usize) -> Unit {
    let code = format!(
        "#!lua name={name}\n\
         redis.register_function('{name}', function(keys)\n\
         redis.call('SET', keys[1], {version})\n\
         redis.call('RPUSH', keys[2], {version})\n\
         end)\n--{}",
        "x".repeat(length)
    );
    Unit::with("FUNCTION LOAD REPLACE", code.into_bytes())
}

fn libraries(scenario: Scenario) -> Scenario {
    scenario
        .one_by_one([load("one", 1, 0), Unit::call("FCALL one 2 a l")])
        .one_by_one([load("two", 2, 4_000), load("one", 3, 10)])
        .at_once([
            Unit::call("SET b 1"),
            Unit::call("FCALL one 2 a l"),
            Unit::call("FUNCTION DELETE two"),
            Unit::call("SET b 2"),
            // In parts: a record may take a sixteenth of a segment.
            load("large", 4, 40_000),
            Unit::call("FCALL large 2 a l"),
            Unit::call("SET b 3"),
        ])
        .then(Action::Kill)
        .one_by_one([load("one", 5, 200), Unit::call("FCALL one 2 a m")])
        .one_by_one(calls(&["FLUSHALL", "FUNCTION FLUSH", "SET c 1"]))
        .one_by_one([load("last", 6, 20), Unit::call("FUNCTION DELETE last")])
}
