//! `boardinghouse migration generate`: the files of a migration, called as Diesel calls them.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use crate::{
    args::Generate,
    context::Context,
    exit::{Exit, Failure},
    output::Output,
    render::toolchain::FilesReport,
};

const UP: &str = "-- Your SQL goes here\n";
const DOWN: &str = "-- This file should undo anything in `up.sql`\n";
const NO_TRANSACTION: &str = "run_in_transaction = false\n";

/// How many versions one second has room for.
const VERSIONS_A_SECOND: u32 = 1 << 16;

pub(super) fn generate(
    context: &Context,
    output: &Output,
    wanted: &Generate,
) -> Result<Exit, Failure> {
    let metadata = [("metadata.toml", NO_TRANSACTION)];
    let mut files = vec![("up.sql", UP), ("down.sql", DOWN)];
    if wanted.no_transaction {
        files.extend(metadata);
    }
    let (folder, all) = match &wanted.own {
        Some(id) => {
            let folder = context.static_migrations(id)?;
            (folder.clone(), vec![folder])
        }
        None => of_tenants(context, wanted)?,
    };
    // One that the configuration names may be new.
    fs::create_dir_all(&folder).map_err(|error| unwritable(&folder, &error))?;
    let created = create(&folder, &all, &wanted.name, &files)?;
    output.report(&FilesReport::new(&created, &[]))?;
    Ok(Exit::Done)
}

/// The folder that a migration goes into, and those with which it has an order.
fn of_tenants(context: &Context, wanted: &Generate) -> Result<(PathBuf, Vec<PathBuf>), Failure> {
    let kinds = &context.config().kinds;
    let [shared, tenant] = context.folders()?;
    let folder = match &wanted.kind {
        Some(kind) => kinds.get(kind).ok_or_else(|| {
            Failure::usage(format!(
                "kind {kind:?} has no migrations of its own: boardinghouse.toml names them, in a section \
                 [kind.{kind}]"
            ))
        })?,
        None if wanted.shared => &shared,
        None => &tenant,
    };
    let folder = folder.clone();
    // A tenant has those of its kind, too, and no version twice.
    let mut all = vec![shared, tenant];
    all.extend(kinds.values().filter(|dir| dir.is_dir()).cloned());
    Ok((folder, all))
}

/// Creates the directory of a migration in `folder`, with these files. Its version comes after all in
/// `folders`.
pub(super) fn create(
    folder: &Path,
    folders: &[PathBuf],
    name: &str,
    files: &[(&str, &str)],
) -> Result<Vec<PathBuf>, Failure> {
    loop {
        let mut newest = None;
        for folder in folders {
            newest = newest.max(self::newest(folder)?);
        }
        let stamp = next(&now(), newest.as_deref()).map_err(Failure::usage)?;
        let dir = folder.join(format!("{stamp}_{name}"));
        match fs::create_dir(&dir) {
            Ok(()) => {
                return files
                    .iter()
                    .map(|(file, text)| {
                        let path = dir.join(file);
                        fs::write(&path, text).map_err(|error| unwritable(&path, &error))?;
                        Ok(path)
                    })
                    .collect();
            }
            // Somebody else was faster.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(unwritable(&dir, &error)),
        }
    }
}

pub(super) fn unwritable(path: &Path, error: &io::Error) -> Failure {
    Failure::usage(format!("could not write {}: {error}", path.display()))
}

/// The newest version in a folder, as Diesel compares it: what is in front of the first `_`, without `-`.
fn newest(folder: &Path) -> Result<Option<String>, Failure> {
    let unreadable =
        |error| Failure::usage(format!("could not read {}: {error}", folder.display()));
    let mut newest = None;
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let name = entry.map_err(unreadable)?.file_name();
        if let Some((version, _)) = name.to_string_lossy().split_once('_')
            && !version.starts_with('.')
        {
            newest = newest.max(Some(version.replace('-', "")));
        }
    }
    Ok(newest)
}

/// The time, as Diesel puts it in front of a migration's name: `2030-12-31-235959`.
fn now() -> String {
    let time = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    time.replace('T', "-").replace([':', 'Z'], "")
}

/// The first version, as it is written, from `now` on that sorts after the newest.
fn next(now: &str, newest: Option<&str>) -> Result<String, String> {
    let newest = newest.unwrap_or_default();
    // The clock may be behind a migration that came from elsewhere.
    let moments = [Some(now.to_owned()), moment(newest)];
    moments
        .into_iter()
        .flatten()
        .flat_map(|moment| {
            (0..VERSIONS_A_SECOND).map(move |number| format!("{moment}-{number:04x}"))
        })
        .find(|version| version.replace('-', "").as_str() > newest)
        .ok_or_else(|| {
            format!(
                "no version that has a time in it sorts after {newest}, the newest one there is"
            )
        })
}

/// The time in a version that begins with one.
fn moment(version: &str) -> Option<String> {
    let digits = version.get(..14)?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| {
        let part = |range: std::ops::Range<usize>| &digits[range];
        format!(
            "{}-{}-{}-{}",
            part(0..4),
            part(4..6),
            part(6..8),
            part(8..14)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::{next, now};

    const NOW: &str = "2030-12-31-235959";

    #[test]
    fn a_version_sorts_after_the_newest_one() {
        for (newest, expected) in [
            (None, "2030-12-31-235959-0000"),
            (Some("20240101000000"), "2030-12-31-235959-0000"),
            (Some("00000000000001"), "2030-12-31-235959-0000"),
            (Some("20301231235959"), "2030-12-31-235959-0000"),
            (Some("203012312359590000"), "2030-12-31-235959-0001"),
            (Some("2030123123595900ff"), "2030-12-31-235959-0100"),
            // The clock is behind.
            (Some("20310101000000"), "2031-01-01-000000-0000"),
            (Some("203101010000000009"), "2031-01-01-000000-000a"),
        ] {
            assert_eq!(next(NOW, newest).as_deref(), Ok(expected), "{newest:?}");
        }
        for newest in ["20301231235959ffff", "99", "v1"] {
            let refused = next(NOW, Some(newest)).err().unwrap_or_default();
            assert!(refused.contains(newest), "{newest}: {refused}");
        }
    }

    #[test]
    fn the_time_is_written_as_diesel_does() {
        let shape: String = now()
            .chars()
            .map(|c| if c.is_ascii_digit() { '9' } else { c })
            .collect();
        assert_eq!(shape, "9999-99-99-999999");
    }
}
