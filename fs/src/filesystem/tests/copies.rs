//! Copies within the directory.

use super::kernel::{Kernel, READ, ROW, TRUNCATE, WRITE, pattern};
use crate::filesystem::fake_store::Call;

#[tokio::test]
async fn s45_a_copy_of_a_whole_file_moves_no_byte() {
    let kernel = Kernel::new();
    let bytes = pattern(5 * ROW + 17, 3);
    kernel.put("from", &bytes).await.unwrap();
    let before = kernel.store.calls(Call::WriteRow) + kernel.store.calls(Call::Read);
    kernel.cp("from", "to").await.unwrap();
    assert_eq!(kernel.store.calls(Call::WriteRow) + kernel.store.calls(Call::Read), before);
    assert_eq!(kernel.elsewhere("to").unwrap(), bytes);
    kernel.unlink("from").await.unwrap();
    assert_eq!(kernel.other_mount().cat("to").await.unwrap(), bytes);
}

#[tokio::test]
async fn s45_a_copy_and_its_source_change_apart() {
    let kernel = Kernel::new();
    let bytes = pattern(3 * ROW + 5, 1);
    kernel.put("from", &bytes).await.unwrap();
    let (source, copy) = (kernel.open("from", READ).await.unwrap(), kernel.open("to", TRUNCATE).await.unwrap());
    kernel.copy(source, copy).await.unwrap();
    kernel.close(source).await.unwrap();
    kernel.write(copy, bytes.len() as u64, b"more").await.unwrap();
    kernel.write(copy, 7, b"other").await.unwrap();
    kernel.close(copy).await.unwrap();
    let mut changed = [&bytes[..], b"more"].concat();
    changed[7..12].copy_from_slice(b"other");
    assert_eq!(kernel.elsewhere("to").unwrap(), changed);
    assert_eq!(kernel.elsewhere("from").unwrap(), bytes);
}

#[tokio::test]
async fn s45_a_copy_over_an_existing_file_replaces_it_at_the_commit() {
    let kernel = Kernel::new();
    kernel.put("from", b"new").await.unwrap();
    kernel.put("to", &pattern(2 * ROW, 9)).await.unwrap();
    let (source, copy) = (kernel.open("from", READ).await.unwrap(), kernel.open("to", TRUNCATE).await.unwrap());
    kernel.copy(source, copy).await.unwrap();
    assert_eq!(kernel.elsewhere("to").unwrap(), pattern(2 * ROW, 9));
    assert_eq!(kernel.read(copy).await.unwrap(), b"new");
    kernel.close(copy).await.unwrap();
    kernel.close(source).await.unwrap();
    assert_eq!(kernel.elsewhere("to").unwrap(), b"new");
}

#[tokio::test]
async fn s45_what_is_not_committed_or_goes_behind_other_bytes_is_copied_by_reading() {
    let kernel = Kernel::new();
    let (source, copy) = (kernel.open("from", WRITE).await.unwrap(), kernel.open("to", WRITE).await.unwrap());
    kernel.write(source, 0, b"uncommitted").await.unwrap();
    kernel.copy(source, copy).await.unwrap();
    kernel.flush(source).await.unwrap();
    kernel.copy(source, copy).await.unwrap();
    kernel.close(source).await.unwrap();
    kernel.close(copy).await.unwrap();
    assert_eq!(kernel.elsewhere("to").unwrap(), b"uncommitted");
}
