//! Which of PostgreSQL's source files raise what. Field `F` names the file: it is compiled in, so that neither `RAISE` nor
//! `lc_messages` changes it. Every `ereport` of the files named here was read (PostgreSQL 15); what a new version adds
//! elsewhere is scrubbed.

/// Files that raise errors about the client's own text and objects of the schema, before a row is read: grammar, parse
/// analysis, rewriting, definition of objects, prepared statements, prepared transactions and portals. Left out are those that also serve
/// functions which take names from values (`regtype`, `pg_get_object_address`): `parse_type.c`, `parse_func.c`,
/// `parse_oper.c`, `namespace.c`.
const STATEMENT: &[&str] = &[
    "gram.y",
    "scan.l",
    "scansup.c",
    "parser.c",
    "analyze.c",
    "copy.c",
    "copyto.c",
    "parse_agg.c",
    "parse_clause.c",
    "parse_coerce.c",
    "parse_collate.c",
    "parse_cte.c",
    "parse_enr.c",
    "parse_expr.c",
    "parse_merge.c",
    "parse_node.c",
    "parse_param.c",
    "parse_relation.c",
    "parse_target.c",
    "parse_utilcmd.c",
    "rewriteHandler.c",
    "prepare.c",
    "twophase.c",
    "portalcmds.c",
    "portalmem.c",
    "pquery.c",
    "dependency.c",
    "indexcmds.c",
    "tablecmds.c",
    "view.c",
];

/// Files whose messages and hints name objects of the schema or nothing at all, wherever they come from: permissions,
/// row counts, transactions, locks, limits, cancellation. Their details are another matter.
const OBJECTS: &[&str] = &[
    "aclchk.c",
    "aset.c",
    "cluster.c",
    "deadlock.c",
    "execMain.c",
    "fd.c",
    "heapam.c",
    "heapam_handler.c",
    "lock.c",
    "lmgr.c",
    "mcxt.c",
    "md.c",
    "nodeLockRows.c",
    "nodeModifyTable.c",
    "nodeSubplan.c",
    "postgres.c",
    "predicate.c",
    "proc.c",
    "stack_depth.c",
    "utility.c",
    "vacuum.c",
    "vacuumlazy.c",
    "xact.c",
];

/// Files that report violated constraints (SQLSTATE class 23), by the names of table, column and constraint.
const CONSTRAINTS: &[&str] = &[
    "constraint.c",
    "domains.c",
    "execExprInterp.c",
    "execIndexing.c",
    "execMain.c",
    "execPartition.c",
    "nbtinsert.c",
    "partbounds.c",
    "ri_triggers.c",
    "tablecmds.c",
    "tuplesort.c",
    "tuplesortvariants.c",
    "typecmds.c",
];

/// What the texts of a report are about, as its source file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum About {
    /// The client's text and objects of the schema, in all its fields, unless it has a context.
    Statement,
    /// Objects of the schema, in message and hint.
    Objects,
    /// Nobody knows: values, it may be.
    Anything,
}

/// What a report that was raised in that file, with that SQLSTATE, is about.
pub(super) fn about(file: &[u8], code: &[u8]) -> About {
    let listed = |files: &[&str]| files.iter().any(|known| known.as_bytes() == file);
    if code.starts_with(b"23") {
        return if listed(CONSTRAINTS) { About::Objects } else { About::Anything };
    }
    if listed(STATEMENT) {
        About::Statement
    } else if listed(OBJECTS) {
        About::Objects
    } else {
        About::Anything
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_quote_values_are_not_trusted() {
        for file in ["numutils.c", "pl_exec.c", "connection.c", "parse_type.c", "regproc.c", "parse_func.c", "x.c", ""]
        {
            assert_eq!(about(file.as_bytes(), b"22P02"), About::Anything, "{file}");
            assert_eq!(about(file.as_bytes(), b"23505"), About::Anything, "{file}");
        }
    }

    #[test]
    fn a_violated_constraint_is_told_by_its_name_only() {
        for file in CONSTRAINTS {
            assert_eq!(about(file.as_bytes(), b"23514"), About::Objects, "{file}");
        }
        assert_eq!(about(b"execExprInterp.c", b"22035"), About::Anything);
    }
}
