//! Any order of writes, ends and sweeps: what a segment names is there at every moment, and in the end nothing else is.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cairn_proto::ids::{SegmentId, SessionId};
use cairn_proto::wire;
use proptest::collection::vec;
use proptest::prelude::{Strategy, any, prop_oneof, proptest};
use proptest::strategy::Just;
use tokio::runtime::Builder;

use crate::fakes::World;
use crate::keys;
use crate::state::{State, decode_segment};
use crate::store::Store;

const NODES: u8 = 7;

#[derive(Debug, Clone)]
enum Step {
    OpenSession,
    CloseSession(usize),
    /// Seals a segment on nodes.
    Write(usize),
    Commit(usize),
    Abort(usize),
    Delete(usize),
    /// A node has a chunk that nobody knows of.
    Plant(u8),
    /// A node has a chunk of a segment that is kept elsewhere.
    Misplace(usize),
    Sweep,
    Collect,
    Elect,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => Just(Step::OpenSession),
        1 => any::<usize>().prop_map(Step::CloseSession),
        4 => any::<usize>().prop_map(Step::Write),
        3 => any::<usize>().prop_map(Step::Commit),
        1 => any::<usize>().prop_map(Step::Abort),
        1 => any::<usize>().prop_map(Step::Delete),
        1 => (1..=NODES).prop_map(Step::Plant),
        1 => any::<usize>().prop_map(Step::Misplace),
        4 => Just(Step::Sweep),
        2 => Just(Step::Collect),
        1 => Just(Step::Elect),
    ]
}

/// A world, and what its clients are about.
struct Model {
    world: World,
    sessions: Vec<SessionId>,
    written: Vec<(SessionId, u64, wire::CommitBlobRequest)>,
    keys: Vec<String>,
    sequence: u64,
}

impl Model {
    async fn take(mut self, step: &Step) -> Self {
        self.sequence += 1;
        match step {
            Step::OpenSession => self.sessions.push(self.world.session().await),
            Step::CloseSession(which) if self.sessions.len() > 1 => {
                let session = self.sessions.remove(which % self.sessions.len());
                self.world.tenure.close_session(session).await.unwrap();
            }
            Step::Write(which) => self.write(*which).await,
            Step::Commit(which) if !self.written.is_empty() => {
                let (_, _, request) = self.written.remove(which % self.written.len());
                // The session may be over.
                if self.world.tenure.blobs().commit(request.clone()).await.is_ok() {
                    self.keys.push(request.key);
                }
            }
            Step::Abort(which) if !self.written.is_empty() => self.abort(*which).await,
            Step::Delete(which) if !self.keys.is_empty() => {
                let key = self.keys.remove(which % self.keys.len());
                let session = self.sessions[0];
                self.world.delete(session, self.sequence, &key).await.unwrap();
            }
            Step::Plant(node) => {
                self.world.nodes.with(*node, |node| node.sealed.insert(SegmentId::generate(), SessionId(u64::MAX)));
            }
            Step::Misplace(which) => self.misplace(*which),
            Step::Sweep => self.sweep().await,
            Step::Collect => self.collect().await,
            Step::Elect => self.world = self.world.elect_again().await,
            _ => {}
        }
        self
    }

    async fn write(&mut self, which: usize) {
        let session = self.sessions[which % self.sessions.len()];
        let (sequence, key) = (self.sequence, format!("key {}", self.sequence));
        let opened = self.world.open(session, sequence, &key, false).await.unwrap();
        let request = self.world.written(session, sequence, &key, &opened, 20_000);
        self.written.push((session, sequence, request));
    }

    async fn abort(&mut self, which: usize) {
        let (session, sequence, request) = self.written.remove(which % self.written.len());
        let abort = wire::AbortTransactionRequest {
            transaction: Some(wire::TransactionId { session: session.0, sequence }),
            segment: request.sealed.unwrap().id,
            nodes: Vec::new(),
        };
        // The session may be over.
        drop(self.world.tenure.abort_transaction(abort.try_into().unwrap()).await);
    }

