//! Values of a column and what they are compared with: equal are just those whose plaintexts are the same bytes.

use std::collections::BTreeSet;

use pgveil::catalog::Oid;
use pgveil::value::{PlainType, TextForms, read, read_operand};
use pgveil::wire::Format;
use tokio_postgres::Client;

use super::compare::quoted;
use super::literals;
use super::server::Server;

/// Which of a table's values are equal to an expression, or the error's SQLSTATE.
const TRY: &str = "
CREATE FUNCTION try_equal(of_table text, operands text[])
    RETURNS TABLE (equal int[], state text) LANGUAGE plpgsql AS $$
DECLARE operand text;
BEGIN
    FOREACH operand IN ARRAY operands LOOP
        equal := NULL; state := NULL;
        BEGIN
            EXECUTE format('SELECT coalesce(array_agg(id ORDER BY id), ''{}'') FROM %I WHERE v = %s', of_table, operand)
                INTO equal;
        EXCEPTION WHEN OTHERS THEN
            state := SQLSTATE;
        END;
        RETURN NEXT;
    END LOOP;
END $$";

#[test]
fn equal_values_have_equal_plaintexts() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let server = Server::start();
    let failed = runtime.block_on(compare_all(&server));
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

async fn compare_all(server: &Server) -> Vec<String> {
    let client = server.client().await;
    client.batch_execute(TRY).await.unwrap();
    client.batch_execute("SET TimeZone TO 'America/New_York'").await.unwrap();
    let mut forms = TextForms::default();
    forms.set("TimeZone", b"America/New_York");
    let types = literals::types();
    let mut failed = Vec::new();
    let (mut compared, mut refused) = (0, BTreeSet::new());
    for (position, (name, examples)) in types.iter().enumerate() {
        let plain_type = PlainType::parse(name).unwrap();
        if !plain_type.compares_by_bytes() {
            continue;
        }
        let table = format!("e{position}");
        let stored = store(&client, &table, name, &plain_type, examples, &forms).await;
        for (source_name, operands) in std::iter::once(("", *examples)).chain(types.iter().copied()) {
            let source = if source_name.is_empty() { None } else { Some(PlainType::parse(source_name).unwrap()) };
            if source.as_ref().is_some_and(|source| source.modifier >= 0) {
                continue;
            }
            let operands: Vec<&str> = operands.split('|').collect();
            let expressions: Vec<String> = operands
                .iter()
                .map(|operand| match source_name {
                    "" => quoted(operand),
                    source_name => format!("CAST({} AS {source_name})", quoted(operand)),
                })
                .collect();
            let rows = client.query("SELECT * FROM try_equal($1, $2)", &[&table, &expressions]).await.unwrap();
            let given = source.map_or(Oid(0), |source| source.oid());
            for (operand, row) in operands.iter().zip(rows) {
                compared += 1;
                let equal: Option<Vec<i32>> = row.get(0);
                let ours = read_operand(&plain_type, given, Format::Text, operand.as_bytes(), &forms);
                let same = |plaintext: &[u8]| -> Vec<i32> {
                    stored.iter().filter(|(_, value)| value == plaintext).map(|(id, _)| *id).collect()
                };
                match (ours, equal) {
                    (Ok(plaintext), Some(equal)) if same(&plaintext) != equal => {
                        let same = same(&plaintext);
                        failed.push(format!("{name} = {operand:?}::{source_name}: equal to {equal:?}, ours {same:?}"));
                    }
                    (Ok(plaintext), None) if !same(&plaintext).is_empty() => {
                        failed.push(format!("{name} = {operand:?}::{source_name}: refused, ours not"));
                    }
                    (Ok(_), _) | (Err(_), None) => {}
                    (Err(error), Some(_)) if matches!(error.sqlstate, "42883" | "0A000") => {
                        refused.insert(format!("{name} = {source_name}"));
                    }
                    (Err(error), Some(_)) => {
                        failed.push(format!("{name} = {operand:?}::{source_name}: refused with {error:?}"));
                    }
                }
            }
        }
    }
    println!("{compared} comparisons with each value of a column; refused by pgveil alone: {refused:?}");
    failed
}

/// Fill a table with what of the examples is accepted; their plaintexts.
async fn store(
    client: &Client,
    table: &str,
    name: &str,
    plain_type: &PlainType,
    examples: &str,
    forms: &TextForms,
) -> Vec<(i32, Vec<u8>)> {
    client.batch_execute(&format!("CREATE UNLOGGED TABLE {table} (id int, v {name})")).await.unwrap();
    let mut stored = Vec::new();
    for (id, example) in (0..).zip(examples.split('|')) {
        if let Ok(plaintext) = read(plain_type, Oid(0), Format::Text, example.as_bytes(), forms) {
            let insert = format!("INSERT INTO {table} VALUES ({id}, {})", quoted(example));
            client.batch_execute(&insert).await.unwrap();
            stored.push((id, plaintext.to_vec()));
        }
    }
    stored
}
