//! Values of other keys, whose names are made of an element: BY and GET.

use crate::commands::{CommandError, Context};
use crate::keyspace::View;

/// What BY or GET names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pattern<'a> {
    /// `#`: the element itself.
    Element,
    /// A key, the element between two parts, or a field of it.
    Key {
        before: &'a [u8],
        after: &'a [u8],
        field: Option<&'a [u8]>,
    },
    /// An argument without `*`: no key.
    Nothing,
}

impl<'a> Pattern<'a> {
    /// BY's argument.
    pub(super) fn by(argument: &'a [u8]) -> Self {
        match Self::parse(argument) {
            // Only GET knows `#`.
            Pattern::Element => Pattern::Nothing,
            other => other,
        }
    }

    /// GET's argument.
    pub(super) fn parse(argument: &'a [u8]) -> Self {
        if argument == b"#" {
            return Pattern::Element;
        }
        let Some(star) = memchr::memchr(b'*', argument) else {
            return Pattern::Nothing;
        };
        let (before, after) = (&argument[..star], &argument[star + 1..]);
        match memchr::memmem::find(after, b"->") {
            Some(arrow) if arrow + 2 < after.len() => Pattern::Key {
                before,
                after: &after[..arrow],
                field: Some(&after[arrow + 2..]),
            },
            _ => Pattern::Key {
                before,
                after,
                field: None,
            },
        }
    }

    /// The value for an element; `None` where there is none, or none of the type that is asked for.
    pub(super) fn value(
        self,
        ctx: &mut Context<'_>,
        element: &[u8],
    ) -> Result<Option<Vec<u8>>, CommandError> {
        let (before, after, field) = match self {
            Pattern::Element => return Ok(Some(element.to_vec())),
            Pattern::Nothing => return Ok(None),
            Pattern::Key {
                before,
                after,
                field,
            } => (before, after, field),
        };
        let key = [before, element, after].concat();
        ctx.view(&key, |view, _| match (view, field) {
            (Some(View::String(string)), None) => Ok(Some(string.whole()?.into_owned())),
            (Some(View::Hash(fields)), Some(field)) => Ok(fields.get(field, <[u8]>::to_vec)?),
            _ => Ok(None),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        let key =
            |before: &'static str, after: &'static str, field: Option<&'static str>| Pattern::Key {
                before: before.as_bytes(),
                after: after.as_bytes(),
                field: field.map(str::as_bytes),
            };
        for (argument, expected) in [
            ("#", Pattern::Element),
            ("nosort", Pattern::Nothing),
            ("", Pattern::Nothing),
            ("w_*", key("w_", "", None)),
            ("a*b*", key("a", "b*", None)),
            ("h_*->f", key("h_", "", Some("f"))),
            ("h_*x->f->g", key("h_", "x", Some("f->g"))),
            ("h_*->", key("h_", "->", None)),
            ("a->*", key("a->", "", None)),
        ] {
            assert_eq!(Pattern::parse(argument.as_bytes()), expected, "{argument}");
        }
    }
}
