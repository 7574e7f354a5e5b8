-- What there is in a schema, catalog by catalog: each statement gives objects (o) with their properties (p).
-- {own} is the oid of the schema, which alone is on the path: names in it come out bare. Whole rows are
-- taken, less what is physical or is an oid, so that a column that a later version adds is seen as well.

SELECT 'schema' AS o, jsonb_build_object('owner', nspowner::regrole) AS p
FROM pg_namespace WHERE oid = {own};

-- Whether a table ever had rules or triggers stays noted after they are gone; relnatts counts dropped columns.
SELECT pg_describe_object('pg_class'::regclass, c.oid, 0),
    to_jsonb(c) - '{oid,relname,relnamespace,reltype,relfilenode,relpages,reltuples,relallvisible,relallfrozen,
        relhasindex,relnatts,relhasrules,relhastriggers,relhassubclass,relrewrite,relfrozenxid,relminmxid,relacl}'::text[]
    || jsonb_build_object('reloftype', reloftype::regtype, 'relowner', relowner::regrole,
        'relam', (SELECT amname FROM pg_am a WHERE a.oid = relam),
        'reltablespace', (SELECT spcname FROM pg_tablespace s WHERE s.oid = reltablespace),
        'reltoastrelid', (SELECT t.reloptions FROM pg_class t WHERE t.oid = c.reltoastrelid),
        'relpartbound', pg_get_expr(relpartbound, c.oid))
    || CASE WHEN relkind IN ('v', 'm') THEN jsonb_build_object('definition', pg_get_viewdef(c.oid)) ELSE '{}' END
FROM pg_class c WHERE relnamespace = {own};

-- How many dimensions an array was declared with means nothing and is not deparsed by anything.
SELECT 'column ' || row_number() OVER (PARTITION BY attrelid ORDER BY attnum) || ' of ' || pg_describe_object('pg_class'::regclass, attrelid, 0),
    to_jsonb(a) - '{attrelid,attnum,attcacheoff,attndims,atttypmod,attmissingval,atthasmissing,attacl}'::text[]
    || jsonb_build_object('atttypid', format_type(atttypid, atttypmod), 'attcollation', attcollation::regcollation)
FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid
WHERE relnamespace = {own} AND attnum > 0 AND NOT attisdropped;

SELECT pg_describe_object('pg_class'::regclass, adrelid, adnum), jsonb_build_object('default', pg_get_expr(adbin, adrelid))
FROM pg_attrdef JOIN pg_class c ON c.oid = adrelid WHERE relnamespace = {own};

-- The rows that stand for a foreign key to the partitions of a table have made-up names.
SELECT pg_describe_object('pg_constraint'::regclass, k.oid, 0) || CASE WHEN contypid = 0 THEN '' ELSE ' of ' || contypid::regtype END,
    to_jsonb(k) - '{oid,connamespace,conkey,confkey,conbin,confdelsetcols,conexclop}'::text[]
    -- Says of an index only whether it was made before its parent's.
    - CASE WHEN contype IN ('p', 'u', 'x') THEN 'connoinherit' ELSE '' END
    || jsonb_build_object('conrelid', conrelid::regclass, 'contypid', contypid::regtype, 'conindid', conindid::regclass,
        'confrelid', confrelid::regclass, 'conpfeqop', conpfeqop::regoperator[], 'conppeqop', conppeqop::regoperator[],
        'conffeqop', conffeqop::regoperator[], 'conparentid', (SELECT conname FROM pg_constraint p WHERE p.oid = k.conparentid),
        'definition', pg_get_constraintdef(k.oid))
FROM pg_constraint k
WHERE connamespace = {own} AND NOT EXISTS (
    SELECT FROM pg_constraint p WHERE p.oid = k.conparentid AND p.conrelid = k.conrelid AND k.contype = 'f');

SELECT pg_describe_object('pg_class'::regclass, indexrelid, 0),
    to_jsonb(i) - '{indexrelid,indrelid,indkey,indexprs,indpred,indcheckxmin}'::text[]
    || jsonb_build_object('indcollation', indcollation::regcollation[],
        'indclass', (SELECT jsonb_agg(pg_describe_object('pg_opclass'::regclass, k, 0) ORDER BY n) FROM unnest(indclass) WITH ORDINALITY u (k, n)),
        'definition', pg_get_indexdef(indexrelid, 0, true))
