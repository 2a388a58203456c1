use std::collections::{BTreeMap, HashMap};
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use cairn_codec::{CellId, Digest, Frame};
use cairn_proto::ids::{BootId, IncarnationId, NodeId, SegmentId};
use cairn_proto::records::{Chunk, ChunkPlace};
use cairn_proto::wire::chunks_server::{Chunks, ChunksServer};
use cairn_proto::{BULK_MESSAGE_LIMIT_BYTES, Refusal, wire};
use futures_util::Stream;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};

/// What goes wrong at a node.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::client) enum NodeFault {
    /// Every request fails as if nobody were there.
    Dead,
    /// Requests are taken and never answered.
    Stopped,
    /// Writes are refused.
    RefusesWrites(Refusal),
    /// Cells are kept, and not passed on.
    PassesNothingOn,
}

/// What every node of a cluster keeps.
pub(in crate::client) type Peers = Arc<Mutex<HashMap<Bytes, Arc<Mutex<Stored>>>>>;

/// Cells by stripe and row in the stripe.
type Cells = BTreeMap<(u32, u32), Bytes>;

#[derive(Debug, Default)]
pub(in crate::client) struct Stored {
    pub(in crate::client) chunks: HashMap<(SegmentId, u32), Cells>,
    pub(in crate::client) sealed: HashMap<(SegmentId, u32), Chunk>,
    pub(in crate::client) fault: Option<NodeFault>,
    /// Names of the requests received.
    pub(in crate::client) requests: Vec<&'static str>,
}

/// A storage node that keeps its cells in memory and checks seals as a real one does.
#[derive(Debug)]
pub(in crate::client) struct FakeNode {
    pub(in crate::client) info: wire::NodeInfo,
    pub(in crate::client) stored: Arc<Mutex<Stored>>,
    _server: AbortOnDropHandle<()>,
}

#[derive(Debug, Clone)]
struct Service {
    place: ChunkPlace,
    peers: Peers,
    stored: Arc<Mutex<Stored>>,
}

impl FakeNode {
    /// One that passes cells on to its peers.
    pub(in crate::client) async fn start(name: String, peers: &Peers) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let place = ChunkPlace { node: NodeId::generate(), incarnation: IncarnationId::generate() };
        let stored = Arc::<Mutex<Stored>>::default();
        let info = wire::NodeInfo {
            id: place.node.to_wire(),
            incarnation: place.incarnation.to_wire(),
            boot: BootId::generate().to_wire(),
            name,
            address,
            state: wire::NodeState::Active.into(),
            intended_state: wire::NodeState::Active.into(),
            ..wire::NodeInfo::default()
        };
        peers.lock().insert(info.id.clone(), Arc::clone(&stored));
        let service = Service { place, peers: Arc::clone(peers), stored: Arc::clone(&stored) };
        let service = ChunksServer::new(service).max_decoding_message_size(BULK_MESSAGE_LIMIT_BYTES);
        let server = tonic::transport::Server::builder().add_service(service);
        let serving = server.serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true)));
        let server = tokio::spawn(async move { serving.await.unwrap() });
        Self { info, stored, _server: AbortOnDropHandle::new(server) }
    }

    pub(in crate::client) fn fail(&self, fault: NodeFault) {
        self.stored.lock().fault = Some(fault);
    }

    pub(in crate::client) fn requests(&self) -> Vec<&'static str> {
        self.stored.lock().requests.clone()
    }

    /// Flips one bit of a stored cell, or removes it.
    pub(in crate::client) fn spoil(&self, segment: SegmentId, chunk: usize, row: (u32, u32), remove: bool) {
        let mut stored = self.stored.lock();
        let cells = stored.chunks.get_mut(&(segment, u32::try_from(chunk).unwrap())).unwrap();
        if remove {
            cells.remove(&row);
        } else {
            let mut damaged = cells[&row].to_vec();
            *damaged.last_mut().unwrap() ^= 1;
            cells.insert(row, damaged.into());
        }
    }
}

impl Service {
    async fn admit(&self, name: &'static str, write: bool) -> Result<(), Status> {
        self.stored.lock().requests.push(name);
        self.meet_fault(write).await
    }

    async fn meet_fault(&self, write: bool) -> Result<(), Status> {
        let fault = self.stored.lock().fault.clone();
        match fault {
            Some(NodeFault::Dead) => Err(Status::unavailable("dead")),
            Some(NodeFault::Stopped) => std::future::pending().await,
            Some(NodeFault::RefusesWrites(refusal)) if write => Err(refusal.into()),
            Some(NodeFault::RefusesWrites(_) | NodeFault::PassesNothingOn) | None => Ok(()),
        }
    }

    fn pass_on(&self, relays: &[wire::RelayTarget], cells: &[Bytes]) {
        if self.stored.lock().fault == Some(NodeFault::PassesNothingOn) {
            return;
        }
        for relay in relays {
            let (target, peers) = (relay.target.as_ref().unwrap(), self.peers.lock());
            let copy = |cell: &Bytes| {
                let frame = Frame::parse(cell.clone()).unwrap();
                let id = CellId { chunk: u8::try_from(target.chunk_index).unwrap(), ..frame.id() };
                Frame::from_payload(&id, &frame.payload()).into_bytes()
            };
            // A copy that does not take them is none.
            let _ = Self::store(&peers[&relay.node], target, cells.iter().map(copy).collect());
        }
    }

