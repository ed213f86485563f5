//! One row an op: how it is written in the kernel language.

use super::emit::Emitter;
use super::index::{Lin, Map, reshape_groups, strides};
use super::roots::splat;
use crate::kernel::{InstOp, Reg};
use wootz_ir::ops::{Binary, Compare, Composite, Gather, Movement, Op, Random, Source, Ternary, Unary};
use wootz_ir::{DType, Dims, F64, HostTensor, Value};

impl Emitter<'_, '_> {
    /// Writes the op that defines a value; returns the register holding its element at `map`. Where `mask` is false nothing may be
    /// loaded.
    pub(super) fn compute(&mut self, value: Value, map: &Map, mask: Option<Reg>) -> Reg {
        let region = self.lowering.region;
        let node =
            region.defining_node(value).expect("parameters are stored, so they are loaded and not computed");
        let dtype = region.ty(value).dtype.compute();
        let inputs = &node.inputs[..];
        match &node.op {
            Op::Unary(Unary::StopGradient) => self.value(inputs[0], map, mask),
            Op::Unary(op) => {
                let x = self.value(inputs[0], map, mask);
                self.inst(InstOp::Unary(*op, x), dtype)
            }
            Op::Binary(op) => {
                let (x, y) = (self.value(inputs[0], map, mask), self.value(inputs[1], map, mask));
                self.inst(InstOp::Binary(*op, x, y), dtype)
            }
            Op::Compare(op) => {
                let (x, y) = (self.value(inputs[0], map, mask), self.value(inputs[1], map, mask));
                self.inst(InstOp::Compare(*op, x, y), dtype)
            }
            Op::Ternary(op) => {
                let [a, b, c] = [0, 1, 2].map(|i| self.value(inputs[i], map, mask));
                match op {
                    Ternary::Select => self.inst(InstOp::Select(a, b, c), dtype),
                    Ternary::Clamp => {
                        let raised = self.inst(InstOp::Binary(Binary::Max, b, a), dtype);
                        self.inst(InstOp::Binary(Binary::Min, raised, c), dtype)
                    }
                }
            }
            Op::Cast(_) => {
                let x = self.value(inputs[0], map, mask);
                self.cast(x, region.ty(inputs[0]).dtype, region.ty(value).dtype)
            }
            Op::Source(Source::Constant(tensor)) => self.splat(tensor),
            Op::Source(Source::Iota { axis, .. }) => {
                let index = self.index_reg(&map[*axis]);
                self.cast(index, DType::I64, region.ty(value).dtype)
            }
            Op::Movement(op) => self.movement(op, value, inputs, map, mask),
            Op::Gather(op) => self.gather(*op, value, inputs, map, mask),
            Op::Random(op) => self.random(op, inputs, map, mask),
            Op::Composite(Composite::Sigmoid) => {
                let x = self.value(inputs[0], map, mask);
                self.inst(InstOp::Sigmoid(x), dtype)
            }
            Op::Composite(Composite::GeluTanh) => {
                let x = self.value(inputs[0], map, mask);
                self.gelu_tanh(x, dtype)
            }
            Op::Reduce(_)
            | Op::ArgReduce(_)
            | Op::Dot(_)
            | Op::Scatter(_)
            | Op::Segment(_)
            | Op::Cumsum(_)
            | Op::Linalg(_)
            | Op::Composite(_)
            | Op::Control(_) => unreachable!("{} is a root with a step of its own", node.op.name()),
        }
    }

    /// x / (1 + exp(−2 √(2/π) (x + 0.044715 x³))): as ½ (1 + tanh y) is the logistic function of 2y.
    fn gelu_tanh(&mut self, x: Reg, dtype: DType) -> Reg {
        let scale = -2.0 * std::f64::consts::FRAC_2_PI.sqrt();
        let mut number = |value: f64| {
            let rounded = if dtype == DType::F64 { value } else { f64::from(value as f32) };
            self.inst(InstOp::Float(F64(rounded)), dtype)
        };
        let (linear, cubic, one) = (number(scale), number(0.044715 * scale), number(1.0));
        let mut binary = |op: Binary, x: Reg, y: Reg| self.inst(InstOp::Binary(op, x, y), dtype);
        let square = binary(Binary::Mul, x, x);
        let factor = binary(Binary::Mul, square, cubic);
        let factor = binary(Binary::Add, factor, linear);
        let exponent = binary(Binary::Mul, factor, x);
        let power = self.inst(InstOp::Unary(Unary::Exp, exponent), dtype);
        let divisor = self.inst(InstOp::Binary(Binary::Add, power, one), dtype);
        self.inst(InstOp::Binary(Binary::Div, x, divisor), dtype)
    }

