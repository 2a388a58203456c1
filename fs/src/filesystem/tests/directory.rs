//! Names and listings.

use std::ffi::OsStr;

use nix::errno::Errno;

use super::kernel::{CALLER, Kernel, TRUNCATE, WRITE};
use crate::filesystem::{AttributeChange, DirectoryEntry, FsError, Inode};

#[tokio::test]
async fn s31_keys_that_are_no_names_are_shown_escaped() {
    let kernel = Kernel::new();
    for key in ["a/b", "..", "plain%2F"] {
        kernel.store.put(key, key.as_bytes());
    }
    kernel.store.put(&"k".repeat(300), b"hidden");
    assert_eq!(kernel.list().await.unwrap(), ["%2E%2E", "a%2Fb", "plain%2F"]);
    assert_eq!(kernel.cat("a%2Fb").await.unwrap(), b"a/b");
    assert_eq!(kernel.cat("plain%2F").await.unwrap(), b"plain%2F");
    kernel.put("a%2Fb", b"new").await.unwrap();
    assert_eq!(kernel.elsewhere("a/b").unwrap(), b"new");
    kernel.rename("a%2Fb", "c").await.unwrap();
    kernel.unlink("%2E%2E").await.unwrap();
    assert_eq!(kernel.list().await.unwrap(), ["c", "plain%2F"]);
}

#[tokio::test]
async fn s31_a_real_key_hides_an_escaped_one() {
    let kernel = Kernel::new();
    kernel.store.put("a/b", b"escaped");
    kernel.store.put("a%2Fb", b"real");
    assert_eq!(kernel.list().await.unwrap(), ["a%2Fb"]);
    assert_eq!(kernel.cat("a%2Fb").await.unwrap(), b"real");
}

#[tokio::test]
async fn s26_an_escaped_file_that_is_being_written_can_be_unlinked_and_renamed() {
    let kernel = Kernel::new();
    for (name, renamed) in [("a%2Fb", false), ("c%2Fd", true)] {
        kernel.store.put(&name.replace("%2F", "/"), b"old");
        let handle = kernel.open(name, TRUNCATE).await.unwrap();
        kernel.write(handle, 0, b"new").await.unwrap();
        if renamed {
            kernel.rename(name, "plain").await.unwrap();
        } else {
            kernel.unlink(name).await.unwrap();
        }
        kernel.close(handle).await.unwrap();
    }
    assert_eq!(kernel.store.keys(), ["plain"]);
    assert_eq!(kernel.elsewhere("plain").unwrap(), b"new");
}

#[tokio::test]
async fn s32_mknod_creates_an_empty_file() {
    let kernel = Kernel::new();
    let file = kernel.files.make_file(OsStr::new("f"), 0o600, (1, 2)).await.unwrap();
    assert_eq!((file.attributes.mode, file.attributes.uid, file.attributes.gid), (0o600, 1, 2));
    assert_eq!(kernel.elsewhere("f").unwrap(), b"");
    assert_eq!(kernel.files.make_file(OsStr::new("f"), 0o600, (1, 2)).await, Err(FsError::Exists));
}

#[tokio::test]
async fn s33_a_listing_of_many_pages_has_each_key_once() {
    let kernel = Kernel::new();
    let mut expected: Vec<String> = (0..2500).map(|number| format!("key-{number:05}")).collect();
    for name in expected.iter().step_by(2) {
        kernel.store.put(name, b"");
    }
    let mut handles = Vec::new();
    for name in expected.iter().skip(1).step_by(2).take(400) {
        handles.push(kernel.open(name, WRITE).await.unwrap());
    }
    let last = kernel.open("zzz", WRITE).await.unwrap();
    expected =
        (0..2500).filter(|number| number % 2 == 0 || *number < 800).map(|number| format!("key-{number:05}")).collect();
    expected.push("zzz".to_owned());
    assert_eq!(kernel.list().await.unwrap(), expected);
    for handle in handles.into_iter().chain([last]) {
        kernel.close(handle).await.unwrap();
    }
    assert_eq!(kernel.list().await.unwrap(), expected);
}

#[tokio::test]
async fn s33_a_page_that_was_read_ahead_is_not_shown_if_a_name_came_or_went_since() {
    let kernel = Kernel::new();
    for number in 0..3000 {
        kernel.store.put(&format!("{number:05}"), b"");
    }
    let handle = kernel.files.open_directory().handle;
    let read = async |position| {
        let entries = kernel.files.read_directory(handle, position, false).await.unwrap();
        let next = entries.last().map_or(0, |entry| entry.next_position);
        (entries.into_iter().map(|entry| entry.name).collect::<Vec<_>>(), next)
    };
    let (_, position) = read(0).await;
    kernel.put("01500 new", b"x").await.unwrap();
    let (second, position) = read(position).await;
    assert!(second.contains(&"01500 new".to_owned()));
    kernel.files.unlink(OsStr::new("02500")).await.unwrap();
    let (third, _) = read(position).await;
    assert!(third.contains(&"02499".to_owned()) && !third.contains(&"02500".to_owned()));
}

