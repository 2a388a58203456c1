use std::io::IsTerminal;

use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;

use super::Failure;

/// A log filter that does not parse.
#[derive(Debug, thiserror::Error)]
#[error("log level {filter:?} is not valid: {source}")]
pub(crate) struct InvalidLogFilter {
    filter: String,
    source: tracing_subscriber::filter::ParseError,
}

/// Form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// One object a line.
    Json,
}

/// What daemons log unless they are told otherwise: openraft tells every heartbeat at `info`.
const DEFAULT_FILTER: &str = "info,openraft=warn";

/// Options of every daemon.
#[derive(Debug, Clone, Args)]
pub(crate) struct LogArguments {
    /// Level, or levels by module: `info`, `cairn_node=debug,warn`
    #[arg(long, env = "CAIRN_LOG", value_name = "LEVEL", default_value = DEFAULT_FILTER)]
    pub(crate) log: String,

    /// Form of log lines
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub(crate) log_format: LogFormat,
}

impl LogArguments {
    /// Sends the log of this process to standard error from now on.
    pub(crate) fn install(&self) -> Result<(), Failure> {
        let filter =
            EnvFilter::try_new(&self.log).map_err(|source| InvalidLogFilter { filter: self.log.clone(), source })?;
        let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
        match self.log_format {
            LogFormat::Text => lines.with_ansi(colours()).init(),
            LogFormat::Json => lines.json().init(),
        }
        Ok(())
    }
}

/// For commands that are no daemons: logs to standard error if `CAIRN_LOG` is set, and not otherwise.
pub(crate) fn install_if_asked() -> Result<(), Failure> {
    match std::env::var("CAIRN_LOG") {
        Ok(log) => LogArguments { log, log_format: LogFormat::Text }.install(),
        Err(_) => Ok(()),
    }
}

fn colours() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
