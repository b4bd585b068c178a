//! What one path segment looks like: a word that names something, or a value in its place.
//!
//! | segment | shape |
//! |---|---|
//! | `users`, `v1`, `v1.2`, `oauth2` | itself |
//! | `42`, `-7`, `3.14`, `10.0.0.1`, `800x600` | `{id}` |
//! | `2024-01-31`, `20240131`, `2024-01-31T10:00:00Z` | `{date}` |
//! | `550e8400-e29b-41d4-a716-446655440000` | `{uuid}` |
//! | `1f3870be`, `0xdeadbeef`, 16 or more hexadecimal digits | `{hash}` |
//! | `01ARZ3NDEKTSV4RRFFQ69G5FAV`, a JWT, base64 | `{token}` |
//! | `someone@example.org` | `{email}` |
//! | `user-42`, `main.3f2a9c1b.js`, `42:cancel` | `user-{id}`, `main.{hash}.js`, `{id}:cancel` |
//! | anything with percent-encoding, `=`, `&`, bytes outside of ASCII, or longer than 48 bytes | `{param}` |
//!
//! A shape is printable ASCII whatever the segment was.

/// A segment of any value.
pub(super) const PARAM: &[u8] = b"{param}";
/// Longest segment that can be a word.
const WORD_MAX: usize = 48;
/// Words of letters shorter than this are never values: too short for a hash without digits.
const SHORT: usize = 16;
const UUID_LEN: usize = 36;
const DATE_LEN: usize = 10;

/// Whether a shape names something itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The shape holds text of the segment: one of an open set.
    Literal,
    /// The shape is a placeholder: one of a closed set.
    Placeholder,
}

/// Appends the shape of `segment` to `out`. `segment` holds no `/` and no `;`.
pub(super) fn shape(segment: &[u8], out: &mut Vec<u8>) -> Kind {
    // Most segments are this, and no rule below says anything else of them.
    if segment.len() < SHORT && segment.iter().all(u8::is_ascii_lowercase) {
        out.extend_from_slice(segment);
        return Kind::Literal;
    }
    if version(segment) {
        out.extend_from_slice(segment);
        return Kind::Literal;
    }
    if let Some(placeholder) = whole(segment) {
        out.extend_from_slice(placeholder);
        return Kind::Placeholder;
    }
    parts(segment, out)
}

/// What the segment is as one value, if it is one.
fn whole(segment: &[u8]) -> Option<&'static [u8]> {
    let mut digits = 0_usize;
    let mut letters = 0_usize;
    let mut ats = 0_usize;
    let mut plain = true;
    for byte in segment {
        match byte {
            b'0'..=b'9' => digits += 1,
            b'a'..=b'z' | b'A'..=b'Z' => letters += 1,
            b'-' | b'_' | b'.' | b'~' | b':' | b',' | b'+' | b'!' | b'$' | b'(' | b')' | b'*' => {}
            b'@' => ats += 1,
            // The padding of base64 is the one use of `=` that is not a key and a value.
            b'=' if segment.len() >= 16 && segment.ends_with(b"=") => {}
            _ => plain = false,
        }
    }
    if !plain || letters + digits == 0 {
        return Some(PARAM);
    }
    if ats > 0 && email(segment) {
        return Some(b"{email}");
    }
    if ats > 1 || (ats == 1 && segment.first() != Some(&b'@')) {
        return Some(PARAM);
    }
    if digits > 0 {
        if date(segment) {
            return Some(b"{date}");
        }
        if numeric(segment) {
            return Some(b"{id}");
        }
        if segment.len() == UUID_LEN && uuid(segment) {
            return Some(b"{uuid}");
        }
    }
    if let Some(value) = value(segment) {
        return Some(value);
    }
    if segment.starts_with(b"eyJ") && segment.contains(&b'.') && segment.len() > 20 {
        return Some(b"{token}");
    }
    if segment.ends_with(b"=") {
        return Some(b"{token}");
    }
    (segment.len() > WORD_MAX).then_some(PARAM)
}

/// Looks at the parts between separators: ids with a prefix, a suffix or a file extension.
fn parts(segment: &[u8], out: &mut Vec<u8>) -> Kind {
    let mut rest = segment;
    let mut separator: Option<u8> = None;
    let mut after_value = false;
    let mut literal = false;
    loop {
        let (value, used) = part(rest);
        // Neighbouring values are one: `3.4.1` is a version, not three numbers.
        if !(value.is_some() && after_value) {
            out.extend(separator);
            out.extend_from_slice(value.unwrap_or(&rest[..used]));
        }
        after_value = value.is_some();
        literal |= value.is_none();
        match rest.get(used) {
            Some(next) => {
                separator = Some(*next);
                rest = &rest[used + 1..];
            }
            None => break,
        }
    }
    if literal { Kind::Literal } else { Kind::Placeholder }
}

