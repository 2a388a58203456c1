mod deep;
mod report;

use clap::Args;

use super::cluster::ClusterArguments;
use super::progress::Progress;
use super::{ExitStatus, Failure, console};
use crate::client::{Client, ClientError};
use report::Report;

/// How often it begins anew because another master was elected in the middle.
const ATTEMPTS: usize = 3;

/// `cairn fsck`: compares the masters' records with one another and with what nodes keep, and prints what does not agree.
///
/// Ends with 0 when all agrees, with 5 when something does not or could not be looked at.
#[derive(Debug, Args)]
pub(crate) struct FsckArguments {
    /// Also read every cell of every blob, and compare it with the digests on record
    #[arg(long)]
    deep: bool,

    /// Print one JSON object
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    cluster: ClusterArguments,
}

impl FsckArguments {
    pub(crate) async fn run(self) -> Result<ExitStatus, Failure> {
        let report = self.cluster.with_client("fsck", async |client| self.look(client).await).await?;
        console::answer(self.json, &report, || report.text())?;
        Ok(if report.ok() { ExitStatus::Done } else { ExitStatus::NotReady })
    }

    async fn look(&self, client: &Client) -> Result<Report, Failure> {
        let mut report = inspect(client).await?;
        if self.deep {
            deep::read_everything(client, &mut report).await?;
        }
        Ok(report)
    }
}

/// The elected master's look at everything, from the beginning again if another one is elected meanwhile.
async fn inspect(client: &Client) -> Result<Report, Failure> {
    for _ in 1..ATTEMPTS {
        match inspect_once(client).await {
            Err(error @ ClientError::Unavailable { .. }) => {
                console::message(format_args!("cairn: fsck: {error}; beginning again"));
            }
            other => return Ok(other?),
        }
    }
    Ok(inspect_once(client).await?)
}

async fn inspect_once(client: &Client) -> Result<Report, ClientError> {
    let mut report = Report::default();
    let mut inspection = client.inspect().await?;
    let mut progress = Progress::counting("chunks compared");
    while let Some(message) = inspection.next().await? {
        let finished = message.progress.is_some_and(|progress| progress.finished);
        progress.set(message.progress.map_or(0, |progress| progress.chunks));
        report.take(message);
        if finished {
            return Ok(report);
        }
    }
    Err(ClientError::Unavailable { what: "compare records with nodes", why: "the answer broke off".to_owned() })
}
