use cairn_proto::ids::{BlobId, SegmentId};
use cairn_proto::wire::{FsckProblem, FsckProblemKind, FsckProgress, FsckResponse};
use comfy_table::Cell;
use serde::Serialize;

use crate::cli::table::{number, plain_table};

/// Problems that are kept; further ones are counted.
const PROBLEMS_LIMIT: usize = 100_000;
/// Problems that people are shown.
const SHOWN_LIMIT: usize = 1_000;

/// What `fsck` found: `fsck --json` prints it.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    ok: bool,
    problems: Vec<Problem>,
    /// Found beyond those.
    problems_omitted: u64,
    keys: u64,
    blobs: u64,
    segments: u64,
    /// Listed by nodes, and compared.
    chunks: u64,
    /// At nodes that do not answer.
    unchecked_chunks: u64,
    /// Deleted, and not dropped yet.
    deleted_blobs: u64,
    /// Ordered to be deleted, and not known to be.
    garbage_chunks: u64,
    /// As in `heal status`.
    pending_repairs: u64,
    /// By `--deep`.
    read_blobs: u64,
    read_bytes: u64,
}

/// Something that does not agree. What it is not about is null.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Problem {
    pub(super) kind: &'static str,
    pub(super) key: Option<String>,
    pub(super) blob: Option<String>,
    pub(super) segment: Option<String>,
    pub(super) chunk: Option<usize>,
    pub(super) node: Option<String>,
    pub(super) detail: String,
    pub(super) next_step: &'static str,
}

impl Report {
    /// Takes what the master says.
    pub(super) fn take(&mut self, message: FsckResponse) {
        for problem in message.problems {
            self.add(problem.into());
        }
        let progress = message.progress.unwrap_or_default();
        let FsckProgress { keys, blobs, segments, chunks, unchecked_chunks, .. } = progress;
        (self.keys, self.blobs, self.segments) = (keys, blobs, segments);
        (self.chunks, self.unchecked_chunks) = (chunks, unchecked_chunks);
        (self.deleted_blobs, self.garbage_chunks) = (progress.deleted_blobs, progress.garbage_chunks);
        self.pending_repairs = progress.pending_repairs;
        self.settle();
    }

    pub(super) fn add(&mut self, problem: Problem) {
        if self.problems.len() < PROBLEMS_LIMIT {
            self.problems.push(problem);
        } else {
            self.problems_omitted += 1;
        }
        self.settle();
    }

    /// A blob that was read to its end.
    pub(super) fn count_read(&mut self, bytes: u64) {
        self.read_blobs += 1;
        self.read_bytes += bytes;
    }

    pub(super) fn ok(&self) -> bool {
        self.ok
    }

    fn settle(&mut self) {
        self.ok = self.problems.is_empty();
    }

    pub(super) fn text(&self) -> String {
        let mut lines = vec![format!(
            "{} keys, {} blobs, {} segments, {} chunks compared, {} not looked at",
            self.keys, self.blobs, self.segments, self.chunks, self.unchecked_chunks
        )];
        if self.read_blobs > 0 {
            lines.push(format!("{} blobs read, {}", self.read_blobs, bytesize::ByteSize::b(self.read_bytes)));
        }
        lines.push(format!(
            "Waiting   {} deleted blobs to be dropped   {} chunks to be deleted   {} repairs",
            self.deleted_blobs, self.garbage_chunks, self.pending_repairs
        ));
        if self.ok() {
            lines.push("Everything agrees".to_owned());
        } else {
            lines.push(format!("Problems  {}", self.problems.len() as u64 + self.problems_omitted));
            lines.push(String::new());
            lines.push(self.table());
            let hidden = self.problems.len().saturating_sub(SHOWN_LIMIT) as u64 + self.problems_omitted;
            if hidden > 0 {
                lines.push(format!("... and {hidden} more"));
            }
        }
        lines.join("\n")
    }

    fn table(&self) -> String {
        let mut rows = plain_table(&["PROBLEM", "OF", "CHUNK", "NODE", "WHAT", "NEXT"]);
        for problem in self.problems.iter().take(SHOWN_LIMIT) {
            let ids = [&problem.key, &problem.blob, &problem.segment];
            let subject = ids.into_iter().flatten().next().map_or("", String::as_str);
            rows.add_row(vec![
                Cell::new(problem.kind),
                Cell::new(subject),
                number(problem.chunk.map_or_else(String::new, |chunk| chunk.to_string())),
                Cell::new(problem.node.as_deref().unwrap_or_default()),
                Cell::new(&problem.detail),
                Cell::new(problem.next_step),
            ]);
        }
        rows.trim_fmt()
    }
}

