//! The text form: prints a graph and parses it back to the same graph.
//!
//! ```text
//! region @body(%0: f32[B, 4]) -> (f32[B, 4]) {
//!   %1 = tanh %0 : f32[B, 4]
//!   return %1
//! }
//! graph(%0: f32[B, 4] = input "x", %1: f32[4] = param "b") {
//!   %2 = call[body=@body] %0 : f32[B, 4] loc("mlp.act")
//!   %3 = broadcast[shape=[B, 4], axes=[1]] %1 : f32[B, 4]
//!   %4 = add %2, %3 : f32[B, 4]
//!   return "y" = %4 alias "x"
//! }
//! ```
//!
//! * A region that ops own is printed once, before its first use, and named `@…`; parsing restores the sharing.
//! * `: types` after an op and `-> (…)` after a region's parameters may be left out; where they stand they are checked.
//! * The first operand stands on the op's line; otherwise line ends are blanks.
//! * Values may have any names (`%x`, `%3`); they print as their numbers. Names of regions and values mean nothing.
//! * `loc("…")` is the site. `#` starts a comment that ends with the line.
//! * Constants are exact: shortest round-trip decimals, `inf`, `nan`, `nan(0x7fc00001)` for other NaNs, and the bytes of
//!   large tensors in hexadecimal, least significant byte of each element first. Float attributes that are not finite
//!   print their bits: `0x7ff0000000000000`.

mod cursor;
mod lex;
mod parse;
mod print;
mod tensor;
#[cfg(test)]
mod tests;

pub use parse::{parse, parse_region};
pub use print::{print, print_region};

use crate::{AttrError, TensorType, TypeError, VerifyError};

/// The text is not a graph. Lines and columns count from 1, columns in characters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {kind}")]
pub struct ParseError {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
    /// What is wrong there.
    pub kind: ParseErrorKind,
}

/// What is wrong with the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseErrorKind {
    /// Something else should stand here.
    #[error("expected {expected}, found {found}")]
    Expected {
        /// What should.
        expected: String,
        /// What does.
        found: String,
    },
    /// A character that starts nothing, or a string that does not end.
    #[error("{0}")]
    Lexical(String),
    /// No op has this name.
    #[error("there is no op called `{0}`")]
    UnknownOp(String),
    /// A value or region that is not defined before this place.
    #[error("`{0}` is not defined before its use")]
    Undefined(String),
    /// A value, region or name that already exists.
    #[error("`{0}` is already defined")]
    Redefined(String),
    /// An attribute is missing, unknown or of the wrong kind.
    #[error("{op}: {error}")]
    Attribute {
        /// The op.
        op: String,
        /// What is wrong with it.
        error: AttrError,
    },
    /// The op does not take these operands.
    #[error(transparent)]
    Type(#[from] TypeError),
    /// The types that are stated are not those that follow.
    #[error("the stated types are {stated:?}, the op gives {inferred:?}")]
    Stated {
        /// Stated.
        stated: Vec<TensorType>,
        /// Inferred.
        inferred: Vec<TensorType>,
    },
    /// A number that does not fit its type, or a wrong number of elements.
    #[error("{0}")]
    Constant(String),
    /// Regions nested too deeply, or a graph or size expression that grows beyond all bounds.
    #[error("{what} is limited to {limit}")]
    Limit {
        /// What is.
        what: &'static str,
        /// To how much.
        limit: usize,
    },
    /// The signature or a type is impossible.
    #[error(transparent)]
    Verify(#[from] VerifyError),
}
