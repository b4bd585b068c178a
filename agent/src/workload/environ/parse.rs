//! From the bytes of an environment to the few facts that are allowed out of it.

use crate::workload::{Attribute, names, text};

/// Facts in an environment block: `NAME=value` entries, each ended by a zero byte. Values of variables
/// that are not in [`names::VARIABLES`] are not even copied.
pub fn parse(block: &[u8]) -> Vec<Attribute> {
    parse_wanted(block, &[])
}

/// The same, with more variables.
pub fn parse_wanted(block: &[u8], wanted: &[String]) -> Vec<Attribute> {
    let mut attributes: Vec<Attribute> = Vec::new();
    for entry in block.split(|byte| *byte == 0) {
        let Some(split) = entry.iter().position(|byte| *byte == b'=') else { continue };
        let (name, value) = entry.split_at(split);
        let (Ok(name), Some(value)) = (std::str::from_utf8(name), value.get(1..)) else { continue };
        if name == "OTEL_RESOURCE_ATTRIBUTES" {
            // The first of several entries is what `getenv` finds.
            if !attributes.iter().any(|known| known.key.starts_with(names::OTEL)) {
                attributes.extend(otel(value));
            }
        } else if (names::VARIABLES.contains(&name) || wanted.iter().any(|one| one == name))
            && let Some(value) = std::str::from_utf8(value).ok().and_then(text::clean)
        {
            let key = format!("{}{name}", names::VARIABLE);
            if !attributes.iter().any(|known| *known.key == *key) {
                attributes.push(Attribute::text(key, value));
            }
        }
    }
    attributes
}

fn otel(value: &[u8]) -> Vec<Attribute> {
    let pairs = std::str::from_utf8(value).ok().and_then(resource_attributes).unwrap_or_default();
    pairs
        .into_iter()
        .map(|(key, value)| Attribute::text(format!("{}{key}", names::OTEL), value))
        .collect()
}

/// Longest `OTEL_RESOURCE_ATTRIBUTES` that is looked at, in bytes.
const LONGEST: usize = 16 * 1024;

/// `key=value,key=value`, percent-encoded. Any error makes the whole variable void, as the
/// specification asks; an empty value is no value. The last of equal keys counts.
pub fn resource_attributes(value: &str) -> Option<Vec<(String, String)>> {
    if value.len() > LONGEST {
        return None;
    }
    let mut pairs: Vec<(String, String)> = Vec::new();
    let is_empty = |part: &&str| part.trim().is_empty();
    // A comma at the very end is what concatenating scripts leave.
    let mut parts = value.split(',').peekable();
    while let Some(part) = parts.next() {
        if is_empty(&part) && parts.peek().is_none() {
            break;
        }
        let (key, value) = part.split_once('=')?;
        let (key, value) = (decode(key.trim())?, value.trim());
        if key.is_empty() || value.contains('=') {
            return None;
        }
        let value = decode(value)?;
        pairs.retain(|(known, _)| *known != key);
        if !value.is_empty() {
            pairs.push((key, value));
        }
    }
    Some(pairs)
}

fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let mut digit = || rest.next().and_then(|byte| char::from(byte).to_digit(16));
            bytes.push(u8::try_from(digit()? * 16 + digit()?).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: &str, expected: Option<&[(&str, &str)]>) {
        let expected = expected.map(|pairs| {
            pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<Vec<_>>()
        });
        assert_eq!(resource_attributes(value), expected, "{value:?}");
    }

    #[test]
    fn resource_attribute_lists() {
        check("a=1,b=2", Some(&[("a", "1"), ("b", "2")]));
        check(" a = 1 , b=2", Some(&[("a", "1"), ("b", "2")]));
        check("a=x%2Cy%3Dz", Some(&[("a", "x,y=z")]));
        check("a=1,a=2", Some(&[("a", "2")]));
        check("a=1,", Some(&[("a", "1")]));
        check("a=", Some(&[]));
        check("", Some(&[]));
        check("a=größe", Some(&[("a", "größe")]));
    }

    #[test]
    fn any_error_voids_the_whole_variable() {
        for value in ["a=1,b", "a=1,,b=2", "=1", "a=%zz", "a=%4", "a=%ff", "a=b=c", "a"] {
            check(value, None);
        }
        check(&format!("a={}", "x".repeat(LONGEST)), None);
    }

    #[track_caller]
    fn check_block(block: &[u8], expected: &[(&str, &str)]) {
        let expected: Vec<_> = expected.iter().map(|(k, v)| Attribute::text(*k, *v)).collect();
        assert_eq!(parse(block), expected);
    }

    #[test]
    fn only_allowed_variables_leave_the_block() {
        check_block(
            b"PATH=/bin\0OTEL_SERVICE_NAME=web\0AWS_SECRET_ACCESS_KEY=x\0DD_VERSION=1.2\0",
            &[("~env.OTEL_SERVICE_NAME", "web"), ("~env.DD_VERSION", "1.2")],
        );
        check_block(
            b"OTEL_RESOURCE_ATTRIBUTES=service.version=1%2E2,team=core",
            &[("~otel.service.version", "1.2"), ("~otel.team", "core")],
        );
    }

    #[test]
    fn variables_that_rules_look_at_are_allowed() {
        let found = parse_wanted(b"STAGE=prod\0SECRET=x\0", &["STAGE".to_owned()]);
        assert_eq!(found, [Attribute::text("~env.STAGE", "prod")]);
    }

    #[test]
    fn blocks_of_any_content() {
        check_block(b"", &[]);
        check_block(b"\0\0\0=\0==\0", &[]);
        check_block(b"OTEL_SERVICE_NAME", &[]);
        check_block(b"OTEL_SERVICE_NAME=\0", &[]);
        check_block(b"OTEL_SERVICE_NAME=\xff\0", &[]);
        check_block(b"OTEL_SERVICE_NAME=a\nb\0", &[]);
        check_block(
            b"OTEL_SERVICE_NAME=first\0OTEL_SERVICE_NAME=second\0",
            &[("~env.OTEL_SERVICE_NAME", "first")],
        );
        check_block(b"\xff\xfe=x\0OTEL_RESOURCE_ATTRIBUTES=broken\0", &[]);
        check_block(&[b"OTEL_SERVICE_NAME=".to_vec(), vec![b'x'; 70_000]].concat(), &[]);
    }
}
