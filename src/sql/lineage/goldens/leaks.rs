//! Ways by which a value can come out of a SELECT: none may have a cleaner origin than it deserves.

use super::check;

#[test]
fn expressions_are_followed() {
    check(&[
        ("SELECT email FROM customers WHERE id=1", "email = customers.email", ""),
        (
            "SELECT c.* FROM customers c WHERE id=1",
            "id = customers.id, name = customers.name, email = customers.email, phone = customers.phone, street = customers.street, city = customers.city, card_number = customers.card_number, notes = customers.notes, tenant_id = customers.tenant_id",
            "",
        ),
        ("SELECT upper(email) FROM customers WHERE id=1", "upper = ~customers.email", ""),
        (
            "SELECT format('%s <%s>',name,email) FROM customers WHERE id=1",
            "format = ~customers.name+~customers.email",
            "",
        ),
        ("SELECT substr(email,1,3)||substr(email,4) FROM customers WHERE id=1", "?column? = ~customers.email", ""),
        ("SELECT left(card_number,12) FROM customers WHERE id=1", "left = ~customers.card_number", ""),
        ("SELECT encode(convert_to(email,'UTF8'),'hex') FROM customers WHERE id=1", "encode = ~customers.email", ""),
        (
            "SELECT ascii(substr(email,1,1)),ascii(substr(email,2,1)) FROM customers WHERE id=1",
            "ascii = ~customers.email, ascii = ~customers.email",
            "",
        ),
        ("SELECT translate(email,'@','#') FROM customers WHERE id=1", "translate = ~customers.email", ""),
        ("SELECT split_part(email,'@',1) FROM customers WHERE id=1", "split_part = ~customers.email", ""),
        (
            "SELECT regexp_split_to_table(email,'') FROM customers WHERE id=1",
            "regexp_split_to_table = ~customers.email",
            "customers.email Other",
        ),
        (
            "SELECT coalesce(email,'-'), nullif(email,''), greatest(email,''), least(email,'~') FROM customers WHERE id=1",
            "coalesce = customers.email, nullif = ~customers.email, greatest = ~customers.email, least = ~customers.email",
            "",
        ),
        ("SELECT email='alice.zeph@example.org' FROM customers WHERE id=1", "?column? = ~customers.email", ""),
        ("SELECT email::varchar(30) FROM customers WHERE id=1", "email = ~customers.email", ""),
        (
            "SELECT card_number::bigint FROM customers WHERE id=1",
            "card_number = ~customers.card_number",
            "customers.card_number Conversion",
        ),
        ("SELECT to_tsvector('simple',notes) FROM customers WHERE id=1", "to_tsvector = ~customers.notes", ""),
        (
            "SELECT quote_literal(email), quote_ident(email), quote_nullable(email) FROM customers WHERE id=1",
            "quote_literal = ~customers.email, quote_ident = ~customers.email+?Function, quote_nullable = ~customers.email+?Function",
            "",
        ),
        (
            "SELECT soundex(name), metaphone(name,20), levenshtein(name,'Alice Zephyrine') FROM customers WHERE id=1",
            "soundex = ~customers.name, metaphone = ~customers.name+?Function, levenshtein = ~customers.name+?Function",
            "",
        ),
        (
            "SELECT digest(email,'sha256'), hmac(email,'k','sha256') FROM customers WHERE id=1",
            "digest = ~customers.email, hmac = ~customers.email+?Function",
            "",
        ),
        (
            "SELECT hashtext(email), hashtextextended(email,1) FROM customers WHERE id=1",
            "hashtext = ~customers.email+?Function, hashtextextended = ~customers.email+?Function",
            "",
        ),
        (
            "SELECT email::bytea, email::char(40), email::name FROM customers WHERE id=1",
            "email = ~customers.email, email = ~customers.email, email = ~customers.email",
            "customers.email Conversion",
        ),
        ("SELECT (SELECT email FROM customers WHERE id=1)", "email = customers.email", ""),
        ("SELECT ARRAY(SELECT email FROM customers WHERE id<3)", "array = customers.email", ""),
        (
            "SELECT array_agg(email), string_agg(email,',') FROM customers WHERE id<3",
            "array_agg = customers.email, string_agg = ~customers.email",
            "",
        ),
        (
            "SELECT mode() WITHIN GROUP (ORDER BY name), percentile_disc(0.5) WITHIN GROUP (ORDER BY name) FROM customers",
            "mode = customers.name, percentile_disc = customers.name",
            "",
        ),
        (
            "SELECT first_value(email) OVER (ORDER BY id), lag(email) OVER (ORDER BY id), nth_value(email,2) OVER () FROM customers WHERE id<3",
            "first_value = customers.email, lag = customers.email, nth_value = customers.email",
            "",
        ),
        (
            "SELECT email::citext, text2ltree('a.'||id) FROM customers WHERE id=1",
            "email = customers.email, text2ltree = ~customers.id+?Function",
            "",
        ),
        (
            "SELECT set_byte(email::bytea,0,65), get_byte(email::bytea,1), get_bit(email::bytea,3) FROM customers WHERE id=1",
            "set_byte = ~customers.email+?Function, get_byte = ~customers.email+?Function, get_bit = ~customers.email+?Function",
            "customers.email Conversion",
        ),
        (
            "SELECT xmlforest(email,phone) FROM customers WHERE id=1",
            "xmlforest = ~customers.email+~customers.phone",
            "",
        ),
        (
            "SELECT email IS NULL, email IS NOT NULL FROM customers WHERE id=1",
            "?column? = #customers.email, ?column? = #customers.email",
            "",
        ),
    ]);
}

