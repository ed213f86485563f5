//! Histograms in which each event is spread over bins, so that contents have derivatives by the events.
//!
//! An event at x has the share F((b−x)/h) − F((a−x)/h) in the bin from a to b, where h is the bandwidth and F a cumulative distribution. F is
//! ½ plus an odd function, ½·erf(t/√2) or ½·tanh(t/2), whose arguments are what programs compute with. They take events by blocks, so that
//! one compilation serves any number of them.
//!
//! ```
//! use std::sync::Arc;
//! use wootz_histfactory::{Events, Ends, SoftHistogram, Spread};
//!
//! let mut histogram = SoftHistogram::new(2, Spread::Normal, Ends::Infinite, Arc::new(wootz_cpu::Cpu::default()));
//! let events = Events { x: &[0.5, 0.5, 3.0], weights: None };
//! let contents = histogram.contents(events, &[0.0, 1.0, 2.0], 0.1, 1.0)?;
//! assert!((contents[0] - 2.0).abs() < 1e-6 && (contents[1] - 1.0).abs() < 1e-6);
//! # Ok::<(), wootz_histfactory::InferenceError>(())
//! ```

use crate::InferenceError;
use crate::infer::{session, write};
use std::f64::consts::{FRAC_1_SQRT_2, PI};
use std::sync::Arc;
use wootz_ir::{Builder, DType, Graph, Input, Output, Role, Shape, TensorType, TypeError, Value};
use wootz_runtime::{Backend, Options, Session};

/// The distribution by which an event is spread.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Spread {
    /// A normal one with the bandwidth as its standard deviation.
    Normal,
    /// A logistic one with the bandwidth as its scale.
    Logistic,
}

/// Where the outer bins end.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Ends {
    /// At the outer edges: shares beyond them are lost.
    Edges,
    /// At infinity: no share is lost.
    Infinite,
}

/// What is filled into a histogram.
#[derive(Copy, Clone, Debug)]
pub struct Events<'a> {
    /// Where the events are, `[events]`, finite.
    pub x: &'a [f64],
    /// Their weights, `[events]`; 1 each if not given.
    pub weights: Option<&'a [f64]>,
}

/// A histogram's compiled programs, each compiled when it is first used. One evaluation at a time.
pub struct SoftHistogram {
    bins: usize,
    spread: Spread,
    ends: Ends,
    backend: Arc<dyn Backend>,
    /// By [`Program`].
    sessions: [Option<Session>; 4],
    edges: Vec<f64>,
}

/// What is computed of a block. Contents, and derivatives by weights, are twice what they are, for a scale of 1.
#[derive(Copy, Clone)]
enum Program {
    /// (x, scale, edges, weights) → contents.
    Contents,
    /// (x, scale, edges, what each edge counts for) → its sum over densities at the edges.
    ByEvents,
    /// (x, scale, edges, what each bin counts for) → its sum over shares.
    ByWeights,
    /// (x, scale, edges, what each edge counts for, weights) → the sum over events and edges of density times distance.
    ByBandwidth,
}

/// Events a run of a program.
const BLOCK: usize = 512;
/// A distance at which F is 0 or 1, and its derivative 0, but still finite.
const FAR: f64 = 40.0;

impl SoftHistogram {
    /// A histogram of so many bins. Nothing is compiled yet.
    pub fn new(bins: usize, spread: Spread, ends: Ends, backend: Arc<dyn Backend>) -> SoftHistogram {
        SoftHistogram { bins, spread, ends, backend, sessions: Default::default(), edges: Vec::new() }
    }

