use std::fmt::Write;
use std::io::Read;

use bytes::Bytes;
use cairn_proto::records::Key;
use clap::{Args, Subcommand};
use serde::Serialize;

use super::cluster::ClusterArguments;
use super::{ExitStatus, Failure, console};
use crate::client::{Client, ClientError};

/// Stands for standard input where a value is due.
const STANDARD_INPUT: &str = "-";

/// `cairn kv`: small values that all masters agree on.
#[derive(Debug, Args)]
pub(crate) struct KvArguments {
    #[command(subcommand)]
    command: KvCommand,
}

#[derive(Debug, Subcommand)]
enum KvCommand {
    /// Write the value of a key to standard output, as it is
    Get(GetValueArguments),
    /// Set the value of a key
    Put(ChangeArguments),
    /// Add to the end of the value of a key
    Append(ChangeArguments),
}

#[derive(Debug, Args)]
struct GetValueArguments {
    /// Key to read
    key: String,

    /// Print one JSON object
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    cluster: ClusterArguments,
}

#[derive(Debug, Args)]
struct ChangeArguments {
    /// Key to change
    key: String,

    /// The value, or what is added to it; `-` reads it from standard input
    #[arg(allow_hyphen_values = true)]
    value: String,

    /// Print one JSON object
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    cluster: ClusterArguments,
}

/// What `kv get --json` prints.
#[derive(Debug, Serialize)]
struct ValueShown {
    key: String,
    size: usize,
    /// Absent if it is no UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    value_hex: String,
}

/// What `kv put --json` and `kv append --json` print.
#[derive(Debug, Serialize)]
struct Changed {
    key: String,
    /// Bytes that were set or added.
    size: usize,
}

impl KvArguments {
    pub(crate) fn subject(&self) -> String {
        match &self.command {
            KvCommand::Get(arguments) => format!("kv get {}", arguments.key),
            KvCommand::Put(arguments) => format!("kv put {}", arguments.key),
            KvCommand::Append(arguments) => format!("kv append {}", arguments.key),
        }
    }

    pub(crate) async fn run(self) -> Result<ExitStatus, Failure> {
        match self.command {
            KvCommand::Get(arguments) => arguments.run().await,
            KvCommand::Put(arguments) => arguments.run(Change::Put).await,
            KvCommand::Append(arguments) => arguments.run(Change::Append).await,
        }
    }
}

impl GetValueArguments {
    async fn run(self) -> Result<ExitStatus, Failure> {
        let key = Key::try_from(self.key.as_str())?;
        let found = self.cluster.with_client("kv get", async |client| client.get_value(&key).await).await?;
        let value = found.ok_or(ClientError::KeyNotFound { key: self.key.clone() })?;
        if self.json {
            console::json(&ValueShown::new(self.key, &value))?;
        } else {
            console::bytes(&value)?;
        }
        console::flush()?;
        Ok(ExitStatus::Done)
    }
}

/// What is done to a value.
#[derive(Debug, Clone, Copy)]
enum Change {
    Put,
    Append,
}

impl ChangeArguments {
    async fn run(self, change: Change) -> Result<ExitStatus, Failure> {
        let key = Key::try_from(self.key.as_str())?;
        let value = if self.value == STANDARD_INPUT { read_standard_input()? } else { self.value.into() };
        let size = value.len();
        let make = async |client: &Client| match change {
            Change::Put => client.put_value(&key, value).await,
            Change::Append => client.append_value(&key, value).await,
        };
        self.cluster.with_client("kv", make).await?;
        if self.json {
            console::json(&Changed { key: self.key, size })?;
            console::flush()?;
        }
        Ok(ExitStatus::Done)
    }
}

/// No more than a request can carry: the masters say what is too long.
fn read_standard_input() -> Result<Bytes, Failure> {
    let mut value = Vec::new();
    let limit = cairn_proto::MESSAGE_LIMIT_BYTES as u64 / 2;
    std::io::stdin().lock().take(limit).read_to_end(&mut value).map_err(Failure::Input)?;
    Ok(value.into())
}

impl ValueShown {
    fn new(key: String, value: &[u8]) -> Self {
        let mut value_hex = String::with_capacity(2 * value.len());
        for byte in value {
            write!(value_hex, "{byte:02x}").expect("a string takes any text");
        }
        Self { key, size: value.len(), value: std::str::from_utf8(value).ok().map(str::to_owned), value_hex }
    }
}

#[cfg(test)]
mod tests {
    use super::ValueShown;

    #[test]
    fn a_value_that_is_no_text_is_shown_in_hexadecimal_alone() {
        let shown = ValueShown::new("a".to_owned(), &[0xff, 0]);
        assert_eq!((shown.size, shown.value, shown.value_hex.as_str()), (2, None, "ff00"));
        assert_eq!(ValueShown::new("a".to_owned(), b"x").value.as_deref(), Some("x"));
    }
}
