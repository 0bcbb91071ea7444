//! Literals of all types, as the server reads and shows them and as pgveil does.

use std::collections::BTreeMap;

use bytes::BytesMut;
use pgveil::catalog::Oid;
use pgveil::value::{PlainType, TextForms, ValueError, read, write};
use pgveil::wire::Format;
use tokio_postgres::Client;

use super::literals;
use super::server::Server;

/// Settings that forms depend on; the first are the server's defaults.
const SETTINGS: [&[(&str, &str)]; 8] = [
    &[("TimeZone", "UTC"), ("DateStyle", "ISO, MDY")],
    &[("DateStyle", "ISO, DMY"), ("IntervalStyle", "postgres_verbose"), ("TimeZone", "Europe/Berlin")],
    &[("DateStyle", "SQL, MDY"), ("IntervalStyle", "sql_standard"), ("TimeZone", "America/New_York")],
    &[("DateStyle", "SQL, DMY"), ("IntervalStyle", "iso_8601"), ("TimeZone", "Asia/Kolkata")],
    &[("DateStyle", "Postgres, MDY"), ("TimeZone", "Europe/Moscow"), ("bytea_output", "escape")],
    &[("DateStyle", "Postgres, DMY"), ("TimeZone", "Australia/Sydney"), ("extra_float_digits", "0")],
    &[("DateStyle", "German, YMD"), ("TimeZone", "<-03:30>+03:30"), ("extra_float_digits", "-4")],
    &[("DateStyle", "ISO, YMD"), ("TimeZone", "America/St_Johns"), ("extra_float_digits", "3")],
];

/// Reads each literal into a column of the type; what it is as text and in binary form, or the error's SQLSTATE.
const TRY: &str = "
CREATE FUNCTION try_literals(of_table text, send text, literals text[])
    RETURNS TABLE (shown text, sent bytea, state text) LANGUAGE plpgsql AS $$
DECLARE literal text;
BEGIN
    FOREACH literal IN ARRAY literals LOOP
        shown := NULL; sent := NULL; state := NULL;
        BEGIN
            EXECUTE format('INSERT INTO %I VALUES (%s) RETURNING format(''%%s'', v), %s(v)', of_table, literal, send)
                INTO shown, sent;
        EXCEPTION WHEN OTHERS THEN
            state := SQLSTATE;
        END;
        RETURN NEXT;
    END LOOP;
END $$";

/// What a server says to a literal.
struct Answer {
    shown: Option<String>,
    sent: Option<Vec<u8>>,
    state: Option<String>,
}

/// What came of one type's literals.
#[derive(Default)]
struct Tally {
    literals: usize,
    accepted: usize,
    refused_by_both: usize,
    /// PostgreSQL takes it, pgveil does not.
    refused: Vec<String>,
    /// Both refuse, with other SQLSTATEs.
    other_state: Vec<String>,
    differences: Vec<String>,
}

async fn ask(client: &Client, table: &str, send: &str, literals: &[String]) -> Vec<Answer> {
    let rows = client.query("SELECT * FROM try_literals($1, $2, $3)", &[&table, &send, &literals]).await.unwrap();
    rows.iter().map(|row| Answer { shown: row.get(0), sent: row.get(1), state: row.get(2) }).collect()
}

fn quoted(literal: &str) -> String {
    format!("'{}'", literal.replace('\'', "''"))
}

fn written(plain_type: &PlainType, plaintext: &[u8], format: Format, forms: &TextForms) -> Result<Vec<u8>, ValueError> {
    let mut out = BytesMut::new();
    write(plain_type, plaintext, format, forms, &mut out)?;
    Ok(out.to_vec())
}

impl Tally {
    fn compare(&mut self, plain_type: &PlainType, given: Oid, literal: &str, answer: &Answer, forms: &TextForms) {
        self.literals += 1;
        let ours = read(plain_type, given, Format::Text, literal.as_bytes(), forms);
        let (shown, sent) = match (&ours, &answer.state) {
            (Err(error), Some(state)) => {
                self.refused_by_both += 1;
                if error.sqlstate != state {
                    self.other_state.push(format!("{literal:?}: {state}, ours {error:?}"));
                }
                return;
            }
            (Ok(_), Some(state)) => {
                return self.differences.push(format!("{literal:?}: {state}, ours accepts"));
            }
            (Err(error), None) => {
                let shown = answer.shown.as_deref().unwrap_or_default();
                return self.refused.push(format!("{literal:?} = {shown:?}: {} {}", error.sqlstate, error.message));
            }
            (Ok(_), None) => (answer.shown.as_deref().unwrap(), answer.sent.as_deref().unwrap()),
        };
        self.accepted += 1;
        let plaintext = ours.unwrap();
        let text = written(plain_type, &plaintext, Format::Text, forms);
        if text.as_deref() != Ok(shown.as_bytes()) {
            let ours = text.map(|text| String::from_utf8_lossy(&text).into_owned());
            self.differences.push(format!("{literal:?}: text {shown:?}, ours {ours:?}"));
        }
        let binary = written(plain_type, &plaintext, Format::Binary, forms);
        if binary.as_deref() != Ok(sent) {
            self.differences.push(format!("{literal:?}: binary {sent:02x?}, ours {binary:02x?}"));
        }
        match read(plain_type, Oid(0), Format::Binary, sent, forms) {
            Ok(again) if *again == *plaintext => {}
            Ok(again) => {
                let (again, first) = (&*again, &*plaintext);
                self.differences.push(format!("{literal:?}: read from binary {again:02x?}, from text {first:02x?}"));
            }
            Err(error) => self.differences.push(format!("{literal:?}: binary {sent:02x?} is refused: {error:?}")),
        }
    }

