//! Random operations against files that are plain byte vectors.
//!
//! Two names; at most one handle that writes and one that reads on each. After every operation what this mount
//! reads must be what was written, and what everybody else reads must be the last commit, whole. The mount may crash
//! at any moment, also in the middle of a commit: the next one shows what everybody else reads, no more and no less.

mod file;

use std::pin::pin;
use std::task::Poll;

use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_assert_eq, prop_oneof, proptest};
use proptest::test_runner::TestCaseError;
use tokio::runtime::Runtime;

use file::File;

use super::kernel::{APPEND, Kernel, READ, ROW, TRUNCATE, WRITE, pattern};
use crate::filesystem::fake_store::FakeStore;
use crate::filesystem::{AttributeChange, FileSystemOptions, FsError};

const NAMES: [&str; 2] = ["a", "b"];
/// Permissions of a new file.
const NEW_MODE: u32 = 0o644;

#[derive(Debug, Clone)]
enum Step {
    Open { kind: u8 },
    Write { offset: usize, length: usize, seed: u8 },
    Resize { size: usize },
    Flush,
    Sync,
    Close,
    Unlink,
    Rename,
    Copy,
    SetMode { mode: u32 },
    Crash { polls: usize },
    Check,
}

fn offsets() -> impl Strategy<Value = usize> {
    prop_oneof![0..4 * ROW, (0..5_usize).prop_map(|row| row * ROW), (0..9_usize).prop_map(|cell| cell * ROW / 2 + 1)]
}

fn step() -> impl Strategy<Value = (usize, Step)> {
    let write = (offsets(), prop_oneof![1..200_usize, 1..3 * ROW, Just(ROW)], any::<u8>())
        .prop_map(|(offset, length, seed)| Step::Write { offset, length, seed });
    let kind = prop_oneof![
        3 => any::<u8>().prop_map(|kind| Step::Open { kind }),
        8 => write,
        2 => offsets().prop_map(|size| Step::Resize { size }),
        2 => Just(Step::Flush),
        1 => Just(Step::Sync),
        2 => Just(Step::Close),
        1 => Just(Step::Unlink),
        1 => Just(Step::Rename),
        2 => Just(Step::Copy),
        2 => (0..0o1000_u32).prop_map(|mode| Step::SetMode { mode }),
        1 => (0..12_usize).prop_map(|polls| Step::Crash { polls }),
        2 => Just(Step::Check),
    ];
    (0..NAMES.len(), kind)
}

struct Run {
    kernel: Kernel,
    options: FileSystemOptions,
    files: [File; 2],
}

impl Run {
    async fn step(&mut self, index: usize, step: Step) -> Result<(), TestCaseError> {
        let name = NAMES[index];
        match step {
            Step::Open { kind } => self.open(index, kind).await,
            Step::Write { offset, length, seed } => self.write(index, offset, &pattern(length, seed)).await,
            Step::Resize { size } => self.resize(index, size).await,
            Step::Flush | Step::Sync => self.flush(index, matches!(step, Step::Sync)).await,
            Step::Close => self.close(index).await,
            Step::Unlink => {
                let file = &mut self.files[index];
                let expected = if file.here.is_some() { Ok(()) } else { Err(FsError::NotFound) };
                prop_assert_eq!(self.kernel.unlink(name).await, expected);
                let writer = file.writer.take();
                *file = File::default();
                if let Some((handle, _)) = writer {
                    prop_assert_eq!(self.kernel.close(handle).await, Ok(()));
                }
            }
            Step::Rename => self.rename(index).await?,
            Step::Copy => self.copy(index).await,
            Step::SetMode { mode } => self.set_mode(index, mode).await,
            Step::Crash { polls } => return self.die(index, polls).await,
            Step::Check => {}
        }
        self.check().await
    }

    async fn open(&mut self, index: usize, kind: u8) {
        let file = &mut self.files[index];
        if file.writer.is_some() {
            return;
        }
        let mode = [WRITE, TRUNCATE, APPEND][usize::from(kind % 3)];
        let handle = self.kernel.open(NAMES[index], mode).await.unwrap();
        file.writer = Some((handle, mode.appends));
        file.is_deliberate = false;
        match &mut file.here {
            Some(bytes) if mode.truncates => {
                file.is_dirty = true;
                bytes.clear();
            }
            Some(_) => {}
            none => {
                *none = Some(Vec::new());
                (file.mode, file.is_dirty) = (NEW_MODE, true);
            }
        }
    }

