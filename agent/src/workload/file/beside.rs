//! Where the description of a program may lie: next to it, or in the directory of the application.

use std::{
    fs,
    io::Read as _,
    os::fd::OwnedFd,
    path::{Component, Path, PathBuf},
    time::{Duration, UNIX_EPOCH},
};

use rustix::{
    fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, openat2},
    io::Errno,
};

use super::Stamp;
use crate::{process::ProcessKey, workload::living};

/// In the directory of an application.
pub const NAME: &str = ".shipwake.json";
/// Behind the name of a program.
pub const SUFFIX: &str = ".deploy.json";
/// Most bytes of a description.
pub(super) const MOST_BYTES: u64 = 64 * 1024;
/// Most bytes of a command line in which the script of an interpreter is looked for.
const MOST_COMMAND: u64 = 4096;

/// Programs that run other programs, and those of their options that are followed by a value.
const INTERPRETERS: &[(&str, &[&str])] = &[
    ("python", &["-W", "-X", "--check-hash-based-pycs"]),
    ("node", &["-r", "--require", "--import", "--loader", "--experimental-loader", "-C"]),
    ("nodejs", &["-r", "--require", "--import", "--loader", "-C"]),
    ("bun", &["-r", "--preload"]),
    ("ruby", &["-I", "-r", "-C", "-E"]),
    ("perl", &["-I"]),
    ("php", &["-d", "-c", "-z"]),
    ("java", &["-cp", "-classpath", "--class-path", "-p", "--module-path", "--add-modules"]),
    ("dotnet", &["--additionalprobingpath", "--depsfile", "--runtimeconfig", "--fx-version"]),
];

/// Directories that belong to no one application.
const SHARED: &[&str] = &[
    "/",
    "/bin",
    "/etc",
    "/home",
    "/lib",
    "/lib64",
    "/mnt",
    "/opt",
    "/root",
    "/run",
    "/sbin",
    "/srv",
    "/tmp",
    "/usr",
    "/usr/bin",
    "/usr/games",
    "/usr/lib",
    "/usr/lib64",
    "/usr/libexec",
    "/usr/local",
    "/usr/local/bin",
    "/usr/local/lib",
    "/usr/local/sbin",
    "/usr/sbin",
    "/usr/share",
    "/var",
    "/var/lib",
    "/var/tmp",
];

/// What is executed: a program of its own, or one that an interpreter runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Program {
    /// The file, as the process sees it. Absent for a module that an interpreter finds by name.
    pub file: Option<PathBuf>,
    /// Working directory, where that is part of what is run.
    pub directory: Option<PathBuf>,
    pub is_interpreted: bool,
}

/// What the process runs, as far as its executable and command line tell.
pub(super) fn program(key: &ProcessKey, executable: &str) -> Option<Program> {
    let tgid = key.tgid;
    let base = executable.rsplit('/').next().unwrap_or(executable);
    let root = fs::read_link(format!("/proc/{tgid}/root")).ok()?;
    let Some((_, valued)) = interpreter(base) else {
        let file = Some(inside(&root, PathBuf::from(executable)));
        return Some(Program { file, directory: None, is_interpreted: false });
    };
    let mut command = Vec::new();
    living::read(key, "cmdline", MOST_COMMAND, &mut command)?;
    let cwd = inside(&root, fs::read_link(format!("/proc/{tgid}/cwd")).ok()?);
    let arguments = command.split(|byte| *byte == 0).skip(1);
    let arguments: Vec<&str> = arguments.map_while(|one| std::str::from_utf8(one).ok()).collect();
    interpreted(base, &arguments, valued, &cwd)
}

/// The path as a process with this root directory sees it. The kernel writes paths as the agent sees them where the
/// agent can see them: after a mere `chroot`.
fn inside(root: &Path, path: PathBuf) -> PathBuf {
    match path.strip_prefix(root) {
        Ok(rest) => Path::new("/").join(rest),
        Err(_) => path,
    }
}

