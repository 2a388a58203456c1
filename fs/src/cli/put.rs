use std::path::{Path, PathBuf};

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

    /// Print what was stored as a JSON object
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    cluster: ClusterArguments,
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
        let stored = store(&client, &key, &mut source, &mut progress).await;
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

/// Stores the source. A source that can be read again is, once, when the targets it was sent to are lost.
async fn store(
    client: &Client,
    key: &Key,
    source: &mut PutSource,
    progress: &mut Progress,
) -> Result<KeyEntry, Failure> {
    match store_once(client, key, source, progress).await {
        Err(Failure::Client(error)) if is_worth_another_start(&error) && source.can_restart() => {
            console::message(format_args!("cairn: put {key}: {error}: starting again from the beginning"));
            source.restart().await?;
            progress.restart();
            store_once(client, key, source, progress).await
        }
        result => result,
    }
}

/// Whether what was sent is lost, and sending it again may go better: other nodes are chosen then.
fn is_worth_another_start(error: &ClientError) -> bool {
    matches!(error, ClientError::TargetsLost { .. } | ClientError::SessionLost { .. })
}

async fn store_once(
    client: &Client,
    key: &Key,
    source: &mut PutSource,
    progress: &mut Progress,
) -> Result<KeyEntry, Failure> {
    let mut writer = client.writer(key.clone(), Precondition::None, None);
    match copy(source, &mut writer, progress).await {
        Ok(()) => Ok(writer.commit(source.attributes()).await?),
        Err(failure) => {
            writer.abort().await;
            Err(failure)
        }
    }
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
