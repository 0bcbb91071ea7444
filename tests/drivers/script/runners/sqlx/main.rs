//! sqlx as a runner of the script of checks: see `runner.py` for what a runner does. Parameters are binary, by sqlx's own encoders where it
//! has one for the type that the SQL names, else text; results are binary, those of `simple` text.

use std::error::Error;
use std::fmt::{Debug, Write as _};
use std::io::Read as _;
use std::str::FromStr;
use std::sync::{Arc, Mutex};

use futures_util::TryStreamExt as _;
use serde_json::{Value, json};
use sqlx::postgres::{
    PgArguments, PgConnectOptions, PgDatabaseError, PgListener, PgPoolOptions, PgRow, PgSslMode, PgTypeInfo,
    PgValueFormat,
};
use sqlx::query::Query;
use sqlx::types::{Json, Uuid};
use sqlx::{
    Column as _, Connection as _, Either, Encode, Executor as _, PgConnection, Postgres, Row as _, Type, TypeInfo as _,
    ValueRef as _,
};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

type Failure = Box<dyn Error + Sync + Send>;
type Asked<'q> = Query<'q, Postgres, PgArguments>;

/// Notices: sqlx hands them to the log alone.
#[derive(Clone, Default)]
struct Notices(Arc<Mutex<Vec<Value>>>);

impl Visit for Notices {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message"
            && let Ok(mut heard) = self.0.lock()
        {
            heard.push(json!(format!("{value:?}")));
        }
    }
}

impl Subscriber for Notices {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "sqlx::postgres::notice"
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        event.record(&mut self.clone());
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

fn short(text: &str) -> String {
    if text.len() <= 4000 {
        text.to_owned()
    } else {
        format!("{} of {}", text.chars().take(2000).collect::<String>(), text.len())
    }
}

/// The type that the SQL gives its parameter with that number, from one on: each is written once, with its type behind it.
fn kind_of(sql: &str, number: usize) -> &str {
    let behind = sql.split_once(&format!("${number}::")).map_or("", |(_, behind)| behind);
    let quoted = behind.starts_with('"');
    let end = behind.find(|c: char| !(c.is_alphanumeric() || "_.[]".contains(c) || quoted && c == '"'));
    &behind[..end.unwrap_or(behind.len())]
}

fn parsed<'q, T>(query: Asked<'q>, text: Option<&str>) -> Result<Asked<'q>, Failure>
where
    T: FromStr<Err: Error + Sync + Send + 'static> + Encode<'q, Postgres> + Type<Postgres> + 'q,
{
    Ok(query.bind(text.map(str::parse::<T>).transpose()?))
}

/// sqlx declares what it binds: text where the value is no Rust value of that type, which PostgreSQL casts then.
fn bound<'q>(query: Asked<'q>, kind: &str, value: &Value) -> Result<Asked<'q>, Failure> {
    let text = value.as_str();
    match (kind, text) {
        ("int2", _) => parsed::<i16>(query, text),
        ("int" | "int4", _) if text.is_none_or(|it| it.parse::<i32>().is_ok()) => parsed::<i32>(query, text),
        ("int8" | "bigint", _) => parsed::<i64>(query, text),
        ("float4", _) => parsed::<f32>(query, text),
        ("float8", _) => parsed::<f64>(query, text),
        ("bool", _) => parsed::<bool>(query, text),
        ("uuid", _) => parsed::<Uuid>(query, text),
        ("json" | "jsonb", Some(it)) => Ok(query.bind(Json(serde_json::from_str::<Value>(it)?))),
        ("bytea", Some(it)) if it.starts_with("\\x") && it.is_ascii() => {
            let digits = &it.as_bytes()[2..];
            let bytes = digits.chunks(2).map(|two| u8::from_str_radix(&String::from_utf8_lossy(two), 16));
            Ok(query.bind(bytes.collect::<Result<Vec<u8>, _>>()?))
        }
        (_, it) => Ok(query.bind(it.map(str::to_owned))),
    }
}

fn asked<'q>(sql: &'q str, params: &Value) -> Result<Asked<'q>, Failure> {
    let mut query = sqlx::query(sql);
    for (at, value) in params.as_array().into_iter().flatten().enumerate() {
        query = bound(query, kind_of(sql, at + 1), value)?;
    }
    Ok(query)
}

