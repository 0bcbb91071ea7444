-- Types of the user's own, for the test that masks keep the type. The test itself makes the table, from what pg_type lists.
CREATE EXTENSION citext;
CREATE TYPE mood AS ENUM ('sad', 'so so', 'happy, "very"');
CREATE TYPE nothing AS ENUM ();
CREATE DOMAIN dom_text AS text;
CREATE DOMAIN dom_amount AS numeric CHECK (value <> 4711);
CREATE DOMAIN dom_of_dom AS dom_text;
CREATE TYPE pair AS (a text, b varchar);
CREATE TYPE mixed AS (a text, n int4, d date);
CREATE TYPE nest AS (p pair, l text[], m mixed[], n dom_amount);
CREATE TYPE holed AS (a text, gone int4, b text);
ALTER TYPE holed DROP ATTRIBUTE gone;
CREATE TYPE single AS (a text);
CREATE DOMAIN dom_pair AS pair;
CREATE DOMAIN dom_list AS text[];
CREATE TYPE textrange AS RANGE (subtype = text, multirange_type_name = textmultirange);

-- Statistics of several columns are values of types that no literal can be written of.
CREATE TABLE measured AS SELECT g % 5 AS a, g % 10 AS b FROM generate_series(1, 200) g;
ALTER TABLE measured ADD c int4 DEFAULT 4711;
CREATE STATISTICS measured_both (ndistinct, dependencies, mcv) ON a, b FROM measured;
ANALYZE measured;
