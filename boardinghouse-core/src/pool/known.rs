//! What a pool knows of its tenants, and for how long it believes it.
//!
//! A [`Tenant`] may have been read an hour ago. Before the pool serves it, it asks the registry, once,
//! whether that tenant is still there, what its schema is called now, which number the schema has, and its
//! epoch; and whether anything is hidden behind the names on its path. From then on it believes that until
//! the registry's notification says that the tenant changed (`listener`), or until the time is up:
//! [`HEARD`] while the listener hears the server, else the `registry_ttl` of the pool.
//!
//! Nothing unsafe hangs on how fast that is: the schema's number is part of every proof, so a schema that
//! was renamed, or dropped and created anew, is refused at once, whatever is believed of it.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{Relaxed, SeqCst},
        },
    },
    time::{Duration, Instant},
};

use diesel::{
    connection::{AnsiTransactionManager, TransactionManager},
    pg::PgConnection,
    prelude::*,
    result::Error as DieselError,
    sql_types,
};

use super::shelf::lock;
use crate::{
    error::{Error, ErrorKind, Result},
    names::{SchemaName, TenantId},
    session::{BindError, Binding},
    sql::{self, Mark},
    tenant::{Tenant, TenantStatus},
};

/// For how long what was read is believed while notifications arrive: somebody can have created a view
/// by hand.
const HEARD: Duration = Duration::from_secs(60);

/// How old the listener's last word may be for it to count as hearing.
const HEARING: Duration = Duration::from_secs(1);

/// What a notification says that is of all tenants.
pub(super) const ALL: &str = "*";

/// How many notifications are remembered, for what was asked before them and is answered after.
const REMEMBERED: usize = 64;

/// After what time a tenant of which nobody asked the server is forgotten, unless it is in use.
const FORGOTTEN: Duration = Duration::from_secs(3_600);

/// What tells one tenant from another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key {
    /// A tenant of the registry, by its incarnation.
    Registered(i64),
    /// One that is not from the registry, and the shared schema.
    Schema(SchemaName),
}

impl Key {
    pub(super) fn of(tenant: &Tenant) -> Self {
        match tenant.incarnation() {
            0 => Self::Schema(tenant.schema().clone()),
            incarnation => Self::Registered(incarnation),
        }
    }
}

/// What the server said of a tenant.
#[derive(Debug)]
pub(super) struct Record {
    /// The tenant's id, where it is of the registry.
    pub(super) id: Option<TenantId>,
    pub(super) schema: SchemaName,
    pub(super) epoch: i64,
    pub(super) binding: Binding,
    confirmed: Instant,
    /// Whether it may have changed since.
    stale: AtomicBool,
    /// How many notifications there had been when it was read.
    read_at: u64,
    /// What is true of the tenant whatever was read of it: a checkout can hold a record that was replaced
    /// since.
    live: Arc<Live>,
}

/// What all records of a tenant share, until it is forgotten.
#[derive(Debug)]
struct Live {
    /// How many notifications there had been when the tenant last changed.
    changed_at: AtomicU64,
    /// Whether, by the last that was kept, nothing is hidden behind the names on its path.
    open: AtomicBool,
    gets: AtomicU64,
}

/// What the server said, before a binding was made of it.
#[derive(QueryableByName)]
pub(super) struct Confirmed {
    #[diesel(sql_type = sql_types::Nullable<sql_types::Text>)]
    id: Option<String>,
    #[diesel(sql_type = sql_types::Text)]
    schema_name: String,
    #[diesel(sql_type = sql_types::Text)]
    status: String,
    #[diesel(sql_type = sql_types::BigInt)]
    epoch: i64,
    #[diesel(sql_type = sql_types::Nullable<sql_types::Oid>)]
    schema_oid: Option<u32>,
    #[diesel(sql_type = sql_types::Nullable<sql_types::Oid>)]
    table_oid: Option<u32>,
    #[diesel(sql_type = sql_types::Bool)]
    open: bool,
}

pub(super) struct Knowledge {
    state: Mutex<State>,
    started: Instant,
    /// When the listener last heard from the server, in milliseconds since the start; 0 for never.
    heard: AtomicU64,
    ttl: Duration,
}

