//! What can fail while it is computed: an error that comes for some values and not for others tells about them, however
//! well its text is scrubbed.

use super::value::Sort;
use crate::catalog::Oid;
use crate::sql::tree::TypeName;

/// How a built-in function may fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// By the arguments at these places: a format, a key, a pattern. Ordinary values of the others never make it fail.
    At(Places),
    /// It reads a value in a form that the caller has no say in: it fails for values that are not of this form.
    ByForm,
    /// A caller who chooses its other arguments also chooses for which values it fails.
    ByChoice,
}

/// Places of arguments, the first one in the lowest bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Places(u32);

impl Places {
    /// `13`: the first and the third; `2+`: all from the second on; `odd`: the first, the third ...
    fn written(places: &str) -> Self {
        if places == "odd" {
            return Self(0x5555_5555);
        }
        let digit = |digit: char| digit.to_digit(10).and_then(|place| place.checked_sub(1));
        if let Some(from) = places.strip_suffix('+') {
            return Self(from.chars().filter_map(digit).fold(0, |_, from| u32::MAX << from));
        }
        Self(places.chars().filter_map(digit).fold(0, |all, place| all | 1 << place))
    }

    /// Whether the argument at that place (from 0) is one of them.
    pub fn has(self, place: usize) -> bool {
        self.0.checked_shr(u32::try_from(place).unwrap_or(u32::MAX)).is_some_and(|rest| rest & 1 == 1)
    }
}

/// Functions that ordinary values of most arguments never make fail. Behind the colon, the places of those that do.
const AT: &str = "
    abs age any_value array_agg array_append array_cat array_dims array_length array_lower array_ndims array_position:3
    array_positions array_prepend array_remove array_replace array_to_json array_to_string array_upper ascii avg bit_and bit_count
    bit_length bit_or bit_xor bool_and bool_or btrim cardinality cbrt ceil ceiling char_length character_length
    clock_timestamp coalesce concat concat_ws corr count covar_pop covar_samp cume_dist current_catalog current_date
    current_database current_role current_schema current_setting:12 current_time current_timestamp current_user date_part:1
    degrees dense_rank every extract:1 first_value floor format:1 greatest grouping hashtext hashtextextended initcap isfinite
    json_agg json_array json_arrayagg json_build_array json_build_object:odd json_extract_path json_extract_path_text
    json_object_agg:1 json_objectagg:1 json_scalar json_serialize json_strip_nulls json_typeof
    jsonb_agg jsonb_build_array jsonb_build_object:odd jsonb_object_agg:1
    jsonb_extract_path jsonb_extract_path_text jsonb_pretty jsonb_strip_nulls jsonb_typeof last_value least left length:2
    is_normalized:2 localtime localtimestamp lower ltrim max md5 min mode now nullif num_nonnulls num_nulls normalize:2 octet_length overlaps percent_rank
    percentile_cont percentile_disc pg_backend_pid pg_client_encoding pg_collation_for pg_column_size pg_size_pretty pg_typeof
    position quote_ident quote_literal quote_nullable radians rank record_out record_send regr_avgx regr_avgy regr_count
    regr_intercept regr_r2 regr_slope regr_sxx regr_sxy regr_syy replace reverse right round row_number row_to_json rtrim
    session_user set_config sha224 sha256 sha384 sha512 sign starts_with statement_timestamp stddev stddev_pop stddev_samp string_agg
    string_to_array string_to_table strpos sum text textcat timeofday to_hex to_json to_jsonb to_tsvector transaction_timestamp
    translate trim trunc ts_rank ts_rank_cd tsvector_to_array tsvector_to_text upper user var_pop var_samp variance version xml_is_well_formed xmlagg
    xmlattributes xmlconcat xmlelement xmlforest xmlserialize
    daitch_mokotoff difference dmetaphone dmetaphone_alt show_trgm similarity soundex strict_word_similarity unaccent
    similarity_dist text_soundex akeys avals skeys svals each defined delete exist exists_all exists_any fetchval hs_concat
    hstore_to_array hstore_to_json hstore_to_json_loose hstore_to_jsonb hstore_to_jsonb_loose isdefined isexists slice
    asinh atan atan2 atan2d atand cosh sinh tanh scale min_scale trim_scale justify_days justify_hours justify_interval
    abbrev broadcast family host hostmask masklen netmask network inet_same_family
    isempty lower_inc lower_inf upper_inc upper_inf range_merge range_agg range_intersect_agg
    bound_box box center circle diagonal diameter height isclosed isopen lseg npoints path pclose point popen radius slope width
    numnode querytree strip xml_is_well_formed_content xml_is_well_formed_document pg_char_to_encoding pg_encoding_to_char
    unnest generate_series:3 generate_subscripts word_similarity phraseto_tsquery plainto_tsquery websearch_to_tsquery
    convert_to:2+ digest:2+ div:2+ encode:2+ encrypt:2+ crypt:2+ hmac:2+ lag:2 lead:2 lpad:2 mod:2+ nth_value:2 ntile:1
    overlay:3+ parse_ident:1 pgp_sym_encrypt:2+
    regexp_count:2+ regexp_instr:2+ regexp_like:2+ regexp_match:2+ regexp_matches:2+ regexp_replace:2+ regexp_split_to_array:2+
    regexp_split_to_table:2+ regexp_substr:2+ repeat:2 rpad:2 split_part:3 substr:2+ substring:2+ to_char:2+ ts_headline:2+
    ts_lexize width_bucket:2+
