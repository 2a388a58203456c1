//! What programs really send, as measured, one sequence each; C create, O open, W write, F flush, S attributes,
//! R release.

use std::time::{Duration, UNIX_EPOCH};

use super::kernel::{APPEND, EXCLUSIVE, Kernel, READ, ROW, TRUNCATE, WRITE, pattern};
use crate::filesystem::AttributeChange;

fn mtime(seconds: u64) -> AttributeChange {
    AttributeChange { mtime: Some(UNIX_EPOCH + Duration::from_secs(seconds)), ..AttributeChange::default() }
}

fn mode(mode: u32) -> AttributeChange {
    AttributeChange { mode: Some(mode), ..AttributeChange::default() }
}

#[tokio::test]
async fn echo_flushes_before_it_writes() {
    let kernel = Kernel::new();
    let f = kernel.open("f", TRUNCATE).await.unwrap();
    kernel.flush(f).await.unwrap();
    kernel.write(f, 0, b"hi\n").await.unwrap();
    kernel.close(f).await.unwrap();
    assert_eq!(kernel.elsewhere("f").unwrap(), b"hi\n");
}

#[tokio::test]
async fn one_descriptor_for_several_commands_flushes_in_between() {
    let kernel = Kernel::new();
    let f = kernel.open("f", TRUNCATE).await.unwrap();
    kernel.flush(f).await.unwrap();
    for (offset, line) in [(0, b"a\n"), (2, b"b\n"), (4, b"c\n")] {
        kernel.write(f, offset, line).await.unwrap();
        kernel.flush(f).await.unwrap();
    }
    kernel.files.release(f).await.unwrap();
    assert_eq!(kernel.elsewhere("f").unwrap(), b"a\nb\nc\n");
}

#[tokio::test]
async fn a_background_writer_amends_a_commit_that_was_read() {
    let kernel = Kernel::new();
    let f = kernel.open("f", TRUNCATE).await.unwrap();
    kernel.write(f, 0, b"a\n").await.unwrap();
    kernel.flush(f).await.unwrap();
    assert_eq!(kernel.cat("f").await.unwrap(), b"a\n");
    assert_eq!(kernel.other_mount().cat("f").await.unwrap(), b"a\n");
    kernel.write(f, 2, b"late\n").await.unwrap();
    kernel.close(f).await.unwrap();
    assert_eq!(kernel.other_mount().cat("f").await.unwrap(), b"a\nlate\n");
}

#[tokio::test]
async fn an_empty_redirection_and_touch_leave_empty_files() {
    let kernel = Kernel::new();
    let empty = kernel.open("empty", TRUNCATE).await.unwrap();
    kernel.flush(empty).await.unwrap();
    kernel.close(empty).await.unwrap();
    let touched = kernel.open("touched", WRITE).await.unwrap();
    kernel.flush(touched).await.unwrap();
    kernel.change("touched", mtime(1000)).await.unwrap();
    kernel.close(touched).await.unwrap();
    assert_eq!(kernel.elsewhere("empty").unwrap(), b"");
    assert_eq!(kernel.store.attributes("touched").unwrap().mtime_seconds, 1000);
}

#[tokio::test]
async fn a_shorter_file_written_over_a_longer_one_is_shorter() {
    let kernel = Kernel::new();
    kernel.store.put("old", &pattern(3 * ROW, 1));
    kernel.put("old", b"new").await.unwrap();
    assert_eq!(kernel.elsewhere("old").unwrap(), b"new");
}

#[tokio::test]
async fn cp_of_a_sparse_file_seeks_first_and_of_a_hole_only_truncates() {
    let kernel = Kernel::new();
    let f = kernel.open("sparse", EXCLUSIVE).await.unwrap();
    kernel.write(f, 1 << 20, b"data!").await.unwrap();
    kernel.close(f).await.unwrap();
    let mut expected = vec![0; 1 << 20];
    expected.extend_from_slice(b"data!");
    assert_eq!(kernel.elsewhere("sparse").unwrap(), expected);
    let f = kernel.open("hole", EXCLUSIVE).await.unwrap();
    kernel.truncate("hole", 100_000).await.unwrap();
    kernel.close(f).await.unwrap();
    assert_eq!(kernel.elsewhere("hole").unwrap(), vec![0; 100_000]);
}

#[tokio::test]
async fn install_changes_the_mode_after_closing() {
    let kernel = Kernel::new();
    let f = kernel.open("f", EXCLUSIVE).await.unwrap();
    kernel.write(f, 0, b"x").await.unwrap();
    kernel.change("f", mtime(5)).await.unwrap();
    kernel.change("f", mode(0o600)).await.unwrap();
    kernel.close(f).await.unwrap();
    kernel.change("f", mode(0o755)).await.unwrap();
    let attributes = kernel.store.attributes("f").unwrap();
    assert_eq!((attributes.mode, attributes.mtime_seconds), (0o755, 5));
}

