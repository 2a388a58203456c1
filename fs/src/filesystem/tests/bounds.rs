//! Memory has a limit, and nobody waits for it for ever.

use std::sync::Arc;
use std::time::Duration;

use cairn_codec::Layout;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;

use super::kernel::{CALLER, CELL_BYTES, Kernel, ROW, WRITE, pattern};
use crate::filesystem::fake_store::{Call, FakeStore};
use crate::filesystem::{FileSystemOptions, Forgotten, NameCache};

fn small(row_memory_bytes: usize) -> Kernel {
    let layout = Layout::new(2, 1, CELL_BYTES, 1 << 20).unwrap();
    Kernel::on(FakeStore::new(layout), FileSystemOptions { row_memory_bytes, ..FileSystemOptions::default() })
}

#[tokio::test]
async fn s14_more_open_files_than_memory_all_move_on() {
    let kernel = small(4 * ROW);
    let bytes = pattern(2 * ROW + 100, 1);
    let mut handles = Vec::new();
    for number in 0..40 {
        handles.push(kernel.open(&format!("f{number:02}"), WRITE).await.unwrap());
    }
    // A bit of each in turn, so that every file has a part-filled row most of the time.
    for start in (0..bytes.len()).step_by(1000) {
        for handle in &handles {
            let piece = &bytes[start..(start + 1000).min(bytes.len())];
            let written = kernel.write(*handle, start as u64, piece);
            tokio::time::timeout(Duration::from_secs(30), written)
                .await
                .expect("writers wait for a moment only")
                .unwrap();
        }
    }
    assert!(kernel.store.calls(Call::ReadRow) > 0, "rows were sent part-filled and read back");
    for handle in handles {
        kernel.close(handle).await.unwrap();
    }
    for number in 0..40 {
        assert_eq!(kernel.elsewhere(&format!("f{number:02}")).unwrap(), bytes);
    }
    assert_eq!(kernel.store.open_segments(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s14_many_writers_at_once_share_memory_for_one_row() {
    let kernel = small(ROW);
    let bytes = pattern(3 * ROW + 77, 2);
    let writers: Vec<_> = (0..16)
        .map(|number| {
            let (kernel, bytes) = (kernel.clone(), bytes.clone());
            tokio::spawn(async move {
                let handle = kernel.open(&format!("f{number}"), WRITE).await.unwrap();
                for start in (0..bytes.len()).step_by(700) {
                    let piece = &bytes[start..(start + 700).min(bytes.len())];
                    kernel.write(handle, start as u64, piece).await.unwrap();
                }
                kernel.close(handle).await.unwrap();
            })
        })
        .collect();
    for writer in writers {
        tokio::time::timeout(Duration::from_mins(1), writer).await.expect("nobody waits for ever").unwrap();
    }
    for number in 0..16 {
        assert_eq!(kernel.elsewhere(&format!("f{number}")).unwrap(), bytes);
    }
}

#[tokio::test]
async fn s14_flush_needs_no_memory() {
    let kernel = small(ROW);
    let holder = kernel.open("holder", WRITE).await.unwrap();
    kernel.write(holder, 0, &pattern(ROW - 1, 1)).await.unwrap();
    kernel.flush(holder).await.unwrap();
    kernel.write(holder, 0, b"x").await.unwrap();
    kernel.close(holder).await.unwrap();
    assert_eq!(kernel.elsewhere("holder").unwrap()[..1], *b"x");
}

#[derive(Default)]
struct ForgottenNames(Mutex<Vec<String>>);

impl NameCache for ForgottenNames {
    fn forget_name(&self, name: &str) {
        self.0.lock().push(name.to_owned());
    }

    fn forget(&self, what: Forgotten) -> BoxFuture<'_, ()> {
        panic!("no change was told, and {what:?} is to be forgotten")
    }
}

#[tokio::test]
async fn above_the_limit_the_oldest_inodes_are_to_be_forgotten() {
    let layout = Layout::new(2, 1, CELL_BYTES, 1 << 20).unwrap();
    let options = FileSystemOptions { inode_limit: 2, ..FileSystemOptions::default() };
    let kernel = Kernel::on(FakeStore::new(layout), options);
    let forgotten = Arc::new(ForgottenNames::default());
    kernel.files.set_name_cache(forgotten.clone());
    for name in ["a", "b", "c", "d"] {
        kernel.store.put(name, b"");
        kernel.files.look_up(std::ffi::OsStr::new(name), CALLER).await.unwrap();
    }
    assert_eq!(*forgotten.0.lock(), ["a", "b"]);
}

#[tokio::test]
async fn a_closed_file_is_forgotten_under_its_name() {
    let kernel = Kernel::new();
    let forgotten = Arc::new(ForgottenNames::default());
    kernel.files.set_name_cache(forgotten.clone());
    kernel.put("f", b"x").await.unwrap();
    assert_eq!(*forgotten.0.lock(), ["f"]);
}
