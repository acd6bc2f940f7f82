//! What a run of a script costs, in time of the processor: `cargo run --release -p pmemkv-lua --example cost [words of a name]`
#![allow(clippy::print_stdout)]

use pmemkv_lua::{
    Args, Host, Interpreter, Kind, Limits, LoadError, LogLevel, Protocol, ReplyBuffer, Run,
};

/// A server that does nothing but count.
struct Counter(i64);

impl Host for Counter {
    fn call(&mut self, args: Args<'_>, reply: &mut ReplyBuffer) {
        self.0 += 1;
        match &args[0] {
            b"get" => reply.bulk(b"a value of some length"),
            b"lrange" => {
                reply.array_header(100);
                for _ in 0..100 {
                    reply.bulk(b"an element");
                }
            }
            _ => reply.integer(self.0),
        }
    }

    fn may_call(&mut self, _: Args<'_>) -> Option<bool> {
        Some(true)
    }

    fn log(&mut self, _: LogLevel, _: &[u8]) {}
}

const SCRIPTS: [(&str, &str); 9] = [
    ("return 1", "return 1"),
    ("a call", "return redis.call('incr', KEYS[1])"),
    (
        "a call that gets a string",
        "return redis.call('get', KEYS[1])",
    ),
    (
        "20 calls",
        "local n for i = 1, 20 do n = redis.call('incr', KEYS[1]) end return n",
    ),
    ("a failed call", "return redis.pcall('incr', {})"),
    (
        "a reply of 100 elements",
        "return #redis.call('lrange', KEYS[1], 0, -1)",
    ),
    (
        "a result of 100 elements",
        "local t = {} for i = 1, 100 do t[i] = i end return t",
    ),
    (
        "cjson, 10 numbers",
        "return #cjson.encode(cjson.decode('[1,2,3,4,5,6,7,8,9,10]'))",
    ),
    (
        "a loop of 1000",
        "local n = 0 for i = 1, 1000 do n = n + i end return n",
    ),
];

/// How long this thread has run on a processor, in nanoseconds. Other processes do not disturb it as they do a clock.
fn thread_time() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ')
        .next()
        .and_then(|time| time.parse().ok())
        .unwrap_or(0.0)
}

fn main() -> Result<(), LoadError> {
    let wanted = std::env::args().nth(1).unwrap_or_default();
    let mut interpreter = Interpreter::new(Kind::Eval, "7.2.4", Limits::default())?;
    let mut host = Counter(0);
    for (name, text) in SCRIPTS.iter().filter(|(name, _)| name.contains(&wanted)) {
        let function = interpreter.compile(text.as_bytes())?;
        let mut out = ReplyBuffer::new(Protocol::Resp2);
        let mut best = f64::INFINITY;
        for _ in 0..5 {
            let start = thread_time();
            for _ in 0..20_000 {
                let run = Run {
                    function,
                    name: b"name",
                    keys: [&b"key:000000000042"[..]].into_iter(),
                    args: [&b"1"[..], b"2"].into_iter(),
                };
                interpreter.run(run, &mut host, &mut out);
                out.clear(4096);
            }
            best = best.min((thread_time() - start) / 20_000.0);
        }
        println!("{name:30} {best:8.0} ns");
    }
    Ok(())
}