/// `python3.11` is `python`.
fn interpreter(base: &str) -> Option<&'static (&'static str, &'static [&'static str])> {
    let stem = base.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    INTERPRETERS.iter().find(|(name, _)| *name == stem)
}

fn interpreted(base: &str, arguments: &[&str], valued: &[&str], cwd: &Path) -> Option<Program> {
    let is_java = base == "java";
    let mut rest = arguments.iter().copied();
    while let Some(argument) = rest.next() {
        match argument {
            "" => return None,
            // A program on the command line, or something to talk to.
            "-c" | "-e" | "-E" | "-p" | "--eval" | "--print" | "-i"
                if !is_java && !valued.contains(&argument) =>
            {
                return None;
            }
            "-m" => {
                let directory = Some(cwd.to_owned());
                return Some(Program { file: None, directory, is_interpreted: true });
            }
            "-jar" | "-f" => return script(rest.next()?, cwd),
            "exec" if base == "dotnet" => {}
            option if valued.contains(&option) => drop(rest.next()),
            option if option.starts_with('-') => {}
            // The main class of Java is found on the class path, which may be anything.
            _ if is_java => return None,
            file => return script(file, cwd),
        }
    }
    None
}

fn script(file: &str, cwd: &Path) -> Option<Program> {
    let path = plain(&cwd.join(file))?;
    let directory = path.starts_with(cwd).then(|| cwd.to_owned());
    Some(Program { file: Some(path), directory, is_interpreted: true })
}

/// Without `.` and `..`.
fn plain(path: &Path) -> Option<PathBuf> {
    let mut plain = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::Normal(name) => plain.push(name),
            Component::ParentDir => {
                plain.pop();
            }
            Component::RootDir | Component::CurDir => {}
            Component::Prefix(_) => return None,
        }
    }
    Some(plain)
}

/// Where descriptions of a program may be, the most special one first.
pub(super) fn places(program: &Program) -> Vec<PathBuf> {
    let Program { file, directory, is_interpreted: _ } = program;
    let mut places = Vec::new();
    let mut in_directory = |directory: &Path| {
        let is_shared = SHARED.iter().any(|shared| Path::new(shared) == directory);
        let place = directory.join(NAME);
        if !is_shared && directory.is_absolute() && !places.contains(&place) {
            places.push(place);
        }
    };
    if let Some(own) = file.as_deref().and_then(Path::parent) {
        in_directory(own);
        // The programs of an application often lie one level below it.
        let below = ["bin", "sbin", "lib", "dist", "src"];
        if own.file_name().is_some_and(|name| below.iter().any(|one| name == *one))
            && let Some(above) = own.parent()
        {
            in_directory(above);
        }
    }
    if let Some(directory) = directory {
        in_directory(directory);
    }
    if let Some(file) = file
        && let Some(name) = file.file_name()
        && file.is_absolute()
    {
        let mut beside = name.to_owned();
        beside.push(SUFFIX);
        places.insert(0, file.with_file_name(beside));
    }
    places
}

/// A file as the process sees it, and when it was last written or put there. `Ok(None)` when there is
/// none, or none that may be read.
///
/// Whatever links say, nothing outside of the root directory of the process is opened.
pub(super) fn read(tgid: u32, path: &Path) -> Result<Option<(Vec<u8>, Stamp)>, String> {
    match open(tgid, path) {
        Ok(file) => contents(file),
        Err(_) => Ok(None),
    }
}

/// The same for a file that is open.
pub(super) fn contents(file: OwnedFd) -> Result<Option<(Vec<u8>, Stamp)>, String> {
    let stat = fstat(&file).map_err(|error| error.to_string())?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err("it is no plain file".to_owned());
    }
    let mut bytes = Vec::new();
    fs::File::from(file)
        .take(MOST_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| format!("it cannot be read: {error}"))?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(format!("it has more than {MOST_BYTES} bytes"));
    }
    // When the file came to be what it is here. The time of its contents may be older: tools that copy
    // files keep it.
    let seconds = u64::try_from(stat.st_ctime).unwrap_or_default();
    let changed =
        UNIX_EPOCH + Duration::from_secs(seconds) + Duration::from_nanos(stat.st_ctime_nsec as u64);
    Ok(Some((bytes, Stamp { inode: stat.st_ino, device: stat.st_dev, changed })))
}

