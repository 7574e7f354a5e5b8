//! Files of tenants: each reaches its own, and nothing else.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
};

use boardinghouse_core::{
    Error, ErrorKind, NewTenant, PgRegistry, Provisioner, Tenant, TenantFiles, TenantStore,
};
use boardinghouse_tests::{TestDb, tenant};
use proptest::{collection::vec, prelude::*};
use tempfile::TempDir;

/// A store in a directory of its own, with what must not be reached beside it.
struct Place {
    outer: TempDir,
    store: TenantStore,
}

impl Place {
    fn new() -> Self {
        let outer = tempfile::tempdir().unwrap();
        fs::write(outer.path().join("x.txt"), "OUTSIDE").unwrap();
        let store = TenantStore::open(outer.path().join("root")).unwrap();
        Self { outer, store }
    }

    fn path(&self, below: &str) -> PathBuf {
        self.outer.path().join(below)
    }

    /// All files, and what they hold.
    fn everything(&self) -> Vec<(PathBuf, String)> {
        let mut found = Vec::new();
        let mut left = vec![self.outer.path().to_owned()];
        while let Some(path) = left.pop() {
            if path.is_dir() {
                left.extend(
                    fs::read_dir(path)
                        .unwrap()
                        .map(|entry| entry.unwrap().path()),
                );
            } else {
                let holds = fs::read_to_string(&path).unwrap();
                let path = path.strip_prefix(self.outer.path()).unwrap();
                found.push((path.to_owned(), holds));
            }
        }
        found.sort();
        found
    }
}

fn named(id: &str) -> Tenant {
    Tenant::new(id.parse().unwrap(), id.parse().unwrap())
}

fn names(files: &TenantFiles, directory: &str) -> Vec<String> {
    let found = files.list(directory).unwrap();
    let name = |entry: &boardinghouse_core::FileEntry| {
        let slash = if entry.is_directory { "/" } else { "" };
        format!("{}{slash}", entry.name)
    };
    found.iter().map(name).collect()
}

fn kind<T: std::fmt::Debug>(result: Result<T, Error>) -> ErrorKind {
    result.unwrap_err().kind()
}

const BAD: [&str; 24] = [
    "",
    ".",
    "..",
    "/",
    "/x.txt",
    "//x.txt",
    "../id-b/x.txt",
    "../../../x.txt",
    "a/../../id-b/x.txt",
    "a/..",
    "./x.txt",
    "a/./x.txt",
    "a//x.txt",
    "a/",
    "x.txt\0",
    "\0",
    "..\\id-b\\x.txt",
    "a\\..\\..\\id-b\\x.txt",
    "\\x.txt",
    "\\\\server\\share\\x.txt",
    "C:x.txt",
    "C:/x.txt",
    "c:\\x.txt",
    "a/..\0",
];

#[test]
fn the_same_name_is_a_file_of_each_tenants_own() {
    let place = Place::new();
    let (a, b) = (place.store.of(&named("a")), place.store.of(&named("b")));
    a.write("x.txt", b"a's").unwrap();
    b.write("deep/er/x.txt", b"b's").unwrap();
    b.write("x.txt", b"b's, too long").unwrap();
    b.write("x.txt", b"b's").unwrap();
    assert_eq!(a.read("x.txt").unwrap(), b"a's");
    assert_eq!(b.read("x.txt").unwrap(), b"b's");
    assert_eq!(names(&a, ""), ["x.txt"]);
    assert_eq!(names(&b, ""), ["deep/", "x.txt"]);
    assert_eq!(names(&b, "deep/er"), ["x.txt"]);
    a.remove("x.txt").unwrap();
    assert_eq!(kind(a.read("x.txt")), ErrorKind::FileNotFound);
    assert_eq!(kind(a.remove("x.txt")), ErrorKind::FileNotFound);
    assert_eq!(b.read("x.txt").unwrap(), b"b's");
}

#[test]
fn what_is_missing_is_not_found_and_a_directory_that_is_missing_is_empty() {
    let place = Place::new();
    let files = place.store.of(&named("a"));
    for again in [false, true] {
        assert_eq!(names(&files, ""), [""; 0]);
        assert_eq!(names(&files, "no/such"), [""; 0]);
        for path in ["x.txt", "no/such/x.txt", &"n".repeat(300)] {
            assert_eq!(kind(files.read(path)), ErrorKind::FileNotFound, "{path}");
            assert_eq!(kind(files.open(path)), ErrorKind::FileNotFound, "{path}");
            assert_eq!(kind(files.remove(path)), ErrorKind::FileNotFound, "{path}");
        }
        if !again {
            assert!(!files.directory().exists(), "reading creates nothing");
            files.write("there/x.txt", b"").unwrap();
            files.remove("there/x.txt").unwrap();
            fs::remove_dir(files.directory().join("there")).unwrap();
        }
    }
    files.write("there/x.txt", b"").unwrap();
    // A directory is no file, and a file no directory.
    assert_eq!(kind(files.read("there")), ErrorKind::FileNotFound);
    assert_eq!(kind(files.read("there/x.txt/y")), ErrorKind::FileNotFound);
    kind(files.write("there", b""));
    kind(files.write("there/x.txt/y", b""));
    kind(files.list("there/x.txt"));
}

