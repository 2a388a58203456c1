/// Room reserved ahead of what was sent never exceeds this.
const AHEAD_LIMIT_BYTES: u64 = 64 << 20;

/// Room to reserve on each target of a transaction that has sent it so much: one cell (the target's share of a row) at
/// first, then as much again as was sent. What was sent counts as used by the node itself.
pub fn reserved_bytes(sent_bytes: u64, cell_size_bytes: u64) -> u64 {
    sent_bytes.clamp(cell_size_bytes, AHEAD_LIMIT_BYTES.max(cell_size_bytes))
}

#[cfg(test)]
mod tests {
    use super::reserved_bytes;

    #[test]
    fn a_reservation_starts_with_a_row_and_doubles_up_to_its_limit() {
        let cell = 64 << 10;
        assert_eq!(reserved_bytes(0, cell), cell);
        assert_eq!(reserved_bytes(1 << 20, cell), 1 << 20);
        assert_eq!(reserved_bytes(1 << 30, cell), 64 << 20);
    }
}
