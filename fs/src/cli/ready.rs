use std::time::Duration;

use cairn_proto::wire::{GetStatusResponse, NodeState};
use clap::Args;
use serde::Serialize;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

use super::cluster::ClusterArguments;
use super::{ExitStatus, Failure, console};

/// How long one look may take.
const LOOK_DEADLINE: Duration = Duration::from_secs(2);
/// How often is looked while waiting: the masters answer questions, they announce nothing.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// `cairn ready`: says whether the cluster takes writes.
#[derive(Debug, Args)]
pub(crate) struct ReadyArguments {
    /// Wait until it does
    #[arg(long)]
    wait: bool,

    /// How long to wait at most
    #[arg(long, value_name = "TIME", default_value = "30s", requires = "wait")]
    timeout: humantime::Duration,

    /// Print one JSON object
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    cluster: ClusterArguments,
}

/// What `ready --json` prints.
#[derive(Debug, Serialize)]
struct Readiness {
    ready: bool,
    reason: Option<String>,
}

impl ReadyArguments {
    pub(crate) async fn run(self) -> Result<ExitStatus, Failure> {
        let result = if self.wait { self.wait_ready().await } else { self.look().await };
        let reason = result.as_ref().err().map(ToString::to_string);
        if self.json {
            console::json(&Readiness { ready: result.is_ok(), reason })?;
        } else if result.is_ok() {
            console::line("ready")?;
        }
        result.map(|()| ExitStatus::Done)
    }

    async fn wait_ready(&self) -> Result<(), Failure> {
        let deadline = Instant::now() + *self.timeout;
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last = None;
        let waiting = async {
            loop {
                looks.tick().await;
                match self.look().await {
                    Err(failure) if failure.is_worth_waiting() => last = Some(failure),
                    result => return result,
                }
            }
        };
        match timeout_at(deadline, waiting).await {
            Ok(result) => result,
            Err(_) => Err(last.unwrap_or_else(|| Failure::NotReady(format!("no answer within {}", self.timeout)))),
        }
    }

    async fn look(&self) -> Result<(), Failure> {
        let client = self.cluster.connect_within("ready", LOOK_DEADLINE).await?;
        let status = client.status().await;
        client.close().await;
        what_is_missing(&status?).map_or(Ok(()), |reason| Err(Failure::NotReady(reason)))
    }
}

impl Failure {
    fn is_worth_waiting(&self) -> bool {
        matches!(self.exit_status(), ExitStatus::NotReady | ExitStatus::Unreachable)
            && !matches!(self, Self::NoMasters(_))
    }
}

/// Why a write in the default layout would not keep all its spare chunks; `None` where it would.
fn what_is_missing(status: &GetStatusResponse) -> Option<String> {
    let needed = status.default_layout.map_or(1, |layout| layout.data + layout.code) as usize;
    let active = status.nodes.iter().filter(|node| node.state() == NodeState::Active).count();
    (active < needed).then(|| {
        let idle: Vec<&str> = status
            .nodes
            .iter()
            .filter(|node| node.state() != NodeState::Active)
            .map(|node| node.name.as_str())
            .collect();
        let idle = if idle.is_empty() { String::new() } else { format!("; not active: {}", idle.join(", ")) };
        format!("{active} of {needed} nodes that the layout needs are active{idle}")
    })
}

#[cfg(test)]
mod tests {
    use super::{Readiness, what_is_missing};
    use cairn_proto::wire::{GetStatusResponse, Layout, NodeInfo, NodeState};

    fn status(states: &[NodeState]) -> GetStatusResponse {
        let node = |(number, state): (usize, &NodeState)| NodeInfo {
            name: format!("node-{}", number + 1),
            state: (*state).into(),
            ..NodeInfo::default()
        };
        GetStatusResponse {
            nodes: states.iter().enumerate().map(node).collect(),
            default_layout: Some(Layout { data: 2, code: 1, cell_size_bytes: 65_536, stripe_size_bytes: 1 << 26 }),
            ..GetStatusResponse::default()
        }
    }

    #[test]
    fn a_cluster_is_ready_when_a_whole_stripe_finds_nodes() {
        use NodeState::{Active, Dead};
        assert_eq!(what_is_missing(&status(&[Active, Dead, Active, Active])), None);
        let reason = what_is_missing(&status(&[Active, Dead, Active])).unwrap();
        assert_eq!(reason, "2 of 3 nodes that the layout needs are active; not active: node-2");
        assert_eq!(what_is_missing(&status(&[])).unwrap(), "0 of 3 nodes that the layout needs are active");
    }

    #[test]
    fn the_fields_that_programs_read_are_these() {
        let json = serde_json::to_string(&Readiness { ready: false, reason: Some("why".to_owned()) }).unwrap();
        assert_eq!(json, r#"{"ready":false,"reason":"why"}"#);
    }
}
