//! The queries. In them `$1` are the oids to read, and `$2` is the schema.

/// A name as it is written for one that is in the schema, or else in full.
macro_rules! bare_or_full {
    ($catalog:literal, $namespace:literal, $name:literal, $oid:literal) => {
        concat!(
            "(SELECT CASE WHEN named.",
            $namespace,
            " = $2 THEN '' ELSE pg_catalog.quote_ident(holder.nspname) || '.' END || \
             pg_catalog.quote_ident(named.",
            $name,
            ") FROM pg_catalog.",
            $catalog,
            " named JOIN pg_catalog.pg_namespace holder ON holder.oid = named.",
            $namespace,
            " WHERE named.oid = ",
            $oid,
            ")"
        )
    };
}

macro_rules! proc_name {
    ($oid:literal) => {
        bare_or_full!("pg_proc", "pronamespace", "proname", $oid)
    };
}

macro_rules! opclass_name {
    ($oid:literal) => {
        bare_or_full!("pg_opclass", "opcnamespace", "opcname", $oid)
    };
}

macro_rules! family_name {
    ($oid:literal) => {
        bare_or_full!("pg_opfamily", "opfnamespace", "opfname", $oid)
    };
}

/// The symbol of an operator, which is not quoted.
macro_rules! operator_symbol {
    ($oid:literal) => {
        concat!(
            "(SELECT CASE WHEN named.oprnamespace = $2 THEN '' \
             ELSE pg_catalog.quote_ident(holder.nspname) || '.' END || named.oprname \
             FROM pg_catalog.pg_operator named \
             JOIN pg_catalog.pg_namespace holder ON holder.oid = named.oprnamespace \
             WHERE named.oid = ",
            $oid,
            ")"
        )
    };
}

macro_rules! operator_name {
    ($oid:literal) => {
        concat!("'OPERATOR(' || ", operator_symbol!($oid), " || ')'")
    };
}

pub(super) const COLLATIONS: &str = "
    SELECT c.oid, c.collname::pg_catalog.text AS name,
        pg_catalog.format('CREATE COLLATION %I (%s)', c.collname, pg_catalog.concat_ws(', ',
            CASE c.collprovider WHEN 'i' THEN 'PROVIDER = icu' WHEN 'b' THEN 'PROVIDER = builtin'
                 WHEN 'd' THEN 'PROVIDER = default' ELSE 'PROVIDER = libc' END,
            CASE WHEN c.collprovider IN ('i', 'b') THEN 'LOCALE = ' || pg_catalog.quote_literal(
                coalesce(r.row ->> 'colllocale', r.row ->> 'colliculocale', r.row ->> 'collcollate'))
            END,
            CASE WHEN c.collprovider = 'c' THEN 'LC_COLLATE = ' || pg_catalog.quote_literal(
                r.row ->> 'collcollate') || ', LC_CTYPE = '
                || pg_catalog.quote_literal(r.row ->> 'collctype') END,
            'RULES = ' || pg_catalog.quote_literal(r.row ->> 'collicurules'),
            CASE WHEN NOT c.collisdeterministic THEN 'DETERMINISTIC = false' END)) AS sql
    FROM pg_catalog.pg_collation c
    CROSS JOIN LATERAL (SELECT pg_catalog.to_jsonb(c) AS row) r
    WHERE c.oid = ANY ($1) AND c.collnamespace = $2";

pub(super) const ENUMS: &str = "
    SELECT t.oid, t.typname::pg_catalog.text AS name,
        pg_catalog.format('CREATE TYPE %I AS ENUM (%s)', t.typname, coalesce(
            (SELECT pg_catalog.string_agg(pg_catalog.quote_literal(e.enumlabel), ', '
                                          ORDER BY e.enumsortorder)
             FROM pg_catalog.pg_enum e WHERE e.enumtypid = t.oid), '')) AS sql
    FROM pg_catalog.pg_type t
    WHERE t.oid = ANY ($1) AND t.typtype = 'e' AND t.typnamespace = $2";

