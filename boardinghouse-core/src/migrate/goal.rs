//! What a run is to reach, and the steps that lead there.

use std::collections::BTreeSet;

use super::set::{Code, Entry, Script, Set};
use crate::error::{Error, ErrorKind, Result};

/// What a run brings each schema to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Goal {
    /// The newest version: what is pending is applied.
    #[default]
    Newest,
    /// Exactly this version: what is pending up to it is applied, what was applied after it is taken back. One
    /// of a kind of tenants is for the others the newest of theirs before it.
    Version(String),
    /// As many migrations are taken back, the newest first: of those that the shared schema has, or that the
    /// template or any tenant of the selection has. Each loses those of them that it has.
    Revert(usize),
    /// All migrations are taken back.
    RevertAll,
    /// As many migrations, the newest ones as with [`Revert`](Self::Revert), are taken back and applied again
    /// where they are.
    Redo(usize),
    /// This version is remembered as applied, where it is not; nothing is run.
    MarkApplied(String),
    /// Versions that none of the migrations has are forgotten; nothing is run.
    Prune,
}

/// A [`Goal`] that means the same however often it is asked for, and whatever was done towards it already.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Aim {
    #[default]
    Newest,
    Version(String),
    /// The newest first.
    Without {
        versions: Vec<String>,
        again: bool,
    },
    Nothing,
    MarkApplied(String),
    Prune,
}

/// One thing to do in a schema. Numbers are positions in the [`Set`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Step {
    Apply(usize),
    TakeBack(usize),
    Mark(usize),
    Forget(String),
}

impl Step {
    /// What is printed of it: the name of the migration, with what is done where that is not applying it.
    pub(super) fn describe(&self, set: &Set) -> String {
        match self {
            Self::Apply(at) => set.entries[*at].name.clone(),
            Self::TakeBack(at) => format!("revert {}", set.entries[*at].name),
            Self::Mark(at) => format!("mark {}", set.entries[*at].name),
            Self::Forget(version) => format!("forget {version}"),
        }
    }

    /// The migration that is run.
    pub(super) fn entry<'a>(&self, set: &'a Set) -> Option<&'a Entry> {
        match self {
            Self::Apply(at) | Self::TakeBack(at) => Some(&set.entries[*at]),
            Self::Mark(_) | Self::Forget(_) => None,
        }
    }

    /// The text that is run, where it is known. A step that runs nothing has an empty one.
    pub(super) fn script<'a>(&self, set: &'a Set) -> Option<&'a Script> {
        let code = self.entry(set).map(|entry| &entry.code);
        match (self, code) {
            (Self::Apply(_), Some(Code::Text { up, .. })) => Some(up),
            (Self::TakeBack(_), Some(Code::Text { down, .. })) => down.as_ref(),
            _ => None,
        }
    }

    /// Whether a schema that has this has it done already.
    pub(super) fn is_done(&self, set: &Set, has: &BTreeSet<String>) -> bool {
        match self {
            Self::Apply(at) | Self::Mark(at) => has.contains(&set.entries[*at].version),
            Self::TakeBack(at) => !has.contains(&set.entries[*at].version),
            Self::Forget(version) => !has.contains(version),
        }
    }

    /// Changes what a schema is known to have.
    pub(super) fn note(&self, set: &Set, versions: &mut BTreeSet<String>) {
        match self {
            Self::Apply(at) | Self::Mark(at) => {
                versions.insert(set.entries[*at].version.clone());
            }
            Self::TakeBack(at) => {
                versions.remove(&set.entries[*at].version);
            }
            Self::Forget(version) => {
                versions.remove(version);
            }
        }
    }
}

impl Goal {
    /// Whether it says how many migrations, so that it depends on where schemas are.
    pub(super) fn counts(&self) -> bool {
        matches!(self, Self::Revert(_) | Self::Redo(_))
    }

    /// Whether the registry's own migrations are part of it.
    pub(super) fn is_newest(&self) -> bool {
        *self == Self::Newest
    }

    /// Refuses a version that a set does not have.
    pub(super) fn check(&self, set: &Set) -> Result<()> {
        if *self == Self::Prune && set.entries.is_empty() {
            let message = "there are no migrations at all: everything would be forgotten";
            return Err(Error::new(ErrorKind::InvalidInput, message));
        }
        let (Self::Version(version) | Self::MarkApplied(version)) = self else {
            return Ok(());
        };
        if find(set, version).is_some() {
            return Ok(());
        }
        let newest: Vec<&str> = set.entries.iter().rev().take(3).map(|e| &*e.name).collect();
        let message = match newest.is_empty() {
            true => format!("there is no migration {version}: there are none at all"),
            false => format!(
                "there is no migration {version}: the newest are {}",
                newest.join(", ")
            ),
        };
        Err(Error::new(ErrorKind::InvalidInput, message))
    }

