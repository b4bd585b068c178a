//! What a jar says about the program in it: manifest, Maven's properties, what Spring Boot and the git
//! plugins of build tools add.

use super::{bytes::Bounded, found::Found, programs, zip::Zip};

/// Most bytes of one jar that are read.
pub const MOST_BYTES: u64 = 8 * 1024 * 1024;

/// What a jar says. `file_name` is its name without folders, for what the jar does not say itself.
pub fn read(file: &Bounded<'_>, file_name: &str) -> Option<Found> {
    let zip = Zip::parse(file)?;
    let texts = |names: &[&str]| {
        let bytes = names.iter().find_map(|name| zip.read(name))?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    };
    let manifest = texts(&["META-INF/MANIFEST.MF"]).unwrap_or_default();
    let build = texts(&[
        "META-INF/build-info.properties",
        "BOOT-INF/classes/META-INF/build-info.properties",
        "WEB-INF/classes/META-INF/build-info.properties",
    ]);
    let git = texts(&[
        "BOOT-INF/classes/git.properties",
        "WEB-INF/classes/git.properties",
        "git.properties",
        "META-INF/git.properties",
    ]);
    let is_pom =
        |name: &str| name.starts_with("META-INF/maven/") && name.ends_with("/pom.properties");
    let poms: Vec<Vec<(String, String)>> = zip
        .names(64, is_pom)
        .into_iter()
        .filter_map(|name| zip.read(name))
        .map(|bytes| properties(&String::from_utf8_lossy(&bytes)))
        .collect();
    Some(describe(
        &main_attributes(&manifest),
        &properties(&build.unwrap_or_default()),
        &properties(&git.unwrap_or_default()),
        &poms,
        file_name,
    ))
}

/// Whether a jar has a file of this name.
pub fn has(file: &Bounded<'_>, name: &str) -> bool {
    Zip::parse(file).is_some_and(|zip| zip.has(name))
}

type Pairs = [(String, String)];

fn get<'a>(pairs: &'a Pairs, keys: &[&str]) -> Option<&'a str> {
    let find = |key: &&str| pairs.iter().find(|(name, _)| name.eq_ignore_ascii_case(key));
    keys.iter().filter_map(find).map(|(_, value)| value.as_str()).find(|value| !value.is_empty())
}

/// A jar that other jars were unpacked into may have the files of any of them, its own or not: then
/// only what agrees with the name of the jar counts.
fn describe(
    manifest: &Pairs,
    build: &Pairs,
    git: &Pairs,
    poms: &[Vec<(String, String)>],
    file_name: &str,
) -> Found {
    let (stem, stem_version) = split(file_name);
    let is_merged = poms.len() > 1;
    let agrees = |name: &str| !is_merged || name == stem || stem.starts_with(&format!("{name}-"));
    let pom = poms.iter().find(|pom| {
        poms.len() == 1 || get(pom, &["artifactId"]).is_some_and(|artifact| artifact == stem)
    });
    let pom = pom.map(Vec::as_slice).unwrap_or_default();
    let title = get(manifest, &["Implementation-Title"]).filter(|title| agrees(title));
    let manifest_version = get(manifest, &["Implementation-Version"])
        .filter(|version| title.is_some() || !is_merged || stem_version == Some(*version));
    let name = get(build, &["build.name", "build.artifact"])
        .map(|name| (name, "build-info.properties"))
        .or_else(|| title.map(|name| (name, "jar manifest")))
        .or_else(|| get(pom, &["artifactId"]).map(|name| (name, "pom.properties")))
        .unwrap_or((if programs::says_nothing(stem) { "" } else { stem }, "name of the jar"));
    let version = get(build, &["build.version"])
        .or(manifest_version)
        .or_else(|| get(pom, &["version"]))
        .or(stem_version)
        .filter(|version| !programs::is_placeholder(version));
    // Plugins for git write into the classes of one module; merged ones could be any module's.
    let git = if is_merged && build.is_empty() { &[] } else { git };
    let revision = get(git, &["git.commit.id.full", "git.commit.id", "git.commit.id.abbrev"])
        .or_else(|| {
            let keys =
                ["Implementation-SCM-Revision", "SCM-Revision", "Git-Commit", "Git-Revision"];
            get(manifest, &keys).filter(|_| title.is_some() || !is_merged)
        });
    let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
    Found {
        place: String::new(),
        origin: name.1.to_owned(),
        name: name.0.to_owned(),
        version: text(version),
        revision: text(revision),
        is_modified: get(git, &["git.dirty"]).is_some_and(|dirty| dirty == "true"),
        branch: text(get(git, &["git.branch"])),
        repository: text(get(git, &["git.remote.origin.url"])),
        author: text(get(git, &["git.commit.user.name"])),
        commit_time: time(get(git, &["git.commit.time"])),
        build_time: time(get(build, &["build.time"]).or_else(|| get(git, &["git.build.time"]))),
    }
}

