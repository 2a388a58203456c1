//! A cluster of fakes in this process, reached over real connections, with faults to be switched on.

mod fake_cluster;
mod fake_master;
mod fake_node;

pub(super) use fake_cluster::{FakeCluster, bytes, find, holes, key, put, put_with_losses, read_all};
pub(super) use fake_master::{FakeMaster, MasterFault, ToldEnd, ToldWatcher};
pub(super) use fake_node::{FakeNode, NodeFault};