    fn cast(&mut self, x: Reg, from: DType, to: DType) -> Reg {
        let narrow = to.compute() != to;
        let converted =
            if from.compute() == to.compute() { x } else { self.inst(InstOp::Cast(x), to.compute()) };
        if narrow && from != to { self.inst(InstOp::Round(to, converted), DType::F32) } else { converted }
    }

    fn splat(&mut self, tensor: &HostTensor) -> Reg {
        let dtype = tensor.dtype();
        let size = dtype.size();
        let bytes = splat(tensor).unwrap_or(&tensor.as_bytes()[..0]);
        let one = HostTensor::from_bytes(dtype, &[], &bytes[..size.min(bytes.len())]);
        let one = one.unwrap_or_else(|_| HostTensor::scalar(dtype, 0.0));
        match dtype.is_float() {
            true => self.inst(InstOp::Float(F64(one.to_f64()[0])), dtype.compute()),
            false => self.inst(InstOp::Int(one.to_i64()[0]), dtype),
        }
    }

    fn movement(
        &mut self,
        op: &Movement,
        value: Value,
        inputs: &[Value],
        map: &Map,
        mask: Option<Reg>,
    ) -> Reg {
        let x = inputs[0];
        let dims = self.lowering.shape(x).clone();
        let inner: Map = match op {
            Movement::Reshape { .. } => {
                let to = self.lowering.shape(value).clone();
                self.reshape(&dims, &to, map)
            }
            Movement::Transpose { perm } => {
                let mut inner: Map = dims.iter().map(|_| Lin::default()).collect();
                for (lin, axis) in map.iter().zip(perm) {
                    inner[*axis] = lin.clone();
                }
                inner
            }
            Movement::Broadcast { axes, .. } => axes.iter().map(|a| map[*a].clone()).collect(),
            Movement::Slice { start, step, .. } => {
                let start = start.concrete().unwrap_or_default();
                let mut scaled = Map::new();
                for (i, lin) in map.iter().enumerate() {
                    let mut sum = Lin::constant(start[i] as i64);
                    self.add_scaled(&mut sum, lin, step[i] as i64);
                    scaled.push(sum);
                }
                scaled
            }
            Movement::Reverse { axes } => {
                let mut flipped = Map::new();
                for (i, lin) in map.iter().enumerate() {
                    if axes.contains(&i) {
                        let mut sum = Lin::constant(dims[i] as i64 - 1);
                        self.add_scaled(&mut sum, lin, -1);
                        flipped.push(sum);
                    } else {
                        flipped.push(lin.clone());
                    }
                }
                flipped
            }
            Movement::Pad { low, interior, .. } => return self.pad(low, interior, inputs, &dims, map, mask),
            Movement::Concat { .. } => unreachable!("concat is a root with a step of its own"),
        };
        self.value(x, &inner, mask)
    }

    /// The axes of a reshape's operand from those of its result: affine where the loops allow, else by division.
    fn reshape(&mut self, from: &Dims, to: &Dims, map: &Map) -> Map {
        let mut inner: Map = from.iter().map(|_| Lin::default()).collect();
        let Some(groups) = reshape_groups(from, to) else { return inner };
        for (outs, ins) in groups {
            let sizes: Dims = ins.iter().map(|i| to[*i]).collect();
            let mut linear = Lin::default();
            for (i, stride) in ins.iter().zip(strides(&sizes)) {
                self.add_scaled(&mut linear, &map[*i], stride);
            }
            let wide: Vec<usize> = outs.iter().copied().filter(|i| from[*i] != 1).collect();
            for (k, axis) in wide.iter().enumerate().rev() {
                if k == 0 {
                    inner[*axis] = linear.clone();
                    break;
                }
                let (outer, rest) = self.split(&linear, from[*axis] as i64);
                inner[*axis] = rest;
                linear = outer;
            }
        }
        inner
    }

    /// (⌊x / n⌋, x mod n) of a non-negative index.
    fn split(&mut self, x: &Lin, n: i64) -> (Lin, Lin) {
        let inner_reach: i64 = x
            .coeffs
            .iter()
            .enumerate()
            .filter(|(_, c)| **c % n != 0)
            .map(|(axis, c)| if *c > 0 { c * (self.extent(axis) as i64 - 1) } else { n })
            .sum();
        if x.reg.is_none() && inner_reach + x.offset.rem_euclid(n) < n {
            let mut outer = Lin::constant(x.offset.div_euclid(n));
            let mut inner = Lin::constant(x.offset.rem_euclid(n));
            for (axis, c) in x.coeffs.iter().enumerate().filter(|(_, c)| **c != 0) {
                match c % n == 0 {
                    true => outer.add_affine(&Lin::axis(axis), c / n),
                    false => inner.add_affine(&Lin::axis(axis), *c),
                }
            }
            return (outer, inner);
        }
        let index = self.index_reg(x);
        let size = self.inst(InstOp::Int(n), DType::I64);
        let quotient = self.inst(InstOp::Binary(Binary::Div, index, size), DType::I64);
        let remainder = self.inst(InstOp::Binary(Binary::Rem, index, size), DType::I64);
        (Lin::computed(quotient), Lin::computed(remainder))
    }

