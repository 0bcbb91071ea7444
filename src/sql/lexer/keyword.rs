//! PostgreSQL's key words and what each may be used for (manual, appendix C "SQL Key Words"; `kwlist.h`).

/// What a key word may be used for without quotes. A word that is no key word at all may be used for everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeywordClass {
    /// Any name.
    Unreserved,
    /// A column or table, but no function or type.
    ColumnName,
    /// A function or type, but no column or table.
    TypeFunctionName,
    /// Only a label after `AS` (and most of them a label without it).
    Reserved,
}

use KeywordClass::{ColumnName, Reserved, TypeFunctionName, Unreserved};

/// The longest key word, in bytes.
pub(crate) const KEYWORD_BYTES_MAX: usize = 17;

/// The class of a word that is already in lower case; `None`: no key word. A word that became reserved in any
/// supported version counts as reserved.
pub(crate) fn keyword_class(lower: &str) -> Option<KeywordClass> {
    if lower.len() > KEYWORD_BYTES_MAX {
        return None;
    }
    let at = KEYWORDS.binary_search_by(|(word, _)| (*word).cmp(lower)).ok()?;
    KEYWORDS.get(at).map(|&(_, class)| class)
}

/// Every key word.
pub(crate) fn keywords() -> impl Iterator<Item = &'static str> {
    KEYWORDS.iter().map(|&(word, _)| word)
}

