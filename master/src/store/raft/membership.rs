//! Changes of the group while it works: one at a time, voters by joint consensus, learners first.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{ClientWriteError, RaftError};
use openraft::raft::Precondition;
use openraft::{ChangeMembers, Instant, ServerState};
use tokio::task::JoinHandle;
use tokio::time::{timeout, timeout_at};

use super::super::MemberState;
use super::super::introduction::Introduction;
use super::group::Group;
use super::{Peer, StoredMembership, Types};

/// A learner that lacks at most so many entries becomes a voter.
const PROMOTION_LAG_ENTRIES: u64 = 200;
/// A learner that has not answered for so long does not become a voter.
const SILENCE_LIMIT: Duration = Duration::from_secs(1);
/// How often the group is looked at for something to finish, where nothing happens in it.
const TIDY_INTERVAL: Duration = Duration::from_secs(1);
/// Pause after each look: replication moves with every command.
const TIDY_PAUSE: Duration = Duration::from_millis(100);
/// How long one change may take before it counts as unfinished.
const CHANGE_LIMIT: Duration = Duration::from_secs(5);

/// Why the group was not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// Another master leads Raft.
    #[error("this master does not lead Raft")]
    NotLeading {
        /// Address of the one that does, where known.
        leader: Option<String>,
    },
    /// It may not be.
    #[error("{why}")]
    Refused {
        /// Why, and what to do.
        why: String,
    },
    /// It may still come about; asking again tells.
    #[error("the change is not finished: {why}")]
    Unfinished {
        /// The cause.
        why: String,
    },
}

type Change = ChangeMembers<u64, Peer>;

impl Group {
    /// Address of the master that leads Raft, if that is known and not this one.
    pub(crate) fn leader_address(&self) -> Option<String> {
        let leader = (*self.leader().borrow()).filter(|leader| *leader != self.me)?;
        self.membership().get_node(&leader).map(|peer| peer.address.clone())
    }

    /// Takes a master in as a learner; it becomes a voter once it has caught up. `highest` is the highest id ever used.
    pub(crate) async fn add(&self, newcomer: &Introduction, highest: u64) -> Result<(), ChangeError> {
        let _one_at_a_time = self.changing.lock().await;
        self.must_lead()?;
        let (id, membership) = (newcomer.member.id, self.membership());
        if membership.get_node(&id).is_some_and(|peer| peer.disk == newcomer.disk) {
            return Ok(());
        }
        let members = membership.nodes().map(|(id, peer)| (*id, peer)).collect();
        check_newcomer(&members, highest, newcomer)?;
        let peer =
            Peer { name: newcomer.member.name.clone(), address: newcomer.member.address.clone(), disk: newcomer.disk };
        self.change(ChangeMembers::AddNodes(BTreeMap::from([(id, peer)])), true, &membership).await
    }

    /// Takes a master out of the group for ever, unless too few of the others have answered within `fresh`.
    pub(crate) async fn remove(&self, id: u64, highest: u64, fresh: Duration) -> Result<(), ChangeError> {
        let _one_at_a_time = self.changing.lock().await;
        self.must_lead()?;
        let membership = self.membership();
        if membership.get_node(&id).is_none() {
            let unknown = || ChangeError::Refused { why: format!("there is no master {id}") };
            return if id <= highest { Ok(()) } else { Err(unknown()) };
        }
        let voters: BTreeSet<u64> = membership.voter_ids().collect();
        self.check_answers(&voters, id, fresh).await?;
        let gone = BTreeSet::from([id]);
        let change =
            if voters.contains(&id) { ChangeMembers::RemoveVoters(gone) } else { ChangeMembers::RemoveNodes(gone) };
        self.change(change, false, &membership).await
    }

    /// Refuses to do without master `id` if too few others answer. A leader that was elected just now has heard from nobody
    /// yet, so they have until `fresh` is over.
    async fn check_answers(&self, voters: &BTreeSet<u64>, id: u64, fresh: Duration) -> Result<(), ChangeError> {
        check_removal(voters, id, voters)?;
        let (mut metrics, deadline) = (self.raft.metrics(), tokio::time::Instant::now() + fresh);
        loop {
            let checked = check_removal(voters, id, &self.answering(fresh));
            if checked.is_ok() || !matches!(timeout_at(deadline, metrics.changed()).await, Ok(Ok(()))) {
                return checked;
            }
        }
    }

