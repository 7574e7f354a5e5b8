//! Files of tenants, below one directory.

use std::{
    fmt,
    fs::File,
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use cap_std::{ambient_authority, fs::Dir};

use crate::{
    error::{Error, ErrorKind, Result},
    keys,
    names::TenantId,
    tenant::Tenant,
};

const TENANTS: &str = "tenants";
const SHARED: &str = "shared";

/// Files of all tenants below one directory, of which each tenant reaches its own.
///
/// | directory | holds |
/// |---|---|
/// | `tenants/17` | the files of the tenant whose [`incarnation`](Tenant::incarnation) is 17 |
/// | `shared` | files that are nobody's, such as a logo: the same from every tenant |
///
/// A tenant keeps its files when it is renamed, and nothing is moved. One that was deleted, and created anew
/// under the same id, does not find the files of the old one. Deleting a tenant leaves its files where
/// they are; [`delete`](Self::delete) is for them. Incarnations are counted in each database by itself: a
/// directory is for one database. A tenant that is not from the registry has the directory `tenants/id-acme`.
///
/// # What a path can be
///
/// `invoices/2026-11.pdf`: names with a `/` between them, each of which can be anything but empty, `.` and
/// `..`, without `\` and zero bytes; and no drive of Windows at the beginning. Nothing is decoded: `%2e%2e` is
/// a name like others. All else is [`ErrorKind::InvalidInput`], before anything is looked at. Links that lead
/// out of the tenant's directory are not followed, whoever made them; that is `cap-std`'s work, which
/// leaves it to the kernel where that can do it.
///
/// It is no border against code of the same process, which can open any file, nor against whoever serves
/// the root directory as it is, past this type: serve files by a handler that has the tenant of the request.
///
/// # Blocking
///
/// All of it blocks, as `std::fs` does.
///
/// # Examples
///
/// ```
/// use boardinghouse_core::{ErrorKind, Tenant, TenantStore};
///
/// # let root = tempfile::tempdir()?;
/// # let root = root.path();
/// let store = TenantStore::open(root)?;
/// let acme = Tenant::new("acme".parse()?, "acme".parse()?);
/// let globex = Tenant::new("globex".parse()?, "globex".parse()?);
///
/// store.of(&acme).write("invoices/1.txt", b"for anvils")?;
/// assert_eq!(store.of(&acme).read("invoices/1.txt")?, b"for anvils");
/// let missing = store.of(&globex).read("invoices/1.txt").unwrap_err();
/// assert_eq!(missing.kind(), ErrorKind::FileNotFound);
/// let outside = store.of(&globex).read("../id-acme/invoices/1.txt").unwrap_err();
/// assert_eq!(outside.kind(), ErrorKind::InvalidInput);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct TenantStore {
    path: Arc<Path>,
    root: Arc<Dir>,
}

/// The files of one tenant, or those that are nobody's: see [`TenantStore`].
///
/// It says nothing of whether the tenant is still there.
#[derive(Clone)]
pub struct TenantFiles {
    store: TenantStore,
    directory: String,
    tenant: Option<TenantId>,
}

/// What is in a directory of a [`TenantFiles`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[non_exhaustive]
pub struct FileEntry {
    /// Its name in the directory.
    pub name: String,
    /// Whether it is a directory itself.
    pub is_directory: bool,
}

impl TenantStore {
    /// Files below `root`, which is created where it is missing.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::FileFailed`] when it cannot be created or opened.
    pub fn open(root: impl AsRef<Path>) -> Result<Self> {
        let path = root.as_ref();
        let opened = Dir::create_ambient_dir_all(path, ambient_authority())
            .and_then(|()| Dir::open_ambient_dir(path, ambient_authority()));
        let failed = |error| failed(&format!("open {}", path.display()), error);
        Ok(Self {
            root: Arc::new(opened.map_err(failed)?),
            path: path.into(),
        })
    }

    /// The files of a tenant.
    #[must_use]
    pub fn of(&self, tenant: &Tenant) -> TenantFiles {
        TenantFiles {
            store: self.clone(),
            directory: format!("{TENANTS}/{}", keys::identity(tenant)),
            tenant: Some(tenant.id().clone()),
        }
    }

    /// The files that are nobody's.
    #[must_use]
    pub fn shared(&self) -> TenantFiles {
        TenantFiles {
            store: self.clone(),
            directory: SHARED.into(),
            tenant: None,
        }
    }

    /// Deletes all files of a tenant. It is no error that there are none.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::FileFailed`].
    pub fn delete(&self, tenant: &Tenant) -> Result<()> {
        let files = self.of(tenant);
        let deleted = files.own().and_then(|own| match own {
            None => Ok(()),
            Some(_) => self.root.remove_dir_all(&files.directory),
        });
        deleted.map_err(|error| files.error("delete all", "", error))
    }
}

impl TenantFiles {
    /// Where the files are, for whoever has to look after them. It need not be there.
    #[must_use]
    pub fn directory(&self) -> PathBuf {
        self.store.path.join(&self.directory)
    }

