use bytes::Bytes;
use cairn_codec::{Coder, Layout};

/// How good it is to ask for a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Standing {
    /// Nothing speaks against it. The smaller the distance, the better.
    Good {
        /// By locality.
        distance: usize,
    },
    /// Its node, or the chunk, failed just now.
    Doubtful,
    /// No node keeps it.
    Gone,
}

#[derive(Debug, Clone)]
enum Cell {
    /// The row is too short to have it.
    Nonexistent,
    Unasked,
    Asked,
    /// Asked for, and slow to come.
    Late,
    Here(Bytes),
    Failed,
}

/// What to do next for a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Every wanted cell is here, or can be decoded from what is here.
    Finish,
    /// Ask for the cells of these chunks.
    Ask(Vec<usize>),
    /// Cells are under way.
    Wait,
    /// Nothing is under way, and what is left is not enough.
    TooFew {
        /// Cells that are here.
        found: usize,
    },
}

/// Gathers cells of one row until those wanted are here or can be decoded.
#[derive(Debug)]
pub(super) struct RowGather {
    layout: Layout,
    row_length: usize,
    wanted: Vec<usize>,
    cells: Vec<Cell>,
}

impl RowGather {
    /// `wanted` are chunks of which a row of `row_length` has a cell.
    pub(super) fn new(layout: Layout, row_length: usize, wanted: Vec<usize>) -> Self {
        let cell = |chunk| if layout.cell_length(row_length, chunk) == 0 { Cell::Nonexistent } else { Cell::Unasked };
        let cells = (0..layout.chunks()).map(cell).collect();
        Self { layout, row_length, wanted, cells }
    }

    pub(super) fn arrived(&mut self, chunk: usize, payload: Bytes) {
        self.cells[chunk] = Cell::Here(payload);
    }

    /// The cell is damaged, or not to be had from its node.
    pub(super) fn failed(&mut self, chunk: usize) {
        if matches!(self.cells[chunk], Cell::Asked | Cell::Late | Cell::Unasked) {
            self.cells[chunk] = Cell::Failed;
        }
    }

    /// The cell was asked for and is slow: others are asked for in its place.
    pub(super) fn late(&mut self, chunk: usize) {
        if matches!(self.cells[chunk], Cell::Asked) {
            self.cells[chunk] = Cell::Late;
        }
    }

    /// The chunk may be asked for again, at another place or another time.
    pub(super) fn forgive(&mut self, chunk: usize) {
        if matches!(self.cells[chunk], Cell::Failed | Cell::Asked | Cell::Late) {
            self.cells[chunk] = Cell::Unasked;
        }
    }

    /// Decides what to do next, and notes what is asked for.
    pub(super) fn step(&mut self, standing: impl Fn(usize) -> Standing) -> Step {
        let here = self.count(|cell| matches!(cell, Cell::Here(_) | Cell::Nonexistent));
        let missing: Vec<usize> =
            self.wanted.iter().copied().filter(|chunk| !matches!(self.cells[*chunk], Cell::Here(_))).collect();
        if missing.is_empty() || here >= self.layout.data() {
            return Step::Finish;
        }
        let asks = if !self.is_of_copies() && missing.iter().all(|chunk| self.is_promising(*chunk, &standing)) {
            missing.into_iter().filter(|chunk| matches!(self.cells[*chunk], Cell::Unasked)).collect()
        } else {
            let under_way = self.count(|cell| matches!(cell, Cell::Asked));
            self.best_unasked(self.layout.data().saturating_sub(here + under_way), standing)
        };
        if !asks.is_empty() {
            for chunk in &asks {
                self.cells[*chunk] = Cell::Asked;
            }
            return Step::Ask(asks);
        }
        if self.count(|cell| matches!(cell, Cell::Asked | Cell::Late)) > 0 {
            Step::Wait
        } else {
            Step::TooFew { found: here }
        }
    }

    /// The wanted cells that are here already, and those that are not, decoded. To be called at [`Step::Finish`].
    pub(super) fn finish(&self, coder: &Coder) -> Vec<(usize, Bytes)> {
        let (mut found, mut lost) = (Vec::new(), Vec::new());
        for chunk in &self.wanted {
            match &self.cells[*chunk] {
                Cell::Here(payload) => found.push((*chunk, payload.clone())),
                _ => lost.push(*chunk),
            }
        }
        if lost.is_empty() {
            return found;
        }
        let have: Vec<(usize, &[u8])> = self.cells.iter().enumerate().filter_map(here).collect();
        let decoded = coder.reconstruct(self.row_length, &have, &lost).expect("`step` counted N cells or more");
        found.extend(lost.into_iter().zip(decoded.into_iter().map(Bytes::from)));
        found
    }

    /// Whether every cell tells the whole row, so that the nearest is as good as the one wanted.
    fn is_of_copies(&self) -> bool {
        self.count(|cell| matches!(cell, Cell::Nonexistent)) + 1 >= self.layout.data()
    }

    fn is_promising(&self, chunk: usize, standing: impl Fn(usize) -> Standing) -> bool {
        match self.cells[chunk] {
            Cell::Asked => true,
            Cell::Unasked => matches!(standing(chunk), Standing::Good { .. }),
            _ => false,
        }
    }