/// The value at the start of `rest`, if there is one, and the length of the part there.
fn part(rest: &[u8]) -> (Option<&'static [u8]>, usize) {
    if ends_at(rest, UUID_LEN) && uuid(&rest[..UUID_LEN]) {
        return (Some(b"{uuid}"), UUID_LEN);
    }
    if ends_at(rest, DATE_LEN) && date(&rest[..DATE_LEN]) {
        return (Some(b"{date}"), DATE_LEN);
    }
    let end = rest.iter().position(|byte| separates(*byte)).unwrap_or(rest.len());
    let part = &rest[..end];
    if !part.is_empty() && part.iter().all(u8::is_ascii_digit) {
        return (Some(b"{id}"), end);
    }
    (value(part), end)
}

fn separates(byte: u8) -> bool {
    matches!(
        byte,
        b'-' | b'_' | b'.' | b'~' | b':' | b',' | b'+' | b'!' | b'$' | b'(' | b')' | b'*'
    )
}

fn ends_at(rest: &[u8], len: usize) -> bool {
    rest.len() == len || rest.get(len).is_some_and(|next| separates(*next))
}

/// `{hash}` or `{token}` when the text is too irregular for a word.
fn value(text: &[u8]) -> Option<&'static [u8]> {
    if let Some(number) = text.strip_prefix(b"0x").or_else(|| text.strip_prefix(b"0X"))
        && !number.is_empty()
        && number.iter().all(u8::is_ascii_hexdigit)
    {
        return Some(b"{hash}");
    }
    let mut digits = 0_usize;
    let mut hex = 0_usize;
    let mut changes = 0_usize;
    let mut dashes = 0_usize;
    let mut before: Option<bool> = None;
    for byte in text {
        let digit = byte.is_ascii_digit();
        if !byte.is_ascii_alphanumeric() {
            if !matches!(byte, b'-' | b'_' | b'=' | b'+') {
                return None;
            }
            dashes += 1;
            before = None;
            continue;
        }
        digits += usize::from(digit);
        hex += usize::from(byte.is_ascii_hexdigit());
        changes += usize::from(before.is_some_and(|before| before != digit));
        before = Some(digit);
    }
    let len = text.len();
    // Words like `facade` have no digit; nothing that long is a word.
    if dashes == 0 && hex == len && ((len >= 7 && digits > 0 && digits < len) || len >= 16) {
        return Some(b"{hash}");
    }
    // A word has its digits at one end or two; random text mixes them everywhere. Behind a word and
    // a separator the rest is looked at by itself.
    let word = text.iter().take_while(|byte| byte.is_ascii_lowercase()).count();
    let named = word >= 2 && text.get(word).is_some_and(|next| separates(*next));
    if (dashes == 0 && len >= 8 && changes >= 3)
        || (len >= 16 && changes >= 4 && dashes <= 2 && !named)
    {
        return Some(b"{token}");
    }
    None
}

/// Digits with what numbers, versions, addresses, times and sizes put between them.
fn numeric(text: &[u8]) -> bool {
    let signless = text.strip_prefix(b"-").or_else(|| text.strip_prefix(b"+")).unwrap_or(text);
    signless.first().is_some_and(u8::is_ascii_digit)
        && signless
            .iter()
            .all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b',' | b'-' | b':' | b'x'))
}

/// `YYYY-MM`, `YYYY-MM-DD`, `YYYYMMDD`, each in this or the last century, or a day with a time behind it.
fn date(text: &[u8]) -> bool {
    let (year, rest) = match text {
        [b'1', b'9', a, b, rest @ ..] | [b'2', b'0', a, b, rest @ ..]
            if a.is_ascii_digit() && b.is_ascii_digit() =>
        {
            (true, rest)
        }
        _ => (false, text),
    };
    if !year {
        return false;
    }
    match rest {
        [b'-', m, n] => month(*m, *n),
        [b'-', m, n, b'-', d, e] => month(*m, *n) && day(*d, *e),
        [m, n, d, e] => month(*m, *n) && day(*d, *e),
        [b'-', m, n, b'-', d, e, b'T', time @ ..] => {
            month(*m, *n)
                && day(*d, *e)
                && time.iter().all(|byte| {
                    byte.is_ascii_digit() || matches!(byte, b':' | b'.' | b'Z' | b'+' | b'-')
                })
        }
        _ => false,
    }
}

fn month(tens: u8, ones: u8) -> bool {
    matches!((tens, ones), (b'0', b'1'..=b'9') | (b'1', b'0'..=b'2'))
}

fn day(tens: u8, ones: u8) -> bool {
    matches!((tens, ones), (b'0', b'1'..=b'9') | (b'1' | b'2', b'0'..=b'9') | (b'3', b'0' | b'1'))
}

/// Eight, four, four, four and twelve hexadecimal digits.
fn uuid(text: &[u8]) -> bool {
    text.iter().enumerate().all(|(at, byte)| match at {
        8 | 13 | 18 | 23 => *byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    })
}