pub(super) const COMPOSITES: &str = "
    SELECT t.oid, t.typname::pg_catalog.text AS name,
        pg_catalog.format('CREATE TYPE %I AS (%s)', t.typname, coalesce(
            (SELECT pg_catalog.string_agg(pg_catalog.format('%I %s%s', a.attname,
                 pg_catalog.format_type(a.atttypid, a.atttypmod),
                 CASE WHEN a.attcollation <> e.typcollation THEN ' COLLATE '
                      || a.attcollation::pg_catalog.regcollation::pg_catalog.text END),
                 ', ' ORDER BY a.attnum)
             FROM pg_catalog.pg_attribute a
             JOIN pg_catalog.pg_type e ON e.oid = a.atttypid
             WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped), '')) AS sql
    FROM pg_catalog.pg_type t
    JOIN pg_catalog.pg_class c ON c.oid = t.typrelid AND c.relkind = 'c'
    WHERE t.oid = ANY ($1) AND t.typnamespace = $2";

/// Constraints are read with those of tables; before version 17 NOT NULL was none.
pub(super) const DOMAINS: &str = "
    SELECT t.oid, t.typname::pg_catalog.text AS name,
        pg_catalog.format('CREATE DOMAIN %I AS %s%s%s%s', t.typname,
            pg_catalog.format_type(t.typbasetype, t.typtypmod),
            CASE WHEN t.typcollation <> b.typcollation THEN ' COLLATE '
                 || t.typcollation::pg_catalog.regcollation::pg_catalog.text END,
            ' DEFAULT ' || coalesce(pg_catalog.pg_get_expr(t.typdefaultbin, 0),
                                    pg_catalog.quote_literal(t.typdefault)),
            CASE WHEN t.typnotnull AND NOT EXISTS (
                SELECT FROM pg_catalog.pg_constraint k WHERE k.contypid = t.oid AND k.contype = 'n')
                THEN ' NOT NULL' END) AS sql
    FROM pg_catalog.pg_type t
    JOIN pg_catalog.pg_type b ON b.oid = t.typbasetype
    WHERE t.oid = ANY ($1) AND t.typtype = 'd' AND t.typnamespace = $2";

pub(super) const RANGES: &str = concat!(
    "
    SELECT t.oid, t.typname::pg_catalog.text AS name,
        pg_catalog.format('CREATE TYPE %I AS RANGE (%s)', t.typname, pg_catalog.concat_ws(', ',
            'SUBTYPE = ' || pg_catalog.format_type(r.rngsubtype, NULL),
            CASE WHEN NOT (o.opcdefault AND o.opcnamespace = 'pg_catalog'::pg_catalog.regnamespace)
                 THEN 'SUBTYPE_OPCLASS = ' || ",
    opclass_name!("r.rngsubopc"),
    " END,
            CASE WHEN r.rngcollation <> s.typcollation THEN 'COLLATION = '
                 || r.rngcollation::pg_catalog.regcollation::pg_catalog.text END,
            'CANONICAL = ' || ",
    proc_name!("r.rngcanonical::pg_catalog.oid"),
    ",
            'SUBTYPE_DIFF = ' || ",
    proc_name!("r.rngsubdiff::pg_catalog.oid"),
    ",
            'MULTIRANGE_TYPE_NAME = ' || pg_catalog.quote_ident(
                (SELECT m.typname FROM pg_catalog.pg_type m WHERE m.oid =
                 (pg_catalog.to_jsonb(r) ->> 'rngmultitypid')::pg_catalog.oid)))) AS sql
    FROM pg_catalog.pg_type t
    JOIN pg_catalog.pg_range r ON r.rngtypid = t.oid
    JOIN pg_catalog.pg_type s ON s.oid = r.rngsubtype
    JOIN pg_catalog.pg_opclass o ON o.oid = r.rngsubopc
    WHERE t.oid = ANY ($1) AND t.typtype = 'r' AND t.typnamespace = $2"
);

