//! What the agent costs: natively in pairs, deterministically in a guest that counts instructions, and while many
//! containers start.

mod containers;
mod native;
mod vm;

use anyhow::Result;

/// `bench`, `bench --containers N` or `bench --vm`.
pub fn run(arguments: &[String]) -> Result<()> {
    if arguments.iter().any(|argument| argument == "--vm") {
        vm::run(arguments)
    } else if arguments.iter().any(|argument| argument == "--containers") {
        containers::run(arguments)
    } else {
        native::run(arguments)
    }
}

/// Minimum, median and maximum of some figures.
pub(super) struct Spread {
    pub min: f64,
    pub median: f64,
    pub max: f64,
}

impl Spread {
    pub(super) fn of(values: &[f64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
        Self { min: at(0), median: at(sorted.len() / 2), max: at(sorted.len().saturating_sub(1)) }
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let digits = if self.median.abs() < 10.0 { 3 } else { 0 };
        write!(f, "{:.digits$} ({:.digits$} – {:.digits$})", self.median, self.min, self.max)
    }
}
