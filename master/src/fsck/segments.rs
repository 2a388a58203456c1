use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use cairn_proto::ids::{NodeId, SegmentId};
use cairn_proto::records::{ChunkPlace, Segment};
use cairn_proto::wire::FsckProblemKind;

use super::comparison::{Expectations, Suspicion, confirm};
use super::inspection::{Stop, apart};
use super::inventories::{Inventories, Inventory};
use super::paged_list::{OfSegment, PagedList, bound};
use super::problem::Problem;
use super::reporter::Reporter;
use super::uses::Uses;
use crate::failure::StateError;
use crate::inventory::{ListedChunk, claim_on};
use crate::jobs::Reconstruction;
use crate::keys;
use crate::ledger::Ledger;
use crate::nodes::{Flaw, PlaceStanding};
use crate::state::{State, decode_segment};
use crate::store::View;

/// Segments of one page.
const SEGMENTS_PER_PAGE: usize = 1_024;
/// Segments whose uses are counted together: each batch takes a look at every blob.
const SEGMENTS_PER_BATCH: usize = 1 << 18;
/// Problems that wait for the end of their batch, to be told with a key.
const HELD_LIMIT: usize = 16_384;

/// Compares every segment with what its nodes list, both in id order, and with the blobs that name it.
pub(super) struct SegmentPass<'a> {
    ledger: &'a Ledger,
    reconstruction: &'a Reconstruction,
    view: Arc<dyn View>,
    standing: Box<dyn Fn(ChunkPlace) -> PlaceStanding + Send + Sync + 'a>,
    inventories: Inventories,
    records: PagedList<Segment>,
    next: Bytes,
    uses: Uses,
    held: Vec<Problem>,
    unchecked: HashMap<NodeId, u64>,
}

impl OfSegment for Segment {
    fn segment(&self) -> SegmentId {
        self.id
    }
}

/// What the nodes list at a second look, by node and segment. Nodes that do not answer then are not in it.
type ListedAgain = HashMap<ChunkPlace, HashMap<SegmentId, ListedChunk>>;

impl<'a> SegmentPass<'a> {
    pub(super) fn new(
        ledger: &'a Ledger,
        reconstruction: &'a Reconstruction,
        view: Arc<dyn View>,
        standing: impl Fn(ChunkPlace) -> PlaceStanding + Send + Sync + 'a,
        inventories: Inventories,
    ) -> Self {
        Self {
            ledger,
            reconstruction,
            view,
            standing: Box::new(standing),
            inventories,
            records: PagedList::default(),
            next: Bytes::from_static(keys::SEGMENTS),
            uses: Uses::default(),
            held: Vec::new(),
            unchecked: HashMap::new(),
        }
    }

    /// Goes through all; answers the names of the nodes whose chunks were not looked at.
    pub(super) async fn run(mut self, reporter: &mut Reporter) -> Result<HashMap<NodeId, String>, Stop> {
        loop {
            self.fill(reporter).await?;
            if self.records.is_done() && self.inventories.nodes.iter().all(|node| node.list.is_done()) {
                break;
            }
            self.step(reporter).await?;
            if self.uses.len() >= SEGMENTS_PER_BATCH {
                self.settle(reporter).await?;
            }
        }
        self.settle(reporter).await?;
        let silent: Vec<(NodeId, String)> =
            self.inventories.silent.iter().map(|node| (node.id, node.name.clone())).collect();
        for (id, name) in &silent {
            let count = self.unchecked.get(id).copied().unwrap_or_default();
            let why = format!("the node does not answer: {count} chunks were not looked at");
            let problem = Problem { node: Some(name.clone()), ..Problem::new(FsckProblemKind::UnreachableNode, why) };
            reporter.tell([problem]).await?;
        }
        Ok(silent.into_iter().collect())
    }

