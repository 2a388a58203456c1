//! Keys, blobs and segments: every mutation is planned by a pure function on one view and applied by one command.

mod commit;
mod commit_request;
mod delete;
mod extents;
mod list;
mod look_up;
mod manager;
mod overwrite;
mod pattern;
mod precondition;
mod rename;
mod retire;
mod sealed;
mod set_attributes;
#[cfg(test)]
mod tests;

pub use commit::{CommitContext, plan_commit};
pub use commit_request::CommitRequest;
pub use delete::plan_delete;
pub(crate) use extents::{Extended, check_extents};
pub use list::{ListRequest, list};
pub use look_up::{Found, LookUpTarget, look_up};
pub use manager::Blobs;
pub use overwrite::Overwrite;
pub use pattern::{InvalidPattern, Pattern};
pub use precondition::Precondition;
pub use rename::{RenameRequest, plan_rename};
pub use set_attributes::plan_set_attributes;
