//! Checks the values that a user gives to directives, and brings them into the form that CONFIG GET shows.

use super::unsupported;

/// What a directive's value may be. It decides how the value is checked and shown.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// `yes` or `no`.
    Bool,
    /// A decimal integer from `min` to `max`.
    Int {
        /// The smallest value.
        min: i64,
        /// The largest value.
        max: i64,
    },
    /// A number of bytes with an optional unit (`1k` is 1000, `1kb` is 1024); CONFIG GET shows it in bytes.
    Memory {
        /// The smallest value.
        min: u64,
        /// The largest value.
        max: u64,
    },
    /// A number of bytes, or a share such as `5%`.
    MemoryOrPercent,
    /// An octal number from 0 to `max`.
    Octal {
        /// The largest value.
        max: u32,
    },
    /// One of these words.
    Enum(&'static [&'static str]),
    /// Several of these words; the first one means that none of the others is given.
    EnumSet(&'static [&'static str]),
    /// Any bytes.
    Text,
    /// Any integer from 0 on, brought between two bounds.
    Clamped {
        /// What a smaller value becomes.
        least: i64,
        /// What a larger value becomes.
        most: i64,
    },
    /// A file's name without a directory; the error text calls it by this word.
    FileName(&'static str),
    /// A directory; CONFIG GET shows the working directory where nobody gave one.
    WorkingDirectory,
    /// A host name that the server announces to others.
    HostName,
    /// A template of the process title.
    TitleTemplate,
    /// Pairs of a number of seconds and a number of changes.
    Save,
    /// One or more groups of client class, hard limit, soft limit and seconds.
    BufferLimits,
    /// Three scores from -2000 to 2000.
    OomScores,
    /// The classes of keyspace events.
    Events,
    /// Addresses to listen on.
    Addresses,
    /// A host and a port, or `no one`.
    ReplicaOf,
    /// Percentiles from 0 to 100.
    Percentiles,
    /// A version of Redis: three numbers below 256, with dots between them.
    Version,
    /// A JSON object, or nothing.
    Json,
    /// The name of a storage engine.
    Engine,
    /// Names of directives that a configuration may set although they have no effect.
    Unsupported,
}

/// Why a value or its line was refused, in Redis's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ValueError(String);

impl ValueError {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

/// Where a value comes from. In a file, a later line of some directives adds to the value of the earlier lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The first line of a file or command line that names this directive.
    First,
    /// A later line of the same directive.
    Later,
    /// CONFIG SET, which always replaces the value.
    Set,
}

/// The most addresses that `bind` takes.
const BIND_ADDRESSES_MAX: usize = 16;

impl Kind {
    /// Checks the arguments for a directive and returns its new value. `old` is its value so far.
    pub fn check(
        self,
        name: &str,
        args: &[&[u8]],
        old: &[u8],
        mode: Mode,
    ) -> Result<Vec<u8>, ValueError> {
        match self {
            Self::Save => return save(args, old, mode),
            Self::BufferLimits => return buffer_limits(args, old),
            Self::OomScores => return oom_scores(args),
            Self::Addresses => return addresses(args),
            Self::ReplicaOf => return replica_of(args),
            Self::Percentiles => return percentiles(args),
            Self::Unsupported => return unsupported::check_names(args, old, mode),
            Self::EnumSet(words) => return enum_set(words, args),
            _ => {}
        }
        let &[value] = args else {
            return Err(ValueError::new("wrong number of arguments"));
        };
        match self {
            Self::Bool => boolean(value),
            Self::Int { min, max } => int(value, min, max).map(shown_number),
            Self::Clamped { least, most } => {
                let number = int(value, 0, i64::from(i32::MAX))?;
                Ok(shown_number(number.clamp(least, most)))
            }
            Self::Memory { min, max } => memory_within(value, min, max),
            Self::MemoryOrPercent => memory_or_percent(value),
            Self::Octal { max } => octal(value, max),
            Self::Enum(words) => word(words, value),
            Self::FileName(noun) if value.contains(&b'/') => Err(ValueError::new(format!(
                "{name} can't be a path, just a {noun}"
            ))),
            Self::HostName if !value.iter().all(|&byte| is_host_byte(byte)) => {
                Err(ValueError::new(
                    "Hostnames may only contain alphanumeric characters, hyphens or dots",
                ))
            }
            Self::TitleTemplate if !is_title_template(value) => Err(ValueError::new(
                "template format is invalid or contains unknown variables",
            )),
            Self::Version if !is_version(value) => {
                Err(ValueError::new("argument must be a version like 7.4.0"))
            }
            Self::Events => events(value),
            Self::Json => json(value),
            Self::Engine if value.is_empty() => {
                Err(ValueError::new("argument must name an engine"))
            }
            _ => Ok(value.to_vec()),
        }
    }
}

