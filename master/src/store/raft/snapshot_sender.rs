use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;

use bytes::Bytes;
use cairn_proto::wire;
use cairn_proto::wire::snapshot_piece::Piece;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::snapshot::{PIECE_BYTES, SnapshotFiles};

/// Pieces read ahead of the network.
const READ_AHEAD_PIECES: usize = 4;

/// The pieces of a snapshot as one stream. It ends early, without the end mark, if a file cannot be read; the
/// receiver then refuses the whole.
pub(super) fn pieces(
    header: wire::SnapshotHeader,
    snapshot: Arc<SnapshotFiles>,
) -> ReceiverStream<wire::SnapshotPiece> {
    let (sender, receiver) = mpsc::channel(READ_AHEAD_PIECES);
    tokio::task::spawn_blocking(move || {
        if let Err(error) = send_all(header, &snapshot, &sender) {
            tracing::warn!(%error, snapshot = snapshot.id(), "sending a snapshot ended early");
        }
    });
    ReceiverStream::new(receiver)
}

fn send_all(
    header: wire::SnapshotHeader,
    snapshot: &SnapshotFiles,
    sender: &mpsc::Sender<wire::SnapshotPiece>,
) -> io::Result<()> {
    let send = |piece| {
        let sent = sender.blocking_send(wire::SnapshotPiece { piece: Some(piece) });
        sent.map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "the receiver is gone"))
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
