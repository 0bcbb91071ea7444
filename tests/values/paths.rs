//! `jsonpath`: paths of random pieces, and paths that a grammar makes, as the server reads and shows them and as pgveil does.

use bytes::BytesMut;
use pgveil::catalog::Oid;
use pgveil::value::{PlainType, TextForms, read, write};
use pgveil::wire::Format;

use super::compare::{TRY, ask, quoted};
use super::literals::Random;
use super::server::Server;

const PIECES: [&str; 74] = [
    "$",
    "$",
    "$",
    "@",
    "last",
    "LAST",
    "lax",
    "strict",
    ".a",
    ".\"b c\"",
    ".*",
    ".**",
    ".**{2}",
    ".**{1 to 3}",
    ".**{last}",
    ".**{0 to last}",
    ".**{last to 2}",
    "[*]",
    "[0]",
    "[1, 2 to last]",
    "[last - 1]",
    "[$.a]",
    "?(@ > 1)",
    "? (@.a == \"x\")",
    "?(",
    "(",
    ")",
    ")",
    " == ",
    " != ",
    " <> ",
    "<",
    "<=",
    ">",
    ">=",
    " && ",
    " || ",
    "!",
    "! exists (@.a)",
    "exists (",
    " is unknown",
    " starts with \"a\"",
    " starts with $v",
    " like_regex \"^a.*[b-d]\"",
    " like_regex \"a|b\" flag \"i\"",
    " like_regex \"(\" flag \"qx\"",
    " flag \"s\"",
    "+",
    "-",
    " - ",
    "*",
    "/",
    "%",
    "1",
    "0",
    "-1",
    "1.50",
    "0.0",
    "1e3",
    "12E-2",
    "\"text\"",
    "\"\\u00e9\\n\\\"\"",
    "$v",
    "$\"w x\"",
    "true",
    "false",
    "null",
    ".type()",
    ".size ( )",
    ".datetime()",
    ".datetime(\"HH24\")",
    ".keyvalue()",
    ".abs",
    " /* c */ ",
];

/// A path of the grammar; `depth`: how much deeper it may go.
fn value(random: &mut Random, depth: usize) -> String {
    let head = match random.below(if depth == 0 { 7 } else { 13 }) {
        0 | 1 => "$".to_owned(),
        2 => "$v".to_owned(),
        3 => ["1", "0", "2.50", "1e2", "0.00"][random.below(5)].to_owned(),
        4 => ["\"a\"", "\"\\t\"", "\"ü\""][random.below(3)].to_owned(),
        5 => ["null", "true", "false"][random.below(3)].to_owned(),
        6 => "@".to_owned(),
        7 => format!("({})", value(random, depth - 1)),
        8 => format!("({})", condition(random, depth - 1)),
        9 => format!("{}{}", ["-", "+", "- ", "-+"][random.below(4)], value(random, depth - 1)),
        _ => {
            let sign = ["+", "-", "*", "/", "%"][random.below(5)];
            return format!("{} {sign} {}", value(random, depth - 1), value(random, depth - 1));
        }
    };
    let mut path = head;
    for _ in 0..random.below(4) {
        let accessor = match random.below(if depth == 0 { 6 } else { 9 }) {
            0 => ".a".to_owned(),
            1 => [".\"b\"", ".to", ".exists", ".Strict", ".is"][random.below(5)].to_owned(),
            2 => [".*", "[*]", ".**", ".**{3}"][random.below(4)].to_owned(),
            3 => [".type()", ".SIZE()", ".abs()", ".floor()", ".ceiling()", ".double()", ".keyvalue()"]
                [random.below(7)]
            .to_owned(),
            4 => "[last]".to_owned(),
            5 => ".datetime(\"x\")".to_owned(),
            6 => format!("[{}, {} to last]", value(random, depth - 1), value(random, depth - 1)),
            _ => format!(" ? ({})", condition(random, depth - 1)),
        };
        path.push_str(&accessor);
    }
    path
}

