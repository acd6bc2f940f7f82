//! `pmemkv-server check`: what is in a pool, and whether the pool is whole. A child process opens the pool as a start would,
//! but on a private copy of its pages, so that nothing in the file changes.

use std::io::{self, Write};
use std::num::NonZero;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use serde_json::{Map, Value, json};

use crate::config::Check;
use crate::keyspace::{DATABASES, Keyspace, now_ms};
use crate::pmemkv::{self, Engine, Pool, PoolError, engines};
use crate::store::{self, Examined, LayoutChoice, OpenError, Options};

/// The exit code if the pool could not be checked.
const NOT_CHECKED: u8 = 2;

/// The layout of which a start can repair pools.
const REPAIRABLE: &str = "packed";

/// The answer of one trial.
type Found = Map<String, Value>;

/// What the check came to.
enum Verdict {
    Whole(Found),
    /// The pool is damaged: why, and what a repair would keep.
    Damaged(String, Option<Found>),
    /// The pool could not be looked at.
    NotChecked(String),
}

/// Checks a pool and writes the answer.
pub(super) fn run(asked: &Check, output: &mut dyn Write) -> io::Result<ExitCode> {
    let began = Instant::now();
    let verdict = check(&asked.pool);
    let path = asked.pool.display().to_string();
    if asked.json {
        let mut object = match &verdict {
            Verdict::Whole(found) => found.clone(),
            _ => Found::new(),
        };
        object.insert("path".into(), path.into());
        let (word, why, repair) = match verdict {
            Verdict::Whole(_) => ("whole", None, None),
            Verdict::Damaged(why, repair) => ("damaged", Some(why), repair),
            Verdict::NotChecked(why) => ("not checked", Some(why), None),
        };
        object.insert("verdict".into(), word.into());
        if let Some(why) = why {
            object.insert("why".into(), why.into());
        }
        if let Some(repair) = repair {
            object.insert("repair_would_keep".into(), repair.into());
        }
        writeln!(output, "{}", Value::Object(object))?;
        return Ok(code_of(word));
    }
    match verdict {
        Verdict::Whole(found) => {
            describe(&found, output)?;
            let seconds = began.elapsed().as_secs_f64();
            writeln!(output, "{path}: whole (checked in {seconds:.1} s)")?;
            Ok(ExitCode::SUCCESS)
        }
        Verdict::Damaged(why, repair) => {
            if let Some(found) = repair {
                describe(&found, output)?;
                writeln!(output, "That is what a start with --repair yes would keep.")?;
            }
            writeln!(output, "{path}: DAMAGED: {why}")?;
            Ok(code_of("damaged"))
        }
        Verdict::NotChecked(why) => {
            writeln!(output, "{path}: not checked: {why}")?;
            Ok(code_of("not checked"))
        }
    }
}

fn code_of(verdict: &str) -> ExitCode {
    match verdict {
        "whole" => ExitCode::SUCCESS,
        "damaged" => ExitCode::FAILURE,
        _ => ExitCode::from(NOT_CHECKED),
    }
}

fn check(path: &Path) -> Verdict {
    let header = match Pool::read_header(path) {
        Ok(header) => header,
        Err(error) => return refused(&error.into()),
    };
    if let Err(error) = pmemkv::load(&[]) {
        return Verdict::NotChecked(error.to_string());
    }
    let engine = match Engine::by_name(&header.engine) {
        Some(engine) if engines::is_available(engine.name) => engine,
        _ => {
            let name = header.engine;
            return Verdict::NotChecked(format!("the installed pmemkv has no engine '{name}'"));
        }
    };
    let options = Options {
        engine: header.engine,
        engine_config: None,
        pool_path: path.to_owned(),
        pool_size_bytes: 0,
        layout: LayoutChoice::Auto,
        repair: false,
        every_second: false,
    };
    // All that a start tries.
    if let Err(error) = store::rehearse_anyway(engine, &options) {
        return damaged(path, engine, &header.layout, &error);
    }
    let mut found = match look(path, engine, false) {
        Ok(found) => found,
        Err(error) => return damaged(path, engine, &header.layout, &error),
    };
    if header.layout == REPAIRABLE {
        // A repair looks at more than a start does: whether the parts of large values are there.
        let lost = look(path, engine, true).map_err(|error| error.to_string());
        match lost {
            Err(why) => return Verdict::Damaged(why, None),
            Ok(repaired) if number(&repaired, "damaged_segments") > 0 => {
                let why = "large values or segments are not readable".to_owned();
                return Verdict::Damaged(why, Some(repaired));
            }
            Ok(_) => {}
        }
    }
    found.remove("damaged_segments");
    found.remove("damaged_bytes");
    Verdict::Whole(found)
}

/// Damage, with what a repair would keep; or no more than a pool that cannot be looked at.
fn damaged(path: &Path, engine: Engine, layout: &str, error: &OpenError) -> Verdict {
    match refused(error) {
        Verdict::Damaged(why, _) => {
            let repaired = (layout == REPAIRABLE).then(|| look(path, engine, true));
            Verdict::Damaged(why, repaired.and_then(Result::ok))
        }
        other => other,
    }
}

