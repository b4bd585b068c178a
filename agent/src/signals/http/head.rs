//! The head of a request as far as it was kept: method, target, version, host.
//!
//! Tolerant, because servers are: a line may end with a bare line feed, the target may hold spaces. But a
//! request line must be one; what is not HTTP/1 gives `None` and nothing is guessed from it.

use super::template::Target;

/// Longest method that is looked at; longer tokens are not HTTP/1.
pub(super) const METHOD_MAX: usize = 32;
/// Longest host name there can be.
const HOST_MAX: usize = 253;
/// Empty lines that may precede a request line.
const EMPTY_MAX: usize = 4;

/// Version of the protocol as the request states it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// The line was cut before the version.
    Unknown,
    Http10,
    Http11,
}

/// A request line and what of the header fields matters.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// The method token, at most 32 bytes.
    pub method: &'a [u8],
    pub target: Target<'a>,
    pub version: Version,
    /// Of the target if it has one, else of the `Host` field.
    pub host: Option<Host<'a>>,
}

/// A host that is safe to show: a name or address, and its port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Host<'a> {
    /// Letters, digits, `-`, `.`, `_`, or an IPv6 address (no brackets). Case as it was sent.
    pub name: &'a [u8],
    pub port: u16,
}

/// Port of a host that names none.
const DEFAULT_PORT: u16 = 80;

impl<'a> Head<'a> {
    /// Reads a head whose first bytes are `bytes`; it has `total` bytes in all. Fields are looked at when
    /// `host` says so.
    pub fn parse(bytes: &'a [u8], total: usize, host: HostWanted) -> Option<Self> {
        let bytes = without_empty_lines(bytes);
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let (line, fields) = match end {
            Some(end) => (without_return(&bytes[..end]), &bytes[end + 1..]),
            None => (bytes, &bytes[..0]),
        };
        // Without a line end the line is only known to be cut when more bytes exist.
        let cut = end.is_none();
        if cut && total <= bytes.len() {
            return None;
        }
        let space = line.iter().take(METHOD_MAX + 1).position(|byte| *byte == b' ')?;
        let (method, rest) = (&line[..space], &line[space + 1..]);
        if method.is_empty() || !method.iter().all(|byte| token(*byte)) {
            return None;
        }
        let (target, version) = target_and_version(rest, cut)?;
        if target.iter().any(|byte| *byte < b' ' || *byte == 0x7f) {
            return None;
        }
        let cut = version == Version::Unknown;
        let (target, authority) = classify(method, target, cut);
        let host = match (host, authority) {
            (HostWanted::No, _) => None,
            (HostWanted::Yes, Some(authority)) => parse_host(authority),
            (HostWanted::Yes, None) => host_field(fields).and_then(parse_host),
        };
        Some(Self { method, target, version, host })
    }
}

/// Whether the caller needs the host: a server does not say it, because its clients choose it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostWanted {
    Yes,
    No,
}

/// Whether this is a method that [`Head::parse`] can find.
pub(super) fn is_method(text: &str) -> bool {
    (1..=METHOD_MAX).contains(&text.len()) && text.bytes().all(token)
}

/// Whether a byte may be part of a method or field name.
pub(super) fn token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

fn without_empty_lines(bytes: &[u8]) -> &[u8] {
    let mut rest = bytes;
    for _ in 0..EMPTY_MAX {
        match rest {
            [b'\r', b'\n', after @ ..] | [b'\n', after @ ..] => rest = after,
            _ => break,
        }
    }
    rest
}

pub(super) fn without_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Splits what follows the method. A line that is whole must end with a version.
fn target_and_version(rest: &[u8], cut: bool) -> Option<(&[u8], Version)> {
    let version = match rest {
        [.., b' ', b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor] => match minor {
            b'0' => Version::Http10,
            b'1'..=b'9' => Version::Http11,
            _ => return None,
        },
        _ if cut => Version::Unknown,
        _ => return None,
    };
    let target = match version {
        Version::Unknown => rest,
        Version::Http10 | Version::Http11 => rest.get(..rest.len() - " HTTP/1.1".len())?,
    };
    // Spaces do not belong into a target; a server that takes it reads up to the first.
    match target.iter().position(|byte| *byte == b' ') {
        Some(0) => None,
        Some(end) => Some((&target[..end], version)),
        None if target.is_empty() && !cut => None,
        None => Some((target, version)),
    }
}

/// What kind of target it is, and the authority in it.
fn classify<'a>(method: &[u8], target: &'a [u8], cut: bool) -> (Target<'a>, Option<&'a [u8]>) {
    if method == b"CONNECT" {
        return (Target::Authority, Some(target));
    }
    if target.first() == Some(&b'/') || (cut && target.is_empty()) {
        return (Target::Path { path: target, cut }, None);
    }
    if target == b"*" {
        return (Target::Asterisk, None);
    }
    let scheme_end = target.windows(3).take(16).position(|window| window == b"://");
    let Some(scheme_end) = scheme_end.filter(|end| *end > 0) else {
        return (Target::Invalid, None);
    };
    let rest = &target[scheme_end + 3..];
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#'));
    let (authority, path) = rest.split_at(end.unwrap_or(rest.len()));
    // Credentials in front of the host are dropped here and go nowhere.
    let start = authority.iter().rposition(|byte| *byte == b'@').map_or(0, |at| at + 1);
    let whole = end.is_some() || !cut;
    (Target::Path { path, cut }, Some(&authority[start..]).filter(|_| whole))
}

