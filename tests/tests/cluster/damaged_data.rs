//! Goal: a bit that flips on a disk is found, named and survived; a data folder that is not what it was is
//! refused, not used.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cairn_tests::{COMMAND_DEADLINE, ClusterOptions, DevCluster, Machine, tools, wait, workload};

/// Cells of this many bytes go to sorted-table files of their own on each node of layout 2+1.
const FILE_BYTES: u64 = 64 << 20;
/// Start of a row so far into the file that its cells are in such tables; the first ones are in the log.
const ROW_START: usize = 40 << 20;
/// Bytes that identify the first cell of that row.
const SIGNATURE_BYTES: usize = 64;
/// Within the same cell as the signature.
const FLIPPED_OFFSET: u64 = 1000;

#[test]
fn a_flipped_bit_in_a_stored_cell_is_read_around_and_named_in_the_log() {
    let _machine = Machine::shared();
    let cluster = DevCluster::start(ClusterOptions::small());
    let file = workload::random_file(&cluster.folder("source"), "file", FILE_BYTES, 1);
    cluster.run(&["put", file.path.to_str().unwrap(), "file"]).expect_success();
    let signature = fs::read(&file.path).unwrap()[ROW_START..ROW_START + SIGNATURE_BYTES].to_vec();
    let (node, table, offset) = find_cell(&cluster, &signature);
    assert_eq!(table.extension().and_then(|extension| extension.to_str()), Some("sst"), "{}", table.display());

    // Down, so that no cache of the node still has the right bytes.
    cluster.dev_kill(&node).expect_success();
    flip_bit(&table, offset + FLIPPED_OFFSET);
    cluster.revive(&[&node]);
    let log_before = cluster.log(&node).len();
    tools::assert_got(&cluster, &file);

    let said = wait::until("the node's log names the cell", COMMAND_DEADLINE, || {
        let said = cluster.log(&node)[log_before..].to_owned();
        said.lines().find(|line| line.contains("corrupt")).map(ToOwned::to_owned)
    });
    let segment = segment_of(&cluster, "file");
    assert!(said.contains(&segment), "the cell of segment {segment} is not named: {said}");
    assert!(said.contains("stripe") && said.contains("row"), "stripe and row are not named: {said}");
}

fn segment_of(cluster: &DevCluster, key: &str) -> String {
    let status: serde_json::Value = cluster.run(&["stat", key, "--json"]).expect_success().json();
    let segment = status["extents"][0]["segment"].as_str();
    segment.unwrap_or_else(|| panic!("extents name their segment: {status}")).to_owned()
}

/// The node, file and place where a cell that begins like this is stored.
pub(crate) fn find_cell(cluster: &DevCluster, signature: &[u8]) -> (String, PathBuf, u64) {
    let found = cluster.node_names().into_iter().find_map(|node| {
        files_below(&cluster.data(&node)).into_iter().find_map(|path| {
            let bytes = fs::read(&path).unwrap();
            let offset = bytes.windows(signature.len()).position(|window| window == signature)?;
            Some((node.clone(), path, offset as u64))
        })
    });
    found.expect("the cell is stored as it was written")
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

pub(crate) fn flip_bit(path: &Path, offset: u64) {
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 8], offset).unwrap();
    file.sync_all().unwrap();
}

/// Starts a daemon that must refuse, and gives what it said.
#[track_caller]
fn refused_start(cluster: &DevCluster, name: &str) -> String {
    let log_before = cluster.log(name).len();
    let answer = cluster.dev_start(name).expect_failure();
    wait::until_true("the daemon ends", Duration::from_secs(10), || {
        let daemons = cluster.daemons();
        daemons.iter().any(|daemon| daemon.name == name && daemon.pid.is_none())
    });
    format!("{}{}", answer.stderr, &cluster.log(name)[log_before..])
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    let script = format!("cp -a . '{}'", to.display());
    tools::shell(&script, from, COMMAND_DEADLINE).expect_success();
}

#[test]
fn a_data_folder_of_another_cluster_is_refused_and_the_right_one_taken_back() {
    let _machine = Machine::shared();
    let ours = DevCluster::start(ClusterOptions::small());
    let theirs = DevCluster::start(ClusterOptions::small());
    let file = workload::random_file(&ours.folder("source"), "file", 2_000_000, 1);
    ours.run(&["put", file.path.to_str().unwrap(), "file"]).expect_success();
    ours.kill("node-1");
    theirs.kill("node-1");
    let (data, aside) = (ours.data("node-1"), ours.folder("aside").join("node-1"));
    fs::rename(&data, &aside).unwrap();
    copy_folder(&theirs.data("node-1"), &data);

    let said = refused_start(&ours, "node-1");
    assert!(said.contains("cluster"), "the cause is not named: {said}");

    fs::remove_dir_all(&data).unwrap();
    fs::rename(&aside, &data).unwrap();
    ours.revive(&["node-1"]);
    tools::assert_got(&ours, &file);
}

