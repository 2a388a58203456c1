//! What one core codes, decodes, frames and digests, in user bytes: rows of full cells, all in one thread. ISA-L encodes the same
//! rows beside it, where it is installed.

mod isal;

use std::hint::black_box;
use std::io::{self, Write};

use cairn_codec::{CellId, Coder, FRAME_HEADER_BYTES, Layout, row_digest, write_header};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use isal::Isal;

const KIB: u32 = 1 << 10;
const STRIPE_BYTES: u64 = 64 << 20;
/// Rows that are worked on in turn, so that a row is not always found in the nearest cache.
const ROWS: usize = 8;

const SHAPES: [(u32, u32, u32); 5] =
    [(4, 2, 64 * KIB), (4, 2, 128 * KIB), (4, 2, 256 * KIB), (6, 3, 64 * KIB), (10, 4, 64 * KIB)];

/// Frames of the cells of one row: room for a header, then the payload.
struct Row(Vec<Vec<u8>>);

impl Row {
    fn new(layout: &Layout, seed: usize) -> Self {
        let frame = |chunk: usize| {
            let bytes = (0..FRAME_HEADER_BYTES + layout.cell_size_bytes())
                .map(|at| (at * 31 + chunk * 7 + seed).to_le_bytes()[0]);
            bytes.collect()
        };
        Self((0..layout.chunks()).map(frame).collect())
    }

    fn encode(&mut self, coder: &Coder) {
        self.encode_by(coder.layout(), |data, code| coder.encode(data, code));
    }

    fn encode_by(&mut self, layout: &Layout, encode: impl FnOnce(&[&[u8]], &mut [&mut [u8]])) {
        let (data, code) = self.0.split_at_mut(layout.data());
        let data: Vec<&[u8]> = data.iter().map(|frame| &frame[FRAME_HEADER_BYTES..]).collect();
        let mut code: Vec<&mut [u8]> = code.iter_mut().map(|frame| &mut frame[FRAME_HEADER_BYTES..]).collect();
        encode(&data, &mut code);
    }

    fn frame(&mut self) {
        for (chunk, frame) in (0..).zip(&mut self.0) {
            black_box(write_header(frame, &CellId { segment: [1; 16], stripe: 2, row: 3, chunk }));
        }
    }

    fn without_first(&self, lost: usize) -> Vec<(usize, &[u8])> {
        self.0.iter().map(|frame| &frame[FRAME_HEADER_BYTES..]).enumerate().skip(lost).collect()
    }
}

/// Measures `work` on one row after the other.
fn per_row<R>(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, rows: &mut [R], mut work: impl FnMut(&mut R)) {
    let mut turn = 0;
    group.bench_function(name, |bencher| {
        bencher.iter(|| {
            turn = (turn + 1) % rows.len();
            work(&mut rows[turn]);
        });
    });
}

/// ISA-L at the same rows, once it was seen to make the same code cells.
fn beside(group: &mut BenchmarkGroup<'_, WallTime>, coder: &Coder, rows: &mut [Row]) {
    let Some(mut isal) = Isal::load(coder) else { return };
    for row in &mut *rows {
        row.encode(coder);
        let ours = row.0.clone();
        row.0[coder.layout().data()..].iter_mut().for_each(|frame| frame[FRAME_HEADER_BYTES..].fill(0));
        row.encode_by(coder.layout(), |data, code| isal.encode(data, code));
        assert!(row.0 == ours, "ISA-L makes other code cells");
    }
    per_row(group, "encode, ISA-L", rows, |row| row.encode_by(coder.layout(), |data, code| isal.encode(data, code)));
}

fn shape(criterion: &mut Criterion, (data, code, cell_size_bytes): (u32, u32, u32)) {
    let layout = Layout::new(data, code, cell_size_bytes, STRIPE_BYTES).expect("a valid layout");
    let coder = Coder::new(layout);
    let mut rows: Vec<Row> = (0..ROWS).map(|seed| Row::new(&layout, seed)).collect();
    for row in &mut rows {
        row.encode(&coder);
    }
    let mut group = criterion.benchmark_group(format!("{layout} {} KiB", cell_size_bytes / KIB));
    group.throughput(Throughput::Bytes(layout.row_size_bytes() as u64));
    per_row(&mut group, "encode", &mut rows, |row| row.encode(&coder));
    beside(&mut group, &coder, &mut rows);
    for lost in [1, layout.code()] {
        let wanted: Vec<usize> = (0..lost).collect();
        per_row(&mut group, &format!("reconstruct {lost}"), &mut rows, |row| {
            let cells = coder.reconstruct(layout.row_size_bytes(), &row.without_first(lost), &wanted);
            black_box(cells.expect("no more than M cells are lost"));
        });
    }
    per_row(&mut group, "frame", &mut rows, Row::frame);
    per_row(&mut group, "encode and frame", &mut rows, |row| {
        row.encode(&coder);
        row.frame();
    });
    let mut user_rows: Vec<Vec<u8>> = (0_u8..8).map(|seed| vec![seed; layout.row_size_bytes()]).collect();
    per_row(&mut group, "row digest", &mut user_rows, |user_bytes| {
        black_box(row_digest(7, user_bytes));
    });
    group.finish();
}

fn coding(criterion: &mut Criterion) {
    if Isal::load(&Coder::new(Layout::DEFAULT)).is_none() {
        let said =
            writeln!(io::stderr(), "NOTICE: libisal.so.2 is not installed (Debian: libisal2); no figures of ISA-L");
        said.expect("standard error is open");
    }
    for numbers in SHAPES {
        shape(criterion, numbers);
    }
}

criterion_group!(benches, coding);
criterion_main!(benches);
