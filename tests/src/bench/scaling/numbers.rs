//! Figures for people.

/// With three or four digits that count, and a comma between thousands.
pub(super) fn shown(value: f64) -> String {
    let decimals = match value.abs() {
        size if size < f64::EPSILON => 0,
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 0.1 => 2,
        _ => 4,
    };
    let text = format!("{value:.decimals$}");
    let text = if decimals > 0 { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    let (whole, fraction) = text.split_once('.').map_or((text, None), |(whole, fraction)| (whole, Some(fraction)));
    let grouped = grouped(whole);
    fraction.map_or(grouped.clone(), |fraction| format!("{grouped}.{fraction}"))
}

/// A whole number, with a comma between thousands.
pub(super) fn count(number: u32) -> String {
    grouped(&number.to_string())
}

fn grouped(digits: &str) -> String {
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits), |digits| ("-", digits));
    let mut text = sign.to_owned();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{count, shown};

    #[test]
    fn figures_have_as_many_digits_as_they_are_worth() {
        let cases = [(0.0, "0"), (1_000_000.0, "1,000,000"), (1234.5, "1,234"), (12.34, "12.3"), (0.5, "0.5")];
        for (value, text) in cases {
            assert_eq!(shown(value), text);
        }
        assert_eq!(
            (shown(0.0012).as_str(), shown(-1234.0).as_str(), shown(100.0).as_str()),
            ("0.0012", "-1,234", "100")
        );
        assert_eq!([999, 1000, 123_456].map(count), ["999", "1,000", "123,456"]);
    }
}
