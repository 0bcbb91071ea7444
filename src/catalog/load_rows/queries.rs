//! What is asked of the server.

/// A part of the catalog that one query reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// `pg_class`, with parents, view definitions and whether there are rules.
    Relations,
    /// `pg_attribute`, with the expressions of generated columns.
    Columns,
    /// `pg_type`, with what it is built of.
    Types,
    /// `pg_enum`, in order.
    EnumLabels,
    /// `pg_proc`, with bodies and extensions.
    Functions,
    /// Every role, with each role that it holds directly or through others.
    Memberships,
    /// `pg_constraint`: which columns hold values of which others.
    ForeignKeys,
    /// `pg_depend`, `pg_operator`, `pg_cast`: functions of users that run without being named.
    Dependencies,
}

impl Part {
    /// All parts, in the order that [`super::Loader::row`] wants them.
    pub const ALL: [Self; 8] = [
        Self::Relations,
        Self::Columns,
        Self::Types,
        Self::EnumLabels,
        Self::Functions,
        Self::Memberships,
        Self::ForeignKeys,
        Self::Dependencies,
    ];

    /// The query that reads this part from a server of this version (`server_version_num`, such as 150018).
    pub fn query(self, server_version: u32) -> String {
        // BEGIN ATOMIC bodies and multiranges came with 14.
        let (printed, multirange) = if server_version >= 140_000 {
            ("p.prosqlbody IS NOT NULL", "(SELECT r.rngtypid FROM pg_catalog.pg_range r WHERE r.rngmultitypid = t.oid)")
        } else {
            ("false", "NULL::pg_catalog.oid")
        };
        match self {
            Self::Relations => format!("{}{RELATIONS}", printable(DEFINED_VIEWS)),
            Self::Columns => format!("{}{COLUMNS}", printable(DEFINED_COLUMNS)),
            Self::Types => TYPES.replace("{multirange}", multirange),
            Self::EnumLabels => ENUM_LABELS.to_owned(),
            Self::Functions => {
                let sql_body = if server_version >= 140_000 { PRINTED_BODY } else { "p.prosrc" };
                let functions = FUNCTIONS.replace("{sql_body}", sql_body);
                format!("{}{functions}", printable(&DEFINED_FUNCTIONS.replace("{printed}", printed)))
            }
            Self::Memberships => MEMBERSHIPS.to_owned(),
            Self::ForeignKeys => FOREIGN_KEYS.to_owned(),
            Self::Dependencies => DEPENDENCIES.to_owned(),
        }
    }
}

/// One of the catalogs that [`fingerprint_query`] and [`look_query`] look at.
struct Fingerprinted {
    /// Its rows, as `x`.
    rows: &'static str,
    /// Which of them matter.
    condition: &'static str,
    /// A number that tells its objects apart.
    key: &'static str,
    /// What else than the key may change of a row: its version, by default.
    version: &'static str,
    /// Whether a row is about something temporary.
    temporary: &'static str,
    /// Whether a row is about something that users have made: by an index, where there are many that are not. `None`: no look
    /// is needed.
    made: Option<&'static str>,
}

const fn small(rows: &'static str, key: &'static str) -> Fingerprinted {
    let version = "x.xmin::pg_catalog.text";
    Fingerprinted { rows, condition: "true", key, version, temporary: "false", made: Some("true") }
}

const fn with_oids(rows: &'static str) -> Fingerprinted {
    Fingerprinted { made: Some("x.oid >= 16384"), ..small(rows, "x.oid::pg_catalog.int8") }
}

const OF_TEMPORARY_SCHEMAS: &str =
    "x.typnamespace IN (SELECT n.oid FROM pg_catalog.pg_namespace n WHERE n.nspname ~ '^pg_(toast_)?temp_')";

