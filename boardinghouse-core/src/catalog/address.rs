//! How the members of a schema are named in statements about them, and what such statements say:
//! whose they are, who may use them, what is said about them.
//!
//! Read under the same path as [`define`](super::define).

use diesel::{
    PgConnection, QueryableByName, RunQueryDsl, sql_query,
    sql_types::{Array, Bool, Oid, Text},
};

use super::Members;
use crate::error::{Error, Result};

/// An object that is not owned by the role that reads.
#[derive(Debug, QueryableByName)]
pub(crate) struct Owned {
    /// `TABLE "notes"`.
    #[diesel(sql_type = Text)]
    pub(crate) object: String,
    #[diesel(sql_type = Text)]
    pub(crate) owner: String,
    /// Whether who reads this can give something to that owner.
    #[diesel(sql_type = Bool)]
    pub(crate) can_give: bool,
}

/// An object that only another role could create anew.
#[derive(Debug, QueryableByName)]
pub(crate) struct NotOurs {
    #[diesel(sql_type = Text)]
    object: String,
    #[diesel(sql_type = Text)]
    why: String,
}

/// What is said about an object.
#[derive(Debug, QueryableByName)]
pub(crate) struct Comment {
    #[diesel(sql_type = Text)]
    pub(crate) object: String,
    #[diesel(sql_type = Text)]
    pub(crate) text: String,
}

/// A privilege that is to be granted, or revoked where the server grants it by itself.
#[derive(Debug, QueryableByName)]
pub(crate) struct Privilege {
    /// `TABLE "notes"`; of the schema itself, only `SCHEMA`.
    #[diesel(sql_type = Text)]
    pub(crate) object: String,
    /// What it is about: all of it, or a column, as ` ("name")`.
    #[diesel(sql_type = Text)]
    pub(crate) column: String,
    #[diesel(sql_type = Bool)]
    pub(crate) revoked: bool,
    /// Quoted; nothing where it is the owner.
    #[diesel(sql_type = Text)]
    pub(crate) grantor: String,
    #[diesel(sql_type = Text)]
    pub(crate) grantee: String,
    #[diesel(sql_type = Text)]
    pub(crate) privilege: String,
    #[diesel(sql_type = Bool)]
    pub(crate) grantable: bool,
}

/// Who may use what will be created in the schema.
#[derive(Debug, QueryableByName)]
pub(crate) struct DefaultPrivilege {
    /// From `GRANT` on.
    #[diesel(sql_type = Text)]
    pub(crate) grant: String,
    #[diesel(sql_type = Text)]
    pub(crate) role: String,
}

#[derive(Debug, QueryableByName)]
pub(crate) struct SchemaItself {
    #[diesel(sql_type = Text)]
    pub(crate) owner: String,
    /// Quoted.
    #[diesel(sql_type = Text)]
    pub(crate) role: String,
    #[diesel(sql_type = Bool)]
    pub(crate) can_give: bool,
}

/// What can be said about the members.
#[derive(Debug)]
pub(crate) struct Addresses {
    pub(crate) schema: SchemaItself,
    pub(crate) owned: Vec<Owned>,
    pub(crate) not_ours: Vec<NotOurs>,
    pub(crate) comments: Vec<Comment>,
    pub(crate) privileges: Vec<Privilege>,
    pub(crate) default_privileges: Vec<DefaultPrivilege>,
}

impl Addresses {
    /// One line for each object whose clone the role could not create, or not give to its owner.
    pub(crate) fn not_allowed(&self) -> Vec<String> {
        let schema = &self.schema;
        let itself = (!schema.can_give).then_some(("the schema itself", &schema.owner));
        let objects = self.owned.iter().filter(|owned| !owned.can_give);
        objects
            .map(|owned| (owned.object.as_str(), &owned.owner))
            .chain(itself)
            .map(|(object, owner)| {
                format!(
                    "{object}: belongs to {owner}, to whom {} cannot give a clone of it",
                    schema.role
                )
            })
            .chain(self.not_ours.iter().map(|one| {
                format!(
                    "{}: {}, which {} cannot create",
                    one.object, one.why, schema.role
                )
            }))
            .collect()
    }
}

