//! `rotel`, an OpenTelemetry collector that this project did not write, as a receiver of the agent's data.
//!
//! What it received it sends on to a [`Receiver`] in the test: what is looked up there went through its decoder
//! and its encoder.

use std::{
    fs,
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};

use crate::{otlp::Receiver, poll};

/// Addresses that a collector may listen on.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    pub grpc: SocketAddr,
    pub http: SocketAddr,
}

impl Ports {
    /// Free now; nothing listens there until a collector is started.
    pub fn free() -> Result<Self> {
        let (grpc, http) = (TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?);
        Ok(Self { grpc: grpc.local_addr()?, http: http.local_addr()? })
    }

    /// `otlp.endpoint` for gRPC.
    pub fn grpc_url(&self) -> String {
        format!("http://{}", self.grpc)
    }

    /// `otlp.endpoint` for HTTP.
    pub fn http_url(&self) -> String {
        format!("http://{}", self.http)
    }
}

/// A running collector. Killed when dropped.
pub struct Rotel {
    child: Child,
    folder: PathBuf,
    pub ports: Ports,
}

impl Rotel {
    /// Starts a collector that passes everything on to `receiver`, and waits until it listens.
    pub fn start(ports: Ports, receiver: &Receiver) -> Result<Self> {
        let Ports { grpc, http } = ports;
        let folder = std::env::temp_dir().join(format!("shipwake-rotel-{}", grpc.port()));
        fs::create_dir_all(&folder)?;
        let log = fs::File::create(folder.join("log"))?;
        let child = Command::new(program()?)
            .arg("start")
            .args(["--otlp-grpc-endpoint", &grpc.to_string()])
            .args(["--otlp-http-endpoint", &http.to_string()])
            .args(["--exporter", "otlp", "--otlp-exporter-protocol", "http"])
            .args(["--otlp-exporter-endpoint", &receiver.url()])
            .args(["--otlp-exporter-compression", "none", "--batch-timeout", "50ms"])
            .arg("--pid-file")
            .arg(folder.join("pid"))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let mut rotel = Self { child, folder, ports };
        let listening = poll::until(Duration::from_secs(20), || {
            let open = |address| TcpStream::connect(address).is_ok();
            let ended = !matches!(rotel.child.try_wait(), Ok(None));
            (ended || (open(grpc) && open(http))).then_some(!ended)
        });
        if listening != Some(true) {
            bail!("rotel does not listen; it said:\n{}", rotel.log());
        }
        Ok(rotel)
    }

    /// What the collector printed so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

impl Drop for Rotel {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The program inside the Python environment that `cargo xtask test` makes.
fn program() -> Result<PathBuf> {
    let venv = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/venv/lib");
    let pythons = fs::read_dir(&venv).into_iter().flatten().flatten();
    pythons
        .map(|python| python.path().join("site-packages/rotel/rotel-agent"))
        .find(|program| program.is_file())
        .with_context(|| format!("no rotel under {}; run `cargo xtask test` once", venv.display()))
}
