use std::sync::Arc;
use std::time::Duration;

use cairn_proto::Refusal;
use cairn_proto::wire::NodeState;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::Domains;
use super::census::{Census, take_census};
use crate::clock::Clock;
use crate::failure::Failure;
use crate::ledger::Ledger;
use crate::nodes::Nodes;
use crate::state::State;

/// Time between censuses, in times of what one costs: at most a fifth of one thread counts.
const PAUSE_PER_COST: u32 = 4;
/// A census that takes longer than this is taken behind the answers.
const WAITED_FOR: Duration = Duration::from_millis(250);

/// A census, when it was taken, and how long it took.
struct Taken {
    census: Census,
    at: Instant,
    cost: Duration,
}

/// Takes a census when somebody asks, but not more often than its cost allows.
pub struct CensusTaker {
    ledger: Ledger,
    clock: Arc<dyn Clock>,
    nodes: Arc<Nodes>,
    spare_when_empty: u32,
    last: Mutex<Option<Taken>>,
    taking: Arc<tokio::sync::Mutex<()>>,
}

enum Last {
    Good(Census),
    Old(Census),
    Useless,
}

impl CensusTaker {
    /// With no census yet.
    pub fn new(ledger: Ledger, clock: Arc<dyn Clock>, nodes: Arc<Nodes>, spare_when_empty: u32) -> Self {
        Self { ledger, clock, nodes, spare_when_empty, last: Mutex::default(), taking: Arc::default() }
    }

    /// A census that is older than a new one only in proportion to what it costs.
    pub async fn census(self: &Arc<Self>) -> Result<Census, Failure> {
        match self.last() {
            Last::Good(census) => return Ok(census),
            Last::Old(census) => {
                if let Ok(guard) = Arc::clone(&self.taking).try_lock_owned() {
                    let taker = Arc::clone(self);
                    tokio::spawn(async move {
                        let _taking = guard;
                        if let Err(error) = taker.take().await {
                            tracing::warn!(%error, "no census");
                        }
                    });
                }
                return Ok(census);
            }
            Last::Useless => {}
        }
        let _taking = self.taking.lock().await;
        match self.last() {
            Last::Good(census) | Last::Old(census) => Ok(census),
            Last::Useless => self.take().await,
        }
    }

    fn last(&self) -> Last {
        match &*self.last.lock() {
            Some(taken) if self.clock.now() < taken.at + taken.cost * PAUSE_PER_COST => {
                Last::Good(taken.census.clone())
            }
            Some(taken) if taken.cost > WAITED_FOR => Last::Old(taken.census.clone()),
            _ => Last::Useless,
        }
    }

    async fn take(&self) -> Result<Census, Failure> {
        let start = self.clock.now();
        let view = self.ledger.view()?;
        let (domains, spare_when_empty) = (self.domains(), self.spare_when_empty);
        let counting =
            tokio::task::spawn_blocking(move || take_census(&State(view.as_ref()), &domains, spare_when_empty));
        let stopped = |_| Refusal::NotReady { why: "this master is stopping".to_owned() };
        let census = counting.await.map_err(stopped)??;
        let at = self.clock.now();
        *self.last.lock() = Some(Taken { census: census.clone(), at, cost: at.saturating_duration_since(start) });
        Ok(census)
    }

    /// Where the nodes are whose chunks count: all but the dead and the removed.
    fn domains(&self) -> Domains {
        let members = self.nodes.members_with_state();
        let counted = members.into_iter().filter(|(_, state)| !matches!(state, NodeState::Dead | NodeState::Removed));
        Domains::of(counted.map(|(member, _)| (member.place(), member.locality())))
    }
}
