//! Symbolic dimensions: integer polynomials over named symbols, in a canonical form so that equal means `==`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

/// A dimension: a number, or an integer expression over symbols such as `B`, `2*T + 1` or `(H + 1)//2`.
///
/// Expressions are kept canonical (a sum of monomials with non-zero coefficients), so two dims are provably equal
/// exactly when they compare equal. A symbolic dim is never treated as 1.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dim {
    /// A known size. Negative values arise in intermediate arithmetic only; a shape holding one is invalid.
    Const(i64),
    /// An expression with at least one symbol.
    Expr(Arc<Poly>),
}

/// A sum of monomials `coefficient · atom · atom …`, keyed by the sorted atoms; the empty key is the constant term.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Poly(BTreeMap<Vec<Atom>, i64>);

/// An indivisible factor of a monomial.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Atom {
    Symbol(Arc<str>),
    FloorDiv(Dim, Dim),
}

impl Dim {
    /// The symbol `name`.
    pub fn symbol(name: &str) -> Dim {
        Poly(BTreeMap::from([(vec![Atom::Symbol(name.into())], 1)])).into_dim()
    }

    /// The size if it is known and not negative.
    pub fn as_const(&self) -> Option<usize> {
        match self {
            Dim::Const(n) => usize::try_from(*n).ok(),
            Dim::Expr(_) => None,
        }
    }

    /// True if this is the number `n`.
    pub fn is(&self, n: i64) -> bool {
        matches!(self, Dim::Const(m) if *m == n)
    }

    /// True if the dim contains a symbol.
    pub fn is_symbolic(&self) -> bool {
        matches!(self, Dim::Expr(_))
    }

    /// `floor(self / divisor)`; exact when every coefficient divides. `None` when dividing by zero or by a negative number.
    pub fn floor_div(&self, divisor: &Dim) -> Option<Dim> {
        match (self, divisor) {
            (_, Dim::Const(d)) if *d <= 0 => None,
            (Dim::Const(a), Dim::Const(d)) => Some(Dim::Const(a.div_euclid(*d))),
            (Dim::Expr(p), Dim::Const(d)) if p.0.values().all(|c| c % d == 0) => {
                Some(Poly(p.0.iter().map(|(k, c)| (k.clone(), c / d)).collect()).into_dim())
            }
            _ => match self.exact_div(divisor) {
                Some(q) => Some(q),
                None => Some(
                    Poly(BTreeMap::from([(vec![Atom::FloorDiv(self.clone(), divisor.clone())], 1)]))
                        .into_dim(),
                ),
            },
        }
    }

    /// `self / divisor` when `divisor` is a single monomial that divides every term of `self`.
    pub fn exact_div(&self, divisor: &Dim) -> Option<Dim> {
        let divisor = divisor.poly();
        let mut terms = divisor.0.iter();
        let (Some((atoms, coefficient)), None) = (terms.next(), terms.next()) else { return None };
        let mut out = Poly::default();
        for (key, c) in &self.poly().0 {
            let mut rest = key.clone();
            for atom in atoms {
                let at = rest.iter().position(|a| a == atom)?;
                rest.remove(at);
            }
            if c.checked_rem(*coefficient)? != 0 {
                return None;
            }
            out.0.insert(rest, c / coefficient);
        }
        Some(out.into_dim())
    }

    /// Replaces symbols by dims; symbols `lookup` does not know stay.
    pub fn substitute(&self, lookup: &dyn Fn(&str) -> Option<Dim>) -> Dim {
        let Dim::Expr(poly) = self else { return self.clone() };
        let mut sum = Dim::Const(0);
        for (atoms, coefficient) in &poly.0 {
            let mut term = Dim::Const(*coefficient);
            for atom in atoms {
                let factor = match atom {
                    Atom::Symbol(name) => lookup(name).unwrap_or_else(|| Dim::symbol(name)),
                    Atom::FloorDiv(a, b) => {
                        let (a, b) = (a.substitute(lookup), b.substitute(lookup));
                        // A divisor that became non-positive is an impossible size; the shape check names it.
                        a.floor_div(&b).unwrap_or(Dim::Const(-1))
                    }
                };
                term = &term * &factor;
            }
            sum = &sum + &term;
        }
        sum
    }

    /// Adds the names of every symbol in the dim to `out`.
    pub fn symbols(&self, out: &mut BTreeSet<Arc<str>>) {
        let Dim::Expr(poly) = self else { return };
        for atom in poly.0.keys().flatten() {
            match atom {
                Atom::Symbol(name) => {
                    out.insert(name.clone());
                }
                Atom::FloorDiv(a, b) => {
                    a.symbols(out);
                    b.symbols(out);
                }
            }
        }
    }

    fn poly(&self) -> Poly {
        match self {
            Dim::Const(0) => Poly::default(),
            Dim::Const(n) => Poly(BTreeMap::from([(vec![], *n)])),
            Dim::Expr(p) => (**p).clone(),
        }
    }
}

