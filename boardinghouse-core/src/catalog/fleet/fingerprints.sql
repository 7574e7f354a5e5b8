-- The lines that a schema's structure is hashed from: one query for each kind of thing, of all schemas at once,
-- with the namespace and a text in which neither its own name nor an oid of its own occurs. What begins with
-- "many" has many rows in every schema.
--
-- Numbers of columns are as they are, so that a table that has lost a column has other lines than one that
-- never had it; and so may have two spellings of one expression. Equal lines mean equal structure; other
-- lines need not mean another one.
--
-- Nothing is called that locks what it writes about until the transaction ends, as pg_get_viewdef does, or
-- that has the server build its picture of each table, as pg_get_expr does for what names a column: views,
-- rules, policies, conditions and parsed bodies are read as trees, with the schema's own oids as names.

SELECT n.oid, ROW('n', n.nspowner, n.nspacl)::text FROM pg_namespace n;
-- many
SELECT c.relnamespace, ROW('r', c.relname, c.relkind, c.relpersistence, c.relowner, c.relacl, c.reloptions,
    c.relam, c.reltablespace, c.relreplident, c.relrowsecurity, c.relforcerowsecurity, c.relispartition,
    c.relispopulated)::text
FROM pg_class c WHERE c.oid >= 16384 AND c.relnamespace <> 'pg_toast'::regnamespace;
SELECT c.relnamespace, ROW('r toast', c.relname, t.reloptions)::text
FROM (SELECT t.oid, t.reloptions FROM pg_class t WHERE t.relkind = 't' AND t.reloptions IS NOT NULL OFFSET 0) t
JOIN pg_class c ON c.reltoastrelid = t.oid AND c.reltoastrelid <> 0;
SELECT c.relnamespace, ROW('r of', c.relname, replace(format_type(c.reloftype, NULL), c.relnamespace::regnamespace || '.', E'\x01'))::text
FROM pg_class c WHERE c.reloftype <> 0;
SELECT c.relnamespace, ROW('r partition', c.relname, CASE WHEN c.relkind = 'p' THEN
        replace(pg_get_partkeydef(c.oid), c.relnamespace::regnamespace || '.', E'\x01') END,
    replace(pg_get_expr(c.relpartbound, c.oid), c.relnamespace::regnamespace || '.', E'\x01'))::text
FROM pg_class c WHERE c.relkind = 'p' OR c.relispartition;
SELECT c.relnamespace, ROW('r foreign', c.relname, f.ftserver, f.ftoptions)::text
FROM pg_foreign_table f JOIN pg_class c ON c.oid = f.ftrelid;
SELECT c.relnamespace, ROW('h', c.relname, CASE WHEN p.relnamespace = c.relnamespace THEN p.relname::text
    ELSE p.oid::text END, h.inhseqno)::text
FROM pg_inherits h JOIN pg_class c ON c.oid = h.inhrelid JOIN pg_class p ON p.oid = h.inhparent;
-- many
SELECT c.relnamespace, ROW('a', c.relname, a.attnum, a.attname, CASE WHEN a.atttypid < 16384
        THEN a.atttypid::text ELSE replace(format_type(a.atttypid, a.atttypmod), c.relnamespace::regnamespace || '.', E'\x01') END,
    a.atttypmod, a.attnotnull, a.attidentity, a.attgenerated, a.attstorage, CASE WHEN a.attcollation < 16384
        THEN a.attcollation::text ELSE replace(a.attcollation::regcollation::text, c.relnamespace::regnamespace || '.', E'\x01') END,
    coalesce(a.attstattarget, -1), a.attacl, a.attoptions, a.attfdwoptions, a.attislocal,
    a.attinhcount {compression})::text
