//! Random graphs. Every float is a whole number small enough that sums and products are exact in any order, so that plan and
//! graph must agree to the bit whatever was fused and whatever was rounded where.

use proptest::prelude::*;
use std::collections::HashMap;
use wootz_ir::ops::{Dot, ReduceKind};
use wootz_ir::{Axes, Builder, DType, Dims, HostTensor, TensorType, TypeError, Value};

/// One gene makes at most one value (and a few helpers).
pub(crate) type Gene = [u8; 10];

pub(crate) fn genes(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Gene>> {
    prop::collection::vec(any::<Gene>(), count)
}

pub(crate) const MAX_ELEMENTS: usize = 200;
const DTYPES: [DType; 9] = [
    DType::F32,
    DType::F64,
    DType::I64,
    DType::Bool,
    DType::F32,
    DType::F16,
    DType::I32,
    DType::U8,
    DType::BF16,
];

/// The next numbers of a gene.
pub(crate) struct Dna {
    gene: Gene,
    at: usize,
}

impl Dna {
    pub(crate) fn new(gene: Gene) -> Dna {
        Dna { gene, at: 0 }
    }

    /// A number below `n` (0 if `n` is 0).
    pub(crate) fn below(&mut self, n: usize) -> usize {
        let word = self.gene[self.at % self.gene.len()];
        let turn = (self.at / self.gene.len()) as u8;
        self.at += 1;
        usize::from(word.wrapping_add(turn.wrapping_mul(101))) % n.max(1)
    }

    pub(crate) fn flag(&mut self) -> bool {
        self.below(2) == 1
    }

    fn subset(&mut self, n: usize) -> Vec<usize> {
        (0..n).filter(|_| self.flag()).collect()
    }

    fn permutation(&mut self, n: usize) -> Vec<usize> {
        let mut rest: Vec<usize> = (0..n).collect();
        (0..n).map(|_| rest.remove(self.below(rest.len()))).collect()
    }
}

/// A random type: mostly small sizes, seldom an empty axis.
pub(crate) fn random_type(dna: &mut Dna) -> TensorType {
    let dtype = DTYPES[dna.below(DTYPES.len())];
    let rank = [2, 1, 3, 2, 0, 2, 1, 3][dna.below(8)];
    let dims: Dims =
        (0..rank).map(|_| [2, 3, 4, 1, 3, 2, 5, 4, 2, 3, 1, 4, 2, 0, 3, 20][dna.below(16)]).collect();
    TensorType::new(dtype, dims.as_slice())
}

/// The largest magnitude at which a dtype holds every whole number.
pub(crate) fn limit(dtype: DType) -> f64 {
    match dtype {
        DType::BF16 => 250.0,
        DType::F16 => 2000.0,
        DType::F32 => 16e6,
        DType::F64 => 1e15,
        _ => f64::INFINITY,
    }
}

pub(crate) type Made = Result<Option<Value>, TypeError>;

/// A graph being grown.
pub(crate) struct Garden {
    pub(crate) b: Builder,
    pub(crate) pool: Vec<Value>,
    bounds: HashMap<Value, f64>,
}

/// What parameters are at most.
pub(crate) const BOUND: f64 = 6.0;

impl Garden {
    pub(crate) fn new(params: &[TensorType]) -> Garden {
        let mut b = Builder::new();
        let pool: Vec<Value> = params.iter().map(|ty| b.param(ty.clone())).collect();
        Garden { b, pool, bounds: HashMap::new() }
    }

    pub(crate) fn dims(&self, value: Value) -> Dims {
        self.b.ty(value).shape.concrete().unwrap()
    }

    pub(crate) fn dtype(&self, value: Value) -> DType {
        self.b.ty(value).dtype
    }

    /// A value, recent ones more often than not.
    pub(crate) fn pick(&self, dna: &mut Dna) -> Value {
        let n = self.pool.len();
        let recent = n.min(6);
        match dna.flag() {
            true => self.pool[n - 1 - dna.below(recent)],
            false => self.pool[dna.below(n)],
        }
    }

    pub(crate) fn pick_where(&self, dna: &mut Dna, ok: impl Fn(&TensorType) -> bool) -> Option<Value> {
        let fitting: Vec<Value> = self.pool.iter().copied().filter(|v| ok(self.b.ty(*v))).collect();
        (!fitting.is_empty()).then(|| fitting[dna.below(fitting.len())])
    }

    /// A value of the same type as another.
    pub(crate) fn pick_like(&self, dna: &mut Dna, value: Value) -> Value {
        let ty = self.b.ty(value).clone();
        self.pick_where(dna, |t| *t == ty).unwrap_or(value)
    }

    pub(crate) fn bound(&self, value: Value) -> f64 {
        match self.dtype(value) {
            DType::Bool => 1.0,
            dtype if dtype.is_float() => self.bounds.get(&value).copied().unwrap_or(BOUND),
            _ => f64::INFINITY,
        }
    }

    /// The value, or a remainder of it that is at most `most`, or 0 where there is no room for any.
    pub(crate) fn tame(&mut self, value: Value, most: f64) -> Result<Value, TypeError> {
        if self.bound(value) <= most || self.dtype(value) == DType::Bool {
            return Ok(value);
        }
        let most = most.floor().clamp(0.0, BOUND);
        let modulus = self.b.scalar_like(value, most + 1.0);
        let small = self.b.rem(value, modulus)?;
        self.bounds.insert(small, most);
        Ok(small)
    }

    fn number(&mut self, value: Value) -> Result<Value, TypeError> {
        if self.dtype(value) == DType::Bool { self.b.cast(value, DType::I32) } else { Ok(value) }
    }

    /// Grows one value.
    pub(crate) fn grow(&mut self, gene: Gene, depth: usize) {
        let mut dna = Dna::new(gene);
        let made = match dna.below(30) {
            0..=2 => self.unary(&mut dna),
            3..=8 => self.binary(&mut dna),
            9 => self.select(&mut dna),
            10 => self.cast(&mut dna),
            11 | 12 => self.broadcast(&mut dna),
            13 => self.transpose(&mut dna),
            14 | 15 => self.reshape(&mut dna),
            16 => self.slice(&mut dna),
            17 => self.reverse_or_source(&mut dna),
            18 => self.pad(&mut dna),
            19 => self.concat(&mut dna),
            20..=22 => self.reduce(&mut dna),
            23..=25 => self.dot(&mut dna),
            26 => self.gather_or_segment(&mut dna),
            27 => self.scatter(&mut dna),
            28 => self.random(&mut dna),
            _ if depth == 0 => self.binary(&mut dna),
            _ => self.control(&mut dna, depth - 1),
        };
        if let Some(value) = made.unwrap()
            && self.dims(value).iter().product::<usize>() <= MAX_ELEMENTS
        {
            self.pool.push(value);
        }
    }

    pub(crate) fn bounded(&mut self, value: Value, bound: f64) -> Made {
        self.bounds.insert(value, bound);
        Ok(Some(self.tame(value, limit(self.dtype(value)) / 2.0)?))
    }

    /// The same bound as another value.
    pub(crate) fn moved(&mut self, from: Value, to: Value) -> Made {
        let bound = self.bound(from);
        self.bounds.insert(to, bound);
        Ok(Some(to))
    }

    fn unary(&mut self, dna: &mut Dna) -> Made {
        let x = self.pick(dna);
        let dtype = self.dtype(x);
        let out = match (dna.below(5), dtype) {
            (_, DType::Bool) => self.b.not(x)?,
            (_, d) if d.is_int() => self.b.abs(x)?,
            (0, _) => self.b.neg(x)?,
            (1, _) => self.b.sign(x)?,
            (2, _) => self.b.abs(x)?,
            // Costly ops, their results made whole again. 16-bit floats would differ before they are.
            (n, DType::F32 | DType::F64) => {
                let curved = if n == 3 { self.b.tanh(x)? } else { self.b.sin(x)? };
                let scaled = self.b.mul_scalar(curved, 3.5)?;
                let whole = self.b.floor(scaled)?;
                return self.bounded(whole, 4.0);
            }
            _ => self.b.stop_gradient(x)?,
        };
        self.moved(x, out)
    }

    fn binary(&mut self, dna: &mut Dna) -> Made {
        let x = self.pick(dna);
        let mut y = self.pick_like(dna, x);
        if dna.below(4) == 0 {
            y = self.b.scalar_like(x, dna.below(4) as f64);
        }
        let op = dna.below(6);
        if self.dtype(x) == DType::Bool {
            let (x, y) = (x, y);
            let out = match op {
                0 | 1 => self.b.and(x, y)?,
                2 | 3 => self.b.or(x, y)?,
                _ => self.b.xor(x, y)?,
            };
            return Ok(Some(out));
        }
        let room = limit(self.dtype(x)).sqrt().floor();
        let (x, y) = match op {
            2 => (self.tame(x, room)?, self.tame(y, room)?),
            _ => (x, y),
        };
        let (a, c) = (self.bound(x), self.bound(y));
        match op {
            0 => self.b.add(x, y).map(|v| (v, a + c)),
            1 => self.b.sub(x, y).map(|v| (v, a + c)),
            2 => self.b.mul(x, y).map(|v| (v, a * c)),
            3 => self.b.minimum(x, y).map(|v| (v, a.max(c))),
            4 => self.b.maximum(x, y).map(|v| (v, a.max(c))),
            _ => return self.b.lt(x, y).map(Some),
        }
        .and_then(|(v, bound)| self.bounded(v, bound))
    }

    fn select(&mut self, dna: &mut Dna) -> Made {
        let Some(condition) = self.pick_where(dna, |t| t.dtype == DType::Bool) else { return Ok(None) };
        let shape = self.b.ty(condition).shape.clone();
        let Some(x) = self.pick_where(dna, |t| t.shape == shape) else { return Ok(None) };
        let y = self.pick_like(dna, x);
        let bound = self.bound(x).max(self.bound(y));
        let out = self.b.select(condition, x, y)?;
        self.bounded(out, bound)
    }

    fn cast(&mut self, dna: &mut Dna) -> Made {
        let x = self.pick(dna);
        let small = self.tame(x, 200.0)?;
        let bound = self.bound(small).min(256.0);
        let to = DTYPES[dna.below(DTYPES.len())];
        let out = self.b.cast(small, to)?;
        self.bounded(out, bound)
    }

    fn broadcast(&mut self, dna: &mut Dna) -> Made {
        let x = self.pick(dna);
        let dims = self.dims(x);
        let (at, size) = (dna.below(dims.len() + 1), [2, 3, 1, 4][dna.below(4)]);
        let mut shape = dims.clone();
        shape.insert(at, size);
        let axes: Vec<usize> = (0..=dims.len()).filter(|i| *i != at).collect();
        let out = self.b.broadcast(x, &shape.as_slice().into(), &axes)?;
        self.moved(x, out)
    }

    fn transpose(&mut self, dna: &mut Dna) -> Made {
        let x = self.pick(dna);
        let perm = dna.permutation(self.dims(x).len());
        let out = self.b.transpose(x, &perm)?;
        self.moved(x, out)
    }

    fn reshape(&mut self, dna: &mut Dna) -> Made {
        let x = self.pick(dna);
        let elements: usize = self.dims(x).iter().product();
        let mut rest = elements;
        let mut dims = Vec::new();
        for _ in 0..dna.below(4) {
            let size = [2, 3, 1, 4, 6][dna.below(5)];
            if rest > 0 && rest.is_multiple_of(size) {
                dims.push(size);
                rest /= size;
            }
        }
        dims.insert(dna.below(dims.len() + 1), rest);
        let out = self.b.reshape(x, dims.as_slice())?;
        self.moved(x, out)
    }

    fn slice(&mut self, dna: &mut Dna) -> Made {
        let x = self.pick(dna);
        let (mut start, mut stop, mut step) = (Vec::new(), Vec::new(), Vec::new());
        for size in self.dims(x) {
            let first = dna.below(size.min(2) + 1).min(size);
            start.push(first);
            stop.push(size - dna.below((size - first).min(2)).min(size - first));
            step.push(1 + dna.below(2));
        }
        let out = self.b.slice(x, &start, &stop, &step)?;
        self.moved(x, out)
    }

    fn reverse_or_source(&mut self, dna: &mut Dna) -> Made {
        let x = self.pick(dna);
        let dims = self.dims(x);
        let out = match dna.below(4) {
            0 if !dims.is_empty() => {
                let dtype = if self.dtype(x) == DType::Bool { DType::I64 } else { self.dtype(x) };
                let out = self.b.iota(dtype, dims.as_slice(), dna.below(dims.len()))?;
                return self.bounded(out, 200.0);
            }
            1 => {
                let values: Vec<f64> = (0..dims.iter().product::<usize>()).map(|i| (i % 5) as f64).collect();
                let out = self.b.constant(HostTensor::from_f64(self.dtype(x), &dims, &values));
                return self.bounded(out, 5.0);
            }
            _ => self.b.reverse(x, &dna.subset(dims.len()))?,
        };
        self.moved(x, out)
    }

    fn pad(&mut self, dna: &mut Dna) -> Made {
        let x = self.pick(dna);
        let dtype = self.dtype(x);
        let fill = self.pick_where(dna, |t| t.dtype == dtype && t.rank() == 0);
        let fill = fill.unwrap_or_else(|| self.b.scalar(dtype, 1.0));
        let (mut low, mut high, mut interior) = (Vec::new(), Vec::new(), Vec::new());
        for size in self.dims(x) {
            let gap = usize::from(dna.below(4) == 0);
            let full = (size + gap * size.saturating_sub(1)) as i64;
            let first = dna.below(4) as i64 - 1;
            low.push(first.max(-full));
            high.push((dna.below(4) as i64 - 1).max(-full - first.max(-full)));
            interior.push(gap);
        }
        let bound = self.bound(x).max(self.bound(fill));
        let out = self.b.pad(x, fill, &low, &high, &interior)?;
        self.bounded(out, bound)
    }

    fn concat(&mut self, dna: &mut Dna) -> Made {
        let x = self.pick(dna);
        let rank = self.dims(x).len();
        if rank == 0 {
            return Ok(None);
        }
        let parts: Vec<Value> =
            [x].into_iter().chain((0..1 + dna.below(2)).map(|_| self.pick_like(dna, x))).collect();
        let bound = parts.iter().fold(0f64, |m, v| m.max(self.bound(*v)));
        let out = self.b.concat(&parts, dna.below(rank))?;
        self.bounded(out, bound)
    }

    fn reduce(&mut self, dna: &mut Dna) -> Made {
        let x = self.pick(dna);
        let dims = self.dims(x);
        let axes = dna.subset(dims.len());
        let kind = dna.below(6);
        if self.dtype(x) == DType::Bool {
            let kind = if dna.flag() { ReduceKind::Any } else { ReduceKind::All };
            return self.b.reduce(kind, x, &axes).map(Some);
        }
        let count: usize = axes.iter().map(|a| dims[*a]).product();
        if kind == 5 {
            let axis = dna.below(dims.len());
            return match dims.get(axis) {
                Some(size) if *size > 0 => self.b.argmax(x, axis).map(Some),
                _ => Ok(None),
            };
        }
        let small = self.tame(x, (limit(self.dtype(x)) / count.max(1) as f64).floor())?;
        match kind {
            // The largest of nothing is infinite.
            3 | 4 if count > 0 => {
                let kind = if kind == 3 { ReduceKind::Max } else { ReduceKind::Min };
                let out = self.b.reduce(kind, small, &axes)?;
                self.moved(small, out)
            }
            _ => {
                let bound = self.bound(small) * count as f64;
                let out = self.b.sum(small, &axes)?;
                self.bounded(out, bound)
            }
        }
    }

    fn dot(&mut self, dna: &mut Dna) -> Made {
        let x = self.pick(dna);
        let x = self.number(x)?;
        let dtype = self.dtype(x);
        let y = self.pick_where(dna, |t| t.dtype == dtype).unwrap_or(x);
        let (x, y) = (self.tame(x, BOUND)?, self.tame(y, BOUND)?);
        let (a, c) = (self.dims(x), self.dims(y));
        let (mut dims, mut count) = (Dot::default(), 1);
        let mut free: Vec<usize> = dna.permutation(c.len());
        for i in dna.permutation(a.len()) {
            let role = dna.below(4);
            let Some(at) = free.iter().position(|j| c[*j] == a[i]) else { continue };
            match role {
                0 => {}
                1 => {
                    dims.lhs_batch.push(i);
                    dims.rhs_batch.push(free.remove(at));
                }
                _ => {
                    dims.lhs_contract.push(i);
                    dims.rhs_contract.push(free.remove(at));
                    count *= a[i];
                }
            }
        }
        let bound = BOUND * BOUND * count as f64;
        let size = |dims: &Dims, gone: [&Axes; 2]| {
            (0..dims.len())
                .filter(|i| !gone.iter().any(|g| g.contains(i)))
                .map(|i| dims[i])
                .product::<usize>()
        };
        let elements =
            size(&a, [&dims.lhs_contract, &Axes::new()]) * size(&c, [&dims.rhs_contract, &dims.rhs_batch]);
        if bound > limit(dtype) || elements > MAX_ELEMENTS {
            return Ok(None);
        }
        let out = self.b.dot(x, y, dims)?;
        self.bounded(out, bound)
    }
}