impl Poly {
    fn into_dim(self) -> Dim {
        match self.0.len() {
            0 => Dim::Const(0),
            1 if self.0.contains_key(&vec![]) => Dim::Const(self.0[&vec![]]),
            _ => Dim::Expr(Arc::new(self)),
        }
    }

    fn add_scaled(mut self, other: &Poly, scale: i64) -> Poly {
        for (key, c) in &other.0 {
            let entry = self.0.entry(key.clone()).or_insert(0);
            *entry = entry.saturating_add(c.saturating_mul(scale));
            if *entry == 0 {
                self.0.remove(key);
            }
        }
        self
    }
}

impl std::ops::Add<&Dim> for &Dim {
    type Output = Dim;
    fn add(self, other: &Dim) -> Dim {
        match (self, other) {
            (Dim::Const(a), Dim::Const(b)) => Dim::Const(a.saturating_add(*b)),
            _ => self.poly().add_scaled(&other.poly(), 1).into_dim(),
        }
    }
}

impl std::ops::Sub<&Dim> for &Dim {
    type Output = Dim;
    fn sub(self, other: &Dim) -> Dim {
        match (self, other) {
            (Dim::Const(a), Dim::Const(b)) => Dim::Const(a.saturating_sub(*b)),
            _ => self.poly().add_scaled(&other.poly(), -1).into_dim(),
        }
    }
}

impl std::ops::Mul<&Dim> for &Dim {
    type Output = Dim;
    fn mul(self, other: &Dim) -> Dim {
        if let (Dim::Const(a), Dim::Const(b)) = (self, other) {
            return Dim::Const(a.saturating_mul(*b));
        }
        let mut out = Poly::default();
        for (ka, ca) in &self.poly().0 {
            for (kb, cb) in &other.poly().0 {
                let mut key = [ka.as_slice(), kb.as_slice()].concat();
                key.sort();
                out = out.add_scaled(&Poly(BTreeMap::from([(key, ca.saturating_mul(*cb))])), 1);
            }
        }
        out.into_dim()
    }
}

impl From<usize> for Dim {
    fn from(n: usize) -> Dim {
        Dim::Const(i64::try_from(n).unwrap_or(i64::MAX))
    }
}

