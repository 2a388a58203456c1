//! Goal: small values that all masters agree on, through the command line, whichever master dies.

use std::io::Write;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use cairn_tests::{ClusterOptions, DevCluster, Machine};
use serde::Deserialize;

const NOT_FOUND: i32 = 3;
const APPENDS: usize = 60;
const APPENDS_BEFORE_THE_KILL: usize = 20;
const WRITERS: usize = 3;

#[derive(Deserialize)]
struct Shown {
    key: String,
    size: usize,
    value: Option<String>,
    value_hex: String,
}

#[test]
fn values_are_put_appended_to_and_read_as_they_are() {
    let _machine = Machine::shared();
    let cluster = DevCluster::start(ClusterOptions::small());
    let _ = cluster.run(&["kv", "get", "a"]).expect_code(NOT_FOUND);
    cluster.run(&["kv", "put", "a", "-x"]).expect_success();
    cluster.run(&["kv", "append", "a", "y"]).expect_success();
    assert_eq!(cluster.run(&["kv", "get", "a"]).expect_success().text(), "-xy");
    let mut put = cluster.cairn(&["kv", "put", "b", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    put.stdin.take().unwrap().write_all(&[0xff, 0, b'\n']).unwrap();
    assert!(put.wait().unwrap().success());
    let shown = cluster.run(&["kv", "get", "--json", "b"]).expect_success().json::<Shown>();
    assert_eq!((shown.key.as_str(), shown.size, shown.value, shown.value_hex.as_str()), ("b", 3, None, "ff000a"));
    let long = "x".repeat(100_000);
    for _ in 0..10 {
        cluster.run(&["kv", "append", "c", &long]).expect_success();
    }
    let refused = cluster.run(&["kv", "append", "c", &long]).expect_failure();
    assert!(refused.to_string().contains("longer than the 1048576 bytes"), "{refused}");
}

#[test]
fn no_append_is_lost_or_doubled_and_no_read_stale_when_the_elected_master_is_killed() {
    let _machine = Machine::shared();
    let cluster = DevCluster::start(ClusterOptions::small().masters(3));
    let elected = cluster.elected();
    let answered: [AtomicUsize; WRITERS] = Default::default();
    std::thread::scope(|scope| {
        let (reached, wait_for_appends) = mpsc::channel();
        let (cluster, elected) = (&cluster, &elected);
        let answered: &[AtomicUsize; WRITERS] = &answered;
        scope.spawn(move || {
            (0..APPENDS_BEFORE_THE_KILL).for_each(|_| wait_for_appends.recv().expect("the writers get that far"));
            cluster.kill(elected);
        });
        for writer in 0..WRITERS {
            let reached = reached.clone();
            scope.spawn(move || {
                for number in 0..APPENDS {
                    cluster.run(&["kv", "append", "log", &format!("{writer}:{number};")]).expect_success();
                    answered[writer].fetch_add(1, Ordering::SeqCst);
                    let before: Vec<_> = answered.iter().map(|count| count.load(Ordering::SeqCst)).collect();
                    let log = cluster.run(&["kv", "get", "log"]).expect_success().text();
                    for (other, count) in before.into_iter().enumerate() {
                        let seen = entries_of(other, &log).len();
                        assert!(seen >= count, "stale: {seen} entries of writer {other} after {count} were answered");
                    }
                    // Nobody listens any more once the master was killed.
                    let _ = reached.send(());
                }
            });
        }
    });
    assert_ne!(cluster.elected(), elected);
    let log = cluster.run(&["kv", "get", "log"]).expect_success().text();
    for writer in 0..WRITERS {
        let appended: Vec<_> = (0..APPENDS).map(|number| number.to_string()).collect();
        assert_eq!(entries_of(writer, &log), appended, "of writer {writer}");
    }
}

/// What one writer added, in its order.
fn entries_of(writer: usize, log: &str) -> Vec<&str> {
    let mine = format!("{writer}:");
    log.split_terminator(';').filter_map(|entry| entry.strip_prefix(mine.as_str())).collect()
}
