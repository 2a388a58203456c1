//! What clients write and read in a second, by what the cluster is made of.

use std::path::Path;

use cairn_codec::Layout;

use super::chart::{Axis, Chart, Line, Point, Scale};
use super::client::Work;
use super::client_processes::ClientProcesses;
use super::numbers::count;
use super::series::ScalingSeries;
use super::stored_file::StoredFile;
use super::{ScalingError, ScalingOptions};
use crate::bench::spread::Spread;
use crate::{ClusterOptions, DevCluster};

/// A cluster, and who writes to it how.
#[derive(Debug, Clone)]
struct Case {
    x: f64,
    name: String,
    /// What begins the names of its lines.
    group: &'static str,
    nodes: u32,
    clients: u32,
    layout: Layout,
}

/// What one round of a case found, in MiB/s.
#[derive(Debug, Clone, Copy)]
struct Found {
    case: usize,
    written: f64,
    read: f64,
}

const KIB: u32 = 1 << 10;
const MIB: u64 = 1 << 20;

/// The chart of a series; `None` of those that are about something else.
pub(super) fn measure(
    series: ScalingSeries,
    options: &ScalingOptions,
    scene: &Path,
    tell: &mut dyn FnMut(&str),
) -> Result<Option<Chart>, ScalingError> {
    let Some((chart, cases)) = cases(series) else { return Ok(None) };
    let mut found = Vec::new();
    for round in 0..options.rounds {
        // In another order each time, so that none always comes after the same.
        for turn in 0..cases.len() {
            let number = (turn + round) % cases.len();
            let case = &cases[number];
            let (written, read) = run(case, options.file_mib(), scene)?;
            let Case { name, group, .. } = case;
            tell(&format!(
                "{:8} {group} {name:8} #{} {written:7.0} MiB/s written, {read:7.0} MiB/s read",
                chart.name,
                round + 1
            ));
            found.push(Found { case: number, written, read });
        }
    }
    Ok(Some(Chart { lines: lines(&cases, &found), ..chart }))
}

fn run(case: &Case, mib: u32, scene: &Path) -> Result<(f64, f64), ScalingError> {
    let cluster = ClusterOptions::default().nodes(case.nodes as usize).layout(&case.layout.to_string());
    let cluster = DevCluster::start_in(scene, cluster);
    let file =
        |number| StoredFile { masters: cluster.addresses(), key: format!("file-{number}"), mib, layout: case.layout };
    let files: Vec<StoredFile> = (0..case.clients).map(file).collect();
    let mut clients = ClientProcesses::start(&files)?;
    nix::unistd::sync();
    let written = clients.run(Work::Write)?;
    clients.run(Work::Check)?;
    let read = clients.run(Work::Read)?;
    let all_mib = f64::from(mib) * f64::from(case.clients);
    Ok((all_mib / written.as_secs_f64(), all_mib / read.as_secs_f64()))
}

fn lines(cases: &[Case], found: &[Found]) -> Vec<Line> {
    let mut groups: Vec<&str> = cases.iter().map(|case| case.group).collect();
    groups.dedup();
    let line = |group: &str, what: &str, figure: fn(&Found) -> f64| {
        let of_group = cases.iter().enumerate().filter(|(_, case)| case.group == group);
        let points = of_group.filter_map(|(number, case)| {
            let rounds: Vec<f64> = found.iter().filter(|found| found.case == number).map(figure).collect();
            Some(Point { x: case.x, name: case.name.clone(), y: Spread::of(&rounds)? })
        });
        Line::new(format!("{group} {what}").trim(), points.collect())
    };
    let of_group = |group: &&str| {
        [line(group, "synced write", |found| found.written), line(group, "second read", |found| found.read)]
    };
    groups.iter().flat_map(of_group).collect()
}

