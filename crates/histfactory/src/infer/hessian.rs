//! The Hessian of −ln L.
//!
//! A bin's rate depends on its own channel's samples only. With a copy of each parameter for each channel, one pass differentiates the
//! gradient by one parameter of every channel at once: as many passes are needed as parameters act in one channel, and each channel has a
//! Hessian of its own. Their sum is that of the main part; constraint terms depend on one parameter each.

use super::jacobian::{gather, mapped, split_by_channel};
use super::{graph_of, iteration};
use crate::{GraphOptions, Model, Templates};
use std::ops::Range;
use std::sync::Arc;
use wootz_ir::ops::{RegionTransforms, RuleError};
use wootz_ir::{Builder, DType, Graph, HostTensor, Region, Shape, TensorType, TypeError, Value};
use wootz_transform::Transforms;

/// Where the parts of a Hessian belong.
pub(super) struct Layout {
    /// The parameter that each copy is of, channel by channel.
    parameters: Vec<usize>,
    /// The copies of each channel in which a parameter acts.
    channels: Vec<Range<usize>>,
}

impl Layout {
    /// The dense Hessian, row-major: from rows `[passes, copies]`, one a parameter of each channel, and a diagonal `[parameters]`.
    pub(super) fn dense(&self, rows: &[f64], diagonal: &[f64]) -> Vec<f64> {
        let n = diagonal.len();
        let mut out = vec![0.0; n * n];
        for copies in &self.channels {
            for (pass, i) in self.parameters[copies.clone()].iter().enumerate() {
                let row = &rows[pass * self.parameters.len()..][copies.clone()];
                for (j, second) in self.parameters[copies.clone()].iter().zip(row) {
                    out[i * n + j] += second;
                }
            }
        }
        diagonal.iter().enumerate().for_each(|(i, second)| out[i * n + i] += second);
        out
    }
}

/// The graph: (parameters, data, templates) → what [`Layout::dense`] takes.
pub(super) fn graph(model: &Model, options: &GraphOptions) -> Result<(Graph, Layout), RuleError> {
    let (copies, positions) = split_by_channel(model);
    let parameters: Vec<usize> = positions.keys().map(|(_, parameter)| *parameter).collect();
    let channel_of: Vec<usize> = positions.keys().map(|(channel, _)| *channel).collect();
    let mut channels: Vec<Range<usize>> = Vec::new();
    for (at, channel) in channel_of.iter().enumerate() {
        match channels.last_mut() {
            Some(last) if channel_of[last.start] == *channel => last.end = at + 1,
            _ => channels.push(at..at + 1),
        }
    }
    let passes = channels.iter().map(Range::len).max().unwrap_or(0);
    let mut seeds = vec![0.0; passes * parameters.len()];
    for range in &channels {
        range.clone().enumerate().for_each(|(pass, copy)| seeds[pass * parameters.len() + copy] = 1.0);
    }

    let config = model.config();
    let inputs =
        [("parameters", Shape::from([config.parameters()])), ("data", Shape::from([config.data_len()]))];
    let graph =
        graph_of::<RuleError>(model, options, &inputs, &["rows", "diagonal"], |b, args, templates| {
            let indices: Vec<i64> = parameters.iter().map(|parameter| *parameter as i64).collect();
            let spread_out = gather(b, args[0], &indices, &[indices.len()])?;
            let captured: Vec<Value> =
                [spread_out, args[1]].into_iter().chain(templates.captured()).collect();
            let types: Vec<TensorType> = captured.iter().map(|v| b.ty(*v).clone()).collect();
            let pass = pass(b, &copies, templates, &types)?;
            let seeds = b.constant(HostTensor::from_f64(DType::F64, &[passes, parameters.len()], &seeds));
            let rows = mapped(b, &pass, &captured, seeds, passes)?;
            let diagonal = match iteration::constraints(b, model, args[0], args[1], templates)? {
                Some(terms) => terms.curvature,
                None => b.full(&TensorType::new(DType::F64, [config.parameters()]), 0.0)?,
            };
            Ok(vec![rows, diagonal])
        })?;
    Ok((graph, Layout { parameters, channels }))
}

/// (parameters, data, templates, direction) → the derivative along the direction of the gradient of the main part, by the parameters.
fn pass(
    b: &Builder,
    model: &Model,
    templates: &Templates,
    types: &[TensorType],
) -> Result<Arc<Region>, RuleError> {
    let of_parameters: Vec<bool> = (0..types.len()).map(|i| i == 0).collect();
    let or_zeros = |b: &mut Builder, value: Option<Value>| match value {
        Some(value) => Ok(value),
        None => b.full(&types[0], 0.0),
    };
    let nll = b.subregion::<TypeError>(types, |b, p| {
        let rates = model.rates(b, p[0], &templates.rebound(&p[2..]))?;
        let logpdf = model.main_logpdf(b, rates, p[1])?;
        Ok(vec![b.neg(logpdf)?])
    })?;
    let gradient = b.subregion::<RuleError>(types, |b, p| {
        let seed = b.scalar(DType::F64, 1.0);
        let out = Transforms::new().vjp_inline(b, &nll, p, &[Some(seed)], &of_parameters)?;
        Ok(vec![or_zeros(b, out[0])?])
    })?;
    b.subregion::<RuleError>(&[types, &types[..1]].concat(), |b, p| {
        let (direction, p) = p.split_last().expect("the direction was added");
        let tangents: Vec<Option<Value>> = of_parameters.iter().map(|of| of.then_some(*direction)).collect();
        let out = Transforms::new().jvp_inline(b, &gradient, p, &tangents)?;
        Ok(vec![or_zeros(b, out[0])?])
    })
}
