//! The statements of a migration, and what comments allow in them.

use super::token::{Kind, Lexer, Token};

/// What a comment begins with that silences rules.
const MARK: &str = "boardinghouse:";

/// A statement, without comments and without its semicolon.
#[derive(Clone, Debug)]
pub(super) struct Statement<'t> {
    pub(super) tokens: Vec<Token<'t>>,
}

impl<'t> Statement<'t> {
    /// Where it begins.
    pub(super) fn at(&self) -> usize {
        self.tokens.first().map_or(0, |token| token.at)
    }

    /// Whether it begins with these words.
    pub(super) fn starts(&self, words: &[&str]) -> bool {
        let tokens = self.tokens.iter();
        words.len() <= self.tokens.len() && tokens.zip(words).all(|(token, word)| token.is(word))
    }
}

/// A rule that a comment silences.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Allow {
    pub(super) rule: String,
    /// Where the rule stands.
    pub(super) at: usize,
    pub(super) scope: Scope,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    File,
    /// The statement of this number.
    Statement(usize),
    /// It stands where no statement is.
    Nothing,
}

/// A text in statements.
#[derive(Debug)]
pub(super) struct Script<'t> {
    pub(super) statements: Vec<Statement<'t>>,
    pub(super) allows: Vec<Allow>,
    /// What no server takes: where it is, and what is wrong.
    pub(super) faults: Vec<(usize, &'static str)>,
}

/// The lines of a statement, or of a comment.
#[derive(Clone, Copy, Debug)]
struct Lines {
    first: usize,
    last: usize,
}

impl<'t> Script<'t> {
    pub(super) fn read(text: &'t str) -> Self {
        let mut reader = Reader {
            lines: line_starts(text),
            ..Reader::default()
        };
        let bom = text.len() - text.trim_start_matches('\u{feff}').len();
        if bom > 0 {
            let fault = "a byte order mark, which the server takes for part of the first word";
            reader.faults.push((0, fault));
        }
        let mut lexer = Lexer::new(&text[bom..]);
        while let Some(mut token) = lexer.next() {
            token.at += bom;
            reader.take(token, &mut lexer);
        }
        reader.finish(text)
    }
}

#[derive(Debug, Default)]
struct Reader<'t> {
    lines: Vec<usize>,
    current: Vec<Token<'t>>,
    statements: Vec<Statement<'t>>,
    /// The lines of each statement, its semicolon included.
    spans: Vec<Lines>,
    comments: Vec<Token<'t>>,
    faults: Vec<(usize, &'static str)>,
    /// Parentheses that are open, and where the first one is.
    depth: usize,
    opened: usize,
    /// `BEGIN ATOMIC … END`, with what nests in it.
    atomic: usize,
}

impl<'t> Reader<'t> {
    fn take(&mut self, token: Token<'t>, lexer: &mut Lexer<'t>) {
        if !token.closed {
            let fault = match token.kind {
                Kind::Comment => "a comment that is not closed",
                Kind::Quoted => "a quoted name that is not closed",
                _ => "a string that is not closed",
            };
            self.faults.push((token.at, fault));
        }
        match token.kind {
            Kind::Comment => return self.comments.push(token),
            Kind::Command => {
                let fault = "a command of psql, which the server does not know";
                return self.faults.push((token.at, fault));
            }
            _ => {}
        }
        if token.is_symbol(";") && self.depth == 0 && self.atomic == 0 {
            let last = self.line(token.at);
            if self.end(last) {
                let fault = "rows of COPY … FROM STDIN, which only psql sends";
                self.faults.push((token.at, fault));
                lexer.skip_rows();
            }
            return;
        }
        if token.is_symbol("(") {
            if self.depth == 0 {
                self.opened = token.at;
            }
            self.depth += 1;
        } else if token.is_symbol(")") {
            self.depth = self.depth.saturating_sub(1);
        } else if self.atomic > 0 {
            if token.is_any(&["begin", "case"]) {
                self.atomic += 1;
            } else if token.is("end") {
                self.atomic -= 1;
            }
        } else if token.is("atomic") && self.current.last().is_some_and(|last| last.is("begin")) {
            let routine = |token: &Token<'_>| token.is_any(&["function", "procedure"]);
            if self.current.first().is_some_and(|first| first.is("create"))
                && self.current.iter().take(4).any(routine)
            {
                self.atomic = 1;
            }
        }
        self.current.push(token);
    }

