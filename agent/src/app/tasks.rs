//! The tasks around the engine: one per collector, and the one that waits for the end.

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{mpsc, watch},
    time::{Instant, timeout_at},
};

use crate::{
    engine::Input,
    signals::{Batch, Collector},
    time::Mono,
};

/// Calls a collector until it is told to stop, then a last time.
///
/// A full queue makes the collector wait: the kernel goes on counting meanwhile, and counts itself what its own
/// buffers cannot hold.
pub async fn collect(
    name: &'static str,
    mut collector: Box<dyn Collector>,
    inputs: mpsc::Sender<Input>,
    mut stop: watch::Receiver<bool>,
) {
    let mut batch = Batch::default();
    loop {
        let going_on = tokio::select! {
            () = tokio::time::sleep(collector.pause()) => true,
            _ = stop.wait_for(|stop| *stop) => false,
        };
        if going_on {
            collector.collect(Mono::now(), &mut batch);
        } else {
            collector.finish(Mono::now(), &mut batch);
        }
        if !batch.is_empty() {
            let batch = std::mem::take(&mut batch);
            if inputs.send(Input::Batch { signal: name, batch }).await.is_err() {
                return;
            }
        }
        if !going_on {
            return;
        }
    }
}

/// Why the agent ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Interrupt,
    Terminate,
    /// The time given by `--for` is over.
    TimeIsUp,
}

impl End {
    /// For the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Interrupt => "SIGINT",
            Self::Terminate => "SIGTERM",
            Self::TimeIsUp => "time is up",
        }
    }
}

/// The signals that end the agent. From its creation on they do not kill the process.
pub struct Ends {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Ends {
    /// Takes over SIGINT, SIGTERM and SIGHUP.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the next reason to end. SIGHUP is none: the configuration is read at start only.
    pub async fn next(&mut self) -> End {
        loop {
            tokio::select! {
                _ = self.interrupt.recv() => return End::Interrupt,
                _ = self.terminate.recv() => return End::Terminate,
                _ = self.hangup.recv() => {
                    tracing::info!("SIGHUP: the configuration is read at start; restart to apply a change");
                }
            }
        }
    }

    /// The same, or `limit` is reached.
    pub async fn next_until(&mut self, limit: Option<Instant>) -> End {
        match limit {
            None => self.next().await,
            Some(limit) => timeout_at(limit, self.next()).await.unwrap_or(End::TimeIsUp),
        }
    }
}
