//! Expected rates: nominal yields plus interpolated variations, times factors, summed over samples.
//!
//! Cells are laid out as `[bins, samples]`, so that the sum over samples is dense; so are the variations of a cell and the factors of a
//! block. Parameters are read by constant index.

use super::Built;
use super::rows::{Rows, gather, product, select_constant};
use super::templates::{Templates, Tensor};
use crate::Model;
use crate::model::{HistosysCode, NormsysCode};
use wootz_ir::{Builder, DType, Shape, TypeError, Value};

/// The rates of cells in a layout by bin.
struct Cells {
    layout: Rows,
    rates: Value,
}

impl Model {
    /// The expected rates `f64[bins]` at `parameters`, `f64[parameters]`.
    pub fn rates(&self, b: &mut Builder, parameters: Value, templates: &Templates) -> Built {
        let cells = self.cells(b, parameters, templates)?;
        let mut rates = cells.layout.sum(b, cells.rates)?;
        if let Some(least) = self.options().clip_sample_data.filter(|c| *c > 0.0) {
            // Samples that a channel has not are clipped as well.
            let absent = &self.structure().absent;
            if absent.iter().any(|n| *n > 0) {
                let floor: Vec<f64> = absent.iter().map(|n| *n as f64 * least).collect();
                let floor = Tensor::vector(&floor).value(b);
                rates = b.add(rates, floor)?;
            }
        }
        match self.options().clip_bin_data {
            Some(least) => {
                let least = b.scalar(DType::F64, least);
                b.maximum(rates, least)
            }
            None => Ok(rates),
        }
    }

    /// The expected rates of each sample, `f64[samples, bins]`; 0 where a channel has not the sample.
    pub fn sample_rates(&self, b: &mut Builder, parameters: Value, templates: &Templates) -> Built {
        let s = self.structure();
        let cells = self.cells(b, parameters, templates)?;
        let slots = cells.layout.slot_of(s.nominal.len());
        let dims = [self.config().samples.len(), s.bins];
        let mut indices = vec![0i64; dims[0] * dims[1]];
        let mut filled = vec![false; indices.len()];
        for (cell, slot) in slots.iter().enumerate() {
            let at = s.blocks[s.cell_block[cell]].sample * s.bins + s.cell_bin[cell];
            (indices[at], filled[at]) = (*slot as i64, true);
        }
        let flat = b.reshape(cells.rates, Shape::from([cells.layout.slots.len()]))?;
        let rates = gather(b, flat, &indices, &dims)?;
        let absent = self.options().clip_sample_data.map_or(0.0, |least| least.max(0.0));
        select_constant(b, &filled, &dims, rates, absent)
    }

    fn cells(&self, b: &mut Builder, parameters: Value, templates: &Templates) -> Result<Cells, TypeError> {
        let s = self.structure();
        let layout = Rows::new(s.cell_bin.iter().copied(), s.bins);
        let mut rates = templates.nominal(self).laid(b, &layout, 0.0)?;
        if !s.histosys.is_empty() {
            let shifts = self.shifts(b, parameters, templates, &layout)?;
            rates = b.add(rates, shifts)?;
        }
        if let Some(factors) = self.block_factors(b, parameters, templates)? {
            let factors = layout.gather(b, factors, |cell| s.cell_block[cell])?;
            rates = b.mul(rates, factors)?;
        }
        if !s.cell_factors.is_empty() {
            let slot_of = layout.slot_of(s.nominal.len());
            let entries: Vec<(usize, usize)> =
                s.cell_factors.iter().map(|(c, p)| (slot_of[*c], *p)).collect();
            let factors = product(b, parameters, &entries, layout.slots.len())?;
            let factors = b.reshape(factors, Shape::from(layout.dims()))?;
            rates = b.mul(rates, factors)?;
        }
        if let Some(least) = self.options().clip_sample_data {
            let least = b.scalar(DType::F64, least);
            rates = b.maximum(rates, least)?;
            rates = layout.masked(b, rates, 0.0)?;
        }
        Ok(Cells { layout, rates })
    }

