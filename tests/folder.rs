//! A directory of tenant migrations, begun with that of the fixture.

use std::{fs, path::Path};

pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    /// One that holds nothing.
    pub(crate) fn empty() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn new() -> Self {
        Self::empty().add(
            "2026-01-01-000000_first",
            include_str!("migrations/tenant/2026-01-01-000000_first/up.sql"),
        )
    }

    /// One with a second migration, that creates table `tags`.
    pub(crate) fn with_tags() -> Self {
        Self::new().add(
            "2026-02-01-000000_tags",
            "CREATE TABLE tags (id serial PRIMARY KEY)",
        )
    }

    pub(crate) fn add(self, name: &str, up: &str) -> Self {
        self.put(name, up);
        self
    }

    pub(crate) fn pair(self, name: &str, up: &str, down: &str) -> Self {
        self.pair_in_place(name, up, down);
        self
    }

    pub(crate) fn put(&self, name: &str, up: &str) {
        self.pair_in_place(name, up, "SELECT 1;");
    }

    pub(crate) fn pair_in_place(&self, name: &str, up: &str, down: &str) {
        let dir = self.path().join(name);
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("up.sql"), up).unwrap();
        fs::write(dir.join("down.sql"), down).unwrap();
    }

    pub(crate) fn without_transaction(self, name: &str) -> Self {
        fs::write(
            self.path().join(name).join("metadata.toml"),
            "run_in_transaction = false",
        )
        .unwrap();
        self
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}
