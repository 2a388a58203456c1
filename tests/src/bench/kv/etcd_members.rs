//! etcd on this machine, by `bench/peers/etcd.sh`.

use std::fs;
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

use super::error::KvError;
use super::etcd_client::leads;
use crate::finished::Finished;
use crate::fuse;
use crate::process::Process;

/// The package may have to be installed.
const SCRIPT_DEADLINE: Duration = Duration::from_mins(5);
/// From the start of the members to the first leader.
const ELECTION_DEADLINE: Duration = Duration::from_secs(30);
/// How often the members are asked who leads.
const ASK_INTERVAL: Duration = Duration::from_millis(100);
/// In the program, so that it runs wherever the program was copied to.
const SCRIPT: &str = include_str!("../../../bench/peers/etcd.sh");

/// A new etcd cluster; gone, with its data, when dropped.
#[derive(Debug)]
pub(super) struct EtcdMembers {
    folder: PathBuf,
    addresses: Vec<String>,
}

impl EtcdMembers {
    /// Installs etcd if it is missing and starts `count` members with their data below `folder`.
    pub(super) fn start(folder: &Path, count: usize) -> Result<Self, KvError> {
        let ports = free_ports(2 * count)
            .map_err(|error| KvError::Cluster { what: "find free ports", said: error.to_string() })?;
        let pairs: Vec<String> = ports.chunks(2).map(|pair| format!("{}:{}", pair[0], pair[1])).collect();
        let addresses = ports.chunks(2).map(|pair| format!("127.0.0.1:{}", pair[0])).collect();
        let members = Self { folder: folder.to_path_buf(), addresses };
        members.script("install", &[])?;
        members.script("up", &pairs)?;
        Ok(members)
    }

    /// The address of the member that leads, as soon as there is one: it serves without passing requests on.
    pub(super) async fn leader(&self) -> Result<String, KvError> {
        let deadline = Instant::now() + ELECTION_DEADLINE;
        let mut asks = interval(ASK_INTERVAL);
        asks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while timeout_at(deadline, asks.tick()).await.is_ok() && Instant::now() < deadline {
            for address in &self.addresses {
                if leads(address).await? == Some(true) {
                    return Ok(address.clone());
                }
            }
        }
        Err(KvError::Cluster { what: "wait for a leader of etcd", said: self.logs() })
    }

    pub(super) fn processes(&self) -> Vec<Process> {
        self.member_folders().filter_map(|member| Process::from_pid_file(&member.join("pid"))).collect()
    }

    fn member_folders(&self) -> impl Iterator<Item = PathBuf> {
        (1..=self.addresses.len()).map(|number| self.folder.join(format!("member-{number}")))
    }

    fn logs(&self) -> String {
        self.member_folders().filter_map(|member| fs::read_to_string(member.join("log")).ok()).collect()
    }

    fn script(&self, action: &str, ports: &[String]) -> Result<(), KvError> {
        let failed = |said: String| KvError::Cluster { what: "bench/peers/etcd.sh", said };
        let script = self.folder.with_extension("sh");
        fs::write(&script, SCRIPT).map_err(|error| failed(format!("cannot write {}: {error}", script.display())))?;
        let mut command = Command::new("bash");
        command.arg(script).arg(action).arg(&self.folder).args(ports);
        let finished = Finished::of(&mut command, SCRIPT_DEADLINE);
        if finished.succeeded() { Ok(()) } else { Err(failed(finished.to_string())) }
    }
}

impl Drop for EtcdMembers {
    fn drop(&mut self) {
        if let Err(error) = self.script("down", &[]) {
            fuse::notice(&format!("etcd is still there: {error}"));
        }
    }
}

/// Ports that nobody listens on. All are held until the last is found, so that none is found twice.
fn free_ports(count: usize) -> io::Result<Vec<u16>> {
    let held = (0..count).map(|_| TcpListener::bind(("127.0.0.1", 0))).collect::<io::Result<Vec<_>>>()?;
    held.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}