const FLAGS: OFlags =
    OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

fn open(tgid: u32, path: &Path) -> Result<OwnedFd, Errno> {
    let root = format!("/proc/{tgid}/root");
    let directory = rustix::fs::openat(
        CWD,
        &root,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    match openat2(&directory, path, FLAGS, Mode::empty(), inside) {
        // Some sandboxes do not know this call. In the agent's own root there is nothing to escape from.
        Err(Errno::NOSYS | Errno::PERM) if is_own_root(&directory) => plain_open(path),
        other => other,
    }
}

/// Opens a file of the agent's own root.
pub(super) fn plain_open(path: &Path) -> Result<OwnedFd, Errno> {
    rustix::fs::openat(CWD, path, FLAGS, Mode::empty())
}

fn is_own_root(directory: &OwnedFd) -> bool {
    let identity = |stat: rustix::fs::Stat| (stat.st_dev, stat.st_ino);
    let own = rustix::fs::stat("/").map(identity);
    fstat(directory).map(identity).is_ok_and(|theirs| own == Ok(theirs))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(command: &str, expected: &[&str]) {
        let words: Vec<&str> = command.split(' ').collect();
        let base = words[0].rsplit('/').next().unwrap();
        let program = match interpreter(base) {
            Some((_, valued)) => interpreted(base, &words[1..], valued, Path::new("/srv/shop")),
            None => Some(Program {
                file: Some(words[0].into()),
                directory: None,
                is_interpreted: false,
            }),
        };
        let found = program.map(|program| places(&program)).unwrap_or_default();
        let found: Vec<&str> = found.iter().map(|path| path.to_str().unwrap()).collect();
        assert_eq!(found, expected, "{command}");
    }

    #[test]
    fn programs() {
        check("/srv/shop/web", &["/srv/shop/web.deploy.json", "/srv/shop/.shipwake.json"]);
        check(
            "/srv/shop/bin/web",
            &[
                "/srv/shop/bin/web.deploy.json",
                "/srv/shop/bin/.shipwake.json",
                "/srv/shop/.shipwake.json",
            ],
        );
        // What many programs share says nothing about one of them.
        check("/usr/bin/web", &["/usr/bin/web.deploy.json"]);
        check("/opt/bin/web", &["/opt/bin/web.deploy.json", "/opt/bin/.shipwake.json"]);
        check("web", &[]);
    }

    #[test]
    fn what_interpreters_run() {
        let app = ["/srv/shop/app.py.deploy.json", "/srv/shop/.shipwake.json"];
        check("/usr/bin/python3.11 app.py --port 80", &app);
        check("python3 -W ignore -u ./app.py", &app);
        check("python3 /srv/shop/x/../app.py", &app);
        check("python3 -m shop", &["/srv/shop/.shipwake.json"]);
        check("python3 -c pass app.py", &[]);
        check("python3", &[]);
        check(
            "node -r ./trace.js dist/main.js",
            &[
                "/srv/shop/dist/main.js.deploy.json",
                "/srv/shop/dist/.shipwake.json",
                "/srv/shop/.shipwake.json",
            ],
        );
        check("node -e 1", &[]);
        check(
            "java -Xmx1g -cp lib/* -jar /opt/billing/billing.jar --x",
            &["/opt/billing/billing.jar.deploy.json", "/opt/billing/.shipwake.json"],
        );
        check("java -cp /opt/billing/* com.acme.Main", &[]);
        check("dotnet exec /opt/b/b.dll", &["/opt/b/b.dll.deploy.json", "/opt/b/.shipwake.json"]);
        check("python3 /usr/bin/gunicorn app:app", &["/usr/bin/gunicorn.deploy.json"]);
    }
}
