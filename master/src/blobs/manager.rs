use std::sync::Arc;

use cairn_proto::ids::{BlobId, SessionId};
use cairn_proto::records::{ChunkPlace, Key};
use cairn_proto::{Refusal, wire};

use super::commit::committed_already;
use super::{
    CommitContext, CommitRequest, ListRequest, LookUpTarget, Overwrite, Precondition, RenameRequest, list, look_up,
    plan_commit, plan_delete, plan_rename, plan_set_attributes,
};
use crate::clock::Clock;
use crate::failure::Failure;
use crate::ledger::Ledger;
use crate::nodes::Nodes;
use crate::requests::{RequestId, Requests};
use crate::serials::Serials;
use crate::state::State;
use crate::transactions::TransactionTable;

/// Changes and finds keys and blobs.
pub struct Blobs {
    ledger: Ledger,
    clock: Arc<dyn Clock>,
    requests: Arc<Requests>,
    serials: Serials,
    transactions: Arc<TransactionTable>,
    nodes: Arc<Nodes>,
    overwrite: Overwrite,
}

impl Blobs {
    /// For the state of one election.
    pub fn new(
        ledger: Ledger,
        clock: Arc<dyn Clock>,
        requests: Arc<Requests>,
        transactions: Arc<TransactionTable>,
        nodes: Arc<Nodes>,
        overwrite: Overwrite,
    ) -> Self {
        let serials = Serials::new(ledger.clone());
        Self { ledger, clock, requests, serials, transactions, nodes, overwrite }
    }

    /// Makes a blob visible. When this returns, a majority of masters has it on stable storage.
    pub async fn commit(&self, request: wire::CommitBlobRequest) -> Result<wire::CommitBlobResponse, Failure> {
        let id = RequestId::try_from(request.request)?;
        let request = CommitRequest::try_from(request)?;
        let context = CommitContext {
            client: id.client,
            serial: self.serials.next().await?,
            now_ms: self.clock.unix_ms(),
            overwrite: self.overwrite,
            written_to: self.written_to(&request),
        };
        match self.requests.run(id, |session| plan_commit(session, &request, &context)).await {
            Ok(reply) => {
                self.close_transactions(id.client, &request);
                Ok(reply)
            }
            // The record of the request may be gone with its session, but the blob it made can still tell.
            Err(Failure::Refused(refusal @ (Refusal::OutcomeUnknown { .. } | Refusal::SessionExpired { .. }))) => {
                let view = self.ledger.view()?;
                committed_already(&State(view.as_ref()), &request)?.ok_or_else(|| refusal.into())
            }
            Err(failure) => Err(failure),
        }
    }

    fn written_to(&self, request: &CommitRequest) -> Vec<ChunkPlace> {
        // Of a segment that is kept with its record, nothing was sent to the nodes it might have been written to.
        let sealed = request.sealed.as_ref().filter(|(sealed, _)| sealed.contents.is_none());
        let Some((sealed, _)) = sealed else { return Vec::new() };
        let open = self.transactions.get(sealed.transaction).filter(|open| open.segment == sealed.id);
        open.map(|open| open.places).unwrap_or_default()
    }

    fn close_transactions(&self, client: SessionId, request: &CommitRequest) {
        if let Some((sealed, _)) = &request.sealed {
            self.transactions.remove(sealed.transaction);
        } else if let Some(holder) = self.transactions.holder(&request.key).filter(|id| id.session == client) {
            self.transactions.remove(holder);
        }
    }

    /// Removes a key.
    pub async fn delete(&self, request: wire::DeleteRequest) -> Result<wire::DeleteResponse, Failure> {
        let id = RequestId::try_from(request.request)?;
        let key = Key::try_from(request.key).map_err(Refusal::from)?;
        let precondition = Precondition::try_from(request.precondition)?;
        let now_ms = self.clock.unix_ms();
        self.requests.run(id, |session| plan_delete(session, &key, precondition, now_ms)).await
    }

    /// Moves a key.
    pub async fn rename(&self, request: wire::RenameRequest) -> Result<wire::RenameResponse, Failure> {
        let id = RequestId::try_from(request.request)?;
        let request = RenameRequest::try_from(request)?;
        let now_ms = self.clock.unix_ms();
        self.requests.run(id, |session| plan_rename(session, &request, self.overwrite, now_ms)).await
    }

    /// Changes the attributes of a key.
    pub async fn set_attributes(
        &self,
        request: wire::SetAttributesRequest,
    ) -> Result<wire::SetAttributesResponse, Failure> {
        let id = RequestId::try_from(request.request)?;
        let key = Key::try_from(request.key).map_err(Refusal::from)?;
        let blob = BlobId::from_wire(&request.blob).map_err(Refusal::from)?;
        let missing = || Refusal::InvalidRequest { why: "attributes are missing".to_owned() };
        let attributes = request.attributes.ok_or_else(missing)?.try_into()?;
        self.requests.run(id, |session| plan_set_attributes(session, &key, blob, attributes)).await
    }

    /// Finds a key or a blob, with all that is needed to read it.
    pub async fn look_up(&self, request: wire::LookUpRequest) -> Result<wire::LookUpResponse, Failure> {
        let target = LookUpTarget::try_from(request.target)?;
        let view = self.ledger.view_at(request.min_applied_index).await?;
        let found = look_up(&State(view.as_ref()), &target, request.entry_only)?;
        Ok(wire::LookUpResponse {
            entry: found.entry.map(wire::KeyEntry::from),
            blob: found.blob.as_ref().map(wire::Blob::from),
            segments: found.segments.iter().map(wire::Segment::from).collect(),
            nodes: found.nodes().into_iter().filter_map(|node| self.nodes.info(node)).collect(),
            applied_index: view.applied_index(),
        })
    }

    /// Lists keys. The scan runs apart from the threads that serve requests.
    pub async fn list(&self, request: wire::ListRequest) -> Result<wire::ListResponse, Failure> {
        let checked = ListRequest::try_from(&request)?;
        let view = self.ledger.view_at(request.min_applied_index).await?;
        let listing = tokio::task::spawn_blocking(move || list(&State(view.as_ref()), &checked)).await;
        let stopped = |_| Refusal::NotReady { why: "this master is stopping".to_owned() };
        Ok(listing.map_err(stopped)??)
    }
}
