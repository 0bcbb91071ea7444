//! Scalar expressions.

use super::assert_read;

#[test]
fn expressions_keep_what_their_values_are_made_of() {
    assert_read(&[
        ("SELECT a, t.a, s.t.a, d.s.t.a", "select [a, t.a, s.t.a, d.s.t.a]"),
        ("SELECT 0, 2, 65535, 65536, 007, 1.5, 1e3, 0x10, 1_000, -1", "select [0, 2, 65535, #, 7, #, #, #, #, (- 1)]"),
        ("SELECT NULL, TRUE, false, $1, $12", "select [null, bool, bool, $1, $12]"),
        (r"SELECT 'abc', 'abc%', 'a%c', 'a_', 'it''s', '', '10\%'", "select ['a', 'a%', '%a%', '%a%', 'a', 'a', 'a']"),
        (
            r"SELECT E'a\x25', E'a\045b', E'\\', E'a\u0025', U&'a\0025', U&'a!0025' UESCAPE '!'",
            "select ['a%', '%a%', '%a%', 'a%', 'a%', 'a%']",
        ),
        ("SELECT $$abc%$$, $tag$a_$tag$, N'abc', B'01', X'1F'", "select ['a%', '%a%', 'a'::bpchar, 'a', 'a']"),
        (
            "SELECT a + b * c - d, (a + b) * c, -a, + a, @ a, - a ^ b",
            "select [((a + (b * c)) - d), ((a + b) * c), (- a), (+ a), (@ a), ((- a) ^ b)]",
        ),
        (
            "SELECT a || b || 'x', a -> 'k' ->> 'l', a @> b, a ~* b, a !~ b, a <-> b, a ? b",
            "select [((a || b) || 'a'), ((a -> 'a') ->> 'a'), (a @> b), (a ~* b), (a !~ b), (a <-> b), (a ? b)]",
        ),
        (
            "SELECT a = b, a <> b, a != b, a <= b, a >= b, a < b, a > b",
            "select [(a = b), (a <> b), (a <> b), (a <= b), (a >= b), (a < b), (a > b)]",
        ),
        (
            "SELECT a OPERATOR(pg_catalog.+) b, OPERATOR(s.@) a, a OPERATOR(=) b",
            "select [(a pg_catalog.+ b), (s.@ a), (a = b)]",
        ),
        (
            "SELECT a AND b AND c, a OR b OR c, NOT a, a AND NOT b OR c, a AND (b OR c)",
            "select [logic(a, b, c), logic(a, b, c), logic(a), logic(logic(a, logic(b)), c), logic(a, logic(b, c))]",
        ),
        (
            "SELECT NOT a = b, NOT a IS NULL, a = b IS NULL, NOT a AND b",
            "select [logic((a = b)), logic(isnull(a)), isnull((a = b)), logic(logic(a), b)]",
        ),
        (
            "SELECT a IS NULL, a IS NOT NULL, a ISNULL, a NOTNULL, (a, b) IS NULL",
            "select [isnull(a), isnull(a), isnull(a), isnull(a), isnull(row(a, b))]",
        ),
        (
            "SELECT a IS TRUE, a IS NOT FALSE, a IS UNKNOWN, a IS NOT UNKNOWN",
            "select [test(a), test(a), test(a), test(a)]",
        ),
        (
            "SELECT a IS DOCUMENT, a IS NORMALIZED, a IS NFC NORMALIZED, a IS JSON, a IS JSON OBJECT WITH UNIQUE KEYS",
            "select [test(a), test(a), test(a), test(a), test(a)]",
        ),
        ("SELECT a IS DISTINCT FROM b, a IS NOT DISTINCT FROM NULL", "select [distinct(a, b), distinct(a, null)]"),
        (
            "SELECT a LIKE 'x%', a NOT LIKE b ESCAPE '!', a ILIKE b, a SIMILAR TO b, a NOT SIMILAR TO b ESCAPE 'x'",
            "select [like(a, 'a%'), like(a, b, 'a'), ilike(a, b), similar(a, b), similar(a, b, 'a')]",
        ),
        (
            "SELECT a LIKE b || '%', a || b LIKE c, a LIKE b AND c",
            "select [like(a, (b || '%a%')), like((a || b), c), logic(like(a, b), c)]",
        ),
        (
            "SELECT a BETWEEN 1 AND 2, a NOT BETWEEN b AND c, a BETWEEN SYMMETRIC 1 AND 2, a BETWEEN 1 AND 2 AND b",
            "select [between(a, 1, 2), between(a, b, c), between(a, 1, 2), logic(between(a, 1, 2), b)]",
        ),
        (
            "SELECT 2 + a BETWEEN 1 AND 3, a::int BETWEEN 1 AND 2, b AND a::int NOT BETWEEN 1 AND 2 OR c, f(a::int BETWEEN 1 AND 2, b)",
            "select [between((2 + a), 1, 3), between(a::int4, 1, 2), logic(logic(b, between(a::int4, 1, 2)), c), f(between(a::int4, 1, 2), b)]",
        ),
        (
            "SELECT a IN (1, 2), a IN (1), a NOT IN ('x'), (a, b) IN ((1, 2), (3, 4)), a IN ((SELECT 1), 2)",
            "select [in(a, [1, 2]), in(a, [1]), in(a, ['a']), in(row(a, b), [row(1, 2), row(3, 4)]), in(a, [<select [1]>, 2])]",
        ),
        (
            "SELECT a IN (SELECT 1), a NOT IN ((SELECT 1)), a IN (VALUES (1)), (a, b) IN (SELECT 1, 2), a IN (TABLE t)",
            "select [in(a, <select [1]>), in(a, <select [1]>), in(a, <values [(1)]>), in(row(a, b), <select [1, 2]>), in(a, <select [*] from [t]>)]",
        ),
        (
            "SELECT a = ANY ($1), a = ANY (ARRAY[1, 2]), a <> ALL ('{1}'::int[]), a OPERATOR(pg_catalog.=) ANY (b), a < SOME (b)",
            "select [(a = any $1), (a = any array[1, 2]), (a <> any 'a'::int4[]), (a pg_catalog.= any b), (a < any b)]",
        ),
        (
            "SELECT a = ANY (SELECT 1), a = ANY ((SELECT 1)), a > ALL (VALUES (1)), (a, b) = ANY (SELECT 1, 2)",
            "select [(a = any <select [1]>), (a = any <select [1]>), (a > any <values [(1)]>), (row(a, b) = any <select [1, 2]>)]",
        ),
        (
            "SELECT a LIKE ANY (b), a NOT LIKE ALL (b), a ILIKE ANY (ARRAY['x']), a NOT ILIKE ALL (b), a ~ ANY (b)",
            "select [(a ~~ any b), (a !~~ any b), (a ~~* any array['a']), (a !~~* any b), (a ~ any b)]",
        ),
        (
            "SELECT EXISTS (SELECT 1), NOT EXISTS (SELECT 1), EXISTS ((SELECT 1))",
            "select [exists<select [1]>, logic(exists<select [1]>), exists<select [1]>]",
        ),
        (
            "SELECT (SELECT 1), ((SELECT 1)), (VALUES (1)), (TABLE t), (SELECT a UNION SELECT b)",
            "select [<select [1]>, <select [1]>, <values [(1)]>, <select [*] from [t]>, <{select [a] distinct select [b]}>]",
        ),
        (
            "SELECT ARRAY[1, 2], ARRAY[[1, 2], [3, 4]], ARRAY[]::int[], ARRAY(SELECT 1), ARRAY((SELECT 1))",
            "select [array[1, 2], array[array[1, 2], array[3, 4]], array[]::int4[], array<select [1]>, array<select [1]>]",
        ),
        (
            "SELECT ROW(1, 2), (1, 2), ROW(), ROW(t.*), ROW(t.*, 1), ((1, 2)), ROW(1, 2) = (a, b)",
            "select [row(1, 2), row(1, 2), row(), row(t.*), row(t.*, 1), row(1, 2), (row(1, 2) = row(a, b))]",
        ),
        (
            "SELECT (a, b) OVERLAPS (c, d), ROW(a, b) OVERLAPS (c, d) AND e",
            "select [overlaps!(a, b, c, d), logic(overlaps!(a, b, c, d), e)]",
        ),
        (
            "SELECT CASE WHEN a THEN b END, CASE a WHEN 1 THEN b WHEN 2 THEN c ELSE d END",
            "select [case(a -> b), case(a: 1 -> b, 2 -> c else d)]",
        ),
        (
            "SELECT a::int, a::text::varchar(3), CAST(a AS numeric(10, 2)), a::int[], a::int[][], a::int ARRAY[3], a::s.t",
            "select [a::int4, a::text::varchar(), a::numeric(), a::int4[], a::int4[], a::int4[], a::s.t]",
        ),
        (
            "SELECT a::integer, a::bigint, a::smallint, a::real, a::float, a::float(24), a::float(25), a::double precision, a::dec, a::decimal(3), a::boolean",
            "select [a::int4, a::int8, a::int2, a::float4, a::float8, a::float4, a::float8, a::float8, a::numeric, a::numeric(), a::bool]",
        ),
        (
            r#"SELECT a::char, a::char(3), a::character varying, a::character varying(3), a::varchar, a::national character(2), a::nchar varying(2), a::"char", a::"int", a::"Foo""#,
            "select [a::bpchar(), a::bpchar(), a::varchar, a::varchar(), a::varchar, a::bpchar(), a::varchar(), a::char, a::int, a::Foo]",
        ),
        (
            "SELECT a::bit, a::bit(3), a::bit varying, a::bit varying(3), a::text, a::int4, a::bpchar, a::name, a::oid",
            "select [a::bit(), a::bit(), a::varbit, a::varbit(), a::text, a::int4, a::bpchar, a::name, a::oid]",
        ),
        (
            "SELECT a::time, a::time(3), a::time with time zone, a::timetz, a::timestamp without time zone, a::timestamp(3) with time zone, a::timestamptz(3)",
            "select [a::time, a::time(), a::timetz, a::timetz, a::timestamp, a::timestamptz(), a::timestamptz()]",
        ),
        (
            "SELECT a::interval, a::interval(3), a::interval year to month, a::interval day to second(3)",
            "select [a::interval, a::interval(), a::interval(), a::interval()]",
        ),
        (
            r#"SELECT date 'x', interval '1 day', interval '1' YEAR TO MONTH, interval(3) '1', timestamp with time zone 'x', xid8 'lit', s.t 'x', char 'abc', "Foo" 'x', numeric(3, 1) '1', bit '101'"#,
            "select ['a'::date, 'a'::interval, 'a'::interval(), 'a'::interval(), 'a'::timestamptz, 'a'::xid8, 'a'::s.t, 'a'::bpchar, 'a'::Foo, 'a'::numeric(), 'a'::bit]",
        ),
        (
            r#"SELECT a COLLATE "C", a COLLATE pg_catalog."C" < b, -a COLLATE "C""#,
            "select [collate(a), (collate(a) < b), collate((- a))]",
        ),
        (
            "SELECT a AT TIME ZONE 'utc', a AT TIME ZONE b AT TIME ZONE c, a AT LOCAL, a + b AT TIME ZONE c",
            "select [zone(a, 'a'), zone(zone(a, b), c), timezone!(a), (a + zone(b, c))]",
        ),
        (
            "SELECT a[1], a[1][2], a[1:2], a[:2], a[1:], a[:], t.a[i + 1], $1[1], (a)[1]",
            "select [a[1], a[1, 2], a[1, 2], a[2], a[1], a[], t.a[(i + 1)], $1[1], a[1]]",
        ),
        (
            "SELECT (a).b, (a.b).c, (a).b.c, a[1].b, (a[1]).b, (SELECT x).f, ($1).f, (f(x)).y, (a).b[1]",
            "select [(a).b, (a.b).c, ((a).b).c, (a[1]).b, (a[1]).b, (<select [x]>).f, ($1).f, (f(x)).y, (a).b[1]]",
        ),
        (
            "SELECT t.* IS NULL, t.*::text, count(t.*), f(t.*, 1), t.* = u.*",
            "select [isnull(t.*), t.*::text, count(t.*), f(t.*, 1), (t.* = u.*)]",
        ),
        (
            "SELECT count(*), count(DISTINCT a), count(ALL a), sum(a ORDER BY b DESC, c NULLS LAST), string_agg(a, ',' ORDER BY a)",
            "select [count(*), count(distinct a), count(a), sum(a order b, c), string_agg(a, 'a' order a)]",
        ),
        (
            r#"SELECT s.f(a), d.s.f(a), f(), "F"(a), f(VARIADIC a), f(1, VARIADIC ARRAY[2]), f(x => 1, y := 2)"#,
            "select [s.f(a), d.s.f(a), f(), F(a), f(a), f(1, array[2]), f(1, 2)]",
        ),
        (
            "SELECT sum(a) FILTER (WHERE b), percentile_cont(0.5) WITHIN GROUP (ORDER BY a DESC), f(a) FILTER (WHERE b) OVER ()",
            "select [sum(a) filter(b), percentile_cont(#) within(a), f(a) filter(b) over()]",
        ),
        (
            "SELECT rank() OVER w, rank() OVER (PARTITION BY a, b ORDER BY c), sum(a) OVER (w ORDER BY b ROWS BETWEEN 1 PRECEDING AND $1 FOLLOWING EXCLUDE TIES)",
            "select [rank() over(w), rank() over(by a, b order c), sum(a) over(w order b frame 1, $1)]",
        ),
        (
            "SELECT sum(a) OVER (ORDER BY b RANGE UNBOUNDED PRECEDING), sum(a) OVER (GROUPS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING EXCLUDE CURRENT ROW), sum(a) OVER (ORDER BY b RANGE '1 day'::interval PRECEDING)",
            "select [sum(a) over(order b), sum(a) over(), sum(a) over(order b frame 'a'::interval)]",
        ),
        (
            r#"SELECT coalesce(a, b), greatest(a, b), least(a, b), nullif(a, b), "coalesce"(a), s.coalesce(a)"#,
            "select [coalesce!(a, b), greatest!(a, b), least!(a, b), nullif!(a, b), coalesce(a), s.coalesce(a)]",
        ),
        (
            r#"SELECT extract(year FROM a), EXTRACT('epoch' FROM a), extract("week" FROM a)"#,
            "select [extract!('a', a), extract!('a', a), extract!('a', a)]",
        ),
        (
            "SELECT substring(a FROM 1 FOR 2), substring(a FROM b), substring(a FOR 2 FROM 1), substring(a SIMILAR b ESCAPE c), substring(a, 1, 2)",
            "select [substring!(a, 1, 2), substring!(a, b), substring!(a, 1, 2), substring!(a, b, c), substring(a, 1, 2)]",
        ),
        (
            "SELECT overlay(a PLACING b FROM 1 FOR 2), overlay(a PLACING b FROM 1), overlay(a, b, 1), position(a IN b)",
            "select [overlay!(a, b, 1, 2), overlay!(a, b, 1), overlay(a, b, 1), position!(b, a)]",
        ),
        (
            "SELECT trim(a), trim(BOTH FROM a), trim('x' FROM a), trim(LEADING 'x' FROM a), trim(TRAILING FROM a), trim(a, b)",
            "select [btrim!(a), btrim!(a), btrim!(a, 'a'), ltrim!(a, 'a'), rtrim!(a), btrim!(a, b)]",
        ),
        (
            "SELECT current_date, CURRENT_TIME, current_timestamp(3), localtime, localtimestamp, current_user, session_user, user, current_role, current_catalog, current_schema, current_schema()",
            "select [current_date!(), current_time!(), current_timestamp!(3), localtime!(), localtimestamp!(), current_user!(), session_user!(), user!(), current_role!(), current_catalog!(), current_schema!(), current_schema()]",
        ),
        (
            "SELECT normalize(a), normalize(a, NFKC), COLLATION FOR (a), merge_action()",
            "select [normalize!(a), normalize!(a, 'a'), pg_collation_for!(a), merge_action!()]",
        ),
        (
            "SELECT xmlelement(NAME foo, XMLATTRIBUTES(a, b AS c), d), xmlforest(a, b AS c), xmlconcat(a, b), xmlparse(DOCUMENT a PRESERVE WHITESPACE), xmlpi(NAME x, a), xmlserialize(CONTENT a AS text), xmlexists('x' PASSING BY REF a)",
            "select [xmlelement!(a, b, d), xmlforest!(a, b), xmlconcat!(a, b), xmlparse!(a), xmlpi!(a), xmlserialize!(a), xmlexists!('a', a)]",
        ),
        (
            "SELECT json_object('a': b, 'c' VALUE d NULL ON NULL RETURNING jsonb), json_object(), json_array(a, b FORMAT JSON ABSENT ON NULL), json_array(SELECT a FROM t), json_array()",
            "select [json_object!('a', b, 'a', d), json_object!(), json_array!(a, b), json_array!(<select [a] from [t]>), json_array!()]",
        ),
        (
            "SELECT json_value(a, '$.b' PASSING c AS d RETURNING int DEFAULT e ON EMPTY ERROR ON ERROR), json_query(a, '$' WITH WRAPPER OMIT QUOTES), json_exists(a, '$.x' TRUE ON ERROR), json(a), json_scalar(a), json_serialize(a RETURNING bytea)",
            "select [json_value!(a, 'a', c, e), json_query!(a, 'a'), json_exists!(a, 'a'), json!(a), json_scalar!(a), json_serialize!(a)]",
        ),
        (
            "SELECT json_objectagg(a: b) FILTER (WHERE c), json_arrayagg(a ORDER BY b RETURNING jsonb) OVER (PARTITION BY c)",
            "select [json_objectagg!(a, b) filter(c), json_arrayagg!(a order b) over(by c)]",
        ),
    ]);
}
