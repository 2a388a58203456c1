use std::sync::Arc;
use std::time::Duration;

use cairn_proto::wire::MemberStanding;

use super::raft::Peers;
use super::{Group, Introduction};

/// How often a master that its own log leaves out asks the others whether it was removed.
const ASK_INTERVAL: Duration = Duration::from_secs(1);

/// Returns why this master belongs to the group no more, once a member says so.
///
/// A master that was removed may have the entry that removes it, and then asks for no election and hears from nobody;
/// but only others know whether the entry was committed.
pub(super) async fn removed(own: Introduction, group: Group, peers: Arc<Peers>) -> String {
    loop {
        for address in group.members_without_me() {
            let answer = peers.introduce(&address, &own).await;
            if let Ok(answer) = answer
                && answer.standing == MemberStanding::Removed
            {
                let (id, who) = (own.member.id, answer.introduction.member.name);
                return format!("master {id} was removed from the group, says {who}; empty its folder to use it again");
            }
        }
        tokio::time::sleep(ASK_INTERVAL).await;
    }
}
