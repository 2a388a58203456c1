//! A cluster of real daemons on this machine, started by `cairn dev`.

mod faults;
mod inspection;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use crate::binary::{cairn_program, profile_directory};
use crate::disk_usage::allocated_bytes;
use crate::finished::Finished;
use crate::fuse;
use crate::mount::Mount;
use crate::options::ClusterOptions;
use crate::process::Process;
use crate::status::{ClusterStatus, DaemonStatus, DevStatus};
use crate::wait;
use crate::watchdog::{Watchdog, end};

/// From `cairn dev --daemon` to its answer that all is ready.
const START_DEADLINE: Duration = Duration::from_secs(90);
/// A daemon that was started again serves.
const REJOIN_DEADLINE: Duration = Duration::from_mins(1);
/// An ordinary command against a cluster that works.
pub const COMMAND_DEADLINE: Duration = Duration::from_mins(1);
/// Bytes of each log that a failed test shows.
const SHOWN_LOG_BYTES: usize = 3000;

/// Daemons, their data, and folders beside them for the test. All goes when it is dropped; after a
/// panic the logs stay, and their tails are printed.
#[derive(Debug)]
pub struct DevCluster {
    root: Option<TempDir>,
    options: ClusterOptions,
    masters: String,
    _watchdog: Watchdog,
}

impl DevCluster {
    /// Starts a cluster and waits until all of it is ready.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    #[track_caller]
    pub fn start(options: ClusterOptions) -> Self {
        let parent = profile_directory().join("clusters");
        fs::create_dir_all(&parent).expect("the target directory can be written");
        Self::start_in(&parent, options)
    }

    /// The same, in a new folder of a folder that is there.
    ///
    /// # Panics
    /// When it does not come up.
    #[must_use]
    #[track_caller]
    pub fn start_in(parent: &Path, options: ClusterOptions) -> Self {
        let root = tempfile::Builder::new().prefix("cluster-").tempdir_in(parent).expect("a folder can be made");
        let mut cluster = Self {
            masters: String::new(),
            _watchdog: Watchdog::over(&root.path().join("dev"), &root.path().join("mount")),
            root: Some(root),
            options,
        };
        cluster.start_again();
        cluster.masters = cluster.master_addresses();
        cluster
    }

    /// Starts every daemon on the data that is there, as after a reboot, and waits until all is ready.
    #[track_caller]
    pub fn start_again(&self) {
        self.start_command(START_DEADLINE).expect_success();
    }

    /// `cairn dev` with this cluster's options, whatever comes of it.
    #[track_caller]
    pub fn start_command(&self, deadline: Duration) -> Finished {
        let mut command = Command::new(cairn_program());
        command.args(["dev", "--daemon", "--dir"]).arg(self.dir());
        command.arg("--masters").arg(self.options.masters.to_string());
        command.arg("--nodes").arg(self.options.nodes.to_string());
        command.arg("--devices").arg(self.options.devices.to_string());
        command.arg("--layout").arg(&self.options.layout);
        if self.options.write_once {
            command.args(["--overwrite", "worm"]);
        }
        if self.options.mounted {
            fs::create_dir_all(self.mount_path()).expect("the test's folder can be written");
            command.arg("--mount").arg(self.mount_path());
        }
        Finished::of(&mut command, deadline)
    }

    fn root(&self) -> &Path {
        self.root.as_ref().expect("only drop takes the folder").path()
    }

    /// The DIR of `cairn dev`.
    #[must_use]
    pub fn dir(&self) -> PathBuf {
        self.root().join("dev")
    }

    /// Where `cairn dev` mounts, if the options say so.
    #[must_use]
    pub fn mount_path(&self) -> PathBuf {
        self.root().join("mount")
    }

