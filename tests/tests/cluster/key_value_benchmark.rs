//! Goal: the benchmark of the key-value service measures what it says, on a real cluster.

use std::time::Duration;

use cairn_tests::Machine;
use cairn_tests::bench::{KvOptions, compare_kv};

#[test]
fn every_work_has_figures_and_each_change_is_there_once() {
    let _machine = Machine::shared();
    let options = KvOptions {
        etcd: false,
        members: vec![1],
        clients: vec![4],
        measured: Duration::from_secs(1),
        rounds: 1,
        value_bytes: 100,
    };
    let mut seen = 0;
    let report = compare_kv(&options, &mut |measurement| {
        seen += 1;
        assert!(measurement.per_second > 0.0 && measurement.p50_ms <= measurement.p99_ms, "{measurement:?}");
        assert!(measurement.server_processors > 0.0, "{measurement:?}");
    });
    let report = report.unwrap();
    assert_eq!(seen, 3);
    report.check_once().unwrap();
    let rows = report.markdown().lines().filter(|line| line.starts_with("| 1 |")).count();
    assert_eq!(rows, 3);
}
