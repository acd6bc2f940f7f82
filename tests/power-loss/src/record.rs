//! Running a scenario on a server whose stores are logged.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use common::{Options, RawClient, Server, TestResult, encode};

use crate::contents::{Contents, Name};
use crate::scenario::{Action, Rule, Scenario, Unit};
use crate::states::Grain;
use crate::trace::{Notes, Trace};

/// The preloaded library.
pub const SHIM: &str = env!("POWER_LOSS_SHIM");
const LOG: &str = "stores.log";
const SHADOW: &str = "shadow";
/// What [`Server`] calls its pool.
const POOL: &str = "test.pool";

/// Words that change which key a name stands for, or what no key names, so that everything is read again.
const RENAMING: [&str; 7] = [
    "SELECT", "FLUSHDB", "FLUSHALL", "SWAPDB", "MOVE", "DB", "FUNCTION",
];

/// What was recorded.
pub struct Recording {
    /// The pool as it was when the recording began; nothing where it was made while it ran.
    pub base: Vec<u8>,
    /// What happened then.
    pub trace: Trace,
    /// What the pool may hold: before the first unit, and after each.
    pub states: Vec<Contents>,
    /// By which rule.
    pub rule: Rule,
    /// What is kept or lost together.
    pub grain: Grain,
    /// Whether only what was synced must be there.
    pub every_second: bool,
}

/// The environment in which a process logs what it stores to a pool.
pub fn environment(pool: &Path, log: &Path, shadow: &Path) -> Vec<(&'static str, PathBuf)> {
    vec![
        ("LD_PRELOAD", SHIM.into()),
        ("POWER_LOSS_POOL", pool.to_owned()),
        ("POWER_LOSS_LOG", log.to_owned()),
        ("POWER_LOSS_SHADOW", shadow.to_owned()),
    ]
}

/// Runs a scenario.
pub fn record(scenario: &Scenario) -> TestResult<Recording> {
    let plain = options(scenario);
    let states = match scenario.rule {
        Rule::Whole => Some(expected(scenario, plain.clone())?),
        Rule::EachKey => None,
    };
    // In the server's own folder, which is also its working directory.
    let relative = environment(Path::new(POOL), Path::new(LOG), Path::new(SHADOW));
    let watched = relative
        .into_iter()
        .fold(plain.clone(), |options, (name, value)| {
            options.environment(name, value.as_os_str())
        });
    let watched = scenario
        .dropped_fences
        .into_iter()
        .fold(watched, |options, every| {
            options.environment("POWER_LOSS_DROPPED", OsStr::new(every))
        });
    let mut server;
    let mut base = Vec::new();
    if scenario.makes_pool {
        server = Server::start_with(watched)?;
    } else {
        server = Server::start_with(plain)?;
        prepare(scenario, &mut server)?;
        server.terminate()?;
        base = std::fs::read(server.pool_path())?;
        std::fs::copy(server.pool_path(), server.dir().join(SHADOW))?;
        server.set_options(watched);
        server.resume()?;
    }
    let log = server.dir().join(LOG);
    let mut notes = Notes::open(&log)?;
    let states = match states {
        Some(states) => {
            run(scenario, &mut server, &mut notes)?;
            let last = Contents::of_server(&mut server.raw()?)?.lasting(store::now_ms());
            let expected = states.last().cloned().unwrap_or_default();
            if let Some(difference) = expected.lasting(store::now_ms()).difference(&last) {
                return Err(
                    format!("two servers differ after the same calls: {difference}").into(),
                );
            }
            states
        }
        None => run_and_read(scenario, &mut server, &mut notes)?,
    };
    server.kill_9()?;
    Ok(Recording {
        base,
        trace: Trace::read(&log)?,
        states,
        rule: scenario.rule,
        every_second: scenario.every_second,
        grain: if scenario.on_disk.is_some() {
            Grain::Page
        } else {
            Grain::Line
        },
    })
}

fn options(scenario: &Scenario) -> Options {
    let options = Options::new(scenario.store).pool_size(scenario.pool_size);
    let directives = scenario.directives.iter();
    let options = directives.fold(options, |options, (name, value)| {
        options.directive(name, value)
    });
    match scenario.on_disk {
        Some(durability) => options.on_disk(durability),
        None => options,
    }
}

fn prepare(scenario: &Scenario, server: &mut Server) -> TestResult {
    let mut client = server.raw()?;
    for unit in &scenario.before {
        send(&mut client, std::slice::from_ref(unit))?;
    }
    Ok(())
}

/// Sends units at once, and reads their replies; an error is one of the scenario's own.
fn send(client: &mut RawClient, units: &[Unit]) -> TestResult {
    let calls: Vec<&[Vec<u8>]> = units.iter().flat_map(Unit::calls).collect();
    let mut bytes = Vec::new();
    for call in &calls {
        encode(&mut bytes, call);
    }
    client.send_bytes(&bytes)?;
    for call in calls {
        let reply = client.read()?;
        let is_refused = |reply: &common::Value| reply.is_error();
        if is_refused(&reply)
            || reply
                .items()
                .is_some_and(|items| items.iter().any(is_refused))
        {
            let name = String::from_utf8_lossy(&call[0]);
            return Err(format!("{name}: {reply:?}").into());
        }
    }
    Ok(())
}

