//! The same work for many tenants: one checkout each, results that say whose they are.

use std::{
    any::Any,
    collections::HashMap,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

use serde::{Deserialize, Serialize};

use crate::{
    connection::TenantConnection,
    error::{Error, ErrorKind, Result},
    migrate::{self, Selection},
    names::TenantId,
    pool::TenantPool,
    registry::{self, PgRegistry},
    tenant::{Tenant, TenantStatus},
};

/// A value and the tenant that it belongs to.
///
/// Two are equal when both are: the row with id 1 of one tenant is not the row with id 1 of another.
///
/// # Examples
///
/// ```
/// use boardinghouse_core::Tenanted;
///
/// let one = Tenanted { tenant: "acme".parse()?, value: 1 };
/// assert_eq!(one, Tenanted { tenant: "acme".parse()?, value: 1 });
/// assert_ne!(one, Tenanted { tenant: "globex".parse()?, value: 1 });
/// # Ok::<(), boardinghouse_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Tenanted<T> {
    /// Whose it is.
    pub tenant: TenantId,
    /// What it is.
    pub value: T,
}

/// What work for many tenants did. Failures are part of it: what fails, fails alone.
#[derive(Debug)]
#[must_use = "tenants that failed are in the report: look at `failures`, or call `into_results`"]
#[non_exhaustive]
pub struct AcrossReport<T, E = Error> {
    /// One entry for each tenant that the work was meant for, in the order of the tenants.
    pub entries: Vec<ForTenant<T, E>>,
    /// The tenants of the selection that are not served, such as suspended ones. Nothing was done
    /// for them.
    pub skipped: Vec<Tenant>,
}

/// What the work came to for one tenant.
#[derive(Debug)]
#[non_exhaustive]
pub struct ForTenant<T, E = Error> {
    /// The tenant.
    pub tenant: Tenant,
    /// What the work gave, or why it failed.
    pub result: Result<T, E>,
}

impl<T, E> ForTenant<T, E> {
    /// What the work came to for a tenant.
    #[must_use]
    pub fn new(tenant: Tenant, result: Result<T, E>) -> Self {
        Self { tenant, result }
    }
}

impl<T, E> AcrossReport<T, E> {
    /// Whether the work succeeded for every tenant it was meant for.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.failures().next().is_none()
    }

    /// The tenants that failed, and why.
    pub fn failures(&self) -> impl Iterator<Item = (&Tenant, &E)> {
        self.entries
            .iter()
            .filter_map(|entry| Some((&entry.tenant, entry.result.as_ref().err()?)))
    }

    /// The results, each labelled with its tenant.
    ///
    /// # Errors
    ///
    /// The first failure, in the order of the tenants, if there is one.
    pub fn into_results(self) -> Result<Vec<Tenanted<T>>, E> {
        self.entries
            .into_iter()
            .map(|entry| {
                entry.result.map(|value| Tenanted {
                    tenant: entry.tenant.id().clone(),
                    value,
                })
            })
            .collect()
    }
}

impl<T, E> AcrossReport<Vec<T>, E> {
    /// The rows of all tenants as one list, each row labelled with its tenant.
    ///
    /// # Errors
    ///
    /// Those of [`into_results`](Self::into_results).
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use boardinghouse_core::{Error, PgRegistry, Selection, TenantPool};
    /// use diesel::prelude::*;
    ///
    /// diesel::table! {
    ///     notes { id -> Integer, body -> Text }
    /// }
    ///
    /// # fn main() -> boardinghouse_core::Result<()> {
    /// let registry = PgRegistry::new(TenantPool::builder().build("postgres://localhost/app")?);
    /// let urgent = registry.for_each_tenant(&Selection::Tenants, 4, |_, conn| {
    ///     let found = notes::table.filter(notes::body.like("%!")).load::<(i32, String)>(conn);
    ///     found.map_err(Error::from)
    /// })?;
    /// for row in urgent.into_rows()? {
    ///     println!("{}: {}", row.tenant, row.value.1);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn into_rows(self) -> Result<Vec<Tenanted<T>>, E> {
        let lists = self.into_results()?;
        Ok(lists
            .into_iter()
            .flat_map(|list| {
                let tenant = list.tenant;
                list.value.into_iter().map(move |value| Tenanted {
                    tenant: tenant.clone(),
                    value,
                })
            })
            .collect())
    }
}

