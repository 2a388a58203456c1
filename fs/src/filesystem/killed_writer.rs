//! Which signal ends the process that closes a file, as its own process directory shows it.

/// The flag of a process that is ending.
const ENDING: u64 = 0x4;
/// Fields of `stat` behind the command name, which is in parentheses: `flags` and `exit_code`.
const FLAGS_FIELD: usize = 6;
const EXIT_CODE_FIELD: usize = 49;
/// Bits of an exit code that hold the signal.
const SIGNAL_BITS: u32 = 0x7f;

/// Signal that ends process `pid`; 0 if it is not ending, or not by a signal, or cannot be seen from here (as in
/// another process namespace).
pub(super) fn signal_ending(pid: u32) -> u32 {
    if pid == 0 {
        return 0;
    }
    std::fs::read_to_string(format!("/proc/{pid}/stat")).ok().and_then(|stat| signal_in(&stat)).unwrap_or(0)
}

fn signal_in(stat: &str) -> Option<u32> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace();
    let flags: u64 = fields.nth(FLAGS_FIELD)?.parse().ok()?;
    let exit_code: u32 = fields.nth(EXIT_CODE_FIELD - FLAGS_FIELD - 1)?.parse().ok()?;
    (flags & ENDING != 0).then_some(exit_code & SIGNAL_BITS)
}

#[cfg(test)]
mod tests {
    use super::{signal_ending, signal_in};

    fn stat(flags: u64, exit_code: u32) -> String {
        let mut fields = vec!["0".to_owned(); 52];
        (fields[0], fields[1], fields[2]) = ("7".to_owned(), "(a ) b)".to_owned(), "R".to_owned());
        (fields[8], fields[51]) = (flags.to_string(), exit_code.to_string());
        fields.join(" ")
    }

    #[test]
    fn only_a_process_that_ends_has_a_signal() {
        assert_eq!(signal_in(&stat(0x4, 9)), Some(9));
        assert_eq!(signal_in(&stat(0x4, 0x8f)), Some(15));
        assert_eq!(signal_in(&stat(0x4, 0x100)), Some(0));
        assert_eq!(signal_in(&stat(0x40_0040, 9)), None);
    }

    #[test]
    fn a_process_that_runs_has_no_signal() {
        assert_eq!(signal_ending(std::process::id()), 0);
    }
}
