//! Goal: memory is bounded by configuration, not by the size or number of files.

use std::fs::File;
use std::io::Write;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use cairn_tests::scale::Scale;
use cairn_tests::{ClusterOptions, DevCluster, Machine, fuse, resident, tools, workload};

const MOUNT_LIMIT_BYTES: u64 = 512 << 20;
const NODE_LIMIT_BYTES: u64 = 256 << 20;
const OPEN_FILES: u64 = 1000;
const BYTES_EACH: usize = 300 << 10;

#[track_caller]
fn assert_bounded(cluster: &DevCluster) {
    let mut report = Vec::new();
    let mut within = true;
    for (name, limit) in cluster
        .node_names()
        .into_iter()
        .map(|name| (name, NODE_LIMIT_BYTES))
        .chain([("mount".to_owned(), MOUNT_LIMIT_BYTES)])
    {
        let peak = resident::peak_bytes(cluster.process(&name));
        within &= peak < limit;
        report.push(format!("{name}: {} MiB", peak >> 20));
    }
    fuse::notice(&format!("peak resident memory: {}", report.join(", ")));
    assert!(within, "the mount may have 512 MiB and a node 256 MiB: {report:?}");
}

#[test]
fn four_large_files_written_at_once_stay_within_the_memory_limits() {
    if !fuse::is_usable() {
        return;
    }
    let _machine = Machine::alone();
    let cluster = DevCluster::start(ClusterOptions::default().mounted());
    let size = Scale::from_environment().parallel_file_bytes;
    let file = workload::random_file(&cluster.folder("source"), "file", size, 1);
    std::thread::scope(|scope| {
        for copy in 0..4 {
            let target = cluster.mount_path().join(format!("copy-{copy}"));
            let source = &file.path;
            scope.spawn(move || tools::copy(source, &target).expect_success());
        }
    });
    assert_bounded(&cluster);
    for copy in [0, 3] {
        let copied = workload::SourceFile { name: format!("copy-{copy}"), ..file.clone() };
        tools::assert_read_back(&cluster.mount_path(), [&copied]);
    }
    assert_bounded(&cluster);
}

#[test]
fn a_thousand_files_open_at_once_stay_within_the_memory_limits() {
    if !fuse::is_usable() {
        return;
    }
    let _machine = Machine::alone();
    raise_open_files();
    let cluster = DevCluster::start(ClusterOptions::default().mounted());
    let source = cluster.folder("source");
    let originals: Vec<_> =
        (0..OPEN_FILES).map(|n| workload::random_file(&source, &format!("file-{n}"), BYTES_EACH as u64, n)).collect();
    let create = |file: &workload::SourceFile| File::create(cluster.mount_path().join(&file.name)).unwrap();
    let mut open: Vec<File> = originals.iter().map(create).collect();
    for (file, seed) in open.iter_mut().zip(0..) {
        file.write_all(&workload::random_bytes(seed, BYTES_EACH)).unwrap();
    }
    assert_bounded(&cluster);
    for file in &open {
        file.sync_all().unwrap();
    }
    drop(open);
    assert_bounded(&cluster);
    tools::assert_read_back(cluster.mount("second").path(), &originals);
}

fn raise_open_files() {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, most, most).unwrap();
}