    /// Ends the statement; says whether rows follow it that are no SQL.
    fn end(&mut self, last: usize) -> bool {
        let tokens = std::mem::take(&mut self.current);
        (self.depth, self.atomic) = (0, 0);
        let Some(first) = tokens.first() else {
            return false;
        };
        let rows = first.is("copy")
            && tokens
                .windows(2)
                .any(|pair| pair[0].is("from") && pair[1].is("stdin"));
        self.spans.push(Lines {
            first: self.line(first.at),
            last,
        });
        self.statements.push(Statement { tokens });
        rows
    }

    fn finish(mut self, text: &'t str) -> Script<'t> {
        if self.depth > 0 {
            self.faults
                .push((self.opened, "a parenthesis that is not closed"));
        }
        if let Some(last) = self.current.last() {
            let last = self.line(last.at + last.text.len());
            if self.end(last) {
                self.faults
                    .push((text.len(), "COPY … FROM STDIN, whose rows only psql sends"));
            }
        }
        let allows = self.allows(text);
        Script {
            statements: self.statements,
            allows,
            faults: self.faults,
        }
    }

    fn line(&self, at: usize) -> usize {
        self.lines.partition_point(|&start| start <= at)
    }

    fn allows(&self, text: &str) -> Vec<Allow> {
        let mut found = Vec::new();
        for comment in &self.comments {
            for (rule, at) in rules(comment) {
                let scope = self.scope(comment, text);
                found.push(Allow { rule, at, scope });
            }
        }
        found
    }

    /// The statement that a comment is in, or behind on the same line, or right above.
    fn scope(&self, comment: &Token<'_>, text: &str) -> Scope {
        let begun = self.statements.partition_point(|one| one.at() < comment.at);
        let line = self.line(comment.at);
        if let Some(before) = begun.checked_sub(1)
            && line <= self.spans[before].last
        {
            return Scope::Statement(before);
        }
        if let Some(next) = self.spans.get(begun) {
            let last = self.line(comment.at + comment.text.len());
            let lines = self.lines.get(last..next.first.saturating_sub(1).max(last));
            let mut lines = lines.unwrap_or_default().iter();
            // What stands between is comments: no statement does.
            let blank = |&start: &usize| {
                let line = text[start..].lines().next().unwrap_or_default();
                line.trim().is_empty()
            };
            if !lines.any(blank) {
                return Scope::Statement(begun);
            }
        }
        match begun {
            0 => Scope::File,
            _ => Scope::Nothing,
        }
    }
}

/// The rules that a comment names, and where.
fn rules(comment: &Token<'_>) -> Vec<(String, usize)> {
    let text = comment.text.strip_suffix("*/").unwrap_or(comment.text);
    let said = text.trim_start_matches(['-', '/', '*', ' ', '\t']);
    let rest = said.strip_prefix(MARK).map(str::trim_start);
    let Some(list) = rest.and_then(|rest| rest.strip_prefix("allow")) else {
        return Vec::new();
    };
    let begin = comment.at + text.len() - list.len();
    let mut at = begin;
    let mut found = Vec::new();
    for rule in list.split(',') {
        // A reason may follow the rule.
        let rule_at = at + rule.len() - rule.trim_start().len();
        let word = rule.split_whitespace().next().unwrap_or_default();
        found.push((word.to_owned(), rule_at));
        at += rule.len() + 1;
    }
    found
}

/// Where each line begins.
fn line_starts(text: &str) -> Vec<usize> {
    let feeds = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
    std::iter::once(0)
        .chain(feeds.map(|(at, _)| at + 1))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{Scope, Script};

    fn statements(text: &str) -> Vec<String> {
        let script = Script::read(text);
        let joined = script.statements.iter().map(|statement| {
            let words = statement.tokens.iter().map(|token| token.text);
            words.collect::<Vec<_>>().join(" ")
        });
        joined.collect()
    }

    #[test]
    fn statements_end_at_semicolons_that_are_not_inside_of_something() {
        for (text, expected) in [
            ("", &[][..]),
            (" ; -- a;\n ;", &[]),
            ("a; b", &["a", "b"]),
            ("a ';' b; $$;$$", &["a ';' b", "$$;$$"]),
            (
                "CREATE RULE r AS ON INSERT TO t DO (a; b); c",
                &["CREATE RULE r AS ON INSERT TO t DO ( a ; b )", "c"],
            ),
            (
                "CREATE OR REPLACE FUNCTION f() RETURNS int BEGIN ATOMIC a; \
                 SELECT CASE WHEN x THEN 1 END; END; c",
                &[
                    "CREATE OR REPLACE FUNCTION f ( ) RETURNS int BEGIN ATOMIC a ; \
                     SELECT CASE WHEN x THEN 1 END ; END",
                    "c",
                ],
            ),
            ("BEGIN ATOMIC; c", &["BEGIN ATOMIC", "c"]),
            ("\\i other.sql\nSELECT 1;", &["SELECT 1"]),
            (
                "COPY a FROM STDIN;\n1\t'x;\n\\.\nb;",
                &["COPY a FROM STDIN", "b"],
            ),
            ("\u{feff}CREATE", &["CREATE"]),
        ] {
            assert_eq!(statements(text), expected, "{text}");
        }
    }

    #[test]
    fn what_no_server_takes_is_a_fault() {
        for (text, at) in [
            ("SELECT 1;\n\\connect x", 10),
            ("SELECT 'a", 7),
            ("SELECT $$a", 7),
            ("SELECT 1 /* a", 9),
            ("CREATE \"a", 7),
            ("CREATE TABLE a (b int; SELECT (1)", 15),
            ("\u{feff}SELECT 1", 0),
            ("COPY a FROM stdin;\n1\n\\.\n", 17),
        ] {
            let faults = Script::read(text).faults;
            assert_eq!(faults.len(), 1, "{text} {faults:?}");
            assert_eq!(faults[0].0, at, "{text}");
        }
        assert!(Script::read("SELECT ('a'), \"b\"; -- c").faults.is_empty());
    }

    #[test]
    fn a_comment_allows_for_its_statement_or_at_the_head_for_the_file() {
        let first = Scope::Statement(0);
        let second = Scope::Statement(1);
        for (text, expected) in [
            ("-- boardinghouse: allow x\nA;\nB;", &[("x", first)][..]),
            (
                "-- boardinghouse: allow x, y-z\n-- because\nA;",
                &[("x", first), ("y-z", first)],
            ),
            ("-- boardinghouse: allow x\n\nA;", &[("x", Scope::File)]),
            ("--boardinghouse:allow x\n", &[("x", Scope::File)]),
            ("/* boardinghouse: allow x */ A", &[("x", first)]),
            ("A\n, -- boardinghouse: allow x\nb;", &[("x", first)]),
            (
                "A; B; -- boardinghouse: allow x (a reason)\nC",
                &[("x", second)],
            ),
            ("A;\n-- boardinghouse: allow x\nB", &[("x", second)]),
            (
                "A;\n-- boardinghouse: allow x\n \nB",
                &[("x", Scope::Nothing)],
            ),
            ("A;\n-- boardinghouse: allow x\n", &[("x", Scope::Nothing)]),
            ("A '-- boardinghouse: allow x'", &[]),
            ("-- see boardinghouse: allow x\nA", &[]),
            ("-- boardinghouse: allow\nA", &[("", first)]),
        ] {
            let allows = Script::read(text).allows;
            let found: Vec<_> = allows.iter().map(|a| (a.rule.as_str(), a.scope)).collect();
            assert_eq!(found, expected, "{text}");
            for allow in &allows {
                assert!(
                    text[allow.at..].starts_with(&allow.rule),
                    "{text} {allow:?}"
                );
            }
        }
    }
}
