//! q0 and its derivatives by templates and data.
//!
//! By the envelope theorem the derivative of a profiled −ln L is its partial derivative at the fitted parameters; the error is of first
//! order in the gradient that the fit leaves, which is why fits here end at a tight tolerance.

use super::session::{bind_templates, session, write};
use super::{Fit, FitOptions, Inference, InferenceError, Statistic};
use crate::Template;
use wootz_ir::{Shape, TypeError};
use wootz_runtime::Session;

/// The data of which q0 is taken.
#[derive(Copy, Clone, Debug, PartialEq)]
pub enum DiscoveryData<'a> {
    /// These counts, one a bin, and the auxiliary data at nominal.
    Observed(&'a [f64]),
    /// What the templates predict at the initial parameters with the parameter of interest at 1. The free fit is known, then: it is there.
    Asimov,
}

/// q0 with its derivatives.
#[derive(Clone, Debug, PartialEq)]
pub struct Discovery {
    /// q0.
    pub q0: f64,
    /// The best-fit parameter of interest. Below or at 0, q0 and its derivatives are 0.
    pub mu_hat: f64,
    /// The fit of all parameters.
    pub free: Fit,
    /// The fit without signal.
    pub conditional: Fit,
    /// The derivative by each template that is an input, under the convention chosen.
    pub by_template: Vec<(Template, Vec<f64>)>,
    /// The derivative by each datum. For Asimov data, that is part of `by_template` already.
    pub by_data: Vec<f64>,
}

impl Discovery {
    /// Z = √(q0 + ε), whose derivative is that of q0 divided by 2Z: ε = 10⁻¹² keeps it finite where there is no signal.
    pub fn significance(&self) -> f64 {
        (self.q0 + 1e-12).sqrt()
    }
}

/// The programs of derivatives.
pub(super) struct Derivatives {
    /// (parameters, data) → ln L and its partial derivatives by the data and each template.
    partial: Session,
    /// (weights) → Σ weights · auxiliary data at nominal, and its derivatives by each template.
    auxiliary: Session,
    /// (parameters, weights) → Σ weights · expected data, and its derivatives by each template.
    expected: Session,
}

impl Derivatives {
    fn new(inference: &Inference) -> Result<Derivatives, InferenceError> {
        let (model, options) = (inference.model(), &inference.options().graph);
        let config = model.config();
        let templates = |first: usize| first..first + options.inputs.len();
        let parameters = ("parameters", Shape::from([config.parameters()]));
        let weights = |count: usize| ("weights", Shape::from([count]));
        let weighted = |graph: Result<wootz_ir::Graph, TypeError>, first: usize| {
            let graph = graph.map_err(wootz_ir::ops::RuleError::from)?;
            let wrt: Vec<usize> = templates(first).collect();
            inference.program(wootz_transform::grad(&graph, 0, &wrt)?, first)
        };
        let logpdf = model.logpdf_graph(options)?;
        let wrt: Vec<usize> = (1..2 + options.inputs.len()).collect();
        let partial = inference.program(wootz_transform::grad(&logpdf, 0, &wrt)?, 2)?;
        let inputs = [weights(config.auxdata.len())];
        let auxiliary = super::graph_of(model, options, &inputs, &["sum"], |b, args, templates| {
            let auxdata = model.auxdata(b, templates)?;
            let terms = b.mul(auxdata, args[0])?;
            Ok(vec![b.sum(terms, &[0])?])
        });
        let inputs = [parameters, weights(config.data_len())];
        let expected = super::graph_of(model, options, &inputs, &["sum"], |b, args, templates| {
            let rates = model.rates(b, args[0], templates)?;
            let data = match config.auxdata.is_empty() {
                true => rates,
                false => {
                    let auxdata = model.expected_auxdata(b, args[0], templates)?;
                    b.concat(&[rates, auxdata], 0)?
                }
            };
            let terms = b.mul(data, args[1])?;
            Ok(vec![b.sum(terms, &[0])?])
        });
        Ok(Derivatives { partial, auxiliary: weighted(auxiliary, 1)?, expected: weighted(expected, 2)? })
    }

    /// The sessions with the number of inputs before the templates.
    pub(super) fn sessions(&mut self) -> [(&mut Session, usize); 3] {
        [(&mut self.partial, 2), (&mut self.auxiliary, 1), (&mut self.expected, 2)]
    }
}

/// Partial derivatives by the data, then by each template.
type Partials = Vec<Vec<f64>>;

fn outputs(session: &Session) -> Partials {
    session.outputs()[1..].iter().map(|t| t.as_slice::<f64>().to_vec()).collect()
}

