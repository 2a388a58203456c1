//! What single requests take while there are so many keys.

use std::ops::Range;
use std::time::{Duration, Instant};

use cairn_fs::client::{Client, ClientError, ClientOptions};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use tokio::runtime::Builder;

use super::KeysError;
use super::at_once::for_each;
use super::making::{key, make};
use crate::bench::spread::Spread;

/// Bytes of a small file; the masters keep it.
const SMALL_FILE_BYTES: usize = 4096;
/// Look-ups for each commit of a round: they are faster by about as much.
const LOOK_UPS_PER_COMMIT: u32 = 4;
/// Keys of a first page.
const PAGE_KEYS: u32 = 1000;
/// First pages of a round, of which the median counts.
const PAGES: usize = 9;
const SEED: u64 = 5;

/// What requests took in one round after the other.
#[derive(Debug, Default)]
pub(super) struct Requests {
    commits_a_second: Vec<f64>,
    look_ups_a_second: Vec<f64>,
    first_page_ms: Vec<f64>,
}

/// The middle of all rounds.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct RequestFigures {
    /// Further files of 4 KiB, made by the client library, each acknowledged by a majority of masters.
    pub commits_a_second: Spread,
    /// Entries of random keys.
    pub look_ups_a_second: Spread,
    /// The first 1,000 keys, asked for by one client.
    pub first_page_ms: Spread,
}

impl Requests {
    /// One round, with the keys below `new.start` there; those of `new` are made.
    pub(super) fn round(&mut self, masters: &[String], new: Range<u32>) -> Result<(), KeysError> {
        let commits = new.end - new.start;
        let look_ups = commits * LOOK_UPS_PER_COMMIT;
        let mut pages = first_pages(masters)?;
        pages.sort_unstable();
        self.first_page_ms.push(pages[pages.len() / 2].as_secs_f64() * 1000.0);
        let there = new.start;
        let looked_up = for_each(masters, 0..look_ups, move |client, number| async move {
            let wanted = key(SmallRng::seed_from_u64(SEED + u64::from(number)).random_range(0..there));
            let found = client.entry(&wanted).await?;
            found.map(drop).ok_or_else(|| ClientError::KeyNotFound { key: wanted.to_string() })
        })?;
        self.look_ups_a_second.push(f64::from(look_ups) / looked_up.as_secs_f64());
        let committed = for_each(masters, new, |client, number| async move {
            let bytes = crate::workload::random_bytes(u64::from(number), SMALL_FILE_BYTES);
            make(client, number, &bytes).await
        })?;
        self.commits_a_second.push(f64::from(commits) / committed.as_secs_f64());
        Ok(())
    }

    /// `None` before the first round.
    pub(super) fn figures(&self) -> Option<RequestFigures> {
        Some(RequestFigures {
            commits_a_second: Spread::of(&self.commits_a_second)?,
            look_ups_a_second: Spread::of(&self.look_ups_a_second)?,
            first_page_ms: Spread::of(&self.first_page_ms)?,
        })
    }
}

fn first_pages(masters: &[String]) -> Result<Vec<Duration>, KeysError> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let client = Client::connect(ClientOptions::new(masters.to_vec(), "bench keys")).await?;
        let mut took = Vec::with_capacity(PAGES);
        for _ in 0..PAGES {
            let begun = Instant::now();
            client.list("", None, PAGE_KEYS).await?;
            took.push(begun.elapsed());
        }
        client.close().await;
        Ok(took)
    })
}