FROM pg_index i JOIN pg_class c ON c.oid = indexrelid WHERE relnamespace = {own};

SELECT pg_describe_object('pg_class'::regclass, inhrelid, 0),
    jsonb_build_object('parent ' || inhseqno, inhparent::regclass, 'detach of ' || inhseqno, to_jsonb(i) -> 'inhdetachpending')
FROM pg_inherits i JOIN pg_class c ON c.oid = inhrelid WHERE relnamespace = {own};

SELECT pg_describe_object('pg_class'::regclass, partrelid, 0),
    jsonb_build_object('partition key', pg_get_partkeydef(partrelid), 'default partition', partdefid::regclass)
FROM pg_partitioned_table JOIN pg_class c ON c.oid = partrelid WHERE relnamespace = {own};

SELECT pg_describe_object('pg_class'::regclass, seqrelid, 0), to_jsonb(s) - 'seqrelid' || jsonb_build_object('seqtypid', seqtypid::regtype)
FROM pg_sequence s JOIN pg_class c ON c.oid = seqrelid WHERE relnamespace = {own};

-- What owns a sequence, and what must go together with an extension.
SELECT pg_describe_object(classid, objid, objsubid),
    jsonb_build_object('goes with ' || deptype::text, pg_describe_object(refclassid, refobjid, refobjsubid))
FROM pg_depend d
WHERE classid = 'pg_class'::regclass AND refclassid = 'pg_class'::regclass AND deptype IN ('a', 'i') AND refobjsubid > 0
    AND EXISTS (SELECT FROM pg_class c WHERE c.oid = objid AND relkind = 'S' AND relnamespace = {own});

-- The triggers of constraints have made-up names: they are told by their constraint and function.
SELECT CASE WHEN tgname ~ '^(RI|PK|Unique)_ConstraintTrigger_' THEN
        'trigger ' || tgfoid::regproc || ' on ' || tgrelid::regclass || ' for ' || coalesce((
            WITH RECURSIVE up AS (
                SELECT k.oid, k.conparentid, k.conname, k.conrelid FROM pg_constraint k WHERE k.oid = tgconstraint
                UNION ALL
                SELECT k.oid, k.conparentid, k.conname, k.conrelid FROM up JOIN pg_constraint k ON k.oid = up.conparentid AND k.conrelid = up.conrelid)
            SELECT conname || ' on ' || conrelid::regclass FROM up WHERE NOT EXISTS (
                SELECT FROM pg_constraint p WHERE p.oid = up.conparentid AND p.conrelid = up.conrelid)), '')
    ELSE pg_describe_object('pg_trigger'::regclass, t.oid, 0) END,
    to_jsonb(t) - '{oid,tgrelid,tgname,tgattr,tgargs,tgqual,tgparentid}'::text[]
    || jsonb_build_object('tgfoid', tgfoid::regprocedure, 'tgconstrrelid', tgconstrrelid::regclass, 'tgconstrindid', tgconstrindid::regclass,
        'tgconstraint', tgconstraint <> 0, 'tgparentid', tgparentid <> 0,
        'definition', CASE WHEN tgname !~ '^(RI|PK|Unique)_ConstraintTrigger_' THEN pg_get_triggerdef(t.oid, true) END)
FROM pg_trigger t JOIN pg_class c ON c.oid = tgrelid WHERE relnamespace = {own};

SELECT pg_describe_object('pg_rewrite'::regclass, r.oid, 0),
    to_jsonb(r) - '{oid,ev_class,ev_qual,ev_action}'::text[] || jsonb_build_object('definition', pg_get_ruledef(r.oid, true))
FROM pg_rewrite r JOIN pg_class c ON c.oid = ev_class WHERE relnamespace = {own};

