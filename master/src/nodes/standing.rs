use std::time::Duration;

use cairn_proto::records::ChunkPlace;
use cairn_proto::wire::NodeState;

use super::{Member, Nodes};

/// What has become of a place where a chunk lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PlaceStanding {
    /// It can be read, or soon again.
    Present,
    /// It can be read, and its node is to be emptied.
    Leaving,
    /// Its node is dead in a planned maintenance.
    Excused,
    /// Its node is dead, and may come back.
    Away,
    /// Its node is dead for longer than the grace, removed, or has lost that life of its data.
    Gone,
}

impl PlaceStanding {
    /// Whether what lies there can be read.
    pub fn is_readable(self) -> bool {
        matches!(self, Self::Present | Self::Leaving)
    }
}

/// How the data of every registered node stands: whoever sees it change looks at what lies there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Standings {
    /// Of each, in one order.
    pub places: Vec<(ChunkPlace, PlaceStanding)>,
    /// How often it was changed what a node is to be. One that was emptied, used again and is emptied once more stands as
    /// before, and has other chunks.
    pub intents: u64,
}

impl Nodes {
    /// What has become of a place, when a dead node may be away for `grace`. Nobody waits for a node that was to be
    /// emptied, and a maintenance stands for the grace as long as it lasts.
    pub fn standing(&self, place: ChunkPlace, grace: Duration) -> PlaceStanding {
        let standing = |member: &Member| {
            if member.node.incarnation == place.incarnation {
                self.standing_of(member, grace)
            } else {
                PlaceStanding::Gone
            }
        };
        self.table.look(place.node, standing).unwrap_or(PlaceStanding::Gone)
    }

    /// The standing of what lies on a node now.
    fn standing_of(&self, member: &Member, grace: Duration) -> PlaceStanding {
        let now = self.clock.now();
        match member.state(now, &self.timing) {
            NodeState::Removed => PlaceStanding::Gone,
            NodeState::Dead if member.intended(now) == NodeState::Draining => PlaceStanding::Gone,
            NodeState::Dead if member.intended(now) == NodeState::Maintenance => PlaceStanding::Excused,
            NodeState::Dead if member.health.silence(now) >= self.timing.dead + grace => PlaceStanding::Gone,
            NodeState::Dead => PlaceStanding::Away,
            _ if member.intended(now) == NodeState::Draining => PlaceStanding::Leaving,
            _ => PlaceStanding::Present,
        }
    }

    /// The standing of every registered node's data.
    pub fn standings(&self, grace: Duration) -> Standings {
        // Counted first: what is changed meanwhile is a change that the next look sees.
        let intents = self.table.intents();
        Standings { places: self.table.pick(|member| Some((member.place(), self.standing_of(member, grace)))), intents }
    }
}
