use std::sync::Arc;
use std::time::Duration;

use cairn_codec::Layout;
use cairn_proto::ids::{BlobId, NodeId, SegmentId, SessionId, TransactionId};
use cairn_proto::records::{KeptContents, Segment};
use cairn_proto::{Refusal, wire};

use super::{FakeNodes, elected_store};
use crate::blobs::Overwrite;
use crate::clock::SystemClock;
use crate::failure::Failure;
use crate::jobs::RepairSettings;
use crate::layouts::{checked_layout, wire_layout};
use crate::nodes::NodeTiming;
use crate::scheduler::Score;
use crate::state::State;
use crate::store::{Epoch, MemoryStore, Standing, Store};
use crate::tenure::{Settings, Surroundings, Tenure};

/// A master on a store in memory with storage nodes in memory. The tests that use it run on paused time.
pub(crate) struct World {
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) nodes: FakeNodes,
    pub(crate) tenure: Arc<Tenure>,
    settings: Settings,
}

pub(crate) fn settings() -> Settings {
    Settings {
        default_layout: Layout::new(4, 2, 4096, 1 << 20).unwrap(),
        score: Score::Hybrid,
        datacenter_labels: vec!["datacenter".to_owned()],
        overwrite: Overwrite::Replace,
        session_heartbeat: Duration::from_secs(1),
        session_timeout: Duration::from_secs(10),
        nodes: NodeTiming {
            heartbeat: Duration::from_millis(500),
            suspect: Duration::from_secs(2),
            dead: Duration::from_secs(5),
        },
        collection_grace: Duration::from_secs(10),
        repair: RepairSettings { grace: Duration::from_mins(1), bytes_per_second: 0, score: Score::Hybrid },
        orphan_sweep_period: Duration::from_hours(24),
    }
}

impl World {
    /// An elected master and so many storage nodes that have joined and been heard.
    pub(crate) async fn new(nodes: u8) -> Self {
        Self::with_settings(nodes, settings()).await
    }

    /// The same, set up in another way.
    pub(crate) async fn with_settings(nodes: u8, settings: Settings) -> Self {
        let world = Self::on(elected_store().await, FakeNodes::default(), Epoch(1), settings);
        for number in 1..=nodes {
            let info = world.nodes.add(number);
            world.tenure.nodes().join(None, info).await.unwrap();
        }
        world.hear_nodes().await;
        world
    }

    fn on(store: Arc<MemoryStore>, nodes: FakeNodes, epoch: Epoch, settings: Settings) -> Self {
        let around = Surroundings {
            store: Arc::clone(&store) as Arc<dyn Store>,
            clock: Arc::new(SystemClock),
            node_client: Arc::new(nodes.clone()),
        };
        let tenure = Arc::new(Tenure::load(&around, epoch, settings.clone()).unwrap());
        Self { store, nodes, tenure, settings }
    }

    /// The next master on the same state, with the nodes heard.
    pub(crate) async fn elect_again(self) -> Self {
        let next = self.elect_again_unheard();
        next.hear_nodes().await;
        next
    }

    /// The next master on the same state.
    pub(crate) fn elect_again_unheard(self) -> Self {
        let standing = self.store.standing().borrow().clone();
        let Standing::Elected { epoch, serve_until } = standing else { panic!("it is elected") };
        let epoch = Epoch(epoch.0 + 1);
        self.store.set_standing(Standing::Elected { epoch, serve_until });
        Self::on(self.store, self.nodes, epoch, self.settings)
    }

    /// One heartbeat of every node, and what it changes on record.
    pub(crate) async fn hear_nodes(&self) {
        self.tenure.nodes().round().await;
    }

    /// Opens a session.
    pub(crate) async fn session(&self) -> SessionId {
        let response = self.tenure.open_session(wire::OpenSessionRequest::default()).await.unwrap();
        SessionId(response.session)
    }

    /// A heartbeat with nothing open, complete up to now.
    pub(crate) fn heartbeat(&self, session: SessionId) -> Result<(), Failure> {
        self.heartbeat_with(session, &[])
    }

    /// A heartbeat with these segments open, complete up to now.
    pub(crate) fn heartbeat_with(&self, session: SessionId, open: &[SegmentId]) -> Result<(), Failure> {
        let request = wire::HeartbeatRequest {
            session: session.0,
            transactions: Vec::new(),
            open_segments: open.iter().map(|id| id.to_wire()).collect(),
            as_of_index: self.store.view().unwrap().applied_index(),
        };
        self.tenure.heartbeat(request).map(drop)
    }

    /// Opens a transaction.
    pub(crate) async fn open(
        &self,
        session: SessionId,
        sequence: u64,
        key: &str,
        exclusive: bool,
    ) -> Result<wire::OpenTransactionResponse, Failure> {
        let absent = wire::Precondition { condition: Some(wire::precondition::Condition::Absent(wire::Absent {})) };
        let request = wire::OpenTransactionRequest {
            transaction: Some(wire::TransactionId { session: session.0, sequence }),
            key: key.to_owned(),
            precondition: exclusive.then_some(absent),
            layout: None,
            ..wire::OpenTransactionRequest::default()
        };
        self.tenure.open_transaction(request.try_into()?).await
    }

    /// Writes and seals `size_bytes` of an opened transaction on its targets, and makes the request to commit it.
    pub(crate) fn written(
        &self,
        session: SessionId,
        sequence: u64,
        key: &str,
        opened: &wire::OpenTransactionResponse,
        size_bytes: u64,
    ) -> wire::CommitBlobRequest {
        written(&self.nodes, session, sequence, key, opened, size_bytes)
    }

