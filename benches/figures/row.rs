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
    /// `None` for what is told for comparison only.
    pub(crate) goal: Option<f64>,
    /// Whether the goal is the least that is to be reached; otherwise the most.
    pub(crate) is_least: bool,
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
    goal: Option<Goal>,
    note: &'static str,
    most_rounds: usize,
    kind: Kind,
}

/// What a ratio, or a figure by itself, is to reach.
#[derive(Clone, Copy, Debug)]
enum Goal {
    AtMost(f64),
    AtLeast(f64),
}

/// A figure and its anchor.
type Pair = (Sample, Sample);

enum Kind {
    /// Ours against an anchor, where there is all that it takes; made when their turn comes, so
    /// that they do not fill the caches of others.
    Ratio(Box<dyn FnOnce() -> Option<Pair>>),
    /// A figure by itself.
    Absolute(Box<dyn FnOnce() -> Sample>),
    NotYet,
}

impl Measurement {
    pub(crate) fn ratio(
        name: &'static str,
        unit: &'static str,
        goal: f64,
        setup: impl FnOnce() -> Pair + 'static,
    ) -> Self {
        let kind = Kind::Ratio(Box::new(|| Some(setup())));
        Self {
            name,
            unit,
            goal: Some(Goal::AtMost(goal)),
            note: "",
            most_rounds: usize::MAX,
            kind,
        }
    }

    /// A ratio without a goal; `None` if something is missing that it takes.
    pub(crate) fn comparison(
        name: &'static str,
        unit: &'static str,
        setup: impl FnOnce() -> Option<Pair> + 'static,
    ) -> Self {
        Self {
            name,
            unit,
            goal: None,
            note: "",
            most_rounds: usize::MAX,
            kind: Kind::Ratio(Box::new(setup)),
        }
    }

    pub(crate) fn absolute(
        name: &'static str,
        unit: &'static str,
        goal: f64,
        setup: impl FnOnce() -> Sample + 'static,
    ) -> Self {
        let kind = Kind::Absolute(Box::new(setup));
        Self {
            name,
            unit,
            goal: Some(Goal::AtMost(goal)),
            note: "",
            most_rounds: usize::MAX,
            kind,
        }
    }

    pub(crate) fn not_measured(name: &'static str, goal: f64, note: &'static str) -> Self {
        Self {
            name,
            unit: "",
            goal: Some(Goal::AtMost(goal)),
            note,
            most_rounds: 0,
            kind: Kind::NotYet,
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
            Kind::Ratio(setup) => match setup() {
                Some((ours, anchor)) => in_turns(ours, anchor, rounds),
                None => (None, None, Vec::new()),
            },
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
            is_least: matches!(self.goal, Some(Goal::AtLeast(_))),
            goal: self
                .goal
                .map(|(Goal::AtMost(goal) | Goal::AtLeast(goal))| goal),
            met: ratio.zip(self.goal).map(|(ratio, goal)| match goal {
                Goal::AtMost(goal) => ratio <= goal,
                Goal::AtLeast(goal) => ratio >= goal,
            }),
            spread: spread.filter(|_| !ratios.is_empty()),
            note: self.note,
        }
    }
}

fn in_turns(
    mut ours: Sample,
    mut anchor: Sample,
    rounds: usize,
) -> (Option<f64>, Option<f64>, Vec<f64>) {
    // The first of each warms up.
    let (_, _) = (ours(), anchor());
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

/// The rows as a Markdown table.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut text = String::from(
        "| row | ours | anchor | ratio | goal | met | spread |\n|---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let figure =
            |figure: Option<f64>| figure.map_or("-".to_owned(), |figure| format!("{figure:.4}"));
        let unit = |figure: Option<f64>| {
            figure.map_or("-".to_owned(), |figure| format!("{figure:.1} {}", row.unit))
        };
        let met = match (row.met, row.ratio) {
            (Some(true), _) => "yes",
            (Some(false), _) => "NO",
            (None, Some(_)) => "-",
            (None, None) => "not measured",
        };
        let goal = row.goal.map_or("-".to_owned(), |goal| goal.to_string());
        let spread = row.spread.map_or("-".to_owned(), |(low, high)| {
            format!("{low:.3} to {high:.3}")
        });
        let note = if row.note.is_empty() {
            String::new()
        } else {
            format!(" ({})", row.note)
        };
        let _written = writeln!(
            text,
            "| {}{note} | {} | {} | {} | {goal} | {met} | {spread} |",
            row.row,
            unit(row.ours),
            unit(row.anchor),
            figure(row.ratio),
        );
    }
    text
}
