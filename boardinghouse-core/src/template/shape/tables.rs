//! Sequences, and tables with their columns.

use super::{Alter, Key, Maker, PartKind, bare, literals::option_names};
use crate::{
    catalog::tables::{Column, Sequence, Table},
    sql::Ident,
    template::build::identity_clause,
};

impl Maker<'_, '_> {
    pub(super) fn sequences(&mut self) {
        for sequence in &self.found.tables.sequences {
            if sequence.identity {
                continue;
            }
            let name = bare(&sequence.name);
            let unlogged = if sequence.unlogged { "UNLOGGED " } else { "" };
            let options = format!("AS {} {}", sequence.type_name, sequence.options);
            let make = format!("CREATE {unlogged}SEQUENCE {name} {options}");
            let alter = self.text(&format!("ALTER SEQUENCE {name} {options}"));
            let drop = format!("DROP SEQUENCE IF EXISTS {name}");
            let part = self.add(
                PartKind::Sequence,
                &sequence.name,
                &make,
                std::slice::from_ref(&make),
                &[drop],
            );
            part.alter = Alter::With(vec![alter]);
            part.address = Some(format!("SEQUENCE {name}"));
            let owner = sequence.table.zip(sequence.column);
            if let Some(column) = owner.and_then(|(table, column)| self.column_name(table, column))
            {
                let make = format!("ALTER SEQUENCE {name} OWNED BY {column}");
                let unmake = format!("ALTER SEQUENCE {name} OWNED BY NONE");
                let label = format!("{} owned by", sequence.name);
                // Said when the table is there.
                let part = self.set(PartKind::Owner, &label, &make, make.clone(), unmake);
                part.within = Some((PartKind::Sequence, sequence.name.clone()));
            }
        }
    }

    pub(super) fn column_name(&self, table: u32, number: i32) -> Option<String> {
        let mut columns = self.found.tables.columns.iter();
        let column = columns.find(|c| c.table == table && c.number == number)?;
        let table = self.tables.get(&table)?;
        Some(format!("{}.{}", bare(&table.name), bare(&column.name)))
    }