/// `pg_get_functiondef` is not used: it writes the schema in the head.
pub(super) const ROUTINES: &str = concat!(
    "
    SELECT p.oid, p.oid::pg_catalog.regprocedure::pg_catalog.text AS name,
        p.proname::pg_catalog.text AS bare_name,
        l.lanname::pg_catalog.text AS language,
        pg_catalog.format('CREATE %s %I(%s)', CASE p.prokind WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END,
            p.proname, pg_catalog.pg_get_function_arguments(p.oid))
        || CASE WHEN p.prokind = 'p' THEN ''
                ELSE ' RETURNS ' || pg_catalog.pg_get_function_result(p.oid) END
        || coalesce((SELECT ' TRANSFORM ' || pg_catalog.string_agg(
                         'FOR TYPE ' || pg_catalog.format_type(t.type, NULL), ', ' ORDER BY t.nr)
                     FROM pg_catalog.unnest(p.protrftypes) WITH ORDINALITY AS t (type, nr)
                     HAVING pg_catalog.count(*) > 0), '')
        || ' LANGUAGE ' || pg_catalog.quote_ident(l.lanname)
        || CASE WHEN p.prokind = 'w' THEN ' WINDOW' ELSE '' END
        || CASE WHEN p.prokind = 'p' THEN '' ELSE
            CASE p.provolatile WHEN 'i' THEN ' IMMUTABLE' WHEN 's' THEN ' STABLE' ELSE ' VOLATILE' END
            || CASE WHEN p.proleakproof THEN ' LEAKPROOF' ELSE '' END
            || CASE WHEN p.proisstrict THEN ' STRICT' ELSE '' END
            || CASE p.proparallel WHEN 's' THEN ' PARALLEL SAFE' WHEN 'r' THEN ' PARALLEL RESTRICTED'
                    ELSE '' END
            || ' COST ' || p.procost
            || CASE WHEN p.proretset THEN ' ROWS ' || p.prorows ELSE '' END
            || coalesce(' SUPPORT ' || ",
    proc_name!("p.prosupport::pg_catalog.oid"),
    ", '') END
        || CASE WHEN p.prosecdef THEN ' SECURITY DEFINER' ELSE '' END AS head,
        coalesce(p.proconfig, '{}') AS settings, p.prosrc AS body,
        p.probin::pg_catalog.text AS file, {parsed} AS parsed_body
    FROM pg_catalog.pg_proc p
    JOIN pg_catalog.pg_language l ON l.oid = p.prolang
    WHERE p.oid = ANY ($1) AND p.pronamespace = $2 AND p.prokind <> 'a'
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                      WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass
                        AND d.objid = p.oid AND d.deptype = 'i')"
);

pub(super) const AGGREGATES: &str = concat!(
    "
    SELECT p.oid, p.oid::pg_catalog.regprocedure::pg_catalog.text AS name,
        pg_catalog.format('CREATE AGGREGATE %I(%s) (%s)', p.proname,
            coalesce(nullif(pg_catalog.pg_get_function_arguments(p.oid), ''), '*'),
            pg_catalog.concat_ws(', ',
            'SFUNC = ' || ",
    proc_name!("a.aggtransfn::pg_catalog.oid"),
    ",
            'STYPE = ' || pg_catalog.format_type(a.aggtranstype, NULL),
            'SSPACE = ' || nullif(a.aggtransspace, 0),
            'FINALFUNC = ' || ",
    proc_name!("a.aggfinalfn::pg_catalog.oid"),
    ",
            CASE WHEN a.aggfinalextra THEN 'FINALFUNC_EXTRA' END,
            CASE WHEN a.aggfinalfn::pg_catalog.oid <> 0 THEN 'FINALFUNC_MODIFY = ' || CASE
                a.aggfinalmodify WHEN 'r' THEN 'READ_ONLY' WHEN 's' THEN 'SHAREABLE'
                ELSE 'READ_WRITE' END END,
            'COMBINEFUNC = ' || ",
    proc_name!("a.aggcombinefn::pg_catalog.oid"),
    ",
            'SERIALFUNC = ' || ",
    proc_name!("a.aggserialfn::pg_catalog.oid"),
    ",
            'DESERIALFUNC = ' || ",
    proc_name!("a.aggdeserialfn::pg_catalog.oid"),
    ",
            'INITCOND = ' || pg_catalog.quote_literal(a.agginitval),
            'MSFUNC = ' || ",
    proc_name!("a.aggmtransfn::pg_catalog.oid"),
    ",
            'MINVFUNC = ' || ",
    proc_name!("a.aggminvtransfn::pg_catalog.oid"),
    ",
            CASE WHEN a.aggmtranstype <> 0 THEN
                'MSTYPE = ' || pg_catalog.format_type(a.aggmtranstype, NULL) END,
            'MSSPACE = ' || nullif(a.aggmtransspace, 0),
            'MFINALFUNC = ' || ",
    proc_name!("a.aggmfinalfn::pg_catalog.oid"),
    ",
            CASE WHEN a.aggmfinalextra THEN 'MFINALFUNC_EXTRA' END,
            CASE WHEN a.aggmfinalfn::pg_catalog.oid <> 0 THEN 'MFINALFUNC_MODIFY = ' || CASE
                a.aggmfinalmodify WHEN 'r' THEN 'READ_ONLY' WHEN 's' THEN 'SHAREABLE'
                ELSE 'READ_WRITE' END END,
            'MINITCOND = ' || pg_catalog.quote_literal(a.aggminitval),
            'SORTOP = ' || ",
    operator_name!("a.aggsortop"),
    ",
            CASE p.proparallel WHEN 's' THEN 'PARALLEL = SAFE' WHEN 'r' THEN 'PARALLEL = RESTRICTED'
                ELSE 'PARALLEL = UNSAFE' END,
            CASE WHEN a.aggkind = 'h' THEN 'HYPOTHETICAL' END)) AS sql
    FROM pg_catalog.pg_aggregate a
    JOIN pg_catalog.pg_proc p ON p.oid = a.aggfnoid
    WHERE p.oid = ANY ($1) AND p.pronamespace = $2"
);

