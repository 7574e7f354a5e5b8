//! A store of sessions that a test can look into.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use actix_session::storage::{
    LoadError, SaveError, SessionKey, SessionStore, UpdateError, generate_session_key,
};
use actix_web::cookie::time::Duration;

type State = HashMap<String, String>;

#[derive(Clone, Default)]
pub(crate) struct Store(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    sessions: HashMap<String, State>,
    writes: u64,
}

impl Store {
    /// The only session there is, as JSON by its keys.
    #[track_caller]
    pub(crate) fn only(&self) -> State {
        let inner = self.0.lock().unwrap();
        assert_eq!(inner.sessions.len(), 1);
        inner.sessions.values().next().unwrap().clone()
    }

    /// A value of the only session.
    #[track_caller]
    pub(crate) fn value(&self, key: &str) -> Option<serde_json::Value> {
        let value = self.only().remove(key)?;
        Some(serde_json::from_str(&value).unwrap())
    }

    /// Writes into all sessions what an application, or an old version of it, may have written.
    pub(crate) fn set(&self, key: &str, value: &serde_json::Value) {
        for session in self.0.lock().unwrap().sessions.values_mut() {
            session.insert(key.to_owned(), value.to_string());
        }
    }

    pub(crate) fn writes(&self) -> u64 {
        self.0.lock().unwrap().writes
    }
}

impl SessionStore for Store {
    async fn load(&self, key: &SessionKey) -> Result<Option<State>, LoadError> {
        Ok(self.0.lock().unwrap().sessions.get(key.as_ref()).cloned())
    }

    async fn save(&self, state: State, _: &Duration) -> Result<SessionKey, SaveError> {
        let key = generate_session_key();
        let mut inner = self.0.lock().unwrap();
        inner.writes += 1;
        inner.sessions.insert(key.as_ref().to_owned(), state);
        Ok(key)
    }

    async fn update(
        &self,
        key: SessionKey,
        state: State,
        _: &Duration,
    ) -> Result<SessionKey, UpdateError> {
        let mut inner = self.0.lock().unwrap();
        inner.writes += 1;
        inner.sessions.insert(key.as_ref().to_owned(), state);
        Ok(key)
    }

    async fn update_ttl(&self, _: &SessionKey, _: &Duration) -> Result<(), anyhow::Error> {
        Ok(())
    }

    async fn delete(&self, key: &SessionKey) -> Result<(), anyhow::Error> {
        let mut inner = self.0.lock().unwrap();
        inner.writes += 1;
        inner.sessions.remove(key.as_ref());
        Ok(())
    }
}
