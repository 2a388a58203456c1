//! Compares the masters' records with one another and with what nodes keep. All records are read in one view, so that what
//! they contradict is never a moment between two commands; what a node keeps is compared with them, and what does not agree
//! is looked at again, listing and records both, before it is told.

mod comparison;
mod inspection;
mod inventories;
mod keys_and_blobs;
mod merge;
mod paged_list;
mod problem;
mod reporter;
mod segments;
#[cfg(test)]
mod tests;
mod uses;

pub use inspection::{Inspection, Inspector, MESSAGES};
