//! Resident memory of a process, as the kernel counts it.

use crate::process::Process;

/// Most memory that was resident since the start of the process (`VmHWM`), in bytes.
///
/// # Panics
/// When the process is gone.
#[must_use]
pub fn peak_bytes(process: Process) -> u64 {
    field_bytes(process, "VmHWM:")
}

/// Memory that is resident now (`VmRSS`), in bytes.
///
/// # Panics
/// When the process is gone.
#[must_use]
pub fn current_bytes(process: Process) -> u64 {
    field_bytes(process, "VmRSS:")
}

fn field_bytes(process: Process, name: &str) -> u64 {
    let field = process.status_field(name).unwrap_or_else(|| panic!("process {} has no {name}", process.id()));
    parse_kib(&field).unwrap_or_else(|| panic!("{name} of process {} is {field:?}", process.id()))
}

fn parse_kib(field: &str) -> Option<u64> {
    field.strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::{current_bytes, parse_kib, peak_bytes};
    use crate::process::Process;

    #[test]
    fn the_kernel_counts_in_units_of_1024() {
        assert_eq!(parse_kib("12 kB"), Some(12 * 1024));
        assert_eq!(parse_kib("12 MB"), None);
    }

    #[test]
    fn the_peak_is_never_below_the_present() {
        let me = Process::new(std::process::id());
        let now = current_bytes(me);
        assert!(now > 0 && peak_bytes(me) >= now);
    }
}
