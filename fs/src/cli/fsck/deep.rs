//! Reads every blob to its end, as `cairn get` does, and every chunk of it.

use std::sync::Arc;

use cairn_proto::records::{Key, Segment};

use super::report::{Problem, Report};
use crate::cli::Failure;
use crate::cli::progress::Progress;
use crate::client::{ChunkFault, Client, ClientError, FoundBlob};

/// Keys that are listed at once.
const KEYS_PER_PAGE: u32 = 1_000;

/// Reads what every key points at; what cannot be read, or is not what is on record, is told by key.
pub(super) async fn read_everything(client: &Client, report: &mut Report) -> Result<(), Failure> {
    let mut progress = Progress::new("read", None);
    let mut after: Option<Key> = None;
    loop {
        let page = client.list("", after.as_ref(), KEYS_PER_PAGE).await?;
        for (key, _) in &page.keys {
            for problem in read(client, key, report, &mut progress).await? {
                report.add(problem);
            }
        }
        match page.continue_after {
            Some(next) => after = Some(next),
            None => return Ok(()),
        }
    }
}

/// Reads one blob. What was deleted or replaced meanwhile is no problem.
async fn read(
    client: &Client,
    key: &Key,
    report: &mut Report,
    progress: &mut Progress,
) -> Result<Vec<Problem>, Failure> {
    let Some(found) = client.look_up(key).await?.map(Arc::new) else { return Ok(Vec::new()) };
    let mut problems = Vec::new();
    match read_rows(client, &found, progress).await {
        Ok(()) => report.count_read(found.blob().size_bytes),
        Err(error @ ClientError::Corrupt { .. }) => problems.push(of_blob("corrupt", key, &found, &error)),
        Err(error @ ClientError::TooFewChunks { .. }) => problems.push(of_blob("unreadable", key, &found, &error)),
        Err(error) => return Err(error.into()),
    }
    for segment in found.segments() {
        for chunk in (0..segment.chunks.len()).filter(|chunk| segment.chunks[*chunk].place.is_some()) {
            match client.check_chunk(&found, segment, chunk).await? {
                Ok(_) => {}
                Err(fault) => problems.push(of_chunk(key, &found, segment, chunk, fault)),
            }
        }
    }
    if problems.is_empty() || is_still_there(client, key, &found).await? { Ok(problems) } else { Ok(Vec::new()) }
}

async fn read_rows(client: &Client, found: &Arc<FoundBlob>, progress: &mut Progress) -> Result<(), ClientError> {
    let reader = client.reader(Arc::clone(found));
    let mut rows = reader.verified_rows();
    while let Some(row) = rows.next().await? {
        progress.advance(row.len());
    }
    Ok(())
}

/// Whether the key points at the same blob, with its chunks where they were.
async fn is_still_there(client: &Client, key: &Key, found: &FoundBlob) -> Result<bool, ClientError> {
    let now = client.look_up(key).await?;
    Ok(now.is_some_and(|now| now.blob().id == found.blob().id && now.segments() == found.segments()))
}

fn of_blob(kind: &'static str, key: &Key, found: &FoundBlob, error: &ClientError) -> Problem {
    Problem {
        kind,
        key: Some(key.to_string()),
        blob: Some(found.blob().id.to_string()),
        segment: None,
        chunk: None,
        node: None,
        detail: error.to_string(),
        next_step: if kind == "corrupt" {
            "write it again from its source"
        } else {
            "bring the nodes that keep it back"
        },
    }
}

fn of_chunk(key: &Key, found: &FoundBlob, segment: &Segment, chunk: usize, fault: ChunkFault) -> Problem {
    let (kind, detail, next_step) = match fault {
        ChunkFault::Unreachable(why) => ("unreachable", why, "start the node again"),
        ChunkFault::Absent(why) => ("missing", why, "cairn heal status"),
        ChunkFault::Damaged(why) => ("damaged", why, "cairn scrub start"),
    };
    let node = segment.chunks[chunk].place.and_then(|place| found.node(place.node));
    Problem {
        kind,
        key: Some(key.to_string()),
        blob: Some(found.blob().id.to_string()),
        segment: Some(segment.id.to_string()),
        chunk: Some(chunk),
        node: node.map(|node| node.name.clone()),
        detail,
        next_step,
    }
}
