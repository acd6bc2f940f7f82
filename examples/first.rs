//! A first program: opens an engine, stores a few pairs and reads them back.
//!
//! `cargo run --example first [ENGINE]`

use std::error::Error;
use std::io::{self, Write};
use std::ops::ControlFlow;

use pmemkv_server::pmemkv::{Config, Database, Engine, engines};

fn main() -> Result<(), Box<dyn Error>> {
    let mut out = io::stdout().lock();
    let name = std::env::args().nth(1).unwrap_or_else(|| "cmap".to_owned());
    let names: Vec<_> = engines::available()
        .iter()
        .map(|known| known.name)
        .collect();
    writeln!(out, "engines of the linked library: {}", names.join(", "))?;
    let engine = Engine::by_name(&name).ok_or("unknown engine")?;

    let directory = tempfile::tempdir()?;
    let mut config = Config::new()?;
    if engine.persistent {
        config
            .put_path(directory.path().join("first.pool"))?
            .put_size(32 << 20)?
            .put_force_create(true)?;
    } else if engine.retains {
        // The volatile engines take a directory.
        config.put_path(directory.path())?.put_size(32 << 20)?;
    }
    let db = Database::open(&name, config)?;

    db.put(b"first", b"one")?;
    db.put(b"second", b"two\0with a NUL")?;
    db.put(b"first", b"one, again")?;
    writeln!(out, "{} pairs", db.count_all()?)?;

    match db.get(b"first")? {
        Some(value) => writeln!(out, "first: {}", value.escape_ascii())?,
        None => writeln!(out, "first: nothing")?,
    }
    // Without a copy of the value.
    let length = db.get_with(b"second", <[u8]>::len)?;
    writeln!(out, "second: {length:?} bytes")?;

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

    let removed = db.remove(b"first")?;
    let left = db.exists(b"first")?;
    writeln!(out, "removed: {removed}, still there: {left}")?;
    Ok(())
}
