//! Watching one writer and all daemons behind it by `strace`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;

use super::subject::{Daemon, Subject, SubjectError};
use super::sync_proof::{SMALL_BYTES, SyncProof};
use crate::finished::Finished;
use crate::process::Process;
use crate::wait;

/// From the start of `strace` until it has every thread of every daemon.
const ATTACH_DEADLINE: Duration = Duration::from_secs(30);
/// A write of some MiB by a traced program through traced daemons.
const WRITE_DEADLINE: Duration = Duration::from_mins(2);
/// The lengths of the files that are written: as small as the smallest of the rows, and large enough for every node.
const FILES_BYTES: [u64; 2] = [SMALL_BYTES, 8 << 20];
/// Calls that return when something is on stable storage.
const SYNCS: &str = "trace=fsync,fdatasync,sync,syncfs";

/// A call as `strace -ttt -T` prints it.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Call<'line> {
    begun_s: f64,
    ended_s: f64,
    text: &'line str,
}

/// Writes a small and a large file and tells who synced before each `fsync` returned.
pub(super) fn trace_syncs(subject: &dyn Subject, scene: &Path) -> Result<Vec<SyncProof>, SubjectError> {
    FILES_BYTES.iter().map(|bytes| trace_one(subject, scene, *bytes)).collect()
}

fn trace_one(subject: &dyn Subject, scene: &Path, bytes: u64) -> Result<SyncProof, SubjectError> {
    let output = scene.join(format!("trace-{}-{bytes}", subject.system()));
    fs::create_dir_all(&output).map_err(|error| SubjectError::failed(output.display().to_string(), &error))?;
    let daemons = subject.daemons()?;
    let tracer = Tracer::start(&daemons, &output)?;
    let mut threads = threads_of(&daemons);
    let file = subject.folder().join(format!("trace-{bytes}"));
    let writer = write_traced(&file, bytes, &output)?;
    threads.extend(threads_of(&daemons));
    drop(tracer);
    let window = window_of(&writer);
    let all = daemons.iter().map(|daemon| daemon.name.clone()).collect();
    let synced = window.map_or_else(BTreeSet::new, |window| synced_in(&output, &threads, window));
    Ok(SyncProof::new(subject.system(), bytes, &all, &synced, window.is_some()))
}

/// `strace` of all daemons; they are let go when it is dropped.
struct Tracer(Option<Child>);

impl Tracer {
    fn start(daemons: &[Daemon], output: &Path) -> Result<Self, SubjectError> {
        if daemons.is_empty() {
            return Ok(Self(None));
        }
        let mut command = Command::new("strace");
        command.args(["-ff", "-ttt", "-T", "-e", SYNCS, "-o"]).arg(output.join("daemon"));
        for daemon in daemons {
            command.args(["-p", &daemon.process.id().to_string()]);
        }
        let said = File::create(output.join("said")).map_err(|error| SubjectError::failed("strace", &error))?;
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(said).spawn();
        let tracer =
            Self(Some(child.map_err(|error| SubjectError::failed("strace (`make setup` installs it)", &error))?));
        let attached = wait::within(ATTACH_DEADLINE, || daemons.iter().all(is_traced).then_some(()));
        let said = || fs::read_to_string(output.join("said")).unwrap_or_default();
        attached.map(|()| tracer).ok_or_else(|| SubjectError::failed("strace has not every thread", &said()))
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            // Interrupted, it lets all go first.
            Process::new(child.id()).signal(Signal::SIGINT);
            child.wait().expect("the child is ours to wait for");
        }
    }
}

fn threads(process: Process) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(format!("/proc/{}/task", process.id())).into_iter().flatten().flatten().map(|entry| entry.path())
}

fn is_traced(daemon: &Daemon) -> bool {
    threads(daemon.process).all(|thread| {
        // A thread that ended meanwhile needs no tracer.
        let status = fs::read_to_string(thread.join("status")).unwrap_or_default();
        !status.lines().any(|line| line.strip_prefix("TracerPid:").is_some_and(|tracer| tracer.trim() == "0"))
    })
}

/// Names of the daemons by the numbers of their threads.
fn threads_of(daemons: &[Daemon]) -> BTreeMap<String, String> {
    let of_one = |daemon: &Daemon| {
        let name = daemon.name.clone();
        threads(daemon.process).filter_map(move |thread| {
            let number = thread.file_name()?.to_str()?.to_owned();
            Some((number, name.clone()))
        })
    };
    daemons.iter().flat_map(of_one).collect()
}

