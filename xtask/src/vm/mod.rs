//! The kernel tests on other kernels: Debian's images in QEMU, without KVM where there is none.
//!
//! The guest's whole file system is an initramfs with busybox, the test binary, the agent, and the libraries
//! they need. Success is read from a line that the guest prints, never from QEMU's exit code.

mod cpio;
mod guest;
mod image;

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use crate::{
    command::{root, say},
    packages, run as agent, test,
};
pub use guest::{Guest, libraries};
pub use image::{Kernel, fetch, mirror};

/// Kernel lines that the matrix covers.
pub const DEFAULT: [&str; 3] = ["5.10", "6.1", "6.12"];
/// Programs of the guest beyond the tests themselves: what the tests call.
const PROGRAMS: [&str; 4] = ["/usr/sbin/ip", "/usr/sbin/nginx", "/usr/bin/wrk", "/usr/bin/curl"];
/// What a guest with a kernel of its own takes, apart from its programs.
pub const MACHINE: [&str; 4] = ["qemu-system-x86", "busybox-static", "kmod", "xz-utils"];
const PACKAGES: [&str; 8] = [
    "qemu-system-x86",
    "busybox-static",
    "iproute2",
    "nginx-light",
    "wrk",
    "curl",
    "kmod",
    "xz-utils",
];
/// Everything but 16-byte compare-and-exchange: emulated, it corrupts the flags when it faults, and the
/// allocator of Linux 6.12 dies of it.
const CPU: &str = "max,-cx16";
/// A guest without KVM is about ten times slower than the host.
pub const DEADLINE: Duration = Duration::from_secs(15 * 60);

/// Runs the kernel tests on each kernel; reports all of them before failing.
pub fn run(arguments: &[String]) -> Result<()> {
    let (lines, filter) = split(arguments);
    packages::install(&PACKAGES)?;
    let agent = agent::build()?;
    let tests = test::kernel_binary()?;
    let mut failed = Vec::new();
    for line in &lines {
        match one(line, &agent, &tests, &filter) {
            Ok(()) => say(format!("kernel {line}: all kernel tests passed")),
            Err(error) => {
                eprintln!("kernel {line}: {error:#}");
                failed.push(line.clone());
            }
        }
    }
    if failed.is_empty() { Ok(()) } else { bail!("kernel tests failed on: {}", failed.join(", ")) }
}

/// Kernel lines before `--`, test filters after it.
fn split(arguments: &[String]) -> (Vec<String>, Vec<String>) {
    let mut parts = arguments.splitn(2, |argument| argument == "--");
    let lines = parts.next().unwrap_or_default().to_vec();
    let filter = parts.next().unwrap_or_default().to_vec();
    if lines.is_empty() { (DEFAULT.map(str::to_owned).to_vec(), filter) } else { (lines, filter) }
}

fn one(line: &str, agent: &Path, tests: &Path, filter: &[String]) -> Result<()> {
    let kernel = image::fetch(line)?;
    let mut guest = Guest::new()?;
    guest.program("/bin/kernel-tests", tests)?;
    guest.program("/usr/bin/shipwake", agent)?;
    for program in PROGRAMS {
        guest.program(program, Path::new(program))?;
    }
    guest.modules(&kernel, &["veth", "sch_netem", "dummy", "tcp_diag"])?;
    guest.script(&format!(
        "export SHIPWAKE_KERNEL_LINE={line} SHIPWAKE_BINARY=/usr/bin/shipwake RUST_BACKTRACE=1\n\
         /bin/kernel-tests --test-threads=1 --nocapture {}\n",
        filter.join(" ")
    ));
    let initramfs = root().join(format!("target/vm/{line}/initramfs.cpio"));
    guest.write(&initramfs)?;
    say(format!("booting {} in QEMU", kernel.release));
    let machine =
        Machine { memory_mib: 1536, cpus: 2, icount: false, disk: None, deadline: DEADLINE };
    let log = boot(&kernel, &initramfs, &machine)?;
    verdict(&log)
}

/// What the guest is given.
pub struct Machine {
    pub memory_mib: u32,
    pub cpus: u32,
    /// One virtual nanosecond per instruction: slow, and repeatable.
    pub icount: bool,
    /// Image of the first disk, which the guest may change.
    pub disk: Option<PathBuf>,
    /// How long it may run.
    pub deadline: Duration,
}

/// Boots and returns everything that the guest printed, up to the power-off or the first fatal line.
pub fn boot(kernel: &Kernel, initramfs: &Path, machine: &Machine) -> Result<Vec<String>> {
    let mut command = Command::new("qemu-system-x86_64");
    command
        .args(["-nographic", "-no-reboot", "-nodefaults", "-serial", "stdio", "-cpu", CPU])
        .args(["-m", &machine.memory_mib.to_string(), "-smp", &machine.cpus.to_string()])
        .arg("-kernel")
        .arg(&kernel.image)
        .arg("-initrd")
        .arg(initramfs)
        .args(["-append", "console=ttyS0 quiet panic=-1 mitigations=off rdinit=/init"]);
    if let Some(disk) = &machine.disk {
        let drive = format!("file={},format=raw,if=virtio,cache=unsafe", disk.display());
        command.args(["-drive", &drive]);
    }
    if machine.icount {
        command.args(["-icount", "shift=0,sleep=off"]);
    } else if std::env::var_os("SHIPWAKE_KVM").is_some() {
        // Only when asked for: nested KVM is often there and broken.
        command.arg("-enable-kvm");
    } else {
        command.args(["-accel", "tcg,thread=multi"]);
    }
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("qemu-system-x86_64 could not be started")?;
    follow(child, machine.deadline)
}

fn follow(mut child: Child, deadline: Duration) -> Result<Vec<String>> {
    let console = child.stdout.take().context("the guest has no console")?;
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(console).split(b'\n') {
            let Ok(line) = line else { break };
            if sender.send(String::from_utf8_lossy(&line).trim_end().to_owned()).is_err() {
                break;
            }
        }
    });
    let start = Instant::now();
    let mut log = Vec::new();
    let outcome = loop {
        let left = deadline.saturating_sub(start.elapsed());
        match lines.recv_timeout(left) {
            Ok(line) => {
                println!("  | {line}");
                let fatal = ["Kernel panic", "soft lockup", "rcu_sched self-detected stall"]
                    .iter()
                    .any(|mark| line.contains(mark));
                log.push(line);
                if fatal {
                    break Err(anyhow::anyhow!("the guest's kernel failed"));
                }
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => break Ok(()),
            Err(mpsc::RecvTimeoutError::Timeout) => {
                break Err(anyhow::anyhow!("no end within {} s", deadline.as_secs()));
            }
        }
    };
    let _ = child.kill();
    let _ = child.wait();
    outcome.map(|()| log)
}

/// docs/KERNELS.md promises everything on every line of the matrix, so nothing may be skipped there.
pub fn verdict(log: &[String]) -> Result<()> {
    if let Some(skipped) = log.iter().find(|line| line.contains("SKIPPED")) {
        bail!("a test was skipped on a kernel where docs/KERNELS.md promises support: {skipped}");
    }
    match log.iter().find_map(|line| line.split("shipwake-guest: exit ").nth(1)) {
        Some("0") => Ok(()),
        Some(code) => bail!("the tests in the guest ended with {code}"),
        None => bail!("the guest ended without a verdict"),
    }
}

/// Folder of everything about one kernel line.
fn folder(line: &str) -> PathBuf {
    root().join("target/vm").join(line)
}