#[test]
fn a_truncated_data_folder_is_refused_by_a_node_and_by_a_master() {
    let _machine = Machine::shared();
    let cluster = DevCluster::start(ClusterOptions::default());
    let file = workload::random_file(&cluster.folder("source"), "file", 2_000_000, 1);
    cluster.run(&["put", file.path.to_str().unwrap(), "file"]).expect_success();
    let master = cluster.master_names().into_iter().find(|name| *name != cluster.elected()).unwrap();
    for name in ["node-1".to_owned(), master] {
        cluster.kill(&name);
        for current in current_below(&cluster.data(&name)) {
            let whole = cut_in_half(&current);
            let said = refused_start(&cluster, &name);
            assert!(said.contains(&format!("data/{name}")), "the folder is not named: {said}");
            fs::write(&current, whole).unwrap();
        }
    }
    cluster.revive(&["node-1"]);
    tools::assert_got(&cluster, &file);
}

#[test]
fn a_manifest_cut_in_half_is_refused_by_a_node_and_by_a_master_and_taken_back_whole() {
    let _machine = Machine::shared();
    let cluster = DevCluster::start(ClusterOptions::default());
    let file = workload::random_file(&cluster.folder("source"), "file", FILE_BYTES, 1);
    cluster.run(&["put", file.path.to_str().unwrap(), "file"]).expect_success();
    let master = cluster.master_names().into_iter().find(|name| *name != cluster.elected()).unwrap();
    for name in ["node-1".to_owned(), master.clone()] {
        for current in current_below(&cluster.data(&name)) {
            wait::until_true("the manifest is marked", COMMAND_DEADLINE, || is_marked(&current));
        }
        cluster.kill(&name);
        for current in current_below(&cluster.data(&name)) {
            let manifest = current.with_file_name(fs::read_to_string(&current).unwrap().trim_end());
            let database = current.parent().unwrap();
            let (tables, all_tables) = (tables_below(database), tables_below(&cluster.data(&name)));
            let whole = cut_in_half(&manifest);
            let said = refused_start(&cluster, &name);
            let shown = manifest.strip_prefix(cluster.dir()).unwrap().display().to_string();
            let told = [shown, format!("{} bytes", whole.len() / 2)];
            assert!(told.iter().all(|told| said.contains(told)), "{told:?} is not in: {said}");
            assert_eq!(tables_below(database), tables, "{name}");
            // A master's other database may have been opened, and have written its log out as one more.
            let left = tables_below(&cluster.data(&name));
            assert!(all_tables.is_subset(&left), "{name} lost tables: {all_tables:?}, and now {left:?}");
            fs::write(&manifest, whole).unwrap();
        }
    }
    cluster.revive(&["node-1", &master]);
    tools::assert_got(&cluster, &file);
}

/// Whether the mark beside a database says how long its manifest is now. It follows within a second.
fn is_marked(current: &Path) -> bool {
    let name = fs::read_to_string(current).unwrap();
    let length = fs::metadata(current.with_file_name(name.trim_end())).map(|manifest| manifest.len());
    let marked = fs::read_to_string(current.with_file_name("manifest.synced")).unwrap();
    length.is_ok_and(|length| marked == format!("{} {length}\n", name.trim_end()))
}

/// Cuts half of a file off; answers what it was.
fn cut_in_half(path: &Path) -> Vec<u8> {
    let whole = fs::read(path).unwrap();
    fs::write(path, &whole[..whole.len() / 2]).unwrap();
    whole
}

/// The files by which `RocksDB` folders name their manifests: one of a node, two of a master.
fn current_below(folder: &Path) -> Vec<PathBuf> {
    let files = files_below(folder).into_iter();
    let found: Vec<_> = files.filter(|path| path.file_name().is_some_and(|name| name == "CURRENT")).collect();
    assert!(!found.is_empty(), "{} has no database", folder.display());
    found
}

fn tables_below(folder: &Path) -> BTreeSet<PathBuf> {
    let files = files_below(folder).into_iter();
    files.filter(|path| path.extension().is_some_and(|extension| extension == "sst")).collect()
}