pub(super) const OPERATORS: &str = concat!(
    "
    SELECT o.oid, o.oid::pg_catalog.regoperator::pg_catalog.text AS name,
        'CREATE OPERATOR ' || o.oprname || ' (' || pg_catalog.concat_ws(', ',
            'FUNCTION = ' || ",
    proc_name!("o.oprcode::pg_catalog.oid"),
    ",
            CASE WHEN o.oprleft <> 0 THEN
                'LEFTARG = ' || pg_catalog.format_type(o.oprleft, NULL) END,
            CASE WHEN o.oprright <> 0 THEN
                'RIGHTARG = ' || pg_catalog.format_type(o.oprright, NULL) END,
            'COMMUTATOR = ' || ",
    operator_name!("o.oprcom"),
    ",
            'NEGATOR = ' || ",
    operator_name!("o.oprnegate"),
    ",
            'RESTRICT = ' || ",
    proc_name!("o.oprrest::pg_catalog.oid"),
    ",
            'JOIN = ' || ",
    proc_name!("o.oprjoin::pg_catalog.oid"),
    ",
            CASE WHEN o.oprcanmerge THEN 'MERGES' END,
            CASE WHEN o.oprcanhash THEN 'HASHES' END) || ')' AS sql
    FROM pg_catalog.pg_operator o
    WHERE o.oid = ANY ($1) AND o.oprnamespace = $2"
);

pub(super) const FAMILIES: &str = "
    SELECT f.oid, f.opfname || ' ' || m.amname AS name,
        pg_catalog.format('CREATE OPERATOR FAMILY %I USING %I', f.opfname, m.amname) AS sql
    FROM pg_catalog.pg_opfamily f
    JOIN pg_catalog.pg_am m ON m.oid = f.opfmethod
    WHERE f.oid = ANY ($1) AND f.opfnamespace = $2";

