//! Binary forms as the server receives them and as pgveil does, well-formed and damaged.

use std::error::Error;

use bytes::BytesMut;
use pgveil::value::read;
use pgveil::wire::Format;
use tokio_postgres::types::{Format as Sent, IsNull, ToSql, Type};

use super::compare::{ask, quoted, set_all, tables, written};
use super::literals;
use super::server::Server;

/// Bytes that go as they are.
#[derive(Debug)]
struct Raw(Vec<u8>);

impl ToSql for Raw {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.extend_from_slice(&self.0);
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Sent {
        Sent::Binary
    }

    fn to_sql_checked(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.extend_from_slice(&self.0);
        Ok(IsNull::No)
    }
}

/// Damaged forms of each type.
const FORMS: usize = 150;

#[test]
fn binary_forms_are_read_as_the_server_does() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let server = Server::start();
    let failed = runtime.block_on(compare_all(&server));
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

async fn compare_all(server: &Server) -> Vec<String> {
    let client = server.client().await;
    let types = literals::types();
    let tables = tables(&client, &types).await;
    let forms = set_all(&client, &[("TimeZone", "Europe/Berlin")]).await;
    let (mut accepted, mut refused, mut other_state, mut stricter) = (0, 0, 0, Vec::new());
    let mut failed = Vec::new();
    for ((name, examples), (plain_type, table, send)) in types.iter().zip(&tables) {
        let expressions: Vec<String> = examples.split('|').map(quoted).collect();
        let answers = ask(&client, table, send, &expressions).await;
        let sent: Vec<Vec<u8>> = answers.into_iter().filter_map(|answer| answer.sent).collect();
        let insert = format!("INSERT INTO {table} VALUES ($1) RETURNING textsend(format('%s', v)), {send}(v)");
        let insert = client.prepare(&insert).await.unwrap();
        for bytes in literals::damaged(&sent, FORMS) {
            let theirs = client.query_one(&insert, &[&Raw(bytes.clone())]).await;
            let ours = read(plain_type, plain_type.oid(), Format::Binary, &bytes, &forms);
            match (theirs, ours) {
                (Ok(row), Ok(plaintext)) => {
                    accepted += 1;
                    let (shown, sent): (Vec<u8>, Vec<u8>) = (row.get(0), row.get(1));
                    let text = written(plain_type, &plaintext, Format::Text, &forms);
                    let binary = written(plain_type, &plaintext, Format::Binary, &forms);
                    if text.as_deref() != Ok(&shown) || binary.as_deref() != Ok(&sent) {
                        failed
                            .push(format!("{name} {bytes:02x?}: {sent:02x?}, ours {binary:02x?}; {shown:?}, {text:?}"));
                    }
                }
                (Err(error), Ok(_)) => {
                    let state = error.code().map_or("none", |code| code.code());
                    failed.push(format!("{name} {bytes:02x?}: refused with {state}, ours not"));
                }
                (Ok(row), Err(error)) => {
                    let shown: Vec<u8> = row.get(0);
                    let shown = String::from_utf8_lossy(&shown).into_owned();
                    stricter.push(format!("{name} {bytes:02x?} = {shown}: {error:?}"));
                }
                (Err(error), Err(ours)) => {
                    refused += 1;
                    other_state += usize::from(error.code().is_none_or(|code| code.code() != ours.sqlstate));
                }
            }
        }
    }
    println!(
        "{accepted} binary forms accepted, {refused} refused by both ({other_state} with another SQLSTATE), {} by pgveil alone",
        stricter.len()
    );
    stricter.iter().take(40).for_each(|line| println!("    {line}"));
    failed
}
