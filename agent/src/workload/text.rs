//! Values as other people write them, made into values that may be exported: bounded, printable,
//! and in the form the conventions ask for. What is doubtful gives `None`.

use std::sync::Arc;

/// Longest value that is kept, in bytes. A longer one is left out whole: a cut name is a wrong name.
pub const LONGEST: usize = 1024;
/// Longest name of a service, version or environment, in bytes.
pub const LONGEST_NAME: usize = 255;

/// A value that is printable text of at most [`LONGEST`] bytes, without the space around it.
pub fn clean(value: &str) -> Option<&str> {
    let value = value.trim();
    let fits = !value.is_empty() && value.len() <= LONGEST;
    (fits && !value.chars().any(is_unprintable) && !is_template(value)).then_some(value)
}

/// A name: like [`clean`], shorter, and none of the words that mean "no name".
pub fn name(value: &str) -> Option<&str> {
    const NOTHING: [&str; 6] = ["unknown", "none", "null", "nil", "undefined", "n/a"];
    clean(value).filter(|name| {
        name.len() <= LONGEST_NAME && !NOTHING.iter().any(|word| name.eq_ignore_ascii_case(word))
    })
}

/// Control characters, and those that reorder or hide the text around them.
fn is_unprintable(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
        || matches!(c, '\u{feff}' | '\u{fff9}'..='\u{fffd}')
}

/// What is left when nobody filled a template in.
fn is_template(value: &str) -> bool {
    value.starts_with('$') || value.contains("${") || value.contains("{{") || value == "<no value>"
}

/// A commit: 7 to 64 hexadecimal digits. A few decimal digits may be a date or a build number.
pub fn commit(value: &str) -> Option<Arc<str>> {
    let value = clean(value)?;
    let is_commit = (7..=64).contains(&value.len())
        && value.bytes().all(|byte| byte.is_ascii_hexdigit())
        && (value.len() >= 40 || !value.bytes().all(|byte| byte.is_ascii_digit()))
        && value.bytes().any(|byte| byte != b'0');
    is_commit.then(|| value.to_ascii_lowercase().into())
}

/// A commit with the branch or tag it was taken from, as Flux writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision {
    pub commit: Arc<str>,
    pub branch: Option<Arc<str>>,
}

/// `<commit>`, `sha1:<commit>`, `<branch>@sha1:<commit>` or `<branch>/<commit>`.
pub fn revision(value: &str) -> Option<Revision> {
    let value = clean(value)?;
    let plain = |text: &str| {
        let text = text.strip_prefix("sha1:").or_else(|| text.strip_prefix("sha256:"));
        text.and_then(commit)
    };
    if let Some(commit) = commit(value).or_else(|| plain(value)) {
        return Some(Revision { commit, branch: None });
    }
    let (branch, commit) = match value.rsplit_once('@') {
        Some((branch, rest)) => (branch, plain(rest)?),
        None => {
            let (branch, rest) = value.rsplit_once('/')?;
            (branch, commit(rest)?)
        }
    };
    let branch = branch.strip_prefix("refs/heads/").unwrap_or(branch);
    Some(Revision { commit, branch: name(branch).map(Arc::from) })
}

/// The address of a repository for a browser: no credentials, no `.git`, no branch, no query.
/// `git@host:owner/name` and `ssh://` become `https://`.
pub fn repository(value: &str) -> Option<Arc<str>> {
    let value = clean(value)?;
    let value = value.strip_prefix("git+").unwrap_or(value);
    let (scheme, rest) = match value.split_once("://") {
        Some((scheme, rest)) => match scheme.to_ascii_lowercase().as_str() {
            "http" => ("http", rest.to_owned()),
            "https" => ("https", rest.to_owned()),
            "ssh" | "git" => ("https", without_port(rest)),
            _ => return None,
        },
        None => ("https", scp_form(value)?),
    };
    let rest = rest.split(['?', '#']).next()?;
    let (authority, path) = rest.split_once('/')?;
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let path = path.trim_end_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path).trim_start_matches('/');
    let good_host = !host.is_empty()
        && host
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':' | b'[' | b']'));
    let good_path = !path.is_empty()
        && !path.contains([' ', '\\', '<', '>', '"', '@'])
        && path.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
    (good_host && good_path)
        .then(|| format!("{scheme}://{}/{path}", host.to_ascii_lowercase()).into())
}

