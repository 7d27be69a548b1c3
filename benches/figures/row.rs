//! The rows of the table, and the rounds in which our code and its anchor alternate.

use std::fmt::Write as _;

use serde::Serialize;

/// One measured row.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) row: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) ours: Option<f64>,
    pub(crate) anchor: Option<f64>,
    /// `ours` divided by `anchor`; without an anchor, `ours` itself.
    pub(crate) ratio: Option<f64>,
    /// `None` for a row that is for comparison only.
    pub(crate) goal: Option<f64>,
    /// Whether the goal is a minimum; otherwise it is a maximum.
    pub(crate) is_least: bool,
    pub(crate) met: Option<bool>,
    /// The smallest and largest ratio of a round.
    pub(crate) spread: Option<(f64, f64)>,
    pub(crate) note: &'static str,
}

/// Measures a figure, once per round.
pub(crate) type Sample = Box<dyn FnMut() -> f64>;

/// One row to be measured.
pub(crate) struct Measurement {
    name: &'static str,
    unit: &'static str,
    goal: Option<Goal>,
    note: &'static str,
    max_rounds: usize,
    kind: Kind,
}

/// The goal of a ratio, or of a figure without an anchor.
#[derive(Clone, Copy, Debug)]
enum Goal {
    AtMost(f64),
    AtLeast(f64),
}

/// A figure and its anchor.
type Pair = (Sample, Sample);

enum Kind {
    /// Our code and an anchor, unless something that they need is missing. Created only when they
    /// are measured, so that they do not occupy the caches of other rows.
    Ratio(Box<dyn FnOnce() -> Option<Pair>>),
    /// A figure without an anchor.
    Absolute(Box<dyn FnOnce() -> Sample>),
    NotMeasured,
}

impl Measurement {
    /// Creates a ratio of our code to an anchor, with the most that it may be.
    pub(crate) fn ratio(
        name: &'static str,
        unit: &'static str,
        goal: f64,
        setup: impl FnOnce() -> Pair + 'static,
    ) -> Self {
        let kind = Kind::Ratio(Box::new(|| Some(setup())));
        Self::new(name, unit, kind).at_most(goal)
    }

    /// Creates a ratio without a goal. `setup` returns `None` if something that it needs is
    /// missing.
    pub(crate) fn comparison(
        name: &'static str,
        unit: &'static str,
        setup: impl FnOnce() -> Option<Pair> + 'static,
    ) -> Self {
        Self::new(name, unit, Kind::Ratio(Box::new(setup)))
    }

    /// Creates a figure without an anchor, with the most that it may be.
    pub(crate) fn absolute(
        name: &'static str,
        unit: &'static str,
        goal: f64,
        setup: impl FnOnce() -> Sample + 'static,
    ) -> Self {
        let kind = Kind::Absolute(Box::new(setup));
        Self::new(name, unit, kind).at_most(goal)
    }

    /// Creates a row that cannot be measured here. `note` says why.
    pub(crate) fn not_measured(name: &'static str, goal: f64, note: &'static str) -> Self {
        Self::new(name, "", Kind::NotMeasured)
            .at_most(goal)
            .noted(note)
    }

    fn new(name: &'static str, unit: &'static str, kind: Kind) -> Self {
        Self {
            name,
            unit,
            goal: None,
            note: "",
            max_rounds: usize::MAX,
            kind,
        }
    }

    pub(crate) fn at_most(mut self, goal: f64) -> Self {
        self.goal = Some(Goal::AtMost(goal));
        self
    }

    pub(crate) fn at_least(mut self, goal: f64) -> Self {
        self.goal = Some(Goal::AtLeast(goal));
        self
    }

    pub(crate) fn without_goal(mut self) -> Self {
        self.goal = None;
        self
    }

    /// Limits the rounds of a row that takes long and hardly varies.
    pub(crate) fn rounds_at_most(mut self, rounds: usize) -> Self {
        self.max_rounds = rounds;
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
        let rounds = rounds.min(self.max_rounds);
        let (ours, anchor, ratios) = match self.kind {
            Kind::Ratio(setup) => match setup() {
                Some((ours, anchor)) => alternate(ours, anchor, rounds),
                None => (None, None, Vec::new()),
            },
            Kind::Absolute(setup) => {
                let mut sample = setup();
                let ours: Vec<f64> = (0..rounds).map(|_| sample()).collect();
                (median(&ours), None, ours)
            }
            Kind::NotMeasured => (None, None, Vec::new()),
        };
        let ratio = median(&ratios);
        let least = ratios.iter().copied().reduce(f64::min);
        let most = ratios.iter().copied().reduce(f64::max);
        let (goal, met) = match (self.goal, ratio) {
            (None, _) => (None, None),
            (Some(Goal::AtMost(goal)), ratio) => (Some(goal), ratio.map(|ratio| ratio <= goal)),
            (Some(Goal::AtLeast(goal)), ratio) => (Some(goal), ratio.map(|ratio| ratio >= goal)),
        };
        Row {
            row: self.name,
            unit: self.unit,
            ours,
            anchor,
            ratio,
            goal,
            is_least: matches!(self.goal, Some(Goal::AtLeast(_))),
            met,
            spread: least.zip(most),
            note: self.note,
        }
    }
}

fn alternate(
    mut ours: Sample,
    mut anchor: Sample,
    rounds: usize,
) -> (Option<f64>, Option<f64>, Vec<f64>) {
    let _warm_up = (ours(), anchor());
    let pairs: Vec<(f64, f64)> = (0..rounds).map(|_| (ours(), anchor())).collect();
    let column = |pick: fn(&(f64, f64)) -> f64| pairs.iter().map(pick).collect::<Vec<f64>>();
    (
        median(&column(|pair| pair.0)),
        median(&column(|pair| pair.1)),
        column(|pair| pair.0 / pair.1),
    )
}

fn median(figures: &[f64]) -> Option<f64> {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}

/// Returns the rows as a Markdown table.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut text = String::from(
        "| row | ours | anchor | ratio | goal | met | spread |\n|---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let with_unit = |figure: f64| format!("{figure:.1} {}", row.unit);
        let met = match (row.met, row.ratio) {
            (Some(true), _) => "yes",
            (Some(false), _) => "NO",
            (None, Some(_)) => "-",
            (None, None) => "not measured",
        };
        let note = match row.note {
            "" => String::new(),
            note => format!(" ({note})"),
        };
        let _written = writeln!(
            text,
            "| {}{note} | {} | {} | {} | {} | {met} | {} |",
            row.row,
            cell(row.ours, with_unit),
            cell(row.anchor, with_unit),
            cell(row.ratio, |ratio| format!("{ratio:.4}")),
            cell(row.goal, |goal| goal.to_string()),
            cell(row.spread, |(least, most)| format!(
                "{least:.3} to {most:.3}"
            )),
        );
    }
    text
}

fn cell<T>(value: Option<T>, show: impl Fn(T) -> String) -> String {
    match value {
        Some(value) => show(value),
        None => "-".to_owned(),
    }
}
