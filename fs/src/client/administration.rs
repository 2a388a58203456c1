//! The masters of a cluster, and changes of them.

use cairn_proto::transport::DirectChannel;
use cairn_proto::wire;
use cairn_proto::wire::admin_client::AdminClient;
use tonic::{Response, Status};

use super::masters::{Call, CallKind};
use super::{Client, ClientError};

impl Client {
    /// The masters, as the one that leads Raft sees them, since it hears from all; if it does not answer, as another
    /// sees them, which knows less.
    pub async fn masters(&self) -> Result<Vec<wire::MasterStatus>, ClientError> {
        let call = Call { what: "list the masters", deadline: self.connection.deadline(), kind: CallKind::Overview };
        let masters = &self.connection.masters;
        let mut seen = masters.ask_any_on(call, list_masters).await?.masters;
        let some_unknown = seen.iter().any(|master| master.state() == wire::MasterState::Unknown);
        if let Some(leader) = seen.iter_mut().find(|master| some_unknown && master.raft_leader) {
            match masters.ask_in_turn(call, std::slice::from_ref(&leader.address), list_masters).await {
                Ok(answer) => return Ok(answer.masters),
                Err(error) => {
                    tracing::debug!(%error, leader = leader.name, "the master that leads Raft does not list the masters");
                    leader.set_state(wire::MasterState::Unknown);
                }
            }
        }
        Ok(seen)
    }

    /// Adds the master that waits at `address`; returns its id. It votes once it has caught up.
    pub async fn add_master(&self, address: &str) -> Result<u64, ClientError> {
        let request = wire::AddMasterRequest { address: address.to_owned() };
        let answer = self.administer("add the master", |mut masters| {
            let request = request.clone();
            async move { masters.add_master(request).await }
        });
        Ok(answer.await?.master)
    }

    /// Removes a master for ever.
    pub async fn remove_master(&self, master: u64) -> Result<(), ClientError> {
        let answer = self.administer("remove the master", |mut masters| async move {
            masters.remove_master(wire::RemoveMasterRequest { master }).await
        });
        answer.await.map(drop)
    }

    /// Has another master be elected.
    pub async fn transfer_elected(&self, master: u64) -> Result<(), ClientError> {
        let answer = self.administer("elect the master", |mut masters| async move {
            masters.transfer_elected(wire::TransferElectedRequest { master }).await
        });
        answer.await.map(drop)
    }

    async fn administer<T, F, R>(&self, what: &'static str, request: F) -> Result<T, ClientError>
    where
        F: Fn(AdminClient<DirectChannel>) -> R,
        R: Future<Output = Result<Response<T>, Status>>,
    {
        let call = Call { what, deadline: self.connection.deadline(), kind: CallKind::Mutation };
        let masters = &self.connection.masters;
        let answer = masters.call_on(call, |channel| request(AdminClient::new(channel))).await;
        answer.map_err(|error| error.into_client_error(what))
    }
}

async fn list_masters(channel: DirectChannel) -> Result<Response<wire::ListMastersResponse>, Status> {
    AdminClient::new(channel).list_masters(wire::ListMastersRequest {}).await
}
