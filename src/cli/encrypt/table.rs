//! What the database says of a column that is to be encrypted.

use std::fmt;

use tokio_postgres::Row;

use super::login::{Database, DatabaseError, failed};
use crate::policy::TaggedColumn;

/// Which column it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ColumnName {
    pub(super) schema: String,
    pub(super) table: String,
    pub(super) column: String,
}

impl ColumnName {
    /// That of a column of the policy.
    pub(super) fn of(column: &TaggedColumn) -> Self {
        let [schema, table, column] =
            [&column.schema, &column.table, &column.column].map(|name| name.as_str().to_owned());
        Self { schema, table, column }
    }
}

impl fmt::Display for ColumnName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}.{}", self.schema, self.table, self.column)
    }
}

/// A column, and everything that hangs on it.
#[derive(Clone, Debug)]
pub(super) struct ColumnFacts {
    pub(super) name: ColumnName,
    /// `pg_class.oid` of the table.
    pub(super) relation: u32,
    /// `pg_class.relkind`.
    pub(super) kind: char,
    /// Its type as `format_type` prints it.
    pub(super) type_name: String,
    /// `pg_type.oid`, of a domain that of the type under it.
    pub(super) base_type: u32,
    /// Whether it is of a domain.
    pub(super) is_domain: bool,
    /// Whether its collation is deterministic, or it has none.
    pub(super) collation_is_deterministic: bool,
    /// `pg_attribute.attgenerated` or `attidentity`: its values are the server's own.
    pub(super) is_made_by_server: bool,
    /// The expression of its default.
    pub(super) default: Option<String>,
    /// Whether it comes from a parent that it does not share with the policy's table.
    pub(super) is_inherited: bool,
    /// Whether it is a part of the partition key.
    pub(super) is_partition_key: bool,
    /// Whether the login may change the table.
    pub(super) may_change: bool,
    /// `pg_class.relreplident`: `f` puts old rows into the log whole.
    pub(super) replica_identity: char,
    /// The tables that hold its rows: itself, its partitions, its children.
    pub(super) leaves: Vec<Leaf>,
    pub(super) indexes: Vec<Index>,
    pub(super) constraints: Vec<Constraint>,
    pub(super) triggers: Vec<Trigger>,
    pub(super) dependents: Vec<Dependent>,
    /// Functions whose text names both table and column.
    pub(super) functions: Vec<String>,
}

/// A table that holds rows.
#[derive(Clone, Debug)]
pub(super) struct Leaf {
    pub(super) oid: u32,
    /// Its name with its schema, quoted where that is needed.
    pub(super) name: String,
    /// `pg_class.relkind`.
    pub(super) kind: char,
    /// Rows, as the server last counted them; none: it never did.
    pub(super) rows: Option<f64>,
    /// Bytes without indexes.
    pub(super) bytes: i64,
    /// The columns of its primary key, by their names.
    pub(super) key: Vec<String>,
}

/// An index that has the column, directly or in an expression or condition.
#[derive(Clone, Debug)]
pub(super) struct Index {
    pub(super) name: String,
    /// `btree`, `gin`, ...
    pub(super) method: String,
    /// The operator class of the column, if it is a plain key of it.
    pub(super) operator_class: Option<String>,
    pub(super) is_unique: bool,
    /// Its expressions and its condition, as printed.
    pub(super) expressions: Option<String>,
    pub(super) condition: Option<String>,
    pub(super) is_exclusion: bool,
}

