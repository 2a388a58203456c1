//! `cairn master` and `cairn node` in an environment that no configuration can ask for: for tests alone.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use cairn_master::Environment;
use cairn_master::store::LogWriting;
use cairn_node::store::LogSyncing;
use cairn_tests::moved_clock::MovedClock;
use clap::{Args, Parser, Subcommand};
use serde::de::DeserializeOwned;

/// As that of the daemons of `cairn`.
const LOG_FILTER: &str = "info,openraft=warn";

/// A daemon in an environment that no configuration can ask for.
#[derive(Debug, Parser)]
struct Arguments {
    /// Abort the process at this point of its code, as soon as the file of `--crash-when` is there
    #[arg(long, requires = "crash_when")]
    crash_at: Option<String>,
    /// File that arms the crash
    #[arg(long)]
    crash_when: Option<PathBuf>,
    #[command(subcommand)]
    daemon: Daemon,
}

#[derive(Debug, Subcommand)]
enum Daemon {
    /// A master
    Master(MasterArguments),
    /// A storage node
    Node(NodeArguments),
}

#[derive(Debug, Args)]
struct MasterArguments {
    /// Configuration file, as of `cairn master`
    #[arg(long)]
    config: PathBuf,
    /// Make nothing durable
    #[arg(long)]
    unsynced: bool,
    /// File with the milliseconds by which the wall clock is off
    #[arg(long)]
    clock_offset: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct NodeArguments {
    /// Configuration file, as of `cairn node`
    #[arg(long)]
    config: PathBuf,
    /// Make nothing durable
    #[arg(long)]
    unsynced: bool,
}

/// Why the daemon does not run.
#[derive(Debug, thiserror::Error)]
enum SubjectError {
    #[error("cannot read {}: {source}", path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("{} is not valid: {source}", path.display())]
    Config { path: PathBuf, source: toml::de::Error },
    #[error("--crash-at {point}: {why}")]
    CrashPoint { point: String, why: String },
    #[error("no runtime: {0}")]
    Runtime(std::io::Error),
    #[error(transparent)]
    Master(#[from] cairn_master::RunError),
    #[error(transparent)]
    Node(#[from] cairn_node::RunError),
}

fn main() -> ExitCode {
    let lines = tracing_subscriber::fmt().with_env_filter(LOG_FILTER).with_writer(std::io::stderr);
    lines.with_ansi(false).init();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let arguments = Arguments::parse();
    let armed = arguments.arm();
    let runtime = armed.and_then(|()| runtime.map_err(SubjectError::Runtime));
    let ended = runtime.and_then(|runtime| runtime.block_on(arguments.daemon.run()));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

impl Arguments {
    /// Sets the crash up that was asked for.
    fn arm(&self) -> Result<(), SubjectError> {
        let (Some(point), Some(file)) = (self.crash_at.clone(), self.crash_when.clone()) else { return Ok(()) };
        let failed = |why: String| SubjectError::CrashPoint { point: point.clone(), why };
        if !fail::has_failpoints() {
            return Err(failed("this program was built without them; `cargo test` builds it with them".to_owned()));
        }
        let crash = move || {
            if file.exists() {
                std::process::abort();
            }
        };
        fail::cfg_callback(&point, crash).map_err(failed)
    }
}

impl Daemon {
    /// Until it is killed.
    async fn run(self) -> Result<(), SubjectError> {
        match self {
            Self::Master(arguments) => {
                let environment = arguments.environment();
                Ok(cairn_master::run_in(environment, load(&arguments.config)?, std::future::pending()).await?)
            }
            Self::Node(arguments) => {
                let syncing = if arguments.unsynced { LogSyncing::Unsynced } else { LogSyncing::Synced };
                Ok(cairn_node::run_with(syncing, load(&arguments.config)?, std::future::pending()).await?)
            }
        }
    }
}

impl MasterArguments {
    fn environment(&self) -> Environment {
        let mut environment = Environment::default();
        if self.unsynced {
            environment.log_writing = LogWriting::Unsynced;
        }
        if let Some(offset) = &self.clock_offset {
            environment.clock = Arc::new(MovedClock::by(offset.clone()));
        }
        environment
    }
}

fn load<T: DeserializeOwned>(path: &Path) -> Result<T, SubjectError> {
    let text = fs::read_to_string(path).map_err(|source| SubjectError::File { path: path.to_owned(), source })?;
    toml::from_str(&text).map_err(|source| SubjectError::Config { path: path.to_owned(), source })
}
