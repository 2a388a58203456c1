//! Goal: in a cluster that does not overwrite, what is there stays until it is deleted, whoever tries, and the error says
//! "File exists".

use std::fs;

use cairn_tests::{COMMAND_DEADLINE, ClusterOptions, DevCluster, Machine, fuse, tools};

#[test]
fn s48_programs_are_told_that_the_file_exists() {
    if !fuse::is_usable() {
        return;
    }
    let _machine = Machine::shared();
    let cluster = DevCluster::start(ClusterOptions::small().write_once().mounted());
    let mount = cluster.mount_path();
    let run = |script: &str| tools::shell(script, &mount, COMMAND_DEADLINE);
    run("exec 3> f; echo a >&3; /bin/echo b >&3; exec 3>&-; cat f").expect_success();
    run("echo other > g").expect_success();
    for script in ["echo c > f", "echo c >> f", "truncate -s 1 f", "cp g f", "mv -f g f", "dd if=g of=f conv=notrunc"] {
        let refused = run(script);
        assert!(!refused.succeeded() && refused.stderr.contains("File exists"), "{script}: {refused}");
        assert_eq!(fs::read_to_string(mount.join("f")).unwrap(), "a\nb\n", "after {script}");
    }
    run("chmod 600 f; touch -d 2020-01-01 f; rm g; echo c > g; mv g h; cat h").expect_success();
    run("rm f; echo new > f; cat f").expect_success();
}

#[test]
fn commands_end_with_the_code_for_what_exists() {
    let _machine = Machine::shared();
    let cluster = DevCluster::start(ClusterOptions::small().write_once());
    let source = cluster.folder("source").join("file");
    fs::write(&source, "one").unwrap();
    let source = source.to_str().unwrap();
    cluster.run(&["put", source, "a"]).expect_success();
    cluster.run(&["put", source, "b"]).expect_success();
    fs::write(source, "two").unwrap();
    for refused in [["put", source, "a"], ["mv", "b", "a"]] {
        let said = cluster.run(&refused).expect_code(4);
        assert!(said.stderr.contains("exists"), "{said}");
    }
    assert_eq!(cluster.run(&["cat", "a"]).expect_success().text(), "one");
    // The masters keep to it after a restart.
    cluster.kill_everything();
    cluster.start_again();
    assert_eq!(cluster.run(&["put", source, "a"]).code(), Some(4));
    cluster.run(&["rm", "a"]).expect_success();
    cluster.run(&["put", source, "a"]).expect_success();
    assert_eq!(cluster.run(&["cat", "a"]).expect_success().text(), "two");
}
