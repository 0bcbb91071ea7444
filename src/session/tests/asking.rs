//! Reveals on request and asserted end users, through the engine.

use super::Table;

const POLICY: &str = "
version: 1
tags:
  email: { mask: email }
  name: { mask: { show_first: 1 } }
columns:
  public.customers:
    email: email
    name: name
roles:
  clerk:
    users: [clerk]
    sees: { '*': masked }
    reveal: { tags: [name], lasts: 60s, rows: 3, reason: '^T-[0-9]+', notice: false }
";

/// The same, and it is granted by somebody else, and told.
const ASKS: &str = "
version: 1
tags:
  name: { mask: { show_first: 1 } }
columns:
  public.customers:
    name: name
roles:
  leads: { users: [lea], sees: { '*': masked } }
  clerk:
    users: [clerk]
    sees: { '*': denied }
    reveal: { tags: [name], lasts: 60s, approval: [leads], urgent: true }
";

const SUBJECTS: &str = "
version: 1
tags:
  name: { mask: { show_first: 1 } }
columns:
  public.customers:
    name: name
roles:
  clerk:
    users: [clerk]
    sees: { '*': masked }
    reveal: { tags: [name], lasts: 60s, rows: 2, subject: required, notice: false }
subjects:
  customer: [public.customers.id]
";

/// `clerk` asserts end users, by both ways; jane sees names.
const ACTORS: &str = "
version: 1
tags:
  email: { mask: email }
  name: { mask: { show_first: 1 } }
columns:
  public.customers:
    email: email
    name: name
roles:
  app: { users: [clerk], sees: { '*': clear } }
  support: { actors: ['*@shop'], sees: { name: clear }, reveal: { tags: [email], notice: false } }
actors:
  clerk: { assert: plain, by: [setting, comment] }
";

fn table(policy: &str) -> Table {
    Table::of("clerk", policy)
}

/// What one Query of names shows, with its events; the server says `Ada` and `Eva`.
fn names(told: &str) -> String {
    format!(
        "C> Q SELECT name FROM customers
         U< Q SELECT name FROM customers
         U> T name=16384.2:25 / D Ada / D Eva / C SELECT 2 / Z I
         {told}"
    )
}

const MASKED: &str = "C< T name=16384.2:25 / D A## / D E## / C SELECT 2 / Z I";

fn shown(event: &str) -> String {
    format!(
        "C< T name=16384.2:25
         A! {event}
         C< D Ada / D Eva / C SELECT 2 / Z I"
    )
}

const GRANTED: &str = "C> Q SET pgveil.reveal = 'T-1 call'
         U< Q SET pgveil.reveal = 'g1'
         U> C SET / Z I
         A! reveal g1 - granted T-1 call
         C< C SET / Z I";

#[test]
fn what_is_asked_for_with_a_reason_is_shown_until_its_rows_are_used_up() {
    let mut table = table(POLICY);
    table.play(&names(MASKED));
    table.play(GRANTED);
    table.play(&names(&shown("1 customers.name rows=2 - g1")));
    // One row is left of three.
    table.play(&names(
        "C< T name=16384.2:25
         A! 2 customers.name rows=1 - g1
         C< D Ada / D E## / C SELECT 2 / Z I",
    ));
    table.play(
        "C> Q SELECT name FROM customers
         A. reveal g1 - ended used_up rows=3
         U< Q SELECT name FROM customers
         U> T name=16384.2:25 / D Ada / C SELECT 1 / Z I
         C< T name=16384.2:25 / D A## / C SELECT 1 / Z I",
    );
}

