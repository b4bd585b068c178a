//! Real servers and clients.

use std::{
    fs,
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};

use crate::poll;

/// A server of the test. Ended when dropped.
pub struct Server {
    child: Child,
    pub port: u16,
    pub folder: PathBuf,
}

impl Server {
    /// Starts `command` and waits until its port answers. `folder` is removed with it.
    pub fn start(mut command: Command, port: u16, folder: PathBuf) -> Result<Self> {
        let shown = format!("{command:?}");
        let log = fs::File::create(folder.join("output.log"))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("{shown} could not be started"))?;
        let server = Self { child, port, folder };
        let answers = poll::until(Duration::from_secs(20), || {
            TcpStream::connect(("127.0.0.1", port)).ok().map(drop)
        });
        match answers {
            Some(()) => Ok(server),
            None => bail!(
                "{shown} does not answer on port {port}: {}",
                fs::read_to_string(server.folder.join("output.log")).unwrap_or_default()
            ),
        }
    }

    /// Process id of the main process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Process ids of its children.
    pub fn children(&self) -> Vec<u32> {
        let pid = self.child.id();
        fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))
            .unwrap_or_default()
            .split_whitespace()
            .filter_map(|pid| pid.parse().ok())
            .collect()
    }

    /// Asks it to end and waits.
    pub fn stop(&mut self) {
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let ended =
            poll::until(Duration::from_secs(10), || self.child.try_wait().ok().flatten()).is_some();
        if !ended {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A new empty folder for a server.
pub fn folder(name: &str) -> Result<PathBuf> {
    let folder = std::env::temp_dir().join(format!("shipwake-{name}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder)?;
    // Workers run as another user and must be able to read.
    Command::new("chmod").arg("755").arg(&folder).status()?;
    Ok(folder)
}

/// A free port of the loopback interface.
pub fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// nginx with `workers` workers, an access log of `status request_time request_length bytes_sent uri`, and
/// the given extra server configuration.
pub fn nginx(workers: u32, extra: &str) -> Result<Server> {
    let folder = folder(&format!("nginx-{workers}-{}", extra.len()))?;
    let port = free_port()?;
    let root = folder.join("root");
    fs::create_dir_all(&root)?;
    fs::write(root.join("index.html"), "x".repeat(612))?;
    fs::write(root.join("large.bin"), vec![b'y'; 3_000_000])?;
    let at = folder.display();
    let config = format!(
        "daemon off; worker_processes {workers}; pid {at}/pid; error_log {at}/error.log warn;
         events {{ worker_connections 1024; }}
         http {{
           log_format timing '$status $request_time $request_length $bytes_sent $request_uri';
           access_log {at}/access.log timing;
           sendfile on; keepalive_requests 10000000; keepalive_timeout 600s;
           client_body_temp_path {at}/body; proxy_temp_path {at}/proxy; fastcgi_temp_path {at}/fastcgi;
           uwsgi_temp_path {at}/uwsgi; scgi_temp_path {at}/scgi;
           server {{ listen 127.0.0.1:{port}; listen [::1]:{port}; root {at}/root;
             location = /status204 {{ return 204; }}
             location = /status500 {{ return 500 broken; }}
             {extra} }}
         }}"
    );
    let file = folder.join("nginx.conf");
    fs::write(&file, config)?;
    let mut command = Command::new("/usr/sbin/nginx");
    command.arg("-c").arg(&file).arg("-p").arg(&folder);
    Server::start(command, port, folder)
}

/// Lines of nginx's access log, as fields.
pub fn access_log(server: &Server) -> Vec<Vec<String>> {
    fs::read_to_string(server.folder.join("access.log"))
        .unwrap_or_default()
        .lines()
        .map(|line| line.split_whitespace().map(str::to_owned).collect())
        .collect()
}

/// What wrk counted.
#[derive(Debug)]
pub struct Wrk {
    pub pid: u32,
    pub requests: u64,
    /// 50th and 99th percentile, seconds.
    pub p50: f64,
    pub p99: f64,
    pub requests_per_second: f64,
}

/// Runs wrk against a URL.
pub fn wrk(url: &str, connections: u32, seconds: u32) -> Result<Wrk> {
    let child = Command::new("wrk")
        .args(["-t1", "--latency", &format!("-c{connections}"), &format!("-d{seconds}s"), url])
        .stdout(Stdio::piped())
        .spawn()
        .context("wrk could not be started")?;
    let pid = child.id();
    let output = child.wait_with_output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let field = |name: &str| -> Option<&str> {
        let line = text.lines().find(|line| line.trim_start().starts_with(name))?;
        line.trim_start().strip_prefix(name)?.split_whitespace().next()
    };
    let requests = text
        .lines()
        .find(|line| line.contains("requests in"))
        .and_then(|line| line.split_whitespace().next()?.parse().ok())
        .with_context(|| format!("wrk said: {text}"))?;
    Ok(Wrk {
        pid,
        requests,
        p50: seconds_of(field("50%").unwrap_or_default()),
        p99: seconds_of(field("99%").unwrap_or_default()),
        requests_per_second: field("Requests/sec:")
            .and_then(|it| it.parse().ok())
            .unwrap_or_default(),
    })
}

/// `1.23ms` as seconds.
fn seconds_of(text: &str) -> f64 {
    for (unit, scale) in [("us", 1e-6), ("ms", 1e-3), ("m", 60.0), ("s", 1.0)] {
        if let Some(number) = text.strip_suffix(unit) {
            return number.parse::<f64>().map_or(f64::NAN, |number| number * scale);
        }
    }
    f64::NAN
}

/// Whether a program is installed; prints why the caller skips when it is not.
pub fn installed(program: &str) -> bool {
    let there = Path::new(program).is_file()
        || std::env::var_os("PATH").is_some_and(|path| {
            std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
        });
    if !there {
        println!("SKIPPED: {program} is not installed");
    }
    there
}
