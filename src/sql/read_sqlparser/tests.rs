use super::*;

#[test]
fn dump() {
    for line in std::fs::read_to_string("/tmp/shapes.sql").unwrap().replace("\n '", "\u{1}'").lines() {
        let line = line.replace('\u{1}', "\n ");
        match read(&line) {
            Ok(q) => println!("{line}\n    {}", shown::query(&q)),
            Err(e) => println!("{line}\n    !! {e}"),
        }
    }
}
