//! The user half: drains the reports of ended connections, looks at the living ones at every export interval.

use std::{fs::File, io::Read as _, time::Duration};

use aya::maps::{HashMap, Map, MapData, PerCpuArray};
use shipwake_ebpf::tcp::{Connection, HOST_COUNTERS, Report};

use super::{
    LISTENERS, LOOK,
    before::{Before, Unseen},
    decode::{LENGTH, decode},
    measure::{measure, measure_host, subject},
    metrics::CONNECTIONS,
    open::Open,
    peers::Peers,
};
use crate::{
    kernel::{Drops, Iterate, Loaded, Ring, Wire},
    metric::Value,
    signals::{Batch, Collector, Loss, Measurement, Setup},
    time::Mono,
};

/// Pause while connections come and go.
const BUSY: Duration = Duration::from_millis(10);
/// Pause on a quiet host. The ring holds what ends in this time at 65,000 connections per second.
const QUIET: Duration = Duration::from_millis(100);
/// Most records per visit: one full ring.
const VISIT: usize = 8192;
/// What the kernel hands out per read of an iterator, at most.
const CHUNK: usize = 32 * 1024;

/// Collector of the signal `tcp`.
pub struct TcpCollector {
    ring: Ring,
    drops: Drops,
    host: PerCpuArray<MapData, u64>,
    told_host: [u64; HOST_COUNTERS as usize],
    table: HashMap<MapData, u64, Wire<Connection>>,
    look: Option<Iterate>,
    interval: Duration,
    next_look: Mono,
    reports: Reports,
    buffer: Vec<u8>,
    pause: Duration,
}

/// Where reports go, wherever they came from.
struct Reports {
    own_tgid: u32,
    /// Empty where the kernel finds out by itself.
    before: Before,
    peers: Peers,
    open: Open,
    malformed: u64,
}

impl TcpCollector {
    /// Takes over the maps of the object and finds the connections that are there already.
    ///
    /// # Errors
    /// The object lacks a map.
    pub fn new(loaded: &mut Loaded, setup: &Setup<'_>) -> anyhow::Result<Self> {
        let mut map = |name: &str| {
            loaded.bpf.take_map(name).ok_or_else(|| anyhow::anyhow!("the object has no map {name}"))
        };
        let host = PerCpuArray::try_from(map("TCP_HOST")?)?;
        let table: Map = map("TCP_CONNECTIONS")?;
        // Who listens where is known before any connection is judged by it.
        let listened = iterator(loaded, LISTENERS).and_then(|listeners| {
            listeners.run()?.read_to_end(&mut Vec::new())?;
            Ok(())
        });
        let (look, before) = match listened.and_then(|()| iterator(loaded, LOOK)) {
            Ok(look) => (Some(look), Before::default()),
            Err(error) => (None, look_before(&error, setup.config.tcp.connections)),
        };
        Ok(Self {
            host,
            table: HashMap::try_from(table)?,
            ring: Ring::take(loaded, "TCP")?,
            drops: Drops::of(loaded, "tcp")?,
            told_host: [0; HOST_COUNTERS as usize],
            look,
            interval: setup.config.aggregate.interval.0,
            next_look: Mono(0),
            reports: Reports {
                own_tgid: setup.own_tgid,
                before,
                peers: Peers::new(setup.config.tcp.peers),
                open: Open::default(),
                malformed: 0,
            },
            buffer: Vec::with_capacity(CHUNK + LENGTH),
            pause: BUSY,
        })
    }

    fn drain(&mut self, now: Mono, out: &mut Batch) -> usize {
        let Self { ring, reports, .. } = self;
        ring.drain(VISIT, |bytes| reports.apply(bytes, now, &mut out.measurements))
    }

    /// Runs the iterator: each living connection tells what it added.
    fn look(&mut self, now: Mono, out: &mut Batch) {
        let Some(look) = &self.look else { return };
        let run = look.run().and_then(|mut run| {
            self.buffer.clear();
            while read_chunk(&mut run, &mut self.buffer)? {
                let whole = self.buffer.len() - self.buffer.len() % LENGTH;
                for bytes in self.buffer.drain(..whole).as_slice().chunks_exact(LENGTH) {
                    self.reports.apply(bytes, now, &mut out.measurements);
                }
            }
            Ok(())
        });
        if let Err(error) = run {
            tracing::warn!(%error, "open connections could not be looked at; the next interval tries again");
            out.losses.push(Loss { signal: "tcp", cause: "look_failed", count: 1 });
        }
    }

