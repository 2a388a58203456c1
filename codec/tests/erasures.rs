//! Every row of a blob is cut, coded, and decoded from what an erasure pattern leaves; each cell must come back.

use cairn_codec::{Coder, Layout, TooFewCells};
use proptest::prelude::{Just, ProptestConfig, Strategy};
use proptest::{prop_oneof, proptest, sample};
use reed_solomon_erasure::galois_8::ReedSolomon;

const CELL_BYTES: usize = 4096;

/// One row of a blob: all cells by chunk index, those that do not exist left empty.
struct Row {
    length: usize,
    cells: Vec<Vec<u8>>,
}

impl Row {
    fn encoded(coder: &Coder, length: usize, seed: u64) -> Self {
        let layout = coder.layout();
        let user_bytes = noise(length, seed);
        let data: Vec<&[u8]> = user_bytes.chunks(layout.cell_size_bytes()).collect();
        let longest = data.first().map_or(0, |cell| cell.len());
        let mut code = vec![vec![0xA5; longest]; layout.code()];
        coder.encode(&data, &mut code.iter_mut().map(Vec::as_mut_slice).collect::<Vec<_>>());
        let mut cells: Vec<Vec<u8>> = data.into_iter().map(<[u8]>::to_vec).collect();
        cells.resize(layout.data(), Vec::new());
        cells.extend(code);
        Self { length, cells }
    }

    fn without(&self, lost: &[usize]) -> Vec<(usize, &[u8])> {
        let kept = |(chunk, cell): &(usize, &[u8])| !lost.contains(chunk) && !cell.is_empty();
        self.cells.iter().map(Vec::as_slice).enumerate().filter(kept).collect()
    }

    fn assert_survives(&self, coder: &Coder, lost: &[usize]) {
        let have = self.without(lost);
        let found = coder.reconstruct(self.length, &have, lost).expect("no more than M cells are lost");
        let expected: Vec<&Vec<u8>> = lost.iter().map(|chunk| &self.cells[*chunk]).collect();
        assert!(found.iter().eq(expected), "{} with {lost:?} lost in a row of {}", coder.layout(), self.length);
    }
}

/// Bytes that differ at every position and seed (a xorshift generator).
fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    std::iter::repeat_with(&mut next).flatten().take(length).collect()
}

/// All sets of at most `most` of `count` chunks.
fn patterns(count: usize, most: usize) -> Vec<Vec<usize>> {
    let mut found = vec![Vec::new()];
    let mut from = 0;
    for _ in 0..most {
        let longest = found.len();
        for index in from..longest {
            let first = found[index].last().map_or(0, |last: &usize| last + 1);
            let longer: Vec<Vec<usize>> =
                (first..count).map(|chunk| [found[index].as_slice(), &[chunk]].concat()).collect();
            found.extend(longer);
        }
        from = longest;
    }
    found
}

fn coder(data: u32, code: u32, cell_bytes: usize) -> Coder {
    let cell_bytes = u32::try_from(cell_bytes).expect("cells of tests are small");
    let row_bytes = u64::from(data) * u64::from(cell_bytes);
    // Two rows and a rest that is no whole row.
    Coder::new(Layout::new(data, code, cell_bytes, 2 * row_bytes + 64).expect("a valid layout"))
}

/// 0, and one byte less, the same and one more at 1 byte, each cell, the row, the stripe and two stripes.
fn boundary_lengths(layout: &Layout) -> Vec<u64> {
    let cell = layout.cell_size_bytes() as u64;
    let row = layout.row_size_bytes() as u64;
    let stripe = u64::from(layout.rows_per_stripe()) * row;
    let cells = (1..=layout.data() as u64).map(|count| count * cell);
    let around = |at: u64| [at - 1, at, at + 1];
    let mut lengths: Vec<u64> =
        [1, row, stripe, stripe + row, 2 * stripe].into_iter().chain(cells).flat_map(around).collect();
    lengths.sort_unstable();
    lengths.dedup();
    lengths
}

