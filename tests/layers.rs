//! The source keeps to the layers that the crate's documentation draws.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The layers whose modules decide and never wait.
const CORE: [&str; 4] = ["facts", "judgement", "join", "engine"];

/// What the core must not name: runtimes, sockets, files, environment, threads, processes, the clock, logs and metrics.
const FORBIDDEN: [&str; 26] = [
    "tokio",
    "rustls",
    "hyper",
    "tracing",
    "prometheus",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "UnixStream",
    "UnixListener",
    "ToSocketAddrs",
    "Instant",
    "SystemTime",
    "Stdin",
    "File",
    "Command",
    "fs",
    "env",
    "io",
    "thread",
    "process",
    "OffsetDateTime",
    "println",
    "eprintln",
    "print",
    "dbg",
];

/// Of the words above, those that are only meant as a module of the standard library, as in `std::fs` or `fs::read`.
const MODULES: [&str; 5] = ["fs", "env", "io", "thread", "process"];

struct Module {
    layer: String,
    uses: BTreeSet<String>,
}

#[test]
fn modules_use_what_the_drawing_says() {
    let drawn = drawing();
    let mut wrong = Vec::new();
    for (name, module) in &drawn {
        for (path, code) in sources(name) {
            for used in uses(&code, &drawn) {
                if used != *name && !module.uses.contains(&used) {
                    wrong.push(format!("{}: {name} uses {used}", path.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_drawing_says_no_more_than_there_is() {
    let drawn = drawing();
    for (name, module) in &drawn {
        let used: BTreeSet<String> = sources(name).iter().flat_map(|(_, code)| uses(code, &drawn)).collect();
        let idle: Vec<_> = module.uses.difference(&used).collect();
        assert!(idle.is_empty(), "{name} does not use {idle:?}");
    }
}

#[test]
fn arrows_point_down_only() {
    let drawn = drawing();
    let mut below: BTreeSet<String> = BTreeSet::new();
    // Take away what stands on nothing that is left; a circle would stay.
    while below.len() < drawn.len() {
        let next = drawn.iter().find(|(name, module)| !below.contains(*name) && module.uses.is_subset(&below));
        let (name, _) = next.unwrap_or_else(|| panic!("a circle above {below:?}"));
        below.insert(name.clone());
    }
    for module in drawn.values().filter(|module| CORE.contains(&module.layer.as_str())) {
        for used in &module.uses {
            assert!(CORE.contains(&drawn[used].layer.as_str()), "the core uses {used}");
        }
    }
}

#[test]
fn every_module_is_drawn() {
    let root = read(Path::new("src/lib.rs"));
    let declared: BTreeSet<_> =
        root.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).map(str::to_owned).collect();
    assert_eq!(declared, drawing().into_keys().collect());
}

#[test]
fn the_core_names_no_runtime_socket_file_or_clock() {
    let mut wrong = Vec::new();
    for (name, _) in drawing().iter().filter(|(_, module)| CORE.contains(&module.layer.as_str())) {
        for (path, code) in sources(name) {
            for found in forbidden(&code) {
                wrong.push(format!("{}: {found}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_forbidden_is_found() {
    for (code, found) in [
        ("use tokio::sync::Notify;", vec!["tokio"]),
        ("use std::{fs, collections::BTreeMap};", vec!["fs"]),
        ("use std::fs;", vec!["fs"]),
        ("let now = std::time::Instant::now();", vec!["Instant"]),
        ("use std::time::Duration;", vec![]),
        ("std::env::var(\"PGVEIL\")", vec!["env"]),
        ("thread::spawn(|| ())", vec!["thread"]),
        ("use super::io::Output;\nlet time = 1; // std::fs\nuse std::net::SocketAddr;", vec![]),
    ] {
        assert_eq!(forbidden(&without_comments(code)), found, "{code}");
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The table of layers in the crate's documentation.
fn drawing() -> BTreeMap<String, Module> {
    let root = read(Path::new("src/lib.rs"));
    let rows = root.lines().filter_map(|line| line.strip_prefix("//! | "));
    let drawn: BTreeMap<_, _> = rows
        .filter_map(|row| {
            let cells: Vec<_> = row.trim_end_matches('|').split(" | ").map(str::trim).collect();
            let [layer, module, _, uses @ ..] = cells.as_slice() else { return None };
            let name = module.strip_prefix("[`")?.strip_suffix("`]")?;
            let uses = uses.iter().flat_map(|cell| cell.split_whitespace());
            let uses = uses.map(|word| word.trim_matches(['`', '|']).to_owned()).filter(|word| !word.is_empty());
            Some((name.to_owned(), Module { layer: (*layer).to_owned(), uses: uses.collect() }))
        })
        .collect();
    assert!(drawn.len() >= 12, "the table of layers was not found");
    drawn
}

/// Path and code of a module's files, without comments and tests.
fn sources(module: &str) -> Vec<(PathBuf, String)> {
    let (file, directory) = (PathBuf::from(format!("src/{module}.rs")), PathBuf::from(format!("src/{module}")));
    let root = if file.exists() { file } else { directory.join("mod.rs") };
    let mut found = Vec::new();
    collect(&root, &directory, &mut found);
    assert!(!found.is_empty());
    found
}

/// Follow the `mod` declarations of a file whose submodules are in `directory`.
fn collect(file: &Path, directory: &Path, found: &mut Vec<(PathBuf, String)>) {
    let text = without_comments(&read(file));
    let mut code = String::new();
    let mut for_tests = false;
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.trim() == "#[cfg(test)]" {
            for_tests = true;
            continue;
        }
        if for_tests {
            for_tests = line.starts_with("#[");
            // An item at the top level ends with its brace in the first column.
            if line.ends_with('{') {
                let indent = line.len() - line.trim_start().len();
                let end = format!("{}}}", " ".repeat(indent));
                lines.by_ref().find(|line| *line == end);
            }
            continue;
        }
        if let Some(name) = declared(line) {
            let (flat, nested) = (directory.join(format!("{name}.rs")), directory.join(name));
            let file = if flat.exists() { flat } else { nested.join("mod.rs") };
            collect(&file, &nested, found);
            continue;
        }
        code.push_str(line);
        code.push('\n');
    }
    found.push((file.to_owned(), code));
}

/// The module that a line declares without a body.
fn declared(line: &str) -> Option<&str> {
    let line = line.strip_suffix(';')?;
    let (visibility, name) = line.split_once("mod ")?;
    let visible = visibility.is_empty() || visibility.starts_with("pub");
    (visible && !name.contains(|letter: char| !letter.is_alphanumeric() && letter != '_')).then_some(name)
}

fn without_comments(text: &str) -> String {
    let lines = text.lines().map(|line| match line.trim_start().starts_with("//") {
        true => "",
        false => line.split(" // ").next().unwrap_or_default(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The drawn modules that a code names by their path from the crate's root.
fn uses(code: &str, drawn: &BTreeMap<String, Module>) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let path = &code[at + "crate::".len()..];
        // `use crate::{a::b, c};` names several.
        let end = if path.starts_with('{') { path.find(';') } else { path.find(|letter| !is_word(letter)) };
        let words = path[..end.unwrap_or(path.len())].split(|letter| !is_word(letter));
        used.extend(words.filter(|word| drawn.contains_key(*word)).map(str::to_owned));
    }
    used
}

/// What of [`FORBIDDEN`] a code names, in order.
fn forbidden(code: &str) -> Vec<&'static str> {
    let mut found = Vec::new();
    for (at, word) in words(code) {
        let Some(&name) = FORBIDDEN.iter().find(|name| **name == word) else { continue };
        let (before, after) = (&code[..at], &code[at + word.len()..]);
        let named = if MODULES.contains(&name) {
            let statement = &before[before.rfind([';', '\n']).map_or(0, |end| end + 1)..];
            let of_std = before.ends_with("std::") || statement.contains("std::{");
            // `io` is also a module of the engine.
            of_std || (name != "io" && name != "time" && after.starts_with("::") && !before.ends_with("::"))
        } else if name.contains("print") || name == "dbg" {
            after.starts_with('!')
        } else {
            true
        };
        if named {
            found.push(name);
        }
    }
    found
}

fn words(code: &str) -> impl Iterator<Item = (usize, &str)> {
    code.split(|letter| !is_word(letter))
        .filter(|word| !word.is_empty())
        .map(move |word| (word.as_ptr() as usize - code.as_ptr() as usize, word))
}

fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}
