//! Reads what there is to read about one process, and remembers it by the state of the files.

use std::{
    fs::File,
    os::fd::AsFd as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::fs::CWD;

use super::{
    bytes::Bounded,
    cache::Cache,
    command::{self, Entry},
    dotnet,
    dpkg::{Database, Package, Stamp},
    executable::{self, Executable},
    facts::Said,
    found::Found,
    jar, node,
    programs::{self, Program},
    python,
    root::{self, FileKey, Root},
};
use crate::{
    process::ProcessKey,
    workload::{Attribute, living, resolve::basename},
};

/// How long it holds that a file is in no package: packages are installed around running programs.
const UNOWNED: Duration = Duration::from_secs(5);
/// Executables that are remembered, at least.
const EXECUTABLES: usize = 1024;
/// Owners of files and programs of interpreters that are remembered, at least.
const OTHERS: usize = 512;
/// Databases of packages that are remembered, at least: the host's and one of a container.
const DATABASES: usize = 2;
/// Longest command line that is looked at, in bytes.
const LONGEST_COMMAND: u64 = 64 * 1024;
/// Jars of a class path that are looked into.
const MOST_JARS: usize = 64;

/// Reads, and remembers.
pub struct Reader {
    /// Of programs that are the service themselves.
    answers: Cache<FileKey, Answer>,
    executables: Cache<FileKey, Arc<Executable>>,
    /// Who owned a file, and what the database was then.
    owners: Cache<FileKey, (Stamp, Option<Arc<Package>>)>,
    databases: Cache<Stamp, Arc<Database>>,
    jars: Cache<FileKey, Option<Arc<Found>>>,
}

impl Default for Reader {
    fn default() -> Self {
        Self {
            answers: Cache::new(EXECUTABLES),
            executables: Cache::new(EXECUTABLES),
            owners: Cache::new(OTHERS),
            databases: Cache::new(DATABASES),
            jars: Cache::new(OTHERS),
        }
    }
}

/// What was said about an executable, which holds for every process of it.
#[derive(Clone)]
struct Answer {
    path: Arc<str>,
    said: Arc<[Attribute]>,
    until: Option<Instant>,
}

/// A process while it is looked at.
struct Subject {
    process: ProcessKey,
    /// Path of the executable, in the words of the process.
    executable: String,
    /// State of the executable's file.
    key: FileKey,
}

impl Reader {
    /// What a process runs. Nothing when it is gone, is another one by now, is a thread of the kernel or
    /// may not be looked at.
    pub fn read(&mut self, process: &ProcessKey) -> Vec<Attribute> {
        // A process that replaces its image meanwhile is looked at again.
        for _ in 0..3 {
            let Some(subject) = subject(process) else { return Vec::new() };
            let said = match self.known(&subject) {
                Some(said) => said.to_vec(),
                None => self.look(&subject),
            };
            if executable_key(process.tgid).as_ref() == Some(&subject.key) {
                return if living::is_same(process) { said } else { Vec::new() };
            }
        }
        Vec::new()
    }

    fn known(&mut self, subject: &Subject) -> Option<Arc<[Attribute]>> {
        let Answer { path, said, until } = self.answers.get(&subject.key)?;
        let holds = until.is_none_or(|until| Instant::now() < until);
        (holds && *path == *subject.executable).then_some(said)
    }

    fn look(&mut self, subject: &Subject) -> Vec<Attribute> {
        let program = programs::program(&subject.executable);
        let mut said = Said::default();
        let Some(executable) = self.executable(subject) else { return Vec::new() };
        said.executable(&executable, program);
        let Some(root) = Root::of(subject.process.tgid) else { return said.finish() };
        let found = self.found(&root, subject, program);
        if let Some(found) = &found {
            said.found(found);
        }
        if let Some(name) = runtime(program, &subject.executable, found.is_some()) {
            said.runtime(name);
        }
        let owner = self.owner(&root, &subject.executable, &subject.key);
        match (&owner, &executable.package) {
            (Some(package), _) => said.package("dpkg", &package.name, &package.version, program),
            (None, Some(package)) => {
                said.package(&package.kind, &package.name, &package.version, program);
            }
            (None, None) => {}
        }
        if found.is_none() && program == Program::Python {
            self.script(&root, subject, &mut said);
        }
        let said = said.finish();
        if matches!(program, Program::Itself | Program::Other) {
            let answer = Answer {
                path: subject.executable.as_str().into(),
                said: said.as_slice().into(),
                until: owner.is_none().then(|| Instant::now() + UNOWNED),
            };
            self.answers.insert(subject.key, answer);
        }
        said
    }

    fn executable(&mut self, subject: &Subject) -> Option<Arc<Executable>> {
        if let Some(known) = self.executables.get(&subject.key) {
            return Some(known);
        }
        let file = File::open(format!("/proc/{}/exe", subject.process.tgid)).ok()?;
        let key = FileKey::of(file.as_fd(), "")?;
        let bounded = Bounded::new(&file, key.length, executable::MOST_BYTES);
        let executable = Arc::new(executable::read(&bounded));
        self.executables.insert(key, executable.clone());
        (key == subject.key).then_some(executable)
    }

    /// The package that a file came with. Asked once per file; a file that had no owner is asked about
    /// again when packages changed.
    fn owner(&mut self, root: &Root, path: &str, key: &FileKey) -> Option<Arc<Package>> {
        let known = self.owners.get(key);
        if let Some((_, Some(package))) = known {
            return Some(package);
        }
        let stamp = Stamp::of(root)?;
        if known.is_some_and(|(then, _)| then == stamp) {
            return None;
        }
        let database = match self.databases.get(&stamp) {
            Some(database) => database,
            None => {
                let database = Arc::new(Database::read(root));
                self.databases.insert(stamp, database.clone());
                database
            }
        };
        let owner = database.owner(root, path, key).map(Arc::new);
        self.owners.insert(*key, (stamp, owner.clone()));
        owner
    }

    /// The program that an interpreter runs.
    fn found(&mut self, root: &Root, subject: &Subject, program: Program) -> Option<Arc<Found>> {
        let executable = Path::new(&subject.executable);
        if program == Program::Itself {
            return dotnet::find(root, executable).map(Arc::new);
        }
        let command = command_line(&subject.process)?;
        let arguments = command::arguments(&command);
        let directory = working_directory(subject.process.tgid)?;
        let path = |entry: Entry| match entry {
            Entry::File(path) => root::absolute(&directory, &path),
            _ => None,
        };
        match program {
            Program::Python => {
                let start = python::Start {
                    entry: &command::python(&arguments)?,
                    interpreter: arguments.first()?,
                    executable,
                    directory: &directory,
                };
                python::find(root, &start).map(Arc::new)
            }
            Program::Node => {
                let path = path(command::node(&arguments)?)?;
                node::find(root, &path).map(Arc::new)
            }
            Program::DotNet => {
                let path = path(command::dotnet(&arguments)?)?;
                dotnet::find(root, &path).map(Arc::new)
            }
            Program::Java => {
                let jar = match command::java(&arguments)? {
                    Entry::Class { name, path } => {
                        self.jar_of_class(root, &directory, &name, &path)?
                    }
                    entry => path(entry)?,
                };
                self.jar(root, &jar)
            }
            Program::Itself | Program::Other => None,
        }
    }

    fn jar(&mut self, root: &Root, path: &Path) -> Option<Arc<Found>> {
        let name = path.file_name()?.to_str()?;
        let (file, key) = root.file(path)?;
        let known = self.jars.get(&key);
        let found = known.unwrap_or_else(|| {
            let bounded = Bounded::new(&file, key.length, jar::MOST_BYTES);
            let found = jar::read(&bounded, name).filter(|found| {
                ![name, &found.name].iter().any(|one| programs::is_java_launcher(one))
            });
            let place = path.to_str().unwrap_or_default().to_owned();
            let found = found.map(|found| Arc::new(Found { place, ..found }));
            self.jars.insert(key, found.clone());
            found
        })?;
        // The same file may be at several places.
        if Path::new(&found.place) == path {
            return Some(found);
        }
        Some(Arc::new(Found { place: path.to_str()?.to_owned(), ..(*found).clone() }))
    }

    /// The jar of the class path that the main class is in.
    fn jar_of_class(
        &self,
        root: &Root,
        directory: &Path,
        class: &str,
        class_path: &str,
    ) -> Option<PathBuf> {
        if programs::is_java_launcher(class) {
            return None;
        }
        let wanted = format!("{}.class", class.replace('.', "/"));
        let mut jars = Vec::new();
        for part in class_path.split(':').take(MOST_JARS) {
            let path = root::absolute(directory, part)?;
            if part.ends_with('*') {
                let folder = path.parent()?;
                let names = root.list(folder, MOST_JARS, |name| name.ends_with(".jar"));
                jars.extend(names.into_iter().map(|name| folder.join(name)));
            } else if part.ends_with(".jar") {
                jars.push(path);
            }
        }
        jars.into_iter().take(MOST_JARS).find(|path| {
            root.file(path).is_some_and(|(file, key)| {
                let bounded = Bounded::new(&file, key.length, jar::MOST_BYTES);
                jar::has(&bounded, &wanted)
            })
        })
    }

    /// A script of Python that a package brings.
    fn script(&mut self, root: &Root, subject: &Subject, said: &mut Said) -> Option<()> {
        let command = command_line(&subject.process)?;
        let Entry::File(path) = command::python(&command::arguments(&command))? else {
            return None;
        };
        let path = root::absolute(&working_directory(subject.process.tgid)?, &path)?;
        let path = path.to_str()?;
        if !programs::is_launcher(path) {
            let package = self.owner(root, path, &root.key(path)?)?;
            said.script(path, basename(path), &package);
        }
        Some(())
    }
}

/// Name of the runtime in the words of its own instrumentation.
fn runtime(program: Program, executable: &str, is_found: bool) -> Option<&'static str> {
    match program {
        Program::Python if basename(executable).starts_with("pypy") => Some("pypy"),
        Program::Python => Some("cpython"),
        Program::Node => Some("nodejs"),
        Program::Java => Some("java"),
        Program::DotNet => Some(".NET"),
        // Its own executable, which loads the runtime.
        Program::Itself if is_found => Some(".NET"),
        Program::Itself | Program::Other => None,
    }
}

fn executable_key(tgid: u32) -> Option<FileKey> {
    FileKey::of(CWD, &format!("/proc/{tgid}/exe"))
}

fn subject(process: &ProcessKey) -> Option<Subject> {
    let key = executable_key(process.tgid)?;
    let path = std::fs::read_link(format!("/proc/{}/exe", process.tgid)).ok()?;
    let path = path.to_str()?;
    let executable = path.strip_suffix(" (deleted)").unwrap_or(path).to_owned();
    Some(Subject { process: *process, executable, key })
}

fn working_directory(tgid: u32) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/{tgid}/cwd")).ok()
}

/// Arguments, which never leave this module.
fn command_line(process: &ProcessKey) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    living::read(process, "cmdline", LONGEST_COMMAND, &mut bytes)?;
    Some(bytes)
}
