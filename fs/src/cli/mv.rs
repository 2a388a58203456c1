use cairn_proto::records::Key;
use clap::Args;

use super::cluster::ClusterArguments;
use super::{ExitStatus, Failure};
use crate::client::Client;

/// `cairn mv`: renames a key, atomically replacing the new one.
#[derive(Debug, Args)]
pub(crate) struct MvArguments {
    /// Key to rename
    old: String,

    /// Its new name
    new: String,

    /// Fail if the new key exists
    #[arg(short = 'n')]
    no_replace: bool,

    #[command(flatten)]
    cluster: ClusterArguments,
}

impl MvArguments {
    pub(crate) fn subject(&self) -> String {
        format!("mv {} {}", self.old, self.new)
    }

    pub(crate) async fn run(self) -> Result<ExitStatus, Failure> {
        let (old, new) = (Key::try_from(self.old)?, Key::try_from(self.new)?);
        let rename = async |client: &Client| client.rename(&old, &new, self.no_replace).await;
        self.cluster.with_client("mv", rename).await?;
        Ok(ExitStatus::Done)
    }
}
