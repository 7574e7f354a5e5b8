//! `boardinghouse.toml`: what would otherwise be said with options each time, and the groups of a rollout.

use std::{
    collections::{BTreeMap, HashSet},
    fmt, fs, io,
    num::NonZeroUsize,
    ops::Range,
    path::{Path, PathBuf},
    time::Duration,
};

use boardinghouse_core::{LayoutNames, TenantId};
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, SeqAccess, Visitor, value},
};
use serde_json::{Map, Value};
use toml::Spanned;

use crate::exit::Failure;

/// The file that is read where none is named.
pub(crate) const FILE: &str = "boardinghouse.toml";

/// What the file says. Without a file, nothing.
#[derive(Debug, Default)]
pub(crate) struct Config {
    /// The file, where there is one: static tenants are read from it, too.
    pub(crate) file: Option<PathBuf>,
    /// The directory that holds the folders `shared` and `tenant`.
    pub(crate) migrations: Option<PathBuf>,
    pub(crate) layout: LayoutNames,
    pub(crate) print_schema: PrintSchema,
    /// The kinds of tenants that have migrations of their own, and the folders of those.
    pub(crate) kinds: BTreeMap<String, PathBuf>,
    /// The parts of the fleet that are migrated one after the other, in this order. Empty where the fleet
    /// is one. Only the last may have no `wanted`; tenants that no group wants come after the last.
    pub(crate) groups: Vec<Group>,
}

/// Section `[print_schema]`. How the code looks is said in diesel.toml.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct PrintSchema {
    /// Whether `migrate` prints anew after it has changed something.
    pub(crate) after_migrate: bool,
    /// The kinds whose tables are printed with those of all tenants. `None`: all kinds.
    pub(crate) kinds: Option<Vec<String>>,
    /// Extensions that are there before the first migration runs.
    pub(crate) extensions: Vec<String>,
}

/// A `[[group]]`: a part of the fleet that is migrated before those that follow.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "GroupTable")]
pub(crate) struct Group {
    pub(crate) name: String,
    /// `match`: who belongs to it, of those whom no group before has. `None`: everybody.
    pub(crate) wanted: Option<Match>,
    /// The attribute whose values give the order. `None`: the ids do.
    pub(crate) order_by: Option<String>,
    pub(crate) jobs: Option<NonZeroUsize>,
    pub(crate) on_error: OnError,
    /// How long to wait before the next group.
    pub(crate) bake: Option<Duration>,
    /// A command that must exit with 0 before the next group, for a shell.
    pub(crate) gate: Option<String>,
}

/// Who belongs to a group.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Match {
    /// Tenants whose attributes contain this object.
    Attributes(Map<String, Value>),
    /// These tenants. Never empty, and none twice.
    Tenants(Vec<TenantId>),
}

/// What becomes of the rest when a tenant fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum OnError {
    /// Nobody else is migrated.
    #[default]
    Stop,
    /// The group goes on. When more than `max_failures` have failed, nobody else is migrated.
    Continue {
        /// `None`: however many.
        max_failures: Option<usize>,
    },
}

impl Config {
    /// Reads the file that was named, or the usual one of the current directory if it is there.
    pub(crate) fn load(named: Option<&Path>) -> Result<Self, Failure> {
        let path = named.unwrap_or(Path::new(FILE));
        match fs::read_to_string(path) {
            Ok(text) => Self::parse(&text, path),
            Err(error) if named.is_none() && error.kind() == io::ErrorKind::NotFound => {
                Ok(Self::default())
            }
            Err(error) => Err(Failure::usage(format!(
                "could not read the configuration {}: {error}",
                path.display()
            ))),
        }
    }

    fn parse(text: &str, path: &Path) -> Result<Self, Failure> {
        let wrong = |span: Option<Range<usize>>, message: &str| at(path, text, span, message);
        let file: File = toml::from_str(text)
            .map_err(|error| wrong(error.span(), toml::de::Error::message(&error)))?;
        let names = file.layout;
        let layout = match names.get_ref().layout() {
            Ok(layout) => layout,
            Err(error) => return Err(wrong(Some(names.span()), &error.chain())),
        };
        check(&file.group).map_err(|(span, message)| wrong(Some(span), &message))?;
        let beside = path.parent().unwrap_or(Path::new(""));
        let mut kinds = BTreeMap::new();
        for (kind, section) in file.kind {
            if let Err(error) = layout.kind_template(&kind) {
                return Err(wrong(Some(section.span()), &error.chain()));
            }
            kinds.insert(kind, beside.join(section.into_inner().migrations));
        }
        let print_schema = file.print_schema;
        let mut printed = print_schema.get_ref().kinds.iter().flatten();
        if let Some(kind) = printed.find(|kind| !kinds.contains_key(*kind)) {
            let message = format!("there is no section [kind.{kind}]");
            return Err(wrong(Some(print_schema.span()), &message));
        }
        Ok(Self {
            kinds,
            file: Some(path.to_owned()),
            migrations: file.migrations.map(|dir| beside.join(dir)),
            layout: names.into_inner(),
            print_schema: print_schema.into_inner(),
            groups: file.group.into_iter().map(Spanned::into_inner).collect(),
        })
    }
}

