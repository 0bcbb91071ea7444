//! Analyses of statement texts: remembered by text and snapshot, made where they fit.
//!
//! Texts that differ only in their literals have one analysis, that of their [`shape`]: an application that writes values
//! into its statements is served from memory as one that uses parameters is.
//!
//! Short texts are analysed at once by the session's own worker, whose stack is large for it. Long ones go to a few
//! threads with a stack that is larger still, so that one of them does not keep a worker's other sessions waiting.

use std::hash::{Hash, Hasher};
use std::io;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Instant;

use bytes::Bytes;
use quick_cache::sync::Cache;
use quick_cache::{Equivalent, Weighter};
use tokio::sync::oneshot;

use crate::catalog::Catalog;
use crate::plan::Snapshot;
use crate::session::io::{Analyst, Lookup};
use crate::sql::statement::{Analysis, Statement};
use crate::sql::{Limits, shape};
use crate::telemetry::Metrics;

/// Makes the analysis of a text (no terminating NUL) against a catalog: `sql::analyze::analyze`.
pub type Analyze = fn(&[u8], &Catalog, &Limits) -> Analysis;

/// Bytes of a text up to which it is analysed by the worker itself.
const INLINE_BYTES_MAX: usize = 16 * 1024;
/// Weight of all remembered analyses, about their bytes.
const CACHE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// A guess that only the cache's first allocation depends on.
const CACHED_ANALYSES_GUESS: usize = 8 * 1024;
/// Threads for long texts.
const THREADS: usize = 2;
/// Their stack. The kernel gives only what is used.
const STACK_BYTES: usize = 256 * 1024 * 1024;

struct Key {
    version: u64,
    text: Box<[u8]>,
}

/// A [`Key`] that borrows its text: looking up allocates nothing.
struct Sought<'a> {
    version: u64,
    text: &'a [u8],
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.version == other.version && self.text == other.text
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Sought { version: self.version, text: &self.text }.hash(state);
    }
}

impl Hash for Sought<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.version.hash(state);
        self.text.hash(state);
    }
}

impl Equivalent<Key> for Sought<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        self.version == key.version && *self.text == *key.text
    }
}

#[derive(Clone)]
struct Weigh;

impl Weighter<Key, Arc<Analysis>> for Weigh {
    fn weight(&self, key: &Key, analysis: &Arc<Analysis>) -> u64 {
        // a name is up to 64 bytes beside its node in the tree; a lineage grows with its statement's text
        let parts = match &**analysis {
            Analysis::Statements(statements) => statements.iter().fold(0usize, |sum, statement| {
                sum.saturating_add(statement.words.len().saturating_mul(96)).saturating_add(512)
            }),
            Analysis::Opaque(_, words) => words.len().saturating_mul(96),
        };
        u64::try_from(key.text.len().saturating_mul(5).saturating_add(parts).saturating_add(256)).unwrap_or(u64::MAX)
    }
}

/// The analyses of all sessions.
pub(super) struct Analyses {
    cache: Cache<Key, Arc<Analysis>, Weigh>,
    analyze: Analyze,
    metrics: Arc<Metrics>,
}

impl Analyses {
    /// None yet.
    pub(super) fn new(analyze: Analyze, metrics: Arc<Metrics>) -> Self {
        Self { cache: Cache::with_weighter(CACHED_ANALYSES_GUESS, CACHE_BYTES_MAX, Weigh), analyze, metrics }
    }

    fn find(&self, snapshot: &Snapshot, text: &[u8]) -> Option<Arc<Analysis>> {
        let found = self.cache.get(&Sought { version: snapshot.version, text });
        if found.is_some() {
            self.metrics.analysis_cache_hits.inc();
        }
        found
    }