#[test]
fn other_tags_stay_masked_and_filters_are_what_they_were() {
    let mut table = table(POLICY);
    table.play(GRANTED);
    table.play(
        "C> Q SELECT name, email FROM customers
         U< Q SELECT name, email FROM customers
         U> T name=16384.2:25 email=16384.3:25 / D Ada|ada@example.org / C SELECT 1 / Z I
         C< T name=16384.2:25 email=16384.3:25
         A! 1 customers.name rows=1 - g1
         C< D Ada|a##@#######.### / C SELECT 1 / Z I
         C> Q SELECT id FROM customers WHERE name LIKE 'A%'
         U< Q SELECT FROM pg_catalog.pgveil_refused
         U> E 42P01 relation / Z I
         C< E 42501 pgveil: a search by prefix on column public.customers.name is not permitted (tag \"name\", rule p.yaml:13) / Z I",
    );
}

#[test]
fn it_ends_by_itself_in_mid_session() {
    let mut table = table(POLICY);
    table.play(GRANTED);
    table.play(
        "-- a minute later
         -- timeout
         A. reveal g1 - ended expired rows=0",
    );
    table.play(&names(MASKED));
    // What was asked for in time is shown by what holds when its rows come.
    table.play(
        "C> Q SET pgveil.reveal = 'T-2'
         U< Q SET pgveil.reveal = 'g2'
         U> C SET / Z I
         A! reveal g2 - granted T-2
         C< C SET / Z I
         C> Q SELECT name FROM customers
         U< Q SELECT name FROM customers
         -- a minute later
         U> T name=16384.2:25 / D Ada / C SELECT 1 / Z I
         A. reveal g2 - ended expired rows=0
         C< T name=16384.2:25 / D A## / C SELECT 1 / Z I",
    );
}

#[test]
fn it_is_ended_by_reset_and_what_is_like_it() {
    for ends in [
        "RESET pgveil.reveal",
        "RESET ALL",
        "DISCARD ALL",
        "SET pgveil.reveal TO DEFAULT",
        "SET \"PGVEIL.reveal\" = ''",
    ] {
        let mut table = table(POLICY);
        table.play(GRANTED);
        table.play(&format!(
            "C> Q {ends}
             U< Q {ends}
             U> C RESET / Z I
             A. reveal g1 - ended reset rows=0
             C< C RESET / Z I"
        ));
        table.play(&names(MASKED));
    }
}

#[test]
fn a_transaction_that_is_rolled_back_takes_it_back() {
    let mut table = table(POLICY);
    table.play(
        "C> Q BEGIN
         U< Q BEGIN
         U> C BEGIN / Z T
         C< C BEGIN / Z T
         C> Q SET pgveil.reveal = 'T-1'
         U< Q SET pgveil.reveal = 'g1'
         U> C SET / Z T
         A! reveal g1 - granted T-1
         C< C SET / Z T
         C> Q ROLLBACK
         U< Q ROLLBACK
         U> C ROLLBACK / Z I
         A. reveal g1 - ended transaction rows=0
         C< C ROLLBACK / Z I",
    );
    table.play(&names(MASKED));
    // So does a message that fails behind it.
    table.play(
        "C> Q SET pgveil.reveal = 'T-1'; SELECT 1/0
         U< Q SET pgveil.reveal = 'g2'; SELECT 1/0
         U> C SET / E 22012 division / Z I
         A! reveal g2 - granted T-1
         A. reveal g2 - ended transaction rows=0
         C< C SET / E 22012 division / Z I",
    );
    table.play(&names(MASKED));
}

#[test]
fn what_fails_on_the_server_grants_nothing() {
    let mut table = table(POLICY);
    table.play(
        "C> Q SET pgveil.reveal = 'T-1'
         U< Q SET pgveil.reveal = 'g1'
         U> E 25P02 aborted / Z E
         C< E 25P02 aborted / Z E",
    );
}

#[test]
fn what_is_not_offered_or_not_justified_is_refused() {
    let refused = |policy: &str, user: &str, set: &str, event: &str, error: &str| {
        Table::of(user, policy).play(&format!(
            "C> Q {set}
             {event}
             U< Q SELECT FROM pg_catalog.pgveil_refused
             U> E 42P01 relation / Z I
             C< E {error} / Z I"
        ));
    };
    refused(
        POLICY,
        "clerk",
        "SET pgveil.reveal = 'just so'",
        "A. reveal  - refused reason",
        "42501 pgveil: the reason is not what it has to look like",
    );
    refused(
        POLICY,
        "other",
        "SET pgveil.reveal = 'T-1'",
        "A. reveal  - refused not_offered",
        "42501 pgveil: no reveal is offered to you",
    );
    refused(
        SUBJECTS,
        "clerk",
        "SET pgveil.reveal = 'x'",
        "A. reveal  - refused subject",
        "42501 pgveil: a reveal is for one subject only",
    );
    for (set, error) in [
        ("SET pgveil.reveal_subject = 'supplier:1'", "22023 pgveil: that is no subject"),
        ("SET pgveil.unveil = 'x'", "42704 pgveil: unrecognized configuration parameter \"pgveil.unveil\""),
        (
            "SELECT (SELECT set_config('pgveil.reveal', 'T-1', false))",
            "42501 pgveil: settings of pgveil can not be changed like this",
        ),
    ] {
        Table::of("clerk", POLICY).play(&format!(
            "C> Q {set}
             U< Q SELECT FROM pg_catalog.pgveil_refused
             U> E 42P01 relation / Z I
             C< E {error} / Z I"
        ));
    }
}

#[test]
fn what_was_prepared_before_is_judged_when_it_runs() {
    let mut table = table(POLICY);
    table.play(
        "C> P s|SELECT name FROM customers / S
         U< P s|SELECT name FROM customers / S
         U> 1 / Z I
         C< 1 / Z I",
    );
    table.play(GRANTED);
    table.play(
        "C> B |s / E / S
         U< B |s / D P| / E / S
         U> 2 / T name=16384.2:25 / D Ada / C SELECT 1 / Z I
         C< 2
         A! 1 customers.name rows=1 - g1
         C< D Ada / C SELECT 1 / Z I
         C> Q BEGIN
         U< Q BEGIN
         U> C BEGIN / Z T
         C< C BEGIN / Z T
         C> B p|s / E p 1 / S
         U< B p|s / D P|p / E p 1 / S
         U> 2 / T name=16384.2:25 / D Ada / s / Z T
         C< 2
         A! 2 customers.name rows=? - g1
         C< D Ada / s / Z T
         -- a minute later
         C> E p / S
         A. reveal g1 - ended expired rows=2
         A. 2 rows=1 cut short
         U< D P|p / E p / S
         U> T name=16384.2:25 / D Eva / C SELECT 1 / Z T
         C< D E## / C SELECT 1 / Z T",
    );
}

#[test]
fn a_cursor_shows_what_holds_when_it_is_read() {
    let mut table = table(POLICY);
    table.play(
        "C> Q BEGIN; DECLARE c CURSOR FOR SELECT name FROM customers
         U< Q BEGIN; DECLARE c CURSOR FOR SELECT name FROM customers
         U> C BEGIN / C DECLARE CURSOR / Z T
         C< C BEGIN / C DECLARE CURSOR / Z T
         C> Q FETCH c
         U< Q FETCH c
         U> T name=16384.2:25 / D Ada / C FETCH 1 / Z T
         C< T name=16384.2:25 / D A## / C FETCH 1 / Z T
         C> Q SET pgveil.reveal = 'T-1'
         U< Q SET pgveil.reveal = 'g1'
         U> C SET / Z T
         A! reveal g1 - granted T-1
         C< C SET / Z T
         C> Q FETCH c
         U< Q FETCH c
         U> T name=16384.2:25 / D Eva / C FETCH 1 / Z T
         C< T name=16384.2:25
         A! 1 customers.name rows=? - g1
         C< D Eva / C FETCH 1 / Z T
         C> Q RESET pgveil.reveal
         U< Q RESET pgveil.reveal
         U> C RESET / Z T
         A. reveal g1 - ended reset rows=1
         C< C RESET / Z T
         C> Q FETCH c
         U< Q FETCH c
         U> T name=16384.2:25 / D Ivo / C FETCH 1 / Z T
         C< T name=16384.2:25 / D I## / C FETCH 1 / Z T",
    );
}

#[test]
fn a_parameter_is_a_reason_as_well_and_the_server_is_not_told() {
    table(POLICY).play(
        "C> P |SELECT set_config('pgveil.reveal', $1, false) / B ||T-7 secret / E / S
         U< P |SELECT set_config('pgveil.reveal', $1, false) / B | / E / S
         U> 1 / 2 / C SELECT 1 / Z I
         A! reveal g1 - granted T-7 secret
         C< 1 / 2 / C SELECT 1 / Z I
         C> Q SHOW pgveil.reveal
         U< Q SELECT NULL::pg_catalog.text AS \"pgveil.reveal\"
         U> T pgveil.reveal:25 / D NULL / C SELECT 1 / Z I
         C< T pgveil.reveal:25 / D T-7 secret / C SELECT 1 / Z I
         C> P |SELECT current_setting('pgveil.reveal_status') AS s / B | / E / S
         U< P |SELECT NULL::pg_catalog.text AS \"s\" / B | / D P| / E / S
         U> 1 / 2 / T s:25 / D NULL / C SELECT 1 / Z I
         C< 1 / 2 / D g1 on: 60 s and 3 rows left, tags name / C SELECT 1 / Z I",
    );
}

#[test]
fn messages_behind_it_wait_until_it_is_known() {
    table(POLICY).play(
        "C> Q SET pgveil.reveal = 'T-1'
         U< Q SET pgveil.reveal = 'g1'
         C> Q SELECT name FROM customers
         U< H
         U> C SET / Z I
         A! reveal g1 - granted T-1
         C< C SET / Z I
         -- client
         U< Q SELECT name FROM customers
         U> T name=16384.2:25 / D Ada / C SELECT 1 / Z I
         C< T name=16384.2:25
         A! 1 customers.name rows=1 - g1
         C< D Ada / C SELECT 1 / Z I",
    );
}

#[test]
fn a_policy_that_takes_it_back_ends_it_at_once() {
    let mut table = table(POLICY);
    table.play(GRANTED);
    table.play(
        "-- stricter
         C> Q SELECT name FROM customers
         A. reveal g1 - ended revoked rows=0
         U< Q SELECT name FROM customers
         U> T name=16384.2:25 / D Ada / C SELECT 1 / Z I
         C< T name=16384.2:25 / D A## / C SELECT 1 / Z I",
    );
}

#[test]
fn somebody_else_approves_and_the_session_gets_it_without_asking_again() {
    let mut table = table(ASKS);
    table.play(
        "C> Q SET pgveil.reveal = 'call'
         U< Q SET pgveil.reveal = 'g1'
         U> C SET / Z I
         A. reveal g1 - asked call
         C< N 00000 pgveil: reveal g1 waits for somebody else's approval (pgveil reveal approve g1) / C SET / Z I
         C> Q SELECT name FROM customers
         U< Q SELECT FROM pg_catalog.pgveil_refused
         U> E 42P01 relation / Z I
         C< E 42501 pgveil: permission denied for column public.customers.name (tag \"name\", rule p.yaml:12) / Z I
         -- approved
         C> Q SELECT name FROM customers
         A! reveal g1 - granted call
         U< Q SELECT name FROM customers
         U> T name=16384.2:25 / D Ada / C SELECT 1 / Z I
         C< T name=16384.2:25
         A! 1 customers.name rows=1 - g1
         C< D Ada / C SELECT 1 / Z I",
    );
}

#[test]
fn urgent_ones_need_nobody() {
    table(ASKS).play(
        "C> Q SET pgveil.reveal_urgent = on; SET pgveil.reveal = 'fire'; SELECT name FROM customers
         U< Q SET pgveil.reveal_urgent = on; SET pgveil.reveal = 'g1'; SELECT name FROM customers
         U> C SET / C SET / T name=16384.2:25 / D Ada / C SELECT 1 / Z I
         A! reveal g1 - granted fire
         C< C SET / N 00000 pgveil: reveal g1 of name for 60 s, 1000 rows / C SET / T name=16384.2:25
         A! 1 customers.name rows=1 - g1
         C< D Ada / C SELECT 1 / Z I",
    );
}

#[test]
fn who_is_shown_masks_is_told_once_that_there_is_another_way() {
    let told = "pgveil: values are masked; a reveal is possible: SET pgveil.reveal = 'reason'";
    let mut table = table(&POLICY.replace(", notice: false", ""));
    table.play(&names(&format!("C< T name=16384.2:25 / D A## / D E## / N 00000 {told} / C SELECT 2 / Z I")));
    table.play(&names(MASKED));
}

#[test]
fn only_the_rows_of_the_subject_are_shown() {
    let mut table = table(SUBJECTS);
    table.play(
        "C> Q SET pgveil.reveal_subject = 'customer:42'
         U< Q SET pgveil.reveal_subject = 'customer:42'
         U> C SET / Z I
         C< C SET / Z I
         C> Q SET pgveil.reveal = 'call'
         U< Q SET pgveil.reveal = 'g1'
         U> C SET / Z I
         A! reveal g1 - granted call
         C< C SET / Z I
         C> Q SELECT id, name FROM customers
         U< Q SELECT id, name FROM customers
         U> T id=16384.1:23 name=16384.2:25 / D 41|Ada / D 42|Eva / D 42|Ivo / D 42|Uwe / C SELECT 4 / Z I
         C< T id=16384.1:23 name=16384.2:25
         A! 1 customers.name rows=2 - g1
         C< D 41|A## / D 42|Eva / D 42|Ivo / D 42|U## / C SELECT 4 / Z I",
    );
    let mut table = Table::of("clerk", SUBJECTS);
    table.play(
        "C> Q SET pgveil.reveal_subject = 'customer:42'; SET pgveil.reveal = 'call'
         U< Q SET pgveil.reveal_subject = 'customer:42'; SET pgveil.reveal = 'g1'
         U> C SET / C SET / Z I
         A! reveal g1 - granted call
         C< C SET / C SET / Z I",
    );
    // No row of it, no key beside it, the key of another row, a value that is computed.
    for (query, description, row, shown) in [
        ("SELECT id, name FROM customers", "id=16384.1:23 name=16384.2:25", "41|Ada", "41|A##"),
        ("SELECT name FROM customers WHERE id = 42", "name=16384.2:25", "Ada", "A##"),
        ("SELECT a.id, b.name FROM customers a, customers b", "id=16384.1:23 name=16384.2:25", "42|Ada", "42|A##"),
        ("SELECT id, upper(name) AS name FROM customers", "id=16384.1:23 name:25", "42|ADA", "42|####"),
        ("SELECT 42 AS id, name FROM customers", "id:23 name=16384.2:25", "42|Ada", "42|A##"),
    ] {
        table.play(&format!(
            "C> Q {query}
             U< Q {query}
             U> T {description} / D {row} / C SELECT 1 / Z I
             C< T {description} / D {shown} / C SELECT 1 / Z I"
        ));
    }
}

#[test]
fn an_account_that_has_to_assert_somebody_sees_masks_until_it_does() {
    let mut table = table(ACTORS);
    table.play(&names(MASKED));
    table.play(
        "C> Q SET pgveil.actor = 'jane@shop'
         U< Q SET pgveil.actor = 'jane@shop'
         U> C SET / Z I
         A. actor jane@shop signed=false
         C< C SET / Z I",
    );
    table.play(&names(&shown("1 customers.name rows=2 jane@shop -")));
    // Nobody the policy knows: what the account sees.
    table.play(
        "C> Q SET pgveil.actor = 'bob@elsewhere'
         U< Q SET pgveil.actor = 'bob@elsewhere'
         U> C SET / Z I
         A. actor bob@elsewhere signed=false
         C< C SET / Z I",
    );
    table.play(&names(&shown("2 customers.name rows=2 bob@elsewhere -")));
    for reset in ["RESET pgveil.actor", "RESET ALL", "DISCARD ALL"] {
        table.play(&format!(
            "C> Q SET pgveil.actor = 'jane@shop'
             U< Q SET pgveil.actor = 'jane@shop'
             U> C SET / Z I
             A. actor jane@shop signed=false
             C< C SET / Z I
             C> Q {reset}
             U< Q {reset}
             U> C {reset} / Z I
             A. actor -
             C< C {reset} / Z I"
        ));
        table.play(&names(MASKED));
    }
}

#[test]
fn a_comment_asserts_for_its_own_statement() {
    let mut table = table(ACTORS);
    table.play(
        "C> Q SELECT name FROM customers /*actor='jane%40shop'*/
         U< Q SELECT name FROM customers /*actor='jane%40shop'*/
         U> T name=16384.2:25 / D Ada / C SELECT 1 / Z I
         C< T name=16384.2:25
         A! 1 customers.name rows=1 jane@shop -
         C< D Ada / C SELECT 1 / Z I",
    );
    table.play(&names(MASKED));
    table.play(
        "C> Q SELECT name FROM customers /*actor='bob'*/ /*actor='jane%40shop'*/
         A. actor refused: the statement's comments assert more than one end user
         U< Q SELECT FROM pg_catalog.pgveil_refused
         U> E 42P01 relation / Z I
         C< E 42501 pgveil: the statement's comments assert more than one end user / Z I
         C> P s|SELECT name FROM customers /*actor='jane%40shop'*/ / B |s / E / S
         U< P s|SELECT name FROM customers /*actor='jane%40shop'*/ / B |s / D P| / E / S
         U> 1 / 2 / T name=16384.2:25 / D Ada / C SELECT 1 / Z I
         C< 1 / 2
         A! 2 customers.name rows=1 jane@shop -
         C< D Ada / C SELECT 1 / Z I",
    );
}

#[test]
fn an_account_that_may_not_assert_is_refused() {
    for set in [
        "SET pgveil.actor = 'jane@shop'",
        "SET SESSION \"pgveil.actor\" = 'jane@shop'",
        "SET LOCAL PGVEIL.ACTOR TO 'jane@shop'",
        "SELECT set_config('pgveil.actor', 'jane@shop', false)",
    ] {
        Table::of("other", ACTORS).play(&format!(
            "C> Q {set}
             A. actor refused: this account may not assert an end user
             U< Q SELECT FROM pg_catalog.pgveil_refused
             U> E 42P01 relation / Z I
             C< E 42501 pgveil: this account may not assert an end user / Z I"
        ));
    }
    // A comment of theirs is a comment.
    Table::of("other", ACTORS).play(
        "C> Q SELECT name FROM customers /*actor='jane%40shop'*/
         U< Q SELECT name FROM customers /*actor='jane%40shop'*/
         U> T name=16384.2:25 / D Ada / C SELECT 1 / Z I
         C< T name=16384.2:25 / D A## / C SELECT 1 / Z I",
    );
}

#[test]
fn a_reveal_belongs_to_whom_it_was_granted() {
    let mut table = table(ACTORS);
    table.play(
        "C> Q SET pgveil.actor = 'jane@shop'; SET pgveil.reveal = 'x'; SELECT email FROM customers
         U< Q SET pgveil.actor = 'jane@shop'; SET pgveil.reveal = 'g1'; SELECT email FROM customers
         U> C SET / C SET / T email=16384.3:25 / D a@b.c / C SELECT 1 / Z I
         A. actor jane@shop signed=false
         A! reveal g1 jane@shop granted x
         C< C SET / C SET / T email=16384.3:25
         A! 1 customers.email rows=1 jane@shop g1
         C< D a@b.c / C SELECT 1 / Z I
         C> Q SET LOCAL pgveil.actor = 'eve@shop'
         U< Q SET LOCAL pgveil.actor = 'eve@shop'
         U> C SET / Z I
         A. reveal g1 jane@shop ended actor_changed rows=1
         A. actor eve@shop signed=false
         A. actor jane@shop signed=false
         C< C SET / Z I
         C> Q SELECT email FROM customers
         U< Q SELECT email FROM customers
         U> T email=16384.3:25 / D a@b.c / C SELECT 1 / Z I
         C< T email=16384.3:25 / D #@#.# / C SELECT 1 / Z I",
    );
}

#[test]
fn nothing_of_it_goes_on_when_the_session_ends() {
    let mut table = table(POLICY);
    table.play(GRANTED);
    table.play(
        "-- shutdown
         A. reveal g1 - ended session_over rows=0
         C< E 57P01 terminating connection due to administrator command
         U< X
         X! Shutdown",
    );
}