    /// Opens, writes and commits a blob.
    pub(crate) async fn put(&self, session: SessionId, sequence: u64, key: &str) -> wire::CommitBlobRequest {
        let opened = self.open(session, sequence, key, false).await.unwrap();
        let request = self.written(session, sequence, key, &opened, 20_000);
        self.tenure.blobs().commit(request.clone()).await.unwrap();
        request
    }

    /// Deletes a key.
    pub(crate) async fn delete(&self, session: SessionId, sequence: u64, key: &str) -> Result<(), Failure> {
        let request = wire::DeleteRequest {
            request: Some(wire::RequestId { client: session.0, sequence, lowest_unanswered: sequence }),
            key: key.to_owned(),
            precondition: None,
        };
        self.tenure.blobs().delete(request).await.map(drop)
    }

    /// Looks a key up.
    pub(crate) async fn look_up(&self, key: &str) -> Result<wire::LookUpResponse, Failure> {
        let target = Some(wire::look_up_request::Target::Key(key.to_owned()));
        let request = wire::LookUpRequest { target, min_applied_index: 0, entry_only: false };
        self.tenure.blobs().look_up(request).await
    }

    /// How many records there are under a prefix.
    pub(crate) fn count(&self, prefix: &[u8]) -> usize {
        let mut count = 0;
        let view = self.store.view().unwrap();
        State(view.as_ref())
            .each(prefix, |_, _| {
                count += 1;
                Ok(())
            })
            .unwrap();
        count
    }
}

/// The refusal that a request failed with.
pub(crate) fn refusal<T>(outcome: Result<T, Failure>) -> Refusal {
    match outcome {
        Err(Failure::Refused(refusal)) => refusal,
        Err(other) => panic!("failed otherwise: {other}"),
        Ok(_) => panic!("it was not refused"),
    }
}

/// Writes and seals on these nodes `size_bytes` of an opened transaction on its targets, and makes the request to commit it.
pub(crate) fn written(
    nodes: &FakeNodes,
    session: SessionId,
    sequence: u64,
    key: &str,
    opened: &wire::OpenTransactionResponse,
    size_bytes: u64,
) -> wire::CommitBlobRequest {
    let layout = checked_layout(&opened.layout.unwrap()).unwrap();
    let chunks: Vec<wire::Chunk> = opened
        .targets
        .iter()
        .enumerate()
        .map(|(index, target)| {
            let size = layout.chunk_size(size_bytes, index);
            wire::Chunk {
                node: target.id.clone(),
                incarnation: target.incarnation.clone(),
                cells: size.cells,
                length_bytes: size.length_bytes,
                digest: if size.cells == 0 { bytes::Bytes::new() } else { vec![7; 32].into() },
            }
        })
        .collect();
    let segment = SegmentId::from_wire(&opened.segment).unwrap();
    let on: Vec<NodeId> = chunks
        .iter()
        .filter(|chunk| !chunk.node.is_empty())
        .map(|chunk| NodeId::from_wire(&chunk.node).unwrap())
        .collect();
    nodes.seal(segment, session, &on);
    nodes.note_chunks(segment, session, &chunks);
    let extent = wire::Extent {
        segment: opened.segment.clone(),
        first_row: 0,
        rows: layout.row_count(size_bytes),
        length_bytes: size_bytes,
    };
    wire::CommitBlobRequest {
        request: Some(wire::RequestId { client: session.0, sequence, lowest_unanswered: sequence }),
        key: key.to_owned(),
        precondition: None,
        blob: BlobId::generate().to_wire(),
        extents: vec![extent],
        sealed: Some(wire::Segment {
            id: opened.segment.clone(),
            layout: Some(wire_layout(&layout)),
            length_bytes: size_bytes,
            chunks,
            uses: 0,
            version: 0,
            transaction: Some(wire::TransactionId { session: session.0, sequence }),
            ..wire::Segment::default()
        }),
        size_bytes,
        digest: vec![9; 32].into(),
        attributes: Some(wire::Attributes { mode: 0o644, ..wire::Attributes::default() }),
        writer_killed_by_signal: 0,
    }
}

/// The request to commit `contents` as a segment that the masters keep, of an opened transaction on which nothing
/// was written to nodes.
pub(crate) fn kept(
    session: SessionId,
    sequence: u64,
    key: &str,
    opened: &wire::OpenTransactionResponse,
    contents: &'static [u8],
) -> wire::CommitBlobRequest {
    let segment = SegmentId::from_wire(&opened.segment).unwrap();
    let bytes = KeptContents::new(bytes::Bytes::from_static(contents)).unwrap();
    let transaction = TransactionId { session, sequence };
    let sealed = Segment::kept(segment, opened.layout.unwrap(), bytes, transaction);
    let length_bytes = contents.len() as u64;
    wire::CommitBlobRequest {
        request: Some(wire::RequestId { client: session.0, sequence, lowest_unanswered: sequence }),
        key: key.to_owned(),
        blob: BlobId::generate().to_wire(),
        extents: vec![wire::Extent { segment: opened.segment.clone(), first_row: 0, rows: 1, length_bytes }],
        sealed: Some((&sealed).into()),
        size_bytes: length_bytes,
        digest: vec![9; 32].into(),
        attributes: Some(wire::Attributes { mode: 0o644, ..wire::Attributes::default() }),
        ..wire::CommitBlobRequest::default()
    }
}