FROM pg_attribute a
JOIN pg_class c ON c.oid = a.attrelid AND (c.relkind IN ('r', 'p', 'v', 'm', 'c', 'f') OR a.attstattarget >= 0)
WHERE a.attnum > 0 AND NOT a.attisdropped AND a.attrelid >= 16384;
-- many
SELECT c.relnamespace, ROW('d', c.relname, d.adnum, CASE WHEN strpos(d.adbin::text, '{VAR ') = 0
    THEN replace(pg_get_expr(d.adbin, 0), c.relnamespace::regnamespace || '.', E'\x01')
    ELSE CASE WHEN d.adbin::text !~ {own} THEN regexp_replace(d.adbin::text, ':location -?[0-9]+', '', 'g') END END)::text
FROM pg_attrdef d JOIN pg_class c ON c.oid = d.adrelid AND c.relkind IN ('r', 'p', 'v', 'm', 'f');
-- many
SELECT c.relnamespace, ROW('k', c.relname, k.conname, k.contype, k.condeferrable, k.condeferred,
    k.convalidated, k.conislocal, k.coninhcount, k.connoinherit, k.conkey, k.confkey,
    CASE WHEN f.relnamespace = c.relnamespace THEN f.relname::text ELSE k.confrelid::text END,
    k.confupdtype, k.confdeltype, k.confmatchtype, k.conparentid <> 0,
    CASE WHEN k.conbin::text !~ {own} THEN regexp_replace(k.conbin::text, ':location -?[0-9]+', '', 'g') END,
    CASE WHEN k.contype = 'x' THEN replace(pg_get_constraintdef(k.oid), c.relnamespace::regnamespace || '.', E'\x01') END
    {constraint})::text
FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid AND c.relkind IN ('r', 'p', 'f')
LEFT JOIN pg_class f ON f.oid = k.confrelid AND k.confrelid <> 0 AND f.relkind IN ('r', 'p')
WHERE k.conrelid <> 0 AND k.contype <> 't';
SELECT t.typnamespace, ROW('k domain', t.typname, k.conname, k.contype, k.convalidated,
    replace(pg_get_constraintdef(k.oid), t.typnamespace::regnamespace || '.', E'\x01'))::text
FROM pg_constraint k JOIN pg_type t ON t.oid = k.contypid
WHERE k.contypid <> 0;
-- many
SELECT c.relnamespace, ROW('i', c.relname, t.relname, i.indnatts, i.indnkeyatts, i.indisunique,
    i.indisprimary, i.indisexclusion, i.indimmediate, i.indisclustered, i.indisvalid, i.indisready,
    i.indislive, i.indisreplident, i.indkey, i.indoption,
    CASE WHEN i.indexprs::text !~ {own} THEN regexp_replace(i.indexprs::text, ':location -?[0-9]+', '', 'g') END,
    CASE WHEN i.indpred::text !~ {own} THEN regexp_replace(i.indpred::text, ':location -?[0-9]+', '', 'g') END,
    CASE WHEN i.indclass::text ~ '[0-9]{5}' OR i.indcollation::text ~ '[0-9]{5}' THEN (
        SELECT string_agg(ROW(x.opcname, CASE WHEN x.opcnamespace <> c.relnamespace THEN x.opcnamespace END,
            replace(u.place::regcollation::text, c.relnamespace::regnamespace || '.', E'\x01'))::text,
            ' ' ORDER BY u.nr)
        FROM ROWS FROM (unnest(i.indclass), unnest(i.indcollation)) WITH ORDINALITY u (class, place, nr)
        LEFT JOIN pg_opclass x ON x.oid = u.class)
        ELSE ROW(i.indclass, i.indcollation)::text END {index})::text
FROM pg_index i
JOIN pg_class c ON c.oid = i.indexrelid AND c.relkind IN ('i', 'I')
JOIN pg_class t ON t.oid = i.indrelid AND t.relkind IN ('r', 'p', 'm');
SELECT c.relnamespace, ROW('t', c.relname, g.tgname, g.tgtype, g.tgenabled, g.tgisinternal, g.tgdeferrable,
    g.tginitdeferred, g.tgattr, g.tgargs, g.tgoldtable, g.tgnewtable, g.tgparentid <> 0,
    CASE WHEN p.pronamespace = c.relnamespace THEN p.proname::text ELSE p.oid::text END,
    CASE WHEN f.relnamespace = c.relnamespace THEN f.relname::text ELSE g.tgconstrrelid::text END,
    CASE WHEN g.tgqual::text !~ {own} THEN regexp_replace(g.tgqual::text, ':location -?[0-9]+', '', 'g') END)::text
FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid
JOIN pg_proc p ON p.oid = g.tgfoid
LEFT JOIN pg_class f ON f.oid = g.tgconstrrelid AND g.tgconstrrelid <> 0
WHERE NOT g.tgisinternal OR g.tgenabled <> 'O';
-- many
SELECT c.relnamespace, ROW('s', c.relname, s.seqtypid, s.seqstart, s.seqincrement, s.seqmax, s.seqmin,
    s.seqcache, s.seqcycle, CASE WHEN t.relnamespace = c.relnamespace THEN t.relname::text ELSE t.oid::text END,
    d.refobjsubid, d.deptype)::text
FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid AND c.relkind = 'S'
LEFT JOIN LATERAL (
    SELECT d.refobjid, d.refobjsubid, d.deptype FROM pg_depend d
    WHERE d.classid = 'pg_class'::regclass AND d.objid = s.seqrelid AND d.objsubid = 0
      AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i') AND d.refobjsubid > 0
    OFFSET 0
) d ON true
LEFT JOIN pg_class t ON t.oid = d.refobjid;
SELECT p.pronamespace, ROW('f', p.proname,
    replace(pg_get_function_arguments(p.oid), p.pronamespace::regnamespace || '.', E'\x01'),
    replace(pg_get_function_result(p.oid), p.pronamespace::regnamespace || '.', E'\x01'), p.prokind, p.prolang, p.provolatile,
    p.proisstrict, p.prosecdef, p.proleakproof, p.proretset, p.proparallel, p.procost, p.prorows,
    replace(p.prosupport::text, p.pronamespace::regnamespace || '.', E'\x01'), p.proowner, p.proacl, p.probin,
    (SELECT string_agg(replace(format_type(u.type, NULL), p.pronamespace::regnamespace || '.', E'\x01'), ' ' ORDER BY u.nr)
     FROM unnest(p.protrftypes) WITH ORDINALITY u (type, nr)),
    CASE WHEN strpos(p.proconfig::text, o.nspname) = 0 THEN p.proconfig::text
        ELSE replace(p.proconfig::text, o.nspname, E'\x01') END,
    CASE WHEN strpos(p.prosrc, o.nspname) = 0 THEN p.prosrc
        ELSE replace(replace(p.prosrc, '"' || o.nspname || '"', E'\x02'), o.nspname, E'\x01') END)::text
FROM pg_proc p JOIN pg_namespace o ON o.oid = p.pronamespace WHERE p.oid >= 16384;
SELECT p.pronamespace, replace(ROW('g', p.oid::regprocedure, a.aggkind, a.aggnumdirectargs,
    a.aggtransfn::oid::regprocedure, a.aggfinalfn::oid::regprocedure, a.aggcombinefn::oid::regprocedure,
    a.aggserialfn::oid::regprocedure, a.aggdeserialfn::oid::regprocedure, a.aggmtransfn::oid::regprocedure,
    a.aggminvtransfn::oid::regprocedure, a.aggmfinalfn::oid::regprocedure, a.aggfinalextra,
    a.aggmfinalextra, a.aggfinalmodify, a.aggmfinalmodify, a.aggsortop::regoperator,
    format_type(a.aggtranstype, NULL), a.aggtransspace, format_type(a.aggmtranstype, NULL),
    a.aggmtransspace, a.agginitval, a.aggminitval)::text, p.pronamespace::regnamespace || '.', E'\x01')