/// What a traced `dd` with an `fsync` at its end did.
fn write_traced(file: &Path, bytes: u64, output: &Path) -> Result<String, SubjectError> {
    let trace = output.join("writer");
    let (block, count) = if bytes > SMALL_BYTES { (1 << 20, bytes >> 20) } else { (bytes, 1) };
    let mut command = Command::new("strace");
    command.args(["-ttt", "-T", "-e", "trace=openat,fsync", "-o"]).arg(&trace);
    command.args(["dd", "if=/dev/zero", "conv=fsync", &format!("bs={block}"), &format!("count={count}")]);
    command.arg(format!("of={}", file.display()));
    let finished = Finished::of(&mut command, WRITE_DEADLINE);
    if !finished.succeeded() {
        return Err(SubjectError::failed("a traced write", &finished));
    }
    let read: io::Result<String> = fs::read_to_string(&trace);
    read.map_err(|error| SubjectError::failed(trace.display().to_string(), &error))
}

/// From the opening of the file that is written to the answer to its `fsync`.
fn window_of(writer: &str) -> Option<(f64, f64)> {
    let calls: Vec<Call> = writer.lines().filter_map(parse).collect();
    let opened = calls.iter().find(|call| call.text.starts_with("openat(") && call.text.contains("O_CREAT"))?;
    let synced = calls.iter().find(|call| is_sync(call) && call.begun_s >= opened.begun_s)?;
    Some((opened.begun_s, synced.ended_s))
}

/// Names of the daemons with a thread that synced within the window.
fn synced_in(output: &Path, threads: &BTreeMap<String, String>, window: (f64, f64)) -> BTreeSet<String> {
    let synced = |name: &&(String, String)| {
        let trace = fs::read_to_string(output.join(format!("daemon.{}", name.0))).unwrap_or_default();
        has_sync_within(&trace, window)
    };
    let threads: Vec<(String, String)> = threads.clone().into_iter().collect();
    threads.iter().filter(synced).map(|(_, name)| name.clone()).collect()
}

fn has_sync_within(trace: &str, (begun_s, ended_s): (f64, f64)) -> bool {
    let mut calls = trace.lines().filter_map(parse);
    calls.any(|call| is_sync(&call) && call.begun_s >= begun_s && call.ended_s <= ended_s)
}

fn is_sync(call: &Call) -> bool {
    call.text.contains("sync") && call.text.ends_with("= 0")
}

/// `1732266000.123456 fsync(3) = 0 <0.001234>`
fn parse(line: &str) -> Option<Call<'_>> {
    let (begun, rest) = line.split_once(' ')?;
    let (text, took) = rest.trim_end().strip_suffix('>')?.rsplit_once('<')?;
    let (begun_s, took_s): (f64, f64) = (begun.parse().ok()?, took.parse().ok()?);
    Some(Call { begun_s, ended_s: begun_s + took_s, text: text.trim() })
}

#[cfg(test)]
mod tests {
    use super::{SyncProof, has_sync_within, trace_syncs, window_of};
    use crate::bench::comparison::subject::DiskFolder;

    const WRITER: &str = "100.000000 openat(AT_FDCWD, \"/etc/ld.so.cache\", O_RDONLY|O_CLOEXEC) = 3 <0.000010>\n\
        101.000000 openat(AT_FDCWD, \"/m/f\", O_WRONLY|O_CREAT|O_TRUNC, 0666) = 3 <0.000500>\n\
        102.000000 fsync(1) = 0 <0.250000>\n\
        103.000000 +++ exited with 0 +++\n";

    #[test]
    fn the_window_is_from_the_opening_to_the_answer() {
        assert_eq!(window_of(WRITER), Some((101.0, 102.25)));
        assert_eq!(window_of(&WRITER.replace("fsync(1) = 0", "fsync(1) = -1 EIO (Input/output error)")), None);
        assert_eq!(window_of(""), None);
    }

    #[test]
    fn only_a_sync_that_ends_within_counts() {
        let window = (101.0, 102.25);
        assert!(has_sync_within("102.100000 fdatasync(12) = 0 <0.100000>\n", window));
        for line in [
            "102.100000 fdatasync(12) = 0 <0.200000>",
            "100.900000 fsync(12) = 0 <0.200000>",
            "102.000000 fsync(12) = -1 EIO (Input/output error) <0.000100>",
            "102.000000 fsync(12",
            "nonsense",
        ] {
            assert!(!has_sync_within(line, window), "{line}");
        }
    }

    #[test]
    fn a_write_to_a_folder_of_a_disk_is_seen_to_sync() {
        crate::tools::assert_installed("strace");
        let folder = tempfile::tempdir_in(crate::binary::profile_directory()).unwrap();
        let proofs = trace_syncs(&DiskFolder::new(folder.path()), folder.path()).unwrap();
        assert!(proofs.len() == 2 && proofs.iter().all(SyncProof::holds), "{proofs:?}");
    }
}
