//! What concurrent clients asked of a key-value store, and what they were told.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

/// What a client asks of one key. A key that was never written holds the empty value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Action {
    /// Its value.
    Get,
    /// To be replaced.
    Put(Bytes),
    /// To be made longer.
    Append(Bytes),
}

/// One operation as its client saw it. Moments are counted: one that is lower was earlier, for all clients alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Who asked.
    pub client: u64,
    /// About which key.
    pub key: String,
    /// For what.
    pub action: Action,
    /// When it was sent off.
    pub invoked_at: u64,
    /// The answer; without one it may have happened at any moment since, or never.
    pub answer: Option<Answer>,
}

/// What a client was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// When.
    pub returned_at: u64,
    /// The value, of a get; empty for the others.
    pub value: Bytes,
}

/// Takes down operations of many clients while they run.
#[derive(Debug, Clone, Default)]
pub struct History {
    operations: Arc<Mutex<Recorded>>,
}

#[derive(Debug, Default)]
struct Recorded {
    moment: u64,
    operations: Vec<Option<Operation>>,
}

/// An operation under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "an operation that is not answered counts as one of unknown outcome"]
pub struct Ticket(usize);

impl History {
    /// A client sends an operation off.
    pub fn invoke(&self, client: u64, key: &str, action: Action) -> Ticket {
        let mut recorded = self.operations.lock();
        let invoked_at = recorded.next_moment();
        recorded.operations.push(Some(Operation { client, key: key.to_owned(), action, invoked_at, answer: None }));
        Ticket(recorded.operations.len() - 1)
    }

    /// It was answered.
    pub fn answered(&self, ticket: Ticket, value: Bytes) {
        let mut recorded = self.operations.lock();
        let returned_at = recorded.next_moment();
        if let Some(operation) = &mut recorded.operations[ticket.0] {
            operation.answer = Some(Answer { returned_at, value });
        }
    }

    /// It certainly did not happen and never will.
    pub fn refused(&self, ticket: Ticket) {
        self.operations.lock().operations[ticket.0] = None;
    }

    /// All that happened so far.
    pub fn operations(&self) -> Vec<Operation> {
        self.operations.lock().operations.iter().flatten().cloned().collect()
    }

    /// How many have no answer so far.
    pub fn open_count(&self) -> usize {
        self.operations.lock().operations.iter().flatten().filter(|operation| operation.answer.is_none()).count()
    }

    /// How many have been answered so far.
    pub fn answered_count(&self) -> usize {
        self.operations.lock().operations.iter().flatten().filter(|operation| operation.answer.is_some()).count()
    }
}

impl Recorded {
    fn next_moment(&mut self) -> u64 {
        self.moment += 1;
        self.moment
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { client, key, action, invoked_at, answer } = self;
        write!(f, "client {client}, {key:?}: {action:?} sent at {invoked_at}, ")?;
        match answer {
            None => write!(f, "no answer"),
            Some(Answer { returned_at, value }) if *action == Action::Get => {
                write!(f, "answered at {returned_at}: {:?}", String::from_utf8_lossy(value))
            }
            Some(Answer { returned_at, .. }) => write!(f, "done at {returned_at}"),
        }
    }
}