FROM pg_aggregate a JOIN pg_proc p ON p.oid = a.aggfnoid
WHERE a.aggfnoid >= 16384;
SELECT t.typnamespace, ROW('y', t.typname, t.typtype, t.typowner, t.typacl, t.typnotnull, t.typisdefined,
    CASE WHEN t.typtype = 'd' THEN
        replace(format_type(t.typbasetype, t.typtypmod), t.typnamespace::regnamespace || '.', E'\x01') END,
    CASE WHEN t.typcollation < 16384 THEN t.typcollation::text
        ELSE replace(t.typcollation::regcollation::text, t.typnamespace::regnamespace || '.', E'\x01') END,
    replace(pg_get_expr(t.typdefaultbin, 0), t.typnamespace::regnamespace || '.', E'\x01'), t.typdefaultbin IS NULL,
    CASE WHEN t.typdefaultbin IS NULL THEN t.typdefault END,
    CASE WHEN t.typtype = 'b' THEN replace(ROW(t.typinput, t.typoutput, t.typlen, t.typbyval, t.typalign,
        t.typstorage, t.typcategory)::text, t.typnamespace::regnamespace || '.', E'\x01') END)::text
FROM pg_type t
WHERE t.oid >= 16384 AND (t.typacl IS NOT NULL OR t.typtype IN ('e', 'd', 'r', 'm', 'p')
    OR t.typtype = 'b' AND t.typelem = 0);
SELECT t.typnamespace, ROW('y type of', c.relname, t.typowner)::text
FROM pg_class c JOIN pg_type t ON t.oid = c.reltype WHERE c.relkind = 'c';
SELECT t.typnamespace, ROW('e', t.typname, e.enumlabel, e.enumsortorder)::text
FROM pg_enum e JOIN pg_type t ON t.oid = e.enumtypid;
SELECT t.typnamespace, replace(ROW('q', t.typname, format_type(r.rngsubtype, NULL),
    r.rngcollation::regcollation, r.rngcanonical, r.rngsubdiff,
    (SELECT x.opcname || ' ' || x.opcnamespace::regnamespace FROM pg_opclass x
     WHERE x.oid = r.rngsubopc), CASE WHEN r.rngsubopc < 16384 THEN r.rngsubopc END {range})::text,
     t.typnamespace::regnamespace || '.', E'\x01')
FROM pg_range r JOIN pg_type t ON t.oid = r.rngtypid;
SELECT x.stxnamespace, ROW('x', x.stxname, c.relname, x.stxowner, coalesce(x.stxstattarget, -1),
    replace(pg_get_statisticsobjdef(x.oid), x.stxnamespace::regnamespace || '.', E'\x01'))::text
FROM pg_statistic_ext x JOIN pg_class c ON c.oid = x.stxrelid;
SELECT d.defaclnamespace, ROW('default', d.defaclrole, d.defaclobjtype, d.defaclacl)::text
FROM pg_default_acl d WHERE d.defaclnamespace <> 0;
SELECT o.oprnamespace, replace(ROW('operator', o.oid::regoperator, o.oprowner, o.oprcode, o.oprrest,
    o.oprjoin, o.oprcom::regoperator, o.oprnegate::regoperator, o.oprcanmerge, o.oprcanhash)::text,
    o.oprnamespace::regnamespace || '.', E'\x01')
FROM pg_operator o;
SELECT c.opcnamespace, replace(ROW('class', c.opcname, m.amname, c.opcowner, f.opfname, f.opfnamespace::regnamespace || '.',
    c.opcdefault, format_type(c.opcintype, NULL), format_type(c.opckeytype, NULL))::text, c.opcnamespace::regnamespace || '.', E'\x01')
FROM pg_opclass c JOIN pg_am m ON m.oid = c.opcmethod
JOIN pg_opfamily f ON f.oid = c.opcfamily;
SELECT f.opfnamespace, ROW('family', f.opfname, m.amname, f.opfowner)::text
FROM pg_opfamily f JOIN pg_am m ON m.oid = f.opfmethod WHERE f.oid >= 16384;
SELECT f.opfnamespace, replace(ROW('family operator', f.opfname, m.amname, a.amopstrategy, a.amoppurpose,
    a.amopopr::regoperator, s.opfname, d.refclassid, c.opcname)::text, f.opfnamespace::regnamespace || '.', E'\x01')
