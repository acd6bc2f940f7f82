//! No user sees past the rules. Every command of the table runs with many words, as users that may read nothing, and no
//! byte of a secret value comes back: in no reply, no message, no line of MONITOR, no entry of a log.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use common::{Options, RawClient, Server, TestResult, Value, encode};

/// Stands in every secret value, and in fields and members.
const SECRET: &str = "T0PSECRET";
/// The score of every secret member.
const SCORE: &str = "918273645";
/// Stands in the name of a key that no call of a user names.
const NAME: &str = "h1dden";

/// The keys with secrets, one of each type; users name them.
const SECRET_KEYS: [&str; 7] = [
    "secret:string",
    "secret:hash",
    "secret:list",
    "secret:set",
    "secret:zset",
    "secret:geo",
    "secret:hll",
];

/// Users with all commands. None of them may read a secret key.
const USERS: [(&str, &str); 3] = [
    ("nobody", "resetkeys allchannels"),
    ("writer", "resetkeys %W~* resetchannels"),
    // It may ask for the type of every key, and that selector must not open the others.
    (
        "owner",
        "resetkeys ~mine:* resetchannels (+type +exists ~*)",
    ),
];

/// Commands that show names of keys whatever a user's patterns are, as in Redis.
const NAMES_ARE_SHOWN: [&str; 3] = ["keys", "scan", "randomkey"];

/// Words of which calls are made, beside the secret keys.
const WORDS: &[&str] = &[
    "0",
    "1",
    "-1",
    "2",
    "100",
    "*",
    "secret:*",
    "s*",
    "+",
    "-",
    "(1",
    "-inf",
    "+inf",
    "#",
    "nosort",
    "mine:list",
    "mine:string",
    "mine:set",
    "mine:new",
    "LIMIT",
    "GET",
    "BY",
    "STORE",
    "ALPHA",
    "WITHSCORES",
    "WITHVALUES",
    "MATCH",
    "COUNT",
    "TYPE",
    "string",
    "LEFT",
    "RIGHT",
    "MIN",
    "MAX",
    "KEYS",
    "IDX",
    "NX",
    "XX",
    "EX",
    "REPLACE",
    "BCAST",
    "ON",
    "OFF",
    "PREFIX",
    "u8",
    "AND",
    "OR",
    "FROMMEMBER",
    "FROMLONLAT",
    "BYRADIUS",
    "ASC",
    "WITHDIST",
    "m",
    "REV",
    "BYSCORE",
    "BYLEX",
    "DB",
    "command",
    "event",
    "default",
    "SAMPLES",
    "FIELDS",
    "NO",
    "YES",
    "field",
    "spy",
];

/// Calls that were chosen by hand, beside those that are made.
const CHOSEN: &[(&str, &str)] = &[
    ("sort", "SORT mine:list BY nosort GET secret:*"),
    ("sort", "SORT mine:list BY secret:* ALPHA"),
    (
        "sort",
        "SORT mine:list BY nosort GET secret:* STORE mine:new",
    ),
    ("sort", "SORT mine:list BY nosort GET secret:hash->field"),
    ("sort_ro", "SORT_RO mine:list BY nosort GET secret:*"),
    ("copy", "COPY secret:string mine:new"),
    ("rename", "RENAME secret:string mine:new"),
    ("move", "MOVE secret:string 1"),
    ("set", "SET secret:string x GET"),
    ("bitop", "BITOP OR mine:new secret:string"),
    ("bitfield", "BITFIELD secret:string GET u8 0 SET u8 0 1"),
    ("sunionstore", "SUNIONSTORE mine:new secret:set mine:set"),
    ("zunionstore", "ZUNIONSTORE mine:new 1 secret:zset"),
    ("zrangestore", "ZRANGESTORE mine:new secret:zset 0 -1"),
    (
        "geosearchstore",
        "GEOSEARCHSTORE mine:new secret:geo FROMLONLAT 1 1 BYRADIUS 99999 km",
    ),
    (
        "georadius",
        "GEORADIUS secret:geo 1 1 99999 km STORE mine:new",
    ),
    ("lmove", "LMOVE secret:list mine:new LEFT LEFT"),
    ("smove", "SMOVE secret:set mine:set field"),
    ("pfmerge", "PFMERGE mine:new secret:hll"),
    ("lcs", "LCS secret:string mine:string IDX WITHMATCHLEN"),
    ("client|tracking", "CLIENT TRACKING ON BCAST"),
    ("slowlog|get", "SLOWLOG GET 128"),
    ("acl|log", "ACL LOG 100"),
    ("acl|dryrun", "ACL DRYRUN nobody GET secret:string"),
    ("memory|usage", "MEMORY USAGE secret:string"),
    ("object|encoding", "OBJECT ENCODING secret:string"),
    ("command|getkeys", "COMMAND GETKEYS GET secret:string"),
    ("info", "INFO everything"),
    ("latency|doctor", "LATENCY DOCTOR"),
    ("debug", "DEBUG OBJECT secret:string"),
    ("debug", "DEBUG SLEEP 0"),
    ("client|pause", "CLIENT PAUSE 1"),
    ("client|kill", "CLIENT KILL ID 999999"),
];

