//! COMMAND INFO's description of one command.

use crate::catalog::spec::{Categories, Find, Flags, KeySpec};
use crate::catalog::{Command, table};
use crate::protocol::ReplyBuffer;

/// Writes the ten fields of a command: name, arity, flags, the old key range, ACL categories, tips, key specifications
/// and subcommands.
pub(super) fn write_info(out: &mut ReplyBuffer, command: &Command) {
    let spec = command.spec;
    out.array_header(10);
    out.bulk(command.full_name.as_bytes());
    out.integer(spec.arity.number());
    let flags: Vec<&str> = Flags::NAMED
        .iter()
        .filter(|(flag, name)| !name.is_empty() && spec.flags.contains(*flag))
        .map(|&(_, name)| name)
        .collect();
    write_names(out, &flags);
    let (first, last, step) = old_range(spec.keys);
    out.integer(first);
    out.integer(last);
    out.integer(step);
    let all = spec.acl_categories();
    let categories: Vec<String> = Categories::NAMED
        .iter()
        .filter(|(category, _)| all.contains(*category))
        .map(|(_, name)| format!("@{name}"))
        .collect();
    write_names(out, &categories);
    out.set_header(spec.notes.tips.len());
    for tip in spec.notes.tips {
        out.bulk(tip.as_bytes());
    }
    out.set_header(spec.keys.len());
    for key in spec.keys {
        write_key_spec(out, key);
    }
    write_subcommands(out, table().subcommands(command));
}

/// A set of simple strings.
fn write_names<S: AsRef<str>>(out: &mut ReplyBuffer, names: &[S]) {
    out.set_header(names.len());
    for name in names {
        out.simple(name.as_ref());
    }
}

fn write_subcommands(out: &mut ReplyBuffer, subcommands: &[Command]) {
    if subcommands.is_empty() {
        // As in Redis: an empty set, but a list if there are any.
        out.set_header(0);
        return;
    }
    out.array_header(subcommands.len());
    for sub in subcommands {
        write_info(out, sub);
    }
}

fn write_key_spec(out: &mut ReplyBuffer, key: &KeySpec) {
    let number = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    out.map_header(3 + usize::from(!key.notes.is_empty()));
    if !key.notes.is_empty() {
        out.bulk(b"notes");
        out.bulk(key.notes.as_bytes());
    }
    out.bulk(b"flags");
    write_names(out, key.flags);
    out.bulk(b"begin_search");
    let (start, pairs) = match key.find {
        Find::Range | Find::Counted | Find::Unless(..) => ("index", 1),
        Find::After(..) | Find::HalfAfter(_) | Find::RestAfter(..) => ("keyword", 2),
        Find::HiddenAfter(..) | Find::Unknown => ("unknown", 0),
    };
    write_search(out, start, pairs);
    match key.find {
        Find::Range | Find::Counted | Find::Unless(..) => {
            write_numbers(out, &[("index", number(key.first))]);
        }
        Find::After(keyword, _) | Find::HalfAfter(keyword) => {
            out.bulk(b"keyword");
            out.bulk(keyword.as_bytes());
            write_numbers(out, &[("startfrom", number(key.first))]);
        }
        Find::RestAfter(keyword, _) => {
            out.bulk(b"keyword");
            out.bulk(keyword.as_bytes());
            // The last but one: a search from behind.
            write_numbers(out, &[("startfrom", -2)]);
        }
        Find::HiddenAfter(..) | Find::Unknown => {}
    }
    out.bulk(b"find_keys");
    let step = number(key.step);
    match key.find {
        Find::Range
        | Find::After(..)
        | Find::HalfAfter(_)
        | Find::Unless(..)
        | Find::RestAfter(..) => {
            write_search(out, "range", 3);
            let last = i64::try_from(key.last).unwrap_or(-1);
            let limit = if matches!(key.find, Find::HalfAfter(_)) {
                2
            } else {
                0
            };
            write_numbers(
                out,
                &[("lastkey", last), ("keystep", step), ("limit", limit)],
            );
        }
        Find::Counted => {
            write_search(out, "keynum", 3);
            write_numbers(out, &[("keynumidx", 0), ("firstkey", 1), ("keystep", step)]);
        }
        Find::HiddenAfter(..) | Find::Unknown => write_search(out, "unknown", 0),
    }
}

/// The head of a map that says how keys are found. Its caller writes `pairs` pairs behind it.
fn write_search(out: &mut ReplyBuffer, name: &str, pairs: usize) {
    out.map_header(2);
    out.bulk(b"type");
    out.bulk(name.as_bytes());
    out.bulk(b"spec");
    out.map_header(pairs);
}

fn write_numbers(out: &mut ReplyBuffer, numbers: &[(&str, i64)]) {
    for (name, number) in numbers {
        out.bulk(name.as_bytes());
        out.integer(*number);
    }
}

/// First key, last key and step, as clients knew them before there were key specifications.
///
/// Several specifications become one range where they follow one another without a gap.
fn old_range(keys: &[KeySpec]) -> (i64, i64, i64) {
    let number = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    let last_of = |key: &KeySpec| {
        usize::try_from(key.last).map_or(i64::try_from(key.last).unwrap_or(-1), |offset| {
            number(key.first + offset)
        })
    };
    let (head, tail) = match keys.split_first() {
        Some((head, tail)) if matches!(head.find, Find::Range | Find::Unless(..)) => (head, tail),
        _ => return (0, 0, 0),
    };
    let mut last = last_of(head);
    for key in tail {
        if key.find == Find::Range && key.step == 1 && last + 1 == number(key.first) {
            last = last_of(key);
        }
    }
    (number(head.first), last, number(head.step))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_range_for_all_keys() {
        let first = KeySpec::first(&["RO"]);
        assert_eq!(old_range(&[]), (0, 0, 0));
        assert_eq!(old_range(&[first]), (1, 1, 1));
        assert_eq!(old_range(&[KeySpec::range(&[], 1, -1, 2)]), (1, -1, 2));
        assert_eq!(old_range(&[KeySpec::range(&[], 1, 1, 1)]), (1, 2, 1));
        let second = KeySpec::range(&["RW"], 2, 0, 1);
        assert_eq!(old_range(&[first, second]), (1, 2, 1));
        assert_eq!(old_range(&[second]), (2, 2, 1));
    }
}
