//! tokio-postgres as a driver of the end-to-end tests: reads `{dsn, statements}` as JSON on standard input and prints
//! `{results}` as JSON. Cells are the server's own bytes: text as it is, binary as hexadecimal digits behind `\x`.

use std::collections::HashMap;
use std::error::Error;
use std::fmt::Write as _;
use std::io::Read as _;

use bytes::BytesMut;
use serde_json::{Value, json};
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, NoTls, Row, SimpleQueryMessage, Statement};

type Failure = Box<dyn Error + Sync + Send>;

/// A cell's bytes, whatever its type is.
struct Bytes(Option<Vec<u8>>);

impl FromSql<'_> for Bytes {
    fn from_sql(_: &Type, raw: &[u8]) -> Result<Self, Failure> {
        Ok(Self(Some(raw.to_vec())))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Failure> {
        Ok(Self(None))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// A parameter of the script, sent in the statement's own type.
#[derive(Debug)]
struct Parameter(Value);

impl ToSql for Parameter {
    fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Result<IsNull, Failure> {
        match (&self.0, kind) {
            (Value::Null, _) => Ok(IsNull::Yes),
            (Value::Number(number), &Type::INT4) => {
                i32::try_from(number.as_i64().ok_or("not an integer")?)?.to_sql(kind, out)
            }
            (Value::Number(number), &Type::INT8) => number.as_i64().ok_or("not an integer")?.to_sql(kind, out),
            (Value::String(text), _) => text.as_str().to_sql(kind, out),
            (other, _) => Err(format!("no way to send {other} as {kind}").into()),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

fn cell(bytes: &Bytes) -> Value {
    bytes.0.as_ref().map_or(Value::Null, |raw| {
        let mut hex = String::from("\\x");
        for byte in raw {
            let _ = write!(hex, "{byte:02x}");
        }
        Value::String(hex)
    })
}

fn table(statement: &Statement, rows: &[Row]) -> Result<Value, Failure> {
    let columns: Vec<_> = statement.columns().iter().map(|column| column.name().to_owned()).collect();
    let mut cells = Vec::new();
    for row in rows {
        let line: Result<Vec<_>, _> =
            (0..row.len()).map(|at| row.try_get::<_, Bytes>(at).map(|raw| cell(&raw))).collect();
        cells.push(line?);
    }
    Ok(json!({ "columns": columns, "rows": cells }))
}

fn simple_table(messages: &[SimpleQueryMessage]) -> Value {
    let mut columns: Vec<String> = Vec::new();
    let mut rows: Vec<Vec<Option<String>>> = Vec::new();
    for message in messages {
        match message {
            SimpleQueryMessage::RowDescription(described) => {
                columns = described.iter().map(|column| column.name().to_owned()).collect();
                rows.clear();
            }
            SimpleQueryMessage::Row(row) => {
                rows.push((0..row.len()).map(|at| row.get(at).map(str::to_owned)).collect())
            }
            _ => {}
        }
    }
    json!({ "columns": columns, "rows": rows })
}

async fn run(client: &Client, prepared: &mut HashMap<String, Statement>, step: &Value) -> Result<Value, Failure> {
    let sql = step["sql"].as_str().ok_or("a statement without text")?;
    if step["mode"] == "simple" {
        return Ok(simple_table(&client.simple_query(sql).await?));
    }
    let statement = match prepared.get(sql) {
        Some(known) if step["mode"] == "prepared" => known.clone(),
        _ => client.prepare(sql).await?,
    };
    prepared.insert(sql.to_owned(), statement.clone());
    let params: Vec<_> = step["params"].as_array().into_iter().flatten().cloned().map(Parameter).collect();
    let params: Vec<&(dyn ToSql + Sync)> = params.iter().map(|one| one as &(dyn ToSql + Sync)).collect();
    table(&statement, &client.query(&statement, &params).await?)
}

fn failed(failure: &Failure) -> Value {
    let server = failure.downcast_ref::<tokio_postgres::Error>().and_then(tokio_postgres::Error::as_db_error);
    json!({ "error": {
        "code": server.map(|error| error.code().code()),
        "message": server.map_or_else(|| failure.to_string(), |error| error.message().to_owned()),
        "hint": server.and_then(|error| error.hint()),
    }})
}

async fn play(job: &Value) -> Result<Value, Failure> {
    let dsn = job["dsn"].as_str().ok_or("no dsn")?;
    let (client, connection) = tokio_postgres::connect(dsn, NoTls).await?;
    let driving = tokio::spawn(connection);
    let mut prepared = HashMap::new();
    let mut results = Vec::new();
    for step in job["statements"].as_array().into_iter().flatten() {
        for _ in 0..step["runs"].as_u64().unwrap_or(1) {
            match run(&client, &mut prepared, step).await {
                Ok(table) => results.push(table),
                Err(failure) => {
                    results.push(failed(&failure));
                    break;
                }
            }
        }
    }
    drop((prepared, client));
    driving.await??;
    Ok(json!({ "results": results }))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let mut input = String::new();
    std::io::stdin().read_to_string(&mut input)?;
    println!("{}", play(&serde_json::from_str(&input)?).await?);
    Ok(())
}
