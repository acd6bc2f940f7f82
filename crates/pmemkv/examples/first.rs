//! A first program: opens an engine by a JSON configuration, stores pairs, reads, counts and removes them.
//!
//! `cargo run -p pmemkv --example first [ENGINE]`

use std::error::Error;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::Path;

use pmemkv::{Config, Database, Engine, engines};

const POOL_BYTES: u64 = 32 << 20;

fn main() -> Result<(), Box<dyn Error>> {
    let mut out = io::stdout().lock();
    let name = std::env::args().nth(1).unwrap_or_else(|| "cmap".to_owned());
    let names: Vec<_> = engines::available()
        .iter()
        .map(|known| known.name)
        .collect();
    writeln!(out, "engines of the loaded library: {}", names.join(", "))?;
    let engine = Engine::by_name(&name).ok_or("unknown engine")?;

    let directory = tempfile::tempdir()?;
    let json = configuration(engine, directory.path());
    writeln!(out, "opening {name}")?;
    let db = Database::open(&name, Config::from_json(&json)?)?;

    db.put(b"first", b"one")?;
    db.put(b"second", b"two\0with a NUL")?;
    db.put(b"third", b"three")?;
    db.put(b"first", b"one, again")?;
    writeln!(out, "{} pairs", db.count_all()?)?;

    match db.get(b"first")? {
        Some(value) => writeln!(out, "first: {}", value.escape_ascii())?,
        None => writeln!(out, "first: nothing")?,
    }
    // The closure sees the stored value itself: nothing is copied.
    let length = db.get_with(b"second", <[u8]>::len)?;
    writeln!(out, "second: {length:?} bytes")?;
    writeln!(out, "third is there: {}", db.exists(b"third")?)?;

    let flow = db.get_all(|key, value| {
        let written = writeln!(out, "{} = {}", key.escape_ascii(), value.escape_ascii());
        if written.is_ok() {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    })?;
    if flow.is_break() {
        return Err("the output is closed".into());
    }
    if engine.sorted {
        writeln!(
            out,
            "above first: {}, below third: {}, between both: {}",
            db.count_above(b"first")?,
            db.count_below(b"third")?,
            db.count_between(b"first", b"third")?
        )?;
    }

    let removed = db.remove(b"first")?;
    let left = db.exists(b"first")?;
    writeln!(out, "removed: {removed}, still there: {left}")?;
    writeln!(out, "{} pairs are left", db.count_all()?)?;
    Ok(())
}

/// A configuration for the engine: a pool file to create, a directory for a volatile engine, or nothing.
fn configuration(engine: Engine, directory: &Path) -> String {
    let json = if engine.persistent {
        serde_json::json!({
            "path": directory.join("first.pool"),
            "size": POOL_BYTES,
            "force_create": 1,
        })
    } else if engine.retains {
        serde_json::json!({ "path": directory, "size": POOL_BYTES })
    } else {
        serde_json::json!({})
    };
    json.to_string()
}
