//! COMMAND DOCS: the documentation of one command. redis-cli makes its hints and completion from it.

use crate::catalog::spec::{Argument, ArgumentKind};
use crate::catalog::{Command, table};
use crate::protocol::ReplyBuffer;

/// Writes the map of a command's documentation.
pub(super) fn write_docs(out: &mut ReplyBuffer, command: &Command) {
    let spec = command.spec;
    let has_arguments = !spec.arguments.is_empty();
    let subcommands = table().subcommands(command);
    let notes = spec.notes;
    let (deprecated_since, replaced_by) = notes.deprecated.unwrap_or_default();
    let flags: Vec<&str> = [
        (notes.deprecated.is_some(), "deprecated"),
        (notes.is_internal, "syscmd"),
    ]
    .into_iter()
    .filter_map(|(on, name)| on.then_some(name))
    .collect();
    let texts_after = [
        ("deprecated_since", deprecated_since),
        ("replaced_by", replaced_by),
    ];
    let fields = [
        ("summary", spec.summary),
        ("since", spec.since),
        ("group", spec.group.name()),
        ("complexity", spec.complexity),
    ];
    // Redis leaves out a missing complexity, and whatever does not apply.
    let texts = fields.iter().chain(&texts_after);
    let parts = [
        !flags.is_empty(),
        !notes.history.is_empty(),
        has_arguments,
        !subcommands.is_empty(),
    ];
    out.map_header(
        texts.filter(|(_, text)| !text.is_empty()).count()
            + parts.into_iter().filter(|there| *there).count(),
    );
    write_texts(out, &fields);
    if !flags.is_empty() {
        out.bulk(b"doc_flags");
        out.set_header(flags.len());
        for flag in flags {
            out.simple(flag);
        }
    }
    write_texts(out, &texts_after);
    if !notes.history.is_empty() {
        out.bulk(b"history");
        out.set_header(notes.history.len());
        for (version, change) in notes.history {
            out.array_header(2);
            out.bulk(version.as_bytes());
            out.bulk(change.as_bytes());
        }
    }
    if has_arguments {
        out.bulk(b"arguments");
        write_arguments(out, spec.arguments);
    }
    if !subcommands.is_empty() {
        out.bulk(b"subcommands");
        out.map_header(subcommands.len());
        for sub in subcommands {
            out.bulk(sub.full_name.as_bytes());
            write_docs(out, sub);
        }
    }
}

fn write_arguments(out: &mut ReplyBuffer, arguments: &[Argument]) {
    out.array_header(arguments.len());
    for argument in arguments {
        write_argument(out, argument);
    }
}

fn type_name(kind: ArgumentKind) -> &'static str {
    match kind {
        ArgumentKind::String => "string",
        ArgumentKind::Integer => "integer",
        ArgumentKind::Double => "double",
        ArgumentKind::Key(_) => "key",
        ArgumentKind::Pattern => "pattern",
        ArgumentKind::UnixTime => "unix-time",
        ArgumentKind::PureToken => "pure-token",
        ArgumentKind::OneOf(_) => "oneof",
        ArgumentKind::Block(_) => "block",
    }
}

fn write_argument(out: &mut ReplyBuffer, argument: &Argument) {
    let nested = match argument.kind {
        ArgumentKind::OneOf(nested) | ArgumentKind::Block(nested) => Some(nested),
        _ => None,
    };
    let key_spec = match argument.kind {
        ArgumentKind::Key(index) => Some(index),
        _ => None,
    };
    // An argument without parts has a display text: its name, unless the row gives another.
    let display = match (argument.display, nested) {
        ("", None) => argument.name,
        (display, _) => display,
    };
    let flags: Vec<&str> = [
        (argument.optional, "optional"),
        (argument.multiple, "multiple"),
        (argument.multiple_token, "multiple_token"),
    ]
    .into_iter()
    .filter_map(|(on, name)| on.then_some(name))
    .collect();
    let texts_before = [
        ("name", argument.name),
        ("type", type_name(argument.kind)),
        ("display_text", display),
    ];
    let texts_after = [
        ("token", argument.token),
        ("since", argument.since),
        ("deprecated_since", argument.deprecated_since),
    ];
    let texts = texts_before.iter().chain(&texts_after);
    let fields = texts.filter(|(_, text)| !text.is_empty()).count()
        + usize::from(key_spec.is_some())
        + usize::from(!flags.is_empty())
        + usize::from(nested.is_some());
    out.map_header(fields);
    write_texts(out, &texts_before);
    if let Some(index) = key_spec {
        out.bulk(b"key_spec_index");
        out.integer(i64::try_from(index).unwrap_or(i64::MAX));
    }
    write_texts(out, &texts_after);
    if !flags.is_empty() {
        out.bulk(b"flags");
        out.set_header(flags.len());
        for flag in flags {
            out.simple(flag);
        }
    }
    if let Some(nested) = nested {
        out.bulk(b"arguments");
        write_arguments(out, nested);
    }
}

/// The texts that there are.
fn write_texts(out: &mut ReplyBuffer, texts: &[(&str, &str)]) {
    for (name, text) in texts {
        if !text.is_empty() {
            out.bulk(name.as_bytes());
            out.bulk(text.as_bytes());
        }
    }
}
