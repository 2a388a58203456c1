use std::collections::HashSet;
use std::time::Duration;

use rand::rngs::StdRng;

use super::Rates;

/// Who sends and receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    /// The master with this Raft id.
    Master(u64),
    /// The client with this number.
    Client(u64),
}

/// What becomes of a request or an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Arrives { after: Duration },
    Lost { after: Duration },
    CutOff { after: Duration },
}

/// Which links are cut, and what the others are like.
#[derive(Debug)]
pub(super) struct Links {
    pub(super) rates: Rates,
    /// Pairs of sender and receiver.
    cut: HashSet<(Place, Place)>,
}

impl Default for Links {
    fn default() -> Self {
        Self { rates: Rates::RELIABLE, cut: HashSet::new() }
    }
}

impl Links {
    pub(super) fn partition(&mut self, groups: &[&[u64]]) {
        let is_master = |place: &Place| matches!(place, Place::Master(_));
        self.cut.retain(|(from, to)| !(is_master(from) && is_master(to)));
        for (number, group) in groups.iter().enumerate() {
            let others = groups.iter().enumerate().filter(|(other, _)| *other != number);
            for other in others.flat_map(|(_, other)| *other) {
                self.cut.extend(group.iter().map(|master| (Place::Master(*master), Place::Master(*other))));
            }
        }
    }

    pub(super) fn heal(&mut self) {
        self.cut.clear();
    }

    pub(super) fn cut(&mut self, from: Place, to: Place) {
        self.cut.insert((from, to));
    }

    pub(super) fn departure(&self, from: Place, to: Place, random: &mut StdRng) -> Fate {
        if self.cut.contains(&(from, to)) {
            return Fate::CutOff { after: self.rates.unreachable(random) };
        }
        let after = self.rates.delay(random);
        if self.rates.loses_request(random) { Fate::Lost { after } } else { Fate::Arrives { after } }
    }

    pub(super) fn answer(&self, from: Place, to: Place, random: &mut StdRng) -> Fate {
        if self.cut.contains(&(to, from)) {
            return Fate::CutOff { after: self.rates.unreachable(random) };
        }
        let after = Duration::ZERO;
        if self.rates.loses_answer(random) { Fate::Lost { after } } else { Fate::Arrives { after } }
    }
}