fn boolean(value: &[u8]) -> Result<Vec<u8>, ValueError> {
    [&b"yes"[..], b"no"]
        .into_iter()
        .find(|word| word.eq_ignore_ascii_case(value))
        .map(<[u8]>::to_vec)
        .ok_or_else(|| ValueError::new("argument must be 'yes' or 'no'"))
}

/// An integer in the only form that Redis takes here: no plus sign, no leading zeros, no spaces.
fn strict_int(value: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(value).ok()?;
    let number: i64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

fn out_of_range(min: impl std::fmt::Display, max: impl std::fmt::Display) -> ValueError {
    ValueError::new(format!(
        "argument must be between {min} and {max} inclusive"
    ))
}

fn int(value: &[u8], min: i64, max: i64) -> Result<i64, ValueError> {
    let number = strict_int(value)
        .ok_or_else(|| ValueError::new("argument couldn't be parsed into an integer"))?;
    if (min..=max).contains(&number) {
        Ok(number)
    } else {
        Err(out_of_range(min, max))
    }
}

fn shown_number(number: i64) -> Vec<u8> {
    number.to_string().into_bytes()
}

/// Reads a number of bytes with an optional unit, as Redis does: a unit without digits is 0, and a number that is too large
/// becomes the largest.
pub fn memory_bytes(value: &[u8]) -> Option<u64> {
    let digits = value
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let (number, unit) = value.split_at(digits);
    let factor = match unit.to_ascii_lowercase().as_slice() {
        b"" | b"b" => 1,
        b"k" => 1000,
        b"kb" => 1 << 10,
        b"m" => 1_000_000,
        b"mb" => 1 << 20,
        b"g" => 1_000_000_000,
        b"gb" => 1 << 30,
        _ => return None,
    };
    let number = number.iter().fold(0_u64, |sum, digit| {
        sum.saturating_mul(10)
            .saturating_add(u64::from(digit - b'0'))
    });
    Some(number.saturating_mul(factor))
}

fn memory_within(value: &[u8], min: u64, max: u64) -> Result<Vec<u8>, ValueError> {
    let bytes =
        memory_bytes(value).ok_or_else(|| ValueError::new("argument must be a memory value"))?;
    if (min..=max).contains(&bytes) {
        Ok(bytes.to_string().into_bytes())
    } else {
        Err(out_of_range(min, max))
    }
}

fn memory_or_percent(value: &[u8]) -> Result<Vec<u8>, ValueError> {
    let wrong = || ValueError::new("argument must be a memory or percent value");
    if let Some(share) = value.strip_suffix(b"%") {
        let share = strict_int(share)
            .filter(|share| *share >= 0)
            .ok_or_else(wrong)?;
        if share > 100 {
            return Err(ValueError::new(
                "percentage argument must be less or equal to 100",
            ));
        }
        let unit = if share == 0 { "" } else { "%" };
        return Ok(format!("{share}{unit}").into_bytes());
    }
    let bytes = memory_bytes(value).ok_or_else(wrong)?;
    Ok(bytes.to_string().into_bytes())
}

fn octal(value: &[u8], max: u32) -> Result<Vec<u8>, ValueError> {
    let wrong = || ValueError::new("argument couldn't be parsed as an octal number");
    let text = std::str::from_utf8(value).map_err(|_| wrong())?;
    let number = if text.is_empty() {
        0
    } else {
        u32::from_str_radix(text, 8).map_err(|_| wrong())?
    };
    if number > max {
        return Err(ValueError::new(format!(
            "argument must be between 0 and {max:o} inclusive"
        )));
    }
    Ok(format!("{number:o}").into_bytes())
}

fn not_a_word(words: &[&str]) -> ValueError {
    ValueError::new(format!(
        "argument(s) must be one of the following: {}",
        words.join(", ")
    ))
}

fn word(words: &[&str], value: &[u8]) -> Result<Vec<u8>, ValueError> {
    words
        .iter()
        .find(|word| word.as_bytes().eq_ignore_ascii_case(value))
        .map(|word| word.as_bytes().to_vec())
        .ok_or_else(|| not_a_word(words))
}

fn enum_set(words: &'static [&'static str], args: &[&[u8]]) -> Result<Vec<u8>, ValueError> {
    if args.is_empty() {
        return Err(not_a_word(words));
    }
    let given = args
        .iter()
        .map(|arg| word(words, arg))
        .collect::<Result<Vec<_>, _>>()?;
    let has = |word: &str| given.iter().any(|other| other == word.as_bytes());
    if has("save") && has("nosave") {
        return Err(ValueError::new(
            "shutdown options SAVE and NOSAVE can't be used simultaneously",
        ));
    }
    let chosen: Vec<_> = words[1..]
        .iter()
        .copied()
        .filter(|word| has(word))
        .collect();
    Ok(if chosen.is_empty() {
        words[0].as_bytes().to_vec()
    } else {
        chosen.join(" ").into_bytes()
    })
}