    fn pad(
        &mut self,
        low: &[i64],
        interior: &[usize],
        inputs: &[Value],
        dims: &Dims,
        map: &Map,
        mask: Option<Reg>,
    ) -> Reg {
        let fill = self.value(inputs[1], &Map::new(), mask);
        let mut inside: Option<Reg> = None;
        let mut inner = Map::new();
        for (axis, lin) in map.iter().enumerate() {
            let mut shifted = lin.clone();
            shifted.offset -= low[axis];
            let step = interior[axis] as i64 + 1;
            let reach: i64 =
                shifted.coeffs.iter().enumerate().map(|(a, c)| c * (self.extent(a) as i64 - 1)).sum();
            let monotone = shifted.reg.is_none() && shifted.coeffs.iter().all(|c| *c >= 0);
            let within =
                monotone && step == 1 && shifted.offset >= 0 && shifted.offset + reach < dims[axis] as i64;
            if within {
                inner.push(shifted);
                continue;
            }
            let index = self.index_reg(&shifted);
            let (position, exact) = self.undilate(index, step);
            let zero = self.inst(InstOp::Int(0), DType::I64);
            let size = self.inst(InstOp::Int(dims[axis] as i64), DType::I64);
            let above = self.inst(InstOp::Compare(Compare::Ge, index, zero), DType::Bool);
            let below = self.inst(InstOp::Compare(Compare::Lt, position, size), DType::Bool);
            for condition in [Some(above), Some(below), exact].into_iter().flatten() {
                inside = Some(self.both(inside, condition));
            }
            inner.push(if step == 1 { shifted } else { Lin::computed(position) });
        }
        let Some(inside) = inside else { return self.value(inputs[0], &inner, mask) };
        let guard = self.both(mask, inside);
        let x = self.value(inputs[0], &inner, Some(guard));
        let dtype = self.reg_type(x);
        self.inst(InstOp::Select(inside, x, fill), dtype)
    }

    /// (index / step, whether the division is exact) for an operand with interior padding.
    fn undilate(&mut self, index: Reg, step: i64) -> (Reg, Option<Reg>) {
        if step == 1 {
            return (index, None);
        }
        let step = self.inst(InstOp::Int(step), DType::I64);
        let zero = self.inst(InstOp::Int(0), DType::I64);
        let position = self.inst(InstOp::Binary(Binary::Div, index, step), DType::I64);
        let remainder = self.inst(InstOp::Binary(Binary::Rem, index, step), DType::I64);
        (position, Some(self.inst(InstOp::Compare(Compare::Eq, remainder, zero), DType::Bool)))
    }

    fn both(&mut self, a: Option<Reg>, b: Reg) -> Reg {
        match a {
            None => b,
            Some(a) => self.inst(InstOp::Binary(Binary::And, a, b), DType::Bool),
        }
    }

    fn gather(&mut self, op: Gather, value: Value, inputs: &[Value], map: &Map, mask: Option<Reg>) -> Reg {
        let dims = self.lowering.shape(inputs[0]).clone();
        let free = self.lowering.shape(value).len() - (dims.len() - op.indexed);
        let leading = op.batch + free;
        let mut inner: Map = map[..op.batch].into();
        let known = self.constant_range(inputs[1]);
        for j in 0..op.indexed {
            let last = dims[op.batch + j] as i64 - 1;
            if let Some((low, high)) = known
                && low == high
            {
                inner.push(Lin::constant(low.clamp(0, last)));
                continue;
            }
            let mut at: Map = map[..leading].into();
            at.push(Lin::constant(j as i64));
            let entry = self.value(inputs[1], &at, mask);
            let from = self.lowering.region.ty(inputs[1]).dtype;
            let mut index = self.cast(entry, from, DType::I64);
            if !known.is_some_and(|(low, high)| low >= 0 && high <= last) {
                let zero = self.inst(InstOp::Int(0), DType::I64);
                let last = self.inst(InstOp::Int(last), DType::I64);
                let raised = self.inst(InstOp::Binary(Binary::Max, index, zero), DType::I64);
                index = self.inst(InstOp::Binary(Binary::Min, raised, last), DType::I64);
            }
            inner.push(Lin::computed(index));
        }
        inner.extend(map[leading..].iter().cloned());
        self.value(inputs[0], &inner, mask)
    }

