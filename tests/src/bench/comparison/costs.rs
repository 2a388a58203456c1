//! What a row costs: processor time, memory and bytes to disk, as the kernel counts them for each process.

use std::fs;
use std::time::Duration;

use serde::Serialize;

use super::figures::count;
use super::subject::Daemon;
use crate::bench::processor_time;
use crate::process::Process;

/// What `/proc/<pid>/clear_refs` takes to forget the peak of resident memory.
const FORGET_PEAK: &str = "5";

/// Costs of one row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Costs {
    /// Processor time of the daemons and of the program that uses the mount.
    pub processor_s: f64,
    /// Sum of the peaks of the daemons' resident memory. Zero where there are no daemons.
    pub peak_mib: f64,
    /// Bytes that were sent to the disk for each byte of the user, in rows that write.
    pub written_per_byte: Option<f64>,
}

/// Counts from the start of a row to its end.
pub(super) struct Meter {
    daemons: Vec<(Process, Duration, u64)>,
    own_time: Duration,
    own_written_bytes: u64,
}

impl Meter {
    pub(super) fn start(daemons: &[Daemon]) -> Self {
        let processes = daemons.iter().map(|daemon| daemon.process);
        for process in processes.clone() {
            // Where it fails the peak is that of the process so far, which is never too little.
            fs::write(format!("/proc/{}/clear_refs", process.id()), FORGET_PEAK).ok();
        }
        let counted =
            processes.map(|process| (process, processor_time::of(&[process]), written_bytes(process).unwrap_or(0)));
        Self { daemons: counted.collect(), own_time: processor_time::own(), own_written_bytes: own_written_bytes() }
    }

    /// The costs of a row that wrote `user_bytes`, if it wrote any. What the program itself wrote counts only where there
    /// are no daemons: below a mount the same bytes are written by them.
    pub(super) fn stop(self, user_bytes: Option<u64>) -> Costs {
        let mut time = processor_time::own().saturating_sub(self.own_time);
        let (mut written, mut peak_kib) = (0, 0);
        for (process, time_before, written_before) in &self.daemons {
            time += processor_time::of(&[*process]).saturating_sub(*time_before);
            written += written_bytes(*process).unwrap_or(0).saturating_sub(*written_before);
            peak_kib += peak_kib_of(*process).unwrap_or(0);
        }
        if self.daemons.is_empty() {
            written = own_written_bytes().saturating_sub(self.own_written_bytes);
        }
        let written_per_byte = user_bytes.filter(|bytes| *bytes > 0).map(|bytes| count(written) / count(bytes));
        Costs { processor_s: time.as_secs_f64(), peak_mib: count(peak_kib) / 1024.0, written_per_byte }
    }
}

fn own_written_bytes() -> u64 {
    written_bytes(Process::new(std::process::id())).unwrap_or(0)
}

/// Bytes that a process has caused to be sent to disks; pages count when they are made dirty.
fn written_bytes(process: Process) -> Option<u64> {
    let io = fs::read_to_string(format!("/proc/{}/io", process.id())).ok()?;
    io.lines().find_map(|line| line.strip_prefix("write_bytes: "))?.parse().ok()
}

fn peak_kib_of(process: Process) -> Option<u64> {
    process.status_field("VmHWM:")?.strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{Daemon, Meter};
    use crate::process::Process;
    use std::io::{BufRead, BufReader, Write};
    use std::process::{Command, Stdio};

    #[test]
    fn a_daemon_that_works_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let work = "read go; dd if=/dev/zero of=$0/file bs=1M count=8 conv=fsync; i=0; \
                    while [ $i -lt 20000 ]; do i=$((i+1)); done; echo done; read end";
        let mut child = Command::new("bash")
            .args(["-c", work, folder.path().to_str().unwrap()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let daemon = Daemon { name: "node-1".to_owned(), process: Process::new(child.id()) };
        let meter = Meter::start(&[daemon]);
        let mut input = child.stdin.take().unwrap();
        input.write_all(b"go\n").unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let costs = meter.stop(Some(8 << 20));
        drop(input);
        child.wait().unwrap();
        assert!(costs.processor_s > 0.0 && costs.peak_mib > 0.5, "{costs:?}");
        assert!(costs.written_per_byte.is_some(), "{costs:?}");
    }

    #[test]
    fn without_daemons_the_program_itself_is_counted() {
        let mut file = tempfile::tempfile_in(crate::binary::profile_directory()).unwrap();
        let meter = Meter::start(&[]);
        file.write_all(&vec![7; 8 << 20]).unwrap();
        file.sync_all().unwrap();
        let costs = meter.stop(Some(8 << 20));
        let written = costs.written_per_byte.unwrap();
        assert!(written >= 1.0, "{costs:?}");
        assert!(costs.peak_mib < f64::EPSILON, "{costs:?}");
        assert_eq!(Meter::start(&[]).stop(None).written_per_byte, None);
    }
}
