//! Kernels from their text form, as `Display` writes it.

use crate::kernel::{AccKind, Accumulate, Address, Arg, ArgId, Inst, InstOp, Kernel, Lanes, Reg, Stage};
use crate::verify::{KernelError, verify_kernel};
use hashbrown::HashMap;
use wootz_ir::ops::{Binary, Compare, Family, Unary};
use wootz_ir::{DType, Dims, F64};

/// A text is not a kernel.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {kind}")]
pub struct KernelParseError {
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1, in characters.
    pub column: usize,
    /// What is wrong.
    pub kind: KernelParseErrorKind,
}

/// What is wrong with the text of a kernel.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs)] // the messages say what the fields are
pub enum KernelParseErrorKind {
    #[error("expected {expected}, found {found}")]
    Expected { expected: &'static str, found: String },
    #[error("`{0}` is not a number of the size that belongs here")]
    Number(String),
    #[error(transparent)]
    Malformed(#[from] KernelError),
}

impl std::str::FromStr for Kernel {
    type Err = KernelParseError;

    /// The kernel that a text describes; verified. Comments go from `#` or `//` to the end of the line.
    fn from_str(text: &str) -> Result<Kernel, KernelParseError> {
        let mut parser = Parser { text, rest: text, rank: 0, regs: HashMap::new() };
        parser.skip_blank();
        let kernel = parser.kernel()?;
        if !parser.rest.is_empty() {
            return Err(parser.expected("the end of the text"));
        }
        verify_kernel(&kernel).map_err(|e| parser.error(e))?;
        Ok(kernel)
    }
}

type Result<T, E = KernelParseError> = std::result::Result<T, E>;

struct Parser<'t> {
    text: &'t str,
    rest: &'t str,
    /// Loops of the grid.
    rank: usize,
    /// The dtypes of the registers defined so far.
    regs: HashMap<u32, DType>,
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_ascii_alphanumeric()
}

impl<'t> Parser<'t> {
    fn skip_blank(&mut self) {
        loop {
            self.rest = self.rest.trim_start();
            if !self.rest.starts_with('#') && !self.rest.starts_with("//") {
                return;
            }
            self.rest = self.rest.find('\n').map_or("", |end| &self.rest[end..]);
        }
    }

    fn error(&self, kind: impl Into<KernelParseErrorKind>) -> KernelParseError {
        let before = &self.text[..self.text.len() - self.rest.len()];
        let line = 1 + before.matches('\n').count();
        let column = 1 + before.rsplit('\n').next().map_or(0, |l| l.chars().count());
        KernelParseError { line, column, kind: kind.into() }
    }

    fn expected(&self, expected: &'static str) -> KernelParseError {
        let end = self.rest.find(|c: char| !is_word(c)).unwrap_or(self.rest.len());
        let end = if end == 0 { self.rest.chars().next().map_or(0, char::len_utf8) } else { end };
        let shown: String = self.rest[..end].chars().take(24).collect();
        let found = if shown.is_empty() { "the end of the text".to_owned() } else { format!("`{shown}`") };
        self.error(KernelParseErrorKind::Expected { expected, found })
    }

    fn advance(&mut self, bytes: usize) -> &'t str {
        let (taken, rest) = self.rest.split_at(bytes);
        self.rest = rest;
        self.skip_blank();
        taken
    }

    /// Goes past a mark if it stands here.
    fn eat(&mut self, mark: &str) -> bool {
        let found = self.rest.starts_with(mark);
        if found {
            self.advance(mark.len());
        }
        found
    }

    fn mark(&mut self, mark: &'static str) -> Result<()> {
        if self.eat(mark) { Ok(()) } else { Err(self.expected(mark)) }
    }