/// A constraint that names the column, on either side.
#[derive(Clone, Debug)]
pub(super) struct Constraint {
    pub(super) name: String,
    pub(super) kind: ConstraintKind,
    /// As `pg_get_constraintdef` prints it.
    pub(super) definition: String,
    /// The comment on it.
    pub(super) comment: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ConstraintKind {
    Check,
    /// `UNIQUE`, `PRIMARY KEY`: their index says it all.
    Unique,
    Exclusion,
    /// The two columns of a foreign key.
    ForeignKey {
        child: ColumnName,
        parent: ColumnName,
    },
    Other,
}

/// A trigger of the table that an UPDATE of the column fires.
#[derive(Clone, Debug)]
pub(super) struct Trigger {
    pub(super) name: String,
    pub(super) function: String,
}

/// Something else that hangs on the column (`pg_depend`).
#[derive(Clone, Debug)]
pub(super) struct Dependent {
    /// The catalog that it is in: `pg_rewrite`, `pg_policy`, ...
    pub(super) catalog: String,
    /// As `pg_describe_object` prints it.
    pub(super) description: String,
    /// Of a view or materialised view: its `relkind`.
    pub(super) view_kind: Option<char>,
}

const COLUMN: &str = "\
SELECT c.oid, a.attnum, c.relkind::text, pg_catalog.format_type(a.atttypid, a.atttypmod),
       CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.oid END, t.typtype = 'd',
       coalesce((SELECT l.collisdeterministic FROM pg_catalog.pg_collation l WHERE l.oid = a.attcollation), true),
       a.attgenerated <> '' OR a.attidentity <> '', pg_catalog.pg_get_expr(d.adbin, d.adrelid),
       a.attinhcount > 0,
       coalesce(a.attnum = ANY (p.partattrs::int2[]), false)
         OR coalesce(pg_catalog.pg_get_expr(p.partexprs, p.partrelid) ~ ('\\m' || a.attname || '\\M'), false),
       pg_catalog.pg_has_role(c.relowner, 'USAGE'), c.relreplident::text
  FROM pg_catalog.pg_class c
  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
  JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
  LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
  LEFT JOIN pg_catalog.pg_partitioned_table p ON p.partrelid = c.oid
 WHERE n.nspname = $1 AND c.relname = $2 AND a.attname = $3 AND c.relkind IN ('r', 'p', 'v', 'm', 'f')";

const LEAVES: &str = "\
WITH RECURSIVE tree(oid) AS (
  SELECT $1::oid UNION SELECT i.inhrelid FROM tree JOIN pg_catalog.pg_inherits i ON i.inhparent = tree.oid)
SELECT c.oid, pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname), c.relkind::text,
       c.reltuples::float8, CASE WHEN c.relkind = 'f' THEN 0 ELSE pg_catalog.pg_table_size(c.oid) END,
       ARRAY(SELECT a.attname::text FROM pg_catalog.pg_index x
               CROSS JOIN LATERAL unnest(x.indkey::int2[]) WITH ORDINALITY k(attnum, place)
               JOIN pg_catalog.pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = k.attnum
              WHERE x.indrelid = c.oid AND x.indisprimary AND k.place <= x.indnkeyatts ORDER BY k.place)
  FROM tree JOIN pg_catalog.pg_class c USING (oid) JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'm', 'f') ORDER BY 2";

const INDEXES: &str = "\
SELECT x.indexrelid::pg_catalog.regclass::text, m.amname::text,
       (SELECT o.opcname::text FROM unnest(x.indkey::int2[], x.indclass::oid[]) k(attnum, class)
          JOIN pg_catalog.pg_opclass o ON o.oid = k.class WHERE k.attnum = $2::int2 LIMIT 1),
       x.indisunique, pg_catalog.pg_get_expr(x.indexprs, x.indrelid), pg_catalog.pg_get_expr(x.indpred, x.indrelid),
       x.indisexclusion
  FROM pg_catalog.pg_index x JOIN pg_catalog.pg_class c ON c.oid = x.indexrelid JOIN pg_catalog.pg_am m ON m.oid = c.relam
 WHERE x.indrelid = $1::oid
   AND ($2::int2 = ANY (x.indkey::int2[]) OR EXISTS (
     SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = x.indexrelid
        AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid = $1::oid AND d.refobjsubid = $2::int2))
 ORDER BY 1";