    fn every_interval(&mut self, now: Mono, out: &mut Batch) {
        self.next_look = Mono(now.0.saturating_add(nanoseconds(self.interval)));
        self.look(now, out);
        self.read_host(out);
        self.read_drops(out);
        let Self { reports: Reports { peers, open, malformed, .. }, .. } = self;
        open.take_changed(|holder, count| {
            out.measurements.push(Measurement {
                metric: &CONNECTIONS,
                subject: subject(holder.process),
                labels: peers.role(holder.role).plain.clone(),
                value: Value::Set(count as f64),
            });
        });
        peers.age(now);
        for (cause, count) in
            [("peer_table_full", peers.take_refused()), ("malformed", std::mem::take(malformed))]
        {
            if count > 0 {
                out.losses.push(Loss { signal: "tcp", cause, count });
            }
        }
    }

    fn read_host(&mut self, out: &mut Batch) {
        let mut added = [0; HOST_COUNTERS as usize];
        for ((index, told), added) in (0..).zip(&mut self.told_host).zip(&mut added) {
            let Ok(per_cpu) = self.host.get(&index, 0) else { continue };
            let total: u64 = per_cpu.iter().sum();
            *added = total.saturating_sub(*told);
            *told = total;
        }
        measure_host(&added, &self.reports.peers, &mut out.measurements);
    }

    /// Reports that were lost leave the count of open connections wrong: then it is taken anew.
    fn read_drops(&mut self, out: &mut Batch) {
        let before = out.losses.len();
        self.drops.finish(&mut out.losses);
        if out.losses.iter().skip(before).any(|loss| loss.cause == "ring_full") {
            let table = self.table.iter().filter_map(Result::ok).map(|(_, Wire(entry))| entry);
            self.reports.open.recount(table);
        }
    }
}

impl Reports {
    fn apply(&mut self, bytes: &[u8], now: Mono, out: &mut Vec<Measurement>) {
        match decode(bytes) {
            Some(mut report) => {
                self.before.name(&mut report);
                if report.owner.process.tgid != self.own_tgid {
                    self.accept(&report, now, out);
                }
            }
            None => self.malformed += 1,
        }
    }

    fn accept(&mut self, report: &Report, now: Mono, out: &mut Vec<Measurement>) {
        self.open.apply(report);
        measure(report, &mut self.peers, now, out);
    }
}

impl Collector for TcpCollector {
    fn pause(&self) -> Duration {
        self.pause
    }

    fn collect(&mut self, now: Mono, out: &mut Batch) {
        let count = self.drain(now, out);
        self.pause = if count > 0 { BUSY } else { (self.pause * 2).min(QUIET) };
        if now >= self.next_look {
            self.every_interval(now, out);
        }
    }

    fn finish(&mut self, now: Mono, out: &mut Batch) {
        while self.drain(now, out) == VISIT {}
        self.every_interval(now, out);
    }
}

fn iterator(loaded: &Loaded, program: &'static str) -> anyhow::Result<Iterate> {
    Iterate::of(loaded, program)?.ok_or_else(|| anyhow::anyhow!("the kernel refused `{program}`"))
}

/// Finds who had which connection at the start, and says what stays unknown.
fn look_before(error: &anyhow::Error, most: u32) -> Before {
    tracing::warn!(
        "open TCP connections are reported only when they end ({error:#}; `shipwake doctor` says why); those from \
         before the agent are attributed by what the kernel lists"
    );
    let (before, unseen) = match Before::look(usize::try_from(most).unwrap_or(usize::MAX)) {
        Ok(found) => found,
        Err(error) => {
            tracing::warn!("they stay nobody's: /proc cannot be listed: {error}");
            return Before::default();
        }
    };
    let Unseen { connections, networks, reason } = unseen;
    if let Some(reason) = reason {
        tracing::warn!(
            "those of {networks} network namespaces stay nobody's: {reason} (give CAP_SYS_ADMIN; the kernel needs \
             CONFIG_INET_DIAG)"
        );
    }
    if connections > 0 {
        tracing::warn!("{connections} of them stay nobody's: raise `tcp.connections` ({most})");
    }
    before
}

/// Appends what the kernel has next; `false` at the end.
fn read_chunk(run: &mut File, buffer: &mut Vec<u8>) -> std::io::Result<bool> {
    Ok(run.take(CHUNK as u64).read_to_end(buffer)? > 0)
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