/// The lengths of row that occur in blobs of all boundary lengths.
fn boundary_rows(layout: &Layout) -> Vec<usize> {
    let rows = |length: u64| (0..layout.row_count(length)).map(move |row| layout.row_length(length, row));
    let mut lengths: Vec<usize> = boundary_lengths(layout).into_iter().flat_map(rows).collect();
    lengths.push(0);
    lengths.sort_unstable();
    lengths.dedup();
    lengths
}

fn assert_every_pattern_survives(data: u32, code: u32) {
    let coder = coder(data, code, CELL_BYTES);
    let patterns = patterns(coder.layout().chunks(), coder.layout().code());
    for (seed, length) in (1..).zip(boundary_rows(coder.layout())) {
        let row = Row::encoded(&coder, length, seed);
        for lost in &patterns {
            row.assert_survives(&coder, lost);
        }
    }
}

#[test]
fn every_loss_of_two_cells_of_4_plus_2_is_decoded() {
    assert_every_pattern_survives(4, 2);
}

#[test]
fn every_loss_of_three_cells_of_6_plus_3_is_decoded() {
    assert_every_pattern_survives(6, 3);
}

#[test]
fn every_loss_that_other_layouts_allow_is_decoded() {
    for (data, code) in [(1, 2), (2, 1), (10, 4), (4, 0), (1, 0), (3, 5)] {
        assert_every_pattern_survives(data, code);
    }
}

#[test]
fn cells_of_several_coding_slices_are_decoded() {
    const SLICE_BYTES: usize = 32 << 10;
    let patterns = patterns(6, 2);
    for cell_bytes in [SLICE_BYTES - 64, SLICE_BYTES, SLICE_BYTES + 64, 2 * SLICE_BYTES + 64] {
        let coder = coder(4, 2, cell_bytes);
        let ends =
            [SLICE_BYTES, cell_bytes, cell_bytes + SLICE_BYTES, 3 * cell_bytes + SLICE_BYTES, 4 * cell_bytes - 1];
        for (seed, end) in (1..).zip(ends) {
            for length in [end - 1, end, end + 1].map(|length| length.min(coder.layout().row_size_bytes())) {
                let row = Row::encoded(&coder, length, seed);
                for lost in &patterns {
                    row.assert_survives(&coder, lost);
                }
            }
        }
    }
}

#[test]
fn code_cells_are_those_of_the_row_filled_up_with_zeros() {
    for (data, code) in [(4, 2), (6, 3), (1, 2), (10, 4)] {
        let coder = coder(data, code, CELL_BYTES);
        let plain = ReedSolomon::new(coder.layout().data(), coder.layout().code()).expect("a code");
        for (seed, length) in (1..).zip(boundary_rows(coder.layout()).into_iter().filter(|length| *length > 0)) {
            let mut row = Row::encoded(&coder, length, seed);
            let longest = row.cells[0].len();
            let code_cells = row.cells.split_off(coder.layout().data());
            row.cells.iter_mut().for_each(|cell| cell.resize(longest, 0));
            let mut expected = vec![vec![0; longest]; coder.layout().code()];
            plain.encode_sep(&row.cells, &mut expected).expect("equal lengths");
            assert!(code_cells == expected, "{data}+{code}, a row of {length}");
        }
    }
}

/// The matrix decides what old stores mean: it must never change.
#[test]
fn the_code_of_4_plus_2_is_the_systematic_vandermonde_one() {
    let coder = coder(4, 2, CELL_BYTES);
    let data: [[u8; 4]; 4] = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]];
    let mut code = [[0; 4]; 2];
    let [first, second] = &mut code;
    coder.encode(&data.each_ref().map(<[u8; 4]>::as_slice), &mut [first, second]);
    assert_eq!(code, [[0x1B, 0x1C, 0x12, 0x14], [0x1C, 0x1B, 0x14, 0x12]]);
}

#[test]
fn one_data_chunk_is_replication() {
    let coder = coder(1, 2, CELL_BYTES);
    let row = Row::encoded(&coder, 1000, 1);
    assert_eq!(row.cells[1], row.cells[0]);
    assert_eq!(row.cells[2], row.cells[0]);
}

