use bytesize::ByteSize;
use cairn_proto::records::Key;
use clap::Args;

use super::cluster::ClusterArguments;
use super::get::find;
use super::{ExitStatus, Failure, console};
use crate::client::Client;

/// Bytes asked for at a time.
const READ_BYTES: u64 = 1 << 20;

/// `cairn cat`: writes blobs, or a part of each, to standard output.
#[derive(Debug, Args)]
pub(crate) struct CatArguments {
    /// Keys to read, in order
    #[arg(required = true)]
    keys: Vec<String>,

    /// First byte wanted of each
    #[arg(long, value_name = "N", default_value = "0")]
    offset: ByteSize,

    /// Bytes wanted of each [default: up to its end]
    #[arg(long, value_name = "N")]
    length: Option<ByteSize>,

    #[command(flatten)]
    cluster: ClusterArguments,
}

impl CatArguments {
    pub(crate) fn subject(&self) -> String {
        format!("cat {}", self.keys.join(" "))
    }

    pub(crate) async fn run(self) -> Result<ExitStatus, Failure> {
        let client = self.cluster.connect("cat").await?;
        let mut status = ExitStatus::Done;
        for text in &self.keys {
            match self.copy(&client, text).await {
                Ok(()) => {}
                Err(failure) if failure.is_closed_pipe() => return Err(failure),
                Err(failure) => {
                    console::message(failure.report(&format!("cat {text}")));
                    status = failure.exit_status();
                }
            }
        }
        client.close().await;
        console::flush()?;
        Ok(status)
    }

    async fn copy(&self, client: &Client, text: &str) -> Result<(), Failure> {
        let key = Key::try_from(text)?;
        let reader = client.reader(find(client, &key).await?);
        let length = self.length.map_or(u64::MAX, |length| length.as_u64());
        let (mut at, end) = range(reader.size_bytes(), self.offset.as_u64(), length);
        while at < end {
            let wanted = usize::try_from((end - at).min(READ_BYTES)).expect("a megabyte fits");
            let bytes = reader.read(at, wanted).await?;
            console::bytes(&bytes)?;
            at += bytes.len() as u64;
        }
        Ok(())
    }
}

/// The part of a blob that is asked for and exists.
fn range(size_bytes: u64, offset: u64, length: u64) -> (u64, u64) {
    let start = offset.min(size_bytes);
    (start, start.saturating_add(length).min(size_bytes))
}

#[cfg(test)]
mod tests {
    use super::range;

    #[test]
    fn a_part_never_reaches_past_the_end() {
        assert_eq!(range(10, 0, u64::MAX), (0, 10));
        assert_eq!(range(10, 3, 4), (3, 7));
        assert_eq!(range(10, 8, 4), (8, 10));
        assert_eq!(range(10, 11, 4), (10, 10));
        assert_eq!(range(0, 0, 1), (0, 0));
    }
}
