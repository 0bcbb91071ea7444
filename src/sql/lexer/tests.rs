use super::*;
use proptest::prelude::*;

/// Tokens as text: words folded, strings as their value in `<>`, the rest as written.
fn shown(text: &str) -> Result<Vec<String>, NotUnderstood> {
    Lexer::new(text)
        .map(|token| {
            let token = token?;
            Ok(match token.kind {
                TokenKind::Word(_) => token.name().unwrap().as_str().to_owned(),
                TokenKind::Quoted(_) => format!("\"{}\"", token.name().unwrap()),
                TokenKind::Text(literal) => format!("<{}>", literal.value()?),
                TokenKind::Number(_) | TokenKind::Parameter(_) | TokenKind::Operator(_) | TokenKind::Mark(_) => {
                    text[token.start..token.end].to_owned()
                }
            })
        })
        .collect()
}

#[track_caller]
fn check(rows: &[(&str, &[&str])]) {
    for (text, expected) in rows {
        assert_eq!(
            shown(text).as_deref(),
            Ok(expected.iter().map(|&t| t.to_owned()).collect::<Vec<_>>().as_slice()),
            "{text}"
        );
    }
}

#[test]
fn identifiers_fold_unquoted_and_keep_quoted() {
    check(&[
        ("Foo _b$1 ünI", &["foo", "_b$1", "üni"]),
        ("a\u{a0}b", &["a\u{a0}b"]),
        (r#""A b" "a""b""#, &["\"A b\"", "\"a\"b\""]),
        (r#"U&"\0073sn" u&"d!0061t!+000061" UESCAPE '!'"#, &["\"ssn\"", "\"data\""]),
        (r#"U&"a\\b" U & "x" u&y"#, &["\"a\\b\"", "u", "&", "\"x\"", "u", "&", "y"]),
        (r#"U&"\D83D\DE00""#, &["\"😀\""]),
    ]);
    check(&[("ONLY only", &["only", "only"])]);
}

#[test]
fn strings_of_every_style_are_read() {
    check(&[
        ("'a''b' ''", &["<a'b>", "<>"]),
        (r"'x\' y", &[r"<x\>", "y"]),
        (r"E'x\' y\n\x41\101\u00e9\U0001F600' e'\\'", &["<x' y\nAAé😀>", r"<\>"]),
        (r"E'\xc3\xa9'", &["<é>"]),
        (r"U&'d\0061t' U&'!0061' uescape '!'", &["<dat>", "<a>"]),
        ("N'x' b'01' X'1f' B '1'", &["<x>", "<01>", "<1f>", "b", "<1>"]),
        ("$$a'b$$ $t$x$$y$ t$t$", &["<a'b>", "<x$$y$ t>"]),
        ("$a$x$b$a$", &["<x$b>"]),
        ("a$$b", &["a$$b"]),
        ("$1$$x$$", &["$1", "<x>"]),
    ]);
}

#[test]
fn strings_go_on_after_a_line_end() {
    check(&[
        ("'a'\n'b'", &["<ab>"]),
        ("'a' 'b'", &["<a>", "<b>"]),
        ("'a' -- it's\n  'b'", &["<ab>"]),
        ("'a' /* x */\n 'b'", &["<a>", "<b>"]),
        ("E'a'\n'\\n'", &["<a\n>"]),
        ("'a'\r'b' \t\n\n'c'", &["<abc>"]),
        ("$$a$$\n'b'", &["<a>", "<b>"]),
    ]);
}

#[test]
fn numbers_and_parameters_are_read() {
    check(&[
        ("1 1.5 .5 1. 1e10 1.5E-3 1_000 0x1F", &["1", "1.5", ".5", "1.", "1e10", "1.5E-3", "1_000", "0x1F"]),
        ("1..10", &["1", "..", "10"]),
        ("$1 $22", &["$1", "$22"]),
        ("1FROM 1e 1.5e+ $1x 0xyz", &["1", "from", "1", "e", "1.5", "e", "+", "$1", "x", "0", "xyz"]),
        ("a.b.1", &["a", ".", "b", ".1"]),
    ]);
}

#[test]
fn operators_are_cut_as_scan_l_cuts_them() {
    check(&[
        ("a<-1", &["a", "<", "-", "1"]),
        ("a@-1", &["a", "@-", "1"]),
        ("a+-1 --x", &["a", "+", "-", "1"]),
        ("a*-- c\nb", &["a", "*", "b"]),
        ("a=/* c */b", &["a", "=", "b"]),
        ("a->>b #>> c::d := e => f <> !=", &["a", "->>", "b", "#>>", "c", "::", "d", ":=", "e", "=>", "f", "<>", "!="]),
        ("a - - -1", &["a", "-", "-", "-", "1"]),
        ("!~~* |/ ||/", &["!~~*", "|/", "||/"]),
    ]);
}

#[test]
fn comments_nest_and_end_at_line_ends() {
    check(&[
        ("a /* b /* c */ d */ e", &["a", "e"]),
        ("a -- b\rc", &["a", "c"]),
        ("a /*/ b */ c", &["a", "c"]),
        ("a /****/ b", &["a", "b"]),
    ]);
    assert_eq!(shown("a /* /* */"), Err(NotUnderstood::Lexical));
}

#[test]
fn what_postgresql_rejects_is_not_understood() {
    for text in [
        "'open",
        "\"open",
        "\"\"",
        "$$open",
        "$t$open$u$",
        "E'x\\'",
        "U&\"\\00\"",
        "\\",
        "{",
        "$x",
        "U&\"a\" UESCAPE 'ab'",
        "U&\"a\" UESCAPE x",
        "U&'\\D83D'",
        "E'\\u12'",
        "U&\"x\" UESCAPE '+'",
    ] {
        assert_eq!(shown(text), Err(NotUnderstood::Lexical), "{text}");
    }
    assert_eq!(shown("a\0"), Err(NotUnderstood::Encoding));
    assert_eq!(shown("E'\\xff'"), Err(NotUnderstood::Encoding));
}

#[test]
fn rows_of_unicode_strings_do_not_recurse() {
    assert_eq!(shown(&"U&'' ".repeat(200_000)).map(|tokens| tokens.len()), Ok(200_000));
}

#[test]
fn debug_output_does_not_show_strings() {
    let tokens = Lexer::tokens("select 'secret', E'secret', $$secret$$", 100).unwrap();
    assert!(!format!("{tokens:?}").contains("secret"));
}

proptest! {
    #[test]
    fn no_text_panics(text in any::<String>()) {
        let _ = shown(&text);
    }

    #[test]
    fn tokens_cover_the_text_in_order(text in r#"[a-zU&'"$ \\\n./*+:;0-9é-]{0,40}"#) {
        let mut at = 0;
        for token in Lexer::new(&text).map_while(Result::ok) {
            prop_assert!(token.start >= at && token.end > token.start);
            prop_assert!(text.get(token.start..token.end).is_some());
            at = token.end;
        }
    }
}