    /// The contents `[bins]` of the bins between `edges` for a bandwidth of `h`, times `scale`.
    ///
    /// # Errors
    /// If there are not one more edges than bins, or as many weights as events; if the program cannot be compiled.
    pub fn contents(
        &mut self,
        events: Events<'_>,
        edges: &[f64],
        h: f64,
        scale: f64,
    ) -> Result<Vec<f64>, InferenceError> {
        self.prepare(Program::Contents, events, edges, h)?;
        let session = self.sessions[Program::Contents as usize].as_mut().expect("it was prepared");
        let mut contents = vec![0.0; self.bins];
        for block in events.blocks() {
            write_padded(session, 0, block.x, 0.0)?;
            block.write_weights(session, 3)?;
            session.run()?;
            let sums = session.outputs()[0].as_slice::<f64>();
            contents.iter_mut().zip(sums).for_each(|(content, sum)| *content += sum);
        }
        contents.iter_mut().for_each(|content| *content *= 0.5 * scale);
        Ok(contents)
    }

    /// The derivatives `[events]` by where the events are of Σ `cotangent`·contents.
    ///
    /// # Errors
    /// As [`SoftHistogram::contents`], or if there are not as many cotangents as bins.
    pub fn by_events(
        &mut self,
        events: Events<'_>,
        edges: &[f64],
        h: f64,
        scale: f64,
        cotangent: &[f64],
    ) -> Result<Vec<f64>, InferenceError> {
        self.prepare(Program::ByEvents, events, edges, h)?;
        let counts = self.by_edge(cotangent)?;
        let session = self.sessions[Program::ByEvents as usize].as_mut().expect("it was prepared");
        write(session, 3, &counts)?;
        let factor = -scale * self.spread.slope() * self.spread.unit() / h;
        let mut out = Vec::with_capacity(events.x.len());
        for block in events.blocks() {
            write_padded(session, 0, block.x, 0.0)?;
            session.run()?;
            let sums = session.outputs()[0].as_slice::<f64>().iter().take(block.x.len());
            match block.weights {
                None => out.extend(sums.map(|sum| factor * sum)),
                Some(weights) => out.extend(sums.zip(weights).map(|(sum, weight)| factor * sum * weight)),
            }
        }
        Ok(out)
    }

    /// The derivatives `[events]` by the weights of Σ `cotangent`·contents.
    ///
    /// # Errors
    /// As [`SoftHistogram::by_events`].
    pub fn by_weights(
        &mut self,
        events: Events<'_>,
        edges: &[f64],
        h: f64,
        scale: f64,
        cotangent: &[f64],
    ) -> Result<Vec<f64>, InferenceError> {
        self.prepare(Program::ByWeights, events, edges, h)?;
        check("the cotangents of a histogram", self.bins, cotangent.len())?;
        let session = self.sessions[Program::ByWeights as usize].as_mut().expect("it was prepared");
        write(session, 3, cotangent)?;
        let mut out = Vec::with_capacity(events.x.len());
        for block in events.blocks() {
            write_padded(session, 0, block.x, 0.0)?;
            session.run()?;
            let sums = session.outputs()[0].as_slice::<f64>().iter().take(block.x.len());
            out.extend(sums.map(|sum| 0.5 * scale * sum));
        }
        Ok(out)
    }

    /// The derivative by the bandwidth of Σ `cotangent`·contents.
    ///
    /// # Errors
    /// As [`SoftHistogram::by_events`].
    pub fn by_bandwidth(
        &mut self,
        events: Events<'_>,
        edges: &[f64],
        h: f64,
        scale: f64,
        cotangent: &[f64],
    ) -> Result<f64, InferenceError> {
        self.prepare(Program::ByBandwidth, events, edges, h)?;
        let counts = self.by_edge(cotangent)?;
        let session = self.sessions[Program::ByBandwidth as usize].as_mut().expect("it was prepared");
        write(session, 3, &counts)?;
        let mut moment = 0.0;
        for block in events.blocks() {
            write_padded(session, 0, block.x, 0.0)?;
            block.write_weights(session, 4)?;
            session.run()?;
            moment += session.outputs()[0].as_slice::<f64>()[0];
        }
        Ok(-scale * self.spread.slope() * moment / h)
    }

