//! Python expressions: a small syntax tree, its precedences, and lines broken as `ruff format` would.

mod layout;

pub(crate) use self::layout::{line, statement};

/// The longest line.
pub(crate) const WIDTH: usize = 88;

/// An expression.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Py {
    /// A name, a number or a string.
    Atom(String),
    /// `function(args)`.
    Call(Box<Py>, Vec<Py>),
    /// `name=value`, an argument of a call.
    Keyword(&'static str, Box<Py>),
    /// `value.name`.
    Attribute(Box<Py>, String),
    /// `value[items]`.
    Index(Box<Py>, Vec<Py>),
    /// `left operator right`.
    Infix(Box<Py>, &'static str, Box<Py>),
    /// `operator value`.
    Prefix(&'static str, Box<Py>),
    /// `(a, b)`.
    Tuple(Vec<Py>),
    /// `[a, b]`.
    List(Vec<Py>),
    /// `{"a": a}`; an entry `**others` has no key.
    Dict(Vec<(String, Py)>),
    /// `lambda params: value`.
    Lambda(String, Box<Py>),
    /// `value if condition else otherwise`.
    Choice(Box<Py>, Box<Py>, Box<Py>),
}

/// A name, or any text that binds like one.
pub(crate) fn atom(text: impl Into<String>) -> Py {
    Py::Atom(text.into())
}

/// A call of a function by its dotted name.
pub(crate) fn call(function: &str, args: impl IntoIterator<Item = Py>) -> Py {
    Py::Call(Box::new(atom(function)), args.into_iter().collect())
}

/// A call of a method.
pub(crate) fn method(value: Py, name: &str, args: impl IntoIterator<Item = Py>) -> Py {
    Py::Call(Box::new(attribute(value, name)), args.into_iter().collect())
}

/// An attribute.
pub(crate) fn attribute(value: Py, name: &str) -> Py {
    Py::Attribute(Box::new(value), name.to_owned())
}

/// A binary operation.
///
/// A negative number is not added but its opposite subtracted, and the other way round, which gives the same bits.
pub(crate) fn infix(left: Py, operator: &'static str, right: Py) -> Py {
    let (operator, right) = match (operator, right) {
        ("+", Py::Prefix("-", number)) if number.has_opposite() => ("-", *number),
        ("-", Py::Prefix("-", number)) if number.has_opposite() => ("+", *number),
        (operator, right) => (operator, right),
    };
    Py::Infix(Box::new(left), operator, Box::new(right))
}

/// A unary operation.
pub(crate) fn prefix(operator: &'static str, value: Py) -> Py {
    Py::Prefix(operator, Box::new(value))
}

/// A keyword argument.
pub(crate) fn keyword(name: &'static str, value: Py) -> Py {
    Py::Keyword(name, Box::new(value))
}

/// `value[items]`.
pub(crate) fn index(value: Py, items: impl IntoIterator<Item = Py>) -> Py {
    Py::Index(Box::new(value), items.into_iter().collect())
}

/// An integer.
pub(crate) fn int(value: impl Into<i128>) -> Py {
    let value = value.into();
    let magnitude = atom(value.unsigned_abs().to_string());
    if value < 0 { prefix("-", magnitude) } else { magnitude }
}

/// A size or an axis.
pub(crate) fn size(value: usize) -> Py {
    atom(value.to_string())
}

/// A tuple of sizes.
pub(crate) fn sizes(values: &[usize]) -> Py {
    Py::Tuple(values.iter().map(|n| size(*n)).collect())
}

/// One axis as a number, several as a tuple.
pub(crate) fn axes(values: &[usize]) -> Py {
    if let [axis] = values { size(*axis) } else { sizes(values) }
}

/// A string literal.
pub(crate) fn string(value: &str) -> Py {
    let mut out = String::from("\"");
    for c in value.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
    out.push('"');
    Py::Atom(out)
}

impl Py {
    fn is_number(&self) -> bool {
        matches!(self, Py::Atom(text) if text.starts_with(|c: char| c.is_ascii_digit()))
    }

    /// Whether this is a number that every signed type has if it has its opposite: not 2³¹.
    fn has_opposite(&self) -> bool {
        let Py::Atom(text) = self else { return false };
        self.is_number() && (text.contains(['.', 'e']) || text.parse::<i32>().is_ok())
    }

    /// How tightly the outermost operation binds.
    fn precedence(&self) -> u8 {
        match self {
            Py::Lambda(..) | Py::Keyword(..) => 0,
            Py::Choice(..) => 1,
            Py::Infix(_, operator, _) => infix_precedence(operator),
            Py::Prefix(..) => 12,
            Py::Atom(_)
            | Py::Call(..)
            | Py::Attribute(..)
            | Py::Index(..)
            | Py::Tuple(_)
            | Py::List(_)
            | Py::Dict(_) => 14,
        }
    }

    /// The expression on one line.
    pub(crate) fn flat(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out
    }

    /// The length of the expression on one line.
    pub(crate) fn len(&self) -> usize {
        self.flat().len()
    }

    fn write(&self, out: &mut String) {
        match self {
            Py::Atom(text) => out.push_str(text),
            Py::Call(function, args) => {
                function.write_at(out, 14);
                write_list(out, "(", args, ")");
            }
            Py::Keyword(name, value) => {
                out.push_str(name);
                out.push('=');
                value.write(out);
            }
            Py::Attribute(value, name) => {
                // `1.T` is not an attribute.
                value.write_at(out, if value.is_number() { 15 } else { 14 });
                out.push('.');
                out.push_str(name);
            }
            Py::Index(value, items) => {
                value.write_at(out, 14);
                write_list(out, "[", items, "]");
            }
            Py::Infix(left, operator, right) => {
                let own = infix_precedence(operator);
                let (at_left, at_right) = match *operator {
                    "**" => (14, 12),
                    // Comparisons chain in Python.
                    _ if own == COMPARISON => (own + 1, own + 1),
                    _ => (own, own + 1),
                };
                left.write_at(out, at_left);
                let negative = matches!(**left, Py::Prefix(..));
                let hug = *operator == "**" && !negative && left.is_simple() && right.is_simple();
                out.push_str(&if hug { (*operator).to_owned() } else { format!(" {operator} ") });
                right.write_at(out, at_right);
            }
            Py::Prefix(operator, value) => {
                out.push_str(operator);
                value.write_at(out, 12);
            }
            Py::Tuple(items) => {
                write_list(out, "(", items, if items.len() == 1 { ",)" } else { ")" });
            }
            Py::List(items) => write_list(out, "[", items, "]"),
            Py::Dict(items) => {
                out.push('{');
                for (i, (key, value)) in items.iter().enumerate() {
                    out.push_str(if i > 0 { ", " } else { "" });
                    out.push_str(&entry_key(key, value));
                    value.write(out);
                }
                out.push('}');
            }
            Py::Lambda(params, value) => {
                out.push_str(&format!("lambda {params}: "));
                value.write(out);
            }
            Py::Choice(value, condition, otherwise) => {
                value.write_at(out, 2);
                out.push_str(" if ");
                condition.write_at(out, 2);
                out.push_str(" else ");
                otherwise.write_at(out, 1);
            }
        }
    }

    /// In parentheses where it binds less tightly than it must.
    fn write_at(&self, out: &mut String, precedence: u8) {
        if self.precedence() >= precedence {
            self.write(out);
        } else {
            out.push('(');
            self.write(out);
            out.push(')');
        }
    }

    /// Operands between which `**` has no spaces.
    fn is_simple(&self) -> bool {
        match self {
            Py::Atom(_) => true,
            Py::Attribute(value, _) => value.is_simple(),
            Py::Prefix(_, value) => matches!(**value, Py::Atom(_)),
            _ => false,
        }
    }
}

/// What stands before the value of a dict's entry: nothing before `**others`.
fn entry_key(key: &str, value: &Py) -> String {
    if matches!(value, Py::Prefix("**", _)) { String::new() } else { format!("{}: ", string(key).flat()) }
}

const COMPARISON: u8 = 5;

fn infix_precedence(operator: &str) -> u8 {
    match operator {
        "==" | "!=" | "<" | "<=" | ">" | ">=" => COMPARISON,
        "|" => 6,
        "^" => 7,
        "&" => 8,
        "<<" | ">>" => 9,
        "+" | "-" => 10,
        "**" => 13,
        // `*`, `/`, `//`, `%`, `@`.
        _ => 11,
    }
}

fn write_list(out: &mut String, open: &str, items: &[Py], close: &str) {
    out.push_str(open);
    for (i, item) in items.iter().enumerate() {
        out.push_str(if i > 0 { ", " } else { "" });
        item.write(out);
    }
    out.push_str(close);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(expression: Py, expected: &str) {
        assert_eq!(expression.flat(), expected);
    }

    #[test]
    fn parentheses_stand_where_they_must() {
        let [a, b, c] = ["a", "b", "c"].map(atom);
        check(infix(infix(a.clone(), "+", b.clone()), "*", c.clone()), "(a + b) * c");
        check(infix(a.clone(), "+", infix(b.clone(), "*", c.clone())), "a + b * c");
        check(infix(a.clone(), "+", prefix("-", atom("0.5"))), "a - 0.5");
        check(infix(a.clone(), "-", int(-2)), "a + 2");
        check(infix(a.clone(), "+", int(-2147483648)), "a + -2147483648");
        check(infix(a.clone(), "-", prefix("-", b.clone())), "a - -b");
        check(infix(a.clone(), "-", infix(b.clone(), "-", c.clone())), "a - (b - c)");
        check(infix(infix(a.clone(), "<", b.clone()), "==", c.clone()), "(a < b) == c");
        check(prefix("-", infix(a.clone(), "**", b.clone())), "-a**b");
        check(infix(prefix("-", a.clone()), "**", b.clone()), "(-a) ** b");
        check(attribute(infix(a.clone(), "@", b.clone()), "T"), "(a @ b).T");
        check(method(prefix("-", a), "sum", [keyword("axis", size(1))]), "(-a).sum(axis=1)");
        check(sizes(&[3]), "(3,)");
        check(int(-2), "-2");
    }

    #[test]
    fn long_calls_are_broken_at_their_brackets() {
        let mut out = String::new();
        let long = "x".repeat(37);
        statement(&mut out, 4, "y = ", &call("f", [atom(&long), atom(&long), atom("z")]), "");
        assert_eq!(out, format!("    y = f(\n        {long}, {long}, z\n    )\n"));
        out.clear();
        let quotient = infix(atom(&long), "/", infix(atom(&long), "+", atom(&long)));
        statement(&mut out, 0, "y = ", &quotient, "");
        assert_eq!(out, format!("y = {long} / (\n    {long} + {long}\n)\n"));
        out.clear();
        let picked = index(infix(atom(&long), "*", atom(&long)), [call("f", [atom("i")])]);
        statement(&mut out, 0, "y = ", &picked, "");
        assert_eq!(out, format!("y = ({long} * {long})[\n    f(i)\n]\n"));
        out.clear();
        let made = method(method(call("f", [atom(&long)]), "g", [atom(&long)]), "h", []);
        statement(&mut out, 0, "y = ", &made, "");
        assert_eq!(out, format!("y = (\n    f({long})\n    .g({long})\n    .h()\n)\n"));
        out.clear();
        statement(&mut out, 0, "y = ", &Py::List(vec![atom(&long), atom(&long), atom(&long)]), "");
        assert_eq!(out, format!("y = [\n    {long},\n    {long},\n    {long},\n]\n"));
    }
}
