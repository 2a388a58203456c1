use std::collections::{BTreeMap, HashMap};
use std::ops::RangeInclusive;
use std::time::Duration;

use cairn_proto::Refusal;
use cairn_proto::ids::{NodeId, SegmentId, SessionId, TransactionId};
use cairn_proto::records::{ChunkPlace, Key};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::transaction::OpenTransaction;

/// Transactions that one session may have open.
const TRANSACTIONS_PER_SESSION_LIMIT: usize = 16_384;

#[derive(Debug, Default)]
struct Tables {
    open: BTreeMap<TransactionId, OpenTransaction>,
    /// Names that must not exist and are being written.
    held: HashMap<Key, TransactionId>,
    /// Sum of what the open transactions reserve.
    reserved: HashMap<NodeId, u64>,
}

/// The open transactions of one election.
#[derive(Debug, Default)]
pub struct TransactionTable(Mutex<Tables>);

/// How the opening of a transaction starts.
#[derive(Debug)]
pub enum Begun<'a> {
    /// It is open: this is what the client was told.
    Open(Box<OpenTransaction>),
    /// It is new; its name is held until the claim is dropped.
    New(NameClaim<'a>),
}

/// Holds the name of an exclusive transaction that is being opened, and gives it back unless the opening succeeds.
#[derive(Debug)]
pub struct NameClaim<'a> {
    table: &'a TransactionTable,
    id: TransactionId,
    key: Option<Key>,
}

impl NameClaim<'_> {
    /// The transaction is open.
    pub fn opened(mut self, transaction: OpenTransaction) {
        self.key = None;
        self.table.insert(self.id, transaction);
    }
}

impl Drop for NameClaim<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.table.0.lock().release_name(&key, self.id);
        }
    }
}

impl Tables {
    fn release_name(&mut self, key: &Key, id: TransactionId) {
        if self.held.get(key) == Some(&id) {
            self.held.remove(key);
        }
    }

    fn add_reservation(&mut self, transaction: &OpenTransaction) {
        for place in &transaction.places {
            *self.reserved.entry(place.node).or_default() += transaction.reserved_bytes();
        }
    }

    fn subtract_reservation(&mut self, transaction: &OpenTransaction) {
        for place in &transaction.places {
            if let Some(reserved) = self.reserved.get_mut(&place.node) {
                *reserved = reserved.saturating_sub(transaction.reserved_bytes());
                if *reserved == 0 {
                    self.reserved.remove(&place.node);
                }
            }
        }
    }

    fn insert(&mut self, id: TransactionId, transaction: OpenTransaction) {
        self.remove(id);
        if transaction.exclusive {
            self.held.entry(transaction.key.clone()).or_insert(id);
        }
        self.add_reservation(&transaction);
        self.open.insert(id, transaction);
    }

    fn remove(&mut self, id: TransactionId) -> Option<OpenTransaction> {
        let transaction = self.open.remove(&id)?;
        self.release_name(&transaction.key, id);
        self.subtract_reservation(&transaction);
        Some(transaction)
    }
}

fn of(session: SessionId) -> RangeInclusive<TransactionId> {
    TransactionId { session, sequence: 0 }..=TransactionId { session, sequence: u64::MAX }
}

