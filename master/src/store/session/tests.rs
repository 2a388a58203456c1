use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::{Just, Strategy, prop_oneof, proptest};

use super::super::{Command, CommitError, Epoch, Expected, MemoryStore, Operation, Store, View};
use super::{StoreSession, UNCOMMITTED};

const EPOCH: Epoch = Epoch(1);

fn key(name: u8) -> Bytes {
    Bytes::from(vec![b'k', name])
}

async fn store_with(values: &[(u8, &'static str)]) -> MemoryStore {
    let store = MemoryStore::elected();
    for (name, value) in values {
        let mut command = Command::new();
        command.put(key(*name), *value);
        store.commit(EPOCH, command).await.unwrap();
    }
    store
}

fn session(store: &MemoryStore) -> StoreSession {
    StoreSession::new(store.view().unwrap())
}

fn value(view: &dyn View, name: u8) -> Option<Bytes> {
    view.get(&key(name)).unwrap().map(|found| found.value)
}

async fn write_elsewhere(store: &MemoryStore, name: u8) {
    let mut command = Command::new();
    command.put(key(name), "from elsewhere");
    store.commit(EPOCH, command).await.unwrap();
}

#[tokio::test]
async fn only_the_session_itself_sees_what_it_has_not_committed() {
    let store = store_with(&[(1, "old"), (2, "old")]).await;
    let mut session = session(&store);
    session.put(key(1), "new");
    session.delete(key(2));
    session.append(key(3), "tail");
    assert_eq!(session.get(&key(1)).unwrap().unwrap().version, UNCOMMITTED);
    assert_eq!((value(&session, 1), value(&session, 2)), (Some(Bytes::from("new")), None));
    assert_eq!(value(&session, 3), Some(Bytes::from("tail")));
    for outside in [session.view(), &*store.view().unwrap()] {
        assert_eq!(value(outside, 1), Some(Bytes::from("old")));
        assert_eq!(value(outside, 2), Some(Bytes::from("old")));
        assert_eq!(value(outside, 3), None);
    }
    store.commit(EPOCH, session.into_command()).await.unwrap();
    let view = store.view().unwrap();
    assert_eq!((value(&*view, 1), value(&*view, 2)), (Some(Bytes::from("new")), None));
    assert_eq!(value(&*view, 3), Some(Bytes::from("tail")));
}

#[tokio::test]
async fn a_key_that_was_read_and_changed_since_refuses_the_commit() {
    for read in [1, 2] {
        let store = store_with(&[(1, "there")]).await;
        let mut session = session(&store);
        value(&session, read);
        session.put(key(9), "decided from it");
        write_elsewhere(&store, read).await;
        let refused = store.commit(EPOCH, session.into_command()).await;
        assert!(matches!(refused, Err(CommitError::ConditionFailed { .. })), "{refused:?}");
        assert_eq!(value(&*store.view().unwrap(), 9), None);
    }
}

#[tokio::test]
async fn what_is_written_without_being_read_does_not_conflict() {
    let store = store_with(&[(1, "a")]).await;
    let mut session = session(&store);
    session.append(key(1), "c");
    let mut other = Command::new();
    other.append(key(1), "b");
    store.commit(EPOCH, other).await.unwrap();
    store.commit(EPOCH, session.into_command()).await.unwrap();
    assert_eq!(value(&*store.view().unwrap(), 1), Some(Bytes::from("abc")));
}

#[tokio::test]
async fn what_is_read_from_the_view_is_no_condition() {
    let store = store_with(&[(1, "a")]).await;
    let mut session = session(&store);
    value(session.view(), 1);
    session.put(key(2), "b");
    write_elsewhere(&store, 1).await;
    store.commit(EPOCH, session.into_command()).await.unwrap();
}

#[tokio::test]
async fn discarded_writes_leave_the_conditions_of_what_was_read() {
    let store = store_with(&[(1, "a")]).await;
    let mut session = session(&store);
    value(&session, 1);
    session.put(key(2), "b");
    session.put_at_index(key(3), "c");
    session.require(key(4), Expected::Present);
    session.discard();
    assert!(!session.has_writes());
    let command = session.into_command();
    assert_eq!(command.operations(), [Operation::If { key: key(1), expected: Expected::Version(2) }]);
}

/// A step of a session.
#[derive(Debug, Clone)]
enum Step {
    Get(u8),
    Put(u8, &'static str),
    Delete(u8),
    Append(u8, &'static str),
    Scan(u8, u8, usize),
}

fn step() -> impl Strategy<Value = Step> {
    let (name, text) = (0_u8..6, prop_oneof![Just("x"), Just("yy"), Just("")]);
    prop_oneof![
        name.clone().prop_map(Step::Get),
        (name.clone(), text.clone()).prop_map(|(name, text)| Step::Put(name, text)),
        name.clone().prop_map(Step::Delete),
        (name.clone(), text).prop_map(|(name, text)| Step::Append(name, text)),
        (name.clone(), name, 0_usize..8).prop_map(|(start, end, limit)| Step::Scan(start, end, limit)),
    ]
}

/// The same steps on a map.
fn run(steps: &[Step], session: &mut StoreSession, model: &mut BTreeMap<Bytes, Bytes>) {
    for step in steps {
        match step {
            Step::Get(name) => assert_eq!(value(session, *name), model.get(&key(*name)).cloned()),
            Step::Put(name, text) => {
                session.put(key(*name), *text);
                model.insert(key(*name), Bytes::from(*text));
            }
            Step::Delete(name) => {
                session.delete(key(*name));
                model.remove(&key(*name));
            }
            Step::Append(name, text) => {
                session.append(key(*name), *text);
                let value = model.entry(key(*name)).or_default();
                *value = Bytes::from([value, text.as_bytes()].concat());
            }
            Step::Scan(start, end, limit) => {
                let found = session.scan(&key(*start), &key(*end), *limit).unwrap();
                let found: Vec<_> = found.into_iter().map(|(key, at)| (key, at.value)).collect();
                let within = model.iter().filter(|(at, _)| **at >= key(*start) && **at < key(*end));
                let expected: Vec<_> = within.take(*limit).map(|(key, value)| (key.clone(), value.clone())).collect();
                assert_eq!(found, expected);
            }
        }
    }
}

proptest! {
    #[test]
    fn a_session_reads_like_a_map_and_its_commit_leaves_that_map(steps in proptest::collection::vec(step(), 0..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let store = store_with(&[(1, "one"), (3, "three"), (4, "four")]).await;
            let mut model = store.view().unwrap().scan(&key(0), &key(9), 9).unwrap().into_iter()
                .map(|(key, at)| (key, at.value)).collect();
            let mut session = session(&store);
            run(&steps, &mut session, &mut model);
            store.commit(EPOCH, session.into_command()).await.unwrap();
            let left = store.view().unwrap().scan(&key(0), &key(9), 9).unwrap();
            assert_eq!(left.into_iter().map(|(key, at)| (key, at.value)).collect::<BTreeMap<_, _>>(), model);
        });
    }
}
