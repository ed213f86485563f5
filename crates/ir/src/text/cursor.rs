//! Tokens read one by one, and the small pieces of the grammar: sizes, types, tensors.

use super::lex::{self, Kind, Token};
use super::{ParseError, ParseErrorKind, tensor};
use crate::{DType, Dim, HostTensor, Shape, TensorType};

/// Floor divisions inside floor divisions.
const MAX_DIM_DEPTH: usize = 32;
/// Terms of a size expression once it is multiplied out.
const MAX_DIM_TERMS: usize = 256;

pub(super) struct Cursor<'t> {
    tokens: Vec<Token<'t>>,
    at: usize,
}

impl<'t> Cursor<'t> {
    pub(super) fn new(text: &'t str) -> Result<Self, ParseError> {
        Ok(Cursor { tokens: lex::tokens(text)?, at: 0 })
    }

    /// The position, for errors found later.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    pub(super) fn peek(&self) -> &Kind<'t> {
        &self.tokens[self.at].kind
    }

    fn peek_second(&self) -> &Kind<'t> {
        &self.tokens[(self.at + 1).min(self.tokens.len() - 1)].kind
    }

    /// True if the current token is on the line of the one before.
    pub(super) fn is_on_last_line(&self) -> bool {
        self.at > 0 && self.tokens[self.at - 1].line == self.tokens[self.at].line
    }

    /// Goes past the current token; stays at the end.
    pub(super) fn next(&mut self) -> Kind<'t> {
        let kind = self.peek().clone();
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        kind
    }

    pub(super) fn error_at(&self, position: usize, kind: impl Into<ParseErrorKind>) -> ParseError {
        let Token { line, column, .. } = self.tokens[position];
        ParseError { line, column, kind: kind.into() }
    }

    pub(super) fn error(&self, kind: impl Into<ParseErrorKind>) -> ParseError {
        self.error_at(self.at, kind)
    }

    pub(super) fn expected(&self, what: &str) -> ParseError {
        self.error(ParseErrorKind::Expected { expected: what.to_owned(), found: self.peek().describe() })
    }

    pub(super) fn is_mark(&self, mark: &str) -> bool {
        matches!(self.peek(), Kind::Mark(m) if *m == mark)
    }

    pub(super) fn is_word(&self, word: &str) -> bool {
        matches!(self.peek(), Kind::Word(w) if *w == word)
    }

    /// Goes past `mark` if it stands here.
    pub(super) fn eat(&mut self, mark: &str) -> bool {
        let found = self.is_mark(mark);
        if found {
            self.next();
        }
        found
    }

    /// Goes past `word` if it stands here.
    pub(super) fn eat_word(&mut self, word: &str) -> bool {
        let found = self.is_word(word);
        if found {
            self.next();
        }
        found
    }

    pub(super) fn mark(&mut self, mark: &str) -> Result<(), ParseError> {
        if self.eat(mark) { Ok(()) } else { Err(self.expected(&format!("`{mark}`"))) }
    }

    pub(super) fn word(&mut self, what: &str) -> Result<&'t str, ParseError> {
        let Kind::Word(word) = *self.peek() else { return Err(self.expected(what)) };
        self.next();
        Ok(word)
    }

    pub(super) fn string(&mut self, what: &str) -> Result<String, ParseError> {
        match self.peek() {
            Kind::Str(_) => match self.next() {
                Kind::Str(text) => Ok(text),
                _ => Err(self.expected(what)),
            },
            _ => Err(self.expected(what)),
        }
    }

    /// Items between here and the mark `close`, with commas between them.
    pub(super) fn list<T>(
        &mut self,
        close: &str,
        mut item: impl FnMut(&mut Self) -> Result<T, ParseError>,
    ) -> Result<Vec<T>, ParseError> {
        let mut out = Vec::new();
        if self.eat(close) {
            return Ok(out);
        }
        loop {
            out.push(item(self)?);
            if self.eat(close) {
                return Ok(out);
            }
            if !self.eat(",") {
                return Err(self.expected(&format!("`,` or `{close}`")));
            }
        }
    }

    /// True if a tensor literal or a type stands here.
    pub(super) fn at_type(&self) -> bool {
        matches!(self.peek(), Kind::Word(w) if w.parse::<DType>().is_ok())
            && *self.peek_second() == Kind::Mark("[")
    }

    /// True if a minus and a float stand here.
    pub(super) fn at_negative_float(&self) -> bool {
        self.is_mark("-") && matches!(self.peek_second(), Kind::Float(_))
    }

    /// True if a lone word stands here.
    pub(super) fn at_lone_word(&self) -> bool {
        matches!(self.peek(), Kind::Word(_)) && matches!(self.peek_second(), Kind::Mark("," | "]"))
    }

    pub(super) fn ty(&mut self) -> Result<TensorType, ParseError> {
        let dtype = match self.peek() {
            Kind::Word(w) => w.parse::<DType>().ok(),
            _ => None,
        };
        let Some(dtype) = dtype else { return Err(self.expected("a type such as `f32[B, 4]`")) };
        self.next();
        self.mark("[")?;
        Ok(TensorType { dtype, shape: self.shape()? })
    }

    /// Sizes up to and with the closing bracket.
    pub(super) fn shape(&mut self) -> Result<Shape, ParseError> {
        Ok(self.list("]", Self::dim)?.into_iter().collect())
    }

    /// A size: a sum of products of integers, symbols and `((a)//(b))`.
    pub(super) fn dim(&mut self) -> Result<Dim, ParseError> {
        Ok(self.sum(0)?.0)
    }

    /// A sum, and how many terms it has at most.
    fn sum(&mut self, depth: usize) -> Result<(Dim, usize), ParseError> {
        let (mut sum, mut terms) = (Dim::Const(0), 0);
        let mut negative = self.eat("-");
        loop {
            let (term, n) = self.product(negative, depth)?;
            sum = &sum + &term;
            terms += n;
            if terms > MAX_DIM_TERMS {
                return Err(self.limit("the number of terms of a size", MAX_DIM_TERMS));
            }
            negative = match self.peek() {
                Kind::Mark("+") => false,
                Kind::Mark("-") => true,
                _ => return Ok((sum, terms)),
            };
            self.next();
        }
    }

    fn product(&mut self, negative: bool, depth: usize) -> Result<(Dim, usize), ParseError> {
        let (mut product, mut terms) = self.factor(negative, depth)?;
        while self.eat("*") {
            let (factor, n) = self.factor(false, depth)?;
            terms *= n;
            if terms > MAX_DIM_TERMS {
                return Err(self.limit("the number of terms of a size", MAX_DIM_TERMS));
            }
            product = &product * &factor;
        }
        Ok((product, terms))
    }

    fn factor(&mut self, negative: bool, depth: usize) -> Result<(Dim, usize), ParseError> {
        let sign = |dim: Dim| if negative { &Dim::Const(0) - &dim } else { dim };
        match *self.peek() {
            Kind::Int(digits) => {
                let text = if negative { format!("-{digits}") } else { digits.to_owned() };
                let too_large = || ParseErrorKind::Constant(format!("{text} does not fit into 64 bits"));
                let n = text.parse().map_err(|_| self.error(too_large()))?;
                self.next();
                Ok((Dim::Const(n), 1))
            }
            Kind::Word(name) => {
                self.next();
                Ok((sign(Dim::symbol(name)), 1))
            }
            Kind::Mark("(") => {
                if depth >= MAX_DIM_DEPTH {
                    return Err(self.limit("the depth of a size", MAX_DIM_DEPTH));
                }
                self.mark("(")?;
                self.mark("(")?;
                let (dividend, terms) = self.sum(depth + 1)?;
                self.mark(")")?;
                self.mark("//")?;
                self.mark("(")?;
                let position = self.position();
                let (divisor, _) = self.sum(depth + 1)?;
                self.mark(")")?;
                self.mark(")")?;
                let by = || ParseErrorKind::Constant(format!("cannot divide by {divisor}"));
                let quotient = dividend.floor_div(&divisor).ok_or_else(|| self.error_at(position, by()))?;
                Ok((sign(quotient), terms))
            }
            _ => Err(self.expected("a size")),
        }
    }

    pub(super) fn limit(&self, what: &'static str, limit: usize) -> ParseError {
        self.error(ParseErrorKind::Limit { what, limit })
    }

    /// A constant's contents: `f32[2]{1.0, 2.5}` or `f32[2]{0x…}`.
    pub(super) fn tensor(&mut self) -> Result<HostTensor, ParseError> {
        let position = self.position();
        let ty = self.ty()?;
        let dims = ty.shape.concrete().ok_or_else(|| {
            self.error_at(position, ParseErrorKind::Constant(format!("a constant cannot be {ty}")))
        })?;
        self.mark("{")?;
        let bytes = match *self.peek() {
            Kind::Hex(digits) => {
                let odd = || ParseErrorKind::Constant(format!("the digits are not whole {}s", ty.dtype));
                let bytes = tensor::hex_bytes(ty.dtype, digits).ok_or_else(|| self.error(odd()))?;
                self.next();
                self.mark("}")?;
                bytes
            }
            _ => {
                let mut bytes = Vec::new();
                self.list("}", |cursor| cursor.element(ty.dtype, &mut bytes))?;
                bytes
            }
        };
        HostTensor::from_bytes(ty.dtype, &dims, &bytes)
            .map_err(|e| self.error_at(position, ParseErrorKind::Constant(e.to_string())))
    }

    fn element(&mut self, dtype: DType, bytes: &mut Vec<u8>) -> Result<(), ParseError> {
        let position = self.position();
        let negative = self.eat("-");
        let element = match *self.peek() {
            Kind::Int(text) | Kind::Float(text) | Kind::Word(text) => {
                self.next();
                if text == "nan" && !negative && self.eat("(") {
                    let Kind::Hex(digits) = *self.peek() else { return Err(self.expected("`0x…`")) };
                    self.next();
                    self.mark(")")?;
                    tensor::Element::Nan(digits)
                } else {
                    tensor::Element::Plain(negative, text)
                }
            }
            _ => return Err(self.expected(&format!("an element of type {dtype}"))),
        };
        let Some(bits) = tensor::element_bits(dtype, &element) else {
            self.at = position;
            return Err(self.expected(&format!("an element of type {dtype}")));
        };
        tensor::push_bits(bytes, dtype, bits);
        Ok(())
    }
}
