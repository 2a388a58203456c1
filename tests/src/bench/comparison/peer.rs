//! Another system on this machine, by its script in `bench/peers/`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::cold_cache::drop_page_cache;
use super::subject::{Daemon, Subject, SubjectError};
use super::system::System;
use crate::disk_usage::allocated_bytes;
use crate::finished::Finished;
use crate::fuse;
use crate::process::Process;

/// Packages may have to be installed.
const SCRIPT_DEADLINE: Duration = Duration::from_mins(10);

// In the program, so that they run wherever the program was copied to.
const NAMESPACE: &str = include_str!("../../../bench/peers/namespace.sh");
const GLUSTER: &str = include_str!("../../../bench/peers/gluster.sh");
const MOOSEFS: &str = include_str!("../../../bench/peers/moosefs.sh");

/// The script of a peer, and the folder that all it keeps is in.
#[derive(Debug, Clone)]
pub(super) struct PeerScript {
    system: System,
    folder: PathBuf,
}

impl PeerScript {
    /// For a peer whose data is, or will be, in a folder named for it in `scene`.
    pub(super) fn new(system: System, scene: &Path) -> Self {
        Self { system, folder: scene.join(system.to_string()) }
    }

    /// Runs one action of the script and returns what it printed.
    pub(super) fn run(&self, action: &str) -> Result<String, SubjectError> {
        let text = if self.system == System::Gluster { GLUSTER } else { MOOSEFS };
        let scripts = self.folder.with_extension("scripts");
        let (script, namespace) = (scripts.join(format!("{}.sh", self.system)), scripts.join("namespace.sh"));
        let write = || {
            fs::create_dir_all(&scripts)?;
            fs::write(&namespace, NAMESPACE)?;
            fs::write(&script, text)
        };
        write().map_err(|error| SubjectError::failed(format!("cannot write {}", scripts.display()), &error))?;
        let finished = Finished::of(Command::new("bash").arg(&script).arg(action).arg(&self.folder), SCRIPT_DEADLINE);
        if finished.succeeded() { Ok(finished.text()) } else { Err(SubjectError::failed("a peer's script", &finished)) }
    }
}

/// A peer that runs; taken down when dropped.
#[derive(Debug)]
pub(super) struct Peer(PeerScript);

impl Peer {
    /// Starts it with nothing in it.
    pub(super) fn start(script: PeerScript) -> Result<Self, SubjectError> {
        let peer = Self(script);
        peer.0.run("up")?;
        Ok(peer)
    }
}

impl Subject for Peer {
    fn system(&self) -> System {
        self.0.system
    }

    fn folder(&self) -> PathBuf {
        self.0.folder.join("mnt")
    }

    fn daemons(&self) -> Result<Vec<Daemon>, SubjectError> {
        let text = self.0.run("processes")?;
        text.lines().map(|line| daemon(line).ok_or_else(|| SubjectError::failed("no process", &line))).collect()
    }

    fn make_cold(&mut self) -> Result<(), SubjectError> {
        self.0.run("restart")?;
        drop_page_cache()
    }

    fn lose_two_nodes(&mut self) -> Result<bool, SubjectError> {
        self.0.run("lose")?;
        Ok(true)
    }

    /// Its mount is in the folder too, and is not walked.
    fn stored_bytes(&self) -> u64 {
        let entries = fs::read_dir(&self.0.folder).into_iter().flatten().flatten();
        let kept = entries.map(|entry| entry.path()).filter(|path| *path != self.folder());
        kept.map(|path| allocated_bytes(&path)).sum()
    }
}

/// A line `name pid`.
fn daemon(line: &str) -> Option<Daemon> {
    let (name, pid) = line.split_once(' ')?;
    let pid = pid.parse::<u32>().ok().filter(|pid| (2..=i32::MAX.unsigned_abs()).contains(pid))?;
    Some(Daemon { name: name.to_owned(), process: Process::new(pid) })
}

impl Drop for Peer {
    fn drop(&mut self) {
        if let Err(error) = self.0.run("down") {
            fuse::notice(&format!("{} is still there: {error}", self.0.system));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::daemon;

    #[test]
    fn a_process_is_told_by_name_and_number() {
        let found = daemon("node-3 1234").unwrap();
        assert_eq!((found.name.as_str(), found.process.id()), ("node-3", 1234));
        for line in ["node-3", "node-3 x", "node-3 1", "node-3 99999999999", ""] {
            assert_eq!(daemon(line), None, "{line:?}");
        }
    }
}