impl TenantPool {
    /// Runs `work` for each of the tenants, on a checkout of its own, for up to `jobs` of them at
    /// once.
    ///
    /// A tenant that fails, or whose work panics, fails alone; the others go on. What is next is taken
    /// from one queue, so a slow tenant holds nobody up. The caller's thread works, too.
    ///
    /// `jobs` is at least 1 and at most the pool's `max_size`. Each job holds one connection, so choose
    /// fewer where requests are served from the same pool, and do not call it with a checkout in hand:
    /// with a pool of one connection that waits for itself.
    ///
    /// Results are owned. Neither a borrow of the connection nor a cursor on it can be handed out:
    ///
    /// ```compile_fail
    /// # use boardinghouse_core::{Error, Tenant, TenantPool};
    /// # fn example(pool: &TenantPool, tenants: &[Tenant]) {
    /// let report = pool.across(tenants, 4, |_, conn| Ok::<_, Error>(conn));
    /// # }
    /// ```
    ///
    /// ```compile_fail,E0277
    /// # use boardinghouse_core::{Error, Tenant, TenantPool};
    /// # use diesel::prelude::*;
    /// # diesel::table! { notes { id -> Integer, body -> Text } }
    /// # fn example(pool: &TenantPool, tenants: &[Tenant]) {
    /// let report = pool.across(tenants, 4, |_, conn| {
    ///     notes::table.load_iter::<(i32, String), diesel::pg::PgRowByRowLoadingMode>(conn)
    ///         .map_err(Error::from)
    /// });
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// None as a whole. In an entry: those of [`get`](Self::get), those of `work`, and
    /// [`ErrorKind::Panicked`].
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # use boardinghouse_core::{Error, Tenant, TenantPool};
    /// # use diesel::prelude::*;
    /// # diesel::table! { notes { id -> Integer, body -> Text } }
    /// # fn example(pool: &TenantPool, tenants: &[Tenant]) {
    /// let counted = pool.across(tenants, 4, |_, conn| {
    ///     notes::table.count().get_result::<i64>(conn).map_err(Error::from)
    /// });
    /// for (tenant, error) in counted.failures() {
    ///     eprintln!("{}: {}", tenant.id(), error.chain());
    /// }
    /// # }
    /// ```
    pub fn across<T, E>(
        &self,
        tenants: &[Tenant],
        jobs: usize,
        work: impl Fn(&Tenant, &mut TenantConnection) -> Result<T, E> + Sync,
    ) -> AcrossReport<T, E>
    where
        T: Send,
        E: From<Error> + Send,
    {
        self.visit(tenants, jobs, OnError::GoOn, &work)
    }

    /// As [`across`](Self::across), but all or an error: after the first failure no further tenant is
    /// begun. Those that are under way are finished.
    ///
    /// # Errors
    ///
    /// The first failure in the order of the tenants.
    pub fn try_across<T, E>(
        &self,
        tenants: &[Tenant],
        jobs: usize,
        work: impl Fn(&Tenant, &mut TenantConnection) -> Result<T, E> + Sync,
    ) -> Result<Vec<Tenanted<T>>, E>
    where
        T: Send,
        E: From<Error> + Send,
    {
        self.visit(tenants, jobs, OnError::Stop, &work)
            .into_results()
    }

    fn visit<T, E>(
        &self,
        tenants: &[Tenant],
        jobs: usize,
        on_error: OnError,
        work: &(impl Fn(&Tenant, &mut TenantConnection) -> Result<T, E> + Sync),
    ) -> AcrossReport<T, E>
    where
        T: Send,
        E: From<Error> + Send,
    {
        let most = usize::try_from(self.max_size()).unwrap_or(usize::MAX);
        let jobs = jobs.min(most).min(tenants.len());
        let span = tracing::Span::current();
        let next = AtomicUsize::new(0);
        let stop = AtomicBool::new(false);
        let worker = || {
            let _inside = span.enter();
            let mut done = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let place = next.fetch_add(1, Ordering::Relaxed);
                let Some(tenant) = tenants.get(place) else {
                    break;
                };
                let result = self.isolated(tenant, work);
                if result.is_err() && on_error == OnError::Stop {
                    stop.store(true, Ordering::Relaxed);
                }
                done.push((place, tenant, result));
            }
            done
        };
        let mut done = thread::scope(|scope| {
            let others: Vec<_> = (1..jobs)
                // A machine that is out of threads has fewer jobs.
                .map_while(|_| thread::Builder::new().spawn_scoped(scope, worker).ok())
                .collect();
            let mut done = worker();
            for other in others {
                // A worker does not panic: see `isolated`.
                done.extend(other.join().unwrap_or_default());
            }
            done
        });
        done.sort_unstable_by_key(|(place, ..)| *place);
        let entries = done.into_iter().map(|(_, tenant, result)| ForTenant {
            tenant: tenant.clone(),
            result,
        });
        AcrossReport {
            entries: entries.collect(),
            skipped: Vec::new(),
        }
    }

    /// One tenant's share. A panic becomes an error, and its connection is closed.
    fn isolated<T, E: From<Error>>(
        &self,
        tenant: &Tenant,
        work: &impl Fn(&Tenant, &mut TenantConnection) -> Result<T, E>,
    ) -> Result<T, E> {
        // The connection is dropped in here, while unwinding. All else that the closure reaches is
        // shared by reference, as between any threads one of which can panic.
        catch_unwind(AssertUnwindSafe(|| work(tenant, &mut self.get(tenant)?)))
            .unwrap_or_else(|panic| Err(panicked(tenant, &*panic).into()))
    }
}

