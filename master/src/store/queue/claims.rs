use std::collections::BTreeMap;

use bytes::Bytes;

use super::super::{Command, Expected, Operation};

/// How a command uses a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// It only rests on it.
    Condition,
    /// It only writes it, whatever was there.
    BlindWrite,
    /// It reads, changes and writes it.
    Exclusive,
}

/// The keys of a command, and how it uses each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claims {
    modes: BTreeMap<Bytes, Mode>,
}

impl Mode {
    /// Whether commands that use a key so may run at the same time.
    pub(super) fn shares_with(self, other: Self) -> bool {
        self == other && self != Self::Exclusive
    }

    fn and(self, other: Self) -> Self {
        if self == other { self } else { Self::Exclusive }
    }
}

impl Claims {
    /// What a command claims. A limit of length with an append is part of the append: appends check it where they
    /// apply, and need not wait for each other. A key that has the index of its command is nobody else's.
    pub fn of(command: &Command) -> Self {
        let mut claims = Self::default();
        for operation in command.operations() {
            match operation {
                Operation::If { expected: Expected::AtMostBytes(_), .. } | Operation::PutAtIndex { .. } => {}
                Operation::If { key, .. } => claims.add(key, Mode::Condition),
                Operation::PutIf { key, .. } => claims.add(key, Mode::Exclusive),
                Operation::Put { key, .. } | Operation::Delete { key } | Operation::Append { key, .. } => {
                    claims.add(key, Mode::BlindWrite);
                }
            }
        }
        claims
    }

    /// Whether whoever has these may do all of `others`.
    pub(super) fn cover(&self, others: &Self) -> bool {
        others
            .modes
            .iter()
            .all(|(key, mode)| self.modes.get(key).is_some_and(|held| held == mode || *held == Mode::Exclusive))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Bytes, Mode)> {
        self.modes.iter().map(|(key, mode)| (key, *mode))
    }

    fn add(&mut self, key: &Bytes, mode: Mode) {
        self.modes.entry(key.clone()).and_modify(|before| *before = before.and(mode)).or_insert(mode);
    }
}

#[cfg(test)]
mod tests {
    use super::{Claims, Command, Expected, Mode};

    fn modes(command: &Command) -> Vec<(&'static str, Mode)> {
        let names = ["a", "b", "c"];
        let claims = Claims::of(command);
        names.into_iter().filter_map(|name| Some((name, *claims.modes.get(name.as_bytes())?))).collect()
    }

    #[test]
    fn conditions_blind_writes_and_both_together_claim_differently() {
        let mut command = Command::new();
        command.require("a", Expected::Present).put("b", "1").put_if("c", "2", Expected::Version(3));
        assert_eq!(modes(&command), [("a", Mode::Condition), ("b", Mode::BlindWrite), ("c", Mode::Exclusive)]);
        command.delete("a").append("b", "3");
        assert_eq!(modes(&command), [("a", Mode::Exclusive), ("b", Mode::BlindWrite), ("c", Mode::Exclusive)]);
    }

    #[test]
    fn appends_with_a_limit_of_length_are_blind() {
        let mut command = Command::new();
        command.require("a", Expected::AtMostBytes(10)).append("a", "1").put_at_index("b", "2");
        assert_eq!(modes(&command), [("a", Mode::BlindWrite)]);
    }

    #[test]
    fn claims_cover_what_asks_for_no_more() {
        let claims = |build: fn(&mut Command)| {
            let mut command = Command::new();
            build(&mut command);
            Claims::of(&command)
        };
        let held = claims(|command| {
            command.put_if("a", "1", Expected::Absent).put("b", "2");
        });
        assert!(held.cover(&claims(|command| {
            command.require("a", Expected::Absent).put("b", "3");
        })));
        assert!(!held.cover(&claims(|command| {
            command.require("b", Expected::Absent);
        })));
        assert!(!held.cover(&claims(|command| {
            command.put("c", "1");
        })));
    }
}
