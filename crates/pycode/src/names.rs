//! Python identifiers: valid, unused, and close to what the user called things.

use hashbrown::{HashMap, HashSet};
use std::sync::LazyLock;

/// Names that must not be taken: keywords, builtins that the output uses, modules.
const RESERVED: &[&str] = &[
    "False",
    "None",
    "True",
    "and",
    "as",
    "assert",
    "async",
    "await",
    "break",
    "class",
    "continue",
    "def",
    "del",
    "elif",
    "else",
    "except",
    "finally",
    "for",
    "from",
    "global",
    "if",
    "import",
    "in",
    "is",
    "lambda",
    "nonlocal",
    "not",
    "or",
    "pass",
    "raise",
    "return",
    "try",
    "while",
    "with",
    "yield",
    "match",
    "case",
    "type",
    "abs",
    "all",
    "any",
    "bool",
    "bytes",
    "dict",
    "float",
    "int",
    "len",
    "list",
    "map",
    "max",
    "min",
    "pow",
    "print",
    "range",
    "reversed",
    "round",
    "slice",
    "sum",
    "tuple",
    "zip",
    "np",
    "jnp",
    "jax",
    "lax",
    "torch",
    "mx",
    "nn",
    "F",
    "base64",
    "math",
    "params",
    "state",
    "gradients",
    "functools",
    "partial",
];

static RESERVED_SET: LazyLock<HashSet<&str>> = LazyLock::new(|| RESERVED.iter().copied().collect());

/// The names taken in a scope.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    taken: HashSet<String>,
    /// The last number given to names of a base: no lower one is free.
    numbers: HashMap<String, usize>,
}

impl Names {
    /// The names of a scope inside another.
    pub(crate) fn inside(outer: &Names) -> Names {
        outer.clone()
    }

    /// Takes a name as it is.
    pub(crate) fn reserve(&mut self, name: &str) {
        self.taken.insert(name.to_owned());
    }

    /// A new name like `hint`: itself, or with a number.
    pub(crate) fn fresh(&mut self, hint: &str) -> String {
        let base = identifier(hint);
        let free = |name: &str| !RESERVED_SET.contains(name) && !self.taken.contains(name);
        let name = if free(&base) {
            base
        } else {
            let join = if base.ends_with(|c: char| c.is_ascii_digit()) { "_" } else { "" };
            let from = self.numbers.get(&base).map_or(1, |last| last + 1);
            let numbered = (from..).map(|i| (i, format!("{base}{join}{i}"))).find(|(_, name)| free(name));
            let (number, name) = numbered.expect("numbers do not run out");
            self.numbers.insert(base, number);
            name
        };
        self.taken.insert(name.clone());
        name
    }
}

/// A valid identifier for a dotted path: `layers.0.weight` gives `layers_0_weight`, `0.weight` gives `weight_0`.
pub(crate) fn identifier(path: &str) -> String {
    let path = path.strip_prefix("optimizer.").filter(|rest| !rest.is_empty()).unwrap_or(path);
    let mut parts: Vec<&str> = path.split('.').filter(|part| !part.is_empty()).collect();
    let leading = parts.iter().take_while(|part| part.starts_with(|c: char| c.is_ascii_digit())).count();
    if leading < parts.len() {
        parts.rotate_left(leading);
    }
    let joined = parts.join("_");
    let valid: String =
        joined.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }).collect();
    match valid.chars().next() {
        None => "value".to_owned(),
        Some(c) if c.is_ascii_digit() => format!("block_{valid}"),
        Some(_) => valid,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_identifiers() {
        for (path, expected) in [
            ("x", "x"),
            ("0.weight", "weight_0"),
            ("layers.0.weight", "layers_0_weight"),
            ("optimizer.exp_avg.0.weight", "exp_avg_0_weight"),
            ("optimizer.step", "step"),
            ("0", "block_0"),
            ("größe", "gr__e"),
            ("", "value"),
        ] {
            assert_eq!(identifier(path), expected, "{path}");
        }
    }

    #[test]
    fn names_are_unique_and_never_keywords() {
        let mut names = Names::default();
        names.reserve("h2");
        let made: Vec<String> =
            ["h", "h", "h3", "h", "lambda", "0", "0"].map(|hint| names.fresh(hint)).into();
        assert_eq!(made, ["h", "h1", "h3", "h4", "lambda1", "block_0", "block_0_1"]);
    }
}