/// The value of the first `Host` field that is there in full.
fn host_field(fields: &[u8]) -> Option<&[u8]> {
    let mut rest = fields;
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let line = without_return(&rest[..end]);
        if line.is_empty() {
            return None;
        }
        if let Some((name, value)) = line.split_at_checked(5)
            && name.eq_ignore_ascii_case(b"host:")
        {
            return Some(value.trim_ascii());
        }
        rest = &rest[end + 1..];
    }
    None
}

/// Reads `name`, `name:port`, `[v6]` or `[v6]:port`.
fn parse_host(text: &[u8]) -> Option<Host<'_>> {
    let (name, port) = if let Some(inner) = text.strip_prefix(b"[") {
        let end = inner.iter().position(|byte| *byte == b']')?;
        let name = &inner[..end];
        if !name.iter().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.')) {
            return None;
        }
        (name, &inner[end + 1..])
    } else {
        let end = text.iter().position(|byte| *byte == b':').unwrap_or(text.len());
        let (name, port) = text.split_at(end);
        if !name
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'))
        {
            return None;
        }
        (name, port)
    };
    if name.is_empty() || name.len() > HOST_MAX {
        return None;
    }
    let port = match port {
        [] | [b':'] => DEFAULT_PORT,
        [b':', digits @ ..] => number(digits)?,
        _ => return None,
    };
    Some(Host { name, port })
}

fn number(digits: &[u8]) -> Option<u16> {
    let mut value: u16 = 0;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(u16::from(digit - b'0'))?;
    }
    (value > 0).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows what was read as `METHOD target version host:port`.
    fn read(bytes: &[u8], total: usize) -> String {
        let Some(head) = Head::parse(bytes, total, HostWanted::Yes) else {
            return "nothing".to_owned();
        };
        let target = match head.target {
            Target::Path { path, cut } => {
                format!("{}{}", path.escape_ascii(), if cut { "~" } else { "" })
            }
            other => format!("{other:?}"),
        };
        let host = head.host.map_or_else(String::new, |host| {
            format!(" {}:{}", host.name.escape_ascii(), host.port)
        });
        format!("{} {target} {:?}{host}", head.method.escape_ascii(), head.version)
    }

    #[track_caller]
    fn check(head: &str, expected: &str) {
        assert_eq!(read(head.as_bytes(), head.len()), expected, "{head:?}");
    }

    #[test]
    fn request_lines() {
        check("GET / HTTP/1.1\r\n\r\n", "GET / Http11");
        check("GET /x?y=1 HTTP/1.0\n\n", "GET /x?y=1 Http10");
        check("\r\n\r\nGET / HTTP/1.1\r\n\r\n", "GET / Http11");
        check("get /a HTTP/1.1\r\n\r\n", "get /a Http11");
        check("M-SEARCH * HTTP/1.1\r\n\r\n", "M-SEARCH Asterisk Http11");
        check("GET /a b c HTTP/1.1\r\n\r\n", "GET /a Http11");
        check(
            "CONNECT example.org:443 HTTP/1.1\r\n\r\n",
            "CONNECT Authority Http11 example.org:443",
        );
        check("GET foo HTTP/1.1\r\n\r\n", "GET Invalid Http11");
    }

    #[test]
    fn hosts() {
        let with = |host: &str| format!("GET / HTTP/1.1\r\nAccept: */*\r\nhOsT:{host}\r\n\r\n");
        check(&with(" example.org"), "GET / Http11 example.org:80");
        check(&with("example.org:8080 "), "GET / Http11 example.org:8080");
        check(&with("[::1]:81"), "GET / Http11 ::1:81");
        check(&with("[::1]"), "GET / Http11 ::1:80");
        for bad in ["", "a b", "a/b", "user@host", "[::1", "[x]", "h:0", "h:70000", "h:x", "é"] {
            check(&with(bad), "GET / Http11");
        }
        check(&with(&"a".repeat(254)), "GET / Http11");
        check("GET / HTTP/1.1\r\n\r\nHost: body\r\n", "GET / Http11");
        check("GET / HTTP/1.1\r\nHost: cut.exam", "GET / Http11");
    }

    #[test]
    fn absolute_targets_lose_their_credentials() {
        let head = "GET http://user:pw@Example.org:81/p?q HTTP/1.1\r\nHost: other\r\n\r\n";
        check(head, "GET /p?q Http11 Example.org:81");
        check("GET http://example.org HTTP/1.1\r\n\r\n", "GET  Http11 example.org:80");
    }

    #[test]
    fn cut_lines() {
        for (bytes, expected) in [
            ("GET /long", "GET /long~ Unknown"),
            ("GET ", "GET ~ Unknown"),
            ("GET /long HTT", "GET /long~ Unknown"),
            ("GET /long HTTP/1.1", "GET /long Http11"),
            ("GET http://user:pw@exa", "GET ~ Unknown"),
            ("GET", "nothing"),
        ] {
            assert_eq!(read(bytes.as_bytes(), 1000), expected, "{bytes}");
        }
    }

    #[test]
    fn what_is_not_a_request() {
        for bytes in [
            "",
            "\r\n",
            "GET",
            "GET /",
            "GET /\r\n\r\n",
            "GET / HTTP/2.0\r\n\r\n",
            "GET  HTTP/1.1\r\n",
            "HTTP/1.1 200 OK\r\n\r\n",
            " GET / HTTP/1.1\r\n",
            "G@T / HTTP/1.1\r\n",
            "GET /\0 HTTP/1.1\r\n",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            "GET / HTTP/1.\r\n",
            "\x16\x03\x01\x02",
            "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA / HTTP/1.1\r\n",
        ] {
            check(bytes, "nothing");
        }
    }
}
