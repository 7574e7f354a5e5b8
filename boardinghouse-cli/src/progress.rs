//! What is told while the fleet is migrated.

use std::{
    io::{self, IsTerminal as _},
    time::Instant,
};

use boardinghouse_core::{Outcome, ReportEntry, RunEvent, Target};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use crate::{
    args::{How, Progress as Kind},
    output::Output,
};

/// Into how many parts a run is told, where not each tenant is.
const PARTS: usize = 10;

/// Tells on stderr.
pub(crate) struct Progress<'a> {
    output: &'a Output,
    kind: Kind,
    each: bool,
    bar: ProgressBar,
    all: usize,
    done: usize,
    begun: Instant,
}

impl<'a> Progress<'a> {
    pub(crate) fn new(how: &How, output: &'a Output) -> Self {
        let kind = match how.progress {
            Kind::Auto if !output.is_for_people() => Kind::None,
            Kind::Auto if io::stderr().is_terminal() => Kind::Bar,
            Kind::Auto => Kind::Plain,
            kind => kind,
        };
        let bar = match kind {
            Kind::Bar => ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()),
            _ => ProgressBar::hidden(),
        };
        let style = ProgressStyle::with_template(
            "{bar:30} {pos}/{len} {percent}% {per_sec}, {eta} left  {msg}",
        );
        if let Ok(style) = style {
            bar.set_style(style);
        }
        Self {
            output,
            kind,
            each: how.each,
            bar,
            all: 0,
            done: 0,
            begun: Instant::now(),
        }
    }

    pub(crate) fn tell(&mut self, event: &RunEvent<'_>) {
        match event {
            RunEvent::Tenants { group, all, behind } => {
                self.all += behind;
                self.bar
                    .set_length(u64::try_from(self.all).unwrap_or(u64::MAX));
                let name = group.unwrap_or("tenants");
                match self.kind {
                    Kind::Json => self.event(&json!({
                        "event": "tenants", "group": group, "all": all, "behind": behind
                    })),
                    Kind::Plain if *behind > 0 => {
                        self.line(&format!("{name}: {behind} of {all} to do"));
                    }
                    _ => {}
                }
            }
            RunEvent::Done(entry) => self.done(entry),
            RunEvent::Baking { group, wait } => match self.kind {
                Kind::Json => self.event(&json!({
                    "event": "baking", "group": group, "seconds": wait.as_secs_f64()
                })),
                Kind::None => {}
                _ => self.line(&format!(
                    "group {group} is done; waiting {} before the next",
                    humantime::format_duration(*wait)
                )),
            },
            _ => {}
        }
    }

    fn done(&mut self, entry: &ReportEntry) {
        let idle = match entry.outcome {
            Outcome::Done => entry.applied.is_empty(),
            Outcome::Skipped(_) => self.kind != Kind::Json,
            _ => false,
        };
        if self.kind == Kind::Json {
            if !idle {
                let mut event = json!(entry);
                event["event"] = "schema".into();
                self.event(&event);
            }
            return;
        }
        if idle || !matches!(entry.target, Target::Tenant { .. }) {
            return;
        }
        self.done += 1;
        self.bar.inc(1);
        self.bar.set_message(entry.target.to_string());
        let percent = self.done * 100 / self.all.max(self.done);
        let failed = matches!(entry.outcome, Outcome::Failed(_));
        if self.each || failed && self.kind != Kind::None {
            let word = match &entry.outcome {
                Outcome::Failed(_) => " failed",
                Outcome::Skipped(_) => " skipped",
                _ => "",
            };
            self.line(&format!(
                "[{}/{} {percent}%] {}{word} {:.1}s",
                self.done,
                self.all.max(self.done),
                entry.target,
                entry.elapsed.as_secs_f64()
            ));
        } else if self.kind == Kind::Plain
            && self.done * PARTS / self.all.max(1) != (self.done - 1) * PARTS / self.all.max(1)
        {
            self.line(&format!(
                "[{}/{} {percent}%] {:.1}s",
                self.done,
                self.all.max(self.done),
                self.begun.elapsed().as_secs_f64()
            ));
        }
    }

    fn line(&self, text: &str) {
        self.bar.suspend(|| self.output.tell(text));
    }

    fn event(&self, event: &serde_json::Value) {
        self.output.tell(&event.to_string());
    }

    pub(crate) fn end(&self) {
        self.bar.finish_and_clear();
    }
}
