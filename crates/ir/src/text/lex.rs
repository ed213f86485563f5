//! Text to tokens.

use super::{ParseError, ParseErrorKind};

/// A token and where it starts.
#[derive(Clone, Debug)]
pub(super) struct Token<'t> {
    pub(super) kind: Kind<'t>,
    pub(super) line: usize,
    pub(super) column: usize,
}

/// Kinds of token.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind<'t> {
    Word(&'t str),
    /// Decimal digits.
    Int(&'t str),
    /// Digits with a point or an exponent.
    Float(&'t str),
    /// The digits after `0x`.
    Hex(&'t str),
    /// A string with its escapes resolved.
    Str(String),
    /// The name after `%`.
    Value(&'t str),
    /// The name after `@`.
    Region(&'t str),
    /// One of `( ) [ ] { } , : = + - * // ->`.
    Mark(&'static str),
    End,
}

impl Kind<'_> {
    /// How the token is named in messages.
    pub(super) fn describe(&self) -> String {
        /// Enough of a long token to recognise it.
        fn short(text: &str) -> String {
            match text.char_indices().nth(24) {
                Some((end, _)) => format!("{}…", &text[..end]),
                None => text.to_owned(),
            }
        }
        match self {
            Kind::Word(w) | Kind::Int(w) | Kind::Float(w) => format!("`{}`", short(w)),
            Kind::Hex(w) => format!("`0x{}`", short(w)),
            Kind::Str(s) => format!("the string {:?}", short(s)),
            Kind::Value(v) => format!("`%{}`", short(v)),
            Kind::Region(r) => format!("`@{}`", short(r)),
            Kind::Mark(m) => format!("`{m}`"),
            Kind::End => "the end of the text".to_owned(),
        }
    }
}

/// Longer marks before their prefixes.
const MARKS: [&str; 13] = ["->", "//", "(", ")", "[", "]", "{", "}", ",", ":", "=", "+", "*"];

/// Every token of the text, the last one being [`Kind::End`].
pub(super) fn tokens(text: &str) -> Result<Vec<Token<'_>>, ParseError> {
    let mut lexer = Lexer { rest: text, line: 1, column: 1 };
    let mut out = Vec::new();
    loop {
        lexer.skip_blank();
        let (line, column) = (lexer.line, lexer.column);
        let kind = lexer.token()?;
        let done = kind == Kind::End;
        out.push(Token { kind, line, column });
        if done {
            return Ok(out);
        }
    }
}

struct Lexer<'t> {
    rest: &'t str,
    line: usize,
    column: usize,
}

impl<'t> Lexer<'t> {
    fn skip_blank(&mut self) {
        loop {
            self.take_while(char::is_whitespace);
            if !self.rest.starts_with('#') {
                return;
            }
            self.take_while(|c| c != '\n');
        }
    }

    fn token(&mut self) -> Result<Kind<'t>, ParseError> {
        let Some(first) = self.rest.chars().next() else { return Ok(Kind::End) };
        if first.is_ascii_digit() {
            return Ok(self.number());
        }
        if is_word(first) {
            return Ok(Kind::Word(self.take_while(is_word)));
        }
        match first {
            '%' | '@' => {
                self.advance(1);
                let name = self.take_while(is_word);
                match (first, name) {
                    (_, "") => Err(self.error(format!("a name must follow `{first}`"))),
                    ('%', name) => Ok(Kind::Value(name)),
                    (_, name) => Ok(Kind::Region(name)),
                }
            }
            '"' => self.string(),
            _ => match MARKS.into_iter().chain(["-"]).find(|m| self.rest.starts_with(m)) {
                Some(mark) => {
                    self.advance(mark.len());
                    Ok(Kind::Mark(mark))
                }
                None => Err(self.error(format!("{first:?} starts nothing"))),
            },
        }
    }

    fn number(&mut self) -> Kind<'t> {
        if let Some(digits) = self.rest.strip_prefix("0x") {
            let end = digits.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(digits.len());
            self.advance(2 + end);
            return Kind::Hex(&digits[..end]);
        }
        let bytes = self.rest.as_bytes();
        let digits = |from: usize| from + bytes[from..].iter().take_while(|b| b.is_ascii_digit()).count();
        let mut end = digits(0);
        let whole = end;
        if bytes.get(end) == Some(&b'.') {
            end = digits(end + 1);
        }
        if let Some(b'e' | b'E') = bytes.get(end) {
            let signed = end + 1 + usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
            if bytes.get(signed).is_some_and(u8::is_ascii_digit) {
                end = digits(signed);
            }
        }
        let text = &self.rest[..end];
        self.advance(end);
        if end == whole { Kind::Int(text) } else { Kind::Float(text) }
    }

    fn string(&mut self) -> Result<Kind<'t>, ParseError> {
        let mut out = String::new();
        let mut chars = self.rest.char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    self.advance(at + 1);
                    return Ok(Kind::Str(out));
                }
                '\n' => break,
                '\\' => match chars.next().map(|(_, c)| c) {
                    Some('n') => out.push('\n'),
                    Some(c @ ('"' | '\\')) => out.push(c),
                    Some('u') => {
                        let braced = |(_, c): &(usize, char)| *c != '}';
                        let digits: String = chars.by_ref().take_while(braced).map(|(_, c)| c).collect();
                        let code = digits.strip_prefix('{').and_then(|d| u32::from_str_radix(d, 16).ok());
                        match code.and_then(char::from_u32) {
                            Some(c) => out.push(c),
                            None => return Err(self.error("`\\u` must be followed by `{hex}`".to_owned())),
                        }
                    }
                    _ => return Err(self.error("unknown escape in a string".to_owned())),
                },
                c => out.push(c),
            }
        }
        Err(self.error("the string does not end on its line".to_owned()))
    }

    fn take_while(&mut self, keep: impl Fn(char) -> bool) -> &'t str {
        let end = self.rest.find(|c| !keep(c)).unwrap_or(self.rest.len());
        let text = &self.rest[..end];
        self.advance(end);
        text
    }

    fn advance(&mut self, bytes: usize) {
        let (passed, rest) = self.rest.split_at(bytes);
        match passed.rfind('\n') {
            Some(last) => {
                self.line += passed.bytes().filter(|b| *b == b'\n').count();
                self.column = 1 + passed[last + 1..].chars().count();
            }
            None => self.column += passed.chars().count(),
        }
        self.rest = rest;
    }

    fn error(&self, message: String) -> ParseError {
        ParseError { line: self.line, column: self.column, kind: ParseErrorKind::Lexical(message) }
    }
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}
