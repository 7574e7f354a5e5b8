//! Ctrl-C, where something must be put away before the program ends.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use crate::exit::Failure;

/// Whether the program was asked to end since this was made. It is then up to whoever holds it; the second
/// time, the program ends at once.
#[derive(Debug)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    pub(crate) fn watch() -> Result<Self, Failure> {
        Self::watch_with(Arc::new(AtomicBool::new(false)))
    }

    /// As [`watch`](Self::watch), with a switch that somebody else looks at.
    pub(crate) fn watch_with(asked: Arc<AtomicBool>) -> Result<Self, Failure> {
        #[cfg(unix)]
        for signal in [
            signal_hook::consts::SIGINT,
            signal_hook::consts::SIGTERM,
            signal_hook::consts::SIGHUP,
        ] {
            // In this order: the first sees what the second has done the time before.
            signal_hook::flag::register_conditional_shutdown(
                signal,
                128 + signal,
                Arc::clone(&asked),
            )
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&asked)))
            .map_err(|error| Failure::usage(format!("could not listen to signals: {error}")))?;
        }
        Ok(Self(asked))
    }

    /// Fails when the program was asked to end.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        if self.0.load(Ordering::Relaxed) {
            Err(Failure::Cancelled)
        } else {
            Ok(())
        }
    }
}