/// The operators and functions of a family, as text; which depend on the family itself or on one of
/// its classes is for the caller to say.
macro_rules! items {
    ($family:literal, $class:literal, $owner:literal) => {
        concat!(
            "(SELECT pg_catalog.string_agg(item.text, ', ' ORDER BY item.text COLLATE pg_catalog.\"C\") FROM (
                SELECT 'OPERATOR ' || operator.amopstrategy || ' '
                    || ",
            operator_symbol!("operator.amopopr"),
            " || ' (' || pg_catalog.format_type(operator.amoplefttype, NULL) || ', '
                    || pg_catalog.format_type(operator.amoprighttype, NULL) || ')'
                    || coalesce(' FOR ORDER BY ' || ",
            family_name!("operator.amopsortfamily"),
            ", '') AS text
                FROM pg_catalog.pg_amop operator
                JOIN pg_catalog.pg_depend d
                  ON d.classid = 'pg_catalog.pg_amop'::pg_catalog.regclass AND d.objid = operator.oid
                 AND d.refclassid = '",
            $class,
            "'::pg_catalog.regclass AND d.refobjid = ",
            $owner,
            "
                WHERE operator.amopfamily = ",
            $family,
            "
                UNION ALL
                SELECT 'FUNCTION ' || function.amprocnum || ' ('
                    || pg_catalog.format_type(function.amproclefttype, NULL) || ', '
                    || pg_catalog.format_type(function.amprocrighttype, NULL) || ') '
                    || function.amproc::pg_catalog.oid::pg_catalog.regprocedure::pg_catalog.text
                FROM pg_catalog.pg_amproc function
                JOIN pg_catalog.pg_depend d
                  ON d.classid = 'pg_catalog.pg_amproc'::pg_catalog.regclass AND d.objid = function.oid
                 AND d.refclassid = '",
            $class,
            "'::pg_catalog.regclass AND d.refobjid = ",
            $owner,
            "
                WHERE function.amprocfamily = ",
            $family,
            ") item)"
        )
    };
}

pub(super) const LOOSE: &str = concat!(
    "
    SELECT f.oid, f.opfname || ' ' || m.amname AS name,
        pg_catalog.format('ALTER OPERATOR FAMILY %I USING %I ADD %s', f.opfname, m.amname, i.items) AS sql
    FROM pg_catalog.pg_opfamily f
    JOIN pg_catalog.pg_am m ON m.oid = f.opfmethod
    CROSS JOIN LATERAL (SELECT ",
    items!("f.oid", "pg_catalog.pg_opfamily", "f.oid"),
    " AS items) i
    WHERE f.oid = ANY ($1) AND f.opfnamespace = $2 AND i.items IS NOT NULL"
);

pub(super) const CLASSES: &str = concat!(
    "
    SELECT c.oid, c.opcname || ' ' || m.amname AS name,
        pg_catalog.format('CREATE OPERATOR CLASS %I %sFOR TYPE %s USING %I FAMILY %s AS %s', c.opcname,
            CASE WHEN c.opcdefault THEN 'DEFAULT ' END,
            pg_catalog.format_type(c.opcintype, NULL), m.amname, ",
    family_name!("c.opcfamily"),
    ",
            coalesce(pg_catalog.concat_ws(', ', i.items, s.storage),
                     'STORAGE ' || pg_catalog.format_type(c.opcintype, NULL))) AS sql
    FROM pg_catalog.pg_opclass c
    JOIN pg_catalog.pg_am m ON m.oid = c.opcmethod
    CROSS JOIN LATERAL (SELECT ",
    items!("c.opcfamily", "pg_catalog.pg_opclass", "c.oid"),
    " AS items) i
    CROSS JOIN LATERAL (SELECT CASE WHEN c.opckeytype NOT IN (0, c.opcintype) OR i.items IS NULL THEN
        'STORAGE ' || pg_catalog.format_type(coalesce(nullif(c.opckeytype, 0), c.opcintype), NULL)
        END AS storage) s
    WHERE c.oid = ANY ($1) AND c.opcnamespace = $2"
);

/// The types of the schema are given: a cast is cloned when it is from or to one of them.
pub(super) const CASTS: &str = "
    SELECT c.oid, pg_catalog.format_type(c.castsource, NULL) || ' '
                  || pg_catalog.format_type(c.casttarget, NULL) AS name,
        pg_catalog.format('CREATE CAST (%s AS %s) %s%s',
            pg_catalog.format_type(c.castsource, NULL), pg_catalog.format_type(c.casttarget, NULL),
            CASE c.castmethod WHEN 'i' THEN 'WITH INOUT' WHEN 'b' THEN 'WITHOUT FUNCTION'
                ELSE 'WITH FUNCTION '
                     || c.castfunc::pg_catalog.regprocedure::pg_catalog.text END,
            CASE c.castcontext WHEN 'a' THEN ' AS ASSIGNMENT' WHEN 'i' THEN ' AS IMPLICIT' END) AS sql
    FROM pg_catalog.pg_cast c
    WHERE (c.castsource = ANY ($1) OR c.casttarget = ANY ($1)) AND $2 <> 0
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                      WHERE d.classid = 'pg_catalog.pg_cast'::pg_catalog.regclass
                        AND d.objid = c.oid AND d.deptype = 'i')";

pub(super) const CONVERSIONS: &str = concat!(
    "
    SELECT c.oid, c.conname::pg_catalog.text AS name,
        pg_catalog.format('CREATE %sCONVERSION %I FOR %L TO %L FROM %s',
            CASE WHEN c.condefault THEN 'DEFAULT ' END, c.conname,
            pg_catalog.pg_encoding_to_char(c.conforencoding),
            pg_catalog.pg_encoding_to_char(c.contoencoding), ",
    proc_name!("c.conproc::pg_catalog.oid"),
    ") AS sql
    FROM pg_catalog.pg_conversion c
    WHERE c.oid = ANY ($1) AND c.connamespace = $2"
);

pub(super) const PARSERS: &str = concat!(
    "
    SELECT p.oid, p.prsname::pg_catalog.text AS name,
        pg_catalog.format('CREATE TEXT SEARCH PARSER %I (%s)', p.prsname, pg_catalog.concat_ws(', ',
            'START = ' || ",
    proc_name!("p.prsstart::pg_catalog.oid"),
    ", 'GETTOKEN = ' || ",
    proc_name!("p.prstoken::pg_catalog.oid"),
    ", 'END = ' || ",
    proc_name!("p.prsend::pg_catalog.oid"),
    ", 'HEADLINE = ' || ",
    proc_name!("p.prsheadline::pg_catalog.oid"),
    ", 'LEXTYPES = ' || ",
    proc_name!("p.prslextype::pg_catalog.oid"),
    ")) AS sql
    FROM pg_catalog.pg_ts_parser p
    WHERE p.oid = ANY ($1) AND p.prsnamespace = $2"
);

pub(super) const TEMPLATES: &str = concat!(
    "
    SELECT t.oid, t.tmplname::pg_catalog.text AS name,
        pg_catalog.format('CREATE TEXT SEARCH TEMPLATE %I (%s)', t.tmplname,
            pg_catalog.concat_ws(', ', 'INIT = ' || ",
    proc_name!("t.tmplinit::pg_catalog.oid"),
    ", 'LEXIZE = ' || ",
    proc_name!("t.tmpllexize::pg_catalog.oid"),
    ")) AS sql
    FROM pg_catalog.pg_ts_template t
    WHERE t.oid = ANY ($1) AND t.tmplnamespace = $2"
);

pub(super) const DICTIONARIES: &str = concat!(
    "
    SELECT d.oid, d.dictname::pg_catalog.text AS name,
        pg_catalog.format('CREATE TEXT SEARCH DICTIONARY %I (%s)', d.dictname,
            pg_catalog.concat_ws(', ', 'TEMPLATE = ' || ",
    bare_or_full!(
        "pg_ts_template",
        "tmplnamespace",
        "tmplname",
        "d.dicttemplate"
    ),
    ", d.dictinitoption)) AS sql
    FROM pg_catalog.pg_ts_dict d
    WHERE d.oid = ANY ($1) AND d.dictnamespace = $2"
);

pub(super) const CONFIGURATIONS: &str = concat!(
    "
    SELECT c.oid, c.cfgname::pg_catalog.text AS name,
        pg_catalog.format('CREATE TEXT SEARCH CONFIGURATION %I (PARSER = %s)', c.cfgname, ",
    bare_or_full!("pg_ts_parser", "prsnamespace", "prsname", "c.cfgparser"),
    ") AS sql
    FROM pg_catalog.pg_ts_config c
    WHERE c.oid = ANY ($1) AND c.cfgnamespace = $2"
);

/// One statement for all kinds of token that go to the same dictionaries.
pub(super) const MAPPINGS: &str = "
    SELECT g.oid, g.name, pg_catalog.format('ALTER TEXT SEARCH CONFIGURATION %I ADD MAPPING FOR %s WITH %s',
        g.name, pg_catalog.string_agg(pg_catalog.quote_ident(g.alias), ', ' ORDER BY g.token),
        g.dictionaries) AS sql
    FROM (
        SELECT c.oid, c.cfgname::pg_catalog.text AS name, t.alias, m.maptokentype AS token,
            pg_catalog.string_agg(m.mapdict::pg_catalog.regdictionary::pg_catalog.text, ', '
                                  ORDER BY m.mapseqno) AS dictionaries
        FROM pg_catalog.pg_ts_config c
        JOIN pg_catalog.pg_ts_config_map m ON m.mapcfg = c.oid
        JOIN LATERAL pg_catalog.ts_token_type(c.cfgparser) t ON t.tokid = m.maptokentype
        WHERE c.oid = ANY ($1) AND c.cfgnamespace = $2
        GROUP BY 1, 2, 3, 4
    ) g
    GROUP BY g.oid, g.name, g.dictionaries
    ORDER BY pg_catalog.min(g.token)";

pub(super) const VIEWS: &str = "
    SELECT c.oid, c.relname::pg_catalog.text AS name, c.relkind = 'm' AS materialized,
        coalesce(' (' || n.names || ')', '')
        || CASE WHEN c.relkind = 'm' THEN coalesce((SELECT ' USING ' || pg_catalog.quote_ident(m.amname)
                FROM pg_catalog.pg_am m WHERE m.oid = c.relam AND m.amname <> 'heap'), '') ELSE '' END
        || coalesce((SELECT ' WITH (' || pg_catalog.string_agg(o.text, ', ') || ')' FROM (
                SELECT pg_catalog.format('%I=%L', option_name, option_value) AS text
                FROM pg_catalog.pg_options_to_table(c.reloptions)
                UNION ALL
                SELECT pg_catalog.format('toast.%I=%L', option_name, option_value)
                FROM pg_catalog.pg_class t, pg_catalog.pg_options_to_table(t.reloptions)
                WHERE t.oid = c.reltoastrelid) o), '')
        || coalesce((SELECT ' TABLESPACE ' || pg_catalog.quote_ident(s.spcname)
                     FROM pg_catalog.pg_tablespace s WHERE s.oid = c.reltablespace), '')
        || ' AS ' || pg_catalog.rtrim(pg_catalog.btrim(pg_catalog.pg_get_viewdef(c.oid), E' \\n'), ';')
        || CASE WHEN c.relkind <> 'm' THEN '' WHEN c.relispopulated THEN ' WITH DATA'
                ELSE ' WITH NO DATA' END AS definition,
        ' AS SELECT ' || coalesce(n.nulls, '') AS stand_in
    FROM pg_catalog.pg_class c
    CROSS JOIN LATERAL (
        SELECT pg_catalog.string_agg(pg_catalog.quote_ident(a.attname), ', ' ORDER BY a.attnum) AS names,
            pg_catalog.string_agg(pg_catalog.format('NULL::%s%s AS %I',
                pg_catalog.format_type(a.atttypid, a.atttypmod),
                CASE WHEN a.attcollation <> t.typcollation THEN ' COLLATE '
                    || a.attcollation::pg_catalog.regcollation::pg_catalog.text END,
                a.attname), ', ' ORDER BY a.attnum) AS nulls
        FROM pg_catalog.pg_attribute a
        JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
        WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    ) n
    WHERE c.oid = ANY ($1) AND $2 <> 0";

/// The server writes the schema into the head, and nowhere else.
pub(super) const STATISTICS: &str = "
    SELECT s.oid, s.stxname::pg_catalog.text AS name,
        pg_catalog.format('CREATE STATISTICS %I%s', s.stxname, pg_catalog.substr(
            pg_catalog.pg_get_statisticsobjdef(s.oid), 1 + pg_catalog.length(
                pg_catalog.format('CREATE STATISTICS %I.%I', n.nspname, s.stxname)))) AS sql
    FROM pg_catalog.pg_statistic_ext s
    JOIN pg_catalog.pg_namespace n ON n.oid = s.stxnamespace
    WHERE s.oid = ANY ($1) AND s.stxnamespace = $2";

pub(super) const STATISTICS_TARGETS: &str = "
    SELECT s.oid, s.stxname::pg_catalog.text AS name,
        pg_catalog.format('ALTER STATISTICS %I SET STATISTICS %s', s.stxname, s.stxstattarget) AS sql
    FROM pg_catalog.pg_statistic_ext s
    WHERE s.oid = ANY ($1) AND s.stxnamespace = $2 AND s.stxstattarget >= 0";

/// Those of partitions come with those of their parents.
pub(super) const TRIGGERS: &str = "
    SELECT t.oid, c.relname || ' ' || t.tgname AS name,
        pg_catalog.pg_get_triggerdef(t.oid, true) AS sql
    FROM pg_catalog.pg_trigger t
    JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid
    WHERE t.oid = ANY ($1) AND NOT t.tgisinternal AND t.tgparentid = 0 AND $2 <> 0
    ORDER BY 2";

/// A trigger of a partition is created in the state of its parent. Before version 15 it counts as internal,
/// as do those of constraints.
pub(super) const TRIGGER_STATES: &str = "
    SELECT t.oid, c.relname || ' ' || t.tgname AS name,
        pg_catalog.format('ALTER TABLE ONLY %I %s TRIGGER %I', c.relname, CASE t.tgenabled
            WHEN 'D' THEN 'DISABLE' WHEN 'R' THEN 'ENABLE REPLICA' WHEN 'A' THEN 'ENABLE ALWAYS'
            ELSE 'ENABLE' END, t.tgname) AS sql
    FROM pg_catalog.pg_trigger t
    JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid
    LEFT JOIN pg_catalog.pg_trigger parent ON parent.oid = t.tgparentid
    WHERE t.oid = ANY ($1) AND $2 <> 0
      AND (t.tgenabled <> 'O' OR parent.tgenabled <> 'O')
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint k
                      WHERE k.oid = t.tgconstraint AND k.contype <> 't')";

pub(super) const RULES: &str = "
    SELECT r.oid, c.relname || ' ' || r.rulename AS name,
        pg_catalog.rtrim(pg_catalog.pg_get_ruledef(r.oid, true), ';') AS sql
    FROM pg_catalog.pg_rewrite r
    JOIN pg_catalog.pg_class c ON c.oid = r.ev_class
    WHERE r.oid = ANY ($1) AND r.rulename <> '_RETURN' AND $2 <> 0
    ORDER BY 2";

pub(super) const RULE_STATES: &str = "
    SELECT r.oid, c.relname || ' ' || r.rulename AS name,
        pg_catalog.format('ALTER TABLE %I %s RULE %I', c.relname, CASE r.ev_enabled WHEN 'D' THEN 'DISABLE'
            WHEN 'R' THEN 'ENABLE REPLICA' ELSE 'ENABLE ALWAYS' END, r.rulename) AS sql
    FROM pg_catalog.pg_rewrite r
    JOIN pg_catalog.pg_class c ON c.oid = r.ev_class
    WHERE r.oid = ANY ($1) AND r.rulename <> '_RETURN' AND r.ev_enabled <> 'O' AND $2 <> 0";

pub(super) const POLICIES: &str = "
    SELECT p.oid, c.relname || ' ' || p.polname AS name,
        pg_catalog.format('CREATE POLICY %I ON %I AS %s FOR %s TO %s', p.polname, c.relname,
            CASE WHEN p.polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END,
            CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE'
                WHEN 'd' THEN 'DELETE' ELSE 'ALL' END,
            (SELECT pg_catalog.string_agg(CASE WHEN r.role = 0 THEN 'PUBLIC'
                    ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(r.role)) END, ', ' ORDER BY r.nr)
             FROM pg_catalog.unnest(p.polroles) WITH ORDINALITY AS r (role, nr)))
        || coalesce(' USING (' || pg_catalog.pg_get_expr(p.polqual, p.polrelid) || ')', '')
        || coalesce(' WITH CHECK (' || pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid) || ')', '') AS sql
    FROM pg_catalog.pg_policy p
    JOIN pg_catalog.pg_class c ON c.oid = p.polrelid
    WHERE p.oid = ANY ($1) AND $2 <> 0";
