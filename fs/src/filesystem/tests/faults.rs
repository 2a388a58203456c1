//! Failures of the store at each step of a write.

use nix::errno::Errno;

use super::kernel::{APPEND, Kernel, ROW, TRUNCATE, WRITE, pattern};
use crate::client::ClientError;
use crate::filesystem::fake_store::Call;

fn no_space() -> ClientError {
    ClientError::NoSpace { why: "node-1 is full".to_owned() }
}

fn unknown() -> ClientError {
    ClientError::OutcomeUnknown { what: "commit", why: "no answer".to_owned() }
}

#[tokio::test]
async fn s05_what_stands_against_writing_shows_at_open() {
    let kernel = Kernel::new();
    kernel.store.put("old", b"old");
    let unreachable = || ClientError::Unreachable { what: "open", masters: "a".into(), why: "refused".into() };
    let too_few = || ClientError::TooFewNodes { needed: "5".into(), serving: "4".into(), missing: "node-1".into() };
    for (error, errno) in
        [(no_space(), Errno::ENOSPC), (unreachable(), Errno::EHOSTUNREACH), (too_few(), Errno::EHOSTUNREACH)]
    {
        for (name, mode) in [("new", WRITE), ("old", TRUNCATE), ("old", APPEND)] {
            kernel.store.fail_next(Call::Begin, error.clone());
            assert_eq!(kernel.open(name, mode).await.unwrap_err().errno(), errno, "{name}");
        }
    }
    assert!(kernel.store.all_faults_met());
    assert_eq!(kernel.list().await.unwrap(), ["old"]);
    assert_eq!(kernel.cat("old").await.unwrap(), b"old");
}

#[tokio::test]
async fn s21_a_failure_stays_and_the_key_keeps_its_last_commit() {
    for (call, error, errno) in [
        (Call::WriteRow, no_space(), Errno::ENOSPC),
        (Call::Seal, no_space(), Errno::ENOSPC),
        (Call::Commit, no_space(), Errno::ENOSPC),
        (Call::Commit, unknown(), Errno::ETIMEDOUT),
    ] {
        let kernel = Kernel::new();
        kernel.store.put("f", b"old");
        let handle = kernel.open("f", TRUNCATE).await.unwrap();
        kernel.write(handle, 0, b"first").await.unwrap();
        kernel.store.fail_next(call, error);
        assert_eq!(kernel.flush(handle).await.unwrap_err().errno(), errno, "{call:?}");
        assert!(kernel.store.all_faults_met());
        assert_eq!(kernel.write(handle, 0, b"again").await.unwrap_err().errno(), errno, "{call:?}");
        assert_eq!(kernel.flush(handle).await.unwrap_err().errno(), errno, "{call:?}");
        assert_eq!(kernel.files.sync(handle).await.unwrap_err().errno(), errno, "{call:?}");
        // The name leads to what is committed, and can be written anew.
        assert_eq!(kernel.cat("f").await.unwrap(), b"old", "{call:?}");
        kernel.put("f", b"anew").await.unwrap();
        kernel.files.release(handle).await.unwrap();
        assert_eq!(kernel.elsewhere("f").unwrap(), b"anew", "{call:?}");
        assert_eq!(kernel.store.open_segments(), 0, "{call:?}");
    }
}

#[tokio::test]
async fn s21_a_failed_write_of_a_full_row_is_the_writers_error() {
    let kernel = Kernel::new();
    let handle = kernel.open("f", WRITE).await.unwrap();
    kernel.write(handle, 0, &pattern(ROW, 1)).await.unwrap();
    kernel.store.fail_next(Call::WriteRow, no_space());
    assert_eq!(kernel.write(handle, ROW as u64, &pattern(ROW, 2)).await.unwrap_err().errno(), Errno::ENOSPC);
    assert_eq!(kernel.close(handle).await.unwrap_err().errno(), Errno::ENOSPC);
    assert_eq!(kernel.elsewhere("f"), None);
    assert_eq!(kernel.list().await.unwrap(), [""; 0]);
}

#[tokio::test]
async fn s21_a_failed_second_generation_leaves_the_first() {
    let kernel = Kernel::new();
    let handle = kernel.open("f", WRITE).await.unwrap();
    kernel.write(handle, 0, b"first").await.unwrap();
    kernel.flush(handle).await.unwrap();
    kernel.store.fail_next(Call::Begin, no_space());
    kernel.write(handle, 5, b" second").await.unwrap();
    assert_eq!(kernel.close(handle).await.unwrap_err().errno(), Errno::ENOSPC);
    assert_eq!(kernel.cat("f").await.unwrap(), b"first");
}

#[tokio::test]
async fn s20_what_a_release_cannot_commit_is_listed_as_lost() {
    let kernel = Kernel::new();
    let handle = kernel.open("f", WRITE).await.unwrap();
    kernel.write(handle, 0, b"lost").await.unwrap();
    kernel.store.fail_next(Call::Commit, no_space());
    kernel.files.release(handle).await.unwrap();
    let lost = kernel.files.lost_files();
    assert_eq!(lost.len(), 1);
    assert_eq!((lost[0].key.as_str(), lost[0].error.errno()), ("f", Errno::ENOSPC));
    assert_eq!(kernel.files.drain().await.lost, lost);
}

#[tokio::test]
async fn s22_a_commit_without_an_answer_is_unknown_and_never_a_part() {
    for arrives in [false, true] {
        let kernel = Kernel::new();
        kernel.store.put("f", b"old");
        let handle = kernel.open("f", TRUNCATE).await.unwrap();
        let bytes = pattern(2 * ROW + 5, 1);
        kernel.write(handle, 0, &bytes).await.unwrap();
        if arrives {
            kernel.store.lose_answer_of_commit(unknown());
        } else {
            kernel.store.fail_next(Call::Commit, unknown());
        }
        assert_eq!(kernel.close(handle).await.unwrap_err().errno(), Errno::ETIMEDOUT);
        assert!(kernel.store.all_faults_met());
        let expected = if arrives { &bytes[..] } else { b"old" };
        assert_eq!(kernel.elsewhere("f").unwrap(), expected);
        assert_eq!(kernel.cat("f").await.unwrap(), expected);
    }
}

#[tokio::test]
async fn a_read_that_fails_spoils_nothing() {
    let kernel = Kernel::new();
    kernel.store.put("f", &pattern(2 * ROW, 1));
    let handle = kernel.open("f", APPEND).await.unwrap();
    kernel.store.fail_next(Call::Read, no_space());
    kernel.read(handle).await.unwrap_err();
    kernel.write(handle, 0, b"end").await.unwrap();
    kernel.close(handle).await.unwrap();
    assert_eq!(kernel.elsewhere("f").unwrap(), [&pattern(2 * ROW, 1)[..], b"end"].concat());
}

#[tokio::test]
async fn an_unlink_that_fails_leaves_the_file_as_it_was() {
    let kernel = Kernel::new();
    kernel.store.put("f", b"old");
    let handle = kernel.open("f", APPEND).await.unwrap();
    kernel.store.fail_next(Call::Delete, no_space());
    kernel.unlink("f").await.unwrap_err();
    kernel.write(handle, 0, b"er").await.unwrap();
    kernel.close(handle).await.unwrap();
    assert_eq!(kernel.elsewhere("f").unwrap(), b"older");
}