#[derive(Default)]
struct State {
    records: HashMap<Key, Arc<Record>>,
    /// Counts notifications, so that what was read before one of the same tenant is not believed after it.
    changes: u64,
    /// Whom the last of them were of.
    latest: VecDeque<String>,
}

impl State {
    /// Remembers a notification, and returns its number.
    fn note(&mut self, of: &str) -> u64 {
        self.changes += 1;
        self.latest.push_back(of.to_owned());
        if self.latest.len() > REMEMBERED {
            self.latest.pop_front();
        }
        self.changes
    }

    /// Whether a record may have changed since there were so many notifications.
    fn changed_since(&self, read_at: u64, record: &Record) -> bool {
        let since = usize::try_from(self.changes - read_at).unwrap_or(usize::MAX);
        since > self.latest.len()
            || self
                .latest
                .iter()
                .rev()
                .take(since)
                .any(|of| record.is_meant_by(of))
    }
}

impl Record {
    /// How many checkouts of the tenant there were.
    pub(super) fn gets(&self) -> u64 {
        self.live.gets.load(Relaxed)
    }

    /// Counts a checkout.
    pub(super) fn got(&self) {
        self.live.gets.fetch_add(1, Relaxed);
    }

    /// Whether a notification of that id, or with `*` of any, is of this tenant.
    fn is_meant_by(&self, id: &str) -> bool {
        id == ALL || self.id.as_ref().is_some_and(|own| own.as_str() == id)
    }
}

impl Knowledge {
    pub(super) fn new(ttl: Duration) -> Self {
        Self {
            state: Mutex::default(),
            started: Instant::now(),
            heard: AtomicU64::new(0),
            ttl,
        }
    }

    /// What is believed of a tenant, as far as it is news to who asks.
    pub(super) fn find(&self, key: &Key, epoch: i64, now: Instant) -> Option<Arc<Record>> {
        let record = Arc::clone(lock(&self.state).records.get(key)?);
        (record.epoch >= epoch && self.believes(&record, now)).then_some(record)
    }

    /// Whether what was read when a session was bound still holds for its return: whether anything hides
    /// behind a name. A second is what a change may take to be heard of anyhow.
    pub(super) fn still_believes(&self, record: &Record, now: Instant) -> bool {
        // It may have been asked again since, and the answer have been another.
        record.live.open.load(SeqCst)
            && record.live.changed_at.load(SeqCst) <= record.read_at
            && (now.duration_since(record.confirmed) < HEARING || self.believes(record, now))
    }

    fn believes(&self, record: &Record, now: Instant) -> bool {
        !record.stale.load(SeqCst) && now.duration_since(record.confirmed) < self.belief(now)
    }

    /// For how long what was read is believed.
    pub(super) fn belief(&self, now: Instant) -> Duration {
        if self.is_hearing(now) {
            HEARD
        } else {
            self.ttl
        }
    }

    /// To be asked before something is read that is to be [kept](Self::keep).
    pub(super) fn changes(&self) -> u64 {
        lock(&self.state).changes
    }

    /// Keeps what was read; it is not believed where a notification of it came since.
    pub(super) fn keep(&self, key: Key, record: Record, read_at: u64) -> Arc<Record> {
        let mut state = lock(&self.state);
        let mut record = record;
        if let Some(before) = state.records.get(&key) {
            record.live = Arc::clone(&before.live);
        }
        record.live.open.store(record.binding.is_open(), SeqCst);
        record.read_at = read_at;
        if state.changed_since(read_at, &record) {
            record.stale.store(true, SeqCst);
        }
        let record = Arc::new(record);
        state.records.insert(key, Arc::clone(&record));
        record
    }

    /// No longer believes what is known of one tenant.
    pub(super) fn doubt(&self, key: &Key) {
        if let Some(record) = lock(&self.state).records.get(key) {
            record.stale.store(true, SeqCst);
        }
    }

    /// The tenant is gone.
    pub(super) fn forget(&self, key: &Key) {
        if let Some(record) = lock(&self.state).records.remove(key) {
            record.live.open.store(false, SeqCst);
        }
    }