/// Commands that run with the chosen words alone: others would have the server sleep, or end clients that listen.
const CHOSEN_ALONE: [&str; 3] = ["debug", "client|pause", "client|kill"];

/// Every so many calls of a command run in a transaction too; which of them differs from command to command.
const EXEC_STEP: usize = 4;

/// How many calls of words drawn at random each command gets.
const DRAWN: usize = 20;

type Call = Vec<Vec<u8>>;

fn words(line: &str) -> Call {
    line.split(' ')
        .map(|word| word.as_bytes().to_vec())
        .collect()
}

/// A command as COMMAND tells of it.
struct Known {
    /// `get`, `client|list`.
    name: String,
    /// The least number of words.
    words: usize,
}

/// All commands and subcommands.
fn table(client: &mut RawClient) -> TestResult<Vec<Known>> {
    fn add(entry: &Value, all: &mut Vec<Known>) -> TestResult {
        let fields = entry.items().ok_or("an entry is an array")?;
        let name = fields[0].text().ok_or("a name")?;
        let arity = fields[1].integer().ok_or("an arity")?;
        all.push(Known {
            name,
            words: usize::try_from(arity.abs())?,
        });
        for sub in fields.get(9).and_then(Value::items).unwrap_or_default() {
            add(sub, all)?;
        }
        Ok(())
    }
    let mut all = Vec::new();
    let reply = client.line("COMMAND")?;
    for entry in reply.items().ok_or("an array")? {
        add(entry, &mut all)?;
    }
    Ok(all)
}

/// Numbers that look random and are the same in every run.
struct Draws(u64);

impl Draws {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap_or(0) % end
    }
}

/// The calls of a command.
fn calls(command: &Known, draws: &mut Draws) -> Vec<Call> {
    let chosen = CHOSEN.iter().filter(|(name, _)| *name == command.name);
    let mut calls: Vec<Call> = chosen.map(|(_, line)| words(line)).collect();
    if CHOSEN_ALONE.contains(&command.name.as_str()) {
        return calls;
    }
    let name = words(&command.name.replace('|', " "));
    let least = command.words.saturating_sub(name.len());
    let mut add = |rest: Vec<&str>| {
        let rest = rest.into_iter().map(|word| word.as_bytes().to_vec());
        calls.push(name.iter().cloned().chain(rest).collect());
    };
    add(vec![]);
    for word in SECRET_KEYS.iter().chain(&["*", "0", "1"]) {
        add(vec![*word; least]);
    }
    for key in SECRET_KEYS {
        for rest in [
            "",
            "0",
            "0 -1",
            "0 100",
            "-inf +inf WITHSCORES",
            "- +",
            "field",
            "1 1 99999 km",
            "mine:new",
            "mine:new 1",
        ] {
            let rest = rest.split(' ').filter(|word| !word.is_empty());
            add(std::iter::once(key).chain(rest).collect());
        }
        add(vec!["1", key, "LEFT"]);
        add(vec!["1", key, "MIN"]);
        add(vec!["mine:new", key]);
        add(vec!["mine:new", "1", key]);
        add(vec!["0", "1", key]);
    }
    for _ in 0..DRAWN {
        let count = least + draws.below(6);
        let mut word = || match draws.below(SECRET_KEYS.len() + WORDS.len()) {
            place if place < SECRET_KEYS.len() => SECRET_KEYS[place],
            place => WORDS[place - SECRET_KEYS.len()],
        };
        add((0..count).map(|_| word()).collect());
    }
    calls
}

