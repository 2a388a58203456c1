//! Masters and nodes as children of the test itself, with configurations that the test writes.

#[cfg(test)]
mod tests;

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use cairn_proto::transport::HeldAddress;
use tempfile::TempDir;

use crate::binary::{cairn_program, profile_directory, subject_program};
use crate::foreground::ForegroundDaemon;
use crate::fuse::notice;
use crate::moved_clock::MovedClock;
use crate::process::Process;
use crate::wait;

/// From the signal that ends a daemon to the end of its process.
const END_DEADLINE: Duration = Duration::from_secs(20);

/// Lines of each log that a failed test shows.
const SHOWN_LINES: usize = 25;

/// Short enough for several purges between two faults.
const SHORT_LOGS: &str = "[log]\nkeep_entries = 200\nsnapshot_every_entries = 150\n";

/// Short enough for several sessions and collections in one test.
const SHORT_MEMORY: &str = "[timing]\nsession_timeout = \"3s\"\ncollection_grace = \"500ms\"\n";

/// What runs the daemons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// `cairn` itself.
    Cairn,
    /// The same in another environment: nothing of it is ever durable.
    Unsynced,
    /// The same, with wall clocks that the test moves.
    MovedClocks,
}

/// A daemon, running or not.
#[derive(Debug)]
struct Daemon {
    name: String,
    kind: &'static str,
    program: Program,
    running: Option<ForegroundDaemon>,
}

/// A group of masters and some nodes. All end when it is dropped.
#[derive(Debug)]
pub struct BareCluster {
    // Dropped before the folder is removed.
    daemons: Vec<Daemon>,
    members: Vec<(u64, String)>,
    layout: String,
    short_logs: bool,
    soon_forgotten: bool,
    held: Vec<HeldAddress>,
    root: TempDir,
}

fn hold_address() -> HeldAddress {
    HeldAddress::on_loopback().expect("the machine has a free port")
}

/// A folder on the disk of the build, for clusters.
///
/// # Panics
/// When it cannot be made.
#[must_use]
pub fn folder_on_disk() -> TempDir {
    let parent = profile_directory().join("clusters");
    fs::create_dir_all(&parent).expect("the target directory can be written");
    tempfile::Builder::new().prefix("bare-").tempdir_in(parent).expect("a folder can be made")
}

impl BareCluster {
    /// Configurations for so many masters; nothing runs yet.
    #[must_use]
    pub fn of_masters(count: u64, layout: &str, program: Program) -> Self {
        let held: Vec<_> = (0..count).map(|_| hold_address()).collect();
        let members: Vec<(u64, String)> = (1..).zip(held.iter().map(|held| held.address().to_string())).collect();
        let listen = members.clone();
        let mut cluster = Self::with_members(members, &listen, layout, program);
        cluster.held = held;
        cluster
    }

    /// As [`Self::of_masters`], for masters whose addresses are known: by `members` to others, by `listen` to the
    /// kernel.
    #[must_use]
    pub fn with_members(members: Vec<(u64, String)>, listen: &[(u64, String)], layout: &str, program: Program) -> Self {
        let mut cluster = Self {
            daemons: Vec::new(),
            members,
            layout: layout.to_owned(),
            short_logs: false,
            soon_forgotten: false,
            held: Vec::new(),
            root: folder_on_disk(),
        };
        for (id, listen) in listen {
            cluster.set_listen(*id, listen);
            cluster.daemons.push(Daemon { name: master_name(*id), kind: "master", program, running: None });
        }
        cluster
    }

    /// Has masters that do not run yet take snapshots all the time, and purge their logs behind them.
    #[must_use]
    pub fn with_short_logs(mut self) -> Self {
        self.short_logs = true;
        for (id, address) in &self.members {
            self.set_listen(*id, address);
        }
        self
    }

