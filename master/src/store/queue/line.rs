use std::collections::VecDeque;

use super::claims::Mode;

/// Those who have one key, and those who wait for it, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// How those who have it use it, and how many they are.
    running: Option<(Mode, usize)>,
    waiting: VecDeque<(u64, Mode)>,
}

impl Line {
    /// Takes a place; `true` if it is among those who have the key.
    pub(super) fn enter(&mut self, ticket: u64, mode: Mode) -> bool {
        let admitted = self.waiting.is_empty() && self.admit(mode);
        if !admitted {
            self.waiting.push_back((ticket, mode));
        }
        admitted
    }

    /// Gives up a place that was taken; answers who has the key now and had not before.
    pub(super) fn leave(&mut self, ticket: u64) -> Vec<u64> {
        match self.waiting.iter().position(|(waiting, _)| *waiting == ticket) {
            Some(place) => {
                self.waiting.remove(place);
            }
            None => self.running = self.running.and_then(|(mode, count)| (count > 1).then(|| (mode, count - 1))),
        }
        let mut admitted = Vec::new();
        while let Some((next, mode)) = self.waiting.front().copied()
            && self.admit(mode)
        {
            self.waiting.pop_front();
            admitted.push(next);
        }
        admitted
    }

    pub(super) fn is_empty(&self) -> bool {
        self.running.is_none() && self.waiting.is_empty()
    }

    fn admit(&mut self, mode: Mode) -> bool {
        let count = match self.running {
            None => 0,
            Some((running, count)) if running.shares_with(mode) => count,
            Some(_) => return false,
        };
        self.running = Some((mode, count + 1));
        true
    }
}