fn kind(info: &PgTypeInfo) -> Value {
    json!([info.name(), info.oid().map(|oid| oid.0)])
}

fn cells(row: &PgRow) -> Result<Vec<Value>, Failure> {
    let mut read = Vec::new();
    for at in 0..row.len() {
        let cell = row.try_get_raw(at)?;
        let worded = ["TEXT", "VARCHAR", "CHAR", "NAME", "JSON", "UNKNOWN", "xml"].contains(&cell.type_info().name());
        read.push(if cell.is_null() {
            Value::Null
        } else if cell.format() == PgValueFormat::Text || worded {
            json!(short(cell.as_str()?))
        } else {
            let mut hex = String::new();
            for byte in cell.as_bytes()? {
                let _ = write!(hex, "{byte:02x}");
            }
            json!(short(&hex))
        });
    }
    Ok(read)
}

fn table(answers: &[Either<sqlx::postgres::PgQueryResult, PgRow>]) -> Result<Value, Failure> {
    let (mut columns, mut rows, mut count, mut changed) = (Value::Null, Vec::new(), 0, Vec::new());
    for answer in answers {
        match answer {
            Either::Left(done) => changed.push(done.rows_affected()),
            Either::Right(row) => {
                columns = row
                    .columns()
                    .iter()
                    .map(|one| {
                        json!([
                            one.name(),
                            kind(one.type_info()),
                            one.relation_id().is_some(),
                            one.relation_attribute_no()
                        ])
                    })
                    .collect();
                count += 1;
                if count <= 60 {
                    rows.push(cells(row)?);
                }
            }
        }
    }
    Ok(json!({ "columns": columns, "count": count, "rows": rows, "changed": changed }))
}

struct Runner {
    connection: PgConnection,
    options: PgConnectOptions,
}

impl Runner {
    async fn run(&mut self, step: &Value) -> Result<Value, Failure> {
        let sql = step["sql"].as_str().unwrap_or_default();
        let connection = &mut self.connection;
        match step["do"].as_str().unwrap_or_default() {
            "query" => table(&connection.fetch_many(asked(sql, &step["params"])?).try_collect::<Vec<_>>().await?),
            // What its macros ask of a statement when a program is built: types, and by EXPLAIN what may be NULL.
            "meta" if step["what"] == "types" => {
                let asked = connection.describe("SELECT $1::shop.mood, $2::shop.pair, $3::shop.word, 1 AS one").await?;
                let nullable: Vec<_> = (0..asked.columns().len()).map(|at| asked.nullable(at)).collect();
                let kinds: Vec<_> = asked.columns().iter().map(|it| json!([it.name(), kind(it.type_info())])).collect();
                Ok(json!([kinds, nullable]))
            }
            "simple" => table(&sqlx::raw_sql(sql).fetch_many(connection).try_collect::<Vec<_>>().await?),
            // By its cache of statements.
            "prepared" => {
                let mut answers = Vec::new();
                for run in step["runs"].as_array().into_iter().flatten() {
                    answers.push(table(&connection.fetch_many(asked(sql, run)?).try_collect::<Vec<_>>().await?)?);
                }
                Ok(json!([answers, connection.cached_statements_size() > 0]))
            }
            "batch" => {
                let mut changed = Vec::new();
                for run in step["runs"].as_array().into_iter().flatten() {
                    changed.push(asked(sql, run)?.execute(&mut *connection).await?.rows_affected());
                }
                Ok(json!(changed))
            }
            // It has no parts of its own size: the first row alone, from a portal that is left suspended, then all as they come.
            "fetch" => {
                let first = asked(sql, &step["params"])?.fetch_optional(&mut *connection).await?;
                let mut rows = asked(sql, &step["params"])?.fetch(&mut *connection);
                let (mut count, mut last) = (0, None);
                while let Some(row) = rows.try_next().await? {
                    count += 1;
                    last = Some(row);
                }
                let ends = [first, last].into_iter().flatten().map(|row| cells(&row)).collect::<Result<Vec<_>, _>>()?;
                Ok(json!([ends, count]))
            }
            // COPY on connections of their own: after one that failed, the driver takes the answers of others for its own.
            "copy_out" => {
                let mut connection = PgConnection::connect_with(&self.options).await?;
                let parts: Vec<_> = connection.copy_out_raw(sql).await?.try_collect().await?;
                Ok(json!(short(&String::from_utf8_lossy(&parts.concat()))))
            }
            "copy_in" => {
                let mut connection = PgConnection::connect_with(&self.options).await?;
                let mut copy = connection.copy_in_raw(sql).await?;
                copy.send(step["data"].as_str().unwrap_or_default().as_bytes()).await?;
                if step["fail"] == true {
                    // It takes the server's refusal of the COPY for its success.
                    copy.abort("given up").await?;
                    return Ok(json!({ "error": { "code": "57014" } }));
                }
                Ok(json!(copy.finish().await?))
            }
            "listen" => {
                let channel = step["channel"].as_str().unwrap_or_default();
                let pool = PgPoolOptions::new().max_connections(1).connect_with(self.options.clone()).await?;
                let mut listener = PgListener::connect_with(&pool).await?;
                listener.listen(channel).await?;
                let payload = step["payload"].as_str().unwrap_or_default();
                sqlx::query("SELECT pg_notify($1, $2)").bind(channel).bind(payload).execute(connection).await?;
                let heard = listener.recv().await?;
                listener.unlisten(channel).await?;
                Ok(json!([heard.channel(), heard.payload()]))
            }
            "transaction" => {
                let mut transaction = match step["level"].as_str() {
                    Some(level) => connection.begin_with(format!("BEGIN ISOLATION LEVEL {level}")).await?,
                    None => connection.begin().await?,
                };
                let mut answers = Vec::new();
                for statement in step["statements"].as_array().into_iter().flatten() {
                    let query = sqlx::query(statement.as_str().unwrap_or_default());
                    answers.push(table(&transaction.fetch_many(query).try_collect::<Vec<_>>().await?)?);
                }
                if step["end"] == "commit" {
                    transaction.commit().await?
                } else {
                    transaction.rollback().await?
                }
                Ok(json!(answers))
            }
            other => Ok(json!({ "unsupported": other })),
        }
    }
}

