use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use cairn_codec::{Coder, Layout};
use cairn_proto::ids::SegmentId;
use cairn_proto::{Refusal, wire};
use futures_util::StreamExt;
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::FuturesUnordered;
use tokio::time::Instant;

use super::backoff::Backoff;
use super::blob_view::BlobView;
use super::cell_slot::SlotFiller;
use super::cell_stream::{CellRequest, Event};
use super::chunk_request::{ChunkFailure, ExpectedCell};
use super::connection::Connection;
use super::found_blob::RowPlace;
use super::row_gather::{RowGather, Standing, Step};
use super::{ClientError, FoundBlob, locality};
use crate::cache::Admission;

/// What is to be fetched: for rows of the blob, the cells with a duty to fill their slots.
pub(super) type Wanted = BTreeMap<u64, Vec<SlotFiller>>;

/// A request and what happens to it next.
type Pending = BoxFuture<'static, (CellRequest, Option<Event>)>;

/// Fetches data cells of one blob: from their nodes where these give them, else decoded from others of their rows.
/// All in the one task that runs it, so that a cell which arrives wakes no other.
pub(super) struct CellFetch {
    connection: Arc<Connection>,
    view: Arc<BlobView>,
    found: Arc<FoundBlob>,
    layout: Layout,
    coder: Coder,
    rows: BTreeMap<u64, RowFetch>,
    /// Rows to be looked at.
    due: BTreeSet<u64>,
    /// Rows that cannot go on as things stand.
    stuck: BTreeMap<u64, usize>,
    /// Of a read that somebody waits for; reading ahead does not try twice.
    deadline: Option<Instant>,
    admission: Admission,
    requests: FuturesUnordered<Pending>,
    refreshed: bool,
    failures: BTreeMap<(usize, usize), String>,
}

struct RowFetch {
    place: RowPlace,
    gather: RowGather,
    fillers: Vec<SlotFiller>,
    /// What each cell that came from a node keeps in memory.
    pinned_bytes: BTreeMap<usize, usize>,
}

impl CellFetch {
    /// Prepares to fetch; [`CellFetch::run`] does.
    pub(super) fn new(
        connection: Arc<Connection>,
        view: Arc<BlobView>,
        layout: Layout,
        wanted: Wanted,
        deadline: Option<Instant>,
        admission: Admission,
    ) -> Self {
        let found = view.current();
        let due = wanted.keys().copied().collect();
        let row = |(row, fillers)| (row, RowFetch::new(&found, layout, row, fillers));
        let rows = wanted.into_iter().map(row).collect();
        let coder = connection.coder(layout);
        let (stuck, failures, requests) = (BTreeMap::new(), BTreeMap::new(), FuturesUnordered::new());
        Self {
            connection,
            view,
            found,
            layout,
            coder,
            rows,
            due,
            stuck,
            deadline,
            admission,
            requests,
            refreshed: false,
            failures,
        }
    }

    /// Fetches until every slot is filled or told a failure. Given up in between, it leaves the rest of them empty.
    pub(super) async fn run(mut self) {
        let mut backoff = Backoff::new();
        loop {
            self.step();
            if self.rows.is_empty() {
                return;
            }
            if self.stuck.len() == self.rows.len() {
                let Some(deadline) = self.deadline else { return self.give_up() };
                if !backoff.wait(deadline).await {
                    return self.give_up();
                }
                self.start_over();
                continue;
            }
            // A row that waits has a request under way.
            let Some((request, event)) = self.requests.next().await else { return self.give_up() };
            if let Some(event) = event {
                self.requests.push(pending(request));
                self.handle(event).await;
            }
        }
    }

    /// Looks at every row that is due: finishes it, asks for more cells, or notes that it is stuck.
    fn step(&mut self) {
        let mut asks: BTreeMap<(usize, usize), Vec<u64>> = BTreeMap::new();
        for number in std::mem::take(&mut self.due) {
            let Some(row) = self.rows.get_mut(&number) else { continue };
            let segment = row.place.segment;
            let (found, connection) = (&self.found, &self.connection);
            match row.gather.step(|chunk| standing(connection, found, segment, chunk)) {
                Step::Finish => self.finish(number),
                Step::Ask(chunks) => {
                    for chunk in chunks {
                        asks.entry((segment, chunk)).or_default().push(number);
                    }
                }
                Step::Wait => {}
                Step::TooFew { found } => {
                    self.stuck.insert(number, found);
                }
            }
        }
        for ((segment, chunk), rows) in asks {
            self.ask(segment, chunk, rows);
        }
    }