#[test]
fn a_path_that_leads_out_is_refused_before_anything_is_looked_at() {
    let place = Place::new();
    let b = place.store.of(&named("b"));
    b.write("x.txt", b"b's").unwrap();
    let before = place.everything();
    for files in [place.store.of(&named("a")), place.store.shared(), b] {
        for bad in BAD {
            let error = files.read(bad).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{bad:?}");
            assert_eq!(kind(files.open(bad)), ErrorKind::InvalidInput, "{bad:?}");
            assert_eq!(
                kind(files.write(bad, b"!")),
                ErrorKind::InvalidInput,
                "{bad:?}"
            );
            assert_eq!(kind(files.create(bad)), ErrorKind::InvalidInput, "{bad:?}");
            assert_eq!(kind(files.remove(bad)), ErrorKind::InvalidInput, "{bad:?}");
            if !bad.is_empty() {
                assert_eq!(kind(files.list(bad)), ErrorKind::InvalidInput, "{bad:?}");
            }
        }
    }
    assert_eq!(place.everything(), before);
    assert!(!place.path("root/tenants/id-a").exists());
}

#[test]
fn nothing_in_a_name_is_decoded() {
    let place = Place::new();
    let files = place.store.of(&named("a"));
    for odd in [
        "%2e%2e",
        "..%2fid-b",
        "...",
        "a..",
        ".hidden",
        "10:30 Uhr ä\n",
        "con",
        "~",
        "-rf",
    ] {
        files.write(odd, odd.as_bytes()).unwrap();
        assert_eq!(files.read(odd).unwrap(), odd.as_bytes());
        assert_eq!(names(&files, ""), [odd]);
        files.remove(odd).unwrap();
    }
}

#[cfg(unix)]
#[test]
fn links_that_lead_out_are_not_followed() {
    use std::os::unix::fs::symlink;

    let place = Place::new();
    let (a, b) = (place.store.of(&named("a")), place.store.of(&named("b")));
    a.write("dir/x.txt", b"a's").unwrap();
    b.write("x.txt", b"b's").unwrap();
    let own = a.directory();
    let absolute = place.path("x.txt");
    for (target, name) in [
        (absolute.as_path(), "absolute"),
        (Path::new("../id-b/x.txt"), "relative"),
        (Path::new("../../../x.txt"), "far"),
        (Path::new("../id-b"), "directory"),
        (place.outer.path(), "outer"),
        (Path::new("../id-b/new.txt"), "dangling"),
        (Path::new("self"), "self"),
    ] {
        symlink(target, own.join(name)).unwrap();
    }
    let before = {
        // Seen by std, which follows links, without them.
        (
            fs::read(&absolute).unwrap(),
            fs::read(b.directory().join("x.txt")).unwrap(),
        )
    };
    for path in [
        "absolute",
        "relative",
        "far",
        "dangling",
        "self",
        "directory/x.txt",
        "directory/new.txt",
        "outer/x.txt",
        "outer/root/tenants/id-b/x.txt",
    ] {
        assert_eq!(kind(a.read(path)), ErrorKind::FileFailed, "{path}");
        kind(a.write(path, b"!"));
        kind(a.create(path));
    }
    for directory in ["directory", "outer", "outer/root/tenants"] {
        assert_eq!(
            kind(a.list(directory)),
            ErrorKind::FileFailed,
            "{directory}"
        );
    }
    assert_eq!(before.0, fs::read(&absolute).unwrap());
    assert_eq!(before.1, fs::read(b.directory().join("x.txt")).unwrap());
    assert_eq!(names(&b, ""), ["x.txt"]);
    // A link that stays inside is one's own business, and removing one removes no more than it.
    symlink("dir/x.txt", own.join("inside")).unwrap();
    assert_eq!(a.read("inside").unwrap(), b"a's");
    a.remove("directory").unwrap();
    a.remove("relative").unwrap();
    assert_eq!(b.read("x.txt").unwrap(), b"b's");
    place.store.delete(&named("a")).unwrap();
    assert_eq!(names(&a, ""), [""; 0]);
    assert_eq!(b.read("x.txt").unwrap(), b"b's");
    assert!(absolute.exists());
}

#[cfg(unix)]
#[test]
fn a_tenants_directory_that_is_a_link_to_anothers_is_refused() {
    let place = Place::new();
    let (a, b) = (place.store.of(&named("a")), place.store.of(&named("b")));
    b.write("x.txt", b"b's").unwrap();
    for target in ["id-b", "..", "../.."] {
        std::os::unix::fs::symlink(target, a.directory()).unwrap();
        assert_eq!(kind(a.read("x.txt")), ErrorKind::FileFailed, "{target}");
        kind(a.write("x.txt", b"!"));
        kind(a.list(""));
        kind(place.store.delete(&named("a")));
        fs::remove_file(a.directory()).unwrap();
    }
    assert_eq!(b.read("x.txt").unwrap(), b"b's");
}