    /// A node that does not keep a segment has a chunk of it, as after a restart on older data.
    fn misplace(&self, which: usize) {
        let named: Vec<(SegmentId, BTreeSet<u8>)> = named(&self.world).into_iter().collect();
        let Some((segment, nodes)) = named.get(which % named.len().max(1)) else { return };
        let other = (1..=NODES).find(|number| !nodes.contains(number)).expect("more nodes than chunks");
        self.world.nodes.with(other, |node| node.sealed.insert(*segment, SessionId(u64::MAX)));
    }

    /// A page, or a few.
    async fn sweep(&self) {
        let mut sweep = self.world.tenure.orphan_sweep().unwrap();
        for _ in 0..NODES {
            sweep.round().await.unwrap();
        }
    }

    async fn collect(&self) {
        tokio::time::advance(Duration::from_secs(1)).await;
        self.world.hear_nodes().await;
        for session in &self.sessions {
            self.world.heartbeat(*session).unwrap();
        }
        self.world.tenure.collection().round().await.unwrap();
    }

    /// Ends every session and lets all jobs come to rest.
    async fn rest(&mut self) {
        for session in std::mem::take(&mut self.sessions) {
            self.world.tenure.close_session(session).await.unwrap();
        }
        let mut collection = self.world.tenure.collection();
        for _ in 0..4 {
            tokio::time::advance(Duration::from_secs(11)).await;
            self.world.hear_nodes().await;
            let mut sweep = self.world.tenure.orphan_sweep().unwrap();
            while sweep.round().await.unwrap() {}
            collection.round().await.unwrap();
        }
    }
}

/// The nodes that records name for each segment.
fn named(world: &World) -> BTreeMap<SegmentId, BTreeSet<u8>> {
    let mut named = BTreeMap::new();
    let view = world.store.view().unwrap();
    let visit = |key: &[u8], found: &crate::state::Stored<bytes::Bytes>| {
        let segment = decode_segment(key, &found.record)?;
        let places = segment.chunks.iter().filter_map(|chunk| chunk.place);
        named.insert(segment.id, places.map(|place| place.node.as_bytes()[0]).collect());
        Ok(())
    };
    State(view.as_ref()).each(keys::SEGMENTS, visit).unwrap();
    named
}

/// The nodes that have a chunk of each segment.
fn held(world: &World) -> BTreeMap<SegmentId, BTreeSet<u8>> {
    let mut held: BTreeMap<SegmentId, BTreeSet<u8>> = BTreeMap::new();
    for number in 1..=NODES {
        for segment in world.nodes.with(number, |node| node.sealed.keys().copied().collect::<Vec<_>>()) {
            held.entry(segment).or_default().insert(number);
        }
    }
    held
}

async fn check(steps: &[Step]) {
    let world = World::new(NODES).await;
    let session = world.session().await;
    let mut model = Model { world, sessions: vec![session], written: Vec::new(), keys: Vec::new(), sequence: 0 };
    for step in steps {
        model = model.take(step).await;
        let held = held(&model.world);
        for (segment, nodes) in named(&model.world) {
            let there = held.get(&segment).cloned().unwrap_or_default();
            assert!(nodes.is_subset(&there), "{segment} is at {there:?} and named at {nodes:?} after {step:?}");
        }
    }
    model.rest().await;
    assert_eq!(held(&model.world), named(&model.world), "what is left");
    let left = [keys::GARBAGE, keys::REVOCATIONS, keys::DELETED, b"job/"].map(|prefix| model.world.count(prefix));
    assert_eq!(left, [0; 4]);
}

proptest! {
    #[test]
    fn what_is_named_is_always_there_and_in_the_end_nothing_else(steps in vec(step(), 1..60)) {
        let runtime = Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(check(&steps));
    }
}
