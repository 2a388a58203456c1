//! Where each row of a file being written is: in a sealed segment, or in the one being written.

use cairn_proto::ids::SegmentId;
use cairn_proto::records::Extent;

/// Where a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In a segment that a commit has sealed.
    Sealed {
        /// The segment.
        segment: SegmentId,
        /// The row in it.
        row: u64,
    },
    /// In the segment being written.
    Open {
        /// The row in it.
        row: u64,
    },
}

impl Place {
    fn offset(self, rows: u64) -> Self {
        match self {
            Self::Sealed { segment, row } => Self::Sealed { segment, row: row + rows },
            Self::Open { row } => Self::Open { row: row + rows },
        }
    }
}

/// Rows that follow one another in the file and where they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    first: u64,
    rows: u64,
    place: Place,
}

impl Run {
    fn end(&self) -> u64 {
        self.first + self.rows
    }

    fn is_continued_by(&self, next: &Self) -> bool {
        self.end() == next.first && self.place.offset(self.rows) == next.place
    }
}

/// Places of rows 0 to some n, without a gap.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct RowMap {
    runs: Vec<Run>,
}

impl RowMap {
    /// Of a committed blob.
    pub(super) fn of_extents(extents: &[Extent]) -> Self {
        let mut map = Self::default();
        for extent in extents {
            let place = Place::Sealed { segment: extent.segment, row: extent.first_row };
            map.push(Run { first: map.rows(), rows: extent.rows, place });
        }
        map
    }

    /// Rows that have a place.
    pub(super) fn rows(&self) -> u64 {
        self.runs.last().map_or(0, Run::end)
    }

    /// Where `row` is.
    pub(super) fn place(&self, row: u64) -> Option<Place> {
        let run = self.runs.get(self.run_behind(row).checked_sub(1)?)?;
        (row < run.end()).then(|| run.place.offset(row - run.first))
    }

    /// Whether `row` of the segment being written is the place of any row of the file.
    pub(super) fn uses_open_row(&self, open_row: u64) -> bool {
        self.runs.iter().any(|run| match run.place {
            Place::Open { row } => (row..row + run.rows).contains(&open_row),
            Place::Sealed { .. } => false,
        })
    }

    /// Whether any row is in the segment being written.
    pub(super) fn uses_open_segment(&self) -> bool {
        self.runs.iter().any(|run| matches!(run.place, Place::Open { .. }))
    }

    /// Gives `row` a place: a row that has one already, or the one behind the last.
    pub(super) fn set(&mut self, row: u64, place: Place) {
        debug_assert!(row <= self.rows(), "rows get places without a gap");
        let tail = self.split_off(row + 1);
        self.truncate(row);
        self.push(Run { first: row, rows: 1, place });
        for run in tail {
            self.push(run);
        }
    }

    /// Drops all rows from `rows` on.
    pub(super) fn truncate(&mut self, rows: u64) {
        drop(self.split_off(rows));
    }

    /// The segment being written was sealed under this id.
    pub(super) fn seal(&mut self, segment: SegmentId) {
        for run in &mut self.runs {
            if let Place::Open { row } = run.place {
                run.place = Place::Sealed { segment, row };
            }
        }
    }

    /// Extents that the runs make.
    pub(super) fn extent_count(&self) -> usize {
        self.runs.len()
    }

    /// The extents of a file of `size_bytes`, rows being `row_size_bytes` long; `open` is the id of the segment
    /// being written.
    pub(super) fn extents(&self, size_bytes: u64, row_size_bytes: u64, open: Option<SegmentId>) -> Vec<Extent> {
        let extent = |run: &Run| {
            let (segment, first_row) = match run.place {
                Place::Sealed { segment, row } => (segment, row),
                Place::Open { row } => (open?, row),
            };
            let length_bytes = (run.end() * row_size_bytes).min(size_bytes) - run.first * row_size_bytes;
            Some(Extent { segment, first_row, rows: run.rows, length_bytes })
        };
        self.runs.iter().filter_map(extent).collect()
    }

    fn push(&mut self, run: Run) {
        match self.runs.last_mut() {
            Some(last) if last.is_continued_by(&run) => last.rows += run.rows,
            _ => self.runs.push(run),
        }
    }

    fn split_off(&mut self, row: u64) -> Vec<Run> {
        let behind = self.run_behind(row.saturating_sub(1));
        let mut tail = if row == 0 { std::mem::take(&mut self.runs) } else { self.runs.split_off(behind) };
        if let Some(last) = self.runs.last_mut()
            && row < last.end()
        {
            let kept = row - last.first;
            tail.insert(0, Run { first: row, rows: last.rows - kept, place: last.place.offset(kept) });
            last.rows = kept;
        }
        tail
    }

    /// Index of the first run that begins behind `row`.
    fn run_behind(&self, row: u64) -> usize {
        self.runs.partition_point(|run| run.first <= row)
    }
}

#[cfg(test)]
mod tests {
    use cairn_proto::ids::SegmentId;
    use proptest::prelude::{Strategy, any, prop_assert_eq, proptest};

    use super::{Place, RowMap};

    #[derive(Debug, Clone)]
    enum Step {
        Set { row: u64, open_row: u64 },
        Truncate { rows: u64 },
        Seal,
    }

    fn step() -> impl Strategy<Value = Step> {
        (any::<u8>(), 0..12_u64, 0..12_u64).prop_map(|(kind, row, open_row)| match kind % 8 {
            0 => Step::Truncate { rows: row },
            1 => Step::Seal,
            _ => Step::Set { row, open_row },
        })
    }

    proptest! {
        #[test]
        fn the_map_agrees_with_a_list_of_places(steps in proptest::collection::vec(step(), 1..60)) {
            let mut map = RowMap::default();
            let mut model: Vec<Place> = Vec::new();
            for step in steps {
                match step {
                    Step::Set { row, open_row } => {
                        let row = row.min(model.len() as u64);
                        let place = Place::Open { row: open_row };
                        map.set(row, place);
                        let index = usize::try_from(row).unwrap();
                        if index == model.len() { model.push(place) } else { model[index] = place }
                    }
                    Step::Truncate { rows } => {
                        map.truncate(rows);
                        model.truncate(usize::try_from(rows).unwrap());
                    }
                    Step::Seal => {
                        let segment = SegmentId::generate();
                        map.seal(segment);
                        for place in &mut model {
                            if let Place::Open { row } = *place { *place = Place::Sealed { segment, row } }
                        }
                    }
                }
                prop_assert_eq!(map.rows(), model.len() as u64);
                for (row, place) in model.iter().enumerate() {
                    prop_assert_eq!(map.place(row as u64), Some(*place));
                }
                prop_assert_eq!(map.place(model.len() as u64), None);
                let open = SegmentId::generate();
                let extents = map.extents(model.len() as u64 * 10, 10, Some(open));
                prop_assert_eq!(extents.iter().map(|extent| extent.rows).sum::<u64>(), model.len() as u64);
                prop_assert_eq!(extents.iter().map(|extent| extent.length_bytes).sum::<u64>(), model.len() as u64 * 10);
            }
        }
    }
}
