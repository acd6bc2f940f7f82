//! The values of directives, in words.

use crate::value::Kind;

impl Kind {
    /// A word for the value in documents.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Bool => "yes|no",
            Self::Int { .. } | Self::Clamped { .. } => "number",
            Self::Memory { .. } => "bytes",
            Self::MemoryOrPercent => "bytes|percent",
            Self::Octal { .. } => "mode",
            Self::Enum(_) => "word",
            Self::EnumSet(_) => "words",
            Self::Text | Self::TitleTemplate => "text",
            Self::FileName(_) => "name",
            Self::WorkingDirectory => "directory",
            Self::HostName => "host",
            Self::Save => "seconds changes",
            Self::BufferLimits => "class hard soft seconds",
            Self::OomScores => "scores",
            Self::Events => "classes",
            Self::Addresses => "addresses",
            Self::ReplicaOf => "host port",
            Self::Percentiles => "percentiles",
            Self::Version => "version",
            Self::Json => "object",
            Self::Engine => "engine",
            Self::Unsupported => "directives",
        }
    }

    /// The values that are allowed, for documents; empty if [`word`](Self::word) says it all.
    pub(super) fn allowed(self) -> String {
        match self {
            Self::Int { min, max } if max >= i64::from(i32::MAX) && min <= i64::from(i32::MIN) => {
                String::new()
            }
            Self::Int { min, max } if max >= i64::from(i32::MAX) => format!("From {min} on"),
            Self::Int { min, max } => format!("{min} to {max}"),
            Self::Clamped { least, most } => format!("Brought to {least} to {most}"),
            Self::Memory { min, .. } if min > 0 => format!("From {min} on"),
            Self::Octal { max } => format!("0 to {max:o}"),
            Self::Enum(words) => format!("One of {}", words.join(", ")),
            Self::EnumSet(words) => format!("Of {}", words.join(", ")),
            _ => String::new(),
        }
    }
}
