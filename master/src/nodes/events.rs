//! What happened to each node, kept on record for people.

mod conditions;
mod event_log;
mod happening;
mod noting;
#[cfg(test)]
mod tests;

pub(super) use conditions::Conditions;
pub(super) use event_log::EventLog;
pub(super) use happening::{Happening, Heard, happenings};
