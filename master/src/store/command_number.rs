/// Commands that one master may have under way at a time; further ones wait. It bounds the record of recent commands.
pub(crate) const COMMANDS_UNDER_WAY_LIMIT: u64 = 1024;

/// What makes a command that comes again the same command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CommandNumber {
    sequence: u64,
    lowest_unanswered: u64,
}

/// Two numbers that no proposer gives to a command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("command {sequence} with {lowest_unanswered} as the lowest unanswered one")]
pub(crate) struct InvalidNumber {
    sequence: u64,
    lowest_unanswered: u64,
}

impl CommandNumber {
    /// A number within the limit of commands under way.
    pub(crate) fn new(sequence: u64, lowest_unanswered: u64) -> Result<Self, InvalidNumber> {
        let within = 0 < lowest_unanswered
            && lowest_unanswered <= sequence
            && sequence - lowest_unanswered < COMMANDS_UNDER_WAY_LIMIT;
        if within {
            Ok(Self { sequence, lowest_unanswered })
        } else {
            Err(InvalidNumber { sequence, lowest_unanswered })
        }
    }

    /// Counted up by one life of a master, from 1.
    pub(crate) fn sequence(self) -> u64 {
        self.sequence
    }

    /// The lowest sequence that may still come again.
    pub(crate) fn lowest_unanswered(self) -> u64 {
        self.lowest_unanswered
    }
}

#[cfg(test)]
mod tests {
    use super::{COMMANDS_UNDER_WAY_LIMIT, CommandNumber};

    #[test]
    fn numbers_out_of_the_window_are_refused() {
        assert!(CommandNumber::new(1, 1).is_ok());
        assert!(CommandNumber::new(COMMANDS_UNDER_WAY_LIMIT, 1).is_ok());
        for (sequence, lowest) in [(0, 0), (1, 0), (1, 2), (COMMANDS_UNDER_WAY_LIMIT + 1, 1), (u64::MAX, 1)] {
            CommandNumber::new(sequence, lowest).expect_err(&format!("{sequence} {lowest}"));
        }
    }
}