impl Inference {
    /// q0 and its derivatives by every template that is an input, and by the data.
    ///
    /// # Errors
    /// If a fit does not converge; if there is no parameter of interest, or it is fixed.
    pub fn discovery(
        &mut self,
        data: DiscoveryData<'_>,
        options: &FitOptions,
    ) -> Result<Discovery, InferenceError> {
        let (poi, _) = self.poi(options)?;
        let mut start = options.init.clone().unwrap_or_else(|| self.model().config().init.clone());
        let values = match data {
            DiscoveryData::Asimov => {
                if let Some(mu) = start.get_mut(poi) {
                    *mu = 1.0;
                }
                self.expected_data(&start)?
            }
            DiscoveryData::Observed(counts) => {
                let expected = self.model().config().bins();
                if counts.len() != expected {
                    return Err(InferenceError::Length { what: "the counts", expected, got: counts.len() });
                }
                let auxdata = self.nominal_auxdata()?;
                [counts, &auxdata].concat()
            }
        };
        let free = self.fit(&values, &options.from(&start))?;
        let conditional = self.fit(&values, &options.from(&free.parameters).at_poi(0.0))?;
        let mu_hat = free.parameters[poi];
        let q0 = Statistic::Q0.value(0.0, mu_hat, &conditional, &free);
        let mut out = Discovery {
            q0: if mu_hat > 0.0 { q0 } else { 0.0 },
            mu_hat,
            by_template: self.zero_derivatives(),
            by_data: vec![0.0; values.len()],
            free,
            conditional,
        };
        if out.q0 > 0.0 {
            self.differentiate(&mut out, &values, data, &start)?;
        }
        Ok(out)
    }

    fn zero_derivatives(&self) -> Vec<(Template, Vec<f64>)> {
        self.options().graph.inputs.iter().map(|t| (*t, vec![0.0; self.model().template(*t).len()])).collect()
    }

    fn differentiate(
        &mut self,
        out: &mut Discovery,
        values: &[f64],
        data: DiscoveryData<'_>,
        start: &[f64],
    ) -> Result<(), InferenceError> {
        let without = self.partials(&out.conditional.parameters, values)?;
        let with = self.partials(&out.free.parameters, values)?;
        // −ln L with its sign turned: q0 = 2·(ln L(free) − ln L(conditional)).
        let mut terms = with.iter().zip(&without).map(|(with, without)| {
            with.iter().zip(without).map(|(f, c)| 2.0 * (f - c)).collect::<Vec<f64>>()
        });
        out.by_data = terms.next().unwrap_or_default();
        for ((_, slot), term) in out.by_template.iter_mut().zip(terms) {
            *slot = term;
        }
        let bins = self.model().config().bins();
        let weights = match data {
            DiscoveryData::Observed(_) => &out.by_data[bins..],
            DiscoveryData::Asimov => &out.by_data[..],
        };
        let weights = weights.to_vec();
        let derivatives = self.derivatives()?;
        let session = match data {
            DiscoveryData::Observed(_) => {
                write(&mut derivatives.auxiliary, 0, &weights)?;
                &mut derivatives.auxiliary
            }
            DiscoveryData::Asimov => {
                write(&mut derivatives.expected, 0, start)?;
                write(&mut derivatives.expected, 1, &weights)?;
                &mut derivatives.expected
            }
        };
        session.run()?;
        for ((_, slot), term) in out.by_template.iter_mut().zip(outputs(session)) {
            slot.iter_mut().zip(term).for_each(|(slot, term)| *slot += term);
        }
        Ok(())
    }

    /// The partial derivatives of ln L.
    fn partials(&mut self, parameters: &[f64], data: &[f64]) -> Result<Partials, InferenceError> {
        let derivatives = self.derivatives()?;
        write(&mut derivatives.partial, 0, parameters)?;
        write(&mut derivatives.partial, 1, data)?;
        derivatives.partial.run()?;
        Ok(outputs(&derivatives.partial))
    }

    fn derivatives(&mut self) -> Result<&mut Derivatives, InferenceError> {
        if self.derivatives.is_none() {
            self.derivatives = Some(Derivatives::new(self)?);
        }
        Ok(self.derivatives.as_mut().expect("it was just made"))
    }

    /// The auxiliary data at nominal for the current templates.
    fn nominal_auxdata(&mut self) -> Result<Vec<f64>, InferenceError> {
        let (model, options) = (self.model().clone(), self.options().clone());
        if model.config().auxdata.is_empty() || options.graph.inputs.is_empty() {
            return Ok(model.config().auxdata.clone());
        }
        if self.auxdata.is_none() {
            let graph = super::graph_of(&model, &options.graph, &[], &["auxdata"], |b, _, templates| {
                Ok::<_, TypeError>(vec![model.auxdata(b, templates)?])
            });
            let graph = graph.map_err(wootz_ir::ops::RuleError::from)?;
            self.auxdata = Some(self.program(graph, 0)?);
        }
        let session = self.auxdata.as_mut().expect("it was just made");
        session.run()?;
        Ok(session.outputs()[0].as_slice::<f64>().to_vec())
    }

    /// A session with the current templates after `first` other inputs.
    fn program(&self, graph: wootz_ir::Graph, first: usize) -> Result<Session, InferenceError> {
        let mut session = session(graph, self.backend(), &self.options().compile)?;
        bind_templates(&mut session, first, self.templates())?;
        Ok(session)
    }
}
