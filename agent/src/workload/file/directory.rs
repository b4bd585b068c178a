//! The files of `deploys.d`, read again when they change.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::{Duration, UNIX_EPOCH},
};

use super::{
    Entry, Stamp,
    beside::{contents, plain_open},
    description,
};

/// Most files that are read.
const MOST_FILES: usize = 256;

/// A file, and the last of its contents that could be read.
struct Known {
    stamp: Stamp,
    /// When the entries were written. What was wrong since does not make them wrong.
    written: Stamp,
    entries: Vec<Entry>,
    problem: Option<String>,
}

/// All files, sorted by name.
pub(super) struct Deploys {
    path: PathBuf,
    files: BTreeMap<PathBuf, Known>,
    /// It has not been looked at yet.
    is_new: bool,
    /// Trouble with the directory itself.
    problem: Option<String>,
}

impl Deploys {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, files: BTreeMap::new(), is_new: true, problem: None }
    }

    /// Whether nobody has looked yet.
    pub(super) fn is_new(&self) -> bool {
        self.is_new
    }

    /// Looks for what is new. Returns whether anything is.
    pub(super) fn refresh(&mut self) -> bool {
        self.is_new = false;
        let (found, problem) = match list(&self.path) {
            Ok(found) => (found, None),
            Err(error) => (BTreeMap::new(), Some(format!("{}: {error}", self.path.display()))),
        };
        // A directory that cannot be listed for a moment has not lost its files.
        if problem.is_some() {
            let is_news = self.problem != problem;
            self.problem = problem;
            return is_news;
        }
        let mut changed = self.problem.take().is_some();
        let before = self.files.len();
        self.files.retain(|path, _| found.contains_key(path));
        changed |= self.files.len() != before;
        for (path, stamp) in found {
            if self.files.get(&path).is_some_and(|known| known.stamp == stamp) {
                continue;
            }
            changed = true;
            let known = self.files.remove(&path);
            self.files.insert(path.clone(), read(&path, stamp, known));
        }
        changed
    }

    /// Every entry with its file and when that was written.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&Path, &Stamp, &Entry)> {
        self.files.iter().flat_map(|(path, known)| {
            known.entries.iter().map(move |entry| (path.as_path(), &known.written, entry))
        })
    }

    /// What is wrong, one line each.
    pub(super) fn problems(&self) -> impl Iterator<Item = String> {
        let of_files = self.files.iter().filter_map(|(path, known)| {
            known.problem.as_ref().map(|problem| format!("{}: {problem}", path.display()))
        });
        self.problem.clone().into_iter().chain(of_files)
    }
}

/// The files with their stamps; none when there is no such directory.
fn list(directory: &Path) -> io::Result<BTreeMap<PathBuf, Stamp>> {
    let mut found = BTreeMap::new();
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        // One that is gone again is not there.
        let Ok(stat) = fs::metadata(&path) else { continue };
        if found.len() == MOST_FILES {
            return Err(io::Error::other(format!("more than {MOST_FILES} files; join some")));
        }
        let seconds = Duration::from_secs(u64::try_from(stat.ctime()).unwrap_or_default());
        let nanos = Duration::from_nanos(u64::try_from(stat.ctime_nsec()).unwrap_or_default());
        let changed = UNIX_EPOCH + seconds + nanos;
        found.insert(path, Stamp { inode: stat.ino(), device: stat.dev(), changed });
    }
    Ok(found)
}

fn read(path: &Path, stamp: Stamp, before: Option<Known>) -> Known {
    let text = plain_open(path)
        .map_err(|error| format!("it cannot be read: {error}"))
        .and_then(contents)
        .and_then(|found| found.ok_or_else(|| "it is gone".to_owned()))
        .and_then(|(bytes, stamp)| match String::from_utf8(bytes) {
            Ok(text) => Ok((text, stamp)),
            Err(_) => Err("it is no text in UTF-8".to_owned()),
        })
        .and_then(|(text, stamp)| Ok((description::toml(&text)?, stamp)));
    match (text, before) {
        (Ok((entries, written)), _) => Known { stamp, written, entries, problem: None },
        (Err(problem), Some(Known { written, entries, .. })) if !entries.is_empty() => {
            let problem = format!("{problem}; what it said before holds until it is mended");
            Known { stamp, written, entries, problem: Some(problem) }
        }
        (Err(problem), _) => {
            let problem = format!("{problem}; it says nothing until it is mended");
            Known {
                stamp: stamp.clone(),
                written: stamp,
                entries: Vec::new(),
                problem: Some(problem),
            }
        }
    }
}
