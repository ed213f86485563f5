//! HistFactory statistical models: pyhf workspaces become graphs.
//!
//! * [`Workspace`]: the JSON format of pyhf, read strictly; patch sets, combination, pruning, renaming, digests.
//! * [`Model`]: parameters, constraints and templates, in pyhf's exact order.
//! * Graphs: [`Model::rates_graph`] and [`Model::logpdf_graph`], or the same inside a larger graph with a `Builder`.
//! * [`Density`]: the log-density and its derivatives, compiled, at any number of points.
//! * [`Inference`]: fits, test statistics, CLs, limits, on any backend.
//! * [`SoftHistogram`]: bin contents with derivatives by what is filled in, compiled.
//! * [`workload`]: deterministic workspaces of known sizes, for tests and benchmarks.
//!
//! Model and notation: Cranmer et al., *HistFactory: A tool for creating statistical models for use with RooFit and RooStats*,
//! CERN-OPEN-2012-016; the JSON format: ATLAS, ATL-PHYS-PUB-2019-029. Arrays can be exchanged with pyhf.
//!
//! This crate knows backends as `dyn Backend` only, and nothing of Python.

mod graph;
mod histogram;
mod infer;
mod model;
pub mod workload;
pub mod workspace;

pub use graph::{Convention, GraphOptions, Template, Templates};
pub use histogram::{Ends, Events, SoftHistogram, Spread};
pub use infer::{
    Convergence, Density, Derivatives, EmptyBin, Evaluation, Fit, FitOptions, GoodnessOfFit, Hypotest,
    HypotestOptions, Impact, Inference, InferenceError, InferenceOptions, Interval, LimitOptions,
    NotConverged, Objective, ObjectiveData, Observer, Prediction, ProfileOptions, Pull, Scan, Significance,
    Starts, Statistic, TestStatistic, ToyOptions, Toys, UpperLimit, Which, Yield,
};
pub use model::{
    ChannelConfig, Config, Constraint, Constraints, HistosysCode, Model, ModelError, ModelOptions,
    ModifierSettings, NegativeRate, NormalTerm, NormsysCode, ParameterSet, Poi, PoissonTerm,
};
pub use workspace::{Workspace, WorkspaceError};