FROM pg_opfamily f JOIN pg_am m ON m.oid = f.opfmethod
JOIN pg_amop a ON a.amopfamily = f.oid LEFT JOIN pg_opfamily s ON s.oid = a.amopsortfamily
JOIN pg_depend d ON d.classid = 'pg_amop'::regclass AND d.objid = a.oid
    AND d.refclassid IN ('pg_opclass'::regclass, 'pg_opfamily'::regclass)
LEFT JOIN pg_opclass c ON c.oid = d.refobjid AND d.refclassid = 'pg_opclass'::regclass;
SELECT f.opfnamespace, replace(ROW('family function', f.opfname, m.amname, a.amprocnum,
    format_type(a.amproclefttype, NULL), format_type(a.amprocrighttype, NULL),
    a.amproc::oid::regprocedure, d.refclassid, c.opcname)::text, f.opfnamespace::regnamespace || '.', E'\x01')
FROM pg_opfamily f JOIN pg_am m ON m.oid = f.opfmethod
JOIN pg_amproc a ON a.amprocfamily = f.oid
JOIN pg_depend d ON d.classid = 'pg_amproc'::regclass AND d.objid = a.oid
    AND d.refclassid IN ('pg_opclass'::regclass, 'pg_opfamily'::regclass)
LEFT JOIN pg_opclass c ON c.oid = d.refobjid AND d.refclassid = 'pg_opclass'::regclass;
SELECT t.typnamespace, replace(ROW('cast', format_type(c.castsource, NULL), format_type(c.casttarget, NULL),
    CASE WHEN c.castfunc <> 0 THEN c.castfunc::regprocedure END, c.castcontext, c.castmethod)::text,
    t.typnamespace::regnamespace || '.', E'\x01')
FROM pg_cast c JOIN pg_type t ON t.oid IN (c.castsource, c.casttarget)
WHERE c.castsource >= 16384 OR c.casttarget >= 16384;
SELECT c.collnamespace, (to_jsonb(c) - 'oid' - 'collnamespace')::text
FROM pg_collation c WHERE c.oid >= 16384;
SELECT c.connamespace, replace(ROW('conversion', c.conname, c.conowner, c.conforencoding, c.contoencoding,
    c.conproc, c.condefault)::text, c.connamespace::regnamespace || '.', E'\x01')
FROM pg_conversion c;
SELECT c.cfgnamespace, replace(ROW('configuration', c.cfgname, c.cfgowner, p.prsname, p.prsnamespace::regnamespace || '.')::text,
    c.cfgnamespace::regnamespace || '.', E'\x01')
FROM pg_ts_config c JOIN pg_ts_parser p ON p.oid = c.cfgparser;
SELECT c.cfgnamespace, replace(ROW('mapping', c.cfgname, m.maptokentype, m.mapseqno,
    m.mapdict::regdictionary)::text, c.cfgnamespace::regnamespace || '.', E'\x01')
FROM pg_ts_config_map m JOIN pg_ts_config c ON c.oid = m.mapcfg;
SELECT d.dictnamespace, replace(ROW('dictionary', d.dictname, d.dictowner, t.tmplname, t.tmplnamespace::regnamespace || '.',
    d.dictinitoption)::text, d.dictnamespace::regnamespace || '.', E'\x01')
FROM pg_ts_dict d JOIN pg_ts_template t ON t.oid = d.dicttemplate;
SELECT p.prsnamespace, replace(ROW('parser', p.prsname, p.prsstart, p.prstoken, p.prsend, p.prsheadline,
    p.prslextype)::text, p.prsnamespace::regnamespace || '.', E'\x01')
FROM pg_ts_parser p;
SELECT t.tmplnamespace, replace(ROW('template', t.tmplname, t.tmplinit, t.tmpllexize)::text,
    t.tmplnamespace::regnamespace || '.', E'\x01')
