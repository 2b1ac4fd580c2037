//! Small words: numbers, lengths of time, instants.

use ideal_core::time::{Bytes, Span, Time};

/// `3 volumes`.
pub(crate) fn counted(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

/// `, started again once`; nothing where it never was.
pub(crate) fn again(restarts: u32) -> Option<String> {
    match restarts {
        0 => None,
        1 => Some(", started again once".to_owned()),
        count => Some(format!(", started again {count} times")),
    }
}

/// `43ms`, `12.0s`, `1m17s`, `2h05m`, `3d`.
pub(crate) fn span(span: Span) -> String {
    let seconds = span.0 / 1000;
    match seconds {
        0 => format!("{}ms", span.0),
        1..60 => format!("{}.{}s", seconds, span.0 % 1000 / 100),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h{:02}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// `2026-11-20 12:01:44`, in the time of this place.
pub(crate) fn date(at: Time) -> String {
    local(at).map_or_else(|| at.0.to_string(), |at| at.strftime("%Y-%m-%d %H:%M:%S").to_string())
}

/// `12:01:44`, in the time of this place.
pub(crate) fn clock(at: Time) -> String {
    local(at).map_or_else(|| at.0.to_string(), |at| at.strftime("%H:%M:%S").to_string())
}

fn local(at: Time) -> Option<jiff::Zoned> {
    let at = jiff::Timestamp::from_millisecond(i64::try_from(at.0).ok()?).ok()?;
    Some(at.to_zoned(jiff::tz::TimeZone::system()))
}

/// Rounded to one unit: `84.2GiB`.
pub(crate) fn bytes(bytes: Bytes) -> String {
    let text = bytes.to_string();
    if text.len() <= 8 {
        return text;
    }
    for (unit, size) in [("TiB", 1_u64 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
        if bytes.0 >= size {
            return format!("{}.{}{unit}", bytes.0 / size, bytes.0 % size * 10 / size);
        }
    }
    text
}

/// The first line of a text, cut when it is long.
pub(crate) fn line(text: &str, most: usize) -> String {
    let first = text.lines().next().unwrap_or_default();
    match first.char_indices().nth(most) {
        Some((at, _)) => format!("{}\u{2026}", &first[..at]),
        None => first.to_owned(),
    }
}
