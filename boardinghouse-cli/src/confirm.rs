//! Asks before something is destroyed.

use std::io::{self, BufRead as _, IsTerminal as _};

use boardinghouse_core::TenantId;

use crate::{args::Globals, exit::Failure, output::Output};

/// A way to get consent, found before anything else is done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Consent {
    given: bool,
}

impl Consent {
    /// Fails where nobody has consented and nobody can be asked.
    pub(crate) fn required(globals: &Globals) -> Result<Self, Failure> {
        if !globals.yes && (globals.no_input || !io::stdin().is_terminal()) {
            return Err(Failure::usage(
                "this cannot be undone and nobody can be asked: pass --yes, or run it on a terminal",
            ));
        }
        Ok(Self { given: globals.yes })
    }

    /// Has the id typed, unless `--yes` was given.
    pub(crate) fn for_tenant(
        self,
        id: &TenantId,
        consequence: &str,
        output: &Output,
    ) -> Result<(), Failure> {
        self.for_word(id.as_str(), consequence, output)
    }

    /// Has a word typed, unless `--yes` was given.
    pub(crate) fn for_word(
        self,
        word: &str,
        consequence: &str,
        output: &Output,
    ) -> Result<(), Failure> {
        if self.given {
            return Ok(());
        }
        output.ask(&format!("{consequence}\nType {word} to go on: "));
        let mut answer = String::new();
        let read = io::stdin().lock().read_line(&mut answer);
        if read.is_ok() && answer.trim() == word {
            Ok(())
        } else {
            Err(Failure::Cancelled)
        }
    }
}