    fn peek_word(&self) -> &'t str {
        &self.rest[..self.rest.find(|c| !is_word(c)).unwrap_or(self.rest.len())]
    }

    fn word(&mut self, what: &'static str) -> Result<&'t str> {
        match self.peek_word() {
            "" => Err(self.expected(what)),
            word => Ok(self.advance(word.len())),
        }
    }

    fn keyword(&mut self, word: &'static str) -> Result<()> {
        if self.peek_word() == word {
            self.advance(word.len());
            return Ok(());
        }
        Err(self.expected(word))
    }

    /// One of the words of a table.
    fn one_of<T: Copy>(&mut self, table: &[(&str, T)], what: &'static str) -> Result<T> {
        let word = self.peek_word();
        match table.iter().find(|(name, _)| *name == word) {
            Some((_, value)) => {
                self.advance(word.len());
                Ok(*value)
            }
            None => Err(self.expected(what)),
        }
    }

    fn number<T: std::str::FromStr>(&mut self, what: &'static str) -> Result<T> {
        let digits = self.rest.strip_prefix('-').unwrap_or(self.rest);
        let count = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        if count == 0 {
            return Err(self.expected(what));
        }
        let text = &self.rest[..self.rest.len() - digits.len() + count];
        let Ok(value) = text.parse() else {
            return Err(self.error(KernelParseErrorKind::Number(text.to_owned())));
        };
        self.advance(text.len());
        Ok(value)
    }

    fn list<T>(
        &mut self,
        close: &'static str,
        mut item: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<Vec<T>> {
        let mut out = Vec::new();
        if self.eat(close) {
            return Ok(out);
        }
        loop {
            out.push(item(self)?);
            if self.eat(close) {
                return Ok(out);
            }
            self.mark(",")?;
        }
    }

    fn sizes(&mut self) -> Result<Dims> {
        self.mark("[")?;
        Ok(self.list("]", |p| p.number("a size"))?.into_iter().collect())
    }

    fn dtype(&mut self) -> Result<DType> {
        let word = self.peek_word();
        let dtype = word.parse().map_err(|_| self.expected("a dtype"))?;
        self.advance(word.len());
        Ok(dtype)
    }

    fn kernel(&mut self) -> Result<Kernel> {
        self.keyword("kernel")?;
        self.mark("(")?;
        let mut count = 0;
        let args = self.list(")", |p| {
            count += 1;
            p.arg(count - 1)
        })?;
        self.keyword("grid")?;
        let grid = self.sizes()?;
        self.rank = grid.len();
        self.keyword("lanes")?;
        let lanes = self.one_of(&[("grid", Lanes::Grid), ("inner", Lanes::Inner)], "`grid` or `inner`")?;
        self.mark("{")?;
        let mut stages = Vec::new();
        while !self.eat("}") {
            stages.push(self.stage()?);
        }
        let regs = self.registers()?;
        Ok(Kernel { grid, lanes, args, stages, regs })
    }

    fn registers(&self) -> Result<Vec<DType>> {
        let dtype = |i: u32| {
            let missing = KernelError::Missing { reg: Reg(i) };
            self.regs.get(&i).copied().ok_or_else(|| self.error(missing))
        };
        (0..self.regs.len() as u32).map(dtype).collect()
    }

    fn arg(&mut self, number: usize) -> Result<Arg> {
        if self.peek_word() != format!("a{number}") {
            return Err(self.expected("the next argument"));
        }
        self.word("an argument")?;
        self.mark(":")?;
        let dtype = self.dtype()?;
        let write = self.one_of(&[("read", false), ("write", true)], "`read` or `write`")?;
        Ok(Arg { dtype, write })
    }

    fn stage(&mut self) -> Result<Stage> {
        self.keyword("stage")?;
        let loops = self.sizes()?;
        self.mark("{")?;
        let mut stage = Stage { loops, ..Stage::default() };
        while !self.eat("}") {
            match self.peek_word() {
                "reduce" => {
                    let acc = self.accumulate()?;
                    stage.reduce.push(acc);
                }
                _ if !stage.reduce.is_empty() => return Err(self.expected("`reduce` or `}`")),
                _ => {
                    let inst = self.inst()?;
                    stage.body.push(inst);
                }
            }
        }
        Ok(stage)
    }

    fn reg(&mut self) -> Result<Reg> {
        self.mark("%")?;
        Ok(Reg(self.number("the number of a register")?))
    }

    /// `: dtype` of a register that is defined here.
    fn define(&mut self, reg: Reg) -> Result<()> {
        self.mark(":")?;
        let dtype = self.dtype()?;
        match self.regs.insert(reg.0, dtype) {
            None => Ok(()),
            Some(_) => Err(self.error(KernelError::Redefined { reg })),
        }
    }

    fn accumulate(&mut self) -> Result<Accumulate> {
        self.keyword("reduce")?;
        let kinds = AccKind::ALL.map(|kind| (kind.name(), kind));
        let kind = self.one_of(&kinds, "how values are combined")?;
        let value = self.reg()?;
        self.mark("->")?;
        let out = self.reg()?;
        self.define(out)?;
        Ok(Accumulate { kind, value, out })
    }

    fn inst(&mut self) -> Result<Inst> {
        if self.peek_word() == "store" {
            self.keyword("store")?;
            let (arg, at) = self.access()?;
            self.mark("=")?;
            let value = self.reg()?;
            return Ok(Inst { out: None, op: InstOp::Store { arg, at, value } });
        }
        let out = self.reg()?;
        self.mark("=")?;
        let op = self.op()?;
        self.define(out)?;
        Ok(Inst { out: Some(out), op })
    }

    fn op(&mut self) -> Result<InstOp> {
        let word = self.peek_word();
        if self.rest.starts_with('-') || word.starts_with(|c: char| c.is_ascii_digit()) {
            return self.constant();
        }
        if let Some(axis) = self.loop_name(word) {
            self.advance(word.len());
            return Ok(InstOp::Index(axis as u32));
        }
        if let Some(narrow) = word.strip_prefix("round_") {
            let dtype = narrow.parse().map_err(|_| self.expected("`round_` and a 16-bit float"))?;
            self.advance(word.len());
            return Ok(InstOp::Round(dtype, self.reg()?));
        }
        match word {
            "inf" | "nan" => self.constant(),
            "load" => {
                self.keyword("load")?;
                let (arg, at) = self.access()?;
                let mask = if self.peek_word() == "where" {
                    self.keyword("where")?;
                    Some(self.reg()?)
                } else {
                    None
                };
                Ok(InstOp::Load { arg, at, mask })
            }
            "tile" => self.keyword("tile").map(|()| InstOp::Tile),
            "cast" => self.keyword("cast").and_then(|()| Ok(InstOp::Cast(self.reg()?))),
            "bitcast" => self.keyword("bitcast").and_then(|()| Ok(InstOp::Bitcast(self.reg()?))),
            "select" => self.keyword("select").and_then(|()| self.three(InstOp::Select)),
            "sigmoid" => self.keyword("sigmoid").and_then(|()| Ok(InstOp::Sigmoid(self.reg()?))),
            "fma" => self.keyword("fma").and_then(|()| self.three(InstOp::Fma)),
            "polygamma" => {
                self.keyword("polygamma")?;
                self.mark("[")?;
                self.keyword("order")?;
                self.mark("=")?;
                let order = self.number("an order")?;
                self.mark("]")?;
                Ok(InstOp::Unary(Unary::Polygamma(order), self.reg()?))
            }
            _ => self.elementwise(word),
        }
    }

    fn elementwise(&mut self, word: &str) -> Result<InstOp> {
        if let Some(op) = Unary::ALL.into_iter().find(|op| op.name() == word) {
            self.advance(word.len());
            return Ok(InstOp::Unary(op, self.reg()?));
        }
        let binary = Binary::ALL.into_iter().find(|op| op.name() == word);
        let compare = Compare::ALL.into_iter().find(|op| op.name() == word);
        if binary.is_none() && compare.is_none() {
            return Err(self.expected("an instruction"));
        }
        self.advance(word.len());
        let x = self.reg()?;
        self.mark(",")?;
        let y = self.reg()?;
        match (binary, compare) {
            (Some(op), _) => Ok(InstOp::Binary(op, x, y)),
            (None, Some(op)) => Ok(InstOp::Compare(op, x, y)),
            (None, None) => Err(self.expected("an instruction")),
        }
    }

    fn three(&mut self, op: impl Fn(Reg, Reg, Reg) -> InstOp) -> Result<InstOp> {
        let x = self.reg()?;
        self.mark(",")?;
        let y = self.reg()?;
        self.mark(",")?;
        Ok(op(x, y, self.reg()?))
    }

    /// A float has a point or an exponent, or is `inf`, `nan` or `nan(0x…)` (its bits as an f64); anything else is an integer.
    fn constant(&mut self) -> Result<InstOp> {
        let unsigned = self.rest.strip_prefix('-').unwrap_or(self.rest);
        if let Some(bits) = unsigned.strip_prefix("nan(0x") {
            let digits = &bits[..bits.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(bits.len())];
            let Ok(value) = u64::from_str_radix(digits, 16) else {
                return Err(self.error(KernelParseErrorKind::Number(digits.to_owned())));
            };
            self.advance(self.rest.len() - bits.len() + digits.len());
            self.mark(")")?;
            return Ok(InstOp::Float(F64(f64::from_bits(value))));
        }
        let mut end = 0;
        for (i, c) in unsigned.char_indices() {
            let exponent = matches!(c, '+' | '-') && unsigned[..i].ends_with(['e', 'E']);
            if !is_word(c) && c != '.' && !exponent {
                break;
            }
            end = i + c.len_utf8();
        }
        let text = &self.rest[..self.rest.len() - unsigned.len() + end];
        let integer = text.trim_start_matches('-').bytes().all(|b| b.is_ascii_digit());
        let op = match integer {
            true => text.parse().ok().map(InstOp::Int),
            false => text.parse().ok().map(|x| InstOp::Float(F64(x))),
        };
        let Some(op) = op else {
            return Err(self.error(KernelParseErrorKind::Number(text.to_owned())));
        };
        self.advance(text.len());
        Ok(op)
    }

    /// The loop that a word like `g0` or `i1` names.
    fn loop_name(&self, word: &str) -> Option<usize> {
        let digits = |prefix| {
            let digits: &str = word.strip_prefix(prefix)?;
            // More loops than there are letters in any kernel's text are no loops.
            let short = !digits.is_empty() && digits.len() < 4 && digits.bytes().all(|b| b.is_ascii_digit());
            if short { digits.parse::<usize>().ok() } else { None }
        };
        digits('g').filter(|axis| *axis < self.rank).or_else(|| digits('i').map(|axis| axis + self.rank))
    }

    fn access(&mut self) -> Result<(ArgId, Box<Address>)> {
        let word = self.peek_word();
        let arg = word.strip_prefix('a').and_then(|n| n.parse().ok());
        let arg = ArgId(arg.ok_or_else(|| self.expected("an argument"))?);
        self.advance(word.len());
        self.mark("[")?;
        let mut at = Box::<Address>::default();
        loop {
            self.term(&mut at)?;
            if self.eat("]") {
                at.trim();
                return Ok((arg, at));
            }
            self.mark("+")?;
        }
    }

    /// A loop, a number times a loop, a number, or a register.
    fn term(&mut self, at: &mut Address) -> Result<()> {
        if self.rest.starts_with('%') {
            let reg = self.reg()?;
            return match at.index.replace(reg) {
                None => Ok(()),
                Some(_) => Err(self.expected("one computed index at most")),
            };
        }
        let word = self.peek_word();
        let (stride, axis) = match self.loop_name(word) {
            Some(axis) => {
                self.advance(word.len());
                (1, axis)
            }
            None => {
                let number = self.number("a loop, a number or a register")?;
                if !self.eat("*") {
                    at.offset = at.offset.wrapping_add(number);
                    return Ok(());
                }
                let word = self.peek_word();
                let axis = self.loop_name(word).ok_or_else(|| self.expected("a loop"))?;
                self.advance(word.len());
                (number, axis)
            }
        };
        if at.strides.len() <= axis {
            at.strides.resize(axis + 1, 0);
        }
        at.strides[axis] = at.strides[axis].wrapping_add(stride);
        Ok(())
    }
}
