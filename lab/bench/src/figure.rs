//! A measured figure with its limit and its target, and the table of figures.

use serde::Serialize;

/// The target of a figure.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// At most this, in the figure's unit.
    AtMost(f64),
    /// At least this, in the figure's unit.
    AtLeast(f64),
    /// At most this multiple of the limit.
    RatioAtMost(f64),
    /// At least this multiple of the limit.
    RatioAtLeast(f64),
}

/// The median of several runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figure {
    /// The part of the system.
    pub leg: &'static str,
    /// The work that was measured.
    pub case: String,
    /// The quantity.
    pub what: &'static str,
    /// Its unit.
    pub unit: &'static str,
    /// The measured value.
    pub measured: f64,
    /// The limit, measured alternately with the leg.
    pub limit: Option<f64>,
    /// `measured / limit`: the median of the runs' ratios.
    pub ratio: Option<f64>,
    /// The target; `None`: the figure is only reported.
    pub target: Option<Target>,
    /// Whether the target is met.
    pub met: Option<bool>,
}

impl Figure {
    /// Creates a figure from the median of `runs`.
    pub fn new(
        leg: &'static str,
        case: impl Into<String>,
        what: &'static str,
        unit: &'static str,
        runs: &[f64],
    ) -> Self {
        Self {
            leg,
            case: case.into(),
            what,
            unit,
            measured: median(runs),
            limit: None,
            ratio: None,
            target: None,
            met: None,
        }
    }

    /// Adds the limit that was measured with each run.
    #[must_use]
    pub fn beside(mut self, runs: &[f64], limits: &[f64]) -> Self {
        assert_eq!(runs.len(), limits.len(), "one limit a run");
        let ratios: Vec<f64> = runs
            .iter()
            .zip(limits)
            .map(|(run, limit)| run / limit)
            .collect();
        self.limit = Some(median(limits));
        self.ratio = Some(median(&ratios));
        self
    }

    /// Adds the target.
    #[must_use]
    pub fn should(mut self, target: Target) -> Self {
        self.target = Some(target);
        self.met = Some(match target {
            Target::AtMost(most) => self.measured <= most,
            Target::AtLeast(least) => self.measured >= least,
            Target::RatioAtMost(most) => self.ratio.is_some_and(|ratio| ratio <= most),
            Target::RatioAtLeast(least) => self.ratio.is_some_and(|ratio| ratio >= least),
        });
        self
    }
}

/// Returns the median, of an even number of values the lower one; NaN without values.
pub fn median(values: &[f64]) -> f64 {
    percentile(values, 50)
}

/// Returns the smallest value that at least `percent` of the values do not exceed; NaN without values.
pub fn percentile(values: &[f64], percent: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted
        .get(rank.saturating_sub(1))
        .copied()
        .unwrap_or(f64::NAN)
}

/// Returns the figures as a Markdown table.
pub fn table(figures: &[Figure]) -> String {
    let mut text = String::from(
        "| leg | case | figure | measured | limit | ratio | target | |\n|---|---|---|---|---|---|---|---|\n",
    );
    for figure in figures {
        let optional = |value: Option<f64>, unit: &str| {
            value.map_or_else(String::new, |value| shown(value, unit))
        };
        let target = match figure.target {
            None => String::new(),
            Some(Target::AtMost(most)) => format!("<= {}", shown(most, figure.unit)),
            Some(Target::AtLeast(least)) => format!(">= {}", shown(least, figure.unit)),
            Some(Target::RatioAtMost(most)) => format!("<= {}", shown(most, "x")),
            Some(Target::RatioAtLeast(least)) => format!(">= {}", shown(least, "x")),
        };
        let met = match figure.met {
            None => "",
            Some(true) => "met",
            Some(false) => "**missed**",
        };
        text.push_str(&format!(
            "| {} | {} | {} | {} | {} | {} | {target} | {met} |\n",
            figure.leg,
            figure.case,
            figure.what,
            shown(figure.measured, figure.unit),
            optional(figure.limit, figure.unit),
            optional(figure.ratio, "x"),
        ));
    }
    text
}

/// Formats a value with three significant digits and its unit.
fn shown(value: f64, unit: &str) -> String {
    let decimals = match value.abs() {
        small if small < 10.0 => 2,
        small if small < 100.0 => 1,
        _ => 0,
    };
    let digits = if value == 0.0 {
        "0".to_owned()
    } else {
        format!("{value:.decimals$}")
    };
    if unit == "x" {
        digits + unit
    } else {
        format!("{digits} {unit}").trim_end().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_of_neighbours() {
        // The machine was twice as slow in the last run, for both.
        let runs = [2.0, 2.2, 4.0];
        let limits = [1.0, 1.0, 2.0];
        let figure = Figure::new("leg", "case", "time", "ns", &runs)
            .beside(&runs, &limits)
            .should(Target::RatioAtMost(2.0));
        assert_eq!(
            (figure.measured, figure.limit, figure.ratio, figure.met),
            (2.2, Some(1.0), Some(2.0), Some(true))
        );
        assert_eq!(
            figure.clone().should(Target::AtMost(2.0)).met,
            Some(false),
            "a missed target is reported"
        );
    }

    #[test]
    fn a_percentile_is_a_measured_value() {
        let values: Vec<f64> = (1..=200).map(f64::from).collect();
        assert_eq!(percentile(&values, 50), 100.0);
        assert_eq!(percentile(&values, 99), 198.0);
        assert!(percentile(&[], 50).is_nan());
    }
}