    /// Has something in memory of each list that is not at its end.
    async fn fill(&mut self, reporter: &mut Reporter) -> Result<(), Stop> {
        while self.records.needs_page() {
            let (view, start) = (Arc::clone(&self.view), self.next.clone());
            let (segments, damaged, next) = apart(move || page(&State(view.as_ref()), &start)).await??;
            reporter.tell(damaged).await?;
            for segment in &segments {
                self.uses.expect(segment);
            }
            reporter.progress.segments += segments.len() as u64;
            self.records.add(segments, next.is_some());
            self.next = next.unwrap_or_default();
        }
        self.inventories.fill().await;
        Ok(())
    }

    /// Compares what is in memory of all lists.
    async fn step(&mut self, reporter: &mut Reporter) -> Result<(), Stop> {
        let nodes = self.inventories.nodes.iter().map(|node| node.list.complete_through());
        let bound = bound(nodes.chain([self.records.complete_through()]));
        let segments = self.records.take_through(bound);
        let places: Vec<ChunkPlace> = self.inventories.nodes.iter().map(Inventory::place).collect();
        let mut expectations =
            Expectations::of(&segments, |place| places.contains(&place), |place| (self.standing)(place));
        let mut suspicions = std::mem::take(&mut expectations.lost);
        for node in &mut self.inventories.nodes {
            let listed = node.list.take_through(bound);
            reporter.progress.chunks += listed.len() as u64;
            suspicions.extend(expectations.compare(node.place(), listed));
        }
        let mut absent: BTreeMap<SegmentId, usize> = BTreeMap::new();
        for (segment, place, standing) in &expectations.unlisted {
            *self.unchecked.entry(place.node).or_default() += 1;
            reporter.progress.unchecked_chunks += 1;
            if !standing.is_readable() {
                *absent.entry(*segment).or_default() += 1;
            }
        }
        let problems = self.look_again(&suspicions, absent).await?;
        self.hold(problems, reporter).await
    }

    /// What is left of suspicions when nodes list again and the records are read after that, and what cannot be read
    /// for all that is absent.
    async fn look_again(
        &self,
        suspicions: &[Suspicion],
        mut absent: BTreeMap<SegmentId, usize>,
    ) -> Result<Vec<Problem>, Stop> {
        if suspicions.is_empty() && absent.is_empty() {
            return Ok(Vec::new());
        }
        let listed = self.list_again(suspicions).await;
        let view = self.ledger.view()?;
        let state = State(view.as_ref());
        let mut problems = Vec::new();
        for suspicion in suspicions {
            let Some(problem) = self.problem(&state, suspicion, &listed)? else { continue };
            if suspicion.chunk.is_some() {
                *absent.entry(suspicion.segment).or_default() += 1;
            }
            problems.push(problem);
        }
        for (id, absent) in absent {
            problems.extend(unreadable(&state, id, absent)?);
        }
        Ok(problems)
    }

    fn problem(
        &self,
        state: &State<'_>,
        suspicion: &Suspicion,
        listed: &ListedAgain,
    ) -> Result<Option<Problem>, StateError> {
        let is_listed =
            suspicion.place.filter(|place| self.inventories.nodes.iter().any(|node| node.place() == *place));
        let again = is_listed.map(|place| listed.get(&place));
        if again == Some(None) {
            // It answered before, and does not any more: nothing can be said.
            return Ok(None);
        }
        let again = again.flatten().and_then(|listed| listed.get(&suspicion.segment));
        let segment = state.segment(suspicion.segment)?.map(|found| found.record);
        let standing = suspicion.place.map(|place| (self.standing)(place));
        let claim = suspicion.place.zip(again).map(|(place, chunk)| claim_on(state, place, chunk)).transpose()?;
        let confirmed = confirm(suspicion, segment.as_ref(), again, standing, claim);
        self.have_made(suspicion, confirmed.as_ref().map(|(kind, _)| *kind), standing);
        Ok(confirmed.map(|(kind, detail)| Problem {
            chunk: suspicion.chunk.or_else(|| again.map(|listed| listed.chunk_index as usize)),
            node: suspicion.place.map(|place| self.name(place)),
            ..Problem::of_segment(kind, suspicion.segment, detail)
        }))
    }