/// Reads what there is to say about the members.
pub(crate) fn read(conn: &mut PgConnection, schema: u32, members: &Members) -> Result<Addresses> {
    let failed = |error| Error::database("read owners, privileges and comments", error);
    let (classes, oids): (Vec<&str>, Vec<u32>) = members
        .list
        .iter()
        .map(|member| (member.class.as_str(), member.oid))
        .unzip();
    macro_rules! load {
        ($tail:expr) => {
            sql_query(format!("{ADDRESSES}{}", $tail))
                .bind::<Array<Text>, _>(&classes)
                .bind::<Array<Oid>, _>(&oids)
                .bind::<Oid, _>(schema)
                .load(conn)
                .map_err(failed)?
        };
    }
    Ok(Addresses {
        schema: sql_query(SCHEMA.replace("{give}", GIVE))
            .bind::<Oid, _>(schema)
            .get_result(conn)
            .map_err(failed)?,
        owned: load!(OWNED.replace("{give}", GIVE)),
        not_ours: load!(NOT_OURS),
        comments: load!(COMMENTS),
        privileges: load!(PRIVILEGES),
        default_privileges: sql_query(DEFAULT_PRIVILEGES)
            .bind::<Oid, _>(schema)
            .load(conn)
            .map_err(failed)?,
    })
}

const SCHEMA: &str = "
    SELECT pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(n.nspowner)) AS owner,
           pg_catalog.quote_ident(current_user) AS role,
           pg_catalog.pg_has_role(n.nspowner, {give}) AS can_give
    FROM pg_catalog.pg_namespace n WHERE n.oid = $1";