    fn make(&self, snapshot: &Snapshot, text: &[u8]) -> Arc<Analysis> {
        self.metrics.analysis_cache_misses.inc();
        let started = Instant::now();
        let analysis = Arc::new((self.analyze)(text, &snapshot.catalog, &snapshot.limits));
        self.metrics.analysis_seconds.observe(started.elapsed().as_secs_f64());
        self.cache.insert(Key { version: snapshot.version, text: text.into() }, Arc::clone(&analysis));
        analysis
    }
}

impl Analyst for Analyses {
    fn analysis(&self, snapshot: &Arc<Snapshot>, text: &[u8]) -> Lookup {
        if let Some(shape) = std::str::from_utf8(text).ok().and_then(shape) {
            let text = shape.text.as_bytes();
            let analysis = self.find(snapshot, text).unwrap_or_else(|| self.make(snapshot, text));
            return Lookup::Ready(Arc::new(placed(&analysis, &shape.span)));
        }
        match self.find(snapshot, text) {
            Some(analysis) => Lookup::Ready(analysis),
            None if text.len() <= INLINE_BYTES_MAX => Lookup::Ready(self.make(snapshot, text)),
            None => Lookup::Later,
        }
    }
}

/// The analysis of a shape, with its one statement where it stands in the text as it was written.
fn placed(analysis: &Analysis, span: &Range<usize>) -> Analysis {
    match analysis {
        Analysis::Statements(statements) => Analysis::Statements(
            statements.iter().map(|statement| Statement { span: span.clone(), ..statement.clone() }).collect(),
        ),
        Analysis::Opaque(why, words) => Analysis::Opaque(*why, words.clone()),
    }
}

/// The threads for long texts. They end when it is dropped.
pub(super) struct AnalysisThreads {
    jobs: mpsc::Sender<Job>,
}

struct Job {
    text: Bytes,
    snapshot: Arc<Snapshot>,
    done: oneshot::Sender<Arc<Analysis>>,
}

impl AnalysisThreads {
    /// Start them.
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub(super) fn start(analyses: &Arc<Analyses>) -> io::Result<Self> {
        let (jobs, queue) = mpsc::channel();
        let queue = Arc::new(Mutex::new(queue));
        for number in 1..=THREADS {
            let (queue, analyses) = (Arc::clone(&queue), Arc::clone(analyses));
            std::thread::Builder::new()
                .name(format!("pgveil-analysis-{number}"))
                .stack_size(STACK_BYTES)
                .spawn(move || work(&queue, &analyses))?;
        }
        Ok(Self { jobs })
    }

    /// Have a text analysed against a snapshot. An error of what is returned: no analysis could be made.
    pub(super) fn submit(&self, text: Bytes, snapshot: Arc<Snapshot>) -> oneshot::Receiver<Arc<Analysis>> {
        let (done, analysis) = oneshot::channel();
        // if the threads are gone, so is `done`, and the receiver says so
        let _gone = self.jobs.send(Job { text, snapshot, done });
        analysis
    }
}

