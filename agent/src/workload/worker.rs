//! A source that waits for a disk or for the memory of other processes works on a thread of its own,
//! so that nothing else waits with it.

use std::{
    thread,
    time::{Duration, Instant},
};

use tokio::sync::mpsc;

use super::{Ask, Change, Health, SourceState};

/// What such a source does.
pub(super) trait Work: Send + 'static {
    /// Answers a question.
    fn hear(&mut self, ask: Ask, changes: &mut Vec<Change>);

    /// When it wants to do something unasked.
    fn due(&self) -> Option<Instant>;

    /// Does what is due.
    fn wake(&mut self, changes: &mut Vec<Change>);
}

/// Memory for the stack of such a thread: files are read and taken apart in it.
const STACK_BYTES: usize = 512 * 1024;
/// Longest pause, where nothing is due.
const NEVER: Duration = Duration::from_secs(3600);

/// Starts the thread. It ends when the questions close or nobody listens to the answers any more.
pub(super) fn start(
    name: &'static str,
    work: impl Work,
    asks: mpsc::Receiver<Ask>,
    changes: mpsc::Sender<Change>,
    health: &Health,
) {
    let thread = thread::Builder::new().name(name.to_owned()).stack_size(STACK_BYTES);
    let failed = match tokio::runtime::Builder::new_current_thread().enable_time().build() {
        Ok(runtime) => {
            thread.spawn(move || runtime.block_on(run(work, asks, &changes))).map(drop).err()
        }
        Err(error) => Some(error),
    };
    if let Some(error) = failed {
        let error = format!("no thread could be started: {error} (is there a limit on tasks?)");
        tracing::error!(source = name, "{error}; this source says nothing");
        health.fails(SourceState::Failing, error);
    }
}

async fn run(mut work: impl Work, mut asks: mpsc::Receiver<Ask>, changes: &mpsc::Sender<Change>) {
    let mut found = Vec::new();
    loop {
        let due = work.due().unwrap_or_else(|| Instant::now() + NEVER);
        match tokio::time::timeout_at(due.into(), asks.recv()).await {
            Ok(Some(ask)) => work.hear(ask, &mut found),
            Ok(None) => return,
            Err(_) => work.wake(&mut found),
        }
        // Questions that never cease must not keep it from what is due.
        if work.due().is_some_and(|due| due <= Instant::now()) {
            work.wake(&mut found);
        }
        for change in found.drain(..) {
            if changes.send(change).await.is_err() {
                return;
            }
        }
    }
}
