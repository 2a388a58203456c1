use std::hint::black_box;
use std::time::Instant;

/// Bytes that are copied to see how long a copy takes: more than any cache has.
const COPIED_BYTES: u32 = 256 << 20;
/// How often: the first copy also gets the pages.
const COPIES: usize = 4;

/// How long one thread takes to copy a GiB from memory to memory: the quickest of several times.
pub(super) fn copy_s_a_gib() -> f64 {
    let (from, mut to) = (vec![1_u8; COPIED_BYTES as usize], vec![0_u8; COPIED_BYTES as usize]);
    let once = |_| {
        let begun = Instant::now();
        to.copy_from_slice(black_box(&from));
        black_box(&mut to);
        begun.elapsed().as_secs_f64()
    };
    let quickest = (0..COPIES).map(once).fold(f64::INFINITY, f64::min);
    quickest * f64::from(1_u32 << 30) / f64::from(COPIED_BYTES)
}
