//! What a write session promises, sentence by sentence of `SEMANTICS.md`.

use std::ffi::OsStr;
use std::time::{Duration, UNIX_EPOCH};

use nix::errno::Errno;

use super::kernel::{APPEND, CALLER, EXCLUSIVE, Kernel, READ, ROW, TRUNCATE, WRITE, pattern};
use crate::filesystem::fake_store::Call;
use crate::filesystem::{AttributeChange, FsError};

fn mode(mode: u32) -> AttributeChange {
    AttributeChange { mode: Some(mode), ..AttributeChange::default() }
}

#[tokio::test]
async fn s01_a_new_file_is_visible_here_only() {
    let kernel = Kernel::new();
    let handle = kernel.open("f", WRITE).await.unwrap();
    kernel.write(handle, 0, b"abc").await.unwrap();
    assert_eq!(kernel.stat("f").await.unwrap().size_bytes, 3);
    assert_eq!(kernel.list().await.unwrap(), ["f"]);
    let other = kernel.other_mount();
    assert_eq!(other.stat("f").await, Err(FsError::NotFound));
    assert_eq!(other.list().await.unwrap(), [""; 0]);
    kernel.close(handle).await.unwrap();
    assert_eq!(other.cat("f").await.unwrap(), b"abc");
}

#[tokio::test]
async fn s06_truncating_at_open_leaves_the_old_bytes_elsewhere() {
    let kernel = Kernel::new();
    kernel.store.put("f", b"old");
    let handle = kernel.open("f", TRUNCATE).await.unwrap();
    assert_eq!(kernel.stat("f").await.unwrap().size_bytes, 0);
    kernel.write(handle, 0, b"ne").await.unwrap();
    assert_eq!(kernel.elsewhere("f").unwrap(), b"old");
    kernel.write(handle, 2, b"w").await.unwrap();
    kernel.close(handle).await.unwrap();
    assert_eq!(kernel.elsewhere("f").unwrap(), b"new");
}

#[tokio::test]
async fn s07_a_second_open_joins_the_session() {
    let kernel = Kernel::new();
    let writer = kernel.open("f", WRITE).await.unwrap();
    kernel.write(writer, 0, b"ab").await.unwrap();
    let reader = kernel.open("f", READ).await.unwrap();
    let second = kernel.open("f", APPEND).await.unwrap();
    kernel.write(second, 0, b"cd").await.unwrap();
    assert_eq!(kernel.read(reader).await.unwrap(), b"abcd");
    kernel.close(writer).await.unwrap();
    kernel.write(second, 0, b"ef").await.unwrap();
    assert_eq!(kernel.read(reader).await.unwrap(), b"abcdef");
    kernel.close(second).await.unwrap();
    assert_eq!(kernel.read(reader).await.unwrap(), b"abcdef");
    kernel.close(reader).await.unwrap();
    assert_eq!(kernel.elsewhere("f").unwrap(), b"abcdef");
}

#[tokio::test]
async fn s08_opening_before_the_release_gives_what_was_closed() {
    let kernel = Kernel::new();
    let writer = kernel.open("f", WRITE).await.unwrap();
    kernel.write(writer, 0, b"ab").await.unwrap();
    kernel.flush(writer).await.unwrap();
    assert_eq!(kernel.cat("f").await.unwrap(), b"ab");
    let second = kernel.open("f", APPEND).await.unwrap();
    kernel.files.release(writer).await.unwrap();
    kernel.write(second, 0, b"c").await.unwrap();
    kernel.close(second).await.unwrap();
    assert_eq!(kernel.cat("f").await.unwrap(), b"abc");
}

#[tokio::test]
async fn s10_reads_past_the_end_give_fewer_bytes_or_none() {
    let kernel = Kernel::new();
    let bytes = pattern(ROW + 10, 1);
    kernel.store.put("committed", &bytes);
    let committed = kernel.open("committed", READ).await.unwrap();
    let being_written = kernel.open("written", WRITE).await.unwrap();
    kernel.write(being_written, 0, &bytes).await.unwrap();
    for handle in [committed, being_written] {
        let read = async |offset, length| kernel.files.read(handle, offset, length).await.unwrap();
        assert_eq!(read(ROW as u64, ROW).await, bytes[ROW..]);
        assert_eq!(read(bytes.len() as u64 - 1, 2).await, bytes[bytes.len() - 1..]);
        for offset in [bytes.len() as u64, bytes.len() as u64 + 1, 1 << 40] {
            assert_eq!(read(offset, ROW).await, b""[..], "{offset}");
        }
        kernel.close(handle).await.unwrap();
    }
}

