//! Whether a history of gets, puts and appends is linearizable: whether each operation can be given a moment between
//! its sending and its answer at which all of it happened, so that every get tells the truth.
//!
//! Keys are independent, so each is searched alone, by the algorithm of Wing and Gong with Lowe's cache of states that
//! were seen before. An operation without an answer may be given any moment after its sending, or none.

mod key_search;
#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod tests;
mod values;

use std::collections::BTreeMap;

use crate::history::{Action, Operation};
use key_search::KeySearch;

/// Steps of the search for one key that a test may take: some seconds.
pub const STEPS_LIMIT: u64 = 20_000_000;

/// Why a history is not known to be linearizable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotLinearizable {
    /// No order of its operations explains the answers.
    #[error(
        "key {key:?} is not linearizable: after {explained} of {total} operations in order, no way to explain {stuck}"
    )]
    Violation {
        /// The key.
        key: String,
        /// Length of the longest order that explains its answers.
        explained: usize,
        /// Operations in the search.
        total: usize,
        /// The operation that had to come next and cannot.
        stuck: String,
    },
    /// The search was given up, which shows nothing.
    #[error("key {key:?}: the search over {total} operations was given up after {steps} steps")]
    OutOfSteps {
        /// The key.
        key: String,
        /// Operations in the search.
        total: usize,
        /// Steps taken.
        steps: u64,
    },
}

/// Searches every key of the history, each with at most `steps_limit` steps.
pub fn check(operations: &[Operation], steps_limit: u64) -> Result<(), NotLinearizable> {
    let mut keys: BTreeMap<&str, Vec<&Operation>> = BTreeMap::new();
    for operation in operations {
        keys.entry(&operation.key).or_default().push(operation);
    }
    keys.into_iter().try_for_each(|(key, operations)| KeySearch::new(key, relevant(&operations)).run(steps_limit))
}

/// Leaves out what cannot change the verdict: gets without an answer, and writes without one that no get saw. The
/// latter tell nobody anything, so an order that has them is as good without them.
fn relevant<'h>(operations: &[&'h Operation]) -> Vec<&'h Operation> {
    let seen: Vec<&[u8]> =
        operations.iter().filter_map(|operation| operation.answer.as_ref()).map(|answer| &*answer.value).collect();
    let was_seen = |written: &[u8]| seen.iter().any(|value| contains(value, written));
    let matters = |operation: &&Operation| match (&operation.answer, &operation.action) {
        (Some(_), _) => true,
        (None, Action::Get) => false,
        (None, Action::Put(written)) => written.is_empty() || was_seen(written),
        (None, Action::Append(written)) => was_seen(written),
    };
    let mut relevant: Vec<&Operation> = operations.iter().copied().filter(|operation| matters(operation)).collect();
    relevant.sort_by_key(|operation| operation.invoked_at);
    relevant
}

fn contains(value: &[u8], part: &[u8]) -> bool {
    part.is_empty() || value.windows(part.len()).any(|window| window == part)
}
