use std::collections::BTreeMap;

use cairn_proto::wire;
use cairn_proto::wire::recent_command::Outcome as WireOutcome;

use super::{CommandNumber, Epoch, Outcome};

/// The commands of the current lease that may come again, and what became of them. Part of the state: every master has
/// the same at the same log index.
///
/// One epoch is enough, because a command of another one is refused anyhow, and an epoch belongs to one life of one
/// master, so numbers never meet twice in it. It holds at most
/// [`COMMANDS_UNDER_WAY_LIMIT`](super::command_number::COMMANDS_UNDER_WAY_LIMIT) commands: each is less than that above the lowest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RecentCommands {
    epoch: u64,
    lowest_unanswered: u64,
    outcomes: BTreeMap<u64, Recorded>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Recorded {
    Applied { index: u64 },
    ConditionFailed { operation: u32 },
}

/// A stored record that no master writes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("recent command {sequence} has no outcome")]
pub(crate) struct InvalidRecentCommands {
    sequence: u64,
}

impl RecentCommands {
    /// What became of a command, if it has come before.
    pub(crate) fn outcome(&self, epoch: Epoch, number: CommandNumber) -> Option<Outcome> {
        if epoch.0 != self.epoch {
            return None;
        }
        if number.sequence() < self.lowest_unanswered {
            return Some(Outcome::Answered);
        }
        self.outcomes.get(&number.sequence()).map(|recorded| match recorded {
            Recorded::Applied { index } => Outcome::Applied { index: *index },
            Recorded::ConditionFailed { operation } => Outcome::ConditionFailed { operation: *operation },
        })
    }

    /// Remembers what became of a command that came for the first time.
    pub(crate) fn record(&mut self, epoch: Epoch, number: CommandNumber, outcome: Outcome) {
        let recorded = match outcome {
            Outcome::Applied { index } => Recorded::Applied { index },
            Outcome::ConditionFailed { operation } => Recorded::ConditionFailed { operation },
            // Whenever it comes again, it is refused again.
            Outcome::Deposed | Outcome::Answered => return,
        };
        if epoch.0 != self.epoch {
            *self = Self { epoch: epoch.0, ..Self::default() };
        }
        if number.lowest_unanswered() > self.lowest_unanswered {
            self.lowest_unanswered = number.lowest_unanswered();
            self.outcomes = self.outcomes.split_off(&self.lowest_unanswered);
        }
        self.outcomes.insert(number.sequence(), recorded);
    }

    pub(crate) fn to_wire(&self) -> wire::RecentCommands {
        let commands = self.outcomes.iter().map(|(sequence, recorded)| {
            let outcome = match recorded {
                Recorded::Applied { index } => WireOutcome::Applied(*index),
                Recorded::ConditionFailed { operation } => WireOutcome::ConditionFailed(*operation),
            };
            wire::RecentCommand { sequence: *sequence, outcome: Some(outcome) }
        });
        wire::RecentCommands {
            epoch: self.epoch,
            lowest_unanswered: self.lowest_unanswered,
            commands: commands.collect(),
        }
    }

    pub(crate) fn from_wire(record: wire::RecentCommands) -> Result<Self, InvalidRecentCommands> {
        let outcomes = record.commands.into_iter().map(|command| {
            let recorded = match command.outcome {
                Some(WireOutcome::Applied(index)) => Recorded::Applied { index },
                Some(WireOutcome::ConditionFailed(operation)) => Recorded::ConditionFailed { operation },
                None => return Err(InvalidRecentCommands { sequence: command.sequence }),
            };
            Ok((command.sequence, recorded))
        });
        Ok(Self {
            epoch: record.epoch,
            lowest_unanswered: record.lowest_unanswered,
            outcomes: outcomes.collect::<Result<_, _>>()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::{Strategy, any, proptest};

    use super::super::command_number::COMMANDS_UNDER_WAY_LIMIT;
    use super::{CommandNumber, Epoch, Outcome, RecentCommands};

    fn number(sequence: u64, lowest: u64) -> CommandNumber {
        CommandNumber::new(sequence, lowest).unwrap()
    }

    #[test]
    fn a_command_that_comes_again_has_the_first_outcome() {
        let mut recent = RecentCommands::default();
        recent.record(Epoch(3), number(1, 1), Outcome::Applied { index: 7 });
        recent.record(Epoch(3), number(2, 1), Outcome::ConditionFailed { operation: 4 });
        assert_eq!(recent.outcome(Epoch(3), number(1, 1)), Some(Outcome::Applied { index: 7 }));
        assert_eq!(recent.outcome(Epoch(3), number(2, 1)), Some(Outcome::ConditionFailed { operation: 4 }));
        assert_eq!(recent.outcome(Epoch(3), number(3, 1)), None);
        let stored = RecentCommands::from_wire(recent.to_wire()).unwrap();
        assert_eq!(stored, recent);
    }

    #[test]
    fn a_copy_of_an_answered_command_does_nothing() {
        let mut recent = RecentCommands::default();
        recent.record(Epoch(3), number(1, 1), Outcome::Applied { index: 7 });
        recent.record(Epoch(3), number(2, 2), Outcome::Applied { index: 8 });
        assert_eq!(recent.outcome(Epoch(3), number(1, 1)), Some(Outcome::Answered));
    }

    #[test]
    fn another_epoch_begins_with_an_empty_record() {
        let mut recent = RecentCommands::default();
        recent.record(Epoch(3), number(9, 9), Outcome::Applied { index: 7 });
        assert_eq!(recent.outcome(Epoch(4), number(1, 1)), None);
        recent.record(Epoch(4), number(1, 1), Outcome::Applied { index: 8 });
        assert_eq!(recent.outcome(Epoch(4), number(1, 1)), Some(Outcome::Applied { index: 8 }));
        assert_eq!(recent.outcome(Epoch(3), number(9, 9)), None);
    }

    /// Copies of commands in any order: the sequence counts up, copies lag behind by up to the window.
    fn arrivals() -> impl Strategy<Value = Vec<(u64, bool)>> {
        proptest::collection::vec((0_u64..6, any::<bool>()), 1..200)
    }

    proptest! {
        #[test]
        fn each_command_runs_once_and_the_record_stays_small(arrivals in arrivals()) {
            let mut recent = RecentCommands::default();
            let mut runs: HashMap<u64, u64> = HashMap::new();
            let (mut next, mut lowest) = (1_u64, 1_u64);
            for (index, (lag, answer)) in arrivals.into_iter().enumerate() {
                let sequence = if lag == 0 { next } else { next.saturating_sub(lag).max(1) };
                next = next.max(sequence + 1);
                let copy = number(sequence, lowest.min(sequence));
                if recent.outcome(Epoch(1), copy).is_none() {
                    *runs.entry(sequence).or_default() += 1;
                    recent.record(Epoch(1), copy, Outcome::Applied { index: index as u64 });
                }
                if answer {
                    lowest = lowest.max(next.saturating_sub(3)).max(1);
                }
                assert!(recent.outcomes.len() as u64 <= COMMANDS_UNDER_WAY_LIMIT);
            }
            assert!(runs.values().all(|count| *count == 1), "{runs:?}");
        }
    }
}
