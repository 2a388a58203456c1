use std::collections::BTreeSet;
use std::fmt::Write;
use std::io;
use std::path::Path;

use super::comparison::KvOptions;
use super::contestant::System;
use super::error::KvError;
use super::measurement::{Case, Measurement};
use crate::bench::output;
use crate::bench::spread::median;

/// Figures of all rounds.
#[derive(Debug)]
pub struct KvReport {
    options: KvOptions,
    measurements: Vec<Measurement>,
}

impl KvReport {
    pub(super) fn new(options: KvOptions, measurements: Vec<Measurement>) -> Self {
        Self { options, measurements }
    }

    /// Nothing if every confirmed change was there exactly once, in all rounds.
    pub fn check_once(&self) -> Result<(), KvError> {
        let lost = self.measurements.iter().map(|measurement| measurement.lost).sum();
        let doubled = self.measurements.iter().map(|measurement| measurement.doubled).sum();
        if lost + doubled > 0 { Err(KvError::NotOnce { lost, doubled }) } else { Ok(()) }
    }

    /// Medians, and how many times as much Cairn does.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut text = format!(
            "Median of {} rounds of {} s, values of {} bytes, every write synced. \"Clients\" and \"servers\" are the processors \
             that they kept busy.\n\n\
             | members | work | clients | system | a second (lowest..highest) | cairn / etcd | p50 ms | p99 ms | clients | servers | lost | doubled |\n\
             |---:|---|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|\n",
            self.options.rounds,
            self.options.measured.as_secs_f64(),
            self.options.value_bytes
        );
        let cases: BTreeSet<Case> = self.measurements.iter().map(|measurement| measurement.case).collect();
        for case in cases {
            self.add_row(&mut text, case);
        }
        text
    }

    fn add_row(&self, text: &mut String, case: Case) {
        let (low, high) = self.of(case).fold((f64::MAX, 0.0_f64), |(low, high), measurement| {
            (low.min(measurement.per_second), high.max(measurement.per_second))
        });
        let lost: u64 = self.of(case).map(|measurement| measurement.lost).sum();
        let doubled: u64 = self.of(case).map(|measurement| measurement.doubled).sum();
        let middle = |figure: fn(&Measurement) -> f64| self.median(case, figure).unwrap_or_default();
        writeln!(
            text,
            "| {} | {} | {} | {} | {:.0} ({low:.0}..{high:.0}) | {} | {:.2} | {:.2} | {:.2} | {:.2} | {lost} | {doubled} |",
            case.members,
            case.work,
            case.clients,
            case.system,
            middle(|measurement| measurement.per_second),
            self.ratio(case),
            middle(|measurement| measurement.p50_ms),
            middle(|measurement| measurement.p99_ms),
            middle(|measurement| measurement.client_processors),
            middle(|measurement| measurement.server_processors),
        )
        .expect("a String takes all text");
    }

    fn of(&self, case: Case) -> impl Iterator<Item = &Measurement> {
        self.measurements.iter().filter(move |measurement| measurement.case == case)
    }

    fn median(&self, case: Case, figure: fn(&Measurement) -> f64) -> Option<f64> {
        median(self.of(case).map(figure).collect())
    }

    fn ratio(&self, case: Case) -> String {
        let rate = |system| self.median(Case { system, ..case }, |measurement| measurement.per_second);
        match (case.system, rate(System::Cairn), rate(System::Etcd)) {
            (System::Cairn, Some(ours), Some(theirs)) if theirs > 0.0 => format!("{:.2}", ours / theirs),
            _ => "-".to_owned(),
        }
    }

    /// Every figure of every round.
    #[must_use]
    pub fn json(&self) -> String {
        let document = serde_json::json!({
            "rounds": self.options.rounds,
            "seconds": self.options.measured.as_secs_f64(),
            "value_bytes": self.options.value_bytes,
            "measurements": self.measurements,
        });
        serde_json::to_string_pretty(&document).expect("figures are JSON")
    }

    /// Writes `bench-kv.md` and `bench-kv.json` into a folder, which is made if missing.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        output::write(folder, "bench-kv", &self.markdown(), &self.json())
    }
}

#[cfg(test)]
mod tests {
    use super::KvReport;
    use crate::bench::kv::comparison::KvOptions;
    use crate::bench::kv::contestant::System;
    use crate::bench::kv::measurement::{Case, Measurement};
    use crate::bench::kv::worker::Work;
    use std::time::Duration;

    fn measurement(system: System, round: usize, per_second: f64) -> Measurement {
        Measurement {
            case: Case { members: 3, work: Work::Put, clients: 16, system },
            round,
            per_second,
            p50_ms: 1.0,
            p99_ms: 2.0,
            client_processors: 0.5,
            server_processors: 1.5,
            lost: 0,
            doubled: 0,
        }
    }

    fn report(doubled: u64) -> KvReport {
        let options = KvOptions {
            etcd: true,
            members: vec![3],
            clients: vec![16],
            measured: Duration::from_secs(5),
            rounds: 3,
            value_bytes: 256,
        };
        let mut measurements: Vec<_> = [100.0, 300.0, 200.0]
            .into_iter()
            .enumerate()
            .map(|(round, per_second)| measurement(System::Cairn, round + 1, per_second))
            .collect();
        measurements.push(Measurement { doubled, ..measurement(System::Etcd, 1, 100.0) });
        KvReport::new(options, measurements)
    }

    #[test]
    fn each_case_has_a_row_with_the_ratio_beside_ours() {
        let text = report(0).markdown();
        let rows: Vec<_> = text.lines().filter(|line| line.starts_with("| 3 |")).collect();
        assert_eq!(rows[0], "| 3 | put | 16 | cairn | 200 (100..300) | 2.00 | 1.00 | 2.00 | 0.50 | 1.50 | 0 | 0 |");
        assert_eq!(rows[1], "| 3 | put | 16 | etcd | 100 (100..100) | - | 1.00 | 2.00 | 0.50 | 1.50 | 0 | 0 |");
    }

    #[test]
    fn a_change_that_was_applied_twice_is_a_failure() {
        report(0).check_once().unwrap();
        assert_eq!(
            report(2).check_once().unwrap_err().to_string(),
            "0 changes were lost and 2 applied twice: see the table"
        );
    }

    #[test]
    fn programs_get_every_round() {
        let document: serde_json::Value = serde_json::from_str(&report(0).json()).unwrap();
        let measurements = document["measurements"].as_array().unwrap();
        assert_eq!((measurements.len(), measurements[3]["system"].as_str()), (4, Some("etcd")));
    }
}