const FINGERPRINTED: [Fingerprinted; 20] = [
    Fingerprinted {
        condition: "x.relkind NOT IN ('i', 'I')",
        // TRUNCATE, VACUUM FULL and the like give a relation other files, and its row another version
        version: "pg_catalog.concat_ws(' ', x.relname, x.relnamespace, x.relkind, x.reltype)",
        temporary: "x.relpersistence = 't'",
        ..with_oids("pg_class")
    },
    Fingerprinted {
        temporary: "x.attrelid IN (SELECT oid FROM temporary)",
        made: Some("x.attrelid >= 16384"),
        ..small("pg_attribute", "(x.attrelid::pg_catalog.int8 << 16) | (x.attnum::pg_catalog.int8 & 65535)")
    },
    Fingerprinted { temporary: "x.adrelid IN (SELECT oid FROM temporary)", ..with_oids("pg_attrdef") },
    Fingerprinted { temporary: "x.ev_class IN (SELECT oid FROM temporary)", ..with_oids("pg_rewrite") },
    small("pg_inherits", "(x.inhrelid::pg_catalog.int8 << 32) | x.inhparent::pg_catalog.int8"),
    Fingerprinted { temporary: OF_TEMPORARY_SCHEMAS, ..with_oids("pg_type") },
    small("pg_range", "x.rngtypid::pg_catalog.int8"),
    with_oids("pg_enum"),
    with_oids("pg_proc"),
    small("pg_language", "x.oid::pg_catalog.int8"),
    Fingerprinted { temporary: "x.nspname ~ '^pg_(toast_)?temp_'", ..small("pg_namespace", "x.oid::pg_catalog.int8") },
    small("pg_extension", "x.oid::pg_catalog.int8"),
    Fingerprinted {
        condition: "x.deptype = 'e'",
        made: Some("x.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass"),
        ..small("pg_depend", "(x.refobjid::pg_catalog.int8 << 32) | x.objid::pg_catalog.int8")
    },
    Fingerprinted { temporary: "x.conrelid IN (SELECT oid FROM temporary)", ..with_oids("pg_constraint") },
    Fingerprinted { condition: "NOT x.tgisinternal", ..with_oids("pg_trigger") },
    small("pg_policy", "x.oid::pg_catalog.int8"),
    // which columns have single values is a matter of order among equals: nobody has to wait for that
    Fingerprinted { temporary: "true", made: None, ..small("pg_index", "x.indexrelid::pg_catalog.int8") },
    with_oids("pg_operator"),
    with_oids("pg_cast"),
    small("pg_auth_members", "(x.roleid::pg_catalog.int8 << 32) | x.member::pg_catalog.int8"),
];

/// Needed by [`FINGERPRINTED`].
const TEMPORARY: &str =
    "WITH temporary AS MATERIALIZED (SELECT c.oid FROM pg_catalog.pg_class c WHERE c.relpersistence = 't')";

/// Roles count by what `pg_roles` shows, as not everybody may read `pg_authid`.
const ROLES: &str = "(SELECT pg_catalog.sum(pg_catalog.hashtextextended(r.rolname::pg_catalog.text, r.oid::pg_catalog.int8)) \
     FROM pg_catalog.pg_roles r)";

/// A query for one text that is the same as before only if no transaction of the whole server that changes anything has
/// ended since: then the catalog is the same too. Costs next to nothing.
pub const MOMENT_QUERY: &str = "SELECT pg_catalog.pg_current_snapshot()::pg_catalog.text";

/// A query for one text: pairs `lasting/temporary` of numbers. The first of one is another than before when anything may
/// have changed that the queries of [`Part`] read but what is temporary, the second when that may have. An object came or
/// went, or has another row version (`xmin`); relations have another name or type. Several times cheaper than they are.
/// Not seen: that an operator or collation that a view uses got another schema. So a full reading now and then is still
/// needed.
pub fn fingerprint_query() -> String {
    let sums: Vec<_> = FINGERPRINTED
        .iter()
        .map(|Fingerprinted { rows, condition, key, version, temporary, made: _ }| {
            let sum = format!("pg_catalog.sum(pg_catalog.hashtextextended({version}, {key}))");
            format!(
                "(SELECT pg_catalog.concat(COALESCE({sum} FILTER (WHERE NOT ({temporary})), 0), '/', \
                 COALESCE({sum} FILTER (WHERE {temporary}), 0)) FROM pg_catalog.{rows} x WHERE {condition})"
            )
        })
        .collect();
    format!("{TEMPORARY} SELECT pg_catalog.concat_ws(' ', {}, {ROLES})", sums.join(", "))
}

