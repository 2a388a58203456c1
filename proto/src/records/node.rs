use crate::ids::{BootId, IncarnationId, NodeId};
use crate::{Refusal, wire};

/// A storage node.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Its id.
    pub id: NodeId,
    /// The current life of its data.
    pub incarnation: IncarnationId,
    /// The current life of its process.
    pub boot: BootId,
    /// For people.
    pub name: String,
    /// host:port
    pub address: String,
    /// Widest failure domain first.
    pub locality: Vec<wire::Label>,
    /// Disks it stores on.
    pub devices: Vec<wire::Device>,
    /// What it is.
    pub state: wire::NodeState,
    /// What an administrator wants it to be.
    pub intended_state: wire::NodeState,
    /// How long it may be away; only while maintenance is intended.
    pub maintenance: Option<wire::Maintenance>,
    /// Bytes that lay there when its draining began; 0 unless it is draining.
    pub drained_from_bytes: u64,
}

impl TryFrom<wire::NodeInfo> for Node {
    type Error = Refusal;

    fn try_from(node: wire::NodeInfo) -> Result<Self, Refusal> {
        Ok(Self {
            id: NodeId::from_wire(&node.id)?,
            incarnation: IncarnationId::from_wire(&node.incarnation)?,
            boot: BootId::from_wire(&node.boot)?,
            state: node.state(),
            intended_state: node.intended_state(),
            maintenance: node.maintenance,
            drained_from_bytes: node.drained_from_bytes,
            name: node.name,
            address: node.address,
            locality: node.locality,
            devices: node.devices,
        })
    }
}

impl From<&Node> for wire::NodeInfo {
    fn from(node: &Node) -> Self {
        Self {
            id: node.id.to_wire(),
            incarnation: node.incarnation.to_wire(),
            boot: node.boot.to_wire(),
            name: node.name.clone(),
            address: node.address.clone(),
            locality: node.locality.clone(),
            devices: node.devices.clone(),
            state: node.state.into(),
            intended_state: node.intended_state.into(),
            maintenance: node.maintenance,
            drained_from_bytes: node.drained_from_bytes,
        }
    }
}
