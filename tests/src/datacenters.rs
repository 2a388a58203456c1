//! Datacenters on one machine: network namespaces with one link each, whose bytes the kernel counts.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nix::unistd::Uid;
use serde::Deserialize;

use crate::finished::Finished;
use crate::foreground::ForegroundDaemon;
use crate::fuse::notice;

/// One call of `ip`.
const DEADLINE: Duration = Duration::from_secs(30);

/// Datacenters 1, 2, ... that reach each other through a bridge in a namespace of its own, so that nothing of the
/// machine's network changes and any number of them may be there at once. All goes when this is dropped.
#[derive(Debug)]
pub struct Datacenters {
    tag: String,
    count: usize,
}

#[derive(Deserialize)]
struct Link {
    stats64: Statistics,
}

#[derive(Deserialize)]
struct Statistics {
    rx: Bytes,
    tx: Bytes,
}

#[derive(Deserialize)]
struct Bytes {
    bytes: u64,
}

/// Bytes that passed the link of a datacenter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traffic {
    /// Those that left it.
    pub sent_bytes: u64,
    /// Those that came in.
    pub received_bytes: u64,
}

impl Traffic {
    /// What passed after `earlier`.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            sent_bytes: self.sent_bytes - earlier.sent_bytes,
            received_bytes: self.received_bytes - earlier.received_bytes,
        }
    }
}

impl Datacenters {
    /// Whether this process may have networks of its own. If not, the test that asks says so and shows nothing.
    #[must_use]
    pub fn are_possible() -> bool {
        let possible = Uid::effective().is_root();
        if !possible {
            notice("skipped: network namespaces take root");
        }
        possible
    }

    /// So many datacenters, all links up.
    ///
    /// # Panics
    /// When they cannot be made.
    #[must_use]
    pub fn new(count: usize) -> Self {
        // From here on what was made is taken away again, whatever fails.
        let datacenters = Self { tag: format!("cairn-{:08x}", rand::random::<u32>()), count };
        let hub = datacenters.hub();
        ip(&["netns", "add", &hub]);
        ip(&["-n", &hub, "link", "add", "bridge", "type", "bridge"]);
        ip(&["-n", &hub, "link", "set", "bridge", "up"]);
        for number in datacenters.numbers() {
            let (namespace, link) = (datacenters.namespace(number), link(number));
            ip(&["netns", "add", &namespace]);
            ip(&["-n", &hub, "link", "add", &link, "type", "veth", "peer", "name", "eth0", "netns", &namespace]);
            ip(&["-n", &hub, "link", "set", &link, "master", "bridge", "up"]);
            ip(&["-n", &namespace, "address", "add", &format!("{}/24", address(number)), "dev", "eth0"]);
            ip(&["-n", &namespace, "link", "set", "eth0", "up"]);
            ip(&["-n", &namespace, "link", "set", "lo", "up"]);
        }
        datacenters
    }

    /// Their numbers, from 1.
    pub fn numbers(&self) -> impl Iterator<Item = usize> + use<> {
        1..=self.count
    }

    /// The address of everything in a datacenter.
    #[must_use]
    pub fn address(&self, number: usize) -> String {
        address(number)
    }