/// A query for two texts: what [`MOMENT_QUERY`] gives, and one that is another than before when anything that users have
/// made and that is not temporary may have changed. As [`fingerprint_query`], without PostgreSQL's own objects: of what has
/// no OID from 16384 on nothing is made by users, and changed by superusers only. It costs by the size of the schema, to be
/// prepared and asked often.
pub fn look_query() -> String {
    let sums: Vec<_> = FINGERPRINTED
        .iter()
        .filter_map(|Fingerprinted { rows, condition, key, version, temporary, made }| {
            Some(format!(
                "COALESCE((SELECT pg_catalog.sum(pg_catalog.hashtextextended({version}, {key})) FROM pg_catalog.{rows} x \
                 WHERE {} AND {condition} AND NOT ({temporary})), 0)",
                made.as_ref()?
            ))
        })
        .collect();
    format!(
        "{TEMPORARY} SELECT pg_catalog.pg_current_snapshot()::pg_catalog.text, pg_catalog.concat_ws(' ', {}, {ROLES})",
        sums.join(", ")
    )
}

/// For queries that print definitions. To print one the server locks the relations that it names as a query would: whoever
/// holds one exclusively would hold up the reading. `printable`: what each definition that is printed depends on (a number
/// that is another than before when it may print otherwise), and whether it can not be printed now. `defined`: a query for
/// (object, kind and number of its row in `pg_depend`, version of the row that defines it).
fn printable(defined: &str) -> String {
    PRINTABLE.replace("{defined}", defined)
}

const PRINTABLE: &str = "\
WITH locked AS MATERIALIZED (
  SELECT l.relation AS oid FROM pg_catalog.pg_locks l
  WHERE l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock' AND l.pid <> pg_catalog.pg_backend_pid()
    AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database())
), defined (object, classid, objid, version) AS MATERIALIZED ({defined}
), uses AS MATERIALIZED (
  SELECT DISTINCT o.object, d.refclassid AS classid, d.refobjid AS oid
  FROM defined o JOIN pg_catalog.pg_depend d ON d.classid = o.classid AND d.objid = o.objid
), parts (object, part) AS (
  SELECT o.object, pg_catalog.hashtextextended(o.version, 0) FROM defined o
  UNION ALL SELECT u.object, pg_catalog.hashtextextended(pg_catalog.concat_ws(' ', x.relnamespace, x.relname), x.oid::pg_catalog.int8)
    FROM uses u JOIN pg_catalog.pg_class x ON u.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND x.oid = u.oid
  UNION ALL SELECT u.object, pg_catalog.hashtextextended(pg_catalog.concat_ws(' ', x.attname, x.atttypid, x.attisdropped),
      (x.attrelid::pg_catalog.int8 << 16) | x.attnum::pg_catalog.int8)
    FROM uses u JOIN pg_catalog.pg_attribute x ON u.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND x.attrelid = u.oid
  UNION ALL SELECT u.object, pg_catalog.hashtextextended(x.xmin::pg_catalog.text, x.oid::pg_catalog.int8)
    FROM uses u JOIN pg_catalog.pg_proc x ON u.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND x.oid = u.oid
  UNION ALL SELECT u.object, pg_catalog.hashtextextended(x.xmin::pg_catalog.text, x.oid::pg_catalog.int8)
    FROM uses u JOIN pg_catalog.pg_type x ON u.classid = 'pg_catalog.pg_type'::pg_catalog.regclass AND x.oid = u.oid
  UNION ALL SELECT u.object, pg_catalog.hashtextextended(x.xmin::pg_catalog.text, x.oid::pg_catalog.int8)
    FROM uses u JOIN pg_catalog.pg_operator x ON u.classid = 'pg_catalog.pg_operator'::pg_catalog.regclass AND x.oid = u.oid
  UNION ALL SELECT u.object, pg_catalog.hashtextextended(x.xmin::pg_catalog.text, x.oid::pg_catalog.int8)
    FROM uses u JOIN pg_catalog.pg_collation x ON u.classid = 'pg_catalog.pg_collation'::pg_catalog.regclass AND x.oid = u.oid
), schemas AS MATERIALIZED (
  SELECT pg_catalog.sum(pg_catalog.hashtextextended(n.nspname::pg_catalog.text, n.oid::pg_catalog.int8)) FROM pg_catalog.pg_namespace n
), printable (object, state, held) AS MATERIALIZED (
  SELECT p.object, pg_catalog.concat_ws(' ', pg_catalog.sum(p.part), (TABLE schemas)), EXISTS (
    SELECT FROM uses u JOIN locked l ON l.oid = u.oid
    WHERE u.object = p.object AND u.classid = 'pg_catalog.pg_class'::pg_catalog.regclass)
  FROM parts p GROUP BY p.object
)
";