    /// A chunk that its node does not have is made there again.
    fn have_made(&self, suspicion: &Suspicion, kind: Option<FsckProblemKind>, standing: Option<PlaceStanding>) {
        if kind == Some(FsckProblemKind::MissingChunk)
            && standing.is_some_and(PlaceStanding::is_readable)
            && let (Some(place), Some(chunk)) = (suspicion.place, suspicion.chunk)
        {
            self.reconstruction.note_absent(place, Flaw { segment: suspicion.segment, chunk });
        }
    }

    fn name(&self, place: ChunkPlace) -> String {
        let listing = self.inventories.nodes.iter().map(|inventory| &inventory.node);
        let known = listing.chain(&self.inventories.silent).find(|node| node.id == place.node);
        known.map_or_else(|| place.node.to_string(), |node| node.name.clone())
    }

    async fn list_again(&self, suspicions: &[Suspicion]) -> ListedAgain {
        let mut again = ListedAgain::new();
        for inventory in &self.inventories.nodes {
            let place = inventory.place();
            let here = suspicions.iter().filter(|suspicion| suspicion.place == Some(place));
            let ids = || here.clone().map(|suspicion| suspicion.segment);
            let (Some(first), Some(last)) = (ids().min(), ids().max()) else { continue };
            if let Some(listed) = self.inventories.list_again(&inventory.node, first, last).await {
                again.insert(place, listed.into_iter().map(|chunk| (chunk.segment, chunk)).collect());
            }
        }
        again
    }

    /// Keeps problems until keys are known, as many as there is room for.
    async fn hold(&mut self, problems: Vec<Problem>, reporter: &mut Reporter) -> Result<(), Stop> {
        let room = HELD_LIMIT.saturating_sub(self.held.len()).min(problems.len());
        let mut problems = problems.into_iter();
        self.held.extend(problems.by_ref().take(room));
        Ok(reporter.tell(problems).await?)
    }

    /// Counts how often the segments of the batch are used, and tells what was held.
    async fn settle(&mut self, reporter: &mut Reporter) -> Result<(), Stop> {
        let mut uses = std::mem::take(&mut self.uses);
        for problem in &self.held {
            uses.want_key(problem.segment.expect("all that is held is of a segment"));
        }
        let mut next = Some(Bytes::from_static(keys::BLOBS));
        while let Some(start) = next {
            let view = Arc::clone(&self.view);
            let counted = apart(move || {
                let next = uses.count_page(&State(view.as_ref()), &start);
                (uses, next)
            });
            let outcome;
            (uses, outcome) = counted.await?;
            next = outcome?;
            reporter.tell([]).await?;
        }
        let wrong = uses.wrong();
        let held = std::mem::take(&mut self.held).into_iter();
        let named = held.map(|problem| Problem { key: problem.segment.and_then(|id| uses.key(id)), ..problem });
        Ok(reporter.tell(named.chain(wrong)).await?)
    }
}

type SegmentsPage = (Vec<Segment>, Vec<Problem>, Option<Bytes>);

fn page(state: &State<'_>, start: &[u8]) -> Result<SegmentsPage, StateError> {
    let page = state.page(keys::SEGMENTS, start, SEGMENTS_PER_PAGE)?;
    let (mut segments, mut damaged) = (Vec::with_capacity(page.len()), Vec::new());
    for (at, found) in &page {
        match decode_segment(at, &found.record) {
            Ok(segment) => segments.push(segment),
            Err(error) => damaged.push(error.into()),
        }
    }
    let last = page.last().filter(|_| page.len() == SEGMENTS_PER_PAGE);
    Ok((segments, damaged, last.map(|(last, _)| keys::successor(last))))
}

/// Whether too few chunks of a segment are left to read it.
fn unreadable(state: &State<'_>, id: SegmentId, absent: usize) -> Result<Option<Problem>, StateError> {
    let Some(segment) = state.segment(id)?.map(|found| found.record) else { return Ok(None) };
    let there = segment.chunks.len().saturating_sub(absent);
    let needed = segment.layout.data as usize;
    let why = || format!("{there} of its {} chunks are there, and reading takes {needed}", segment.chunks.len());
    Ok((there < needed).then(|| Problem::of_segment(FsckProblemKind::LostSegment, id, why())))
}
