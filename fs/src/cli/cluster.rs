use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;

use cairn_node::Locality;
use cairn_proto::wire::Label;
use clap::Args;
use tokio::time::timeout;

use super::config_file::{self, ClientConfigFile, ConfigFileError};
use super::{Failure, console};
use crate::client::{Client, ClientOptions};

/// How long a command waits for a master before it says so.
const QUIET_WAIT: Duration = Duration::from_secs(3);
/// How long a command goes on while no master answers at all: enough for masters that are just being started. A mount,
/// whose callers expect nothing sooner, takes its whole deadline.
const UNANSWERED_LIMIT: Duration = Duration::from_secs(10);

/// Nothing says where the masters are.
#[derive(Debug, thiserror::Error)]
#[error("no masters are known: neither --masters nor CAIRN_MASTERS is set, and none of {} names any",
    .looked_at.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", "))]
pub(crate) struct NoMasters {
    looked_at: Vec<PathBuf>,
}

/// Options of every command that talks to a cluster.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ClusterArguments {
    /// Masters, host:port, separated by commas; a DNS name stands for all its addresses
    #[arg(long, env = "CAIRN_MASTERS", value_delimiter = ',', value_name = "LIST")]
    masters: Vec<String>,

    /// Configuration file that names the masters
    #[arg(long, env = "CAIRN_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,

    /// Where this machine is, key=value, widest first: nodes that share more labels are read from first
    #[arg(long, env = "CAIRN_LOCALITY", value_delimiter = ',', value_name = "LABELS")]
    locality: Vec<Locality>,
}

impl ClusterArguments {
    /// How a daemon connects that is to outlast its masters.
    pub(crate) fn client_options(&self, purpose: &str) -> Result<ClientOptions, Failure> {
        let found = self.whereabouts()?;
        let locality = if self.locality.is_empty() { &found.locality } else { &self.locality };
        let locality = locality.iter().map(Label::from).collect();
        Ok(ClientOptions { locality, ..ClientOptions::new(found.masters, purpose) })
    }

    /// Where the masters are: what the command line says, else the environment, else the first file that names any.
    fn whereabouts(&self) -> Result<ClientConfigFile, Failure> {
        let files = match &self.config {
            Some(path) => vec![path.clone()],
            None => default_files(|name| std::env::var_os(name).map(PathBuf::from)),
        };
        let required = self.config.is_some();
        find_masters(&self.masters, &files, |path| read(path, required))
    }

    /// Connects to the elected master, for one command.
    pub(crate) async fn connect(&self, purpose: &str) -> Result<Client, Failure> {
        let mut options = self.client_options(purpose)?;
        options.unanswered_limit = UNANSWERED_LIMIT;
        let masters = options.masters.join(", ");
        let [deadline, limit] = [options.deadline, UNANSWERED_LIMIT].map(humantime::Duration::from);
        let mut connecting = pin!(Client::connect(options));
        if let Ok(connected) = timeout(QUIET_WAIT, &mut connecting).await {
            return Ok(connected?);
        }
        console::message(format_args!(
            "cairn: {purpose}: no elected master yet at {masters}; trying for {deadline}, or {limit} if none answers"
        ));
        Ok(connecting.await?)
    }

    /// Connects, does one thing, and closes the session whatever came of it.
    pub(crate) async fn with_client<T, E>(
        &self,
        purpose: &str,
        act: impl AsyncFnOnce(&Client) -> Result<T, E>,
    ) -> Result<T, Failure>
    where
        Failure: From<E>,
    {
        let client = self.connect(purpose).await?;
        let outcome = act(&client).await;
        client.close().await;
        Ok(outcome?)
    }

    /// Connects to the elected master, and lets no call take longer than `deadline`.
    pub(crate) async fn connect_within(&self, purpose: &str, deadline: Duration) -> Result<Client, Failure> {
        let mut options = self.client_options(purpose)?;
        options.deadline = deadline;
        Ok(Client::connect(options).await?)
    }
}

