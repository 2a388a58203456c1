//! Entries that share a write do what they do one by one.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use cairn_proto::ids::{BootId, CommandId, MasterId};
use cairn_proto::wire;
use openraft::EntryPayload;
use proptest::prelude::{Just, Strategy, any, prop_assert_eq, prop_oneof, proptest};

use super::super::super::apply::{Applied, Overlay, Write, apply, encode_lease};
use super::super::super::state_store::StateStore;
use super::super::super::{CommandNumber, Epoch, Expected, LEASE_KEY, Operation, Outcome, Proposal, Versioned};
use super::super::Entry;
use super::super::convert::{log_id_from_wire, snapshot_meta_to_wire};
use super::super::entry_convert::logged;
use super::{Batch, Progress};

const EPOCH: Epoch = Epoch(3);

fn key(name: u8) -> Bytes {
    Bytes::from(vec![b'k', name])
}

fn proposal(sequence: u64, operations: Vec<Operation>) -> Proposal {
    Proposal {
        leader: MasterId::generate(),
        epoch: EPOCH,
        id: CommandId::generate(),
        number: Some(CommandNumber::new(sequence, 1).unwrap()),
        operations,
    }
}

fn append(sequence: u64, suffix: &'static str) -> Proposal {
    proposal(sequence, vec![Operation::Append { key: key(0), suffix: Bytes::from(suffix) }])
}

fn entry(index: u64, proposal: Proposal) -> Entry {
    let log_id = log_id_from_wire(&wire::LogId { term: 1, master: 1, index });
    Entry { log_id, payload: EntryPayload::Normal(logged(proposal)) }
}

fn lease(epoch: Epoch) -> Bytes {
    let (leader, boot) = (MasterId::generate().to_wire(), BootId::generate().to_wire());
    encode_lease(&wire::LeaderLease { leader, boot, epoch: epoch.0, ..wire::LeaderLease::default() })
}

/// A state in which the lease of [`EPOCH`] was written at index 1.
struct Applying {
    store: Arc<StateStore>,
    progress: Progress,
}

impl Applying {
    fn new(dir: &Path) -> Self {
        let store = Arc::new(StateStore::open(dir, true).unwrap());
        let progress = Progress::read(&store).unwrap();
        let operations = vec![Operation::PutIf {
            key: Bytes::from_static(LEASE_KEY),
            value: lease(EPOCH),
            expected: Expected::Absent,
        }];
        let mut applying = Self { store, progress };
        let taken = applying.apply(1, vec![Proposal { number: None, ..proposal(1, operations) }]);
        assert_eq!(taken, [Outcome::Applied { index: 1 }]);
        applying
    }

    /// Entries from `index` on, by one write.
    fn apply(&mut self, index: u64, proposals: Vec<Proposal>) -> Vec<Outcome> {
        let database = self.store.current();
        let mut batch = Batch { overlay: Overlay::new(&*database), changes: Vec::new() };
        let entries = (index..).zip(proposals).map(|(index, proposal)| entry(index, proposal));
        let outcomes = entries.map(|entry| self.progress.apply(&mut batch, &entry).unwrap()).collect();
        let Batch { overlay, changes } = batch;
        let position = snapshot_meta_to_wire(&self.progress.position, String::new());
        self.store.write(&overlay.into_writes(), changes, &position, 1, &self.progress.recent).unwrap();
        outcomes
    }

    fn value(&self, name: u8) -> Option<Bytes> {
        self.store.view().unwrap().get(&key(name)).unwrap().map(|found| found.value)
    }
}

#[test]
fn a_refused_command_leaves_the_others_of_its_write_alone() {
    let dir = tempfile::tempdir().unwrap();
    let mut applying = Applying::new(dir.path());
    let put = Operation::Put { key: key(1), value: key(1) };
    let refused = proposal(2, vec![put.clone(), Operation::If { key: key(2), expected: Expected::Present }]);
    let deposed = Proposal { epoch: Epoch(EPOCH.0 - 1), ..proposal(3, vec![put]) };
    let outcomes = applying.apply(2, vec![append(1, "a"), refused, deposed, append(4, "b")]);
    let due = [
        Outcome::Applied { index: 2 },
        Outcome::ConditionFailed { operation: 1 },
        Outcome::Deposed,
        Outcome::Applied { index: 5 },
    ];
    assert_eq!(outcomes, due);
    assert_eq!((applying.value(0).unwrap(), applying.value(1)), (Bytes::from("ab"), None));
}

#[test]
fn a_command_that_comes_again_in_the_same_write_or_a_later_one_applies_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut applying = Applying::new(dir.path());
    let first = applying.apply(2, vec![append(1, "a"), append(1, "a"), append(2, "b")]);
    let again = applying.apply(5, vec![append(3, "c"), append(2, "b")]);
    let applied = |index| Outcome::Applied { index };
    assert_eq!(first, [applied(2), applied(2), applied(4)]);
    assert_eq!(again, [applied(5), applied(4)]);
    assert_eq!(applying.value(0).unwrap(), "abc");
}

