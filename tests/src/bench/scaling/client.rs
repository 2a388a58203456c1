use std::io::{self, BufRead, Write};

use super::client_error::ScalingClientError;
use super::stored_file::StoredFile;
use crate::bench::comparison::Pieces;

/// What a client does at a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    /// Writes its file, to the return of the commit.
    Write,
    /// Reads it and compares the bytes.
    Check,
    /// Reads it.
    Read,
}

impl Work {
    pub(super) const ALL: [Self; 3] = [Self::Write, Self::Check, Self::Read];

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::Check => "check",
            Self::Read => "read",
        }
    }
}

/// What is said when a client is ready for its next work, also for the first.
pub(super) const READY: &str = "ready";

/// A client in a process of its own: connects anew for each work that a line on standard input names, and says when it
/// has, does the work at the next line, whatever it says, and says so again. Ends with its input.
pub fn serve_scaling_client(file: &StoredFile) -> Result<(), ScalingClientError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let pieces = Pieces::new();
    let mut lines = io::stdin().lock().lines();
    while let Some(line) = lines.next() {
        let said = line?;
        let work = Work::ALL.into_iter().find(|work| work.word() == said);
        let work = work.ok_or(ScalingClientError::Input(said))?;
        let client = runtime.block_on(file.connect())?;
        writeln!(io::stdout(), "{READY}")?;
        if lines.next().transpose()?.is_none() {
            break;
        }
        runtime.block_on(async {
            match work {
                Work::Write => file.write(&client, &pieces).await,
                Work::Check => file.read(&client, Some(&pieces)).await,
                Work::Read => file.read(&client, None).await,
            }
        })?;
        writeln!(io::stdout(), "{READY}")?;
        runtime.block_on(client.close());
    }
    Ok(())
}
