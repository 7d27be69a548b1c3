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

/// The words of a plot.
pub(crate) struct Words<'a> {
    pub(crate) title: &'a str,
    pub(crate) x: &'a str,
    pub(crate) y: &'a str,
}

/// Lines over a logarithmic x axis that begins at one.
pub(crate) fn over_powers(
    path: &Path,
    words: &Words<'_>,
    lines: &[Line<'_>],
    label: fn(&f64) -> String,
) {
    let (most_x, most_y) = most(lines);
    draw(
        path,
        words,
        lines,
        (1f64..most_x).log_scale(),
        most_y,
        label,
    );
}

/// Lines over an even x axis.
pub(crate) fn over_numbers(
    path: &Path,
    words: &Words<'_>,
    lines: &[Line<'_>],
    label: fn(&f64) -> String,
) {
    let (most_x, most_y) = most(lines);
    draw(path, words, lines, 0f64..most_x, most_y, label);
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
    words: &Words<'_>,
    lines: &[Line<'_>],
    x: X,
    most_y: f64,
    label: fn(&f64) -> String,
) where
    X: AsRangedCoord<Value = f64>,
    X::CoordDescType: ValueFormatter<f64>,
{
    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    area.fill(&WHITE).expect("a plot is drawn");
    let mut chart = ChartBuilder::on(&area)
        .caption(words.title, ("sans-serif", 18))
        .margin(14)
        .x_label_area_size(44)
        .y_label_area_size(64)
        .build_cartesian_2d(x, 0f64..most_y)
        .expect("a plot has axes");
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .x_desc(words.x)
        .y_desc(words.y)
        .x_label_formatter(&label)
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
