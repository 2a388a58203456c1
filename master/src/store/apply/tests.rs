use std::collections::BTreeMap;

use bytes::Bytes;
use cairn_proto::wire;
use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};

use super::super::{Epoch, Expected, LEASE_KEY, Operation, ReadError, Versioned};
use super::{Applied, State, apply, encode_lease};

#[derive(Clone, Default)]
struct Model(BTreeMap<Bytes, Versioned>);

impl State for Model {
    fn get(&self, key: &[u8]) -> Result<Option<Versioned>, ReadError> {
        Ok(self.0.get(key).cloned())
    }
}

impl Model {
    fn with_lease(epoch: u64) -> Self {
        let mut model = Self::default();
        model.0.insert(Bytes::from_static(LEASE_KEY), Versioned { version: 1, value: lease(epoch) });
        model
    }

    fn write(&mut self, applied: Applied) {
        let Applied::Writes(writes) = applied else { return };
        for (key, written) in writes {
            match written {
                Some(versioned) => self.0.insert(key, versioned),
                None => self.0.remove(&key),
            };
        }
    }

    /// Naive: run the steps one by one on a copy, and keep the copy if all went well.
    fn run(&mut self, operations: &[Operation], index: u64) -> Option<usize> {
        let mut copy = self.clone();
        for (position, operation) in operations.iter().enumerate() {
            if !copy.run_one(operation, index) {
                return Some(position);
            }
        }
        *self = copy;
        None
    }

    fn run_one(&mut self, operation: &Operation, index: u64) -> bool {
        match operation {
            Operation::Put { key, value } => self.set(key, value.to_vec(), index),
            Operation::PutIf { key, value, expected } => {
                if !self.is(key, expected) {
                    return false;
                }
                self.set(key, value.to_vec(), index);
            }
            Operation::If { key, expected } => return self.is(key, expected),
            Operation::Delete { key } => drop(self.0.remove(key)),
            Operation::Append { key, suffix } => {
                let mut value = self.0.get(key).map(|stored| stored.value.to_vec()).unwrap_or_default();
                value.extend_from_slice(suffix);
                self.set(key, value, index);
            }
            Operation::PutAtIndex { prefix, value } => {
                let key = [&prefix[..], &index.to_be_bytes()].concat();
                self.set(&Bytes::from(key), value.to_vec(), index);
            }
        }
        true
    }

    fn set(&mut self, key: &Bytes, value: Vec<u8>, index: u64) {
        self.0.insert(key.clone(), Versioned { version: index, value: value.into() });
    }

    fn is(&self, key: &Bytes, expected: &Expected) -> bool {
        let stored = self.0.get(key);
        match expected {
            Expected::Absent => stored.is_none(),
            Expected::Present => stored.is_some(),
            Expected::Version(version) => stored.is_some_and(|stored| stored.version == *version),
            Expected::Value(value) => stored.is_some_and(|stored| stored.value == value),
            Expected::AtMostBytes(limit) => stored.is_none_or(|stored| stored.value.len() as u64 <= *limit),
        }
    }
}

fn lease(epoch: u64) -> Bytes {
    encode_lease(&wire::LeaderLease { epoch, ..wire::LeaderLease::default() })
}

fn keys() -> impl Strategy<Value = Bytes> {
    (0_u8..4).prop_map(|number| Bytes::from(vec![b'k', number]))
}

fn values() -> impl Strategy<Value = Bytes> {
    (0_u8..3).prop_map(|number| Bytes::from(vec![number]))
}

fn conditions() -> impl Strategy<Value = Expected> {
    prop_oneof![
        Just(Expected::Absent),
        Just(Expected::Present),
        (2_u64..20).prop_map(Expected::Version),
        values().prop_map(Expected::Value),
        (0_u64..3).prop_map(Expected::AtMostBytes),
    ]
}

fn operations() -> impl Strategy<Value = Operation> {
    prop_oneof![
        (keys(), values()).prop_map(|(key, value)| Operation::Put { key, value }),
        (keys(), values(), conditions()).prop_map(|(key, value, expected)| Operation::PutIf { key, value, expected }),
        (keys(), conditions()).prop_map(|(key, expected)| Operation::If { key, expected }),
        keys().prop_map(|key| Operation::Delete { key }),
        (keys(), values()).prop_map(|(key, suffix)| Operation::Append { key, suffix }),
        (keys(), values()).prop_map(|(prefix, value)| Operation::PutAtIndex { prefix, value }),
    ]
}

proptest! {
    #[test]
    fn commands_do_what_a_naive_model_does(
        commands in proptest::collection::vec(proptest::collection::vec(operations(), 0..6), 0..18),
        wrong_epochs in proptest::collection::vec(any::<bool>(), 18),
    ) {
        let mut state = Model::with_lease(7);
        let mut model = state.clone();
        for (number, (command, wrong_epoch)) in commands.iter().zip(wrong_epochs).enumerate() {
            let index = number as u64 + 2;
            let epoch = Epoch(if wrong_epoch { 6 } else { 7 });
            let applied = apply(&state, epoch, command, index).unwrap();
            if wrong_epoch {
                assert_eq!(applied, Applied::Deposed);
            } else {
                let failed = model.run(command, index);
                match (&applied, failed) {
                    (Applied::Writes(_), None) => {}
                    (Applied::ConditionFailed { operation }, Some(position)) => assert_eq!(*operation, position),
                    other => panic!("{other:?}"),
                }
            }
            state.write(applied);
            assert_eq!(state.0, model.0);
        }
    }
}

fn key(name: &'static str) -> Bytes {
    Bytes::from_static(name.as_bytes())
}

#[test]
fn without_a_lease_nobody_may_write() {
    let put = [Operation::Put { key: key("a"), value: Bytes::new() }];
    assert_eq!(apply(&Model::default(), Epoch(0), &put, 1).unwrap(), Applied::Deposed);
}

#[test]
fn taking_the_lease_is_checked_by_its_own_condition() {
    let take = |expected| [Operation::PutIf { key: key("lease"), value: lease(9), expected }];
    let state = Model::with_lease(8);
    assert!(matches!(apply(&state, Epoch(0), &take(Expected::Version(1)), 5).unwrap(), Applied::Writes(_)));
    assert_eq!(apply(&state, Epoch(0), &take(Expected::Absent), 5).unwrap(), Applied::ConditionFailed { operation: 0 });
}

#[test]
fn the_lease_cannot_be_written_behind_other_operations() {
    let state = Model::with_lease(8);
    for sneaky in [
        Operation::Put { key: key("lease"), value: lease(9) },
        Operation::Delete { key: key("lease") },
        Operation::Append { key: key("lease"), suffix: lease(9) },
        Operation::PutIf { key: key("lease"), value: lease(9), expected: Expected::Present },
    ] {
        let command = [Operation::Put { key: key("a"), value: Bytes::new() }, sneaky];
        assert_eq!(apply(&state, Epoch(8), &command, 5).unwrap(), Applied::Deposed);
    }
}

#[test]
fn a_damaged_lease_is_an_error_and_not_a_refusal() {
    let mut state = Model::default();
    state.0.insert(key("lease"), Versioned { version: 1, value: Bytes::from_static(&[99]) });
    let put = [Operation::Put { key: key("a"), value: Bytes::new() }];
    assert!(matches!(apply(&state, Epoch(8), &put, 5), Err(ReadError::Damaged { .. })));
}
