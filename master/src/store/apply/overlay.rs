use std::collections::BTreeMap;

use bytes::Bytes;

use super::super::{ReadError, Versioned};
use super::{State, Write};

/// Writes not yet made, over the state they will be made to.
pub struct Overlay<'a> {
    below: &'a dyn State,
    writes: BTreeMap<Bytes, Option<Versioned>>,
}

impl<'a> Overlay<'a> {
    /// No writes over `below`.
    pub fn new(below: &'a dyn State) -> Self {
        Self { below, writes: BTreeMap::new() }
    }

    /// Writes a key at a log index.
    pub fn put(&mut self, key: Bytes, value: Bytes, index: u64) {
        self.writes.insert(key, Some(Versioned { version: index, value }));
    }

    /// Removes a key.
    pub fn delete(&mut self, key: Bytes) {
        self.writes.insert(key, None);
    }

    /// Takes over writes that were made on top of this.
    pub fn absorb(&mut self, writes: Vec<Write>) {
        self.writes.extend(writes);
    }

    /// The writes, each key once, in key order.
    pub fn into_writes(self) -> Vec<Write> {
        self.writes.into_iter().collect()
    }
}

impl State for Overlay<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Versioned>, ReadError> {
        match self.writes.get(key) {
            Some(written) => Ok(written.clone()),
            None => self.below.get(key),
        }
    }
}
