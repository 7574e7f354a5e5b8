//! What the server has put together itself, and routines.

use super::{Alter, Key, Maker, PartKind, bare, literals::literals};
use crate::{catalog::define::Defined, sql::Literal, template::text::Piece};

impl Maker<'_, '_> {
    pub(super) fn defined(&mut self) {
        use PartKind as K;
        let d = &self.found.defines;
        let by_hand: [(&[Defined], K); 13] = [
            (&d.collations, K::Collation),
            (&d.operators, K::Operator),
            (&d.families, K::Operator),
            (&d.classes, K::Operator),
            (&d.loose, K::Operator),
            (&d.casts, K::Cast),
            (&d.conversions, K::Conversion),
            (&d.parsers, K::TextSearch),
            (&d.templates, K::TextSearch),
            (&d.dictionaries, K::TextSearch),
            (&d.configurations, K::TextSearch),
            (&d.mappings, K::TextSearch),
            (&d.ranges, K::Type),
        ];
        for (all, kind) in by_hand {
            for one in all {
                // What it is, in the words of its statement, tells those of one name apart.
                let words: Vec<&str> = one.sql.split_whitespace().skip(1).take(3).collect();
                let what = words.join(" ").to_lowercase();
                let name = match kind {
                    K::Type => one.name.clone(),
                    _ => format!("{} ({what})", one.name),
                };
                let part = self.add(kind, &name, &one.sql, std::slice::from_ref(&one.sql), &[]);
                part.alter = Alter::ByHand;
            }
        }
        for one in &d.enums {
            let name = bare(&one.name);
            let drop = format!("DROP TYPE IF EXISTS {name}");
            let labels = literals(&one.sql);
            let part = self.add(
                K::Type,
                &one.name,
                &one.sql,
                std::slice::from_ref(&one.sql),
                &[drop],
            );
            part.alter = Alter::Labels(labels);
            part.address = Some(format!("TYPE {name}"));
        }
        for (all, word) in [(&d.composites, "TYPE"), (&d.domains, "DOMAIN")] {
            for one in all {
                let address = format!("{word} {}", bare(&one.name));
                let drop = format!("DROP {word} IF EXISTS {}", bare(&one.name));
                let part = self.add(
                    K::Type,
                    &one.name,
                    &one.sql,
                    std::slice::from_ref(&one.sql),
                    &[drop],
                );
                part.alter = Alter::ByHand;
                part.address = Some(address);
            }
        }
        for one in &d.aggregates {
            let drop = format!("DROP AGGREGATE IF EXISTS {}", star(&one.name));
            self.add(
                K::Function,
                &one.name,
                &one.sql,
                std::slice::from_ref(&one.sql),
                &[drop],
            );
        }
        for one in &d.statistics {
            let address = format!("STATISTICS {}", bare(&one.name));
            let drop = format!(
                "DROP {}",
                address.replacen("STATISTICS", "STATISTICS IF EXISTS", 1)
            );
            self.add(
                K::Statistics,
                &one.name,
                &one.sql,
                std::slice::from_ref(&one.sql),
                &[drop],
            )
            .address = Some(address);
        }
        for one in &d.statistics_targets {
            let address = format!("STATISTICS {}", bare(&one.name));
            let name = format!("{} target", one.name);
            let unmake = format!("ALTER {address} SET STATISTICS -1");
            let part = self.set(K::Statistics, &name, &one.sql, one.sql.clone(), unmake);
            part.within = Some((K::Statistics, one.name.clone()));
            part.about = Some(address);
        }
        let of_relations: [(&[Defined], K, &str); 3] = [
            (&d.triggers, K::Trigger, "TRIGGER"),
            (&d.rules, K::Rule, "RULE"),
            (&d.policies, K::Policy, "POLICY"),
        ];
        for (all, kind, word) in of_relations {
            for one in all {
                let Some((relation, name)) = self.of_relation(&one.name) else {
                    continue;
                };
                let address = format!("{word} {} ON {}", bare(&name), bare(&relation));
                let drop = format!(
                    "DROP {word} IF EXISTS {} ON {}",
                    bare(&name),
                    bare(&relation)
                );
                let within = self.relation(&relation);
                let label = format!("{name} on {relation}");
                let part = self.add(
                    kind,
                    &label,
                    &one.sql,
                    std::slice::from_ref(&one.sql),
                    &[drop],
                );
                part.within = within;
                part.address = Some(address);
            }
        }
        for (all, word) in [(&d.trigger_states, "TRIGGER"), (&d.rule_states, "RULE")] {
            for one in all {
                let Some((relation, name)) = self.of_relation(&one.name) else {
                    continue;
                };
                let label = format!("{} {name} on {relation}", word.to_lowercase());
                let enable = format!(
                    "ALTER TABLE {} ENABLE {word} {}",
                    bare(&relation),
                    bare(&name)
                );
                let within = self.relation(&relation);
                let part = self.set(K::State, &label, &one.sql, one.sql.clone(), enable);
                part.within = within;
                part.about = Some(format!("{word} {} ON {}", bare(&name), bare(&relation)));
            }
        }
    }