fn work(queue: &Mutex<mpsc::Receiver<Job>>, analyses: &Analyses) {
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { text, snapshot, done }) = next else {
            return;
        };
        if done.is_closed() {
            continue;
        }
        // a fault of the analysis costs the session that brought the text, not the thread
        let made = catch_unwind(AssertUnwindSafe(|| match analyses.find(&snapshot, &text) {
            Some(analysis) => analysis,
            None => analyses.make(&snapshot, &text),
        }));
        if let Ok(analysis) = made {
            // the session may have ended meanwhile
            let _unwanted = done.send(analysis);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    use crate::server::connection::fixtures::snapshot;
    use crate::sql::NotUnderstood;
    use crate::sql::statement::{Detail, Reading, StatementKind};

    fn opaque(text: &[u8], _: &Catalog, _: &Limits) -> Analysis {
        assert!(!text.starts_with(b"panic"), "asked to");
        Analysis::Opaque(NotUnderstood::Syntax, BTreeSet::new())
    }

    fn analyses() -> (Arc<Analyses>, Arc<Metrics>) {
        let metrics = Arc::new(Metrics::new().unwrap());
        (Arc::new(Analyses::new(opaque, Arc::clone(&metrics))), metrics)
    }

    #[test]
    fn a_text_is_analysed_once_for_each_snapshot() {
        let (analyses, metrics) = analyses();
        let (first, second) = (Arc::new(snapshot(1)), Arc::new(snapshot(2)));
        for (snapshot, text, hits, misses) in [
            (&first, &b"select 1"[..], 0, 1),
            (&first, b"select 1", 1, 1),
            (&first, b"select 2", 1, 2),
            (&second, b"select 1", 1, 3),
            (&second, b"select 1", 2, 3),
        ] {
            assert!(matches!(analyses.analysis(snapshot, text), Lookup::Ready(_)));
            assert_eq!((metrics.analysis_cache_hits.get(), metrics.analysis_cache_misses.get()), (hits, misses));
        }
    }

    #[test]
    fn texts_that_differ_in_literals_are_analysed_once_and_each_keeps_its_own_place() {
        fn one_statement(text: &[u8], _: &Catalog, _: &Limits) -> Analysis {
            let (kind, reading, detail) = (StatementKind::Select, Reading::NoQuery, Detail::None);
            let (span, words, code) = (0..text.len(), BTreeSet::new(), Vec::new());
            Analysis::Statements(vec![Statement { kind, span, reading, detail, words, code, makes_makers: false }])
        }
        let metrics = Arc::new(Metrics::new().unwrap());
        let analyses = Analyses::new(one_statement, Arc::clone(&metrics));
        let snapshot = Arc::new(snapshot(1));
        for (text, span, misses) in [
            ("select 1 where 'alpha' <> 'bravo'", 0..33, 1),
            (" select 1 where 'longer' <> 'than that';", 1..39, 2),
            (" select 1 where 'alpha' <> 'bravo';", 1..34, 2),
            ("select 1 where 'longer' <> 'than that'", 0..38, 2),
            ("select 1 where 'alpha' <> $$bravo$$", 0..35, 3),
        ] {
            let Lookup::Ready(analysis) = analyses.analysis(&snapshot, text.as_bytes()) else { panic!("{text}") };
            let Analysis::Statements(statements) = &*analysis else { panic!("{text}") };
            assert_eq!(statements.iter().map(|statement| statement.span.clone()).collect::<Vec<_>>(), [span], "{text}");
            assert_eq!(metrics.analysis_cache_misses.get(), misses, "{text}");
        }
    }

    #[test]
    fn a_long_text_is_analysed_elsewhere_and_then_remembered() {
        let (analyses, _) = analyses();
        let threads = AnalysisThreads::start(&analyses).unwrap();
        let snapshot = Arc::new(snapshot(1));
        let long = Bytes::from(vec![b' '; INLINE_BYTES_MAX + 1]);
        assert!(matches!(analyses.analysis(&snapshot, &long), Lookup::Later));
        threads.submit(long.clone(), Arc::clone(&snapshot)).blocking_recv().unwrap();
        assert!(matches!(analyses.analysis(&snapshot, &long), Lookup::Ready(_)));
    }

    #[test]
    fn an_analysis_that_panics_leaves_the_threads_alive() {
        let (analyses, _) = analyses();
        let threads = AnalysisThreads::start(&analyses).unwrap();
        let snapshot = Arc::new(snapshot(1));
        for _ in 0..2 * THREADS {
            assert!(threads.submit(Bytes::from_static(b"panic"), Arc::clone(&snapshot)).blocking_recv().is_err());
        }
        assert!(threads.submit(Bytes::from_static(b"select 1"), snapshot).blocking_recv().is_ok());
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (analyses, _) = analyses();
        let snapshot = Arc::new(snapshot(1));
        for n in 0..8_000u32 {
            let text = format!("{n:>16000}");
            assert!(matches!(analyses.analysis(&snapshot, text.as_bytes()), Lookup::Ready(_)));
        }
        assert!(analyses.cache.weight() <= CACHE_BYTES_MAX);
    }
}