/// The files looked at where none is named, in order.
fn default_files(variable: impl Fn(&str) -> Option<PathBuf>) -> Vec<PathBuf> {
    let user = variable("XDG_CONFIG_HOME").or_else(|| variable("HOME").map(|home| home.join(".config")));
    user.map(|folder| folder.join("cairn/cairn.toml"))
        .into_iter()
        .chain(["/etc/cairn/cairn.toml", "cairn-dev/cairn.toml", "cairn.toml"].map(PathBuf::from))
        .collect()
}

/// The text of a configuration file; `None` where a file that may be missing is.
fn read(path: &Path, required: bool) -> Result<Option<String>, ConfigFileError> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound && !required => Ok(None),
        Err(source) => Err(ConfigFileError::Unreadable { path: path.to_owned(), source }),
    }
}

/// The masters that are named, or the first file that names any.
fn find_masters(
    named: &[String],
    files: &[PathBuf],
    read: impl Fn(&Path) -> Result<Option<String>, ConfigFileError>,
) -> Result<ClientConfigFile, Failure> {
    let named: Vec<String> = named.iter().map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect();
    if !named.is_empty() {
        return Ok(ClientConfigFile { masters: named, ..ClientConfigFile::default() });
    }
    for path in files {
        let Some(text) = read(path)? else { continue };
        let file: ClientConfigFile = config_file::parse(path, &text)?;
        if !file.masters.is_empty() {
            return Ok(file);
        }
    }
    Err(NoMasters { looked_at: files.to_vec() }.into())
}

#[cfg(test)]
mod tests {
    use super::{default_files, find_masters};
    use crate::cli::{ExitStatus, Failure};
    use std::path::{Path, PathBuf};

    fn files() -> Vec<PathBuf> {
        default_files(|name| (name == "HOME").then(|| PathBuf::from("/h/me")))
    }

    #[test]
    fn named_masters_win_over_every_file() {
        let named = ["a:1".to_owned(), " b:2".to_owned(), String::new()];
        let found = find_masters(&named, &files(), |_| panic!("no file is needed")).unwrap();
        assert_eq!(found.masters, ["a:1", "b:2"]);
    }

    #[test]
    fn files_are_asked_in_order_and_one_without_masters_is_passed_over() {
        let found = find_masters(&[], &files(), |path| {
            Ok(match path.to_str().unwrap() {
                "/h/me/.config/cairn/cairn.toml" => Some(String::new()),
                "cairn-dev/cairn.toml" => Some("masters = [\"dev:1\"]\nlocality = [\"dc=a\"]".to_owned()),
                "cairn.toml" => Some("masters = [\"later:1\"]".to_owned()),
                _ => None,
            })
        });
        let found = found.unwrap();
        assert_eq!(found.masters, ["dev:1"]);
        assert_eq!(found.locality, ["dc=a".parse().unwrap()]);
    }

    #[test]
    fn the_user_folder_of_the_environment_comes_first() {
        let files = default_files(|name| (name == "XDG_CONFIG_HOME").then(|| PathBuf::from("/x")));
        assert_eq!(files[0], Path::new("/x/cairn/cairn.toml"));
        assert_eq!(files[1], Path::new("/etc/cairn/cairn.toml"));
    }

    #[test]
    fn no_masters_at_all_is_no_cluster_to_reach() {
        let failure = find_masters(&[], &files(), |_| Ok(None)).unwrap_err();
        assert_eq!(failure.exit_status(), ExitStatus::Unreachable);
        assert!(failure.report("ls").contains("cairn-dev/cairn.toml"), "{}", failure.report("ls"));
    }

    #[test]
    fn a_broken_file_is_reported_and_not_passed_over() {
        let failure = find_masters(&[], &files(), |_| Ok(Some("masters = 3".to_owned()))).unwrap_err();
        assert!(matches!(failure, Failure::ConfigFile(_)));
        assert_eq!(failure.exit_status(), ExitStatus::Usage);
    }
}
