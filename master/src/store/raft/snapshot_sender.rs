use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;

use bytes::Bytes;
use cairn_proto::wire;
use cairn_proto::wire::snapshot_piece::Piece;
use tokio::sync::{mpsc, watch};
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
    tokio::task::spawn_blocking(move || {
        if let Err(error) = send_all(header, &snapshot, &sender, &taken) {
            tracing::warn!(%error, snapshot = snapshot.id(), "sending a snapshot ended early");
        }
    });
    (ReceiverStream::new(receiver), progress)
}

fn send_all(
    header: wire::SnapshotHeader,
    snapshot: &SnapshotFiles,
    sender: &mpsc::Sender<wire::SnapshotPiece>,
    taken: &watch::Sender<u64>,
) -> io::Result<()> {
    let send = |piece| {
        let sent = sender.blocking_send(wire::SnapshotPiece { piece: Some(piece) });
        sent.map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "the receiver is gone"))?;
        taken.send_modify(|pieces| *pieces += 1);
        Ok(())
    };
    send(Piece::Header(header))?;
    for description in snapshot.files() {
        let mut file = File::open(snapshot.dir().join(&description.name))?.take(description.size_bytes);
        loop {
            let mut piece = Vec::with_capacity(PIECE_BYTES);
            if file.by_ref().take(PIECE_BYTES as u64).read_to_end(&mut piece)? == 0 {
                break;
            }
            send(Piece::Data(Bytes::from(piece)))?;
        }
    }
    send(Piece::End(wire::SnapshotEnd {}))
}
