//! One big file of a client that is measured, through the client library.

use std::sync::Arc;

use cairn_codec::Layout;
use cairn_fs::client::{Client, ClientError, ClientOptions, Precondition};
use cairn_proto::records::{Attributes, Key};

use super::client_error::ScalingClientError;
use crate::bench::comparison::{PIECE_BYTES, Pieces};

/// Which file, and where.
#[derive(Debug, Clone)]
pub struct StoredFile {
    /// Addresses of the masters.
    pub masters: Vec<String>,
    /// Its key.
    pub key: String,
    /// Its size.
    pub mib: u32,
    /// How it is stored.
    pub layout: Layout,
}

impl StoredFile {
    /// A new client, which has nothing cached.
    pub(super) async fn connect(&self) -> Result<Client, ClientError> {
        Client::connect(ClientOptions::new(self.masters.clone(), "bench scaling")).await
    }

    /// Writes it; durable when this returns.
    pub(super) async fn write(&self, client: &Client, pieces: &Pieces) -> Result<(), ScalingClientError> {
        let mut writer = client.writer(self.key()?, Precondition::Absent, Some(self.layout));
        for piece in pieces.in_order().take(self.mib as usize) {
            writer.write(piece).await?;
        }
        let attributes = Attributes { mode: 0o644, ..Attributes::default() };
        writer.commit(attributes).await?;
        Ok(())
    }

    /// Reads all of it, and compares if there is something to compare with.
    pub(super) async fn read(&self, client: &Client, expected: Option<&Pieces>) -> Result<(), ScalingClientError> {
        let found = client.look_up(&self.key()?).await?;
        let found = found.ok_or_else(|| ClientError::KeyNotFound { key: self.key.clone() })?;
        let reader = client.reader(Arc::new(found));
        let mut offset = 0;
        while offset < reader.size_bytes() {
            let bytes = reader.read(offset, PIECE_BYTES).await?;
            if bytes.is_empty() || expected.is_some_and(|pieces| !pieces.has(offset, &bytes)) {
                return Err(ScalingClientError::WrongBytes(self.key.clone()));
            }
            offset += bytes.len() as u64;
        }
        let written = u64::from(self.mib) * PIECE_BYTES as u64;
        if offset == written { Ok(()) } else { Err(ScalingClientError::WrongBytes(self.key.clone())) }
    }

    fn key(&self) -> Result<Key, ScalingClientError> {
        Key::try_from(self.key.clone()).map_err(|error| ScalingClientError::Input(error.to_string()))
    }
}
