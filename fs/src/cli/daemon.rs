use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::Failure;

/// Blocks from this size on are mapped on their own, so that freeing one gives its memory back.
const MMAP_THRESHOLD_BYTES: libc::c_int = 32 << 20;

/// Free memory above this at the top of the heap goes back to the system.
const TRIM_THRESHOLD_BYTES: libc::c_int = 256 << 20;

/// What every daemon needs of the machine before it starts.
pub(crate) fn prepare_process() -> Result<(), Failure> {
    cairn_codec::require_cpu_features()?;
    set_memory_thresholds();
    raise_open_files()
}

/// Cells and rows are allocated and freed all the time: without fixed thresholds glibc raises its own
/// up to where freed memory stays with the process.
fn set_memory_thresholds() {
    #[cfg(target_env = "gnu")]
    #[allow(unsafe_code)]
    // SAFETY: mallopt takes two integers, holds the allocator's own lock while it works and touches
    // nothing but its settings.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, MMAP_THRESHOLD_BYTES);
        libc::mallopt(libc::M_TRIM_THRESHOLD, TRIM_THRESHOLD_BYTES);
    }
}

/// RocksDB keeps its table files open, and every peer is a connection.
fn raise_open_files() -> Result<(), Failure> {
    let raise = || {
        let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
        setrlimit(Resource::RLIMIT_NOFILE, most, most)
    };
    raise().map_err(|errno| Failure::System { action: "raise the limit of open files", source: errno.into() })
}
