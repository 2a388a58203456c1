//! The row of a file that is in memory.

use bytes::Bytes;

use super::row_budget::RowMemory;

/// The one row of a file that is in memory. It overrides what was sent of it.
#[derive(Debug)]
pub(super) struct CurrentRow {
    row: u64,
    bytes: RowBytes,
    /// Whether it has bytes that were not sent.
    dirty: bool,
    reserved_bytes: usize,
    memory: RowMemory,
}

/// Bytes that are being changed, or that were sent and kept.
#[derive(Debug)]
enum RowBytes {
    Changing(Vec<u8>),
    Sent(Bytes),
}

impl CurrentRow {
    /// A row as it was read back, or an empty one, in `reserved_bytes` of `memory`.
    pub(super) fn new(row: u64, stored: &[u8], reserved_bytes: usize, memory: RowMemory) -> Self {
        let mut bytes = Vec::with_capacity(reserved_bytes);
        bytes.extend_from_slice(stored);
        Self { row, bytes: RowBytes::Changing(bytes), dirty: false, reserved_bytes, memory }
    }

    pub(super) const fn row(&self) -> u64 {
        self.row
    }

    pub(super) const fn is_dirty(&self) -> bool {
        self.dirty
    }

    pub(super) const fn reserved_bytes(&self) -> usize {
        self.reserved_bytes
    }

    pub(super) fn bytes(&self) -> &[u8] {
        match &self.bytes {
            RowBytes::Changing(bytes) => bytes,
            RowBytes::Sent(bytes) => bytes,
        }
    }

    /// Takes a larger share of memory.
    pub(super) fn reserve(&mut self, reserved_bytes: usize, more: RowMemory) {
        self.memory.add(more);
        self.reserved_bytes = reserved_bytes;
    }

    /// Writes `data` at `within`, with zeros in front where there was nothing.
    pub(super) fn write(&mut self, within: usize, data: &[u8]) {
        let bytes = self.change();
        if bytes.len() < within {
            bytes.resize(within, 0);
        }
        let overlap = (bytes.len() - within).min(data.len());
        bytes[within..within + overlap].copy_from_slice(&data[..overlap]);
        bytes.extend_from_slice(&data[overlap..]);
    }

    /// Makes it `length` bytes long, with zeros where there was nothing.
    pub(super) fn resize(&mut self, length: usize) {
        self.change().resize(length, 0);
    }

    /// Its bytes to be sent; they stay in memory too, and count as sent.
    pub(super) fn send(&mut self) -> Bytes {
        self.dirty = false;
        let bytes = match std::mem::replace(&mut self.bytes, RowBytes::Sent(Bytes::new())) {
            RowBytes::Changing(bytes) => Bytes::from(bytes),
            RowBytes::Sent(bytes) => bytes,
        };
        self.bytes = RowBytes::Sent(bytes.clone());
        bytes
    }

    fn change(&mut self) -> &mut Vec<u8> {
        self.dirty = true;
        if let RowBytes::Sent(bytes) = &mut self.bytes {
            let mut changing = Vec::from(std::mem::take(bytes));
            changing.reserve_exact(self.reserved_bytes.saturating_sub(changing.len()));
            self.bytes = RowBytes::Changing(changing);
        }
        match &mut self.bytes {
            RowBytes::Changing(bytes) => {
                if bytes.capacity() < self.reserved_bytes {
                    bytes.reserve_exact(self.reserved_bytes - bytes.len());
                }
                bytes
            }
            RowBytes::Sent(_) => unreachable!("it was made changeable just above"),
        }
    }
}