SELECT pg_describe_object('pg_policy'::regclass, p.oid, 0),
    jsonb_build_object('command', polcmd, 'permissive', polpermissive, 'using', pg_get_expr(polqual, polrelid),
        'check', pg_get_expr(polwithcheck, polrelid),
        'roles', (SELECT array_agg(CASE r WHEN 0 THEN 'PUBLIC' ELSE r::regrole::text END ORDER BY r::regrole::text) FROM unnest(polroles) r))
FROM pg_policy p JOIN pg_class c ON c.oid = polrelid WHERE relnamespace = {own};

SELECT pg_describe_object('pg_proc'::regclass, p.oid, 0),
    to_jsonb(p) - '{oid,pronamespace,proargtypes,proallargtypes,proargdefaults,prosqlbody,proconfig,proacl}'::text[]
    || jsonb_build_object('proowner', proowner::regrole, 'provariadic', provariadic::regtype, 'prorettype', prorettype::regtype,
        'prolang', (SELECT lanname FROM pg_language l WHERE l.oid = prolang), 'protrftypes', protrftypes::regtype[],
        'arguments', pg_get_function_arguments(p.oid), 'result', pg_get_function_result(p.oid))
FROM pg_proc p WHERE pronamespace = {own};

SELECT pg_describe_object('pg_proc'::regclass, p.oid, 0),
    jsonb_build_object('setting ' || n || ' ' || split_part(c, '=', 1), substr(c, strpos(c, '=') + 1))
FROM pg_proc p, unnest(proconfig) WITH ORDINALITY u (c, n) WHERE pronamespace = {own};

-- 140000
SELECT pg_describe_object('pg_proc'::regclass, p.oid, 0), jsonb_build_object('sql body', pg_get_function_sqlbody(p.oid))
FROM pg_proc p WHERE pronamespace = {own};

SELECT pg_describe_object('pg_proc'::regclass, p.oid, 0),
    to_jsonb(a) - 'aggfnoid' || jsonb_build_object('aggsortop', aggsortop::regoperator, 'aggtranstype', aggtranstype::regtype,
        'aggmtranstype', aggmtranstype::regtype)
FROM pg_proc p JOIN pg_aggregate a ON aggfnoid = p.oid WHERE pronamespace = {own};

-- The names of array types are made up.
SELECT pg_describe_object('pg_type'::regclass, t.oid, 0),
    to_jsonb(t) - '{oid,typnamespace,typname,typdefaultbin,typtypmod,typacl}'::text[]
    || jsonb_build_object('typowner', typowner::regrole, 'typrelid', typrelid::regclass, 'typelem', typelem::regtype,
        'typarray', typarray <> 0, 'typbasetype', format_type(nullif(typbasetype, 0), typtypmod), 'typcollation', typcollation::regcollation)
FROM pg_type t WHERE typnamespace = {own} AND NOT EXISTS (SELECT FROM pg_type e WHERE e.typarray = t.oid);

SELECT pg_describe_object('pg_type'::regclass, enumtypid, 0),
    jsonb_build_object('label ' || row_number() OVER (PARTITION BY enumtypid ORDER BY enumsortorder), enumlabel)
FROM pg_enum JOIN pg_type t ON t.oid = enumtypid WHERE typnamespace = {own};

SELECT pg_describe_object('pg_type'::regclass, rngtypid, 0),
    to_jsonb(r) - 'rngtypid' || jsonb_build_object('rngsubtype', rngsubtype::regtype, 'rngcollation', rngcollation::regcollation,
        'rngmultitypid', (to_jsonb(r) ->> 'rngmultitypid')::oid::regtype, 'rngsubopc', pg_describe_object('pg_opclass'::regclass, rngsubopc, 0))
FROM pg_range r JOIN pg_type t ON t.oid = rngtypid WHERE typnamespace = {own};

SELECT pg_describe_object('pg_operator'::regclass, q.oid, 0),
    to_jsonb(q) - '{oid,oprnamespace,oprname}'::text[]
    || jsonb_build_object('oprowner', oprowner::regrole, 'oprleft', oprleft::regtype, 'oprright', oprright::regtype, 'oprresult', oprresult::regtype,
        'oprcom', oprcom::regoperator, 'oprnegate', oprnegate::regoperator)
