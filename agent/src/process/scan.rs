//! Reading `/proc`: all processes at start-up, and one process on demand.

use std::{
    fs::File,
    io::Read as _,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
    sync::Arc,
};

use rustix::{
    fs::{CWD, Dir, Mode, OFlags, openat, readlinkat},
    io::Errno,
};

use super::{Fact, ProcessInfo, ProcessKey, stat::Stat};
use crate::{time::Mono, workload::cgroup::choose_bytes};

/// First argument: as much as the kernel side sends.
const ARGV0_KEPT: usize = 255;
/// Holds every `stat` and `status`, and `cgroup` with a dozen hierarchies of deep paths.
pub(crate) const BUFFER: usize = 8192;

/// What a look at all of `/proc` found.
#[derive(Debug, Default)]
pub struct Scan {
    /// A [`Fact::Seen`] for every process.
    pub facts: Vec<Fact>,
    /// Processes that are there and whose executable may not be read: missing privilege.
    pub denied: u64,
}

/// Looks at every process. Kernel threads and zombies are left out, as are processes that vanish meanwhile
/// and those that `hidepid` hides. Takes about 50 µs per process.
///
/// # Errors
/// `/proc` cannot be listed.
pub fn scan() -> std::io::Result<Scan> {
    scan_in(Path::new("/proc"))
}

/// Looks at one process; `None` when it is gone, a kernel thread, or hidden.
pub fn see(tgid: u32) -> Option<ProcessInfo> {
    let proc = open_dir(CWD, Path::new("/proc")).ok()?;
    let mut buffer = [0; BUFFER];
    Directory::open(proc.as_fd(), tgid)?.see(&mut buffer).map(|(info, _)| info)
}

fn scan_in(root: &Path) -> std::io::Result<Scan> {
    let proc = open_dir(CWD, root)?;
    let mut scan = Scan::default();
    let mut buffer = [0; BUFFER];
    for entry in std::fs::read_dir(root)? {
        let Ok(entry) = entry else { continue };
        let Some(tgid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let Some(directory) = Directory::open(proc.as_fd(), tgid) else { continue };
        if let Some((info, denied)) = directory.see(&mut buffer) {
            scan.denied += u64::from(denied);
            scan.facts.push(Fact::Seen(info));
        }
    }
    Ok(scan)
}

/// The open directory of one process. It means that process for good: when the process is gone and its
/// pid belongs to another, everything read through it fails.
pub(crate) struct Directory {
    tgid: u32,
    directory: OwnedFd,
}

impl Directory {
    /// Opens the directory of a process below an open `/proc`.
    pub(crate) fn open(proc: BorrowedFd<'_>, tgid: u32) -> Option<Self> {
        let mut name = [0; 11];
        let directory = open_dir(proc, decimal(tgid, &mut name)).ok()?;
        Some(Self { tgid, directory })
    }

    pub(crate) fn stat(&self, buffer: &mut [u8; BUFFER]) -> Option<Stat> {
        Stat::parse(self.read("stat", buffer)?)
    }

    /// The path that tells where the process belongs.
    pub(crate) fn cgroup(&self, buffer: &mut [u8; BUFFER]) -> Option<Arc<str>> {
        let mut text = self.read("cgroup", buffer)?;
        if text.len() == BUFFER {
            // The rest was cut off, and half a path would be a wrong one.
            text = text.get(..text.iter().rposition(|byte| *byte == b'\n')?)?;
        }
        choose_bytes(text)
    }

    /// The executable, without the mark of a deleted file.
    pub(crate) fn executable(&self) -> Result<Arc<str>, Errno> {
        let link = readlinkat(&self.directory, "exe", Vec::new())?;
        let path = link.to_string_lossy();
        Ok(path.strip_suffix(" (deleted)").unwrap_or(&path).into())
    }

    pub(crate) fn argv0(&self, buffer: &mut [u8; BUFFER]) -> Option<Arc<str>> {
        let text = self.read("cmdline", buffer)?;
        let end = text.iter().position(|byte| *byte == 0).unwrap_or(text.len()).min(ARGV0_KEPT);
        let argv0 = text.get(..end).filter(|argv0| !argv0.is_empty())?;
        Some(String::from_utf8_lossy(argv0).into())
    }

    fn pid_namespace(&self) -> Option<u32> {
        let link = readlinkat(&self.directory, "ns/pid", Vec::new()).ok()?;
        let text = link.to_str().ok()?;
        text.strip_prefix("pid:[")?.strip_suffix(']')?.parse().ok()
    }

    /// From `status`: the owner of the directory is root for a process that must not be dumped.
    fn uid(&self, buffer: &mut [u8; BUFFER]) -> Option<u32> {
        let text = self.read("status", buffer)?;
        let line = text.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"Uid:"))?;
        std::str::from_utf8(line).ok()?.split_ascii_whitespace().next()?.parse().ok()
    }

    /// Everything that can be read, and whether reading was denied somewhere.
    fn see(&self, buffer: &mut [u8; BUFFER]) -> Option<(ProcessInfo, bool)> {
        let stat = self.stat(buffer)?;
        if stat.is_kernel_thread() || stat.is_over() {
            return None;
        }
        let at = Mono::now();
        let key = ProcessKey { tgid: self.tgid, start_ticks: stat.start_ticks };
        let mut info = ProcessInfo::new(key, at);
        info.parent_tgid = Some(stat.parent_tgid).filter(|parent| *parent != 0);
        let thread = if stat.is_exiting() { self.living_thread(buffer) } else { None };
        let alive = thread.as_ref().unwrap_or(self);
        let executable = alive.executable();
        let denied = matches!(executable, Err(Errno::ACCESS | Errno::PERM));
        info.executable = executable.ok();
        info.argv0 = alive.argv0(buffer);
        info.cgroup.path = alive.cgroup(buffer);
        info.uid = self.uid(buffer);
        info.pid_namespace = alive.pid_namespace();
        Some((info, denied))
    }

    /// A thread that is not ending, of a process whose leader has ended.
    fn living_thread(&self, buffer: &mut [u8; BUFFER]) -> Option<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let tasks = openat(&self.directory, "task", flags, Mode::empty()).ok()?;
        for entry in Dir::read_from(&tasks).ok()?.flatten() {
            let Some(tid) = entry.file_name().to_str().ok().and_then(|name| name.parse().ok())
            else {
                continue;
            };
            let Some(thread) = Self::open(tasks.as_fd(), tid) else { continue };
            if thread.stat(buffer).is_some_and(|stat| !stat.is_exiting()) {
                return Some(thread);
            }
        }
        None
    }

    fn read<'b>(&self, name: &str, buffer: &'b mut [u8; BUFFER]) -> Option<&'b [u8]> {
        let fd = openat(&self.directory, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
        let mut file = File::from(fd.ok()?);
        let mut length = 0;
        loop {
            match file.read(buffer.get_mut(length..)?) {
                Ok(0) => break,
                Ok(count) => length += count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
        }
        buffer.get(..length)
    }
}