#[test]
fn a_blob_of_one_cell_is_decoded_from_one_code_cell() {
    let coder = coder(4, 2, CELL_BYTES);
    let row = Row::encoded(&coder, 77, 1);
    for chunk in [4, 5] {
        let found = coder.reconstruct(77, &[(chunk, &row.cells[chunk])], &[0]).expect("three cells are known zeros");
        assert_eq!(found, [row.cells[0].as_slice()]);
    }
}

#[test]
fn wanted_cells_come_in_the_order_asked_for_had_lost_and_absent_ones_alike() {
    let coder = coder(4, 2, CELL_BYTES);
    let row = Row::encoded(&coder, 2 * CELL_BYTES, 1);
    let want = [5, 3, 0, 1, 0];
    let found = coder.reconstruct(row.length, &row.without(&[0, 5]), &want).expect("one data and one code cell");
    assert_eq!(found, want.map(|chunk| row.cells[chunk].clone()));
}

#[test]
fn one_loss_more_than_code_chunks_is_refused() {
    for (data, code) in [(4, 2), (6, 3), (1, 2), (4, 0), (1, 0)] {
        let coder = coder(data, code, CELL_BYTES);
        let row = Row::encoded(&coder, coder.layout().row_size_bytes(), 1);
        let lost: Vec<usize> = (0..=coder.layout().code()).collect();
        let refused = coder.reconstruct(row.length, &row.without(&lost), &lost);
        let needed = coder.layout().data();
        assert_eq!(refused, Err(TooFewCells { needed, usable: needed - 1, unusable: 0 }));
    }
}

#[test]
fn cells_that_do_not_fit_the_row_count_as_lost() {
    let coder = coder(4, 2, CELL_BYTES);
    let row = Row::encoded(&coder, 4 * CELL_BYTES - 1, 1);
    let cell = |chunk: usize| (chunk, row.cells[chunk].as_slice());
    let too_short = (2, &row.cells[2][1..]);
    let too_long = (3, row.cells[4].as_slice());
    let foreign = (6, row.cells[4].as_slice());
    let have = [cell(0), cell(0), cell(1), too_short, too_long, foreign, cell(4)];
    let refused = coder.reconstruct(row.length, &have, &[2]);
    assert_eq!(refused, Err(TooFewCells { needed: 4, usable: 3, unusable: 4 }));
    let have = [too_short, cell(0), cell(1), cell(4), cell(5)];
    let found = coder.reconstruct(row.length, &have, &[2, 3]).expect("four cells fit");
    assert_eq!(found, [row.cells[2].as_slice(), &row.cells[3]]);
}

#[test]
fn an_empty_row_needs_no_cell() {
    let coder = coder(4, 2, CELL_BYTES);
    coder.encode(&[], &mut [&mut [], &mut []]);
    assert_eq!(coder.reconstruct(0, &[], &[0, 5]), Ok(vec![Vec::new(), Vec::new()]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_layout_survives_any_loss_up_to_m(
        (data, code, length, lost) in (1_usize..=12, 0_usize..=6).prop_flat_map(|(data, code)| {
            let chunks: Vec<usize> = (0..data + code).collect();
            (Just(data), Just(code), 0..=data * CELL_BYTES, sample::subsequence(chunks, 0..=code))
        })
    ) {
        let coder = coder(u32::try_from(data)?, u32::try_from(code)?, CELL_BYTES);
        Row::encoded(&coder, length, 1).assert_survives(&coder, &lost);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn sampled_losses_of_large_layouts_are_decoded(
        (data, code, length, lost) in sample::select(vec![(200_usize, 55_usize), (1, 254), (254, 1)]).prop_flat_map(
            |(data, code)| {
                let chunks: Vec<usize> = (0..data + code).collect();
                let length = prop_oneof![Just(data * CELL_BYTES), 1..=data * CELL_BYTES];
                (Just(data), Just(code), length, sample::subsequence(chunks, 0..=code))
            }
        )
    ) {
        let coder = coder(u32::try_from(data)?, u32::try_from(code)?, CELL_BYTES);
        Row::encoded(&coder, length, 1).assert_survives(&coder, &lost);
    }
}