impl From<&str> for Dim {
    fn from(name: &str) -> Dim {
        Dim::symbol(name)
    }
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let poly = match self {
            Dim::Const(n) => return write!(f, "{n}"),
            Dim::Expr(poly) => poly,
        };
        // Highest-degree terms first, the constant last, as one writes them.
        for (i, (atoms, c)) in poly.0.iter().rev().enumerate() {
            match (i, *c < 0) {
                (0, true) => f.write_str("-")?,
                (0, false) => {}
                (_, true) => f.write_str(" - ")?,
                (_, false) => f.write_str(" + ")?,
            }
            let magnitude = c.unsigned_abs();
            if atoms.is_empty() || magnitude != 1 {
                write!(f, "{magnitude}")?;
            }
            for (j, atom) in atoms.iter().enumerate() {
                if j > 0 || magnitude != 1 {
                    f.write_str("*")?;
                }
                match atom {
                    Atom::Symbol(name) => f.write_str(name)?,
                    Atom::FloorDiv(a, b) => write!(f, "(({a})//({b}))")?,
                }
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Two dims that must be equal cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{left} and {right} cannot be the same size")]
pub struct DimMismatch {
    /// The first dim, with what is known so far substituted.
    pub left: Dim,
    /// The second dim, likewise.
    pub right: Dim,
}

/// Solves equality constraints between dims by unification, in both directions.
///
/// `unify(2*B, 64)` binds `B = 32`; `unify(F, 784)` binds `F = 784`; an equation that is not yet linear in a lone
/// symbol is kept and tried again whenever something new is known.
#[derive(Clone, Debug, Default)]
pub struct Solver {
    bindings: BTreeMap<Arc<str>, Dim>,
    pending: Vec<(Dim, Dim)>,
    closed: bool,
}

impl Solver {
    /// A solver that may bind symbols.
    pub fn open() -> Solver {
        Solver::default()
    }

    /// A solver that binds nothing: dims must already be equal. Used to verify finished graphs.
    pub fn closed() -> Solver {
        Solver { closed: true, ..Solver::default() }
    }

    /// Requires `a == b`.
    pub fn unify(&mut self, a: &Dim, b: &Dim) -> Result<(), DimMismatch> {
        if a == b {
            return Ok(());
        }
        let (a, b) = (self.resolve(a), self.resolve(b));
        if a == b {
            return Ok(());
        }
        let mismatch = || DimMismatch { left: a.clone(), right: b.clone() };
        if self.closed || (!a.is_symbolic() && !b.is_symbolic()) {
            return Err(mismatch());
        }
        match Self::solve(&a, &b) {
            Solution::Impossible => Err(mismatch()),
            Solution::Unknown => {
                self.pending.push((a, b));
                Ok(())
            }
            Solution::Bind(name, value) => {
                let only = |s: &str| (s == &*name).then(|| value.clone());
                for bound in self.bindings.values_mut() {
                    *bound = bound.substitute(&only);
                }
                self.bindings.insert(name.clone(), value.clone());
                for (a, b) in std::mem::take(&mut self.pending) {
                    self.unify(&a, &b)?;
                }
                Ok(())
            }
        }
    }

    /// The dim with every known symbol replaced.
    pub fn resolve(&self, dim: &Dim) -> Dim {
        if self.bindings.is_empty() {
            dim.clone()
        } else {
            dim.substitute(&|s| self.bindings.get(s).cloned())
        }
    }

    /// True if nothing was bound.
    pub fn is_empty(&self) -> bool {
        self.bindings.is_empty()
    }

    /// What each symbol was found to be.
    pub fn bindings(&self) -> &BTreeMap<Arc<str>, Dim> {
        &self.bindings
    }

    /// Equations that could not be solved yet: they hold of every specialisation, which checks them.
    pub fn pending(&self) -> &[(Dim, Dim)] {
        &self.pending
    }

    fn solve(a: &Dim, b: &Dim) -> Solution {
        let difference = (a - b).poly();
        let mut lone = None;
        for (atoms, c) in &difference.0 {
            if let [Atom::Symbol(name)] = atoms.as_slice() {
                let mentions = |d: &Dim| {
                    let mut set = BTreeSet::new();
                    d.symbols(&mut set);
                    set.contains(name)
                };
                let elsewhere =
                    difference.0.keys().filter(|k| *k != atoms).flatten().any(|atom| match atom {
                        Atom::Symbol(other) => other == name,
                        Atom::FloorDiv(x, y) => mentions(x) || mentions(y),
                    });
                if !elsewhere {
                    lone = Some((atoms.clone(), name.clone(), *c));
                    // Prefer a symbol with unit coefficient: it can always be isolated.
                    if c.abs() == 1 {
                        break;
                    }
                }
            }
        }
        let Some((atoms, name, c)) = lone else { return Solution::Unknown };
        let mut rest = difference;
        rest.0.remove(&atoms);
        if rest.0.values().all(|r| r % c == 0) {
            let value = Poly(rest.0.into_iter().map(|(k, r)| (k, -(r / c))).collect()).into_dim();
            return if matches!(value, Dim::Const(n) if n < 0) {
                Solution::Impossible
            } else {
                Solution::Bind(name, value)
            };
        }
        // c·s + r = 0 with a numeric r that c does not divide has no integer solution.
        if rest.0.keys().all(|k| k.is_empty()) { Solution::Impossible } else { Solution::Unknown }
    }
}

enum Solution {
    Bind(Arc<str>, Dim),
    Unknown,
    Impossible,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(name: &str) -> Dim {
        Dim::symbol(name)
    }

    #[test]
    fn arithmetic_is_canonical() {
        let two = Dim::Const(2);
        let left = &(&s("B") + &s("T")) * &(&s("B") + &s("T"));
        let right = &(&(&s("B") * &s("B")) + &(&two * &(&s("B") * &s("T")))) + &(&s("T") * &s("T"));
        assert_eq!(left, right);
        assert_eq!(&s("B") - &s("B"), Dim::Const(0));
        assert_eq!((&s("B") * &two).floor_div(&two), Some(s("B")));
        assert_eq!((&s("B") * &s("T")).exact_div(&s("T")), Some(s("B")));
        assert_eq!(s("B").floor_div(&Dim::Const(0)), None);
    }

    #[test]
    fn floor_division_folds_once_its_symbols_are_known() {
        let half = s("H").floor_div(&Dim::Const(2)).unwrap();
        assert_eq!(half.to_string(), "((H)//(2))");
        assert_eq!(half.substitute(&|_| Some(Dim::Const(7))), Dim::Const(3));
    }

    #[test]
    fn unification_solves_both_ways_and_retries() {
        let mut solver = Solver::open();
        solver.unify(&(&s("B") * &s("T")), &Dim::Const(64)).unwrap();
        assert_eq!(solver.pending().len(), 1);
        solver.unify(&Dim::Const(16), &(&s("T") * &Dim::Const(2))).unwrap();
        assert_eq!(solver.resolve(&s("T")), Dim::Const(8));
        assert_eq!(solver.resolve(&s("B")), Dim::Const(8));
        assert!(solver.pending().is_empty());
    }

    #[test]
    fn impossible_equations_are_errors() {
        let mut solver = Solver::open();
        assert!(solver.unify(&Dim::Const(3), &Dim::Const(4)).is_err());
        assert!(solver.unify(&(&s("B") * &Dim::Const(2)), &Dim::Const(7)).is_err());
        assert!(solver.unify(&(&s("B") + &Dim::Const(2)), &Dim::Const(1)).is_err());
        assert!(Solver::closed().unify(&s("B"), &Dim::Const(1)).is_err());
        let mut chain = Solver::open();
        chain.unify(&s("A"), &s("B")).unwrap();
        chain.unify(&s("B"), &Dim::Const(4)).unwrap();
        assert!(chain.unify(&s("A"), &Dim::Const(5)).is_err());
    }
}
