//! Expected rates: nominal yields plus interpolated variations, times factors, summed over samples.
//!
//! The bins of a block (a sample of a channel) are cut into tiles of one width; cells are laid out as `[width, tiles]` and the
//! variations of a tile as `[variations, width, tiles]`, so that a parameter is read once a tile and everything else is dense and contiguous.
//! Factors are those of blocks, or of cells. The last step gathers each bin's cells.

use super::rows::{gather, product, select_constant};
use super::templates::{Templates, Tensor};
use super::{Built, part};
use crate::Model;
use crate::model::{HistosysCode, NormsysCode, Structure};
use wootz_ir::{Builder, DType, Rows, Shape, TypeError, Value};

/// What parts of the graph are called.
const NORMSYS: &str = "normsys";
const HISTOSYS: &str = "histosys";
const SAMPLE_FACTORS: &str = "sample factors";

/// The widest tiles: wider ones read a parameter hardly less often.
const WIDEST: usize = 12;

/// Pieces of `width` bins of blocks.
struct Tiles {
    width: usize,
    /// The block, and the first of its bins.
    tiles: Vec<(usize, usize)>,
}

impl Tiles {
    /// The width for which the least is computed: a slot a bin, padding included, and about two more a tile and variation for
    /// reading the parameter.
    fn new(s: &Structure) -> Tiles {
        let bins = |block: usize| s.blocks[block].cells.len();
        let cost = |width: &usize| {
            (0..s.blocks.len()).map(|block| bins(block).div_ceil(*width) * (width + 2)).sum::<usize>()
        };
        let width = (1..=WIDEST).min_by_key(cost).unwrap_or(1);
        let of_block = |block: usize| (0..bins(block)).step_by(width).map(move |first| (block, first));
        Tiles { width, tiles: (0..s.blocks.len()).flat_map(of_block).collect() }
    }

    fn dims(&self) -> [usize; 2] {
        [self.width, self.tiles.len()]
    }

    /// The cell in each slot.
    fn cells(&self, s: &Structure) -> Vec<Option<usize>> {
        let slot = |(block, first): (usize, usize), i: usize| s.blocks[block].cells.clone().nth(first + i);
        (0..self.width).flat_map(|i| self.tiles.iter().map(move |tile| slot(*tile, i))).collect()
    }
}

/// Where everything stands that rates are computed from.
pub(crate) struct Layout {
    tiles: Tiles,
    /// The histosys modifiers of each tile.
    histosys: Rows,
    /// Of each of their entries the modifier and the first of the tile's bins.
    pairs: Vec<(usize, usize)>,
    /// The normsys modifiers of each block.
    normsys: Rows,
}

impl Layout {
    pub(crate) fn new(s: &Structure) -> Layout {
        let tiles = Tiles::new(s);
        let mut of_block: Vec<Vec<usize>> = vec![Vec::new(); s.blocks.len()];
        s.histosys.iter().enumerate().for_each(|(i, entry)| of_block[entry.block].push(i));
        let (mut pairs, mut tile_of) = (Vec::new(), Vec::new());
        for (tile, (block, first)) in tiles.tiles.iter().enumerate() {
            pairs.extend(of_block[*block].iter().map(|entry| (*entry, *first)));
            tile_of.resize(pairs.len(), tile);
        }
        let histosys = Rows::new(tile_of.into_iter(), tiles.tiles.len());
        let normsys = Rows::new(s.normsys.iter().map(|e| e.block), s.blocks.len());
        Layout { tiles, histosys, pairs, normsys }
    }
}

/// The parameter that each variation reads, laid out as the variations are.
#[derive(Clone, Copy)]
pub(crate) struct Alphas {
    normsys: Option<Value>,
    histosys: Option<Value>,
}

impl Alphas {
    pub(crate) fn values(&self) -> impl Iterator<Item = Value> {
        [self.normsys, self.histosys].into_iter().flatten()
    }

    /// The same in another builder, where those values are these.
    pub(crate) fn rebound(&self, values: &[Value]) -> Alphas {
        let mut others = values.iter().copied();
        let mut other = |value: Option<Value>| value.and_then(|_| others.next());
        Alphas { normsys: other(self.normsys), histosys: other(self.histosys) }
    }
}