    fn finish(&mut self, number: u64) {
        let Some(row) = self.rows.remove(&number) else { return };
        self.stuck.remove(&number);
        let cells: BTreeMap<usize, Bytes> = row.gather.finish(&self.coder).into_iter().collect();
        for filler in row.fillers {
            let key = filler.key();
            let chunk = usize::from(key.chunk);
            // A filler without a cell tells the waiting, by being dropped, to fetch again.
            let Some(payload) = cells.get(&chunk) else { continue };
            let pinned_bytes = row.pinned_bytes.get(&chunk).copied().unwrap_or(payload.len());
            self.connection.cache.insert(key, payload, pinned_bytes, self.admission);
            filler.fill(payload.clone());
        }
    }

    /// Asks the keeper of a chunk for its cells of some rows.
    fn ask(&mut self, segment: usize, chunk: usize, rows: Vec<u64>) {
        let record = &self.found.segments()[segment];
        let connections = self.found.keeper(segment, chunk).map(|node| self.connection.nodes.at(&node.address));
        let connections = match connections {
            Some(Ok(connections)) => connections,
            Some(Err(error)) => return self.fail(segment, chunk, &rows, error.to_string()),
            None => return self.fail(segment, chunk, &rows, "is not registered".to_owned()),
        };
        let expected = rows.iter().map(|number| {
            let place = &self.rows[number].place;
            ExpectedCell::new(&self.layout, record.id, place.row, place.length, chunk)
        });
        let request = wire::GetChunkRequest {
            segment: record.id.to_wire(),
            chunk_index: u32::try_from(chunk).expect("a layout has at most 255 chunks"),
            ranges: Vec::new(),
            version: Some(wire::get_chunk_request::Version::Digest(Bytes::copy_from_slice(
                &record.chunks[chunk].digest,
            ))),
            background: false,
        };
        let cell_size_bytes = self.layout.cell_size_bytes();
        let expected = expected.collect();
        let request = CellRequest::new(&connections, request, chunk, rows, expected, cell_size_bytes);
        self.requests.push(pending(request));
    }

    async fn handle(&mut self, event: Event) {
        // Rows that were decoded meanwhile are gone; cells that come late for them are dropped.
        match event {
            Event::Arrived { row, chunk, cell } => {
                if let Some(fetch) = self.rows.get_mut(&row) {
                    fetch.pinned_bytes.insert(chunk, cell.pinned_bytes);
                    fetch.gather.arrived(chunk, cell.payload);
                    self.due.insert(row);
                }
            }
            Event::Damaged { row, chunk, why } => {
                if let Some((segment, cell)) = self.identify(row, chunk) {
                    let node = self.found.keeper_name(segment, chunk);
                    tracing::warn!(node, cell, why, "a cell is damaged; decoding around it");
                    self.fail(segment, chunk, &[row], format!("damaged: {why}"));
                }
            }
            Event::Late { rows, chunk } => self.late(&rows, chunk),
            Event::Broken { rows, chunk, failure } => self.broken(rows, chunk, failure).await,
        }
    }

    fn late(&mut self, rows: &[u64], chunk: usize) {
        let Some(segment) = rows.iter().find_map(|row| Some(self.rows.get(row)?.place.segment)) else { return };
        if let Some(node) = self.found.keeper(segment, chunk) {
            self.connection.nodes.slow.add(node.id, Instant::now());
        }
        for row in rows {
            if let Some(fetch) = self.rows.get_mut(row) {
                fetch.gather.late(chunk);
                self.due.insert(*row);
            }
        }
    }

    async fn broken(&mut self, mut rows: Vec<u64>, chunk: usize, failure: ChunkFailure) {
        rows.retain(|row| self.rows.contains_key(row));
        let Some(first) = rows.first().copied() else { return };
        let segment = self.rows[&first].place.segment;
        let node = self.found.keeper_name(segment, chunk);
        let id = self.found.segments()[segment].id;
        tracing::warn!(node, segment = %id, chunk, %failure, "a node did not give its cells");
        if let ChunkFailure::Refused(Refusal::CellCorrupt { .. }) = &failure {
            // It names the cell that was due; those behind it may be sound.
            let rest = rows.split_off(1);
            for row in rest {
                self.forgive(row, chunk);
            }
        }
        self.fail(segment, chunk, &rows, failure.to_string());
        if failure.is_of_node() {
            if let Some(node) = self.found.keeper(segment, chunk) {
                self.connection.nodes.unreachable.add(node.id, Instant::now());
            }
        } else if failure.is_misplaced() {
            self.misplaced(id, segment, chunk, &rows).await;
        }
    }

