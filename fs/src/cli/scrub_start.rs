use bytesize::ByteSize;
use cairn_proto::wire::StartScrubsResponse;
use clap::Args;
use serde::Serialize;

use super::cluster::ClusterArguments;
use super::{ExitStatus, Failure, console};

/// `cairn scrub start`: verifies all at once.
#[derive(Debug, Args)]
pub(crate) struct StartArguments {
    /// Names or ids of nodes; all that serve when none is named
    #[arg(value_name = "NODE")]
    nodes: Vec<String>,

    /// How much each may read in a second; as much as goes when not named
    #[arg(long, value_name = "SIZE")]
    rate: Option<ByteSize>,

    /// Print one JSON object
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    cluster: ClusterArguments,
}

/// `scrub start --json`.
#[derive(Debug, Serialize)]
struct Started {
    started: Vec<String>,
    failed: Vec<String>,
}

impl StartArguments {
    pub(crate) async fn run(self) -> Result<ExitStatus, Failure> {
        let (nodes, rate) = (self.nodes, self.rate.map_or(0, |rate| rate.as_u64()));
        let start = async |client: &crate::client::Client| client.start_scrubs(nodes.clone(), rate).await;
        let started = Started::from(self.cluster.with_client("scrub start", start).await?);
        console::answer(self.json, &started, || started.text())?;
        Ok(if started.failed.is_empty() { ExitStatus::Done } else { ExitStatus::Failed })
    }
}

impl From<StartScrubsResponse> for Started {
    fn from(answer: StartScrubsResponse) -> Self {
        Self { started: answer.started, failed: answer.failed }
    }
}

impl Started {
    fn text(&self) -> String {
        let begun = if self.started.is_empty() { "none".to_owned() } else { self.started.join(", ") };
        let mut lines = vec![format!("Verifying   {begun}")];
        lines.extend(self.failed.iter().map(|failed| format!("Failed      {failed}")));
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::Started;

    #[test]
    fn what_did_not_begin_is_named() {
        let started =
            Started { started: vec!["node-1".to_owned(), "node-2".to_owned()], failed: vec!["x: why".to_owned()] };
        assert_eq!(started.text(), "Verifying   node-1, node-2\nFailed      x: why");
        assert_eq!(serde_json::to_string(&started).unwrap(), r#"{"started":["node-1","node-2"],"failed":["x: why"]}"#);
    }
}
