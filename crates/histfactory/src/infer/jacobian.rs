//! The rates' derivatives by every parameter.
//!
//! A bin's rate depends on its own channel's samples only. With a copy of each parameter for each channel, one reverse pass therefore
//! differentiates one bin of every channel at once, and as many passes are needed as the largest channel has bins.

use super::Built;
use crate::graph::{Alphas, Layout, Variations};
use crate::model::Structure;
use crate::{Model, Templates};
use std::collections::BTreeMap;
use std::sync::Arc;
use wootz_ir::ops::{RegionTransforms, RuleError, spread};
use wootz_ir::{Builder, DType, Dim, HostTensor, Shape, TensorType, TypeError, Value};
use wootz_transform::Transforms;

/// Rates `f64[bins]` and their derivatives `f64[bins, parameters]`.
pub(super) struct Rates {
    pub(super) rates: Value,
    pub(super) jacobian: Value,
}

/// Builds the rates at `parameters` and their Jacobian.
pub(super) fn rates(
    b: &mut Builder,
    model: &Model,
    parameters: Value,
    templates: &Templates,
) -> Result<Rates, RuleError> {
    let largest = model.config().channels.iter().map(|c| c.slice.len()).max().unwrap_or(0);
    if model.config().parameters() < largest {
        let rates = model.rates(b, parameters, templates)?;
        return Ok(Rates { rates, jacobian: forward(b, model, parameters, templates)? });
    }
    reverse(b, model, parameters, templates, largest)
}

/// One pass for each parameter.
fn forward(
    b: &mut Builder,
    model: &Model,
    parameters: Value,
    templates: &Templates,
) -> Result<Value, RuleError> {
    let count = model.config().parameters();
    let (captured, types) = captures(b, templates, parameters);
    let tangent = TensorType::new(DType::F64, [count]);
    let pushed = b.subregion::<RuleError>(&[&types[..], &[tangent]].concat(), |b, p| {
        let (tangent, args) = p.split_last().expect("the tangent was added");
        let body = body(b, model, templates, args)?;
        let tangents: Vec<Option<Value>> =
            std::iter::once(Some(*tangent)).chain(args[1..].iter().map(|_| None)).collect();
        let out = Transforms::new().jvp_inline(b, &body, args, &tangents)?;
        let zeros = TensorType::new(DType::F64, [model.config().bins()]);
        Ok(vec![match out[0] {
            Some(tangent) => tangent,
            None => b.full(&zeros, 0.0)?,
        }])
    })?;
    let seeds = identity(b, count);
    let rows = mapped(b, &pushed, &captured, seeds, count)?;
    Ok(b.transpose(rows, &[1, 0])?)
}

/// One pass for each bin of the largest channel. What parameters make of variations is differentiated once and not a pass: each reads one.
fn reverse(
    b: &mut Builder,
    model: &Model,
    parameters: Value,
    templates: &Templates,
    passes: usize,
) -> Result<Rates, RuleError> {
    let (copies, positions) = split_by_channel(model);
    let config = model.config();
    let (bins, count) = (config.bins(), config.parameters());
    let indices: Vec<i64> = positions.keys().map(|(_, parameter)| *parameter as i64).collect();
    let spread_out = gather(b, parameters, &indices, &[indices.len()])?;
    let layout = Layout::new(copies.structure());
    let alphas = copies.alphas(b, &layout, spread_out)?;
    let variations = copies.variations(b, &layout, &alphas, templates)?;
    let slopes = slopes(b, &copies, &layout, &alphas, templates)?;
    let rates = copies.rates_of(b, &layout, spread_out, &variations, templates)?;

    let given = Given { parameters: spread_out, variations, slopes, templates: templates.clone() };
    let captured = given.values();
    let types: Vec<TensorType> = captured.iter().map(|v| b.ty(*v).clone()).collect();
    let cotangent = TensorType::new(DType::F64, [bins]);
    let pulled = b.subregion::<RuleError>(&[&types[..], &[cotangent]].concat(), |b, p| {
        let (cotangent, args) = p.split_last().expect("the cotangent was added");
        Ok(vec![pull(b, &copies, &layout, &given.rebound(args), *cotangent)?])
    })?;
    let mut seeds = vec![0.0; passes * bins];
    for channel in &config.channels {
        channel.slice.clone().enumerate().for_each(|(pass, bin)| seeds[pass * bins + bin] = 1.0);
    }
    let seeds = b.constant(HostTensor::from_f64(DType::F64, &[passes, bins], &seeds));
    let rows = mapped(b, &pulled, &captured, seeds, passes)?;

    let (mut from, mut filled) = (vec![0i64; bins * count], vec![0i64; bins * count]);
    for (i, (channel, parameter)) in positions.keys().enumerate() {
        for (pass, bin) in config.channels[*channel].slice.clone().enumerate() {
            from[bin * count + parameter] = (pass * positions.len() + i) as i64;
            filled[bin * count + parameter] = 1;
        }
    }
    let flat = b.reshape(rows, Shape::from([passes * positions.len()]))?;
    let dense = gather(b, flat, &from, &[bins, count])?;
    let filled = b.constant(HostTensor::from_i64(DType::Bool, &[bins, count], &filled));
    let zero = b.scalar(DType::F64, 0.0);
    Ok(Rates { rates, jacobian: b.select(filled, dense, zero)? })
}

