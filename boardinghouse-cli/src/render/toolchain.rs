//! Files that were written, and code that was generated.

use std::path::PathBuf;

use serde::Serialize;

use crate::output::Report;

/// The files that a command lays down.
#[derive(Debug, Serialize)]
pub(crate) struct FilesReport {
    created: Vec<String>,
    /// What was there already.
    left_alone: Vec<String>,
}

impl FilesReport {
    pub(crate) fn new(created: &[PathBuf], left_alone: &[PathBuf]) -> Self {
        let shown = |paths: &[PathBuf]| {
            paths
                .iter()
                .map(|path| path.display().to_string())
                .collect()
        };
        Self {
            created: shown(created),
            left_alone: shown(left_alone),
        }
    }
}

impl Report for FilesReport {
    fn human(&self) -> String {
        let created = self
            .created
            .iter()
            .map(|path| format!("created     {path}"));
        let left_alone = self
            .left_alone
            .iter()
            .map(|path| format!("left alone  {path}"));
        created.chain(left_alone).collect::<Vec<_>>().join("\n")
    }
}

/// The code, for stdout.
#[derive(Debug, Serialize)]
pub(crate) struct CodeReport {
    pub(crate) schema: String,
}

impl Report for CodeReport {
    fn human(&self) -> String {
        self.schema.trim_end().to_owned()
    }
}

/// What became of the files that hold generated code, or would.
#[derive(Debug, Serialize)]
pub(crate) struct GeneratedReport {
    pub(crate) files: Vec<Generated>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Generated {
    pub(crate) file: String,
    #[serde(flatten)]
    pub(crate) outcome: GeneratedOutcome,
}

#[derive(Debug, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub(crate) enum GeneratedOutcome {
    Current,
    Written,
    /// Found by a check.
    Stale {
        diff: String,
    },
}

impl Report for GeneratedReport {
    fn human(&self) -> String {
        let line = |generated: &Generated| {
            let file = &generated.file;
            match &generated.outcome {
                GeneratedOutcome::Current => format!("{file} is current"),
                GeneratedOutcome::Written => format!("{file} written"),
                GeneratedOutcome::Stale { diff } => format!("{file} is not current\n{diff}"),
            }
        };
        self.files.iter().map(line).collect::<Vec<_>>().join("\n")
    }
}
