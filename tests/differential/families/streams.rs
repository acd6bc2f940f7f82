//! Random calls on the entries of streams, good and bad. Ids are explicit, so that both servers give the same ones.

use super::{Call, Compare, Random, groups};

/// One call, sometimes a bad one.
pub fn call(random: &mut Random) -> Call {
    let key = random.key_of("stream");
    let call = match random.below(100) {
        0..32 => add(random, key),
        32..35 => Call::new([random.any_case("xlen")]).arg(key),
        35..49 => range(random, key),
        49..55 => Call::new([random.any_case("xdel")])
            .arg(key)
            .args((0..=random.below(3)).map(|_| random.entry_id())),
        55..60 => Call::new([random.any_case("xtrim")])
            .arg(key)
            .args(random.trimming()),
        60..72 => {
            let call = read(random);
            // Another word in place of the timeout could make it wait for ever.
            if call
                .words
                .iter()
                .any(|word| word.eq_ignore_ascii_case(b"block"))
            {
                return call;
            }
            call
        }
        72..78 => return info(random, key),
        78..81 => set_id(random, key),
        81..84 => return of_any_type(random, key),
        84 => Call::new(["DEL"]).arg(key),
        85 => Call::new(["SET"])
            .arg(random.own_key("string"))
            .arg("no stream"),
        86 => return Call::line(random.pick(&["HELLO 3", "HELLO 2", "HELLO 2"])),
        87..89 => return transaction(random),
        89..92 => return script(random),
        92..94 => return automatic(random),
        94..96 => return approximate(random),
        96 | 97 => return Call::line(random.pick(BAD)),
        _ => restore(random),
    };
    random.spoil(call)
}

const BAD: &[&str] = &[
    "XADD",
    "XADD stream:1",
    "XADD stream:1 *",
    "XADD stream:1 * a",
    "XADD stream:1 * a b c",
    "XADD stream:1 MAXLEN 5",
    "XADD stream:1 MAXLEN x * a b",
    "XADD stream:1 MAXLEN -1 * a b",
    "XADD stream:1 MAXLEN = 5 MINID = 3 * a b",
    "XADD stream:1 MINID x * a b",
    "XADD stream:1 MAXLEN 5 LIMIT 3 * a b",
    "XADD stream:1 MAXLEN = 5 LIMIT 3 * a b",
    "XADD stream:1 MAXLEN ~ 5 LIMIT -3 * a b",
    "XADD stream:1 MAXLEN ~ 5 LIMIT x * a b",
    "XADD stream:1 LIMIT 3 * a b",
    "XADD stream:1 NOMKSTREAM",
    "XADD stream:1 0-0 a b",
    "XADD stream:1 0 a b",
    "XADD stream:9 0-0 a b",
    "XADD stream:1 0-* a b c",
    "XADD stream:1 - a b",
    "XADD stream:1 + a b",
    "XADD stream:1 *-* a b",
    "XADD stream:1 *-1 a b",
    "XADD stream:1 1-1-1 a b",
    "XLEN",
    "XLEN stream:1 x",
    "XRANGE stream:1",
    "XRANGE stream:1 -",
    "XRANGE stream:1 - + COUNT",
    "XRANGE stream:1 - + COUNT x",
    "XRANGE stream:1 - + COUNT 1 COUNT 2",
    "XRANGE stream:1 - + LIMIT 1",
    "XRANGE stream:1 (- +",
    "XRANGE stream:1 - (+",
    "XRANGE stream:1 (18446744073709551615-18446744073709551615 +",
    "XRANGE stream:1 - (0-0",
    "XREVRANGE stream:1 + (18446744073709551615-18446744073709551615",
    "XREVRANGE stream:1 (0-0 -",
    "XREVRANGE stream:1",
    "XDEL stream:1",
    "XDEL stream:1 x",
    "XDEL stream:1 1-1 *",
    "XTRIM",
    "XTRIM stream:1",
    "XTRIM stream:1 MAXLEN",
    "XTRIM stream:1 NONSENSE 5",
    "XTRIM stream:1 MAXLEN =",
    "XTRIM stream:1 MAXLEN 5 MINID 5",
    "XTRIM stream:1 MAXLEN 5 LIMIT 5",
    "XTRIM stream:1 MAXLEN 5 NOMKSTREAM",
    "XTRIM stream:1 MINID ~ 5 LIMIT",
    "XREAD",
    "XREAD STREAMS",
    "XREAD STREAMS stream:1",
    "XREAD STREAMS stream:1 stream:2 0",
    "XREAD COUNT x STREAMS stream:1 0",
    "XREAD COUNT STREAMS stream:1 0",
    "XREAD BLOCK x STREAMS stream:1 0",
    "XREAD BLOCK -1 STREAMS stream:1 0",
    "XREAD BLOCK 1.5 STREAMS stream:1 0",
    "XREAD stream:1 0",
    "XREAD STREAMS stream:1 >",
    "XREAD STREAMS stream:1 x",
    "XREAD GROUP g c STREAMS stream:1 0",
    "XREAD NOACK STREAMS stream:1 0",
    "XSETID stream:1",
    "XSETID stream:1 x",
    "XSETID stream:1 1-1 ENTRIESADDED",
    "XSETID stream:1 1-1 ENTRIESADDED -1",
    "XSETID stream:1 1-1 ENTRIESADDED x",
    "XSETID stream:1 1-1 MAXDELETEDID x",
    "XSETID stream:1 1-1 MAXDELETEDID 2-2",
    "XSETID stream:1 1-1 NONSENSE 2",
    "XSETID stream:9 1-1",
    "XINFO",
    "XINFO STREAM",
    "XINFO STREAM stream:9",
    "XINFO STREAM stream:1 HALF",
    "XINFO STREAM stream:1 FULL COUNT",
    "XINFO STREAM stream:1 FULL COUNT x",
    "XINFO STREAM stream:1 FULL LIMIT 1",
    "XINFO NONSENSE stream:1",
    "XINFO HELP",
];

