//! A private Podman: its own storage, socket and state, no network; of root or of a user. Needs root and
//! the packages `podman`, `runc`, `uidmap` and `busybox-static`.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};

use crate::{cgroup::Cgroup, docker::Container, poll, rig};

/// How long the service may take to start on a busy machine.
const START: Duration = Duration::from_secs(60);
/// The user whose containers are not root's. `nobody` has no range of ids below it.
const USER: &str = "shipwake-test";
/// The group of the processes that the user starts.
const SESSION: &str = "session.scope";
/// A runtime that begins each container in a scope, as systemd does when it is asked by the real one.
const IN_SCOPE: &str = "runc-in-scope";

/// A Podman with a storage of its own. Its service and its containers end when it is dropped.
pub struct Podman {
    directory: PathBuf,
    storage: PathBuf,
    user: Option<User>,
    /// What systemd delegates to the user, where there is no systemd.
    slice: Option<Cgroup>,
    /// Containers are started by crun and not by runc.
    has_crun: bool,
    service: Option<Child>,
}

/// A user of this host.
#[derive(Clone, Debug)]
struct User {
    id: u32,
    home: PathBuf,
}

impl Podman {
    /// Of root.
    pub fn rootful() -> Result<Self> {
        let directory = rig::directory("pod")?;
        let storage = directory.join("storage");
        Self { storage, user: None, slice: None, has_crun: false, service: None, directory }
            .prepared()
    }

