//! The closed formulas of the geometry against a model that deals the bytes of a blob out one by one.

use cairn_codec::{ChunkSize, InvalidLayout, Layout, RowPosition};
use proptest::prelude::{Just, ProptestConfig, Strategy, any};
use proptest::{prop_assert, prop_assert_eq, prop_oneof, proptest};

/// Where one user byte lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    position: RowPosition,
    row: u64,
    chunk: usize,
    offset: usize,
}

/// Deals `length` bytes out one after the other.
fn dealt(layout: &Layout, length: usize) -> Vec<Place> {
    let mut place = Place { position: RowPosition { stripe: 0, row: 0 }, row: 0, chunk: 0, offset: 0 };
    let mut stripe_bytes_left = layout.stripe_size_bytes();
    let mut places = Vec::with_capacity(length);
    for _ in 0..length {
        places.push(place);
        stripe_bytes_left -= 1;
        place.offset += 1;
        if place.offset == layout.cell_size_bytes() {
            place.offset = 0;
            place.chunk += 1;
        }
        if place.chunk == layout.data() {
            place.chunk = 0;
            place.row += 1;
            place.position.row += 1;
            if stripe_bytes_left < layout.row_size_bytes() as u64 {
                stripe_bytes_left = layout.stripe_size_bytes();
                place.position = RowPosition { stripe: place.position.stripe + 1, row: 0 };
            }
        }
    }
    places
}

fn count(places: &[Place], wanted: impl Fn(&Place) -> bool) -> usize {
    places.iter().filter(|place| wanted(place)).count()
}

/// Bytes of each chunk in one row of the model; a code chunk has as many as the fullest data chunk.
fn dealt_cells(layout: &Layout, places: &[Place], row: u64) -> Vec<usize> {
    let data = (0..layout.data()).map(|chunk| count(places, |place| place.row == row && place.chunk == chunk));
    let mut cells: Vec<usize> = data.collect();
    let longest = cells.iter().copied().max().unwrap_or(0);
    cells.resize(layout.chunks(), longest);
    cells
}

fn layouts() -> impl Strategy<Value = Layout> {
    (1_u32..=7, 0_u32..=3, 64_u32..=66, 1_u64..=3).prop_flat_map(|(data, code, cell_in_64, rows)| {
        let row_bytes = u64::from(data) * u64::from(cell_in_64) * 64;
        let odd_rest = prop_oneof![Just(0), 1..row_bytes];
        odd_rest.prop_map(move |rest| {
            Layout::new(data, code, cell_in_64 * 64, rows * row_bytes + rest).expect("a valid layout")
        })
    })
}