    /// Has masters that do not run yet end silent sessions and collect deleted blobs within seconds.
    #[must_use]
    pub fn with_short_memory(mut self) -> Self {
        self.soon_forgotten = true;
        for (id, address) in &self.members {
            self.set_listen(*id, address);
        }
        self
    }

    /// Has a master listen elsewhere from its next start on.
    ///
    /// # Panics
    /// When its configuration cannot be written.
    pub fn set_listen(&self, id: u64, listen: &str) {
        let (name, layout) = (master_name(id), &self.layout);
        let data = self.data(&name);
        let mut config = format!("id = {id}\nname = {name:?}\ndir = {:?}\nlisten = {listen:?}\n", text(&data));
        writeln!(config, "layout = {layout:?}").expect("a string takes any text");
        if self.short_logs {
            config.push_str(SHORT_LOGS);
        }
        if self.soon_forgotten {
            config.push_str(SHORT_MEMORY);
        }
        for (id, address) in &self.members {
            let name = master_name(*id);
            let member = format!("[[members]]\nid = {id}\nname = {name:?}\naddress = {address:?}");
            writeln!(config, "{member}").expect("a string takes any text");
        }
        fs::write(self.config(&name), config).expect("the test's folder can be written");
    }

    /// One more node; it does not run yet.
    ///
    /// # Panics
    /// When its configuration cannot be written.
    pub fn add_node(&mut self, name: &str, program: Program) {
        let held = hold_address();
        let (dir, listen, masters) = (self.data(name), held.address().to_string(), self.addresses());
        let dir = text(&dir);
        let config = format!("name = {name:?}\ndir = {dir:?}\nlisten = {listen:?}\nmasters = {masters:?}\n");
        fs::write(self.config(name), config).expect("the test's folder can be written");
        self.held.push(held);
        self.daemons.push(Daemon { name: name.to_owned(), kind: "node", program, running: None });
    }

    /// Has a node store so much at most from its next start on.
    ///
    /// # Panics
    /// When its configuration cannot be written.
    pub fn set_node_limit(&self, name: &str, limit: &str) {
        let path = self.config(name);
        let mut config = fs::read_to_string(&path).expect("the node was added");
        writeln!(config, "limit = {limit:?}").expect("a string takes any text");
        fs::write(&path, config).expect("the test's folder can be written");
    }

    /// The folder of everything.
    #[must_use]
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// The folder that holds the data folders of all daemons: what a test mounts a disk at.
    #[must_use]
    pub fn disk(&self) -> PathBuf {
        self.root().join("disk")
    }

    /// The data folder of a daemon.
    #[must_use]
    pub fn data(&self, name: &str) -> PathBuf {
        self.disk().join(name)
    }

    fn config(&self, name: &str) -> PathBuf {
        self.root().join(format!("{name}.toml"))
    }

    fn log(&self, name: &str) -> PathBuf {
        self.root().join(format!("{name}.log"))
    }

    fn clock_offset(&self, name: &str) -> PathBuf {
        self.root().join(format!("{name}.offset"))
    }

    /// Addresses of all masters, as others know them.
    #[must_use]
    pub fn addresses(&self) -> Vec<String> {
        self.members.iter().map(|(_, address)| address.clone()).collect()
    }

    /// The name of the master at an address.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    #[track_caller]
    pub fn master_at(&self, address: &str) -> String {
        let found = self.members.iter().find(|(_, member)| member == address);
        found.map_or_else(|| panic!("no master at {address:?}"), |(id, _)| master_name(*id))
    }

