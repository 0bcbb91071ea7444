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
pub const TRY: &str = "
CREATE FUNCTION try_literals(of_table text, send text, literals text[])
    RETURNS TABLE (shown bytea, sent bytea, state text) LANGUAGE plpgsql AS $$
DECLARE literal text;
BEGIN
    FOREACH literal IN ARRAY literals LOOP
        shown := NULL; sent := NULL; state := NULL;
        BEGIN
            EXECUTE format('INSERT INTO %I VALUES (%s) RETURNING textsend(format(''%%s'', v)), %s(v)', of_table, literal, send)
                INTO shown, sent;
        EXCEPTION WHEN OTHERS THEN
            state := SQLSTATE;
        END;
        RETURN NEXT;
    END LOOP;
END $$";

/// What a server says to a literal.
pub struct Answer {
    pub shown: Option<String>,
    pub sent: Option<Vec<u8>>,
    pub state: Option<String>,
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

pub async fn ask(client: &Client, table: &str, send: &str, literals: &[String]) -> Vec<Answer> {
    let rows = client.query("SELECT * FROM try_literals($1, $2, $3)", &[&table, &send, &literals]).await.unwrap();
    rows.iter()
        .map(|row| Answer {
            shown: row.get::<_, Option<Vec<u8>>>(0).map(|shown| String::from_utf8_lossy(&shown).into_owned()),
            sent: row.get(1),
            state: row.get(2),
        })
        .collect()
}

pub fn quoted(literal: &str) -> String {
    format!("'{}'", literal.replace('\'', "''"))
}

pub fn written(
    plain_type: &PlainType,
    plaintext: &[u8],
    format: Format,
    forms: &TextForms,
) -> Result<Vec<u8>, ValueError> {
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

impl Tally {
    /// Print what was compared; what differs, and what is refused without pgveil saying that it is its own refusal.
    fn failures(&self, name: &str) -> Vec<String> {
        println!("{}", self.report(name));
        if std::env::var_os("PGVEIL_TEST_VERBOSE").is_some() {
            for line in self.refused.iter().take(40) {
                println!("    refused: {line}");
            }
            for line in self.other_state.iter().take(40) {
                println!("    state: {line}");
            }
        }
        // An interval whose rounding overflows is another one for PostgreSQL, a timestamp one that it does not receive.
        let said = |line: &str| {
            line.contains(": 0A000 ")
                || line.ends_with("22008 interval out of range")
                || line.ends_with("22008 timestamp out of range")
        };
        let silent = self.refused.iter().filter(|line| !said(line));
        self.differences.iter().chain(silent).take(25).map(|line| format!("{name}: {line}")).collect()
    }
}

#[test]
fn values_are_read_and_written_as_the_server_does() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let server = Server::start();
    let tallies = runtime.block_on(compare_all(&server));
    let failed: Vec<String> = tallies.iter().flat_map(|(name, tally)| tally.failures(name)).collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// Set what forms depend on, and learn it as the server says it.
pub async fn set_all(client: &Client, settings: &[(&str, &str)]) -> TextForms {
    client.batch_execute("RESET ALL").await.unwrap();
    for (name, value) in settings {
        client.batch_execute(&format!("SET {name} TO '{value}'")).await.unwrap();
    }
    let mut forms = TextForms::default();
    for name in ["DateStyle", "IntervalStyle", "TimeZone", "bytea_output", "extra_float_digits", "lc_monetary"] {
        let value: String = client.query_one(&format!("SHOW {name}"), &[]).await.unwrap().get(0);
        forms.set(name, value.as_bytes());
    }
    forms
}

/// A table for each type, `t0` and so on, and the name of the type's send function.
pub async fn tables(client: &Client, types: &[(&str, &str)]) -> Vec<(PlainType, String, String)> {
    client.batch_execute(TRY).await.unwrap();
    let mut tables = Vec::new();
    for (position, (name, _)) in types.iter().enumerate() {
        let plain_type = PlainType::parse(name).unwrap();
        let table = format!("t{position}");
        client.batch_execute(&format!("CREATE UNLOGGED TABLE {table} (v {name})")).await.unwrap();
        let send = format!("SELECT typsend::oid::regproc::text FROM pg_type WHERE oid = {}", plain_type.oid().0);
        let send: String = client.query_one(&send, &[]).await.unwrap().get(0);
        tables.push((plain_type, table, send));
    }
    tables
}

async fn compare_all(server: &Server) -> BTreeMap<String, Tally> {
    let client = server.client().await;
    let mut tallies: BTreeMap<String, Tally> = BTreeMap::new();
    let types = literals::types();
    let tables = tables(&client, &types).await;
    for (round, settings) in SETTINGS.iter().enumerate() {
        let forms = set_all(&client, settings).await;
        for ((name, examples), (plain_type, table, send)) in types.iter().zip(&tables) {
            if round > 0 && !literals::depends_on_settings(plain_type.scalar) {
                continue;
            }
            let tally = tallies.entry((*name).to_owned()).or_default();
            let mut given = literals::varied(examples, round);
            // What the server shows is read again, too.
            for _ in 0..2 {
                let quoted_literals: Vec<String> = given.iter().map(|literal| quoted(literal)).collect();
                let answers = ask(&client, table, send, &quoted_literals).await;
                for (literal, answer) in given.iter().zip(&answers) {
                    tally.compare(plain_type, Oid(0), literal, answer, &forms);
                }
                given = answers.into_iter().filter_map(|answer| answer.shown).collect();
            }
        }
    }
    tallies
}

#[test]
fn values_of_other_types_are_assigned_as_the_server_does() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let server = Server::start();
    let (tally, pairs) = runtime.block_on(assign_all(&server));
    println!("{pairs:?}");
    let mut failed = tally.failures("assignments");
    // A pair that pgveil does not convert is refused as one that PostgreSQL does not.
    failed.retain(|line| !line.contains(": 42804 "));
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// All types' examples for columns of all types. The pairs that PostgreSQL converts and pgveil does not.
async fn assign_all(server: &Server) -> (Tally, BTreeMap<String, usize>) {
    let client = server.client().await;
    let types = literals::types();
    let tables = tables(&client, &types).await;
    let mut tally = Tally::default();
    let mut pairs = BTreeMap::new();
    for (round, settings) in [SETTINGS[0], SETTINGS[2]].into_iter().enumerate() {
        let forms = set_all(&client, settings).await;
        for (source_name, examples) in &types {
            let source = PlainType::parse(source_name).unwrap();
            if source.modifier >= 0 || (round > 0 && !literals::depends_on_settings(source.scalar)) {
                continue;
            }
            let examples: Vec<&str> = examples.split('|').collect();
            for ((target_name, _), (plain_type, table, send)) in types.iter().zip(&tables) {
                let expressions: Vec<String> =
                    examples.iter().map(|literal| format!("CAST({} AS {source_name})", quoted(literal))).collect();
                let answers = ask(&client, table, send, &expressions).await;
                let refused = tally.refused.len();
                for (literal, answer) in examples.iter().zip(&answers) {
                    tally.compare(plain_type, source.oid(), literal, answer, &forms);
                }
                let not_converted = tally.refused[refused..].iter().filter(|line| line.contains(": 42804 ")).count();
                if not_converted > 0 {
                    pairs.insert(format!("{source_name} to {target_name}"), not_converted);
                }
            }
        }
    }
    (tally, pairs)
}
