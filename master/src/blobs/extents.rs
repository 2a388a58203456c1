use std::collections::HashMap;
use std::hash::BuildHasher;

use cairn_codec::Layout;
use cairn_proto::Refusal;
use cairn_proto::ids::SegmentId;
use cairn_proto::records::Extent;

/// A segment that extents name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extended {
    pub(crate) layout: Layout,
    pub(crate) length_bytes: u64,
}

/// Refuses unless the extents lie in their segments, in whole rows but for the last row of the blob, in one layout, and
/// make up the blob's length.
pub(crate) fn check_extents<S: BuildHasher>(
    extents: &[Extent],
    size_bytes: u64,
    segments: &HashMap<SegmentId, Extended, S>,
) -> Result<(), Refusal> {
    let mut layout: Option<Layout> = None;
    let mut total: u64 = 0;
    for (index, extent) in extents.iter().enumerate() {
        let segment = segments
            .get(&extent.segment)
            .ok_or_else(|| invalid(format!("extent {index} names an unknown segment {}", extent.segment)))?;
        if *layout.get_or_insert(segment.layout) != segment.layout {
            return Err(invalid("extents of different layouts".to_owned()));
        }
        check_extent(extent, segment, index + 1 == extents.len())
            .map_err(|why| invalid(format!("extent {index}: {why}")))?;
        total = total.checked_add(extent.length_bytes).ok_or_else(|| invalid("lengths overflow".to_owned()))?;
    }
    if total != size_bytes {
        return Err(invalid(format!("extents of {total} bytes for a blob of {size_bytes}")));
    }
    Ok(())
}

fn check_extent(extent: &Extent, segment: &Extended, last: bool) -> Result<(), &'static str> {
    let row_size = segment.layout.row_size_bytes() as u64;
    if segment.layout.row_count(extent.length_bytes) != extent.rows {
        return Err("its rows do not hold its bytes");
    }
    if !last && !extent.length_bytes.is_multiple_of(row_size) {
        return Err("only the last row of a blob may be part-filled");
    }
    let end = extent.first_row.checked_mul(row_size).and_then(|start| start.checked_add(extent.length_bytes));
    match end {
        Some(end) if end <= segment.length_bytes => Ok(()),
        _ => Err("it lies outside its segment"),
    }
}

fn invalid(why: String) -> Refusal {
    Refusal::InvalidRequest { why }
}

#[cfg(test)]
mod tests {
    use super::{Extended, check_extents};
    use cairn_codec::Layout;
    use cairn_proto::ids::SegmentId;
    use cairn_proto::records::Extent;
    use std::collections::HashMap;

    const CELL: u64 = 4096;
    const ROW: u64 = 2 * CELL;

    fn known(lengths: &[u64]) -> (Vec<SegmentId>, HashMap<SegmentId, Extended>) {
        let layout = Layout::new(2, 1, 4096, 1 << 20).unwrap();
        let ids: Vec<SegmentId> = lengths.iter().map(|_| SegmentId::generate()).collect();
        let known = ids.iter().zip(lengths).map(|(id, &length_bytes)| (*id, Extended { layout, length_bytes }));
        (ids.clone(), known.collect())
    }

    fn extent(segment: SegmentId, first_row: u64, rows: u64, length_bytes: u64) -> Extent {
        Extent { segment, first_row, rows, length_bytes }
    }

    #[test]
    fn whole_rows_and_a_last_part_are_a_blob() {
        let (ids, known) = known(&[3 * ROW, ROW + 5]);
        let extents = [extent(ids[0], 0, 2, 2 * ROW), extent(ids[1], 0, 2, ROW + 5)];
        assert_eq!(check_extents(&extents, 3 * ROW + 5, &known), Ok(()));
        assert_eq!(check_extents(&[], 0, &known), Ok(()));
    }

    #[test]
    fn what_is_no_blob_is_refused() {
        let (ids, known) = known(&[3 * ROW, ROW + 5]);
        let refused = |extents: &[Extent], size: u64| check_extents(extents, size, &known).is_err();
        assert!(refused(&[extent(ids[0], 0, 2, 2 * ROW)], 2 * ROW + 1), "wrong sum");
        assert!(refused(&[extent(ids[0], 2, 2, 2 * ROW)], 2 * ROW), "behind the segment's end");
        assert!(refused(&[extent(ids[0], u64::MAX / 2, 2, 2 * ROW)], 2 * ROW), "overflow");
        assert!(refused(&[extent(ids[0], 0, 3, 2 * ROW)], 2 * ROW), "more rows than bytes");
        assert!(
            refused(&[extent(ids[1], 0, 2, ROW + 5), extent(ids[0], 0, 1, ROW)], 2 * ROW + 5),
            "part in the middle"
        );
        assert!(refused(&[extent(SegmentId::generate(), 0, 1, ROW)], ROW), "unknown segment");
        assert!(refused(&[], 1), "no bytes");
    }

    #[test]
    fn one_blob_has_one_layout() {
        let (ids, mut known) = known(&[ROW, ROW]);
        known.get_mut(&ids[1]).unwrap().layout = Layout::new(1, 2, 8192, 1 << 20).unwrap();
        assert!(check_extents(&[extent(ids[0], 0, 1, ROW), extent(ids[1], 0, 1, ROW)], 2 * ROW, &known).is_err());
    }
}