/// Of PostgreSQL 13 to 18 together, sorted.
#[rustfmt::skip]
static KEYWORDS: &[(&str, KeywordClass)] = &[
    ("abort", Unreserved), ("absent", Unreserved), ("absolute", Unreserved), ("access", Unreserved),
    ("action", Unreserved), ("add", Unreserved), ("admin", Unreserved), ("after", Unreserved),
    ("aggregate", Unreserved), ("all", Reserved), ("also", Unreserved), ("alter", Unreserved), ("always", Unreserved),
    ("analyse", Reserved), ("analyze", Reserved), ("and", Reserved), ("any", Reserved), ("array", Reserved),
    ("as", Reserved), ("asc", Reserved), ("asensitive", Unreserved), ("assertion", Unreserved),
    ("assignment", Unreserved), ("asymmetric", Reserved), ("at", Unreserved), ("atomic", Unreserved),
    ("attach", Unreserved), ("attribute", Unreserved), ("authorization", TypeFunctionName), ("backward", Unreserved),
    ("before", Unreserved), ("begin", Unreserved), ("between", ColumnName), ("bigint", ColumnName),
    ("binary", TypeFunctionName), ("bit", ColumnName), ("boolean", ColumnName), ("both", Reserved),
    ("breadth", Unreserved), ("by", Unreserved), ("cache", Unreserved), ("call", Unreserved), ("called", Unreserved),
    ("cascade", Unreserved), ("cascaded", Unreserved), ("case", Reserved), ("cast", Reserved),
    ("catalog", Unreserved), ("chain", Unreserved), ("char", ColumnName), ("character", ColumnName),
    ("characteristics", Unreserved), ("check", Reserved), ("checkpoint", Unreserved), ("class", Unreserved),
    ("close", Unreserved), ("cluster", Unreserved), ("coalesce", ColumnName), ("collate", Reserved),
    ("collation", TypeFunctionName), ("column", Reserved), ("columns", Unreserved), ("comment", Unreserved),
    ("comments", Unreserved), ("commit", Unreserved), ("committed", Unreserved), ("compression", Unreserved),
    ("concurrently", TypeFunctionName), ("conditional", Unreserved), ("configuration", Unreserved),
    ("conflict", Unreserved), ("connection", Unreserved), ("constraint", Reserved), ("constraints", Unreserved),
    ("content", Unreserved), ("continue", Unreserved), ("conversion", Unreserved), ("copy", Unreserved),
    ("cost", Unreserved), ("create", Reserved), ("cross", TypeFunctionName), ("csv", Unreserved),
    ("cube", Unreserved), ("current", Unreserved), ("current_catalog", Reserved), ("current_date", Reserved),
    ("current_role", Reserved), ("current_schema", TypeFunctionName), ("current_time", Reserved),
    ("current_timestamp", Reserved), ("current_user", Reserved), ("cursor", Unreserved), ("cycle", Unreserved),
    ("data", Unreserved), ("database", Unreserved), ("day", Unreserved), ("deallocate", Unreserved),
    ("dec", ColumnName), ("decimal", ColumnName), ("declare", Unreserved), ("default", Reserved),
    ("defaults", Unreserved), ("deferrable", Reserved), ("deferred", Unreserved), ("definer", Unreserved),
    ("delete", Unreserved), ("delimiter", Unreserved), ("delimiters", Unreserved), ("depends", Unreserved),
    ("depth", Unreserved), ("desc", Reserved), ("detach", Unreserved), ("dictionary", Unreserved),
    ("disable", Unreserved), ("discard", Unreserved), ("distinct", Reserved), ("do", Reserved),
    ("document", Unreserved), ("domain", Unreserved), ("double", Unreserved), ("drop", Unreserved),
    ("each", Unreserved), ("else", Reserved), ("empty", Unreserved), ("enable", Unreserved), ("encoding", Unreserved),
    ("encrypted", Unreserved), ("end", Reserved), ("enforced", Unreserved), ("enum", Unreserved),
    ("error", Unreserved), ("escape", Unreserved), ("event", Unreserved), ("except", Reserved),
    ("exclude", Unreserved), ("excluding", Unreserved), ("exclusive", Unreserved), ("execute", Unreserved),
    ("exists", ColumnName), ("explain", Unreserved), ("expression", Unreserved), ("extension", Unreserved),
    ("external", Unreserved), ("extract", ColumnName), ("false", Reserved), ("family", Unreserved),
    ("fetch", Reserved), ("filter", Unreserved), ("finalize", Unreserved), ("first", Unreserved),
    ("float", ColumnName), ("following", Unreserved), ("for", Reserved), ("force", Unreserved), ("foreign", Reserved),
    ("format", Unreserved), ("forward", Unreserved), ("freeze", TypeFunctionName), ("from", Reserved),
    ("full", TypeFunctionName), ("function", Unreserved), ("functions", Unreserved), ("generated", Unreserved),
    ("global", Unreserved), ("grant", Reserved), ("granted", Unreserved), ("greatest", ColumnName),
    ("group", Reserved), ("grouping", ColumnName), ("groups", Unreserved), ("handler", Unreserved),
    ("having", Reserved), ("header", Unreserved), ("hold", Unreserved), ("hour", Unreserved),
    ("identity", Unreserved), ("if", Unreserved), ("ilike", TypeFunctionName), ("immediate", Unreserved),
    ("immutable", Unreserved), ("implicit", Unreserved), ("import", Unreserved), ("in", Reserved),
    ("include", Unreserved), ("including", Unreserved), ("increment", Unreserved), ("indent", Unreserved),
    ("index", Unreserved), ("indexes", Unreserved), ("inherit", Unreserved), ("inherits", Unreserved),
    ("initially", Reserved), ("inline", Unreserved), ("inner", TypeFunctionName), ("inout", ColumnName),
    ("input", Unreserved), ("insensitive", Unreserved), ("insert", Unreserved), ("instead", Unreserved),
    ("int", ColumnName), ("integer", ColumnName), ("intersect", Reserved), ("interval", ColumnName),
    ("into", Reserved), ("invoker", Unreserved), ("is", TypeFunctionName), ("isnull", TypeFunctionName),
    ("isolation", Unreserved), ("join", TypeFunctionName), ("json", ColumnName), ("json_array", ColumnName),
    ("json_arrayagg", ColumnName), ("json_exists", ColumnName), ("json_object", ColumnName),
    ("json_objectagg", ColumnName), ("json_query", ColumnName), ("json_scalar", ColumnName),
    ("json_serialize", ColumnName), ("json_table", ColumnName), ("json_value", ColumnName), ("keep", Unreserved),
    ("key", Unreserved), ("keys", Unreserved), ("label", Unreserved), ("language", Unreserved), ("large", Unreserved),
    ("last", Unreserved), ("lateral", Reserved), ("leading", Reserved), ("leakproof", Unreserved),
    ("least", ColumnName), ("left", TypeFunctionName), ("level", Unreserved), ("like", TypeFunctionName),
    ("limit", Reserved), ("listen", Unreserved), ("load", Unreserved), ("local", Unreserved), ("localtime", Reserved),
    ("localtimestamp", Reserved), ("location", Unreserved), ("lock", Unreserved), ("locked", Unreserved),
    ("logged", Unreserved), ("mapping", Unreserved), ("match", Unreserved), ("matched", Unreserved),
    ("materialized", Unreserved), ("maxvalue", Unreserved), ("merge", Unreserved), ("merge_action", ColumnName),
    ("method", Unreserved), ("minute", Unreserved), ("minvalue", Unreserved), ("mode", Unreserved),
    ("month", Unreserved), ("move", Unreserved), ("name", Unreserved), ("names", Unreserved),
    ("national", ColumnName), ("natural", TypeFunctionName), ("nchar", ColumnName), ("nested", Unreserved),
    ("new", Unreserved), ("next", Unreserved), ("nfc", Unreserved), ("nfd", Unreserved), ("nfkc", Unreserved),
    ("nfkd", Unreserved), ("no", Unreserved), ("none", ColumnName), ("normalize", ColumnName),
    ("normalized", Unreserved), ("not", Reserved), ("nothing", Unreserved), ("notify", Unreserved),
    ("notnull", TypeFunctionName), ("nowait", Unreserved), ("null", Reserved), ("nullif", ColumnName),
    ("nulls", Unreserved), ("numeric", ColumnName), ("object", Unreserved), ("objects", Unreserved),
    ("of", Unreserved), ("off", Unreserved), ("offset", Reserved), ("oids", Unreserved), ("old", Unreserved),
    ("omit", Unreserved), ("on", Reserved), ("only", Reserved), ("operator", Unreserved), ("option", Unreserved),
    ("options", Unreserved), ("or", Reserved), ("order", Reserved), ("ordinality", Unreserved),
    ("others", Unreserved), ("out", ColumnName), ("outer", TypeFunctionName), ("over", Unreserved),
    ("overlaps", TypeFunctionName), ("overlay", ColumnName), ("overriding", Unreserved), ("owned", Unreserved),
    ("owner", Unreserved), ("parallel", Unreserved), ("parameter", Unreserved), ("parser", Unreserved),
    ("partial", Unreserved), ("partition", Unreserved), ("passing", Unreserved), ("password", Unreserved),
    ("path", Unreserved), ("period", Unreserved), ("placing", Reserved), ("plan", Unreserved), ("plans", Unreserved),
    ("policy", Unreserved), ("position", ColumnName), ("preceding", Unreserved), ("precision", ColumnName),
    ("prepare", Unreserved), ("prepared", Unreserved), ("preserve", Unreserved), ("primary", Reserved),
    ("prior", Unreserved), ("privileges", Unreserved), ("procedural", Unreserved), ("procedure", Unreserved),
    ("procedures", Unreserved), ("program", Unreserved), ("publication", Unreserved), ("quote", Unreserved),
    ("quotes", Unreserved), ("range", Unreserved), ("read", Unreserved), ("real", ColumnName),
    ("reassign", Unreserved), ("recheck", Unreserved), ("recursive", Unreserved), ("ref", Unreserved),
    ("references", Reserved), ("referencing", Unreserved), ("refresh", Unreserved), ("reindex", Unreserved),
    ("relative", Unreserved), ("release", Unreserved), ("rename", Unreserved), ("repeatable", Unreserved),
    ("replace", Unreserved), ("replica", Unreserved), ("reset", Unreserved), ("restart", Unreserved),
    ("restrict", Unreserved), ("return", Unreserved), ("returning", Reserved), ("returns", Unreserved),
    ("revoke", Unreserved), ("right", TypeFunctionName), ("role", Unreserved), ("rollback", Unreserved),
    ("rollup", Unreserved), ("routine", Unreserved), ("routines", Unreserved), ("row", ColumnName),
    ("rows", Unreserved), ("rule", Unreserved), ("savepoint", Unreserved), ("scalar", Unreserved),
    ("schema", Unreserved), ("schemas", Unreserved), ("scroll", Unreserved), ("search", Unreserved),
    ("second", Unreserved), ("security", Unreserved), ("select", Reserved), ("sequence", Unreserved),
    ("sequences", Unreserved), ("serializable", Unreserved), ("server", Unreserved), ("session", Unreserved),
    ("session_user", Reserved), ("set", Unreserved), ("setof", ColumnName), ("sets", Unreserved),
    ("share", Unreserved), ("show", Unreserved), ("similar", TypeFunctionName), ("simple", Unreserved),
    ("skip", Unreserved), ("smallint", ColumnName), ("snapshot", Unreserved), ("some", Reserved),
    ("source", Unreserved), ("sql", Unreserved), ("stable", Unreserved), ("standalone", Unreserved),
    ("start", Unreserved), ("statement", Unreserved), ("statistics", Unreserved), ("stdin", Unreserved),
    ("stdout", Unreserved), ("storage", Unreserved), ("stored", Unreserved), ("strict", Unreserved),
    ("string", Unreserved), ("strip", Unreserved), ("subscription", Unreserved), ("substring", ColumnName),
    ("support", Unreserved), ("symmetric", Reserved), ("sysid", Unreserved), ("system", Unreserved),
    ("system_user", Reserved), ("table", Reserved), ("tables", Unreserved), ("tablesample", TypeFunctionName),
    ("tablespace", Unreserved), ("target", Unreserved), ("temp", Unreserved), ("template", Unreserved),
    ("temporary", Unreserved), ("text", Unreserved), ("then", Reserved), ("ties", Unreserved), ("time", ColumnName),
    ("timestamp", ColumnName), ("to", Reserved), ("trailing", Reserved), ("transaction", Unreserved),
    ("transform", Unreserved), ("treat", ColumnName), ("trigger", Unreserved), ("trim", ColumnName),
    ("true", Reserved), ("truncate", Unreserved), ("trusted", Unreserved), ("type", Unreserved),
    ("types", Unreserved), ("uescape", Unreserved), ("unbounded", Unreserved), ("uncommitted", Unreserved),
    ("unconditional", Unreserved), ("unencrypted", Unreserved), ("union", Reserved), ("unique", Reserved),
    ("unknown", Unreserved), ("unlisten", Unreserved), ("unlogged", Unreserved), ("until", Unreserved),
    ("update", Unreserved), ("user", Reserved), ("using", Reserved), ("vacuum", Unreserved), ("valid", Unreserved),
    ("validate", Unreserved), ("validator", Unreserved), ("value", Unreserved), ("values", ColumnName),
    ("varchar", ColumnName), ("variadic", Reserved), ("varying", Unreserved), ("verbose", TypeFunctionName),
    ("version", Unreserved), ("view", Unreserved), ("views", Unreserved), ("virtual", Unreserved),
    ("volatile", Unreserved), ("when", Reserved), ("where", Reserved), ("whitespace", Unreserved),
    ("window", Reserved), ("with", Reserved), ("within", Unreserved), ("without", Unreserved), ("work", Unreserved),
    ("wrapper", Unreserved), ("write", Unreserved), ("xml", Unreserved), ("xmlattributes", ColumnName),
    ("xmlconcat", ColumnName), ("xmlelement", ColumnName), ("xmlexists", ColumnName), ("xmlforest", ColumnName),
    ("xmlnamespaces", ColumnName), ("xmlparse", ColumnName), ("xmlpi", ColumnName), ("xmlroot", ColumnName),
    ("xmlserialize", ColumnName), ("xmltable", ColumnName), ("year", Unreserved), ("yes", Unreserved),
    ("zone", Unreserved),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_are_sorted() {
        assert!(KEYWORDS.is_sorted_by(|one, two| one.0 < two.0));
        assert!(KEYWORDS.iter().all(|(word, _)| word.len() <= KEYWORD_BYTES_MAX));
    }

    #[test]
    fn classes_are_those_of_the_grammar() {
        for (word, class) in [
            ("select", Some(Reserved)),
            ("only", Some(Reserved)),
            ("isnull", Some(TypeFunctionName)),
            ("interval", Some(ColumnName)),
            ("name", Some(Unreserved)),
            ("rlike", None),
            ("email", None),
        ] {
            assert_eq!(keyword_class(word), class, "{word}");
        }
    }
}
