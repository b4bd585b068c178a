//! The files that systemd keeps and reads about a unit.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use crate::workload::{cgroup::unescape, text};

/// Whose manager runs a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manager<'a> {
    System,
    /// Of the user with this id.
    User(&'a str),
}

/// What the files say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// 128 bits in hexadecimal: another one for every start.
    pub invocation: Option<String>,
    /// When it was started, RFC 3339.
    pub started: Option<String>,
    /// When the unit file or one of its drop-ins was changed last, RFC 3339.
    pub changed: Option<String>,
}

/// Most drop-ins of a unit that are looked at.
const MOST_DROP_INS: usize = 256;
/// Most entries of the directory of invocations that are looked at.
const MOST_ENTRIES: usize = 16 * 1024;

/// Everything about a unit, whose name has no escapes any more.
pub(super) fn look(root: &Path, manager: Manager<'_>, name: &str) -> Told {
    let runtime = match manager {
        Manager::System => root.join("run/systemd"),
        Manager::User(id) => root.join("run/user").join(id).join("systemd"),
    };
    let units = runtime.join("units");
    let raw = raw_name(&units, name);
    let link = units.join(format!("invocation:{raw}"));
    let invocation = fs::read_link(&link)
        .ok()
        .and_then(|id| id.to_str().map(str::to_owned))
        .filter(|id| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let started = fs::symlink_metadata(&link).ok().filter(|_| invocation.is_some());
    let changed = files(root, manager, &raw).iter().filter_map(|path| mtime(path)).max();
    Told {
        invocation,
        started: started.and_then(|stat| text::rfc3339(stat.mtime())),
        changed: changed.and_then(text::rfc3339),
    }
}

/// The name as systemd writes it in files: it may have escapes, which cgroup paths are read without.
fn raw_name(units: &Path, name: &str) -> String {
    let direct = units.join(format!("invocation:{name}"));
    if fs::symlink_metadata(direct).is_ok() {
        return name.to_owned();
    }
    let entries = fs::read_dir(units).into_iter().flatten().take(MOST_ENTRIES).flatten();
    let raw = entries.filter_map(|entry| {
        let raw = entry.file_name().to_str()?.strip_prefix("invocation:")?.to_owned();
        (raw.contains('\\') && *unescape(&raw) == *name).then_some(raw)
    });
    raw.take(1).next().unwrap_or_else(|| name.to_owned())
}

/// The unit file that counts, and all drop-ins.
fn files(root: &Path, manager: Manager<'_>, raw: &str) -> Vec<PathBuf> {
    let directories = directories(root, manager);
    let mut names = vec![raw.to_owned()];
    if let Some(template) = template(raw) {
        names.push(template);
    }
    let fragment = names.iter().find_map(|name| {
        directories.iter().map(|directory| directory.join(name)).find(|path| path.exists())
    });
    let mut found: Vec<PathBuf> = fragment.into_iter().collect();
    let kind = raw.rsplit_once('.').map(|(_, kind)| kind.to_owned());
    for name in names.into_iter().chain(kind) {
        for directory in &directories {
            let drop_ins = fs::read_dir(directory.join(format!("{name}.d")));
            let drop_ins = drop_ins.into_iter().flatten().flatten().map(|entry| entry.path());
            found.extend(
                drop_ins
                    .filter(|path| path.extension().is_some_and(|extension| extension == "conf"))
                    .take(MOST_DROP_INS),
            );
        }
    }
    found
}

/// `postgres@15-main.service` is made from `postgres@.service`.
fn template(raw: &str) -> Option<String> {
    let (prefix, rest) = raw.split_once('@')?;
    let (_, kind) = rest.rsplit_once('.')?;
    Some(format!("{prefix}@.{kind}"))
}

/// Where units are, the one that counts most first.
fn directories(root: &Path, manager: Manager<'_>) -> Vec<PathBuf> {
    match manager {
        Manager::System => [
            "etc/systemd/system.control",
            "run/systemd/system.control",
            "run/systemd/transient",
            "run/systemd/generator.early",
            "etc/systemd/system",
            "run/systemd/system",
            "run/systemd/generator",
            "usr/local/lib/systemd/system",
            "usr/lib/systemd/system",
            "lib/systemd/system",
            "run/systemd/generator.late",
        ]
        .iter()
        .map(|path| root.join(path))
        .collect(),
        Manager::User(id) => {
            let runtime = root.join("run/user").join(id).join("systemd");
            let mut all = vec![runtime.join("transient")];
            all.extend(home(root, id).map(|home| home.join(".config/systemd/user")));
            all.push(root.join("etc/systemd/user"));
            all.push(runtime.join("user"));
            all.push(root.join("usr/local/lib/systemd/user"));
            all.push(root.join("usr/lib/systemd/user"));
            all
        }
    }
}

/// The home directory of a user of this host.
fn home(root: &Path, id: &str) -> Option<PathBuf> {
    let users = fs::read_to_string(root.join("etc/passwd")).ok()?;
    let home = users.lines().find_map(|line| {
        let mut fields = line.split(':').skip(2);
        (fields.next()? == id).then(|| fields.nth(2))?
    })?;
    Some(root.join(home.trim_start_matches('/')))
}

/// Seconds since 1970 of the last change. Of a unit that is linked, the link counts too: setting it is
/// a change.
fn mtime(path: &Path) -> Option<i64> {
    let link = fs::symlink_metadata(path).ok().map(|stat| stat.mtime());
    let file = fs::metadata(path).ok().map(|stat| stat.mtime());
    link.max(file)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef";

    struct Root(PathBuf);

    impl Root {
        fn new(name: &str) -> Self {
            let root = std::env::temp_dir()
                .join(format!("shipwake-systemd-{name}-{}", std::process::id()));
            fs::create_dir_all(&root).unwrap();
            Self(root)
        }

        fn file(&self, path: &str, seconds: u64) {
            let path = self.0.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let file = fs::File::create(&path).unwrap();
            let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
            file.set_modified(time).unwrap();
        }

        fn link(&self, path: &str, to: &str) {
            let path = self.0.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            symlink(to, path).unwrap();
        }
    }

    impl Drop for Root {
        fn drop(&mut self) {
            drop(fs::remove_dir_all(&self.0));
        }
    }

    #[track_caller]
    fn check_changed(root: &Root, manager: Manager<'_>, name: &str, expected: Option<&str>) {
        let Told { changed, .. } = look(&root.0, manager, name);
        assert_eq!(changed.as_deref(), expected, "{name}");
    }

    #[test]
    fn the_latest_of_unit_file_and_drop_ins() {
        let root = Root::new("changed");
        let system = Manager::System;
        check_changed(&root, system, "web.service", None);
        root.file("usr/lib/systemd/system/web.service", 1_700_000_000);
        check_changed(&root, system, "web.service", Some("2023-11-14T22:13:20Z"));
        // What is in /etc takes the place of what the package brings.
        root.file("etc/systemd/system/web.service", 1_600_000_000);
        check_changed(&root, system, "web.service", Some("2020-09-13T12:26:40Z"));
        root.file("etc/systemd/system/web.service.d/override.conf", 1_710_000_000);
        root.file("etc/systemd/system/web.service.d/README", 1_720_000_000);
        check_changed(&root, system, "web.service", Some("2024-03-09T16:00:00Z"));
        root.file("usr/lib/systemd/system/pg@.service", 1_700_000_000);
        check_changed(&root, system, "pg@15-main.service", Some("2023-11-14T22:13:20Z"));
        root.file("run/systemd/system/service.d/all.conf", 1_730_000_000);
        check_changed(&root, system, "pg@15-main.service", Some("2024-10-27T03:33:20Z"));
    }

    #[test]
    fn invocations() {
        let root = Root::new("invocations");
        root.link("run/systemd/units/invocation:web.service", ID);
        root.link("run/systemd/units/invocation:a\\x2db@c.service", ID);
        root.link("run/systemd/units/invocation:bad.service", "../../etc/shadow");
        root.link("run/user/1000/systemd/units/invocation:web.service", &"f".repeat(32));
        let invocation = |manager, name| look(&root.0, manager, name).invocation;
        assert_eq!(invocation(Manager::System, "web.service").as_deref(), Some(ID));
        assert_eq!(invocation(Manager::System, "a-b@c.service").as_deref(), Some(ID));
        assert_eq!(invocation(Manager::System, "bad.service"), None);
        assert_eq!(invocation(Manager::System, "other.service"), None);
        let user = invocation(Manager::User("1000"), "web.service");
        assert_eq!(user.as_deref(), Some(&*"f".repeat(32)));
        let Told { started, .. } = look(&root.0, Manager::System, "web.service");
        assert!(text::build_time(&started.unwrap()).is_some());
    }

    #[test]
    fn units_of_users() {
        let root = Root::new("users");
        root.file("etc/passwd", 1);
        fs::write(
            root.0.join("etc/passwd"),
            "root:x:0:0::/root:/bin/sh\nada:x:1000:1000::/home/ada:/bin/sh\n",
        )
        .unwrap();
        root.file("home/ada/.config/systemd/user/web.service", 1_700_000_000);
        check_changed(&root, Manager::User("1000"), "web.service", Some("2023-11-14T22:13:20Z"));
        check_changed(&root, Manager::User("1001"), "web.service", None);
    }
}
