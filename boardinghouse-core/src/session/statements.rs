//! What is known of the statements that go through a session.

use std::{
    any::TypeId,
    collections::{HashMap, HashSet},
    hash::{BuildHasher as _, RandomState},
    sync::Arc,
};

use diesel::{
    pg::Pg,
    prelude::*,
    query_builder::{QueryBuilder as _, QueryFragment, QueryId},
};

use crate::{plain::is_plain_select, scan};

/// What a statement is, apart from its values.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    /// Its text, without a tag.
    pub(crate) text: Arc<str>,
    /// Whether Diesel may keep it prepared.
    pub(crate) keepable: bool,
    /// Whether it can have left nothing behind.
    pub(super) plain: bool,
    /// Whether it may have defined something that hides behind a name.
    pub(super) defines: bool,
}

/// The statements of a session.
pub(super) struct Statements {
    /// Those whose text follows from their Rust type.
    shapes: HashMap<TypeId, Shape>,
    /// Which may be prepared on the server, as hashes of what they are and for whom.
    prepared: HashSet<u64>,
    /// How many may be, before all are dropped.
    pub(super) most: usize,
    hasher: RandomState,
}

impl Default for Statements {
    fn default() -> Self {
        Self {
            shapes: HashMap::new(),
            prepared: HashSet::new(),
            most: usize::MAX,
            hasher: RandomState::new(),
        }
    }
}

impl Statements {
    /// What a statement with this tag is; it counts as prepared from now on.
    pub(super) fn shape<T>(&mut self, statement: &T, tag: &str) -> QueryResult<Shape>
    where
        T: QueryFragment<Pg> + QueryId,
    {
        let keepable = statement.is_safe_to_cache_prepared(&Pg)?;
        // An id is Diesel's word that the text follows from the type.
        let id = T::query_id().filter(|_| keepable);
        let known = id.and_then(|id| self.shapes.get(&id)).cloned();
        let shape = match known {
            Some(shape) => shape,
            None => {
                let text = text(statement)?;
                let shape = Shape {
                    plain: is_plain_select(&text),
                    // What the query builder makes defines nothing.
                    defines: id.is_none() && scan::may_define(&text),
                    text: text.into(),
                    keepable,
                };
                self.shapes.extend(id.map(|id| (id, shape.clone())));
                shape
            }
        };
        self.prepared.insert(match id {
            Some(id) => self.hasher.hash_one((tag, id)),
            None => self.hasher.hash_one((tag, &shape.text)),
        });
        Ok(shape)
    }

    /// How many may be prepared on the server.
    pub(super) fn prepared(&self) -> usize {
        self.prepared.len()
    }

    /// None is prepared any more.
    pub(super) fn forget(&mut self) {
        self.prepared.clear();
    }
}

/// The text of a statement, without its tag.
pub(super) fn text(statement: &impl QueryFragment<Pg>) -> QueryResult<String> {
    let mut text = <Pg as diesel::backend::Backend>::QueryBuilder::default();
    statement.to_sql(&mut text, &Pg)?;
    Ok(text.finish())
}
