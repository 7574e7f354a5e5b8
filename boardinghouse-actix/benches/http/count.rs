//! Counts what Diesel sends.

use std::sync::atomic::{AtomicUsize, Ordering};

use diesel::connection::{InstrumentationEvent, set_default_instrumentation};

static ALL: AtomicUsize = AtomicUsize::new(0);
static OF_THE_REGISTRY: AtomicUsize = AtomicUsize::new(0);

/// Counts, for connections that are opened from now on.
pub(crate) struct Counted(());

#[derive(Clone, Copy, Debug)]
pub(crate) struct Queries {
    pub(crate) all: usize,
    /// Those that name a table of the registry.
    pub(crate) of_the_registry: usize,
}

pub(crate) fn queries() -> Counted {
    set_default_instrumentation(|| Some(Box::new(count))).unwrap();
    Counted(())
}

#[expect(clippy::needless_pass_by_value, reason = "Diesel's signature")]
fn count(event: InstrumentationEvent<'_>) {
    if let InstrumentationEvent::StartQuery { query, .. } = event {
        ALL.fetch_add(1, Ordering::Relaxed);
        let text = query.to_string();
        let tables = ["tenants", "domains", "members"];
        if text.contains("boardinghouse") && tables.iter().any(|table| text.contains(table)) {
            OF_THE_REGISTRY.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Counted {
    pub(crate) fn read(&self) -> Queries {
        Queries {
            all: ALL.load(Ordering::Relaxed),
            of_the_registry: OF_THE_REGISTRY.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn stop(self) {
        set_default_instrumentation(|| None).unwrap();
    }
}