    /// Checks what is given, compiles the program if it is not, and sets what all blocks share.
    fn prepare(
        &mut self,
        program: Program,
        events: Events<'_>,
        edges: &[f64],
        h: f64,
    ) -> Result<(), InferenceError> {
        check("the edges of a histogram", self.bins + 1, edges.len())?;
        if let Some(weights) = events.weights {
            check("the weights of a histogram", events.x.len(), weights.len())?;
        }
        self.edges.clear();
        self.edges.extend_from_slice(edges);
        if let (Ends::Infinite, [first, .., last]) = (self.ends, &mut self.edges[..]) {
            (*first, *last) = (f64::NEG_INFINITY, f64::INFINITY);
        }
        let session = match &mut self.sessions[program as usize] {
            Some(session) => session,
            slot => {
                let graph = graph(program, self.bins, self.spread).map_err(wootz_ir::ops::RuleError::from)?;
                slot.insert(session(graph, &*self.backend, &Options::default())?)
            }
        };
        write(session, 1, &[self.spread.unit() / h])?;
        write(session, 2, &self.edges)
    }

    /// What each edge counts for, by its two bins.
    fn by_edge(&self, cotangent: &[f64]) -> Result<Vec<f64>, InferenceError> {
        check("the cotangents of a histogram", self.bins, cotangent.len())?;
        let at = |bin: Option<usize>| bin.and_then(|bin| cotangent.get(bin)).copied().unwrap_or(0.0);
        Ok((0..=self.bins).map(|edge| at(edge.checked_sub(1)) - at(Some(edge))).collect())
    }
}

impl Spread {
    /// h over the unit of distances.
    fn unit(self) -> f64 {
        match self {
            Spread::Normal => FRAC_1_SQRT_2,
            Spread::Logistic => 0.5,
        }
    }

    /// F's derivative at 0 by a distance.
    fn slope(self) -> f64 {
        match self {
            Spread::Normal => 1.0 / PI.sqrt(),
            Spread::Logistic => 0.5,
        }
    }
}

impl<'a> Events<'a> {
    fn blocks(self) -> impl Iterator<Item = Events<'a>> {
        let weights = move |at: usize, n: usize| self.weights.map(|w| &w[at..at + n]);
        let block = move |(i, x): (usize, &'a [f64])| Events { x, weights: weights(i * BLOCK, x.len()) };
        self.x.chunks(BLOCK).enumerate().map(block)
    }

    /// Those of the block, and 0 where it has no events.
    fn write_weights(&self, session: &mut Session, input: usize) -> Result<(), InferenceError> {
        match self.weights {
            Some(weights) => write_padded(session, input, weights, 0.0),
            None => {
                let (events, none) =
                    session.input_mut(input)?.as_mut_slice::<f64>().split_at_mut(self.x.len());
                events.fill(1.0);
                none.fill(0.0);
                Ok(())
            }
        }
    }
}

fn write_padded(
    session: &mut Session,
    input: usize,
    values: &[f64],
    padding: f64,
) -> Result<(), InferenceError> {
    let (given, rest) = session.input_mut(input)?.as_mut_slice::<f64>().split_at_mut(values.len());
    given.copy_from_slice(values);
    rest.fill(padding);
    Ok(())
}

fn check(what: &'static str, expected: usize, got: usize) -> Result<(), InferenceError> {
    match got == expected {
        true => Ok(()),
        false => Err(InferenceError::Length { what, expected, got }),
    }
}

