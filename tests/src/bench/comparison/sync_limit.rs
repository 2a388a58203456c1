//! What a majority of three can sync, one change after the other: no store that replicates its changes does more.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::Instant;

use super::work_error::WorkError;

/// What is synced for each change.
const CHANGE_BYTES: usize = 256;
/// Written before, so that a sync has no new length to write along.
const LOG_BYTES: usize = 1 << 20;
/// Changes that are counted, and those before them that are not.
const CHANGES: u32 = 2000;
const UNCOUNTED_CHANGES: u32 = 200;

/// Changes a second of a leader that sends each to two followers, writes it over the bytes of a log that is there, syncs it,
/// and waits until one follower has done the same. No network, no database, no request: threads of one process.
pub(super) fn sync_limit(scene: &Path) -> Result<f64, WorkError> {
    let folder = scene.join("sync-limit");
    measure(&folder).map_err(WorkError::at(&folder))
}

fn measure(folder: &Path) -> io::Result<f64> {
    fs::create_dir_all(folder)?;
    let mut own = Log::make(&folder.join("leader"))?;
    let (answers, answering) = UnixStream::pair()?;
    let rate = thread::scope(|scope| {
        let mut followers = Vec::new();
        for name in ["first", "second"] {
            let (orders, ordered) = UnixStream::pair()?;
            let (log, answering) = (Log::make(&folder.join(name))?, answering.try_clone()?);
            scope.spawn(move || follow(log, ordered, answering));
            followers.push(orders);
        }
        // Dropped with the followers' orders when it ends, which ends them.
        lead(&mut own, followers, answers)
    });
    fs::remove_dir_all(folder)?;
    rate
}

fn lead(own: &mut Log, mut followers: Vec<UnixStream>, mut answers: UnixStream) -> io::Result<f64> {
    let mut begun = Instant::now();
    for number in 0..UNCOUNTED_CHANGES + CHANGES {
        if number == UNCOUNTED_CHANGES {
            begun = Instant::now();
        }
        for follower in &mut followers {
            follower.write_all(&number.to_ne_bytes())?;
        }
        own.append()?;
        // The slower one's answer to an earlier change may come first.
        while read_number(&mut answers)? != number {}
    }
    Ok(f64::from(CHANGES) / begun.elapsed().as_secs_f64())
}

fn follow(mut log: Log, mut orders: UnixStream, mut answers: UnixStream) -> io::Result<()> {
    while let Ok(number) = read_number(&mut orders) {
        log.append()?;
        answers.write_all(&number.to_ne_bytes())?;
    }
    Ok(())
}

fn read_number(stream: &mut UnixStream) -> io::Result<u32> {
    let mut number = [0; 4];
    stream.read_exact(&mut number)?;
    Ok(u32::from_ne_bytes(number))
}

/// A file that is written over from its start to its end again and again.
struct Log {
    file: File,
    offset: usize,
}

impl Log {
    fn make(path: &Path) -> io::Result<Self> {
        let mut file = File::create(path)?;
        file.write_all(&vec![0; LOG_BYTES])?;
        file.sync_all()?;
        Ok(Self { file, offset: 0 })
    }

    fn append(&mut self) -> io::Result<()> {
        self.file.write_all_at(&[1; CHANGE_BYTES], self.offset as u64)?;
        self.offset = (self.offset + CHANGE_BYTES) % LOG_BYTES;
        self.file.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::sync_limit;

    #[test]
    fn changes_are_synced_and_nothing_is_left() {
        let scene = tempfile::tempdir_in(crate::binary::profile_directory()).unwrap();
        assert!(sync_limit(scene.path()).unwrap() > 1.0);
        assert_eq!(std::fs::read_dir(scene.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_folder_that_cannot_be_is_named() {
        let scene = tempfile::tempdir().unwrap();
        std::fs::write(scene.path().join("sync-limit"), "").unwrap();
        let refused = sync_limit(scene.path()).unwrap_err().to_string();
        assert!(refused.contains("sync-limit"), "{refused}");
    }
}
