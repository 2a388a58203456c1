use std::path::{Path, PathBuf};

use super::cold_cache::drop_page_cache;
use super::subject::{Daemon, Subject, SubjectError};
use super::system::System;
use crate::disk_usage::allocated_bytes;
use crate::watchdog;
use crate::{ClusterOptions, DevCluster};

/// What dies in `lose_two_nodes`.
const LOST: [&str; 2] = ["node-2", "node-5"];

/// A dev cluster with a mount: six nodes, three masters, layout 4+2.
#[derive(Debug)]
pub(super) struct CairnCluster(DevCluster);

impl CairnCluster {
    /// Starts a new one with its data below `folder`.
    pub(super) fn start(folder: &Path) -> Self {
        Self(DevCluster::start_in(folder, ClusterOptions::default().mounted()))
    }
}

impl Subject for CairnCluster {
    fn system(&self) -> System {
        System::Cairn
    }

    fn folder(&self) -> PathBuf {
        self.0.mount_path()
    }

    fn daemons(&self) -> Result<Vec<Daemon>, SubjectError> {
        let processes = watchdog::named_processes_of(&self.0.dir()).into_iter();
        Ok(processes.map(|(name, process)| Daemon { name, process }).collect())
    }

    fn make_cold(&mut self) -> Result<(), SubjectError> {
        let stopped = self.0.dev_stop();
        if !stopped.succeeded() {
            return Err(SubjectError::failed("cairn dev stop", &stopped));
        }
        self.0.start_again();
        drop_page_cache()
    }

    fn lose_two_nodes(&mut self) -> Result<bool, SubjectError> {
        for node in LOST {
            self.0.kill(node);
        }
        Ok(true)
    }

    fn stored_bytes(&self) -> u64 {
        allocated_bytes(&self.0.dir().join("data"))
    }
}
