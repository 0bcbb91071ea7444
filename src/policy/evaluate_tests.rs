//! Who sees what: the sample policy as a matrix, the rules of matching and combining, and properties of all policies.

use std::fmt::Write;

use proptest::prelude::*;

use super::*;
use crate::mask::Mask;

fn policy(text: &str) -> Policy {
    Policy::parse(&[PolicySource { path: "p.yaml".into(), text: text.into() }])
        .unwrap_or_else(|found| panic!("{found:#?}"))
}

fn principal(user: &str, member_of: &[&str]) -> Principal {
    Principal {
        user: Name::exact(user),
        member_of: member_of.iter().map(|role| Name::exact(role)).collect(),
        actor: None,
        address: "10.1.2.3".parse().unwrap(),
        certificate: None,
        application_name: None,
    }
}

fn shown(decision: &Decision) -> String {
    let sight = match &decision.sight {
        Sight::Clear => "clear".to_owned(),
        Sight::Masked(mask) => match &**mask {
            Mask::Replace(text) => format!("replace {text}"),
            Mask::Pseudonym { key } => format!("pseudonym {key}"),
            Mask::ShowFirst(count) => format!("show_first {count}"),
            Mask::ShowLast(count) => format!("show_last {count}"),
            Mask::Phone { keep } => format!("phone {keep}"),
            other => other.name().to_owned(),
        },
        Sight::Hidden(form) => format!("hidden {}", format!("{form:?}").to_lowercase()),
        Sight::Denied => "denied".to_owned(),
    };
    match decision.filter {
        FilterMode::Allow => sight,
        FilterMode::Search => format!("{sight}, search"),
        FilterMode::Equality => format!("{sight}, ="),
        FilterMode::Refuse => format!("{sight}, -"),
    }
}

/// Each line: a column and its tag, then what each caller sees of it and what filters may do (`-`: refused, `=`:
/// equality, `search`).
const MATRIX: &str = include_str!("golden/shop_matrix.txt");

#[test]
fn the_sample_policy_shows_each_role_what_it_says() {
    let text = include_str!("../../policies/shop.yaml");
    let policy = Policy::parse(&[PolicySource { path: "shop.yaml".into(), text: text.into() }]).unwrap();
    let callers: [(&str, &[&str]); 5] = [
        ("sam", &["support"]),
        ("bella", &["billing"]),
        ("ana", &["analyst"]),
        ("other", &[]),
        ("sam+bella", &["support", "billing"]),
    ];
    let mut written = format!("{:<38}", "");
    for (user, _) in callers {
        write!(written, "{user:<26}").unwrap();
    }
    let mut lines = vec![written.trim_end().to_owned()];
    for (id, column) in policy.columns() {
        let mut line = format!("{:<38}", format!("{}.{} ({})", column.table, column.column, column.tag.name));
        for (user, roles) in callers {
            let roles = policy.roles_of(&principal(user, roles));
            write!(line, "{:<26}", shown(&policy.decide(&roles, id))).unwrap();
        }
        lines.push(line.trim_end().to_owned());
    }
    let written = lines.join("\n") + "\n";
    assert!(written == MATRIX, "differs from golden/shop_matrix.txt; it should be:\n{written}<<<end");
}

