//! The extractors that run queries.

use std::future::{Ready, ready};

use actix_web::{FromRequest, HttpMessage as _, HttpRequest, dev::Payload};
use boardinghouse_core::{SharedConnection, TenantConnection, TenantPool};

use crate::{
    blocking,
    error::{Cause, Error},
    middleware::Seen,
    tenant::{Tenant, tenant_and_pool},
};

/// The database of a request's tenant.
///
/// It holds no connection: each [`run`](Self::run) takes one and gives it back. What happens without
/// a tenant or without the middleware is as for [`Tenant`].
///
/// # Examples
///
/// ```
/// use actix_web::{get, web::Json};
/// use boardinghouse_actix::{Error, TenantDb};
/// use diesel::prelude::*;
///
/// diesel::table! {
///     notes { id -> Integer, body -> Text }
/// }
///
/// #[get("/notes")]
/// async fn bodies(db: TenantDb) -> Result<Json<Vec<String>>, Error> {
///     let bodies = db.run(|conn| notes::table.select(notes::body).load(conn)).await?;
///     Ok(Json(bodies))
/// }
/// ```
#[derive(Clone, Debug)]
pub struct TenantDb {
    tenant: Tenant,
    pool: TenantPool,
}

impl TenantDb {
    /// The tenant.
    #[must_use]
    pub fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    /// Checks a connection out for the tenant and runs `work` with it, both on a thread that may
    /// block, in the caller's [`tracing::Span`].
    ///
    /// The wait for a connection is limited by the pool's checkout timeout. The connection goes back
    /// when `work` returns. When `work` panics it is closed, and other requests notice nothing.
    /// When the client goes away, `work` still runs to its end.
    ///
    /// In [`PathMode::Transaction`](boardinghouse_core::PathMode::Transaction), behind a pooler, `work`
    /// is one transaction, and an `Err` rolls it back. An `Ok` that holds an error of the
    /// application's own commits: use `conn.transaction` inside, as below.
    ///
    /// An `Err` of `work` becomes the error of a failed query, status 500. What is not a failure of
    /// the database belongs in the `Ok`, as an `Option` or a `Result` of its own.
    ///
    /// # Errors
    ///
    /// Those of [`TenantPool::with`] and of `work`; and one when `work` panicked. See the table at
    /// [`Error`] for what clients see.
    ///
    /// # Examples
    ///
    /// ```
    /// # use boardinghouse_actix::{Error, TenantDb};
    /// use diesel::prelude::*;
    ///
    /// # diesel::table! { notes { id -> Integer, body -> Text } }
    /// # async fn example(db: TenantDb, id: i32) -> Result<Option<String>, Error> {
    /// // A note that is not there is an answer, not a failure.
    /// let body = db
    ///     .run(move |conn| notes::table.find(id).select(notes::body).first(conn).optional())
    ///     .await?;
    /// # Ok(body)
    /// # }
    /// ```
    ///
    /// A closure with several `?` has to say of which type its errors are; `QueryResult::Ok` does:
    ///
    /// ```
    /// # use boardinghouse_actix::{Error, TenantDb};
    /// use diesel::prelude::*;
    ///
    /// # diesel::table! { notes { id -> Integer, body -> Text } }
    /// # async fn example(db: TenantDb) -> Result<(i64, Vec<String>), Error> {
    /// let page = db
    ///     .run(|conn| {
    ///         let count = notes::table.count().get_result(conn)?;
    ///         let first = notes::table.select(notes::body).limit(10).load(conn)?;
    ///         QueryResult::Ok((count, first))
    ///     })
    ///     .await?;
    /// # Ok(page)
    /// # }
    /// ```
    ///
    /// An error of the application's own rolls a transaction back. It leaves inside the `Ok`, and
    /// the handler answers it; a failed query stays an `Err`, which is logged and answered with 500:
    ///
    /// ```
    /// use actix_web::HttpResponse;
    /// use boardinghouse_actix::{Error, TenantDb};
    /// use diesel::prelude::*;
    ///
    /// # diesel::table! { notes { id -> Integer, body -> Text } }
    /// enum AppError {
    ///     TooMany,
    ///     Query(diesel::result::Error),
    /// }
    ///
    /// // What `?` needs, and `transaction` for its BEGIN and COMMIT.
    /// impl From<diesel::result::Error> for AppError {
    ///     fn from(error: diesel::result::Error) -> Self {
    ///         Self::Query(error)
    ///     }
    /// }
    ///
    /// async fn add(db: TenantDb, body: String) -> Result<HttpResponse, Error> {
    ///     let added = db.run(move |conn| {
    ///         let result = conn.transaction::<_, AppError, _>(|conn| {
    ///             diesel::insert_into(notes::table).values(notes::body.eq(body)).execute(conn)?;
    ///             let count: i64 = notes::table.count().get_result(conn)?;
    ///             if count > 100 {
    ///                 return Err(AppError::TooMany); // the note is not added
    ///             }
    ///             Ok(())
    ///         });
    ///         match result {
    ///             Err(AppError::Query(error)) => Err(error),
    ///             result => Ok(result),
    ///         }
    ///     });
    ///     Ok(match added.await? {
    ///         Ok(()) => HttpResponse::Created().finish(),
    ///         Err(_) => HttpResponse::Conflict().finish(),
    ///     })
    /// }
    /// ```
    pub async fn run<T, E, F>(&self, work: F) -> Result<T, Error>
    where
        F: FnOnce(&mut TenantConnection) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: Into<boardinghouse_core::Error>,
    {
        let (pool, tenant) = (self.pool.clone(), self.tenant.clone());
        let done = blocking::run(move || {
            pool.with(&tenant, |conn| {
                work(conn).map_err(|error| error.into().with_tenant(tenant.id()))
            })
        });
        Ok(done.await??)
    }
}