    /// Forgets the tenants that nobody has asked for in a long time.
    pub(super) fn tidy(&self) {
        let (now, after) = (Instant::now(), FORGOTTEN.max(self.ttl));
        lock(&self.state).records.retain(|_, record| {
            let stays =
                Arc::strong_count(record) > 1 || now.duration_since(record.confirmed) < after;
            // Nobody would tell a checkout that holds an older record.
            record.live.open.fetch_and(stays, SeqCst);
            stays
        });
    }

    /// A notification: the tenant of that id changed, or with `*` any of them. An empty one is the
    /// listener's own.
    pub(super) fn changed(&self, id: &str) {
        if id.is_empty() {
            return;
        }
        let mut state = lock(&self.state);
        let change = state.note(id);
        for record in state.records.values() {
            if record.is_meant_by(id) {
                record.stale.store(true, SeqCst);
                record.live.changed_at.store(change, SeqCst);
            }
        }
    }

    /// What was notified until now cannot be known.
    pub(super) fn missed(&self) {
        let mut state = lock(&self.state);
        state.note(ALL);
        for record in state.records.values() {
            record.stale.store(true, SeqCst);
        }
    }

    /// The listener has just heard from the server.
    pub(super) fn heard(&self) {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.heard.store(now.max(1), SeqCst);
    }

    /// The listener hears nothing any more: what it missed is not known.
    pub(super) fn deaf(&self) {
        self.heard.store(0, SeqCst);
        self.missed();
    }

    pub(super) fn is_hearing(&self, now: Instant) -> bool {
        match self.heard.load(SeqCst) {
            0 => false,
            heard => now.duration_since(self.started) < Duration::from_millis(heard) + HEARING,
        }
    }

    /// The tenants with the most checkouts, the busiest first.
    pub(super) fn busiest(&self, most: usize) -> Vec<(TenantId, u64)> {
        let mut all: Vec<_> = lock(&self.state)
            .records
            .values()
            .filter_map(|record| Some((record.id.clone()?, record.gets())))
            .collect();
        all.sort_by(|(left, a), (right, b)| b.cmp(a).then_with(|| left.cmp(right)));
        all.truncate(most);
        all
    }
}

/// Asks the server about a tenant, in one statement and so of one moment. `None` where there is none.
///
/// The session may be on any path: every name is qualified.
pub(super) fn confirm(
    pg: &mut PgConnection,
    key: &Key,
    rest: &[SchemaName],
    in_transaction: bool,
) -> Result<Option<Confirmed>, BindError> {
    let rest: Vec<&str> = rest.iter().map(SchemaName::as_str).collect();
    let read = |pg: &mut PgConnection| match key {
        Key::Registered(incarnation) => diesel::sql_query(sql::CONFIRM_TENANT)
            .bind::<sql_types::Array<sql_types::Text>, _>(&rest)
            .bind::<sql_types::BigInt, _>(incarnation)
            .get_result(pg)
            .optional(),
        Key::Schema(schema) => diesel::sql_query(sql::CONFIRM_SCHEMA)
            .bind::<sql_types::Array<sql_types::Text>, _>(&rest)
            .bind::<sql_types::Text, _>(schema.as_str())
            .get_result(pg)
            .optional(),
    };
    let confirmed: QueryResult<_> = if in_transaction {
        pg.transaction(|pg| read(pg))
    } else {
        AnsiTransactionManager::transaction_manager_status_mut(pg).set_in_error();
        let confirmed = read(pg);
        if AnsiTransactionManager::is_broken_transaction_manager(pg) {
            return Err(BindError::Stale);
        }
        confirmed
    };
    confirmed.map_err(BindError::of)
}