/// Ids that no stream has, and words that are no ids.
const ODD_IDS: &[&str] = &[
    "0",
    "0-0",
    "0-1",
    "18446744073709551615",
    "18446744073709551615-18446744073709551615",
    "18446744073709551616-1",
    "1-18446744073709551615",
    "1-18446744073709551616",
    "",
    "x",
    "1-",
    "-1",
    "1-x",
    "1-2-3",
    "1.5",
    "+1-1",
    " 1-1",
    "*",
    "$",
    ">",
    "(1-1",
];

impl Random {
    /// The id of an entry that may be there.
    pub fn entry_id(&mut self) -> String {
        if self.one_in(25) {
            return self.pick(ODD_IDS).to_owned();
        }
        let ms = (self.top_ms - self.within(-2..25)).max(0);
        match self.below(6) {
            0 => ms.to_string(),
            1 => format!("{ms}-{}", self.within(0..4)),
            _ => format!("{ms}-1"),
        }
    }

    /// An id for a new entry, mostly above those that are there.
    fn new_id(&mut self) -> String {
        let odd = self.pick(ODD_IDS);
        // An id that the server chooses would differ between the servers, and behind the highest one none comes.
        if odd != "*" && !odd.starts_with("18446744073709551615") && self.one_in(40) {
            return odd.to_owned();
        }
        self.top_ms = (self.top_ms + self.within(-1..3)).max(1);
        let ms = self.top_ms;
        match self.below(12) {
            0 | 1 => format!("{ms}-*"),
            2 => ms.to_string(),
            3 => format!("{ms}-{}", self.within(0..4)),
            _ => format!("{ms}-1"),
        }
    }

    /// An end of a range of entries.
    pub fn range_end(&mut self) -> String {
        match self.below(8) {
            0 => "-".to_owned(),
            1 => "+".to_owned(),
            2 | 3 => format!("({}", self.entry_id()),
            _ => self.entry_id(),
        }
    }

    /// Options that trim exactly, or so little that every server trims the same.
    fn trimming(&mut self) -> Vec<String> {
        let mut words = Vec::new();
        if self.one_in(2) {
            words.push(self.any_case("maxlen"));
            words.extend(self.maybe_equals());
            words.push(match self.below(20) {
                0 => self.number(),
                _ => self.within(0..14).to_string(),
            });
        } else {
            words.push(self.any_case("minid"));
            words.extend(self.maybe_equals());
            words.push(self.entry_id());
        }
        if self.one_in(6) {
            // No stream here fills a node that is out of this range.
            let [what, threshold] = self.pick(&[["MAXLEN", "100000"], ["MINID", "0"]]);
            words = vec![what.to_owned(), "~".to_owned(), threshold.to_owned()];
            if self.one_in(2) {
                words.push(self.any_case("limit"));
                words.push(self.pick(&["0", "1", "100", "1000000"]).to_owned());
            }
        }
        words
    }

