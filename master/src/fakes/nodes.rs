use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use cairn_proto::ids::{BootId, IncarnationId, NodeId, SegmentId, SessionId};
use cairn_proto::{Refusal, StatsVersions, WireRefusal, wire};
use parking_lot::Mutex;
use tonic::{Status, async_trait};

use crate::nodes::NodeClient;

/// One storage node of a test.
pub(crate) struct FakeNode {
    pub(crate) id: NodeId,
    pub(crate) incarnation: IncarnationId,
    pub(crate) boot: BootId,
    pub(crate) up: bool,
    /// Calls while it was not.
    pub(crate) missed_calls: usize,
    /// It takes calls and never answers.
    pub(crate) stuck: bool,
    pub(crate) limit_bytes: u64,
    pub(crate) locality: Vec<wire::Label>,
    pub(crate) refusing_writes: String,
    pub(crate) admitted: BTreeSet<SessionId>,
    pub(crate) revoked: BTreeSet<SessionId>,
    /// Sealed segments and their sessions.
    pub(crate) sealed: BTreeMap<SegmentId, SessionId>,
    /// How they are listed, where a test says more of them.
    pub(crate) listed: BTreeMap<SegmentId, wire::ListedChunk>,
    pub(crate) admissions_asked: usize,
    pub(crate) fails_rebuilds: bool,
    /// Segments whose chunk there has corrupt cells, with its index.
    pub(crate) damaged: BTreeMap<SegmentId, u32>,
    pub(crate) scrubs_started: usize,
    pub(crate) highest_epochs: (u64, u64),
    stats_versions: StatsVersions,
    /// Heartbeats answered, and those of them that left out what was known.
    pub(crate) beats: usize,
    pub(crate) unchanged_beats: usize,
}

/// The storage nodes of a test, by address.
#[derive(Clone, Default)]
pub(crate) struct FakeNodes(Arc<Mutex<HashMap<String, FakeNode>>>);

impl FakeNodes {
    /// Adds a node that is up; answers how it joins.
    pub(crate) fn add(&self, number: u8) -> wire::NodeInfo {
        self.add_at(number, &address(number))
    }

    /// Adds a node that is up at an address of its own.
    pub(crate) fn add_at(&self, number: u8, address: &str) -> wire::NodeInfo {
        let node = FakeNode {
            id: NodeId::from_bytes([number; 16]),
            incarnation: IncarnationId::generate(),
            boot: BootId::generate(),
            up: true,
            missed_calls: 0,
            stuck: false,
            limit_bytes: 1 << 30,
            locality: Vec::new(),
            refusing_writes: String::new(),
            admitted: BTreeSet::new(),
            revoked: BTreeSet::new(),
            sealed: BTreeMap::new(),
            listed: BTreeMap::new(),
            admissions_asked: 0,
            fails_rebuilds: false,
            damaged: BTreeMap::new(),
            scrubs_started: 0,
            highest_epochs: (0, 0),
            stats_versions: StatsVersions::default(),
            beats: 0,
            unchanged_beats: 0,
        };
        let info = info(address, &node);
        self.0.lock().insert(address.to_owned(), node);
        info
    }

    /// How a node joins now.
    pub(crate) fn info(&self, number: u8) -> wire::NodeInfo {
        info(&address(number), &self.0.lock()[&address(number)])
    }

    /// Looks at or changes a node.
    pub(crate) fn with<T>(&self, number: u8, change: impl FnOnce(&mut FakeNode) -> T) -> T {
        change(self.0.lock().get_mut(&address(number)).expect("the test added it"))
    }

    /// Stores a sealed segment on the nodes with these ids.
    pub(crate) fn seal(&self, segment: SegmentId, session: SessionId, on: &[NodeId]) {
        for node in self.0.lock().values_mut().filter(|node| on.contains(&node.id)) {
            node.sealed.insert(segment, session);
        }
    }