    /// What histosys modifiers add to each cell: Σ s(α)·S + c(α)·A, for every interpolation code.
    fn shifts(&self, b: &mut Builder, parameters: Value, templates: &Templates, layout: &Rows) -> Built {
        let s = self.structure();
        let slot_of = layout.slot_of(s.nominal.len());
        let rows = Rows::new(s.histosys.iter().map(|e| slot_of[e.cell]), layout.slots.len());
        let [sums, differences] = templates.histosys(b, self)?;
        let (sums, differences) = (sums.laid(b, &rows, 0.0)?, differences.laid(b, &rows, 0.0)?);
        let [linear, even] = interpolate(b, self.options().settings.histosys, parameters)?;
        let linear = rows.gather(b, linear, |e| s.histosys[e].parameter)?;
        let even = rows.gather(b, even, |e| s.histosys[e].parameter)?;
        let (linear, even) = (b.mul(linear, sums)?, b.mul(even, differences)?);
        let shifts = b.add(linear, even)?;
        let shifts = rows.sum(b, shifts)?;
        b.reshape(shifts, Shape::from(layout.dims()))
    }

    /// The factors of normsys, normfactor and lumi, one a block.
    fn block_factors(
        &self,
        b: &mut Builder,
        parameters: Value,
        templates: &Templates,
    ) -> Result<Option<Value>, TypeError> {
        let s = self.structure();
        let mut out = None;
        if !s.normsys.is_empty() {
            out = Some(self.normsys_factors(b, parameters, templates)?);
        }
        if !s.block_factors.is_empty() {
            let factors = product(b, parameters, &s.block_factors, s.blocks.len())?;
            out = Some(match out {
                Some(out) => b.mul(out, factors)?,
                None => factors,
            });
        }
        Ok(out)
    }

    /// Π f(α) = exp Σ ln f(α) a block. Within ±1 code 4's polynomial can be negative for extreme factors: its sign is kept apart.
    fn normsys_factors(&self, b: &mut Builder, parameters: Value, templates: &Templates) -> Built {
        let s = self.structure();
        let rows = Rows::new(s.normsys.iter().map(|e| e.block), s.blocks.len());
        let alpha = rows.gather(b, parameters, |e| s.normsys[e].parameter)?;
        let [log_lo, log_hi] = templates.normsys_logs(b, self)?;
        let (log_lo, log_hi) = (log_lo.laid(b, &rows, 0.0)?, log_hi.laid(b, &rows, 0.0)?);
        let zero = b.scalar(DType::F64, 0.0);
        let is_up = b.gt(alpha, zero)?;
        let log_base = b.select(is_up, log_hi, log_lo)?;
        let NormsysCode::Code4 = self.options().settings.normsys else {
            // Not |α|, whose derivative at the kink is 0: the lower branch's is wanted there.
            let minus = b.neg(alpha)?;
            let size = b.select(is_up, alpha, minus)?;
            let logs = b.mul(size, log_base)?;
            let logs = rows.sum(b, logs)?;
            return b.exp(logs);
        };
        let one = b.scalar(DType::F64, 1.0);
        let size = b.abs(alpha)?;
        let is_inside = b.lt(size, one)?;
        let outside = b.select(is_inside, zero, size)?;
        let outside = b.mul(outside, log_base)?;
        // The polynomial is evaluated where it holds and nowhere else, so that its logarithm cannot spoil a derivative.
        let inside = b.select(is_inside, alpha, zero)?;
        let coefficients = templates.code4(b, self)?;
        let may_be_negative = coefficients.iter().any(|c| !c.is_constant()) || !positive(&coefficients);
        let mut polynomial = coefficients[5].laid(b, &rows, 0.0)?;
        for coefficient in coefficients[..5].iter().rev() {
            let coefficient = coefficient.laid(b, &rows, 0.0)?;
            let product = b.mul(polynomial, inside)?;
            polynomial = b.add(product, coefficient)?;
        }
        let polynomial = b.mul(polynomial, inside)?;
        let polynomial = b.add(polynomial, one)?;
        let size = if may_be_negative { b.abs(polynomial)? } else { polynomial };
        let logs = b.log(size)?;
        let logs = b.add(logs, outside)?;
        let logs = rows.sum(b, logs)?;
        let factors = b.exp(logs)?;
        if !may_be_negative {
            return Ok(factors);
        }
        // (−1)^(number of negative factors).
        let is_negative = b.lt(polynomial, zero)?;
        let negative = b.cast(is_negative, DType::F64)?;
        let count = rows.sum(b, negative)?;
        let two = b.scalar(DType::F64, 2.0);
        let odd = b.rem(count, two)?;
        let odd = b.eq(odd, one)?;
        let minus = b.neg(factors)?;
        b.select(odd, minus, factors)
    }
}

