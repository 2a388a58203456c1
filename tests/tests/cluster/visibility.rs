//! Goal: a reader sees no key and then the whole file, and after an overwrite the old or the new one whole.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cairn_tests::scale::Scale;
use cairn_tests::workload::{self, Sum};
use cairn_tests::{ClusterOptions, DevCluster, Machine, fuse, tools, wait};

/// From the end of the copy until another mount shows it.
const VISIBLE_DEADLINE: Duration = Duration::from_secs(10);

/// What a reader saw, one entry a change: `None` for ENOENT, else the sum of all it read.
#[derive(Debug, Default)]
struct Seen(Vec<Option<Sum>>);

impl Seen {
    fn look(&mut self, path: &Path) {
        let now = match workload::sum_of_file(path) {
            Ok(sum) => Some(sum),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => panic!("a reader got {error}"),
        };
        if self.0.last() != Some(&now) {
            self.0.push(now);
        }
    }
}

fn watch_while<T>(path: &Path, last: Sum, work: impl FnOnce() -> T + Send) -> Seen
where
    T: Send,
{
    let done = AtomicBool::new(false);
    let mut seen = Seen::default();
    std::thread::scope(|scope| {
        let copy = scope.spawn(|| {
            work();
            done.store(true, Ordering::Release);
        });
        while !done.load(Ordering::Acquire) && !copy.is_finished() {
            seen.look(path);
        }
        copy.join().expect("the copy succeeds");
    });
    wait::until_true("the new file is seen", VISIBLE_DEADLINE, || {
        seen.look(path);
        seen.0.last() == Some(&Some(last))
    });
    seen
}

#[test]
fn a_reader_polling_during_a_copy_sees_no_key_and_then_the_whole_file() {
    if !fuse::is_usable() {
        return;
    }
    let _machine = Machine::shared();
    let cluster = DevCluster::start(ClusterOptions::default().mounted());
    let size = Scale::from_environment().big_file_bytes;
    let file = workload::random_file(&cluster.folder("source"), "big", size, 1);
    let reader = cluster.mount("reader");
    let seen = watch_while(&reader.path().join("big"), file.sum, || {
        tools::copy(&file.path, &cluster.mount_path()).expect_success();
    });
    assert_eq!(seen.0, [None, Some(file.sum)], "first no key, then the whole file, and nothing else");
}

#[test]
fn a_reader_polling_during_an_overwrite_sees_the_old_file_and_then_the_new_one() {
    if !fuse::is_usable() {
        return;
    }
    let _machine = Machine::shared();
    let cluster = DevCluster::start(ClusterOptions::small().mounted());
    let source = cluster.folder("source");
    let old = workload::random_file(&source, "old", 5_000_000, 1);
    let new = workload::random_file(&source, "new", 60_000_000, 2);
    let target = cluster.mount_path().join("file");
    tools::copy(&old.path, &target).expect_success();
    let reader = cluster.mount("reader");
    let seen = watch_while(&reader.path().join("file"), new.sum, || {
        tools::copy(&new.path, &target).expect_success();
    });
    assert_eq!(seen.0, [Some(old.sum), Some(new.sum)]);
}

#[test]
fn a_reader_keeps_the_bytes_it_opened_while_the_key_is_overwritten_and_removed() {
    if !fuse::is_usable() {
        return;
    }
    let _machine = Machine::shared();
    let cluster = DevCluster::start(ClusterOptions::small().mounted());
    let source = cluster.folder("source");
    let old = workload::random_file(&source, "old", 30_000_000, 1);
    let new = workload::random_file(&source, "new", 1_000_000, 2);
    let target = cluster.mount_path().join("file");
    tools::copy(&old.path, &target).expect_success();
    let reader = cluster.mount("reader");
    let mut open = fs::File::open(reader.path().join("file")).unwrap();
    tools::copy(&new.path, &target).expect_success();
    fs::remove_file(&target).unwrap();
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut open, &mut bytes).unwrap();
    assert_eq!(workload::sum_of_bytes(&bytes), old.sum);
}
