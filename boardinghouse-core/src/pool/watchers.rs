//! Who else wants to hear what the listener hears.

use std::sync::{Mutex, Weak};

use super::{known::ALL, shelf::lock};

/// What a notification of the registry is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Subject {
    /// The tenant of that id.
    Tenant(String),
    /// Where that domain leads.
    Domain(String),
    /// To which tenants that user belongs.
    User(String),
}

/// Hears what changed in the registry. Called on the listener's thread, so it must not block.
pub(crate) trait Watcher: Send + Sync {
    /// This changed; with `None` anything may have.
    fn changed(&self, subject: Option<Subject>);

    /// This will change, as soon as somebody's transaction is committed.
    fn expect(&self, subject: Subject);
}

#[derive(Default)]
pub(super) struct Watchers(Mutex<Vec<Weak<dyn Watcher>>>);

impl Watchers {
    pub(super) fn add(&self, watcher: Weak<dyn Watcher>) {
        lock(&self.0).push(watcher);
    }

    pub(super) fn tenant_changed(&self, id: &str) {
        match id {
            // The listener's own.
            "" => {}
            ALL => self.tell(None),
            id => self.tell(Some(Subject::Tenant(id.to_owned()))),
        }
    }

    pub(super) fn domain_changed(&self, domain: &str) {
        self.tell((!domain.is_empty()).then(|| Subject::Domain(domain.to_owned())));
    }

    pub(super) fn user_changed(&self, user: &str) {
        self.tell((!user.is_empty()).then(|| Subject::User(user.to_owned())));
    }

    /// What this process itself is about to change.
    pub(super) fn expect(&self, subject: &Subject) {
        self.each(|watcher| watcher.expect(subject.clone()));
    }

    /// What was notified until now cannot be known.
    pub(super) fn missed(&self) {
        self.tell(None);
    }

    #[expect(clippy::needless_pass_by_value, reason = "made for the call")]
    pub(super) fn tell(&self, subject: Option<Subject>) {
        self.each(|watcher| watcher.changed(subject.clone()));
    }

    fn each(&self, tell: impl Fn(&dyn Watcher)) {
        lock(&self.0).retain(|watcher| {
            let watcher = watcher.upgrade();
            if let Some(watcher) = &watcher {
                tell(&**watcher);
            }
            watcher.is_some()
        });
    }
}
