//! `boardinghouse init --scaffold`: what an application begins with.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use super::generate::{create, unwritable};
use crate::{
    config,
    context::FOLDERS,
    exit::{Exit, Failure},
    output::Output,
    render::toolchain::FilesReport,
};

const FILES: [(&str, &str); 2] = [
    ("diesel.toml", include_str!("../../scaffold/diesel.toml")),
    (
        config::FILE,
        include_str!("../../scaffold/boardinghouse.toml"),
    ),
];

/// The first migration of a set: its folder, its name, and what its files hold.
struct First {
    folder: &'static str,
    name: &'static str,
    files: [(&'static str, &'static str); 2],
}

const FIRST: [First; 2] = [
    First {
        folder: FOLDERS[0],
        name: "create_users",
        files: [
            ("up.sql", include_str!("../../scaffold/shared/up.sql")),
            ("down.sql", include_str!("../../scaffold/shared/down.sql")),
        ],
    },
    First {
        folder: FOLDERS[1],
        name: "create_notes",
        files: [
            ("up.sql", include_str!("../../scaffold/tenant/up.sql")),
            ("down.sql", include_str!("../../scaffold/tenant/down.sql")),
        ],
    },
];

pub(super) fn scaffold(output: &Output, dir: &Path) -> Result<Exit, Failure> {
    let (mut created, mut left_alone) = (Vec::new(), Vec::new());
    // A path that people would write.
    let dir = if dir == Path::new(".") {
        Path::new("")
    } else {
        dir
    };
    let migrations = dir.join("migrations");
    let folders = FOLDERS.map(|folder| migrations.join(folder));
    for folder in &folders {
        fs::create_dir_all(folder).map_err(|error| unwritable(folder, &error))?;
    }
    for (name, text) in FILES {
        let path = dir.join(name);
        if lay_down(&path, text)? {
            created.push(path);
        } else {
            left_alone.push(path);
        }
    }
    for first in FIRST {
        let folder = migrations.join(first.folder);
        let there = migrations_in(&folder)?;
        if there.is_empty() {
            created.extend(create(&folder, &folders, first.name, &first.files)?);
        } else {
            left_alone.extend(there);
        }
    }
    output.report(&FilesReport::new(&created, &left_alone))?;
    output.note(
        "next: set DATABASE_URL, then `boardinghouse migrate`, `boardinghouse tenant create acme` and \
         `boardinghouse print-schema`",
    );
    Ok(Exit::Done)
}

/// Writes a file, unless something is there.
fn lay_down(path: &Path, text: &str) -> Result<bool, Failure> {
    let written = File::create_new(path).and_then(|mut file| file.write_all(text.as_bytes()));
    match written {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(unwritable(path, &error)),
    }
}

/// What a folder holds, in order. Files that are hidden are no migrations.
fn migrations_in(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let unreadable =
        |error| Failure::usage(format!("could not read {}: {error}", folder.display()));
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        if !entry.file_name().to_string_lossy().starts_with('.') {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}
