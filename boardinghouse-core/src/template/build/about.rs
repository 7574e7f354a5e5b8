//! Whose the objects are, who may use them, and what is said about them.

use std::collections::HashSet;

use super::{Builder, phase};
use crate::{
    catalog::address::Privilege,
    sql::Literal,
    template::{
        graph::{Draft, Fragment, Statement, draft},
        plan::ObjectKind,
    },
};

impl Builder<'_> {
    pub(super) fn addresses(&mut self) {
        let found = &self.found.addresses;
        for owned in &found.owned {
            let sql = format!("ALTER {} OWNER TO {}", owned.object, owned.owner);
            let statement = Statement::Draft(draft(sql));
            self.node(
                ObjectKind::Owner,
                phase::OWNER,
                &owned.object,
                statement,
                Vec::new(),
            );
        }
        self.privileges();
        for default in &found.default_privileges {
            let statement = Statement::Draft(vec![
                Fragment::Expression(format!(
                    "ALTER DEFAULT PRIVILEGES FOR ROLE {} IN SCHEMA ",
                    default.role
                )),
                Fragment::Schema,
                Fragment::Expression(format!(" {}", default.grant)),
            ]);
            let kind = ObjectKind::Privilege;
            self.node(kind, phase::PRIVILEGE, "~", statement, Vec::new());
        }
        let late: HashSet<String> = self
            .found
            .tables
            .constraints
            .iter()
            .filter(|constraint| constraint.kind == "f")
            .filter(|constraint| !self.tables.contains_key(&constraint.foreign_table))
            .filter_map(|constraint| {
                let table = self.tables.get(&constraint.table?)?;
                Some((constraint, *table))
            })
            .map(|(constraint, table)| {
                let (name, table) = (unquoted(&constraint.name), unquoted(&table.name));
                format!("CONSTRAINT {name} ON {table}")
            })
            .collect();
        for comment in &found.comments {
            let mut text = draft(format!("COMMENT ON {}", comment.object));
            if comment.object == "SCHEMA" {
                text.push(Fragment::Expression(" ".to_owned()));
                text.push(Fragment::Schema);
            }
            text.push(Fragment::Data(format!(" IS {}", Literal(&comment.text))));
            let phase = match late.contains(&unquoted(&comment.object)) {
                true => phase::LAST_COMMENT,
                false => phase::COMMENT,
            };
            let statement = Statement::Draft(text);
            self.node(
                ObjectKind::Comment,
                phase,
                &comment.object,
                statement,
                Vec::new(),
            );
        }
    }

    /// One statement for all that one role gets of an object.
    pub(super) fn privileges(&mut self) {
        let role = self.found.addresses.schema.role.clone();
        let same = |one: &Privilege, other: &Privilege| {
            (
                &one.object,
                &one.column,
                one.revoked,
                &one.grantor,
                &one.grantee,
                one.grantable,
            ) == (
                &other.object,
                &other.column,
                other.revoked,
                &other.grantor,
                &other.grantee,
                other.grantable,
            )
        };
        let groups = self.found.addresses.privileges.chunk_by(same);
        for (position, group) in groups.enumerate() {
            let Some(one) = group.first() else { continue };
            let names: Vec<String> = group
                .iter()
                .map(|one| format!("{}{}", one.privilege, one.column))
                .collect();
            let (verb, to, option) = match (one.revoked, one.grantable) {
                (true, _) => ("REVOKE", "FROM", ""),
                (false, true) => ("GRANT", "TO", " WITH GRANT OPTION"),
                (false, false) => ("GRANT", "TO", ""),
            };
            let mut text: Draft = Vec::new();
            if !one.grantor.is_empty() {
                text.push(Fragment::Data(format!("SET LOCAL ROLE {};\n", one.grantor)));
            }
            text.push(Fragment::Data(format!(
                "{verb} {} ON {}",
                names.join(", "),
                grantable_name(&one.object)
            )));
            let mut phase = phase::PRIVILEGE;
            if one.object == "SCHEMA" {
                text.push(Fragment::Schema);
                phase = phase::PRIVILEGE_OF_SCHEMA;
            }
            text.push(Fragment::Data(format!(" {to} {}{option}", one.grantee)));
            if !one.grantor.is_empty() {
                text.push(Fragment::Data(format!(";\nSET LOCAL ROLE {role}")));
            }
            let statement = Statement::Draft(text);
            let name = format!("{position:09}");
            self.node(ObjectKind::Privilege, phase, &name, statement, Vec::new());
        }
    }
}

/// GRANT knows fewer kinds than other statements do.
pub(in crate::template) fn grantable_name(object: &str) -> String {
    if object == "SCHEMA" {
        return "SCHEMA ".to_owned();
    }
    for view in ["VIEW ", "MATERIALIZED VIEW "] {
        if let Some(name) = object.strip_prefix(view) {
            return format!("TABLE {name}");
        }
    }
    match object.strip_prefix("AGGREGATE ") {
        Some(name) => {
            let name = name.replace("(*)", "()");
            let name = name.replace("(ORDER BY ", "(").replace(" ORDER BY ", ", ");
            format!("FUNCTION {name}")
        }
        None => object.to_owned(),
    }
}

/// What the server quotes only where it must, without quotes.
fn unquoted(object: &str) -> String {
    object.replace('"', "")
}