#[test]
fn users_or_membership_say_who_and_the_rest_narrows() {
    let policy = policy(
        "version: 1
columns: {}
roles:
  both: { users: [sam], member_of: [support], replication: true }
  from: { users: [sam], networks: [10.0.0.0/8, '2001:db8::/32'], replication: true }
  cert: { member_of: [support], certificates: [sam.example], networks: [10.1.2.3], replication: true }
  anyone_there: { networks: [192.168.7.0/24], replication: true }
",
    );
    let names = |principal: &Principal| -> Vec<String> {
        let roles = policy.roles_of(principal);
        roles.numbers.iter().map(|&role| policy.roles[role as usize].name.to_string()).collect()
    };
    let at = |user: &str, member_of: &[&str], address: &str, certificate: Option<&str>| Principal {
        address: address.parse().unwrap(),
        certificate: certificate.map(Into::into),
        ..principal(user, member_of)
    };
    for (caller, expected) in [
        (at("sam", &[], "10.9.9.9", None), vec!["both", "from"]),
        (at("sam", &[], "::ffff:10.9.9.9", None), vec!["both", "from"]),
        (at("sam", &[], "2001:db8::1", None), vec!["both", "from"]),
        (at("sam", &[], "11.0.0.1", None), vec!["both"]),
        (at("Sam", &[], "10.9.9.9", None), vec![]),
        (at("eve", &["support"], "10.9.9.9", None), vec!["both"]),
        (at("support", &[], "10.9.9.9", None), vec!["both"]),
        (at("eve", &["support"], "10.1.2.3", Some("sam.example")), vec!["both", "cert"]),
        (at("eve", &["support"], "10.1.2.4", Some("sam.example")), vec!["both"]),
        (at("eve", &["support"], "10.1.2.3", Some("eve.example")), vec!["both"]),
        (at("eve", &["sales"], "10.1.2.3", Some("sam.example")), vec![]),
        (at("eve", &[], "192.168.7.8", None), vec!["anyone_there"]),
    ] {
        assert_eq!(names(&caller), expected, "{caller:?}");
    }
}

/// A policy of one column `t.c` with the tag `x`, and a role for each of `sees`, all of which `sam` has.
fn roles_that_see(sees: &[String]) -> Policy {
    let mut text = "version: 1\ntags: { x: { mask: email, hidden: empty } }\ncolumns: { t: { c: x } }\n".to_owned();
    if !sees.is_empty() {
        text.push_str("roles:\n");
    }
    for (index, sees) in sees.iter().enumerate() {
        writeln!(text, "  r{index}: {{ users: sam, {sees} }}").unwrap();
    }
    policy(&text)
}

fn decided(policy: &Policy) -> Decision {
    policy.decide(&policy.roles_of(&principal("sam", &[])), TaggedColumnId(0))
}

#[test]
fn the_strictest_rule_of_the_highest_priority_wins() {
    for (sees, expected) in [
        (vec![], "email, ="),
        (vec!["sees: { x: clear }"], "clear"),
        (vec!["sees: { x: clear }", "sees: { x: masked }"], "email, ="),
        (vec!["sees: { x: clear }", "replication: true"], "clear"),
        (vec!["sees: { x: hidden }", "sees: { x: masked }", "sees: { x: clear }"], "hidden empty, ="),
        (vec!["sees: { x: hidden }", "sees: { '*': denied }"], "denied, -"),
        (vec!["sees: { x: denied }", "sees: { x: clear }, priority: 1"], "clear"),
        (vec!["sees: { x: clear }, priority: 1", "sees: { x: denied }, priority: 2"], "denied, -"),
        (vec!["sees: { x: clear }, priority: -1", "sees: { x: masked }"], "email, ="),
        // More specific is stronger within one role, and counts for nothing between roles.
        (vec!["sees: { '*': denied, x: masked, t.c: clear }"], "clear"),
        (vec!["sees: { '*': denied, x: masked }"], "email, ="),
        (vec!["sees: { t.c: clear }", "sees: { '*': hidden }"], "hidden empty, ="),
        (vec!["sees: { x: { filter: search } }"], "email, search"),
        (vec!["sees: { x: { filter: search } }", "sees: { x: masked }"], "email, ="),
        (vec!["sees: { x: { filter: search } }", "sees: { x: clear }"], "email, search"),
        (vec!["sees: { x: { hidden: null } }"], "hidden null, ="),
        // Of two masks the one that shows less; where that can not be said, what both show.
        (
            vec!["sees: { x: { masked: { show_last: 4 } } }", "sees: { x: { masked: { show_last: 2 } } }"],
            "show_last 2, =",
        ),
        (vec!["sees: { x: { masked: { show_last: 4 } } }", "sees: { x: { masked: full } }"], "full, ="),
        (vec!["sees: { x: { masked: { show_last: 4 } } }", "sees: { x: { masked: { show_first: 2 } } }"], "full, ="),
        (vec!["sees: { x: { masked: { show_last: 4 } } }", "sees: { x: { masked: hash } }"], "hidden empty, ="),
        (vec!["sees: { x: { masked: { replace: y } } }", "sees: { x: { masked: full } }"], "replace y, ="),
    ] {
        let sees: Vec<String> = sees.into_iter().map(str::to_owned).collect();
        assert_eq!(shown(&decided(&roles_that_see(&sees))), expected, "{sees:?}");
    }
}

