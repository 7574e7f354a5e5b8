//! What happened in the soak and when; and which errors that excuses.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    time::{SystemTime, UNIX_EPOCH},
};

use boardinghouse_core::{Error, ErrorKind};
use diesel::result::{DatabaseErrorKind, Error as DieselError};

/// How long, in microseconds, a change may take to reach the pool: what its documentation promises.
const HEARD: u64 = 1_000_000;

/// A server that begins to serve again does so before the pool knows: r2d2 waits longer each time it
/// cannot connect, up to the checkout timeout.
const RESTARTED: u64 = 4_000_000;

/// The time in microseconds, the same for both processes.
pub(super) fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_micros() as u64
}

/// Something that the second process did.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) what: String,
    /// To which tenant; 0 for all.
    pub(super) incarnation: i64,
    pub(super) begin: u64,
    pub(super) end: u64,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            what,
            incarnation,
            begin,
            end,
        } = self;
        write!(f, "event {what} {incarnation} {begin} {end}")
    }
}

impl Event {
    pub(super) fn parse(line: &str) -> Option<Self> {
        let mut words = line.strip_prefix("event ")?.split(' ');
        Some(Self {
            what: words.next()?.to_owned(),
            incarnation: words.next()?.parse().ok()?,
            begin: words.next()?.parse().ok()?,
            end: words.next()?.parse().ok()?,
        })
    }
}

/// What can go wrong with a checkout, or with a query of it, that some event explains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Deleted,
    Suspended,
    Unavailable,
    NoConnection,
    Timeout,
    QueryLost,
    ChangedPlan,
    Other,
}

impl Kind {
    pub(super) fn of(error: &Error) -> Self {
        match error.kind() {
            ErrorKind::TenantNotFound => Self::Deleted,
            ErrorKind::TenantUnavailable => Self::Suspended,
            ErrorKind::SchemaUnavailable => Self::Unavailable,
            ErrorKind::ConnectionFailed => Self::NoConnection,
            ErrorKind::PoolTimeout => Self::Timeout,
            _ => error.as_diesel().map_or(Self::Other, Self::of_query),
        }
    }

    pub(super) fn of_query(error: &DieselError) -> Self {
        let DieselError::DatabaseError(kind, info) = error else {
            return match error {
                DieselError::BrokenTransactionManager => Self::QueryLost,
                DieselError::RollbackErrorOnCommit { rollback_error, .. } => {
                    Self::of_query(rollback_error)
                }
                _ => Self::Other,
            };
        };
        match kind {
            DatabaseErrorKind::ClosedConnection | DatabaseErrorKind::UnableToSendCommand => {
                Self::QueryLost
            }
            // Diesel passes on no SQLSTATE; the server of the soak speaks English.
            _ if info.message() == "cached plan must not change result type" => Self::ChangedPlan,
            _ => Self::Other,
        }
    }
}

/// One error: whose, and when the checkout was asked for and the error came.
#[derive(Clone, Debug)]
pub(super) struct Trouble {
    pub(super) kind: Kind,
    pub(super) incarnation: i64,
    pub(super) begin: u64,
    pub(super) end: u64,
    /// For those that nothing explains.
    pub(super) text: String,
}

/// All events, by tenant.
#[derive(Default)]
pub(super) struct Journal(HashMap<i64, Vec<Event>>);

impl Journal {
    pub(super) fn add(&mut self, event: Event) {
        self.0.entry(event.incarnation).or_default().push(event);
    }

    pub(super) fn counts(&self) -> BTreeMap<&str, usize> {
        let mut counts = BTreeMap::new();
        for event in self.0.values().flatten() {
            *counts.entry(event.what.as_str()).or_default() += 1;
        }
        counts
    }

    /// Whether something happened that explains an error.
    pub(super) fn excuses(&self, trouble: &Trouble) -> bool {
        let during = |event: &Event, after: u64| {
            event.begin <= trouble.end && trouble.begin <= event.end + after
        };
        let excuse: &dyn Fn(&Event) -> bool = match trouble.kind {
            Kind::Deleted => &|event| event.what == "delete" && event.begin <= trouble.end,
            Kind::Suspended => &|event| event.what == "suspend" && during(event, HEARD),
            Kind::Unavailable => {
                &|event| ["rename", "delete"].contains(&&*event.what) && during(event, 0)
            }
            Kind::ChangedPlan => &|event| event.what == "alter" && during(event, HEARD),
            Kind::NoConnection | Kind::Timeout | Kind::QueryLost => &|event| match &*event.what {
                "kill" => during(event, HEARD),
                "restart" => during(event, RESTARTED),
                _ => false,
            },
            Kind::Other => return false,
        };
        let of = |incarnation| self.0.get(&incarnation).into_iter().flatten();
        of(trouble.incarnation).chain(of(0)).any(excuse)
    }
}
