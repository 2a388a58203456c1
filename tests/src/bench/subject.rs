//! What is compared: a directory, its name, and how its caches are emptied.

use std::path::{Path, PathBuf};

use super::cold::{ColdError, DropPageCache, MakeCold};
use super::gluster::Gluster;
use crate::{ClusterOptions, DevCluster};

/// One of the things that are compared.
#[derive(Debug)]
pub(super) enum Subject {
    Cairn(Box<DevCluster>),
    Disk(PathBuf),
    Gluster(Gluster),
}

impl Subject {
    /// A dev cluster with a mount: six nodes, three masters, layout 4+2.
    pub(super) fn cairn() -> Self {
        Self::Cairn(Box::new(DevCluster::start(ClusterOptions::default().mounted())))
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Cairn(_) => "cairn",
            Self::Disk(_) => "disk",
            Self::Gluster(_) => "gluster",
        }
    }

    pub(super) fn folder(&self) -> PathBuf {
        match self {
            Self::Cairn(cluster) => cluster.mount_path(),
            Self::Disk(folder) => folder.clone(),
            Self::Gluster(gluster) => gluster.mount_path(),
        }
    }

    /// A folder of its own below `parent`, on the disk that also holds the data of the others.
    pub(super) fn disk(parent: &Path) -> Self {
        Self::Disk(parent.to_path_buf())
    }
}

impl MakeCold for Subject {
    fn make_cold(&mut self) -> Result<(), ColdError> {
        match self {
            Self::Cairn(cluster) => restart(cluster)?,
            Self::Disk(_) => {}
            Self::Gluster(gluster) => gluster.restart()?,
        }
        DropPageCache.make_cold()
    }
}

fn restart(cluster: &DevCluster) -> Result<(), ColdError> {
    let stopped = cluster.dev_stop();
    if !stopped.succeeded() {
        return Err(ColdError::Restart { what: "cairn", said: stopped.to_string() });
    }
    cluster.start_again();
    Ok(())
}
