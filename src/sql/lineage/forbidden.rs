//! Functions that are refused whatever their arguments: they run strings as SQL, read tables by name, read files, or
//! reach other databases or other sessions' statements, so that no lineage of the statement says what they show.
//!
//! They are matched by name in any schema: extensions live where their owner put them. What is neither refused nor reviewed,
//! and may read more than its arguments, is refused as well: functions of later versions and of unknown extensions.

use std::collections::HashSet;
use std::sync::LazyLock;

use super::cast::FIRST_USER_OID;
use crate::catalog::{Function, FunctionKind, Oid, Volatility};

/// Why a function is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// It runs a string as SQL, or reads a table whose name is in a string.
    RunsText,
    /// It reads or writes files of the server.
    Files,
    /// It connects to another database, or runs something in another session.
    Connects,
    /// It stores or reads large objects, which carry no tags.
    LargeObjects,
    /// It shows the change log: rows of any table.
    ChangeLog,
    /// It shows raw pages of tables and indexes.
    Pages,
    /// It shows samples that the planner keeps of columns.
    Samples,
    /// It shows statements of other sessions, with their literals.
    Statements,
    /// Nobody has looked at what it does.
    NotReviewed,
}

/// The refused functions by exact name.
const REFUSED: &[(Reason, &[&str])] = &[
    (
        Reason::RunsText,
        &[
            "query_to_xml",
            "query_to_xmlschema",
            "query_to_xml_and_xmlschema",
            "cursor_to_xml",
            "cursor_to_xmlschema",
            "table_to_xml",
            "table_to_xmlschema",
            "table_to_xml_and_xmlschema",
            "schema_to_xml",
            "schema_to_xmlschema",
            "schema_to_xml_and_xmlschema",
            "database_to_xml",
            "database_to_xmlschema",
            "database_to_xml_and_xmlschema",
            "ts_stat",
            // tablefunc
            "crosstab",
            "crosstab2",
            "crosstab3",
            "crosstab4",
            "crosstab_hash",
            "connectby",
            "connectby_text",
            "connectby_text_serial",
            // xml2
            "xpath_table",
        ],
    ),
    (
        Reason::Files,
        &[
            "pg_read_file",
            "pg_read_binary_file",
            "pg_read_file_old",
            "pg_read_file_off_len",
            "pg_stat_file",
            "pg_ls_dir",
            "pg_ls_logdir",
            "pg_ls_waldir",
            "pg_ls_tmpdir",
            "pg_ls_archive_statusdir",
            "pg_ls_summariesdir",
            "pg_ls_logicalmapdir",
            "pg_ls_logicalsnapdir",
            "pg_ls_replslotdir",
            // adminpack
            "pg_file_read",
            "pg_file_write",
            "pg_file_length",
            "pg_file_rename",
            "pg_file_sync",
            "pg_file_unlink",
            "pg_logdir_ls",
        ],
    ),
    (
        Reason::Connects,
        &[
            // Citus
            "run_command_on_workers",
            "run_command_on_placements",
            "run_command_on_shards",
            "run_command_on_all_nodes",
            "run_command_on_colocated_placements",
            "run_command_on_coordinator",
            "master_run_on_worker",
            // pg_background, pg_cron
            "pg_background_launch",
            "pg_background_result",
            "schedule_in_database",
        ],
    ),
    (
        Reason::LargeObjects,
        &[
            "lo_close",
            "lo_creat",
            "lo_create",
            "lo_export",
            "lo_from_bytea",
            "lo_get",
            "lo_import",
            "lo_lseek",
            "lo_lseek64",
            "lo_open",
            "lo_put",
            "lo_tell",
            "lo_tell64",
            "lo_truncate",
            "lo_truncate64",
            "lo_unlink",
            "loread",
            "lowrite",
        ],
    ),
    (
        Reason::ChangeLog,
        &[
            "pg_logical_slot_get_changes",
            "pg_logical_slot_peek_changes",
            "pg_logical_slot_get_binary_changes",
            "pg_logical_slot_peek_binary_changes",
            "pg_get_wal_record_info",
            "pg_get_wal_records_info",
            "pg_get_wal_records_info_till_end_of_wal",
            "pg_get_wal_block_info",
        ],
    ),
    (
        Reason::Pages,
        &[
            // pageinspect
            "get_raw_page",
            "heap_page_items",
            "heap_page_item_attrs",
            "tuple_data_split",
            "bt_page_items",
            "bt_page_stats",
            "bt_multi_page_stats",
            "brin_page_items",
            "gin_leafpage_items",
            "gin_page_opaque_info",
            "gist_page_items",
            "gist_page_items_bytea",
            "hash_page_items",
        ],
    ),
    (Reason::Samples, &["pg_mcv_list_items"]),
    (
        Reason::Statements,
        &[
            "pg_stat_get_activity",
            "pg_stat_get_backend_activity",
            "pg_stat_statements",
            "pg_prepared_statement",
            "pg_cursor",
            "pg_get_backend_memory_contexts",
        ],
    ),
];