    /// Of a user, who is made when there is none.
    pub fn rootless() -> Result<Self> {
        let user = user()?;
        let directory = rig::directory("pod")?;
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o755))?;
        let sockets = directory.join(format!("run/{}/podman", user.id));
        fs::create_dir_all(&sockets)?;
        let id = Some(user.id);
        std::os::unix::fs::chown(&sockets, id, id)?;
        let own = directory.join("own");
        fs::create_dir_all(&own)?;
        std::os::unix::fs::chown(&own, id, id)?;
        // The usual place: that is how a user's storage is found.
        let storage = user.home.join(".local/share/containers/storage");
        Self { storage, user: Some(user), slice: None, has_crun: false, service: None, directory }
            .prepared()
    }

    /// Of root, with crun instead of runc.
    pub fn with_crun() -> Result<Self> {
        let mut podman = Self::rootful()?;
        podman.has_crun = true;
        Ok(podman)
    }

    /// Of a user for whom systemd keeps a part of the cgroup tree: every container begins in a scope of its
    /// own, as it does on a host with systemd.
    pub fn of_a_session() -> Result<Self> {
        let mut podman = Self::rootless()?;
        let user = podman.user_id();
        let path = format!("user.slice/user-{user}.slice/user@{user}.service/user.slice");
        let slice = Cgroup::make(&path)?;
        slice.delegate(user)?;
        let session = slice.path().join(SESSION);
        fs::create_dir_all(&session)?;
        let runtime = podman.directory.join(IN_SCOPE);
        fs::write(
            &runtime,
            format!(
                "#!/bin/sh\nfor id; do :; done\ncase \" $* \" in *\" create \"*)\n\
                 scope={}/libpod-$id.scope/container\nmkdir -p $scope\necho 0 >$scope/cgroup.procs;;\n\
                 esac\nexec runc \"$@\"\n",
                slice.path().display()
            ),
        )?;
        fs::set_permissions(&runtime, fs::Permissions::from_mode(0o755))?;
        podman.slice = Some(slice);
        Ok(podman)
    }

    fn prepared(self) -> Result<Self> {
        // Without this it asks for limits that only a privileged machine may set.
        fs::write(
            self.directory.join("containers.conf"),
            "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=1024:1024\"]\n",
        )?;
        rig::busybox(&self.directory)?;
        Ok(self)
    }

    /// Where its containers and images are kept.
    pub fn storage(&self) -> &Path {
        &self.storage
    }

    /// Its API socket.
    pub fn socket(&self) -> PathBuf {
        match &self.user {
            None => self.directory.join("podman.sock"),
            Some(User { id, .. }) => self.users().join(format!("{id}/podman/podman.sock")),
        }
    }

    /// The directory with a folder per user that holds sockets.
    pub fn users(&self) -> PathBuf {
        self.directory.join("run")
    }

    /// Id of the user, 0 for root.
    pub fn user_id(&self) -> u32 {
        self.user.as_ref().map_or(0, |user| user.id)
    }

    /// Starts the API service, which Podman works without.
    pub fn serve(&mut self) -> Result<()> {
        let socket = self.socket();
        drop(fs::remove_file(&socket));
        let log = fs::File::create(self.directory.join("log"))?;
        let child = self
            .client()
            .args(["system", "service", "--time", "0"])
            .arg(format!("unix://{}", socket.display()))
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        self.service = Some(child);
        let ready = poll::until(START, || {
            std::os::unix::net::UnixStream::connect(&socket).is_ok().then_some(())
        });
        ensure!(ready.is_some(), "podman's service does not start");
        Ok(())
    }

    /// Ends the service. Containers go on.
    pub fn unserve(&mut self) -> Result<()> {
        let Some(child) = self.service.take() else { return Ok(()) };
        rig::end(child)?;
        drop(fs::remove_file(self.socket()));
        Ok(())
    }

    /// Stops the service from answering, as a stuck one does.
    pub fn freeze(&self) -> Result<()> {
        self.service.as_ref().map_or(Ok(()), |child| rig::freeze(child.id()))
    }

    /// Ends [`Self::freeze`].
    pub fn thaw(&self) -> Result<()> {
        self.service.as_ref().map_or(Ok(()), |child| rig::signal(child.id(), "CONT"))
    }

    /// What the client prints.
    pub fn podman(&self, arguments: &[&str]) -> Result<String> {
        rig::output(self.client().args(arguments))
    }

    /// Adds a program to the images that are made from now on.
    pub fn add(&self, program: &Path) -> Result<()> {
        rig::add(&self.directory, program)
    }

    /// Makes an image of busybox with these labels and returns its id without the algorithm. It sleeps.
    pub fn import(&self, name: &str, labels: &[(&str, &str)]) -> Result<String> {
        let mut command = self.client();
        command.args(["import", "--quiet", "--change", r#"CMD ["/bin/sleep","1000000"]"#]);
        for (key, value) in labels {
            command.arg("--change").arg(format!("LABEL {key}={value}"));
        }
        let id = rig::output(command.arg(rig::busybox(&self.directory)?).arg(name))?;
        Ok(id.trim().trim_start_matches("sha256:").to_owned())
    }

    /// Runs a container without network: `podman run --detach --network none <arguments>`.
    pub fn run(&self, arguments: &[&str]) -> Result<Container> {
        let mut command = self.client();
        let id =
            rig::output(command.args(["run", "--detach", "--network", "none"]).args(arguments))?;
        let id = id.trim().to_owned();
        let pid = self.podman(&["inspect", "--format", "{{.State.Pid}}", &id])?;
        let pid = pid.trim().parse()?;
        ensure!(pid != 0, "container {id} is not running: {}", self.podman(&["logs", &id])?);
        Ok(Container { id, pid })
    }

    fn runtime(&self) -> PathBuf {
        match &self.slice {
            Some(_) => self.directory.join(IN_SCOPE),
            None if self.has_crun => "crun".into(),
            None => "runc".into(),
        }
    }

    /// A command that runs where the processes of the user's session do.
    fn in_session(&self, program: &str) -> Command {
        let Some(slice) = &self.slice else { return Command::new(program) };
        let mut command = Command::new("sh");
        let enter =
            format!("echo 0 >{}/cgroup.procs; exec \"$@\"", slice.path().join(SESSION).display());
        command.args(["-c", &enter, "sh", program]);
        command
    }

    fn client(&self) -> Command {
        let mut command = match &self.user {
            None if self.has_crun => {
                // It refuses a machine that has both hierarchies: here it sees one.
                let hide = "umount /sys/fs/cgroup/unified 2>/dev/null; exec \"$@\"";
                let mut command = Command::new("unshare");
                command.args(["--mount", "sh", "-c", hide, "sh", "podman"]);
                command
            }
            None => Command::new("podman"),
            Some(_) => {
                let mut command = self.in_session("setpriv");
                let id = self.user_id().to_string();
                command.args(["--reuid", &id, "--regid", &id, "--clear-groups", "podman"]);
                command
            }
        };
        let own = self.directory.join("own");
        if let Some(User { home, .. }) = &self.user {
            command.env("HOME", home).env("USER", USER).env("XDG_RUNTIME_DIR", &own);
            command.current_dir(home).env_remove("DBUS_SESSION_BUS_ADDRESS");
        }
        command
            .arg("--root")
            .arg(&self.storage)
            .arg("--runroot")
            .arg(own.join("run"))
            .arg("--tmpdir")
            .arg(own.join("tmp"))
            // Works on every file system and without systemd.
            .args(["--storage-driver", "vfs", "--cgroup-manager", "cgroupfs"])
            .args(["--events-backend", "file", "--runtime"])
            .arg(self.runtime())
            .env("CONTAINERS_CONF", self.directory.join("containers.conf"))
            .stdin(Stdio::null());
        command
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        let cleared = self.thaw().and_then(|()| self.unserve()).and_then(|()| {
            self.podman(&["rm", "--all", "--force", "--time", "0"]).map(drop)?;
            self.podman(&["rmi", "--all", "--force"]).map(drop)?;
            // Ends the process that keeps the namespaces of the user.
            self.user.as_ref().map_or(Ok(()), |_| self.podman(&["system", "migrate"]).map(drop))
        });
        if let Err(error) = cleared {
            eprintln!("podman in {} did not end well: {error:#}", self.directory.display());
        }
        if self.user.is_some() {
            // Files of its containers belong to ids of its range, which root may remove.
            drop(fs::remove_dir_all(&self.storage));
        }
        rig::remove(&self.directory);
    }
}

/// The user of the tests, with a range of ids for containers.
fn user() -> Result<User> {
    let find = || -> Option<User> {
        let list = fs::read_to_string("/etc/passwd").ok()?;
        let line = list.lines().find(|line| line.split(':').next() == Some(USER))?;
        let fields: Vec<_> = line.split(':').collect();
        Some(User { id: fields.get(2)?.parse().ok()?, home: fields.get(5)?.into() })
    };
    if let Some(user) = find() {
        return Ok(user);
    }
    rig::output(Command::new("useradd").args(["--create-home", USER]))?;
    find().context("useradd made no user")
}