    /// The masters that have answered within `fresh`.
    fn answering(&self, fresh: Duration) -> BTreeSet<u64> {
        let members = self.members(fresh);
        members.iter().filter(|status| status.state == MemberState::Active).map(|status| status.member.id).collect()
    }

    /// Makes voters of learners that have caught up, and ends a change that its leader could not, for as long as this
    /// master takes part.
    pub(crate) fn tidy(&self) -> JoinHandle<()> {
        let group = self.clone();
        tokio::spawn(async move {
            let mut metrics = group.raft.metrics();
            loop {
                if let Err(error) = group.tidy_once().await {
                    tracing::warn!(%error, "the group is changed in the next round");
                }
                tokio::time::sleep(TIDY_PAUSE).await;
                if matches!(timeout(TIDY_INTERVAL, metrics.changed()).await, Ok(Err(_))) {
                    return;
                }
            }
        })
    }

    async fn tidy_once(&self) -> Result<(), ChangeError> {
        let Some(change) = self.unfinished() else { return Ok(()) };
        let _one_at_a_time = self.changing.lock().await;
        // Looked at again: the change that held the lock may have done it.
        let Some(due) = self.unfinished().filter(|due| *due == change) else { return Ok(()) };
        tracing::info!(?due, "finishing a change of the group");
        let membership = self.membership();
        // What a joint membership no longer names is not kept as a learner: it was removed.
        self.change(ChangeMembers::AddVoterIds(due), false, &membership).await
    }

    /// Learners to make voters; none while the last change is not committed. Empty: a joint membership to flatten.
    fn unfinished(&self) -> Option<BTreeSet<u64>> {
        let metrics = self.raft.metrics().borrow_watched().clone();
        let server = self.raft.server_metrics().borrow_watched().clone();
        let membership = server.membership_config;
        if metrics.state != ServerState::Leader || membership.log_id() != server.committed_membership_config.log_id() {
            return None;
        }
        if membership.membership().get_joint_config().len() > 1 {
            return Some(BTreeSet::new());
        }
        let last = metrics.last_log_index.unwrap_or(0);
        let matched = metrics.replication.unwrap_or_default();
        let learners = membership.membership().learner_ids();
        let heard = metrics.heartbeat.unwrap_or_default();
        let caught_up = |id: &u64| {
            let matched = matched.get(id).and_then(|log_id| log_id.as_ref()).map(|log_id| log_id.index);
            let near = matched.is_some_and(|matched| last.saturating_sub(matched) <= PROMOTION_LAG_ENTRIES);
            let lives = heard.get(id).and_then(Option::as_ref).is_some_and(|at| at.elapsed() < SILENCE_LIMIT);
            near && lives
        };
        let ready: BTreeSet<u64> = learners.filter(caught_up).collect();
        (!ready.is_empty()).then_some(ready)
    }

    fn must_lead(&self) -> Result<(), ChangeError> {
        let leads = *self.leads().borrow();
        if leads { Ok(()) } else { Err(ChangeError::NotLeading { leader: self.leader_address() }) }
    }

    /// Addresses of the members, if this master knows of a group that it is not in.
    pub(crate) fn members_without_me(&self) -> Vec<String> {
        let membership = self.membership();
        let left_out = membership.get_node(&self.me).is_none();
        let addresses = membership.nodes().filter(|_| left_out).map(|(_, peer)| peer.address.clone());
        addresses.collect()
    }

    /// The membership that counts now, committed or not.
    pub(super) fn membership(&self) -> StoredMembership {
        (*self.raft.server_metrics().borrow_watched().membership_config).clone()
    }

    /// One change, on condition that the membership is still the one it was decided on.
    async fn change(&self, change: Change, retain: bool, seen: &StoredMembership) -> Result<(), ChangeError> {
        let unchanged: Precondition<Types> =
            Precondition::LastMembershipLogId { last_membership_log_id: *seen.log_id() };
        let changing = self.raft.change_membership_if(change, retain, [unchanged]);
        match timeout(CHANGE_LIMIT, changing).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(RaftError::APIError(ClientWriteError::ForwardToLeader(_)))) => {
                Err(ChangeError::NotLeading { leader: self.leader_address() })
            }
            Ok(Err(error)) => Err(ChangeError::Unfinished { why: error.to_string() }),
            Err(_) => Err(ChangeError::Unfinished { why: "no majority of masters answered in time".to_owned() }),
        }
    }
}

