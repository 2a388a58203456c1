use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;
use tokio::task::{JoinSet, yield_now};
use tonic::async_trait;

use super::Ledger;
use crate::failure::Failure;
use crate::fakes;
use crate::records::NumberRecord;
use crate::state::{State, encode};
use crate::store::{
    ChangeHistory, Command, CommitError, Committed, Epoch, MemoryStore, ReadError, Standing, Store, StoreSession, View,
};

/// A store in memory that lets others run before a command applies, and counts the commands.
struct BusyStore {
    inner: MemoryStore,
    commands: AtomicU64,
    applied: AtomicU64,
    most_under_way: AtomicU64,
}

#[async_trait]
impl Store for BusyStore {
    async fn commit(&self, epoch: Epoch, command: Command) -> Result<Committed, CommitError> {
        let under_way = self.commands.fetch_add(1, Ordering::Relaxed) + 1 - self.applied.load(Ordering::Relaxed);
        self.most_under_way.fetch_max(under_way, Ordering::Relaxed);
        yield_now().await;
        self.applied.fetch_add(1, Ordering::Relaxed);
        self.inner.commit(epoch, command).await
    }

    fn view(&self) -> Result<Box<dyn View>, ReadError> {
        self.inner.view()
    }

    async fn read_index(&self) -> Option<u64> {
        self.inner.read_index().await
    }

    async fn wait_applied(&self, index: u64) {
        self.inner.wait_applied(index).await;
    }

    fn standing(&self) -> watch::Receiver<Standing> {
        self.inner.standing()
    }

    fn changes(&self) -> Arc<ChangeHistory> {
        self.inner.changes()
    }
}

fn busy() -> (Arc<BusyStore>, Ledger) {
    let store = Arc::new(BusyStore {
        inner: MemoryStore::elected(),
        commands: AtomicU64::new(0),
        applied: AtomicU64::new(0),
        most_under_way: AtomicU64::new(0),
    });
    (Arc::clone(&store), Ledger::new(store, Epoch(1)))
}

fn number(view: &dyn View, key: &[u8]) -> u64 {
    State(view).number(key).unwrap().map_or(0, |found| found.record)
}

fn count_up(session: &mut StoreSession, key: &'static [u8]) -> u64 {
    let value = number(session, key) + 1;
    session.put(key, encode(&NumberRecord { value }));
    value
}

#[tokio::test]
async fn sessions_that_change_one_record_take_turns_and_waste_no_command() {
    let (store, ledger) = busy();
    let mut running = JoinSet::new();
    for _ in 0..100 {
        let ledger = ledger.clone();
        running.spawn(async move { ledger.transact(|session| Ok(count_up(session, b"count"))).await.unwrap() });
    }
    let mut results: Vec<u64> = running.join_all().await.into_iter().map(|done| done.result).collect();
    results.sort_unstable();
    assert_eq!(results, (1..=100).collect::<Vec<_>>());
    assert_eq!(store.commands.load(Ordering::Relaxed), 100);
    assert_eq!(store.most_under_way.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn sessions_that_rest_on_a_record_do_not_wait_for_each_other() {
    let (store, ledger) = busy();
    let rest_on = |key: &'static [u8]| {
        ledger.transact(move |session| {
            number(session, b"shared");
            Ok(count_up(session, key))
        })
    };
    let (first, second) = tokio::join!(rest_on(b"first"), rest_on(b"second"));
    assert_eq!((first.unwrap().result, second.unwrap().result), (1, 1));
    assert_eq!(store.most_under_way.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_session_that_comes_to_other_keys_when_planned_anew_waits_for_those() {
    let (_store, ledger) = busy();
    let (one, two) = (&b"one"[..], &b"two"[..]);
    let follow = |session: &mut StoreSession| {
        let key = if number(session, b"count") == 0 { one } else { two };
        Ok(count_up(session, key))
    };
    let (counted, other, followed) = tokio::join!(
        ledger.transact(|session| Ok(count_up(session, b"count"))),
        ledger.transact(|session| Ok(count_up(session, two))),
        ledger.transact(follow)
    );
    assert_eq!((counted.unwrap().result, other.unwrap().result, followed.unwrap().result), (1, 1, 2));
}

#[tokio::test]
async fn a_change_from_outside_the_queue_only_costs_another_try() {
    let (store, ledger) = busy();
    let mut first = true;
    let plan = |session: &mut StoreSession| {
        let value = count_up(session, b"count");
        if std::mem::take(&mut first) {
            let mut command = Command::new();
            command.put(&b"count"[..], encode(&NumberRecord { value: 41 }));
            futures_util::FutureExt::now_or_never(store.inner.commit(Epoch(1), command)).unwrap().unwrap();
        }
        Ok(value)
    };
    assert_eq!(ledger.transact(plan).await.unwrap().result, 42);
}

#[tokio::test]
async fn a_plan_that_writes_nothing_is_not_committed() {
    let (store, ledger) = busy();
    let done = ledger.transact(|session| Ok(number(session, b"count"))).await.unwrap();
    assert_eq!((done.result, done.index), (0, store.view().unwrap().applied_index()));
    assert_eq!(store.commands.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_command_without_an_answer_is_refused_and_leaves_the_line() {
    let ledger = fakes::ledger();
    let mut command = Command::new();
    command.put(&b"count"[..], "1");
    let held = ledger.queue.enter(crate::store::Claims::of(&command));
    let refused = ledger.transact(|session| Ok(count_up(session, b"count"))).await;
    assert!(matches!(refused, Err(Failure::Commit(CommitError::Unavailable { .. }))), "{refused:?}");
    drop(held);
    assert_eq!(ledger.transact(|session| Ok(count_up(session, b"count"))).await.unwrap().result, 1);
    assert_eq!(ledger.queue.keys(), 0);
}
