//! The leader lease: which master is the elected one.
//!
//! [`decide`] holds the rules as a pure state machine; [`keeper`] runs it against the store and the clock.

pub(crate) mod decide;
pub(crate) mod keeper;
mod record;

pub(crate) use record::{LeaseRecord, Life, SeenLease};