FROM pg_operator q WHERE oprnamespace = {own};

SELECT pg_describe_object('pg_opfamily'::regclass, f.oid, 0), jsonb_build_object('owner', opfowner::regrole)
FROM pg_opfamily f WHERE opfnamespace = {own};

SELECT pg_describe_object('pg_opclass'::regclass, q.oid, 0),
    jsonb_build_object('owner', opcowner::regrole, 'family', pg_describe_object('pg_opfamily'::regclass, opcfamily, 0),
        'type', opcintype::regtype, 'stored', opckeytype::regtype, 'default', opcdefault)
FROM pg_opclass q WHERE opcnamespace = {own};

-- With what each member of a family goes together: its class, or the family alone.
SELECT pg_describe_object('pg_amop'::regclass, m.oid, 0),
    jsonb_build_object('purpose', amoppurpose, 'sorts by', pg_describe_object('pg_opfamily'::regclass, nullif(amopsortfamily, 0), 0),
        'goes with', (SELECT jsonb_agg(w ORDER BY w) FROM (
            SELECT deptype::text || pg_describe_object(refclassid, refobjid, 0) AS w FROM pg_depend
            WHERE classid = 'pg_amop'::regclass AND objid = m.oid AND refclassid IN ('pg_opclass'::regclass, 'pg_opfamily'::regclass)) q))
FROM pg_amop m JOIN pg_opfamily f ON f.oid = amopfamily JOIN pg_operator q ON q.oid = amopopr
WHERE opfnamespace = {own} OR oprnamespace = {own};

SELECT pg_describe_object('pg_amproc'::regclass, m.oid, 0),
    jsonb_build_object('function', amproc::regprocedure, 'goes with', (SELECT jsonb_agg(w ORDER BY w) FROM (
        SELECT deptype::text || pg_describe_object(refclassid, refobjid, 0) AS w FROM pg_depend
        WHERE classid = 'pg_amproc'::regclass AND objid = m.oid AND refclassid IN ('pg_opclass'::regclass, 'pg_opfamily'::regclass)) q))
FROM pg_amproc m JOIN pg_opfamily f ON f.oid = amprocfamily JOIN pg_proc p ON p.oid = amproc
WHERE opfnamespace = {own} OR pronamespace = {own};

SELECT pg_describe_object('pg_cast'::regclass, k.oid, 0),
    jsonb_build_object('function', castfunc::regprocedure, 'context', castcontext, 'method', castmethod)
FROM pg_cast k
WHERE EXISTS (SELECT FROM pg_type t WHERE t.oid IN (castsource, casttarget) AND typnamespace = {own})
    OR EXISTS (SELECT FROM pg_proc p WHERE p.oid = castfunc AND pronamespace = {own});

-- A collation that is copied from one of every encoding is of every encoding, which cannot be asked for.
SELECT pg_describe_object('pg_collation'::regclass, k.oid, 0),
    to_jsonb(k) - '{oid,collnamespace,collname,collencoding}'::text[] || jsonb_build_object('collowner', collowner::regrole)
FROM pg_collation k WHERE collnamespace = {own};

SELECT pg_describe_object('pg_conversion'::regclass, k.oid, 0),
    to_jsonb(k) - '{oid,connamespace,conname}'::text[] || jsonb_build_object('conowner', conowner::regrole)
FROM pg_conversion k WHERE connamespace = {own};

SELECT pg_describe_object('pg_statistic_ext'::regclass, s.oid, 0),
    to_jsonb(s) - '{oid,stxnamespace,stxname,stxkeys,stxexprs}'::text[]
    || jsonb_build_object('stxowner', stxowner::regrole, 'stxrelid', stxrelid::regclass,
        -- Always qualified: its first name is that of the schema.
        'definition', substr(pg_get_statisticsobjdef(s.oid), length('CREATE STATISTICS ' || quote_ident(nspname) || '.') + 1))
FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = stxnamespace WHERE stxnamespace = {own};

