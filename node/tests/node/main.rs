//! Behaviour of the storage node: its store by itself, and the whole of it over gRPC.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod devices;
mod fixtures;
mod manifest;
mod model;
mod scrubbing;
mod service;
mod store;
mod stores;
