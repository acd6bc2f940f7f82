//! The status page: what an operator wants to see first, as one page of plain HTML. It names no key, no value and no client,
//! since there is no password, and it loads nothing from elsewhere.

use std::fmt::{self, Write};
use std::time::Duration;

use crate::catalog::table;
use crate::keyspace::{DATABASES, Keyspace, KeyspaceError, now_ms};
use crate::state::{Durations, Server, redis_version};
use crate::system::resident_bytes;

/// How often a browser loads the page again.
const RELOAD_SECONDS: u32 = 5;

/// Commands that the table of latencies shows: those that took the most time.
const COMMANDS_SHOWN: usize = 12;

/// Slow calls that the page shows.
const SLOW_CALLS_SHOWN: usize = 10;

const STYLE: &str = "body{font:15px/1.4 sans-serif;margin:2em auto;max-width:60em;padding:0 1em;color:#222;background:#fff}\
    h1{font-size:1.4em}h2{font-size:1.1em;margin:1.5em 0 .3em}table{border-collapse:collapse}\
    td,th{padding:.15em 1.2em .15em 0;text-align:left}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}\
    meter{width:16em}@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}}";

/// The page.
pub(super) fn html(server: &Server, keyspace: &Keyspace) -> Result<String, PageError> {
    let mut page = Page(String::with_capacity(16 * 1024));
    page.head()?;
    page.state(server, keyspace)?;
    page.traffic(server)?;
    page.data(server, keyspace)?;
    page.latencies(server)?;
    page.slow_calls(server)?;
    page.0.push_str("</body></html>\n");
    Ok(page.0)
}

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub(super) enum PageError {
    #[error(transparent)]
    Keyspace(#[from] KeyspaceError),
    #[error(transparent)]
    Text(#[from] fmt::Error),
}

struct Page(String);

impl Page {
    fn head(&mut self) -> fmt::Result {
        write!(
            self.0,
            "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta http-equiv=\"refresh\" content=\"{RELOAD_SECONDS}\">\
             <meta name=\"viewport\" content=\"width=device-width\">\
             <title>pmemkv-server</title><style>{STYLE}</style></head><body>\n<h1>pmemkv-server {}</h1>\n",
            env!("CARGO_PKG_VERSION")
        )
    }

    /// Begins a table with a heading.
    fn table(&mut self, id: &str, title: &str) -> fmt::Result {
        writeln!(self.0, "<h2>{title}</h2>\n<table id=\"{id}\">")
    }

    fn end_table(&mut self) {
        self.0.push_str("</table>\n");
    }

    fn row(&mut self, name: &str, value: impl fmt::Display) -> fmt::Result {
        let value = escaped(&value.to_string());
        writeln!(self.0, "<tr><th>{name}</th><td>{value}</td></tr>")
    }

    fn state(&mut self, server: &Server, keyspace: &Keyspace) -> Result<(), PageError> {
        let stats = keyspace.stats()?;
        self.table("state", "State")?;
        let activity = match keyspace.loading().progress() {
            Some(progress) => format!("reading the pool: {} %", progress.percent()),
            None => "serving".to_owned(),
        };
        self.row("state", activity)?;
        self.row("up for", span(server.started.elapsed()))?;
        if let Some(opens) = stats.opens {
            // The first open made the pool.
            self.row("restarts of this pool", opens.saturating_sub(1))?;
        }
        self.row("acknowledged writes survive", server.durability.words)?;
        self.row(
            "engine, layout",
            format_args!("{}, {}", stats.engine, stats.layout),
        )?;
        if let Some(path) = &stats.pool_path {
            self.row("pool", path.display())?;
        }
        self.row("speaks as Redis", redis_version())?;
        self.end_table();
        Ok(())
    }

    fn traffic(&mut self, server: &Server) -> fmt::Result {
        let rates = server.rates.per_second();
        let sums = server.stats.snapshot();
        self.table("traffic", "Traffic")?;
        self.row("commands per second", rates.commands)?;
        self.row("read per second", bytes(rates.input_bytes))?;
        self.row("written per second", bytes(rates.output_bytes))?;
        let calls: u64 = sums.commands.iter().map(|command| command.calls).sum();
        self.row("commands since the start", calls)?;
        self.row("error replies", sums.error_replies)?;
        let found = share(sums.hits, sums.hits + sums.misses);
        self.row("look-ups that found their key", found)?;
        let clients = server.clients.len();
        let most = server.config.settings().maxclients;
        self.row("clients", format_args!("{clients} of {most}"))?;
        self.end_table();
        Ok(())
    }

    fn data(&mut self, server: &Server, keyspace: &Keyspace) -> Result<(), PageError> {
        let stats = keyspace.stats()?;
        let detail = |wanted: &str| {
            let mut details = stats.details.iter();
            details
                .find(|(name, _)| *name == wanted)
                .map(|(_, value)| *value)
        };
        self.table("data", "Memory and pool")?;
        let (used, most) = (stats.stored_bytes, stats.stored_bytes_max);
        if most > 0 {
            let fill = share(used, most);
            writeln!(
                self.0,
                "<tr><th>pool fill</th><td><meter min=\"0\" max=\"{most}\" high=\"{}\" value=\"{used}\"></meter> {fill} of {}\
                 </td></tr>",
                most / 10 * 9,
                bytes(most)
            )?;
        }
        self.row(
            "pool",
            format_args!(
                "{}, {} allocated",
                bytes(stats.pool_bytes),
                bytes(stats.allocated_bytes)
            ),
        )?;
        if let (Some(segments), Some(free), Some(max)) = (
            detail("segments"),
            detail("segments_free"),
            detail("segments_max"),
        ) {
            self.row(
                "segments",
                format_args!("{segments} of {max}, {free} of them free"),
            )?;
        }
        if let Some(damaged) = detail("damaged_segments").filter(|damaged| *damaged > 0) {
            self.row("damaged segments and values", damaged)?;
        }
        self.row("index in DRAM", bytes(stats.index_bytes))?;
        self.row("resident set", bytes(resident_bytes()))?;
        match server.config.settings().maxmemory {
            0 => self.row("maxmemory", "what the pool can hold")?,
            max => self.row("maxmemory", bytes(max))?,
        }
        let evicted = keyspace.eviction().stats(now_ms()).evicted_keys;
        self.row(
            "keys evicted, expired",
            format_args!("{evicted}, {}", stats.expired_keys),
        )?;
        let now = now_ms();
        for db in 0..DATABASES {
            let figures = keyspace.databases().stats(db, now);
            if figures.keys > 0 {
                self.row(
                    &format!("keys of database {db}"),
                    format_args!("{}, {} with a deadline", figures.keys, figures.expires),
                )?;
            }
        }
        self.end_table();
        Ok(())
    }

    fn latencies(&mut self, server: &Server) -> fmt::Result {
        let mut commands: Vec<(&str, Durations)> = table()
            .all()
            .iter()
            .filter_map(|command| {
                let durations = server.stats.durations(command.number)?;
                Some((command.full_name, durations))
            })
            .collect();
        commands.sort_by_key(|(_, durations)| std::cmp::Reverse(durations.total()));
        self.table("latency", "Latency of commands")?;
        self.0.push_str(
            "<tr><th>command</th><th class=\"n\">calls</th><th class=\"n\">p50</th><th class=\"n\">p99</th>\
             <th class=\"n\">p99.9</th></tr>\n",
        );
        for (name, durations) in commands.iter().take(COMMANDS_SHOWN) {
            write!(
                self.0,
                "<tr><td>{}</td><td class=\"n\">{}</td>",
                escaped(name),
                durations.calls()
            )?;
            for percent in [50.0, 99.0, 99.9] {
                let nanos = durations.percentile(percent);
                write!(self.0, "<td class=\"n\">{}</td>", micros(nanos))?;
            }
            self.0.push_str("</tr>\n");
        }
        self.end_table();
        Ok(())
    }

    fn slow_calls(&mut self, server: &Server) -> fmt::Result {
        let calls = server.slowlog.newest(SLOW_CALLS_SHOWN);
        self.table("slow", "Slow log")?;
        if calls.is_empty() {
            self.0.push_str("<tr><td>empty</td></tr>\n");
        }
        for call in calls {
            // The words that name the command, and none of its arguments.
            let name: Vec<String> = call
                .arguments
                .iter()
                .take(call.name_len)
                .map(|word| escaped(&String::from_utf8_lossy(word)))
                .collect();
            let age = now_ms() / 1_000 - call.at_s;
            writeln!(
                self.0,
                "<tr><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{} s ago</td></tr>",
                name.join(" "),
                micros(call.amount.saturating_mul(1_000)),
                age.max(0)
            )?;
        }
        self.end_table();
        Ok(())
    }
}

/// Text that HTML cannot mistake for marks.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            other => safe.push(other),
        }
    }
    safe
}