#[test]
fn whole_rows_are_followed() {
    check(&[
        ("SELECT customers FROM customers WHERE id=1", "customers = {customers.*}", ""),
        ("SELECT c FROM customers c WHERE id=1", "c = {customers.*}", ""),
        ("SELECT c::text FROM customers c WHERE id=1", "c = ~customers.*", ""),
        ("SELECT ROW(c.*) FROM customers c WHERE id=1", "row = {customers.*}", ""),
        ("SELECT (c).email FROM customers c WHERE id=1", "email = customers.email", ""),
        ("SELECT email(c) FROM customers c WHERE id=1", "email = customers.email", ""),
        ("SELECT public.customers FROM public.customers WHERE id=1", "customers = ?Column", ""),
        ("SELECT row_to_json(c) FROM customers c WHERE id=1", "row_to_json = ~customers.*", ""),
        (
            "SELECT to_json(c), to_jsonb(c) FROM customers c WHERE id=1",
            "to_json = ~customers.*, to_jsonb = ~customers.*",
            "",
        ),
        ("SELECT md5(c::text) FROM customers c WHERE id=1", "md5 = ~customers.*", ""),
        ("SELECT array_agg(c) FROM customers c WHERE id<3", "array_agg = {customers.*}", ""),
        ("SELECT json_agg(c) FROM customers c WHERE id<3", "json_agg = ~customers.*", ""),
        ("SELECT jsonb_object_agg(id,c) FROM customers c WHERE id<3", "jsonb_object_agg = ~customers.*", ""),
        (
            "SELECT c IS NOT NULL, (c).* FROM customers c WHERE id=1",
            "?column? = #customers.*, id = customers.id, name = customers.name, email = customers.email, phone = customers.phone, street = customers.street, city = customers.city, card_number = customers.card_number, notes = customers.notes, tenant_id = customers.tenant_id",
            "",
        ),
        ("SELECT record_out(c) FROM customers c WHERE id=1", "record_out = ~customers.*", ""),
        ("SELECT record_send(c) FROM customers c WHERE id=1", "record_send = ~customers.*+?Function", ""),
        (
            "SELECT (jsonb_populate_record(NULL::customers,to_jsonb(c))).email FROM customers c WHERE id=1",
            "email = ~customers.*",
            "",
        ),
        (
            "SELECT r.email FROM customers c, LATERAL json_to_record(row_to_json(c)) AS r(email text) WHERE c.id=1",
            "email = ~customers.*",
            "",
        ),
        (
            "SELECT key,value FROM customers c, jsonb_each_text(to_jsonb(c)) WHERE c.id=1",
            "key = ~customers.*, value = ~customers.*",
            "",
        ),
        ("SELECT jsonb_pretty(to_jsonb(array_agg(c))) FROM customers c WHERE id<3", "jsonb_pretty = ~customers.*", ""),
        (
            "SELECT pg_column_size(c), pg_column_size(c.email) FROM customers c WHERE id=1",
            "pg_column_size = ~customers.*, pg_column_size = ~customers.email",
            "",
        ),
        (
            "SELECT * FROM ROWS FROM (get_customers()) AS g LIMIT 1",
            "id = ~get_customers().0, name = ~get_customers().1, email = ~get_customers().2, phone = ~get_customers().3, street = ~get_customers().4, city = ~get_customers().5, card_number = ~get_customers().6, notes = ~get_customers().7, tenant_id = ~get_customers().8",
            "",
        ),
        (
            "SELECT w FROM (WITH w AS (SELECT email FROM customers WHERE id=1) SELECT w FROM w) w",
            "w = {customers.email}",
            "",
        ),
        (
            "SELECT id FROM customers c WHERE c > ROW(0,'','','','','','','',0)::customers LIMIT 1",
            "id = customers.id",
            "customers.card_number Range, customers.city Range, customers.email Range, customers.name Range, customers.notes Range, customers.phone Range, customers.street Range",
        ),
        (
            "SELECT count(DISTINCT c), count(c) FROM customers c",
            "count = #customers.*, count = #customers.*",
            "customers.card_number Grouping, customers.city Grouping, customers.email Grouping, customers.name Grouping, customers.notes Grouping, customers.phone Grouping, customers.street Grouping",
        ),
        (
            "SELECT id FROM customers c GROUP BY id, c.* HAVING c.*::text LIKE '%alice%'",
            "id = customers.id",
            "customers.card_number Grouping Other, customers.city Grouping Other, customers.email Grouping Other, customers.name Grouping Other, customers.notes Grouping Other, customers.phone Grouping Other, customers.street Grouping Other",
        ),
    ]);
}

