//! With crashes: the elected master alone under load, and all of them at the end of each iteration.

use crate::generic::Generic;

const CRASHES: Generic = Generic { crashes: true, ..Generic::RELIABLE };

#[tokio::test(flavor = "multi_thread")]
async fn test_persist_one_client() {
    Generic { clients: 1, ..CRASHES }.run().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn test_persist_concurrent() {
    CRASHES.run().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn test_persist_concurrent_unreliable() {
    Generic { unreliable: true, ..CRASHES }.run().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn test_persist_partition() {
    Generic { partitions: true, ..CRASHES }.run().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn test_persist_partition_unreliable() {
    Generic { partitions: true, unreliable: true, ..CRASHES }.run().await;
}
