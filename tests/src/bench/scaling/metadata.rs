//! What requests take, and what masters and mounts remember, by how many keys there are.

use std::path::Path;

use super::chart::{Axis, Chart, Line, Point, Scale};
use super::numbers::count;
use super::{ScalingError, ScalingOptions};
use crate::bench::keys::{KeysFigures, KeysOptions, RequestFigures, measure_keys_in};
use crate::bench::spread::Spread;

/// Bytes are told in whole MiB, and a law has no place for 0.
const LEAST_MIB: u64 = 1;

pub(super) fn measure(
    options: &ScalingOptions,
    scene: &Path,
    tell: &mut dyn FnMut(&str),
) -> Result<Vec<Chart>, ScalingError> {
    let (keys, requests) =
        if options.quick { (vec![500, 1000, 2000], 100) } else { (vec![10_000, 100_000, 1_000_000], 4000) };
    let rounds = u32::try_from(options.rounds).unwrap_or(u32::MAX);
    let found = measure_keys_in(scene, &KeysOptions { keys, rounds, requests }, &mut |figures| {
        let KeysFigures { keys, master_mib, mount_mib, .. } = figures;
        tell(&format!("metadata {keys:8} keys: master {master_mib} MiB, mount {mount_mib} MiB"));
    })?;
    Ok(charts(&found))
}

fn charts(found: &[KeysFigures]) -> Vec<Chart> {
    let once = |value: f64| Spread { median: value, low: value, high: value };
    let line = |label: &str, of: &dyn Fn(&KeysFigures) -> Option<Spread>| {
        let point = |row: &KeysFigures| Some(Point { x: f64::from(row.keys), name: count(row.keys), y: of(row)? });
        Line::new(label, found.iter().filter_map(point).collect()).with_law()
    };
    let requests = |label: &str, of: fn(RequestFigures) -> Spread| line(label, &|row| row.requests.map(of));
    let memory = |label: &str, of: fn(&KeysFigures) -> u64| {
        let mib = |row: &KeysFigures| u32::try_from(of(row).max(LEAST_MIB)).ok().map(|mib| once(f64::from(mib)));
        line(label, &mib)
    };
    let chart = |name: &str, title: &str, unit: &str, lines: Vec<Line>| Chart {
        name: name.to_owned(),
        title: title.to_owned(),
        x: Axis::new("keys in the cluster", Scale::Logarithmic),
        y: Axis::new(unit, Scale::Logarithmic),
        lines,
    };
    let rates = vec![
        requests("commits of 4 KiB", |figures| figures.commits_a_second),
        requests("look-ups", |figures| figures.look_ups_a_second),
    ];
    let page = requests("first page of a listing", |figures| figures.first_page_ms);
    let resident =
        vec![memory("elected master", |row| row.master_mib), memory("mount that listed all", |row| row.mount_mib)];
    vec![
        chart("metadata-rate", "Requests a second by keys, 4 clients with 64 each", "requests a second", rates),
        chart("metadata-page", "The first 1,000 keys by keys in the cluster", "ms", vec![page]),
        chart("metadata-memory", "Resident memory by keys", "MiB", resident),
    ]
}

#[cfg(test)]
mod tests {
    use super::charts;
    use crate::bench::keys::{KeysFigures, RequestFigures};
    use crate::bench::spread::Spread;

    #[test]
    fn rates_that_stay_and_memory_that_grows_have_their_laws() {
        let spread = |value: f64| Spread { median: value, low: value, high: value };
        let row = |keys, master_mib| KeysFigures {
            keys,
            made_a_second: 1.0,
            first_listing_s: 1.0,
            second_listing_s: 1.0,
            attributes_s: None,
            attributes_again_s: None,
            mount_peak_mib: 1,
            master_peak_mib: 1,
            mount_mib: 0,
            master_mib,
            requests: Some(RequestFigures {
                commits_a_second: spread(900.0),
                look_ups_a_second: spread(9000.0),
                first_page_ms: spread(0.7),
            }),
        };
        let charts = charts(&[row(10, 20), row(100, 200), row(1000, 2000)]);
        let exponents: Vec<f64> =
            charts.iter().flat_map(|chart| &chart.lines).map(|line| line.law.unwrap().exponent).collect();
        for (exponent, expected) in exponents.iter().zip([0.0, 0.0, 0.0, 1.0, 0.0]) {
            assert!((exponent - expected).abs() < 1e-9, "{exponents:?}");
        }
        assert_eq!(exponents.len(), 5);
    }
}
