//! Programs on a real mount of a store in memory: what they print, and what everybody else sees afterwards.
//!
//! Without /dev/fuse these tests fail, unless `CAIRN_NO_FUSE=1` is set.

use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Output;

use cairn_codec::Layout;
use nix::fcntl::FallocateFlags;
use nix::libc::{getxattr, removexattr, setxattr};
use tempfile::TempDir;

use super::{Mount, MountOptions};
use crate::client::ClientError;
use crate::filesystem::fake_store::{Call, FakeStore};
use crate::filesystem::{FileSystemOptions, KilledWriter};

struct Mounted {
    mount: Mount<FakeStore>,
    store: FakeStore,
    directory: TempDir,
}

async fn mounted() -> Option<Mounted> {
    mounted_with(MountOptions::default()).await
}

async fn mounted_with(options: MountOptions) -> Option<Mounted> {
    if std::env::var_os("CAIRN_NO_FUSE").is_some_and(|value| value == "1") {
        return None;
    }
    let store = FakeStore::new(Layout::new(2, 1, 4096, 1 << 20).unwrap());
    let directory = tempfile::tempdir().unwrap();
    let mount = Mount::new(store.clone(), options, directory.path()).await.unwrap();
    Some(Mounted { mount, store, directory })
}

impl Mounted {
    /// Runs a shell in the mounted directory.
    async fn shell(&self, script: &str) -> Output {
        let mut command = tokio::process::Command::new("bash");
        command.arg("-c").arg(script).current_dir(self.directory.path());
        command.output().await.unwrap()
    }

    async fn succeeds(&self, script: &str) -> String {
        let output = self.shell(script).await;
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{script}: {} {errors}", output.status);
        assert_eq!(errors, "", "{script}");
        String::from_utf8(output.stdout).unwrap()
    }

    async fn fails(&self, script: &str, with: &str) {
        let output = self.shell(script).await;
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{script} succeeds");
        assert!(errors.contains(with), "{script}: {errors}");
    }

    fn elsewhere(&self, name: &str) -> Option<String> {
        self.store.bytes(name).map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
    }