#[test]
fn a_decision_names_its_role_and_rule() {
    let policy = policy(
        "version: 1
tags:
  x: { mask: email }
  y: { mask: full }
columns:
  t:
    c: x
    d: y
    e: { tag: y, mask: { show_last: 1 } }
roles:
  clerk:
    users: [sam]
    sees:
      x: clear
  agent:
    users: [sam, tim]
    sees:
      x: masked
",
    );
    let named = |user: &str, column: u32| {
        let decision = policy.decide(&policy.roles_of(&principal(user, &[])), TaggedColumnId(column));
        (decision.role.map(|role| role.to_string()), decision.rule.to_string())
    };
    assert_eq!(named("sam", 0), (Some("agent".into()), "p.yaml:18".into()));
    assert_eq!(named("tim", 0), (Some("agent".into()), "p.yaml:18".into()));
    assert_eq!(named("eve", 0), (None, "p.yaml:3".into()));
    assert_eq!(named("sam", 1), (None, "p.yaml:4".into()));
    assert_eq!(named("eve", 2), (None, "p.yaml:9".into()));
    assert_eq!(policy.column(TaggedColumnId(2)).map(|column| &*column.place), Some("p.yaml:9"));
}

#[test]
fn the_default_may_be_stricter_than_masked() {
    let text = |sees: &str| {
        format!(
            "version: 1\ndefault: {{ sees: {sees}, hidden: null, filter: refuse }}\ntags: {{ x: {{ mask: full }} }}\n\
             columns: {{ t: {{ c: x }} }}\n"
        )
    };
    for (sees, expected) in [("masked", "full, -"), ("hidden", "hidden null, -"), ("denied", "denied, -")] {
        assert_eq!(shown(&decided(&policy(&text(sees)))), expected);
    }
}

#[test]
fn what_is_not_of_the_policy_is_denied() {
    let policy = roles_that_see(&["sees: { x: clear }".to_owned()]);
    for (roles, column) in [(vec![0], 1), (vec![], 7), (vec![0, 1], 0), (vec![u32::MAX], u32::MAX)] {
        assert_eq!(
            policy.decide(&Roles { numbers: roles, masked_only: false }, TaggedColumnId(column)).sight,
            Sight::Denied
        );
    }
    assert_eq!(Policy::empty().decide(&Roles::default(), TaggedColumnId(0)).sight, Sight::Denied);
}

#[test]
fn replication_needs_the_word_of_all_that_speak_of_it() {
    for (sees, allowed) in [
        (vec![], false),
        (vec!["sees: { x: clear }"], false),
        (vec!["replication: true"], true),
        (vec!["replication: true", "sees: { x: clear }"], true),
        (vec!["replication: true", "replication: false"], false),
        (vec!["replication: true, priority: 1", "replication: false"], true),
        (vec!["replication: true", "replication: false, priority: 1"], false),
    ] {
        let policy = roles_that_see(&sees.iter().map(|sees| (*sees).to_owned()).collect::<Vec<_>>());
        assert_eq!(policy.allows_replication(&policy.roles_of(&principal("sam", &[]))), allowed, "{sees:?}");
    }
    assert!(!Policy::empty().allows_replication(&Roles { numbers: vec![0], masked_only: false }));
}

#[test]
fn keys_are_those_of_all_masks() {
    let policy = policy(
        "version: 1
tags:
  x: { mask: hash }
  y: { mask: full }
  unused: { mask: { hash: unused } }
columns:
  t:
    a: x
    b: { tag: y, mask: { pseudonym: columns } }
roles:
  r: { users: sam, sees: { y: { masked: { hash: { key: roles, digits: 8 } } } } }
",
    );
    // `roles` too: the rule covers `b`.
    let keys = policy.keys();
    assert_eq!(keys.iter().map(|key| &**key).collect::<Vec<_>>(), ["columns", "default", "roles"]);
}

