//! Which Debian package a file belongs to, by the database that dpkg keeps in a file system.

use std::{hash::Hasher as _, path::Path};

use rustc_hash::{FxHashMap, FxHasher};

use super::root::{FileKey, Root};

const STATUS: &str = "/var/lib/dpkg/status";
/// Where dpkg notes what it does until it writes the whole status again.
const UPDATES: &str = "/var/lib/dpkg/updates";
const INFO: &str = "/var/lib/dpkg/info";
const DIVERSIONS: &str = "/var/lib/dpkg/diversions";

/// Longest file of each kind that is read, in bytes.
const LONGEST_STATUS: usize = 32 * 1024 * 1024;
const LONGEST_LIST: usize = 8 * 1024 * 1024;
const LONGEST_UPDATE: usize = 256 * 1024;
/// Lists that are read, at most.
const MOST_PACKAGES: usize = 20_000;
/// Paths that are remembered, at most, 8 bytes each.
const MOST_PATHS: usize = 400_000;
/// The low bits of a remembered path are the number of its package.
const PACKAGE_BITS: u32 = 16;

/// A package, and its version as it is installed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Package {
    pub name: String,
    pub version: String,
}

/// What the database was when it was read. Any change of it makes another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stamp(FileKey, Option<FileKey>);

impl Stamp {
    /// Of the database in a file system, if there is one.
    pub fn of(root: &Root) -> Option<Self> {
        let status = root.key(STATUS)?.without_device();
        Some(Self(status, root.key(UPDATES).map(FileKey::without_device)))
    }
}

/// The owners of files that may be executables.
pub struct Database {
    /// Names of the lists.
    lists: Vec<Box<str>>,
    packages: FxHashMap<Box<str>, State>,
    /// A part of the hash of each path, then the number of its list; sorted.
    paths: Vec<u64>,
    diversions: Vec<Diversion>,
}

/// A package as the status has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    pub version: Box<str>,
    /// Its files are there, all of one version.
    pub is_whole: bool,
}

/// A file that one package put elsewhere, because it brings one of that name itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diversion {
    pub from: String,
    pub to: String,
    /// `:` when it was not a package.
    pub package: String,
}

impl Database {
    /// Reads the database of a file system.
    pub fn read(root: &Root) -> Self {
        let mut packages = FxHashMap::default();
        let mut note = |bytes: Vec<u8>| {
            states(&String::from_utf8_lossy(&bytes), |name, architecture, state| {
                if !architecture.is_empty() {
                    packages.insert(format!("{name}:{architecture}").into(), state.clone());
                }
                packages.insert(name.into(), state);
            });
        };
        root.head(STATUS, LONGEST_STATUS).into_iter().for_each(&mut note);
        let is_number = |name: &str| name.bytes().all(|byte| byte.is_ascii_digit());
        let mut updates = root.list(UPDATES, 1000, is_number);
        updates.sort_unstable();
        for name in updates {
            root.head(Path::new(UPDATES).join(name), LONGEST_UPDATE)
                .into_iter()
                .for_each(&mut note);
        }
        let diverted = root.head(DIVERSIONS, LONGEST_UPDATE).unwrap_or_default();
        let mut database = Self {
            lists: Vec::new(),
            packages,
            paths: Vec::new(),
            diversions: diversions(&String::from_utf8_lossy(&diverted)),
        };
        let is_list = |name: &str| name.ends_with(".list");
        for name in root.list(INFO, MOST_PACKAGES, is_list) {
            if let Some(bytes) = root.head(Path::new(INFO).join(&name), LONGEST_LIST) {
                database.add(name.trim_end_matches(".list"), &String::from_utf8_lossy(&bytes));
            }
        }
        database.paths.sort_unstable();
        database.paths.shrink_to_fit();
        database
    }

    fn add(&mut self, list: &str, paths: &str) {
        let number = self.lists.len() as u64;
        self.lists.push(list.into());
        for path in paths.lines().filter(|path| may_be_executable(path)) {
            if self.paths.len() < MOST_PATHS {
                self.paths.push(hash(path) | number);
            }
        }
    }

    /// Packages that list this path. Equal hashes are told apart by reading the list once more.
    fn listing(&self, root: &Root, path: &str) -> Vec<&str> {
        let wanted = hash(path);
        let start = self.paths.partition_point(|entry| *entry < wanted);
        let mut found = Vec::new();
        for entry in self.paths.get(start..).unwrap_or_default() {
            if entry >> PACKAGE_BITS != wanted >> PACKAGE_BITS {
                break;
            }
            let number = entry & ((1 << PACKAGE_BITS) - 1);
            let Some(list) = self.lists.get(number as usize) else { continue };
            let bytes = root.head(Path::new(INFO).join(format!("{list}.list")), LONGEST_LIST);
            let bytes = bytes.unwrap_or_default();
            if bytes.split(|byte| *byte == b'\n').any(|line| line == path.as_bytes()) {
                found.push(&**list);
            }
        }
        found
    }

