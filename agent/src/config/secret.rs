//! Text that may be read from the configuration and is never shown again.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

/// What stands in the place of a secret wherever settings are shown.
pub const MASK: &str = "********";

/// A password, token or header value. Shown and serialised as [`MASK`], empty as empty.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "" } else { MASK })
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_shown() {
        let secret = Secret("hunter2".to_owned());
        let shown = format!("{secret} {secret:?} {}", toml::Value::try_from(&secret).unwrap());
        assert!(!shown.contains("hunter2"), "{shown}");
        assert_eq!(toml::Value::from("hunter2").try_into::<Secret>().unwrap(), secret);
    }
}
