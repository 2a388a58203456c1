//! A store of which the keys are written once.

use nix::errno::Errno;

use super::kernel::{APPEND, Kernel, READ, TRUNCATE, WRITE};

fn write_once() -> Kernel {
    let here = Kernel::new();
    here.store.put("f", b"old");
    here.store.write_once();
    here
}

#[tokio::test]
async fn s48_an_existing_file_is_not_opened_for_writing() {
    let here = write_once();
    for mode in [WRITE, APPEND, TRUNCATE] {
        assert_eq!(here.open("f", mode).await.unwrap_err().errno(), Errno::EEXIST, "{mode:?}");
    }
    for size_bytes in [0, 1, 100] {
        assert_eq!(here.truncate("f", size_bytes).await.unwrap_err().errno(), Errno::EEXIST, "{size_bytes}");
    }
    assert_eq!(here.cat("f").await.unwrap(), b"old");
    assert_eq!(here.store.open_segments(), 0, "nothing was begun");
}

#[tokio::test]
async fn s48_a_new_file_is_committed_at_each_flush_and_then_written_once() {
    let here = write_once();
    let handle = here.open("g", WRITE).await.unwrap();
    here.write(handle, 0, b"one").await.unwrap();
    here.flush(handle).await.unwrap();
    assert_eq!(here.open("g", APPEND).await.unwrap_err().errno(), Errno::EEXIST, "there is a commit");
    here.write(handle, 3, b"two").await.unwrap();
    here.close(handle).await.unwrap();
    assert_eq!(here.elsewhere("g").unwrap(), b"onetwo");
    assert_eq!(here.open("g", WRITE).await.unwrap_err().errno(), Errno::EEXIST);
    assert_eq!(here.cat("g").await.unwrap(), b"onetwo");
}

#[tokio::test]
async fn s48_of_two_creators_the_second_is_refused_at_open_or_at_close() {
    let here = write_once();
    let there = here.other_mount();
    let (first, second) = (here.open("g", WRITE).await.unwrap(), there.open("g", WRITE).await.unwrap());
    here.write(first, 0, b"here").await.unwrap();
    there.write(second, 0, b"there").await.unwrap();
    here.close(first).await.unwrap();
    assert_eq!(there.close(second).await.unwrap_err().errno(), Errno::EEXIST);
    assert_eq!(there.cat("g").await.unwrap(), b"here");
}

#[tokio::test]
async fn s48_no_rename_replaces() {
    let here = write_once();
    here.put("g", b"new").await.unwrap();
    assert_eq!(here.rename("g", "f").await.unwrap_err().errno(), Errno::EEXIST);
    let handle = here.open("h", WRITE).await.unwrap();
    here.write(handle, 0, b"being written").await.unwrap();
    assert_eq!(here.rename("h", "f").await.unwrap_err().errno(), Errno::EEXIST, "of a file that is being written");
    here.rename("h", "i").await.unwrap();
    here.close(handle).await.unwrap();
    here.rename("f", "f").await.unwrap();
    assert_eq!(
        (here.cat("f").await.unwrap(), here.cat("i").await.unwrap()),
        (b"old".to_vec(), b"being written".to_vec())
    );
}

#[tokio::test]
async fn s48_a_deleted_name_is_free_again() {
    let here = write_once();
    let reader = here.open("f", READ).await.unwrap();
    here.unlink("f").await.unwrap();
    here.put("f", b"new").await.unwrap();
    assert_eq!(here.cat("f").await.unwrap(), b"new");
    assert_eq!(here.read(reader).await.unwrap(), b"old");
}