/// Every member by its catalog (`$1`) and oid (`$2`): the words and the name by which a statement
/// calls it, whether it has an owner of its own, and its list of privileges with the letter of its
/// kind (PostgreSQL manual, 5.8 "Privileges"). `$3` is the schema.
const ADDRESSES: &str = r#"
    WITH member AS (
        SELECT m.class::pg_catalog.regclass::pg_catalog.oid AS class, m.oid
        FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)) AS m (class, oid)
    ), address (class, oid, object, owner, acl_kind, acl) AS (
        SELECT m.class, m.oid,
            CASE c.relkind WHEN 'S' THEN 'SEQUENCE' WHEN 'v' THEN 'VIEW'
                WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'i' THEN 'INDEX' WHEN 'I' THEN 'INDEX'
                WHEN 'c' THEN 'TYPE' ELSE 'TABLE' END || ' ' || pg_catalog.quote_ident(c.relname),
            CASE WHEN c.relkind IN ('r', 'p', 'v', 'm') OR c.relkind = 'S' AND NOT EXISTS (
                SELECT FROM pg_catalog.pg_depend d
                WHERE d.classid = m.class AND d.objid = c.oid AND d.deptype IN ('a', 'i')
                  AND d.refclassid = m.class) THEN c.relowner END,
            CASE WHEN c.relkind = 'S' THEN 's' WHEN c.relkind IN ('r', 'p', 'v', 'm') THEN 'r' END,
            c.relacl
        FROM member m JOIN pg_catalog.pg_class c ON c.oid = m.oid
        WHERE m.class = 'pg_catalog.pg_class'::pg_catalog.regclass AND c.relkind <> 't'
      UNION ALL
        SELECT m.class, m.oid, CASE p.prokind WHEN 'p' THEN 'PROCEDURE ' WHEN 'a' THEN 'AGGREGATE '
                ELSE 'FUNCTION ' END || pg_catalog.quote_ident(p.proname) || '('
            || CASE WHEN p.prokind = 'a' AND p.pronargs = 0 THEN '*'
                    ELSE pg_catalog.pg_get_function_identity_arguments(p.oid) END || ')',
            CASE WHEN NOT i.internal THEN p.proowner END,
            CASE WHEN NOT i.internal OR p.proacl IS NOT NULL THEN 'f' END, p.proacl
        FROM member m JOIN pg_catalog.pg_proc p ON p.oid = m.oid
        CROSS JOIN LATERAL (
            SELECT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = m.class
                           AND d.objid = p.oid AND d.deptype = 'i') AS internal) i
        WHERE m.class = 'pg_catalog.pg_proc'::pg_catalog.regclass
      UNION ALL
        SELECT m.class, m.oid, CASE t.typtype WHEN 'd' THEN 'DOMAIN ' ELSE 'TYPE ' END
            || pg_catalog.quote_ident(t.typname),
            CASE WHEN t.typtype IN ('e', 'd', 'r') OR c.relkind = 'c' THEN t.typowner END, 'T', t.typacl
        FROM member m JOIN pg_catalog.pg_type t ON t.oid = m.oid
        LEFT JOIN pg_catalog.pg_class c ON c.oid = t.typrelid
        WHERE m.class = 'pg_catalog.pg_type'::pg_catalog.regclass AND t.typtype <> 'b'
          AND (t.typrelid = 0 OR c.relkind = 'c' OR t.typacl IS NOT NULL OR EXISTS (
              SELECT FROM pg_catalog.pg_description s WHERE s.classoid = m.class AND s.objoid = t.oid))
      UNION ALL
        SELECT m.class, m.oid, 'CONSTRAINT ' || pg_catalog.quote_ident(k.conname) || ' ON '
            || coalesce('DOMAIN ' || pg_catalog.quote_ident(t.typname), pg_catalog.quote_ident(c.relname)),
            NULL, NULL, NULL
        FROM member m JOIN pg_catalog.pg_constraint k ON k.oid = m.oid
        LEFT JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
        LEFT JOIN pg_catalog.pg_type t ON t.oid = k.contypid
        WHERE m.class = 'pg_catalog.pg_constraint'::pg_catalog.regclass
      UNION ALL
        SELECT m.class, m.oid, 'TRIGGER ' || pg_catalog.quote_ident(t.tgname) || ' ON '
            || pg_catalog.quote_ident(c.relname), NULL, NULL, NULL
        FROM member m JOIN pg_catalog.pg_trigger t ON t.oid = m.oid
         AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint k
                         WHERE k.oid = t.tgconstraint AND k.contype <> 't')
        JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid
        WHERE m.class = 'pg_catalog.pg_trigger'::pg_catalog.regclass
      UNION ALL
        SELECT m.class, m.oid, 'RULE ' || pg_catalog.quote_ident(r.rulename) || ' ON '
            || pg_catalog.quote_ident(c.relname), NULL, NULL, NULL
        FROM member m JOIN pg_catalog.pg_rewrite r ON r.oid = m.oid
        JOIN pg_catalog.pg_class c ON c.oid = r.ev_class
        WHERE m.class = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
      UNION ALL
        SELECT m.class, m.oid, 'POLICY ' || pg_catalog.quote_ident(p.polname) || ' ON '
            || pg_catalog.quote_ident(c.relname), NULL, NULL, NULL
        FROM member m JOIN pg_catalog.pg_policy p ON p.oid = m.oid
        JOIN pg_catalog.pg_class c ON c.oid = p.polrelid
        WHERE m.class = 'pg_catalog.pg_policy'::pg_catalog.regclass
      UNION ALL
        SELECT m.class, m.oid, 'OPERATOR ' || o.oid::pg_catalog.regoperator::pg_catalog.text,
            o.oprowner, NULL, NULL
        FROM member m JOIN pg_catalog.pg_operator o ON o.oid = m.oid
        WHERE m.class = 'pg_catalog.pg_operator'::pg_catalog.regclass
      UNION ALL
        SELECT m.class, m.oid, 'OPERATOR CLASS ' || pg_catalog.quote_ident(o.opcname) || ' USING '
            || pg_catalog.quote_ident(a.amname), o.opcowner, NULL, NULL
        FROM member m JOIN pg_catalog.pg_opclass o ON o.oid = m.oid
        JOIN pg_catalog.pg_am a ON a.oid = o.opcmethod
        WHERE m.class = 'pg_catalog.pg_opclass'::pg_catalog.regclass
      UNION ALL
        SELECT m.class, m.oid, 'OPERATOR FAMILY ' || pg_catalog.quote_ident(o.opfname) || ' USING '
            || pg_catalog.quote_ident(a.amname), o.opfowner, NULL, NULL
        FROM member m JOIN pg_catalog.pg_opfamily o ON o.oid = m.oid
        JOIN pg_catalog.pg_am a ON a.oid = o.opfmethod
        WHERE m.class = 'pg_catalog.pg_opfamily'::pg_catalog.regclass
      UNION ALL
        SELECT m.class, m.oid, 'COLLATION ' || pg_catalog.quote_ident(c.collname),
            c.collowner, NULL, NULL
        FROM member m JOIN pg_catalog.pg_collation c ON c.oid = m.oid
        WHERE m.class = 'pg_catalog.pg_collation'::pg_catalog.regclass
      UNION ALL
        SELECT m.class, m.oid, 'CONVERSION ' || pg_catalog.quote_ident(c.conname),
            c.conowner, NULL, NULL
        FROM member m JOIN pg_catalog.pg_conversion c ON c.oid = m.oid
        WHERE m.class = 'pg_catalog.pg_conversion'::pg_catalog.regclass
      UNION ALL
        SELECT m.class, m.oid, 'STATISTICS ' || pg_catalog.quote_ident(s.stxname),
            s.stxowner, NULL, NULL
        FROM member m JOIN pg_catalog.pg_statistic_ext s ON s.oid = m.oid
        WHERE m.class = 'pg_catalog.pg_statistic_ext'::pg_catalog.regclass
      UNION ALL
        SELECT m.class, m.oid, 'TEXT SEARCH CONFIGURATION ' || pg_catalog.quote_ident(c.cfgname),
            c.cfgowner, NULL, NULL
        FROM member m JOIN pg_catalog.pg_ts_config c ON c.oid = m.oid
        WHERE m.class = 'pg_catalog.pg_ts_config'::pg_catalog.regclass
      UNION ALL
        SELECT m.class, m.oid, 'TEXT SEARCH DICTIONARY ' || pg_catalog.quote_ident(d.dictname),
            d.dictowner, NULL, NULL
        FROM member m JOIN pg_catalog.pg_ts_dict d ON d.oid = m.oid
        WHERE m.class = 'pg_catalog.pg_ts_dict'::pg_catalog.regclass
      UNION ALL
        SELECT m.class, m.oid, 'TEXT SEARCH PARSER ' || pg_catalog.quote_ident(p.prsname),
            NULL, NULL, NULL
        FROM member m JOIN pg_catalog.pg_ts_parser p ON p.oid = m.oid
        WHERE m.class = 'pg_catalog.pg_ts_parser'::pg_catalog.regclass
      UNION ALL
        SELECT m.class, m.oid, 'TEXT SEARCH TEMPLATE ' || pg_catalog.quote_ident(t.tmplname),
            NULL, NULL, NULL
        FROM member m JOIN pg_catalog.pg_ts_template t ON t.oid = m.oid
        WHERE m.class = 'pg_catalog.pg_ts_template'::pg_catalog.regclass
      UNION ALL
        SELECT m.class, m.oid, 'CAST (' || pg_catalog.format_type(c.castsource, NULL) || ' AS '
            || pg_catalog.format_type(c.casttarget, NULL) || ')', NULL, NULL, NULL
        FROM member m JOIN pg_catalog.pg_cast c ON c.oid = m.oid
        WHERE m.class = 'pg_catalog.pg_cast'::pg_catalog.regclass
      UNION ALL
        SELECT 'pg_catalog.pg_namespace'::pg_catalog.regclass, n.oid, 'SCHEMA', NULL, 'n', n.nspacl
        FROM pg_catalog.pg_namespace n WHERE n.oid = $3
    )"#;

