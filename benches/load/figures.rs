//! Medians, percentiles, and the table they end in.

use std::time::Duration;

/// One line of the report.
#[derive(Debug)]
pub(crate) struct Figure {
    what: String,
    measured: String,
    beside: String,
    aim: String,
    met: Option<bool>,
}

impl Figure {
    /// A figure without an aim.
    pub(crate) fn new(what: impl Into<String>, measured: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            measured: measured.into(),
            beside: String::new(),
            aim: String::new(),
            met: None,
        }
    }

    /// What it is compared with.
    pub(crate) fn beside(mut self, beside: impl Into<String>) -> Self {
        self.beside = beside.into();
        self
    }

    /// What is aimed at, and whether that is met.
    pub(crate) fn aim(mut self, aim: impl Into<String>, met: bool) -> Self {
        self.aim = aim.into();
        self.met = Some(met);
        self
    }

    /// Prints it as a line of a Markdown table.
    pub(crate) fn print(&self) {
        let met = match self.met {
            Some(true) => "yes",
            Some(false) => "**no**",
            None => "",
        };
        println!("| {} | {} | {} | {} | {met} |", self.what, self.measured, self.beside, self.aim);
    }
}

/// The head of a table.
pub(crate) fn head(title: &str) {
    println!("\n### {title}\n\n| What | Measured | Beside | Aim | Met |\n|---|---|---|---|---|");
}

/// The middle one; of an even number, the mean of the two in the middle.
pub(crate) fn median(values: &[f64]) -> f64 {
    let reversed: Vec<f64> = values.iter().map(|value| -value).collect();
    f64::midpoint(percentile(values, 0.5), -percentile(&reversed, 0.5))
}

/// The value that `part` of all values do not exceed.
pub(crate) fn percentile(values: &[f64], part: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index into a list of measurements"
    )]
    let index = ((sorted.len() as f64 * part).ceil() as usize).saturating_sub(1);
    sorted.get(index).copied().unwrap_or(f64::NAN)
}

/// Where the median of what these values are a sample of lies with a certainty of at least 95 %: the outermost order
/// statistics that the sign test leaves (the second and the eighth of nine). Fewer than six values say too little.
pub(crate) fn interval(values: &[f64]) -> Option<(f64, f64)> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    // Each value lies below the median with a chance of one half: `tail` is the chance that at most `outside` do.
    let mut outside = None;
    let mut chance = 0.5_f64.powf(count(sorted.len()));
    let mut tail = 0.0;
    for below in 0..sorted.len() {
        tail += chance;
        if tail > 0.025 {
            break;
        }
        outside = Some(below);
        chance *= count(sorted.len() - below) / count(below + 1);
    }
    let outside = outside?;
    Some((*sorted.get(outside)?, *sorted.get(sorted.len() - 1 - outside)?))
}

/// In milliseconds.
pub(crate) fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// How many of something there were, as a number to divide.
#[expect(clippy::cast_precision_loss, reason = "counts of a few thousand")]
pub(crate) fn count(n: usize) -> f64 {
    n as f64
}

/// `median (all of them)`, for figures that several runs gave.
pub(crate) fn runs(values: &[f64], digits: usize) -> String {
    let all: Vec<String> = values.iter().map(|value| format!("{value:.digits$}")).collect();
    format!("{:.digits$} ({})", median(values), all.join(" "))
}
