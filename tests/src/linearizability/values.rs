use std::collections::HashMap;

use bytes::Bytes;

/// A value that a key may hold, as the writes that made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct ValueId(u32);

/// What a key holds before its first write.
pub(super) const EMPTY: ValueId = ValueId(0);

/// The values met in a search. Each is kept once, as what was added to which other one.
#[derive(Debug)]
pub(super) struct Values {
    made: Vec<Made>,
    known: HashMap<(ValueId, Bytes), ValueId>,
    compared: HashMap<(ValueId, usize), bool>,
    prefixes: HashMap<(ValueId, usize), bool>,
}

#[derive(Debug)]
struct Made {
    from: ValueId,
    added: Bytes,
    size_bytes: usize,
}

impl Values {
    pub(super) fn new() -> Self {
        let empty = Made { from: EMPTY, added: Bytes::new(), size_bytes: 0 };
        Self { made: vec![empty], known: HashMap::new(), compared: HashMap::new(), prefixes: HashMap::new() }
    }

    /// `value` with `added` at its end.
    pub(super) fn append(&mut self, value: ValueId, added: &Bytes) -> ValueId {
        if added.is_empty() {
            return value;
        }
        if let Some(known) = self.known.get(&(value, added.clone())) {
            return *known;
        }
        let id = ValueId(u32::try_from(self.made.len()).expect("a search ends long before so many values"));
        let size_bytes = self.made[value.0 as usize].size_bytes + added.len();
        self.made.push(Made { from: value, added: added.clone(), size_bytes });
        self.known.insert((value, added.clone()), id);
        id
    }

    /// Whether `value` is the answer of the operation with this number, which is `answer`.
    pub(super) fn is_answer(&mut self, value: ValueId, number: usize, answer: &[u8]) -> bool {
        if let Some(known) = self.compared.get(&(value, number)) {
            return *known;
        }
        let equal = self.equals(value, answer);
        self.compared.insert((value, number), equal);
        equal
    }

    /// Whether more can be added to `value` so that it becomes the answer of the operation with this number.
    pub(super) fn leads_to_answer(&mut self, value: ValueId, number: usize, answer: &[u8]) -> bool {
        if let Some(known) = self.prefixes.get(&(value, number)) {
            return *known;
        }
        let size_bytes = self.made[value.0 as usize].size_bytes;
        let leads = answer.get(..size_bytes).is_some_and(|start| self.equals(value, start));
        self.prefixes.insert((value, number), leads);
        leads
    }

    fn equals(&self, mut value: ValueId, mut answer: &[u8]) -> bool {
        while value != EMPTY {
            let made = &self.made[value.0 as usize];
            if made.size_bytes != answer.len() {
                return false;
            }
            let Some(rest) = answer.strip_suffix(&*made.added) else { return false };
            (value, answer) = (made.from, rest);
        }
        answer.is_empty()
    }
}
