use std::collections::HashSet;

use super::NotLinearizable;
use super::values::{EMPTY, ValueId, Values};
use crate::history::{Action, Operation};

/// The sending or the answer of an operation, in the list of those that have no place in the order yet.
#[derive(Debug, Clone, Copy)]
struct Event {
    operation: usize,
    is_answer: bool,
    previous: usize,
    next: usize,
}

/// Stands before the first event and behind the last one.
const RING: usize = 0;

/// A search for an order of the operations on one key.
pub(super) struct KeySearch<'h> {
    key: &'h str,
    operations: Vec<&'h Operation>,
    events: Vec<Event>,
    /// Event of each operation's sending, and of its answer.
    sent: Vec<usize>,
    answered: Vec<Option<usize>>,
    values: Values,
    /// The order so far: each operation, and the value before it.
    order: Vec<(usize, ValueId)>,
    /// Sum of the marks of the operations in the order: names the set of them.
    placed: u128,
    unanswered_left: usize,
    /// Puts without a place.
    puts_left: usize,
}

impl<'h> KeySearch<'h> {
    pub(super) fn new(key: &'h str, operations: Vec<&'h Operation>) -> Self {
        let mut moments: Vec<(u64, usize, bool)> = Vec::new();
        for (number, operation) in operations.iter().enumerate() {
            moments.push((operation.invoked_at, number, false));
            moments.extend(operation.answer.as_ref().map(|answer| (answer.returned_at, number, true)));
        }
        moments.sort_unstable();
        let last = moments.len();
        let mut events = vec![Event { operation: usize::MAX, is_answer: false, previous: last, next: 1.min(last) }];
        let (mut sent, mut answered) = (vec![RING; operations.len()], vec![None; operations.len()]);
        for (position, (_, operation, is_answer)) in moments.into_iter().enumerate() {
            let here = position + 1;
            let next = if here == last { RING } else { here + 1 };
            events.push(Event { operation, is_answer, previous: position, next });
            if is_answer {
                answered[operation] = Some(here);
            } else {
                sent[operation] = here;
            }
        }
        let unanswered_left = answered.iter().flatten().count();
        let puts_left = operations.iter().filter(|operation| is_put(operation)).count();
        let (values, order) = (Values::new(), Vec::new());
        Self { key, operations, events, sent, answered, values, order, placed: 0, unanswered_left, puts_left }
    }

    /// Looks for an order, at most `steps_limit` steps long.
    pub(super) fn run(mut self, steps_limit: u64) -> Result<(), NotLinearizable> {
        let mut seen: HashSet<(u128, ValueId)> = HashSet::new();
        let mut value = EMPTY;
        let mut event = self.events[RING].next;
        let mut deepest = (0, None);
        let mut steps = 0;
        while self.unanswered_left > 0 {
            steps += 1;
            if steps > steps_limit {
                return Err(self.out_of_steps(steps_limit));
            }
            let Event { operation, is_answer, next, .. } = self.events[event];
            if is_answer {
                // Its operation had to come before this, and found no place: what was placed last was wrong.
                if deepest.1.is_none() || self.order.len() > deepest.0 {
                    deepest = (self.order.len(), Some(operation));
                }
                let Some((wrong, before)) = self.order.pop() else { return Err(self.violation(deepest)) };
                self.take_back(wrong);
                value = before;
                event = self.events[self.sent[wrong]].next;
                continue;
            }
            match self.apply(operation, value) {
                Some(after) if seen.insert((self.placed ^ mark(operation), after)) => {
                    self.order.push((operation, value));
                    self.place(operation);
                    value = after;
                    event = if self.is_hopeless(value) { self.first_answer() } else { self.events[RING].next };
                }
                _ => event = next,
            }
        }
        Ok(())
    }

    /// The value after the operation; `None` if its answer would be wrong here.
    fn apply(&mut self, number: usize, value: ValueId) -> Option<ValueId> {
        let operation = self.operations[number];
        match (&operation.action, &operation.answer) {
            (Action::Put(written), _) => Some(self.values.append(EMPTY, written)),
            (Action::Append(added), _) => Some(self.values.append(value, added)),
            (Action::Get, None) => Some(value),
            (Action::Get, Some(answer)) => self.values.is_answer(value, number, &answer.value).then_some(value),
        }
    }

    /// Whether the value can never become what the next get was told: from now on it only grows.
    fn is_hopeless(&mut self, value: ValueId) -> bool {
        if self.puts_left > 0 {
            return false;
        }
        let mut event = self.events[RING].next;
        while event != RING {
            let Event { operation: number, next, .. } = self.events[event];
            let operation = self.operations[number];
            if let (Action::Get, Some(answer)) = (&operation.action, &operation.answer) {
                return !self.values.leads_to_answer(value, number, &answer.value);
            }
            event = next;
        }
        false
    }

    /// The first answer in the list: looking at it takes the last operation back.
    fn first_answer(&self) -> usize {
        let mut event = self.events[RING].next;
        while !self.events[event].is_answer {
            event = self.events[event].next;
        }
        event
    }

    fn place(&mut self, operation: usize) {
        self.placed ^= mark(operation);
        self.unlink(self.sent[operation]);
        self.puts_left -= usize::from(is_put(self.operations[operation]));
        if let Some(answer) = self.answered[operation] {
            self.unlink(answer);
            self.unanswered_left -= 1;
        }
    }

    /// Undoes [`Self::place`]; the operation must be the one that was placed last.
    fn take_back(&mut self, operation: usize) {
        self.placed ^= mark(operation);
        if let Some(answer) = self.answered[operation] {
            self.relink(answer);
            self.unanswered_left += 1;
        }
        self.relink(self.sent[operation]);
        self.puts_left += usize::from(is_put(self.operations[operation]));
    }

    fn unlink(&mut self, event: usize) {
        let Event { previous, next, .. } = self.events[event];
        self.events[previous].next = next;
        self.events[next].previous = previous;
    }

    fn relink(&mut self, event: usize) {
        let Event { previous, next, .. } = self.events[event];
        self.events[previous].next = event;
        self.events[next].previous = event;
    }

    fn violation(&self, (explained, stuck): (usize, Option<usize>)) -> NotLinearizable {
        let stuck = stuck.map_or_else(String::new, |number| self.operations[number].to_string());
        NotLinearizable::Violation { key: self.key.to_owned(), explained, total: self.operations.len(), stuck }
    }

    fn out_of_steps(&self, steps: u64) -> NotLinearizable {
        NotLinearizable::OutOfSteps { key: self.key.to_owned(), total: self.operations.len(), steps }
    }
}

fn is_put(operation: &Operation) -> bool {
    matches!(operation.action, Action::Put(_))
}

/// A number for the operation that looks random, so that sums of them name sets: two sets share a name once in 2^128.
fn mark(operation: usize) -> u128 {
    let half = |salt: u64| {
        // The finalizer of splitmix64.
        let mut bits = (operation as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(salt);
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        u128::from(bits ^ (bits >> 31))
    };
    half(0) << 64 | half(0xD1B5_4A32_D192_ED03)
}
