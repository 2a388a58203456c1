//! What very many keys cost: making them, and listing them through a mount.

mod at_once;
mod making;
mod report;
mod requests;

use std::io;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use cairn_fs::client::ClientError;

use crate::binary::profile_directory;
use crate::resident::{current_bytes, peak_bytes};
use crate::{ClusterOptions, DevCluster, Mount};
pub use making::make_keys;
pub use report::KeysReport;
pub use requests::RequestFigures;
use requests::Requests;

/// Most keys of which the attributes are listed too.
const ATTRIBUTES_LIMIT_KEYS: u32 = 100_000;

/// What is measured.
#[derive(Debug, Clone)]
pub struct KeysOptions {
    /// Numbers of keys; the cluster grows from one to the next.
    pub keys: Vec<u32>,
    /// Rounds of requests with each number of keys.
    pub rounds: u32,
    /// Commits of further files of each round; four times as many keys are looked up.
    pub requests: u32,
}

/// Figures with so many keys in the cluster.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct KeysFigures {
    /// So many keys.
    pub keys: u32,
    /// Those that were missing, made by the client library, each acknowledged by a majority of masters.
    pub made_a_second: f64,
    /// `ls -U | wc -l` on a new mount.
    pub first_listing_s: f64,
    /// The same once more.
    pub second_listing_s: f64,
    /// `ls -l` on a new mount, up to a limit.
    pub attributes_s: Option<f64>,
    /// The same once more.
    pub attributes_again_s: Option<f64>,
    /// Memory of the mounts at their peak.
    pub mount_peak_mib: u64,
    /// Memory of the elected master at its peak.
    pub master_peak_mib: u64,
    /// Memory of the mount after the first listings.
    pub mount_mib: u64,
    /// Memory of the elected master after all listings.
    pub master_mib: u64,
    /// What single requests took then; `None` without rounds of them.
    pub requests: Option<RequestFigures>,
}

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// A key could not be made.
    #[error("cannot make a key: {0}")]
    Make(#[from] ClientError),
    /// A program did not start, or a file could not be written.
    #[error(transparent)]
    System(#[from] io::Error),
    /// A listing was wrong.
    #[error("WRONG LISTING: {listed} lines for {keys} keys")]
    Wrong {
        /// Lines of `ls`.
        listed: String,
        /// Keys there are.
        keys: u32,
    },
}

/// Measures a new dev cluster with each number of keys, the smallest first.
pub fn measure_keys(options: &KeysOptions, tell: &mut dyn FnMut(&KeysFigures)) -> Result<KeysReport, KeysError> {
    let parent = profile_directory().join("clusters");
    std::fs::create_dir_all(&parent)?;
    measure_keys_in(&parent, options, tell).map(KeysReport::new)
}

/// The same, with the cluster in a folder that is there.
pub(super) fn measure_keys_in(
    parent: &Path,
    options: &KeysOptions,
    tell: &mut dyn FnMut(&KeysFigures),
) -> Result<Vec<KeysFigures>, KeysError> {
    let cluster = DevCluster::start_in(parent, ClusterOptions::default().nodes(1).layout("1+0"));
    let mut sizes = options.keys.clone();
    sizes.sort_unstable();
    let mut figures = Vec::new();
    let mut there = 0;
    for keys in sizes {
        let started = Instant::now();
        make_keys(&cluster.addresses(), there..keys)?;
        let made_a_second = f64::from(keys.saturating_sub(there)) / started.elapsed().as_secs_f64();
        there = there.max(keys);
        let listings = measure_listings(&cluster, there, made_a_second)?;
        let mut requests = Requests::default();
        for _ in 0..options.rounds {
            requests.round(&cluster.addresses(), there..there + options.requests)?;
            there += options.requests;
        }
        let measured = KeysFigures { requests: requests.figures(), ..listings };
        tell(&measured);
        figures.push(measured);
    }
    Ok(figures)
}

fn measure_listings(cluster: &DevCluster, keys: u32, made_a_second: f64) -> Result<KeysFigures, KeysError> {
    let mount = cluster.mount(&format!("names-{keys}"));
    let first = list(&mount, "ls -U | wc -l", keys)?;
    let second = list(&mount, "ls -U | wc -l", keys)?;
    let (mount_bytes, mut mount_peak_bytes) = (current_bytes(mount.process()), peak_bytes(mount.process()));
    drop(mount);
    let (mut attributes, mut attributes_again) = (None, None);
    if keys <= ATTRIBUTES_LIMIT_KEYS {
        let mount = cluster.mount(&format!("attributes-{keys}"));
        attributes = Some(list(&mount, "ls -l | grep -c ^-", keys)?);
        attributes_again = Some(list(&mount, "ls -l | grep -c ^-", keys)?);
        mount_peak_bytes = mount_peak_bytes.max(peak_bytes(mount.process()));
    }
    let master = cluster.process(&cluster.elected());
    Ok(KeysFigures {
        keys,
        made_a_second,
        first_listing_s: first.as_secs_f64(),
        second_listing_s: second.as_secs_f64(),
        attributes_s: attributes.map(|took| took.as_secs_f64()),
        attributes_again_s: attributes_again.map(|took| took.as_secs_f64()),
        mount_peak_mib: mount_peak_bytes >> 20,
        master_peak_mib: peak_bytes(master) >> 20,
        mount_mib: mount_bytes >> 20,
        master_mib: current_bytes(master) >> 20,
        requests: None,
    })
}

/// Runs a command that counts the keys, in the mount; answers how long it took.
fn list(mount: &Mount, command: &str, keys: u32) -> Result<Duration, KeysError> {
    let started = Instant::now();
    let output = Command::new("sh").args(["-c", command]).current_dir(mount.path()).output()?;
    let took = started.elapsed();
    let listed = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if listed.parse() == Ok(keys) { Ok(took) } else { Err(KeysError::Wrong { listed, keys }) }
}