    fn report(&self, name: &str) -> String {
        format!(
            "{name}: {} literals, {} accepted, {} refused by both ({} with another SQLSTATE), {} refused by pgveil alone, {} differences",
            self.literals,
            self.accepted,
            self.refused_by_both,
            self.other_state.len(),
            self.refused.len(),
            self.differences.len()
        )
    }
}

#[test]
fn values_are_read_and_written_as_the_server_does() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let server = Server::start();
    let tallies = runtime.block_on(compare_all(&server));
    let verbose = std::env::var_os("PGVEIL_TEST_VERBOSE").is_some();
    let mut failed = Vec::new();
    for (name, tally) in &tallies {
        println!("{}", tally.report(name));
        let shown = if verbose { 40 } else { 0 };
        for line in tally.refused.iter().take(shown) {
            println!("    refused: {line}");
        }
        for line in tally.other_state.iter().take(shown) {
            println!("    state: {line}");
        }
        // What pgveil alone refuses it has to say so of.
        // An interval whose rounding overflows is another one for PostgreSQL.
        let said = |line: &str| line.contains(": 0A000 ") || line.ends_with("22008 interval out of range");
        let silent = tally.refused.iter().filter(|line| !said(line));
        failed.extend(tally.differences.iter().chain(silent).take(25).map(|line| format!("{name}: {line}")));
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

async fn compare_all(server: &Server) -> BTreeMap<String, Tally> {
    let client = server.client().await;
    client.batch_execute(TRY).await.unwrap();
    let mut tallies: BTreeMap<String, Tally> = BTreeMap::new();
    let types = literals::types();
    for (position, (name, _)) in types.iter().enumerate() {
        client.batch_execute(&format!("CREATE UNLOGGED TABLE t{position} (v {name})")).await.unwrap();
    }
    for (round, settings) in SETTINGS.iter().enumerate() {
        client.batch_execute("RESET ALL").await.unwrap();
        let mut forms = TextForms::default();
        for (name, value) in *settings {
            client.batch_execute(&format!("SET {name} TO '{value}'")).await.unwrap();
        }
        // As the server says them, and not as they were set.
        for name in ["DateStyle", "IntervalStyle", "TimeZone", "bytea_output", "extra_float_digits"] {
            let value: String = client.query_one(&format!("SHOW {name}"), &[]).await.unwrap().get(0);
            forms.set(name, value.as_bytes());
        }
        for (position, (name, examples)) in types.iter().enumerate() {
            let plain_type = PlainType::parse(name).unwrap();
            if round > 0 && !literals::depends_on_settings(plain_type.scalar) {
                continue;
            }
            let table = format!("t{position}");
            let send = format!("SELECT typsend::oid::regproc::text FROM pg_type WHERE oid = {}", plain_type.oid().0);
            let send: String = client.query_one(&send, &[]).await.unwrap().get(0);
            let first = literals::varied(examples, round);
            let quoted_literals: Vec<String> = first.iter().map(|literal| quoted(literal)).collect();
            let answers = ask(&client, &table, &send, &quoted_literals).await;
            let tally = tallies.entry((*name).to_owned()).or_default();
            for (literal, answer) in first.iter().zip(&answers) {
                tally.compare(&plain_type, Oid(0), literal, answer, &forms);
            }
            // What the server has shown is read again, too.
            let shown: Vec<String> = answers.into_iter().filter_map(|answer| answer.shown).collect();
            let quoted_literals: Vec<String> = shown.iter().map(|literal| quoted(literal)).collect();
            let answers = ask(&client, &table, &send, &quoted_literals).await;
            for (literal, answer) in shown.iter().zip(&answers) {
                tally.compare(&plain_type, Oid(0), literal, answer, &forms);
            }
        }
    }
    tallies
}
