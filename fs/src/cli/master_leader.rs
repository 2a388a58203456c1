use std::time::{Duration, SystemTime};

use cairn_proto::wire::GetLeaderResponse;
use clap::Args;
use serde::Serialize;

use super::cluster::ClusterArguments;
use super::{ExitStatus, Failure, console};

/// `cairn master leader`: says which master is elected.
#[derive(Debug, Args)]
pub(crate) struct LeaderArguments {
    /// Print one JSON object
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    cluster: ClusterArguments,
}

/// What `master leader --json` prints.
#[derive(Debug, Serialize)]
struct Leader {
    address: String,
    epoch: u64,
    expires: String,
}

impl LeaderArguments {
    pub(crate) async fn run(self) -> Result<ExitStatus, Failure> {
        let answer = self.cluster.with_client("master leader", async |client| client.leader().await).await?;
        let leader = leader(answer).ok_or_else(|| Failure::NotReady("no master is elected".to_owned()))?;
        let words = || format!("{} (epoch {}, until {})", leader.address, leader.epoch, leader.expires);
        console::answer(self.json, &leader, words)
    }
}

fn leader(answer: GetLeaderResponse) -> Option<Leader> {
    let lease = answer.lease?;
    let address = if answer.address.is_empty() { lease.address } else { answer.address };
    let expires = SystemTime::UNIX_EPOCH + Duration::from_millis(lease.end_at_ms);
    (!address.is_empty()).then(|| Leader {
        address,
        epoch: lease.epoch,
        expires: humantime::format_rfc3339_millis(expires).to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::leader;
    use cairn_proto::wire::{GetLeaderResponse, LeaderLease};

    #[test]
    fn the_fields_that_programs_read_are_these() {
        let lease = LeaderLease { epoch: 3, end_at_ms: 1_700_000_000_250, ..LeaderLease::default() };
        let answer = GetLeaderResponse { lease: Some(lease), address: "a:1".to_owned() };
        assert_eq!(
            serde_json::to_string(&leader(answer).unwrap()).unwrap(),
            r#"{"address":"a:1","epoch":3,"expires":"2023-11-14T22:13:20.250Z"}"#
        );
    }

    #[test]
    fn a_cluster_may_have_no_elected_master() {
        assert!(leader(GetLeaderResponse::default()).is_none());
        let answer = GetLeaderResponse { lease: Some(LeaderLease::default()), address: String::new() };
        assert!(leader(answer).is_none());
    }
}
