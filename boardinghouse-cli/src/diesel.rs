//! Diesel's own tool and its file, diesel.toml.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use toml::{Table, Value};

use crate::{config::at, exit::Failure};

const FILE: &str = "diesel.toml";
/// The section that says how code is printed.
const PRINT_SCHEMA: &str = "print_schema";
/// The one option that is a table. All other tables in the section are sections of their own.
const FILTER: &str = "filter";
/// What is changed in the code afterwards.
const PATCH: &str = "patch_file";

/// How one file of code is printed.
#[derive(Debug, PartialEq)]
pub(crate) struct Printing {
    /// Where diesel.toml wants the code.
    pub(crate) file: Option<PathBuf>,
    /// Its other options, for Diesel to understand.
    options: Table,
}

impl Printing {
    /// What the diesel.toml says that Diesel would read: the one that DIESEL_CONFIG_FILE names, or that of
    /// this directory or of the nearest one above it. Without one, the code is printed as usual.
    pub(crate) fn all() -> Result<Vec<Self>, Failure> {
        let named = env::var_os("DIESEL_CONFIG_FILE").filter(|path| !path.is_empty());
        let path = match named {
            Some(path) => PathBuf::from(path),
            None => {
                let here = env::current_dir()
                    .map_err(|error| Failure::usage(format!("there is no directory: {error}")))?;
                let found = here.ancestors().map(|dir| dir.join(FILE));
                match found.into_iter().find(|path| path.is_file()) {
                    // As people would write it.
                    Some(path) => path.strip_prefix(&here).unwrap_or(&path).to_owned(),
                    None => return Ok(vec![Self::new(Table::new(), Path::new(""))]),
                }
            }
        };
        let text = fs::read_to_string(&path).map_err(|error| {
            Failure::usage(format!("could not read {}: {error}", path.display()))
        })?;
        Self::parse(&text, &path)
    }

    fn parse(text: &str, path: &Path) -> Result<Vec<Self>, Failure> {
        let mut root: Table = toml::from_str(text)
            .map_err(|error| at(path, text, error.span(), toml::de::Error::message(&error)))?;
        let mut usual = match root.remove(PRINT_SCHEMA) {
            None => Table::new(),
            Some(Value::Table(section)) => section,
            Some(_) => {
                let message = format!("`{PRINT_SCHEMA}` is no section");
                return Err(at(path, text, None, &message));
            }
        };
        let named: Vec<String> = usual
            .iter()
            .filter(|(key, value)| value.is_table() && key.as_str() != FILTER)
            .map(|(key, _)| key.clone())
            .collect();
        let mut sections: Vec<Table> = named
            .iter()
            .filter_map(|key| usual.remove(key))
            .filter_map(|section| match section {
                Value::Table(section) => Some(section),
                _ => None,
            })
            .collect();
        // Beside others it counts where it says something.
        if sections.is_empty() || !usual.is_empty() {
            sections.insert(0, usual);
        }
        let qualified = sections.iter().find_map(|section| {
            let schema = section.get("schema")?.as_str()?;
            Some(schema)
        });
        if let Some(schema) = qualified {
            let message = format!(
                "`schema = {schema:?}` would put {schema} in front of every table, which ignores the \
                 tenant: take it out"
            );
            return Err(at(path, text, None, &message));
        }
        let beside = path.parent().unwrap_or(Path::new(""));
        Ok(sections
            .into_iter()
            .map(|section| Self::new(section, beside))
            .collect())
    }

    fn new(mut options: Table, beside: &Path) -> Self {
        let file = options.remove("file");
        let file = file
            .as_ref()
            .and_then(Value::as_str)
            .map(|file| beside.join(file));
        if let Some(Value::String(patch)) = options.get_mut(PATCH) {
            let path = beside.join(&*patch);
            // Diesel is given another file, elsewhere.
            let path = std::path::absolute(&path).unwrap_or(path);
            *patch = path.display().to_string();
        }
        Self { file, options }
    }

    /// Forgets the file, and what is said of the tables in it.
    pub(crate) fn forget_tables(&mut self) {
        self.file = None;
        for about_tables in [FILTER, PATCH] {
            self.options.remove(about_tables);
        }
    }

    /// The file that makes Diesel print this, and nothing else.
    fn diesel_toml(&self) -> String {
        let section = Value::Table(self.options.clone());
        Table::from_iter([(PRINT_SCHEMA.to_owned(), section)]).to_string()
    }
}

/// `diesel`, which can be run.
#[derive(Debug)]
pub(crate) struct Diesel(PathBuf);

