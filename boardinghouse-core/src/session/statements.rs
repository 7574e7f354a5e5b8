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

/// What stands in front of each statement for a schema, and the number by which it is known.
#[derive(Clone, Debug, Default)]
pub(super) struct Tag {
    pub(super) number: u32,
    pub(super) text: Arc<str>,
}

/// What a statement is, apart from its values.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    /// Its text, with the tag.
    pub(crate) text: Arc<str>,
    /// Whether Diesel may keep it prepared.
    pub(crate) keepable: bool,
    /// Whether it can have left nothing behind.
    pub(super) plain: bool,
    /// Whether it may have defined something that hides behind a name.
    pub(super) defines: bool,
}

/// The statements of a session. Each may be prepared on the server.
pub(super) struct Statements {
    /// Those whose text follows from their Rust type, by the number of their tag.
    shapes: HashMap<(u32, TypeId), Shape>,
    /// The others, as hashes of their texts.
    texts: HashSet<u64>,
    /// How many may be prepared, before all are dropped.
    pub(super) most: usize,
    hasher: RandomState,
}

impl Default for Statements {
    fn default() -> Self {
        Self {
            shapes: HashMap::new(),
            texts: HashSet::new(),
            most: usize::MAX,
            hasher: RandomState::new(),
        }
    }
}

impl Statements {
    /// What a statement with this tag is; it counts as prepared from now on.
    pub(super) fn shape<T>(&mut self, statement: &T, tag: &Tag) -> QueryResult<Shape>
    where
        T: QueryFragment<Pg> + QueryId,
    {
        let keepable = statement.is_safe_to_cache_prepared(&Pg)?;
        // An id is Diesel's word that the text follows from the type.
        let id = T::query_id().filter(|_| keepable);
        let key = id.map(|id| (tag.number, id));
        if let Some(known) = key.and_then(|key| self.shapes.get(&key)) {
            return Ok(known.clone());
        }
        let text = text(statement)?;
        let shape = Shape {
            plain: is_plain_select(&text),
            // What the query builder makes defines nothing.
            defines: key.is_none() && scan::may_define(&text),
            text: [&*tag.text, &text].concat().into(),
            keepable,
        };
        match key {
            Some(key) => drop(self.shapes.insert(key, shape.clone())),
            None => drop(self.texts.insert(self.hasher.hash_one(&shape.text))),
        }
        Ok(shape)
    }

    /// How many may be prepared on the server.
    pub(super) fn prepared(&self) -> usize {
        self.shapes.len() + self.texts.len()
    }

    /// None is prepared any more.
    pub(super) fn forget(&mut self) {
        self.shapes.clear();
        self.texts.clear();
    }
}

/// The text of a statement, without its tag.
pub(super) fn text(statement: &impl QueryFragment<Pg>) -> QueryResult<String> {
    let mut text = <Pg as diesel::backend::Backend>::QueryBuilder::default();
    statement.to_sql(&mut text, &Pg)?;
    Ok(text.finish())
}
