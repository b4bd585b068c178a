//! What private container daemons have in common: short directories, images, processes that end.

use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};

use crate::poll;

/// A directory of this test alone, with a short path: a socket's holds at most 107 bytes.
pub fn directory(kind: &str) -> Result<PathBuf> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let directory = std::env::temp_dir().join(format!("sw-{kind}-{}-{number}", std::process::id()));
    fs::create_dir_all(&directory)?;
    Ok(directory)
}

/// Unmounts whatever is below the directory, deepest first, and removes it.
pub fn remove(directory: &Path) {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let shown = directory.display().to_string();
    let below = mounts.lines().filter_map(|line| line.split(' ').nth(1));
    let mut below: Vec<_> = below.filter(|path| path.starts_with(&shown)).collect();
    below.sort_unstable_by_key(|path| std::cmp::Reverse(path.len()));
    for path in below {
        if let Err(error) = output(Command::new("umount").args(["--lazy", path])) {
            eprintln!("{error:#}");
        }
    }
    if let Err(error) = fs::remove_dir_all(directory) {
        eprintln!("{shown} stays: {error}");
    }
}

/// A program of the images that runs every applet, under a name that no other program on the host has.
pub const OWN_BUSYBOX: &str = "busybox-of-shipwake";

/// A file system with busybox in it, and what was added, as a tar file.
pub fn busybox(directory: &Path) -> Result<PathBuf> {
    let tar = directory.join("root.tar");
    if tar.exists() {
        return Ok(tar);
    }
    let root = directory.join("root");
    let bin = root.join("bin");
    fs::create_dir_all(&bin)?;
    if !bin.join("busybox").exists() {
        fs::copy("/bin/busybox", bin.join("busybox"))
            .context("install the package busybox-static")?;
        // One file with many names: a container of some storage drivers is a copy of its image.
        for applet in [OWN_BUSYBOX, "sh", "sleep", "true", "httpd"] {
            fs::hard_link(bin.join("busybox"), bin.join(applet))?;
        }
    }
    output(Command::new("tar").arg("-C").arg(&root).arg("-cf").arg(&tar).arg("."))?;
    Ok(tar)
}

/// Adds a program to `/bin` of the file system of [`busybox`], for the images that are made later.
pub fn add(directory: &Path, program: &Path) -> Result<()> {
    let name = program.file_name().context("a program has a name")?;
    let bin = directory.join("root/bin");
    fs::create_dir_all(&bin)?;
    let target = bin.join(name);
    // Not into a file that has other names.
    if target.exists() {
        fs::remove_file(&target)?;
    }
    fs::copy(program, target)?;
    let tar = directory.join("root.tar");
    if tar.exists() {
        fs::remove_file(tar)?;
    }
    Ok(())
}

/// An image as an OCI archive: it sleeps, and carries these labels. Returns the archive, and the digest of
/// its manifest and the one of its configuration.
pub fn archive(
    directory: &Path,
    name: &str,
    labels: &[(&str, &str)],
    created: &str,
) -> Result<Image> {
    let layer = busybox(directory)?;
    let layout = directory.join("layout");
    drop(fs::remove_dir_all(&layout));
    let blobs = layout.join("blobs/sha256");
    fs::create_dir_all(&blobs)?;
    let layer_digest = digest_of(&layer)?;
    fs::copy(&layer, blobs.join(&layer_digest))?;
    let size = fs::metadata(&layer)?.len();
    let blob = |content: String| -> Result<(String, usize)> {
        let digest = digest(content.as_bytes())?;
        fs::write(blobs.join(&digest), &content)?;
        Ok((digest, content.len()))
    };
    let labels: BTreeMap<_, _> = labels.iter().copied().collect();
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let config = serde_json::json!({
        "architecture": architecture, "os": "linux", "created": created,
        "config": { "Cmd": ["/bin/sleep", "1000000"], "Labels": labels },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{layer_digest}")] },
    });
    let (config, config_size) = blob(config.to_string())?;
    let kind = "application/vnd.oci.image";
    let manifest = serde_json::json!({
        "schemaVersion": 2, "mediaType": format!("{kind}.manifest.v1+json"),
        "config": { "mediaType": format!("{kind}.config.v1+json"),
                    "digest": format!("sha256:{config}"), "size": config_size },
        "layers": [{ "mediaType": format!("{kind}.layer.v1.tar"),
                     "digest": format!("sha256:{layer_digest}"), "size": size }],
    });
    let (manifest, manifest_size) = blob(manifest.to_string())?;
    let index = serde_json::json!({ "schemaVersion": 2, "manifests": [{
        "mediaType": format!("{kind}.manifest.v1+json"),
        "digest": format!("sha256:{manifest}"), "size": manifest_size,
        "annotations": { "io.containerd.image.name": name },
    }]});
    fs::write(layout.join("index.json"), index.to_string())?;
    fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
    let archive = directory.join("image.tar");
    output(Command::new("tar").arg("-C").arg(&layout).arg("-cf").arg(&archive).arg("."))?;
    Ok(Image { archive, digest: format!("sha256:{manifest}"), id: format!("sha256:{config}") })
}

/// An image that was made.
#[derive(Clone, Debug)]
pub struct Image {
    pub archive: PathBuf,
    /// Of the manifest.
    pub digest: String,
    /// Of the configuration.
    pub id: String,
}

fn digest_of(path: &Path) -> Result<String> {
    let line = output(Command::new("sha256sum").arg(path))?;
    line.split(' ').next().map(str::to_owned).context("sha256sum said nothing")
}

fn digest(bytes: &[u8]) -> Result<String> {
    let mut child =
        Command::new("sha256sum").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    child.stdin.take().context("a pipe")?.write_all(bytes)?;
    let line = String::from_utf8(child.wait_with_output()?.stdout)?;
    line.split(' ').next().map(str::to_owned).context("sha256sum said nothing")
}

/// Asks a child to end, and makes it.
pub fn end(mut child: Child) -> Result<()> {
    signal(child.id(), "TERM")?;
    let ended = poll::until(Duration::from_secs(30), || child.try_wait().ok().flatten());
    if ended.is_none() {
        child.kill()?;
        child.wait()?;
    }
    Ok(())
}

/// Stops a process, and waits until its last thread has stopped.
pub fn freeze(pid: u32) -> Result<()> {
    signal(pid, "STOP")?;
    let has_stopped = |thread: fs::DirEntry| {
        let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        // A thread that ends meanwhile has no state.
        stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with(['T', 't', 'Z', 'X']))
    };
    let tasks = format!("/proc/{pid}/task");
    let all = || fs::read_dir(&tasks).ok()?.flatten().all(has_stopped).then_some(());
    poll::until(Duration::from_secs(10), all).context("the process does not stop")
}

/// Sends a signal by name.
pub fn signal(pid: u32, name: &str) -> Result<()> {
    output(Command::new("kill").arg(format!("-{name}")).arg(pid.to_string())).map(drop)
}

/// What a command prints.
pub fn output(command: &mut Command) -> Result<String> {
    let Output { status, stdout, stderr } = command
        .output()
        .with_context(|| format!("{:?} could not be started", command.get_program()))?;
    if !status.success() {
        bail!("{command:?} failed with {status}: {}", String::from_utf8_lossy(&stderr).trim());
    }
    Ok(String::from_utf8_lossy(&stdout).into_owned())
}
