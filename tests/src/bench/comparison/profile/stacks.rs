use std::collections::BTreeMap;
use std::fmt::Write;

use super::kind::Kind;

/// Threads that stand for an idle processor, or for looking on.
const LEFT_OUT: [&str; 2] = ["swapper", "perf"];
/// Who runs where nobody does that is known: the kernel's own threads, and other programs.
const ELSEWHERE: &str = "elsewhere";

/// The stacks of some processors, and in how many samples each was met. The outermost frame is who ran: the name of a
/// daemon, or `elsewhere` and then the name of a thread.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Stacks(BTreeMap<String, u64>);

impl Stacks {
    /// From lines as `Recording::finish` gives them. `names` are those of the processes that are known.
    pub(super) fn parse(folded: &str, names: &BTreeMap<u32, String>) -> Self {
        let mut stacks = BTreeMap::new();
        for line in folded.lines() {
            let Some((who, frames, samples)) = split(line) else { continue };
            let stack = match names.get(&who.1) {
                Some(name) => format!("{name}{frames}"),
                None if LEFT_OUT.contains(&who.0) => continue,
                None => format!("{ELSEWHERE};{}{frames}", who.0),
            };
            *stacks.entry(stack).or_default() += samples;
        }
        Self(stacks)
    }

    /// Samples of everybody who is known.
    pub(super) fn samples(&self) -> u64 {
        self.of_known().map(|(_, samples)| samples).sum()
    }

    /// Samples of everybody else.
    pub(super) fn samples_elsewhere(&self) -> u64 {
        self.samples_of(ELSEWHERE)
    }

    /// Samples of those whose name begins so.
    pub(super) fn samples_of(&self, who: &str) -> u64 {
        self.0.iter().filter(|(stack, _)| stack.starts_with(who)).map(|(_, samples)| samples).sum()
    }

    /// Samples of each kind of work of those who are known.
    pub(super) fn by_kind(&self) -> BTreeMap<Kind, u64> {
        let mut kinds = BTreeMap::new();
        for (stack, samples) in self.of_known() {
            let functions = stack.split_once(';').map_or("", |(_, functions)| functions);
            *kinds.entry(Kind::of(functions)).or_default() += samples;
        }
        kinds
    }

    fn of_known(&self) -> impl Iterator<Item = (&String, &u64)> {
        self.0.iter().filter(|(stack, _)| !stack.starts_with(ELSEWHERE))
    }

    /// As lines again.
    pub(super) fn lines(&self) -> String {
        let mut lines = String::new();
        for (stack, samples) in &self.0 {
            writeln!(lines, "{stack} {samples}").expect("a String takes all text");
        }
        lines
    }
}

/// Thread and process, the frames with the `;` before each, and the samples.
fn split(line: &str) -> Option<((&str, u32), &str, u64)> {
    let (stack, samples) = line.rsplit_once(' ')?;
    let (thread, frames) = stack.split_at(stack.find(';').unwrap_or(stack.len()));
    let (name, process) = thread.rsplit_once('-')?;
    Some(((name, process.parse().unwrap_or(0)), frames, samples.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{Kind, Stacks};

    #[test]
    fn threads_of_a_daemon_are_one_and_idle_processors_are_left_out() {
        let names = BTreeMap::from([(12, "node-1".to_owned()), (13, "mount".to_owned())]);
        let folded = "cairn-12;main;memcpy 3\nraft-log-12;main;memcpy 4\nkworker/0:1-ev-77;worker_thread 5\n\
                      swapper-0;idle 90\nperf-99;main 1\ncairn-13 2\nnonsense\n";
        let stacks = Stacks::parse(folded, &names);
        assert_eq!(stacks.lines(), "elsewhere;kworker/0:1-ev;worker_thread 5\nmount 2\nnode-1;main;memcpy 7\n");
        assert_eq!((stacks.samples_of("node-"), stacks.samples_of("mount")), (7, 2));
        assert_eq!((stacks.samples(), stacks.samples_elsewhere()), (9, 5));
        assert_eq!(stacks.by_kind(), BTreeMap::from([(Kind::Copying, 7), (Kind::Other, 2)]));
    }
}