    async fn unmount(self) {
        let drained = self.mount.unmount().await.unwrap();
        assert_eq!(drained.lost, []);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shells_and_their_children_write_what_they_should() {
    let Some(mounted) = mounted().await else { return };
    mounted.succeeds("echo hi > f").await;
    assert_eq!(mounted.elsewhere("f").as_deref(), Some("hi\n"));
    mounted.succeeds("exec 3>two; echo a>&3; echo b>&3").await;
    assert_eq!(mounted.elsewhere("two").as_deref(), Some("a\nb\n"));
    mounted.succeeds("( echo a; /bin/echo b; echo c ) > children").await;
    assert_eq!(mounted.succeeds("cat children").await, "a\nb\nc\n");
    mounted.succeeds("for i in 1 2 3; do /bin/echo $i; done > loop").await;
    assert_eq!(mounted.succeeds("cat loop").await, "1\n2\n3\n");
    mounted.succeeds("echo more >> f; echo new > two").await;
    assert_eq!(mounted.succeeds("cat f two").await, "hi\nmore\nnew\n");
    assert_eq!(mounted.succeeds("> empty; touch touched; stat -c '%n %s' empty touched").await, "empty 0\ntouched 0\n");
    assert_eq!(mounted.elsewhere("touched").as_deref(), Some(""));
    assert_eq!(mounted.succeeds("ls").await, "children\nempty\nf\nloop\ntouched\ntwo\n");
    assert_eq!(mounted.succeeds("rm children loop touched two; ls").await, "empty\nf\n");
    mounted.unmount().await;
}

/// Opens one file in each order of a handle that only writes and others, with a mapping; writes what begins and ends in the
/// middle of pages.
const OPENED_TOGETHER: &str = r#"
import mmap, os
def check(found, expected):
    assert found == expected, (len(found), len(expected), found[:60], expected[:60])
for name, first in (("a", os.O_WRONLY), ("b", os.O_RDWR)):
    opened = os.open(name, first | os.O_CREAT)
    os.write(opened, b"1" * 100)
    reader = os.open(name, os.O_RDONLY)
    check(os.pread(reader, 9000, 0), b"1" * 100)
    writer = os.open(name, os.O_WRONLY | os.O_APPEND)
    os.write(writer, b"2" * 5000)
    check(os.pread(reader, 9000, 0), b"1" * 100 + b"2" * 5000)
    both = os.open(name, os.O_RDWR)
    mapped = mmap.mmap(both, 5100)
    check(mapped[99:101], b"12")
    os.pwrite(opened, b"3" * 10, 4090)
    check(mapped[4089:4101], b"2" + b"3" * 10 + b"2")
    mapped[0:4] = b"page"
    mapped.flush()
    check(os.pread(reader, 5, 0), b"page1")
    os.ftruncate(both, 4095)
    check(os.pread(reader, 9000, 4000), b"2" * 90 + b"3" * 5)
    large = os.urandom(3000017)
    check(os.pwrite(opened, large, 4095), len(large))
    check(os.pread(both, len(large), 4095), large)
    mapped.close()
    for handle in (opened, reader, writer, both):
        os.close(handle)
    with open(name, "rb") as committed:
        check(committed.read()[4085:], b"2" * 5 + b"3" * 5 + large)
print("right")
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s07_whoever_has_a_file_open_sees_what_others_write_past_its_pages() {
    let Some(mounted) = mounted().await else { return };
    assert_eq!(mounted.succeeds(&format!("python3 - <<'END'{OPENED_TOGETHER}END")).await, "right\n");
    mounted.unmount().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_writer_amends_what_others_read_already() {
    let Some(mounted) = mounted().await else { return };
    let script = "mkfifo $TMP/go; { echo a; (read < $TMP/go; echo late)& } > f; cat f; echo > $TMP/go; wait";
    let scratch = tempfile::tempdir().unwrap();
    let script = script.replace("$TMP", scratch.path().to_str().unwrap());
    assert_eq!(mounted.succeeds(&script).await, "a\n");
    assert_eq!(mounted.succeeds("until [ \"$(cat f)\" = $'a\\nlate' ]; do :; done; cat f").await, "a\nlate\n");
    mounted.unmount().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copies_are_what_they_copy() {
    let Some(mounted) = mounted().await else { return };
    let scratch = tempfile::tempdir().unwrap();
    let source = scratch.path().join("source");
    let lines: Vec<String> = (0..200_000).map(|line| line.to_string()).collect();
    let text = lines.join("\n");
    std::fs::write(&source, &text).unwrap();
    let source = source.to_str().unwrap();
    mounted.succeeds(&format!("cp {source} a && cp a b && cp -p {source} c && cmp a b && cmp {source} c")).await;
    assert_eq!(mounted.elsewhere("b").as_deref(), Some(text.as_str()));
    mounted.succeeds(&format!("cp {source} a && cmp {source} a && mv {source} d && cmp a d")).await;
    mounted.succeeds("install -m 600 a e && [ $(stat -c %a e) = 600 ] && cmp a e").await;
    mounted.succeeds("truncate -s 100000 e && head -c 100000 a | cmp - e").await;
    mounted.succeeds("head -c 200000 a > g && truncate -s 300000 g && [ $(stat -c %s g) = 300000 ]").await;
    mounted
        .succeeds("dd if=a of=e bs=1000 seek=7 count=3 conv=notrunc status=none; [ $(stat -c %s e) = 100000 ]")
        .await;
    mounted.succeeds("cp --sparse=always a h && cmp a h && truncate -s 50000 holes && cp holes i && cmp holes i").await;
    mounted.succeeds("tar cf t a b && sed -i s/1/x/ g && tar xf t && cmp a b").await;
    mounted.unmount().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn opening_right_after_closing_never_fails() {
    let Some(mounted) = mounted().await else { return };
    let script = "for i in $(seq 300); do echo $i > f; [ $(< f) = $i ] || exit 1; echo x >> f; [ $(wc -l < f) = 2 ] || exit 2; done";
    mounted.succeeds(script).await;
    let script = "for j in 1 2 3; do ( for i in $(seq 100); do echo $i > g || exit 1; cat g > /dev/null || exit 2; done ) & loops=\"$loops $!\"; done; for loop in $loops; do wait $loop || exit 3; done";
    mounted.succeeds(script).await;
    mounted.unmount().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_directory_is_not_for_is_refused() {
    let Some(mounted) = mounted().await else { return };
    mounted.succeeds("echo a > a").await;
    mounted.fails("mkdir d", "Operation not permitted").await;
    mounted.fails("ln -s a b", "Operation not permitted").await;
    mounted.fails("ln a b", "Operation not permitted").await;
    mounted.fails("mkfifo p", "Operation not permitted").await;
    mounted.fails("cat nothing", "No such file or directory").await;
    mounted.fails(&format!("echo > {}", "k".repeat(256)), "File name too long").await;
    mounted.fails("echo > $'\\xff'", "Invalid or incomplete").await;
    mounted.fails("fallocate -l 100 a", "not supported").await;
    mounted.fails("truncate -s 2T a", "File too large").await;
    assert_eq!(mounted.succeeds("cat a; echo $(df --output=size . | tail -1)").await, "a\n1048576\n");
    mounted.unmount().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s39_opening_for_writing_leaves_the_inode_number_as_it_was() {
    let Some(mounted) = mounted().await else { return };
    mounted.succeeds("echo a > f").await;
    let keeps = "[ $(stat -L -c %i /proc/self/fd/3) = $before ] && echo b >&3 && [ $(stat -c %i f) = $before ]";
    for opens in ["exec 3<> f", "exec 3>> f", "exec 3> f"] {
        let changes = "exec 3>&- && [ $(stat -c %i f) != $before ]";
        mounted.succeeds(&format!("before=$(stat -c %i f); {opens}; {keeps} && {changes}")).await;
    }
    mounted.unmount().await;
}

/// The kernel closes such descriptors while it executes the next program, and waits for the answer of the mount.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_with_a_file_open_starts_another() {
    let Some(mounted) = mounted().await else { return };
    let script = r#"$| = 1; open(F, '>', 'f') or die; syswrite(F, "a\n"); exec 'cat', 'f'"#;
    let mut command = tokio::process::Command::new("perl");
    command.args(["-e", script]).current_dir(mounted.directory.path());
    let ended = tokio::time::timeout(std::time::Duration::from_mins(1), command.output()).await;
    let output = ended.expect("the descriptor is closed and `cat` runs").unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "a\n", "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(mounted.elsewhere("f").as_deref(), Some("a\n"));
    mounted.unmount().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s35_the_access_time_is_not_kept() {
    let Some(mounted) = mounted().await else { return };
    mounted.succeeds("echo a > f; touch -m -d '2001-02-03 04:05:06 UTC' f; touch -a -d '2010-01-01 UTC' f").await;
    assert_eq!(mounted.succeeds("cat f; stat -c '%Y %X' f").await, "a\n981173106 981173106\n");
    mounted.unmount().await;
}

/// The value of an extended attribute, read as programs do: first its length, then so many bytes.
#[allow(unsafe_code)]
fn read_attribute(path: &Path, name: &CStr) -> nix::Result<String> {
    let path = CString::new(path.as_os_str().as_bytes()).unwrap();
    // SAFETY: both strings end in a zero byte and live until the call is over; nothing is written without room.
    let length = unsafe { getxattr(path.as_ptr(), name.as_ptr(), std::ptr::null_mut(), 0) };
    let mut value = vec![0_u8; usize::try_from(nix::errno::Errno::result(length)?).unwrap()];
    // SAFETY: as above, and the buffer is as long as is said.
    let read = unsafe { getxattr(path.as_ptr(), name.as_ptr(), value.as_mut_ptr().cast(), value.len()) };
    assert_eq!(nix::errno::Errno::result(read)?, length);
    Ok(String::from_utf8(value).unwrap())
}

/// What setting, reading and removing an extended attribute of a file say.
#[allow(unsafe_code)]
fn try_extended_attributes(path: &Path) -> [nix::Result<()>; 3] {
    let path = CString::new(path.as_os_str().as_bytes()).unwrap();
    let (name, value) = (c"user.name", b"value");
    let mut room = [0_u8; 16];
    // SAFETY: both strings end in a zero byte, and each buffer is as long as is said; all live until the call is over.
    let set = unsafe { setxattr(path.as_ptr(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0) };
    let set = nix::errno::Errno::result(set).map(drop);
    // SAFETY: as above.
    let read = unsafe { getxattr(path.as_ptr(), name.as_ptr(), room.as_mut_ptr().cast(), room.len()) };
    let read = nix::errno::Errno::result(read).map(drop);
    // SAFETY: as above.
    let removed = unsafe { removexattr(path.as_ptr(), name.as_ptr()) };
    [set, read, nix::errno::Errno::result(removed).map(drop)]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s40_extended_attributes_and_preallocation_are_not_supported() {
    let Some(mounted) = mounted().await else { return };
    mounted.succeeds("echo a > f").await;
    let path = mounted.directory.path().join("f");
    let tried = tokio::task::spawn_blocking(move || {
        let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        let reserved = nix::fcntl::fallocate(&file, FallocateFlags::empty(), 0, 100);
        (try_extended_attributes(&path), reserved)
    });
    let refused = Err(nix::errno::Errno::EOPNOTSUPP);
    assert_eq!(tried.await.unwrap(), ([refused; 3], refused));
    assert_eq!(mounted.elsewhere("f").as_deref(), Some("a\n"));
    mounted.unmount().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_reach_the_program() {
    let Some(mounted) = mounted().await else { return };
    let full = || ClientError::NoSpace { why: "node-1 is full".to_owned() };
    mounted.store.fail_next(Call::Begin, full());
    mounted.fails("echo a > a", "No space left on device").await;
    mounted.store.fail_next(Call::Commit, full());
    mounted.fails("cp /etc/passwd b", "No space left on device").await;
    assert_eq!(mounted.elsewhere("b"), None);
    let nodes = ClientError::TooFewNodes { needed: "5".into(), serving: "4".into(), missing: "node-1".into() };
    mounted.store.fail_next(Call::Begin, nodes);
    mounted.fails("cp /etc/passwd b", "No route to host").await;
    assert_eq!(mounted.succeeds("ls").await, "");
    mounted.unmount().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s23_a_killed_writer_is_committed_or_given_up_as_the_mount_was_told() {
    for (killed_writer, left) in [(KilledWriter::Commits, "part\n"), (KilledWriter::Aborts, "whole\n")] {
        let files = FileSystemOptions { killed_writer, ..FileSystemOptions::default() };
        let Some(mounted) = mounted_with(MountOptions { files, ..MountOptions::default() }).await else { return };
        mounted.succeeds("echo whole > f").await;
        mounted.shell("bash -c 'echo part; kill -9 $$' > f").await;
        assert_eq!(mounted.succeeds("cat f").await, left);
        assert_eq!(mounted.elsewhere("f").as_deref(), Some(left));
        mounted.unmount().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s45_cp_within_the_mount_moves_no_byte() {
    let Some(mounted) = mounted().await else { return };
    mounted.succeeds("seq 20000 > f").await;
    let before = mounted.store.calls(Call::WriteRow);
    mounted.succeeds("cp f g; cmp f g").await;
    assert_eq!(mounted.store.calls(Call::WriteRow), before);
    assert_eq!(mounted.elsewhere("f"), mounted.elsewhere("g"));
    mounted.unmount().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s46_extended_attributes_are_shown_where_the_mount_was_told_to() {
    let options = MountOptions { shows_extended_attributes: true, ..MountOptions::default() };
    let Some(mounted) = mounted_with(options).await else { return };
    mounted.succeeds("seq 20000 > f").await;
    let path = mounted.directory.path().join("f");
    let read = tokio::task::spawn_blocking(move || {
        let values =
            [c"user.cairn.layout", c"user.cairn.health", c"user.other"].map(|name| read_attribute(&path, name));
        (values, try_extended_attributes(&path))
    });
    let (values, [set, _, removed]) = read.await.unwrap();
    let text = |text: &str| Ok(text.to_owned());
    assert_eq!(values, [text("2+1"), text("all of 3 chunks can be read"), Err(nix::errno::Errno::ENODATA)]);
    assert_eq!([set, removed], [Err(nix::errno::Errno::EOPNOTSUPP); 2]);
    mounted.unmount().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_in_use_is_detached_and_its_files_are_committed() {
    let Some(mounted) = mounted().await else { return };
    let path: PathBuf = mounted.directory.path().join("open");
    let mut file = std::fs::File::create(&path).unwrap();
    let writing = tokio::task::spawn_blocking(move || {
        std::io::Write::write_all(&mut file, b"written").unwrap();
        file
    });
    let file = writing.await.unwrap();
    let unmounting = tokio::spawn(mounted.mount.unmount());
    let holder = tokio::task::spawn_blocking(move || {
        // Held until the directory is detached, then closed, so that the session can end.
        while path.exists() {
            std::thread::yield_now();
        }
        drop(file);
    });
    holder.await.unwrap();
    let drained = unmounting.await.unwrap().unwrap();
    assert_eq!(drained.lost, []);
    assert_eq!(mounted.store.bytes("open").as_deref(), Some(&b"written"[..]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mount_unmounted_by_somebody_else_ends() {
    let Some(mounted) = mounted().await else { return };
    let ended = mounted.mount.ended();
    mounted.succeeds(&format!("cd / && umount {}", mounted.directory.path().display())).await;
    ended.await;
    mounted.unmount().await;
}
