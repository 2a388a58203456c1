//! One node, a registry that takes it in, and the clients of both sides.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use cairn_codec::Frame;
use cairn_node::store::Position;
use cairn_node::{Config, RunError, RunningNode};
use cairn_proto::ids::{ClusterId, SessionId};
use cairn_proto::{Refusal, records, wire};
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Channel, Server};
use tonic::{Request, Response, Status};
use wire::chunks_client::ChunksClient;
use wire::node_control_client::NodeControlClient;
use wire::registry_server::{Registry, RegistryServer};

use crate::fixtures::{Chunk, SESSION};

/// What the registry stand-in answers to a join.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    Accept(ClusterId),
    Refuse(Refusal),
}

/// The registry of a master, which keeps what nodes tell it.
#[derive(Clone)]
pub(crate) struct FakeMaster {
    pub(crate) address: SocketAddr,
    answer: Arc<Mutex<Answer>>,
    joins: watch::Sender<Vec<wire::JoinRequest>>,
    leaves: watch::Sender<Vec<wire::LeaveRequest>>,
}

impl FakeMaster {
    pub(crate) async fn start(answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let master = Self {
            address,
            answer: Arc::new(Mutex::new(answer)),
            joins: watch::Sender::new(Vec::new()),
            leaves: watch::Sender::new(Vec::new()),
        };
        let server = Server::builder().add_service(RegistryServer::new(master.clone()));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        master
    }

    pub(crate) fn answer(&self, answer: Answer) {
        *self.answer.lock() = answer;
    }

    /// The join that is the `number`-th to come, counted from 1.
    pub(crate) async fn join(&self, number: usize) -> wire::JoinRequest {
        let mut joins = self.joins.subscribe();
        let joins = joins.wait_for(|joins| joins.len() >= number).await.unwrap();
        joins[number - 1].clone()
    }

    /// What the node at an address says of itself, once it joins after the first `earlier` joins: one that is gone may
    /// have had the same address. Others may join again meanwhile.
    async fn node_at(&self, address: SocketAddr, earlier: usize) -> wire::NodeInfo {
        let address = address.to_string();
        let at = |join: &wire::JoinRequest| join.node.clone().filter(|node| node.address == address);
        let mut joins = self.joins.subscribe();
        let joins = joins.wait_for(|joins| joins[earlier..].iter().any(|join| at(join).is_some())).await.unwrap();
        joins.iter().rev().find_map(at).unwrap()
    }

    pub(crate) fn leaves(&self) -> Vec<wire::LeaveRequest> {
        self.leaves.borrow().clone()
    }
}

#[tonic::async_trait]
impl Registry for FakeMaster {
    async fn join(&self, request: Request<wire::JoinRequest>) -> Result<Response<wire::JoinResponse>, Status> {
        self.joins.send_modify(|joins| joins.push(request.into_inner()));
        match self.answer.lock().clone() {
            Answer::Accept(cluster) => Ok(Response::new(wire::JoinResponse { cluster: cluster.to_wire() })),
            Answer::Refuse(refusal) => Err(refusal.into()),
        }
    }

    async fn leave(&self, request: Request<wire::LeaveRequest>) -> Result<Response<wire::LeaveResponse>, Status> {
        self.leaves.send_modify(|leaves| leaves.push(request.into_inner()));
        Ok(Response::new(wire::LeaveResponse {}))
    }

    async fn locate(&self, request: Request<wire::LocateRequest>) -> Result<Response<wire::LocateResponse>, Status> {
        if let Answer::Refuse(refusal) = self.answer.lock().clone() {
            return Err(refusal.into());
        }
        let wanted = request.into_inner().node;
        let joins = self.joins.borrow();
        let found = joins.iter().rev().filter_map(|join| join.node.as_ref()).find(|node| node.id == wanted);
        let unknown = || Refusal::InvalidRequest { why: "not registered".to_owned() };
        Ok(Response::new(wire::LocateResponse { node: Some(found.ok_or_else(unknown)?.clone()) }))
    }
}

