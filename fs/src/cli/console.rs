//! The two ways out of a command: data on standard output, messages on standard error.

use std::io::{IsTerminal, Write};

use serde::Serialize;

use super::{ExitStatus, Failure};

/// Writes a line of data.
pub(crate) fn line(text: impl std::fmt::Display) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}").map_err(Failure::Output)
}

/// Writes one value as one line of JSON.
pub(crate) fn json(value: &impl Serialize) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, value).map_err(|error| Failure::Output(error.into()))?;
    writeln!(out).map_err(Failure::Output)
}

/// Writes what a command found out: as one line of JSON, or in words.
pub(crate) fn answer<D: std::fmt::Display>(
    as_json: bool,
    value: &impl Serialize,
    words: impl FnOnce() -> D,
) -> Result<ExitStatus, Failure> {
    if as_json { json(value) } else { line(words()) }?;
    Ok(ExitStatus::Done)
}

/// Writes bytes of a blob.
pub(crate) fn bytes(bytes: &[u8]) -> Result<(), Failure> {
    std::io::stdout().lock().write_all(bytes).map_err(Failure::Output)
}

/// Sends on what standard output still buffers.
pub(crate) fn flush() -> Result<(), Failure> {
    std::io::stdout().lock().flush().map_err(Failure::Output)
}

/// Tells people something. Where standard error is gone there is nobody left to tell.
pub(crate) fn message(text: impl std::fmt::Display) {
    drop(writeln!(std::io::stderr().lock(), "{text}"));
}

/// Whether standard error is a terminal, where lines may be drawn over.
pub(crate) fn draws() -> bool {
    std::io::stderr().is_terminal()
}