fn condition(random: &mut Random, depth: usize) -> String {
    let inner = |random: &mut Random| value(random, depth.saturating_sub(1));
    match random.below(if depth == 0 { 5 } else { 10 }) {
        0..=2 => {
            let sign = ["==", "!=", "<", ">=", "<>"][random.below(5)];
            format!("{} {sign} {}", inner(random), inner(random))
        }
        3 => format!("{} starts with \"a\"", inner(random)),
        4 => format!("{} like_regex \"^a\" flag \"im\"", inner(random)),
        5 => format!("exists ({})", inner(random)),
        6 => format!("!({})", condition(random, depth - 1)),
        7 => format!("({}) is unknown", condition(random, depth - 1)),
        8 => format!("({})", condition(random, depth - 1)),
        _ => {
            let sign = ["&&", "||"][random.below(2)];
            format!("{} {sign} {}", condition(random, depth - 1), condition(random, depth - 1))
        }
    }
}

/// All of them, by a seed.
fn paths() -> Vec<String> {
    let mut random = Random(11);
    let mut paths: Vec<String> = (0..12_000)
        .map(|_| {
            let count = 1 + random.below(6);
            (0..count).map(|_| PIECES[random.below(PIECES.len())]).collect()
        })
        .collect();
    for number in 0..12_000 {
        let depth = number % 4;
        let path = if random.below(3) == 0 { condition(&mut random, depth) } else { value(&mut random, depth) };
        let mode = ["", "", "strict ", "lax "][random.below(4)];
        // Where `@` may stand.
        let path = if random.below(2) == 0 { format!("$ ? ({path} == 1)") } else { path };
        let mut path = format!("{mode}{path}");
        if random.below(10) == 0 {
            let at = random.below(path.len());
            if path.is_char_boundary(at) && path.is_char_boundary(at + 1) {
                path.remove(at);
            }
        }
        paths.push(path);
    }
    paths
}

#[test]
fn paths_are_read_and_shown_as_the_server_does() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let server = Server::start();
    let plain_type = PlainType::parse("jsonpath").unwrap();
    let forms = TextForms::default();
    let (mut both, mut refused, mut failed) = (0, 0, Vec::new());
    runtime.block_on(async {
        let client = server.client().await;
        client.batch_execute(TRY).await.unwrap();
        client.batch_execute("CREATE TABLE paths (v jsonpath)").await.unwrap();
        for chunk in paths().chunks(2_000) {
            let literals: Vec<String> = chunk.iter().map(|path| quoted(path)).collect();
            for (path, theirs) in chunk.iter().zip(ask(&client, "paths", "jsonpath_send", &literals).await) {
                let ours = read(&plain_type, Oid(0), Format::Text, path.as_bytes(), &forms);
                match (ours, theirs.shown) {
                    (Ok(plaintext), Some(shown)) => {
                        both += 1;
                        let written = |format| {
                            let mut out = BytesMut::new();
                            write(&plain_type, &plaintext, format, &forms, &mut out).unwrap();
                            out.to_vec()
                        };
                        let text = String::from_utf8(written(Format::Text)).unwrap();
                        if text != shown || Some(written(Format::Binary)) != theirs.sent {
                            failed.push(format!("{path}: {shown}, ours {text}"));
                        }
                        let again = read(&plain_type, Oid(4072), Format::Binary, &written(Format::Binary), &forms);
                        // What PostgreSQL shows of `(exists ($)).a` it does not take itself.
                        if again.is_ok_and(|again| again[..] != plaintext[..]) {
                            failed.push(format!("{path}: what is shown is another path"));
                        }
                    }
                    (Ok(_), None) => failed.push(format!("{path}: {:?}, ours takes it", theirs.state)),
                    (Err(error), Some(shown)) if error.sqlstate == "0A000" => {
                        assert!(!shown.is_empty());
                        refused += 1;
                    }
                    (Err(error), Some(shown)) => failed.push(format!("{path}: {shown}, ours {}", error.sqlstate)),
                    (Err(error), None) => {
                        if theirs.state.as_deref() != Some(error.sqlstate) && error.sqlstate != "0A000" {
                            failed.push(format!("{path}: {:?}, ours {}", theirs.state, error.sqlstate));
                        }
                    }
                }
            }
        }
    });
    println!("{both} paths are the same; {refused} are refused that the server takes");
    assert!(both > 4_000, "{both}");
    assert!(failed.is_empty(), "{} differ:\n{}", failed.len(), failed[..failed.len().min(30)].join("\n"));
}