pub(crate) fn config(dir: &Path, masters: &[String]) -> Config {
    let masters: Vec<String> = masters.iter().map(|master| format!("{master:?}")).collect();
    let dir = dir.display();
    let text = format!(
        "name = \"node-1\"\ndir = \"{dir}\"\nlisten = \"127.0.0.1:0\"\nmemory = \"64MiB\"\nmasters = [{}]",
        masters.join(", ")
    );
    toml::from_str(&text).unwrap()
}

/// A node that has joined, seen by its master and by a client.
pub(crate) struct TestNode {
    pub(crate) address: SocketAddr,
    pub(crate) info: wire::NodeInfo,
    pub(crate) cluster: ClusterId,
    pub(crate) control: NodeControlClient<Channel>,
    pub(crate) chunks: ChunksClient<Channel>,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<Result<(), RunError>>,
}

impl TestNode {
    pub(crate) async fn start(dir: &Path) -> Self {
        let master = FakeMaster::start(Answer::Accept(ClusterId::generate())).await;
        Self::start_with(dir, &master).await
    }

    /// Starts it and waits until it obeys its master.
    pub(crate) async fn start_with(dir: &Path, master: &FakeMaster) -> Self {
        Self::start_as(config(dir, &[master.address.to_string()]), master).await
    }

    /// The same with a configuration of the test's own.
    pub(crate) async fn start_as(config: Config, master: &FakeMaster) -> Self {
        let earlier = master.joins.borrow().len();
        let node = RunningNode::start(config).await.unwrap();
        let address = node.address();
        let (stop, stopped) = oneshot::channel();
        let ended = tokio::spawn(node.run_until(async {
            // A dropped sender stops the node too.
            let _ = stopped.await;
        }));
        let info = master.node_at(address, earlier).await;
        let Answer::Accept(cluster) = master.answer.lock().clone() else { panic!("the master takes nobody") };
        let endpoint = Channel::from_shared(format!("http://{address}")).unwrap();
        let channel = endpoint.connect().await.unwrap();
        let control = NodeControlClient::new(channel.clone());
        let mut node = Self { address, info, cluster, control, chunks: ChunksClient::new(channel), stop, ended };
        while node.stats().await.is_err_and(|status| is(&status, "NOT_READY")) {
            tokio::task::yield_now().await;
        }
        node
    }

    pub(crate) async fn stop(self) -> Result<(), RunError> {
        self.stop.send(()).unwrap();
        self.ended.await.unwrap()
    }

    pub(crate) fn order(&self) -> wire::Order {
        wire::Order {
            cluster: self.cluster.to_wire(),
            cluster_epoch: 1,
            lease_epoch: 1,
            incarnation: self.info.incarnation.clone(),
            record_version: 1,
        }
    }

    pub(crate) async fn stats(&mut self) -> Result<wire::GetStatsResponse, Status> {
        let request = wire::GetStatsRequest { order: Some(self.order()), known_version: 0 };
        self.control.get_stats(request).await.map(Response::into_inner)
    }

    pub(crate) async fn admit(&mut self, session: SessionId) -> Result<(), Status> {
        let request = wire::CreateBlobRequest { order: Some(self.order()), session: session.0 };
        let response = self.control.create_blob(request).await?.into_inner();
        assert_eq!(response.boot, self.info.boot);
        Ok(())
    }

    pub(crate) async fn revoke(&mut self, session: SessionId) -> Result<(), Status> {
        let request = wire::RevokeSessionRequest { order: Some(self.order()), session: session.0 };
        self.control.revoke_session(request).await.map(|_| ())
    }

    pub(crate) fn target(&self, chunk: &Chunk) -> wire::ChunkTarget {
        wire::ChunkTarget {
            transaction: Some(chunk.target.transaction.into()),
            segment: chunk.target.segment.to_wire(),
            chunk_index: u32::from(chunk.target.chunk_index),
            incarnation: self.info.incarnation.clone(),
            boot: self.info.boot.clone(),
        }
    }

