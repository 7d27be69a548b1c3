//! Bars on a logarithmic scale, in panels side by side.

use std::path::Path;

use plotters::{
    coord::Shift,
    prelude::{
        BLACK, DrawingArea, FontStyle, IntoDrawingArea as _, IntoFont as _, PathElement, RGBColor,
        Rectangle, SVGBackend, Text, WHITE,
    },
    style::{
        Color as _,
        text_anchor::{HPos, Pos, VPos},
    },
};

use super::{LineColor, write};

const WIDTH: i32 = 760;
/// Width of the column with the names of the rows.
const NAMES: i32 = 122;
/// Width of the figure behind a bar as long as its panel.
const FIGURE: i32 = 58;
const MARGIN: i32 = 14;
const TITLES: i32 = 40;
const ROW: i32 = 28;
const BAR: i32 = 16;
const SCALE: i32 = 24;
const GRID: RGBColor = RGBColor(0xDD, 0xDD, 0xDD);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// A panel: a bar for each row.
#[derive(Debug)]
#[expect(
    clippy::exhaustive_structs,
    reason = "for the programs of this package"
)]
pub struct Panel<'a> {
    /// What is shown, with its unit.
    pub title: &'a str,
    /// The length of each bar, which must be positive.
    pub values: Vec<f64>,
    /// How the figure behind a bar is written.
    pub show: fn(f64) -> String,
}

/// Draws panels side by side with a bar for each row. The figure stands behind its bar.
pub fn bars(path: &Path, rows: &[(&str, LineColor)], panels: &[Panel<'_>]) {
    let height = TITLES + ROW * count(rows.len()) + SCALE + MARGIN;
    let mut svg = String::new();
    let area = SVGBackend::with_string(&mut svg, (WIDTH.unsigned_abs(), height.unsigned_abs()))
        .into_drawing_area();
    area.fill(&WHITE).expect("a plot is drawn");
    for (row, (name, _)) in rows.iter().enumerate() {
        let at = (NAMES, middle(row));
        text(&area, name, at, HPos::Right, FontStyle::Normal);
    }
    let at = (NAMES - MARGIN, TITLES + ROW * count(rows.len()) + SCALE / 2);
    text(&area, "logarithmic", at, HPos::Right, FontStyle::Normal);
    let width = (WIDTH - NAMES - MARGIN) / count(panels.len());
    for (index, panel) in panels.iter().enumerate() {
        let left = NAMES + MARGIN + width * count(index);
        draw(&area, rows, panel, (left, width - FIGURE - MARGIN));
    }
    area.present().expect("a plot is written");
    drop(area);
    write(path, &svg);
}

/// Draws one panel, whose longest bar may begin at `left` and be this wide.
fn draw(area: &Area<'_>, rows: &[(&str, LineColor)], panel: &Panel<'_>, (left, width): (i32, i32)) {
    let title = (left, TITLES / 2);
    text(area, panel.title, title, HPos::Left, FontStyle::Bold);
    let most = panel.values.iter().copied().fold(f64::MIN, f64::max);
    let least = panel.values.iter().copied().fold(f64::MAX, f64::min);
    // Half as much as the least, so that no bar is too short to be seen.
    let first = (least / 2.0).log10().floor();
    let decades = most.log10() - first;
    let place = |value: f64| left + pixels(f64::from(width) * (value.log10() - first) / decades);
    let bottom = TITLES + ROW * count(rows.len());
    let mut power = first;
    while power - first <= decades {
        let x = place(10f64.powf(power));
        let line = PathElement::new([(x, TITLES), (x, bottom)], GRID.stroke_width(1));
        area.draw(&line).expect("a scale is drawn");
        let label = if power < 0.0 {
            format!("{}", 10f64.powf(power))
        } else {
            format!("{:.0}", 10f64.powf(power))
        };
        let at = (x, bottom + SCALE / 2);
        text(area, &label, at, HPos::Center, FontStyle::Normal);
        power += 1.0;
    }
    for (row, ((_, color), value)) in rows.iter().zip(&panel.values).enumerate() {
        let (end, middle) = (place(*value), middle(row));
        let corners = [(left, middle - BAR / 2), (end, middle + BAR / 2)];
        let bar = Rectangle::new(corners, color.rgb().filled());
        area.draw(&bar).expect("a bar is drawn");
        let figure = (panel.show)(*value);
        text(
            area,
            &figure,
            (end + 5, middle),
            HPos::Left,
            FontStyle::Normal,
        );
    }
}

/// Writes text beside a point.
fn text(area: &Area<'_>, text: &str, at: (i32, i32), side: HPos, weight: FontStyle) {
    let style = ("sans-serif", 15.5, weight)
        .into_font()
        .color(&BLACK)
        .pos(Pos::new(side, VPos::Center));
    area.draw(&Text::new(text, at, style))
        .expect("text is drawn");
}

/// Returns the middle of a row.
fn middle(row: usize) -> i32 {
    TITLES + ROW * count(row) + ROW / 2
}

fn count(things: usize) -> i32 {
    i32::try_from(things).expect("a plot has few rows and panels")
}

#[expect(clippy::cast_possible_truncation, reason = "a plot has few pixels")]
fn pixels(length: f64) -> i32 {
    length.round() as i32
}