    /// The chunk is not where it should be. It may have been re-pointed: the masters are asked once.
    async fn misplaced(&mut self, id: SegmentId, segment: usize, chunk: usize, rows: &[u64]) {
        self.connection.nodes.bad_chunks.add((id, chunk), Instant::now());
        if std::mem::replace(&mut self.refreshed, true) {
            return;
        }
        let now = self.view.refresh(&self.connection, &self.found).await;
        let before = std::mem::replace(&mut self.found, now);
        let place = |found: &FoundBlob| found.segments()[segment].chunks[chunk].clone();
        if place(&before) != place(&self.found) {
            self.connection.nodes.bad_chunks.remove(&(id, chunk));
            for row in rows {
                self.forgive(*row, chunk);
            }
        }
    }

    fn fail(&mut self, segment: usize, chunk: usize, rows: &[u64], why: String) {
        for row in rows {
            if let Some(fetch) = self.rows.get_mut(row) {
                fetch.gather.failed(chunk);
                self.due.insert(*row);
            }
        }
        self.failures.insert((segment, chunk), why);
    }

    fn forgive(&mut self, row: u64, chunk: usize) {
        if let Some(fetch) = self.rows.get_mut(&row) {
            fetch.gather.forgive(chunk);
            self.due.insert(row);
        }
    }

    /// Every chunk of every row that is left gets another chance, wherever it is by now.
    fn start_over(&mut self) {
        self.refreshed = false;
        self.found = self.view.current();
        self.failures.clear();
        self.stuck.clear();
        for (number, row) in &mut self.rows {
            (0..self.layout.chunks()).for_each(|chunk| row.gather.forgive(chunk));
            self.due.insert(*number);
        }
    }

    fn give_up(mut self) {
        for (number, row) in std::mem::take(&mut self.rows) {
            let found = self.stuck.get(&number).copied().unwrap_or(0);
            let error = self.too_few(&row.place, found);
            row.fillers.into_iter().for_each(|filler| filler.fail(error.clone()));
        }
    }

    fn too_few(&self, place: &RowPlace, found: usize) -> ClientError {
        let describe = |chunk: usize| {
            let name = self.found.keeper_name(place.segment, chunk);
            let gone = self.found.keeper(place.segment, chunk).is_none().then(|| "not placed".to_owned());
            let why = self.failures.get(&(place.segment, chunk)).cloned().or(gone)?;
            Some(format!("chunk {chunk} on {name} ({why})"))
        };
        let exists = |chunk: &usize| self.layout.cell_length(place.length, *chunk) > 0;
        let failures: Vec<String> = (0..self.layout.chunks()).filter(exists).filter_map(describe).collect();
        ClientError::TooFewChunks {
            segment: self.found.segments()[place.segment].id,
            row: place.row,
            found,
            needed: self.layout.data(),
            failures: failures.join(", "),
        }
    }

    fn identify(&self, row: u64, chunk: usize) -> Option<(usize, String)> {
        let place = &self.rows.get(&row)?.place;
        let segment = &self.found.segments()[place.segment];
        let cell = ExpectedCell::new(&self.layout, segment.id, place.row, place.length, chunk);
        Some((place.segment, cell.id().to_string()))
    }
}

impl RowFetch {
    fn new(found: &FoundBlob, layout: Layout, row: u64, fillers: Vec<SlotFiller>) -> Self {
        let place = found.place(&layout, row);
        let wanted = fillers.iter().map(|filler| usize::from(filler.key().chunk)).collect();
        let gather = RowGather::new(layout, place.length, wanted);
        Self { place, gather, fillers, pinned_bytes: BTreeMap::new() }
    }
}

fn pending(mut request: CellRequest) -> Pending {
    async move {
        let event = request.next().await;
        (request, event)
    }
    .boxed()
}

fn standing(connection: &Connection, found: &FoundBlob, segment: usize, chunk: usize) -> Standing {
    let Some(node) = found.keeper(segment, chunk) else { return Standing::Gone };
    let (nodes, now) = (&connection.nodes, Instant::now());
    let id = found.segments()[segment].id;
    if nodes.unreachable.contains(&node.id, now)
        || nodes.slow.contains(&node.id, now)
        || nodes.bad_chunks.contains(&(id, chunk), now)
    {
        return Standing::Doubtful;
    }
    Standing::Good { distance: locality::distance(&connection.options.locality, &node.locality) }
}
