//! Owners, privileges and comments.

use super::{Maker, PartKind, Text};
use crate::{
    catalog::address::Privilege,
    sql::Literal,
    template::{build, text::Piece},
};

impl Maker<'_, '_> {
    /// Owners, privileges and comments.
    pub(super) fn about(&mut self) {
        use PartKind as K;
        let found = &self.found.addresses;
        let schema = &found.schema;
        let role = &schema.role;
        let here =
            |head: String, tail: String| vec![Piece::Text(head), Piece::Schema, Piece::Text(tail)];
        if schema.owner != *role {
            let part = self.set(
                K::Owner,
                "schema",
                &schema.owner,
                String::new(),
                String::new(),
            );
            part.make = vec![here(
                "ALTER SCHEMA ".into(),
                format!(" OWNER TO {}", schema.owner),
            )];
            part.unmake = vec![here("ALTER SCHEMA ".into(), format!(" OWNER TO {role}"))];
        }
        for owned in &found.owned {
            let make = format!("ALTER {} OWNER TO {}", owned.object, owned.owner);
            let unmake = format!("ALTER {} OWNER TO {role}", owned.object);
            let part = self.set(K::Owner, &owned.object, &owned.owner, make, unmake);
            part.about = Some(owned.object.clone());
        }
        for privilege in &found.privileges {
            self.privilege(privilege, role);
        }
        for default in &found.default_privileges {
            let head = format!(
                "ALTER DEFAULT PRIVILEGES FOR ROLE {} IN SCHEMA ",
                default.role
            );
            let grant = default
                .grant
                .strip_suffix(" WITH GRANT OPTION")
                .unwrap_or(&default.grant);
            let revoke = grant
                .replacen("GRANT ", "REVOKE ", 1)
                .replacen(" TO ", " FROM ", 1);
            let name = format!("default for role {}: {}", default.role, default.grant);
            let part = self.set(
                K::Privilege,
                &name,
                &default.grant,
                String::new(),
                String::new(),
            );
            part.make = vec![here(head.clone(), format!(" {}", default.grant))];
            part.unmake = vec![here(head, format!(" {revoke}"))];
        }
        for comment in &found.comments {
            let literal = Literal(&comment.text).to_string();
            let part = self.set(
                K::Comment,
                &comment.object,
                "",
                String::new(),
                String::new(),
            );
            part.definition = vec![Piece::Text(literal.trim_start().to_owned())];
            let (make, unmake) = match comment.object.as_str() {
                "SCHEMA" => (
                    here("COMMENT ON SCHEMA ".into(), format!(" IS {literal}")),
                    here("COMMENT ON SCHEMA ".into(), " IS NULL".into()),
                ),
                object => (
                    vec![Piece::Text(format!("COMMENT ON {object} IS {literal}"))],
                    vec![Piece::Text(format!("COMMENT ON {object} IS NULL"))],
                ),
            };
            part.make = vec![make];
            part.unmake = vec![unmake];
            part.about = Some(comment.object.clone());
        }
    }

    pub(super) fn privilege(&mut self, privilege: &Privilege, role: &str) {
        let Privilege {
            object,
            column,
            grantee,
            ..
        } = privilege;
        let what = format!("{}{column}", privilege.privilege);
        let by = match privilege.grantor.as_str() {
            "" => String::new(),
            grantor => format!(" by {grantor}"),
        };
        let label = format!("{what} on {object} to {grantee}{by}");
        let option = if privilege.grantable {
            " WITH GRANT OPTION"
        } else {
            ""
        };
        let on = build::grantable_name(object);
        let as_grantor = |sql: Text| {
            let mut text = sql;
            if !privilege.grantor.is_empty() {
                text.insert(
                    0,
                    Piece::Text(format!("SET LOCAL ROLE {};\n", privilege.grantor)),
                );
                text.push(Piece::Text(format!(";\nSET LOCAL ROLE {role}")));
            }
            text
        };
        let statement = |head: &str, tail: &str| {
            let mut text = vec![Piece::Text(format!("{head} ON {on}"))];
            if object == "SCHEMA" {
                text.push(Piece::Schema);
            }
            text.push(Piece::Text(tail.to_owned()));
            as_grantor(text)
        };
        let grant = statement(&format!("GRANT {what}"), &format!(" TO {grantee}{option}"));
        let revoke = statement(&format!("REVOKE {what}"), &format!(" FROM {grantee}"));
        let (definition, make, unmake) = match privilege.revoked {
            true => (format!("REVOKE {what}"), revoke, grant),
            false => (format!("GRANT {what}{option}"), grant, revoke),
        };
        let part = self.add(PartKind::Privilege, &label, &definition, &[], &[]);
        part.make = vec![make];
        part.unmake = vec![unmake];
        part.about = Some(object.clone());
    }
}
