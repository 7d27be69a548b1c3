//! Plots in SVG.

mod bars;

use std::{fs, path::Path};

pub use bars::{Panel, bars};

use plotters::{
    coord::ranged1d::{AsRangedCoord, ValueFormatter},
    prelude::*,
};

const SIZE: (u32, u32) = (760, 400);

/// A line of a plot.
#[derive(Debug)]
#[expect(
    clippy::exhaustive_structs,
    reason = "for the programs of this package"
)]
pub struct Line<'a> {
    /// What the legend calls it.
    pub name: &'a str,
    /// Where it goes.
    pub points: Vec<(f64, f64)>,
    /// Its color.
    pub color: LineColor,
    /// Whether the points themselves are drawn too.
    pub has_marks: bool,
}

/// The color of a line.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_enums, reason = "for the programs of this package")]
pub enum LineColor {
    /// For this server.
    Blue,
    /// For what it is compared with.
    Orange,
    /// For a second line of this server.
    Green,
    /// For a second line of something else.
    Red,
    /// For a limit.
    Gray,
}

/// Replaces the colors of a plot where the reader prefers dark pages.
const DARK: &str = r##"<style>@media (prefers-color-scheme: dark) {
text { fill: #E6EDF3 }
rect[fill="#FFFFFF"] { fill: #161B22 }
rect[fill="#1C64B4"] { fill: #4493F8 }
polyline[stroke="#1C64B4"] { stroke: #4493F8 }
[stroke="#000000"] { stroke: #E6EDF3 }
[stroke="#FFFFFF"] { stroke: #161B22 }
[stroke="#DDDDDD"] { stroke: #3D444D }
}</style>"##;

/// Writes a plot, with its dark colors.
fn write(path: &Path, svg: &str) {
    let (head, rest) = svg.split_once('\n').expect("a plot has lines");
    fs::write(path, format!("{head}\n{DARK}\n{rest}")).expect("a plot is written");
}

impl LineColor {
    const fn rgb(self) -> RGBColor {
        match self {
            Self::Blue => RGBColor(28, 100, 180),
            Self::Orange => RGBColor(200, 110, 30),
            Self::Green => RGBColor(40, 150, 90),
            Self::Red => RGBColor(190, 50, 60),
            Self::Gray => RGBColor(120, 120, 120),
        }
    }
}

/// The title of a plot and the labels of its axes.
#[derive(Debug)]
#[expect(
    clippy::exhaustive_structs,
    reason = "for the programs of this package"
)]
pub struct Labels<'a> {
    /// The title.
    pub title: &'a str,
    /// The label of the x axis.
    pub x: &'a str,
    /// The label of the y axis.
    pub y: &'a str,
}

/// Draws lines over a logarithmic x axis that begins at 1.
pub fn logarithmic(path: &Path, labels: &Labels<'_>, lines: &[Line<'_>], tick: fn(&f64) -> String) {
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
pub fn linear(path: &Path, labels: &Labels<'_>, lines: &[Line<'_>], tick: fn(&f64) -> String) {
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
    let mut svg = String::new();
    let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
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
        let color = line.color.rgb();
        let drawn = LineSeries::new(line.points.iter().copied(), color.stroke_width(2))
            .point_size(if line.has_marks { 2 } else { 0 });
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
    drop((chart, area));
    write(path, &svg);
}
