//! tokio-postgres as a runner of the script of checks: see `runner.py` for what a runner does. Results are binary; parameters are sent as text.

use std::error::Error;
use std::fmt::Write as _;
use std::io::Read as _;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{SinkExt as _, StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};
use tokio_postgres::error::DbError;
use tokio_postgres::types::{Format, FromSql, IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{AsyncMessage, Client, IsolationLevel, NoTls, Row, SimpleQueryMessage, Statement};

type Failure = Box<dyn Error + Sync + Send>;

/// A value's own bytes, as text where they are that.
struct Raw(String);

impl FromSql<'_> for Raw {
    fn from_sql(kind: &Type, raw: &[u8]) -> Result<Self, Failure> {
        let text = matches!(
            *kind,
            Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::JSON | Type::XML | Type::UNKNOWN
        );
        if text {
            return Ok(Self(String::from_utf8(raw.to_vec())?));
        }
        let mut hex = String::new();
        for byte in raw {
            let _ = write!(hex, "{byte:02x}");
        }
        Ok(Self(hex))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

#[derive(Debug)]
struct Text(Option<String>);

impl ToSql for Text {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Failure> {
        Ok(self.0.as_ref().map_or(IsNull::Yes, |text| {
            out.extend_from_slice(text.as_bytes());
            IsNull::No
        }))
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }

    to_sql_checked!();
}

fn params(list: &Value) -> Vec<Text> {
    list.as_array().into_iter().flatten().map(|one| Text(one.as_str().map(str::to_owned))).collect()
}

fn refs(list: &[Text]) -> Vec<&(dyn ToSql + Sync)> {
    list.iter().map(|one| one as &(dyn ToSql + Sync)).collect()
}

fn short(text: &str) -> String {
    if text.len() <= 4000 {
        text.to_owned()
    } else {
        format!("{} of {}", text.chars().take(2000).collect::<String>(), text.len())
    }
}

fn table(statement: Option<&Statement>, rows: &[Row]) -> Result<Value, Failure> {
    let columns: Vec<_> = statement
        .map_or_else(|| rows.first().map_or(&[][..], Row::columns), Statement::columns)
        .iter()
        .map(|column| json!([column.name(), column.type_().name(), column.type_().oid(), column.column_id()]))
        .collect();
    let mut read = Vec::new();
    for row in rows.iter().take(60) {
        let line: Result<Vec<_>, _> = (0..row.len())
            .map(|at| row.try_get::<_, Option<Raw>>(at).map(|cell| cell.map(|raw| short(&raw.0))))
            .collect();
        read.push(line?);
    }
    Ok(json!({ "columns": columns, "count": rows.len(), "rows": read }))
}

fn simple(messages: &[SimpleQueryMessage]) -> Value {
    messages
        .iter()
        .map(|message| match message {
            SimpleQueryMessage::RowDescription(columns) => {
                json!(columns.iter().map(|one| one.name()).collect::<Vec<_>>())
            }
            SimpleQueryMessage::Row(row) => json!((0..row.len()).map(|at| row.get(at).map(short)).collect::<Vec<_>>()),
            SimpleQueryMessage::CommandComplete(count) => json!(count),
            _ => json!("something else"),
        })
        .collect()
}

struct Heard {
    notices: Vec<Value>,
    notifications: Vec<Value>,
}

struct Runner {
    client: Client,
    heard: Arc<Mutex<Heard>>,
    dsn: String,
}

impl Runner {
    async fn run(&mut self, step: &Value) -> Result<Value, Failure> {
        let sql = step["sql"].as_str().unwrap_or_default();
        match step["do"].as_str().unwrap_or_default() {
            "query" => {
                let statement = self.client.prepare(sql).await?;
                let values = params(&step["params"]);
                if statement.columns().is_empty() {
                    return Ok(json!({ "changed": self.client.execute(&statement, &refs(&values)).await? }));
                }
                table(Some(&statement), &self.client.query(&statement, &refs(&values)).await?)
            }
            "simple" => Ok(simple(&self.client.simple_query(sql).await?)),
            "prepared" => {
                let statement = self.client.prepare(sql).await?;
                let mut answers = vec![json!(statement.params().iter().map(Type::name).collect::<Vec<_>>())];
                for run in step["runs"].as_array().into_iter().flatten() {
                    answers.push(table(Some(&statement), &self.client.query(&statement, &refs(&params(run))).await?)?);
                }
                Ok(json!(answers))
            }
            // All of them in flight at once.
            "batch" => {
                let statement = self.client.prepare(sql).await?;
                let runs: Vec<_> = step["runs"].as_array().into_iter().flatten().map(params).collect();
                let (client, statement) = (&self.client, &statement);
                let sent = runs.iter().map(|values| async move { client.execute(statement, &refs(values)).await });
                let answers: Vec<_> = futures_util::future::join_all(sent).await;
                Ok(json!(answers.into_iter().collect::<Result<Vec<_>, _>>()?))
            }
            "fetch" => {
                let size = i32::try_from(step["size"].as_i64().unwrap_or(100))?;
                let values = params(&step["params"]);
                let transaction = self.client.transaction().await?;
                let statement = transaction.prepare(sql).await?;
                let portal = transaction.bind(&statement, &refs(&values)).await?;
                let mut parts = Vec::new();
                loop {
                    let rows = transaction.query_portal(&portal, size).await?;
                    parts.push(table(Some(&statement), &rows)?);
                    if rows.len() < usize::try_from(size)? {
                        break;
                    }
                }
                drop(portal);
                transaction.commit().await?;
                Ok(json!(parts))
            }
            "copy_out" => {
                let parts: Vec<Bytes> = pin!(self.client.copy_out(sql).await?).try_collect().await?;
                let all = parts.concat();
                Ok(json!(short(&String::from_utf8_lossy(&all))))
            }
            "copy_in" => {
                // On a connection of its own: after a COPY that failed, the driver takes the answers of others for its own.
                let (client, connection) = tokio_postgres::connect(&self.dsn, NoTls).await?;
                let _driving = tokio::spawn(connection);
                let mut sink = pin!(client.copy_in::<_, Bytes>(sql).await?);
                sink.send(Bytes::copy_from_slice(step["data"].as_str().unwrap_or_default().as_bytes())).await?;
                if step["fail"] == true {
                    // A sink that is dropped sends CopyFail.
                    return Ok(json!({ "error": { "code": "57014" } }));
                }
                Ok(json!(sink.finish().await?))
            }
            "listen" => {
                let channel = format!("\"{}\"", step["channel"].as_str().unwrap_or_default());
                self.client.batch_execute(&format!("LISTEN {channel}")).await?;
                let values = [
                    Text(step["channel"].as_str().map(str::to_owned)),
                    Text(step["payload"].as_str().map(str::to_owned)),
                ];
                self.client.query("SELECT pg_notify($1, $2)", &refs(&values)).await?;
                self.client.batch_execute(&format!("UNLISTEN {channel}")).await?;
                let mut heard = self.heard.lock().map_err(|_| "a panic elsewhere")?;
                Ok(json!(std::mem::take(&mut heard.notifications)))
            }
            "cancel" => {
                let token = self.client.cancel_token();
                let later = tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(300)).await;
                    token.cancel_query(NoTls).await
                });
                let ended = self.client.simple_query(sql).await;
                later.await??;
                Ok(simple(&ended?))
            }
            "transaction" => {
                let level = match step["level"].as_str() {
                    Some("serializable") => IsolationLevel::Serializable,
                    Some("repeatable read") => IsolationLevel::RepeatableRead,
                    _ => IsolationLevel::ReadCommitted,
                };
                let transaction = self.client.build_transaction().isolation_level(level).start().await?;
                let mut answers = Vec::new();
                for statement in step["statements"].as_array().into_iter().flatten() {
                    answers.push(table(None, &transaction.query(statement.as_str().unwrap_or_default(), &[]).await?)?);
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

fn said(error: &DbError) -> Value {
    json!({
        "severity": error.severity(), "code": error.code().code(), "text": error.message(), "detail": error.detail(), "hint": error.hint(), "position": format!("{:?}", error.position()),
        "where": error.where_(), "schema": error.schema(), "table": error.table(), "column": error.column(), "type": error.datatype(), "constraint": error.constraint(),
    })
}

async fn play(job: &Value) -> Result<(), Failure> {
    let login = &job["login"];
    let text = |key: &str| login[key].as_str().unwrap_or_default().to_owned();
    let dsn = format!(
        "host={} port={} user={} dbname={} application_name=drivers",
        text("host"),
        login["port"],
        text("user"),
        text("dbname")
    );
    let (client, mut connection) = tokio_postgres::connect(&dsn, NoTls).await?;
    let heard = Arc::new(Mutex::new(Heard { notices: Vec::new(), notifications: Vec::new() }));
    let hearing = Arc::clone(&heard);
    let driving = tokio::spawn(async move {
        let mut messages = stream::poll_fn(move |context| connection.poll_message(context));
        while let Some(message) = messages.next().await {
            let Ok(mut heard) = hearing.lock() else { return };
            match message {
                Ok(AsyncMessage::Notice(notice)) => heard.notices.push(said(&notice)),
                Ok(AsyncMessage::Notification(one)) => heard.notifications.push(json!([one.channel(), one.payload()])),
                Ok(_) => {}
                Err(error) => heard.notices.push(json!(error.to_string())),
            }
        }
    });
    let mut runner = Runner { client, heard: Arc::clone(&heard), dsn };
    for check in job["checks"].as_array().into_iter().flatten() {
        let mut outcomes = Vec::new();
        for step in check["steps"].as_array().into_iter().flatten() {
            let mut outcome = match runner.run(step).await {
                Ok(got) if got.get("unsupported").is_some() || got.get("error").is_some() => got,
                Ok(got) => json!({ "got": got }),
                Err(failure) => {
                    let server =
                        failure.downcast_ref::<tokio_postgres::Error>().and_then(tokio_postgres::Error::as_db_error);
                    json!({ "error": server.map_or_else(|| json!({ "text": failure.to_string() }), said) })
                }
            };
            let notices = std::mem::take(&mut heard.lock().map_err(|_| "a panic elsewhere")?.notices);
            if let Some(fields) = outcome.as_object_mut() {
                fields.insert("notices".to_owned(), json!(notices));
            }
            outcomes.push(outcome);
        }
        println!("{}", json!({ "name": check["name"], "outcomes": outcomes }));
    }
    drop(runner);
    driving.await?;
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let mut input = String::new();
    std::io::stdin().read_to_string(&mut input)?;
    play(&serde_json::from_str(&input)?).await
}
