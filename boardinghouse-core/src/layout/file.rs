//! The names of schemas as `boardinghouse.toml` writes them.

use std::path::Path;

use serde::Deserialize;
use toml::Spanned;

use super::Layout;
use crate::{
    error::Result,
    names::{SchemaName, TenantId},
    statics::file::{Wrong, read},
};

/// Section `[layout]` of `boardinghouse.toml`: names of schemas, where they are not the usual ones.
///
/// [`Layout::load`] is what most programs want. This is for one that lets something else, such as an option,
/// win over the file.
///
/// # Examples
///
/// ```
/// use boardinghouse_core::LayoutNames;
///
/// let mut names = LayoutNames::default();
/// names.prefix = Some("t_".to_owned());
/// assert_eq!(names.layout()?.prefix(), "t_");
/// # Ok::<(), boardinghouse_core::Error>(())
/// ```
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct LayoutNames {
    /// See [`Layout::with_shared`].
    pub shared: Option<SchemaName>,
    /// See [`Layout::with_template`].
    pub template: Option<SchemaName>,
    /// See [`Layout::with_extra`].
    pub extra: Vec<SchemaName>,
    /// See [`Layout::with_prefix`].
    pub prefix: Option<String>,
    /// See [`Layout::with_reserved`].
    pub reserved: Vec<TenantId>,
}

impl LayoutNames {
    /// The layout of these names, and of the usual ones for the rest.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ReservedName`](crate::ErrorKind::ReservedName) where two roles have one name, and
    /// [`ErrorKind::InvalidName`](crate::ErrorKind::InvalidName) for a prefix that cannot be one.
    pub fn layout(&self) -> Result<Layout> {
        let mut layout = Layout::default();
        if let Some(shared) = &self.shared {
            layout = layout.with_shared(shared.clone())?;
        }
        if let Some(template) = &self.template {
            layout = layout.with_template(template.clone())?;
        }
        Ok(layout
            .with_extra(self.extra.iter().cloned())?
            .with_prefix(self.prefix.clone().unwrap_or_default())?
            .with_reserved(self.reserved.iter().cloned()))
    }
}

/// The whole file; other sections are not looked at.
#[derive(Deserialize)]
struct File {
    layout: Option<Spanned<LayoutNames>>,
}

fn parse(text: &str) -> Result<Layout, Wrong> {
    let file: File = toml::from_str(text).map_err(|error| Wrong::toml(text, &error))?;
    let Some(section) = file.layout else {
        return Ok(Layout::default());
    };
    let layout = section.get_ref().layout();
    layout.map_err(|error| Wrong::at(text, Some(section.span()), error))
}

impl Layout {
    /// The layout of section `[layout]` of a `boardinghouse.toml`; other sections are not looked at. Without
    /// the section, it is the default.
    ///
    /// | key | says | default |
    /// |---|---|---|
    /// | `shared` | see [`with_shared`](Self::with_shared) | `"public"` |
    /// | `template` | see [`with_template`](Self::with_template) | `"__template__"` |
    /// | `extra` | see [`with_extra`](Self::with_extra) | none |
    /// | `prefix` | see [`with_prefix`](Self::with_prefix) | nothing |
    /// | `reserved` | see [`with_reserved`](Self::with_reserved) | none |
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) for text that is not that, and those of
    /// the methods above, with the line.
    ///
    /// # Examples
    ///
    /// ```
    /// use boardinghouse_core::Layout;
    ///
    /// let layout = Layout::from_toml("[layout]\nprefix = \"t_\"\nreserved = [\"www\"]")?;
    /// assert_eq!(layout, Layout::default().with_prefix("t_")?.with_reserved(["www".parse()?]));
    /// let error = Layout::from_toml("[layout]\n\nshared = \"boardinghouse\"").unwrap_err();
    /// assert!(error.to_string().starts_with("line 1: schema \"boardinghouse\""), "{error}");
    /// # Ok::<(), boardinghouse_core::Error>(())
    /// ```
    pub fn from_toml(text: &str) -> Result<Self> {
        parse(text).map_err(|wrong| wrong.error(|line| format!("line {line}: ")))
    }

    /// As [`from_toml`](Self::from_toml), from a file: the one that the command line reads, so that both work
    /// on the same schemas. Options and environment variables of the command line win over the file, and an
    /// application does not know them.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) when the file cannot be read, and those of
    /// [`from_toml`](Self::from_toml).
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let text = read(path)?;
        parse(&text).map_err(|wrong| wrong.error(|line| format!("{}:{line}: ", path.display())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn a_file_says_all_that_can_be_said_in_code() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("boardinghouse.toml");
        let load = |text: &str| {
            std::fs::write(&file, text).unwrap();
            Layout::load(&file)
        };
        assert_eq!(
            load("[static.www]\n[[group]]\n").unwrap(),
            Layout::default()
        );
        let all = "[layout]\nshared = 'common'\ntemplate = 'pattern'\nextra = ['ext']\nprefix = 't_'\n\
                   reserved = ['www']\n[kind.shop]\nmigrations = 'x'\n";
        let expected = Layout::default()
            .with_shared("common".parse().unwrap())
            .and_then(|layout| layout.with_template("pattern".parse().unwrap()))
            .and_then(|layout| layout.with_extra(["ext".parse().unwrap()]))
            .and_then(|layout| layout.with_prefix("t_"))
            .unwrap()
            .with_reserved(["www".parse().unwrap()]);
        assert_eq!(load(all).unwrap(), expected);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("b.toml");
        for (text, kind, says) in [
            (
                "\n[layout]\nshard = 'x'",
                ErrorKind::InvalidInput,
                "b.toml:3: unknown field `shard`",
            ),
            ("x = ", ErrorKind::InvalidInput, "b.toml:1: "),
            (
                "\n[layout]\ntemplate = 'public'",
                ErrorKind::ReservedName,
                "b.toml:2: schema \"public\"",
            ),
            (
                "[layout]\nprefix = 'Big'",
                ErrorKind::InvalidName,
                "b.toml:1: ",
            ),
        ] {
            std::fs::write(&file, text).unwrap();
            let error = Layout::load(&file).unwrap_err();
            assert_eq!(error.kind(), kind, "{text}");
            assert!(error.to_string().contains(says), "{error}");
        }
        let error = Layout::load(dir.path().join("nowhere.toml")).unwrap_err();
        assert!(error.to_string().contains("nowhere.toml"), "{error}");
    }
}
