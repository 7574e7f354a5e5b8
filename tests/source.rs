//! What the sources must not do.

use std::{fs, path::Path};

fn sources(dir: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            found.push((path.display().to_string(), code.to_owned()));
        }
    }
}

/// T37: messages are for people, and come in the server's language. Only kinds, constraint names and
/// questions to the catalogs decide.
#[test]
fn no_decision_rests_on_the_words_of_an_error() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut found = Vec::new();
    for package in [
        "boardinghouse-core",
        "boardinghouse-actix",
        "boardinghouse-cli",
    ] {
        sources(&root.join(package).join("src"), &mut found);
    }
    assert!(found.len() > 30, "{} files", found.len());
    for (path, code) in found {
        for line in code
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
        {
            for reads_words in [
                ".message()",
                "to_string().contains",
                "chain().contains",
                "lc_messages",
            ] {
                assert!(!line.contains(reads_words), "{path}: {line}");
            }
        }
    }
}