#[allow(clippy::cast_precision_loss)] // Three digits are shown.
fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1_024.0 && unit + 1 < UNITS.len() {
        value /= 1_024.0;
        unit += 1;
    }
    if unit == 0 {
        format!("{bytes} B")
    } else {
        format!("{value:.1} {}", UNITS[unit])
    }
}

#[allow(clippy::cast_precision_loss)] // One digit behind the point is shown.
fn share(part: u64, all: u64) -> String {
    if all == 0 {
        return "none yet".to_owned();
    }
    format!("{:.1} %", part as f64 / all as f64 * 100.0)
}

#[allow(clippy::cast_precision_loss)] // One digit behind the point is shown.
fn micros(nanos: u64) -> String {
    format!("{:.1} µs", nanos as f64 / 1_000.0)
}

fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, ..) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_for_people() {
        assert_eq!(bytes(1_023), "1023 B");
        assert_eq!(bytes(1_536), "1.5 KiB");
        assert_eq!(bytes(u64::MAX), "16777216.0 TiB");
        assert_eq!(share(1, 3), "33.3 %");
        assert_eq!(share(0, 0), "none yet");
        assert_eq!(span(Duration::from_secs(59)), "59 s");
        assert_eq!(span(Duration::from_secs(3_661)), "1 h 1 min");
        assert_eq!(span(Duration::from_secs(200_000)), "2 d 7 h");
        assert_eq!(
            escaped("<a href=\"&\">"),
            "&lt;a href=&quot;&amp;&quot;&gt;"
        );
    }
}
