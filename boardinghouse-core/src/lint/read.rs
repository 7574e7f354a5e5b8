//! Migrations from their folders.

use std::{fs, path::Path};

use diesel::{migration::MigrationSource, pg::Pg};
use diesel_migrations::FileBasedMigrations;

use super::{MigrationText, Set};
use crate::error::{Error, ErrorKind, Result};

/// Reads migrations as Diesel does.
pub(super) fn migrations(dir: &Path) -> Result<Vec<MigrationText>> {
    let sets = [Set::Shared, Set::Tenant].map(|set| (set, dir.join(set.folder())));
    if sets.iter().all(|(_, folder)| !folder.is_dir()) {
        let message = format!(
            "there are no migrations in {}: it holds neither a folder shared nor a folder tenant",
            dir.display()
        );
        return Err(Error::new(ErrorKind::InvalidInput, message));
    }
    let mut texts = Vec::new();
    for (set, folder) in sets {
        if folder.is_dir() {
            texts.extend(of_folder(set, &folder)?);
        }
    }
    Ok(texts)
}

/// Reads the migrations of one folder.
pub(super) fn of_folder(set: Set, folder: &Path) -> Result<Vec<MigrationText>> {
    let source = FileBasedMigrations::from_path(folder)
        .map_err(|error| unreadable(folder).with_source(error))?;
    let migrations = MigrationSource::<Pg>::migrations(&source)
        .map_err(|error| unreadable(folder).with_source(error))?;
    let mut texts = Vec::new();
    for migration in migrations {
        let folder = folder.join(migration.name().to_string());
        let text = |name: &str| {
            let path = folder.join(name);
            fs::read_to_string(&path).map_err(|error| (path, error))
        };
        let up = text("up.sql").map_err(|(path, error)| unreadable(&path).with_source(error))?;
        let down = match text("down.sql") {
            Ok(down) => Some(down),
            Err((_, error)) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err((path, error)) => return Err(unreadable(&path).with_source(error)),
        };
        texts.push(MigrationText {
            set,
            folder,
            up,
            down,
            in_transaction: migration.metadata().run_in_transaction(),
        });
    }
    Ok(texts)
}

fn unreadable(path: &Path) -> Error {
    let message = format!("could not read {}", path.display());
    Error::new(ErrorKind::InvalidInput, message)
}