SELECT pg_describe_object('pg_ts_parser'::regclass, t.oid, 0), to_jsonb(t) - '{oid,prsname,prsnamespace}'::text[]
FROM pg_ts_parser t WHERE prsnamespace = {own};

SELECT pg_describe_object('pg_ts_template'::regclass, t.oid, 0), to_jsonb(t) - '{oid,tmplname,tmplnamespace}'::text[]
FROM pg_ts_template t WHERE tmplnamespace = {own};

SELECT pg_describe_object('pg_ts_dict'::regclass, t.oid, 0),
    jsonb_build_object('owner', dictowner::regrole, 'template', pg_describe_object('pg_ts_template'::regclass, dicttemplate, 0), 'options', dictinitoption)
FROM pg_ts_dict t WHERE dictnamespace = {own};

SELECT pg_describe_object('pg_ts_config'::regclass, t.oid, 0),
    jsonb_build_object('owner', cfgowner::regrole, 'parser', pg_describe_object('pg_ts_parser'::regclass, cfgparser, 0))
FROM pg_ts_config t WHERE cfgnamespace = {own};

SELECT pg_describe_object('pg_ts_config'::regclass, t.oid, 0),
    jsonb_build_object('mapping ' || maptokentype || '.' || mapseqno, mapdict::regdictionary)
FROM pg_ts_config t JOIN pg_ts_config_map m ON mapcfg = t.oid WHERE cfgnamespace = {own};

SELECT 'default privileges on ' || defaclobjtype::text || ' of ' || defaclrole::regrole,
    jsonb_build_object(privilege_type || ' to ' || coalesce(nullif(grantee, 0)::regrole::text, 'PUBLIC') || ' by ' || grantor::regrole, is_grantable)
FROM pg_default_acl, aclexplode(defaclacl) WHERE defaclnamespace = {own};

