//! A whole group of masters in simulated time, with faults drawn from a seed.
//!
//! Time stands still while anything can still happen, and then moves to the next moment at which something can: seconds
//! of elections and partitions pass in the time that their work takes. See `DESIGN.md` for what a seed fixes and what it
//! does not.

mod plan;
mod run;
#[cfg(test)]
mod tests;
mod worker;
mod world;

pub use plan::{Fault, Plan};
pub use run::{Failure, Passed, run};