/// A web address without credentials, query and fragment.
pub fn address(value: &str) -> Option<Arc<str>> {
    let value = clean(value)?;
    let (scheme, rest) = value.split_once("://")?;
    let scheme = ["http", "https"].into_iter().find(|known| scheme.eq_ignore_ascii_case(known))?;
    let rest = rest.split(['?', '#']).next()?;
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let good =
        !host.is_empty() && !rest.contains([' ', '\\', '<', '>', '"']) && !path.contains('@');
    good.then(|| format!("{scheme}://{}/{path}", host.to_ascii_lowercase()).into())
}

/// `git@host:owner/name` as `host/owner/name`.
fn scp_form(value: &str) -> Option<String> {
    let (authority, path) = value.split_once(':')?;
    let (user, host) = authority.split_once('@')?;
    let good = !user.is_empty() && !user.contains('/') && host.contains('.');
    good.then(|| format!("{host}/{path}"))
}

/// A port of another protocol says nothing about the one of `https`.
fn without_port(rest: &str) -> String {
    let Some((authority, path)) = rest.split_once('/') else { return rest.to_owned() };
    let authority = match authority.rsplit_once(':') {
        Some((before, port)) if port.bytes().all(|b| b.is_ascii_digit()) => before,
        _ => authority,
    };
    format!("{authority}/{path}")
}