/// Names that begin so belong to one extension each.
const REFUSED_PREFIXES: &[(Reason, &str)] = &[(Reason::Connects, "dblink")];

/// Extensions all of whose functions are refused.
const REFUSED_EXTENSIONS: &[(Reason, &str)] = &[
    (Reason::Connects, "dblink"),
    (Reason::Connects, "pg_background"),
    (Reason::Connects, "pg_cron"),
    (Reason::Connects, "plproxy"),
    (Reason::Connects, "http"),
    (Reason::Connects, "pg_net"),
    (Reason::Files, "adminpack"),
    (Reason::Pages, "pageinspect"),
    (Reason::Pages, "pg_surgery"),
    (Reason::ChangeLog, "pg_walinspect"),
    (Reason::ChangeLog, "pg_logicalinspect"),
];

/// Functions of PostgreSQL that are not immutable, and were reviewed.
static REVIEWED: LazyLock<HashSet<&str>> = LazyLock::new(|| {
    let lines = include_str!("reviewed_functions.txt").lines().filter(|line| !line.starts_with('#'));
    lines.flat_map(str::split_whitespace).collect()
});

/// Extensions that come with PostgreSQL and work on their arguments, or show sizes and states of storage.
const REVIEWED_EXTENSIONS: &[&str] = &[
    "amcheck",
    "autoinc",
    "bloom",
    "btree_gin",
    "btree_gist",
    "citext",
    "cube",
    "dict_int",
    "dict_xsyn",
    "earthdistance",
    "file_fdw",
    "fuzzystrmatch",
    "hstore",
    "insert_username",
    "intagg",
    "intarray",
    "isn",
    "lo",
    "ltree",
    "moddatetime",
    "old_snapshot",
    "pg_buffercache",
    "pg_freespacemap",
    "pg_prewarm",
    "pg_stat_statements",
    "pg_trgm",
    "pg_visibility",
    "pgcrypto",
    "pgrowlocks",
    "pgstattuple",
    "plperl",
    "plperlu",
    "plpgsql",
    "plpython3u",
    "pltcl",
    "pltclu",
    "postgres_fdw",
    "refint",
    "seg",
    "sslinfo",
    "tablefunc",
    "tcn",
    "tsm_system_rows",
    "tsm_system_time",
    "unaccent",
    "uuid-ossp",
    "xml2",
];

/// Whether a function of that name, called with so many arguments, is refused, and why.
pub(super) fn refused(name: &str, arguments: usize) -> Option<Reason> {
    // ts_rewrite(tsquery, text) runs its second argument; with three arguments it runs nothing
    if name == "ts_rewrite" {
        return (arguments <= 2).then_some(Reason::RunsText);
    }
    let exact = REFUSED.iter().find(|(_, names)| names.contains(&name)).map(|(reason, _)| *reason);
    exact.or_else(|| REFUSED_PREFIXES.iter().find(|(_, prefix)| name.starts_with(prefix)).map(|(reason, _)| *reason))
}

/// Whether all functions of an extension are refused, and why.
pub(super) fn refused_extension(extension: &str) -> Option<Reason> {
    REFUSED_EXTENSIONS.iter().find(|(_, name)| *name == extension).map(|(reason, _)| *reason)
}

/// Why a function that the catalog knows is refused, however it is called; `None`: it is not. User-defined functions in a
/// language that pgveil reads are judged by their bodies.
pub(super) fn closed(function: &Function) -> Option<Reason> {
    let extension = function.extension.as_ref().map(crate::catalog::Name::as_str);
    // With three arguments the one that is refused with two runs nothing.
    let known = refused(function.name.as_str(), function.inputs.len());
    if let Some(reason) = known.or_else(|| extension.and_then(refused_extension)) {
        return Some(reason);
    }
    // An immutable function reads nothing but its arguments, as its author says; aggregates are made of functions.
    if function.volatility == Volatility::Immutable || function.kind == FunctionKind::Aggregate {
        return None;
    }
    let reviewed = match extension {
        None if is_built_in(function) && function.schema.as_str() == "pg_catalog" => {
            REVIEWED.contains(function.name.as_str())
        }
        Some(extension) if matches!(function.language.as_str(), "c" | "internal") => {
            REVIEWED_EXTENSIONS.contains(&extension) || deals_in_numbers(function)
        }
        Some(_) | None => true,
    };
    (!reviewed).then_some(Reason::NotReviewed)
}

/// Whether a function of `pg_catalog` or `information_schema` came with the server.
pub(super) fn is_built_in(function: &Function) -> bool {
    matches!(function.schema.as_str(), "pg_catalog" | "information_schema") && function.oid.0 < FIRST_USER_OID
}