/// `checkout-1.4.2.jar`: name and version. A version begins with a digit.
fn split(file_name: &str) -> (&str, Option<&str>) {
    let stem = ["jar", "war"]
        .iter()
        .find_map(|end| file_name.strip_suffix(end)?.strip_suffix('.'))
        .unwrap_or(file_name);
    let at = stem
        .match_indices('-')
        .map(|(at, _)| at)
        .find(|at| stem.as_bytes().get(at + 1).is_some_and(u8::is_ascii_digit) && *at > 0);
    match at.and_then(|at| Some((stem.get(..at)?, stem.get(at + 1..)?))) {
        Some((name, version)) => (name, Some(version)),
        None => (stem, None),
    }
}

/// RFC 3339 from the form that has no colon in its offset.
fn time(value: Option<&str>) -> String {
    let value = value.unwrap_or_default();
    let split = value.len().checked_sub(5).and_then(|at| value.split_at_checked(at));
    match split {
        Some((time, offset)) if offset.starts_with(['+', '-']) && time.contains('T') => {
            let (hours, minutes) = offset.split_at(3.min(offset.len()));
            format!("{time}{hours}:{minutes}")
        }
        _ => value.to_owned(),
    }
}

/// The first section of a manifest. A line that begins with a space continues the one before.
pub fn main_attributes(manifest: &str) -> Vec<(String, String)> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    for line in manifest.lines() {
        if line.is_empty() {
            break;
        }
        if let Some(more) = line.strip_prefix(' ') {
            if let Some((_, value)) = pairs.last_mut() {
                value.push_str(more);
            }
        } else if let Some((key, value)) = line.split_once(':') {
            pairs.push((key.to_owned(), value.trim_start().to_owned()));
        }
    }
    for (_, value) in &mut pairs {
        value.truncate(value.trim_end().len());
    }
    pairs
}

/// A `.properties` file, without its line continuations, which nothing that is read here has.
pub fn properties(text: &str) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    for line in text.lines().map(str::trim_start) {
        if line.starts_with(['#', '!']) {
            continue;
        }
        let mut escaped = false;
        let end = line.char_indices().find(|(_, c)| {
            let is_end = !escaped && (matches!(c, '=' | ':') || c.is_whitespace());
            escaped = !escaped && *c == '\\';
            is_end
        });
        let Some((key, rest)) = end.and_then(|(at, _)| line.split_at_checked(at)) else { continue };
        let rest = rest.trim_start();
        let rest = rest.strip_prefix(['=', ':']).unwrap_or(rest).trim_start();
        pairs.push((unescaped(key), unescaped(rest.trim_end())));
    }
    pairs
}

fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            plain.push(c);
            continue;
        }
        match chars.next() {
            Some('u') => {
                let code = chars
                    .by_ref()
                    .take(4)
                    .try_fold(0, |code, digit| digit.to_digit(16).map(|digit| code * 16 + digit));
                plain.push(code.and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            Some('t' | 'n' | 'r' | 'f') => plain.push(' '),
            Some(other) => plain.push(other),
            None => {}
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifests() {
        let text = "Manifest-Version: 1.0\r\nImplementation-Title: a very long title that was \r\n broken in two\r\n\
                    Empty:\r\n\r\nName: x\r\nImplementation-Version: 9\r\n";
        let pairs = main_attributes(text);
        assert_eq!(
            get(&pairs, &["implementation-title"]),
            Some("a very long title that was broken in two")
        );
        assert_eq!(get(&pairs, &["Implementation-Version"]), None);
        assert_eq!(get(&pairs, &["Empty"]), None);
    }

    #[test]
    fn property_files() {
        let pairs = properties(
            "#x\n a=1\nb : 2 \nc\\:d=e\\=f\ng 3\ntime=2024-01-31T10\\:20\\:30Z\nu=\\u00e4\n=\nk\n",
        );
        for (key, value) in [
            ("a", "1"),
            ("b", "2"),
            ("c:d", "e=f"),
            ("g", "3"),
            ("time", "2024-01-31T10:20:30Z"),
            ("u", "ä"),
        ] {
            assert_eq!(get(&pairs, &[key]), Some(value), "{key}");
        }
        assert_eq!(get(&pairs, &["k"]), None);
    }

    #[test]
    fn names_of_jars() {
        for (name, expected) in [
            ("checkout-1.4.2.jar", ("checkout", Some("1.4.2"))),
            ("checkout-service-2.0-SNAPSHOT.jar", ("checkout-service", Some("2.0-SNAPSHOT"))),
            ("app.jar", ("app", None)),
            ("log4j-to-x.jar", ("log4j-to-x", None)),
            ("-1.jar", ("-1", None)),
            ("", ("", None)),
        ] {
            assert_eq!(split(name), expected, "{name}");
        }
    }

    #[test]
    fn times() {
        assert_eq!(time(Some("2024-01-31T10:20:30+0100")), "2024-01-31T10:20:30+01:00");
        assert_eq!(time(Some("2024-01-31T10:20:30Z")), "2024-01-31T10:20:30Z");
        assert_eq!(time(Some("ä+000")), "ä+000");
        assert_eq!(time(None), "");
    }

    fn pairs(text: &str) -> Vec<(String, String)> {
        properties(text)
    }

    #[track_caller]
    fn check(manifest: &str, build: &str, poms: &[&str], file: &str, expected: (&str, &str, &str)) {
        let poms: Vec<_> = poms.iter().map(|pom| pairs(pom)).collect();
        let found = describe(&main_attributes(manifest), &pairs(build), &pairs(""), &poms, file);
        assert_eq!((&*found.name, &*found.version, &*found.origin), expected);
    }

    #[test]
    fn who_names_the_program() {
        let manifest = "Implementation-Title: shop\nImplementation-Version: 1.4.2\n";
        check(manifest, "", &[], "x.jar", ("shop", "1.4.2", "jar manifest"));
        check("", "", &[], "shop-2.0.jar", ("shop", "2.0", "name of the jar"));
        check("", "", &["artifactId=shop\nversion=3"], "x.jar", ("shop", "3", "pom.properties"));
        check(
            manifest,
            "build.name=store\nbuild.version=5",
            &[],
            "x.jar",
            ("store", "5", "build-info.properties"),
        );
        check(
            "Implementation-Version: unspecified",
            "",
            &[],
            "x.jar",
            ("x", "", "name of the jar"),
        );
    }

    #[test]
    fn a_merged_jar_does_not_speak_with_the_voice_of_a_dependency() {
        let manifest = "Implementation-Title: netty\nImplementation-Version: 4.1\n";
        let poms = ["artifactId=netty\nversion=4.1", "artifactId=shop\nversion=7"];
        check(manifest, "", &poms, "shop-7.jar", ("shop", "7", "pom.properties"));
        check(manifest, "", &poms, "app.jar", ("", "", "name of the jar"));
    }
}