";

/// Functions that read a value in some form. What they are told beside does not make them tell one value from another.
const BY_FORM: &str = "
    bpchar chr convert_from date date_trunc decode exp factorial has_any_column_privilege has_column_privilege
    has_database_privilege has_foreign_data_wrapper_privilege has_function_privilege has_language_privilege
    has_parameter_privilege has_schema_privilege has_sequence_privilege has_server_privilege has_table_privilege
    has_tablespace_privilege has_type_privilege hstore int2 int4 int8 json_object jsonb_object jsonb_set ln log log10
    make_date make_time make_timestamptz numeric pg_database_size pg_get_serial_sequence pg_get_viewdef pg_has_role pgp_sym_decrypt
    sqrt text2ltree timezone to_number to_tsquery xml xmlcomment xmlparse xmlpi
    to_regclass to_regcollation to_regnamespace to_regoper to_regoperator to_regproc to_regprocedure to_regrole to_regtype
    json_array_elements json_array_elements_text json_array_length json_each json_each_text json_object_keys
    json_populate_record json_populate_recordset json_to_record json_to_recordset jsonb_array_elements
    jsonb_array_elements_text jsonb_array_length jsonb_each jsonb_each_text jsonb_object_keys jsonb_populate_record
    jsonb_populate_recordset jsonb_to_record jsonb_to_recordset
    levenshtein levenshtein_less_equal metaphone
    col_description json_to_tsvector jsonb_to_tsvector pg_get_indexdef pg_get_userbyid pg_relation_size
    pg_table_size pg_total_relation_size
";

/// Functions that fail for values at the end of a type's range, which a caller would have to make up.
const BY_EDGE: &str = "
    abs age avg bit_and bit_or bit_xor corr covar_pop covar_samp date_part degrees extract generate_series overlaps regr_avgx
    regr_avgy regr_intercept regr_r2 regr_slope regr_sxx regr_sxy regr_syy stddev stddev_pop stddev_samp sum var_pop var_samp
    variance div mod width_bucket round trunc justify_days justify_hours justify_interval range_merge range_agg bound_box box center
    circle diagonal diameter height lseg path point radius slope width
";

/// Functions that return arrays of one dimension.
const TO_ARRAYS: &str = "
    regexp_match regexp_matches regexp_split_to_array string_to_array tsvector_to_array parse_ident ts_lexize xpath show_trgm akeys avals
    hstore_to_array
";

/// Functions that return NULL for values that are not.
const WITH_GAPS: &str = "
    nullif regexp_match regexp_substr substring array_position array_length array_upper array_lower array_ndims array_dims
    json_extract_path json_extract_path_text jsonb_extract_path jsonb_extract_path_text lag lead nth_value
    to_regclass to_regcollation to_regnamespace to_regoper to_regoperator to_regproc to_regprocedure to_regrole to_regtype
";

/// Functions that take a byte or bit at a place: the place tells how long the value is, but not the first few.
const BY_PLACE: [&str; 4] = ["get_bit", "get_byte", "set_bit", "set_byte"];

fn lists(names: &str, name: &str) -> bool {
    names.split_ascii_whitespace().any(|known| known == name)
}

/// The entry of a function among [`AT`].
fn places(name: &str) -> Option<Places> {
    let rest = |known: &'static str| known.strip_prefix(name);
    AT.split_ascii_whitespace().filter_map(rest).find_map(|rest| match rest.strip_prefix(':') {
        Some(places) => Some(Places::written(places)),
        None => rest.is_empty().then_some(Places(0)),
    })
}

/// Whether a function is not called at all where an argument is NULL. Those among [`AT`] that look at some arguments are
/// not, but these.
pub(super) fn skips_nulls(name: &str) -> bool {
    !lists(
        "format json_build_object json_object_agg json_objectagg jsonb_build_object jsonb_object_agg lag lead nth_value",
        name,
    )
}

/// Whether values at the end of their type's range make a function fail.
pub(super) fn fails_by_edge(name: &str) -> bool {
    lists(BY_EDGE, name)
}

/// Whether a function returns an array of one dimension, whatever its arguments are.
pub(super) fn makes_arrays(name: &str) -> bool {
    lists(TO_ARRAYS, name)
}

/// Whether a function returns NULL for some values that are not.
pub(super) fn leaves_gaps(name: &str) -> bool {
    lists(WITH_GAPS, name)
}