/// An RFC 3339 time in seconds since the Unix epoch, if it is one and can be the time of a build:
/// reproducible builds write 1970, 1980 or the year 1.
pub fn build_time(value: &str) -> Option<i64> {
    let value = clean(value)?;
    let bytes = value.as_bytes();
    let number = |range: std::ops::Range<usize>| -> Option<i64> {
        let text = value.get(range)?;
        text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
    };
    let separators = bytes.get(4) == Some(&b'-')
        && bytes.get(7) == Some(&b'-')
        && matches!(bytes.get(10), Some(b'T' | b't' | b' '))
        && bytes.get(13) == Some(&b':')
        && bytes.get(16) == Some(&b':');
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    let good = separators
        && (2000..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    let mut rest = value.get(19..)?;
    if let Some(fraction) = rest.strip_prefix('.') {
        let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
        rest = fraction.get(digits..).filter(|_| digits > 0)?;
    }
    let offset = offset(rest)?;
    good.then(|| days(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second - offset)
}

/// `Z` or `±hh:mm`, in seconds.
fn offset(text: &str) -> Option<i64> {
    if matches!(text, "Z" | "z") {
        return Some(0);
    }
    let (sign, rest) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':')?;
    let digits =
        |text: &str| (text.len() == 2).then(|| text.parse::<u8>().ok()).flatten().map(i64::from);
    Some(sign * (digits(hours)? * 3_600 + digits(minutes)? * 60))
}

/// Seconds since the Unix epoch as RFC 3339 in UTC; `None` for years of other than four digits.
pub fn rfc3339(seconds: i64) -> Option<String> {
    let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60);
    // Years begin in March here, so that the odd day is the last.
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    (0..=9_999)
        .contains(&year)
        .then(|| format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"))
}

/// Days since 1970-01-01 in the Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubtful_text_is_left_out() {
        for (value, expected) in [
            (" web ", Some("web")),
            ("größe", Some("größe")),
            ("", None),
            ("   ", None),
            ("a\nb", None),
            ("a\0", None),
            ("\u{1b}[31mred", None),
            ("a\u{202e}b", None),
            ("${SERVICE}", None),
            ("$SERVICE", None),
            ("{{ .Values.name }}", None),
            ("<no value>", None),
        ] {
            assert_eq!(clean(value), expected, "{value:?}");
        }
        assert_eq!(clean(&"x".repeat(LONGEST)).map(str::len), Some(LONGEST));
        assert_eq!(clean(&"x".repeat(65_536)), None);
        assert_eq!(name(&"x".repeat(LONGEST_NAME + 1)), None);
        assert_eq!(name("Unknown"), None);
        assert_eq!(name("unknown-things"), Some("unknown-things"));
    }

    #[track_caller]
    fn check_revision(value: &str, expected: Option<(&str, Option<&str>)>) {
        let found = revision(value);
        let found = found.as_ref().map(|found| (&*found.commit, found.branch.as_deref()));
        assert_eq!(found, expected, "{value:?}");
    }

    #[test]
    fn revisions() {
        let sha = "0123456789abcdef0123456789abcdef01234567";
        check_revision(sha, Some((sha, None)));
        check_revision("abc1234", Some(("abc1234", None)));
        check_revision("ABC1234", Some(("abc1234", None)));
        check_revision("abc123", None);
        check_revision("20240131", None);
        check_revision(&"0".repeat(40), None);
        check_revision(&"1".repeat(40), Some((&"1".repeat(40), None)));
        check_revision(&"a".repeat(65), None);
        check_revision("v1.2.3", None);
        check_revision("abc1234-dirty", None);
        check_revision("latest", None);
        check_revision(&format!("sha1:{sha}"), Some((sha, None)));
        check_revision(&format!("main@sha1:{sha}"), Some((sha, Some("main"))));
        check_revision(&format!("refs/heads/main@sha1:{sha}"), Some((sha, Some("main"))));
        check_revision(&format!("feature/x@sha1:{sha}"), Some((sha, Some("feature/x"))));
        check_revision(&format!("main/{sha}"), Some((sha, Some("main"))));
        check_revision(&format!("feature/x/{sha}"), Some((sha, Some("feature/x"))));
        check_revision("main@sha1:zzz", None);
        check_revision("main/", None);
    }

    #[track_caller]
    fn check_repository(value: &str, expected: Option<&str>) {
        assert_eq!(repository(value).as_deref(), expected, "{value:?}");
    }

    #[test]
    fn repositories() {
        let plain = Some("https://github.com/acme/shop");
        check_repository("https://github.com/acme/shop", plain);
        check_repository("https://github.com/acme/shop.git", plain);
        check_repository("https://github.com/acme/shop/", plain);
        check_repository("https://GitHub.com/acme/shop.git/", plain);
        check_repository("https://user:secret@github.com/acme/shop.git", plain);
        check_repository("https://token@github.com/acme/shop", plain);
        check_repository("git@github.com:acme/shop.git", plain);
        check_repository("ssh://git@github.com:22/acme/shop.git", plain);
        check_repository("git+https://github.com/acme/shop.git#main", plain);
        check_repository("git://github.com/acme/shop.git", plain);
        check_repository("https://github.com/acme/shop?token=1", plain);
        check_repository("http://git.local:3000/a/b.git", Some("http://git.local:3000/a/b"));
        check_repository("https://gitlab.com/a/b/c/d", Some("https://gitlab.com/a/b/c/d"));
        for nothing in [
            "",
            "shop",
            "/srv/git/shop",
            "file:///srv/git/shop",
            "https://",
            "https://github.com",
            "https://github.com/",
            "C:\\code",
            "javascript:alert(1)",
            "https://h/a b",
            "https://user:p@ss/word@github.com/a",
            "https://h/../x",
        ] {
            check_repository(nothing, None);
        }
    }

    #[test]
    fn times_are_written_as_they_are_read() {
        for seconds in (951_782_399..4_000_000_000_i64).step_by(86_399 * 17) {
            assert_eq!(build_time(&rfc3339(seconds).unwrap()), Some(seconds));
        }
        assert_eq!(rfc3339(0).as_deref(), Some("1970-01-01T00:00:00Z"));
        assert_eq!(rfc3339(951_782_400).as_deref(), Some("2000-02-29T00:00:00Z"));
        assert_eq!(rfc3339(i64::MAX / 100_000), None);
    }

    #[test]
    fn addresses() {
        for (value, expected) in [
            ("https://ci.acme.test/p/1", Some("https://ci.acme.test/p/1")),
            ("https://user:secret@CI.acme.test/p/1?token=x#top", Some("https://ci.acme.test/p/1")),
            ("http://ci", Some("http://ci/")),
            ("ci/p/1", None),
            ("javascript://x", None),
            ("https:///x", None),
            ("https://user:p@ss/word@ci/x", None),
        ] {
            assert_eq!(address(value).as_deref(), expected, "{value:?}");
        }
    }

    #[test]
    fn build_times() {
        for (value, expected) in [
            ("2024-01-31T10:20:30Z", Some(1_706_696_430)),
            ("2024-01-31T10:20:30.123456789Z", Some(1_706_696_430)),
            ("2024-01-31T12:20:30+02:00", Some(1_706_696_430)),
            ("2024-01-31 10:20:30Z", Some(1_706_696_430)),
            ("2000-02-29T00:00:00Z", Some(951_782_400)),
            ("1970-01-01T00:00:00Z", None),
            ("0001-01-01T00:00:00Z", None),
            ("1980-01-01T00:00:01Z", None),
            ("2024-13-01T00:00:00Z", None),
            ("2024-01-31T10:20:30", None),
            ("2024-01-31T10:20:30.Z", None),
            ("2024-01-31", None),
            ("yesterday", None),
            ("２０２４-01-31T10:20:30Z", None),
        ] {
            assert_eq!(build_time(value), expected, "{value:?}");
        }
    }
}