fn email(text: &[u8]) -> bool {
    let mut halves = text.splitn(2, |byte| *byte == b'@');
    let (local, domain) = (halves.next().unwrap_or_default(), halves.next().unwrap_or_default());
    !local.is_empty() && domain.contains(&b'.') && !domain.contains(&b'@')
}

/// `v1`, `v2.1`, `v1beta3`: the version of an interface, which is a name.
fn version(text: &[u8]) -> bool {
    let Some(rest) = text.strip_prefix(b"v").or_else(|| text.strip_prefix(b"V")) else {
        return false;
    };
    let number = rest.iter().take_while(|byte| byte.is_ascii_digit() || **byte == b'.').count();
    let (number, stage) = rest.split_at(number);
    let name = stage.iter().take_while(|byte| byte.is_ascii_lowercase()).count();
    let (name, count) = stage.split_at(name);
    number.first().is_some_and(u8::is_ascii_digit)
        && number.len() <= 8
        && matches!(name, b"" | b"alpha" | b"beta" | b"rc" | b"preview")
        && count.len() <= 2
        && count.iter().all(u8::is_ascii_digit)
        && (!name.is_empty() || count.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(segment: &str, expected: &str) {
        let mut out = Vec::new();
        shape(segment.as_bytes(), &mut out);
        assert_eq!(String::from_utf8(out).as_deref(), Ok(expected), "{segment}");
    }

    #[track_caller]
    fn check_same(segments: &[&str]) {
        for segment in segments {
            check(segment, segment);
        }
    }

    #[test]
    fn words_stay() {
        check_same(&[
            "users",
            "v1",
            "v1.2",
            "v1beta1",
            "v2alpha3",
            "oauth2",
            "i18n",
            "facade",
            "deadbeef",
            "cafe",
            "s3",
            "sha256",
            "index.html",
            "logo.png",
            "main.js",
            "favicon.ico",
            "my-post",
            "getUserProfile",
            "GetUserV2",
            "@vite",
            ".well-known",
            "robots.txt",
            "a",
            "X",
            "jquery.min.js",
            "snake_case_name",
            "style.css",
            "node_modules",
        ]);
    }

    #[test]
    fn numbers() {
        for segment in ["1", "42", "-7", "3.14", "10.0.0.1", "800x600", "52.52,13.40", "12:30"] {
            check(segment, "{id}");
        }
    }

    #[test]
    fn dates() {
        for segment in ["2024-01-31", "20240131", "2024-01", "1999-12-31T10:00:00Z"] {
            check(segment, "{date}");
        }
        check("20241399", "{id}");
    }

    #[test]
    fn identifiers() {
        check("550e8400-e29b-41d4-a716-446655440000", "{uuid}");
        check("550E8400-E29B-41D4-A716-446655440000", "{uuid}");
        check("1f3870be", "{hash}");
        check("0xdeadbeef", "{hash}");
        check("da39a3ee5e6b4b0d3255bfef95601890afd80709", "{hash}");
        check("abcdefabcdefabcd", "{hash}");
        check("01ARZ3NDEKTSV4RRFFQ69G5FAV", "{token}");
        check("V1StGXR8_Z5jdHi6B-myT", "{token}");
        check("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N", "{token}");
        check("dGhpcyBpcyBhIHRlc3Q=", "{token}");
        check("someone@example.org", "{email}");
    }

    #[test]
    fn values_with_a_name_around_them() {
        check("user-42", "user-{id}");
        check("order_00012", "order_{id}");
        check("42:cancel", "{id}:cancel");
        check("main.3f2a9c1b.js", "main.{hash}.js");
        check("app-5d41402a.css", "app-{hash}.css");
        check("index-BfX2a9Lk.js", "index-{token}.js");
        check("cus_9s6XKzkNRiz8i3", "cus_{token}");
        check("550e8400-e29b-41d4-a716-446655440000.jpg", "{uuid}.jpg");
        check("user-550e8400-e29b-41d4-a716-446655440000", "user-{uuid}");
        check("jquery-3.4.1.min.js", "jquery-{id}.min.js");
        check("report-2024-01-31.pdf", "report-{date}.pdf");
        check("1234.jpg", "{id}.jpg");
    }

    #[test]
    fn what_could_hold_anything_is_never_shown() {
        for segment in [
            "a%20b",
            "%2e%2e",
            "key=value",
            "a&b",
            "caf\u{e9}",
            "..",
            ".",
            "---",
            "a b",
            "\u{0}",
            "user@host",
            "<script>",
            "{id}",
            "a\"b",
            "a\\b",
        ] {
            check(segment, "{param}");
        }
        check(&"long-".repeat(20), "{param}");
    }

    #[test]
    fn any_byte_gives_printable_ascii_of_bounded_length() {
        for first in 0..=255_u8 {
            for second in 0..=255_u8 {
                let mut out = Vec::new();
                shape(&[first, second, b'7', first], &mut out);
                assert!(out.iter().all(u8::is_ascii_graphic), "{first} {second}");
                assert!(!out.is_empty() && out.len() < 100);
            }
        }
    }
}