#[tokio::test]
async fn s12_a_write_with_append_goes_to_the_end_wherever_that_is_by_then() {
    let kernel = Kernel::new();
    kernel.store.put("f", b"ab");
    let appender = kernel.open("f", APPEND).await.unwrap();
    let writer = kernel.open("f", WRITE).await.unwrap();
    kernel.write(appender, 0, b"cd").await.unwrap();
    kernel.write(writer, 6, b"x").await.unwrap();
    kernel.write(appender, 1, b"end").await.unwrap();
    kernel.close(writer).await.unwrap();
    kernel.close(appender).await.unwrap();
    assert_eq!(kernel.elsewhere("f").unwrap(), b"abcd\0\0xend");
}

#[tokio::test]
async fn s11_bytes_never_written_are_zeros() {
    let kernel = Kernel::new();
    let handle = kernel.open("f", WRITE).await.unwrap();
    kernel.write(handle, 3 * ROW as u64 + 5, b"end").await.unwrap();
    kernel.write(handle, ROW as u64 - 1, b"xy").await.unwrap();
    kernel.close(handle).await.unwrap();
    let mut expected = vec![0; 3 * ROW + 8];
    expected[ROW - 1..=ROW].copy_from_slice(b"xy");
    expected[3 * ROW + 5..].copy_from_slice(b"end");
    assert_eq!(kernel.elsewhere("f").unwrap(), expected);
}

#[tokio::test]
async fn s13_a_hole_that_is_too_large_changes_nothing() {
    let kernel = Kernel::new();
    let handle = kernel.open("f", WRITE).await.unwrap();
    kernel.write(handle, 0, b"ab").await.unwrap();
    let error = kernel.write(handle, 2 << 30, b"c").await.unwrap_err();
    assert_eq!(error.errno(), Errno::EFBIG);
    assert_eq!(kernel.truncate("f", 2 << 30).await.unwrap_err().errno(), Errno::EFBIG);
    assert_eq!(kernel.write(handle, u64::MAX - 1, b"c").await.unwrap_err().errno(), Errno::EFBIG);
    kernel.close(handle).await.unwrap();
    assert_eq!(kernel.elsewhere("f").unwrap(), b"ab");
}

#[tokio::test]
async fn s15_truncating_a_file_that_nobody_writes_commits_at_once() {
    let kernel = Kernel::new();
    let bytes = pattern(2 * ROW + 10, 1);
    kernel.store.put("f", &bytes);
    kernel.truncate("f", ROW as u64 + 3).await.unwrap();
    assert_eq!(kernel.elsewhere("f").unwrap(), bytes[..ROW + 3]);
    kernel.truncate("f", ROW as u64 + 5).await.unwrap();
    assert_eq!(kernel.elsewhere("f").unwrap(), [&bytes[..ROW + 3], &[0, 0]].concat());
    kernel.truncate("f", 0).await.unwrap();
    assert_eq!(kernel.elsewhere("f").unwrap(), b"");
}

#[tokio::test]
async fn s16_a_flush_with_nothing_new_does_nothing() {
    let kernel = Kernel::new();
    let handle = kernel.open("f", WRITE).await.unwrap();
    kernel.write(handle, 0, b"ab").await.unwrap();
    kernel.flush(handle).await.unwrap();
    kernel.flush(handle).await.unwrap();
    kernel.close(handle).await.unwrap();
    assert_eq!(kernel.store.calls(Call::Commit), 1);
}

#[tokio::test]
async fn s17_an_empty_file_that_nobody_asked_for_stays_pending() {
    let kernel = Kernel::new();
    let handle = kernel.open("f", WRITE).await.unwrap();
    kernel.flush(handle).await.unwrap();
    kernel.flush(handle).await.unwrap();
    assert_eq!(kernel.elsewhere("f"), None);
    kernel.change("f", mode(0o600)).await.unwrap();
    kernel.flush(handle).await.unwrap();
    assert_eq!(kernel.elsewhere("f").unwrap(), b"");
    kernel.files.release(handle).await.unwrap();
}

