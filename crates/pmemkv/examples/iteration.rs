//! Walks and counts in pmemkv's six shapes of a range, on a sorted engine unless the caller names another.
//!
//! `cargo run -p pmemkv --example iteration [ENGINE]`

use std::error::Error;
use std::io::{self, Write};
use std::ops::ControlFlow;

use pmemkv::{Config, Database, Engine, Range, engines};

fn main() -> Result<(), Box<dyn Error>> {
    let mut out = io::stdout().lock();
    let engine = match std::env::args().nth(1) {
        Some(name) => Engine::by_name(&name).ok_or("unknown engine")?,
        None => engines::available()
            .into_iter()
            .find(|engine| engine.sorted)
            .ok_or("the library has no sorted engine")?,
    };
    let directory = tempfile::tempdir()?;
    let mut config = Config::new()?;
    if engine.persistent {
        config
            .put_path(directory.path().join("iteration.pool"))?
            .put_size(32 << 20)?
            .put_force_create(true)?;
    } else if engine.retains {
        config.put_path(directory.path())?.put_size(32 << 20)?;
    }
    let db = Database::open(engine.name, config)?;
    for month in ["01", "02", "03", "04", "05", "06"] {
        db.put(month.as_bytes(), format!("month {month}").as_bytes())?;
    }

    writeln!(out, "{}, {} pairs", engine.name, db.count_all()?)?;
    let ranges = [
        ("all", Range::All),
        ("above 03", Range::Above(b"03")),
        ("03 and above", Range::EqualAbove(b"03")),
        ("below 03", Range::Below(b"03")),
        ("03 and below", Range::EqualBelow(b"03")),
        ("between 02 and 05", Range::Between(b"02", b"05")),
    ];
    for (what, range) in ranges {
        // An unsorted engine walks everything and refuses the rest.
        let count = match db.count_range(range) {
            Ok(count) => count,
            Err(error) => {
                writeln!(out, "{what}: {error}")?;
                continue;
            }
        };
        let mut keys = Vec::new();
        let _ = db.get_range(range, |key, _| {
            keys.push(key.escape_ascii().to_string());
            ControlFlow::Continue(())
        })?;
        writeln!(out, "{what}: {count} ({})", keys.join(" "))?;
    }

    // Stops after two pairs.
    let mut left = 2;
    let flow = db.get_all(|key, value| {
        left -= 1;
        let written = writeln!(out, "{} = {}", key.escape_ascii(), value.escape_ascii());
        if left == 0 || written.is_err() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })?;
    writeln!(out, "stopped early: {}", flow.is_break())?;
    Ok(())
}
