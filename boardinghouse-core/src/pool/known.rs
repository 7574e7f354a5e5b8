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
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
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
    /// How many notifications there had been when it was read, and when the tenant last changed; the latter
    /// is that of all records of this tenant, as a checkout can hold one that was replaced since.
    read_at: u64,
    changed_at: Arc<AtomicU64>,
    /// Checkouts, of all records of this tenant.
    pub(super) gets: Arc<AtomicU64>,
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
    records: Mutex<HashMap<Key, Arc<Record>>>,
    /// Counts notifications, so that what was read before one is not kept after it.
    changes: AtomicU64,
    started: Instant,
    /// When the listener last heard from the server, in milliseconds since the start; 0 for never.
    heard: AtomicU64,
    ttl: Duration,
}

impl Knowledge {
    pub(super) fn new(ttl: Duration) -> Self {
        Self {
            records: Mutex::default(),
            changes: AtomicU64::new(0),
            started: Instant::now(),
            heard: AtomicU64::new(0),
            ttl,
        }
    }

    /// What is believed of a tenant, as far as it is news to who asks.
    pub(super) fn find(&self, key: &Key, epoch: i64) -> Option<Arc<Record>> {
        let record = Arc::clone(lock(&self.records).get(key)?);
        (record.epoch >= epoch && self.believes(&record)).then_some(record)
    }

    /// Whether what was read when a session was bound still holds for its return: whether anything hides
    /// behind a name. A second is what a change may take to be heard of anyhow.
    pub(super) fn still_believes(&self, key: &Key, record: &Record) -> bool {
        // It may have been asked again since, and the answer have been another.
        let open = lock(&self.records)
            .get(key)
            .is_some_and(|current| current.binding.is_open());
        open && record.changed_at.load(SeqCst) <= record.read_at
            && (record.confirmed.elapsed() < HEARING || self.believes(record))
    }

    fn believes(&self, record: &Record) -> bool {
        let believed = if self.is_hearing() { HEARD } else { self.ttl };
        !record.stale.load(SeqCst) && record.confirmed.elapsed() < believed
    }

    /// To be asked before something is read that is to be [kept](Self::keep).
    pub(super) fn changes(&self) -> u64 {
        self.changes.load(SeqCst)
    }

    /// Keeps what was read, unless a notification came since.
    pub(super) fn keep(&self, key: Key, record: Record, read_at: u64) -> Arc<Record> {
        let mut records = lock(&self.records);
        let mut record = record;
        if let Some(before) = records.get(&key) {
            record.gets = Arc::clone(&before.gets);
            record.changed_at = Arc::clone(&before.changed_at);
        }
        record.read_at = read_at;
        let record = Arc::new(record);
        if self.changes.load(SeqCst) != read_at {
            record.stale.store(true, SeqCst);
        }
        records.insert(key, Arc::clone(&record));
        record
    }

    /// No longer believes what is known of one tenant.
    pub(super) fn doubt(&self, key: &Key) {
        if let Some(record) = lock(&self.records).get(key) {
            record.stale.store(true, SeqCst);
        }
    }

    /// The tenant is gone.
    pub(super) fn forget(&self, key: &Key) {
        lock(&self.records).remove(key);
    }

    /// A notification: the tenant of that id changed, or with `*` any of them. An empty one is the
    /// listener's own.
    pub(super) fn changed(&self, id: &str) {
        if id.is_empty() {
            return;
        }
        let records = lock(&self.records);
        let change = self.changes.fetch_add(1, SeqCst) + 1;
        for record in records.values() {
            if id == "*" || record.id.as_ref().is_some_and(|known| known.as_str() == id) {
                record.stale.store(true, SeqCst);
                record.changed_at.store(change, SeqCst);
            }
        }
    }

    /// What was notified until now cannot be known.
    pub(super) fn missed(&self) {
        let records = lock(&self.records);
        self.changes.fetch_add(1, SeqCst);
        for record in records.values() {
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

    pub(super) fn is_hearing(&self) -> bool {
        match self.heard.load(SeqCst) {
            0 => false,
            heard => self.started.elapsed() < Duration::from_millis(heard) + HEARING,
        }
    }

    /// The tenants with the most checkouts, the busiest first.
    pub(super) fn busiest(&self, most: usize) -> Vec<(TenantId, u64)> {
        let mut all: Vec<_> = lock(&self.records)
            .values()
            .filter_map(|record| Some((record.id.clone()?, record.gets.load(SeqCst))))
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
        Ok(Record {
            id,
            schema,
            epoch: self.epoch,
            binding,
            confirmed: Instant::now(),
            stale: AtomicBool::new(false),
            read_at: 0,
            changed_at: Arc::default(),
            gets: Arc::default(),
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
