//! How many ask the registry at once, and who waits.

use std::{sync::Arc, time::Duration};

use actix_web::rt::time::timeout;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::{Cause, Error};

/// For how long a request waits for the registry, unless said otherwise.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Where requests wait whose tenant is not known. Whoever makes names up must not take the threads and
/// connections that tenants are served with, nor make those wait behind him whose tenant was found before.
#[derive(Clone, Debug)]
pub(crate) struct Queue {
    strangers: Arc<Semaphore>,
    remembered: Arc<Semaphore>,
    timeout: Duration,
}

/// Leave to ask, until it is dropped.
pub(crate) struct Turn(#[expect(dead_code, reason = "it is held")] Option<OwnedSemaphorePermit>);

impl Queue {
    /// For a pool of so many connections: at most half of them ask the registry, if there are four or more.
    pub(crate) fn for_pool(max_size: u32) -> Self {
        Self {
            timeout: TIMEOUT,
            ..Self::of((max_size / 4) as usize)
        }
    }

    fn of(most: usize) -> Self {
        let semaphore = || Arc::new(Semaphore::new(most.clamp(1, Semaphore::MAX_PERMITS)));
        Self {
            strangers: semaphore(),
            remembered: semaphore(),
            timeout: TIMEOUT,
        }
    }

    /// For so many at once of each kind.
    pub(crate) fn with_most(&self, most: usize) -> Self {
        Self {
            timeout: self.timeout,
            ..Self::of(most)
        }
    }

    pub(crate) fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Waits until there are not too many who ask: in the order in which they came, but that what was found
    /// once does not wait for what never was.
    pub(crate) async fn turn(&self, is_remembered: bool) -> Turn {
        let of = if is_remembered {
            &self.remembered
        } else {
            &self.strangers
        };
        // It is never closed, which alone is an error.
        Turn(Arc::clone(of).acquire_owned().await.ok())
    }

    /// Waits for an answer, but not too long.
    pub(crate) async fn at_most<T>(
        &self,
        answer: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let waited = timeout(self.timeout, answer).await;
        waited.unwrap_or_else(|_| Err(Cause::Crowded(self.timeout).into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(1);

    #[actix_web::test]
    async fn so_many_go_at_once_and_the_next_when_one_is_done() {
        let queue = Queue::of(2);
        let (first, _second) = (queue.turn(false).await, queue.turn(false).await);
        assert!(timeout(SOON, queue.turn(false)).await.is_err());
        drop(first);
        queue.turn(false).await;
    }

    #[actix_web::test]
    async fn what_was_found_once_does_not_wait_for_what_never_was() {
        let queue = Queue::for_pool(1);
        let _stranger = queue.turn(false).await;
        let _known = queue.turn(true).await;
        assert!(timeout(SOON, queue.turn(true)).await.is_err());
    }

    #[actix_web::test]
    async fn nobody_waits_for_ever() {
        let queue = Queue::of(1).with_timeout(SOON);
        let answer = queue.at_most(std::future::pending::<Result<(), Error>>());
        let error = answer.await.unwrap_err();
        assert!(error.to_string().contains("within 1ms"), "{error}");
    }
}