/// Whether a failure keeps the tenants back that were not begun.
#[derive(Clone, Copy, PartialEq, Eq)]
enum OnError {
    GoOn,
    Stop,
}

fn panicked(tenant: &Tenant, panic: &(dyn Any + Send)) -> Error {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    Error::new(
        ErrorKind::Panicked,
        format!("the work for tenant {} panicked: {text}", tenant.id()),
    )
    .with_tenant(tenant.id())
}

impl PgRegistry {
    /// The tenants of a selection, whatever their status: for [`Selection::All`] and
    /// [`Selection::Tenants`] all, in the order of their ids; for [`Selection::Only`] those, in the
    /// order given, each once; for [`Selection::Matching`] those that the filter lets through, in its order.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TenantNotFound`] when a tenant that is named is not registered,
    /// [`ErrorKind::InvalidInput`] for [`Selection::Shared`] and [`Selection::Static`], which hold no tenant
    /// of the registry, and those of
    /// [`find`](Self::find).
    pub fn select(&self, selection: &Selection) -> Result<Vec<Tenant>> {
        match selection {
            Selection::All | Selection::Tenants => self.list(),
            Selection::Only(ids) => {
                let mut conn = self.pool().get_shared()?;
                let mut tenants: Vec<Tenant> = Vec::with_capacity(ids.len());
                for id in ids {
                    if tenants.iter().all(|tenant| tenant.id() != id) {
                        let found = registry::find(&mut conn, id)?;
                        tenants.push(found.ok_or_else(|| registry::not_found(id))?);
                    }
                }
                Ok(tenants)
            }
            Selection::Matching(filter) => {
                let ids = migrate::matching(&mut self.pool().get_shared()?, filter)?;
                let all = self
                    .list()?
                    .into_iter()
                    .map(|tenant| (tenant.id().clone(), tenant));
                let mut all: HashMap<TenantId, Tenant> = all.collect();
                Ok(ids.iter().filter_map(|id| all.remove(id)).collect())
            }
            Selection::Shared | Selection::Static(_) => Err(Error::new(
                ErrorKind::InvalidInput,
                "the shared schema is no tenant: select tenants",
            )),
        }
    }

    /// Runs `work` for each tenant of a selection, as [`TenantPool::across`] does, on the registry's
    /// pool.
    ///
    /// Tenants that are not served, such as suspended ones, are skipped, and listed as such; one that
    /// the selection names is a failure instead. [`TenantPool::try_across`] with the tenants of
    /// [`select`](Self::select) stops at the first failure.
    ///
    /// # Errors
    ///
    /// Those of [`select`](Self::select); `work` was then not run at all. What fails for one tenant is
    /// in the report.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use boardinghouse_core::{Error, PgRegistry, Selection, TenantPool};
    /// use diesel::prelude::*;
    ///
    /// let registry = PgRegistry::new(TenantPool::builder().build("postgres://localhost/app")?);
    /// let report = registry.for_each_tenant(&Selection::Tenants, 4, |tenant, conn| {
    ///     println!("{}", tenant.id());
    ///     diesel::sql_query("DELETE FROM sessions WHERE ends_at < now()")
    ///         .execute(conn)
    ///         .map_err(Error::from)
    /// })?;
    /// for tenant in &report.skipped {
    ///     println!("{} is {}: skipped", tenant.id(), tenant.status());
    /// }
    /// # Ok::<(), boardinghouse_core::Error>(())
    /// ```
    pub fn for_each_tenant<T, E>(
        &self,
        selection: &Selection,
        jobs: usize,
        work: impl Fn(&Tenant, &mut TenantConnection) -> Result<T, E> + Sync,
    ) -> Result<AcrossReport<T, E>>
    where
        T: Send,
        E: From<Error> + Send,
    {
        let is_named = matches!(selection, Selection::Only(_));
        let (served, skipped): (Vec<_>, Vec<_>) = self
            .select(selection)?
            .into_iter()
            .partition(|tenant| is_named || tenant.status() == TenantStatus::Ready);
        let mut report = self.pool().across(&served, jobs, work);
        report.skipped = skipped;
        Ok(report)
    }
}

impl<T: fmt::Display> fmt::Display for Tenanted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.tenant, self.value)
    }
}