#[test]
fn the_first_user_does_not_fix_the_root_for_all() {
    let place = Place::new();
    let other = TenantStore::open(place.path("other")).unwrap();
    thread::scope(|scope| {
        for id in ["a", "b", "c", "d"] {
            let (store, other) = (&place.store, &other);
            scope.spawn(move || {
                let tenant = named(id);
                for number in 0..50 {
                    let file = format!("{number}.txt");
                    store.of(&tenant).write(&file, id.as_bytes()).unwrap();
                    other.of(&tenant).write(&file, b"other").unwrap();
                    assert_eq!(store.of(&tenant).read(&file).unwrap(), id.as_bytes());
                }
            });
        }
    });
    for (path, holds) in place.everything() {
        let path = path.to_str().unwrap();
        let expected = match path.split('/').collect::<Vec<_>>()[..] {
            ["root", "tenants", directory, _] => directory.trim_start_matches("id-"),
            ["other", ..] => "other",
            _ => "OUTSIDE",
        };
        assert_eq!(holds, expected, "{path}");
    }
}

#[test]
fn shared_files_are_the_same_from_every_tenant_and_no_tenants() {
    let place = Place::new();
    place.store.shared().write("logo.svg", b"<svg/>").unwrap();
    let clone = place.store.clone();
    for id in ["a", "shared", "tenants"] {
        let files = clone.of(&named(id));
        assert_eq!(kind(files.read("logo.svg")), ErrorKind::FileNotFound);
        files.write("logo.svg", b"own").unwrap();
        assert_eq!(clone.shared().read("logo.svg").unwrap(), b"<svg/>");
        clone.delete(&named(id)).unwrap();
    }
    assert_eq!(names(&clone.shared(), ""), ["logo.svg"]);
    clone.delete(&named("never-there")).unwrap();
}

#[test]
fn a_renamed_tenant_keeps_its_files_and_a_successor_does_not_get_them() {
    let db = TestDb::new();
    let place = Place::new();
    let pool = db.pool(2);
    let provisioner = Provisioner::new(pool.clone());
    let a = tenant(&pool, "a");
    place.store.of(&a).write("x.txt", b"a's").unwrap();
    let at = place.store.of(&a).directory();

    let renamed = provisioner.rename(a.id(), &"c".parse().unwrap()).unwrap();
    assert_eq!(place.store.of(&renamed).directory(), at);
    assert_eq!(place.store.of(&renamed).read("x.txt").unwrap(), b"a's");
    // Somebody else gets the old name.
    let successor = provisioner.create(&NewTenant::new(a.id().clone())).unwrap();
    assert_eq!(names(&place.store.of(&successor), ""), [""; 0]);

    provisioner.delete(renamed.id()).unwrap();
    let reborn = provisioner
        .create(&NewTenant::new(renamed.id().clone()))
        .unwrap();
    let reborn = PgRegistry::new(pool).get(reborn.id()).unwrap();
    assert_eq!(
        kind(place.store.of(&reborn).read("x.txt")),
        ErrorKind::FileNotFound
    );
    // They are there until somebody deletes them.
    assert_eq!(place.store.of(&renamed).read("x.txt").unwrap(), b"a's");
    place.store.delete(&renamed).unwrap();
    assert!(!at.exists());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn whatever_the_path_nothing_but_ones_own_is_reached(
        parts in vec(
            prop_oneof![
                Just(".."), Just("."), Just("a"), Just("x.txt"), Just("id-b"), Just("root"),
                Just("tenants"), Just("\\"), Just("%2e%2e"), Just("C:"), Just("\0"), Just("ä"), Just(""),
            ],
            0..6,
        ),
        separator in prop_oneof![4 => Just("/"), 1 => Just("\\"), 1 => Just("//"), 1 => Just("")],
        first in prop_oneof![3 => Just(""), 1 => Just("/")],
    ) {
        let place = Place::new();
        let b = place.store.of(&named("b"));
        b.write("x.txt", b"b's").unwrap();
        place.store.shared().write("x.txt", b"shared").unwrap();
        let before = place.everything();
        let path = format!("{first}{}", parts.join(separator));
        let a = place.store.of(&named("a"));
        prop_assert!(a.read(&path).is_err());
        if a.write(&path, b"mine").is_ok() {
            prop_assert_eq!(a.read(&path).unwrap(), b"mine");
        }
        let mut after = place.everything();
        after.retain(|(path, _)| !path.starts_with("root/tenants/id-a"));
        prop_assert_eq!(after, before);
        let _ = a.remove(&path);
        let _ = a.list(&path);
        place.store.delete(&named("a")).unwrap();
    }
}
