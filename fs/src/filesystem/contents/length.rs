use bytes::Bytes;
use cairn_codec::Digest;

use super::{BlobStore, Contents, FsError, HOLE_LIMIT_BYTES, Target};
use crate::filesystem::row_map::RowMap;

/// How long the file is, and what makes it longer or shorter.
impl<S: BlobStore> Contents<S> {
    /// Whether a file may be so long, asked before anything changes.
    pub(in crate::filesystem) fn check_size(&self, size_bytes: u64) -> Result<(), FsError> {
        let limit_bytes = self.layout.largest_length_bytes();
        if size_bytes > limit_bytes {
            return Err(FsError::TooLarge { what: "a file", length_bytes: size_bytes, limit_bytes });
        }
        Ok(())
    }

    /// Whether a hole from the end up to `offset` may be left, asked before anything changes.
    pub(in crate::filesystem) fn check_hole(&self, offset: u64) -> Result<(), FsError> {
        let length_bytes = offset.saturating_sub(self.size_bytes);
        if length_bytes > HOLE_LIMIT_BYTES {
            return Err(FsError::TooLarge { what: "a hole", length_bytes, limit_bytes: HOLE_LIMIT_BYTES });
        }
        Ok(())
    }

    /// Cuts the file off or fills it up with zeros.
    pub(in crate::filesystem) async fn resize(&mut self, target: &Target, size_bytes: u64) -> Result<(), FsError> {
        self.check_size(size_bytes)?;
        if size_bytes == 0 {
            self.clear().await;
        } else if size_bytes > self.size_bytes {
            self.grow(target, size_bytes).await?;
        } else if size_bytes < self.size_bytes {
            self.shrink(target, size_bytes).await?;
        }
        Ok(())
    }

    pub(super) async fn clear(&mut self) {
        self.current = None;
        self.rows = RowMap::default();
        self.digest = Digest::ZERO;
        self.size_bytes = 0;
        if self.next_open_row > 0 {
            self.abort_segment().await;
        }
    }

    pub(super) async fn grow(&mut self, target: &Target, size_bytes: u64) -> Result<(), FsError> {
        self.check_hole(size_bytes)?;
        let zeros = Bytes::from(vec![0; self.row_size()]);
        while self.size_bytes < size_bytes {
            let (row, within) = self.split(self.size_bytes);
            let row_end = ((row + 1) * self.row_size() as u64).min(size_bytes);
            let length = self.layout.row_length(row_end, row);
            if within == 0 && length == self.row_size() {
                self.replace_row(target, row, zeros.clone()).await?;
            } else {
                self.load(target, row, length).await?.resize(length);
                if length == self.row_size() {
                    self.shed(target).await?;
                }
            }
            self.size_bytes = row_end;
        }
        Ok(())
    }

    pub(super) async fn shrink(&mut self, target: &Target, size_bytes: u64) -> Result<(), FsError> {
        let kept = self.layout.row_count(size_bytes);
        for row in kept..self.layout.row_count(self.size_bytes) {
            self.forget(target, row).await?;
        }
        self.rows.truncate(kept);
        // From here on `kept` rows exist, the last of them still as long as it was.
        self.size_bytes = self.size_bytes.min(kept * self.row_size() as u64);
        let length = self.layout.row_length(size_bytes, kept - 1);
        if size_bytes < self.size_bytes {
            self.load(target, kept - 1, length).await?.resize(length);
        }
        self.size_bytes = size_bytes;
        Ok(())
    }
}