impl Diesel {
    /// The tool that was named, or that PATH leads to.
    pub(crate) fn find(named: Option<&Path>) -> Result<Self, Failure> {
        let program = named.unwrap_or(Path::new("diesel"));
        let missing = |why: String| {
            Failure::usage(format!(
                "could not run {}, Diesel's own tool, which prints the code: {why}\nInstall it with \
                 `cargo install diesel_cli --version '~2.3' --no-default-features --features postgres`, \
                 or say with --diesel where it is",
                program.display()
            ))
        };
        match Command::new(program).arg("--version").output() {
            Ok(output) if output.status.success() => Ok(Self(program.to_owned())),
            Ok(output) => Err(missing(output.status.to_string())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(missing("it is not there".to_owned()))
            }
            Err(error) => Err(missing(error.to_string())),
        }
    }

    /// The code for the tables in schema `public` of a database.
    pub(crate) fn print(&self, printing: &Printing, url: &str) -> Result<String, Failure> {
        let broken = |error: io::Error| Failure::Tool(format!("could not run diesel: {error}"));
        let dir = tempfile::tempdir().map_err(broken)?;
        let config = dir.path().join(FILE);
        fs::write(&config, printing.diesel_toml()).map_err(broken)?;
        let output = Command::new(&self.0)
            .arg("print-schema")
            .arg("--config-file")
            .arg(&config)
            // Not as an argument, which everybody on the machine could read.
            .env("DATABASE_URL", url)
            // Its log would go into the code.
            .env_remove("DIESEL_LOG")
            .output()
            .map_err(broken)?;
        let says = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            return Err(Failure::Tool(format!(
                "`diesel print-schema` failed ({}): {}",
                output.status,
                says.trim_end()
            )));
        }
        String::from_utf8(output.stdout)
            .map_err(|_| Failure::Tool("`diesel print-schema` printed no UTF-8".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Vec<Printing>, String> {
        Printing::parse(text, Path::new("app/diesel.toml")).map_err(|failure| failure.to_string())
    }

    fn files(text: &str) -> Vec<Option<PathBuf>> {
        let all = parse(text).unwrap_or_else(|error| panic!("{error}"));
        all.into_iter().map(|printing| printing.file).collect()
    }

    #[test]
    fn files_are_beside_diesel_toml() {
        assert_eq!(files(""), [None]);
        assert_eq!(files("[migrations_directory]\ndir = \"x\""), [None]);
        let one =
            "[print_schema]\nfile = \"src/schema.rs\"\nfilter = { except_tables = [\"^x$\"] }";
        assert_eq!(files(one), [Some("app/src/schema.rs".into())]);
        let two = "[print_schema.a]\nfile = \"a.rs\"\n[print_schema.b]\nfile = \"b.rs\"";
        assert_eq!(
            files(two),
            [Some("app/a.rs".into()), Some("app/b.rs".into())]
        );
        let three = format!("[print_schema]\nfile = \"c.rs\"\n{two}");
        assert_eq!(files(&three).len(), 3);
    }

    #[test]
    fn diesel_is_told_everything_else() -> Result<(), String> {
        let text = "[print_schema]\nfile = \"a.rs\"\nwith_docs = true\npatch_file = \"a.patch\"\n\
                    filter = { only_tables = [\"^x$\"] }\nimport_types = [\"crate::T\"]";
        let told: Table =
            toml::from_str(&parse(text)?[0].diesel_toml()).map_err(|e| e.to_string())?;
        let section = &told[PRINT_SCHEMA];
        assert_eq!(section.get("file"), None);
        assert_eq!(section["with_docs"].as_bool(), Some(true));
        assert_eq!(section[FILTER]["only_tables"][0].as_str(), Some("^x$"));
        assert_eq!(section["import_types"][0].as_str(), Some("crate::T"));
        let patch = Path::new(section["patch_file"].as_str().unwrap_or_default());
        assert!(
            patch.is_absolute() && patch.ends_with("app/a.patch"),
            "{patch:?}"
        );
        Ok(())
    }

    #[test]
    fn what_cannot_be_is_refused_with_the_place() {
        let refused = |text| parse(text).err().unwrap_or_default();
        assert!(refused("\nx = [").starts_with("app/diesel.toml:2: "));
        assert!(refused("print_schema = 1").contains("is no section"));
        let qualified = refused("[print_schema.a]\nschema = \"tmpl\"");
        assert!(qualified.contains("`schema = \"tmpl\"`"), "{qualified}");
        assert!(refused("[print_schema]\nschema = \"public\"").contains("in front of every table"));
    }
}