impl Confirmed {
    /// What the registry has to say against serving the tenant; else the record, with a binding that
    /// `bind` makes.
    pub(super) fn into_record(
        self,
        bind: impl FnOnce(&SchemaName, i64, Mark) -> Binding,
    ) -> Result<Record> {
        let id = self.id.as_deref().map(TenantId::parse).transpose()?;
        let refused = |error: Error| match &id {
            Some(id) => error.with_tenant(id),
            None => error,
        };
        let status: TenantStatus = self.status.parse()?;
        if status != TenantStatus::Ready {
            let name = id.as_ref().map_or("", TenantId::as_str);
            return Err(refused(not_ready(name, status)));
        }
        let schema = SchemaName::existing(&self.schema_name)?;
        if self.schema_oid.is_none() {
            return Err(refused(missing(&schema)));
        }
        let mark = Mark {
            schema: self.schema_oid,
            table: self.table_oid,
        };
        let binding = bind(&schema, self.epoch, mark).open(self.open);
        let live = Live {
            changed_at: AtomicU64::new(0),
            open: AtomicBool::new(self.open),
            gets: AtomicU64::new(0),
        };
        Ok(Record {
            id,
            schema,
            epoch: self.epoch,
            binding,
            confirmed: Instant::now(),
            stale: AtomicBool::new(false),
            read_at: 0,
            live: Arc::new(live),
        })
    }
}

pub(super) fn missing(schema: &SchemaName) -> Error {
    Error::new(
        ErrorKind::SchemaUnavailable,
        format!("schema {schema} is missing"),
    )
}

pub(super) fn not_ready(id: &str, status: TenantStatus) -> Error {
    Error::new(
        ErrorKind::TenantUnavailable,
        format!("tenant {id} is {status}, not ready"),
    )
}

/// The error of a confirmation that the server did not answer.
pub(super) fn not_confirmed(error: DieselError) -> Error {
    Error::database("ask the registry about the tenant", error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(id: &str) -> Record {
        record_of(id, true)
    }

    fn record_of(id: &str, open: bool) -> Record {
        let confirmed = Confirmed {
            id: Some(id.to_owned()),
            schema_name: id.to_owned(),
            status: "ready".to_owned(),
            epoch: 1,
            schema_oid: Some(1),
            table_oid: None,
            open,
        };
        confirmed
            .into_record(|schema, epoch, mark| Binding::new(schema, epoch, []).only(mark))
            .unwrap()
    }

    /// Whether what is read of `acme` is believed, when `meanwhile` happens between question and answer.
    fn believed_after(meanwhile: impl FnOnce(&Knowledge)) -> bool {
        let known = Knowledge::new(Duration::from_secs(60));
        let read_at = known.changes();
        meanwhile(&known);
        known.keep(Key::Registered(1), record("acme"), read_at);
        known.find(&Key::Registered(1), 1, Instant::now()).is_some()
    }

    /// Whether a checkout that holds what was read of `acme` may stay on its path when it is returned after
    /// `meanwhile`.
    fn parks_after(meanwhile: impl FnOnce(&Knowledge, Key)) -> bool {
        let known = Knowledge::new(Duration::from_secs(60));
        let key = Key::Registered(1);
        let held = known.keep(key.clone(), record("acme"), known.changes());
        meanwhile(&known, key);
        known.still_believes(&held, Instant::now())
    }

    #[test]
    fn a_checkout_hears_what_became_of_its_tenant() {
        let again = |known: &Knowledge, key, open| {
            known.keep(key, record_of("acme", open), known.changes());
        };
        assert!(parks_after(|_, _| {}));
        assert!(parks_after(|known, _| known.changed("other")));
        assert!(parks_after(|known, key| again(known, key, true)));
        assert!(!parks_after(|known, _| known.changed("acme")));
        assert!(!parks_after(|known, key| known.forget(&key)));
        // Something hides behind a name by now.
        assert!(!parks_after(|known, key| again(known, key, false)));
        // What it holds is no longer what is believed.
        assert!(!parks_after(|known, key| {
            again(known, key, true);
            known.changed("acme");
        }));
    }

    #[test]
    fn what_changed_between_question_and_answer_is_not_believed() {
        assert!(believed_after(|_| {}));
        assert!(believed_after(|known| known.changed("other")));
        assert!(believed_after(|known| known.changed("")));
        assert!(!believed_after(|known| known.changed("acme")));
        assert!(!believed_after(|known| known.changed(ALL)));
        assert!(!believed_after(Knowledge::missed));
        assert!(!believed_after(|known| {
            known.changed("acme");
            (0..10).for_each(|_| known.changed("other"));
        }));
        // More than are remembered: one of them can have been of this tenant.
        assert!(!believed_after(|known| {
            known.changed("acme");
            (0..=REMEMBERED).for_each(|_| known.changed("other"));
        }));
    }
}