    /// A program that runs in a datacenter.
    #[must_use]
    pub fn command(&self, number: usize, program: &Path) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace(number)]).arg(program);
        command
    }

    /// A daemon that runs in a datacenter.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn daemon(&self, number: usize, program: &Path, arguments: &[&str], log: &Path) -> ForegroundDaemon {
        let (namespace, program) = (self.namespace(number), program.to_str().expect("the harness makes UTF-8 paths"));
        let words = [&["netns", "exec", &namespace, program], arguments].concat();
        // It becomes the program itself, so that its process is the daemon's.
        ForegroundDaemon::of(Path::new("ip"), &words, log)
    }

    /// Cuts a datacenter off, or connects it again.
    pub fn set_connected(&self, number: usize, connected: bool) {
        ip(&["-n", &self.hub(), "link", "set", &link(number), if connected { "up" } else { "down" }]);
    }

    /// What has passed the link of a datacenter.
    ///
    /// # Panics
    /// When the kernel does not say.
    #[must_use]
    pub fn traffic(&self, number: usize) -> Traffic {
        let links: Vec<Link> = ip(&["-n", &self.hub(), "-j", "-s", "link", "show", &link(number)]).json();
        let counted = &links.first().expect("the link is there").stats64;
        // Counted at the bridge, which receives what the datacenter sends.
        Traffic { sent_bytes: counted.rx.bytes, received_bytes: counted.tx.bytes }
    }

    fn hub(&self) -> String {
        format!("{}-hub", self.tag)
    }

    fn namespace(&self, number: usize) -> String {
        format!("{}-{number}", self.tag)
    }
}

impl Drop for Datacenters {
    fn drop(&mut self) {
        for namespace in self.numbers().map(|number| self.namespace(number)).chain([self.hub()]) {
            // Not a panic: the others are to go, too.
            let deleted = Command::new("ip").args(["netns", "delete", &namespace]).output();
            if !deleted.is_ok_and(|output| output.status.success()) {
                notice(&format!("could not delete the network namespace {namespace}"));
            }
        }
    }
}

#[track_caller]
fn ip(arguments: &[&str]) -> Finished {
    Finished::of(Command::new("ip").args(arguments), DEADLINE).expect_success()
}

fn link(number: usize) -> String {
    format!("to-{number}")
}

fn address(number: usize) -> String {
    format!("10.77.0.{}", 10 + number)
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::Command;
    use std::time::Duration;

    use super::Datacenters;
    use crate::Machine;
    use crate::finished::Finished;

    const DEADLINE: Duration = Duration::from_secs(30);

    /// What runs in a namespace keeps all that is mounted when it starts: a test that unmounts a disk has to be alone.
    fn beside_others() -> Machine {
        Machine::shared()
    }

    #[test]
    fn namespaces_go_with_a_test_that_fails() {
        if !Datacenters::are_possible() {
            return;
        }
        let _machine = beside_others();
        let tag = std::sync::Mutex::new(String::new());
        let failed = std::panic::catch_unwind(|| {
            let datacenters = Datacenters::new(2);
            tag.lock().unwrap().clone_from(&datacenters.tag);
            std::panic::resume_unwind(Box::new("planted"));
        });
        assert!(failed.is_err());
        let tag = tag.into_inner().unwrap();
        assert!(!tag.is_empty());
        let left = Finished::of(Command::new("ip").args(["netns", "list"]), DEADLINE).expect_success().text();
        assert!(!left.contains(&tag), "{left}");
    }

    #[test]
    fn a_link_carries_and_counts_bytes_until_it_is_cut() {
        if !Datacenters::are_possible() {
            return;
        }
        let _machine = beside_others();
        let datacenters = Datacenters::new(2);
        let (second, shell) = (datacenters.address(2), Path::new("bash"));
        let _server = datacenters.daemon(
            2,
            Path::new("python3"),
            &["-m", "http.server", "--directory", "/proc/self/fdinfo", "80"],
            Path::new("/dev/null"),
        );
        let connect = format!("exec 3<> /dev/tcp/{second}/80");
        let reaches = || Finished::of(datacenters.command(1, shell).args(["-c", &connect]), DEADLINE).succeeded();
        crate::wait::until_true("the server is reached", DEADLINE, reaches);
        let before = datacenters.traffic(1);
        assert!(before.sent_bytes > 0 && before.received_bytes > 0, "{before:?}");
        datacenters.set_connected(2, false);
        let cut = format!("timeout 1 bash -c '{connect}'");
        let refused = Finished::of(datacenters.command(1, shell).args(["-c", &cut]), DEADLINE);
        assert!(!refused.succeeded(), "{refused}");
    }
}
