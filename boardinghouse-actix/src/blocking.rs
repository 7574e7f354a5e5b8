//! Work that blocks, off the worker threads.

use actix_web::{error::BlockingError, web};
use tracing::Span;

/// Runs `work` on a thread that may block, in the span of the caller.
pub(crate) async fn run<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, BlockingError> {
    let span = Span::current();
    web::block(move || span.in_scope(work)).await
}
