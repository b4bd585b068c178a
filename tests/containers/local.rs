//! What tests put on this host and take away again: folders, programs, processes.

use std::{
    fs,
    io::ErrorKind,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use shipwake_tests::poll;

/// A folder of its own for a test. Removed when dropped.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("shipwake-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }

    /// Puts a file in its place at once, as deploy tools do.
    pub fn write(&self, name: &str, content: &str) {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path.with_extension("new"), content).unwrap();
        fs::rename(path.with_extension("new"), path).unwrap();
    }

    /// Runs a program to its end; its output.
    pub fn run(&self, program: &str, arguments: &[&str]) -> String {
        let output = Command::new(program)
            .args(arguments)
            .current_dir(&self.0)
            .envs([("GIT_CONFIG_GLOBAL", "/dev/null"), ("HOME", self.0.to_str().unwrap())])
            .output()
            .unwrap_or_else(|error| panic!("{program}: {error}"));
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {arguments:?}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Compiles a program that does nothing, several times a second.
    pub fn compile(&self, name: &str, flags: &[&str]) {
        self.write("main.c", "#include <unistd.h>\nint main(void) { for (;;) usleep(200000); }\n");
        fs::create_dir_all(self.0.join(name).parent().unwrap()).unwrap();
        let arguments: Vec<&str> =
            ["-o", name, "main.c"].into_iter().chain(flags.iter().copied()).collect();
        self.run("cc", &arguments);
    }

    /// A copy of busybox under this name, which runs the applet that its first argument names.
    pub fn program(&self, name: &str) {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::copy("/bin/busybox", &path).unwrap();
        // A child that another test forks has the copy open for writing until it executes something.
        let is_free = || match Command::new(&path).arg0("true").status() {
            Err(error) if error.kind() == ErrorKind::ExecutableFileBusy => None,
            outcome => Some(outcome.unwrap()),
        };
        poll::until(Duration::from_secs(20), is_free).expect("the program is free");
    }

    /// Packs files of a folder in this one into a jar beside them.
    pub fn jar(&self, folder: &str, name: &str, files: &[&str]) {
        let make = "import os, sys, zipfile\nos.chdir(sys.argv[1])\n\
            with zipfile.ZipFile(sys.argv[2], 'w') as jar:\n    [jar.write(path) for path in sys.argv[3:]]\n";
        self.run("/usr/bin/python3", &[&["-c", make, folder, name], files].concat());
    }

    /// A Python environment in `venv` with one distribution in it, and its console script.
    pub fn python(&self, name: &str, version: &str) {
        self.run("/usr/bin/python3", &["-m", "venv", "--without-pip", "venv"]);
        let ask = "import site; print(site.getsitepackages()[0])";
        let site = self.run("venv/bin/python", &["-c", ask]);
        let site = site.trim().strip_prefix(&format!("{}/", self.0.display())).unwrap();
        let info = format!("{site}/{name}-{version}.dist-info");
        let metadata = format!("Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n\nText\n");
        self.write(&format!("{info}/METADATA"), &metadata);
        let scripts = format!("[console_scripts]\n{name} = shop.__main__:run\n");
        self.write(&format!("{info}/entry_points.txt"), &scripts);
        self.write(&format!("{info}/RECORD"), "shop/__init__.py,,\nshop/__main__.py,,\n");
        let work = "import time\nwhile True:\n    time.sleep(0.2)\n";
        self.write(&format!("{site}/shop/__init__.py"), "");
        self.write(&format!("{site}/shop/__main__.py"), work);
        self.write(&format!("venv/bin/{name}"), work);
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// A process of this host. Killed when dropped.
pub struct Running(Child);

impl Running {
    /// Starts a program without any environment.
    pub fn start(directory: &Path, program: &str, arguments: &[&str]) -> Self {
        Self::of(Command::new(program).args(arguments).current_dir(directory).env_clear())
    }

    /// Starts a command, with a pipe as its input that stays open.
    pub fn of(command: &mut Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}")))
    }

    pub fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// The Go compiler that `cargo xtask test` installs.
pub fn go() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    root.join("target/venv/bin/go").to_str().unwrap().to_owned()
}
