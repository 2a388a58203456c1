//! Stand-ins for tests of the managers.

mod node_service;
mod nodes;
mod world;

pub(crate) use node_service::FakeNodeService;
pub(crate) use nodes::FakeNodes;
pub(crate) use world::{World, kept, refusal, settings, written};

use std::sync::Arc;

use crate::ledger::Ledger;
use crate::store::{CLUSTER_KEY, Command, Epoch, MemoryStore, RECORD_FORMAT, Store};
use cairn_proto::ids::{BootId, ClusterId, IncarnationId, NodeId};
use cairn_proto::records::Node;
use cairn_proto::wire::NodeState;

/// A store in memory that belongs to a cluster, elected in epoch 1.
pub(crate) async fn elected_store() -> Arc<MemoryStore> {
    let store = Arc::new(MemoryStore::elected());
    let mut command = Command::new();
    command.put(CLUSTER_KEY, [&[RECORD_FORMAT], ClusterId::generate().as_bytes().as_slice()].concat());
    store.commit(Epoch(1), command).await.expect("epoch 1 is current");
    store
}

/// A ledger on an empty store in memory.
pub(crate) fn ledger() -> Ledger {
    Ledger::new(Arc::new(MemoryStore::elected()), Epoch(1))
}

/// The record of a node in service.
pub(crate) fn node_record() -> Node {
    Node {
        id: NodeId::generate(),
        incarnation: IncarnationId::generate(),
        boot: BootId::generate(),
        name: "node-1".to_owned(),
        address: "127.0.0.1:7101".to_owned(),
        locality: Vec::new(),
        devices: Vec::new(),
        state: NodeState::Active,
        intended_state: NodeState::Active,
        maintenance: None,
        drained_from_bytes: 0,
    }
}