fn save(args: &[&[u8]], old: &[u8], mode: Mode) -> Result<Vec<u8>, ValueError> {
    let wrong = || ValueError::new("Invalid save parameters");
    if args.is_empty() || args == [b""] {
        return Ok(Vec::new());
    }
    if !args.len().is_multiple_of(2) {
        return Err(wrong());
    }
    let mut numbers = Vec::new();
    for pair in args.chunks(2) {
        let seconds = strict_int(pair[0]).filter(|seconds| *seconds >= 1);
        let changes = strict_int(pair[1]).filter(|changes| *changes >= 0);
        numbers.push(seconds.ok_or_else(wrong)?.to_string());
        numbers.push(changes.ok_or_else(wrong)?.to_string());
    }
    let mut value = if mode == Mode::Later {
        old.to_vec()
    } else {
        Vec::new()
    };
    if !value.is_empty() {
        value.push(b' ');
    }
    value.extend(numbers.join(" ").into_bytes());
    Ok(value)
}

/// The client classes in the order in which CONFIG GET shows their limits. `replica` is another name of `slave`.
const CLASSES: [&str; 3] = ["normal", "slave", "pubsub"];

fn buffer_limits(args: &[&[u8]], old: &[u8]) -> Result<Vec<u8>, ValueError> {
    if !args.len().is_multiple_of(4) {
        return Err(ValueError::new(
            "Wrong number of arguments in buffer limit configuration.",
        ));
    }
    let old = String::from_utf8_lossy(old);
    let mut limits: Vec<String> = old.split(' ').map(str::to_owned).collect();
    for row in args.chunks(4) {
        let class = if row[0].eq_ignore_ascii_case(b"replica") {
            b"slave"
        } else {
            row[0]
        };
        let place = CLASSES
            .iter()
            .position(|name| name.as_bytes().eq_ignore_ascii_case(class))
            .ok_or_else(|| {
                ValueError::new("Invalid client class specified in buffer limit configuration.")
            })?;
        let numbers = memory_bytes(row[1])
            .zip(memory_bytes(row[2]))
            .zip(strict_int(row[3]).filter(|seconds| *seconds >= 0));
        let ((hard, soft), seconds) = numbers.ok_or_else(|| {
            ValueError::new(
                "Error in hard, soft or soft_seconds setting in buffer limit configuration.",
            )
        })?;
        limits[place * 4 + 1] = hard.to_string();
        limits[place * 4 + 2] = soft.to_string();
        limits[place * 4 + 3] = seconds.to_string();
    }
    Ok(limits.join(" ").into_bytes())
}

fn oom_scores(args: &[&[u8]]) -> Result<Vec<u8>, ValueError> {
    if args.len() != 3 {
        return Err(ValueError::new("wrong number of arguments"));
    }
    let scores: Option<Vec<String>> = args
        .iter()
        .map(|arg| strict_int(arg).filter(|score| (-2000..=2000).contains(score)))
        .map(|score| score.map(|score| score.to_string()))
        .collect();
    Ok(scores
        .ok_or_else(|| {
            ValueError::new(
                "Invalid oom-score-adj-values, elements must be between -2000 and 2000.",
            )
        })?
        .join(" ")
        .into_bytes())
}

