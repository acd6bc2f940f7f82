//! Scripts under `kill -9`: what a script wrote is there as a whole or not at all, also of a script that failed half-way.
//!
//! Each script adds its number to keys of five types, which it does not declare, and some fail after a part of them.

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::{CONNECTIONS, MORE_ROUNDS, ROUND_MS, START_MS, seed_and_rounds};
use common::{Options, RawClient, Server, TestResult, encode};

/// Adds ARGV[2] to keys that begin with ARGV[1], and fails after ARGV[3] of them.
const SCRIPT: &str = "
local prefix, number, last = ARGV[1], ARGV[2], tonumber(ARGV[3])
local steps = {
  function() redis.call('append', prefix .. ':string', number .. ',') end,
  function() redis.call('hset', prefix .. ':hash', number, number) end,
  function() redis.call('rpush', prefix .. ':list', number) end,
  function() redis.call('sadd', prefix .. ':set', number) end,
  function() redis.call('zadd', prefix .. ':zset', number, number) end,
}
redis.call('set', prefix .. ':middle', number)
for step = 1, #steps do
  if step > last then error('half-way') end
  steps[step]()
end
redis.call('del', prefix .. ':middle')
return number";

const STEPS: usize = 5;
const PIPELINE_MAX: usize = 8;

#[test]
fn crash_in_scripts() -> TestResult {
    kill_and_check("cmap", 8)
}

#[test]
fn crash_in_scripts_in_pairs() -> TestResult {
    kill_and_check("cmap/pairs", 6)
}

#[test]
fn crash_in_scripts_on_stree() -> TestResult {
    kill_and_check("stree", 3)
}

/// What one connection sent: of each script, after how many steps it fails.
#[derive(Debug)]
struct Sent {
    prefix: String,
    lasts: Vec<usize>,
    /// How many of them were answered.
    answered: usize,
}

fn kill_and_check(engine: &str, rounds: usize) -> TestResult {
    let (seed, rounds) = seed_and_rounds(rounds)?;
    let mut rng = StdRng::seed_from_u64(seed);
    let options = Options::new(engine)
        .pool_size("1gb")
        .directive("worker-threads", "3");
    let mut server = Server::start_with(options)?;
    let mut answered = 0;
    for round in 0.. {
        // On a loaded machine a round may end before anything is answered: then more follow.
        if round >= rounds && answered > 0 || round >= rounds + MORE_ROUNDS {
            break;
        }
        let port = server.port();
        let writers: Vec<_> = (0..CONNECTIONS)
            .map(|number| {
                let rng = StdRng::seed_from_u64(rng.random());
                thread::spawn(move || write(port, format!("{round}:{number}"), rng))
            })
            .collect();
        thread::sleep(Duration::from_millis(rng.random_range(ROUND_MS)));
        server.kill_9()?;
        let all: Vec<Sent> = writers
            .into_iter()
            .map(|writer| writer.join().expect("the writer does not panic"))
            .collect::<Result<_, _>>()?;
        while rng.random_bool(0.4) {
            server.resume_and_kill(Duration::from_millis(rng.random_range(START_MS)))?;
        }
        server.resume()?;
        let mut client = server.raw()?;
        for sent in all {
            answered += sent.answered;
            sent.check(&mut client)
                .map_err(|error| format!("{engine}: PMEMKV_SEED={seed}, round {round}: {error}"))?;
        }
    }
    assert!(answered > 0, "no script was answered");
    server.terminate()
}

/// Sends scripts until the server is gone.
fn write(port: u16, prefix: String, mut rng: StdRng) -> Result<Sent, String> {
    let mut sent = Sent {
        prefix,
        lasts: Vec::new(),
        answered: 0,
    };
    let Ok(mut client) = RawClient::connect(port) else {
        return Ok(sent);
    };
    loop {
        let mut bytes = Vec::new();
        let count = rng.random_range(1..=PIPELINE_MAX);
        for _ in 0..count {
            let number = sent.lasts.len().to_string();
            let last = if rng.random_bool(0.3) {
                rng.random_range(0..STEPS)
            } else {
                STEPS
            };
            let last_word = last.to_string();
            let call = ["EVAL", SCRIPT, "0", &sent.prefix, &number, &last_word];
            // Inside EXEC a script is a part of a larger step.
            if rng.random_bool(0.1) {
                encode(&mut bytes, &["MULTI"]);
                encode(&mut bytes, &call);
                encode(&mut bytes, &["EXEC"]);
            } else {
                encode(&mut bytes, &["PING"]);
                encode(&mut bytes, &["PING"]);
                encode(&mut bytes, &call);
            }
            sent.lasts.push(last);
        }
        if client.send_bytes(&bytes).is_err() {
            return Ok(sent);
        }
        for _ in 0..count {
            for reply in 0..3 {
                let Ok(got) = client.read() else {
                    return Ok(sent);
                };
                if reply == 2 {
                    let text = common::show(&got);
                    let number = sent.answered;
                    let fits = if sent.lasts[number] < STEPS {
                        text.contains("half-way")
                    } else {
                        !text.contains("-ERR")
                    };
                    if !fits {
                        return Err(format!("script {number} of {}: {text}", sent.prefix));
                    }
                    sent.answered += 1;
                }
            }
        }
    }
}

impl Sent {
    /// Every answered script did all of its steps; of the others the first few did, and the rest none.
    fn check(&self, client: &mut RawClient) -> Result<(), String> {
        let found = self.read(client).map_err(|error| error.to_string())?;
        let mut ran = true;
        for (number, &last) in self.lasts.iter().enumerate() {
            let steps: Vec<bool> = found.iter().map(|step| step.contains(&number)).collect();
            let expected: Vec<bool> = (0..STEPS).map(|step| step < last).collect();
            if number >= self.answered && last > 0 {
                let none = steps.iter().all(|&step| !step);
                if ran && none {
                    ran = false;
                }
                if !ran && none {
                    continue;
                }
            }
            if steps != expected || (!ran && last > 0) {
                return Err(format!(
                    "{}: script {number} of {} ({} answered), which fails after {last} steps, did {steps:?}",
                    self.prefix,
                    self.lasts.len(),
                    self.answered
                ));
            }
        }
        Ok(())
    }

    /// The numbers in each key.
    fn read(&self, client: &mut RawClient) -> TestResult<Vec<BTreeSet<usize>>> {
        let calls = [
            "GET {}:string",
            "HKEYS {}:hash",
            "LRANGE {}:list 0 -1",
            "SMEMBERS {}:set",
            "ZRANGE {}:zset 0 -1",
        ];
        calls
            .iter()
            .map(|call| {
                let reply = client.line(&call.replace("{}", &self.prefix))?;
                if reply.is_error() {
                    return Err(format!("{call} of {}: {reply:?}", self.prefix).into());
                }
                let texts: Vec<String> = match (reply.items(), reply.text()) {
                    (Some(items), _) => items.iter().filter_map(common::Value::text).collect(),
                    (None, Some(text)) => text.split(',').map(str::to_owned).collect(),
                    (None, None) => Vec::new(),
                };
                let numbers = texts.iter().filter(|text| !text.is_empty());
                Ok(numbers.map(|text| text.parse()).collect::<Result<_, _>>()?)
            })
            .collect()
    }
}
