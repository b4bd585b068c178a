//! `bench --vm`: nginx and wrk in a QEMU guest where one virtual nanosecond is one instruction.
//!
//! CPU time read inside the guest is then an instruction count that repeats to a fraction of a percent,
//! whatever else this machine does. Each round measures without and with the agent, next to each other.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

use super::Spread;
use crate::{
    command::{cargo, root, run as run_command, say},
    packages, run as agent,
    vm::{DEADLINE, Guest, Machine, boot, fetch},
};

const KERNEL: &str = "6.12";
const PROGRAMS: [&str; 5] = [
    "/usr/sbin/nginx",
    "/usr/bin/wrk",
    "/usr/sbin/ip",
    "/usr/bin/redis-server",
    "/usr/bin/redis-benchmark",
];
const PACKAGES: [&str; 7] = [
    "qemu-system-x86",
    "busybox-static",
    "nginx-light",
    "wrk",
    "iproute2",
    "redis-server",
    "redis-tools",
];
/// Instead of arguments: not the agent but an empty program at system call exit.
const EMPTY: &str = "an empty program";
/// Cases, each measured without and with the agent, and the agent's arguments for it.
const CASES: [(&str, &str); 6] = [
    ("empty", EMPTY),
    ("keepalive", ""),
    ("many", ""),
    ("bystander", ""),
    ("counts", "--signals process,syscalls --set syscalls.latency="),
    ("no-http", "--signals process,syscalls,tcp"),
];
const NGINX: &str =
    "daemon off; user root; worker_processes 1; pid /run/nginx.pid; error_log /tmp/error.log;
events { worker_connections 1024; }
http { access_log off; sendfile on; keepalive_requests 100000000; keepalive_timeout 600s;
server { listen 8080; root /srv; location /stub { stub_status; } } }
";

