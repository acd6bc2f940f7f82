//! Numbers as Redis reads and writes them.

/// A double as RESP writes it: the shortest digits that read back the same, `inf`, `-inf`, `nan`, no trailing `.0`.
pub fn format_double(value: f64) -> String {
    if value.is_nan() {
        "nan".into()
    } else if value.is_infinite() {
        if value > 0.0 { "inf" } else { "-inf" }.into()
    } else {
        format!("{value}")
    }
}