impl From<FsckProblem> for Problem {
    fn from(problem: FsckProblem) -> Self {
        let (kind, next_step) = named(problem.kind());
        let text = |text: String| Some(text).filter(|text| !text.is_empty());
        Self {
            kind,
            key: text(problem.key),
            blob: BlobId::from_wire(&problem.blob).ok().map(|id| id.to_string()),
            segment: SegmentId::from_wire(&problem.segment).ok().map(|id| id.to_string()),
            chunk: problem.chunk_index.map(|chunk| chunk as usize),
            node: text(problem.node),
            detail: problem.detail,
            next_step,
        }
    }
}

/// What a kind of problem is called, and what is done about it.
fn named(kind: FsckProblemKind) -> (&'static str, &'static str) {
    const REPORT: &str = "keep all data as it is and report it: no command makes this";
    match kind {
        FsckProblemKind::Unspecified => ("unknown", "use the same version of cairn as the masters"),
        FsckProblemKind::MissingChunk => ("missing", "cairn heal status"),
        FsckProblemKind::DifferentChunk => ("different", "cairn fsck --deep"),
        FsckProblemKind::Orphan => ("orphan", "none: it is deleted by itself; look again"),
        FsckProblemKind::UnreachableNode => ("unreachable", "start the node again"),
        FsckProblemKind::LostSegment => ("lost", "bring the nodes that keep it back"),
        FsckProblemKind::Hole => ("hole", "cairn heal status"),
        FsckProblemKind::WrongUses => ("uses", REPORT),
        FsckProblemKind::KeyWithoutBlob => ("key-without-blob", REPORT),
        FsckProblemKind::BlobWithoutKey => ("blob-without-key", REPORT),
        FsckProblemKind::BlobWithoutSegment => ("blob-without-segment", REPORT),
        FsckProblemKind::WrongExtents => ("extents", REPORT),
        FsckProblemKind::Garbage => ("garbage", "start the node again, or remove it"),
        FsckProblemKind::DamagedRecord => ("damaged-record", REPORT),
    }
}

#[cfg(test)]
mod tests {
    use cairn_proto::ids::SegmentId;
    use cairn_proto::wire::{FsckProblem, FsckProblemKind, FsckProgress, FsckResponse};

    use super::Report;

    fn response() -> FsckResponse {
        let problem = FsckProblem {
            kind: FsckProblemKind::MissingChunk.into(),
            key: "a b".to_owned(),
            segment: SegmentId::from_bytes([1; 16]).to_wire(),
            chunk_index: Some(0),
            node: "node-3".to_owned(),
            detail: "its node does not have it".to_owned(),
            ..FsckProblem::default()
        };
        let progress = FsckProgress { keys: 1, blobs: 1, segments: 1, chunks: 5, ..FsckProgress::default() };
        FsckResponse { problems: vec![problem], progress: Some(progress) }
    }

    #[test]
    fn the_fields_that_programs_read_are_these() {
        let mut report = Report::default();
        report.take(response());
        assert_eq!(
            serde_json::to_string(&report).unwrap(),
            concat!(
                r#"{"ok":false,"problems":[{"kind":"missing","key":"a b","blob":null,"#,
                r#""segment":"01010101-0101-0101-0101-010101010101","chunk":0,"node":"node-3","#,
                r#""detail":"its node does not have it","next_step":"cairn heal status"}],"problems_omitted":0,"#,
                r#""keys":1,"blobs":1,"segments":1,"chunks":5,"unchecked_chunks":0,"deleted_blobs":0,"#,
                r#""garbage_chunks":0,"pending_repairs":0,"read_blobs":0,"read_bytes":0}"#
            )
        );
    }

    #[test]
    fn people_see_what_is_wrong_and_what_to_do() {
        let mut report = Report::default();
        report.take(FsckResponse { problems: Vec::new(), ..response() });
        assert!(report.ok() && report.text().contains("Everything agrees"), "{}", report.text());
        report.take(response());
        let text = report.text();
        assert!(text.contains("Problems  1") && text.contains("a b") && text.contains("node-3"), "{text}");
    }
}