fn refused(error: &OpenError) -> Verdict {
    let is_damage = matches!(
        error,
        OpenError::Store { .. }
            | OpenError::Pool(
                PoolError::Damaged { .. }
                    | PoolError::Truncated { .. }
                    | PoolError::Partition { .. }
            )
    );
    if is_damage {
        Verdict::Damaged(error.to_string(), None)
    } else {
        Verdict::NotChecked(error.to_string())
    }
}

/// Opens the pool in a child process, reads all of it and returns what is there.
fn look(path: &Path, engine: Engine, repair: bool) -> Result<Found, OpenError> {
    let answer = store::examine(path, engine, repair, &mut |examined| {
        let found = read(examined).map_err(|error| error.to_string())?;
        serde_json::to_vec(&found).map_err(|error| error.to_string())
    })?;
    // The child is this program.
    serde_json::from_slice(&answer).map_err(|error| OpenError::EngineConfig(error.into()))
}

fn read(examined: Examined) -> Result<Value, Box<dyn std::error::Error>> {
    let Examined {
        store,
        was_closed,
        header,
    } = examined;
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    let keyspace = Keyspace::new(store);
    keyspace.loading().read_all(threads)?;
    let stats = keyspace.stats()?;
    let now = now_ms();
    let mut databases = Map::new();
    for db in 0..DATABASES {
        let figures = keyspace.databases().stats(db, now);
        if figures.keys == 0 {
            continue;
        }
        let kinds = keyspace.databases().kinds(db).into_iter();
        let kinds: Found = kinds
            .map(|(kind, keys)| (kind.name().to_owned(), keys.into()))
            .collect();
        let database = json!({
            "keys": figures.keys, "with_deadline": figures.expires, "types": kinds,
        });
        databases.insert(format!("db{db}"), database);
    }
    let mut found = json!({
        "engine": header.engine,
        "layout": header.layout,
        "format": header.format_version,
        "partitions": header.partitions,
        "closed_in_order": was_closed,
        // This look counted itself, on its private copy.
        "opens": stats.opens.map(|opens| opens.saturating_sub(1)),
        "pool_bytes": stats.pool_bytes,
        "allocated_bytes": stats.allocated_bytes,
        "stored_bytes": stats.stored_bytes,
        "stored_bytes_max": stats.stored_bytes_max,
        "keys": stats.records,
        "databases": databases,
    });
    let kept = [
        "segments",
        "segments_free",
        "segments_max",
        "damaged_segments",
        "damaged_bytes",
    ];
    for (name, value) in stats.details {
        if kept.contains(&name) {
            found[name] = value.into();
        }
    }
    Ok(found)
}

fn number(found: &Found, name: &str) -> u64 {
    found.get(name).and_then(Value::as_u64).unwrap_or(0)
}

/// What is in the pool, in lines.
fn describe(found: &Found, output: &mut dyn Write) -> io::Result<()> {
    let text = |name: &str| found.get(name).and_then(Value::as_str).unwrap_or("?");
    let of = |name: &str| number(found, name);
    writeln!(
        output,
        "engine      {}, layout {}, format {}, partitions {}",
        text("engine"),
        text("layout"),
        of("format"),
        of("partitions")
    )?;
    writeln!(
        output,
        "size        {} bytes, {} allocated",
        of("pool_bytes"),
        of("allocated_bytes")
    )?;
    if found.contains_key("segments") {
        writeln!(
            output,
            "segments    {} of {}, {} of them free",
            of("segments"),
            of("segments_max"),
            of("segments_free")
        )?;
    }
    writeln!(
        output,
        "records     {} of {} bytes in use",
        of("stored_bytes"),
        of("stored_bytes_max")
    )?;
    let closed = found.get("closed_in_order").and_then(Value::as_bool);
    writeln!(
        output,
        "closed      {}",
        if closed == Some(true) {
            "in order"
        } else {
            "not in order: the last process was killed (its acknowledged writes are there)"
        }
    )?;
    writeln!(output, "opened      {} times", of("opens"))?;
    writeln!(output, "keys        {}", of("keys"))?;
    let databases = found.get("databases").and_then(Value::as_object);
    for (name, database) in databases.into_iter().flatten() {
        let figure = |name: &str| database.get(name).and_then(Value::as_u64).unwrap_or(0);
        let kinds = database.get("types").and_then(Value::as_object);
        let kinds: Vec<String> = kinds
            .into_iter()
            .flatten()
            .map(|(kind, keys)| format!("{kind} {keys}"))
            .collect();
        writeln!(
            output,
            "  {name:<9} {} ({}), {} with a deadline",
            figure("keys"),
            kinds.join(", "),
            figure("with_deadline")
        )?;
    }
    let (segments, bytes) = (of("damaged_segments"), of("damaged_bytes"));
    if segments > 0 {
        writeln!(
            output,
            "lost        {bytes} bytes of {segments} segments or values"
        )?;
    }
    Ok(())
}
