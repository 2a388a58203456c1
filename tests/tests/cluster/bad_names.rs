//! Goal: what the store does not do is refused with the errno or exit code that says so.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::Path;
use std::process::Command;

use nix::errno::Errno;
use nix::sys::stat::{Mode, SFlag, mknod};

use cairn_tests::binary::cairn_program;
use cairn_tests::{COMMAND_DEADLINE, ClusterOptions, DevCluster, Finished, Machine, fuse};

#[track_caller]
fn assert_errno<T>(result: io::Result<T>, expected: Errno) {
    let error = result.err().expect("the call is refused");
    assert_eq!(error.raw_os_error().map(Errno::from_raw), Some(expected), "{error}");
}

#[test]
fn the_mount_refuses_what_a_flat_directory_of_blobs_cannot_have() {
    if !fuse::is_usable() {
        return;
    }
    let _machine = Machine::shared();
    let cluster = DevCluster::start(ClusterOptions::small().mounted());
    let mount = cluster.mount_path();
    let file = mount.join("file");
    fs::write(&file, "bytes").unwrap();
    assert_errno(File::open(mount.join("missing")), Errno::ENOENT);
    assert_errno(fs::metadata(mount.join("missing")), Errno::ENOENT);
    assert_errno(fs::remove_file(mount.join("missing")), Errno::ENOENT);
    assert_errno(fs::rename(mount.join("missing"), mount.join("other")), Errno::ENOENT);
    assert_errno(fs::create_dir(mount.join("folder")), Errno::EPERM);
    assert_errno(symlink("file", mount.join("symbolic")), Errno::EPERM);
    assert_errno(fs::hard_link(&file, mount.join("hard")), Errno::EPERM);
    let fifo = mknod(&mount.join("fifo"), SFlag::S_IFIFO, Mode::S_IRUSR, 0);
    assert_eq!(fifo, Err(Errno::EPERM));
    assert_errno(File::options().write(true).create_new(true).open(&file), Errno::EEXIST);
    assert_errno(File::options().read(true).custom_flags(nix::libc::O_DIRECTORY).open(&file), Errno::ENOTDIR);
    assert_long_names(&mount);
    assert_eq!(fs::read_to_string(&file).unwrap(), "bytes");
    assert_eq!(fs::read_dir(&mount).unwrap().count(), 2, "nothing refused is listed");
}

fn assert_long_names(mount: &Path) {
    let longest = mount.join("n".repeat(255));
    fs::write(&longest, "fits").unwrap();
    assert_eq!(fs::read_to_string(&longest).unwrap(), "fits");
    let longer = mount.join("n".repeat(256));
    assert_errno(fs::write(&longer, "does not"), Errno::ENAMETOOLONG);
    assert_errno(fs::metadata(&longer), Errno::ENAMETOOLONG);
    assert_errno(fs::rename(&longest, &longer), Errno::ENAMETOOLONG);
}

#[test]
fn commands_say_by_their_exit_code_what_is_wrong() {
    let _machine = Machine::shared();
    let cluster = DevCluster::start(ClusterOptions::small());
    for command in [
        &["get", "missing", "-"][..],
        &["cat", "missing"],
        &["stat", "missing"],
        &["rm", "missing"],
        &["mv", "missing", "x"],
    ] {
        let answer = cluster.run(command).expect_code(3);
        assert!(answer.stderr.contains("missing"), "the key is named: {answer}");
        assert!(answer.stdout.is_empty(), "messages go to standard error: {answer}");
    }
    let _ = cluster.run(&["put", "/no/such/file", "key"]).expect_code(1);
    let _ = cluster.run(&["no-such-command"]).expect_code(2);
    let _ = cluster.run(&["put", "/dev/null", &"k".repeat(1025)]).expect_code(2);
    let _ = cluster.run(&["put", "/dev/null", ""]).expect_code(2);
    assert!(cluster.run(&["ls"]).expect_success().stdout.is_empty());
}

#[test]
fn without_a_cluster_commands_say_so_and_exit_with_6() {
    let folder = tempfile::tempdir().unwrap();
    let unknown = cairn(&["ls"], folder.path()).expect_code(6);
    assert!(unknown.stderr.contains("--masters"), "the next step is named: {unknown}");

    let nobody = format!("127.0.0.1:{}", port_of_nobody());
    for command in [&["ls"][..], &["status", "--json"], &["ready"], &["get", "key", "-"], &["put", "/dev/null", "key"]]
    {
        let arguments = [command, &["--masters", &nobody]].concat();
        let unreachable = cairn(&arguments, folder.path()).expect_code(6);
        assert!(unreachable.stderr.contains(&nobody), "the address is named: {unreachable}");
    }
}

fn port_of_nobody() -> u16 {
    std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

#[track_caller]
fn cairn(arguments: &[&str], folder: &Path) -> Finished {
    let mut command = Command::new(cairn_program());
    command.args(arguments).current_dir(folder).env_remove("CAIRN_MASTERS").env("HOME", folder);
    Finished::of(&mut command, COMMAND_DEADLINE)
}