#[test]
fn a_lease_that_changes_hands_in_a_write_refuses_the_commands_behind_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut applying = Applying::new(dir.path());
    let operations = vec![Operation::PutIf {
        key: Bytes::from_static(LEASE_KEY),
        value: lease(Epoch(EPOCH.0 + 1)),
        expected: Expected::Version(1),
    }];
    let taken = Proposal { number: None, epoch: Epoch(0), ..proposal(9, operations) };
    let outcomes = applying.apply(2, vec![append(1, "a"), taken, append(2, "b")]);
    assert_eq!(outcomes, [Outcome::Applied { index: 2 }, Outcome::Applied { index: 3 }, Outcome::Deposed]);
    assert_eq!(applying.value(0).unwrap(), "a");
}

/// What commands do one by one, each on a map of its own.
#[derive(Default)]
struct Model {
    state: BTreeMap<Bytes, Versioned>,
    outcomes: HashMap<u64, Outcome>,
}

impl Model {
    fn write(&mut self, writes: Vec<Write>) {
        for (key, written) in writes {
            match written {
                Some(versioned) => self.state.insert(key, versioned),
                None => self.state.remove(&key),
            };
        }
    }

    fn run(&mut self, sequence: u64, operations: &[Operation], index: u64) -> Outcome {
        if let Some(outcome) = self.outcomes.get(&sequence) {
            return *outcome;
        }
        let outcome = match apply(&self.state, EPOCH, operations, index).unwrap() {
            Applied::Writes(writes) => {
                self.write(writes);
                Outcome::Applied { index }
            }
            Applied::ConditionFailed { operation } => {
                Outcome::ConditionFailed { operation: u32::try_from(operation).unwrap() }
            }
            Applied::Deposed => Outcome::Deposed,
        };
        self.outcomes.insert(sequence, outcome);
        outcome
    }
}

fn expected() -> impl Strategy<Value = Expected> {
    prop_oneof![
        Just(Expected::Absent),
        Just(Expected::Present),
        (1_u64..30).prop_map(Expected::Version),
        (0_u64..6).prop_map(Expected::AtMostBytes),
    ]
}

fn operation() -> impl Strategy<Value = Operation> {
    let name = 0_u8..4;
    prop_oneof![
        (name.clone(), any::<u8>())
            .prop_map(|(name, byte)| Operation::Put { key: key(name), value: vec![byte].into() }),
        (name.clone(), expected()).prop_map(|(name, expected)| Operation::PutIf {
            key: key(name),
            value: key(name),
            expected
        }),
        (name.clone(), expected()).prop_map(|(name, expected)| Operation::If { key: key(name), expected }),
        name.clone().prop_map(|name| Operation::Delete { key: key(name) }),
        name.prop_map(|name| Operation::Append { key: key(name), suffix: Bytes::from_static(b"+") }),
    ]
}

/// Writes of several commands, each with its number: some come again.
fn writes() -> impl Strategy<Value = Vec<Vec<(u64, Vec<Operation>)>>> {
    let command = (1_u64..40, proptest::collection::vec(operation(), 1..4));
    proptest::collection::vec(proptest::collection::vec(command, 1..8), 1..12)
}

proptest! {
    #[test]
    fn commands_that_share_writes_do_what_they_do_one_by_one(writes in writes()) {
        let dir = tempfile::tempdir().unwrap();
        let mut applying = Applying::new(dir.path());
        let mut model = Model::default();
        let lease = applying.store.view().unwrap().get(LEASE_KEY).unwrap().unwrap();
        model.state.insert(Bytes::from_static(LEASE_KEY), lease);
        let mut index = 2;
        for commands in writes {
            let numbered = (index..).zip(&commands);
            let due: Vec<_> = numbered.map(|(index, (number, steps))| model.run(*number, steps, index)).collect();
            let proposals: Vec<_> =
                commands.into_iter().map(|(number, operations)| proposal(number, operations)).collect();
            let count = proposals.len() as u64;
            let before = applying.store.view().unwrap();
            let shown = before.scan(b"", b"z", 100).unwrap();
            prop_assert_eq!(applying.apply(index, proposals), due);
            index += count;
            let view = applying.store.view().unwrap();
            let state: BTreeMap<_, _> = view.scan(b"", b"z", 100).unwrap().into_iter().collect();
            prop_assert_eq!(&state, &model.state);
            for name in 0..4 {
                let found = view.get(&key(name)).unwrap();
                prop_assert_eq!(found.as_ref(), model.state.get(&key(name)));
                let found = before.get(&key(name)).unwrap();
                let due = shown.iter().find(|(shown, _)| *shown == key(name)).map(|(_, found)| found);
                prop_assert_eq!(found.as_ref(), due);
            }
        }
    }
}