fn cases(series: ScalingSeries) -> Option<(Chart, Vec<Case>)> {
    let usual = Case { x: 0.0, name: String::new(), group: "", nodes: 6, clients: 1, layout: Layout::DEFAULT };
    let (label, scale, cases) = match series {
        ScalingSeries::Nodes => ("nodes", Scale::Linear, by_nodes(&usual)),
        ScalingSeries::Clients => {
            let case = |clients| Case { x: f64::from(clients), name: count(clients), clients, ..usual.clone() };
            ("clients, each with a file of its own", Scale::Linear, [1, 2, 4].map(case).to_vec())
        }
        ScalingSeries::Cells => {
            let case = |kib: u32| Case {
                x: f64::from(kib),
                name: format!("{kib} KiB"),
                layout: Layout::DEFAULT.with_cell_size(kib * KIB).expect("a valid cell"),
                ..usual.clone()
            };
            ("size of a cell", Scale::Logarithmic, [64, 128, 256].map(case).to_vec())
        }
        ScalingSeries::Stripes => {
            let case = |mib: u32| Case {
                x: f64::from(mib),
                name: format!("{mib} MiB"),
                layout: Layout::DEFAULT.with_stripe_size(u64::from(mib) * MIB).expect("a valid stripe"),
                ..usual.clone()
            };
            ("size of a stripe", Scale::Logarithmic, [4, 16, 64].map(case).to_vec())
        }
        ScalingSeries::Layouts => ("layout, on 14 nodes", Scale::Named, by_layout(&usual)),
        ScalingSeries::Metadata | ScalingSeries::Heartbeats | ScalingSeries::Losses => return None,
    };
    let chart = Chart {
        name: series.name().to_owned(),
        title: format!("Throughput by {label}: synced sequential write, second read"),
        x: Axis::new(label, scale),
        y: Axis::new("MiB/s of user bytes, all clients", Scale::Linear),
        lines: Vec::new(),
    };
    Some((chart, cases))
}

/// The usual layout has no fewer than six nodes; fewer have one with three chunks.
fn by_nodes(usual: &Case) -> Vec<Case> {
    let small = Layout::new(2, 1, 64 * KIB, 64 * MIB).expect("a valid layout");
    let groups = [("2+1", small, [3, 4, 6]), ("4+2", Layout::DEFAULT, [6, 8, 12])];
    let case = |(group, layout, sizes): (&'static str, Layout, [u32; 3])| {
        sizes.map(|nodes| Case { x: f64::from(nodes), name: count(nodes), group, nodes, layout, ..usual.clone() })
    };
    groups.into_iter().flat_map(case).collect()
}

fn by_layout(usual: &Case) -> Vec<Case> {
    let layouts = [(1, 2), (4, 2), (6, 3), (10, 4)];
    let case = |(place, (data, code)): (u32, (u32, u32))| {
        let layout = Layout::new(data, code, 64 * KIB, 64 * MIB).expect("a valid layout");
        Case { x: f64::from(place), name: layout.to_string(), nodes: 14, layout, ..usual.clone() }
    };
    (0..).zip(layouts).map(case).collect()
}

#[cfg(test)]
mod tests {
    use super::{Case, Found, cases, lines};
    use crate::bench::scaling::series::ScalingSeries;
    use crate::bench::spread::Spread;

    fn of(series: ScalingSeries) -> Vec<Case> {
        cases(series).unwrap().1
    }

    #[test]
    fn each_cluster_has_the_nodes_that_its_layout_takes() {
        for series in [
            ScalingSeries::Nodes,
            ScalingSeries::Clients,
            ScalingSeries::Cells,
            ScalingSeries::Stripes,
            ScalingSeries::Layouts,
        ] {
            let cases = of(series);
            assert!(cases.iter().all(|case| case.nodes as usize >= case.layout.chunks()), "{cases:?}");
            assert!(cases.windows(2).all(|pair| pair[0].group != pair[1].group || pair[0].x < pair[1].x), "{cases:?}");
        }
        assert!(cases(ScalingSeries::Metadata).is_none());
    }

    #[test]
    fn the_rounds_of_a_case_are_one_point_of_each_line() {
        let cases = of(ScalingSeries::Nodes);
        let round = |case, written| Found { case, written, read: 2.0 * written };
        let found = [round(0, 10.0), round(3, 70.0), round(0, 30.0), round(0, 20.0)];
        let lines = lines(&cases, &found);
        let labels: Vec<&str> = lines.iter().map(|line| line.label.as_str()).collect();
        assert_eq!(labels, ["2+1 synced write", "2+1 second read", "4+2 synced write", "4+2 second read"]);
        assert_eq!(lines[1].points.len(), 1, "what was not measured is not shown");
        assert_eq!(lines[1].points[0].y, Spread { median: 40.0, low: 20.0, high: 60.0 });
        assert_eq!((lines[2].points[0].x, lines[2].points[0].name.as_str()), (6.0, "6"));
    }
}