/// Prints `MEASURE case=.. agent=.. key=value ..` lines.
const SCRIPT: &str = r#"
mkdir -p /run/shipwake /var/lib/nginx/body /var/log/nginx
head -c 612 /dev/zero | tr '\0' 'x' > /srv/index.html
nginx -c /etc/bench-nginx.conf & NGINX=$!
for i in $(seq 1 50); do wget -q -O /dev/null http://127.0.0.1:8080/ 2>/dev/null && break; sleep 0.2; done
WORKER=$(awk '{print $1}' /proc/$NGINX/task/$NGINX/children)
cpu() { awk '{print $1}' /proc/$1/schedstat 2>/dev/null || echo 0; }
agent_cpu() { total=0; for t in /proc/$1/task/*/schedstat; do n=$(awk '{print $1}' $t); total=$((total + n)); done; echo $total; }
idle() { awk '/^cpu /{print $5 + $6}' /proc/stat; }
load() {
  case $1 in
    bystander) redis-benchmark -p 6390 -c 4 -n $((SECONDS * 10000)) -t get -q > /tmp/load.txt 2>&1
      n=$((SECONDS * 10000)); rps=$(tr '\r' '\n' < /tmp/load.txt | awk '/requests per second/{r=$2} END {print r}');;
    *) connections=1; [ $1 = many ] && connections=64
      wrk -t1 -c$connections -d${2}s http://127.0.0.1:8080/index.html > /tmp/load.txt
      n=$(awk '/requests in/{print $1}' /tmp/load.txt); rps=$(awk '/Requests\/sec/{print $2}' /tmp/load.txt);;
  esac
}
measure() {
  subject=$WORKER; [ $1 = bystander ] && subject=$REDIS
  # Services run for days: what is measured is not the first second under the agent.
  before=0; [ -n "$AGENT" ] && { load $1 3; before=$n; sleep 1; }
  w0=$(cpu $subject); a0=0; [ -n "$AGENT" ] && a0=$(agent_cpu $AGENT)
  load $1 $2
  w1=$(cpu $subject); a1=0; a2=0
  [ -n "$AGENT" ] && { a1=$(agent_cpu $AGENT); sleep 2; a2=$(agent_cpu $AGENT); }
  rss=0; [ -n "$AGENT" ] && rss=$(awk '/VmRSS/{print $2}' /proc/$AGENT/status)
  seen=0; [ -n "$AGENT" ] && { sleep 1; seen=$(wget -q -O - http://127.0.0.1:9464/metrics | awk '/^http_server_request_duration_seconds_count/{n += $NF} END {printf "%d", n}'); }
  lost=0; [ -n "$AGENT" ] && lost=$(wget -q -O - http://127.0.0.1:9464/metrics | awk '/^shipwake_agent_lost/{n += $NF} END {printf "%d", n}')
  echo "MEASURE case=$1 agent=${AGENT:+on} requests=$n before=$before rps=$rps service_ns=$((w1 - w0)) agent_ns=$((a1 - a0)) agent_drain_ns=$((a2 - a0)) rss_kib=$rss seen=$seen lost=$lost"
}
start_agent() {
  s0=$(awk '{print int($1 * 1000)}' /proc/uptime)
  shipwake run --set prometheus.enabled=true --set aggregate.interval=1s $1 > /tmp/agent.log 2>&1 & AGENT=$!
  for i in $(seq 1 200); do wget -q -O /tmp/m http://127.0.0.1:9464/metrics 2>/dev/null && grep -q shipwake_ /tmp/m && break; sleep 0.05; done
  s1=$(awk '{print int($1 * 1000)}' /proc/uptime)
  maps=0; for f in /proc/$AGENT/fdinfo/*; do b=$(awk '/^memlock/{m=$2} /^map_id/{i=1} END {if (i) print m; else print 0}' $f); maps=$((maps + b)); done
  echo "MEASURE case=start agent=on first_point_ms=$((s1 - s0)) start_cpu_ns=$(agent_cpu $AGENT) map_bytes=$maps rss_kib=$(awk '/VmRSS/{print $2}' /proc/$AGENT/status)"
}
start_empty() {
  SHIPWAKE_BPF_DIR=/bpf bench hold > /tmp/hold.log & AGENT=$!
  for i in $(seq 1 100); do grep -q attached /tmp/hold.log && break; sleep 0.05; done
}
stop_agent() { kill $AGENT; wait $AGENT; AGENT=; }
redis-server --port 6390 --save '' --daemonize no --logfile /tmp/redis.log & REDIS=$!
AGENT=
load warm 1
for round in $(seq 1 ROUNDS); do
CASES
done
cat /tmp/agent.log | tail -n 5
kill $NGINX $REDIS; true
"#;

/// One measurement line, by key.
type Figures = BTreeMap<String, String>;

pub(super) fn run(arguments: &[String]) -> Result<()> {
    let rounds = number(arguments, "--rounds", 4);
    let seconds = number(arguments, "--seconds", 5);
    packages::install(&PACKAGES)?;
    let binary = match option(arguments, "--binary") {
        Some(path) => path.into(),
        None => agent::build()?,
    };
    let kernel = fetch(KERNEL)?;
    let mut guest = Guest::new()?;
    guest.program("/usr/bin/shipwake", &binary)?;
    for program in PROGRAMS {
        guest.program(program, Path::new(program))?;
    }
    guest.program("/usr/bin/bench", &bench_program()?)?;
    guest.program("/bpf/baseline", &root().join("target/bpf/baseline"))?;
    guest.file("/etc/bench-nginx.conf", NGINX);
    guest.file("/srv/index.html", "");
    let only = option(arguments, "--case");
    let cases: String = CASES
        .iter()
        .filter(|(case, _)| only.is_none_or(|only| only.split(',').any(|only| only == *case)))
        .map(|(case, flags)| {
            let start = match *flags {
                EMPTY => "start_empty".to_owned(),
                flags => format!("start_agent \"{flags}\""),
            };
            format!("measure {case} SECONDS\n{start}; measure {case} SECONDS; stop_agent\n")
        })
        .collect();
    guest.script(
        &SCRIPT
            .replace("CASES", &cases)
            .replace("ROUNDS", &rounds.to_string())
            .replace("SECONDS", &seconds.to_string()),
    );
    let initramfs = root().join("target/vm/bench.cpio");
    guest.write(&initramfs)?;
    say(format!("counting instructions on {} ({rounds} rounds of {seconds} s)", kernel.release));
    let log = boot(
        &kernel,
        &initramfs,
        &Machine { memory_mib: 1536, cpus: 1, icount: true, disk: None, deadline: DEADLINE },
    )?;
    let figures: Vec<Figures> = log.iter().filter_map(|line| parse(line)).collect();
    if figures.is_empty() {
        bail!("the guest printed no measurement");
    }
    report(&figures)
}

/// The native bench, which can hold an empty program attached.
fn bench_program() -> Result<PathBuf> {
    run_command(cargo().args([
        "build",
        "--quiet",
        "--package",
        "shipwake-tests",
        "--bin",
        "bench",
    ]))?;
    Ok(root().join("target/debug/bench"))
}

fn number(arguments: &[String], flag: &str, default: u32) -> u32 {
    option(arguments, flag).and_then(|value| value.parse().ok()).unwrap_or(default)
}

fn option<'a>(arguments: &'a [String], flag: &str) -> Option<&'a String> {
    let at = arguments.iter().position(|argument| argument == flag)?;
    arguments.get(at + 1)
}

fn parse(line: &str) -> Option<Figures> {
    let rest = line.strip_prefix("MEASURE ")?;
    Some(
        rest.split_whitespace()
            .filter_map(|pair| pair.split_once('='))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect(),
    )
}

fn report(figures: &[Figures]) -> Result<()> {
    let pick = |case: &str, agent: &str, key: &str| -> Vec<f64> {
        figures
            .iter()
            .filter(|f| f.get("case").map(String::as_str) == Some(case))
            .filter(|f| f.get("agent").map(String::as_str).unwrap_or_default() == agent)
            .filter_map(|f| f.get(key)?.parse().ok())
            .collect()
    };
    let ratio = |case: &str, agent: &str, above: &str, below: &str| -> Vec<f64> {
        let over = pick(case, agent, above);
        over.iter().zip(pick(case, agent, below)).map(|(a, b)| a / b.max(1.0)).collect()
    };
    println!("\nmedian (min – max); instructions are guest nanoseconds under -icount");
    for (case, _) in CASES {
        let off = ratio(case, "", "service_ns", "requests");
        if off.is_empty() {
            continue;
        }
        let on = ratio(case, "on", "service_ns", "requests");
        let added: Vec<f64> = on.iter().zip(&off).map(|(on, off)| on - off).collect();
        let agent = ratio(case, "on", "agent_ns", "requests");
        let drained = ratio(case, "on", "agent_drain_ns", "requests");
        let total: Vec<f64> = added.iter().zip(&drained).map(|(a, b)| a + b).collect();
        let speed: Vec<f64> = pick(case, "on", "rps")
            .iter()
            .zip(pick(case, "", "rps"))
            .map(|(on, off)| on / off)
            .collect();
        println!("\n{case}");
        println!("  requests/s without            {}", Spread::of(&pick(case, "", "rps")));
        println!("  requests/s with / without     {}", Spread::of(&speed));
        println!("  service, per request, without   {}", Spread::of(&off));
        println!("  service, per request, added     {}", Spread::of(&added));
        println!("  agent, per request            {}", Spread::of(&agent));
        println!("  agent, with the drain after   {}", Spread::of(&drained));
        println!("  added in all, per request     {}", Spread::of(&total));
        println!("  agent RSS, KiB                {}", Spread::of(&pick(case, "on", "rss_kib")));
        for f in figures.iter().filter(|f| f.get("case").map(String::as_str) == Some(case)) {
            if f.get("agent").map(String::as_str) == Some("on") {
                println!(
                    "  requests {} and {} before, seen {} lost {}",
                    f["requests"], f["before"], f["seen"], f["lost"]
                );
            }
        }
    }
    println!("\nstart");
    println!(
        "  first point, ms               {}",
        Spread::of(&pick("start", "on", "first_point_ms"))
    );
    println!(
        "  CPU until then, instructions  {}",
        Spread::of(&pick("start", "on", "start_cpu_ns"))
    );
    println!("  BPF map bytes                 {}", Spread::of(&pick("start", "on", "map_bytes")));
    println!("  RSS, KiB                      {}", Spread::of(&pick("start", "on", "rss_kib")));
    figures.first().map(drop).context("no figures")
}