#[tokio::test]
async fn s18_a_later_flush_shares_full_rows_with_the_earlier() {
    let kernel = Kernel::new();
    let bytes = pattern(3 * ROW + 100, 2);
    let handle = kernel.open("f", WRITE).await.unwrap();
    kernel.write(handle, 0, &bytes[..2 * ROW + 50]).await.unwrap();
    kernel.flush(handle).await.unwrap();
    let first = kernel.store.extents("f");
    let sent = kernel.store.calls(Call::WriteRow);
    kernel.write(handle, 2 * ROW as u64 + 50, &bytes[2 * ROW + 50..]).await.unwrap();
    kernel.close(handle).await.unwrap();
    assert_eq!(kernel.elsewhere("f").unwrap(), bytes);
    let second = kernel.store.extents("f");
    assert_eq!((first.len(), second.len()), (1, 2));
    assert_eq!((second[0].segment, second[0].rows), (first[0].segment, 2));
    assert_eq!(kernel.store.calls(Call::WriteRow) - sent, 2, "only the tail is sent again");
    assert_eq!(kernel.store.calls(Call::Read) + kernel.store.calls(Call::ReadRow), 0, "the tail was kept");
}

#[tokio::test]
async fn s19_fsync_commits_an_empty_file_and_writing_goes_on() {
    let kernel = Kernel::new();
    let handle = kernel.open("f", WRITE).await.unwrap();
    kernel.files.sync(handle).await.unwrap();
    assert_eq!(kernel.elsewhere("f").unwrap(), b"");
    kernel.write(handle, 0, b"ab").await.unwrap();
    kernel.files.sync(handle).await.unwrap();
    assert_eq!(kernel.elsewhere("f").unwrap(), b"ab");
    kernel.close(handle).await.unwrap();
}

#[tokio::test]
async fn s20_the_release_alone_commits() {
    let kernel = Kernel::new();
    let empty = kernel.open("empty", WRITE).await.unwrap();
    let full = kernel.open("full", WRITE).await.unwrap();
    kernel.write(full, 0, b"ab").await.unwrap();
    kernel.files.release(empty).await.unwrap();
    kernel.files.release(full).await.unwrap();
    assert_eq!(kernel.elsewhere("empty").unwrap(), b"");
    assert_eq!(kernel.elsewhere("full").unwrap(), b"ab");
}

#[tokio::test]
async fn s23_a_writer_that_runs_leaves_no_signal() {
    let kernel = Kernel::new();
    let handle = kernel.open("f", WRITE).await.unwrap();
    kernel.write(handle, 0, b"ab").await.unwrap();
    kernel.files.flush(handle, std::process::id()).await.unwrap();
    kernel.files.release(handle).await.unwrap();
    assert_eq!(kernel.store.killed_by("f"), Some(0));
}

#[tokio::test]
async fn s24_a_file_of_many_pieces_is_rewritten_as_one() {
    let kernel = Kernel::new();
    let mut bytes = pattern(150 * ROW, 3);
    kernel.store.put("f", &bytes);
    let handle = kernel.open("f", WRITE).await.unwrap();
    for row in (0..150).step_by(2) {
        kernel.write(handle, (row * ROW) as u64 + 1, b"changed").await.unwrap();
        bytes[row * ROW + 1..row * ROW + 8].copy_from_slice(b"changed");
    }
    kernel.close(handle).await.unwrap();
    assert_eq!(kernel.elsewhere("f").unwrap(), bytes);
    assert_eq!(kernel.store.extents("f").len(), 1);
}

#[tokio::test]
async fn s25_a_file_that_was_not_changed_is_not_committed() {
    let kernel = Kernel::new();
    kernel.store.put("f", b"ab");
    let handle = kernel.open("f", WRITE).await.unwrap();
    assert_eq!(kernel.read(handle).await.unwrap(), b"ab");
    kernel.close(handle).await.unwrap();
    assert_eq!(kernel.store.calls(Call::Commit), 0);
    assert_eq!(kernel.store.open_segments(), 0);
}

