//! Ratios, and the table of them.

use std::time::Duration;

/// Several ways to do the same work, measured in turn.
pub(crate) type Way<'a> = Box<dyn FnMut() -> Duration + 'a>;

/// The median, least and most of some figures.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    pub(crate) fn of(mut figures: Vec<f64>) -> Self {
        figures.sort_by(f64::total_cmp);
        Self {
            median: figures[figures.len() / 2],
            min: figures[0],
            max: figures[figures.len() - 1],
        }
    }

    /// Of one figure.
    pub(crate) fn one(figure: f64) -> Self {
        Self::of(vec![figure])
    }
}

/// What each way took, round by round. The order changes with every round.
pub(crate) fn rounds(rounds: usize, ways: &mut [Way<'_>]) -> Vec<Vec<f64>> {
    for way in ways.iter_mut() {
        way(); // warm
    }
    let count = ways.len();
    let mut times = vec![Vec::new(); count];
    for round in 0..rounds {
        for turn in 0..count {
            let way = (turn + round) % count;
            times[way].push(ways[way]().as_secs_f64());
        }
    }
    times
}

/// One way over another, round by round.
pub(crate) fn ratio(own: &[f64], rival: &[f64]) -> Spread {
    Spread::of(
        own.iter()
            .zip(rival)
            .map(|(own, rival)| own / rival)
            .collect(),
    )
}

/// The rows as they come.
#[derive(Debug, Default)]
pub(crate) struct Table {
    missed: usize,
    judged: usize,
}

/// What a row must reach.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    AtMost(f64),
    AtLeast(f64),
    /// Only told.
    None,
}

impl Table {
    pub(crate) fn row(&mut self, name: &str, target: Target, seen: Spread, rival: &str) {
        let (met, wanted) = match target {
            Target::AtMost(most) => (Some(seen.median <= most), format!("<= {most:.2}")),
            Target::AtLeast(least) => (Some(seen.median >= least), format!(">= {least:.2}")),
            Target::None => (None, String::new()),
        };
        self.judged += usize::from(met.is_some());
        self.missed += usize::from(met == Some(false));
        let mark = match met {
            Some(true) => "ok",
            Some(false) => "MISSED",
            None => "",
        };
        println!(
            "{name:<66} {wanted:>8}  {:>7.2} ({:.2} - {:.2})  {mark:<6} {rival}",
            seen.median, seen.min, seen.max
        );
    }

    pub(crate) fn note(&self, text: &str) {
        println!("    {text}");
    }

    pub(crate) fn end(&self) {
        println!("{} of {} rows miss their target", self.missed, self.judged);
    }
}

pub(crate) fn setting(name: &str, default: usize) -> usize {
    std::env::var(name)
        .ok()
        .and_then(|value| value.parse().ok())
        .unwrap_or(default)
}
