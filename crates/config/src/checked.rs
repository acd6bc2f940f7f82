//! Values that passed the check of their directive, read with the types of the settings.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;

use crate::replication::Master;
use crate::settings::{
    BindAddress, Choice, MemoryShare, OutputBufferLimit, OutputBufferLimits, Secret,
};

/// A directive's value in the form that CONFIG GET shows. A row's setter reads it by the method that fits the row's kind;
/// another method panics, which the tests of all rows would show.
#[derive(Clone, Copy)]
pub(crate) struct Checked<'a>(pub &'a [u8]);

impl Checked<'_> {
    pub fn text(self) -> String {
        String::from_utf8_lossy(self.0).into_owned()
    }

    /// The text, or none where it is empty.
    pub fn text_if_any(self) -> Option<String> {
        (!self.0.is_empty()).then(|| self.text())
    }

    /// The path, or none where it is empty.
    pub fn path(self) -> Option<PathBuf> {
        use std::os::unix::ffi::OsStrExt;
        let path = std::ffi::OsStr::from_bytes(self.0);
        (!self.0.is_empty()).then(|| PathBuf::from(path))
    }

    /// A value that must not show, or none where it is empty.
    pub fn secret(self) -> Option<Secret> {
        (!self.0.is_empty()).then(|| Secret::new(Bytes::copy_from_slice(self.0)))
    }

    pub fn is(self, word: &str) -> bool {
        self.0 == word.as_bytes()
    }

    pub fn yes(self) -> bool {
        match self.0 {
            b"yes" => true,
            b"no" => false,
            _ => unreachable!("{} passed the check of yes and no", self.text()),
        }
    }

    pub fn choice<T: Choice>(self) -> T {
        T::from_word(&self.text())
    }

    pub fn number<T: FromStr>(self) -> T {
        self.text()
            .parse()
            .ok()
            .expect("the row's range fits the type of the setting")
    }

    /// Bytes, or a share of `maxmemory`.
    pub fn memory_share(self) -> MemoryShare {
        match self.0.strip_suffix(b"%") {
            Some(percent) => MemoryShare::Percent(Checked(percent).number()),
            None => MemoryShare::Bytes(self.number()),
        }
    }

    pub fn seconds(self) -> Duration {
        Duration::from_secs(self.number())
    }

    /// A time, or none where it is 0.
    pub fn seconds_if_any(self) -> Option<Duration> {
        Some(self.seconds()).filter(|time| !time.is_zero())
    }

    /// A master's host and port, or none where there is none.
    pub fn master(self) -> Option<Master> {
        let text = self.text();
        let (host, port) = text.rsplit_once(' ')?;
        Some(Master {
            host: host.to_owned(),
            port: port.parse().expect("a port was checked"),
        })
    }

    /// A file's mode, or none where it is 0.
    pub fn mode(self) -> Option<u32> {
        let mode = u32::from_str_radix(&self.text(), 8).expect("an octal number was checked");
        (mode != 0).then_some(mode)
    }

    pub fn percentiles(self) -> Vec<f64> {
        self.text()
            .split_ascii_whitespace()
            .map(|number| number.parse().expect("a percentile was checked"))
            .collect()
    }

    /// Seconds and changes of each save point.
    pub fn save_points(self) -> Vec<(u64, u64)> {
        let text = self.text();
        let numbers: Vec<u64> = text
            .split_ascii_whitespace()
            .map(|number| number.parse().expect("a save point was checked"))
            .collect();
        let (pairs, _) = numbers.as_chunks::<2>();
        pairs
            .iter()
            .map(|&[seconds, changes]| (seconds, changes))
            .collect()
    }

    pub fn addresses(self) -> Vec<BindAddress> {
        self.text()
            .split_ascii_whitespace()
            .map(|address| BindAddress {
                address: address.strip_prefix('-').unwrap_or(address).to_owned(),
                optional: address.starts_with('-'),
            })
            .collect()
    }

    pub fn output_limits(self) -> OutputBufferLimits {
        let text = self.text();
        let words: Vec<&str> = text.split(' ').collect();
        let number = |place: usize| words[place].parse().expect("a limit was checked");
        let limit = |class: usize| OutputBufferLimit {
            hard_bytes: number(class * 4 + 1),
            soft_bytes: number(class * 4 + 2),
            soft_time: Duration::from_secs(number(class * 4 + 3)),
        };
        OutputBufferLimits {
            normal: limit(0),
            replica: limit(1),
            pubsub: limit(2),
        }
    }
}
