use cairn_proto::records::Key;
use clap::Args;

use super::cluster::ClusterArguments;
use super::{ExitStatus, Failure, console};
use crate::client::{Client, ClientError, Precondition};

/// `cairn rm`: deletes keys.
#[derive(Debug, Args)]
pub(crate) struct RmArguments {
    /// Keys to delete
    #[arg(required = true)]
    keys: Vec<String>,

    /// Do not mind keys that do not exist
    #[arg(short)]
    force: bool,

    #[command(flatten)]
    cluster: ClusterArguments,
}

impl RmArguments {
    /// Goes on after a key that cannot be deleted; the last failure decides the exit code.
    pub(crate) async fn run(self) -> Result<ExitStatus, Failure> {
        let client = self.cluster.connect("rm").await?;
        let mut status = ExitStatus::Done;
        for text in &self.keys {
            if let Err(failure) = self.delete(&client, text).await {
                console::message(failure.report(&format!("rm {text}")));
                status = failure.exit_status();
            }
        }
        client.close().await;
        Ok(status)
    }

    async fn delete(&self, client: &Client, text: &str) -> Result<(), Failure> {
        let key = Key::try_from(text)?;
        match client.delete(&key, Precondition::None).await {
            Err(ClientError::KeyNotFound { .. }) if self.force => Ok(()),
            result => Ok(result?),
        }
    }
}