/// What another server holds after each unit, sent by itself.
fn expected(scenario: &Scenario, options: Options) -> TestResult<Vec<Contents>> {
    let mut server = Server::start_with(options)?;
    prepare(scenario, &mut server)?;
    let mut client = server.raw()?;
    let mut reader = server.raw()?;
    let mut states = vec![Contents::of_server(&mut reader)?];
    for action in &scenario.actions {
        let units = match action {
            Action::Send(units) => units,
            Action::Rest(time) => {
                std::thread::sleep(*time);
                continue;
            }
            Action::Restart | Action::Kill | Action::Sync => continue,
        };
        for unit in units {
            send(&mut client, std::slice::from_ref(unit))?;
            let mut contents = states.last().cloned().unwrap_or_default();
            match touched(unit) {
                Some(names) => contents.read_again(&mut reader, &names)?,
                None => contents = Contents::of_server(&mut reader)?,
            }
            states.push(contents);
        }
    }
    Ok(states)
}

/// The keys that a unit may change: any of its words may be one. Nothing where it may be more than these.
fn touched(unit: &Unit) -> Option<Vec<Name>> {
    let words: Vec<&Vec<u8>> = unit.calls().flatten().collect();
    let is_renaming = |word: &&Vec<u8>| RENAMING.iter().any(|name| name.as_bytes() == &word[..]);
    if words.iter().any(is_renaming) {
        return None;
    }
    let names = words.into_iter().filter(|word| word.len() <= 64);
    Some(names.map(|word| (0, word.clone())).collect())
}

fn run(scenario: &Scenario, server: &mut Server, notes: &mut Notes) -> TestResult {
    let mut client = server.raw()?;
    let mut bystanders = connect_bystanders(scenario, server)?;
    let mut state = 0;
    notes.sent(state)?;
    notes.answered(state)?;
    for action in &scenario.actions {
        match action {
            Action::Send(units) => {
                state += units.len();
                notes.sent(state)?;
                send(&mut client, units)?;
                notes.answered(state)?;
            }
            Action::Sync => {
                wait_for_sync(&mut client)?;
                notes.synced(state)?;
            }
            other => {
                drop(bystanders);
                client = act(other, server, client)?;
                bystanders = connect_bystanders(scenario, server)?;
            }
        }
    }
    Ok(())
}

fn connect_bystanders(scenario: &Scenario, server: &Server) -> TestResult<Vec<RawClient>> {
    (0..scenario.bystanders).map(|_| server.raw()).collect()
}

/// As [`run`], where the server does more than it is told (it evicts): it is read itself after each unit.
fn run_and_read(
    scenario: &Scenario,
    server: &mut Server,
    notes: &mut Notes,
) -> TestResult<Vec<Contents>> {
    let mut client = server.raw()?;
    let mut states = vec![Contents::of_server(&mut client)?];
    notes.sent(0)?;
    notes.answered(0)?;
    // Before anything is read, since what goes in between is of the next state.
    notes.sent(1)?;
    for action in &scenario.actions {
        match action {
            Action::Send(units) => {
                for unit in units {
                    send(&mut client, std::slice::from_ref(unit))?;
                    notes.sent(states.len() + 1)?;
                    let found = Contents::of_server(&mut client)?;
                    client.call(&["SELECT", "0"])?;
                    notes.answered(states.len())?;
                    states.push(found);
                }
            }
            other => client = act(other, server, client)?,
        }
    }
    // Nothing comes after it.
    states.extend(states.last().cloned());
    Ok(states)
}

/// Waits until the server says that all that it has answered so far is on the disk.
pub fn wait_for_sync(client: &mut RawClient) -> TestResult {
    let answered_ms = store::now_ms();
    let until = Instant::now() + Duration::from_secs(30);
    while Instant::now() < until {
        let info = client.call(&["INFO", "pmemkv"])?;
        let text = String::from_utf8_lossy(info.bytes().unwrap_or_default()).into_owned();
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim_start_matches(':').trim().parse::<i64>().ok()
        };
        if field("synced_to_time_ms").ok_or("no syncs")? > answered_ms {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Err("no sync for 30 s".into())
}

fn act(action: &Action, server: &mut Server, client: RawClient) -> TestResult<RawClient> {
    drop(client);
    match action {
        Action::Send(_) | Action::Sync => {
            return Err(io::Error::from(io::ErrorKind::InvalidInput).into());
        }
        Action::Restart => server.restart()?,
        Action::Kill => {
            server.kill_9()?;
            server.resume()?;
        }
        Action::Rest(time) => std::thread::sleep(*time),
    }
    server.raw()
}