    /// What a file holds.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open).
    pub fn read(&self, path: &str) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let read = self.open(path)?.read_to_end(&mut bytes);
        read.map_err(|error| self.error("read", path, error))?;
        Ok(bytes)
    }

    /// Opens a file to read it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] for a path that can be no file's; [`ErrorKind::FileNotFound`] when there is
    /// none, or what is there is no file; [`ErrorKind::FileFailed`].
    pub fn open(&self, path: &str) -> Result<File> {
        let path = self.checked(path)?;
        let opened = self.own().and_then(|own| {
            let own = own.ok_or(io::ErrorKind::NotFound)?;
            // Opening something else may wait, for instance for whoever writes into a pipe.
            if !own.metadata(path)?.is_file() {
                return Err(io::ErrorKind::NotFound.into());
            }
            own.open(path)
        });
        opened
            .map(cap_std::fs::File::into_std)
            .map_err(|error| self.error("open", path, error))
    }

    /// Writes a file, and the directories that it is in. What was there before is replaced.
    ///
    /// # Errors
    ///
    /// Those of [`create`](Self::create).
    pub fn write(&self, path: &str, bytes: &[u8]) -> Result<()> {
        let written = self.create(path)?.write_all(bytes);
        written.map_err(|error| self.error("write", path, error))
    }

    /// Opens a file to write it, empty, and creates the directories that it is in.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] for a path that can be no file's; [`ErrorKind::FileFailed`].
    pub fn create(&self, path: &str) -> Result<File> {
        let path = self.checked(path)?;
        let created = self.own_or_new().and_then(|own| {
            if let Some((parents, _)) = path.rsplit_once('/') {
                own.create_dir_all(parents)?;
            }
            own.create(path)
        });
        created
            .map(cap_std::fs::File::into_std)
            .map_err(|error| self.error("create", path, error))
    }

    /// Deletes a file.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open).
    pub fn remove(&self, path: &str) -> Result<()> {
        let path = self.checked(path)?;
        let removed = self
            .own()
            .and_then(|own| own.ok_or(io::ErrorKind::NotFound)?.remove_file(path));
        removed.map_err(|error| self.error("remove", path, error))
    }

    /// What is in a directory, in the order of names; `""` is the tenant's own. A directory that is missing has
    /// nothing in it. Names that are not UTF-8, which nobody could ask for, are left out.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`] for a path that can be no directory's; [`ErrorKind::FileFailed`].
    pub fn list(&self, directory: &str) -> Result<Vec<FileEntry>> {
        let path = match directory {
            "" => ".",
            directory => self.checked(directory)?,
        };
        let listed = self.own().and_then(|own| {
            let entries = match own.map(|own| own.read_dir(path)) {
                None => return Ok(Vec::new()),
                Some(entries) => entries?,
            };
            let mut found = Vec::new();
            for entry in entries {
                let entry = entry?;
                if let Ok(name) = entry.file_name().into_string() {
                    let is_directory = entry.file_type()?.is_dir();
                    found.push(FileEntry { name, is_directory });
                }
            }
            found.sort();
            Ok(found)
        });
        match listed {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            listed => listed.map_err(|error| self.error("list", directory, error)),
        }
    }

    /// The directory, if it is there.
    fn own(&self) -> io::Result<Option<Dir>> {
        let root = &self.store.root;
        match root.symlink_metadata(&self.directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
            // It could lead to another tenant's.
            Ok(found) if found.is_symlink() => Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "the directory is a link",
            )),
            Ok(_) => root.open_dir(&self.directory).map(Some),
        }
    }

    fn own_or_new(&self) -> io::Result<Dir> {
        self.store.root.create_dir_all(&self.directory)?;
        self.own()?.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn checked<'a>(&self, path: &'a str) -> Result<&'a str> {
        if is_inside(path) {
            return Ok(path);
        }
        let message = format!("{path:?} is not a path of a file below a directory");
        Err(self.named(Error::new(ErrorKind::InvalidInput, message)))
    }

    fn error(&self, what: &str, path: &str, error: io::Error) -> Error {
        let path = format!("{}/{path}", self.directory().display());
        self.named(failed(&format!("{what} {path}"), error))
    }

    fn named(&self, error: Error) -> Error {
        match &self.tenant {
            Some(tenant) => error.with_tenant(tenant),
            None => error,
        }
    }
}

/// Whether a path is nothing but names below a directory, wherever this runs.
fn is_inside(path: &str) -> bool {
    let is_drive = matches!(path.as_bytes(), [letter, b':', ..] if letter.is_ascii_alphabetic());
    !is_drive
        && !path.contains(['\0', '\\'])
        && path.split('/').all(|name| !matches!(name, "" | "." | ".."))
}

fn failed(what: &str, error: io::Error) -> Error {
    use io::ErrorKind as Io;
    // A name that is too long is no file's.
    let kind = match error.kind() {
        Io::NotFound | Io::NotADirectory | Io::InvalidFilename => ErrorKind::FileNotFound,
        _ => ErrorKind::FileFailed,
    };
    Error::new(kind, format!("could not {what}")).with_source(error)
}

impl fmt::Debug for TenantStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TenantStore").field(&self.path).finish()
    }
}

impl fmt::Debug for TenantFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TenantFiles")
            .field(&self.directory())
            .finish()
    }
}