const CONSTRAINTS: &str = "\
SELECT k.conname::text, k.contype::text, pg_catalog.pg_get_constraintdef(k.oid), k.convalidated,
       cn.nspname::text, cc.relname::text, ca.attname::text, pn.nspname::text, pc.relname::text, pa.attname::text,
       pg_catalog.obj_description(k.oid, 'pg_constraint')
  FROM pg_catalog.pg_constraint k
  JOIN pg_catalog.pg_class cc ON cc.oid = k.conrelid JOIN pg_catalog.pg_namespace cn ON cn.oid = cc.relnamespace
  LEFT JOIN pg_catalog.pg_class pc ON pc.oid = k.confrelid LEFT JOIN pg_catalog.pg_namespace pn ON pn.oid = pc.relnamespace
  LEFT JOIN LATERAL unnest(k.conkey, k.confkey) AS pair(child, parent)
    ON (k.conrelid = $1::oid AND pair.child = $2::int2) OR (k.contype = 'f' AND k.confrelid = $1::oid AND pair.parent = $2::int2)
  LEFT JOIN pg_catalog.pg_attribute ca ON ca.attrelid = k.conrelid AND ca.attnum = pair.child
  LEFT JOIN pg_catalog.pg_attribute pa ON pa.attrelid = k.confrelid AND pa.attnum = pair.parent
 WHERE (k.conrelid = $1::oid AND $2::int2 = ANY (k.conkey) OR k.contype = 'f' AND k.confrelid = $1::oid AND $2::int2 = ANY (k.confkey))
   AND k.contype <> 't' AND (k.contype <> 'f' OR k.conparentid = 0)
 ORDER BY 1";

/// Bits of `pg_trigger.tgtype`: 1 for each row, 16 UPDATE.
const TRIGGERS: &str = "\
WITH RECURSIVE tree(oid) AS (
  SELECT $1::oid UNION SELECT i.inhrelid FROM tree JOIN pg_catalog.pg_inherits i ON i.inhparent = tree.oid)
SELECT DISTINCT g.tgname::text, g.tgfoid::pg_catalog.regprocedure::text
  FROM tree JOIN pg_catalog.pg_trigger g ON g.tgrelid = tree.oid
 WHERE NOT g.tgisinternal AND g.tgenabled <> 'D' AND g.tgtype & 16 <> 0
   AND (g.tgattr::text = '' OR $2::int2 = ANY (g.tgattr::int2[]))
 ORDER BY 1";

/// Before version 14 a generated column depends on the column itself, later its expression does.
const DEPENDENTS: &str = "\
SELECT DISTINCT d.classid::pg_catalog.regclass::text, pg_catalog.pg_describe_object(d.classid, d.objid, d.objsubid), v.relkind::text
  FROM pg_catalog.pg_depend d
  LEFT JOIN pg_catalog.pg_rewrite r ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass AND r.oid = d.objid
  LEFT JOIN pg_catalog.pg_class v ON v.oid = r.ev_class
  LEFT JOIN pg_catalog.pg_attrdef f ON d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass AND f.oid = d.objid
 WHERE d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjid = $1::oid AND d.refobjsubid = $2::int2
   AND d.deptype IN ('n', 'a') AND d.classid <> 'pg_catalog.pg_constraint'::pg_catalog.regclass
   AND (d.classid <> 'pg_catalog.pg_class'::pg_catalog.regclass OR d.objid = $1::oid AND d.objsubid > 0)
   AND (f.oid IS NULL OR f.adrelid <> $1::oid OR f.adnum <> $2::int2)
 ORDER BY 1, 2";

const FUNCTIONS: &str = "\
SELECT p.oid::pg_catalog.regprocedure::text
  FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_language l ON l.oid = p.prolang
 WHERE l.lanname NOT IN ('internal', 'c') AND p.pronamespace <> 'pg_catalog'::pg_catalog.regnamespace
   AND p.pronamespace <> 'information_schema'::pg_catalog.regnamespace
   AND p.prosrc ~* ('\\m' || pg_catalog.regexp_replace($1, '([^[:alnum:]_])', '\\\\\\1', 'g') || '\\M')
   AND p.prosrc ~* ('\\m' || pg_catalog.regexp_replace($2, '([^[:alnum:]_])', '\\\\\\1', 'g') || '\\M')
 ORDER BY 1";