#[test]
fn the_fingerprint_is_of_the_texts_alone() {
    let file = |path: &str, text: &str| PolicySource { path: path.into(), text: text.into() };
    let fingerprint = |files: &[PolicySource]| Policy::parse(files).unwrap().fingerprint().to_owned();
    let (a, b) = ("version: 1\ncolumns: {}\n", "version: 1\ntags: { x: { mask: full } }\n");
    let both = fingerprint(&[file("a", a), file("b", b)]);
    assert_eq!(both.len(), 64);
    assert_eq!(fingerprint(&[file("c", b), file("d", a)]), both);
    assert_ne!(fingerprint(&[file("a", a)]), both);
    assert_eq!(Policy::parse(&[]).unwrap().fingerprint(), Policy::empty().fingerprint());
    assert!(Policy::empty().is_empty() && Policy::parse(&[file("a", a)]).unwrap().is_empty());
}

#[test]
fn names_are_exact_and_may_be_quoted() {
    let policy = policy(
        "version: 1
tags: { x: { mask: full } }
columns:
  Customer: { E-Mail: x }
  '\"odd.schema\".\"the table\"': { 'a.b': x }
roles:
  r: { users: sam, sees: { Customer.E-Mail: clear, '\"odd.schema\".\"the table\".\"a.b\"': clear } }
",
    );
    let names: Vec<[&str; 3]> =
        policy.columns().map(|(_, c)| [c.schema.as_str(), c.table.as_str(), c.column.as_str()]).collect();
    assert_eq!(names, [["public", "Customer", "E-Mail"], ["odd.schema", "the table", "a.b"]]);
    let roles = policy.roles_of(&principal("sam", &[]));
    assert!(policy.columns().all(|(id, _)| policy.decide(&roles, id).sight == Sight::Clear));
}

/// Whether a decision gives no more away than another: by level, and between masks by what [`super::strictness`] calls
/// less.
fn shows_no_more(less: &Sight, more: &Sight) -> bool {
    let level = |sight: &Sight| match sight {
        Sight::Clear => 0,
        Sight::Masked(mask) if matches!(**mask, Mask::Replace(_) | Mask::Nullify) => 2,
        Sight::Masked(_) => 1,
        Sight::Hidden(_) => 2,
        Sight::Denied => 3,
    };
    match (less, more) {
        (Sight::Masked(_), Sight::Masked(_)) if level(less) == 1 && level(more) == 1 => {
            let strictest = super::strictness::strictest(&[less, more]);
            strictest == super::strictness::Showing::Of(0) || less == more
        }
        _ => level(less) >= level(more),
    }
}