-- A grant that is not written out is the default.
WITH granted (o, acl) AS (
    SELECT 'schema', coalesce(nspacl, acldefault('n', nspowner)) FROM pg_namespace WHERE oid = {own}
    UNION ALL
    SELECT pg_describe_object('pg_class'::regclass, oid, 0), coalesce(relacl, acldefault(CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", relowner))
    FROM pg_class WHERE relnamespace = {own} AND relkind NOT IN ('i', 'I', 'c')
    UNION ALL
    SELECT pg_describe_object('pg_class'::regclass, attrelid, attnum), attacl
    FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid WHERE relnamespace = {own} AND NOT attisdropped
    UNION ALL
    SELECT pg_describe_object('pg_proc'::regclass, oid, 0), coalesce(proacl, acldefault('f', proowner)) FROM pg_proc WHERE pronamespace = {own}
    UNION ALL
    SELECT pg_describe_object('pg_type'::regclass, oid, 0), coalesce(typacl, acldefault('T', typowner))
    FROM pg_type t WHERE typnamespace = {own} AND NOT EXISTS (SELECT FROM pg_type e WHERE e.typarray = t.oid))
SELECT o, jsonb_build_object('grant of ' || privilege_type || ' to ' || coalesce(nullif(grantee, 0)::regrole::text, 'PUBLIC') || ' by ' || grantor::regrole, is_grantable)
FROM granted, aclexplode(acl);

-- What members use of other schemas, and comments: of everything that is in the schema or on something in it.
WITH home (classid, objid, ns) AS (
    SELECT 'pg_namespace'::regclass, oid, oid FROM pg_namespace
    UNION ALL SELECT 'pg_class'::regclass, oid, relnamespace FROM pg_class
    UNION ALL SELECT 'pg_type'::regclass, oid, typnamespace FROM pg_type
    UNION ALL SELECT 'pg_proc'::regclass, oid, pronamespace FROM pg_proc
    UNION ALL SELECT 'pg_operator'::regclass, oid, oprnamespace FROM pg_operator
    UNION ALL SELECT 'pg_opclass'::regclass, oid, opcnamespace FROM pg_opclass
    UNION ALL SELECT 'pg_opfamily'::regclass, oid, opfnamespace FROM pg_opfamily
    UNION ALL SELECT 'pg_collation'::regclass, oid, collnamespace FROM pg_collation
    UNION ALL SELECT 'pg_conversion'::regclass, oid, connamespace FROM pg_conversion
    UNION ALL SELECT 'pg_constraint'::regclass, oid, connamespace FROM pg_constraint
    UNION ALL SELECT 'pg_statistic_ext'::regclass, oid, stxnamespace FROM pg_statistic_ext
    UNION ALL SELECT 'pg_ts_config'::regclass, oid, cfgnamespace FROM pg_ts_config
    UNION ALL SELECT 'pg_ts_dict'::regclass, oid, dictnamespace FROM pg_ts_dict
    UNION ALL SELECT 'pg_ts_parser'::regclass, oid, prsnamespace FROM pg_ts_parser
    UNION ALL SELECT 'pg_ts_template'::regclass, oid, tmplnamespace FROM pg_ts_template
    UNION ALL SELECT 'pg_attrdef'::regclass, d.oid, relnamespace FROM pg_attrdef d JOIN pg_class c ON c.oid = adrelid
    UNION ALL SELECT 'pg_trigger'::regclass, t.oid, relnamespace FROM pg_trigger t JOIN pg_class c ON c.oid = tgrelid
    UNION ALL SELECT 'pg_rewrite'::regclass, r.oid, relnamespace FROM pg_rewrite r JOIN pg_class c ON c.oid = ev_class
    UNION ALL SELECT 'pg_policy'::regclass, p.oid, relnamespace FROM pg_policy p JOIN pg_class c ON c.oid = polrelid
    UNION ALL SELECT 'pg_amop'::regclass, m.oid, opfnamespace FROM pg_amop m JOIN pg_opfamily f ON f.oid = amopfamily
    UNION ALL SELECT 'pg_amproc'::regclass, m.oid, opfnamespace FROM pg_amproc m JOIN pg_opfamily f ON f.oid = amprocfamily
    UNION ALL SELECT 'pg_default_acl'::regclass, oid, defaclnamespace FROM pg_default_acl
    -- A cast is in no schema, and so counts where its types are.
    UNION SELECT 'pg_cast'::regclass, k.oid, typnamespace FROM pg_cast k JOIN pg_type t ON t.oid IN (castsource, casttarget)
        WHERE typnamespace <> 'pg_catalog'::regnamespace),
uses (o, p) AS (
    -- The triggers and rows that a foreign key to partitions brings have made-up names.
    SELECT CASE d.classid WHEN 'pg_trigger'::regclass THEN regexp_replace(pg_describe_object(d.classid, d.objid, 0), '^trigger "?(RI|PK|Unique)_ConstraintTrigger_(.)_\d+', 'trigger \1_\2')
            WHEN 'pg_constraint'::regclass THEN (
                SELECT CASE WHEN p.oid IS NULL THEN pg_describe_object(d.classid, d.objid, 0) ELSE pg_describe_object('pg_constraint'::regclass, p.oid, 0) || ' for a partition' END
                FROM pg_constraint k LEFT JOIN pg_constraint p ON p.oid = k.conparentid AND p.conrelid = k.conrelid WHERE k.oid = d.objid)
            ELSE pg_describe_object(d.classid, d.objid, d.objsubid) END,
        jsonb_build_object('uses ' || d.deptype::text, regexp_replace(pg_describe_object(refclassid, refobjid, refobjsubid), '"?(RI|PK|Unique)_ConstraintTrigger_(.)_\d+"?', '\1_\2'))
    FROM pg_depend d JOIN home h USING (classid, objid) JOIN home r ON r.classid = refclassid AND r.objid = refobjid
    WHERE h.ns = {own} AND r.ns NOT IN ({own}, 'pg_catalog'::regnamespace)),
said (o, p) AS (
    SELECT CASE WHEN classoid = 'pg_namespace'::regclass THEN 'schema' ELSE pg_describe_object(classoid, objoid, objsubid) END,
        jsonb_build_object('comment', description)
    FROM pg_description JOIN home h ON classid = classoid AND objid = objoid WHERE ns = {own})
SELECT o, p FROM uses UNION ALL SELECT o, p FROM said;