    /// Names of all daemons.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.daemons.iter().map(|daemon| daemon.name.clone()).collect()
    }

    /// Starts every daemon that does not run.
    pub fn start_all(&mut self) {
        for name in self.names() {
            if self.process(&name).is_none() {
                self.start(&name);
            }
        }
    }

    /// Starts a daemon on the data it left.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(&mut self, name: &str) {
        self.start_with(name, &[]);
    }

    /// Starts a daemon that aborts at a point of its code once it is told to by [`Self::arm`].
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start_to_crash(&mut self, name: &str, point: &str) {
        let arming = self.arming(name);
        // Absent when nothing was armed before.
        let _ = fs::remove_file(&arming);
        self.start_with(name, &["--crash-at", point, "--crash-when", text(&arming)]);
    }

    /// Has a daemon crash when it comes to its point.
    ///
    /// # Panics
    /// When the test's folder cannot be written.
    pub fn arm(&self, name: &str) {
        fs::write(self.arming(name), "").expect("the test's folder can be written");
    }

    fn arming(&self, name: &str) -> PathBuf {
        self.root().join(format!("{name}.armed"))
    }

    fn start_with(&mut self, name: &str, crash: &[&str]) {
        fs::create_dir_all(self.disk()).expect("the test's folder can be written");
        let (config, log, offset) = (self.config(name), self.log(name), self.clock_offset(name));
        let daemon = self.daemon(name);
        let mut arguments = [crash, &[daemon.kind, "--config", text(&config)]].concat();
        let program = match daemon.program {
            Program::Cairn if crash.is_empty() => cairn_program(),
            Program::Cairn => subject_program(),
            Program::Unsynced => {
                arguments.push("--unsynced");
                subject_program()
            }
            Program::MovedClocks => {
                MovedClock::set(&offset, 0);
                arguments.extend(["--clock-offset", text(&offset)]);
                subject_program()
            }
        };
        daemon.running = Some(ForegroundDaemon::of(&program, &arguments, &log));
    }

    /// The process of a daemon, if it runs.
    pub fn process(&mut self, name: &str) -> Option<Process> {
        let running = self.daemon(name).running.as_mut()?;
        running.ended().is_none().then(|| running.process())
    }

    /// The processes of all daemons that run.
    pub fn processes(&mut self) -> Vec<Process> {
        let names = self.names();
        names.iter().filter_map(|name| self.process(name)).collect()
    }

    /// `kill -9` of a daemon that runs.
    ///
    /// # Panics
    /// When it does not.
    #[track_caller]
    pub fn kill(&mut self, name: &str) {
        let process = self.process(name).unwrap_or_else(|| panic!("{name} does not run"));
        process.kill();
        wait::until_true(&format!("{name} is gone"), END_DEADLINE, || self.process(name).is_none());
    }

    /// Waits for the end of a daemon that was started.
    ///
    /// # Panics
    /// When it was never started, or does not end.
    #[track_caller]
    pub fn wait_end(&mut self, name: &str) -> ExitStatus {
        let started = self.daemon(name).running.as_mut();
        started.unwrap_or_else(|| panic!("{name} was never started")).wait_end(END_DEADLINE)
    }

    /// Moves the wall clock of a master that was started with [`Program::MovedClocks`].
    pub fn move_clock(&self, name: &str, milliseconds: i64) {
        MovedClock::set(&self.clock_offset(name), milliseconds);
    }

    /// All a daemon has said.
    #[must_use]
    pub fn said(&self, name: &str) -> String {
        fs::read_to_string(self.log(name)).unwrap_or_default()
    }

    /// The last lines of every daemon's log.
    #[must_use]
    pub fn last_words(&self) -> String {
        let last = |name: &String| {
            let said = self.said(name);
            let lines: Vec<&str> = said.lines().collect();
            format!("{name} said:\n{}", lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n"))
        };
        self.names().iter().map(last).collect::<Vec<_>>().join("\n")
    }

    fn daemon(&mut self, name: &str) -> &mut Daemon {
        let found = self.daemons.iter_mut().find(|daemon| daemon.name == name);
        found.unwrap_or_else(|| panic!("no daemon {name}"))
    }
}

impl Drop for BareCluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            notice(&self.last_words());
        }
    }
}

fn master_name(id: u64) -> String {
    format!("master-{id}")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("the harness makes UTF-8 paths")
}
