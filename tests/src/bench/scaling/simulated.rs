//! What very many nodes, which are simulated, cost the elected master: each number of nodes in a program of its own, so that
//! none has the memory of the one before.

use std::path::Path;
use std::process::{Command, Stdio};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::chart::{Axis, Chart, Line, Point, Scale};
use super::numbers::count;
use super::{ScalingError, ScalingOptions};
use crate::bench::spread::Spread;

/// What is read of `bench-heartbeats.json`.
#[derive(Debug, Clone, Copy, Deserialize)]
struct Heartbeats {
    nodes: u32,
    processor_us_a_beat: f64,
    processor_percent: f64,
    kib_a_node: f64,
}

/// What is read of `bench-losses.json`.
#[derive(Debug, Clone, Copy, Deserialize)]
struct Losses {
    nodes: u32,
    ordered_s: f64,
    processor_us_a_chunk: f64,
    orders_a_chunk: f64,
    kib_a_node: f64,
}

/// One figure of one round.
type Figure<T> = fn(&T) -> f64;

pub(super) fn heartbeats(
    options: &ScalingOptions,
    scene: &Path,
    tell: &mut dyn FnMut(&str),
) -> Result<Vec<Chart>, ScalingError> {
    let seconds = if options.quick { 2 } else { 10 };
    let found: Vec<Heartbeats> = rounds("heartbeats", &["--seconds", &seconds.to_string()], options, scene, tell)?;
    let line = |label: &str, of: Figure<Heartbeats>| line(label, &found, |figures| figures.nodes, of);
    let time = vec![
        line("of all heartbeats, ms a second", |figures| figures.processor_percent * 10.0),
        line("of one heartbeat, ms", |figures| figures.processor_us_a_beat / 1000.0),
    ];
    let memory = vec![line("for all nodes", |figures| figures.kib_a_node * f64::from(figures.nodes) / 1024.0)];
    Ok(vec![
        chart("heartbeats-processor", "Processor time of the elected master for heartbeats", "ms", time),
        chart("heartbeats-memory", "Memory of the elected master for nodes", "MiB", memory),
    ])
}

pub(super) fn losses(
    options: &ScalingOptions,
    scene: &Path,
    tell: &mut dyn FnMut(&str),
) -> Result<Vec<Chart>, ScalingError> {
    let chunks = if options.quick { 6 } else { 120 };
    let found: Vec<Losses> = rounds("losses", &["--chunks", &chunks.to_string()], options, scene, tell)?;
    let line = |label: &str, of: Figure<Losses>| line(label, &found, |figures| figures.nodes, of);
    let time = vec![
        line("processor for each lost chunk", |figures| figures.processor_us_a_chunk / 1000.0),
        // Nearly all are ordered at once, so there is no law in it.
        Line { law: None, ..line("first order to last", |figures| figures.ordered_s * 1000.0) },
    ];
    let orders = vec![line("orders to nodes", |figures| figures.orders_a_chunk)];
    let memory =
        vec![line("for all nodes and segments", |figures| figures.kib_a_node * f64::from(figures.nodes) / 1024.0)];
    Ok(vec![
        chart("losses-processor", "The loss of one node: time at the elected master", "ms", time),
        chart(
            "losses-orders",
            "The loss of one node: orders for each lost chunk",
            "orders for each lost chunk",
            orders,
        ),
        chart("losses-memory", "Memory of the elected master for nodes and segments", "MiB", memory),
    ])
}

/// The rows of each number of nodes, round after round.
fn rounds<T: DeserializeOwned>(
    command: &str,
    arguments: &[&str],
    options: &ScalingOptions,
    scene: &Path,
    tell: &mut dyn FnMut(&str),
) -> Result<Vec<T>, ScalingError> {
    let sizes: &[u32] = if options.quick { &[10, 20, 40] } else { &[10, 30, 100, 300, 1000] };
    let mut found = Vec::new();
    for round in 0..options.rounds {
        for nodes in sizes {
            let mut program = Command::new(std::env::current_exe()?);
            program
                .args([command, "--nodes", &nodes.to_string()])
                .args(arguments)
                .arg("--output")
                .arg(scene)
                .arg("--folder")
                .arg(scene);
            let ended = program.stdin(Stdio::null()).stdout(Stdio::null()).status()?;
            if !ended.success() {
                return Err(ScalingError::Simulation(format!("{command} of {nodes} nodes")));
            }
            let text = std::fs::read(scene.join(format!("bench-{command}.json")))?;
            let rows: Vec<T> = serde_json::from_slice(&text).map_err(std::io::Error::from)?;
            found.extend(rows);
            tell(&format!("{command:10} {nodes:5} nodes #{}", round + 1));
        }
    }
    Ok(found)
}

fn line<T>(label: &str, found: &[T], nodes: fn(&T) -> u32, of: Figure<T>) -> Line {
    let mut sizes: Vec<u32> = found.iter().map(nodes).collect();
    sizes.sort_unstable();
    sizes.dedup();
    let point = |size: u32| {
        let rounds: Vec<f64> = found.iter().filter(|row| nodes(row) == size).map(of).collect();
        Some(Point { x: f64::from(size), name: count(size), y: Spread::of(&rounds)? })
    };
    Line::new(label, sizes.into_iter().filter_map(point).collect()).with_law()
}

fn chart(name: &str, title: &str, unit: &str, lines: Vec<Line>) -> Chart {
    Chart {
        name: name.to_owned(),
        title: title.to_owned(),
        x: Axis::new("nodes, simulated", Scale::Logarithmic),
        y: Axis::new(unit, Scale::Logarithmic),
        lines,
    }
}

#[cfg(test)]
mod tests {
    use super::line;

    #[test]
    fn rounds_of_the_same_number_of_nodes_are_one_point() {
        let found = [(10, 5.0), (100, 50.0), (1000, 500.0), (10, 7.0), (10, 6.0)];
        let line = line("time", &found, |row| row.0, |row| row.1);
        let names: Vec<&str> = line.points.iter().map(|point| point.name.as_str()).collect();
        assert_eq!(names, ["10", "100", "1,000"]);
        assert!((line.points[0].y.median - 6.0).abs() < 1e-9 && line.law.is_some_and(|law| law.exponent > 0.9));
    }
}