FROM pg_ts_template t;
SELECT e.extnamespace, ROW('extension', e.extname, e.extversion)::text FROM pg_extension e;
SELECT coalesce(c.relnamespace, p.pronamespace, t.typnamespace), ROW('of extension', d.refobjid, d.deptype,
    c.relname, p.proname, t.typname)::text
FROM pg_depend d
LEFT JOIN pg_class c ON c.oid = d.objid AND d.classid = 'pg_class'::regclass
LEFT JOIN pg_proc p ON p.oid = d.objid AND d.classid = 'pg_proc'::regclass
LEFT JOIN pg_type t ON t.oid = d.objid AND d.classid = 'pg_type'::regclass
WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype IN ('e', 'x') AND d.objid >= 16384;
SELECT c.relnamespace, ROW('publication', c.relname, r.prpubid)::text
FROM pg_publication_rel r JOIN pg_class c ON c.oid = r.prrelid;
SELECT coalesce(c.relnamespace, p.pronamespace, t.typnamespace, n.oid), ROW('label', c.relname, p.proname,
    t.typname, l.objsubid, l.provider, l.label)::text
FROM pg_seclabel l
LEFT JOIN pg_class c ON c.oid = l.objoid AND l.classoid = 'pg_class'::regclass
LEFT JOIN pg_proc p ON p.oid = l.objoid AND l.classoid = 'pg_proc'::regclass
LEFT JOIN pg_type t ON t.oid = l.objoid AND l.classoid = 'pg_type'::regclass
LEFT JOIN pg_namespace n ON n.oid = l.objoid AND l.classoid = 'pg_namespace'::regclass;
SELECT d.ns, replace(ROW('comment', d.classoid, d.label, d.objsubid, d.description)::text,
    d.ns::regnamespace || '.', E'\x01')
