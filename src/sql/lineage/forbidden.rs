//! Functions that are refused whatever their arguments: they run strings as SQL, read tables by name, read files, or
//! reach other databases or other sessions' statements, so that no lineage of the statement says what they show.
//!
//! They are matched by name in any schema: extensions live where their owner put them.

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

#[cfg(test)]
mod tests {
    use super::*;

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
