//! Nothing panics, and long chains cost no stack of the reader.

use proptest::prelude::*;

use super::super::read;

/// Statements to damage.
const STATEMENTS: &[&str] = &[
    "SELECT DISTINCT ON (a) t.*, count(*) FILTER (WHERE b) OVER (PARTITION BY c ORDER BY d ROWS 1 PRECEDING) AS x FROM t",
    "WITH RECURSIVE x(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM x) SELECT * FROM x JOIN LATERAL f(x.n) g ON true",
    "SELECT a FROM ONLY t, (SELECT 1) u WHERE a = ANY (ARRAY[1, 2]) AND b NOT LIKE 'x%' ESCAPE '!' OR c IN (SELECT 1)",
    "SELECT (a).b, c[1:2], CASE a WHEN 1 THEN E'\\n' ELSE U&'\\0061' END, d::varchar(3), interval '1' YEAR TO MONTH",
    "SELECT a FROM t GROUP BY ROLLUP (a, (b, c)), GROUPING SETS ((d), ()) HAVING a BETWEEN 1 AND 2 ORDER BY 1 LIMIT $1",
    "SELECT trim(BOTH 'x' FROM a), extract(year FROM b), xmlforest(a AS b), json_value(a, '$' RETURNING int)",
    "SELECT * FROM a NATURAL JOIN b CROSS JOIN c LEFT JOIN d USING (e) AS f, ROWS FROM (f(), g() AS (h int)) i",
    "SELECT * FROM json_table(a, '$' COLUMNS (b int PATH '$', NESTED PATH '$' COLUMNS (c FOR ORDINALITY))) j",
    "INSERT INTO s.t AS x (a, b[1]) VALUES (1, DEFAULT) ON CONFLICT (a) DO UPDATE SET (b, c) = (1, 2) RETURNING x.*",
    "UPDATE ONLY t SET a = 1, (b, c) = (SELECT 1, 2) FROM u WHERE CURRENT OF v",
    "DELETE FROM t * USING u WHERE a IS NOT DISTINCT FROM b RETURNING U&\"\\0061\"",
    "MERGE INTO t USING u ON true WHEN MATCHED AND a THEN DELETE WHEN NOT MATCHED THEN INSERT (a) VALUES (1)",
];

fn words(text: &str) -> Vec<String> {
    text.split_inclusive([' ', '(', ')', ',', '.']).map(str::to_owned).collect()
}

fn word() -> impl Strategy<Value = String> {
    let vocabulary: Vec<String> = STATEMENTS.iter().flat_map(|text| words(text)).collect();
    prop_oneof![
        8 => proptest::sample::select(vocabulary),
        1 => proptest::sample::select(vec!["'", "\"", "$$", "/*", "--", ";", "[", "]", "::", ":", "\\", "\r", "U&\"", "E'"])
            .prop_map(str::to_owned),
        1 => any::<char>().prop_map(String::from),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_panics(text in any::<String>()) {
        let _ = read(&text);
    }

    #[test]
    fn no_soup_of_words_panics(words in prop::collection::vec(word(), 0..40)) {
        let _ = read(&words.concat());
    }

    #[test]
    fn no_damaged_statement_panics(
        which in 0..STATEMENTS.len(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..4_u8, word()), 1..4),
    ) {
        let mut words = words(STATEMENTS[which]);
        for (at, other, how, word) in damage {
            let (at, other) = (at.index(words.len()), other.index(words.len()));
            match how {
                0 if words.len() > 1 => { words.remove(at); }
                1 => { let copy = words[at].clone(); words.insert(other, copy); }
                2 => words.swap(at, other),
                _ => words.insert(at, word),
            }
        }
        let _ = read(&words.concat());
    }
}

#[test]
fn every_statement_to_damage_is_read() {
    for text in STATEMENTS {
        assert!(read(text).is_ok(), "{text}");
    }
}

#[test]
fn long_chains_are_read() {
    let chain = |first: &str, next: &str| format!("{first}{}", next.repeat(5_000));
    // squawk's parser takes time in the square of their length for these.
    let short = |first: &str, next: &str| format!("{first}{}", next.repeat(1_000));
    let texts = [
        chain("SELECT a", " AND a"),
        chain("SELECT a", " OR b AND c"),
        chain("SELECT a", " + 1"),
        chain("SELECT a", " || a"),
        short("SELECT a", "::text"),
        chain("SELECT a", "[1]"),
        chain("SELECT 1", " UNION ALL SELECT 1"),
        short("SELECT * FROM t", " CROSS JOIN t"),
        chain("SELECT * FROM t", " JOIN t ON a"),
        chain("SELECT a IN (1", ", 1") + ")",
        chain("VALUES (1)", ", (1)"),
        short("SELECT ", "NOT ") + "a",
        short("SELECT ", "- ") + "a",
        format!("SELECT {}a{}", "(".repeat(200), ")".repeat(200)),
        format!("SELECT {}1{}", "(SELECT ".repeat(200), ")".repeat(200)),
        format!("SELECT {}1{}", "CASE WHEN a THEN ".repeat(200), " END".repeat(200)),
    ];
    // The stack that the analysis gives its readers.
    let reader = std::thread::Builder::new().stack_size(64 * 1024 * 1024);
    let read_all = move || texts.iter().all(|text| read(text).is_ok());
    assert!(reader.spawn(read_all).unwrap().join().unwrap());
}