    /// The package that the file at `path` came with, when it is the file `key`, and the package is
    /// wholly there.
    pub fn owner(&self, root: &Root, path: &str, key: &FileKey) -> Option<Package> {
        let names = names_of(path);
        let is_meant = |name: &&String| root.key(name).is_some_and(|found| found.is_same_file(key));
        let owner = names.iter().filter(is_meant).find_map(|name| self.owner_of(root, name))?;
        let state = self.packages.get(owner).filter(|state| state.is_whole)?;
        let name = owner.split(':').next().unwrap_or(owner);
        Some(Package { name: name.to_owned(), version: state.version.to_string() })
    }

    fn owner_of(&self, root: &Root, path: &str) -> Option<&str> {
        let plain = |list: &str| list.split(':').next().unwrap_or_default().to_owned();
        if let Some(diversion) = self.diversions.iter().find(|one| one.to == path) {
            // The file of whoever does not divert it.
            let lists = self.listing(root, &diversion.from);
            return lists.into_iter().find(|list| plain(list) != diversion.package);
        }
        let lists = self.listing(root, path);
        match self.diversions.iter().find(|one| one.from == path) {
            Some(diversion) => lists.into_iter().find(|list| plain(list) == diversion.package),
            None => match lists.as_slice() {
                [only] => Some(only),
                // The same package for several architectures shares files.
                [first, rest @ ..] if rest.iter().all(|list| plain(list) == plain(first)) => {
                    Some(first)
                }
                _ => None,
            },
        }
    }
}

/// The upper bits of a path's hash, with room for the number of a list.
fn hash(path: &str) -> u64 {
    let mut hasher = FxHasher::default();
    hasher.write(path.as_bytes());
    // The upper bits of this hash are the well mixed ones.
    hasher.finish() >> PACKAGE_BITS << PACKAGE_BITS
}

/// A path as the lists may have it: packages still list `/bin/x` where `/bin` is a link to `/usr/bin`.
fn names_of(path: &str) -> Vec<String> {
    let mut names = vec![path.to_owned()];
    if let Some(rest) = path.strip_prefix("/usr")
        && ["/bin/", "/sbin/", "/lib"].iter().any(|folder| rest.starts_with(folder))
    {
        names.push(rest.to_owned());
    } else if ["/bin/", "/sbin/", "/lib"].iter().any(|folder| path.starts_with(folder)) {
        names.push(format!("/usr{path}"));
    }
    names
}

/// Leaves out the many files that nobody executes.
fn may_be_executable(path: &str) -> bool {
    const FOLDERS: [&str; 4] = ["/bin/", "/sbin/", "/lib", "/games/"];
    const ENDS: [&str; 22] = [
        "a", "c", "cmake", "conf", "gz", "h", "hpp", "html", "js", "json", "ko", "la", "mo", "o",
        "pc", "pm", "png", "py", "pyc", "rlib", "svg", "txt",
    ];
    let name = path.rsplit('/').next().unwrap_or_default();
    let is_other = name.rsplit_once('.').is_some_and(|(_, end)| ENDS.contains(&end));
    let is_there = path.starts_with("/opt/") || FOLDERS.iter().any(|folder| path.contains(folder));
    is_there && !is_other && !name.contains(".so")
}

/// Packages in a status file: `give(name, architecture, state)` for each.
pub fn states(text: &str, mut give: impl FnMut(&str, &str, State)) {
    let (mut name, mut architecture, mut version, mut status) = ("", "", "", "");
    for line in text.lines().chain([""]) {
        if line.is_empty() {
            if !name.is_empty() && !version.is_empty() {
                let state = status.rsplit(' ').next().unwrap_or_default();
                const WHOLE: [&str; 5] = [
                    "installed",
                    "unpacked",
                    "half-configured",
                    "triggers-awaited",
                    "triggers-pending",
                ];
                let state = State { version: version.into(), is_whole: WHOLE.contains(&state) };
                give(name, architecture, state);
            }
            (name, architecture, version, status) = ("", "", "", "");
        } else if let Some((key, value)) = line.split_once(": ") {
            match key {
                "Package" => name = value,
                "Architecture" => architecture = value,
                "Version" => version = value,
                "Status" => status = value,
                _ => {}
            }
        }
    }
}