/// A view's rule depends on the view itself, too. PostgreSQL's own views are known by name (`plan/system.rs`).
const DEFINED_VIEWS: &str = "
  SELECT r.ev_class, 'pg_catalog.pg_rewrite'::pg_catalog.regclass, r.oid, r.xmin::pg_catalog.text
  FROM pg_catalog.pg_rewrite r WHERE r.ev_class >= 16384 AND r.ev_type = '1' AND r.rulename = '_RETURN'";

/// What a column is made of are columns of the same relation, and so that is depended on.
const DEFINED_COLUMNS: &str = "
  SELECT d.oid, 'pg_catalog.pg_attrdef'::pg_catalog.regclass, d.oid, d.xmin::pg_catalog.text
  FROM pg_catalog.pg_attrdef d JOIN pg_catalog.pg_attribute a
    ON a.attrelid = d.adrelid AND a.attnum = d.adnum AND a.attgenerated <> ''";

const DEFINED_FUNCTIONS: &str = "
  SELECT p.oid, 'pg_catalog.pg_proc'::pg_catalog.regclass, p.oid, p.xmin::pg_catalog.text
  FROM pg_catalog.pg_proc p WHERE p.oid >= 16384 AND {printed}";

const PRINTED_BODY: &str =
    "CASE WHEN p.prosqlbody IS NULL THEN p.prosrc WHEN NOT o.held THEN pg_catalog.pg_get_function_sqlbody(p.oid) END";

/// Indexes are left out: nothing can be selected from them. TOAST tables are in: a superuser can.
const RELATIONS: &str = "\
SELECT c.oid, n.nspname, c.relname, c.relkind, c.reltype,
  (SELECT pg_catalog.string_agg(i.inhparent::pg_catalog.text, ' ' ORDER BY i.inhseqno)
     FROM pg_catalog.pg_inherits i WHERE i.inhrelid = c.oid),
  CASE WHEN NOT o.held THEN pg_catalog.pg_get_viewdef(c.oid) END,
  EXISTS (SELECT FROM pg_catalog.pg_rewrite r
     WHERE r.ev_class = c.oid AND NOT (r.ev_type = '1' AND r.rulename = '_RETURN')), o.object || ' ' || o.state,
  (SELECT i.indkey::pg_catalog.text FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid AND i.indisprimary)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN printable o ON o.object = c.oid
WHERE c.relkind NOT IN ('i', 'I') ORDER BY c.oid";

/// `NULL::varchar` of a column with a length is a call of `varchar(NULL, 64, false)`, whose number is 669.
const COLUMNS: &str = "\
SELECT a.attrelid, a.attnum, a.attname, a.atttypid, a.attnotnull, CASE WHEN NOT o.held THEN pg_catalog.pg_get_expr(d.adbin, d.adrelid) END,
  EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = a.attrelid AND i.indisunique AND i.indisvalid
     AND i.indimmediate AND i.indnkeyatts = 1 AND i.indkey[0] = a.attnum AND i.indpred IS NULL), o.object || ' ' || o.state,
  a.attrelid >= 16384 AND a.attcollation NOT IN (0, 100),
  a.atthasdef AND a.attgenerated = '' AND a.attrelid >= 16384 AND EXISTS (SELECT FROM pg_catalog.pg_attrdef e
     WHERE e.adrelid = a.attrelid AND e.adnum = a.attnum AND NOT (e.adbin::pg_catalog.text ~ ':constisnull true'
       AND e.adbin::pg_catalog.text !~ '\\{(FUNCEXPR :funcid (?!669 )|OPEXPR|SQLVALUEFUNCTION|COALESCE|CASE|NEXTVALUE|ARRAY|MINMAX|XML)'
       AND e.adbin::pg_catalog.text !~ '\\{CONST :consttype (?!(16|23) )[^}]*:constisnull false'))
FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum AND a.attgenerated <> ''
LEFT JOIN printable o ON o.object = d.oid
WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind NOT IN ('i', 'I') ORDER BY a.attrelid, a.attnum";

/// A true array is the type that its element names as its array; `int2vector` and `oidvector` are not.
const TYPES: &str = "\
SELECT t.oid, n.nspname, t.typname, t.typtype,
  (SELECT e.oid FROM pg_catalog.pg_type e WHERE e.oid = t.typelem AND e.typarray = t.oid),
  CASE t.typtype
    WHEN 'd' THEN t.typbasetype
    WHEN 'c' THEN t.typrelid
    WHEN 'r' THEN (SELECT r.rngsubtype FROM pg_catalog.pg_range r WHERE r.rngtypid = t.oid)
    WHEN 'm' THEN {multirange}
  END
FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace ORDER BY t.oid";

const ENUM_LABELS: &str = "\
SELECT e.enumtypid, e.enumlabel FROM pg_catalog.pg_enum e ORDER BY e.enumtypid, e.enumsortorder";

/// Of internal functions those are told that the server makes of its own accord: constructors of range types.
const FUNCTIONS: &str = "\
SELECT p.oid, n.nspname, p.proname, p.prokind, l.lanname,
  CASE WHEN n.nspname <> 'pg_catalog' AND l.lanname = 'internal' AND p.prosrc IN ('range_constructor2', 'range_constructor3',
    'multirange_constructor0', 'multirange_constructor1', 'multirange_constructor2') THEN p.prosrc
    WHEN n.nspname <> 'pg_catalog' AND l.lanname NOT IN ('internal', 'c') THEN {sql_body} END,
  p.proargtypes, p.proallargtypes, p.proargmodes, pg_catalog.array_to_json(p.proargnames), p.prorettype, p.proretset,
  (SELECT e.extname FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_extension e ON e.oid = d.refobjid
     WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = p.oid AND d.deptype = 'e'
       AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass LIMIT 1), p.provolatile, o.object || ' ' || o.state
FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
JOIN pg_catalog.pg_language l ON l.oid = p.prolang LEFT JOIN printable o ON o.object = p.oid ORDER BY p.oid";

/// A membership counts whatever its options (ADMIN, INHERIT, SET of PostgreSQL 16) say.
const MEMBERSHIPS: &str = "\
WITH RECURSIVE held (member, roleid) AS (
  SELECT m.member, m.roleid FROM pg_catalog.pg_auth_members m
  UNION SELECT h.member, m.roleid FROM held h JOIN pg_catalog.pg_auth_members m ON m.member = h.roleid
)
SELECT u.rolname, r.rolname, u.rolsuper FROM pg_catalog.pg_roles u
LEFT JOIN held h ON h.member = u.oid AND h.roleid <> u.oid LEFT JOIN pg_catalog.pg_roles r ON r.oid = h.roleid
ORDER BY u.rolname, r.rolname";

const FOREIGN_KEYS: &str = "\
SELECT c.conrelid, c.confrelid, c.conkey, c.confkey FROM pg_catalog.pg_constraint c WHERE c.contype = 'f' ORDER BY c.oid";

