//! Walks through the tokens of a statement.

use super::token::{Kind, Token};

/// A name with the names in front of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Qualified {
    /// `a.b` as `["a", "b"]`; never empty.
    pub(super) parts: Vec<String>,
    pub(super) at: usize,
}

impl Qualified {
    pub(super) fn name(&self) -> &str {
        self.parts.last().map_or("", String::as_str)
    }

    pub(super) fn schema(&self) -> Option<&str> {
        let schema = self.parts.len().checked_sub(2)?;
        Some(&self.parts[schema])
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a, 't> {
    pub(super) tokens: &'a [Token<'t>],
}

impl<'a, 't> Cursor<'a, 't> {
    pub(super) fn new(tokens: &'a [Token<'t>]) -> Self {
        Self { tokens }
    }

    pub(super) fn peek(&self) -> Option<&'a Token<'t>> {
        self.tokens.first()
    }

    pub(super) fn next(&mut self) -> Option<&'a Token<'t>> {
        let (first, rest) = self.tokens.split_first()?;
        self.tokens = rest;
        Some(first)
    }

    /// Passes over a word, if it comes next.
    pub(super) fn eat(&mut self, word: &str) -> bool {
        self.eat_if(|token| token.is(word))
    }

    pub(super) fn eat_any(&mut self, words: &[&str]) -> bool {
        self.eat_if(|token| token.is_any(words))
    }

    pub(super) fn eat_symbol(&mut self, symbol: &str) -> bool {
        self.eat_if(|token| token.is_symbol(symbol))
    }

    fn eat_if(&mut self, wanted: impl Fn(&Token<'t>) -> bool) -> bool {
        let eats = self.peek().is_some_and(wanted);
        if eats {
            self.next();
        }
        eats
    }

    /// Passes over these words, if they all come next.
    pub(super) fn eat_all(&mut self, words: &[&str]) -> bool {
        let all = self.starts(words);
        if all {
            self.tokens = &self.tokens[words.len()..];
        }
        all
    }

    pub(super) fn starts(&self, words: &[&str]) -> bool {
        self.tokens.len() >= words.len()
            && words
                .iter()
                .zip(self.tokens)
                .all(|(word, token)| token.is(word))
    }

    pub(super) fn eat_if_exists(&mut self) {
        let _ = self.eat_all(&["if", "exists"]) || self.eat_all(&["if", "not", "exists"]);
    }

    /// Passes over `( … )`, if it comes next; gives what is inside.
    pub(super) fn parentheses(&mut self) -> Option<&'a [Token<'t>]> {
        if !self.peek()?.is_symbol("(") {
            return None;
        }
        let tokens = self.tokens;
        let mut depth = 0_usize;
        for (at, token) in tokens.iter().enumerate() {
            if token.is_symbol("(") {
                depth += 1;
            } else if token.is_symbol(")") {
                depth -= 1;
                if depth == 0 {
                    self.tokens = &tokens[at + 1..];
                    return Some(&tokens[1..at]);
                }
            }
        }
        self.tokens = &[];
        Some(&tokens[1..])
    }

    /// Passes over a name, if it comes next.
    pub(super) fn qualified(&mut self) -> Option<Qualified> {
        let first = self.peek()?;
        let mut parts = vec![first.name()?.into_owned()];
        let at = first.at;
        self.next();
        while let [dot, part, ..] = self.tokens
            && dot.is_symbol(".")
            && let Some(part) = part.name()
        {
            parts.push(part.into_owned());
            self.tokens = &self.tokens[2..];
        }
        // An operator may be qualified, too.
        let operator = |token: &&Token<'_>| {
            token.kind == Kind::Symbol && "+-*/<>=~!@#%^&|`?".contains(token.text)
        };
        if let [dot, rest @ ..] = self.tokens
            && dot.is_symbol(".")
        {
            let symbols = rest.iter().take_while(operator).map(|token| token.text);
            let symbols: String = symbols.collect();
            if !symbols.is_empty() {
                self.tokens = &rest[symbols.len()..];
                parts.push(symbols);
            }
        }
        Some(Qualified { parts, at })
    }

    /// Goes on to right behind this word, outside of parentheses.
    pub(super) fn skip_past(&mut self, word: &str) -> bool {
        while let Some(token) = self.peek() {
            if token.is_symbol("(") {
                self.parentheses();
                continue;
            }
            self.next();
            if token.is(word) {
                return true;
            }
        }
        false
    }

    /// What is parted by commas, outside of parentheses.
    pub(super) fn split_commas(self) -> Vec<Cursor<'a, 't>> {
        let (mut parts, mut begin, mut depth) = (Vec::new(), 0, 0_usize);
        for (at, token) in self.tokens.iter().enumerate() {
            if token.is_symbol("(") || token.is_symbol("[") {
                depth += 1;
            } else if token.is_symbol(")") || token.is_symbol("]") {
                depth = depth.saturating_sub(1);
            } else if token.is_symbol(",") && depth == 0 {
                parts.push(Self::new(&self.tokens[begin..at]));
                begin = at + 1;
            }
        }
        parts.push(Self::new(&self.tokens[begin..]));
        parts
    }

    /// Whether these words stand side by side somewhere.
    pub(super) fn has(&self, words: &[&str]) -> bool {
        (0..self.tokens.len()).any(|at| Self::new(&self.tokens[at..]).starts(words))
    }
}