impl TransactionTable {
    /// Starts to open a transaction: answers it if it is open, otherwise claims its name if it is exclusive.
    pub fn begin(&self, id: TransactionId, key: &Key, exclusive: bool) -> Result<Begun<'_>, Refusal> {
        let mut tables = self.0.lock();
        if let Some(open) = tables.open.get(&id) {
            return Ok(Begun::Open(Box::new(open.clone())));
        }
        if tables.open.range(of(id.session)).count() >= TRANSACTIONS_PER_SESSION_LIMIT {
            let why = format!("session {} has {TRANSACTIONS_PER_SESSION_LIMIT} files open for writing", id.session);
            return Err(Refusal::NotReady { why });
        }
        let mut claimed = None;
        if exclusive {
            if tables.held.get(key).is_some_and(|holder| *holder != id) {
                return Err(Refusal::KeyExists { key: key.to_string() });
            }
            tables.held.insert(key.clone(), id);
            claimed = Some(key.clone());
        }
        Ok(Begun::New(NameClaim { table: self, id, key: claimed }))
    }

    /// Adds an open transaction, or replaces it.
    pub fn insert(&self, id: TransactionId, transaction: OpenTransaction) {
        self.0.lock().insert(id, transaction);
    }

    /// An open transaction.
    pub fn get(&self, id: TransactionId) -> Option<OpenTransaction> {
        self.0.lock().open.get(&id).cloned()
    }

    /// The exclusive transaction that holds a name.
    pub fn holder(&self, key: &Key) -> Option<TransactionId> {
        self.0.lock().held.get(key).copied()
    }

    /// Forgets a transaction, its reservation and its name.
    pub fn remove(&self, id: TransactionId) -> Option<OpenTransaction> {
        self.0.lock().remove(id)
    }

    /// Forgets every transaction of a session.
    pub fn remove_session(&self, session: SessionId) {
        let mut tables = self.0.lock();
        let ids: Vec<TransactionId> = tables.open.range(of(session)).map(|(id, _)| *id).collect();
        for id in ids {
            tables.remove(id);
        }
    }

    /// Notes that its session named a transaction, and what it has sent. `false`: it is not in the table.
    pub fn named(&self, id: TransactionId, segment: SegmentId, sent_bytes: u64, now: Instant) -> bool {
        let mut tables = self.0.lock();
        let Some(mut transaction) = tables.open.get(&id).filter(|open| open.segment == segment).cloned() else {
            return false;
        };
        tables.subtract_reservation(&transaction);
        transaction.sent_bytes = transaction.sent_bytes.max(sent_bytes);
        transaction.last_named = now;
        tables.add_reservation(&transaction);
        tables.open.insert(id, transaction);
        true
    }

    /// Notes one more place that cells of a transaction go to, with room reserved there. `false`: it is not in the table.
    pub fn add_place(&self, id: TransactionId, segment: SegmentId, place: ChunkPlace) -> bool {
        let mut tables = self.0.lock();
        let Some(mut transaction) = tables.open.get(&id).filter(|open| open.segment == segment).cloned() else {
            return false;
        };
        tables.subtract_reservation(&transaction);
        if !transaction.places.contains(&place) {
            transaction.places.push(place);
        }
        tables.add_reservation(&transaction);
        tables.open.insert(id, transaction);
        true
    }

    /// Forgets transactions that a live session has not named for so long. Only room and name are given back: if one
    /// is open after all, it is named again, and its commit is judged by records alone.
    pub fn forget_unnamed(&self, session: SessionId, now: Instant, after: Duration) {
        let mut tables = self.0.lock();
        let stale: Vec<TransactionId> = tables
            .open
            .range(of(session))
            .filter(|(_, open)| now.saturating_duration_since(open.last_named) >= after)
            .map(|(id, _)| *id)
            .collect();
        for id in stale {
            tracing::info!(transaction = %id, "its session does not name it any more");
            tables.remove(id);
        }
    }

    /// Room reserved on a node.
    pub fn reserved_bytes(&self, node: NodeId) -> u64 {
        self.0.lock().reserved.get(&node).copied().unwrap_or(0)
    }

    /// Open transactions with a place on a node.
    pub fn count_at(&self, node: NodeId) -> usize {
        let tables = self.0.lock();
        tables.open.values().filter(|open| open.places.iter().any(|place| place.node == node)).count()
    }

    /// Open transactions.
    pub fn len(&self) -> usize {
        self.0.lock().open.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::{Begun, OpenTransaction, TransactionTable};
    use cairn_proto::Refusal;
    use cairn_proto::ids::{IncarnationId, NodeId, SegmentId, SessionId, TransactionId};
    use cairn_proto::records::{ChunkPlace, Key};
    use std::time::Duration;
    use tokio::time::Instant;

    fn id(session: u64, sequence: u64) -> TransactionId {
        TransactionId { session: SessionId(session), sequence }
    }

    fn transaction(key: &str, nodes: &[NodeId], exclusive: bool) -> OpenTransaction {
        OpenTransaction {
            segment: SegmentId::generate(),
            key: Key::try_from(key).unwrap(),
            exclusive,
            places: nodes
                .iter()
                .map(|&node| ChunkPlace { node, incarnation: IncarnationId::from_bytes([1; 16]) })
                .collect(),
            sent_bytes: 0,
            cell_size_bytes: 100,
            answer: None,
            last_named: Instant::now(),
        }
    }

    #[test]
    fn a_name_is_held_from_the_claim_to_the_end() {
        let table = TransactionTable::default();
        let key = Key::try_from("a").unwrap();
        let Begun::New(claim) = table.begin(id(1, 1), &key, true).unwrap() else { panic!("it is new") };
        assert_eq!(table.begin(id(2, 1), &key, true).unwrap_err(), Refusal::KeyExists { key: "a".to_owned() });
        assert!(matches!(table.begin(id(2, 2), &key, false).unwrap(), Begun::New(_)));
        claim.opened(transaction("a", &[], true));
        assert!(table.begin(id(2, 1), &key, true).is_err());
        table.remove(id(1, 1));
        assert!(table.begin(id(2, 1), &key, true).is_ok());
    }

    #[test]
    fn a_claim_that_is_dropped_gives_the_name_back() {
        let table = TransactionTable::default();
        let key = Key::try_from("a").unwrap();
        drop(table.begin(id(1, 1), &key, true).unwrap());
        assert!(table.begin(id(2, 1), &key, true).is_ok());
    }

    #[test]
    fn reservations_follow_what_was_sent_and_end_at_zero() {
        let table = TransactionTable::default();
        let nodes = [NodeId::generate(), NodeId::generate()];
        let first = transaction("a", &nodes, false);
        let segment = first.segment;
        table.insert(id(1, 1), first);
        table.insert(id(1, 2), transaction("b", &nodes[..1], false));
        assert_eq!((table.reserved_bytes(nodes[0]), table.reserved_bytes(nodes[1])), (200, 100));
        assert!(table.named(id(1, 1), segment, 1000, Instant::now()));
        assert_eq!((table.reserved_bytes(nodes[0]), table.reserved_bytes(nodes[1])), (1100, 1000));
        table.remove_session(SessionId(1));
        assert_eq!((table.reserved_bytes(nodes[0]), table.reserved_bytes(nodes[1])), (0, 0));
        assert!(table.is_empty());
    }

    #[test]
    fn a_transaction_that_is_not_named_for_long_gives_its_room_back() {
        let table = TransactionTable::default();
        let node = NodeId::generate();
        let (named, silent) = (transaction("a", &[node], false), transaction("b", &[node], false));
        let (segment, start, grace) = (named.segment, silent.last_named, Duration::from_secs(30));
        table.insert(id(1, 1), named);
        table.insert(id(1, 2), silent);
        let later = start + grace;
        table.named(id(1, 1), segment, 0, later);
        table.forget_unnamed(SessionId(1), later, grace);
        assert!(table.get(id(1, 1)).is_some() && table.get(id(1, 2)).is_none());
        assert_eq!(table.reserved_bytes(node), 100);
    }
}
