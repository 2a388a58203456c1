use std::time::Duration;

use fuser::{InitFlags, KernelConfig};

/// Largest WRITE request.
const WRITE_LIMIT_BYTES: u32 = 1 << 20;
/// Reads ahead and other requests without a waiting caller that the kernel may have under way.
const BACKGROUND_REQUESTS: u16 = 128;

/// Capabilities wanted of the kernel, each one optional. The write-back cache is not among them: it would merge
/// writes and hide their errors.
const CAPABILITIES: [InitFlags; 8] = [
    InitFlags::FUSE_ATOMIC_O_TRUNC,
    InitFlags::FUSE_HANDLE_KILLPRIV_V2,
    InitFlags::FUSE_DO_READDIRPLUS,
    InitFlags::FUSE_READDIRPLUS_AUTO,
    InitFlags::FUSE_PARALLEL_DIROPS,
    InitFlags::FUSE_MAX_PAGES,
    InitFlags::FUSE_ASYNC_DIO,
    InitFlags::FUSE_EXPLICIT_INVAL_DATA,
];

/// A kernel that maps files whose pages are bypassed drops the pages that a write passes.
const BYPASS: InitFlags = InitFlags::FUSE_DIRECT_IO_ALLOW_MMAP;

/// Agrees with the kernel on what both can do. What this kernel lacks costs speed, nothing else. Returns whether requests may
/// bypass its pages.
pub(super) fn agree(config: &mut KernelConfig) -> bool {
    for capability in CAPABILITIES {
        if let Err(missing) = config.add_capabilities(capability) {
            tracing::info!(?missing, "this kernel lacks a capability");
        }
    }
    let refused = [
        config.set_max_write(WRITE_LIMIT_BYTES).err(),
        config.set_max_background(BACKGROUND_REQUESTS).err().map(u32::from),
    ];
    for nearest in refused.into_iter().flatten() {
        tracing::info!(nearest, "a limit was not accepted");
    }
    if config.set_time_granularity(Duration::from_nanos(1)).is_err() {
        tracing::info!("times are not kept to the nanosecond");
    }
    let bypasses = config.add_capabilities(BYPASS).is_ok();
    if !bypasses {
        tracing::info!("writes go through pages: this kernel would keep old ones");
    }
    bypasses
}
