//! Numbers in few characters.

/// Per second: `0`, `0.3`, `12.4`, `345`, `1.2k`, `34.5k`, `1.2M`.
pub(super) fn rate(value: f64) -> String {
    match value {
        value if value <= 0.0 => "0".to_owned(),
        value if value < 0.05 => "<0.1".to_owned(),
        value if value < 99.95 => format!("{value:.1}"),
        value if value < 999.5 => format!("{value:.0}"),
        value if value < 999_950.0 => format!("{:.1}k", value / 1e3),
        value if value < 999_950_000.0 => format!("{:.1}M", value / 1e6),
        value => format!("{:.1}G", value / 1e9),
    }
}

/// Seconds with a unit: `850µs`, `1.2ms`, `34ms`, `1.2s`, `95s`.
pub(super) fn seconds(value: f64) -> String {
    match value {
        value if value < 0.000_999_5 => format!("{:.0}µs", value * 1e6),
        value if value < 0.009_95 => format!("{:.1}ms", value * 1e3),
        value if value < 0.999_5 => format!("{:.0}ms", value * 1e3),
        value if value < 9.95 => format!("{value:.1}s"),
        value => format!("{value:.0}s"),
    }
}

/// Part of a whole in per cent: `0`, `0.02`, `1.5`, `37`, `100`.
pub(super) fn percent(part: f64, whole: f64) -> String {
    if part <= 0.0 || whole <= 0.0 {
        return "0".to_owned();
    }
    match 100.0 * part / whole {
        share if share < 0.01 => "<0.01".to_owned(),
        share if share < 0.1 => format!("{share:.2}"),
        share if share < 9.95 => format!("{share:.1}"),
        share => format!("{share:.0}"),
    }
}

/// At most `width` characters, none of which moves the cursor: names come from other people's labels.
pub(super) fn clip(text: &str, width: usize) -> String {
    let mut shown: String = text
        .chars()
        .map(|char| if char.is_control() { '?' } else { char })
        .take(width.saturating_add(1))
        .collect();
    if shown.chars().count() > width {
        shown = shown.chars().take(width.saturating_sub(1)).collect();
        if width > 0 {
            shown.push('…');
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates() {
        for (value, expected) in [
            (0.0, "0"),
            (0.01, "<0.1"),
            (0.3, "0.3"),
            (99.94, "99.9"),
            (99.96, "100"),
            (999.4, "999"),
            (999.6, "1.0k"),
            (34_512.0, "34.5k"),
            (1.2e6, "1.2M"),
            (3e9, "3.0G"),
        ] {
            assert_eq!(rate(value), expected);
        }
    }

    #[test]
    fn times() {
        for (value, expected) in [
            (0.0, "0µs"),
            (0.000_85, "850µs"),
            (0.000_999_9, "1.0ms"),
            (0.001_24, "1.2ms"),
            (0.034, "34ms"),
            (0.9999, "1.0s"),
            (12.3, "12s"),
        ] {
            assert_eq!(seconds(value), expected);
        }
    }

    #[test]
    fn shares() {
        for (part, expected) in [(0.0, "0"), (1.0, "0.1"), (0.001, "<0.01"), (1000.0, "100")] {
            assert_eq!(percent(part, 1000.0), expected);
        }
        assert_eq!(percent(1.0, 0.0), "0");
    }

    #[test]
    fn clipped_text_is_harmless() {
        assert_eq!(clip("checkout", 8), "checkout");
        assert_eq!(clip("checkout", 5), "chec…");
        assert_eq!(clip("a\x1b[2J\n", 20), "a?[2J?");
        assert_eq!(clip("abc", 0), "");
    }
}
