use std::collections::{HashMap, HashSet};

use cairn_proto::ids::{BootId, NodeId, SessionId};
use parking_lot::Mutex;

/// Which sessions each node has admitted in the current life of its process. After a restart of the node or an
/// election, sessions are admitted again when they next open a file.
#[derive(Debug, Default)]
pub struct Admissions(Mutex<HashMap<NodeId, (BootId, HashSet<SessionId>)>>);

impl Admissions {
    /// Whether the session may write on this life of the node's process.
    pub fn has(&self, session: SessionId, node: NodeId, boot: BootId) -> bool {
        self.0.lock().get(&node).is_some_and(|(life, sessions)| *life == boot && sessions.contains(&session))
    }

    /// The node admitted the session in this life of its process; what it admitted in another one is void.
    pub fn add(&self, session: SessionId, node: NodeId, boot: BootId) {
        let mut admissions = self.0.lock();
        let (life, sessions) = admissions.entry(node).or_insert_with(|| (boot, HashSet::new()));
        if *life != boot {
            *life = boot;
            sessions.clear();
        }
        sessions.insert(session);
    }

    /// The session ended.
    pub fn forget(&self, session: SessionId) {
        for (_, sessions) in self.0.lock().values_mut() {
            sessions.remove(&session);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Admissions;
    use cairn_proto::ids::{BootId, NodeId, SessionId};

    #[test]
    fn another_boot_voids_every_admission() {
        let admissions = Admissions::default();
        let (node, first, second) = (NodeId::generate(), BootId::generate(), BootId::generate());
        admissions.add(SessionId(1), node, first);
        admissions.add(SessionId(2), node, first);
        assert!(admissions.has(SessionId(1), node, first) && !admissions.has(SessionId(1), node, second));
        admissions.add(SessionId(1), node, second);
        assert!(admissions.has(SessionId(1), node, second) && !admissions.has(SessionId(2), node, second));
        admissions.forget(SessionId(1));
        assert!(!admissions.has(SessionId(1), node, second));
    }
}