    fn maybe_equals(&mut self) -> Option<String> {
        self.one_in(3).then(|| "=".to_owned())
    }

    /// Fields with their values: often the same names.
    fn entry_fields(&mut self) -> Vec<Vec<u8>> {
        match self.below(6) {
            0 | 1 => vec![b"a".to_vec(), self.element()],
            2 | 3 => vec![b"a".to_vec(), self.element(), b"b".to_vec(), self.element()],
            _ => (0..=self.below(3))
                .flat_map(|_| [self.element(), self.element()])
                .collect(),
        }
    }
}

fn add(random: &mut Random, key: Vec<u8>) -> Call {
    let mut call = Call::new([random.any_case("xadd")]).arg(key);
    if random.one_in(12) {
        call = call.arg(random.any_case("nomkstream"));
    }
    if random.one_in(6) {
        call = call.args(random.trimming());
    }
    call.arg(random.new_id()).args(random.entry_fields())
}

fn range(random: &mut Random, key: Vec<u8>) -> Call {
    let call = Call::new([random.pick(&["XRANGE", "xrange", "XREVRANGE", "XRevRange"])]).arg(key);
    let call = if random.one_in(3) {
        let backwards = call.words[0].len() > "XRANGE".len();
        call.args(if backwards { ["+", "-"] } else { ["-", "+"] })
    } else {
        call.arg(random.range_end()).arg(random.range_end())
    };
    if random.one_in(3) {
        return call.arg(random.any_case("count")).arg(random.count());
    }
    call
}

fn read(random: &mut Random) -> Call {
    let keys = random.keys_of("stream", 3);
    let mut call = Call::new([random.any_case("xread")]);
    if random.one_in(2) {
        call = call.arg(random.any_case("count")).arg(random.count());
    }
    if random.one_in(4) {
        let timeout = random.pick(&["1", "2", "3"]);
        call = call.arg(random.any_case("block")).arg(timeout);
    }
    call = call.arg(random.any_case("streams")).args(&keys);
    for _ in &keys {
        call = call.arg(match random.below(6) {
            0 => "0".to_owned(),
            1 => "$".to_owned(),
            _ => random.entry_id(),
        });
    }
    call
}

fn info(random: &mut Random, key: Vec<u8>) -> Call {
    let call = Call::new([random.any_case("xinfo"), random.any_case("stream")]).arg(key);
    let call = match random.below(4) {
        0 => call.arg(random.any_case("full")),
        1 => call
            .arg(random.any_case("full"))
            .arg(random.any_case("count"))
            .arg(random.within(-1..4).to_string()),
        _ => call,
    };
    call.compare(Compare::Times)
}

fn set_id(random: &mut Random, key: Vec<u8>) -> Call {
    // Above every id that was deleted: 7.0 takes a lower one, 7.2 does not.
    random.top_ms += 1;
    let seq = random.within(0..4);
    let id = format!("{}-{seq}", random.top_ms);
    let mut call = Call::new([random.any_case("xsetid")]).arg(key).arg(id);
    if random.one_in(2) {
        call = call
            .arg(random.any_case("entriesadded"))
            .arg(random.within(0..60).to_string());
    }
    if random.one_in(3) {
        call = call
            .arg(random.any_case("maxdeletedid"))
            .arg(random.entry_id());
    }
    call
}

/// Commands for keys of every type.
fn of_any_type(random: &mut Random, key: Vec<u8>) -> Call {
    let to = random.own_key("stream");
    match random.below(8) {
        0 | 1 => Call::new(["TYPE"]).arg(key),
        2 => Call::new(["EXISTS"]).arg(key),
        3 => Call::new(["RENAME"]).arg(key).arg(to),
        4 | 5 => Call::new(["COPY"])
            .arg(key)
            .arg(to)
            .args(random.maybe(2, "replace")),
        6 => Call::new(["GET"]).arg(key),
        _ => Call::new(["LPUSH"]).arg(random.own_key("stream")).arg("x"),
    }
}