#[tokio::test]
async fn s26_an_unlinked_file_is_never_created_again() {
    let kernel = Kernel::new();
    kernel.store.put("old", b"old bytes");
    for name in ["new", "old"] {
        let writer = kernel.open(name, WRITE).await.unwrap();
        let reader = kernel.open(name, READ).await.unwrap();
        kernel.unlink(name).await.unwrap();
        assert_eq!(kernel.unlink(name).await, Err(FsError::NotFound));
        kernel.write(writer, 0, &pattern(2 * ROW, 4)).await.unwrap();
        kernel.files.sync(writer).await.unwrap();
        kernel.close(writer).await.unwrap();
        assert_eq!(kernel.read(reader).await.unwrap(), pattern(2 * ROW, 4));
        kernel.close(reader).await.unwrap();
        assert_eq!(kernel.stat(name).await, Err(FsError::NotFound));
    }
    assert_eq!(kernel.store.keys(), [""; 0]);
    assert_eq!(kernel.store.open_segments(), 0);
}

#[tokio::test]
async fn s27_renaming_without_replacing_fails_on_any_existing_name() {
    let kernel = Kernel::new();
    kernel.store.put("there", b"1");
    kernel.store.put("from", b"2");
    let pending = kernel.open("pending", WRITE).await.unwrap();
    let rename = |from: &'static str, to: &'static str| {
        let files = kernel.files.clone();
        async move { files.rename(OsStr::new(from), OsStr::new(to), true).await }
    };
    assert_eq!(rename("from", "there").await, Err(FsError::Exists));
    assert_eq!(rename("from", "pending").await, Err(FsError::Exists));
    assert_eq!(rename("pending", "there").await, Err(FsError::Exists));
    rename("pending", "free").await.unwrap();
    kernel.close(pending).await.unwrap();
    assert_eq!(kernel.store.keys(), ["free", "from", "there"]);
}

#[tokio::test]
async fn s28_renaming_moves_the_name_of_the_next_commit() {
    let kernel = Kernel::new();
    kernel.store.put("b", b"old b");
    let handle = kernel.open("a", WRITE).await.unwrap();
    kernel.write(handle, 0, b"one").await.unwrap();
    kernel.rename("a", "b").await.unwrap();
    assert_eq!(kernel.stat("a").await, Err(FsError::NotFound));
    assert_eq!(kernel.elsewhere("b").unwrap(), b"old b");
    kernel.flush(handle).await.unwrap();
    kernel.write(handle, 3, b" two").await.unwrap();
    kernel.rename("b", "c").await.unwrap();
    assert_eq!(kernel.elsewhere("c").unwrap(), b"one two", "brought up to date before its name changed");
    kernel.close(handle).await.unwrap();
    assert_eq!(kernel.store.keys(), ["c"]);
}

#[tokio::test]
async fn s29_a_file_replaced_while_being_written_is_unlinked() {
    let kernel = Kernel::new();
    kernel.store.put("a", b"wins");
    let loser = kernel.open("b", WRITE).await.unwrap();
    kernel.write(loser, 0, b"loses").await.unwrap();
    kernel.rename("a", "b").await.unwrap();
    kernel.close(loser).await.unwrap();
    assert_eq!(kernel.elsewhere("b").unwrap(), b"wins");
    assert_eq!(kernel.store.keys(), ["b"]);
}

#[tokio::test]
async fn s35_mode_owner_group_and_modification_time_are_kept() {
    let kernel = Kernel::new();
    kernel.put("f", b"ab").await.unwrap();
    let time = UNIX_EPOCH + Duration::new(981_173_106, 123_456_789);
    let change = AttributeChange { mode: Some(0o640), uid: Some(3), gid: Some(4), mtime: Some(time), size_bytes: None };
    kernel.change("f", change).await.unwrap();
    for mount in [&kernel, &kernel.other_mount()] {
        let kept = mount.stat("f").await.unwrap().attributes;
        assert_eq!((kept.mode & 0o7777, kept.uid, kept.gid), (0o640, 3, 4));
        assert_eq!((kept.mtime_seconds, kept.mtime_nanoseconds), (981_173_106, 123_456_789));
    }
}

