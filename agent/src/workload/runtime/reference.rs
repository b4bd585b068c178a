//! Names of images: `[host[:port]/]path[:tag][@digest]`.

/// The parts of an image name as it was written.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::workload) struct Reference<'a> {
    pub name: &'a str,
    pub tag: Option<&'a str>,
    pub digest: Option<&'a str>,
}

/// `None` when the text is an image id, or is no name.
pub(in crate::workload) fn parse(text: &str) -> Option<Reference<'_>> {
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest).filter(|digest| is_digest(digest))),
        None => (text, None),
    };
    // A colon before the last slash is the one of a port.
    let path = rest.rfind('/').map_or(0, |slash| slash + 1);
    let (name, tag) = match rest.get(path..)?.rfind(':') {
        Some(colon) => (rest.get(..path + colon)?, rest.get(path + colon + 1..)),
        None => (rest, None),
    };
    let is_id = name == "sha256" || (tag.is_none() && name.len() >= 12 && is_hex(name));
    let good = !name.is_empty()
        && name.len() <= 512
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-/:[]".contains(&b));
    let tag = tag.filter(|tag| {
        (1..=128).contains(&tag.len())
            && tag.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    });
    (good && !is_id).then_some(Reference { name, tag, digest })
}

/// `sha256:<64 hexadecimal digits>`, or another algorithm in that form.
pub(in crate::workload) fn is_digest(text: &str) -> bool {
    text.split_once(':').is_some_and(|(algorithm, hash)| {
        (1..=32).contains(&algorithm.len())
            && algorithm.bytes().all(|b| b.is_ascii_alphanumeric() || b"+._-".contains(&b))
            && (32..=128).contains(&hash.len())
            && is_hex(hash)
    })
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<(&str, Option<&str>, Option<&str>)>) {
        let found = parse(text).map(|Reference { name, tag, digest }| (name, tag, digest));
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn references() {
        let digest = format!("sha256:{}", "a".repeat(64));
        check("nginx", Some(("nginx", None, None)));
        check("nginx:1.25", Some(("nginx", Some("1.25"), None)));
        check("ghcr.io/acme/shop:1.4", Some(("ghcr.io/acme/shop", Some("1.4"), None)));
        check("localhost:5000/shop", Some(("localhost:5000/shop", None, None)));
        check("localhost:5000/shop:1", Some(("localhost:5000/shop", Some("1"), None)));
        check(&format!("shop@{digest}"), Some(("shop", None, Some(&digest))));
        check(&format!("h:5/shop:1@{digest}"), Some(("h:5/shop", Some("1"), Some(&digest))));
        check("shop@sha256:short", Some(("shop", None, None)));
        check(&digest, None);
        check(&"a".repeat(64), None);
        check("0123456789ab", None);
        check("", None);
        check(":tag", None);
        check("a b", None);
        check("shop:", Some(("shop", None, None)));
    }
}