/// Calls of this family or of the groups that other commands may carry: their replies hold no times.
fn plain(random: &mut Random) -> Vec<Call> {
    let key = random.key_of("stream");
    match random.below(6) {
        0 | 1 => vec![add(random, key)],
        2 => vec![range(random, key)],
        3 => vec![read(random)],
        4 => vec![Call::new(["XDEL"]).arg(key).arg(random.entry_id())],
        _ => groups::plain(random),
    }
}

fn transaction(random: &mut Random) -> Call {
    let calls = (0..=random.below(4)).flat_map(|_| plain(random)).collect();
    random.transaction(calls)
}

/// A script that calls what its arguments say.
fn script(random: &mut Random) -> Call {
    let script = random.pick(&[
        "return redis.call(unpack(ARGV))",
        "return redis.pcall(unpack(ARGV))",
        "redis.setresp(3) return redis.pcall(unpack(ARGV))",
        "local reply = redis.pcall(unpack(ARGV)) return {type(reply), reply}",
        "redis.call('xadd', KEYS[1], 'nomkstream', '99999999-*', 'a', 'b') return redis.pcall(unpack(ARGV))",
    ]);
    let inner = plain(random).into_iter().map(|inner| {
        let key = format!("other:{}", random.within(1..3));
        Call::new(["EVAL", script, "1", &key]).args(inner.words)
    });
    let mut inner: Vec<Call> = inner.collect();
    let first = inner.remove(0);
    random.then(inner);
    first
}

/// Ids that the server chooses: in one transaction, on a key that is removed at its end.
fn automatic(random: &mut Random) -> Call {
    let name = random.any_case("xadd");
    let trim: &[&str] = random.pick(&[&[][..], &["MAXLEN", "2"], &["MINID", "5"]]);
    let add = Call::new([name.as_str(), "automatic"])
        .args(trim)
        .args(["*", "a", "b"]);
    let last = "18446744073709551615-18446744073709551615";
    let start = random.transaction(vec![
        add.clone(),
        Call::line("XADD automatic 1-1 a b"),
        add,
        Call::line("XLEN automatic"),
        Call::line("XRANGE automatic - +"),
        Call::line("XREAD STREAMS automatic $"),
        Call::line("XADD automatic 18446744073709551615-* a b"),
        Call::line(&format!("XADD automatic {last} a b")),
        Call::line("XADD automatic * a b"),
        Call::line("XADD automatic 18446744073709551615-* a b"),
        Call::line("XREVRANGE automatic + - COUNT 1"),
        Call::line(&format!("XREAD STREAMS automatic {last}")),
        Call::line("OBJECT ENCODING automatic"),
        Call::line("DEL automatic"),
    ]);
    random.last_call().compare = Compare::EntryIds;
    start
}

/// Trimming that stops at nodes: on a key that a script makes and removes. A server may keep some entries more than it must.
fn approximate(random: &mut Random) -> Call {
    let entries = random.pick(&["20", "101", "150", "250"]);
    let trim = random.pick(&[
        "MAXLEN ~ 20",
        "MINID ~ 140",
        "MAXLEN ~ 20 LIMIT 100",
        "MAXLEN ~ 0 LIMIT 0",
        "MINID ~ 1000",
    ]);
    Call::new(["EVAL", APPROXIMATE, "1", "long", entries])
        .args(trim.split(' '))
        .compare(Compare::Within(NODE_ENTRIES))
}

/// Returns how many entries a trim removes; fails if it removes others than the oldest ones.
const APPROXIMATE: &str = "\
    local key, entries = KEYS[1], tonumber(ARGV[1]) \
    for ms = 1, entries do redis.call('xadd', key, ms .. '-1', 'a', 'b') end \
    local removed = redis.call('xtrim', key, unpack(ARGV, 2)) \
    local rest = redis.call('xrange', key, '-', '+') \
    assert(#rest == entries - removed and redis.call('xlen', key) == #rest) \
    assert(#rest == 0 or rest[1][1] == (removed + 1) .. '-1') \
    redis.call('del', key) \
    return removed";

/// How many entries a node of a real server has.
const NODE_ENTRIES: i64 = 100;

fn restore(random: &mut Random) -> Call {
    Call::new([random.any_case("restore")])
        .arg(random.own_key("stream"))
        .arg("0")
        .arg(random.own_key("stream"))
        .arg("REPLACE")
        .compare(Compare::Restore)
}
