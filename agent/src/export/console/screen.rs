//! The terminal. Written to by a thread of its own: a terminal that is stopped (Ctrl-S) or a pipe that nobody
//! reads must not stop the agent.

use std::{
    io::{self, IsTerminal as _, Write as _},
    sync::mpsc::{SyncSender, TrySendError, sync_channel},
    thread,
};

use tokio::{sync::oneshot, time::Instant};

/// What a table may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// No escape codes.
    Plain,
    /// Bold, dim, red and yellow.
    Colour,
}

/// Room for the table, in characters. `None`: as much as it wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub columns: Option<usize>,
    pub rows: Option<usize>,
}

pub(super) struct Screen {
    frames: SyncSender<String>,
    ended: oneshot::Receiver<()>,
    terminal: bool,
    style: Style,
}

/// A frame that was not shown.
pub(super) struct NotShown {
    pub kind: &'static str,
    pub message: &'static str,
}

impl Screen {
    pub(super) fn open() -> io::Result<Self> {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let terminal = io::stdout().is_terminal() && !dumb;
        let style = if terminal && !set("NO_COLOR") { Style::Colour } else { Style::Plain };
        let (frames, waiting) = sync_channel::<String>(1);
        let (end, ended) = oneshot::channel();
        thread::Builder::new().name("console".to_owned()).spawn(move || {
            let mut first = true;
            for frame in waiting {
                let text = if terminal { in_place(&frame, first) } else { frame };
                first = false;
                let mut out = io::stdout().lock();
                if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
                    break;
                }
            }
            let _ = end.send(());
        })?;
        Ok(Self { frames, ended, terminal, style })
    }

    /// Draws and shows. Never waits.
    pub(super) fn show(&self, draw: impl FnOnce(Size, Style) -> String) -> Result<(), NotShown> {
        let size = if self.terminal { size() } else { Size { columns: None, rows: None } };
        self.frames.try_send(draw(size, self.style)).map_err(|error| match error {
            TrySendError::Full(_) => NotShown {
                kind: "busy",
                message: "the terminal takes no output; tables are skipped",
            },
            TrySendError::Disconnected(_) => NotShown {
                kind: "closed",
                message: "the terminal is gone; no more tables are shown",
            },
        })
    }

    /// Waits until the last frame is out, but not longer than until `deadline`.
    pub(super) async fn close(self, deadline: Option<Instant>) -> Option<()> {
        let Self { frames, ended, terminal: _, style: _ } = self;
        drop(frames);
        match deadline {
            Some(deadline) => tokio::time::timeout_at(deadline, ended).await.ok()?.ok(),
            None => ended.await.ok(),
        }
    }
}

/// Draws over the frame before. The first clears the screen.
fn in_place(frame: &str, first: bool) -> String {
    let mut text = String::from(if first { "\x1b[2J\x1b[H" } else { "\x1b[H" });
    for line in frame.trim_end().lines() {
        text.push_str(line);
        text.push_str("\x1b[K\n");
    }
    text.push_str("\x1b[J");
    text
}

fn size() -> Size {
    let known = rustix::termios::tcgetwinsize(io::stdout()).ok();
    let known = known.filter(|size| size.ws_col > 0 && size.ws_row > 0);
    Size {
        columns: known.map(|size| usize::from(size.ws_col)),
        rows: known.map(|size| usize::from(size.ws_row)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_replaces_the_one_before() {
        assert_eq!(in_place("a\nb\n", true), "\x1b[2J\x1b[Ha\x1b[K\nb\x1b[K\n\x1b[J");
        assert_eq!(in_place("a\n", false), "\x1b[Ha\x1b[K\n\x1b[J");
    }
}
