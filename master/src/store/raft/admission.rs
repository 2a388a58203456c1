//! Who may take part: an id belongs to one disk for ever, and both sides of a call check it.

use std::collections::BTreeMap;

use cairn_proto::ids::{ClusterId, MasterId};
use cairn_proto::wire::MemberStanding;
use cairn_proto::{Refusal, wire};
use openraft::async_runtime::watch::WatchReceiver;
use tokio::sync::watch;

use super::Peer;
use super::group::Group;

/// Checks what comes in against this master's disk, its cluster, and the group as it is committed.
pub(crate) struct Admission {
    pub(crate) disk: MasterId,
    pub(crate) group: Group,
    pub(crate) cluster: watch::Receiver<Option<ClusterId>>,
    pub(crate) highest_master: watch::Receiver<u64>,
}

impl Admission {
    /// Refuses what is meant for another master or disk, or comes from another cluster, from a removed master, or from
    /// another disk under a member's id. Either side may not know its cluster yet: then there is nothing to compare.
    pub(crate) fn check(&self, header: Option<&wire::RaftHeader>) -> Result<MasterId, Refusal> {
        let invalid = |why: String| Refusal::InvalidRequest { why };
        let header = header.ok_or_else(|| invalid("header is missing".to_owned()))?;
        let me = self.group.me();
        if header.target != me {
            return Err(invalid(format!("meant for master {}, this is master {me}", header.target)));
        }
        self.check_cluster(ClusterId::from_wire_opt(&header.cluster)?)?;
        let meant = MasterId::from_wire(&header.target_disk)?;
        if meant != self.disk {
            return Err(Refusal::WrongDisk { disk: meant.to_string() });
        }
        let sender = MasterId::from_wire(&header.sender_disk)?;
        match self.standing(header.sender, sender) {
            MemberStanding::Removed => Err(Refusal::NotMember { why: format!("{} was removed", header.sender) }),
            MemberStanding::OtherDisk => {
                Err(Refusal::NotMember { why: format!("master {} is another disk", header.sender) })
            }
            // One whose addition this master has not heard of may lead already.
            MemberStanding::Stranger | MemberStanding::Member | MemberStanding::NoGroup => Ok(sender),
        }
    }

    /// This master's cluster, once it has one.
    pub(crate) fn cluster(&self) -> Option<ClusterId> {
        *self.cluster.borrow()
    }

    /// Refuses another cluster.
    pub(crate) fn check_cluster(&self, theirs: Option<ClusterId>) -> Result<(), Refusal> {
        match (*self.cluster.borrow(), theirs) {
            (Some(ours), Some(theirs)) if ours != theirs => {
                Err(Refusal::ForeignCluster { ours: ours.to_string(), theirs: theirs.to_string() })
            }
            _ => Ok(()),
        }
    }

    /// What a disk is to the group under an id, by what is committed: a removal may still be undone before that.
    pub(crate) fn standing(&self, id: u64, disk: MasterId) -> MemberStanding {
        let committed = self.group.raft.server_metrics().borrow_watched().committed_membership_config.clone();
        let members = committed.nodes().map(|(id, peer)| (*id, peer)).collect();
        standing(&members, *self.highest_master.borrow(), id, disk)
    }
}

fn standing(members: &BTreeMap<u64, &Peer>, highest: u64, id: u64, disk: MasterId) -> MemberStanding {
    match members.get(&id) {
        _ if members.is_empty() => MemberStanding::NoGroup,
        Some(peer) if peer.disk == disk => MemberStanding::Member,
        Some(_) => MemberStanding::OtherDisk,
        None if id <= highest => MemberStanding::Removed,
        None => MemberStanding::Stranger,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use cairn_proto::ids::MasterId;
    use cairn_proto::wire::MemberStanding;

    use super::{Peer, standing};

    #[test]
    fn an_id_belongs_to_one_disk_for_ever() {
        let peer = Peer { disk: MasterId::generate(), ..Peer::default() };
        let members = BTreeMap::from([(1, &peer), (4, &peer)]);
        let ask = |id, disk| standing(&members, 5, id, disk);
        assert_eq!(ask(4, peer.disk), MemberStanding::Member);
        assert_eq!(ask(4, MasterId::generate()), MemberStanding::OtherDisk);
        assert_eq!(ask(3, peer.disk), MemberStanding::Removed);
        assert_eq!(ask(5, peer.disk), MemberStanding::Removed);
        assert_eq!(ask(6, peer.disk), MemberStanding::Stranger);
        assert_eq!(standing(&BTreeMap::new(), 0, 1, peer.disk), MemberStanding::NoGroup);
    }
}