fn graph(program: Program, bins: usize, spread: Spread) -> Result<Graph, TypeError> {
    let edges = bins + 1;
    let counted: &[(&str, usize)] = match program {
        Program::Contents => &[("weights", BLOCK)],
        Program::ByEvents => &[("by_edge", edges)],
        Program::ByWeights => &[("by_bin", bins)],
        Program::ByBandwidth => &[("by_edge", edges), ("weights", BLOCK)],
    };
    let mut b = Builder::new();
    let mut inputs = Vec::new();
    let mut input = |b: &mut Builder, name: &str, shape: Shape| {
        inputs.push(Input { name: name.into(), role: Role::Input });
        b.param(TensorType::new(DType::F64, shape))
    };
    let x = input(&mut b, "x", Shape::from([BLOCK]));
    let scale = input(&mut b, "scale", Shape::scalar());
    let at = input(&mut b, "edges", Shape::from([edges]));
    let counted: Vec<Value> =
        counted.iter().map(|(name, size)| input(&mut b, name, Shape::from([*size]))).collect();
    let distances = distances(&mut b, x, scale, at, edges)?;
    let out = match program {
        Program::Contents => {
            let shares = shares(&mut b, distances, bins, spread)?;
            let weights = b.broadcast(counted[0], &Shape::from([bins, BLOCK]), &[1])?;
            let weighted = b.mul(shares, weights)?;
            b.sum(weighted, &[1])?
        }
        Program::ByWeights => {
            let shares = shares(&mut b, distances, bins, spread)?;
            let by_bin = b.broadcast(counted[0], &Shape::from([bins, BLOCK]), &[0])?;
            let weighted = b.mul(shares, by_bin)?;
            b.sum(weighted, &[0])?
        }
        Program::ByEvents | Program::ByBandwidth => {
            let density = density(&mut b, distances, spread)?;
            let by_edge = b.broadcast(counted[0], &Shape::from([edges, BLOCK]), &[0])?;
            let weighted = b.mul(density, by_edge)?;
            match counted.get(1) {
                None => b.sum(weighted, &[0])?,
                Some(weights) => {
                    let moments = b.mul(weighted, distances)?;
                    let moments = b.sum(moments, &[0])?;
                    let moments = b.mul(moments, *weights)?;
                    b.sum(moments, &[0])?
                }
            }
        }
    };
    let outputs = vec![Output { name: "out".into(), alias: None }];
    Ok(Graph { inputs, outputs, body: b.finish(&[out]).into() })
}

/// `f64[edges, BLOCK]`, as F takes them, and none beyond [`FAR`].
fn distances(b: &mut Builder, x: Value, scale: Value, at: Value, edges: usize) -> Result<Value, TypeError> {
    let shape = Shape::from([edges, BLOCK]);
    let x = b.broadcast(x, &shape, &[1])?;
    let at = b.broadcast(at, &shape, &[0])?;
    let scale = b.broadcast(scale, &shape, &[])?;
    let difference = b.sub(at, x)?;
    let distances = b.mul(difference, scale)?;
    let (low, high) = (b.full_like(distances, -FAR)?, b.full_like(distances, FAR)?);
    b.clamp(low, distances, high)
}

/// Twice the shares `f64[bins, BLOCK]`: differences before sums over events, whose rounding would be that of their number.
fn shares(b: &mut Builder, distances: Value, bins: usize, spread: Spread) -> Result<Value, TypeError> {
    let below = match spread {
        Spread::Normal => b.erf(distances)?,
        Spread::Logistic => b.tanh(distances)?,
    };
    let lower = b.slice(below, &[0, 0], &[bins, BLOCK], &[1, 1])?;
    let upper = b.slice(below, &[1, 0], &[bins + 1, BLOCK], &[1, 1])?;
    b.sub(upper, lower)
}

/// F's derivative over that at 0, `f64[edges, BLOCK]`.
fn density(b: &mut Builder, distances: Value, spread: Spread) -> Result<Value, TypeError> {
    match spread {
        Spread::Normal => {
            let square = b.mul(distances, distances)?;
            let exponent = b.neg(square)?;
            b.exp(exponent)
        }
        Spread::Logistic => {
            let below = b.tanh(distances)?;
            let square = b.mul(below, below)?;
            let one = b.full_like(square, 1.0)?;
            b.sub(one, square)
        }
    }
}
