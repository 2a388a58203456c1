//! Goal: the elected master is killed at any moment of repair and collection, and nothing is lost and nothing left over.

use std::fs;
use std::time::Duration;

use cairn_tests::churn::Churn;
use cairn_tests::scale::Scale;
use cairn_tests::workload::SourceFile;
use cairn_tests::{ClusterOptions, DevCluster, Machine, tools, wait, workload};
use rand::RngExt;

const FILES: u64 = 24;
const FILE_BYTES: u64 = 400_000;
/// Writers whose blobs are deleted again.
const WRITERS: u64 = 4;
const LOAD_BYTES: usize = 100_000;
/// Blobs of the load between two kills, at most: some hundreds of milliseconds to some seconds.
const BETWEEN_KILLS: u64 = 150;
/// So many kills after one node's data is deleted, the next one's is, so that there is always something to rebuild.
const KILLS_PER_LOSS: u32 = 3;
/// From the last kill until all is whole, swept and deleted.
const CLEAN_DEADLINE: Duration = Duration::from_mins(5);

fn put_files(cluster: &DevCluster) -> Vec<SourceFile> {
    let source = cluster.folder("source");
    let file = |number| workload::random_file(&source, &format!("file-{number}"), FILE_BYTES + number, number);
    let files: Vec<SourceFile> = (0..FILES).map(file).collect();
    for file in &files {
        cluster.run(&["put", file.path.to_str().unwrap()]).expect_success();
    }
    files
}

fn lose_data(cluster: &DevCluster, name: &str) {
    cluster.kill(name);
    // Its identity stays: it is the same node with nothing on it.
    fs::remove_dir_all(cluster.data(name).join("db")).unwrap();
    cluster.dev_start(name).expect_success();
}

fn redundancy_is_whole(cluster: &DevCluster) -> bool {
    let answer = cluster.run(&["status", "--json"]);
    answer.succeeded() && {
        let status = answer.json::<cairn_tests::status::ClusterStatus>();
        status.pending_repairs == 0 && status.redundancy.iter().all(|(spare, blobs)| spare == "2" || *blobs == 0)
    }
}

#[test]
fn nothing_is_lost_or_left_over_when_elected_masters_die_in_the_midst_of_work() {
    let _machine = Machine::alone();
    let cluster = DevCluster::start(ClusterOptions::default().nodes(7));
    let files = put_files(&cluster);
    let load = Churn::start(cluster.addresses(), WRITERS, LOAD_BYTES);
    for kill in 0..Scale::from_environment().master_kills {
        if kill % KILLS_PER_LOSS == 0 {
            // Only once the last one's chunks are there again: three at a time would be too many.
            wait::until_true("all is whole again", CLEAN_DEADLINE, || redundancy_is_whole(&cluster));
            let number = 1 + kill / KILLS_PER_LOSS % 7;
            lose_data(&cluster, &format!("node-{number}"));
        }
        load.wait_written(rand::rng().random_range(1..BETWEEN_KILLS));
        let elected = cluster.elected();
        cluster.kill(&elected);
        cluster.dev_start(&elected).expect_success();
    }
    load.stop();
    wait::until_true("all is whole again", CLEAN_DEADLINE, || redundancy_is_whole(&cluster));
    cluster.wait_clean(CLEAN_DEADLINE);
    for file in &files {
        tools::assert_got(&cluster, file);
    }
}