#[tokio::test]
async fn rsync_renames_right_after_closing() {
    let kernel = Kernel::new();
    kernel.store.put("f", b"old");
    let temporary = kernel.open(".f.abcd", EXCLUSIVE).await.unwrap();
    kernel.write(temporary, 0, b"new").await.unwrap();
    kernel.flush(temporary).await.unwrap();
    kernel.change(".f.abcd", mtime(7)).await.unwrap();
    // The rename overtakes the release.
    kernel.rename(".f.abcd", "f").await.unwrap();
    kernel.files.release(temporary).await.unwrap();
    assert_eq!(kernel.store.keys(), ["f"]);
    assert_eq!(kernel.elsewhere("f").unwrap(), b"new");
    assert_eq!(kernel.cat("f").await.unwrap(), b"new");
}

#[tokio::test]
async fn rsync_in_place_writes_over_and_cuts_off() {
    let kernel = Kernel::new();
    kernel.store.put("f", &pattern(4 * ROW, 1));
    let reader = kernel.open("f", READ).await.unwrap();
    let writer = kernel.open("f", WRITE).await.unwrap();
    let new = pattern(2 * ROW + 10, 2);
    for start in (0..new.len()).step_by(3000) {
        kernel.write(writer, start as u64, &new[start..(start + 3000).min(new.len())]).await.unwrap();
    }
    kernel.truncate("f", new.len() as u64).await.unwrap();
    kernel.close(writer).await.unwrap();
    assert_eq!(kernel.read(reader).await.unwrap(), pattern(4 * ROW, 1));
    kernel.close(reader).await.unwrap();
    assert_eq!(kernel.elsewhere("f").unwrap(), new);
}

#[tokio::test]
async fn vim_writes_its_swap_file_at_the_front_again_and_again() {
    let kernel = Kernel::new();
    let swap = kernel.open(".f.swp", EXCLUSIVE).await.unwrap();
    for round in 0..5_u8 {
        kernel.write(swap, 0, &pattern(4096, round)).await.unwrap();
        kernel.write(swap, 4096 * (1 + u64::from(round)), &pattern(4096, round)).await.unwrap();
        kernel.files.sync(swap).await.unwrap();
    }
    let bytes = kernel.elsewhere(".f.swp").unwrap();
    assert_eq!(bytes.len(), 6 * 4096);
    assert_eq!(bytes[..4096], pattern(4096, 4));
    kernel.unlink(".f.swp").await.unwrap();
    kernel.close(swap).await.unwrap();
    let f = kernel.open("f", WRITE).await.unwrap();
    kernel.truncate("f", 0).await.unwrap();
    kernel.write(f, 0, b"text").await.unwrap();
    kernel.files.sync(f).await.unwrap();
    kernel.change("f", mode(0o640)).await.unwrap();
    kernel.close(f).await.unwrap();
    assert_eq!(kernel.store.keys(), ["f"]);
    assert_eq!(kernel.store.attributes("f").unwrap().mode, 0o640);
}

#[tokio::test]
async fn tar_sets_everything_before_it_closes() {
    let kernel = Kernel::new();
    let bytes = pattern(ROW + 700, 3);
    let f = kernel.open("f", EXCLUSIVE).await.unwrap();
    for start in (0..bytes.len()).step_by(512) {
        kernel.write(f, start as u64, &bytes[start..(start + 512).min(bytes.len())]).await.unwrap();
    }
    kernel.change("f", mtime(9)).await.unwrap();
    kernel.change("f", AttributeChange { uid: Some(11), ..AttributeChange::default() }).await.unwrap();
    kernel.change("f", mode(0o444)).await.unwrap();
    kernel.close(f).await.unwrap();
    let attributes = kernel.store.attributes("f").unwrap();
    assert_eq!((attributes.mtime_seconds, attributes.uid, attributes.mode), (9, 11, 0o444));
    assert_eq!(kernel.elsewhere("f").unwrap(), bytes);
}

#[tokio::test]
async fn a_shared_mapping_writes_after_the_flush() {
    let kernel = Kernel::new();
    let f = kernel.open("f", WRITE).await.unwrap();
    kernel.truncate("f", 4096).await.unwrap();
    kernel.flush(f).await.unwrap();
    kernel.write(f, 0, b"mapped").await.unwrap();
    kernel.files.release(f).await.unwrap();
    assert_eq!(kernel.elsewhere("f").unwrap()[..6], *b"mapped");
}

#[tokio::test]
async fn appending_lines_one_open_at_a_time() {
    let kernel = Kernel::new();
    let mut expected = Vec::new();
    for number in 0..100 {
        let line = format!("line {number}\n");
        let f = kernel.open("log", APPEND).await.unwrap();
        kernel.write(f, 0, line.as_bytes()).await.unwrap();
        kernel.close(f).await.unwrap();
        expected.extend_from_slice(line.as_bytes());
    }
    assert_eq!(kernel.elsewhere("log").unwrap(), expected);
    assert_eq!(kernel.store.open_segments(), 0);
}
