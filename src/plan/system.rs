//! Parts of PostgreSQL's own catalogs that can quote user data.

use super::Caller;
use crate::catalog::Catalog;

/// A relation of a system schema or extension, and those of its columns that can quote values of user tables or literals
/// of statements (PostgreSQL manual, chapter 53 "System Catalogs", 54 "System Views", 28.2 "Cumulative Statistics").
///
/// Definitions are not among them: defaults, checks, bounds of partitions, comments hold what somebody wrote into the
/// schema, no row.
pub(super) struct Quoting {
    /// The relation's name; its schema is `pg_catalog`, or wherever an extension was put.
    pub relation: &'static str,
    /// The columns.
    pub columns: &'static [&'static str],
    /// What those get who do not see everything in clear.
    pub guard: Guard,
}

/// What becomes of a statement that shows a quoting column to somebody who does not see everything in clear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Guard {
    /// The column is redacted: it shows the session's own statements.
    Redacted,
    /// The same, but whoever may read other people's statements there is refused.
    OwnOnly,
    /// The statement is refused: what is left of the column would mislead.
    Refused,
}

const SAMPLES: &[&str] = &[
    "most_common_vals",
    "most_common_freqs",
    "most_common_elems",
    "most_common_elem_freqs",
    "most_common_val_nulls",
    "most_common_base_freqs",
    "histogram_bounds",
    "elem_count_histogram",
    "range_length_histogram",
    "range_bounds_histogram",
    "range_empty_frac",
    "avg_width",
    "n_distinct",
    "correlation",
    "dependencies",
];

/// Every such relation of PostgreSQL 13 to 18 and of the extensions that come with it.
pub(super) const QUOTING: &[Quoting] = &[
    Quoting { relation: "pg_stats", columns: SAMPLES, guard: Guard::Refused },
    Quoting { relation: "pg_stats_ext", columns: SAMPLES, guard: Guard::Refused },
    Quoting { relation: "pg_stats_ext_exprs", columns: SAMPLES, guard: Guard::Refused },
    Quoting {
        relation: "pg_statistic",
        columns: &[
            "stawidth",
            "stadistinct",
            "stanumbers1",
            "stanumbers2",
            "stanumbers3",
            "stanumbers4",
            "stanumbers5",
            "stavalues1",
            "stavalues2",
            "stavalues3",
            "stavalues4",
            "stavalues5",
        ],
        guard: Guard::Refused,
    },
    Quoting {
        relation: "pg_statistic_ext_data",
        columns: &["stxdndistinct", "stxddependencies", "stxdmcv", "stxdexpr"],
        guard: Guard::Refused,
    },
    Quoting { relation: "pg_stat_activity", columns: &["query"], guard: Guard::OwnOnly },
    Quoting { relation: "pg_stat_statements", columns: &["query"], guard: Guard::OwnOnly },
    Quoting { relation: "pg_prepared_statements", columns: &["statement"], guard: Guard::Redacted },
    Quoting { relation: "pg_cursors", columns: &["statement"], guard: Guard::Redacted },
    Quoting { relation: "pg_backend_memory_contexts", columns: &["ident"], guard: Guard::Redacted },
    Quoting { relation: "pg_largeobject", columns: &["data"], guard: Guard::Refused },
];

/// Roles that may read other sessions' statements (PostgreSQL manual, chapter 22.5), besides superusers.
const MONITORS: [&str; 2] = ["pg_read_all_stats", "pg_monitor"];

/// Whether a caller may read other sessions' statements.
pub(super) fn is_monitor(caller: &Caller, catalog: &Catalog) -> bool {
    catalog.is_superuser(&caller.principal.user)
        || MONITORS.iter().any(|role| caller.principal.member_of.contains(*role))
}

/// Set-returning functions behind those views, which can be called directly.
pub(super) const QUOTING_FUNCTIONS: &[&str] = &[
    "pg_stat_get_activity",
    "pg_stat_get_backend_activity",
    "pg_stat_statements",
    "pg_prepared_statement",
    "pg_cursor",
    "pg_mcv_list_items",
    "pg_stat_get_backend_idset",
    "pg_get_backend_memory_contexts",
];

/// Words that make a statement worth a full analysis whatever else it names: what they refer to was said earlier in the
/// session, or is said in a string, or changes how later statements read or what callers may do.
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
    "grant",
    "import",
    "load",
    "move",
    "names",
    "prepare",
    "prepared",
    "set_config",
    "standard_conforming_strings",
    "xmlbinary",
    "pg_settings",
];