/// What each variation's parameter makes of it: elementwise functions of [`Alphas`].
#[derive(Clone, Copy)]
pub(crate) struct Variations {
    /// ln |f(α)| of each normsys modifier.
    logs: Option<Value>,
    /// s(α) and c(α) of each histosys modifier.
    shifts: Option<[Value; 2]>,
    /// Where f(α) is negative, if it may be.
    negative: Option<Value>,
}

impl Variations {
    /// Those with derivatives by α, normsys's before histosys's, and then the others.
    pub(crate) fn values(&self) -> impl Iterator<Item = Value> {
        self.logs.into_iter().chain(self.shifts.into_iter().flatten()).chain(self.negative)
    }

    /// The same in another builder, where those values are these.
    pub(crate) fn rebound(&self, values: &[Value]) -> Variations {
        let mut others = values.iter().copied();
        let mut other = |value: Value| others.next().unwrap_or(value);
        Variations {
            logs: self.logs.map(&mut other),
            shifts: self.shifts.map(|shifts| shifts.map(&mut other)),
            negative: self.negative.map(&mut other),
        }
    }

    /// Derivatives by [`Alphas::values`] from those by [`Variations::values`], which have one each, and the slopes by α.
    pub(crate) fn by_alphas(
        &self,
        b: &mut Builder,
        by_variations: &[Option<Value>],
        slopes: &[Option<Value>],
    ) -> Result<Vec<Option<Value>>, TypeError> {
        let sizes = [usize::from(self.logs.is_some()), 2 * usize::from(self.shifts.is_some())];
        let (mut out, mut first) = (Vec::new(), 0);
        for size in sizes.into_iter().filter(|size| *size > 0) {
            let mut sum = None;
            for at in first..first + size {
                let (Some(cotangent), Some(slope)) = (by_variations[at], slopes[at]) else { continue };
                let product = b.mul(cotangent, slope)?;
                sum = Some(match sum {
                    Some(sum) => b.add(sum, product)?,
                    None => product,
                });
            }
            out.push(sum);
            first += size;
        }
        Ok(out)
    }
}

/// The rates of cells.
struct Cells {
    /// One a slot of the tiles.
    rates: Value,
    slot_of: Vec<usize>,
}

impl Model {
    /// The expected rates `f64[bins]` at `parameters`, `f64[parameters]`.
    pub fn rates(&self, b: &mut Builder, parameters: Value, templates: &Templates) -> Built {
        let layout = Layout::new(self.structure());
        let alphas = self.alphas(b, &layout, parameters)?;
        let variations = self.variations(b, &layout, &alphas, templates)?;
        self.rates_of(b, &layout, parameters, &variations, templates)
    }

    /// The parameters that variations read.
    pub(crate) fn alphas(
        &self,
        b: &mut Builder,
        layout: &Layout,
        parameters: Value,
    ) -> Result<Alphas, TypeError> {
        let s = self.structure();
        let mut out = Alphas { normsys: None, histosys: None };
        if !s.normsys.is_empty() {
            let parameter = |entry: usize| s.normsys[entry].parameter;
            out.normsys = Some(part(b, NORMSYS, |b| layout.normsys.gather(b, parameters, parameter))?);
        }
        if !s.histosys.is_empty() {
            let parameter = |pair: usize| s.histosys[layout.pairs[pair].0].parameter;
            out.histosys = Some(part(b, HISTOSYS, |b| layout.histosys.gather(b, parameters, parameter))?);
        }
        Ok(out)
    }

    /// What the parameters make of the variations that read them.
    pub(crate) fn variations(
        &self,
        b: &mut Builder,
        layout: &Layout,
        alphas: &Alphas,
        templates: &Templates,
    ) -> Result<Variations, TypeError> {
        let mut out = Variations { logs: None, shifts: None, negative: None };
        if let Some(alpha) = alphas.normsys {
            let (logs, negative) =
                part(b, NORMSYS, |b| self.normsys_logs(b, &layout.normsys, alpha, templates))?;
            (out.logs, out.negative) = (Some(logs), negative);
        }
        if let Some(alpha) = alphas.histosys {
            let code = self.options().settings.histosys;
            out.shifts = Some(part(b, HISTOSYS, |b| interpolate(b, code, alpha))?);
        }
        Ok(out)
    }

    /// The expected rates of these variations and the factors among the parameters.
    pub(crate) fn rates_of(
        &self,
        b: &mut Builder,
        layout: &Layout,
        parameters: Value,
        variations: &Variations,
        templates: &Templates,
    ) -> Built {
        let cells = self.cells(b, layout, parameters, variations, templates)?;
        part(b, "rates", |b| self.bin_rates(b, &cells))
    }