#[test]
fn documents_are_followed() {
    check(&[
        (
            "SELECT json_build_object('e',email), jsonb_build_array(phone) FROM customers WHERE id=1",
            "json_build_object = ~customers.email, jsonb_build_array = ~customers.phone",
            "",
        ),
        ("SELECT json_object(ARRAY['e'],ARRAY[email]) FROM customers WHERE id=1", "json_object = ~customers.email", ""),
        (
            "SELECT xmlelement(name r, xmlattributes(email), name) FROM customers WHERE id=1",
            "xmlelement = ~customers.name+~customers.email",
            "",
        ),
        (
            "SELECT x.* FROM customers c, XMLTABLE('/r' PASSING xmlelement(name r,xmlelement(name e,c.email)) COLUMNS e text PATH 'e') x WHERE c.id=1",
            "e = ~customers.email",
            "customers.email Conversion",
        ),
        ("SELECT table_to_xml('customers',true,false,'')", "table_to_xml = ?Function", ""),
        (
            "SELECT query_to_xml_and_xmlschema('select email from customers limit 1',true,false,'')",
            "query_to_xml_and_xmlschema = ?Function",
            "",
        ),
        ("SELECT schema_to_xml('public',true,false,'')", "schema_to_xml = ?Function", ""),
        ("SELECT database_to_xml(true,false,'')", "database_to_xml = ?Function", ""),
        (
            "SELECT JSON_VALUE(to_jsonb(c),'$.email'), JSON_QUERY(to_jsonb(c),'$') FROM customers c WHERE id=1",
            "json_value = ~customers.*, json_query = ~customers.*",
            "",
        ),
    ]);
}

