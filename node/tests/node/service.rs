//! The whole node over gRPC, with a stand-in for the masters.

mod cluster;
mod devices;
mod garbage;
mod joining;
mod mending;
mod orders;
mod reading;
mod rebuilding;
mod relaying;
mod writing;