    /// The relation and the rest of a name that begins with a relation's.
    pub(super) fn of_relation(&self, name: &str) -> Option<(String, String)> {
        let tables = self.found.tables.tables.iter().map(|t| t.name.as_str());
        let views = self.found.defines.views.iter().map(|v| v.name.as_str());
        let longest = tables
            .chain(views)
            .filter(|relation| {
                name.strip_prefix(relation)
                    .is_some_and(|rest| rest.starts_with(' '))
            })
            .max_by_key(|relation| relation.len())?;
        Some((longest.to_owned(), name[longest.len() + 1..].to_owned()))
    }

    /// The part that is a table or view.
    pub(super) fn relation(&self, name: &str) -> Option<Key> {
        let kinds = [PartKind::Table, PartKind::View, PartKind::MaterializedView];
        if self
            .found
            .tables
            .tables
            .iter()
            .any(|table| table.name == name)
        {
            return Some((PartKind::Table, name.to_owned()));
        }
        let view = self
            .found
            .defines
            .views
            .iter()
            .find(|view| view.name == name)?;
        Some((
            kinds[if view.materialized { 2 } else { 1 }],
            name.to_owned(),
        ))
    }

    pub(super) fn routines(&mut self) {
        for routine in &self.found.defines.routines {
            let object = format!("function {}", routine.name);
            let mut text = self.text(&routine.head);
            for setting in &routine.settings {
                if let Some((name, value)) = setting.split_once('=') {
                    text.extend(self.mentions.in_setting(&object, name, value));
                }
            }
            match (&routine.parsed_body, &routine.file) {
                (Some(body), _) => text.extend(self.text(&format!(" {body}"))),
                (None, Some(file)) => text.push(Piece::Text(format!(
                    " AS {}, {}",
                    Literal(file),
                    Literal(&routine.body)
                ))),
                (None, None) => {
                    text.push(Piece::Text(" AS ".to_owned()));
                    let body = self.mentions.in_body(
                        &object,
                        &routine.bare_name,
                        &routine.language,
                        &routine.body,
                    );
                    text.push(Piece::Quoted(body));
                }
            }
            let mut make = text.clone();
            if let Some(Piece::Text(head)) = make.first_mut()
                && let Some(rest) = head.strip_prefix("CREATE ")
            {
                *head = format!("CREATE OR REPLACE {rest}");
            }
            let result = routine.head.split(" LANGUAGE ").next().unwrap_or_default();
            let procedure = routine.head.starts_with("CREATE PROCEDURE");
            let word = if procedure { "PROCEDURE" } else { "FUNCTION" };
            let drop = format!("DROP {word} IF EXISTS {}", routine.name);
            let address = format!("{word} {}", routine.name);
            let part = self.add(PartKind::Function, &routine.name, "", &[], &[drop]);
            part.definition = text;
            part.make = vec![make];
            part.alter = Alter::Replace(result.to_owned());
            part.address = Some(address);
        }
    }
}

/// The arguments of an aggregate without any are a star.
pub(super) fn star(name: &str) -> String {
    name.replace("()", "(*)")
}