    fn store(stored: &Mutex<Stored>, target: &wire::ChunkTarget, cells: Vec<Bytes>) -> Result<u64, Status> {
        let key = (SegmentId::from_wire(&target.segment).unwrap(), target.chunk_index);
        let mut stored = stored.lock();
        if stored.sealed.contains_key(&key) {
            return Err(Refusal::AlreadySealed { segment: key.0.to_string() }.into());
        }
        let count = cells.len() as u64;
        for cell in cells {
            let frame = Frame::parse(cell).map_err(|error| Refusal::DamagedCell { why: error.to_string() })?;
            assert_eq!((frame.id().segment, u32::from(frame.id().chunk)), (*key.0.as_bytes(), key.1));
            let position = (frame.id().stripe, frame.id().row);
            stored.chunks.entry(key).or_default().insert(position, frame.into_bytes());
        }
        Ok(count)
    }

    fn seal(&self, target: &wire::ChunkTarget, expected: &wire::Chunk) -> Result<Chunk, Status> {
        let key = (SegmentId::from_wire(&target.segment).unwrap(), target.chunk_index);
        let mut stored = self.stored.lock();
        let mut sealed = Chunk { place: Some(self.place), cells: 0, length_bytes: 0, digest: [0; 32] };
        let mut digest = Digest::ZERO;
        for cell in stored.chunks.get(&key).into_iter().flat_map(BTreeMap::values) {
            let frame = Frame::parse(cell.clone()).unwrap();
            sealed.cells += 1;
            sealed.length_bytes += frame.payload_len() as u64;
            digest.add(&frame.digest());
        }
        sealed.digest = *digest.as_bytes();
        if Chunk::try_from(expected.clone()).unwrap() != sealed {
            return Err(Refusal::SealMismatch { why: format!("{expected:?} is not {sealed:?}") }.into());
        }
        stored.sealed.insert(key, sealed.clone());
        Ok(sealed)
    }

    fn cells(&self, request: &wire::GetChunkRequest) -> Result<Vec<Result<wire::GetChunkResponse, Status>>, Refusal> {
        let segment = SegmentId::from_wire(&request.segment).unwrap();
        let key = (segment, request.chunk_index);
        let missing = || Refusal::ChunkNotFound { segment: segment.to_string() };
        let stored = self.stored.lock();
        let cells = stored.chunks.get(&key).ok_or_else(missing)?;
        match (&request.version, stored.sealed.get(&key)) {
            (Some(wire::get_chunk_request::Version::Digest(digest)), sealed) => {
                if sealed.ok_or_else(missing)?.digest != **digest {
                    return Err(Refusal::ChunkStale { segment: segment.to_string() });
                }
            }
            (Some(wire::get_chunk_request::Version::Unsealed(_)) | None, Some(_)) => return Err(missing()),
            (Some(wire::get_chunk_request::Version::Unsealed(_)) | None, None) => {}
        }
        let rows =
            request.ranges.iter().flat_map(|range| (0..range.rows).map(|row| (range.stripe, range.first_row + row)));
        let message = |row| match cells.get(&row) {
            Some(cell) => Ok(wire::GetChunkResponse { cells: vec![cell.clone()] }),
            None => Err(missing().into()),
        };
        Ok(rows.map(message).collect())
    }
}

#[tonic::async_trait]
impl Chunks for Service {
    type GetChunkStream = Pin<Box<dyn Stream<Item = Result<wire::GetChunkResponse, Status>> + Send>>;

    async fn put_chunk(
        &self,
        request: Request<Streaming<wire::PutChunkRequest>>,
    ) -> Result<Response<wire::PutChunkResponse>, Status> {
        self.admit("put", true).await?;
        let mut messages = request.into_inner();
        let (mut target, mut relays) = (None, Vec::new());
        let mut stored_cells = 0;
        while let Some(message) = messages.message().await? {
            // A fault breaks streams that are open, too.
            self.meet_fault(true).await?;
            target = target.or(message.target);
            relays.extend(message.relays);
            self.pass_on(&relays, &message.cells);
            stored_cells += Self::store(&self.stored, target.as_ref().unwrap(), message.cells)?;
        }
        Ok(Response::new(wire::PutChunkResponse { stored_cells }))
    }

    async fn seal_blob(
        &self,
        request: Request<wire::SealBlobRequest>,
    ) -> Result<Response<wire::SealBlobResponse>, Status> {
        self.admit("seal", true).await?;
        let request = request.into_inner();
        let target = request.target.unwrap();
        self.pass_on(&request.relays, &request.cells);
        Self::store(&self.stored, &target, request.cells)?;
        let chunk = self.seal(&target, &request.expected.unwrap())?;
        Ok(Response::new(wire::SealBlobResponse { chunk: Some(wire::Chunk::from(&chunk)) }))
    }

    async fn get_chunk(
        &self,
        request: Request<wire::GetChunkRequest>,
    ) -> Result<Response<Self::GetChunkStream>, Status> {
        self.admit("get", false).await?;
        let cells = self.cells(&request.into_inner())?;
        Ok(Response::new(Box::pin(tokio_stream::iter(cells))))
    }
}
