//! Text in, tree out; and nothing panics.

mod show;

use super::read;

fn shown(text: &str) -> String {
    match read(text) {
        Ok(query) => show::query(&query),
        Err(error) => format!("{error:?}"),
    }
}

#[test]
fn zz_dump() {
    let Ok(text) = std::fs::read_to_string("/tmp/sq_in.txt") else { return };
    let mut out = String::new();
    for line in text.split('\0') {
        out += &shown(line);
        out += "\0";
    }
    std::fs::write("/tmp/sq_out.txt", out).unwrap();
}
