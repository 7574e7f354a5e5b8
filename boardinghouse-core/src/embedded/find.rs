//! Finds installed binaries, the newest first.

use std::{
    env, fmt, fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::{account::Account, failed, fetch};
use crate::error::{Error, Result};

/// The variable that names the directory to use, whatever else is installed.
const VARIABLE: &str = "BOARDINGHOUSE_PG_BIN";

/// The oldest version that is still worth running.
const OLDEST: Version = Version {
    major: 13,
    minor: 0,
};

/// A version of PostgreSQL. Ordered by number: 9 before 15 before 18.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version {
    pub(super) major: u32,
    minor: u32,
}

impl Version {
    /// Reads what `postgres --version` prints: `postgres (PostgreSQL) 15.13 (Debian 15.13-0)`.
    ///
    /// A development version, such as `18beta1`, counts as minor version 0.
    fn parse(text: &str) -> Option<Self> {
        let word = text
            .split_once("(PostgreSQL) ")?
            .1
            .split_whitespace()
            .next()?;
        let (major, minor) = word.split_once('.').unwrap_or((word, ""));
        let leading = |part: &str| {
            let end = part.find(|c: char| !c.is_ascii_digit());
            part[..end.unwrap_or(part.len())].parse().ok()
        };
        Some(Self {
            major: leading(major)?,
            minor: leading(minor).unwrap_or(0),
        })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// A directory with `initdb` and `postgres`, and the version of both.
#[derive(Clone, Debug)]
pub(super) struct Binaries {
    pub(super) dir: PathBuf,
    pub(super) version: Version,
}

impl Binaries {
    /// Looks at `dir` and runs `postgres --version` in it, as the user that will run the server.
    pub(super) fn probe(dir: &Path, account: &Account) -> Result<Self> {
        let refuse = |why: String| failed(format!("{} cannot be used: {why}", dir.display()));
        let dir =
            fs::canonicalize(dir).map_err(|e| refuse("no such directory".into()).with_source(e))?;
        for program in ["initdb", "postgres"] {
            if !dir.join(program).is_file() {
                return Err(refuse(format!("there is no {program} in it")));
            }
        }
        let output = account
            .command(dir.join("postgres"))
            .arg("--version")
            .output()
            .map_err(|e| refuse("its postgres does not run here".into()).with_source(e))?;
        let version =
            Version::parse(&String::from_utf8_lossy(&output.stdout)).ok_or_else(|| {
                let message = String::from_utf8_lossy(&output.stderr);
                refuse(format!(
                    "its postgres does not run here: {}",
                    message.trim()
                ))
            })?;
        if version < OLDEST {
            return Err(refuse(format!(
                "version {version} is older than {}",
                OLDEST.major
            )));
        }
        Ok(Self { dir, version })
    }

    /// The newest of those in `dirs` that can be used.
    pub(super) fn newest(dirs: &[PathBuf], account: &Account) -> Option<Self> {
        let mut dirs: Vec<_> = dirs
            .iter()
            .filter_map(|dir| fs::canonicalize(dir).ok())
            .collect();
        dirs.sort();
        dirs.dedup();
        dirs.iter()
            .filter_map(|dir| Self::probe(dir, account).ok())
            .max_by_key(|binaries| binaries.version)
    }
}

/// Binaries to use: those that are asked for, or the newest installed ones, or fetched ones.
pub(super) fn binaries(account: &Account, asked: Option<&Path>) -> Result<Binaries> {
    if let Some(dir) = asked {
        return Binaries::probe(dir, account).map_err(|error| {
            failed("bin_dir must be the directory that holds initdb and postgres")
                .with_source(error)
        });
    }
    if let Some(dir) = env::var_os(VARIABLE).filter(|dir| !dir.is_empty()) {
        return Binaries::probe(Path::new(&dir), account).map_err(|error| {
            failed(format!(
                "{VARIABLE} is set but is of no use: set it to the directory that holds initdb \
                 and postgres (such as /usr/lib/postgresql/17/bin), or unset it"
            ))
            .with_source(error)
        });
    }
    match Binaries::newest(&places(), account) {
        Some(binaries) => Ok(binaries),
        None => fetch::fetch(account).map_err(nothing),
    }
}

/// The one error for "there is nothing to run", with all that can be done about it.
fn nothing(source: Error) -> Error {
    failed(format!(
        "no PostgreSQL {} or newer is installed, and none could be fetched. Install one:\n  \
         Debian, Ubuntu: sudo apt-get install postgresql\n  \
         Fedora, Red Hat: sudo dnf install postgresql-server\n  \
         macOS: brew install postgresql@17\n\
         or set {VARIABLE} to the directory that holds initdb and postgres, or DATABASE_URL to a \
         server that runs already",
        OLDEST.major
    ))
    .with_source(source)
}

/// Every directory that may hold installed binaries, in no order.
fn places() -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    // A link on PATH leads to the directory where initdb and the libraries are too.
    let mut places: Vec<_> = env::split_paths(&path)
        .filter_map(|dir| {
            Some(
                fs::canonicalize(dir.join("postgres"))
                    .ok()?
                    .parent()?
                    .into(),
            )
        })
        .collect();
    if let Ok(output) = Command::new("pg_config").arg("--bindir").output() {
        places.push(String::from_utf8_lossy(&output.stdout).trim().into());
    }
    for (parent, prefix) in [
        ("/usr/lib/postgresql", ""),
        ("/usr", "pgsql-"),
        ("/opt/homebrew/opt", "postgresql"),
        ("/usr/local/opt", "postgresql"),
        ("/Applications/Postgres.app/Contents/Versions", ""),
        ("/usr/local", "pgsql"),
    ] {
        places.extend(bins(Path::new(parent), prefix));
    }
    places
}

/// `parent/prefix*/bin`
pub(super) fn bins(parent: &Path, prefix: &str) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(parent)
        .into_iter()
        .flatten()
        .flatten()
        .filter(move |entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| entry.path().join("bin"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(number: &str) -> Version {
        Version::parse(&format!("postgres (PostgreSQL) {number}\n")).unwrap()
    }

    #[test]
    fn versions_are_ordered_by_number() {
        let mut versions = ["15.13", "9.6.24", "18.4", "15.2", "18beta1", "10.23"].map(version);
        versions.sort();
        assert_eq!(
            versions.map(|version| version.to_string()),
            ["9.6", "10.23", "15.2", "15.13", "18.0", "18.4"]
        );
    }

    #[test]
    fn what_debian_adds_to_its_version_is_ignored() {
        assert_eq!(
            version("15.13 (Debian 15.13-0+deb12u1)").to_string(),
            "15.13"
        );
    }

    #[test]
    fn a_beta_that_debian_packs_is_no_minor_version() {
        assert_eq!(version("18beta1 (Debian 18.7-1)").to_string(), "18.0");
    }

    #[test]
    fn other_programs_have_no_version() {
        for text in [
            "",
            "psql 15.13",
            "postgres (PostgreSQL) ",
            "postgres (PostgreSQL) devel",
        ] {
            assert_eq!(Version::parse(text), None, "{text:?}");
        }
    }
}
