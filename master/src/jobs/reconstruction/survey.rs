use std::collections::{HashMap, HashSet};
use std::time::Duration;

use cairn_proto::Refusal;
use cairn_proto::ids::SegmentId;
use cairn_proto::records::ChunkPlace;
use tokio::time::Instant;

use super::{Damage, Reconstruction};
use crate::failure::{Failure, StateError};
use crate::keys;
use crate::nodes::{PlaceStanding, Standings};
use crate::state::{State, decode_segment};
use crate::store::View;

/// Shortest time from one survey to the next that looks for what was committed on leaving nodes.
const REPEAT_AFTER: Duration = Duration::from_secs(1);
/// The same in times of what a survey costs.
const PAUSE_PER_COST: u32 = 4;

/// What the last survey saw.
#[derive(Debug, Default)]
pub(super) struct Surveys {
    /// As they were then; `None` before the first.
    standings: Option<Standings>,
    /// Not before then is it repeated for the sake of leaving nodes.
    repeat_at: Option<Instant>,
    /// The leaving nodes that no record named any more.
    unnamed: HashSet<ChunkPlace>,
}

impl Surveys {
    /// Whether every segment is to be looked at: when the standing of a node has changed or what it is to be, and over and over as long as a
    /// leaving node was named when nothing was left to do, for writes that were open then may still be committed there.
    fn is_due(&self, standings: &Standings, is_idle: bool, now: Instant) -> bool {
        if self.standings.as_ref() != Some(standings) {
            return true;
        }
        let mut leaving = standings.places.iter().filter(|(_, standing)| *standing == PlaceStanding::Leaving);
        let is_named = leaving.any(|(place, _)| !self.unnamed.contains(place));
        is_idle && is_named && self.repeat_at.is_none_or(|at| at <= now)
    }
}

/// What one look at all segments found.
struct Found {
    damaged: Vec<(SegmentId, Damage)>,
    /// Leaving places that are named.
    named: HashSet<ChunkPlace>,
}

impl Reconstruction {
    pub(super) fn survey_is_due(&self, standings: &Standings) -> bool {
        // What was opened before the node was leaving may be in the table only now.
        self.surveys.lock().unnamed.retain(|place| !self.nodes.has_open_writes(place.node));
        let (overflowed, is_idle) = {
            let queue = self.queue.lock();
            (queue.overflowed() && queue.is_empty(), queue.is_idle())
        };
        overflowed || self.surveys.lock().is_due(standings, is_idle, self.clock.now())
    }

    /// Looks at every segment, apart from the threads that serve requests.
    pub(super) async fn survey(&self, standings: Standings) -> Result<(), Failure> {
        let start = self.clock.now();
        let leaving = standings.places.iter().filter(|(_, standing)| *standing == PlaceStanding::Leaving);
        let mut unnamed: HashSet<ChunkPlace> = leaving.map(|(place, _)| *place).collect();
        // Asked before the state is read: what is open no more by now is committed in it, or never will be.
        unnamed.retain(|place| !self.nodes.has_open_writes(place.node));
        let view = self.ledger.view()?;
        let by_place = standings.places.iter().copied().collect();
        let looking = tokio::task::spawn_blocking(move || look_at_all(view.as_ref(), &by_place));
        let found = looking.await.map_err(|error| Refusal::NotReady { why: error.to_string() })??;
        unnamed.retain(|place| !found.named.contains(place));
        let now = self.clock.now();
        {
            let mut queue = self.queue.lock();
            queue.clear();
            for (segment, damage) in found.damaged {
                queue.push(segment, &damage, now);
            }
        }
        let pause = REPEAT_AFTER.max(now.saturating_duration_since(start) * PAUSE_PER_COST);
        *self.surveys.lock() = Surveys { standings: Some(standings), repeat_at: Some(now + pause), unnamed };
        Ok(())
    }

    /// Whether the last survey found that no record names a leaving place.
    pub fn is_unnamed(&self, place: ChunkPlace) -> bool {
        self.surveys.lock().unnamed.contains(&place)
    }

    /// Something was found at a place that the last survey did not find.
    pub fn look_again_at(&self, place: ChunkPlace) {
        self.surveys.lock().unnamed.remove(&place);
    }
}

fn look_at_all(view: &dyn View, standings: &HashMap<ChunkPlace, PlaceStanding>) -> Result<Found, StateError> {
    let standing = |place| standings.get(&place).copied().unwrap_or(PlaceStanding::Gone);
    let mut found = Found { damaged: Vec::new(), named: HashSet::new() };
    State(view).each(keys::SEGMENTS, |key, stored| {
        let segment = decode_segment(key, &stored.record)?;
        let places = segment.chunks.iter().filter_map(|chunk| chunk.place);
        found.named.extend(places.filter(|place| standing(*place) == PlaceStanding::Leaving));
        if let Some(damage) = Damage::of(&segment, standing) {
            found.damaged.push((segment.id, damage));
        }
        Ok(())
    })?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::time::Duration;

    use cairn_proto::ids::{IncarnationId, NodeId};
    use cairn_proto::records::ChunkPlace;
    use tokio::time::Instant;

    use super::Surveys;
    use crate::nodes::PlaceStanding::{Leaving, Present};
    use crate::nodes::Standings;

    #[test]
    fn a_leaving_node_is_surveyed_until_nothing_names_it() {
        let now = Instant::now();
        let place = ChunkPlace { node: NodeId::generate(), incarnation: IncarnationId::generate() };
        let [here, leaving] =
            [Present, Leaving].map(|standing| Standings { places: vec![(place, standing)], intents: 0 });
        assert!(Surveys::default().is_due(&here, true, now));
        let later = now + Duration::from_secs(1);
        let mut surveys = Surveys { standings: Some(here.clone()), repeat_at: Some(later), unnamed: HashSet::new() };
        assert!(!surveys.is_due(&here, true, later), "nothing has changed");
        assert!(surveys.is_due(&leaving, false, now), "a standing has changed");
        surveys.standings = Some(leaving.clone());
        let due = [(true, now), (false, later), (true, later)].map(|(idle, at)| surveys.is_due(&leaving, idle, at));
        assert_eq!(due, [false, false, true]);
        surveys.unnamed.insert(place);
        assert!(!surveys.is_due(&leaving, true, later));
        let once_more = Standings { intents: 2, ..leaving };
        assert!(surveys.is_due(&once_more, false, now), "it was used again since it was empty");
    }
}
