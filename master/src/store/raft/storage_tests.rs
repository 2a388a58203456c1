//! The storage suite of openraft on the real stores.

use std::sync::Arc;

use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};
use openraft::type_config::TypeConfigExt;
use tempfile::TempDir;

use super::super::LogWriting;
use super::super::state_store::StateStore;
use super::{LogStore, StateMachine, Types};

struct Builder {
    writing: LogWriting,
    in_place: bool,
}

impl StoreBuilder<Types, LogStore, StateMachine, TempDir> for Builder {
    async fn build(&self) -> Result<(TempDir, LogStore, StateMachine), StorageError<Types>> {
        let dir = tempfile::tempdir().unwrap();
        for name in ["log", "state", "snapshots"] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
        }
        let log = LogStore::open(&dir.path().join("log"), true, self.writing).unwrap();
        log.no_followers().set(self.in_place);
        let state = Arc::new(StateStore::open(&dir.path().join("state"), true).unwrap());
        let machine = StateMachine::new(state, dir.path().join("snapshots")).unwrap();
        Ok((dir, log, machine))
    }
}

fn test_all(writing: LogWriting, in_place: bool) {
    Types::run(async { Suite::test_all(Builder { writing, in_place }).await }).unwrap();
}

#[test]
fn the_stores_pass_the_storage_suite_of_openraft() {
    test_all(LogWriting::Thread, false);
}

#[test]
fn so_they_do_when_entries_are_written_in_place() {
    test_all(LogWriting::Thread, true);
}

#[test]
fn so_they_do_when_appends_are_written_inline() {
    test_all(LogWriting::Inline, false);
}
