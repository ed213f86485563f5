//! Random graphs, continued: computed positions, random numbers, ops that own regions.

use crate::graphs::{BOUND, Dna, Garden, Gene, MAX_ELEMENTS, Made, limit};
use std::sync::Arc;
use wootz_ir::ops::{Control, Op, ScatterKind, SegmentKind};
use wootz_ir::{Builder, DType, Dim, Dims, HostTensor, Region, TensorType, TypeError, Value};

impl Garden {
    /// Whole numbers between −1 and 4.
    fn indices(&mut self, dna: &mut Dna, shape: &[usize]) -> Result<Value, TypeError> {
        let elements: usize = shape.iter().product();
        let given =
            self.pick_where(dna, |t| t.dtype.is_int() && t.shape.elements().as_const() == Some(elements));
        Ok(match given {
            Some(value) => {
                let small = self.tame(value, 4.0)?;
                let flat = self.b.reshape(small, shape)?;
                self.b.cast(flat, [DType::I64, DType::I32][dna.below(2)])?
            }
            None => {
                let entries: Vec<i64> = (0..elements).map(|_| dna.below(6) as i64 - 1).collect();
                self.b.constant(HostTensor::from_i64(DType::I64, shape, &entries))
            }
        })
    }

    /// (batch, indexed, shape of the index vectors) for an operand.
    fn places(&self, dna: &mut Dna, dims: &Dims) -> (usize, usize, Vec<usize>) {
        let batch = dna.below(dims.len().min(2));
        let indexed = 1 + dna.below(dims.len() - batch);
        let shape = dims[..batch].iter().copied().chain((0..dna.below(2)).map(|i| i + 2)).chain([indexed]);
        (batch, indexed, shape.collect())
    }

    pub(crate) fn gather_or_segment(&mut self, dna: &mut Dna) -> Made {
        let x = self.pick(dna);
        let dims = self.dims(x);
        if dims.is_empty() || dims.contains(&0) {
            return Ok(None);
        }
        if dna.below(3) == 0 && self.dtype(x) != DType::Bool {
            let small = self.tame(x, limit(self.dtype(x)) / 32.0)?;
            let ids: Vec<i64> = (0..dims[0] as i64).map(|i| i / 2).collect();
            let ids = self.b.constant(HostTensor::from_i64(DType::I64, &[dims[0]], &ids));
            let bound = self.bound(small) * dims[0] as f64;
            let out = self.b.segment(SegmentKind::Sum, small, ids, 0, Dim::from(1 + dna.below(3)))?;
            return self.bounded(out, bound);
        }
        let (batch, indexed, shape) = self.places(dna, &dims);
        let indices = self.indices(dna, &shape)?;
        let out = self.b.gather(x, indices, batch, indexed)?;
        self.moved(x, out)
    }

    pub(crate) fn scatter(&mut self, dna: &mut Dna) -> Made {
        let x = self.pick(dna);
        let dims = self.dims(x);
        if dims.is_empty() || dims.contains(&0) {
            return Ok(None);
        }
        let (batch, indexed, shape) = self.places(dna, &dims);
        let indices = self.indices(dna, &shape)?;
        let updates: Vec<usize> =
            shape[..shape.len() - 1].iter().chain(&dims[batch + indexed..]).copied().collect();
        let dtype = self.dtype(x);
        let given = self.pick_where(dna, |t| t.dtype == dtype && t.shape == updates.as_slice().into());
        let updates = match given {
            Some(value) => self.tame(value, BOUND)?,
            None => self.b.full(&TensorType::new(dtype, updates.as_slice()), 2.0)?,
        };
        let add = dna.flag() && dtype != DType::Bool;
        let kind = if add { ScatterKind::Add } else { ScatterKind::Set };
        let x = self.tame(x, limit(dtype) / 2.0 - 32.0 * BOUND)?;
        let bound = self.bound(x) + if add { 32.0 * BOUND } else { BOUND };
        let out = self.b.scatter(kind, x, indices, updates, batch, indexed)?;
        self.bounded(out, bound)
    }

