//! The loop: take what waits, send it, wait and try again, stop in time.

use std::sync::Arc;

use tokio::time::{Duration, Instant, sleep_until};

use super::{
    Settings, Temporality,
    answer::{Accepted, Failure, Retry},
    delta::Ledger,
    request::{self, Built, Payload},
    transport::Transport,
};
use crate::export::{Backoff, Feed, Report};

/// Kept back from the deadline, so that what was not sent is counted before the exporter is ended.
const MARGIN: Duration = Duration::from_millis(50);

pub(super) struct Sender {
    settings: Settings,
    feed: Feed,
    transport: Transport,
    backoff: Backoff,
    /// `None` for cumulative values.
    ledger: Option<Ledger>,
}

/// What to do after a failed attempt.
enum Next {
    /// The same request again.
    Again,
    /// Newer reports arrived: they hold what this one says, and more.
    Newer,
    /// The deadline is near.
    GiveUp,
}

impl Sender {
    pub(super) fn new(settings: &Settings, feed: Feed) -> anyhow::Result<Self> {
        anyhow::ensure!(settings.timeout.0 > Duration::ZERO, "otlp.timeout must not be zero");
        Ok(Self {
            settings: settings.clone(),
            transport: Transport::new(settings)?,
            backoff: Backoff::new(settings.retry_initial.0, settings.retry_max.0),
            ledger: match settings.temporality {
                Temporality::Cumulative => None,
                Temporality::Delta | Temporality::LowMemory => Some(Ledger::default()),
            },
            feed,
        })
    }

    pub(super) async fn run(mut self) {
        while let Some(reports) = self.feed.queue.take().await {
            self.deliver(reports).await;
        }
    }

    async fn deliver(&mut self, reports: Vec<Arc<Report>>) {
        let health = self.feed.health.clone();
        let Built { payloads, too_large } =
            match request::build(&reports, &self.settings, self.ledger.as_ref()) {
                Ok(built) => built,
                Err(error) => {
                    health.lost(reports.iter().map(|report| report.points()).sum(), "compression");
                    health
                        .trouble("compression", &format!("reports cannot be compressed: {error}"));
                    return;
                }
            };
        let mut payloads = payloads.into_iter();
        while let Some(payload) = payloads.next() {
            match self.insist(&payload).await {
                Next::Again => {}
                Next::Newer => return self.feed.queue.put_back(reports),
                Next::GiveUp => {
                    let left = payload.points + payloads.map(|left| left.points).sum::<u64>();
                    health.lost(left, "shutdown");
                    let text = format!("the agent stops and {left} data points were not delivered");
                    return health.trouble("shutdown", &text);
                }
            }
        }
        if too_large > 0 {
            health.lost(too_large, "request_too_large");
            let limit = self.settings.max_request_bytes;
            let text = format!(
                "data points larger than {limit} bytes (otlp.max_request_bytes) were dropped"
            );
            health.trouble("request_too_large", &text);
        }
        if let (Some(ledger), Some(newest)) = (&mut self.ledger, reports.last()) {
            ledger.keep(newest);
        }
    }

    /// Sends one request until it is accepted or refused for good; `Again` then means "go on".
    async fn insist(&mut self, payload: &Payload) -> Next {
        loop {
            let Err(failure) = self.attempt(payload).await else { return Next::Again };
            let health = &self.feed.health;
            let Retry::Later(asked) = failure.retry else {
                health.lost(payload.points, failure.kind.clone());
                health.trouble(
                    failure.kind,
                    &format!("{}; the data points were dropped", failure.message),
                );
                return Next::Again;
            };
            health.trouble(failure.kind, &format!("{}; trying again", failure.message));
            match self.pause(asked).await {
                Next::Again => {}
                next => return next,
            }
        }
    }

    async fn attempt(&mut self, payload: &Payload) -> Result<(), Failure> {
        let health = self.feed.health.clone();
        let begun = Instant::now();
        health.set_inflight(payload.points);
        let outcome = tokio::select! {
            outcome = self.transport.send(payload.body.clone()) => outcome,
            () = out_of_time(&self.feed) => Err(Failure {
                kind: "shutdown".into(),
                message: "the receiver did not answer before the agent stopped".to_owned(),
                retry: Retry::Later(None),
            }),
        };
        health.set_inflight(0);
        health.took(begun.elapsed(), outcome.as_ref().err().map(|failure| failure.kind.clone()));
        let Accepted { rejected, message } = outcome?;
        let rejected = rejected.min(payload.points);
        health.delivered(payload.points - rejected);
        health.lost(rejected, "rejected");
        self.backoff.reset();
        if rejected > 0 {
            health.trouble(
                "rejected",
                &format!("the receiver rejected {rejected} data points: {message}"),
            );
        } else if !message.is_empty() {
            health.trouble(
                "warning",
                &format!("the receiver accepted the data and warns: {message}"),
            );
        } else {
            health.well();
        }
        if let Some(ledger) = &mut self.ledger {
            for (at, part) in &payload.parts {
                ledger.accept(*at, part);
            }
        }
        Ok(())
    }

    /// Waits before the next attempt. A stop ends the wait: what is left is tried once more at once, and
    /// as often as fits before the deadline.
    async fn pause(&mut self, asked: Option<Duration>) -> Next {
        let queue = &self.feed.queue;
        let until = Instant::now() + self.backoff.next(asked);
        if let Some(deadline) = queue.deadline() {
            if until + MARGIN >= deadline {
                return Next::GiveUp;
            }
            sleep_until(until).await;
            return Next::Again;
        }
        tokio::select! {
            () = sleep_until(until) => {}
            () = queue.closed() => {}
        }
        if queue.has_news() { Next::Newer } else { Next::Again }
    }
}

/// Returns shortly before the deadline, once there is one.
async fn out_of_time(feed: &Feed) {
    feed.queue.closed().await;
    if let Some(deadline) = feed.queue.deadline() {
        sleep_until(deadline.checked_sub(MARGIN).unwrap_or(deadline)).await;
    }
}