const OWNED: &str = "
    SELECT a.object, pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(a.owner)) AS owner,
           pg_catalog.pg_has_role(a.owner, {give}) AS can_give
    FROM address a
    WHERE a.owner <> (SELECT r.oid FROM pg_catalog.pg_roles r WHERE r.rolname = current_user)
    ORDER BY a.object";

/// What a role must have in another to make it the owner of something (PostgreSQL manual, ALTER TABLE): to be a
/// member is not enough from version 16.
const GIVE: &str = "CASE
    WHEN pg_catalog.current_setting('server_version_num')::pg_catalog.int4 < 160000
    THEN 'MEMBER' ELSE 'SET' END";

/// PostgreSQL manual, CREATE FUNCTION and CREATE LANGUAGE.
const NOT_OURS: &str = "
    SELECT a.object, CASE WHEN p.proleakproof THEN 'a LEAKPROOF function'
        ELSE 'a function in language ' || pg_catalog.quote_ident(l.lanname) END AS why
    FROM address a
    JOIN pg_catalog.pg_proc p ON p.oid = a.oid
    JOIN pg_catalog.pg_language l ON l.oid = p.prolang
    JOIN pg_catalog.pg_roles r ON r.rolname = current_user AND NOT r.rolsuper
    WHERE a.class = 'pg_catalog.pg_proc'::pg_catalog.regclass
      AND (p.proleakproof OR p.prokind <> 'a' AND (
          NOT l.lanpltrusted OR NOT pg_catalog.has_language_privilege(l.oid, 'USAGE')))
    ORDER BY a.object";