    /// Has the nodes that these chunks are at list them as they are.
    pub(crate) fn note_chunks(&self, segment: SegmentId, session: SessionId, chunks: &[wire::Chunk]) {
        let mut nodes = self.0.lock();
        for (index, chunk) in (0..).zip(chunks) {
            for node in nodes.values_mut().filter(|node| chunk.node == node.id.as_bytes().as_slice()) {
                node.listed.insert(segment, listed(segment, session, index, chunk));
            }
        }
    }

    /// Nodes that hold a segment.
    pub(crate) fn holders(&self, segment: SegmentId) -> usize {
        self.0.lock().values().filter(|node| node.sealed.contains_key(&segment)).count()
    }

    async fn call<T>(
        &self,
        address: &str,
        order: &wire::Order,
        work: impl FnOnce(&mut FakeNode) -> T,
    ) -> Result<T, WireRefusal> {
        let stuck = self.0.lock().get(address).is_some_and(|node| node.stuck);
        if stuck {
            std::future::pending::<()>().await;
        }
        let mut nodes = self.0.lock();
        let Some(node) = nodes.get_mut(address) else { return Err(Status::unavailable("connection").into()) };
        if !node.up {
            node.missed_calls += 1;
            return Err(Status::unavailable("connection").into());
        }
        let epochs = (order.cluster_epoch, order.lease_epoch);
        if epochs < node.highest_epochs {
            return Err(Refusal::StaleOrder { seen: format!("{:?}", node.highest_epochs) }.into());
        }
        node.highest_epochs = epochs;
        if order.incarnation != node.incarnation.as_bytes().as_slice() {
            return Err(Refusal::WrongIncarnation { current: node.incarnation.to_string() }.into());
        }
        Ok(work(node))
    }
}

fn listed(segment: SegmentId, session: SessionId, chunk_index: u32, chunk: &wire::Chunk) -> wire::ListedChunk {
    wire::ListedChunk {
        segment: segment.to_wire(),
        transaction: Some(wire::TransactionId { session: session.0, sequence: 1 }),
        chunk_index,
        cells: chunk.cells,
        length_bytes: chunk.length_bytes,
        digest: if chunk.digest.is_empty() { vec![0; 32].into() } else { chunk.digest.clone() },
    }
}

fn address(number: u8) -> String {
    format!("127.0.0.1:{}", 7100 + u16::from(number))
}

fn info(address: &str, node: &FakeNode) -> wire::NodeInfo {
    wire::NodeInfo {
        id: node.id.to_wire(),
        incarnation: node.incarnation.to_wire(),
        boot: node.boot.to_wire(),
        name: format!("node-{}", node.id.as_bytes()[0]),
        address: address.to_owned(),
        locality: node.locality.clone(),
        devices: vec![wire::Device {
            name: "disk".to_owned(),
            limit_bytes: node.limit_bytes,
            used_bytes: 0,
            reserved_bytes: 0,
        }],
        state: wire::NodeState::Active.into(),
        ..wire::NodeInfo::default()
    }
}

fn damaged_chunk((segment, chunk_index): (&SegmentId, &u32)) -> wire::DamagedChunk {
    wire::DamagedChunk { segment: segment.to_wire(), chunk_index: *chunk_index }
}

#[async_trait]
impl NodeClient for FakeNodes {
    async fn get_stats(
        &self,
        address: &str,
        order: wire::Order,
        known_version: u64,
    ) -> Result<wire::GetStatsResponse, WireRefusal> {
        let stats = |node: &mut FakeNode| {
            let full = wire::GetStatsResponse {
                node: Some(info(address, node)),
                sealed_chunks: node.sealed.len() as u64,
                refusing_writes: node.refusing_writes.clone(),
                scrub: Some(wire::ScrubStatus {
                    unrepaired_chunks: node.damaged.len() as u64,
                    ..wire::ScrubStatus::default()
                }),
                damaged: node.damaged.iter().map(damaged_chunk).collect(),
                ..wire::GetStatsResponse::default()
            };
            let answer = node.stats_versions.answer(known_version, full);
            node.beats += 1;
            node.unchanged_beats += usize::from(answer.unchanged);
            answer
        };
        self.call(address, &order, stats).await
    }

