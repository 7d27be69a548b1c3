//! Rows of the table, and how ours and an anchor are measured in turns.

use std::fmt::Write as _;

use serde::Serialize;

/// One measured row.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) row: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) ours: Option<f64>,
    pub(crate) anchor: Option<f64>,
    /// Ours divided by the anchor; without an anchor, ours itself.
    pub(crate) ratio: Option<f64>,
    pub(crate) goal: f64,
    pub(crate) met: Option<bool>,
    /// The smallest and largest ratio of a round.
    pub(crate) spread: Option<(f64, f64)>,
    pub(crate) note: &'static str,
}

/// Something that yields figures, one per round.
pub(crate) type Sample = Box<dyn FnMut() -> f64>;

/// One row to be measured.
pub(crate) struct Measurement {
    name: &'static str,
    unit: &'static str,
    goal: f64,
    note: &'static str,
    most_rounds: usize,
    kind: Kind,
}

enum Kind {
    /// Ours against an anchor; made when their turn comes, so that they do not fill the caches of others.
    Ratio(Box<dyn FnOnce() -> (Sample, Sample)>),
    /// A figure by itself.
    Absolute(Box<dyn FnOnce() -> Sample>),
    NotYet,
}

impl Measurement {
    pub(crate) fn ratio(
        name: &'static str,
        unit: &'static str,
        goal: f64,
        setup: impl FnOnce() -> (Sample, Sample) + 'static,
    ) -> Self {
        Self { name, unit, goal, note: "", most_rounds: usize::MAX, kind: Kind::Ratio(Box::new(setup)) }
    }

    pub(crate) fn absolute(
        name: &'static str,
        unit: &'static str,
        goal: f64,
        setup: impl FnOnce() -> Sample + 'static,
    ) -> Self {
        Self { name, unit, goal, note: "", most_rounds: usize::MAX, kind: Kind::Absolute(Box::new(setup)) }
    }

    pub(crate) fn not_measured(name: &'static str, goal: f64, note: &'static str) -> Self {
        Self { name, unit: "", goal, note, most_rounds: 0, kind: Kind::NotYet }
    }

    /// For what takes long and does not vary.
    pub(crate) fn rounds_at_most(mut self, rounds: usize) -> Self {
        self.most_rounds = rounds;
        self
    }

    pub(crate) fn noted(mut self, note: &'static str) -> Self {
        self.note = note;
        self
    }

    pub(crate) fn name(&self) -> &str {
        self.name
    }

    pub(crate) fn measure(self, rounds: usize) -> Row {
        let rounds = rounds.min(self.most_rounds);
        let (ours, anchor, ratios) = match self.kind {
            Kind::Ratio(setup) => {
                let (ours, anchor) = setup();
                in_turns(ours, anchor, rounds)
            }
            Kind::Absolute(setup) => {
                let mut sample = setup();
                let ours: Vec<f64> = (0..rounds).map(|_| sample()).collect();
                (median(&ours), None, ours)
            }
            Kind::NotYet => (None, None, Vec::new()),
        };
        let ratio = median(&ratios);
        let spread = Some((
            ratios.iter().copied().fold(f64::MAX, f64::min),
            ratios.iter().copied().fold(0.0, f64::max),
        ));
        Row {
            row: self.name,
            unit: self.unit,
            ours,
            anchor,
            ratio,
            goal: self.goal,
            met: ratio.map(|ratio| ratio <= self.goal),
            spread: spread.filter(|_| !ratios.is_empty()),
            note: self.note,
        }
    }
}

fn in_turns(mut ours: Sample, mut anchor: Sample, rounds: usize) -> (Option<f64>, Option<f64>, Vec<f64>) {
    // The first of each warms up.
    let (_, _) = (ours(), anchor());
    let pairs: Vec<(f64, f64)> = (0..rounds).map(|_| (ours(), anchor())).collect();
    let column = |pick: fn(&(f64, f64)) -> f64| pairs.iter().map(pick).collect::<Vec<f64>>();
    (median(&column(|pair| pair.0)), median(&column(|pair| pair.1)), column(|pair| pair.0 / pair.1))
}

fn median(figures: &[f64]) -> Option<f64> {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}

/// Rows of the design whose subject does not exist yet, or that need a load harness.
pub(crate) fn not_yet() -> Vec<Measurement> {
    let row = Measurement::not_measured;
    let harness = "needs the load harness";
    vec![
        row("Redis: decisions per second, 64 in flight (at least)", 1.7, "no shared store yet"),
        row("Redis: p50 with one in flight", 4.0, "no shared store yet"),
        row("JSON call: CPU per request / bare proxy", 1.25, harness),
        row("JSON call: requests per second / bare proxy (at least)", 0.85, harness),
        row("stream of 100 chunks in a burst: CPU / bare proxy", 0.6, harness),
        row("stream of 100 chunks 10 ms apart: CPU per chunk / bare proxy", 1.15, harness),
        row("first streamed byte: ms over bare proxy", 0.5, harness),
        row("1000 calls per second, open loop: p50 / bare proxy", 1.15, harness),
        row("resident memory at the JSON load (MB)", 15.0, harness),
    ]
}

/// The rows as a Markdown table.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut text = String::from(
        "| row | ours | anchor | ratio | goal | met | spread |\n|---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let figure = |figure: Option<f64>| figure.map_or("-".to_owned(), |figure| format!("{figure:.4}"));
        let unit =
            |figure: Option<f64>| figure.map_or("-".to_owned(), |figure| format!("{figure:.1} {}", row.unit));
        let met = row.met.map_or("not measured", |met| if met { "yes" } else { "NO" });
        let spread = row.spread.map_or("-".to_owned(), |(low, high)| format!("{low:.3} to {high:.3}"));
        let note = if row.note.is_empty() { String::new() } else { format!(" ({})", row.note) };
        let _written = writeln!(
            text,
            "| {}{note} | {} | {} | {} | {} | {met} | {spread} |",
            row.row,
            unit(row.ours),
            unit(row.anchor),
            figure(row.ratio),
            row.goal
        );
    }
    text
}