impl FromRequest for TenantDb {
    type Error = Error;
    type Future = Ready<Result<Self, Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(tenant_and_pool(request).map(|(tenant, pool)| Self { tenant, pool }))
    }
}

/// The shared schema, for routes that need no tenant. No tenant's tables are seen.
///
/// Works on exempt paths too. Without the middleware the answer is 500, and the log says what to
/// add.
///
/// # Examples
///
/// ```
/// use actix_web::{get, web::Json};
/// use boardinghouse_actix::{Error, SharedDb};
/// use diesel::prelude::*;
///
/// diesel::table! {
///     plans { id -> Integer, name -> Text }
/// }
///
/// #[get("/plans")]
/// async fn names(db: SharedDb) -> Result<Json<Vec<String>>, Error> {
///     Ok(Json(db.run(|conn| plans::table.select(plans::name).load(conn)).await?))
/// }
/// ```
#[derive(Clone, Debug)]
pub struct SharedDb {
    pool: TenantPool,
}

impl SharedDb {
    /// As [`TenantDb::run`], on the shared schema.
    ///
    /// # Errors
    ///
    /// Those of [`TenantPool::with_shared`] and of `work`; and one when `work` panicked.
    pub async fn run<T, E, F>(&self, work: F) -> Result<T, Error>
    where
        F: FnOnce(&mut SharedConnection) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: Into<boardinghouse_core::Error>,
    {
        let pool = self.pool.clone();
        let done = blocking::run(move || pool.with_shared(|conn| work(conn).map_err(Into::into)));
        Ok(done.await??)
    }
}

impl FromRequest for SharedDb {
    type Error = Error;
    type Future = Ready<Result<Self, Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let extensions = request.extensions();
        let seen = extensions.get::<Seen>().ok_or(Cause::NoMiddleware);
        ready(seen.map_err(Error::from).map(|seen| Self {
            pool: seen.pool().clone(),
        }))
    }
}