fn any_sight() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "clear",
        "masked",
        "hidden",
        "denied",
        "{ masked: full }",
        "{ masked: { show_last: 2 } }",
        "{ masked: { show_last: 4 } }",
        "{ masked: { show_first: 3 } }",
        "{ masked: { partial: { prefix: 1, suffix: 3 } } }",
        "{ masked: { partial: { prefix: 2, suffix: 2, pad: '-' } } }",
        "{ masked: hash }",
        "{ masked: { hash: { digits: 32 } } }",
        "{ masked: { hash: { key: other } } }",
        "{ masked: { round: 10 } }",
        "{ masked: { replace: a } }",
        "{ masked: { replace: b }, filter: refuse }",
        "{ masked: nullify }",
        "{ masked: email, filter: search }",
        "{ hidden: null, filter: allow }",
        "{ filter: search }",
    ])
    .prop_map(|sight| format!("sees: {{ x: {sight} }}"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// Taking a right away never shows more: a further rule of the same priority.
    #[test]
    fn a_further_rule_never_loosens(sees in prop::collection::vec(any_sight(), 1..5), more in any_sight(), at in 0usize..5) {
        let before = decided(&roles_that_see(&sees));
        let mut stricter = sees.clone();
        stricter.insert(at.min(sees.len()), more);
        let after = decided(&roles_that_see(&stricter));
        prop_assert!(shows_no_more(&after.sight, &before.sight), "{before:?} -> {after:?}");
        prop_assert!(after.filter <= before.filter);
    }

    /// The same for one rule that becomes stricter, with any priorities.
    #[test]
    fn a_stricter_rule_never_loosens(
        sees in prop::collection::vec((any_sight(), -1i32..2), 1..5),
        at in 0usize..5,
        stricter in prop::sample::select(vec!["hidden", "denied"]),
    ) {
        let written = |sees: &[(String, i32)]| -> Vec<String> {
            sees.iter().map(|(sees, priority)| format!("{sees}, priority: {priority}")).collect()
        };
        let before = decided(&roles_that_see(&written(&sees)));
        let mut changed = sees.clone();
        let at = at % sees.len();
        changed[at].0 = format!("sees: {{ x: {stricter} }}");
        let after = decided(&roles_that_see(&written(&changed)));
        if !(sees[at].0.contains("denied")) {
            prop_assert!(shows_no_more(&after.sight, &before.sight), "{before:?} -> {after:?}");
        }
    }

    /// The order in which roles are written does not matter for what is shown.
    #[test]
    fn order_does_not_matter(sees in prop::collection::vec(any_sight(), 1..5), turn in 0usize..5) {
        let before = decided(&roles_that_see(&sees));
        let mut turned = sees.clone();
        turned.rotate_left(turn % sees.len());
        let after = decided(&roles_that_see(&turned));
        prop_assert_eq!((before.sight, before.filter), (after.sight, after.filter));
    }

    /// Any text is a policy or has diagnostics with a place in it; nothing panics.
    #[test]
    fn reading_is_total(text in "(version: 1\n)?(tags|columns|roles|default|[ \\-:{}\\[\\],&*!'\"#\n\t|>a-c0-9é])*") {
        if let Err(found) = Policy::parse(&[PolicySource { path: "p".into(), text: text.clone() }]) {
            prop_assert!(!found.is_empty());
            for diagnostic in found {
                prop_assert!(diagnostic.line >= 1 && diagnostic.line <= text.lines().count() + 1);
                prop_assert!(!diagnostic.to_string().is_empty());
            }
        }
    }

    /// So with a broken sample policy: any few bytes of it replaced.
    #[test]
    fn a_damaged_policy_is_read_or_refused(at in 0usize..4000, cut in 0usize..30, put in "[a-z:{}\\[\\]\n \"'*&]{0,6}") {
        let text = include_str!("../../policies/shop.yaml");
        let start = (0..=at.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap();
        let end = (start + cut).min(text.len());
        let end = (end..=text.len()).find(|&at| text.is_char_boundary(at)).unwrap();
        let damaged = format!("{}{put}{}", &text[..start], &text[end..]);
        match Policy::parse(&[PolicySource { path: "p".into(), text: damaged }]) {
            Ok(policy) => {
                for (id, _) in policy.columns() {
                    policy.decide(&policy.roles_of(&principal("sam", &["support"])), id);
                }
            }
            Err(found) => prop_assert!(found.iter().all(|diagnostic| !diagnostic.render(true).is_empty())),
        }
    }
}

#[test]
fn a_large_policy_is_read_whole() {
    let mut text = "version: 1\ntags:\n  x: { mask: full }\ncolumns:\n".to_owned();
    for table in 0..250 {
        writeln!(text, "  t{table}:").unwrap();
        for column in 0..20 {
            writeln!(text, "    c{column}: x").unwrap();
        }
    }
    text.push_str("roles:\n");
    for role in 0..40 {
        writeln!(text, "  r{role}: {{ users: u{role}, sees: {{ x: masked, t{role}.c1: clear }} }}").unwrap();
    }
    let policy = policy(&text);
    assert_eq!((policy.columns().count(), policy.role_names().count()), (5_000, 40));
    let roles = policy.roles_of(&principal("u7", &[]));
    let clear = policy.columns().filter(|(id, _)| policy.decide(&roles, *id).sight == Sight::Clear);
    assert_eq!(clear.map(|(_, column)| column.table.to_string()).collect::<Vec<_>>(), ["t7"]);
}
