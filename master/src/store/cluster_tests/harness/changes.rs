//! Masters that come, change the group, and are waited for.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::super::super::{AdministrationError, ChangeError, MemberRole, MemberState, ReplicatedStore};
use super::{Cluster, PATIENCE};

impl Cluster {
    /// Starts one more master, with the next id, that waits to be added. Returns its number and address.
    pub(in crate::store::cluster_tests) async fn start_joining(&mut self) -> (usize, String) {
        let number = self.enrol();
        self.masters[number] = Some(self.launch(number).await);
        (number, self.address(number))
    }

    /// Has whoever leads Raft change the group, as often as it takes, like the command line.
    pub(in crate::store::cluster_tests) async fn change<T, W>(
        &self,
        change: impl Fn(Arc<ReplicatedStore>) -> W,
    ) -> Result<T, AdministrationError>
    where
        W: Future<Output = Result<T, AdministrationError>>,
    {
        let changing = async {
            loop {
                for store in self.stores() {
                    match change(store).await {
                        Err(
                            AdministrationError::NotElected { .. }
                            | AdministrationError::Change(
                                ChangeError::NotLeading { .. } | ChangeError::Unfinished { .. },
                            ),
                        ) => tokio::task::yield_now().await,
                        answer => return answer,
                    }
                }
            }
        };
        timeout(PATIENCE, changing).await.expect("the group is not changed")
    }

    /// Returns once one master leads Raft, is elected, and hears from all of so many.
    pub(in crate::store::cluster_tests) async fn settled(&self, elected: &ReplicatedStore, size: usize) {
        let settled = async {
            loop {
                let members = elected.members_status();
                let both = members.iter().filter(|status| status.elected && status.raft_leader).count();
                if both == 1 && members.iter().filter(|status| status.state == MemberState::Active).count() == size {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, settled).await.unwrap_or_else(|_| panic!("{:?}", elected.members_status()));
    }

    /// Returns once `number` masters vote, by the word of the one at `seen_by`.
    pub(in crate::store::cluster_tests) async fn voters(&self, seen_by: usize, number: usize) {
        let store = self.store(seen_by);
        let counted = async {
            while store.members_status().iter().filter(|status| status.role == MemberRole::Voter).count() != number {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, counted).await.unwrap_or_else(|_| panic!("{:?}", store.members_status()));
    }
}