/// An error that says where in a file it is.
pub(crate) fn at(path: &Path, text: &str, span: Option<Range<usize>>, message: &str) -> Failure {
    let before = span.and_then(|span| text.get(..span.start));
    let line = before.map(|before| before.matches('\n').count() + 1);
    let line = line.map(|line| format!(":{line}")).unwrap_or_default();
    Failure::usage(format!("{}{line}: {}", path.display(), message.trim_end()))
}

/// What no group can see alone.
fn check(groups: &[Spanned<Group>]) -> Result<(), (Range<usize>, String)> {
    let mut names = HashSet::new();
    let mut tenants = HashSet::new();
    for (place, spanned) in groups.iter().enumerate() {
        let group = spanned.get_ref();
        let wrong = |message: String| Err((spanned.span(), message));
        if !names.insert(&group.name) {
            return wrong(format!("two groups are called {:?}", group.name));
        }
        match &group.wanted {
            None if place + 1 < groups.len() => {
                return wrong(format!(
                    "group {:?} has no `match`, so it takes everybody: it must be the last",
                    group.name
                ));
            }
            Some(Match::Tenants(ids)) => {
                if let Some(twice) = ids.iter().find(|id| !tenants.insert(*id)) {
                    return wrong(format!("tenant {twice} is named twice"));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    migrations: Option<PathBuf>,
    #[serde(default = "nothing")]
    layout: Spanned<LayoutNames>,
    #[serde(default = "nothing")]
    print_schema: Spanned<PrintSchema>,
    #[serde(default)]
    group: Vec<Spanned<Group>>,
    #[serde(default)]
    kind: BTreeMap<String, Spanned<Kind>>,
    /// Read by core, which knows the layout that options and variables have made by then.
    #[serde(default, rename = "static")]
    _statics: de::IgnoredAny,
}

/// A `[kind.…]`: tenants that have migrations besides those of all tenants.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Kind {
    migrations: PathBuf,
}

fn nothing<T: Default>() -> Spanned<T> {
    Spanned::new(0..0, T::default())
}

/// A group as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GroupTable {
    name: String,
    #[serde(rename = "match")]
    wanted: Option<Match>,
    order_by: Option<String>,
    jobs: Option<NonZeroUsize>,
    on_error: Option<OnErrorWord>,
    max_failures: Option<usize>,
    #[serde(default, deserialize_with = "duration")]
    bake: Option<Duration>,
    gate: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum OnErrorWord {
    Stop,
    Continue,
}

impl TryFrom<GroupTable> for Group {
    type Error = String;

    fn try_from(table: GroupTable) -> Result<Self, String> {
        let texts = [
            ("name", Some(&table.name)),
            ("order_by", table.order_by.as_ref()),
            ("gate", table.gate.as_ref()),
        ];
        for (key, text) in texts {
            if text.is_some_and(|text| text.trim().is_empty()) {
                return Err(format!("`{key}` is empty"));
            }
        }
        let on_error = match (table.on_error, table.max_failures) {
            (Some(OnErrorWord::Continue), max_failures) => OnError::Continue { max_failures },
            (_, None) => OnError::Stop,
            (_, Some(_)) => {
                return Err("`max_failures` goes with `on_error = \"continue\"`".to_owned());
            }
        };
        Ok(Self {
            name: table.name,
            wanted: table.wanted,
            order_by: table.order_by,
            jobs: table.jobs,
            on_error,
            bake: table.bake,
            gate: table.gate,
        })
    }
}

fn duration<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(from)?;
    humantime::parse_duration(&text)
        .map(Some)
        .map_err(|error| de::Error::custom(format!("{text:?} is no duration such as 10m: {error}")))
}

impl<'de> Deserialize<'de> for Match {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(MatchVisitor)
    }
}

/// Written out so that the error says what is wrong with the one form that was meant.
struct MatchVisitor;

impl<'de> Visitor<'de> for MatchVisitor {
    type Value = Match;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table of attributes, or a list of tenant ids")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Match, A::Error> {
        wanted(Map::deserialize(value::MapAccessDeserializer::new(map))?)
    }

    /// JSON as text, which has a null that TOML has not.
    fn visit_str<E: de::Error>(self, text: &str) -> Result<Match, E> {
        wanted(
            serde_json::from_str(text)
                .map_err(|error| E::custom(format!("{text:?} is no JSON object: {error}")))?,
        )
    }

    fn visit_seq<A: SeqAccess<'de>>(self, ids: A) -> Result<Match, A::Error> {
        let ids = Vec::deserialize(value::SeqAccessDeserializer::new(ids))?;
        if ids.is_empty() {
            return Err(de::Error::custom("an empty `match` takes nobody"));
        }
        Ok(Match::Tenants(ids))
    }
}

