//! Goal: what `cp` wrote on one mount, `cat` reads on another, byte for byte.

use cairn_tests::scale::Scale;
use cairn_tests::{ClusterOptions, DevCluster, Machine, fuse, tools, workload};

#[test]
fn a_big_file_and_a_tree_copied_in_read_the_same_on_a_second_mount() {
    if !fuse::is_usable() {
        return;
    }
    let _machine = Machine::shared();
    let scale = Scale::from_environment();
    let cluster = DevCluster::start(ClusterOptions::default().mounted());
    let (big, tree) = tools::copy_big_file_and_tree(&cluster, scale);

    let second = cluster.mount("second");
    tools::assert_read_back(second.path(), tree.iter().chain([&big]));
    let mut listed: Vec<_> =
        std::fs::read_dir(second.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    listed.sort();
    let mut expected: Vec<_> =
        tree.iter().chain([&big]).map(|file| file.name.clone().into()).collect::<Vec<std::ffi::OsString>>();
    expected.sort();
    assert_eq!(listed, expected, "the mount lists exactly what was copied");
}

#[test]
fn layouts_from_one_copy_to_wide_ones_read_back() {
    if !fuse::is_usable() {
        return;
    }
    let _machine = Machine::shared();
    for (layout, nodes) in [("1+0", 1), ("1+2", 3), ("6+3", 9)] {
        let cluster = DevCluster::start(ClusterOptions::small().nodes(nodes).layout(layout).mounted());
        let files = workload::tree(&cluster.folder("tree"), 20, 3);
        tools::copy_all(&files, &cluster.mount_path());
        tools::assert_read_back(cluster.mount("second").path(), &files);
    }
}
