//! The analysis of statements: lexer, readers, lineage, and the verdict on what they say.

use std::panic::resume_unwind;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};

use pgveil::plan::{Own, Scan, Verdict, judge, judge_opaque};
use pgveil::sql::analyze::analyze;
use pgveil::sql::statement::{Analysis, Reading, Statement};
use pgveil::sql::{NotUnderstood, fingerprint, shape, words};

use super::database::{SNAPSHOT, caller};

/// As much as pgveil's own threads for long texts have.
const STACK_BYTES: usize = 256 << 20;

type Outcome = std::thread::Result<()>;

/// A thread with a large stack that takes one text after another.
pub struct Analyst {
    ends: Mutex<(Sender<Vec<u8>>, Receiver<Outcome>)>,
}

impl Analyst {
    /// Start it.
    pub fn start() -> Self {
        let (texts, queue) = channel::<Vec<u8>>();
        let (done, answers) = channel();
        let work = move || {
            for text in queue {
                let outcome = std::panic::catch_unwind(|| run(&text));
                if done.send(outcome).is_err() {
                    return;
                }
            }
        };
        std::thread::Builder::new().stack_size(STACK_BYTES).spawn(work).unwrap();
        Self { ends: Mutex::new((texts, answers)) }
    }

    /// Have a text looked at; panics where that panics.
    pub fn run(&self, data: &[u8]) {
        let ends = self.ends.lock().unwrap();
        ends.0.send(data.to_vec()).unwrap();
        if let Err(panic) = ends.1.recv().unwrap() {
            drop(ends);
            resume_unwind(panic);
        }
    }
}

/// Look at a text. Needs a large stack.
pub fn run(data: &[u8]) {
    let snapshot = &**SNAPSHOT;
    let caller = caller("clerk");
    let harmless = snapshot.inventory.scan(data) == Scan::Harmless;
    let statements = match analyze(data, &snapshot.catalog, &snapshot.limits) {
        Analysis::Opaque(why, words) => {
            let verdict = judge_opaque(why, &words, snapshot, &caller).verdict;
            assert!(!harmless || matches!(verdict, Verdict::Pass), "the quick scan passes what is refused");
            return;
        }
        Analysis::Statements(statements) => statements,
    };
    let text = std::str::from_utf8(data).expect("what is not UTF-8 is opaque");
    let mut end = 0;
    for statement in &statements {
        let own = text.get(statement.span.clone()).expect("a statement is a part of the text");
        assert!(statement.span.start >= end && !own.is_empty(), "statements do not overlap");
        end = statement.span.end;
        let _shape_of_it = fingerprint(own);
        let verdict = judge(text, statement, snapshot, &caller, &Own::default()).verdict;
        assert!(
            !harmless || matches!(verdict, Verdict::Pass | Verdict::Recall(_) | Verdict::RecallPlan(_)),
            "the quick scan passes what is not: {text:?}"
        );
    }
    words_are_complete(text, &statements);
    shape_changes_nothing(text, &statements);
}

/// Every word that the quick scan sees is one of a statement.
fn words_are_complete(text: &str, statements: &[Statement]) {
    let lexed = words(text, |word| {
        assert!(statements.iter().any(|statement| statement.words.contains(word.text)), "a word is missing: {text:?}");
    });
    assert!(lexed.is_ok(), "what was split can be lexed");
}

/// What is remembered for texts of one shape is what each of them would have been told.
fn shape_changes_nothing(text: &str, statements: &[Statement]) {
    let Some(shape) = shape(text) else { return };
    assert!(shape.text.len() <= text.len());
    let Analysis::Statements(shaped) = analyze(shape.text.as_bytes(), &SNAPSHOT.catalog, &SNAPSHOT.limits) else {
        panic!("a shape can be split: {text:?}")
    };
    let [own] = statements else { panic!("a shape has one statement: {text:?}") };
    let [shaped] = &shaped[..] else { panic!("a shape has one statement: {text:?}") };
    // Where a parenthesis is open the one takes the semicolon for a part of the statement, which the server refuses.
    if !matches!(own.reading, Reading::NotUnderstood(_)) {
        assert_eq!(own.span, shape.span, "{text:?}");
    }
    let too_large = Reading::NotUnderstood(NotUnderstood::TooLarge);
    if own.reading != too_large {
        assert_eq!((own.kind, &own.reading, &own.words), (shaped.kind, &shaped.reading, &shaped.words), "{text:?}");
    }
}