    /// The least and the greatest element of integers that are constant.
    fn constant_range(&self, value: Value) -> Option<(i64, i64)> {
        let node = self.lowering.region.defining_node(value)?;
        match &node.op {
            Op::Source(Source::Constant(tensor)) => {
                let values = tensor.to_i64();
                Some((*values.iter().min()?, *values.iter().max()?))
            }
            Op::Movement(
                Movement::Broadcast { .. } | Movement::Reshape { .. } | Movement::Transpose { .. },
            ) => self.constant_range(node.inputs[0]),
            _ => None,
        }
    }

    fn random(&mut self, op: &Random, inputs: &[Value], map: &Map, mask: Option<Reg>) -> Reg {
        let key = inputs[0];
        let batch = self.lowering.shape(key).len() - 1;
        let words = [0, 1].map(|word| {
            let mut at: Map = map[..batch].into();
            at.push(Lin::constant(word));
            self.value(key, &at, mask)
        });
        match op {
            Random::FoldIn => {
                let data = self.value(inputs[1], &map[..batch].into(), mask);
                let last = self.inst(InstOp::Int(i64::from(u32::MAX)), DType::U32);
                let block = self.threefry(words, [data, last]);
                match map[batch].as_constant() {
                    Some(word) => block[usize::from(word != 0)],
                    None => {
                        let word = self.index_reg(&map[batch]);
                        self.pick(word, block)
                    }
                }
            }
            Random::Bits { shape } => {
                let sizes = shape.concrete().unwrap_or_default();
                let mut linear = Lin::default();
                for (lin, stride) in map[batch..].iter().zip(strides(&sizes)) {
                    self.add_scaled(&mut linear, lin, stride);
                }
                let element = self.index_reg(&linear);
                let [one, width] = [1, 32].map(|n| self.inst(InstOp::Int(n), DType::I64));
                let word = self.inst(InstOp::Binary(Binary::And, element, one), DType::I64);
                let counter = self.inst(InstOp::Binary(Binary::Shr, element, one), DType::I64);
                let high = self.inst(InstOp::Binary(Binary::Shr, counter, width), DType::I64);
                let [high, low] = [high, counter].map(|r| self.inst(InstOp::Cast(r), DType::U32));
                let block = self.threefry(words, [high, low]);
                self.pick(word, block)
            }
        }
    }

    fn pick(&mut self, word: Reg, block: [Reg; 2]) -> Reg {
        let zero = self.inst(InstOp::Int(0), DType::I64);
        let first = self.inst(InstOp::Compare(Compare::Eq, word, zero), DType::Bool);
        self.inst(InstOp::Select(first, block[0], block[1]), DType::U32)
    }

    /// Threefry-2x32 with 20 rounds: the same rounds as `wootz_ir::ops::random`.
    fn threefry(&mut self, key: [Reg; 2], counter: [Reg; 2]) -> [Reg; 2] {
        const ROTATIONS: [[i64; 4]; 2] = [[13, 15, 26, 6], [17, 29, 16, 24]];
        const PARITY: i64 = 0x1BD1_1BDA;
        let u32 = DType::U32;
        let parity = self.inst(InstOp::Int(PARITY), u32);
        let mixed = self.inst(InstOp::Binary(Binary::Xor, key[0], key[1]), u32);
        let keys = [key[0], key[1], self.inst(InstOp::Binary(Binary::Xor, mixed, parity), u32)];
        let add = |e: &mut Self, a, b| e.inst(InstOp::Binary(Binary::Add, a, b), u32);
        let mut x = [add(self, counter[0], keys[0]), add(self, counter[1], keys[1])];
        for group in 0..5 {
            for rotation in ROTATIONS[group % 2] {
                x[0] = add(self, x[0], x[1]);
                let [left, right] = [rotation, 32 - rotation].map(|n| self.inst(InstOp::Int(n), u32));
                let high = self.inst(InstOp::Binary(Binary::Shl, x[1], left), u32);
                let low = self.inst(InstOp::Binary(Binary::Shr, x[1], right), u32);
                let rotated = self.inst(InstOp::Binary(Binary::Or, high, low), u32);
                x[1] = self.inst(InstOp::Binary(Binary::Xor, rotated, x[0]), u32);
            }
            let step = self.inst(InstOp::Int(group as i64 + 1), u32);
            x[0] = add(self, x[0], keys[(group + 1) % 3]);
            let injected = add(self, keys[(group + 2) % 3], step);
            x[1] = add(self, x[1], injected);
        }
        x
    }
}