#[tokio::test]
async fn s36_attributes_go_with_the_commit_or_at_once() {
    let kernel = Kernel::new();
    let handle = kernel.open("f", EXCLUSIVE).await.unwrap();
    kernel.write(handle, 0, b"ab").await.unwrap();
    let time = UNIX_EPOCH + Duration::new(1000, 5);
    let change = AttributeChange { mode: Some(0o751), uid: Some(3), gid: Some(4), mtime: Some(time), size_bytes: None };
    kernel.change("f", change).await.unwrap();
    assert_eq!(kernel.store.calls(Call::SetAttributes), 0);
    kernel.flush(handle).await.unwrap();
    let attributes = kernel.store.attributes("f").unwrap();
    assert_eq!((attributes.mode, attributes.uid, attributes.gid), (0o751, 3, 4));
    assert_eq!((attributes.mtime_seconds, attributes.mtime_nanoseconds), (1000, 5));
    kernel.change("f", mode(0o700)).await.unwrap();
    assert_eq!(kernel.store.attributes("f").unwrap().mode, 0o700);
    kernel.files.release(handle).await.unwrap();
    kernel.change("f", mode(0o640)).await.unwrap();
    assert_eq!(kernel.store.attributes("f").unwrap().mode, 0o640);
    assert_eq!(kernel.store.calls(Call::Commit), 1);
}

#[tokio::test]
async fn s37_a_write_sets_the_modification_time() {
    let kernel = Kernel::new();
    kernel.store.put("f", b"ab");
    assert_eq!(kernel.store.attributes("f").unwrap().mtime_seconds, 0);
    let handle = kernel.open("f", APPEND).await.unwrap();
    kernel.write(handle, 0, b"c").await.unwrap();
    kernel.close(handle).await.unwrap();
    assert!(kernel.store.attributes("f").unwrap().mtime_seconds > 1_000_000_000);
}

#[tokio::test]
async fn s38_a_write_without_privilege_clears_set_user_id() {
    let kernel = Kernel::new();
    kernel.put("f", b"ab").await.unwrap();
    kernel.change("f", mode(0o6755)).await.unwrap();
    let handle = kernel.open("f", WRITE).await.unwrap();
    kernel.write(handle, 0, b"c").await.unwrap();
    assert_eq!(kernel.stat("f").await.unwrap().attributes.mode, 0o6755);
    kernel.files.write(handle, 0, bytes::Bytes::from_static(b"d"), true).await.unwrap();
    kernel.close(handle).await.unwrap();
    assert_eq!(kernel.store.attributes("f").unwrap().mode, 0o755);
    kernel.change("f", mode(0o6755)).await.unwrap();
    kernel.change("f", AttributeChange { gid: Some(5), ..AttributeChange::default() }).await.unwrap();
    assert_eq!(kernel.store.attributes("f").unwrap().mode, 0o755);
}

#[tokio::test]
async fn s43_draining_commits_what_is_still_being_written() {
    let kernel = Kernel::new();
    kernel.store.put("kept", b"old");
    let writer = kernel.open("f", WRITE).await.unwrap();
    kernel.write(writer, 0, b"ab").await.unwrap();
    // Opened by nobody: the truncation was never asked for to the end.
    let inode = kernel.files.look_up(OsStr::new("kept"), CALLER).await.unwrap().inode;
    assert_eq!(kernel.files.open(inode, TRUNCATE).await, Err(FsError::LookAgain));
    let drained = kernel.files.drain().await;
    assert_eq!((drained.committed, drained.lost.len()), (1, 0));
    assert_eq!(kernel.elsewhere("f").unwrap(), b"ab");
    assert_eq!(kernel.elsewhere("kept").unwrap(), b"old");
}

#[tokio::test(start_paused = true)]
async fn a_session_that_nobody_comes_to_open_ends_by_itself() {
    let kernel = Kernel::new();
    kernel.store.put("f", b"old");
    let inode = kernel.files.look_up(OsStr::new("f"), CALLER).await.unwrap().inode;
    assert_eq!(kernel.files.open(inode, TRUNCATE).await, Err(FsError::LookAgain));
    assert_eq!(kernel.stat("f").await.unwrap().size_bytes, 0);
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(kernel.stat("f").await.unwrap().size_bytes, 3);
    assert_eq!(kernel.cat("f").await.unwrap(), b"old");
    assert_eq!(kernel.store.open_segments(), 0);
}
