use std::ffi::OsString;
use std::fs::File;
use std::path::PathBuf;
use std::process::Stdio;

use tokio::process::{Child, Command};

use super::directory::{ClusterDirectory, read_pid_file, replace_file};
use super::process::Process;
use super::{DevFailure, DevSettings};

/// What a daemon of a dev cluster is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DaemonKind {
    Master,
    Node,
    Mount,
}

/// All daemons share one machine: more threads would only take turns. `DESIGN.md` has the measurement.
const MASTER_THREADS: [&str; 2] = ["--threads", "1"];

/// A daemon of a dev cluster, running or not.
#[derive(Debug, Clone)]
pub(crate) struct Daemon {
    pub(crate) kind: DaemonKind,
    /// `master-1`, `node-3`, `mount`.
    pub(crate) name: String,
    /// Where it listens, or where it is mounted.
    pub(crate) address: String,
    /// What its command line begins with after the program: nothing else runs with it.
    arguments: Vec<OsString>,
    /// What follows on the command line. May differ from version to version.
    options: Vec<OsString>,
}

/// A daemon that was just started by this process.
#[derive(Debug)]
pub(crate) struct StartedDaemon {
    pub(crate) child: Child,
    /// Length of its log before.
    pub(crate) log_start: u64,
}

/// All daemons of a cluster in the order they are shown: masters, nodes, mount.
pub(crate) fn daemons(directory: &ClusterDirectory, settings: &DevSettings) -> Vec<Daemon> {
    let configured = |kind, verb: &str, number: u16, port: u16| {
        let name = format!("{verb}-{number}");
        let arguments = vec![verb.into(), "--config".into(), directory.daemon_config(&name).into()];
        let options = if kind == DaemonKind::Master { MASTER_THREADS.map(OsString::from).into() } else { Vec::new() };
        Daemon { kind, name, address: format!("127.0.0.1:{port}"), arguments, options }
    };
    let masters = (1..=settings.masters).map(|i| configured(DaemonKind::Master, "master", i, settings.master_port(i)));
    let nodes = (1..=settings.nodes).map(|i| configured(DaemonKind::Node, "node", i, settings.node_port(i)));
    let mount = settings.mount.as_ref().map(|path| Daemon {
        kind: DaemonKind::Mount,
        name: "mount".to_owned(),
        address: path.display().to_string(),
        arguments: vec!["mount".into(), path.into(), "--masters".into(), settings.master_addresses().join(",").into()],
        options: Vec::new(),
    });
    masters.chain(nodes).chain(mount).collect()
}

/// The daemon of that name.
pub(crate) fn find<'a>(daemons: &'a [Daemon], name: &str) -> Result<&'a Daemon, DevFailure> {
    daemons.iter().find(|daemon| daemon.name == name).ok_or_else(|| DevFailure::UnknownDaemon {
        name: name.to_owned(),
        known: daemons.iter().map(|daemon| daemon.name.as_str()).collect::<Vec<_>>().join(", "),
    })
}

impl Daemon {
    /// Its process, if it runs.
    pub(crate) fn process(&self, directory: &ClusterDirectory) -> Result<Option<Process>, DevFailure> {
        match read_pid_file(&directory.pid_file(&self.name))? {
            None => Ok(None),
            Some(pid) => Process::find(pid, &self.arguments).map_err(DevFailure::process("look at", &self.name)),
        }
    }

    /// Whether it was started and not stopped: its pid file is there, whatever became of the process.
    pub(crate) fn was_started(&self, directory: &ClusterDirectory) -> bool {
        directory.pid_file(&self.name).exists()
    }

    /// Starts it as a child process that this process may outlive or leave behind.
    pub(crate) fn spawn(&self, directory: &ClusterDirectory) -> Result<StartedDaemon, DevFailure> {
        let log_path = directory.log(&self.name);
        let open = || File::options().create(true).append(true).open(&log_path);
        let log = open().map_err(DevFailure::file("open", log_path.clone()))?;
        let log_start = log.metadata().map_err(DevFailure::file("look at", log_path.clone()))?.len();
        let errors = log.try_clone().map_err(DevFailure::file("open", log_path.clone()))?;
        let start = || {
            // A process group of its own: Ctrl-C reaches the one who stops the daemons in order, not them.
            Command::new(std::env::current_exe()?)
                .args(&self.arguments)
                .args(&self.options)
                .current_dir(directory.root())
                .stdin(Stdio::null())
                .stdout(log)
                .stderr(errors)
                .process_group(0)
                .spawn()
        };
        let child = start().map_err(DevFailure::process("start", &self.name))?;
        let pid = child.id().expect("it was not waited for yet");
        replace_file(&directory.pid_file(&self.name), &format!("{pid}\n"))?;
        Ok(StartedDaemon { child, log_start })
    }

    /// Notes that it was stopped and is not missing.
    pub(crate) fn forget(&self, directory: &ClusterDirectory) -> Result<(), DevFailure> {
        remove_if_there(directory.pid_file(&self.name))
    }

    /// Notes that the process known so far is the one that counts.
    pub(crate) fn forget_life(&self, directory: &ClusterDirectory) -> Result<(), DevFailure> {
        remove_if_there(directory.boot_file(&self.name))
    }
}

fn remove_if_there(path: PathBuf) -> Result<(), DevFailure> {
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(DevFailure::File { action: "remove", path, source: error })
        }
        _ => Ok(()),
    }
}