    async fn admit(&self, address: &str, order: wire::Order, session: SessionId) -> Result<BootId, WireRefusal> {
        let admit = |node: &mut FakeNode| {
            node.admitted.insert(session);
            node.admissions_asked += 1;
            node.boot
        };
        self.call(address, &order, admit).await
    }

    async fn revoke(&self, address: &str, order: wire::Order, session: SessionId) -> Result<(), WireRefusal> {
        let revoke = |node: &mut FakeNode| {
            node.admitted.remove(&session);
            node.revoked.insert(session);
        };
        self.call(address, &order, revoke).await
    }

    async fn delete(&self, address: &str, order: wire::Order, segments: &[SegmentId]) -> Result<(), WireRefusal> {
        let delete = |node: &mut FakeNode| node.sealed.retain(|segment, _| !segments.contains(segment));
        self.call(address, &order, delete).await
    }

    async fn list(
        &self,
        address: &str,
        order: wire::Order,
        session: SessionId,
        start_after: Option<SegmentId>,
        limit: u32,
    ) -> Result<wire::ListBlobsResponse, WireRefusal> {
        let list = |node: &mut FakeNode| {
            let of_session = node.sealed.iter().filter(|(_, owner)| session.0 == 0 || **owner == session);
            let rest: Vec<SegmentId> =
                of_session.map(|(segment, _)| *segment).filter(|id| start_after.is_none_or(|at| *id > at)).collect();
            let chunk = |id: &SegmentId| match node.listed.get(id) {
                Some(chunk) => chunk.clone(),
                None => listed(*id, node.sealed[id], 0, &wire::Chunk::default()),
            };
            let limit = limit.min(2) as usize;
            wire::ListBlobsResponse { chunks: rest.iter().take(limit).map(chunk).collect(), more: rest.len() > limit }
        };
        self.call(address, &order, list).await
    }

    async fn start_scrub(&self, address: &str, order: wire::Order, _: u64) -> Result<(), WireRefusal> {
        self.call(address, &order, |node| node.scrubs_started += 1).await
    }

    async fn rebuild(
        &self,
        address: &str,
        request: wire::RebuildChunkRequest,
        progress: &(dyn Fn(wire::RebuildChunkResponse) + Send + Sync),
    ) -> Result<wire::Chunk, WireRefusal> {
        let segment = request.segment.unwrap();
        let id = SegmentId::from_wire(&segment.id).unwrap();
        for source in &request.sources {
            let nodes = self.0.lock();
            let holder = nodes.get(&source.address).filter(|node| node.up && node.sealed.contains_key(&id));
            assert!(holder.is_some(), "{source:?} is no source");
        }
        let is_copied = request.sources.iter().any(|source| source.chunk_index == request.chunk_index);
        let data = segment.layout.unwrap().data as usize;
        let rebuild = |node: &mut FakeNode| {
            if (request.sources.len() < data && !is_copied) || node.fails_rebuilds {
                return Err(Refusal::RebuildFailed { why: "too few sources".to_owned() });
            }
            assert!(request.in_place || !node.sealed.contains_key(&id), "a chunk is put right where it is");
            let rebuilder = SessionId(u64::MAX);
            node.damaged.remove(&id);
            if node.sealed.insert(id, rebuilder).is_none() {
                let made = &segment.chunks[request.chunk_index as usize];
                node.listed.insert(id, listed(id, rebuilder, request.chunk_index, made));
            }
            let chunk = segment.chunks[request.chunk_index as usize].clone();
            Ok(wire::Chunk { node: node.id.to_wire(), incarnation: node.incarnation.to_wire(), ..chunk })
        };
        progress(wire::RebuildChunkResponse { cells: 1, read_bytes: 4096, chunk: None });
        Ok(self.call(address, &request.order.unwrap(), rebuild).await??)
    }
}