    async fn write(&mut self, index: usize, offset: usize, data: &[u8]) {
        let file = &mut self.files[index];
        let (Some((handle, appends)), Some(bytes)) = (file.writer, &mut file.here) else { return };
        let offset = if appends { bytes.len() } else { offset };
        self.kernel.write(handle, offset as u64, data).await.unwrap();
        let end = offset + data.len();
        bytes.resize(bytes.len().max(end), 0);
        bytes[offset..end].copy_from_slice(data);
        file.is_dirty = true;
    }

    async fn resize(&mut self, index: usize, size: usize) {
        let file = &mut self.files[index];
        let Some(bytes) = &mut file.here else { return };
        self.kernel.truncate(NAMES[index], size as u64).await.unwrap();
        file.is_dirty |= size != bytes.len();
        bytes.resize(size, 0);
        file.is_deliberate = true;
        if file.writer.is_none() {
            file.mark_committed();
        }
    }

    async fn flush(&mut self, index: usize, sync: bool) {
        let file = &mut self.files[index];
        let Some((handle, _)) = file.writer else { return };
        if sync {
            self.kernel.files.sync(handle).await.unwrap();
            file.is_deliberate = true;
        } else {
            self.kernel.flush(handle).await.unwrap();
        }
        if file.flush_commits() {
            file.mark_committed();
        }
    }

    async fn close(&mut self, index: usize) {
        let file = &mut self.files[index];
        let Some((handle, _)) = file.writer.take() else { return };
        self.kernel.close(handle).await.unwrap();
        file.mark_committed();
    }

    async fn set_mode(&mut self, index: usize, mode: u32) {
        let file = &mut self.files[index];
        if file.here.is_none() {
            return;
        }
        let change = AttributeChange { mode: Some(mode), ..AttributeChange::default() };
        self.kernel.change(NAMES[index], change).await.unwrap();
        file.mode = mode;
        file.is_deliberate = true;
        if !file.is_dirty {
            file.stored_mode = mode;
        }
    }

    /// The mount dies after some steps of a flush, which is then there whole or not at all.
    async fn die(&mut self, index: usize, polls: usize) -> Result<(), TestCaseError> {
        let file = &mut self.files[index];
        let Some((handle, _)) = file.writer else { return Ok(()) };
        let mut flush = pin!(self.kernel.files.flush(handle, 0));
        for _ in 0..polls {
            let polled = std::future::poll_fn(|context| Poll::Ready(flush.as_mut().poll(context))).await;
            if let Poll::Ready(flushed) = polled {
                prop_assert_eq!(flushed, Ok(()));
                break;
            }
            tokio::task::yield_now().await;
        }
        let stored = self.kernel.store.attributes(NAMES[index]).map(|attributes| attributes.mode);
        if file.flush_commits() && self.kernel.elsewhere(NAMES[index]) == file.here && stored == Some(file.mode) {
            file.mark_committed();
        }
        Ok(())
    }

    /// The next mount, when nothing of the one that died is left.
    async fn restart(&mut self) -> Result<(), TestCaseError> {
        self.kernel = Kernel::on(self.kernel.store.clone(), self.options.clone());
        prop_assert_eq!(self.kernel.store.open_segments(), 0, "a mount that is gone writes nothing");
        self.files = self.files.each_ref().map(File::after_crash);
        self.check().await
    }

    /// Copies the file over the start of the other one, which is open for writing.
    async fn copy(&mut self, index: usize) {
        let to = 1 - index;
        let (Some(bytes), Some((handle, false))) = (self.files[index].here.clone(), self.files[to].writer) else {
            return;
        };
        let source = self.kernel.open(NAMES[index], READ).await.unwrap();
        self.kernel.copy(source, handle).await.unwrap();
        self.kernel.close(source).await.unwrap();
        let Some(target) = &mut self.files[to].here else { return };
        target.resize(target.len().max(bytes.len()), 0);
        target[..bytes.len()].copy_from_slice(&bytes);
        self.files[to].is_dirty |= !bytes.is_empty();
    }

    async fn rename(&mut self, index: usize) -> Result<(), TestCaseError> {
        let (from, to) = (index, 1 - index);
        let renamed = self.kernel.rename(NAMES[from], NAMES[to]).await;
        if self.files[from].here.is_none() {
            prop_assert_eq!(renamed, Err(FsError::NotFound));
            return Ok(());
        }
        prop_assert_eq!(renamed, Ok(()));
        let mut moved = std::mem::take(&mut self.files[from]);
        let replaced = std::mem::take(&mut self.files[to]);
        // A file that the store has under the old name is brought up to date there first.
        if moved.elsewhere.is_some() {
            moved.mark_committed();
        } else {
            (moved.elsewhere, moved.stored_mode) = (replaced.elsewhere, replaced.stored_mode);
        }
        self.files[to] = moved;
        if let Some((handle, _)) = replaced.writer {
            prop_assert_eq!(self.kernel.close(handle).await, Ok(()));
        }
        Ok(())
    }