    /// The best chunks to ask for: data before code within the same distance, doubtful ones last.
    fn best_unasked(&self, count: usize, standing: impl Fn(usize) -> Standing) -> Vec<usize> {
        let unasked = (0..self.cells.len()).filter(|chunk| matches!(self.cells[*chunk], Cell::Unasked));
        let mut ranked: Vec<(Standing, usize)> =
            unasked.map(|chunk| (standing(chunk), chunk)).filter(|(standing, _)| *standing != Standing::Gone).collect();
        ranked.sort_unstable();
        ranked.into_iter().take(count).map(|(_, chunk)| chunk).collect()
    }

    fn count(&self, which: impl Fn(&Cell) -> bool) -> usize {
        self.cells.iter().filter(|cell| which(cell)).count()
    }
}

fn here((chunk, cell): (usize, &Cell)) -> Option<(usize, &[u8])> {
    match cell {
        Cell::Here(payload) => Some((chunk, payload)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use cairn_codec::Layout;

    use super::{RowGather, Standing, Step};

    const GOOD: Standing = Standing::Good { distance: 0 };

    fn full_row(wanted: &[usize]) -> RowGather {
        RowGather::new(Layout::DEFAULT, Layout::DEFAULT.row_size_bytes(), wanted.to_vec())
    }

    fn arrive(row: &mut RowGather, chunk: usize) {
        row.arrived(chunk, Bytes::from_static(b"cell"));
    }

    #[test]
    fn data_cells_alone_are_asked_for_while_all_is_well() {
        let mut row = full_row(&[1, 2]);
        assert_eq!(row.step(|_| GOOD), Step::Ask(vec![1, 2]));
        assert_eq!(row.step(|_| GOOD), Step::Wait);
        arrive(&mut row, 1);
        arrive(&mut row, 2);
        assert_eq!(row.step(|_| GOOD), Step::Finish);
    }

    #[test]
    fn of_copies_the_nearest_is_read() {
        let far_but_two = |chunk| Standing::Good { distance: usize::from(chunk != 2) };
        let copies = Layout::new(1, 2, 4096, 1 << 20).unwrap();
        let mut row = RowGather::new(copies, 4096, vec![0]);
        assert_eq!(row.step(far_but_two), Step::Ask(vec![2]));
        assert_eq!(row.step(far_but_two), Step::Wait);
        row.late(2);
        assert_eq!(row.step(far_but_two), Step::Ask(vec![0]));
        arrive(&mut row, 2);
        assert_eq!(row.step(far_but_two), Step::Finish);
        assert_eq!(RowGather::new(copies, 4096, vec![0]).step(|_| GOOD), Step::Ask(vec![0]));
        let far_but_five = |chunk| Standing::Good { distance: usize::from(chunk != 5) };
        assert_eq!(RowGather::new(Layout::DEFAULT, 10, vec![0]).step(far_but_five), Step::Ask(vec![5]));
        assert_eq!(full_row(&[0]).step(far_but_five), Step::Ask(vec![0]));
    }

    #[test]
    fn a_failed_cell_is_replaced_by_the_nearest_others() {
        let mut row = full_row(&[0]);
        let far_two = |chunk| if chunk == 2 { Standing::Good { distance: 1 } } else { GOOD };
        assert_eq!(row.step(far_two), Step::Ask(vec![0]));
        row.failed(0);
        assert_eq!(row.step(far_two), Step::Ask(vec![1, 3, 4, 5]));
        row.failed(5);
        assert_eq!(row.step(far_two), Step::Ask(vec![2]));
        for chunk in [1, 2, 3, 4] {
            arrive(&mut row, chunk);
        }
        assert_eq!(row.step(far_two), Step::Finish);
    }

    #[test]
    fn a_doubtful_chunk_is_decoded_around_and_asked_for_only_when_needed() {
        let mut row = full_row(&[0]);
        let doubtful = |chunk| if chunk == 0 { Standing::Doubtful } else { GOOD };
        assert_eq!(row.step(doubtful), Step::Ask(vec![1, 2, 3, 4]));
        row.failed(1);
        row.failed(2);
        assert_eq!(row.step(doubtful), Step::Ask(vec![5, 0]));
    }

    #[test]
    fn a_late_cell_is_hedged_and_still_welcome() {
        let mut row = full_row(&[0]);
        row.step(|_| GOOD);
        row.late(0);
        assert_eq!(row.step(|_| GOOD), Step::Ask(vec![1, 2, 3, 4]));
        arrive(&mut row, 0);
        assert_eq!(row.step(|_| GOOD), Step::Finish);
    }

    #[test]
    fn a_short_row_is_decoded_from_any_copy() {
        let mut row = RowGather::new(Layout::DEFAULT, 10, vec![0]);
        let gone = |chunk| if chunk < 5 { Standing::Gone } else { GOOD };
        assert_eq!(row.step(gone), Step::Ask(vec![5]));
        arrive(&mut row, 5);
        assert_eq!(row.step(gone), Step::Finish);
    }

    #[test]
    fn too_few_cells_are_told_once_nothing_is_under_way() {
        let mut row = full_row(&[0]);
        let gone = |chunk| if chunk < 2 { Standing::Gone } else { GOOD };
        assert_eq!(row.step(gone), Step::Ask(vec![2, 3, 4, 5]));
        row.failed(3);
        assert_eq!(row.step(gone), Step::Wait);
        for chunk in [2, 4, 5] {
            arrive(&mut row, chunk);
        }
        assert_eq!(row.step(gone), Step::TooFew { found: 3 });
        row.forgive(3);
        assert_eq!(row.step(gone), Step::Ask(vec![3]));
    }
}
