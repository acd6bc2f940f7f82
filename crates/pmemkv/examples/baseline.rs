//! Measures how fast each engine puts, gets, looks up and removes, on one thread.
//!
//! `cargo run --release -p pmemkv --example baseline -- --count 1000000 --engines cmap,vcmap`

use std::error::Error;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Parser;
use pmemkv::{Config, Database, Engine, engines};

/// Prints rates of put, overwrite, get, miss, exists and remove per engine.
#[derive(Parser)]
struct Options {
    /// Pairs per engine.
    #[arg(long, default_value_t = 100_000)]
    count: u64,
    /// Bytes of a key, at least 8.
    #[arg(long, default_value_t = 16)]
    key_bytes: usize,
    /// Bytes of a value.
    #[arg(long, default_value_t = 64)]
    value_bytes: usize,
    /// Engines, separated by commas; by default all that the library has.
    #[arg(long, value_delimiter = ',')]
    engines: Vec<String>,
    /// The directory for the run's pools.
    #[arg(long, default_value = "/dev/shm")]
    directory: PathBuf,
    /// Bytes of each pool; by default enough for the pairs.
    #[arg(long)]
    pool_bytes: Option<u64>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = Options::parse();
    let names = if options.engines.is_empty() {
        engines::available()
            .iter()
            .map(|engine| engine.name.to_owned())
            .collect()
    } else {
        options.engines.clone()
    };
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "{} pairs, keys of {} bytes, values of {} bytes, thousand operations a second",
        options.count, options.key_bytes, options.value_bytes
    )?;
    writeln!(
        out,
        "{:<12}{:>10}{:>12}{:>10}{:>10}{:>10}{:>10}",
        "engine", "put", "overwrite", "get", "miss", "exists", "remove"
    )?;
    for name in names {
        let rates = measure(&name, &options)?;
        write!(out, "{name:<12}")?;
        for (rate, width) in rates.into_iter().zip([10, 12, 10, 10, 10, 10]) {
            write!(out, "{rate:>width$.0}")?;
        }
        writeln!(out)?;
    }
    Ok(())
}

/// Thousand operations a second of put, overwrite, get, miss, exists and remove.
fn measure(name: &str, options: &Options) -> Result<[f64; 6], Box<dyn Error>> {
    let engine = Engine::by_name(name).ok_or_else(|| format!("unknown engine: {name}"))?;
    let directory = tempfile::tempdir_in(&options.directory)?;
    let db = Database::open(name, config(engine, directory.path(), options)?)?;
    let value = vec![b'v'; options.value_bytes];
    let count = options.count;
    let put = |number| db.put(&key(number, options.key_bytes), &value);
    let get = |number| db.get_with(&key(number, options.key_bytes), <[u8]>::len);
    let exists = |number| db.exists(&key(number, options.key_bytes));
    let remove = |number| db.remove(&key(number, options.key_bytes));
    Ok([
        rate(count, put)?,
        rate(count, put)?,
        rate(count, get)?,
        rate(count, |number| get(number + count))?,
        rate(count, exists)?,
        rate(count, remove)?,
    ])
}

fn config(engine: Engine, directory: &Path, options: &Options) -> Result<Config, Box<dyn Error>> {
    // A pair takes several hundred bytes beside its own, and hash tables grow by doubling.
    let pair_bytes = (options.key_bytes + options.value_bytes) as u64 + 1024;
    let bytes = options
        .pool_bytes
        .unwrap_or((64 << 20) + options.count * pair_bytes);
    let mut config = Config::new()?;
    if engine.persistent {
        config
            .put_path(directory.join("baseline.pool"))?
            .put_size(bytes)?
            .put_force_create(true)?;
    } else if engine.retains {
        config.put_path(directory)?.put_size(bytes)?;
    }
    Ok(config)
}

/// A key. Keys do not ascend with their numbers, and are the same in every run.
fn key(number: u64, bytes: usize) -> Vec<u8> {
    let mut key = vec![b'k'; bytes.max(8)];
    key[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    key
}

#[allow(clippy::cast_precision_loss)] // Counts stay far below 2^53.
fn rate<T, E>(count: u64, mut call: impl FnMut(u64) -> Result<T, E>) -> Result<f64, E> {
    let start = Instant::now();
    for number in 0..count {
        call(number)?;
    }
    Ok(count as f64 / start.elapsed().as_secs_f64() / 1e3)
}
