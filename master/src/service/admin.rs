use std::sync::Arc;
use std::time::Duration;

use cairn_proto::wire::admin_server::{Admin, AdminServer};
use cairn_proto::{MESSAGE_LIMIT_BYTES, Refusal, wire};
use tokio::time::timeout;
use tonic::{Request, Response, Status, async_trait};

use crate::store::{AdministrationError, ChangeError, ReplicatedStore};

/// How long one call may take; what it started goes on, and asking again tells how it ended.
const CALL_DEADLINE: Duration = Duration::from_secs(8);

/// What an administrator asks of the masters.
pub struct AdminService {
    store: Arc<ReplicatedStore>,
}

impl AdminService {
    /// On the store of one master.
    pub fn new(store: Arc<ReplicatedStore>) -> Self {
        Self { store }
    }

    /// As a service for a server, with the limits of its messages set.
    pub fn into_server(self) -> AdminServer<Self> {
        AdminServer::new(self)
            .max_decoding_message_size(MESSAGE_LIMIT_BYTES)
            .max_encoding_message_size(MESSAGE_LIMIT_BYTES)
    }

    /// The work goes on to its end even if the caller hangs up: a change of the group is not left half made.
    async fn run<T, W>(&self, work: impl FnOnce(Arc<ReplicatedStore>) -> W) -> Result<T, Status>
    where
        T: Send + 'static,
        W: Future<Output = Result<T, AdministrationError>> + Send + 'static,
    {
        let running = tokio::spawn(work(Arc::clone(&self.store)));
        match timeout(CALL_DEADLINE, running).await {
            Ok(Ok(answer)) => Ok(answer.map_err(refusal)?),
            Ok(Err(panic)) => Err(Status::internal(panic.to_string())),
            Err(_) => Err(Refusal::NotReady { why: "the change is not finished; ask again".to_owned() }.into()),
        }
    }
}

#[async_trait]
impl Admin for AdminService {
    async fn list_masters(
        &self,
        _request: Request<wire::ListMastersRequest>,
    ) -> Result<Response<wire::ListMastersResponse>, Status> {
        let masters = self.store.members_status().into_iter().map(wire::MasterStatus::from).collect();
        Ok(Response::new(wire::ListMastersResponse { masters }))
    }

    async fn add_master(
        &self,
        request: Request<wire::AddMasterRequest>,
    ) -> Result<Response<wire::AddMasterResponse>, Status> {
        let address = request.into_inner().address;
        let master = self.run(|store| async move { store.add_master(&address).await }).await?;
        Ok(Response::new(wire::AddMasterResponse { master }))
    }

    async fn remove_master(
        &self,
        request: Request<wire::RemoveMasterRequest>,
    ) -> Result<Response<wire::RemoveMasterResponse>, Status> {
        let master = request.into_inner().master;
        self.run(move |store| async move { store.remove_master(master).await }).await?;
        Ok(Response::new(wire::RemoveMasterResponse {}))
    }

    async fn transfer_elected(
        &self,
        request: Request<wire::TransferElectedRequest>,
    ) -> Result<Response<wire::TransferElectedResponse>, Status> {
        let master = request.into_inner().master;
        self.run(move |store| async move { store.transfer_to(master).await }).await?;
        Ok(Response::new(wire::TransferElectedResponse {}))
    }
}

fn refusal(error: AdministrationError) -> Refusal {
    match error {
        AdministrationError::Change(ChangeError::NotLeading { leader }) => {
            Refusal::NotLeading { leader: leader.unwrap_or_default() }
        }
        AdministrationError::Change(ChangeError::Unfinished { why }) => Refusal::NotReady { why },
        AdministrationError::Change(ChangeError::Refused { why }) => Refusal::GroupRefused { why },
        AdministrationError::NoMaster { .. } => Refusal::GroupRefused { why: error.to_string() },
        AdministrationError::NotElected { elected } => Refusal::NotElected { elected: elected.unwrap_or_default() },
    }
}