/// s(α) and c(α), elementwise over all parameters, such that a code's interpolation is s(α)·S + c(α)·A.
fn interpolate(b: &mut Builder, code: HistosysCode, alpha: Value) -> Result<[Value; 2], TypeError> {
    let (zero, one) = (b.scalar(DType::F64, 0.0), b.scalar(DType::F64, 1.0));
    let minus_one = b.scalar(DType::F64, -1.0);
    match code {
        HistosysCode::Code0 => {
            let up = b.mul_scalar(alpha, 8.0)?;
            let down = b.neg(up)?;
            let is_up = b.gt(alpha, zero)?;
            Ok([alpha, b.select(is_up, up, down)?])
        }
        HistosysCode::Code2 => {
            let (above, below) = (b.gt(alpha, one)?, b.lt(alpha, minus_one)?);
            let shifted = b.add(alpha, minus_one)?;
            let linear = b.select(above, shifted, alpha)?;
            let square = b.mul(alpha, alpha)?;
            let square = b.mul_scalar(square, 8.0)?;
            let up = b.mul_scalar(shifted, 16.0)?;
            let down = b.mul_scalar(alpha, -16.0)?;
            let even = b.select(below, down, square)?;
            Ok([linear, b.select(above, up, even)?])
        }
        HistosysCode::Code4p => {
            let (above, below) = (b.gt(alpha, one)?, b.lt(alpha, minus_one)?);
            let square = b.mul(alpha, alpha)?;
            let inner = b.mul_scalar(square, 3.0)?;
            let inner = b.add_scalar(inner, -10.0)?;
            let inner = b.mul(square, inner)?;
            let inner = b.add_scalar(inner, 15.0)?;
            let inner = b.mul(square, inner)?;
            let up = b.mul_scalar(alpha, 8.0)?;
            let down = b.neg(up)?;
            let even = b.select(below, down, inner)?;
            Ok([alpha, b.select(above, up, even)?])
        }
    }
}

/// True if every polynomial 1 + Σ aᵢ αⁱ is certainly positive on [−1, 1].
fn positive(coefficients: &[Tensor; 6]) -> bool {
    let Tensor::Constant(first) = &coefficients[0] else { return false };
    let value = |i: usize, entry: usize| match &coefficients[i] {
        Tensor::Constant(tensor) => tensor.as_slice::<f64>()[entry],
        Tensor::Value(_) => f64::NAN,
    };
    (0..first.len()).all(|entry| {
        let a: [f64; 6] = std::array::from_fn(|i| value(i, entry));
        a.iter().map(|a| a.abs()).sum::<f64>() < 0.99 || positive_by_steps(&a)
    })
}

/// The same for one polynomial, by its values at close points and a bound of its slope.
fn positive_by_steps(a: &[f64; 6]) -> bool {
    const STEPS: usize = 256;
    let slope: f64 = a.iter().enumerate().map(|(i, a)| (i + 1) as f64 * a.abs()).sum();
    let half_step = 1.0 / STEPS as f64;
    (0..=STEPS).all(|i| {
        let x = -1.0 + 2.0 * half_step * i as f64;
        1.0 + x * a.iter().rev().fold(0.0, |sum, a| sum * x + a) > slope * half_step
    })
}
