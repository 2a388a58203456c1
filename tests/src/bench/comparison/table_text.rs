//! What tables are put together of.

use std::fmt::Write;

use crate::bench::spread::Spread;

pub(super) fn add(text: &mut String, more: &str) {
    text.write_str(more).expect("a String takes all text");
}

pub(super) fn ranged(spread: Spread) -> String {
    let Spread { median, low, high } = spread;
    format!("{} ({}..{})", number(median), number(low), number(high))
}

/// Three digits, or all before the point.
pub(super) fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::number;

    #[test]
    fn numbers_have_three_digits() {
        assert_eq!([0.05, 9.876, 98.76, 987.6, 98765.0].map(number), ["0.05", "9.88", "98.8", "988", "98765"]);
    }
}
