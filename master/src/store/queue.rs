//! The command queue: commands that touch the same keys take turns.

mod claims;
mod line;
#[cfg(test)]
mod tests;

pub use claims::Claims;

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use line::Line;

/// Lets a command run when no running one conflicts with it on any key, and nobody who came earlier waits for such a
/// key.
///
/// Conditions on a key share it, and so do blind writes; a command that does both has it alone. A command stands in the
/// lines of all its keys at once, under one lock, so that every line has the same order and no two commands wait for
/// each other. It waits in memory of whoever asks, so the queue is as long as there are callers.
#[derive(Clone, Default)]
pub struct CommandQueue {
    lines: Arc<Mutex<Lines>>,
}

#[derive(Default)]
struct Lines {
    last_ticket: u64,
    by_key: HashMap<Bytes, Line>,
    waiting: HashMap<u64, Waiting>,
}

/// A command that does not run yet.
struct Waiting {
    /// Keys whose turn has not come.
    blocked: usize,
    ready: oneshot::Sender<()>,
}

/// A place in the lines of some keys; given up when dropped, whether its turn came or not.
pub struct Turn {
    lines: Arc<Mutex<Lines>>,
    ticket: u64,
    claims: Claims,
    ready: Option<oneshot::Receiver<()>>,
}

impl CommandQueue {
    /// Stands in line for the keys.
    pub fn enter(&self, claims: Claims) -> Turn {
        let (ticket, ready) = self.lines.lock().enter(&claims);
        Turn { lines: Arc::clone(&self.lines), ticket, claims, ready }
    }

    /// Keys that somebody has or waits for.
    #[cfg(test)]
    pub(crate) fn keys(&self) -> usize {
        self.lines.lock().by_key.len()
    }
}

impl Turn {
    /// Waits until no command conflicts. `true`: one did, so that what was read before may be old.
    pub async fn come(&mut self) -> bool {
        let Some(ready) = self.ready.as_mut() else { return false };
        // The sender goes only by sending: the lines live as long as this.
        let sent = ready.await;
        debug_assert!(sent.is_ok(), "a waiting ticket is woken before it is forgotten");
        self.ready = None;
        true
    }

    /// Whether a command with these claims may run in this turn.
    pub fn covers(&self, claims: &Claims) -> bool {
        self.claims.cover(claims)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.lines.lock().leave(self.ticket, &self.claims);
    }
}

impl Lines {
    fn enter(&mut self, claims: &Claims) -> (u64, Option<oneshot::Receiver<()>>) {
        self.last_ticket += 1;
        let ticket = self.last_ticket;
        let mut blocked = 0;
        for (key, mode) in claims.iter() {
            let line = self.by_key.entry(key.clone()).or_default();
            blocked += usize::from(!line.enter(ticket, mode));
        }
        if blocked == 0 {
            return (ticket, None);
        }
        let (ready, woken) = oneshot::channel();
        self.waiting.insert(ticket, Waiting { blocked, ready });
        (ticket, Some(woken))
    }

    fn leave(&mut self, ticket: u64, claims: &Claims) {
        self.waiting.remove(&ticket);
        for (key, _) in claims.iter() {
            let Some(line) = self.by_key.get_mut(key) else { continue };
            let admitted = line.leave(ticket);
            if line.is_empty() {
                self.by_key.remove(key);
            }
            for ticket in admitted {
                self.unblock(ticket);
            }
        }
    }

    /// The turn of a command has come on one more key.
    fn unblock(&mut self, ticket: u64) {
        let Some(waiting) = self.waiting.get_mut(&ticket) else { return };
        waiting.blocked -= 1;
        if waiting.blocked == 0
            && let Some(waiting) = self.waiting.remove(&ticket)
            && waiting.ready.send(()).is_err()
        {
            tracing::trace!(ticket, "a command was given up just when its turn came");
        }
    }
}
