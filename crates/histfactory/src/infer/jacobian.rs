//! The rates' derivatives by every parameter.
//!
//! A bin's rate depends on its own channel's samples only. With a copy of each parameter for each channel, one reverse pass therefore
//! differentiates one bin of every channel at once, and as many passes are needed as the largest channel has bins.

use super::Built;
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
    let rates = model.rates(b, parameters, templates)?;
    let largest = model.config().channels.iter().map(|c| c.slice.len()).max().unwrap_or(0);
    let jacobian = if model.config().parameters() < largest {
        forward(b, model, parameters, templates)?
    } else {
        reverse(b, model, parameters, templates, largest)?
    };
    Ok(Rates { rates, jacobian })
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

/// One pass for each bin of the largest channel.
fn reverse(
    b: &mut Builder,
    model: &Model,
    parameters: Value,
    templates: &Templates,
    passes: usize,
) -> Result<Value, RuleError> {
    let (copies, positions) = split_by_channel(model);
    let config = model.config();
    let (bins, count) = (config.bins(), config.parameters());
    let indices: Vec<i64> = positions.keys().map(|(_, parameter)| *parameter as i64).collect();
    let spread_out = gather(b, parameters, &indices, &[indices.len()])?;
    let (captured, types) = captures(b, templates, spread_out);
    let cotangent = TensorType::new(DType::F64, [bins]);
    let pulled = b.subregion::<RuleError>(&[&types[..], &[cotangent]].concat(), |b, p| {
        let (cotangent, args) = p.split_last().expect("the cotangent was added");
        let body = body(b, &copies, templates, args)?;
        let needs: Vec<bool> = (0..args.len()).map(|i| i == 0).collect();
        let out = Transforms::new().vjp_inline(b, &body, args, &[Some(*cotangent)], &needs)?;
        Ok(vec![match out[0] {
            Some(gradient) => gradient,
            None => b.full(&types[0], 0.0)?,
        }])
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
    Ok(b.select(filled, dense, zero)?)
}

/// The model with a parameter for each channel and parameter that acts there, and their positions.
fn split_by_channel(model: &Model) -> (Model, BTreeMap<(usize, usize), usize>) {
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
fn mapped(
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