/// How a built-in function may fail. `place`: the number that its second argument is, where it is one.
pub(super) fn failure(name: &str, place: Option<u16>) -> Failure {
    if let Some(places) = places(name) {
        Failure::At(places)
    } else if lists(BY_FORM, name) || (BY_PLACE.contains(&name) && place.is_some_and(|place| place <= 3)) {
        Failure::ByForm
    } else {
        Failure::ByChoice
    }
}

/// Functions that leave a caller nothing to choose about a value: what comes out of them is steady as long as what goes
/// into them is.
pub(super) fn keeps_steady(name: &str, arguments: usize) -> bool {
    match name {
        "btrim" | "ltrim" | "rtrim" | "round" | "trunc" => arguments == 1,
        _ => lists(
            "abs age array_to_json ascii avg bit_length bit_count cardinality ceil ceiling char_length character_length convert_to date_part
            date_trunc decode extract floor initcap json_agg jsonb_agg length lower md5 nullif octet_length reverse row_to_json
            sha224 sha256 sha384 sha512 sign text timezone to_json to_jsonb trim upper xmlparse
            json_build_array jsonb_build_array json_build_object jsonb_build_object",
            name,
        ),
    }
}

/// What sort of scalar a built-in function returns, where that matters to whoever computes with it.
pub(super) fn returned_sort(name: &str) -> Option<Sort> {
    let type_oid = match name {
        "ascii" | "bit_length" | "cardinality" | "char_length" | "character_length" | "length" | "octet_length"
        | "position" | "strpos" | "array_length" => return Some(Sort::Small),
        "count" | "rank" | "dense_rank" | "row_number" => 20,
        "avg" | "date_part" | "extract" => 1700,
        "age" => 1186,
        "date_trunc"
        | "now"
        | "current_timestamp"
        | "transaction_timestamp"
        | "statement_timestamp"
        | "clock_timestamp" => 1184,
        "current_date" => 1082,
        "concat" | "concat_ws" | "initcap" | "lower" | "upper" | "replace" | "substr" | "substring" | "left"
        | "right" | "trim" | "to_char" | "md5" | "reverse" | "split_part" => 25,
        _ => return None,
    };
    Some(Sort::Type(Oid(type_oid)))
}

/// Dates, times and intervals.
pub(super) fn is_time(oid: Oid) -> bool {
    matches!(oid.0, 1082 | 1083 | 1114 | 1184 | 1186 | 1266)
}

/// Whether a cast to that type never fails: to text, whatever the value is.
fn is_text(to: &TypeName) -> bool {
    matches!(to.name.as_str(), "text" | "varchar" | "bpchar" | "name" | "citext" | "unknown") && !to.array
}

/// Whether a cast never fails for ordinary values: to text, or to a type that holds all that the first one does.
pub(super) fn is_total_cast(from: Option<Sort>, to: &TypeName, target: Option<Oid>) -> bool {
    if is_text(to) {
        return true;
    }
    if to.name.as_str() == "char" && !to.array {
        // a number that is no character's
        return matches!(from, Some(Sort::Type(Oid(18 | 19 | 25 | 1042 | 1043))));
    }
    let (Some(from), Some(target)) = (from, target) else { return false };
    let from = match from {
        Sort::Small => 23,
        Sort::Type(oid) if oid == target && !to.modified => return true,
        Sort::Type(oid) => oid.0,
    };
    let modified_numeric = to.modified && target.0 == 1700;
    !modified_numeric
        && match target.0 {
            // int4, int8, numeric, float4, float8 out of narrower ones
            23 => matches!(from, 16 | 21 | 23),
            20 => matches!(from, 21 | 23),
            1700 => matches!(from, 20 | 21 | 23),
            700 | 701 => matches!(from, 20 | 21 | 23 | 700 | 1700),
            // date, time, timestamp, timestamptz, interval
            1082 => matches!(from, 1114 | 1184),
            1083 | 1266 => matches!(from, 1083 | 1114 | 1184 | 1266),
            1114 | 1184 => matches!(from, 1082 | 1114 | 1184),
            1186 => matches!(from, 1083 | 1186),
            // json out of jsonb
            114 => from == 3802,
            _ => false,
        }
}

/// Whether a type is a whole number's or a fraction's: int2, int4, int8, numeric, float4, float8.
pub(super) fn is_number(oid: Oid) -> bool {
    matches!(oid.0, 20 | 21 | 23 | 700 | 701 | 1700)
}

/// Whether a cast reads a name of something in the database, or a document that no part of is compared with another.
pub(super) fn reads_composed(name: &str) -> bool {
    lists(
        "regclass regcollation regconfig regdictionary regnamespace regoper regoperator regproc regprocedure regrole regtype
        xml xmlparse has_database_privilege has_function_privilege has_language_privilege has_schema_privilege
        has_sequence_privilege has_server_privilege has_table_privilege has_tablespace_privilege has_type_privilege",
        name,
    )
}
