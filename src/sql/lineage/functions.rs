//! What PostgreSQL's own functions do with their arguments. Functions that are not listed compute something from all
//! of them, which is [`Role::Derived`].

/// What a built-in function makes of its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// One of its arguments, unchanged: `coalesce`.
    AnyArgument,
    /// Its first argument (or an element or array of it); the others choose which: `nth_value`, `array_agg`.
    First,
    /// Its first argument or its third, the second chooses: `lag`.
    FirstOrThird,
    /// The largest or smallest of its arguments: `max`, `greatest`.
    Extreme,
    /// One of the values of `WITHIN GROUP`: `mode`, `percentile_disc`.
    WithinGroup,
    /// How many there are: `count`.
    Counted,
    /// Nothing of the arguments' values: `pg_typeof`.
    Clean,
    /// A composition that is equal only where its parts are, but for case and blanks: `concat`, `lower`.
    Faithful,
    /// A document whose build depends on the arguments' types alone: `to_jsonb(row)`.
    Document,
    /// The same where its keys are constants: `json_build_object('k', v)`.
    Object,
    /// XML of which the same can be said.
    Elements,
    /// Something computed from all of them.
    Derived,
}

/// The role of a built-in function. By name: all of PostgreSQL's functions of one name do the same, but trimming
/// functions that are told what to cut off.
pub(super) fn role(name: &str, arguments: usize) -> Role {
    match name {
        "coalesce" | "array_append" | "array_prepend" | "array_cat" => Role::AnyArgument,
        "any_value" | "array_agg" | "unnest" | "first_value" | "last_value" | "nth_value" | "array_reverse"
        | "array_shuffle" | "array_sample" | "trim_array" => Role::First,
        "lag" | "lead" => Role::FirstOrThird,
        "max" | "min" | "greatest" | "least" => Role::Extreme,
        "mode" | "percentile_disc" => Role::WithinGroup,
        "count" | "num_nulls" | "num_nonnulls" => Role::Counted,
        "grouping" | "pg_typeof" | "pg_collation_for" | "merge_action" => Role::Clean,
        "btrim" | "ltrim" | "rtrim" if arguments == 1 => Role::Faithful,
        "concat" | "concat_ws" | "lower" | "upper" | "initcap" => Role::Faithful,
        "to_json" | "to_jsonb" | "row_to_json" | "json_build_array" | "jsonb_build_array" | "array_to_json"
        | "json_agg" | "jsonb_agg" => Role::Document,
        "json_build_object" | "jsonb_build_object" => Role::Object,
        "xmlelement" | "xmlforest" | "xmlconcat" | "xmlagg" => Role::Elements,
        _ => Role::Derived,
    }
}

/// Set-returning functions whose number of rows is fixed, or is the number of elements or keys of their argument: it
/// says nothing of the values where those are told ([`super::value::Traits::shaped`]) or the argument is a stored array.
pub(super) fn rows_by_elements(name: &str) -> bool {
    matches!(
        name,
        "unnest"
            | "json_each"
            | "jsonb_each"
            | "json_each_text"
            | "jsonb_each_text"
            | "json_object_keys"
            | "jsonb_object_keys"
            | "json_array_elements"
            | "jsonb_array_elements"
            | "json_array_elements_text"
            | "jsonb_array_elements_text"
    )
}

/// Functions in FROM that yield exactly one row.
pub(super) fn yields_one_row(name: &str) -> bool {
    matches!(name, "json_to_record" | "jsonb_to_record" | "json_populate_record" | "jsonb_populate_record")
}

/// Functions whose result is the same for all rows if their arguments are, and that the caller can foresee. Nothing
/// that a statement could make differ from row to row: no `random()`, no sequences, no `current_setting()`.
pub(super) fn folds_constants(name: &str) -> bool {
    matches!(
        name,
        "lower"
            | "upper"
            | "initcap"
            | "btrim"
            | "ltrim"
            | "rtrim"
            | "trim"
            | "concat"
            | "concat_ws"
            | "replace"
            | "coalesce"
            | "nullif"
            | "greatest"
            | "least"
            | "now"
            | "current_date"
            | "current_time"
            | "current_timestamp"
            | "localtime"
            | "localtimestamp"
            | "transaction_timestamp"
            | "statement_timestamp"
            | "current_user"
            | "session_user"
            | "user"
            | "current_role"
            | "date_trunc"
            | "to_date"
            | "to_timestamp"
            | "make_date"
            | "make_interval"
            | "make_timestamp"
            | "make_timestamptz"
            | "timezone"
            | "date"
            | "age"
            | "date_part"
            | "extract"
    )
}

/// Functions that hand a value on to others, keep it, or do something by it that shows: channels, settings, sequences,
/// locks, the server's log of changes, the state of random numbers, waiting, ending sessions. What goes in counts as written to a column that has no tag.
pub(super) fn is_sink(name: &str) -> bool {
    matches!(
        name,
        "pg_notify"
            | "set_config"
            | "setval"
            | "pg_logical_emit_message"
            | "pg_create_restore_point"
            | "pg_advisory_lock"
            | "pg_advisory_lock_shared"
            | "pg_advisory_xact_lock"
            | "pg_advisory_xact_lock_shared"
            | "pg_try_advisory_lock"
            | "pg_try_advisory_lock_shared"
            | "pg_try_advisory_xact_lock"
            | "pg_try_advisory_xact_lock_shared"
            | "pg_advisory_unlock"
            | "pg_advisory_unlock_shared"
            | "setseed"
            | "nextval"
            | "pg_sleep"
            | "pg_sleep_for"
            | "pg_sleep_until"
            | "pg_terminate_backend"
            | "pg_cancel_backend"
            | "pg_reload_conf"
            | "pg_export_snapshot"
            | "pg_drop_replication_slot"
            | "pg_create_logical_replication_slot"
            | "pg_create_physical_replication_slot"
            | "pg_replication_origin_create"
            | "pg_stat_reset_single_table_counters"
            | "pg_log_backend_memory_contexts"
            | "gin_clean_pending_list"
            | "brin_summarize_range"
            | "pg_prewarm"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_listed_computes_something() {
        assert_eq!(role("substr", 3), Role::Derived);
        assert_eq!(role("nullif", 2), Role::Derived);
        assert_eq!(role("percentile_cont", 1), Role::Derived);
    }

    #[test]
    fn cutting_off_chosen_letters_is_no_mere_trimming() {
        assert_eq!(role("btrim", 1), Role::Faithful);
        assert_eq!(role("btrim", 2), Role::Derived);
    }
}