/// A column is called by its relation's name.
const COMMENTS: &str = "
    SELECT CASE WHEN d.objsubid = 0 THEN a.object ELSE 'COLUMN ' || pg_catalog.quote_ident(c.relname)
                || '.' || pg_catalog.quote_ident(t.attname) END AS object, d.description AS text
    FROM address a
    JOIN pg_catalog.pg_description d ON d.classoid = a.class AND d.objoid = a.oid
    LEFT JOIN pg_catalog.pg_class c ON d.objsubid > 0 AND c.oid = a.oid
    LEFT JOIN pg_catalog.pg_attribute t ON t.attrelid = c.oid AND t.attnum = d.objsubid
    ORDER BY 1";

/// The schema comes first, without which nothing in it can be granted by another role; what was granted
/// under an option comes after the option.
///
/// What the list of an object has more, or less, than one that was just created: that has what
/// `ALTER DEFAULT PRIVILEGES` says for the role in every schema, or else PostgreSQL's own.
const PRIVILEGES: &str = r#", listed AS (
        SELECT a.class, a.oid, a.object, '' AS column, a.acl_kind, a.acl, CASE a.class
            WHEN 'pg_catalog.pg_class'::pg_catalog.regclass THEN
                (SELECT c.relowner FROM pg_catalog.pg_class c WHERE c.oid = a.oid)
            WHEN 'pg_catalog.pg_proc'::pg_catalog.regclass THEN
                (SELECT p.proowner FROM pg_catalog.pg_proc p WHERE p.oid = a.oid)
            WHEN 'pg_catalog.pg_namespace'::pg_catalog.regclass THEN
                (SELECT n.nspowner FROM pg_catalog.pg_namespace n WHERE n.oid = a.oid)
            WHEN 'pg_catalog.pg_type'::pg_catalog.regclass THEN
                (SELECT t.typowner FROM pg_catalog.pg_type t WHERE t.oid = a.oid)
            ELSE a.owner END AS owner
        FROM address a WHERE a.acl_kind IS NOT NULL
      UNION ALL
        SELECT a.class, a.oid, a.object, ' (' || pg_catalog.quote_ident(t.attname) || ')', 'c', t.attacl,
            c.relowner
        FROM address a
        JOIN pg_catalog.pg_attribute t ON t.attrelid = a.oid AND t.attacl IS NOT NULL
        JOIN pg_catalog.pg_class c ON c.oid = a.oid
        WHERE a.class = 'pg_catalog.pg_class'::pg_catalog.regclass AND NOT t.attisdropped
    ), compared AS (
        SELECT l.*, coalesce(l.acl, pg_catalog.acldefault(l.acl_kind::"char", l.owner)) AS has,
            CASE WHEN l.acl_kind = 'c' THEN NULL::pg_catalog._aclitem ELSE coalesce(
                (SELECT d.defaclacl FROM pg_catalog.pg_default_acl d
                 JOIN pg_catalog.pg_roles r ON r.oid = d.defaclrole
                  AND CASE l.acl_kind WHEN 'n' THEN r.oid = l.owner ELSE r.rolname = current_user END
                 WHERE d.defaclnamespace = 0
                   AND d.defaclobjtype = CASE l.acl_kind WHEN 's' THEN 'S' ELSE l.acl_kind END::"char"),
                pg_catalog.acldefault(l.acl_kind::"char", l.owner)) END AS gets
        FROM listed l
        WHERE l.acl IS NOT NULL OR EXISTS (SELECT FROM pg_catalog.pg_default_acl d
                                           WHERE d.defaclnamespace = 0)
    ), difference AS (
        SELECT c.object, c.column, c.owner, true AS revoked, g.grantor, g.grantee, g.privilege_type,
            false AS is_grantable, 0 AS position
        FROM compared c CROSS JOIN LATERAL pg_catalog.aclexplode(c.gets) g
        WHERE NOT EXISTS (SELECT FROM pg_catalog.aclexplode(c.has) h
                          WHERE h.grantee = g.grantee AND h.privilege_type = g.privilege_type
                            AND h.is_grantable = g.is_grantable)
      UNION ALL
        SELECT c.object, c.column, c.owner, false, h.grantor, h.grantee, h.privilege_type,
            h.is_grantable, h.position::pg_catalog.int4
        FROM compared c
        CROSS JOIN LATERAL pg_catalog.aclexplode(c.has)
            WITH ORDINALITY AS h (grantor, grantee, privilege_type, is_grantable, position)
        WHERE NOT EXISTS (SELECT FROM pg_catalog.aclexplode(c.gets) g
                          WHERE h.grantor = g.grantor AND h.grantee = g.grantee
                            AND h.privilege_type = g.privilege_type
                            AND h.is_grantable = g.is_grantable)
    )
    SELECT d.object, d.column, d.revoked,
        CASE WHEN d.grantor = d.owner THEN ''
             ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(d.grantor)) END AS grantor,
        CASE WHEN d.grantee = 0 THEN 'PUBLIC'
             ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(d.grantee)) END AS grantee,
        d.privilege_type AS privilege, d.is_grantable AS grantable
    FROM difference d
    ORDER BY d.object <> 'SCHEMA', d.object, d.column, NOT d.revoked, d.grantor <> d.owner, d.position, d.privilege_type"#;

const DEFAULT_PRIVILEGES: &str = r#"
    SELECT pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(d.defaclrole)) AS role,
        pg_catalog.format('GRANT %s ON %s TO %s%s',
            pg_catalog.string_agg(a.privilege_type, ', ' ORDER BY a.privilege_type),
            CASE d.defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES'
                WHEN 'f' THEN 'ROUTINES' ELSE 'TYPES' END,
            CASE WHEN a.grantee = 0 THEN 'PUBLIC'
                ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(a.grantee)) END,
            CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' END) AS grant
    FROM pg_catalog.pg_default_acl d
    CROSS JOIN LATERAL pg_catalog.aclexplode(d.defaclacl) a
    WHERE d.defaclnamespace = $1
    GROUP BY d.defaclrole, d.defaclobjtype, a.grantee, a.is_grantable
    ORDER BY 1, 2"#;
