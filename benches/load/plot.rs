//! Plots in SVG.

use std::path::Path;

use plotters::{
    coord::ranged1d::{AsRangedCoord, ValueFormatter},
    prelude::*,
};

const SIZE: (u32, u32) = (760, 400);
const OURS: RGBColor = RGBColor(28, 100, 180);
const OTHER: RGBColor = RGBColor(200, 110, 30);

/// A line of a plot.
pub(crate) struct Line<'a> {
    pub(crate) name: &'a str,
    pub(crate) points: Vec<(f64, f64)>,
    pub(crate) is_ours: bool,
}

/// The title of a plot and the labels of its axes.
pub(crate) struct Labels<'a> {
    pub(crate) title: &'a str,
    pub(crate) x: &'a str,
    pub(crate) y: &'a str,
}

/// Draws lines over a logarithmic x axis that begins at 1.
pub(crate) fn logarithmic(
    path: &Path,
    labels: &Labels<'_>,
    lines: &[Line<'_>],
    tick: fn(&f64) -> String,
) {
    let (most_x, most_y) = most(lines);
    draw(
        path,
        labels,
        lines,
        (1f64..most_x).log_scale(),
        most_y,
        tick,
    );
}

/// Draws lines over a linear x axis.
pub(crate) fn linear(
    path: &Path,
    labels: &Labels<'_>,
    lines: &[Line<'_>],
    tick: fn(&f64) -> String,
) {
    let (most_x, most_y) = most(lines);
    draw(path, labels, lines, 0f64..most_x, most_y, tick);
}

fn most(lines: &[Line<'_>]) -> (f64, f64) {
    let points = || lines.iter().flat_map(|line| &line.points);
    let most_x = points().map(|point| point.0).fold(2.0, f64::max);
    (
        most_x,
        points().map(|point| point.1).fold(0.0, f64::max) * 1.15,
    )
}

fn draw<X>(
    path: &Path,
    labels: &Labels<'_>,
    lines: &[Line<'_>],
    x: X,
    most_y: f64,
    tick: fn(&f64) -> String,
) where
    X: AsRangedCoord<Value = f64>,
    X::CoordDescType: ValueFormatter<f64>,
{
    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    area.fill(&WHITE).expect("a plot is drawn");
    let mut chart = ChartBuilder::on(&area)
        .caption(labels.title, ("sans-serif", 18))
        .margin(14)
        .x_label_area_size(44)
        .y_label_area_size(64)
        .build_cartesian_2d(x, 0f64..most_y)
        .expect("a plot has axes");
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .x_desc(labels.x)
        .y_desc(labels.y)
        .x_label_formatter(&tick)
        .draw()
        .expect("axes are drawn");
    for line in lines {
        let color = if line.is_ours { OURS } else { OTHER };
        let drawn =
            LineSeries::new(line.points.iter().copied(), color.stroke_width(2)).point_size(2);
        chart
            .draw_series(drawn)
            .expect("a line is drawn")
            .label(line.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .background_style(WHITE)
        .position(SeriesLabelPosition::UpperLeft)
        .draw()
        .expect("a legend is drawn");
    area.present().expect("a plot is written");
}