#[test]
fn every_shape_of_query_is_followed() {
    check(&[
        (
            "TABLE customers",
            "id = customers.id, name = customers.name, email = customers.email, phone = customers.phone, street = customers.street, city = customers.city, card_number = customers.card_number, notes = customers.notes, tenant_id = customers.tenant_id",
            "",
        ),
        ("VALUES ((SELECT email FROM customers WHERE id=1))", "column1 = customers.email", ""),
        ("WITH w AS (SELECT email e FROM customers WHERE id=1) SELECT * FROM w", "e = customers.email", ""),
        ("WITH orders AS (SELECT * FROM customers) SELECT email FROM orders WHERE id=1", "email = customers.email", ""),
        (
            "SELECT 'x' AS email FROM orders UNION ALL SELECT email FROM customers WHERE id=1",
            "email = customers.email",
            "",
        ),
        (
            "SELECT email FROM customers WHERE id<3 EXCEPT SELECT 'x'",
            "email = customers.email",
            "customers.email Equality",
        ),
        (
            "SELECT id, email FROM customers WHERE id=1 UNION SELECT 0, NULL ORDER BY 2",
            "id = customers.id, email = customers.email",
            "customers.email Grouping",
        ),
        (
            "SELECT email FROM customers JOIN orders o ON o.customer_email=email WHERE o.id=1",
            "email = customers.email",
            "customers.email Join(orders.customer_email), orders.customer_email Join(customers.email)",
        ),
        ("SELECT (SELECT max(email) FROM customers) FROM orders LIMIT 1", "max = customers.email", ""),
        ("SELECT b FROM customers AS t(a,n,b) WHERE a=1", "b = customers.email", ""),
        ("SELECT e FROM (customers JOIN orders ON true) AS j(a,b,e) WHERE a=1 LIMIT 1", "e = customers.email", ""),
        (
            "SELECT DISTINCT ON (email) email FROM customers WHERE id<3 ORDER BY email",
            "email = customers.email",
            "customers.email Grouping",
        ),
        (
            "SELECT email, count(*) FROM customers WHERE id<3 GROUP BY ROLLUP(email)",
            "email = customers.email, count = -",
            "customers.email Grouping",
        ),
        ("SELECT email FROM ONLY customers WHERE id=1", "email = customers.email", ""),
        ("SELECT email FROM customers * WHERE id=1", "email = customers.email", ""),
        ("SELECT email FROM customers WHERE id=1 FETCH FIRST 1 ROWS WITH TIES", "email = customers.email", ""),
        (
            "SELECT email FROM customers WHERE id=1 ORDER BY id FETCH FIRST 1 ROW WITH TIES",
            "email = customers.email",
            "",
        ),
        ("SELECT email FROM customers WINDOW w AS (ORDER BY email) LIMIT 1", "email = customers.email", ""),
        (
            "SELECT id FROM customers WINDOW w AS (ORDER BY 1 / (ascii(email) - 101))",
            "id = customers.id",
            "customers.email Other",
        ),
        (
            "SELECT t FROM scratch WINDOW w AS (PARTITION BY (SELECT email::int FROM customers))",
            "t = scratch.t",
            "customers.email Conversion Other",
        ),
        (
            "SELECT email FROM customers c WHERE EXISTS (SELECT 1 FROM orders o WHERE o.customer_id=c.id) AND id=1",
            "email = customers.email",
            "",
        ),
        (
            "SELECT * FROM (SELECT * FROM (SELECT * FROM customers) a) b WHERE id=1",
            "id = customers.id, name = customers.name, email = customers.email, phone = customers.phone, street = customers.street, city = customers.city, card_number = customers.card_number, notes = customers.notes, tenant_id = customers.tenant_id",
            "",
        ),
        ("SELECT contact FROM customers_v WHERE id=1", "contact = customers_v.contact", ""),
        ("SELECT email FROM customers_sb WHERE id=1", "email = customers_sb.email", ""),
        ("SELECT email FROM people_p1", "email = people_p1.email", ""),
        ("SELECT 1 FROM customers WHERE id=1", "?column? = -", ""),
        ("SELECT FROM customers WHERE id=1", "", ""),
        ("SELECT current_query() /* alice.zeph@example.org */", "current_query = ?Function", ""),
        (
            "SELECT * FROM customers c LEFT JOIN LATERAL (SELECT c.email AS z) l ON true WHERE c.id=1",
            "id = customers.id, name = customers.name, email = customers.email, phone = customers.phone, street = customers.street, city = customers.city, card_number = customers.card_number, notes = customers.notes, tenant_id = customers.tenant_id, z = customers.email",
            "",
        ),
        (
            "SELECT x FROM customers, json_each_text(json_build_object('a',email)) AS j(k,x) WHERE id=1",
            "x = ~customers.email",
            "",
        ),
        ("SELECT x FROM customers, regexp_split_to_table(email,'@') x WHERE id=1", "x = ~customers.email", ""),
        ("SELECT email FROM (VALUES (1)) v(id) NATURAL JOIN customers", "email = customers.email", ""),
        (
            "WITH a AS MATERIALIZED (TABLE customers), b AS NOT MATERIALIZED (SELECT email FROM a) SELECT * FROM b WHERE email LIKE 'alice%'",
            "email = customers.email",
            "customers.email Prefix",
        ),
        (
            "SELECT DISTINCT 'x', (SELECT email FROM customers ORDER BY id LIMIT 1 OFFSET 0)",
            "?column? = -, email = customers.email",
            "customers.email Grouping",
        ),
    ]);
}