/// What the server keeps while the users try. Written anew again and again: some calls remove it.
fn seeds() -> Vec<Call> {
    let mut seeds = Vec::new();
    for db in ["1", "0"] {
        seeds.push(words(&format!("SELECT {db}")));
        seeds.push(words(&format!("DEL {}", SECRET_KEYS.join(" "))));
        for line in [
            format!("SET secret:string {SECRET}"),
            format!("SET {NAME}:string {SECRET}"),
            format!("HSET secret:hash field {SECRET} {SECRET} 1"),
            format!("RPUSH secret:list {SECRET} {SECRET}"),
            format!("SADD secret:set {SECRET}"),
            format!("ZADD secret:zset {SCORE} {SECRET}"),
            format!("GEOADD secret:geo 1 1 {SECRET}"),
            format!("PFADD secret:hll {SECRET}"),
            "DEL mine:list mine:set mine:string mine:new".to_owned(),
            "RPUSH mine:list string hash list".to_owned(),
            "SADD mine:set field".to_owned(),
            "SET mine:string field".to_owned(),
        ] {
            seeds.push(words(&line));
        }
    }
    seeds
}

/// A socket that is a user's, in a protocol.
fn enter(port: u16, user: &str, resp3: bool) -> TestResult<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let hello = if resp3 { "HELLO 3 AUTH" } else { "AUTH" };
    let mut bytes = Vec::new();
    encode(&mut bytes, &words(&format!("{hello} {user} p")));
    stream.write_all(&bytes)?;
    Ok(stream)
}

/// Sends calls, and returns all that comes back until the server has nothing more to say.
fn answers(port: u16, user: &str, resp3: bool, calls: &[Call]) -> TestResult<Vec<u8>> {
    let mut stream = enter(port, user, resp3)?;
    let mut bytes = Vec::new();
    for call in calls {
        encode(&mut bytes, call);
    }
    // The server may close before it has read all.
    let _ = stream.write_all(&bytes);
    let _ = stream.shutdown(Shutdown::Write);
    let mut answers = Vec::new();
    let _ = stream.read_to_end(&mut answers);
    Ok(answers)
}

/// Where `needle` stands in `bytes`, with what is around it.
fn found(bytes: &[u8], needle: &str) -> Option<String> {
    let at = memchr::memmem::find(bytes, needle.as_bytes())?;
    let part = &bytes[at.saturating_sub(120)..bytes.len().min(at + 40)];
    Some(part.escape_ascii().to_string())
}

/// A user that listens to all that it may: MONITOR, or messages.
fn listen(port: u16, user: &str, calls: &str) -> TestResult<JoinHandle<Vec<u8>>> {
    let mut stream = enter(port, user, true)?;
    let mut bytes = Vec::new();
    for call in calls.split(" ; ") {
        encode(&mut bytes, &words(call));
    }
    stream.write_all(&bytes)?;
    Ok(thread::spawn(move || {
        let mut heard = Vec::new();
        let _ = stream.read_to_end(&mut heard);
        heard
    }))
}

fn server() -> TestResult<(Server, RawClient)> {
    let options = Options::new("cmap")
        .directive("enable-debug-command", "yes")
        .directive("slowlog-log-slower-than", "0")
        .directive("latency-monitor-threshold", "1")
        .directive("notify-keyspace-events", "KEA")
        .directive("requirepass", "admin");
    let server = Server::start_with(options)?;
    let mut admin = server.raw()?;
    assert_eq!(admin.line("AUTH admin")?, Value::Simple(b"OK".to_vec()));
    for (user, rules) in USERS {
        let reply = admin.line(&format!("ACL SETUSER {user} on >p +@all {rules}"))?;
        assert_eq!(reply, Value::Simple(b"OK".to_vec()), "{user}");
    }
    Ok((server, admin))
}

fn seed(admin: &mut RawClient) -> TestResult {
    let mut bytes = Vec::new();
    let seeds = seeds();
    for call in &seeds {
        encode(&mut bytes, call);
    }
    admin.send_bytes(&bytes)?;
    for call in &seeds {
        let reply = admin.read()?;
        assert!(!reply.is_error(), "{call:?}: {reply:?}");
    }
    Ok(())
}