#[tokio::test]
async fn s34_a_listing_can_be_read_from_any_position_again() {
    let kernel = Kernel::new();
    for number in 0..2100 {
        kernel.store.put(&format!("{number:05}"), b"");
    }
    let handle = kernel.files.open_directory().handle;
    let first_from = |position| {
        let files = kernel.files.clone();
        async move {
            let entries = files.read_directory(handle, position, false).await.unwrap();
            entries.into_iter().find(DirectoryEntry::is_file).map(|entry| (entry.name, entry.next_position))
        }
    };
    for number in [0, 999, 1000, 2050, 1001, 5, 2099] {
        assert_eq!(first_from(number + 2).await, Some((format!("{number:05}"), number + 3)));
    }
    assert_eq!(first_from(2102).await, None);
    kernel.store.put("!", b"");
    assert_eq!(first_from(0).await, Some(("!".to_owned(), 3)));
    kernel.files.release_directory(handle).unwrap();
    assert_eq!(kernel.files.release_directory(handle), Err(FsError::BadHandle));
}

#[tokio::test]
async fn s30_names_that_can_be_no_keys_have_an_errno_each() {
    let kernel = Kernel::new();
    let long = "k".repeat(256);
    assert_eq!(kernel.stat(&long).await.unwrap_err().errno(), Errno::ENAMETOOLONG);
    assert_eq!(kernel.open(&long, WRITE).await.unwrap_err().errno(), Errno::ENAMETOOLONG);
    kernel.put(&"k".repeat(255), b"x").await.unwrap();
}

#[tokio::test]
async fn the_directory_is_no_file() {
    let kernel = Kernel::new();
    assert_eq!(kernel.files.open(Inode::ROOT, WRITE).await, Err(FsError::IsDirectory));
    assert_eq!(kernel.files.attributes(Inode::ROOT).await.unwrap().inode, Inode::ROOT);
}

#[tokio::test]
async fn s41_capacity_is_logical_and_a_second_old_at_most() {
    let kernel = Kernel::new();
    let before = kernel.files.capacity().await.unwrap();
    kernel.store.put("f", &[0; 1000]);
    assert_eq!(kernel.files.capacity().await.unwrap(), before);
    let other = kernel.other_mount();
    assert_eq!(other.files.capacity().await.unwrap().free_bytes, before.free_bytes - 1000);
}

#[tokio::test]
async fn inodes_are_forgotten_with_their_last_lookup() {
    let kernel = Kernel::new();
    kernel.store.put("f", b"x");
    let file = kernel.files.look_up(OsStr::new("f"), CALLER).await.unwrap();
    kernel.files.look_up(OsStr::new("f"), CALLER).await.unwrap();
    kernel.files.forget(file.inode, 1);
    assert_eq!(kernel.files.inode_count(), 1);
    assert_eq!(kernel.files.attributes(file.inode).await.unwrap().size_bytes, 1);
    kernel.files.forget(file.inode, 1);
    assert_eq!(kernel.files.inode_count(), 0);
    assert_eq!(kernel.files.attributes(file.inode).await, Err(FsError::LookAgain));
}

#[tokio::test]
async fn s46_extended_attributes_tell_of_the_last_commit() {
    let kernel = Kernel::new();
    kernel.put("f", b"first").await.unwrap();
    let uuid = kernel.attribute("f", "user.cairn.uuid").await.unwrap();
    assert_eq!(kernel.attribute("f", "user.cairn.layout").await.unwrap(), "2+1");
    assert_eq!(kernel.attribute("f", "user.cairn.nodes").await.unwrap(), "node-1,node-2,node-3");
    assert_eq!(kernel.attribute("f", "user.cairn.health").await.unwrap(), "all of 3 chunks can be read");
    let handle = kernel.open("f", WRITE).await.unwrap();
    kernel.write(handle, 0, b"second").await.unwrap();
    assert_eq!(kernel.attribute("f", "user.cairn.uuid").await.unwrap(), uuid);
    kernel.close(handle).await.unwrap();
    assert_ne!(kernel.attribute("f", "user.cairn.uuid").await.unwrap(), uuid);
    let pending = kernel.open("g", WRITE).await.unwrap();
    assert_eq!(kernel.attribute("g", "user.cairn.uuid").await, Err(FsError::NoAttribute));
    kernel.close(pending).await.unwrap();
    assert_eq!(kernel.attribute("f", "user.other").await, Err(FsError::NoAttribute));
}

#[tokio::test]
async fn s51_attributes_of_the_directory_last_as_long_as_the_mount() {
    let kernel = Kernel::new();
    let before = kernel.files.directory();
    let mtime = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    let change = AttributeChange { mode: Some(0o2770), gid: Some(9), mtime: Some(mtime), ..AttributeChange::default() };
    let changed = kernel.files.change(Inode::ROOT, change).await.unwrap().attributes;
    assert_eq!((changed.mode, changed.gid, changed.mtime_seconds), (0o2770, 9, 1_000_000_000));
    assert_eq!(changed.uid, before.attributes.uid);
    assert_eq!(kernel.files.attributes(Inode::ROOT).await.unwrap().attributes, changed);
    let resized = AttributeChange { size_bytes: Some(0), ..AttributeChange::default() };
    assert_eq!(kernel.files.change(Inode::ROOT, resized).await, Err(FsError::IsDirectory));
    assert_eq!(kernel.other_mount().files.directory(), before, "another mount has its own");
}