    /// Sends frames in one stream, a message for each.
    pub(crate) async fn put(&mut self, chunk: &Chunk, frames: Vec<Frame>) -> Result<u64, Status> {
        let target = self.target(chunk);
        let mut messages = vec![wire::PutChunkRequest { target: Some(target), ..wire::PutChunkRequest::default() }];
        messages.extend(frames.into_iter().map(|frame| wire::PutChunkRequest {
            cells: vec![frame.into_bytes()],
            ..wire::PutChunkRequest::default()
        }));
        let response = self.chunks.put_chunk(tokio_stream::iter(messages)).await?;
        Ok(response.into_inner().stored_cells)
    }

    pub(crate) async fn seal(&mut self, chunk: &Chunk, frames: Vec<Frame>) -> Result<wire::Chunk, Status> {
        let request = wire::SealBlobRequest {
            target: Some(self.target(chunk)),
            cells: frames.into_iter().map(Frame::into_bytes).collect(),
            expected: Some(expected(chunk)),
            relays: Vec::new(),
        };
        Ok(self.chunks.seal_blob(request).await?.into_inner().chunk.unwrap())
    }

    /// Reads rows of stripe 0.
    pub(crate) async fn read(&mut self, chunk: &Chunk, first_row: u32, rows: u32) -> Result<Vec<Bytes>, Status> {
        let digest = Bytes::copy_from_slice(chunk.tally().digest.as_bytes());
        self.read_version(chunk, first_row, rows, wire::get_chunk_request::Version::Digest(digest)).await
    }

    /// Reads one cell.
    pub(crate) async fn read_cell(&mut self, chunk: &Chunk, position: Position) -> Result<Bytes, Status> {
        let digest = Bytes::copy_from_slice(chunk.tally().digest.as_bytes());
        let request = wire::GetChunkRequest {
            segment: chunk.target.segment.to_wire(),
            chunk_index: u32::from(chunk.target.chunk_index),
            ranges: vec![wire::CellRange { stripe: position.stripe, first_row: position.row, rows: 1 }],
            version: Some(wire::get_chunk_request::Version::Digest(digest)),
            background: false,
        };
        let mut stream = self.chunks.get_chunk(request).await?.into_inner();
        let message = stream.message().await?.expect("an answer has cells or an error");
        Ok(message.cells[0].clone())
    }

    pub(crate) async fn read_version(
        &mut self,
        chunk: &Chunk,
        first_row: u32,
        rows: u32,
        version: wire::get_chunk_request::Version,
    ) -> Result<Vec<Bytes>, Status> {
        let request = wire::GetChunkRequest {
            segment: chunk.target.segment.to_wire(),
            chunk_index: u32::from(chunk.target.chunk_index),
            ranges: vec![wire::CellRange { stripe: 0, first_row, rows }],
            version: Some(version),
            background: false,
        };
        let mut stream = self.chunks.get_chunk(request).await?.into_inner();
        let mut cells = Vec::new();
        while let Some(message) = stream.message().await? {
            assert!(message.cells.iter().map(Bytes::len).sum::<usize>() <= 1 << 20);
            cells.extend(message.cells);
        }
        Ok(cells)
    }

    /// A sealed chunk of small cells, in a session that is admitted.
    pub(crate) async fn sealed_chunk(&mut self, cells: u32) -> Chunk {
        self.admit(SESSION).await.unwrap();
        let mut chunk = Chunk::new(1);
        let frames = (0..cells)
            .map(|row| chunk.cell(crate::fixtures::at(0, row), &crate::fixtures::payload(u64::from(row), 1_000)))
            .collect();
        self.seal(&chunk, frames).await.unwrap();
        chunk
    }
}

pub(crate) fn expected(chunk: &Chunk) -> wire::Chunk {
    let tally = chunk.tally();
    wire::Chunk::from(&records::Chunk {
        place: None,
        cells: tally.cells,
        length_bytes: tally.length_bytes,
        digest: *tally.digest.as_bytes(),
    })
}

/// The refusal that a status must carry.
pub(crate) fn refusal(status: &Status) -> Refusal {
    Refusal::from_status(status).unwrap_or_else(|| panic!("no refusal in {status:?}"))
}

pub(crate) fn is(status: &Status, reason: &str) -> bool {
    Refusal::from_status(status).is_some_and(|refusal| refusal.reason() == reason)
}