/// Secrets that a call has moved to where the owner may read them.
fn moved(admin: &mut RawClient, what: &str) -> TestResult<Vec<String>> {
    let mut moved = Vec::new();
    let keys = admin.line("KEYS mine:*")?;
    for key in keys.items().unwrap_or_default() {
        let dump = admin.call(&[b"DUMP", key.bytes().unwrap_or_default()])?;
        let dump = dump.bytes().unwrap_or_default();
        for needle in [SECRET, SCORE] {
            moved.extend(found(dump, needle).map(|at| format!("{what}: into {key:?}: {at}")));
        }
    }
    Ok(moved)
}

/// Runs every command as a user.
fn try_everything(user: &'static str) -> TestResult {
    let (mut server, mut admin) = server()?;
    let port = server.port();
    seed(&mut admin)?;
    let messages = "CLIENT TRACKING ON BCAST ; PSUBSCRIBE *";
    let listeners = [
        ("MONITOR", listen(port, user, "MONITOR")?),
        ("messages", listen(port, user, messages)?),
    ];
    let table = table(&mut admin)?;
    let mut run = BTreeSet::new();
    let mut leaks = Vec::new();
    let mut draws = Draws(88_172_645_463_325_252);
    for command in table.iter().filter(|command| command.name != "shutdown") {
        let calls = calls(command, &mut draws);
        let in_transactions: Vec<Call> = calls
            .iter()
            .skip(run.len() % EXEC_STEP)
            .step_by(EXEC_STEP)
            .flat_map(|call| [words("MULTI"), call.clone(), words("EXEC")])
            .collect();
        for (way, resp3, calls) in [("alone", false, &calls), ("EXEC", true, &in_transactions)] {
            seed(&mut admin)?;
            let answers = answers(port, user, resp3, calls)?;
            let what = format!("{}, {way}", command.name);
            let entered = answers.starts_with(b"+OK") || answers.starts_with(b"%");
            assert!(entered, "{what}: {}", answers.escape_ascii());
            let names = NAMES_ARE_SHOWN.contains(&command.name.as_str())
                // Names are told to those that may do anything with a key, as EXISTS tells them.
                || (user == "writer" && command.name.starts_with("pmemkv.keys"));
            for needle in [SECRET, SCORE, NAME] {
                if needle != NAME || !names {
                    leaks.extend(found(&answers, needle).map(|at| format!("{what}: {at}")));
                }
            }
            // A replica would refuse the next seeds.
            admin.line("REPLICAOF NO ONE")?;
            leaks.extend(moved(&mut admin, &what)?);
        }
        run.insert(command.name.clone());
    }
    // The secrets were there to be found all the time.
    seed(&mut admin)?;
    for call in ["PMEMKV.GETALL", "SLOWLOG GET 128"] {
        let shown = format!("{:?}", admin.line(call)?);
        assert!(shown.contains(SECRET), "{call}: {shown}");
    }
    let end = [
        words("SHUTDOWN x"),
        words("SHUTDOWN ABORT"),
        words("SHUTDOWN"),
    ];
    let answers = answers(port, user, false, &end)?;
    assert_eq!(found(&answers, SECRET), None);
    run.insert("shutdown".into());
    assert_eq!(run.len(), table.len(), "every command ran");
    assert!(run.len() > 200, "{}", run.len());
    server.wait_for_exit()?;
    for (what, listener) in listeners {
        let heard = listener.join().map_err(|_| "a listener panicked")?;
        assert!(heard.len() > 300, "{what}: heard {} bytes", heard.len());
        for needle in [SECRET, SCORE] {
            leaks.extend(found(&heard, needle).map(|at| format!("{what}: {at}")));
        }
    }
    assert!(
        leaks.is_empty(),
        "{} leaks:\n{}",
        leaks.len(),
        leaks.join("\n")
    );
    Ok(())
}

#[test]
fn no_command_shows_a_secret_to_a_user_without_keys() -> TestResult {
    try_everything("nobody")
}

#[test]
fn no_command_shows_a_secret_to_a_user_that_may_only_write() -> TestResult {
    try_everything("writer")
}

#[test]
fn no_command_shows_a_secret_to_a_user_with_keys_of_its_own() -> TestResult {
    try_everything("owner")
}