    async fn check(&self) -> Result<(), TestCaseError> {
        for (name, file) in NAMES.iter().zip(&self.files) {
            let here = match self.kernel.cat(name).await {
                Ok(bytes) => Some(bytes),
                Err(FsError::NotFound) => None,
                Err(error) => return Err(TestCaseError::fail(format!("cat {name}: {error}"))),
            };
            prop_assert_eq!(
                here.as_deref().map(<[u8]>::len),
                file.here.as_deref().map(<[u8]>::len),
                "length of {}",
                name
            );
            prop_assert_eq!(here == file.here, true, "bytes of {} here", name);
            prop_assert_eq!(self.kernel.elsewhere(name) == file.elsewhere, true, "bytes of {} elsewhere", name);
            let mode = self.kernel.stat(name).await.ok().map(|shown| shown.attributes.mode);
            prop_assert_eq!(mode, file.here.as_ref().map(|_| file.mode), "mode of {} here", name);
            let stored = self.kernel.store.attributes(name).map(|attributes| attributes.mode);
            let expected = file.elsewhere.as_ref().map(|_| file.stored_mode);
            prop_assert_eq!(stored, expected, "mode of {} elsewhere", name);
        }
        Ok(())
    }
}

/// Sequences for every change; ten thousand where `CAIRN_FULL=1` is set.
fn cases() -> u32 {
    if std::env::var_os("CAIRN_FULL").is_some_and(|value| value == "1") { 10_000 } else { 300 }
}

/// All that a process is made of.
fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

fn run(steps: Vec<(usize, Step)>, row_memory_bytes: usize) -> Result<(), TestCaseError> {
    let layout = cairn_codec::Layout::new(2, 1, super::kernel::CELL_BYTES, 1 << 20).unwrap();
    let options = FileSystemOptions { row_memory_bytes, ..FileSystemOptions::default() };
    let mut process = runtime();
    let kernel = process.block_on(async { Kernel::on(FakeStore::new(layout), options.clone()) });
    let mut run = Run { kernel, options, files: Default::default() };
    for (index, step) in steps {
        let crashes = matches!(step, Step::Crash { .. });
        process.block_on(run.step(index, step))?;
        if crashes {
            // With it go the tasks of the mount, as with a process.
            drop(process);
            process = runtime();
            process.block_on(run.restart())?;
        }
    }
    process.block_on(async {
        for index in 0..NAMES.len() {
            run.close(index).await;
        }
        run.check().await?;
        prop_assert_eq!(run.kernel.store.open_segments(), 0, "every segment is sealed or given up");
        prop_assert_eq!(run.kernel.files.inode_count(), 0, "every look-up was given back");
        Ok(())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    #[test]
    fn files_hold_what_was_written(steps in proptest::collection::vec(step(), 1..40)) {
        run(steps, 1 << 20)?;
    }

    #[test]
    fn files_hold_what_was_written_with_memory_for_one_row(steps in proptest::collection::vec(step(), 1..40)) {
        run(steps, ROW)?;
    }

    #[test]
    fn reads_in_the_middle_agree(
        writes in proptest::collection::vec((offsets(), 1..2 * ROW, any::<u8>()), 1..8),
        reads in proptest::collection::vec((offsets(), 1..2 * ROW), 1..8),
    ) {
        runtime().block_on(async {
            let kernel = Kernel::new();
            let handle = kernel.open("f", WRITE).await.unwrap();
            let mut model: Vec<u8> = Vec::new();
            for (offset, length, seed) in writes {
                let data = pattern(length, seed);
                kernel.write(handle, offset as u64, &data).await.unwrap();
                model.resize(model.len().max(offset + length), 0);
                model[offset..offset + length].copy_from_slice(&data);
            }
            for (offset, length) in &reads {
                let expected = &model[(*offset).min(model.len())..(offset + length).min(model.len())];
                let read = kernel.files.read(handle, *offset as u64, *length).await.unwrap();
                prop_assert_eq!(&read[..] == expected, true);
            }
            kernel.close(handle).await.unwrap();
            let reader = kernel.open("f", READ).await.unwrap();
            for (offset, length) in &reads {
                let expected = &model[(*offset).min(model.len())..(offset + length).min(model.len())];
                let read = kernel.files.read(reader, *offset as u64, *length).await.unwrap();
                prop_assert_eq!(&read[..] == expected, true);
            }
            Ok(())
        })?;
    }
}
