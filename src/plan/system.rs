//! Parts of PostgreSQL's own catalogs that can quote user data.

/// A relation of a system schema or extension, and those of its columns that can quote values of user tables or literals
/// of statements (PostgreSQL manual, chapter 53 "System Catalogs", 54 "System Views", 28.2 "Cumulative Statistics").
pub(super) struct Quoting {
    /// The relation's name; its schema is `pg_catalog`, or wherever an extension was put.
    pub relation: &'static str,
    /// The columns.
    pub columns: &'static [&'static str],
}

/// Every such relation of PostgreSQL 13 to 18 and of the extensions that come with it.
pub(super) const QUOTING: &[Quoting] = &[
    Quoting { relation: "pg_stats", columns: &["most_common_vals", "histogram_bounds", "most_common_elems"] },
    Quoting { relation: "pg_stats_ext", columns: &["most_common_vals"] },
    Quoting { relation: "pg_stats_ext_exprs", columns: &["most_common_vals", "histogram_bounds", "most_common_elems"] },
    Quoting {
        relation: "pg_statistic",
        columns: &["stavalues1", "stavalues2", "stavalues3", "stavalues4", "stavalues5"],
    },
    Quoting { relation: "pg_statistic_ext_data", columns: &["stxdmcv", "stxdexpr"] },
    Quoting { relation: "pg_stat_activity", columns: &["query"] },
    Quoting { relation: "pg_stat_statements", columns: &["query"] },
    Quoting { relation: "pg_prepared_statements", columns: &["statement"] },
    Quoting { relation: "pg_cursors", columns: &["statement"] },
    Quoting { relation: "pg_largeobject", columns: &["data"] },
    Quoting { relation: "pg_user_mapping", columns: &["umoptions"] },
];

/// Set-returning functions behind those views, which can be called directly.
pub(super) const QUOTING_FUNCTIONS: &[&str] = &[
    "pg_stat_get_activity",
    "pg_stat_get_backend_activity",
    "pg_stat_statements",
    "pg_prepared_statement",
    "pg_cursor",
    "pg_mcv_list_items",
    "pg_stat_get_backend_idset",
];

/// Words that make a statement worth a full analysis whatever else it names: what they refer to was said earlier in the
/// session, or is said in a string, or changes how later statements read.
pub(super) const WEIGHTY_WORDS: &[&str] = &[
    "alter",
    "call",
    "client_encoding",
    "close",
    "copy",
    "create",
    "deallocate",
    "declare",
    "discard",
    "do",
    "drop",
    "execute",
    "fetch",
    "move",
    "names",
    "prepare",
    "set_config",
    "standard_conforming_strings",
    "xmlbinary",
];