/// Three lines each: from, to, by which package.
pub fn diversions(text: &str) -> Vec<Diversion> {
    let lines: Vec<&str> = text.lines().take(30_000).collect();
    lines
        .chunks_exact(3)
        .filter_map(|three| match three {
            [from, to, package] => Some(Diversion {
                from: (*from).to_owned(),
                to: (*to).to_owned(),
                package: (*package).to_owned(),
            }),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use super::*;

    /// A file system with a database. Removed when dropped.
    struct System(PathBuf);

    impl System {
        fn new(name: &str) -> Self {
            let path = format!("shipwake-dpkg-{name}-{}", std::process::id());
            Self(std::env::temp_dir().join(path))
        }

        fn write(&self, path: &str, text: &str) -> &Self {
            let path = self.0.join(path.trim_start_matches('/'));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
            self
        }

        fn root(&self) -> Root {
            Root::open(self.0.to_str().unwrap()).unwrap()
        }

        #[track_caller]
        fn check(&self, path: &str, expected: Option<(&str, &str)>) {
            let root = self.root();
            let key = root.key(path).expect("the file is there");
            let found = Database::read(&root).owner(&root, path, &key);
            let found = found.as_ref().map(|one| (&*one.name, &*one.version));
            assert_eq!(found, expected, "{path}");
        }
    }

    impl Drop for System {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    fn status(packages: &[(&str, &str, &str)]) -> String {
        packages
            .iter()
            .map(|(name, version, state)| {
                format!(
                    "Package: {name}\nStatus: install ok {state}\nArchitecture: amd64\n\
                     Version: {version}\nDescription: Version: 9\n more\n\n"
                )
            })
            .collect()
    }

    #[test]
    fn owners() {
        let system = System::new("owners");
        for file in ["usr/bin/web", "opt/shop/checkout", "usr/bin/local", "usr/lib/x/tool"] {
            system.write(file, "");
        }
        std::os::unix::fs::symlink("usr/bin", system.0.join("bin")).unwrap();
        system
            .write(
                STATUS,
                &status(&[
                    ("web", "1.2-3", "installed"),
                    ("shop", "7", "half-installed"),
                    ("tool", "2:1.0", "installed"),
                ]),
            )
            .write("/var/lib/dpkg/info/web.list", "/.\n/bin\n/bin/web\n")
            .write("/var/lib/dpkg/info/shop.list", "/opt/shop/checkout\n")
            .write("/var/lib/dpkg/info/tool:amd64.list", "/usr/lib/x/tool\n");
        system.check("/usr/bin/web", Some(("web", "1.2-3")));
        system.check("/usr/lib/x/tool", Some(("tool", "2:1.0")));
        system.check("/usr/bin/local", None);
        system.check("/opt/shop/checkout", None);
        // What dpkg has noted and not yet written into its status.
        system.write("/var/lib/dpkg/updates/0001", &status(&[("shop", "8", "unpacked")]));
        system.check("/opt/shop/checkout", Some(("shop", "8")));
    }

    #[test]
    fn a_file_that_took_the_place_of_a_packages_is_not_the_packages() {
        let system = System::new("replaced");
        system
            .write("usr/bin/web", "old")
            .write(STATUS, &status(&[("web", "1", "installed")]))
            .write("/var/lib/dpkg/info/web.list", "/usr/bin/web\n");
        let root = system.root();
        let before = root.key("/usr/bin/web").unwrap();
        fs::rename(system.0.join("usr/bin/web"), system.0.join("usr/bin/web.old")).unwrap();
        system.write("usr/bin/web", "new one");
        let database = Database::read(&root);
        assert_eq!(database.owner(&root, "/usr/bin/web", &before), None);
    }

    #[test]
    fn diverted_files() {
        let system = System::new("diverted");
        system
            .write("usr/bin/sh", "dash")
            .write("usr/bin/sh.distrib", "bash")
            .write("usr/bin/mine", "local")
            .write("usr/bin/mine.distrib", "bash")
            .write(STATUS, &status(&[("dash", "1", "installed"), ("bash", "2", "installed")]))
            .write("/var/lib/dpkg/info/dash.list", "/usr/bin/sh\n")
            .write("/var/lib/dpkg/info/bash.list", "/usr/bin/sh\n/usr/bin/mine\n")
            .write(
                DIVERSIONS,
                "/usr/bin/sh\n/usr/bin/sh.distrib\ndash\n/usr/bin/mine\n/usr/bin/mine.distrib\n:\n",
            );
        system.check("/usr/bin/sh", Some(("dash", "1")));
        system.check("/usr/bin/sh.distrib", Some(("bash", "2")));
        system.check("/usr/bin/mine", None);
        system.check("/usr/bin/mine.distrib", Some(("bash", "2")));
    }

    #[test]
    fn a_link_out_of_the_file_system_stays_inside() {
        let system = System::new("link");
        system.write("etc/hostname", "inside").write("var/x", "");
        std::os::unix::fs::symlink("/etc/hostname", system.0.join("var/link")).unwrap();
        std::os::unix::fs::symlink("../../../../../etc/hostname", system.0.join("var/up")).unwrap();
        let root = system.root();
        for path in ["/var/link", "/var/up", "/../../etc/hostname"] {
            assert_eq!(root.head(path, 99).as_deref(), Some(&b"inside"[..]), "{path}");
        }
    }
}
