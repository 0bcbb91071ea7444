//! pgveil: a PostgreSQL proxy that masks tagged columns by the caller's role and logs every reveal.
//!
//! This page is how it is laid out, and why; how it is used stands in `README.md`, what a policy says in
//! `policies/README.md`. A test reads the table of layers below and holds the source against it.
//!
//! Bytes in, outputs out: the engine is a value that never waits. What may be shown is decided by pure functions of
//! (statement, catalog, policy, caller). A tagged value leaves in clear only by spending a permit, and spending a permit
//! yields the access event. What is not understood is not shown.
//!
//! # Where to start reading
//!
//! 1. [`session::io`]: what goes into a session and what comes out, the contract between engine and shell.
//! 2. [`sql::lineage`] (its types) and [`sql::statement`]: what is known of a statement.
//! 3. [`plan`]: [`plan::judge()`] for the verdict, [`plan::Protection::bind`] for the rows, [`plan::permit`].
//! 4. `session/requests.rs` (with `session/extended.rs`) and `session/replies.rs`: the two directions of a conversation;
//!    `session/expect.rs`: the queue between them; `session/verdicts.rs`: what is to be done with a text.
//! 5. [`login`]: who may come how, and SCRAM in both roles (`session/login.rs` is where it is used).
//! 6. `server/connection.rs`: the one loop that drives a session, sockets and all.
//!
//! # Layers
//!
//! Each module uses those named in its row, and no others. The first ten are the core: they know no `tokio`, no sockets,
//! files, environment, threads, clock or log, and so are tested in milliseconds.
//!
//! | layer | module | what it is | uses |
//! |---|---|---|---|
//! | facts | [`catalog`] | what the database looks like | |
//! | facts | [`wire`] | bytes to frames and back | `catalog` |
//! | facts | [`access_log`] | what is written down of each access, its lines, their chain, and whether a log is what was written | `catalog` |
//! | facts | [`value`] | values of PostgreSQL's types, in any form that a client gives or wants | `catalog` `wire` |
//! | judgement | [`login`] | who may come from where, and how they prove who they are | |
//! | judgement | [`crypto`] | from a plaintext to what rests in the database, and back | |
//! | judgement | [`sql`] | from a text to what its statements are and do | `catalog` |
//! | judgement | [`mask`] | from a cell to what is shown of it | `catalog` `wire` |
//! | judgement | [`policy`] | which columns are tagged, who is who, who sees what | `catalog` `crypto` `mask` `value` |
//! | join | [`plan`] | lineage and policy: what to do with statements and result columns; permits | `access_log` `catalog` `crypto` `mask` `policy` `sql` `value` `wire` |
//! | engine | [`session`] | the protocol's state | `access_log` `catalog` `crypto` `login` `mask` `plan` `policy` `sql` `value` `wire` |
//! | shell | [`config`] | settings | |
//! | shell | [`telemetry`] | metrics, operational log | `config` `plan` `policy` `session` |
//! | shell | [`server`] | sockets, TLS, files, threads, clock, catalog login, access-log file, keys, admin address | `access_log` `catalog` `config` `crypto` `login` `mask` `plan` `policy` `session` `sql` `telemetry` |
//! | shell | [`cli`] | the program's commands | `access_log` `catalog` `config` `crypto` `mask` `plan` `policy` `server` `sql` `telemetry` `value` `wire` |
//!
//! Where this is less pure than it could be: `mask` takes the format codes (text, binary) from `wire`, `wire` its object
//! identifiers from `catalog`, `policy` the masks that it names from `mask`, and `telemetry` its labels from `session`.
//!
//! # One statement, from text to rows
//!
//! 1. **Frame.** `session/requests.rs` finds the frame of a Query or Parse message. Frames that nothing has to look at
//!    (most CopyData; everything, while nothing is tagged) go on in the pieces that they come in.
//! 2. **Quick word scan.** [`plan::Inventory::scan`] looks up each word of the text, by PostgreSQL's own lexical rules.
//!    Is each a known name of nothing tagged, the statement can not touch tagged data, whatever it says: it passes, and
//!    nothing is parsed. Any word that is unknown to the catalog ends the scan.
//! 3. **Analysis.** [`session::io::Analyst`] looks the text up in the cache (by text and snapshot version), or has it made by
//!    [`sql::analyze::analyze`]: the text is split into statements, each is recognised by its first words, its words are
//!    collected (the safety net), and the query in it is read by two parsers, `read_sqlparser` and `read_squawk`, each into
//!    the same small [`sql::tree`]. Long texts are analysed by other threads ([`session::io::Output::Analyze`]).
//! 4. **Lineage.** [`sql::lineage`] says of each tree what every result column is made of (direct, derived, counted, or
//!    unknown with a reason), what filters look at, what is written where. The lineages of both trees have to be the
//!    same. Where sqlparser alone can not read a statement, squawk's tree counts; where squawk can not, or they differ,
//!    the statement is *not understood*. Names that the catalog does not have are worth one fresh reading of it.
//! 5. **Judge.** [`plan::judge()`] meets lineage and policy: pass, protect, or refuse. A statement that is not understood
//!    passes if none of its words names a way to tagged data; else it is refused, unless the caller sees all of it in clear.
//!    A refused statement is replaced by one that can only fail in PostgreSQL, and that error's text by the refusal's.
//!    Filters on columns that the caller does not see in clear come with the verdict ([`plan::budget::Look`]); each
//!    execution takes them from the caller's budget (`session/spending.rs`) before it is sent, and is refused where that
//!    does not cover them. A parameter's value may decide what a filter is (`LIKE $1`): that is known then, too.
//!    What could not be read is given to the server to parse first, under a Parse message that runs nothing: if that
//!    fails, its error is the answer.
//!    A statement that writes columns of which the caller is shown masks is looked at once more ([`plan::write_back`]): masks
//!    among its literals are replaced by the columns that they would be stored in, those among its parameters when they
//!    are bound (`session/write_back.rs`); what can not be kept is refused. The rows of a COPY from the client are held
//!    against what the caller is shown as they come ([`plan::copy_in`], `session/copy_in.rs`).
//!    Values for encrypted columns are sealed ([`plan::sealing`], `session/sealing.rs`): a probe in which each value is a parameter of
//!    its own tells, by its lineage, which of them reach which column, stored or compared, and whether as they are. Literals
//!    become envelopes, parameters get places of their own, rows of COPY are put together anew. What an encrypted column can not do is refused.
//!    Of functions in SQL the statements are read as those of clients are (`plan/storing.rs`), so arguments are sealed, too; other
//!    functions and triggers that may store into encrypted columns are not run.
//! 6. **Protection.** A statement that is protected goes to the server unchanged; with the extended protocol a Describe of
//!    the portal goes behind its Bind, whose answer is for pgveil alone.
//! 7. **RowDescription.** [`plan::Protection::bind`] meets the lineage with the server's description, column by column: number,
//!    name, table and attribute number. Where they contradict each other the column is redacted. The result is one rule
//!    ([`mask::CellRule`]) for each column, and a permit for each tagged column that is to be shown in clear.
//!    A COPY to the client is not described by the server: pgveil asks about the query that shows the same, by a prepared
//!    statement of its own just before it (`session/copies.rs`), and [`plan::Protection::bind_copy`] binds that.
//! 8. **Rows.** [`plan::PlannedRows`]: untouched, masked, or sealed. Rows are rewritten cell by cell into one buffer.
//!    A cell of an encrypted column is opened, converted to the client's form and then masked, where its rule looks at the value at all.
//!    Sealed rows are held back until the result ends or 64 KiB are held.
//! 9. **Events.** [`plan::SealedRows::open`] spends the permits: the events go out as [`session::io::Output::Access`], and the
//!    shell hands out nothing after it before they are in the file. Where the number of rows was not known yet, a closing
//!    record follows the last one. Before that the caller's limits are asked ([`session::io::Guard`], `session/metering.rs`): rows are
//!    taken from them before they leave, what is left over is given back, and the row that they do not cover ends the result.
//!
//! Errors and notices of protected statements lose what could quote a value (`session/scrub.rs`).
//!
//! # The engine's contract
//!
//! [`session::Session`] takes input by its handlers, and [`session::Session::poll_output`] yields what is to be done, in
//! order. One handler call, then drain to `None`. Handlers return nothing: a peer's fault becomes outputs. Each handler is given
//! the newest [`plan::Snapshot`] (policy, catalog, mask keys, under one version), so that a reload holds from the next
//! statement on, on open connections too. One owner has both directions and one queue of what the server still owes: replies
//! can not get out of order, since there is nothing that could put them so.
//!
//! The shell promises: outputs are done in their order; nothing after an [`session::io::Output::Access`] is done before
//! its events are written; if they can not be written, [`session::Session::handle_access_failed`] is called and every
//! further output dropped. So it is with [`session::io::Output::Settle`] and [`session::Session::handle_guard_failed`].
//!
//! # Decisions, and their reasons
//!
//! - **A refused statement fails in PostgreSQL.** So transaction state, implicit transactions, pipelines and skipping to
//!   the next Sync are PostgreSQL's own. pgveil never makes up a ReadyForQuery.
//! - **An encrypted column is text to the server, and its declared type to clients.** So the server's own rules for text hold (what may
//!   stand in CASE, which operators there are), varchar columns are converted without being rewritten, and a plaintext among
//!   envelopes is known by its form. The price is a third more room than bytes would take.
//! - **A blind index is part of the envelope, and the database copies it out.** So no way of writing can forget it, it is as old as the
//!   value beside it, and where its column is not at hand the value itself has it. It is as long as it takes for no two values to share one:
//!   what the server finds by it nobody has to look at again.
//! - **Values of a domain that are compared are under one version of a key.** Else equal values would not be stored equal. A new version takes
//!   over for all of them in one transaction (`pgveil encrypt run --move-keys`), and values are looked for under both meanwhile.
//! - **Own framing.** Lengths are checked before anything is decoded; what is not rewritten leaves byte-identical. Message
//!   types of the pgwire crate encode what pgveil itself says; its decoder could read past a frame, and is not used.
//! - **The server says what is wrong with a message.** One that can not be decoded goes on as it is, for PostgreSQL refuses it
//!   before it does anything; an answer that is no error would go to nobody. Of a message that is out of place in a COPY, or that
//!   the protocol does not have, the server sees the first byte, which it refuses, and no more.
//! - **Nothing is asked in a transaction that has failed.** What pgveil sends ahead of a client's message would fail there in
//!   that one's place. Where answers on their way have still to tell, the message waits for them (`session/ahead.rs`).
//! - **Who has said goodbye is still answered.** After Terminate, and where a client has closed its sending side, the server is
//!   told the end too, and what it still says goes out; when it hangs up the session ends.
//! - **Ask the server what it will return.** The lineage is a claim; table and attribute number of the server's own
//!   description are a second source, and the stricter wins.
//! - **Two readers have to agree.** sqlparser accepts SQL that it misreads (`SELECT 1 END, ssn FROM people`), and a statement
//!   that is read otherwise than the server reads it is an attack. Two parsers with different mistakes are unlikely to make
//!   the same one. Neither has the last word on safety: that is the words' (step 5).
//! - **A text is read as the server will read it, or not at all.** The server converts it from the client's encoding before it
//!   lexes it. Where pgveil does not know each character of a name (encodings other than UTF-8, LATIN1 and WIN1252, servers that
//!   are not UTF-8, a change of the encoding on its way), a text with such a name is refused to masked callers
//!   (`session/encoding.rs`). What was prepared stays what it was read as.
//! - **A grant is asked of each row.** What a session may see on request is a [`plan::Grant`] of its own, whose time and rows are looked at for each
//!   row that leaves, and whose numbers stand in each reveal's record. It lifts masks from result columns and decides nothing else; what the
//!   server's settings of the same names say decides nothing at all.
//! - **A login is relayed or proved, never made up.** Where pgveil checks a password it holds what the server holds, a verifier
//!   fetched for this login, and shows the server the keys of the client's own proof: it can let nobody in whom the server would
//!   not. The client is told that it is in when the server has said so.
//! - **The search path is not trusted.** A name without schema means every relation of that name: more candidates only
//!   mean more tags.
//! - **Unknown is a value.** Lineage says why it does not know, the outcome is the most restrictive, and it is counted.
//! - **Tags stick to (OID, attribute number)**: a column that is renamed behind pgveil's back stays tagged, and so does one
//!   that was tagged through a parent, key or expression that it has lost, until the policy is changed.
//! - **What a session made is its own**: no other session, the catalog login included, can see temporary relations and
//!   what is not committed. The session keeps their columns in mind with what went into them ([`plan::Own`]); statements
//!   that name them are read against the catalog with these, and what is not certain to be gone is not forgotten.
//! - **What a session's code is called is in doubt** ([`catalog::Doubt`]) until the catalog was read after its commit:
//!   a function, type, operator or schema that it made, changed or renamed is not taken for what the catalog has under that
//!   name. Only what is written with `pg_catalog` before it is. Of a function it is known whether it only computes, and whether
//!   it may fail for some values: then it is a filter on what it is given. Masked callers can not define what defines code in its turn.
//! - **A name that others know must not mean more all at once**: what they asked for under it was judged by what it
//!   meant. So a masked caller's views and renames may not take the name of something that shows less, nor its functions
//!   and types the name of PostgreSQL's own, of code that other code hands values to, or of a function that only computed
//!   (`plan/judge/code.rs`): statements of other sessions are on their way, and no lock would reach these.
//! - **The catalog may not change unseen** ([`session::gate::Gate`]): from before a message that may commit a change is sent
//!   until the catalog was read after its answer, statements of all other sessions wait. What is answered in that time and
//!   was judged before is judged again by each state that the catalog was in since (`session/verify.rs`), and not shown if it
//!   shows something else in one of them, or if one was not read; but for what no change since names anything of that it hangs
//!   on (`session/apart.rs`). Queries that only read are then sent again (`session/repeat.rs`), else the session ends. No two
//!   states go by the same number. Changes past pgveil shut the same gate; they are looked for behind each statement that only
//!   reads (`session/reads.rs`) and before each other, on a connection of each worker's (`server/catalog_check.rs`), and by the timer.
//! - **Registries follow replies.** What the session knows of prepared statements and portals is changed when the server
//!   confirms, not when the client asks (`session/statements.rs`).
//! - **One thread per core, sessions never move**: no lock and no allocation for rows that pass. One task polls both sockets.
//! - **Limits are counted here and agreed upon there.** Whether a row may leave is decided by what this process knows ([`plan::guard::Windows`],
//!   a pure value), without waiting for anybody; the store (`server/shared_state.rs`: a file, or tables) hears of it four times a second, and
//!   rows wait for it only where much of a limit is counted that it has not heard of. What it answers are whole numbers, so that hearing
//!   something twice is no error. Locks, alerts and reveals that wait for somebody are kept there under a kind and an id, as JSON.
//! - **No type without a need**: no builder, trait or generic before its second user; [`session::io::Analyst`],
//!   [`session::io::Budgets`] and [`session::io::Guard`] are the only traits between layers, because cache, ledger and counters are the shell's.
//! - **What is shipped is read from the files** (`server/shipping`), by a thread for each sink: sessions know nothing of sinks, and a sink that
//!   is down takes no memory. Nothing is passed over in silence: where log, position and sink do not go together, shipping
//!   stops and alarms, and the log keeps what is not shipped.
//! - **Secrets and values can not be printed**: types that hold them have no derived `Debug`.
//!
//! # Bounds
//!
//! What comes from outside is bounded, each bound by a named constant or a setting.
//!
//! | bound | value | at it |
//! |---|---|---|
//! | `max_connections` (setting) | 10,000 sessions | the client is told 53300; cancel requests still come through |
//! | `STARTUP_CONNECTIONS_MAX`, `..._PER_ADDRESS_MAX` | 5,000; 2,000 not logged in | told 53300 |
//! | `REFUSALS_MAX`, `REFUSAL_TIMEOUT` | 64 clients, 1 s, being told so | further ones are just closed |
//! | `startup_timeout_ms` (setting) | 60,000 ms until logged in | closed |
//! | `upstream.connect_timeout_ms` (setting) | 10,000 ms | the client is told that the server can not be reached |
//! | `server::verifiers`: `ANSWER_TIMEOUT` | 10 s for a verifier, connecting included; all logins that wait for the connection fail with it | 57P03 |
//! | `drain_timeout_ms` (setting), `DRAIN_GRACE` | 30,000 ms; 3 s to say goodbye | open sessions are told 57P01 and closed |
//! | `HANDOVER` | 1 s between the last connection and the first session's end, where another process takes over | |
//! | `FLUSH_TIMEOUT`, `LINGER_TIMEOUT`, `LINGER_BYTES_MAX` | 5 s; 1 s; 1 MiB | a peer that takes no last words is closed without |
//! | `wire::startup::STARTUP_BYTES_MAX` | 10,000 bytes | closed, as PostgreSQL does |
//! | `wire::frame::BODY_BYTES_MAX` | 1 GiB − 1 | 08P01, session ended |
//! | `LOGIN_FRAME_BYTES_MAX` | 65,536 bytes | session ended |
//! | `LOOKED_AT_BYTES_MAX` | 64 MiB for a message that has to be looked at; for a row of COPY from the client | 54000, session ended; others are streamed. Of a COPY: that is refused |
//! | `HEAD_BYTES` | 64 KiB, in which a Bind names its statement, and a long Parse while nothing is tagged; and a FunctionCall says how many arguments it has | session ended; of a call: refused |
//! | `QUEUED_BYTES_MAX` | 256 KiB waiting for one side | the other side is not read |
//! | `HELD_BYTES_MAX` | 64 KiB of sealed rows | events go out without row count, a closing record follows |
//! | `plan/own.rs`: `RELATIONS_MAX` | 1,000 relations of a session kept in mind | what it makes then is not known: refused |
//! | `FORMER_MAX` | 10,000 names of functions that are no longer there | forgotten |
//! | `ASKED_MAX` | 10,000 names asked for | forgotten, and asked for again |
//! | `sql::Limits::statement_bytes_max` | 1 MiB | not understood |
//! | `sql::Limits::{tokens_max, depth_max, chain_max}` | 100,000; 200; 5,000 | not understood |
//! | `sql::Limits::statements_max` | 10,000 in one message | the message is not understood |
//! | `sql::Limits::equality_list_max` | 100 constants in `IN` | a search, no longer an equality |
//! | `RECURSION_MAX` (read_sqlparser) | 2,000 nested rules | sqlparser's reading counts as failed |
//! | `STEPS_MAX`, `DEPTH_MAX` (lineage) | 1,000,000; 1,000 | not understood |
//! | `plan::budget::PAYERS_MAX` | 100,000 principals whose filters are counted | further ones share one account |
//! | `plan::guard::WINDOWS_MAX` | 100,000 callers and limits that are counted | further ones share one window for each limit; nobody is locked out by it |
//! | `LOCKS_MAX` (server/guard) | 100,000 locks | further callers are not locked out, and it is logged |
//! | `FRESH`, `EXCHANGE_TIMEOUT` (server/shared_state) | 3 s since the store last answered; 2 s for an answer | nothing is revealed to callers with limits |
//! | `PENDING_MAX` (server/shared_state) | 10,000 changes that wait for the store | lost, and logged |
//! | `FILE_BYTES_MAX` (server/shared_state/journal) | 1 GiB of state | an error; it is written anew from 1 MiB on where it is four times what it says |
//! | `QUEUED_MAX`, `TIMEOUT`, `BACK_OFF` (server/guard/alerts) | 1,000 alerts; 10 s; 0.5 to 60 s between attempts | further ones are dropped, and counted |
//! | `NESTING_MAX` (session/spending.rs) | 16 EXECUTEs of EXECUTEs | refused |
//! | `JOIN_PAIRS_MAX` | 256 pairs of sources in one comparison | any other filter, not a join |
//! | `NESTING_MAX` (catalog) | 16 levels of arrays, domains, composites | a type of which no value is built: NULL |
//! | `INLINE_BYTES_MAX`, `THREADS` | 16 KiB; 2 | longer texts are analysed by these threads |
//! | `CACHE_BYTES_MAX` | about 64 MiB of analyses | the least used go |
//! | `STACK_BYTES` | 64 MiB (workers, binding), 256 MiB (long texts) | not reached: the caps above are lower |
//! | `CANCELS_MAX`, `CANCEL_TIMEOUT` | 64 at a time; 10 s | further cancel requests are dropped |
//! | `READING_TIMEOUT`, `BACK_OFF_MAX` | 60 s; 15 s | the catalog in force stays, tried again |
//! | `BACK_OFF` (server/reload/rings) | 1 to 60 s between attempts to unwrap keys of encrypted columns | values under them are errors until then |
//! | `LOCK_PATIENCE` (server/keys) | 30 s for another command that changes the keyring | the command fails |
//! | `COMMIT_PATIENCE` | 200 ms that others wait for a message that may commit a change of the catalog | the catalog is looked at for each statement and result until it is answered |
//! | `PAST_MAX` (server/reload) | 15 earlier readings | sessions end whose statements were judged by older ones and are not answered yet, if the catalog has changed |
//! | `READING_INTERVAL_MIN`, `WANTED_SHARE` | 200 ms, or twice the time that a reading takes if that is less | statements that need a new reading wait |
//! | `SERVER_PATIENCE` | 3 s at the start for the server to be reachable | clients are told 57P03 until its catalog was read |
//! | `BATCH_REQUESTS_MAX` | 4,096 requests in one write of the access log | the next write |
//! | `RECORDS_A_SECOND`, `BURST`, `KEYS_MAX` (server/log_sink/meter) | 50 a second and 500 at once of one kind, user and column; 1,000 of these | counted, and the count is written every 10 s |
//! | `RESERVE_BYTES` | 64 KiB kept free on the disk behind the access log, for what it has to say of itself | reveals stop before it is touched |
//! | `KEYS_MAX`, `KEY_BYTES_MAX` (access_log), `KEYS_OF_EXECUTION_MAX` (plan/entities) | 1,000 keys in a record, of 200 bytes; 100,000 of one execution | further records; not complete, which the record says |
//! | `EXPORT_ROWS` (plan/permit) | 1,000 rows of a result | its action is `export` |
//! | `NOTES_KEPT_MAX` | 10,000 records that nobody waits for, while the log can not be written | lost, and counted |
//! | `CONNECTIONS_MAX`, `HEADER_TIMEOUT`, `CONNECTION_TIMEOUT` (admin) | 64; 5 s; 60 s | closed |
//! | `SINKS_MAX` (config/ship) | 16 sinks of the access log | an error of the settings |
//! | `batch_records` (setting), `BATCH_BYTES_MAX` (server/shipping) | 500 records; 1 MiB (or one record) in memory for each sink | the next batch |
//! | `LINE_BYTES_MAX` (server/shipping/segments) | 16 MiB for a line of the access log | shipping stops, and alarms |
//! | `timeout_ms`, `retry_max_ms` (settings of a sink) | 10 s for an acknowledgement; 30 s between attempts | half as many records at a time; tried again |
//! | `SHIPPING_PATIENCE` | 5 s at the end to ship what is left | shipped after the next start |
//! | `DEPTH_MAX`, `WORD_BYTES_MAX` (policy) | 16 levels; 63 bytes of a tag's or role's name | an error of the policy |
//! | `DEPTH_MAX`, `OPERATORS_MAX`, `PATTERN_CHARS_MAX` (value/jsonpath) | 100 levels, 200 operators of a path; 256 characters of a pattern in it | refused |
//! | `WINDOW_BLOCKS`, `BATCH_BYTES_MAX` (cli/encrypt), `--batch-rows` | 64 blocks listed, 4 MiB and 1,000 rows of one batch | the next batch |
//! | `NAMED_MAX` (cli/encrypt/troubles) | 100 rows named by their keys | further ones are counted |
//! | `mask/build.rs` | parameters of masks, see `pgveil masks` | an error of the policy |
//!
//! # How to add
//!
//! **A mask**: a variant of [`mask::Mask`], its row in `mask/catalogue.rs` (name, aliases, parameters, what it says of itself),
//! its building in `mask/build.rs`, its types in `mask/fits.rs`, its writing in `mask/leaf.rs`, its place among the others in
//! `policy/strictness.rs`, how it is known again in `mask/resemblance.rs` and `mask/stored.rs`. The compiler finds most of these; the tests of `mask/tests` take it in by themselves, and the
//! policy's manual and JSON schema are written anew by their tests with `BLESS=1`.
//!
//! **A kind of statement**: a variant of [`sql::statement::StatementKind`] with its command, its first words in
//! `sql/recognise`, whether it [changes the catalog](sql::statement::StatementKind::changes_catalog), its line in
//! `plan/judge/kinds.rs` (passes untouched, or only where all it names is clear), its sort in `plan/judge/sorts.rs`, and its
//! rows in `tests/e2e/statement_kinds.tsv`. If it holds a query, `sql/recognise` says where.
//!
//! **A metric**: if the engine sees it, a variant of [`plan::Observation`]; its counter in `telemetry/metrics.rs`; labels
//! in `telemetry/metrics/labels.rs`, from closed sets or the policy's tags, never from clients. Alarms belong in `README.md`.
//!
//! **A sink of the access log**: its settings in `config/ship/sinks.rs`, a variant of [`config::ShipTarget`], its module in `server/shipping/sink`
//! (send a batch, say how many of its records are acknowledged and why not all), its server in `tests/e2e/harness/sinks.py`.
//!
//! **A setting**: a field of [`config::Settings`] (flag, environment and file in one), its default and range in
//! `Config::complete`, its line in `config/print.rs` and in `deploy/pgveil.toml`.

pub mod access_log;
pub mod catalog;
pub mod cli;
pub mod config;
pub mod crypto;
pub mod login;
pub mod mask;
pub mod plan;
pub mod policy;
pub mod server;
pub mod session;
pub mod sql;
pub mod telemetry;
pub mod value;
pub mod wire;
