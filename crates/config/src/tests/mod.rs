//! What Redis 7.0 answers to the same inputs, unless said otherwise.

mod documents;
mod rewrite;
mod rows;
mod running;
mod start;

use std::ffi::OsString;

use super::{Config, ConfigError, Loaded, SetError};

type TestResult<T = ()> = Result<T, Box<dyn std::error::Error>>;

fn parse(arguments: &[&str]) -> Result<Loaded, ConfigError> {
    let arguments: Vec<OsString> = ["pmemkv-server"]
        .iter()
        .chain(arguments)
        .map(OsString::from)
        .collect();
    Config::parse(&arguments)
}

fn value(config: &Config, name: &str) -> String {
    match config.get(&[name.as_bytes()]).as_slice() {
        [(_, value)] => String::from_utf8_lossy(value).into_owned(),
        other => format!("{} values", other.len()),
    }
}

fn set(config: &Config, name: &str, value: &str) -> String {
    match config.set(&[(name.as_bytes(), value.as_bytes())]) {
        Ok(_) => "OK".to_owned(),
        Err(SetError::Refused { reason, .. }) => reason,
        Err(error) => error.to_string(),
    }
}