/// Rows (kind of dependent, its OID, a second OID or symbol, kind of what is used, its OID). PostgreSQL records what
/// expressions use in `pg_depend`, its own functions and operators left out (those below 16384 up to version 13 are
/// pinned, and so not of interest either).
const DEPENDENCIES: &str = "\
WITH used (classid, objid, refclassid, refobjid, function) AS (
  SELECT d.classid, d.objid, d.refclassid, d.refobjid,
    CASE d.refclassid WHEN 'pg_catalog.pg_proc'::pg_catalog.regclass THEN d.refobjid ELSE o.oprcode::pg_catalog.oid END
  FROM pg_catalog.pg_depend d
  LEFT JOIN pg_catalog.pg_operator o
    ON d.refclassid = 'pg_catalog.pg_operator'::pg_catalog.regclass AND o.oid = d.refobjid
  WHERE d.refobjid >= 16384 AND d.refclassid IN ('pg_catalog.pg_proc'::pg_catalog.regclass,
    'pg_catalog.pg_operator'::pg_catalog.regclass, 'pg_catalog.pg_class'::pg_catalog.regclass)
), found (kind, owner, also, on_kind, on_oid) AS (
  SELECT 'relation', o.relation, NULL::pg_catalog.text, 'function', u.function
  FROM used u JOIN (
    SELECT 'pg_catalog.pg_attrdef'::pg_catalog.regclass, a.oid, a.adrelid FROM pg_catalog.pg_attrdef a
    UNION ALL SELECT 'pg_catalog.pg_constraint'::pg_catalog.regclass, c.oid, c.conrelid
      FROM pg_catalog.pg_constraint c WHERE c.conrelid <> 0
    UNION ALL SELECT 'pg_catalog.pg_policy'::pg_catalog.regclass, p.oid, p.polrelid FROM pg_catalog.pg_policy p
    UNION ALL SELECT 'pg_catalog.pg_trigger'::pg_catalog.regclass, t.oid, t.tgrelid FROM pg_catalog.pg_trigger t
    UNION ALL SELECT 'pg_catalog.pg_class'::pg_catalog.regclass, i.indexrelid, i.indrelid FROM pg_catalog.pg_index i
  ) o (classid, oid, relation) ON o.classid = u.classid AND o.oid = u.objid
  WHERE u.function >= 16384
  UNION SELECT 'relation', p.polrelid, NULL, 'relation', u.refobjid
  FROM used u JOIN pg_catalog.pg_policy p ON p.oid = u.objid
  WHERE u.classid = 'pg_catalog.pg_policy'::pg_catalog.regclass
    AND u.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND u.refobjid <> p.polrelid
  UNION SELECT 'rule', r.ev_class, NULL, CASE WHEN u.function IS NULL THEN 'relation' ELSE 'function' END,
    COALESCE(u.function, u.refobjid)
  FROM used u JOIN pg_catalog.pg_rewrite r ON r.oid = u.objid
  WHERE u.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND NOT (r.ev_type = '1' AND r.rulename = '_RETURN')
  UNION SELECT 'view', r.ev_class, NULL, 'function', u.function
  FROM used u JOIN pg_catalog.pg_rewrite r ON r.oid = u.objid
  WHERE u.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND r.ev_type = '1' AND r.rulename = '_RETURN'
    AND u.refclassid = 'pg_catalog.pg_operator'::pg_catalog.regclass AND u.function >= 16384
  UNION SELECT 'domain', c.contypid, NULL, 'function', u.function
  FROM used u JOIN pg_catalog.pg_constraint c ON c.oid = u.objid
  WHERE u.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass AND c.contypid <> 0 AND u.function >= 16384
  UNION SELECT 'function', u.objid, NULL, CASE WHEN u.function IS NULL THEN 'relation' ELSE 'function' END,
    COALESCE(u.function, u.refobjid)
  FROM used u WHERE u.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass
  UNION SELECT 'operator', o.oid, o.oprname::pg_catalog.text, 'function', o.oprcode::pg_catalog.oid
  FROM pg_catalog.pg_operator o WHERE o.oprcode::pg_catalog.oid >= 16384
  UNION SELECT 'cast', c.casttarget, c.castsource::pg_catalog.text, 'function', c.castfunc
  FROM pg_catalog.pg_cast c WHERE c.castfunc >= 16384
)
SELECT f.kind, f.owner, f.also, f.on_kind, f.on_oid FROM found f ORDER BY 1, 2, 3, 4, 5";