FROM (
    SELECT c.relnamespace, d.classoid, c.relname::text, d.objsubid, d.description
    FROM pg_description d JOIN pg_class c ON c.oid = d.objoid
    WHERE d.classoid = 'pg_class'::regclass AND d.objoid >= 16384
  UNION ALL
    SELECT coalesce(c.relnamespace, t.typnamespace),
        d.classoid, concat_ws(' ', c.relname, t.typname, k.conname), 0, d.description
    FROM pg_description d JOIN pg_constraint k ON k.oid = d.objoid
    LEFT JOIN pg_class c ON c.oid = k.conrelid LEFT JOIN pg_type t ON t.oid = k.contypid
    WHERE d.classoid = 'pg_constraint'::regclass
  UNION ALL
    SELECT c.relnamespace, d.classoid, c.relname || ' ' || g.tgname, 0, d.description
    FROM pg_description d JOIN pg_trigger g ON g.oid = d.objoid JOIN pg_class c ON c.oid = g.tgrelid
    WHERE d.classoid = 'pg_trigger'::regclass
  UNION ALL
    SELECT c.relnamespace, d.classoid, c.relname || ' ' || g.rulename, 0, d.description
    FROM pg_description d JOIN pg_rewrite g ON g.oid = d.objoid JOIN pg_class c ON c.oid = g.ev_class
    WHERE d.classoid = 'pg_rewrite'::regclass
  UNION ALL
    SELECT c.relnamespace, d.classoid, c.relname || ' ' || g.polname, 0, d.description
    FROM pg_description d JOIN pg_policy g ON g.oid = d.objoid JOIN pg_class c ON c.oid = g.polrelid
    WHERE d.classoid = 'pg_policy'::regclass
  UNION ALL
    SELECT p.pronamespace, d.classoid, p.oid::regprocedure::text, 0, d.description
    FROM pg_description d JOIN pg_proc p ON p.oid = d.objoid
    WHERE d.classoid = 'pg_proc'::regclass AND d.objoid >= 16384
  UNION ALL
    SELECT t.typnamespace, d.classoid, t.typname::text, 0, d.description
    FROM pg_description d JOIN pg_type t ON t.oid = d.objoid
    WHERE d.classoid = 'pg_type'::regclass AND d.objoid >= 16384
  UNION ALL
    SELECT d.objoid, d.classoid, '', 0, d.description
    FROM pg_description d WHERE d.classoid = 'pg_namespace'::regclass
  UNION ALL
    SELECT coalesce(x.stxnamespace, r.oprnamespace, oc.opcnamespace, f.opfnamespace, co.collnamespace,
            cv.connamespace, tc.cfgnamespace, td.dictnamespace, tp.prsnamespace, tt.tmplnamespace,
            ct.typnamespace),
        d.classoid, concat_ws(' ', x.stxname, r.oid::regoperator, oc.opcname, oc.opcmethod, f.opfname,
            f.opfmethod, co.collname, cv.conname, tc.cfgname, td.dictname, tp.prsname, tt.tmplname,
            format_type(ca.castsource, NULL), format_type(ca.casttarget, NULL)),
        0, d.description
    FROM pg_description d
    LEFT JOIN pg_statistic_ext x ON x.oid = d.objoid AND d.classoid = 'pg_statistic_ext'::regclass
    LEFT JOIN pg_operator r ON r.oid = d.objoid AND d.classoid = 'pg_operator'::regclass
    LEFT JOIN pg_opclass oc ON oc.oid = d.objoid AND d.classoid = 'pg_opclass'::regclass
    LEFT JOIN pg_opfamily f ON f.oid = d.objoid AND d.classoid = 'pg_opfamily'::regclass
    LEFT JOIN pg_collation co ON co.oid = d.objoid AND d.classoid = 'pg_collation'::regclass
    LEFT JOIN pg_conversion cv ON cv.oid = d.objoid AND d.classoid = 'pg_conversion'::regclass
    LEFT JOIN pg_ts_config tc ON tc.oid = d.objoid AND d.classoid = 'pg_ts_config'::regclass
    LEFT JOIN pg_ts_dict td ON td.oid = d.objoid AND d.classoid = 'pg_ts_dict'::regclass
    LEFT JOIN pg_ts_parser tp ON tp.oid = d.objoid AND d.classoid = 'pg_ts_parser'::regclass
    LEFT JOIN pg_ts_template tt ON tt.oid = d.objoid AND d.classoid = 'pg_ts_template'::regclass
    LEFT JOIN pg_cast ca ON ca.oid = d.objoid AND d.classoid = 'pg_cast'::regclass
    LEFT JOIN pg_type ct ON ct.oid = CASE WHEN ca.castsource >= 16384 THEN ca.castsource
                                          ELSE ca.casttarget END
    WHERE d.objoid >= 16384 AND d.classoid NOT IN ('pg_class'::regclass, 'pg_constraint'::regclass,
        'pg_trigger'::regclass, 'pg_rewrite'::regclass, 'pg_policy'::regclass, 'pg_proc'::regclass,
        'pg_type'::regclass, 'pg_namespace'::regclass)
) d (ns, classoid, label, objsubid, description);
SELECT c.relnamespace, ROW('w', c.relname, w.rulename, w.ev_type, w.ev_enabled, w.is_instead)::text
FROM pg_rewrite w JOIN pg_class c ON c.oid = w.ev_class WHERE w.oid >= 16384;
SELECT c.relnamespace, ROW('p', c.relname, p.polname, p.polcmd, p.polpermissive, p.polroles)::text
FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid;
-- many
SELECT x.ns, CASE WHEN token.nr = 0 THEN ROW(x.label, part.nr, replace(
        regexp_replace(part.text, '\m[0-9]{5,10}\M|:constvalue 4 \[ [-0-9 ]+\]', '#', 'g'), x.ns::regnamespace || '.', E'\x01'))::text
    ELSE ROW(x.label, part.nr, token.nr, CASE
        WHEN coalesce(c.oid, t.oid, p.oid, r.oid, l.oid, v.oid) IS NULL THEN token.text ELSE replace(
            ROW(c.relname, t.typname, p.oid::regprocedure, r.oid::regoperator, l.collname, v.typname,
                CASE WHEN v.oid IS NOT NULL THEN e.enumlabel END)::text,
            x.ns::regnamespace || '.', E'\x01') END)::text END