pub(crate) fn open_dir(at: impl AsFd, path: &Path) -> rustix::io::Result<OwnedFd> {
    openat(at, path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// Writes a number without allocating.
fn decimal(mut number: u32, buffer: &mut [u8; 11]) -> &Path {
    let mut at = buffer.len();
    for slot in buffer.iter_mut().rev() {
        let digit = (number % 10) as u8;
        *slot = b'0' + digit;
        at -= 1;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    Path::new(std::ffi::OsStr::from_bytes(buffer.get(at..).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own_key() -> ProcessKey {
        let stat = Stat::parse(&std::fs::read("/proc/self/stat").unwrap()).unwrap();
        ProcessKey { tgid: std::process::id(), start_ticks: stat.start_ticks }
    }

    #[test]
    fn sees_itself() {
        let info = see(std::process::id()).unwrap();
        assert_eq!(info.key, own_key());
        assert_eq!(info.parent_tgid, Some(std::os::unix::process::parent_id()));
        let executable = std::env::current_exe().unwrap();
        assert_eq!(info.executable.as_deref(), executable.to_str());
        assert_eq!(info.argv0.as_deref(), std::env::args().next().as_deref());
        assert_eq!(info.uid, Some(rustix::process::getuid().as_raw()));
        let cgroup = std::fs::read_to_string("/proc/self/cgroup").unwrap();
        assert!(cgroup.contains(&*info.cgroup.path.unwrap()));
        assert!(info.pid_namespace.is_some());
    }

    #[test]
    fn sees_no_kernel_thread_and_nobody_who_is_gone() {
        assert_eq!(see(2), None);
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        assert_eq!(see(child.id()), None);
    }

    #[test]
    fn a_scan_finds_every_process_that_stays() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let found: Vec<u32> = scan().unwrap().facts.iter().map(tgid).collect();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(found.contains(&std::process::id()));
        assert!(found.contains(&child.id()));
        assert!(!found.contains(&2));
    }

    #[test]
    fn a_proc_without_processes_is_no_error() {
        let root = std::env::temp_dir().join(format!("shipwake-scan-{}", std::process::id()));
        std::fs::create_dir_all(root.join("17")).unwrap();
        std::fs::create_dir_all(root.join("self")).unwrap();
        let scan = scan_in(&root).unwrap();
        std::fs::remove_dir_all(&root).unwrap();
        assert!(scan.facts.is_empty());
        assert!(scan_in(&root).is_err());
    }

    #[test]
    fn numbers() {
        for number in [0, 7, 10, 4_194_304, u32::MAX] {
            assert_eq!(decimal(number, &mut [0; 11]), Path::new(&number.to_string()));
        }
    }

    fn tgid(fact: &Fact) -> u32 {
        match fact {
            Fact::Seen(info) => info.key.tgid,
            other => panic!("{other:?}"),
        }
    }
}
