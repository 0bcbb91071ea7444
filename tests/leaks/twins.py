"""A second server whose data differ from the first one's in the values of the tagged columns, and in nothing else.

Letters are exchanged for letters and figures for figures, always in the same way: what was equal stays equal (also after
`lower()`), what was different stays different, and the order changes. In some rows a column is shorter and another one of the
same row longer by as much. So rows, their places, the sizes of tables, and what is joined with what are the same.
"""

from harness.postgres import Postgres

LETTERS, FIGURES = "abcdefghijklmnopqrstuvwxyz", "0123456789"
# Neither is the alphabet backwards, which would give the same answers to whatever looks at distances only.
OTHER_LETTERS, OTHER_FIGURES = "qzkvxjbmhwrntyclpfdguaoise", "6839150742"

# Both get the same statements, so that they are laid out alike; only what `twin` makes of a text is different.
REWRITE = """
CREATE FUNCTION pg_temp.twin(text) RETURNS text LANGUAGE sql AS $$ SELECT {twin} $$;
CREATE FUNCTION pg_temp.shorter(text, boolean) RETURNS text LANGUAGE sql AS $$ SELECT CASE WHEN $2 THEN {shorter} ELSE $1 END $$;
CREATE FUNCTION pg_temp.longer(text, boolean) RETURNS text LANGUAGE sql AS $$ SELECT CASE WHEN $2 THEN {longer} ELSE $1 END $$;
SET session_replication_role = replica;
UPDATE customers SET
  name = pg_temp.shorter(pg_temp.twin(name), name LIKE 'Alice%'),
  notes = pg_temp.longer(pg_temp.twin(notes), name LIKE 'Alice%'),
  email = pg_temp.shorter(pg_temp.twin(email), id < 100),
  street = pg_temp.longer(pg_temp.twin(street), id < 100),
  card_number = pg_temp.longer(pg_temp.twin(card_number), id IN (1, 2, 900)),
  phone = pg_temp.shorter(pg_temp.twin(phone), id IN (1, 2, 900)),
  city = pg_temp.twin(city);
UPDATE orders SET customer_email = pg_temp.shorter(pg_temp.twin(customer_email), customer_id < 100);
UPDATE people_p SET email = pg_temp.shorter(pg_temp.twin(email), true);
UPDATE people_gen SET email = pg_temp.shorter(pg_temp.twin(email), true);
UPDATE big_notes SET body = pg_temp.twin(body);
RESET session_replication_role;
DROP FUNCTION pg_temp.twin(text), pg_temp.shorter(text, boolean), pg_temp.longer(text, boolean);
"""
# The dead rows go, and with them the last traces of what was there before. None of these runs in a transaction with others.
TIDY_UP = ("VACUUM FULL customers, customers_archive, orders, people_p1, people_gen, big_notes", "REFRESH MATERIALIZED VIEW customers_mv",
           "ANALYZE", "CHECKPOINT")


def lay_out(server: Postgres, database: str, twin: bool) -> None:
    """Writes the tables anew: as they are, or with the values of the twin."""
    if twin:
        source, target = LETTERS + LETTERS.upper() + FIGURES, OTHER_LETTERS + OTHER_LETTERS.upper() + OTHER_FIGURES
        made = {"twin": f"translate($1, '{source}', '{target}')", "shorter": "left($1, 1) || substr($1, 3)", "longer": "$1 || right($1, 1)"}
    else:
        made = dict.fromkeys(("twin", "shorter", "longer"), "$1 || ''")
    server.psql(REWRITE.format(**made), database=database)
    for statement in TIDY_UP:
        server.psql(statement, database=database)