FROM (
    SELECT c.relnamespace, ROW('w', c.relname, w.rulename)::text,
        ARRAY[w.ev_qual::text, w.ev_action::text]
    FROM pg_rewrite w JOIN pg_class c ON c.oid = w.ev_class WHERE w.oid >= 16384
  UNION ALL
    SELECT c.relnamespace, ROW('p', c.relname, p.polname)::text,
        ARRAY[p.polqual::text, p.polwithcheck::text]
    FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid
  UNION ALL
    SELECT c.relnamespace, ROW('d', c.relname, d.adnum)::text, ARRAY[d.adbin::text]
    FROM pg_attrdef d JOIN pg_class c ON c.oid = d.adrelid
    WHERE strpos(d.adbin::text, '{VAR ') > 0 AND d.adbin::text ~ {own}
  UNION ALL
    SELECT c.relnamespace, ROW('k', c.relname, k.conname)::text, ARRAY[k.conbin::text]
    FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid WHERE k.conbin::text ~ {own}
  UNION ALL
    SELECT c.relnamespace, ROW('i', c.relname)::text, ARRAY[i.indexprs::text, i.indpred::text]
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
    WHERE i.indexprs::text ~ {own} OR i.indpred::text ~ {own}
  UNION ALL
    SELECT c.relnamespace, ROW('t', c.relname, g.tgname)::text, ARRAY[g.tgqual::text]
    FROM pg_trigger g JOIN pg_class c ON c.oid = g.tgrelid WHERE g.tgqual::text ~ {own}
  {bodies}
) x (ns, label, trees)
CROSS JOIN LATERAL (
    SELECT nr, regexp_replace(tree, ':(location|stmt_location|stmt_len) -?[0-9]+', '', 'g')
    FROM unnest(x.trees) WITH ORDINALITY u (tree, nr) WHERE tree IS NOT NULL
) part (nr, text)
CROSS JOIN LATERAL (
    SELECT 0, '', 0::oid
  UNION ALL
    -- The value of an enum, or of regclass and the like, is an oid, too: four bytes, the lowest first.
    SELECT m.nr, m.found[1], CASE
        WHEN m.found[1] LIKE ':%' THEN (
            SELECT ((b.v[1] & 255)::int8 + (b.v[2] & 255)::int8 * 256 + (b.v[3] & 255)::int8 * 65536
                + (b.v[4] & 255)::int8 * 16777216)::oid
            FROM (SELECT string_to_array(btrim(substr(m.found[1], 15), '[ ]'), ' ')::int4[]) b (v))
        WHEN m.found[1]::int8 < 4294967296 THEN m.found[1]::int8::oid END
    FROM regexp_matches(part.text, '\m[0-9]{5,10}\M|:constvalue 4 \[ [-0-9 ]+\]', 'g') WITH ORDINALITY m (found, nr)
) token (nr, text, oid)
LEFT JOIN pg_class c ON c.oid = token.oid AND token.oid >= 16384 AND c.relnamespace = x.ns
LEFT JOIN pg_type t ON t.oid = token.oid AND token.oid >= 16384 AND t.typnamespace = x.ns
LEFT JOIN pg_proc p ON p.oid = token.oid AND token.oid >= 16384 AND p.pronamespace = x.ns
LEFT JOIN pg_operator r ON r.oid = token.oid AND token.oid >= 16384 AND r.oprnamespace = x.ns
LEFT JOIN pg_collation l ON l.oid = token.oid AND token.oid >= 16384 AND l.collnamespace = x.ns
LEFT JOIN pg_enum e ON e.oid = token.oid AND token.oid >= 16384
LEFT JOIN pg_type v ON v.oid = e.enumtypid AND v.typnamespace = x.ns