    /// The rates of cells summed over the samples of each bin, `f64[bins]`.
    fn bin_rates(&self, b: &mut Builder, cells: &Cells) -> Built {
        let s = self.structure();
        let bins = Rows::new(s.cell_bin.iter().copied(), s.bins);
        let rates = bins.gather(b, cells.rates, |cell| cells.slot_of[cell])?;
        let rates = bins.masked(b, rates, 0.0)?;
        let mut rates = bins.sum(b, rates)?;
        if let Some(least) = self.options().clip_sample_data.filter(|c| *c > 0.0) {
            // Samples that a channel has not are clipped as well.
            if s.absent.iter().any(|n| *n > 0) {
                let floor: Vec<f64> = s.absent.iter().map(|n| *n as f64 * least).collect();
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
        let layout = Layout::new(s);
        let alphas = self.alphas(b, &layout, parameters)?;
        let variations = self.variations(b, &layout, &alphas, templates)?;
        let cells = self.cells(b, &layout, parameters, &variations, templates)?;
        let dims = [self.config().samples.len(), s.bins];
        let mut indices = vec![0i64; dims[0] * dims[1]];
        let mut filled = vec![false; indices.len()];
        for (cell, slot) in cells.slot_of.iter().enumerate() {
            let at = s.blocks[s.cell_block[cell]].sample * s.bins + s.cell_bin[cell];
            (indices[at], filled[at]) = (*slot as i64, true);
        }
        let rates = gather(b, cells.rates, &indices, &dims)?;
        let absent = self.options().clip_sample_data.map_or(0.0, |least| least.max(0.0));
        select_constant(b, &filled, &dims, rates, absent)
    }

    fn cells(
        &self,
        b: &mut Builder,
        layout: &Layout,
        parameters: Value,
        variations: &Variations,
        templates: &Templates,
    ) -> Result<Cells, TypeError> {
        let s = self.structure();
        let tiles = &layout.tiles;
        let slots = tiles.cells(s);
        let mut slot_of = vec![0; s.nominal.len()];
        slots.iter().enumerate().for_each(|(slot, cell)| cell.iter().for_each(|cell| slot_of[*cell] = slot));
        let shape = Shape::from(tiles.dims());
        let nominal = templates.nominal(self);
        let mut rates = part(b, "nominal rates", |b| nominal.arranged(b, &slots, &tiles.dims()))?;
        if let Some(of_alpha) = variations.shifts {
            rates = part(b, HISTOSYS, |b| {
                let shifts = self.shifts(b, layout, of_alpha, templates)?;
                b.add(rates, shifts)
            })?;
        }
        if let Some(factors) = self.block_factors(b, layout, parameters, variations)? {
            let block: Vec<i64> = tiles.tiles.iter().map(|(block, _)| *block as i64).collect();
            rates = part(b, SAMPLE_FACTORS, |b| {
                let factors = gather(b, factors, &block, &[block.len()])?;
                let factors = b.broadcast(factors, &shape, &[1])?;
                b.mul(rates, factors)
            })?;
        }
        if !s.cell_factors.is_empty() {
            let entries: Vec<(usize, usize)> =
                s.cell_factors.iter().map(|(c, p)| (slot_of[*c], *p)).collect();
            rates = part(b, "bin factors", |b| {
                let factors = product(b, parameters, &entries, slots.len())?;
                let factors = b.reshape(factors, shape)?;
                b.mul(rates, factors)
            })?;
        }
        if let Some(least) = self.options().clip_sample_data {
            let least = b.scalar(DType::F64, least);
            rates = b.maximum(rates, least)?;
        }
        let rates = b.reshape(rates, Shape::from([slots.len()]))?;
        Ok(Cells { rates, slot_of })
    }

    /// What histosys modifiers add to each cell: Σ s(α)·S + c(α)·A, for every interpolation code.
    fn shifts(
        &self,
        b: &mut Builder,
        layout: &Layout,
        [linear, even]: [Value; 2],
        templates: &Templates,
    ) -> Built {
        let s = self.structure();
        let Layout { tiles, histosys: rows, pairs, .. } = layout;
        let element =
            |pair: usize, i: usize| s.histosys[pairs[pair].0].elements.clone().nth(pairs[pair].1 + i);
        let [variations, chunks] = rows.dims();
        let dims = [variations, tiles.width, chunks];
        let mut elements: Vec<Option<usize>> = Vec::with_capacity(dims.iter().product());
        for slots in rows.slots().chunks(chunks.max(1)) {
            for i in 0..tiles.width {
                elements.extend(slots.iter().map(|slot| slot.and_then(|pair| element(pair, i))));
            }
        }
        let [sums, differences] = templates.histosys(b, self)?;
        let sums = sums.arranged(b, &elements, &dims)?;
        let differences = differences.arranged(b, &elements, &dims)?;
        let shape = Shape::from(dims);
        let linear = b.broadcast(linear, &shape, &[0, 2])?;
        let even = b.broadcast(even, &shape, &[0, 2])?;
        let (linear, even) = (b.mul(linear, sums)?, b.mul(even, differences)?);
        let shifts = b.add(linear, even)?;
        rows.sum_apart(b, shifts)
    }

    /// The factors of normsys, normfactor and lumi, one a block.
    fn block_factors(
        &self,
        b: &mut Builder,
        layout: &Layout,
        parameters: Value,
        variations: &Variations,
    ) -> Result<Option<Value>, TypeError> {
        let s = self.structure();
        let mut out = None;
        if let Some(logs) = variations.logs {
            let rows = &layout.normsys;
            out = Some(part(b, NORMSYS, |b| normsys_factors(b, rows, logs, variations.negative))?);
        }
        if s.block_factors.is_empty() {
            return Ok(out);
        }
        part(b, SAMPLE_FACTORS, |b| {
            let factors = product(b, parameters, &s.block_factors, s.blocks.len())?;
            match out {
                Some(out) => b.mul(out, factors),
                None => Ok(factors),
            }
        })
        .map(Some)
    }

    /// ln |f(α)| of each normsys modifier, and where f(α) is negative if it may be: within ±1 code 4's polynomial can be, for extreme factors.
    fn normsys_logs(
        &self,
        b: &mut Builder,
        rows: &Rows,
        alpha: Value,
        templates: &Templates,
    ) -> Result<(Value, Option<Value>), TypeError> {
        let [log_lo, log_hi] = templates.normsys_logs(b, self)?;
        let (log_lo, log_hi) = (log_lo.laid(b, rows)?, log_hi.laid(b, rows)?);
        let zero = b.scalar(DType::F64, 0.0);
        let is_up = b.gt(alpha, zero)?;
        let log_base = b.select(is_up, log_hi, log_lo)?;
        let NormsysCode::Code4 = self.options().settings.normsys else {
            // Not |α|, whose derivative at the kink is 0: the lower branch's is wanted there.
            let minus = b.neg(alpha)?;
            let size = b.select(is_up, alpha, minus)?;
            return Ok((b.mul(size, log_base)?, None));
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
        let mut polynomial = coefficients[5].laid(b, rows)?;
        for coefficient in coefficients[..5].iter().rev() {
            let coefficient = coefficient.laid(b, rows)?;
            let product = b.mul(polynomial, inside)?;
            polynomial = b.add(product, coefficient)?;
        }
        let polynomial = b.mul(polynomial, inside)?;
        let polynomial = b.add(polynomial, one)?;
        let size = if may_be_negative { b.abs(polynomial)? } else { polynomial };
        let logs = b.log(size)?;
        let logs = b.add(logs, outside)?;
        Ok((logs, if may_be_negative { Some(b.lt(polynomial, zero)?) } else { None }))
    }
}

/// Π f(α) = exp Σ ln |f(α)| a block, negative where an odd number of them is.
fn normsys_factors(b: &mut Builder, rows: &Rows, logs: Value, negative: Option<Value>) -> Built {
    let logs = rows.sum(b, logs)?;
    let factors = b.exp(logs)?;
    let Some(is_negative) = negative else { return Ok(factors) };
    let negative = b.cast(is_negative, DType::F64)?;
    let count = rows.sum(b, negative)?;
    let (one, two) = (b.scalar(DType::F64, 1.0), b.scalar(DType::F64, 2.0));
    let odd = b.rem(count, two)?;
    let odd = b.eq(odd, one)?;
    let minus = b.neg(factors)?;
    b.select(odd, minus, factors)
}

/// s(α) and c(α), elementwise, such that a code's interpolation is s(α)·S + c(α)·A.
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
