//! Reports the measurements: as a table, as JSON, and as a chart for the README.

use std::{fmt, fs, path::Path};

use plotters::prelude::*;
use serde::Serialize;

use crate::Run;

/// Transactions a second of pgbench.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rates {
    /// Each statement after the answer to the one before, over as many connections as the load generator has.
    pub awaited: f64,
    /// The same over as many connections as the server has to its database.
    pub awaited_by_pool: f64,
    /// All statements at once, over as many connections as the server has.
    pub pipelined: f64,
}

/// One query.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Line {
    query: &'static str,
    requests_per_second: f64,
    p50_ms: f64,
    p99_ms: f64,
    server_cpu_us: f64,
    database_cpu_us: f64,
    peak_mb: f64,
    pgbench_awaited: Option<f64>,
    of_awaited: Option<f64>,
    pgbench_awaited_by_pool: Option<f64>,
    of_awaited_by_pool: Option<f64>,
    pgbench_pipelined: Option<f64>,
    of_pipelined: Option<f64>,
}

impl Line {
    /// The medians of all rounds.
    pub(crate) fn new(query: &'static str, runs: &[Run], rates: &[Rates]) -> Self {
        let of = |part: fn(&Run) -> f64| median(&runs.iter().map(part).collect::<Vec<f64>>()).unwrap_or(f64::NAN);
        let rate = of(|it| it.load.rate);
        let pgbench = |part: fn(&Rates) -> f64| median(&rates.iter().map(part).collect::<Vec<f64>>());
        let pgbench_awaited = pgbench(|it| it.awaited);
        let pgbench_awaited_by_pool = pgbench(|it| it.awaited_by_pool);
        let pgbench_pipelined = pgbench(|it| it.pipelined);
        Self {
            query,
            requests_per_second: rate,
            p50_ms: of(|it| it.load.p50),
            p99_ms: of(|it| it.load.p99),
            server_cpu_us: of(|it| it.server),
            database_cpu_us: of(|it| it.database),
            peak_mb: runs.iter().map(|it| it.peak).fold(0.0, f64::max),
            pgbench_awaited,
            of_awaited: pgbench_awaited.map(|it| rate / it),
            pgbench_awaited_by_pool,
            of_awaited_by_pool: pgbench_awaited_by_pool.map(|it| rate / it),
            pgbench_pipelined,
            of_pipelined: pgbench_pipelined.map(|it| rate / it),
        }
    }
}

/// The median.
pub(crate) fn median(all: &[f64]) -> Option<f64> {
    let mut sorted = all.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}

const HEADINGS: &str = "| query | requests/s | p50 ms | p99 ms | server CPU µs | PostgreSQL CPU µs | peak MB | pgbench awaited, 32 connections | ratio | awaited, 8 | ratio | pipelined, 8 | ratio |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|";

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = |it: Option<f64>| it.map_or_else(|| "–".to_owned(), |it| format!("{it:.0}"));
        let ratio = |it: Option<f64>| it.map_or_else(|| "–".to_owned(), |it| format!("{it:.2}"));
        write!(
            f,
            "| {} | {:.0} | {:.2} | {:.2} | {:.0} | {:.0} | {:.0} | {} | {} | {} | {} | {} | {} |",
            self.query,
            self.requests_per_second,
            self.p50_ms,
            self.p99_ms,
            self.server_cpu_us,
            self.database_cpu_us,
            self.peak_mb,
            whole(self.pgbench_awaited),
            ratio(self.of_awaited),
            whole(self.pgbench_awaited_by_pool),
            ratio(self.of_awaited_by_pool),
            whole(self.pgbench_pipelined),
            ratio(self.of_pipelined)
        )
    }
}

/// A start on an existing cluster.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Start {
    /// The time until it was ready.
    pub ready_ms: f64,
    /// Memory before the first request.
    pub idle_mb: f64,
}

/// Other resources of the machine that the server uses.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Footprint {
    /// A program that was in the system's cache.
    pub warm: Start,
    /// A program that had to be read from the disk.
    pub cold: Start,
    /// The number of connections.
    pub many_connections: usize,
    /// The maximum memory with them, in MB.
    pub many_mb: f64,
}

/// All results of a run.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    /// The machine and settings.
    pub setting: String,
    /// Query by query.
    pub lines: Vec<Line>,
    /// Memory and start.
    pub footprint: Footprint,
}

impl Report {
    /// Prints the table, and writes `docs/performance.json` and `docs/performance.svg`.
    pub(crate) fn publish(&self) {
        println!("{}\n\n{HEADINGS}", self.setting);
        for line in &self.lines {
            println!("{line}");
        }
        let Footprint { warm, cold, many_connections, many_mb } = self.footprint;
        for (start, from) in [(warm, "the cache"), (cold, "the disk")] {
            let Start { ready_ms, idle_mb } = start;
            println!("\nread from {from}: ready in {ready_ms:.0} ms on an existing cluster, {idle_mb:.1} MB idle");
        }
        println!("\n{many_mb:.1} MB at most under {many_connections} connections");
        write_json("performance", self);
        self.draw().unwrap();
    }

    /// Requests a second of each query as bars, with marks for pgbench.
    fn draw(&self) -> Result<(), Box<dyn std::error::Error>> {
        let shown: Vec<&Line> = self.lines.iter().filter(|it| it.pgbench_awaited.is_some()).collect();
        let path = docs("performance.svg");
        let root = SVGBackend::new(&path, (860, 60 + 92 * u32::try_from(shown.len())?)).into_drawing_area();
        root.fill(&WHITE)?;
        let style = |size: i32| ("sans-serif", size).into_font().color(&RGBColor(40, 40, 40));
        root.draw_text(
            "Requests a second of Tenantry, beside transactions a second of pgbench with the same statements",
            &style(15),
            (16, 14),
        )?;
        for (number, line) in shown.into_iter().enumerate() {
            let top = 46 + 92 * i32::try_from(number)?;
            let bars = [
                ("Tenantry", line.requests_per_second, RGBColor(37, 99, 135)),
                (
                    "pgbench, each statement awaited, 32 connections",
                    line.pgbench_awaited.unwrap_or(0.0),
                    RGBColor(158, 178, 190),
                ),
                (
                    "pgbench, each statement awaited, 8 connections",
                    line.pgbench_awaited_by_pool.unwrap_or(0.0),
                    RGBColor(180, 195, 205),
                ),
                ("pgbench, pipelined, 8 connections", line.pgbench_pipelined.unwrap_or(0.0), RGBColor(205, 214, 220)),
            ];
            let longest = bars.iter().map(|it| it.1).fold(1.0, f64::max);
            root.draw_text(line.query, &style(14), (16, top + 18))?;
            for (row, (name, rate, color)) in bars.into_iter().enumerate() {
                let y = top + 19 * i32::try_from(row)?;
                #[allow(clippy::cast_possible_truncation, reason = "a place on the picture")]
                let end = 270 + (300.0 * rate / longest) as i32;
                root.draw(&Rectangle::new([(270, y), (end, y + 15)], color.filled()))?;
                root.draw_text(&format!("{rate:.0}  {name}"), &style(12), (end + 6, y + 2))?;
            }
        }
        root.present()?;
        Ok(())
    }
}

/// A file of the folder `docs`.
pub(crate) fn docs(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name)
}

/// Writes `docs/<name>.json`.
pub(crate) fn write_json(name: &str, value: &impl Serialize) {
    fs::create_dir_all(docs("")).unwrap();
    fs::write(docs(&format!("{name}.json")), serde_json::to_string_pretty(value).unwrap() + "\n").unwrap();
}