    pub(crate) fn random(&mut self, dna: &mut Dna) -> Made {
        let like = self.pick(dna);
        let dims = self.dims(like);
        let key = self.b.constant(HostTensor::from_i64(DType::U32, &[2], &[7, dna.below(9) as i64]));
        let data = self.b.scalar(DType::U32, dna.below(3) as f64);
        let key = self.b.fold_in(key, data)?;
        let bits = self.b.random_bits(key, dims.as_slice())?;
        let small = self.tame(bits, 5.0)?;
        self.b.cast(small, [DType::F32, DType::I64][dna.below(2)]).map(Some)
    }

    /// A region over values of these types whose first results have the types of `results`.
    fn region(
        &mut self,
        dna: &mut Dna,
        params: &[TensorType],
        results: &[TensorType],
        extra: usize,
        depth: usize,
    ) -> Result<Arc<Region>, TypeError> {
        let mut inner = Garden::new(params);
        for n in 0..3 + dna.below(4) {
            let gene: Gene = std::array::from_fn(|_| dna.below(256) as u8 ^ n as u8);
            inner.grow(gene, depth);
        }
        let mut out = Vec::new();
        for ty in results {
            let fitting: Vec<Value> = inner.pool.iter().copied().filter(|v| inner.b.ty(*v) == ty).collect();
            let value = fitting.last().copied().unwrap();
            out.push(inner.tame(value, BOUND)?);
        }
        for _ in 0..extra {
            let value = inner.pick(dna);
            out.push(inner.tame(value, BOUND)?);
        }
        Ok(Arc::new(inner.b.finish(&out)))
    }

    pub(crate) fn control(&mut self, dna: &mut Dna, depth: usize) -> Made {
        let picked = [self.pick(dna), self.pick(dna)];
        let [x, y] = [self.tame(picked[0], BOUND)?, self.tame(picked[1], BOUND)?];
        let types = [self.b.ty(x).clone(), self.b.ty(y).clone()];
        let outputs = match dna.below(4) {
            0 => {
                let body = self.region(dna, &types, &[], 2, depth)?;
                self.b.push_multi(Op::Control(Control::Call { body }), &[x, y])?
            }
            1 => {
                let then = self.region(dna, &types, &types, 0, depth)?;
                let otherwise = self.region(dna, &types, &types, 0, depth)?;
                let predicate = self.b.constant(HostTensor::scalar(DType::Bool, dna.below(2) as f64));
                self.b.push_multi(Op::Control(Control::Cond { then, otherwise }), &[predicate, x, y])?
            }
            2 => {
                let counter = TensorType::scalar(DType::I64);
                let all = [counter, types[0].clone(), types[1].clone()];
                let (cond, body) = while_regions(&self.region(dna, &types, &types[..1], 0, depth)?, &all)?;
                let zero = self.b.scalar(DType::I64, 0.0);
                let op = Control::While { cond, body, carries: 2 };
                self.b.push_multi(Op::Control(op), &[zero, x, y])?
            }
            _ => {
                let dims = self.dims(y);
                let Some((length, row)) = dims.split_first() else { return Ok(None) };
                let row = TensorType::new(types[1].dtype, row);
                let body =
                    self.region(dna, &[types[0].clone(), row, types[1].clone()], &types[..1], 1, depth)?;
                let op = Control::Scan {
                    body,
                    carries: 1,
                    xs: 1,
                    length: Dim::from(*length),
                    reverse: dna.flag(),
                };
                self.b.push_multi(Op::Control(op), &[x, y, y])?
            }
        };
        for value in &outputs {
            if self.dims(*value).iter().product::<usize>() <= MAX_ELEMENTS {
                self.pool.push(*value);
            }
        }
        Ok(None)
    }
}

/// A loop of three steps around `step`: (counter, x), y → (counter + 1, step(x, y)).
fn while_regions(step: &Arc<Region>, types: &[TensorType]) -> Result<(Arc<Region>, Arc<Region>), TypeError> {
    let b = Builder::new();
    let cond = b.subregion(types, |b, p| {
        let three = b.scalar(DType::I64, 3.0);
        Ok::<_, TypeError>(vec![b.lt(p[0], three)?])
    })?;
    let body = b.subregion(types, |b, p| {
        let next = b.add_scalar(p[0], 1.0)?;
        let x = b.push(Control::Call { body: step.clone() }, &[p[1], p[2]])?;
        Ok::<_, TypeError>(vec![next, x])
    })?;
    Ok((cond, body))
}