fn wanted<E: de::Error>(attributes: Map<String, Value>) -> Result<Match, E> {
    if attributes.is_empty() {
        return Err(de::Error::custom(
            "an empty `match` takes everybody: leave it out",
        ));
    }
    if attributes.values().any(holds_date) {
        return Err(de::Error::custom(
            "attributes are JSON, which has no dates: write a string",
        ));
    }
    Ok(Match::Attributes(attributes))
}

/// As the TOML library hands a date to those who do not know dates.
fn holds_date(value: &Value) -> bool {
    match value {
        Value::Object(map) => map
            .iter()
            .any(|(key, value)| key.starts_with("$__toml") || holds_date(value)),
        Value::Array(values) => values.iter().any(holds_date),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use boardinghouse_core::Layout;
    use serde_json::json;

    use super::*;

    fn parsed(text: &str) -> Config {
        Config::parse(text, Path::new("dir/boardinghouse.toml"))
            .unwrap_or_else(|failure| panic!("{failure}"))
    }

    fn refusal(text: &str) -> String {
        match Config::parse(text, Path::new("b.toml")) {
            Ok(config) => panic!("{config:?}"),
            Err(failure) => failure.to_string(),
        }
    }

    #[test]
    fn an_empty_file_says_nothing() {
        let config = parsed("# nothing\n");
        assert_eq!(config.layout.layout().ok(), Some(Layout::default()));
        assert_eq!(config.migrations, None);
        assert!(config.groups.is_empty() && !config.print_schema.after_migrate);
    }

    #[test]
    fn everything_that_can_be_said_is_read() {
        let text = r#"
            migrations = "db"
            [layout]
            shared = "common"
            template = "pattern"
            extra = ["extensions"]
            prefix = "t_"
            reserved = ["www"]
            [print_schema]
            after_migrate = true
            kinds = ["shop"]
            extensions = ["citext"]
            [kind.shop]
            migrations = "db/shop"
            [[group]]
            name = "canaries"
            match = { plan = "canary", limits = { seats = 5 } }
            order_by = "size"
            jobs = 1
            bake = "1h 10m"
            gate = "curl -f http://localhost/health"
            [[group]]
            name = "named"
            match = ["acme", "globex"]
            on_error = "continue"
            max_failures = 3
            [[group]]
            name = "free"
            match = '{"plan": null}'
            [[group]]
            name = "rest"
            on_error = "continue"
            "#;
        let config = parsed(text);
        assert_eq!(config.migrations, Some("dir/db".into()));
        let layout = config.layout.layout().ok();
        // As an application reads it.
        assert_eq!(Layout::from_toml(text).ok(), layout);
        let layout = layout.as_ref();
        assert_eq!(layout.map(|l| l.shared().as_str()), Some("common"));
        assert_eq!(layout.map(|l| l.template().as_str()), Some("pattern"));
        assert_eq!(
            layout.map(|l| (l.extra().len(), l.prefix())),
            Some((1, "t_"))
        );
        assert_eq!(config.layout.reserved.len(), 1);
        assert!(config.print_schema.after_migrate);
        assert_eq!(config.print_schema.kinds, Some(vec!["shop".to_owned()]));
        assert_eq!(config.print_schema.extensions, ["citext"]);
        let kinds = BTreeMap::from([("shop".to_owned(), "dir/db/shop".into())]);
        assert_eq!(config.kinds, kinds);
        let [canaries, named, free, rest] = &config.groups[..] else {
            panic!("{:?}", config.groups);
        };
        let wanted = json!({ "plan": "canary", "limits": { "seats": 5 } });
        assert_eq!(
            *canaries,
            Group {
                name: "canaries".into(),
                wanted: wanted.as_object().cloned().map(Match::Attributes),
                order_by: Some("size".into()),
                jobs: NonZeroUsize::new(1),
                on_error: OnError::Stop,
                bake: Some(Duration::from_secs(70 * 60)),
                gate: Some("curl -f http://localhost/health".into()),
            }
        );
        let ids: Vec<TenantId> = ["acme", "globex"]
            .iter()
            .flat_map(|id| id.parse())
            .collect();
        assert_eq!(named.wanted, Some(Match::Tenants(ids)));
        let max_failures = Some(3);
        assert_eq!(named.on_error, OnError::Continue { max_failures });
        let wanted = json!({ "plan": null });
        let wanted = wanted.as_object().cloned().map(Match::Attributes);
        assert_eq!(free.wanted, wanted);
        assert_eq!(rest.wanted, None);
        let max_failures = None;
        assert_eq!(rest.on_error, OnError::Continue { max_failures });
    }

    #[test]
    fn what_is_wrong_is_told_with_file_and_line() {
        for (text, expected) in [
            ("a = ", "b.toml:1: "),
            (
                "\n\nmigratons = \"x\"",
                "b.toml:3: unknown field `migratons`",
            ),
            ("[layout]\nshard = \"x\"", "b.toml:2: unknown field `shard`"),
            (
                "[layout]\n\nshared = \"pg_x\"",
                "b.toml:3: \"pg_x\" cannot be used",
            ),
            (
                "[layout]\nreserved = [\"A\"]",
                "b.toml:2: \"A\" is not a tenant id",
            ),
            (
                "\n[layout]\ntemplate = \"public\"",
                "b.toml:2: schema \"public\" cannot have two",
            ),
            ("\n\n[layout]\nprefix = \"Big\"", "b.toml:3: \"Bigx\""),
            (
                "[print_schema]\nafter_migrate = 1",
                "b.toml:2: invalid type",
            ),
            (
                "\n[print_schema]\nkinds = [\"shop\"]",
                "b.toml:2: there is no section [kind.shop]",
            ),
            ("[kind.shop]", "b.toml:1: missing field `migrations`"),
            (
                "[kind.shop]\nmigration = \"x\"",
                "b.toml:2: unknown field `migration`",
            ),
            (
                "\n[kind.Shop]\nmigrations = \"x\"",
                "b.toml:2: \"Shop\" is not a kind",
            ),
            (
                "[kind.shop]\nmigrations = \"x\"\n[layout]\ntemplate = \"__template_shop\"",
                "b.toml:1: schema __template_shop cannot be the template of kind shop",
            ),
            (
                "[[group]]\nname = \"a\"\nmatch = 5",
                "b.toml:3: invalid type: integer `5`, expected a table",
            ),
            (
                "[[group]]\nname = \"a\"\nmatch = {}",
                "b.toml:3: an empty `match`",
            ),
            (
                "[[group]]\nname = \"a\"\nmatch = \"acme\"",
                "b.toml:3: \"acme\" is no JSON object",
            ),
            (
                "[[group]]\nname = \"a\"\nmatch = []",
                "b.toml:3: an empty `match`",
            ),
            (
                "[[group]]\nname = \"a\"\nmatch = [\"A\"]",
                "b.toml:3: \"A\" is not a tenant id",
            ),
            (
                "[[group]]\nname = \"a\"\nmatch = { a = [2030-01-01] }",
                "b.toml:3: attributes are JSON",
            ),
            (
                "[[group]]\nname = \"a\"\n\nbake = \"soon\"",
                "b.toml:4: \"soon\" is no duration",
            ),
            (
                "[[group]]\nname = \"a\"\njobs = 0",
                "b.toml:3: invalid value",
            ),
            (
                "[[group]]\nname = \"a\"\non_error = \"x\"",
                "b.toml:3: unknown variant `x`",
            ),
            (
                "[[group]]\nname = \"a\"\nmax_failures = 1",
                "b.toml:1: `max_failures` goes with",
            ),
            ("\n[[group]]\nname = \" \"", "b.toml:2: `name` is empty"),
            (
                "[[group]]\nname = \"a\"\ngate = \"\"",
                "b.toml:1: `gate` is empty",
            ),
            ("[[group]]\njobs = 1", "b.toml:1: missing field `name`"),
            (
                "[[group]]\nname = \"a\"\nmatch = [\"x\"]\n[[group]]\nname = \"a\"",
                "b.toml:4: two groups are called \"a\"",
            ),
            (
                "[[group]]\nname = \"a\"\n[[group]]\nname = \"b\"",
                "b.toml:1: group \"a\" has no `match`",
            ),
            (
                "[[group]]\nname = \"a\"\nmatch = [\"x\", \"y\", \"x\"]",
                "b.toml:1: tenant x is named twice",
            ),
        ] {
            let refusal = refusal(text);
            assert!(refusal.starts_with(expected), "{text}\n{refusal}");
        }
    }
}
