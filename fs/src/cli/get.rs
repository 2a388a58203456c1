use std::path::{Path, PathBuf};
use std::sync::Arc;

use cairn_proto::records::Key;
use clap::Args;

use super::cluster::ClusterArguments;
use super::get_target::GetTarget;
use super::progress::Progress;
use super::{ExitStatus, Failure};
use crate::client::{Client, ClientError, FoundBlob};

/// `cairn get`: copies a blob into a file, checking its digest.
#[derive(Debug, Args)]
pub(crate) struct GetArguments {
    /// Key to read
    key: String,

    /// File or folder to write to; `-` for standard output [default: the last part of the key]
    file: Option<PathBuf>,

    #[command(flatten)]
    cluster: ClusterArguments,
}

impl GetArguments {
    pub(crate) fn subject(&self) -> String {
        format!("get {}", self.key)
    }

    pub(crate) async fn run(self) -> Result<ExitStatus, Failure> {
        let key = Key::try_from(self.key)?;
        let path = target_path(&key, self.file)?;
        self.cluster.with_client("get", async |client| fetch(client, &key, &path).await).await?;
        Ok(ExitStatus::Done)
    }
}

/// The blob a key points at; that there is none is a failure.
pub(crate) async fn find(client: &Client, key: &Key) -> Result<Arc<FoundBlob>, Failure> {
    let found = client.look_up(key).await?;
    Ok(Arc::new(found.ok_or_else(|| ClientError::KeyNotFound { key: key.to_string() })?))
}

/// Where the bytes go: the path given, a file of the key's last part in a folder given, or here.
fn target_path(key: &Key, given: Option<PathBuf>) -> Result<PathBuf, Failure> {
    let folder = match given {
        Some(path) if path.is_dir() => path,
        Some(path) => return Ok(path),
        None => PathBuf::new(),
    };
    let name = Path::new(key.as_str()).file_name();
    Ok(folder.join(name.ok_or_else(|| Failure::NoFileName(PathBuf::from(key.as_str())))?))
}

async fn fetch(client: &Client, key: &Key, path: &Path) -> Result<(), Failure> {
    let blob = find(client, key).await?;
    let mut progress = Progress::new(key.as_str(), Some(blob.blob().size_bytes));
    let mut target = GetTarget::create(path, &blob.entry().attributes)?;
    let reader = client.reader(blob);
    let mut rows = reader.verified_rows();
    while let Some(row) = rows.next().await? {
        target.write(&row)?;
        progress.advance(row.len());
    }
    target.finish()
}

#[cfg(test)]
mod tests {
    use super::target_path;
    use crate::cli::Failure;
    use cairn_proto::records::Key;
    use std::path::{Path, PathBuf};

    fn target(key: &str, given: Option<&Path>) -> Result<PathBuf, Failure> {
        target_path(&Key::try_from(key).unwrap(), given.map(Path::to_owned))
    }

    #[test]
    fn the_target_is_given_or_named_after_the_key() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(target("a/b.txt", None).unwrap(), Path::new("b.txt"));
        assert_eq!(target("a/b.txt", Some(Path::new("c"))).unwrap(), Path::new("c"));
        assert_eq!(target("a/b.txt", Some(Path::new("-"))).unwrap(), Path::new("-"));
        assert_eq!(target("a/b.txt", Some(folder.path())).unwrap(), folder.path().join("b.txt"));
        assert!(matches!(target("..", None), Err(Failure::NoFileName(_))));
    }
}