    /// A folder for the test's own files, on the same disk.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn folder(&self, name: &str) -> PathBuf {
        let folder = self.root().join(name);
        fs::create_dir_all(&folder).expect("the test's folder can be written");
        folder
    }

    /// The data folder of a daemon.
    #[must_use]
    pub fn data(&self, name: &str) -> PathBuf {
        self.dir().join("data").join(name)
    }

    /// All a daemon has said.
    #[must_use]
    pub fn log(&self, name: &str) -> String {
        fs::read_to_string(self.dir().join("log").join(format!("{name}.log"))).unwrap_or_default()
    }

    /// Names of the nodes.
    #[must_use]
    pub fn node_names(&self) -> Vec<String> {
        (1..=self.options.nodes).map(|number| format!("node-{number}")).collect()
    }

    /// Names of the masters.
    #[must_use]
    pub fn master_names(&self) -> Vec<String> {
        (1..=self.options.masters).map(|number| format!("master-{number}")).collect()
    }

    /// `cairn dev status`.
    #[must_use]
    #[track_caller]
    pub fn daemons(&self) -> Vec<DaemonStatus> {
        self.dev("status", &["--json"]).expect_success().json::<DevStatus>().daemons
    }

    /// The address of a daemon.
    ///
    /// # Panics
    /// When `cairn dev status` does not name one.
    #[must_use]
    #[track_caller]
    pub fn address(&self, name: &str) -> String {
        let daemons = self.daemons();
        let address = daemons.iter().find(|daemon| daemon.name == name).and_then(|daemon| daemon.address.clone());
        address.unwrap_or_else(|| panic!("no address of {name} in {daemons:?}"))
    }

    /// The list for `--masters`.
    #[must_use]
    pub fn masters(&self) -> &str {
        &self.masters
    }

    fn master_addresses(&self) -> String {
        let masters = self.daemons().into_iter().filter(|daemon| daemon.name.starts_with("master-"));
        masters.filter_map(|daemon| daemon.address).collect::<Vec<_>>().join(",")
    }

    /// `cairn` with `arguments`, with the cluster's masters in its environment.
    #[must_use]
    pub fn cairn(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(cairn_program());
        command.args(arguments).current_dir(self.root()).env("CAIRN_MASTERS", &self.masters);
        command
    }

    /// Runs `cairn` with `arguments` to its end.
    #[track_caller]
    pub fn run(&self, arguments: &[&str]) -> Finished {
        Finished::of(&mut self.cairn(arguments), COMMAND_DEADLINE)
    }

    #[track_caller]
    fn dev(&self, action: &str, arguments: &[&str]) -> Finished {
        let mut command = Command::new(cairn_program());
        command.args(["dev", action, "--dir"]).arg(self.dir()).args(arguments);
        Finished::of(&mut command, START_DEADLINE)
    }

    /// `cairn status`.
    #[must_use]
    #[track_caller]
    pub fn status(&self) -> ClusterStatus {
        self.run(&["status", "--json"]).expect_success().json()
    }

    /// The process of a daemon.
    ///
    /// # Panics
    /// When it does not run.
    #[must_use]
    #[track_caller]
    pub fn process(&self, name: &str) -> Process {
        let file = self.dir().join("run").join(format!("{name}.pid"));
        let process = Process::from_pid_file(&file).filter(|process| process.belongs_to(self.root()));
        process.unwrap_or_else(|| panic!("{} names no daemon that runs", file.display()))
    }

    /// `cairn dev stop`, whatever comes of it.
    #[track_caller]
    pub fn dev_stop(&self) -> Finished {
        self.dev("stop", &[])
    }

    /// Waits until each of the named nodes has this state in `cairn status`.
    #[track_caller]
    pub fn wait_nodes<Name: AsRef<str>>(&self, deadline: Duration, state: &str, names: &[Name]) {
        let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
        wait::until_true(&format!("{names:?} are {state}"), deadline, || {
            let answer = self.run(&["status", "--json"]);
            answer.succeeded() && {
                let status = answer.json::<ClusterStatus>();
                names.iter().all(|name| status.nodes.iter().any(|node| node.name == *name && node.state == state))
            }
        });
    }

    /// Addresses of the masters that it was started with.
    #[must_use]
    pub fn addresses(&self) -> Vec<String> {
        self.masters.split(',').map(str::to_owned).collect()
    }

    /// Disk space that the folders of all nodes take.
    ///
    /// # Panics
    /// When one cannot be read.
    #[must_use]
    pub fn stored_bytes(&self) -> u64 {
        self.node_names().iter().map(|name| allocated_bytes(&self.data(name))).sum()
    }

    /// Name of the elected master.
    #[must_use]
    #[track_caller]
    pub fn elected(&self) -> String {
        wait::until("a master is elected", REJOIN_DEADLINE, || {
            let answer = self.run(&["status", "--json"]);
            let status = answer.succeeded().then(|| answer.json::<ClusterStatus>())?;
            status.elected().map(|master| master.name.clone())
        })
    }

    /// Mounts the cluster once more, by a daemon of its own.
    #[must_use]
    #[track_caller]
    pub fn mount(&self, name: &str) -> Mount {
        self.mount_with(name, &[])
    }

    /// Mounts the cluster once more, with further arguments.
    #[must_use]
    #[track_caller]
    pub fn mount_with(&self, name: &str, options: &[&str]) -> Mount {
        let log = self.folder("test-logs").join(format!("{name}.log"));
        Mount::start(&self.root().join(name), &self.masters, options, &log)
    }

    fn show_logs(&self) {
        let mut out = io::stderr();
        for folder in [self.dir().join("log"), self.root().join("test-logs")] {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                let text = fs::read(entry.path()).unwrap_or_default();
                let tail = String::from_utf8_lossy(&text[text.len().saturating_sub(SHOWN_LOG_BYTES)..]).into_owned();
                let shown = writeln!(out, "---- {} ----\n{tail}", entry.path().display());
                shown.expect("standard error is open");
            }
        }
    }
}

impl Drop for DevCluster {
    fn drop(&mut self) {
        end(&self.dir(), &self.mount_path());
        if thread::panicking() {
            self.show_logs();
            let kept = self.root.take().expect("only drop takes the folder").keep();
            for daemon in fs::read_dir(kept.join("dev/data")).into_iter().flatten().flatten() {
                if fs::remove_dir_all(daemon.path()).is_err() {
                    fuse::notice(&format!("could not remove {}", daemon.path().display()));
                }
            }
            fuse::notice(&format!("the logs are in {}", kept.join("dev/log").display()));
        }
    }
}