/// The derivatives of [`Variations::values`] by their α.
fn slopes(
    b: &mut Builder,
    model: &Model,
    layout: &Layout,
    alphas: &Alphas,
    templates: &Templates,
) -> Result<Vec<Option<Value>>, RuleError> {
    let alpha: Vec<Value> = alphas.values().collect();
    let args: Vec<Value> = alpha.iter().copied().chain(templates.captured()).collect();
    let types: Vec<TensorType> = args.iter().map(|v| b.ty(*v).clone()).collect();
    let region = b.subregion::<TypeError>(&types, |b, p| {
        let (alpha, others) = p.split_at(alpha.len());
        let templates = templates.rebound(others);
        Ok(model.variations(b, layout, &alphas.rebound(alpha), &templates)?.values().collect())
    })?;
    let mut tangents = vec![None; args.len()];
    for (tangent, ty) in tangents.iter_mut().zip(&types[..alpha.len()]) {
        *tangent = Some(b.full(ty, 1.0)?);
    }
    Transforms::new().jvp_inline(b, &region, &args, &tangents)
}

/// What a pass is made from.
struct Given {
    parameters: Value,
    variations: Variations,
    slopes: Vec<Option<Value>>,
    templates: Templates,
}

impl Given {
    fn values(&self) -> Vec<Value> {
        let slopes = self.slopes.iter().flatten().copied();
        let variations = self.variations.values();
        [self.parameters]
            .into_iter()
            .chain(variations)
            .chain(slopes)
            .chain(self.templates.captured())
            .collect()
    }

    /// The same in another builder, where those values are these.
    fn rebound(&self, values: &[Value]) -> Given {
        let (parameters, rest) = values.split_first().expect("there are parameters");
        let (variations, rest) = rest.split_at(self.slopes.len());
        let (slopes, templates) = rest.split_at(self.slopes.iter().flatten().count());
        let mut slopes = slopes.iter().copied();
        Given {
            parameters: *parameters,
            variations: self.variations.rebound(variations),
            slopes: self.slopes.iter().map(|slope| slope.and_then(|_| slopes.next())).collect(),
            templates: self.templates.rebound(templates),
        }
    }
}

/// A pass: derivatives by the parameters of what a cotangent makes of the rates.
fn pull(
    b: &mut Builder,
    model: &Model,
    layout: &Layout,
    given: &Given,
    cotangent: Value,
) -> Result<Value, RuleError> {
    let variations: Vec<Value> = given.variations.values().collect();
    let args: Vec<Value> =
        [given.parameters].into_iter().chain(variations).chain(given.templates.captured()).collect();
    let types: Vec<TensorType> = args.iter().map(|v| b.ty(*v).clone()).collect();
    let count = given.slopes.len();
    let rates = b.subregion::<TypeError>(&types, |b, p| {
        let variations = given.variations.rebound(&p[1..=count]);
        let templates = given.templates.rebound(&p[count + 1..]);
        Ok(vec![model.rates_of(b, layout, p[0], &variations, &templates)?])
    })?;
    let has_slope = |i: usize| given.slopes.get(i).is_some_and(Option::is_some);
    let needs: Vec<bool> = (0..args.len()).map(|i| i == 0 || has_slope(i - 1)).collect();
    let transforms = Transforms::new();
    let by_args = transforms.vjp_inline(b, &rates, &args, &[Some(cotangent)], &needs)?;
    let by_alphas = given.variations.by_alphas(b, &by_args[1..=count], &given.slopes)?;

    let alphas =
        b.subregion::<TypeError>(&types[..1], |b, p| Ok(model.alphas(b, layout, p[0])?.values().collect()))?;
    let by_variations = transforms.vjp_inline(b, &alphas, &args[..1], &by_alphas, &[true])?[0];
    match (by_args[0], by_variations) {
        (Some(x), Some(y)) => Ok(b.add(x, y)?),
        (Some(x), None) | (None, Some(x)) => Ok(x),
        (None, None) => Ok(b.full(&types[0], 0.0)?),
    }
}

