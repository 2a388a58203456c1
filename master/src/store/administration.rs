//! Changes of the group of masters that an administrator asks for.

use super::raft::ChangeError;
use super::{MemberRole, MemberState, ReplicatedStore, Standing, Store};

/// Why the masters did not do what was asked of them.
#[derive(Debug, thiserror::Error)]
pub enum AdministrationError {
    /// The group was not changed.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// Nobody who can be added is at the address.
    #[error("no master answers at {address}: {why}; start it with join before it is added")]
    NoMaster {
        /// The address.
        address: String,
        /// What happened.
        why: String,
    },
    /// Another master is elected.
    #[error("this master is not elected")]
    NotElected {
        /// Address of the one that is, where known.
        elected: Option<String>,
    },
}

impl ReplicatedStore {
    /// Takes the master that waits at `address` into the group and answers its Raft id. It becomes a voter by itself.
    pub async fn add_master(&self, address: &str) -> Result<u64, AdministrationError> {
        self.must_lead()?;
        let newcomer =
            self.peers().introduce(address, &self.introduction()).await.map_err(|error| {
                AdministrationError::NoMaster { address: address.to_owned(), why: error.to_string() }
            })?;
        let newcomer = newcomer.introduction;
        let highest = *self.state().highest_master().borrow();
        self.group().add(&newcomer, highest).await?;
        Ok(newcomer.member.id)
    }

    /// Takes a master out of the group for ever. One that is to remove itself hands over first, and names who leads.
    pub async fn remove_master(&self, id: u64) -> Result<(), AdministrationError> {
        self.must_lead()?;
        let members = self.members_status();
        if id == self.group().me() && members.iter().filter(|status| status.role == MemberRole::Voter).count() > 1 {
            self.step_down(None).await?;
            return Err(ChangeError::NotLeading { leader: self.group().leader_address() }.into());
        }
        let elected = members
            .iter()
            .any(|status| status.member.id == id && status.elected && status.state == MemberState::Active);
        if elected && id != self.group().me() {
            // Removing it now would leave nobody elected until its lease runs out.
            let why = format!("master {id} is elected and takes the lead first; ask again");
            return Err(ChangeError::Unfinished { why }.into());
        }
        let highest = *self.state().highest_master().borrow();
        Ok(self.group().remove(id, highest, self.fresh()).await?)
    }

    /// Has the master `id` lead Raft and be elected. Does nothing if it is elected already.
    pub async fn transfer_to(&self, id: u64) -> Result<(), AdministrationError> {
        let standing = self.standing().borrow().clone();
        if let Standing::Following { elected } = standing {
            return Err(AdministrationError::NotElected { elected });
        }
        if id == self.group().me() {
            return Ok(());
        }
        let members = self.members_status();
        let Some(successor) = members.iter().find(|status| status.member.id == id) else {
            return Err(ChangeError::Refused { why: format!("there is no master {id}") }.into());
        };
        if successor.role != MemberRole::Voter {
            let why = format!("master {id} does not vote yet: it is still catching up");
            return Err(ChangeError::Refused { why }.into());
        }
        self.step_down(Some(id)).await
    }

    /// Hands Raft over, to the voter that is furthest ahead where none is named, and then gives up the lease: the
    /// successor takes it at once.
    async fn step_down(&self, successor: Option<u64>) -> Result<(), AdministrationError> {
        let group = self.group();
        let leads = *group.leads().borrow();
        let leader = *group.leader().borrow();
        let handed_over = match successor {
            Some(successor) if leads => group.pass_on(successor).await,
            Some(successor) => leader == Some(successor),
            None => group.hand_over().await,
        };
        if !handed_over {
            let why = "no other master has taken the lead of Raft; ask again".to_owned();
            return Err(ChangeError::Unfinished { why }.into());
        }
        self.give_up_lease().await;
        Ok(())
    }

    fn must_lead(&self) -> Result<(), ChangeError> {
        let group = self.group();
        let leads = *group.leads().borrow();
        if leads { Ok(()) } else { Err(ChangeError::NotLeading { leader: group.leader_address() }) }
    }
}
