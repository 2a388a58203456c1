use bytesize::ByteSize;
use cairn_proto::wire::StartHealingResponse;
use clap::Args;
use serde::Serialize;

use super::cluster::ClusterArguments;
use super::{ExitStatus, Failure, console};

/// `cairn heal start`: looks for what is missing, and rebuilds it, now.
#[derive(Debug, Args)]
pub(crate) struct StartArguments {
    /// Print one JSON object
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    cluster: ClusterArguments,
}

/// `heal start --json`.
#[derive(Debug, Serialize)]
struct Started {
    pending: u64,
    pending_bytes: u64,
}

impl StartArguments {
    pub(crate) async fn run(self) -> Result<ExitStatus, Failure> {
        let answer = self.cluster.with_client("heal start", async |client| client.start_healing().await).await?;
        let started = Started::from(answer);
        console::answer(self.json, &started, || started.text())
    }
}

impl From<StartHealingResponse> for Started {
    fn from(answer: StartHealingResponse) -> Self {
        Self { pending: answer.pending, pending_bytes: answer.pending_bytes }
    }
}

impl Started {
    fn text(&self) -> String {
        let found = if self.pending == 0 {
            "Nothing is missing by the records".to_owned()
        } else {
            format!("Missing   {} segments, {}", self.pending, ByteSize::b(self.pending_bytes))
        };
        format!("{found}; what nodes keep is compared with the records now\nProgress  cairn heal status")
    }
}

#[cfg(test)]
mod tests {
    use super::Started;

    #[test]
    fn what_is_missing_is_told() {
        let started = Started { pending: 3, pending_bytes: 300 << 20 };
        assert!(started.text().starts_with("Missing   3 segments, 300.0 MiB; "), "{}", started.text());
        assert_eq!(serde_json::to_string(&started).unwrap(), r#"{"pending":3,"pending_bytes":314572800}"#);
        assert!(Started { pending: 0, pending_bytes: 0 }.text().starts_with("Nothing is missing by the records"));
    }
}