    /// What is aimed at, seen from a schema that has this: the template, or the shared schema.
    pub(super) fn aim(&self, has: &BTreeSet<String>) -> Aim {
        let newest = |count: usize| has.iter().rev().take(count).cloned().collect();
        match self {
            Self::Newest => Aim::Newest,
            Self::Version(version) => Aim::Version(version.clone()),
            Self::Revert(count) => Aim::Without {
                versions: newest(*count),
                again: false,
            },
            Self::RevertAll => Aim::Nothing,
            Self::Redo(count) => Aim::Without {
                versions: newest(*count),
                again: true,
            },
            Self::MarkApplied(version) => Aim::MarkApplied(version.clone()),
            Self::Prune => Aim::Prune,
        }
    }

    /// What to ask for so that a run that did not get through is gone on with: asking for the same again
    /// would take back more.
    pub(super) fn rest(&self, has: &BTreeSet<String>) -> Option<Self> {
        match self {
            Self::Revert(count) => Some(match has.iter().rev().nth(*count) {
                Some(version) => Self::Version(version.clone()),
                None => Self::RevertAll,
            }),
            Self::Redo(_) => Some(Self::Newest),
            _ => None,
        }
    }
}

impl Aim {
    /// The steps from what a schema has to the aim.
    pub(super) fn steps(&self, set: &Set, has: &BTreeSet<String>) -> Result<Vec<Step>> {
        let pending = |upto: usize| {
            let missing = move |at: &usize| !has.contains(&set.entries[*at].version);
            (0..upto).filter(missing).map(Step::Apply)
        };
        Ok(match self {
            Self::Newest => pending(set.entries.len()).collect(),
            Self::Version(version) => {
                // Of another kind of tenants it may be: then what comes before it.
                let last = plain(version);
                let at = set.entries.partition_point(|entry| entry.version <= last);
                let later = has.iter().rev().filter(|has| **has > last);
                let back: Vec<Step> = taken_back(set, later)?;
                back.into_iter().chain(pending(at)).collect()
            }
            Self::Nothing => taken_back(set, has.iter().rev())?,
            Self::Without { versions, again } => {
                let of_own = versions.iter().filter(|version| has.contains(*version));
                let back = taken_back(set, of_own)?;
                let more = back.iter().rev().filter_map(|step| match step {
                    Step::TakeBack(at) if *again => Some(Step::Apply(*at)),
                    _ => None,
                });
                let more: Vec<Step> = more.collect();
                back.into_iter().chain(more).collect()
            }
            Self::MarkApplied(version) => find(set, version)
                .filter(|at| !has.contains(&set.entries[*at].version))
                .map(Step::Mark)
                .into_iter()
                .collect(),
            Self::Prune => has
                .iter()
                .filter(|version| set.position(version).is_none())
                .map(|version| Step::Forget(version.clone()))
                .collect(),
        })
    }
}

/// The position of a migration, by its version as it is remembered, as it is written, or by its name.
fn find(set: &Set, version: &str) -> Option<usize> {
    set.position(&plain(version))
        .filter(|at| !version.contains('_') || set.entries[*at].name == version)
}

/// A version as it is remembered.
fn plain(version: &str) -> String {
    let version = version.split('_').next().unwrap_or_default();
    version.replace('-', "")
}

fn taken_back<'a>(set: &Set, versions: impl Iterator<Item = &'a String>) -> Result<Vec<Step>> {
    versions
        .map(|version| {
            let at = set.position(version).ok_or_else(|| {
                let message = format!(
                    "version {version} cannot be taken back: none of the migrations has it"
                );
                Error::new(ErrorKind::Migration, message)
            })?;
            let entry = &set.entries[at];
            if matches!(&entry.code, Code::Text { down: None, .. }) {
                let message = format!(
                    "migration {} cannot be taken back: it has no down.sql, or an empty one",
                    entry.name
                );
                return Err(Error::new(ErrorKind::Migration, message));
            }
            Ok(Step::TakeBack(at))
        })
        .collect()
}
