//! Finds out, by experiment, what stands between a URL and PostgreSQL.

mod experiment;
mod probe;

use std::fmt;

use serde::Serialize;

use self::experiment::{Sessions, Transactions};
use crate::{error::Result, pool::PathMode};

/// Whether a mode is safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Verdict {
    /// What the mode relies on was seen to hold.
    Safe,
    /// It was seen not to hold: one tenant would read the rows of another.
    Unsafe,
    /// Neither. Do not take it for safe.
    Inconclusive,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Safe => "SAFE",
            Self::Unsafe => "UNSAFE",
            Self::Inconclusive => "INCONCLUSIVE",
        })
    }
}

/// What was found out about one [`PathMode`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ModeVerdict {
    /// The mode.
    pub mode: PathMode,
    /// Whether it is safe with this URL.
    pub verdict: Verdict,
    /// What was seen.
    pub reason: String,
    /// What to do about it; `None` where there is nothing to do.
    pub hint: Option<&'static str>,
}

/// Which modes are safe with a URL, behind whatever pooler it leads to.
///
/// # How it is found out
///
/// Connections are opened one after the other, and each sets something in its session. After each, all
/// of them are asked which server process serves them, and what is set there. If two that are open
/// have one process, or one has another process than before, or what was set is gone, then sessions
/// are not stable. They are taken for stable where three connections got a process that was started
/// for them, although the processes of the others were idle: a pooler that shares processes uses an
/// idle one first. Where all that come are old, as behind a pooler in session mode that has been busy,
/// connections are opened until one has to wait while those before it are idle and still served: that
/// is the end of such a pool. After 25 connections, or where no more are let in, the answer is
/// [`Verdict::Inconclusive`]. A pooler that starts a process for every new client, though it has idle
/// ones, and takes it away only later, would not be seen.
///
/// A transaction is then held open while the other connections want to work; it must keep its process
/// and what was set for it.
///
/// Nothing is written to the database. What is set, `boardinghouse.probe`, means nothing to anybody,
/// but behind a pooler that shares processes it stays in some of them.
///
/// # Examples
///
/// ```no_run
/// use boardinghouse_core::{PoolerCheckup, Verdict};
///
/// let checkup = PoolerCheckup::run("postgres://pooler.internal:6432/app")?;
/// for mode in &checkup.modes {
///     println!("{:?} is {}: {}", mode.mode, mode.verdict, mode.reason);
/// }
/// assert!(checkup.sessions_are_safe());
/// # Ok::<(), boardinghouse_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PoolerCheckup {
    /// One for each mode.
    pub modes: Vec<ModeVerdict>,
    /// What else was seen, in words.
    pub seen: Vec<String>,
}

const OTHER_URL: &str = "use PathMode::Transaction and TenantPool::transaction, or a URL that leads to \
     PostgreSQL directly or to a pooler in session mode; migrations, `tenant create` and `tenant \
     delete` want such a URL in any case";
const SESSION_URL: &str =
    "use a URL that leads to PostgreSQL directly, or to a pooler in session or transaction mode";
const AGAIN: &str = "ask who runs the pooler which mode it is in, or try again when it is less busy; do \
     not use this mode until you know";
const NO_NEED: &str = "nothing asks for this mode here, and the others cost less";

impl PoolerCheckup {
    /// Makes the experiment. It takes less than a second, or some where connections have to wait, and
    /// at most 26 connections.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ConnectionFailed`](crate::ErrorKind::ConnectionFailed) when not even the first
    /// connection can be opened, and [`ErrorKind::Database`](crate::ErrorKind::Database).
    pub fn run(url: &str) -> Result<Self> {
        let seen = experiment::run(url)?;
        let (verdict, reason, hint) = match seen.sessions {
            Sessions::Stable(reason) => (Verdict::Safe, reason, None),
            Sessions::Shared(reason) => {
                let hint = match seen.transactions {
                    Transactions::Kept(_) => OTHER_URL,
                    _ => SESSION_URL,
                };
                (Verdict::Unsafe, reason, Some(hint))
            }
            Sessions::Unknown(reason) => (Verdict::Inconclusive, reason, Some(AGAIN)),
        };
        let mut modes: Vec<ModeVerdict> = [PathMode::TenantThenShared, PathMode::TenantOnly]
            .into_iter()
            .map(|mode| ModeVerdict {
                mode,
                verdict,
                reason: reason.clone(),
                hint,
            })
            .collect();
        let safe = verdict == Verdict::Safe;
        let (verdict, reason, hint) = match seen.transactions {
            Transactions::Kept(reason) => (Verdict::Safe, reason, safe.then_some(NO_NEED)),
            Transactions::Broken(reason) => (Verdict::Unsafe, reason, Some(SESSION_URL)),
            Transactions::Unknown(reason) => (Verdict::Inconclusive, reason, Some(AGAIN)),
        };
        modes.push(ModeVerdict {
            mode: PathMode::Transaction,
            verdict,
            reason,
            hint,
        });
        Ok(Self {
            modes,
            seen: seen.notes,
        })
    }

    /// Whether the modes that rely on sessions are safe.
    #[must_use]
    pub fn sessions_are_safe(&self) -> bool {
        self.verdict(PathMode::TenantThenShared) == Verdict::Safe
    }

    /// The verdict on one mode.
    #[must_use]
    pub fn verdict(&self, mode: PathMode) -> Verdict {
        let mut modes = self.modes.iter().filter(|found| found.mode == mode);
        modes
            .next()
            .map_or(Verdict::Inconclusive, |found| found.verdict)
    }
}
