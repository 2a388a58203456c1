use std::path::{Path, PathBuf};

use cairn_codec::Layout;
use cairn_proto::records::{Key, KeyEntry};
use clap::Args;
use serde::Serialize;

use super::cluster::ClusterArguments;
use super::progress::Progress;
use super::put_source::PutSource;
use super::{ExitStatus, Failure, console};
use crate::client::{BlobWriter, Client, ClientError, Precondition};

/// Bytes read from the source at a time.
const READ_BYTES: usize = 1 << 20;

/// `cairn put`: stores a file as a blob, all or nothing.
#[derive(Debug, Args)]
pub(crate) struct PutArguments {
    /// File to store; `-` for standard input
    file: PathBuf,

    /// Key to store it under [default: the file's name]
    key: Option<String>,

    /// Data and code chunks of the blob [default: the cluster's layout]
    #[arg(long, value_name = "N+M")]
    layout: Option<Layout>,

    /// Print what was stored as a JSON object
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    cluster: ClusterArguments,
}

/// Where a file goes, and how it is cut and coded there.
struct Destination<'a> {
    client: &'a Client,
    key: &'a Key,
    layout: Option<Layout>,
}

/// What `put --json` prints.
#[derive(Debug, Serialize)]
struct Stored {
    key: String,
    uuid: String,
    size: u64,
}

impl PutArguments {
    pub(crate) fn subject(&self) -> String {
        format!("put {}", self.file.display())
    }

    pub(crate) async fn run(self) -> Result<ExitStatus, Failure> {
        let key = key(&self.file, self.key.as_deref())?;
        let mut source = PutSource::open(&self.file).await?;
        let client = self.cluster.connect("put").await?;
        let mut progress = Progress::new(key.as_str(), source.size_bytes());
        let to = Destination { client: &client, key: &key, layout: self.layout };
        let stored = to.store(&mut source, &mut progress).await;
        drop(progress);
        client.close().await;
        let entry = stored?;
        if self.json {
            console::json(&Stored::new(&key, &entry))?;
        }
        Ok(ExitStatus::Done)
    }
}

impl Stored {
    fn new(key: &Key, entry: &KeyEntry) -> Self {
        Self { key: key.to_string(), uuid: entry.blob.to_string(), size: entry.size_bytes }
    }
}

/// The key given, or the name of the file.
fn key(file: &Path, given: Option<&str>) -> Result<Key, Failure> {
    let text = match given {
        Some(given) => given,
        None if file == Path::new("-") => return Err(Failure::NoKeyForStandardInput),
        None => {
            let name = file.file_name().and_then(|name| name.to_str());
            name.ok_or_else(|| Failure::NoFileName(file.to_owned()))?
        }
    };
    Ok(Key::try_from(text)?)
}

impl Destination<'_> {
    /// Stores the source. A source that can be read again is, once, when the targets it was sent to are lost.
    async fn store(&self, source: &mut PutSource, progress: &mut Progress) -> Result<KeyEntry, Failure> {
        match self.store_once(source, progress).await {
            Err(Failure::Client(error)) if is_worth_another_start(&error) && source.can_restart() => {
                let key = self.key;
                console::message(format_args!("cairn: put {key}: {error}: starting again from the beginning"));
                source.restart().await?;
                progress.restart();
                self.store_once(source, progress).await
            }
            result => result,
        }
    }

    async fn store_once(&self, source: &mut PutSource, progress: &mut Progress) -> Result<KeyEntry, Failure> {
        let mut writer = self.client.writer(self.key.clone(), Precondition::None, self.layout);
        match copy(source, &mut writer, progress).await {
            Ok(()) => Ok(writer.commit(source.attributes()).await?),
            Err(failure) => {
                writer.abort().await;
                Err(failure)
            }
        }
    }
}

/// Whether what was sent is lost, and sending it again may go better: other nodes are chosen then.
fn is_worth_another_start(error: &ClientError) -> bool {
    matches!(error, ClientError::TargetsLost { .. } | ClientError::SessionLost { .. })
}

async fn copy(source: &mut PutSource, writer: &mut BlobWriter, progress: &mut Progress) -> Result<(), Failure> {
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let count = source.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        writer.write(&buffer[..count]).await?;
        progress.advance(count);
    }
}

#[cfg(test)]
mod tests {
    use super::{Stored, is_worth_another_start, key};
    use crate::cli::{ExitStatus, Failure};
    use crate::client::ClientError;
    use cairn_proto::ids::{BlobId, SessionId};
    use cairn_proto::records::{Attributes, Key, KeyEntry};
    use std::path::Path;

    #[test]
    fn the_key_is_given_or_the_name_of_the_file() {
        assert_eq!(key(Path::new("/a/photo.jpg"), None).unwrap().as_str(), "photo.jpg");
        assert_eq!(key(Path::new("/a/photo.jpg"), Some("2026/photo")).unwrap().as_str(), "2026/photo");
        assert!(matches!(key(Path::new("-"), None), Err(Failure::NoKeyForStandardInput)));
        assert!(matches!(key(Path::new("/a/.."), None), Err(Failure::NoFileName(_))));
        let failure = key(Path::new("x"), Some("")).unwrap_err();
        assert_eq!(failure.exit_status(), ExitStatus::Usage);
    }

    #[test]
    fn only_lost_targets_are_worth_another_start() {
        assert!(is_worth_another_start(&ClientError::SessionLost { session: SessionId(3) }));
        assert!(!is_worth_another_start(&ClientError::NoSpace { why: "full".to_owned() }));
        assert!(!is_worth_another_start(&ClientError::OutcomeUnknown { what: "commit", why: "late".to_owned() }));
    }

    #[test]
    fn the_fields_that_programs_read_are_these() {
        let entry =
            KeyEntry { blob: BlobId::from_bytes([1; 16]), serial: 4, size_bytes: 5, attributes: Attributes::default() };
        let stored = Stored::new(&Key::try_from("k").unwrap(), &entry);
        assert_eq!(
            serde_json::to_string(&stored).unwrap(),
            r#"{"key":"k","uuid":"01010101-0101-0101-0101-010101010101","size":5}"#
        );
    }
}
