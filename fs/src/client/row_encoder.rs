use bytes::{Bytes, BytesMut};
use cairn_codec::{CellId, Coder, Digest, FRAME_HEADER_BYTES, Layout, cell_digest, write_header};
use cairn_proto::ids::SegmentId;

/// What identifies the content of a cell in the accounts of its chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CellMark {
    pub(super) id: CellId,
    pub(super) length: u32,
    pub(super) crc: u32,
}

impl CellMark {
    pub(super) fn digest(&self) -> Digest {
        cell_digest(&self.id, self.length, self.crc)
    }
}

/// A cell ready to be sent.
#[derive(Debug, Clone)]
pub(super) struct EncodedCell {
    pub(super) mark: CellMark,
    pub(super) frame: Bytes,
}

impl EncodedCell {
    pub(super) fn chunk(&self) -> usize {
        usize::from(self.mark.id.chunk)
    }
}

/// The identity of a cell.
pub(super) fn cell_id(layout: &Layout, segment: SegmentId, row: u64, chunk: usize) -> CellId {
    let position = layout.position(row);
    let chunk = u8::try_from(chunk).expect("a layout has at most 255 chunks");
    CellId { segment: *segment.as_bytes(), stripe: position.stripe, row: position.row, chunk }
}

/// Cuts one row into cells, codes it, and puts each cell in a frame of its own. User bytes are copied once;
/// code cells are made where they are sent from.
pub(super) fn encode_row(coder: &Coder, segment: SegmentId, row: u64, data: &[u8]) -> Vec<EncodedCell> {
    let layout = coder.layout();
    let mut frames: Vec<(usize, BytesMut)> =
        data.chunks(layout.cell_size_bytes()).map(data_frame).enumerate().collect();
    let code_length = layout.cell_length(data.len(), layout.data());
    let code =
        (layout.data()..layout.chunks()).map(|chunk| (chunk, BytesMut::zeroed(FRAME_HEADER_BYTES + code_length)));
    let data_cells: Vec<&[u8]> = data.chunks(layout.cell_size_bytes()).collect();
    let mut code: Vec<(usize, BytesMut)> = code.collect();
    let mut code_cells: Vec<&mut [u8]> = code.iter_mut().map(|(_, frame)| &mut frame[FRAME_HEADER_BYTES..]).collect();
    coder.encode(&data_cells, &mut code_cells);
    frames.append(&mut code);
    frames.into_iter().map(|(chunk, frame)| finish(cell_id(layout, segment, row, chunk), frame)).collect()
}

fn data_frame(payload: &[u8]) -> BytesMut {
    let mut frame = BytesMut::with_capacity(FRAME_HEADER_BYTES + payload.len());
    frame.extend_from_slice(&[0; FRAME_HEADER_BYTES]);
    frame.extend_from_slice(payload);
    frame
}

fn finish(id: CellId, mut frame: BytesMut) -> EncodedCell {
    let crc = write_header(&mut frame, &id);
    let length = u32::try_from(frame.len() - FRAME_HEADER_BYTES).expect("a cell is at most 4 MiB");
    EncodedCell { mark: CellMark { id, length, crc }, frame: frame.freeze() }
}

#[cfg(test)]
mod tests {
    use cairn_codec::{Coder, Frame, Layout};
    use cairn_proto::ids::SegmentId;

    use super::{cell_id, encode_row};

    #[test]
    fn a_short_row_has_only_the_cells_with_bytes_and_their_code() {
        let layout = Layout::DEFAULT;
        let segment = SegmentId::generate();
        let cells = encode_row(&Coder::new(layout), segment, 3, b"a row of one short cell");
        let chunks: Vec<usize> = cells.iter().map(super::EncodedCell::chunk).collect();
        assert_eq!(chunks, vec![0, 4, 5]);
        for cell in cells {
            let frame = Frame::parse(cell.frame.clone()).unwrap();
            assert_eq!(frame.id(), cell_id(&layout, segment, 3, cell.chunk()));
            assert_eq!(frame.payload_len(), 23);
            assert_eq!(frame.digest(), cell.mark.digest());
        }
    }
}