/// Lengths up to two stripes and a bit: half of them at a boundary, one byte before or one behind it.
fn blobs() -> impl Strategy<Value = (Layout, usize)> {
    layouts().prop_flat_map(|layout| {
        let row = layout.row_size_bytes();
        let stripe = row * layout.rows_per_stripe() as usize;
        let unit = prop_oneof![Just(layout.cell_size_bytes()), Just(row), Just(stripe)];
        let boundary =
            (unit, 0_usize..=2, 0_usize..=2).prop_map(|(unit, times, shift)| (unit * times + shift).saturating_sub(1));
        (Just(layout), prop_oneof![boundary, 0..=2 * stripe + row])
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn rows_and_cells_are_those_of_the_model((layout, length) in blobs()) {
        let places = dealt(&layout, length);
        let rows = places.last().map_or(0, |place| place.row + 1);
        prop_assert_eq!(layout.row_count(length as u64), rows);
        let mut chunks = vec![ChunkSize::default(); layout.chunks()];
        for row in 0..=rows {
            let row_length = layout.row_length(length as u64, row);
            prop_assert_eq!(row_length, count(&places, |place| place.row == row));
            let cells = dealt_cells(&layout, &places, row);
            for (chunk, cell) in cells.iter().enumerate() {
                prop_assert_eq!(layout.cell_length(row_length, chunk), *cell);
                chunks[chunk].cells += u64::from(*cell > 0);
                chunks[chunk].length_bytes += *cell as u64;
            }
            prop_assert_eq!(layout.data_cells(row_length), cells[..layout.data()].iter().filter(|cell| **cell > 0).count());
            prop_assert_eq!(layout.cell_length(row_length, layout.chunks()), 0);
        }
        for (chunk, size) in chunks.iter().enumerate() {
            prop_assert_eq!(layout.chunk_size(length as u64, chunk), *size);
        }
        prop_assert_eq!(layout.chunk_size(length as u64, layout.chunks()), ChunkSize::default());
    }

    #[test]
    fn positions_are_those_of_the_model((layout, length) in blobs()) {
        for place in dealt(&layout, length).iter().step_by(layout.row_size_bytes()) {
            prop_assert_eq!(layout.position(place.row), place.position);
            prop_assert_eq!(layout.row_at(place.position), Some(place.row));
        }
        prop_assert_eq!(layout.row_at(RowPosition { stripe: 0, row: layout.rows_per_stripe() }), None);
    }

    #[test]
    fn pieces_are_the_bytes_of_the_model_in_order(
        (layout, length, start, end) in blobs().prop_flat_map(|(layout, length)| {
            (Just(layout), Just(length), 0..=length + 2, 0..=length + 2)
        })
    ) {
        let places = dealt(&layout, length);
        let mut expected = places.iter().take(end).skip(start);
        for piece in layout.pieces(length as u64, start as u64..end as u64) {
            prop_assert!(!piece.within.is_empty());
            for offset in piece.within {
                let place = expected.next().map(|place| (place.row, place.chunk, place.offset));
                prop_assert_eq!(place, Some((piece.row, piece.chunk, offset)));
            }
        }
        prop_assert_eq!(expected.next(), None);
    }

    #[test]
    fn pieces_never_cut_a_cell_that_is_wanted_whole((layout, length) in blobs()) {
        let pieces: Vec<_> = layout.pieces(length as u64, 0..u64::MAX).collect();
        for piece in &pieces {
            let row_length = layout.row_length(length as u64, piece.row);
            prop_assert_eq!(piece.within.clone(), 0..layout.cell_length(row_length, piece.chunk));
        }
        let cells: u64 = (0..layout.data()).map(|chunk| layout.chunk_size(length as u64, chunk).cells).sum();
        prop_assert_eq!(pieces.len() as u64, cells);
    }

    #[test]
    fn the_largest_lengths_overflow_nothing(layout in any_layout(), below in any::<u64>(), length in any::<u64>()) {
        let largest = layout.largest_length_bytes();
        prop_assert!(largest <= u64::MAX / 2);
        for length in [largest, largest - below % largest, length] {
            let row_size = layout.row_size_bytes() as u64;
            let rows = layout.row_count(length);
            let last_row_length = rows.checked_sub(1).map_or(0, |row| layout.row_length(length, row)) as u64;
            prop_assert_eq!(rows.saturating_sub(1) * row_size + last_row_length, length);
            prop_assert_eq!(layout.row_length(length, rows), 0);
            prop_assert_eq!(layout.row_length(length, u64::MAX), 0);
            let held: u64 = (0..layout.data()).map(|chunk| layout.chunk_size(length, chunk).length_bytes).sum();
            prop_assert_eq!(held, length);
            let last = layout.pieces(length, length.saturating_sub(1)..u64::MAX).last();
            prop_assert_eq!(last.map(|piece| piece.row), rows.checked_sub(1));
            if length <= largest && rows > 0 {
                prop_assert_eq!(layout.row_at(layout.position(rows - 1)), Some(rows - 1));
            }
        }
    }
}

/// Layouts over the whole range of what is valid.
fn any_layout() -> impl Strategy<Value = Layout> {
    (1_u32..=255, 0_u32..=254, 64_u32..=1 << 16, any::<u64>(), 0_u32..64).prop_map(
        |(data, code, cell_in_64, stripe, shift)| {
            let cell_bytes = cell_in_64 * 64;
            let row_bytes = u64::from(data) * u64::from(cell_bytes);
            let stripe = (stripe >> shift).clamp(row_bytes, row_bytes.saturating_mul(u64::from(u32::MAX)));
            Layout::new(data, code.min(255 - data), cell_bytes, stripe).expect("a valid layout")
        },
    )
}

#[test]
fn the_default_layout_is_a_valid_one() {
    let layout = Layout::DEFAULT;
    let cell_bytes = u32::try_from(layout.cell_size_bytes()).unwrap();
    assert_eq!(Layout::new(4, 2, cell_bytes, layout.stripe_size_bytes()), Ok(layout));
    assert_eq!(layout.stripe_size_bytes(), u64::from(layout.rows_per_stripe()) * layout.row_size_bytes() as u64);
    assert_eq!(layout.largest_length_bytes(), 1 << 58);
}

#[test]
fn a_row_whose_start_is_past_64_bits_is_empty() {
    let layout = Layout::DEFAULT;
    let rows_in_64_bits = u64::MAX / layout.row_size_bytes() as u64 + 1;
    assert_eq!(layout.row_length(u64::MAX, rows_in_64_bits - 1), layout.row_size_bytes() - 1);
    assert_eq!(layout.row_length(u64::MAX, rows_in_64_bits), 0);
}

#[test]
fn numbers_that_are_no_layout_are_refused() {
    use InvalidLayout::{CellSize, NoDataChunk, StripeTooLarge, StripeTooSmall, TooManyChunks};
    const KIB: u32 = 1 << 10;
    let small = |stripe_size_bytes| StripeTooSmall { stripe_size_bytes, row_size_bytes: 4 << 16 };
    let large = |stripe_size_bytes| StripeTooLarge { stripe_size_bytes, row_size_bytes: 4 << 10 };
    let refused = [
        ((0, 2, 64 * KIB, 1 << 26), NoDataChunk),
        ((254, 2, 64 * KIB, 1 << 26), TooManyChunks { data: 254, code: 2 }),
        ((256, 0, 64 * KIB, 1 << 26), TooManyChunks { data: 256, code: 0 }),
        ((1, u32::MAX, 64 * KIB, 1 << 26), TooManyChunks { data: 1, code: u32::MAX }),
        ((4, 2, 0, 1 << 26), CellSize { cell_size_bytes: 0 }),
        ((4, 2, 4 * KIB - 64, 1 << 26), CellSize { cell_size_bytes: 4 * KIB - 64 }),
        ((4, 2, 4 * KIB + 1, 1 << 26), CellSize { cell_size_bytes: 4 * KIB + 1 }),
        ((4, 2, 4096 * KIB + 64, 1 << 26), CellSize { cell_size_bytes: 4096 * KIB + 64 }),
        ((4, 2, 64 * KIB, 0), small(0)),
        ((4, 2, 64 * KIB, (4 << 16) - 1), small((4 << 16) - 1)),
        ((1, 0, 4 * KIB, (4 << 10) << 32), large((4 << 10) << 32)),
        ((1, 0, 4 * KIB, u64::MAX), large(u64::MAX)),
    ];
    for ((data, code, cell, stripe), reason) in refused {
        assert_eq!(Layout::new(data, code, cell, stripe), Err(reason));
    }
    for (data, code, cell, stripe) in
        [(1, 0, 4 * KIB, 4 << 10), (255, 0, 64 * KIB, 1 << 26), (1, 254, 4096 * KIB, 4 << 20)]
    {
        assert!(Layout::new(data, code, cell, stripe).is_ok(), "{data}+{code}");
    }
}

#[test]
fn a_layout_is_read_from_the_text_it_is_written_as() {
    for text in ["4+2", "1+0", "200+55"] {
        assert_eq!(text.parse::<Layout>().map(|layout| layout.to_string()), Ok(text.to_owned()));
    }
    let layout: Layout = "6+3".parse().unwrap();
    assert_eq!((layout.data(), layout.code()), (6, 3));
    assert_eq!(layout.with_cell_size(1 << 17).map(|layout| layout.cell_size_bytes()), Ok(1 << 17));
    assert_eq!(layout.with_stripe_size(1 << 25).map(|layout| layout.stripe_size_bytes()), Ok(1 << 25));
}

#[test]
fn other_texts_are_no_layout() {
    for text in
        ["", "4", "+", "4+", "+2", "4+2+1", " 4+2", "4 + 2", "-4+2", "4+-2", "++2", "4++2", "4294967296+1", "a+b"]
    {
        assert_eq!(text.parse::<Layout>(), Err(InvalidLayout::Text { text: text.to_owned() }));
    }
    assert_eq!("0+2".parse::<Layout>(), Err(InvalidLayout::NoDataChunk));
}