/// The classes that `A` stands for, in the order in which CONFIG GET shows them.
const ALL_EVENTS: &[u8] = b"g$lshzxetd";

fn events(value: &[u8]) -> Result<Vec<u8>, ValueError> {
    if !value.iter().all(|byte| b"Ag$lshzxeKEtmdn".contains(byte)) {
        return Err(ValueError::new(
            "Invalid event class character. Use 'Ag$lshzxeKEtmdn'.",
        ));
    }
    let has = |class: &u8| value.contains(class);
    let mut shown = Vec::new();
    if has(&b'A') || ALL_EVENTS.iter().all(has) {
        shown.push(b'A');
        shown.extend(has(&b'n').then_some(b'n'));
    } else {
        shown.extend(b"g$lshzxetdn".iter().filter(|class| has(class)));
    }
    shown.extend(b"KEm".iter().filter(|class| has(class)));
    Ok(shown)
}

/// The value that CONFIG GET shows. Like Redis, it leaves out `n` beside `A`.
pub fn shown_events(value: &[u8]) -> Vec<u8> {
    match value.strip_prefix(b"An") {
        Some(rest) => [b"A", rest].concat(),
        None => value.to_vec(),
    }
}

fn addresses(args: &[&[u8]]) -> Result<Vec<u8>, ValueError> {
    if args.len() > BIND_ADDRESSES_MAX {
        return Err(ValueError::new("Too many bind addresses specified."));
    }
    Ok(args.join(&b' '))
}

fn replica_of(args: &[&[u8]]) -> Result<Vec<u8>, ValueError> {
    let &[host, port] = args else {
        return Err(ValueError::new("wrong number of arguments"));
    };
    if host.eq_ignore_ascii_case(b"no") && port.eq_ignore_ascii_case(b"one") {
        return Ok(Vec::new());
    }
    let port = strict_int(port)
        .filter(|port| (0..=65535).contains(port))
        .ok_or_else(|| ValueError::new("Invalid master port"))?;
    Ok([host, port.to_string().as_bytes()].join(&b' '))
}

fn percentiles(args: &[&[u8]]) -> Result<Vec<u8>, ValueError> {
    if args == [b""] {
        return Ok(Vec::new());
    }
    let mut shown = Vec::new();
    for arg in args {
        let number = std::str::from_utf8(arg)
            .ok()
            .and_then(|text| text.parse::<f64>().ok())
            .filter(|number| !number.is_nan())
            .ok_or_else(|| {
                ValueError::new("Invalid latency-tracking-info-percentiles parameters")
            })?;
        if !(0.0..=100.0).contains(&number) {
            return Err(ValueError::new(
                "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]",
            ));
        }
        let fixed = format!("{number:.6}");
        shown.push(fixed.trim_end_matches('0').trim_end_matches('.').to_owned());
    }
    Ok(shown.join(" ").into_bytes())
}

fn is_version(value: &[u8]) -> bool {
    let is_number = |part: &[u8]| {
        let text = std::str::from_utf8(part).unwrap_or_default();
        let digits = !part.is_empty() && part.iter().all(u8::is_ascii_digit);
        digits && text.parse::<u8>().is_ok()
    };
    let parts: Vec<&[u8]> = value.split(|&byte| byte == b'.').collect();
    parts.len() == 3 && parts.into_iter().all(is_number)
}

fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.')
}

/// Whether a template is not blank and has only variables that Redis knows.
fn is_title_template(value: &[u8]) -> bool {
    const VARIABLES: [&str; 7] = [
        "title",
        "listen-addr",
        "server-mode",
        "port",
        "tls-port",
        "unixsocket",
        "config-file",
    ];
    let text = String::from_utf8_lossy(value);
    !text.trim().is_empty()
        && text.split('{').skip(1).all(|part| {
            part.split_once('}')
                .is_some_and(|(variable, _)| VARIABLES.contains(&variable))
        })
}

fn json(value: &[u8]) -> Result<Vec<u8>, ValueError> {
    if value.is_empty() {
        return Ok(Vec::new());
    }
    match serde_json::from_slice::<serde_json::Value>(value) {
        Ok(serde_json::Value::Object(_)) => Ok(value.to_vec()),
        Ok(_) => Err(ValueError::new("argument must be a JSON object")),
        Err(error) => Err(ValueError::new(format!(
            "argument must be a JSON object: {error}"
        ))),
    }
}