fn check_newcomer(members: &BTreeMap<u64, &Peer>, highest: u64, newcomer: &Introduction) -> Result<(), ChangeError> {
    let refuse = |why: String| Err(ChangeError::Refused { why });
    let (id, address) = (newcomer.member.id, &newcomer.member.address);
    let next = highest + 1;
    if members.contains_key(&id) {
        return refuse(format!("there is a master {id}: give the new one id {next}"));
    }
    if id <= highest {
        return refuse(format!("id {id} was used before and is never used again: give the new master id {next}"));
    }
    if newcomer.grouped || newcomer.cluster.is_some() {
        return refuse(format!(
            "the disk of the master at {address} has been part of a group: start it on an empty folder"
        ));
    }
    if !newcomer.founders.is_empty() {
        return refuse(format!(
            "the master at {address} is configured to found a group: give it join instead of members"
        ));
    }
    let taken = |peer: &&Peer| peer.address == *address || peer.disk == newcomer.disk;
    match members.iter().find(|(_, peer)| taken(peer)) {
        Some((other, _)) => refuse(format!("master {other} is at {address}: remove it first")),
        None => Ok(()),
    }
}

fn check_removal(voters: &BTreeSet<u64>, id: u64, reachable: &BTreeSet<u64>) -> Result<(), ChangeError> {
    let refuse = |why: String| Err(ChangeError::Refused { why });
    let left: BTreeSet<u64> = voters.iter().copied().filter(|voter| *voter != id).collect();
    if left.is_empty() {
        return refuse(format!("master {id} is the only one that votes: add another first"));
    }
    let answer = left.intersection(reachable).count();
    if answer <= left.len() / 2 {
        let (needed, left) = (left.len() / 2 + 1, left.len());
        return refuse(format!(
            "without master {id} only {answer} of {left} masters answer and {needed} must: start or replace the others first"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use cairn_proto::ids::{ClusterId, MasterId};

    use super::super::super::Member;
    use super::{Introduction, Peer, check_newcomer, check_removal};

    fn newcomer(id: u64, address: &str) -> Introduction {
        Introduction {
            member: Member { id, name: "new".to_owned(), address: address.to_owned() },
            disk: MasterId::generate(),
            cluster: None,
            founders: Vec::new(),
            grouped: false,
        }
    }

    #[test]
    fn only_a_blank_disk_under_a_new_id_at_a_new_address_is_added() {
        let peer = Peer { address: "a:1".to_owned(), ..Peer::default() };
        let members = BTreeMap::from([(1, &peer)]);
        let check = |newcomer: &Introduction| check_newcomer(&members, 3, newcomer);
        assert_eq!(check(&newcomer(4, "a:4")), Ok(()));
        let used = check(&newcomer(2, "a:2")).unwrap_err();
        assert!(used.to_string().contains("id 4"), "{used}");
        check(&newcomer(1, "a:2")).unwrap_err();
        check(&newcomer(4, "a:1")).unwrap_err();
        check(&Introduction { grouped: true, ..newcomer(4, "a:4") }).unwrap_err();
        check(&Introduction { cluster: Some(ClusterId::generate()), ..newcomer(4, "a:4") }).unwrap_err();
        check(&Introduction { founders: vec![4], ..newcomer(4, "a:4") }).unwrap_err();
        check(&Introduction { disk: peer.disk, ..newcomer(4, "a:4") }).unwrap_err();
    }

    #[test]
    fn a_removal_that_would_cost_the_majority_is_refused() {
        let voters = BTreeSet::from([1, 2, 3]);
        assert_eq!(check_removal(&voters, 3, &BTreeSet::from([1, 2])), Ok(()));
        check_removal(&voters, 2, &BTreeSet::from([1, 2])).unwrap_err();
        check_removal(&BTreeSet::from([1]), 1, &BTreeSet::from([1])).unwrap_err();
        assert_eq!(check_removal(&BTreeSet::from([1, 2]), 2, &BTreeSet::from([1])), Ok(()));
    }
}
