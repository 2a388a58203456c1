use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use cairn_proto::wire;
use cairn_proto::wire::snapshot_piece::Piece;
use tokio::sync::{mpsc, watch};
use tokio::task::spawn_blocking;
use tokio_stream::wrappers::ReceiverStream;

use super::snapshot::{PIECE_BYTES, SnapshotFiles};

/// Pieces read ahead of the network.
const READ_AHEAD_PIECES: usize = 4;

/// The pieces of a snapshot as one stream, and how many of them the network has taken. It ends early, without the end
/// mark, if a file cannot be read; the receiver then refuses the whole.
pub(super) fn pieces(
    header: wire::SnapshotHeader,
    snapshot: Arc<SnapshotFiles>,
) -> (ReceiverStream<wire::SnapshotPiece>, watch::Receiver<u64>) {
    let (sender, receiver) = mpsc::channel(READ_AHEAD_PIECES);
    let (taken, progress) = watch::channel(0);
    tokio::spawn(async move {
        if let Err(error) = send_all(header, &snapshot, &sender, &taken).await {
            tracing::warn!(%error, snapshot = snapshot.id(), "sending a snapshot ended early");
        }
    });
    (ReceiverStream::new(receiver), progress)
}

/// No thread waits for the network: only each single read of a file has one.
async fn send_all(
    header: wire::SnapshotHeader,
    snapshot: &SnapshotFiles,
    sender: &mpsc::Sender<wire::SnapshotPiece>,
    taken: &watch::Sender<u64>,
) -> io::Result<()> {
    send(sender, taken, Piece::Header(header)).await?;
    for description in snapshot.files() {
        let mut rest = Rest::Unopened(snapshot.dir().join(&description.name), description.size_bytes);
        loop {
            let (read, piece) = spawn_blocking(move || rest.next_piece()).await.map_err(io::Error::other)??;
            if piece.is_empty() {
                break;
            }
            rest = read;
            send(sender, taken, Piece::Data(piece)).await?;
        }
    }
    send(sender, taken, Piece::End(wire::SnapshotEnd {})).await
}

async fn send(sender: &mpsc::Sender<wire::SnapshotPiece>, taken: &watch::Sender<u64>, piece: Piece) -> io::Result<()> {
    let sent = sender.send(wire::SnapshotPiece { piece: Some(piece) }).await;
    sent.map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "the receiver is gone"))?;
    taken.send_modify(|pieces| *pieces += 1);
    Ok(())
}

/// What of a file is yet to be sent.
enum Rest {
    Unopened(PathBuf, u64),
    Open(io::Take<File>),
}

impl Rest {
    /// The next bytes of the file; none at its end.
    fn next_piece(self) -> io::Result<(Self, Bytes)> {
        let mut file = match self {
            Self::Unopened(path, size_bytes) => File::open(path)?.take(size_bytes),
            Self::Open(file) => file,
        };
        let mut piece = Vec::with_capacity(PIECE_BYTES.min(usize::try_from(file.limit()).unwrap_or(PIECE_BYTES)));
        file.by_ref().take(PIECE_BYTES as u64).read_to_end(&mut piece)?;
        Ok((Self::Open(file), Bytes::from(piece)))
    }
}