    pub(super) fn table(&mut self, table: &Table) {
        use PartKind as K;
        let name = bare(&table.name);
        let itself = Some((K::Table, table.name.clone()));
        let columns = self.found.tables.columns.iter();
        let columns: Vec<&Column> = columns.filter(|column| column.table == table.oid).collect();
        let names = columns.iter().map(|column| column.name.clone()).collect();
        self.shape.columns.insert(table.name.clone(), names);

        let of_type = table
            .of_type
            .as_ref()
            .map(|of| format!(" OF {of}"))
            .unwrap_or_default();
        let mut tail = String::new();
        if let Some(key) = &table.partition_key {
            tail.push_str(&format!(" PARTITION BY {key}"));
        }
        if let Some(method) = &table.access_method {
            tail.push_str(&format!(" USING {}", Ident(method)));
        }
        if let Some(space) = &table.tablespace {
            tail.push_str(&format!(" TABLESPACE {}", Ident(space)));
        }
        let list: Vec<String> = columns
            .iter()
            .map(|column| self.column_text(table, column))
            .collect();
        let unlogged = if table.unlogged { "UNLOGGED " } else { "" };
        let make = format!(
            "CREATE {unlogged}TABLE {name}{of_type} ({}){tail}",
            list.join(", ")
        );
        let drop = format!("DROP TABLE IF EXISTS {name}");
        let part = self.add(
            K::Table,
            &table.name,
            &format!("TABLE {name}{of_type}{tail}"),
            &[make],
            &[drop],
        );
        part.alter = Alter::ByHand;
        part.address = Some(format!("TABLE {name}"));

        let alter = format!("ALTER TABLE {name}");
        if table.unlogged {
            let part = self.set(
                K::Storage,
                &format!("{} logging", table.name),
                "UNLOGGED",
                format!("{alter} SET UNLOGGED"),
                format!("{alter} SET LOGGED"),
            );
            part.within.clone_from(&itself);
            part.inline = true;
        }
        if let Some(options) = &table.options {
            self.options(&table.name, &alter, options, itself.clone());
        }
        let parents = self
            .found
            .tables
            .parents
            .iter()
            .filter(|p| p.child == table.oid);
        let parents: Vec<String> = parents
            .filter_map(|p| self.tables.get(&p.parent))
            .map(|p| bare(&p.name))
            .collect();
        if !parents.is_empty() {
            let parents = parents.join(", ");
            let (make, unmake) = match &table.bound {
                Some(bound) => (
                    format!("ALTER TABLE {parents} ATTACH PARTITION {name} {bound}"),
                    format!("ALTER TABLE {parents} DETACH PARTITION {name}"),
                ),
                None => (
                    format!("{alter} INHERIT {parents}"),
                    format!("{alter} NO INHERIT {parents}"),
                ),
            };
            let part = self.add(
                K::Inheritance,
                &table.name,
                &make,
                std::slice::from_ref(&make),
                &[unmake],
            );
            part.within.clone_from(&itself);
        }
        for (is, word) in [
            (table.row_security, "ENABLE ROW LEVEL SECURITY"),
            (table.forced_row_security, "FORCE ROW LEVEL SECURITY"),
        ] {
            if is {
                let not = match word.starts_with("ENABLE") {
                    true => "DISABLE ROW LEVEL SECURITY",
                    false => "NO FORCE ROW LEVEL SECURITY",
                };
                let forced = if word.starts_with("FORCE") {
                    " forced"
                } else {
                    ""
                };
                let part = self.set(
                    K::RowSecurity,
                    &format!("{}{forced}", table.name),
                    word,
                    format!("{alter} {word}"),
                    format!("{alter} {not}"),
                );
                part.within.clone_from(&itself);
            }
        }
        let mut indexes = self.found.tables.indexes.iter();
        let identity = match table.replica_identity.as_str() {
            "f" => Some("FULL".to_owned()),
            "n" => Some("NOTHING".to_owned()),
            "i" => indexes
                .find(|index| index.table == table.oid && index.replica_identity)
                .map(|index| format!("USING INDEX {}", bare(&index.name))),
            _ => None,
        };
        if let Some(identity) = identity {
            let label = format!("{} replica identity", table.name);
            let make = format!("{alter} REPLICA IDENTITY {identity}");
            let unmake = format!("{alter} REPLICA IDENTITY DEFAULT");
            self.set(K::Storage, &label, &identity, make, unmake).within = itself;
        }
        for column in columns {
            self.column(table, column, &alter);
        }
    }

    /// Options that one statement sets and another one resets.
    pub(super) fn options(&mut self, name: &str, alter: &str, options: &str, within: Option<Key>) {
        let names = option_names(options).join(", ");
        let make = format!("{alter} SET ({options})");
        let unmake = format!("{alter} RESET ({names})");
        let label = format!("{name} options");
        self.add(PartKind::Storage, &label, options, &[make], &[unmake])
            .within = within;
    }

    pub(super) fn identity_of(&self, table: &Table, column: &Column) -> Option<&Sequence> {
        self.found.tables.sequences.iter().find(|sequence| {
            sequence.identity
                && sequence.table == Some(table.oid)
                && sequence.column == Some(column.number)
        })
    }

    /// Everything that is said about a column where its table is created, but its default.
    pub(super) fn column_text(&self, table: &Table, column: &Column) -> String {
        let mut text = format!("{} {}", bare(&column.name), column_type(column));
        if let Some(sequence) = self.identity_of(table, column) {
            let name = bare(&sequence.name);
            text.push_str(&format!(" {}", identity_clause(column, sequence, &name)));
        }
        if column.not_null && !self.found.tables.not_null_is_a_constraint {
            text.push_str(" NOT NULL");
        }
        text
    }