/// Everything about one column; `None`: there is no such column.
///
/// # Errors
/// The server does not say.
pub(super) async fn column_facts(database: &Database, name: &ColumnName) -> Result<Option<ColumnFacts>, DatabaseError> {
    let ColumnName { schema, table, column } = name;
    let client = database.client();
    let what = || format!("reading what there is of {name}");
    let found = client.query_opt(COLUMN, &[&schema, &table, &column]).await.map_err(failed(what()))?;
    let Some(found) = found else { return Ok(None) };
    let (relation, attnum): (u32, i16) = (found.get(0), found.get(1));
    let of_column: [&(dyn tokio_postgres::types::ToSql + Sync); 2] = [&relation, &attnum];
    let rows = |query: &'static str| async move { client.query(query, &of_column).await.map_err(failed(what())) };
    let leaves = client.query(LEAVES, &[&relation]).await.map_err(failed(what()))?;
    let functions = client.query(FUNCTIONS, &[&table, &column]).await.map_err(failed(what()))?;
    Ok(Some(ColumnFacts {
        name: name.clone(),
        relation,
        kind: letter(&found, 2),
        type_name: found.get(3),
        base_type: found.get(4),
        is_domain: found.get(5),
        collation_is_deterministic: found.get(6),
        is_made_by_server: found.get(7),
        default: found.get::<_, Option<String>>(8),
        is_inherited: found.get(9),
        is_partition_key: found.get(10),
        may_change: found.get(11),
        replica_identity: letter(&found, 12),
        leaves: leaves.iter().map(leaf).collect(),
        indexes: rows(INDEXES).await?.iter().map(index).collect(),
        constraints: rows(CONSTRAINTS).await?.iter().map(constraint).collect(),
        triggers: rows(TRIGGERS).await?.iter().map(|row| Trigger { name: row.get(0), function: row.get(1) }).collect(),
        dependents: rows(DEPENDENTS).await?.iter().map(dependent).collect(),
        functions: functions.iter().map(|row| row.get(0)).collect(),
    }))
}

/// A value of type `"char"`, cast to text.
fn letter(row: &Row, place: usize) -> char {
    row.get::<_, &str>(place).chars().next().unwrap_or(' ')
}

fn leaf(row: &Row) -> Leaf {
    let rows: f64 = row.get(3);
    Leaf {
        oid: row.get(0),
        name: row.get(1),
        kind: letter(row, 2),
        // -1 where nothing was counted yet (0 before version 14).
        rows: (rows >= 0.0).then_some(rows),
        bytes: row.get(4),
        key: row.get(5),
    }
}

fn index(row: &Row) -> Index {
    Index {
        name: row.get(0),
        method: row.get(1),
        operator_class: row.get(2),
        is_unique: row.get(3),
        expressions: row.get(4),
        condition: row.get(5),
        is_exclusion: row.get(6),
    }
}

fn constraint(row: &Row) -> Constraint {
    let side = |first: usize| -> Option<ColumnName> {
        let [schema, table, column] = [first, first + 1, first + 2].map(|place| row.get::<_, Option<String>>(place));
        Some(ColumnName { schema: schema?, table: table?, column: column? })
    };
    let kind = match (letter(row, 1), side(4), side(7)) {
        ('c', _, _) => ConstraintKind::Check,
        ('u' | 'p', _, _) => ConstraintKind::Unique,
        ('x', _, _) => ConstraintKind::Exclusion,
        ('f', Some(child), Some(parent)) => ConstraintKind::ForeignKey { child, parent },
        // NOT NULL constraints have rows since version 18.
        _ => ConstraintKind::Other,
    };
    Constraint { name: row.get(0), kind, definition: row.get(2), comment: row.get(10) }
}

fn dependent(row: &Row) -> Dependent {
    Dependent {
        catalog: row.get(0),
        description: row.get(1),
        view_kind: row.get::<_, Option<&str>>(2).and_then(|kind| kind.chars().next()),
    }
}

impl ColumnFacts {
    /// Leave out the column of its own blind index, which is made of what is stored.
    pub(super) fn forget_dependent(&mut self, column: &str) {
        let is_generated = |catalog: &str| matches!(catalog.rsplit('.').next(), Some("pg_attrdef" | "pg_class"));
        self.dependents.retain(|dependent| {
            !(is_generated(&dependent.catalog) && super::findings::mentions(&dependent.description, column))
        });
    }

    /// The table's name for a statement.
    pub(super) fn table_name(&self) -> String {
        format!("{}.{}", quoted(&self.name.schema), quoted(&self.name.table))
    }

    /// Rows in all leaves, as the server last counted them.
    pub(super) fn rows(&self) -> Option<f64> {
        self.leaves.iter().map(|leaf| leaf.rows).sum()
    }

    /// Bytes in all leaves, without indexes.
    pub(super) fn bytes(&self) -> i64 {
        self.leaves.iter().map(|leaf| leaf.bytes).sum()
    }
}

/// A name for a statement, always in quotes.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A string constant for a statement.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
