use std::collections::BTreeMap;

use cairn_codec::Layout;

/// Which rows of a segment were written, and how long. Full rows are kept as runs, so a file written from front to
/// back takes one entry.
#[derive(Debug)]
pub(super) struct SentRows {
    layout: Layout,
    /// Runs of full rows: first row and the row behind the last.
    full: BTreeMap<u64, u64>,
    short: BTreeMap<u64, usize>,
}

impl SentRows {
    pub(super) fn new(layout: Layout) -> Self {
        Self { layout, full: BTreeMap::new(), short: BTreeMap::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.full.is_empty() && self.short.is_empty()
    }

    /// User bytes of a row as it was written last; `None` if it never was.
    pub(super) fn length(&self, row: u64) -> Option<usize> {
        if let Some(length) = self.short.get(&row) {
            return Some(*length);
        }
        let (_, end) = self.full.range(..=row).next_back()?;
        (row < *end).then(|| self.layout.row_size_bytes())
    }

    /// Every row and its length, rising but for those that are not full, which come last.
    pub(super) fn all(&self) -> impl Iterator<Item = (u64, usize)> {
        let full = self.full.iter().flat_map(|(first, end)| *first..*end);
        full.map(|row| (row, self.layout.row_size_bytes()))
            .chain(self.short.iter().map(|(row, length)| (*row, *length)))
    }

    /// A row was written with `length` bytes, never fewer than before.
    pub(super) fn insert(&mut self, row: u64, length: usize) {
        if length < self.layout.row_size_bytes() {
            self.short.insert(row, length);
            return;
        }
        self.short.remove(&row);
        if self.length(row).is_some() {
            return;
        }
        let end = self.full.remove(&(row + 1)).unwrap_or(row + 1);
        match self.full.range_mut(..row).next_back() {
            Some((_, previous_end)) if *previous_end == row => *previous_end = end,
            _ => {
                self.full.insert(row, end);
            }
        }
    }

    /// User bytes of the segment. An error if a row in front of the last one is missing or short.
    pub(super) fn segment_length(&self) -> Result<u64, UnevenRows> {
        let full_rows = match self.full.iter().next() {
            None => 0,
            Some((0, end)) if self.full.len() == 1 => *end,
            Some(_) => return Err(UnevenRows),
        };
        let full_bytes = full_rows * self.layout.row_size_bytes() as u64;
        match (self.short.len(), self.short.get(&full_rows)) {
            (0, _) => Ok(full_bytes),
            (1, Some(length)) => Ok(full_bytes + *length as u64),
            _ => Err(UnevenRows),
        }
    }
}

/// The rows of a segment are not full ones from row 0 on with at most a short one behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a segment is sealed with a row missing or short in front of its last one")]
pub(super) struct UnevenRows;

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use cairn_codec::Layout;
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::SentRows;

    proptest! {
        #[test]
        fn lengths_are_those_of_a_map(writes in proptest::collection::vec((0..12_u64, any::<bool>()), 0..40)) {
            let layout = Layout::DEFAULT;
            let mut rows = SentRows::new(layout);
            let mut model = BTreeMap::new();
            for (row, full) in writes {
                let length = if full { layout.row_size_bytes() } else { 5 }.max(model.get(&row).copied().unwrap_or(0));
                rows.insert(row, length);
                model.insert(row, length);
            }
            for row in 0..13 {
                prop_assert_eq!(rows.length(row), model.get(&row).copied());
            }
            let all: BTreeMap<u64, usize> = rows.all().collect();
            prop_assert_eq!((rows.all().count(), &all), (model.len(), &model));
            let contiguous = model.keys().copied().eq(0..model.len() as u64);
            let even = model.values().rev().skip(1).all(|length| *length == layout.row_size_bytes());
            let total = model.values().map(|length| *length as u64).sum();
            prop_assert_eq!(rows.segment_length().ok(), (contiguous && even).then_some(total));
        }
    }
}
