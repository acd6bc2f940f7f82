//! The rows of the table: each one that says so sets a field, and the field takes every value that the row allows.

use std::collections::BTreeSet;

use super::super::directives::Effect;
use super::super::value::Mode;
use super::super::{DIRECTIVES, Kind, Settings, Values};

/// Arguments that the kind allows, among them the ends of its range.
fn samples(kind: Kind) -> Vec<Vec<String>> {
    let one = |values: &[&str]| {
        values
            .iter()
            .map(|value| vec![(*value).to_owned()])
            .collect()
    };
    match kind {
        Kind::Bool => one(&["no", "yes"]),
        Kind::Int { min, max } => one(&[&min.to_string(), &max.to_string()]),
        Kind::Clamped { least, most } => one(&["0", &least.to_string(), &most.to_string()]),
        Kind::Memory { min, max } => one(&[&min.to_string(), &max.to_string()]),
        Kind::MemoryOrPercent => one(&["1", "5%"]),
        Kind::Octal { max } => one(&["0", &format!("{max:o}")]),
        Kind::Enum(words) => one(words),
        Kind::EnumSet(words) => one(&words[1..]),
        Kind::Text | Kind::FileName(_) | Kind::WorkingDirectory | Kind::HostName | Kind::Engine => {
            one(&["a", "b"])
        }
        Kind::TitleTemplate => one(&["{title}", "{port}"]),
        Kind::Save => vec![vec!["900".to_owned(), "1".to_owned()], Vec::new()],
        Kind::BufferLimits => ["1", "2"]
            .map(|number| {
                ["pubsub", number, number, number]
                    .map(str::to_owned)
                    .to_vec()
            })
            .to_vec(),
        Kind::OomScores => ["1", "2"].map(|score| vec![score.to_owned(); 3]).to_vec(),
        Kind::Events => one(&["", "KEA", "Kx"]),
        Kind::Addresses => one(&["127.0.0.1", "-::1", "*"]),
        Kind::ReplicaOf => ["h", "i"]
            .map(|host| vec![host.to_owned(), "1".to_owned()])
            .to_vec(),
        Kind::Version => one(&["7.2.0", "7.4.1", "8.255.0"]),
        Kind::Percentiles => one(&["0", "100", "99.9"]),
        Kind::Json => one(&["", "{}", "{\"size\": 1}"]),
        Kind::Unsupported => one(&["replicaof", "loadmodule"]),
    }
}

#[test]
fn each_row_sets_a_field_of_its_own() {
    for (place, directive) in DIRECTIVES.iter().enumerate() {
        let mut values = BTreeSet::new();
        let mut settings: Vec<Settings> = Vec::new();
        for sample in samples(directive.kind) {
            let args: Vec<&[u8]> = sample.iter().map(String::as_bytes).collect();
            let mut all = Values::default();
            let checked = directive
                .kind
                .check(directive.name, &args, &all.shown[place], Mode::First)
                .unwrap_or_else(|error| panic!("{} {sample:?}: {error}", directive.name));
            if !values.insert(checked.clone()) {
                continue;
            }
            all.shown[place] = checked;
            // A number that its field cannot hold panics here.
            let with_sample = Settings::from_values(&all);
            if !settings.contains(&with_sample) {
                settings.push(with_sample);
            }
        }
        assert!(values.len() > 1, "{} needs two samples", directive.name);
        // Where a second row sets the same field, one of the two rows changes nothing.
        let fields = match directive.effect {
            Effect::Sets(_) => values.len(),
            Effect::ReadElsewhere | Effect::Nothing => 1,
        };
        assert_eq!(settings.len(), fields, "{}", directive.name);
    }
}

/// A field that no row sets would keep the blank of `Settings::default()`.
#[test]
fn each_field_has_a_row() {
    let shown = format!("{:#?}", Settings::default());
    let mut fields = Vec::new();
    let mut within = "";
    for line in shown.lines() {
        let Some((name, value)) = line.trim_start().split_once(": ") else {
            continue;
        };
        let depth = line.len() - line.trim_start().len();
        match (depth, within) {
            (4, _) if value.starts_with("TlsSettings") => within = "tls.",
            (4, _) if value.starts_with("FormSettings") => within = "forms.",
            (4, _) if value.starts_with("ReplicationSettings") => within = "replication.",
            (4, _) if value.starts_with("FeedSettings") => within = "feed.",
            (4, _) => {
                within = "";
                fields.push(name.to_owned());
            }
            (8, "tls." | "forms." | "replication." | "feed.") => {
                fields.push(format!("{within}{name}"));
            }
            _ => {}
        }
    }
    // These come from the values of several directives, or from lines that are no directives.
    fields.retain(|name| !["promises_power", "rename_commands", "users"].contains(&name.as_str()));
    let setters = DIRECTIVES
        .iter()
        .filter(|directive| matches!(directive.effect, Effect::Sets(_)));
    assert_eq!(setters.count(), fields.len(), "{fields:?}");
}