#[test]
fn inference_by_filters_is_seen() {
    check(&[
        (
            "SELECT id FROM customers WHERE email='alice.zeph@example.org'",
            "id = customers.id",
            "customers.email Equality",
        ),
        (
            "SELECT id FROM customers WHERE substr(card_number,1,1)='4' AND id=1",
            "id = customers.id",
            "customers.card_number Other",
        ),
        ("SELECT id FROM customers WHERE strpos(notes,'penicillin')>0", "id = customers.id", "customers.notes Other"),
        (
            "SELECT id, rank() OVER (ORDER BY email), ntile(4) OVER (ORDER BY card_number) FROM customers WHERE id<4",
            "id = customers.id, rank = -, ntile = -",
            "customers.card_number Sort, customers.email Sort",
        ),
        ("SELECT count(*) FILTER (WHERE email LIKE 'alice%') FROM customers", "count = ~customers.email", ""),
        ("SELECT EXISTS(SELECT 1 FROM customers WHERE email LIKE 'alice%')", "exists = ~customers.email", ""),
        (
            "SELECT bool_or(email LIKE 'alice%'), every(email<>'') FROM customers",
            "bool_or = ~customers.email, every = ~customers.email",
            "",
        ),
        (
            "SELECT c.id, d.v FROM customers c JOIN (VALUES ('alice.zeph@example.org'),('x')) d(v) ON c.email=d.v",
            "id = customers.id, v = -",
            "customers.email MadeUp",
        ),
        (
            "SELECT c.id, 'alice'||x||'@example.org' FROM customers c, (VALUES ('.zeph'),('.b')) v(x) WHERE c.email='alice'||x||'@example.org'",
            "id = customers.id, ?column? = -",
            "customers.email MadeUp",
        ),
        (
            "SELECT g FROM customers c, generate_series(0,127) g WHERE c.id=1 AND g=ascii(substr(c.email,1,1))",
            "g = -",
            "customers.email Other",
        ),
        (
            "SELECT string_agg(chr(g),'' ORDER BY p) FROM generate_series(1,22) p, generate_series(0,127) g WHERE g=(SELECT ascii(substr(email,p,1)) FROM customers WHERE id=1)",
            "string_agg = -",
            "customers.email Other",
        ),
        (
            "SELECT v FROM (VALUES ('alice.zeph@example.org')) d(v) WHERE v IN (SELECT email FROM customers)",
            "v = -",
            "customers.email MadeUp",
        ),
        (
            "SELECT v FROM (VALUES ('alice.zeph@example.org')) d(v) INTERSECT SELECT email FROM customers",
            "v = customers.email",
            "customers.email Equality",
        ),
        (
            "SELECT corr(id,card_number::numeric), sum(card_number::numeric), avg(length(email)) FROM customers WHERE id=1",
            "corr = ~customers.id+~customers.card_number+?Function, sum = ~customers.card_number, avg = ~customers.email",
            "customers.card_number Conversion",
        ),
        (
            "SELECT tenant_id, email FROM customers WHERE id=1 GROUP BY 1,2 HAVING max(email) LIKE 'a%'",
            "tenant_id = customers.tenant_id, email = customers.email",
            "customers.email Grouping Other",
        ),
        ("SELECT id FROM customers WHERE email=$1", "id = customers.id", "customers.email Equality"),
        (
            "SELECT id FROM customers WHERE email = ANY(SELECT 'alice.zeph@example.org')",
            "id = customers.id",
            "customers.email Equality",
        ),
        (
            "SELECT id FROM customers WHERE email = ANY(ARRAY(SELECT lower(chr(97+g))||'lice.zeph@example.org' FROM generate_series(0,25) g))",
            "id = customers.id",
            "customers.email Other",
        ),
        (
            "SELECT id FROM customers WHERE NOT (email <> 'alice.zeph@example.org')",
            "id = customers.id",
            "customers.email Equality",
        ),
        (
            "SELECT id FROM customers WHERE email BETWEEN 'alice' AND 'alicf'",
            "id = customers.id",
            "customers.email Range",
        ),
        (
            "SELECT id FROM customers WHERE email SIMILAR TO '(a|b)%' AND id<4",
            "id = customers.id",
            "customers.email Pattern",
        ),
        ("SELECT id FROM customers WHERE starts_with(email,'alice')", "id = customers.id", "customers.email Other"),
        ("SELECT id FROM customers WHERE length(email)=22 AND id<4", "id = customers.id", "customers.email Other"),
        (
            "SELECT a.id,b.id FROM customers a JOIN customers b ON a.name=b.name AND a.id<b.id LIMIT 1",
            "id = customers.id, id = customers.id",
            "customers.name Join(customers.name)",
        ),
        ("SELECT count(*) FROM customers HAVING min(email) < 'b'", "count = -", "customers.email Other"),
        (
            "DELETE FROM orders o USING customers c WHERE c.id=o.customer_id AND c.card_number LIKE '4111%' AND false",
            "",
            "customers.card_number Prefix",
        ),
    ]);
}
