//! How cost grows with bookings, tenants and connections: each at 1, 10 and 100 times, the others unchanged.

use plotters::prelude::*;
use serde::Serialize;

use crate::{
    BOOKINGS, CONNECTIONS, Plan, TENANTS,
    dataset::Sender,
    deployment::Deployment,
    folder,
    load::Query,
    measured, prepared,
    report::{docs, median, write_json},
};

/// The queries at each scale.
const QUERIES: [Query; 4] = [Query::Service, Query::Bookings, Query::CreateBooking, Query::Availability];
const TIMES: [usize; 3] = [1, 10, 100];

/// One query at one scale.
#[derive(Clone, Debug, Serialize)]
struct Point {
    grown: &'static str,
    size: usize,
    query: &'static str,
    requests_per_second: f64,
    p99_ms: f64,
    /// CPU of server and PostgreSQL per request.
    cpu_us: f64,
    /// The ratio to the smallest scale.
    of_smallest: f64,
}

/// A deployment, its senders, and the number of connections.
struct Scale<'a> {
    size: usize,
    deployment: &'a Deployment,
    senders: &'a [Sender],
    connections: usize,
}

/// Measures, and writes `docs/scale.json` and `docs/scale.svg`.
pub(crate) async fn run(plan: Plan) {
    let mut points = Vec::new();
    let sets = [
        ("bookings", TIMES.map(|it| (TENANTS, BOOKINGS / 10 * it))),
        // A hundred bookings of each.
        ("tenants", TIMES.map(|it| (TENANTS / 10 * it, TENANTS * 10 * it))),
    ];
    for (grown, sizes) in sets {
        let folders = [folder(), folder(), folder()];
        let mut deployments = Vec::new();
        for ((tenants, bookings), folder) in sizes.iter().zip(&folders) {
            deployments.push(Box::pin(prepared(folder, *tenants, *bookings)).await);
        }
        let scales: Vec<Scale<'_>> = deployments
            .iter()
            .zip(sizes)
            .map(|((deployment, senders), (tenants, bookings))| Scale {
                size: if grown == "bookings" { bookings } else { tenants },
                deployment,
                senders,
                connections: CONNECTIONS,
            })
            .collect();
        points.extend(compare(plan, grown, &scales).await);
        if grown == "bookings" {
            let (deployment, senders) = &deployments[1];
            let with = |it: usize| Scale { size: 4 * it, deployment, senders, connections: 4 * it };
            points.extend(compare(plan, "connections", &TIMES.map(with)).await);
        }
        drop(scales);
        for (deployment, _) in deployments {
            deployment.stop();
        }
    }
    println!(
        "| grown | to | query | requests/s | p99 ms | CPU µs of server and PostgreSQL | of the smallest |\n|---|---|---|---|---|---|---|"
    );
    for it in &points {
        println!(
            "| {} | {} | {} | {:.0} | {:.2} | {:.0} | {:.2} |",
            it.grown, it.size, it.query, it.requests_per_second, it.p99_ms, it.cpu_us, it.of_smallest
        );
    }
    write_json("scale", &points);
    draw(&points).unwrap();
}

/// Each query at each scale, in turn.
async fn compare(plan: Plan, grown: &'static str, scales: &[Scale<'_>]) -> Vec<Point> {
    let mut points = Vec::new();
    // Bookings of other turns than in another comparison on the same deployment.
    let mut turn = if grown == "connections" { 30 } else { 1 };
    for query in QUERIES {
        let mut runs = vec![Vec::new(); scales.len()];
        for round in 0..=plan.rounds {
            for (scale, runs) in scales.iter().zip(&mut runs) {
                turn += usize::from(query == Query::CreateBooking);
                let seconds = if round == 0 { 2 } else { plan.seconds };
                let run = measured(scale.deployment, query, scale.senders, scale.connections, seconds, turn).await;
                runs.extend((round > 0).then_some(run));
            }
        }
        let of =
            |at: usize, part: fn(&crate::Run) -> f64| median(&runs[at].iter().map(part).collect::<Vec<f64>>()).unwrap();
        let cost = |at: usize| of(at, |it| it.server + it.database);
        for (at, scale) in scales.iter().enumerate() {
            let point = Point {
                grown,
                size: scale.size,
                query: query.name(),
                requests_per_second: of(at, |it| it.load.rate),
                p99_ms: of(at, |it| it.load.p99),
                cpu_us: cost(at),
                of_smallest: cost(at) / cost(0),
            };
            eprintln!("{point:?}");
            points.push(point);
        }
    }
    points
}

/// Three charts side by side: one line per query, from 1 time to 100 times.
fn draw(points: &[Point]) -> Result<(), Box<dyn std::error::Error>> {
    let path = docs("scale.svg");
    let root = SVGBackend::new(&path, (960, 340)).into_drawing_area();
    root.fill(&WHITE)?;
    let colors = [RGBColor(37, 99, 135), RGBColor(196, 106, 46), RGBColor(76, 138, 74), RGBColor(122, 91, 155)];
    let highest = points.iter().map(|it| it.of_smallest).fold(2.0, f64::max) * 1.1;
    for (area, grown) in root.split_evenly((1, 3)).iter().zip(["bookings", "tenants", "connections"]) {
        let of_grown: Vec<&Point> = points.iter().filter(|it| it.grown == grown).collect();
        let (least, most) =
            (of_grown.iter().map(|it| it.size).min().unwrap(), of_grown.iter().map(|it| it.size).max().unwrap());
        let mut chart = ChartBuilder::on(area)
            .caption(format!("CPU of a request, by {grown}"), ("sans-serif", 15))
            .margin(10)
            .x_label_area_size(28)
            .y_label_area_size(34)
            .build_cartesian_2d((least..most).log_scale(), 0.0..highest)?;
        let label = |it: &usize| if *it >= 1_000_000 { format!("{} M", it / 1_000_000) } else { it.to_string() };
        chart.configure_mesh().x_labels(3).y_labels(6).disable_x_mesh().x_label_formatter(&label).draw()?;
        for (query, color) in QUERIES.into_iter().zip(colors) {
            let line = of_grown.iter().filter(|it| it.query == query.name()).map(|it| (it.size, it.of_smallest));
            chart
                .draw_series(LineSeries::new(line, color.stroke_width(2)).point_size(3))?
                .label(query.name())
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 14, y)], color.stroke_width(2)));
        }
        if grown == "bookings" {
            chart
                .configure_series_labels()
                .position(SeriesLabelPosition::LowerRight)
                .label_font(("sans-serif", 11))
                .draw()?;
        }
    }
    root.present()?;
    Ok(())
}