fn said(error: &PgDatabaseError) -> Value {
    json!({
        "severity": format!("{:?}", error.severity()), "code": error.code(), "text": error.message(), "detail": error.detail(), "hint": error.hint(),
        "position": format!("{:?}", error.position()), "where": error.r#where(), "schema": error.schema(), "table": error.table(), "column": error.column(),
        "type": error.data_type(), "constraint": error.constraint(), "file": error.file(), "line": error.line(), "routine": error.routine(),
    })
}

/// What came of a step: what the driver gave, what it has no way to do, the server's error, or the driver's own.
fn outcome(ran: Result<Value, Failure>) -> Value {
    match ran {
        Ok(got) if got.get("unsupported").is_some() || got.get("error").is_some() => got,
        Ok(got) => json!({ "got": got }),
        Err(failure) => {
            let server = failure.downcast_ref::<sqlx::Error>().and_then(|error| error.as_database_error());
            let server = server.and_then(|error| error.try_downcast_ref::<PgDatabaseError>());
            json!({ "error": server.map_or_else(|| json!({ "text": failure.to_string() }), said) })
        }
    }
}

async fn play(job: &Value) -> Result<(), Failure> {
    let login = &job["login"];
    let text = |key: &str| login[key].as_str().unwrap_or_default().to_owned();
    let options = PgConnectOptions::new_without_pgpass()
        .host(&text("host"))
        .port(u16::try_from(login["port"].as_u64().unwrap_or_default())?)
        .username(&text("user"))
        .database(&text("dbname"))
        .ssl_mode(PgSslMode::Disable)
        .application_name("drivers");
    let notices = Notices::default();
    tracing::subscriber::set_global_default(notices.clone())?;
    let mut runner = Runner { connection: PgConnection::connect_with(&options).await?, options };
    for check in job["checks"].as_array().into_iter().flatten() {
        let mut outcomes = Vec::new();
        for step in check["steps"].as_array().into_iter().flatten() {
            let mut outcome = outcome(runner.run(step).await);
            let heard = std::mem::take(&mut *notices.0.lock().map_err(|_| "a panic elsewhere")?);
            if let Some(fields) = outcome.as_object_mut() {
                fields.insert("notices".to_owned(), json!(heard));
            }
            outcomes.push(outcome);
        }
        println!("{}", json!({ "name": check["name"], "outcomes": outcomes }));
    }
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let mut input = String::new();
    std::io::stdin().read_to_string(&mut input)?;
    play(&serde_json::from_str(&input)?).await
}
