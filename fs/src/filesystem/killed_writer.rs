//! Which signal ends the process that closes a file, as its own process directory shows it.

/// The flag of a process that is ending.
const ENDING: u64 = 0x4;
/// Fields of `stat` behind the command name, which is in parentheses: `flags` and `exit_code`.
const FLAGS_FIELD: usize = 6;
const EXIT_CODE_FIELD: usize = 49;
/// Bits of an exit code that hold the signal.
const SIGNAL_BITS: u32 = 0x7f;

/// A line of `status` that every process has but one that has given its memory back, as it does before its files.
const MEMORY_LINE: &str = "VmSize:";

/// Signal that ends process `pid`; 0 if it is not ending, or not by a signal, or cannot be seen from here (as in
/// another process namespace).
///
/// `stat` is read of a process that ends, and of no other: it waits for one that is just executing another program,
/// and that waits for its descriptors to be closed, which is what asks here.
pub(super) fn signal_ending(pid: u32) -> u32 {
    if pid == 0 {
        return 0;
    }
    let read = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}")).ok();
    let ending = read("status").filter(|status| has_no_memory(status));
    ending.and_then(|_| read("stat")).and_then(|stat| signal_in(&stat)).unwrap_or(0)
}

fn has_no_memory(status: &str) -> bool {
    !status.lines().any(|line| line.starts_with(MEMORY_LINE))
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
    use super::{has_no_memory, signal_ending, signal_in};

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
    fn only_a_process_that_ends_has_no_memory() {
        assert!(has_no_memory("Name:\tcat\nState:\tX (dead)\nThreads:\t1\n"));
        assert!(!has_no_memory("Name:\tcat\nState:\tR (running)\nVmPeak:\t 8 kB\nVmSize:\t 8 kB\n"));
        assert!(!has_no_memory(&std::fs::read_to_string("/proc/self/status").unwrap()));
    }

    #[test]
    fn a_process_that_runs_has_no_signal() {
        assert_eq!(signal_ending(std::process::id()), 0);
    }
}