/// Whether a built-in function has effects that may depend on what it is given.
pub(super) fn has_effects(function: &Function) -> bool {
    // Sizes are volatile because files grow.
    const NONE: [&str; 12] = [
        "array_sample",
        "array_shuffle",
        "pg_database_size",
        "pg_indexes_size",
        "pg_relation_size",
        "pg_table_size",
        "pg_tablespace_size",
        "pg_total_relation_size",
        "random",
        "random_normal",
        "timezone",
        "uuidv7",
    ];
    is_built_in(function) && function.volatility == Volatility::Volatile && !NONE.contains(&function.name.as_str())
}

/// Whether it shows afterwards that a built-in function was called: in a setting, a counter, the next random number.
pub(super) fn leaves_traces(function: &Function) -> bool {
    const NONE: [&str; 4] = ["clock_timestamp", "gen_random_uuid", "timeofday", "uuidv7"];
    let random = matches!(function.name.as_str(), "random" | "random_normal");
    is_built_in(function)
        && function.volatility == Volatility::Volatile
        && (random || has_effects(function))
        && !NONE.contains(&function.name.as_str())
}

/// Whether neither arguments nor result can hold a text: it can not be told what to read, and can not show it.
fn deals_in_numbers(function: &Function) -> bool {
    // bool, int8, int2, int4, float4, float8, date, time, timestamp, timestamptz, interval, void, uuid
    const NUMBERS: [u32; 13] = [16, 20, 21, 23, 700, 701, 1082, 1083, 1114, 1184, 1186, 2278, 2950];
    let is_number = |oid: &Oid| NUMBERS.contains(&oid.0);
    function.inputs.iter().all(is_number) && is_number(&function.returns) && function.outputs.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Name;

    fn function(schema: &str, name: &str, oid: u32, extension: Option<&str>, volatility: Volatility) -> Function {
        Function {
            oid: Oid(oid),
            schema: Name::exact(schema),
            name: Name::exact(name),
            kind: FunctionKind::Function,
            language: Name::exact("c"),
            volatility,
            body: None,
            inputs: vec![Oid(25)],
            arguments: Vec::new(),
            outputs: Vec::new(),
            returns: Oid(25),
            returns_set: false,
            extension: extension.map(Name::exact),
        }
    }

    #[test]
    fn what_nobody_has_looked_at_is_refused_unless_it_reads_its_arguments_only() {
        use Volatility::{Immutable, Stable, Volatile};
        let reason =
            |schema, name, oid, extension, volatility| closed(&function(schema, name, oid, extension, volatility));
        for volatility in [Stable, Volatile] {
            assert_eq!(reason("pg_catalog", "pg_read_table", 9999, None, volatility), Some(Reason::NotReviewed));
            assert_eq!(reason("public", "fetch_url", 20000, Some("webby"), volatility), Some(Reason::NotReviewed));
            assert_eq!(reason("pg_catalog", "to_char", 9998, None, volatility), None);
            assert_eq!(reason("public", "unaccent", 20000, Some("unaccent"), volatility), None);
        }
        assert_eq!(reason("pg_catalog", "new_digest", 9999, None, Immutable), None);
        assert_eq!(reason("public", "st_astext", 20000, Some("postgis"), Immutable), None);
        assert_eq!(reason("public", "pg_read_file", 20000, None, Immutable), Some(Reason::Files));
        assert_eq!(reason("public", "anything", 20000, Some("pg_net"), Immutable), Some(Reason::Connects));
        let mut made = function("public", "uuid_generate_v9", 20000, Some("uuids"), Volatile);
        (made.inputs, made.returns) = (Vec::new(), Oid(2950));
        assert_eq!(closed(&made), None);
    }

    #[test]
    fn no_function_is_both_reviewed_and_refused() {
        for name in REVIEWED.iter() {
            assert_eq!(refused(name, 3), None, "{name}");
        }
        for extension in REVIEWED_EXTENSIONS {
            assert_eq!(refused_extension(extension), None, "{extension}");
        }
    }

    #[test]
    fn what_reads_around_the_statement_is_refused() {
        for (name, reason) in [
            ("query_to_xml", Reason::RunsText),
            ("dblink_build_sql_insert", Reason::Connects),
            ("pg_read_binary_file", Reason::Files),
            ("lo_put", Reason::LargeObjects),
            ("get_raw_page", Reason::Pages),
        ] {
            assert_eq!(refused(name, 1), Some(reason), "{name}");
        }
    }

    #[test]
    fn what_describes_the_database_is_not() {
        for name in [
            "pg_get_viewdef",
            "pg_get_expr",
            "pg_get_indexdef",
            "pg_relation_size",
            "pg_size_pretty",
            "obj_description",
            "col_description",
            "format_type",
            "has_table_privilege",
            "currval",
            "pg_backend_pid",
            "pg_table_is_visible",
            "pg_current_logfile",
        ] {
            assert_eq!(refused(name, 1), None, "{name}");
        }
    }

    #[test]
    fn rewriting_a_text_search_query_is_refused_only_where_it_runs_text() {
        assert_eq!(refused("ts_rewrite", 2), Some(Reason::RunsText));
        assert_eq!(refused("ts_rewrite", 3), None);
    }
}
