//! Two mounts of one store.

use nix::errno::Errno;

use super::kernel::{APPEND, CALLER, EXCLUSIVE, Kernel, READ, ROW, TRUNCATE, WRITE, pattern};
use crate::filesystem::FsError;

#[tokio::test]
async fn s02_of_two_exclusive_creators_one_wins() {
    let here = Kernel::new();
    let there = here.other_mount();
    let (first, second) = (here.open("f", EXCLUSIVE).await.unwrap(), there.open("f", EXCLUSIVE).await.unwrap());
    assert_eq!(here.open("f", EXCLUSIVE).await, Err(FsError::Exists));
    here.write(first, 0, b"here").await.unwrap();
    there.write(second, 0, b"there").await.unwrap();
    here.close(first).await.unwrap();
    assert_eq!(there.close(second).await.unwrap_err().errno(), Errno::EEXIST);
    assert_eq!(here.elsewhere("f").unwrap(), b"here");
    assert_eq!(there.cat("f").await.unwrap(), b"here");
    assert_eq!(there.open("f", EXCLUSIVE).await, Err(FsError::Exists));
}

#[tokio::test]
async fn s03_of_two_who_replace_the_last_wins() {
    let here = Kernel::new();
    let there = here.other_mount();
    let (first, second) = (here.open("f", TRUNCATE).await.unwrap(), there.open("f", TRUNCATE).await.unwrap());
    here.write(first, 0, b"here").await.unwrap();
    there.write(second, 0, b"there").await.unwrap();
    here.close(first).await.unwrap();
    there.close(second).await.unwrap();
    assert_eq!(here.cat("f").await.unwrap(), b"there");
}

#[tokio::test]
async fn s04_appending_to_a_file_replaced_meanwhile_is_stale() {
    let here = Kernel::new();
    here.store.put("f", &pattern(ROW + 1, 1));
    let handle = here.open("f", APPEND).await.unwrap();
    here.write(handle, 0, b"more").await.unwrap();
    here.store.put("f", b"theirs");
    assert_eq!(here.flush(handle).await.unwrap_err().errno(), Errno::ESTALE);
    assert_eq!(here.write(handle, 0, b"x").await.unwrap_err().errno(), Errno::ESTALE);
    here.files.release(handle).await.unwrap();
    assert_eq!(here.cat("f").await.unwrap(), b"theirs");
}

#[tokio::test]
async fn s18_a_second_commit_never_replaces_a_stranger() {
    let here = Kernel::new();
    let handle = here.open("f", WRITE).await.unwrap();
    here.write(handle, 0, b"one").await.unwrap();
    here.flush(handle).await.unwrap();
    here.store.put("f", b"theirs");
    here.write(handle, 3, b"two").await.unwrap();
    assert_eq!(here.flush(handle).await.unwrap_err().errno(), Errno::ESTALE);
    here.files.release(handle).await.unwrap();
    assert_eq!(here.elsewhere("f").unwrap(), b"theirs");
}

#[tokio::test]
async fn s04_a_file_deleted_meanwhile_is_not_created_again_by_an_append() {
    let here = Kernel::new();
    here.store.put("f", b"old");
    let handle = here.open("f", APPEND).await.unwrap();
    here.write(handle, 0, b"more").await.unwrap();
    here.store.remove("f");
    assert_eq!(here.flush(handle).await.unwrap_err().errno(), Errno::ESTALE);
    here.files.release(handle).await.unwrap();
    assert_eq!(here.elsewhere("f"), None);
}

#[tokio::test]
async fn s09_an_open_file_keeps_its_bytes() {
    let here = Kernel::new();
    let there = here.other_mount();
    here.store.put("f", b"old");
    let reader = there.open("f", READ).await.unwrap();
    here.put("f", b"newer").await.unwrap();
    assert_eq!(there.read(reader).await.unwrap(), b"old");
    here.unlink("f").await.unwrap();
    assert_eq!(there.read(reader).await.unwrap(), b"old");
    assert_eq!(there.cat("f").await, Err(FsError::NotFound));
    there.close(reader).await.unwrap();
}

#[tokio::test]
async fn a_name_that_leads_elsewhere_by_now_is_looked_up_again() {
    let here = Kernel::new();
    here.store.put("f", b"old");
    let known = here.files.look_up(std::ffi::OsStr::new("f"), CALLER).await.unwrap();
    here.store.put("f", b"newer");
    assert_eq!(here.files.open(known.inode, READ).await, Err(FsError::LookAgain));
    assert_eq!(here.cat("f").await.unwrap(), b"newer");
    // Once the caller has come back, the name leads to the committed file again.
    assert!(here.stat("f").await.unwrap().is_committed);
}

#[tokio::test]
async fn s39_new_bytes_have_a_new_inode() {
    let kernel = Kernel::new();
    kernel.put("f", b"one").await.unwrap();
    let first = kernel.stat("f").await.unwrap();
    let other = kernel.other_mount();
    assert_eq!(other.stat("f").await.unwrap().inode, first.inode);
    let handle = kernel.open("f", APPEND).await.unwrap();
    let writing = kernel.stat("f").await.unwrap();
    assert_eq!((writing.inode.raw() >> 63, writing.is_committed), (1, false));
    assert_eq!(writing.shown_inode, first.shown_inode, "programs see no change");
    kernel.write(handle, 0, b"two").await.unwrap();
    kernel.close(handle).await.unwrap();
    let second = kernel.stat("f").await.unwrap();
    assert_ne!(second.inode, first.inode);
    assert_eq!((second.inode.raw() >> 63, second.shown_inode), (0, second.inode));
}