    pub(super) fn column(&mut self, table: &Table, column: &Column, alter: &str) {
        use PartKind as K;
        let name = bare(&column.name);
        let label = format!("{}.{}", table.name, column.name);
        let kind = column_type(column);
        let local = if column.local { "" } else { " (inherited)" };
        let make = format!("{alter} ADD COLUMN {}", self.column_text(table, column));
        let drop = format!("{alter} DROP COLUMN IF EXISTS {name}");
        let collation = column.collation.as_ref().map(|c| format!(" COLLATE {c}"));
        let retype = self.text(&format!(
            "{alter} ALTER COLUMN {name} TYPE {}{} USING {name}::{}",
            column.type_name,
            collation.unwrap_or_default(),
            column.type_name
        ));
        let part = self.add(
            K::Column,
            &label,
            &format!("{kind}{local}"),
            &[make],
            &[drop],
        );
        part.within = Some((K::Table, table.name.clone()));
        part.inline = true;
        part.alter = match column.generated.is_empty() && column.local {
            true => Alter::With(vec![retype]),
            false => Alter::ByHand,
        };
        let within = Some((K::Column, label.clone()));
        let column_alter = format!("{alter} ALTER COLUMN {name}");
        if column.not_null && !self.found.tables.not_null_is_a_constraint {
            let part = self.set(
                K::Nullability,
                &label,
                "NOT NULL",
                format!("{column_alter} SET NOT NULL"),
                format!("{column_alter} DROP NOT NULL"),
            );
            part.within.clone_from(&within);
            part.inline = true;
        }
        if let (Some(expression), true) = (&column.expression, column.generated.is_empty()) {
            let make = format!("{column_alter} SET DEFAULT {expression}");
            let unmake = format!("{column_alter} DROP DEFAULT");
            self.set(K::Default, &label, expression, make, unmake)
                .within
                .clone_from(&within);
        }
        if let Some(sequence) = self.identity_of(table, column) {
            let text = identity_clause(column, sequence, &bare(&sequence.name));
            let always = if column.identity == "a" {
                "ALWAYS"
            } else {
                "BY DEFAULT"
            };
            let change = [
                format!("{column_alter} SET GENERATED {always}"),
                format!(
                    "ALTER SEQUENCE {} {}",
                    bare(&sequence.name),
                    sequence.options
                ),
            ];
            let make = format!("{column_alter} ADD {text}");
            let unmake = format!("{column_alter} DROP IDENTITY IF EXISTS");
            let change = self.texts(&change);
            let part = self.add(K::Identity, &label, &text, &[make], &[unmake]);
            part.within.clone_from(&within);
            part.inline = true;
            part.alter = Alter::With(change);
        }
        self.column_settings(&label, column, &column_alter, within);
    }

    pub(super) fn column_settings(
        &mut self,
        label: &str,
        column: &Column,
        alter: &str,
        within: Option<Key>,
    ) {
        use PartKind as K;
        let storage = |letter: &str| match letter {
            "p" => "PLAIN",
            "e" => "EXTERNAL",
            "m" => "MAIN",
            _ => "EXTENDED",
        };
        if column.storage != column.storage_of_type {
            let name = format!("{label} storage");
            let definition = storage(&column.storage);
            let make = format!("{alter} SET STORAGE {definition}");
            let unmake = format!("{alter} SET STORAGE {}", storage(&column.storage_of_type));
            self.set(K::Storage, &name, definition, make, unmake)
                .within
                .clone_from(&within);
        }
        if let Some(compression) = &column.compression {
            let method = match compression.as_str() {
                "p" => "pglz",
                "l" => "lz4",
                other => other,
            };
            let name = format!("{label} compression");
            let make = format!("{alter} SET COMPRESSION {method}");
            let unmake = format!("{alter} SET COMPRESSION default");
            self.set(K::Storage, &name, method, make, unmake)
                .within
                .clone_from(&within);
        }
        if let Some(target) = column.statistics {
            let make = format!("{alter} SET STATISTICS {target}");
            let unmake = format!("{alter} SET STATISTICS -1");
            self.set(K::Statistics, label, &target.to_string(), make, unmake)
                .within
                .clone_from(&within);
        }
        if let Some(options) = &column.options {
            self.options(label, alter, options, within);
        }
    }
}

pub(super) fn column_type(column: &Column) -> String {
    let mut text = column.type_name.clone();
    if let Some(collation) = &column.collation {
        text.push_str(&format!(" COLLATE {collation}"));
    }
    if let (Some(expression), false) = (&column.expression, column.generated.is_empty()) {
        let kind = if column.generated == "v" {
            "VIRTUAL"
        } else {
            "STORED"
        };
        text.push_str(&format!(" GENERATED ALWAYS AS ({expression}) {kind}"));
    }
    text
}
