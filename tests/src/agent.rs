//! The agent as a child process.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};

use crate::{otlp::Receiver, poll};

/// The agent's binary: `SHIPWAKE_BINARY`, else the release build.
pub fn binary() -> PathBuf {
    std::env::var_os("SHIPWAKE_BINARY").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/release/shipwake"),
        PathBuf::from,
    )
}

/// CPU time that a process has used, to a hundredth of a second.
pub fn cpu_of(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
    let ticks = stat.ok().and_then(|stat| {
        let fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11).take(2);
        fields.map(|ticks| ticks.parse::<u64>().ok()).sum::<Option<u64>>()
    });
    Duration::from_millis(ticks.unwrap_or_default() * 10)
}

/// A running agent that reports to `receiver` every second. Killed when dropped.
pub struct Agent {
    child: Child,
    log: PathBuf,
}

impl Agent {
    /// Starts the agent and waits for its first report.
    pub fn start(receiver: &Receiver, arguments: &[&str]) -> Result<Self> {
        let agent = Self::spawn(&receiver.url(), arguments)?;
        let before = receiver.requests();
        let reported =
            poll::until(Duration::from_secs(30), || (receiver.requests() > before).then_some(()));
        match reported {
            Some(()) => Ok(agent),
            None => bail!("no report within 30 s; the agent said:\n{}", agent.log()),
        }
    }

    /// Starts the agent towards an endpoint and does not wait.
    pub fn spawn(endpoint: &str, arguments: &[&str]) -> Result<Self> {
        Self::spawn_by(&[], endpoint, arguments)
    }

    /// The same by a program that becomes the agent, such as `setpriv`.
    pub fn spawn_by(by: &[&str], endpoint: &str, arguments: &[&str]) -> Result<Self> {
        let number = std::process::id();
        let log = std::env::temp_dir().join(format!("shipwake-test-{number}-{:p}.log", &endpoint));
        let socket =
            std::env::temp_dir().join(format!("shipwake-test-{number}-{:p}.sock", &endpoint));
        let file = fs::File::create(&log)?;
        let mut words = by.iter().map(OsString::from).chain([binary().into_os_string()]);
        let child = Command::new(words.next().context("there is a program")?)
            .args(words)
            .args(["run", "--set", "aggregate.interval=1s"])
            .args(["--set", &format!("api.socket={}", socket.display())])
            .args(["--set", "otlp.protocol=http/protobuf", "--otlp-endpoint", endpoint])
            .args(arguments)
            .env_remove("OTEL_EXPORTER_OTLP_ENDPOINT")
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("{} could not be started", binary().display()))?;
        Ok(Self { child, log })
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What the agent printed so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Sends SIGTERM and waits for the end.
    pub fn stop(mut self) -> Result<ExitStatus> {
        self.signal(libc::SIGTERM)?;
        let ended = poll::until(Duration::from_secs(20), || self.child.try_wait().ok().flatten());
        ended.with_context(|| format!("no end within 20 s of SIGTERM; it said:\n{}", self.log()))
    }

    /// Sends SIGKILL and waits for the end.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Sends a signal.
    pub fn signal(&self, number: i32) -> Result<()> {
        let status = Command::new("kill")
            .args([format!("-{number}"), self.child.id().to_string()])
            .status()?;
        if status.success() { Ok(()) } else { bail!("the agent is gone; it said:\n{}", self.log()) }
    }

    /// Whether it is still running.
    pub fn running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Resident memory in KiB.
    pub fn rss_kib(&self) -> u64 {
        self.status("VmRSS:")
    }

    /// The most resident memory there ever was, in KiB.
    pub fn peak_kib(&self) -> u64 {
        self.status("VmHWM:")
    }

    /// CPU time that it has used, to a hundredth of a second.
    pub fn cpu(&self) -> Duration {
        cpu_of(self.child.id())
    }

    fn status(&self, key: &str) -> u64 {
        fs::read_to_string(format!("/proc/{}/status", self.child.id()))
            .ok()
            .and_then(|status| {
                let line = status.lines().find(|line| line.starts_with(key))?;
                line.split_whitespace().nth(1)?.parse().ok()
            })
            .unwrap_or_default()
    }

    /// Open descriptors.
    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.child.id()))
            .map(Iterator::count)
            .unwrap_or_default()
    }

    /// Bytes that the kernel accounts to the agent's BPF maps.
    pub fn map_bytes(&self) -> u64 {
        self.maps().values().sum()
    }

    /// Number of entries of one of the agent's BPF maps with keys of 8 and values of `VALUE` bytes; `None` when it
    /// has no such map.
    pub fn map_entries<const VALUE: usize>(&self, name: &str) -> Option<usize> {
        let own = self.maps();
        let infos = aya::maps::loaded_maps().flatten();
        let mut infos = infos.filter(|info| own.contains_key(&u64::from(info.id())));
        let info = infos.find(|info| info.name_as_str() == Some(name))?;
        let data = aya::maps::MapData::from_id(info.id()).ok()?;
        let map = aya::maps::Map::HashMap(data);
        let map = aya::maps::HashMap::<_, u64, [u8; VALUE]>::try_from(map).ok()?;
        Some(map.keys().flatten().count())
    }

    /// The kernel's numbers of the agent's BPF maps, and the bytes that it accounts to each.
    fn maps(&self) -> BTreeMap<u64, u64> {
        let folder = format!("/proc/{}/fdinfo", self.child.id());
        let Ok(entries) = fs::read_dir(folder) else { return BTreeMap::new() };
        let number = |info: &str, key: &str| -> Option<u64> {
            let line = info.lines().find(|line| line.starts_with(key))?;
            line.split_whitespace().nth(1)?.parse().ok()
        };
        // A map may be open more than once.
        entries
            .flatten()
            .filter_map(|entry| fs::read_to_string(entry.path()).ok())
            .filter_map(|info| Some((number(&info, "map_id:")?, number(&info, "memlock:")?)))
            .collect()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.log);
    }
}