/// The model with a parameter for each channel and parameter that acts there, and their positions.
pub(super) fn split_by_channel(model: &Model) -> (Model, BTreeMap<(usize, usize), usize>) {
    let mut structure: Structure = model.structure().clone();
    let channel_of_block: Vec<usize> = structure.blocks.iter().map(|b| b.channel).collect();
    let block_of_cell = structure.cell_block.clone();
    let mut positions = BTreeMap::new();
    let mut each = |f: &mut dyn FnMut((usize, usize)) -> usize| {
        let in_block = |block: usize| channel_of_block[block];
        let in_cell = |cell: usize| in_block(block_of_cell[cell]);
        structure.block_factors.iter_mut().for_each(|(block, p)| *p = f((in_block(*block), *p)));
        structure.cell_factors.iter_mut().for_each(|(cell, p)| *p = f((in_cell(*cell), *p)));
        structure.normsys.iter_mut().for_each(|e| e.parameter = f((in_block(e.block), e.parameter)));
        structure.histosys.iter_mut().for_each(|e| e.parameter = f((in_block(e.block), e.parameter)));
    };
    each(&mut |key| {
        positions.insert(key, 0);
        key.1
    });
    positions.values_mut().enumerate().for_each(|(i, position)| *position = i);
    each(&mut |key| positions[&key]);
    (model.with_structure(structure), positions)
}

/// What a region of the rates takes: parameters, then the templates that are values.
fn captures(b: &Builder, templates: &Templates, parameters: Value) -> (Vec<Value>, Vec<TensorType>) {
    let values: Vec<Value> = std::iter::once(parameters).chain(templates.captured()).collect();
    let types = values.iter().map(|v| b.ty(*v).clone()).collect();
    (values, types)
}

/// The rates as a region of its own over such arguments.
fn body(
    b: &Builder,
    model: &Model,
    templates: &Templates,
    args: &[Value],
) -> Result<Arc<wootz_ir::Region>, TypeError> {
    let types: Vec<TensorType> = args.iter().map(|v| b.ty(*v).clone()).collect();
    b.subregion(&types, |b, p| {
        let templates = templates.rebound(&p[1..]);
        Ok(vec![model.rates(b, p[0], &templates)?])
    })
}

/// A region of one result for each row of `seeds`, its last argument.
pub(super) fn mapped(
    b: &mut Builder,
    region: &wootz_ir::Region,
    captured: &[Value],
    seeds: Value,
    size: usize,
) -> Result<Value, RuleError> {
    let args: Vec<Value> = captured.iter().copied().chain([seeds]).collect();
    let batched: Vec<bool> = (0..args.len()).map(|i| i + 1 == args.len()).collect();
    let size = Dim::from(size);
    let (rows, has_axis) = Transforms::new().batch_inline(b, region, &args, &batched, &size)?[0];
    Ok(if has_axis { rows } else { spread(b, rows, &size)? })
}

fn identity(b: &mut Builder, size: usize) -> Value {
    let mut seeds = vec![0.0; size * size];
    seeds.iter_mut().step_by(size + 1).for_each(|x| *x = 1.0);
    b.constant(HostTensor::from_f64(DType::F64, &[size, size], &seeds))
}

/// `source[indices]`.
pub(super) fn gather(b: &mut Builder, source: Value, indices: &[i64], dims: &[usize]) -> Built {
    let with_last: Vec<usize> = dims.iter().copied().chain([1]).collect();
    let indices = b.constant(HostTensor::from_i64(DType::I32, &with_last, indices));
    b.gather(source, indices, 0, 1)
}
