//! Lengths of time as people write them: `250ms`, `10s`, `5m`, `1h`.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A length of time in a configuration file or on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

impl Span {
    pub const fn millis(value: u64) -> Self {
        Self(Duration::from_millis(value))
    }

    pub const fn secs(value: u64) -> Self {
        Self(Duration::from_secs(value))
    }
}

const UNITS: [(&str, u64); 4] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(split);
        let scale = UNITS.iter().find(|(name, _)| *name == unit.trim()).map(|(_, scale)| *scale);
        match (number.parse::<u64>().ok(), scale) {
            (Some(number), Some(scale)) => number
                .checked_mul(scale)
                .map(Self::millis)
                .ok_or_else(|| format!("`{text}` is too long a time")),
            _ => {
                Err(format!("`{text}` is not a length of time; write it like 250ms, 10s, 5m or 1h"))
            }
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        let (unit, scale) = UNITS
            .iter()
            .rev()
            .find(|(_, scale)| millis >= *scale && millis.is_multiple_of(*scale))
            .unwrap_or(&UNITS[0]);
        write!(f, "{}{unit}", millis / scale)
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<u64>) {
        assert_eq!(text.parse::<Span>().ok(), expected.map(Span::millis), "{text}");
    }

    #[test]
    fn units() {
        check("250ms", Some(250));
        check("10s", Some(10_000));
        check("5m", Some(300_000));
        check("1h", Some(3_600_000));
        check("10", None);
        check("s", None);
        check("-1s", None);
        check("99999999999999999999s", None);
    }

    #[test]
    fn shown_as_written() {
        for text in ["250ms", "10s", "5m", "1h", "0ms", "90s"] {
            assert_eq!(text.parse::<Span>().map(|span| span.to_string()).as_deref(), Ok(text));
        }
    }
}
