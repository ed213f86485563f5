//! Templates as constants or as inputs of a graph, and the quantities derived from them.

use super::{Built, Convention};
use crate::Model;
use wootz_ir::{Builder, DType, HostTensor, Rows, TypeError, Value, eval};

/// A kind of template: one flat `f64` array over the whole model, in the order of channel, sample, modifier, bin.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Template {
    /// Nominal yields, one a cell (a bin of a sample of a channel).
    Nominal,
    /// Yields at −1, one a bin of each histosys modifier.
    HistosysLo,
    /// Yields at +1, one a bin of each histosys modifier.
    HistosysHi,
    /// Factors at −1, one a normsys modifier.
    NormsysLo,
    /// Factors at +1, one a normsys modifier.
    NormsysHi,
    /// Absolute statistical errors, one a bin of each staterror modifier.
    Staterror,
    /// Absolute errors, one a bin of each shapesys modifier.
    Shapesys,
}

impl Template {
    /// Every kind.
    pub const ALL: [Template; 7] = [
        Template::Nominal,
        Template::HistosysLo,
        Template::HistosysHi,
        Template::NormsysLo,
        Template::NormsysHi,
        Template::Staterror,
        Template::Shapesys,
    ];

    /// The name of the graph's input.
    pub const fn name(self) -> &'static str {
        match self {
            Template::Nominal => "nominal",
            Template::HistosysLo => "histosys_lo",
            Template::HistosysHi => "histosys_hi",
            Template::NormsysLo => "normsys_lo",
            Template::NormsysHi => "normsys_hi",
            Template::Staterror => "staterror",
            Template::Shapesys => "shapesys",
        }
    }
}

impl Model {
    /// A template's values in the workspace.
    pub fn template(&self, template: Template) -> &[f64] {
        let s = self.structure();
        match template {
            Template::Nominal => &s.nominal,
            Template::HistosysLo => &s.histosys_lo,
            Template::HistosysHi => &s.histosys_hi,
            Template::NormsysLo => &s.normsys_lo,
            Template::NormsysHi => &s.normsys_hi,
            Template::Staterror => &s.staterror_errors,
            Template::Shapesys => &s.shapesys_errors,
        }
    }
}

/// Which templates are values of the graph and not constants, and what follows from changing them.
#[derive(Clone, Debug, Default)]
pub struct Templates {
    convention: Convention,
    values: [Option<Value>; 7],
}

impl Templates {
    /// All templates constant, as in the workspace.
    pub fn constant() -> Templates {
        Templates::default()
    }

    /// The same with a template given by a vector of the graph.
    #[must_use]
    pub fn with(mut self, template: Template, value: Value) -> Templates {
        self.values[template as usize] = Some(value);
        self
    }

    /// The same under this convention.
    #[must_use]
    pub fn under(mut self, convention: Convention) -> Templates {
        self.convention = convention;
        self
    }

    /// The templates that are values of the graph.
    pub(crate) fn captured(&self) -> impl Iterator<Item = Value> + '_ {
        self.values.iter().flatten().copied()
    }

    /// The same in another builder, where those values are these.
    pub(crate) fn rebound(&self, values: &[Value]) -> Templates {
        let mut others = values.iter().copied();
        let values = self.values.map(|value| value.and_then(|_| others.next()));
        Templates { convention: self.convention, values }
    }

    fn get(&self, model: &Model, template: Template) -> Tensor {
        match self.values[template as usize] {
            Some(value) => Tensor::Value(value),
            None => Tensor::vector(model.template(template)),
        }
    }

    /// The nominal yields that derived quantities are computed from.
    fn reference(&self, model: &Model) -> Tensor {
        match self.convention {
            Convention::Frozen => Tensor::vector(model.template(Template::Nominal)),
            Convention::Recomputed => self.get(model, Template::Nominal),
        }
    }

    /// The nominal yields, one a cell.
    pub(super) fn nominal(&self, model: &Model) -> Tensor {
        self.get(model, Template::Nominal)
    }

    /// S = ½(Δ↑ + Δ↓) and A = (Δ↑ − Δ↓)/16, one an element.
    pub(super) fn histosys(&self, b: &mut Builder, model: &Model) -> Result<[Tensor; 2], TypeError> {
        let s = model.structure();
        let cells = s.histosys.iter().flat_map(|e| s.blocks[e.block].cells.clone());
        let cells: Vec<i64> = cells.map(|cell| cell as i64).collect();
        let inputs = [
            self.get(model, Template::HistosysLo),
            self.get(model, Template::HistosysHi),
            self.reference(model),
        ];
        derive(b, &inputs, |b, [lo, hi, nominal]| {
            let nominal = super::rows::gather(b, nominal, &cells, &[cells.len()])?;
            let (up, down) = (b.sub(hi, nominal)?, b.sub(nominal, lo)?);
            let (sum, difference) = (b.add(up, down)?, b.sub(up, down)?);
            Ok([b.mul_scalar(sum, 0.5)?, b.mul_scalar(difference, 0.0625)?])
        })
    }

    /// The logarithms of the factors at −1 and +1, one an entry.
    pub(super) fn normsys_logs(&self, b: &mut Builder, model: &Model) -> Result<[Tensor; 2], TypeError> {
        let inputs = [self.get(model, Template::NormsysLo), self.get(model, Template::NormsysHi)];
        derive(b, &inputs, |b, [lo, hi]| Ok([b.log(lo)?, b.log(hi)?]))
    }

    /// The coefficients of α, α², … α⁶ in code 4's polynomial, one an entry each.
    ///
    /// With E and O the even and odd parts of a condition at ±1 (value less 1, slope, curvature), the polynomial's odd coefficients
    /// follow from O(value), E(slope), O(curvature) and its even ones from E(value), O(slope), E(curvature).
    pub(super) fn code4(&self, b: &mut Builder, model: &Model) -> Result<[Tensor; 6], TypeError> {
        let inputs = [self.get(model, Template::NormsysLo), self.get(model, Template::NormsysHi)];
        derive(b, &inputs, |b, [lo, hi]| {
            let (log_lo, log_hi) = (b.log(lo)?, b.log(hi)?);
            let parts = |b: &mut Builder, up: Value, down: Value| -> Result<[Value; 2], TypeError> {
                let (sum, difference) = (b.add(up, down)?, b.sub(up, down)?);
                Ok([b.mul_scalar(sum, 0.5)?, b.mul_scalar(difference, 0.5)?])
            };
            let (up, down) = (b.add_scalar(hi, -1.0)?, b.add_scalar(lo, -1.0)?);
            let [even, odd] = parts(b, up, down)?;
            let (up, down) = (b.mul(hi, log_hi)?, b.mul(lo, log_lo)?);
            let (up2, down2) = (b.mul(up, log_hi)?, b.mul(down, log_lo)?);
            let minus_down = b.neg(down)?;
            let [slope_even, slope_odd] = parts(b, up, minus_down)?;
            let [curve_even, curve_odd] = parts(b, up2, down2)?;
            let combine = |b: &mut Builder, value: (f64, Value), slope: (f64, Value), curve: (f64, Value)| {
                let value = b.mul_scalar(value.1, value.0)?;
                let slope = b.mul_scalar(slope.1, slope.0)?;
                let curve = b.mul_scalar(curve.1, curve.0)?;
                let sum = b.add(value, slope)?;
                b.add(sum, curve)
            };
            Ok([
                combine(b, (15.0 / 8.0, odd), (-7.0 / 8.0, slope_even), (1.0 / 8.0, curve_odd))?,
                combine(b, (3.0, even), (-9.0 / 8.0, slope_odd), (1.0 / 8.0, curve_even))?,
                combine(b, (-5.0 / 4.0, odd), (5.0 / 4.0, slope_even), (-1.0 / 4.0, curve_odd))?,
                combine(b, (-3.0, even), (7.0 / 4.0, slope_odd), (-1.0 / 4.0, curve_even))?,
                combine(b, (3.0 / 8.0, odd), (-3.0 / 8.0, slope_even), (1.0 / 8.0, curve_odd))?,
                combine(b, (1.0, even), (-5.0 / 8.0, slope_odd), (1.0 / 8.0, curve_even))?,
            ])
        })
    }

    /// The widths of the normal constraint terms.
    pub(super) fn widths(&self, b: &mut Builder, model: &Model) -> Result<Tensor, TypeError> {
        let s = model.structure();
        let terms = &s.constraints.normal;
        let nominal = Tensor::vector(&terms.iter().map(|t| t.width).collect::<Vec<_>>());
        let errors = self.get(model, Template::Staterror);
        let reference = self.reference(model);
        if (errors.is_constant() && reference.is_constant()) || !terms.iter().any(|t| t.derived) {
            return Ok(nominal);
        }
        // Terms without errors or yields keep their width: 1/1 stands in for what is not used.
        let used: Vec<usize> =
            (0..s.staterror.len()).filter(|e| terms[s.staterror[*e].term].derived).collect();
        let rows = Rows::new(used.iter().map(|e| s.staterror[*e].term), terms.len());
        let derived: Vec<bool> = terms.iter().map(|t| t.derived).collect();
        let dims = [terms.len()];
        let [widths] = derive(b, &[errors, reference, nominal], |b, [errors, yields, nominal]| {
            let yields = rows.gather(b, yields, |e| s.staterror[used[e]].cell)?;
            let yields = rows.masked(b, yields, 0.0)?;
            let yields = rows.sum(b, yields)?;
            let errors = rows.gather(b, errors, |e| used[e])?;
            let squares = b.mul(errors, errors)?;
            let squares = rows.masked(b, squares, 0.0)?;
            let squares = rows.sum(b, squares)?;
            let yields = super::rows::select_constant(b, &derived, &dims, yields, 1.0)?;
            let squares = super::rows::select_constant(b, &derived, &dims, squares, 1.0)?;
            let errors = b.sqrt(squares)?;
            let widths = b.div(errors, yields)?;
            let mask: Vec<i64> = derived.iter().map(|d| i64::from(*d)).collect();
            let mask = b.constant(HostTensor::from_i64(DType::Bool, &dims, &mask));
            Ok([b.select(mask, widths, nominal)?])
        })?;
        Ok(widths)
    }

    /// The rate factors of the Poisson constraint terms; with `auxdata`, those that the auxiliary data at nominal follow.
    pub(super) fn rate_factors(
        &self,
        b: &mut Builder,
        model: &Model,
        of: FactorsOf,
    ) -> Result<Tensor, TypeError> {
        let s = model.structure();
        let terms = &s.constraints.poisson;
        let derived: Vec<bool> = terms
            .iter()
            .map(|t| match of {
                FactorsOf::Rates => t.derived,
                FactorsOf::Auxdata => t.auxdata_derived,
            })
            .collect();
        let at_nominal = |t: &crate::PoissonTerm| match of {
            FactorsOf::Rates => t.rate,
            FactorsOf::Auxdata => model.config().auxdata[t.auxiliary],
        };
        let nominal = Tensor::vector(&terms.iter().map(at_nominal).collect::<Vec<_>>());
        let errors = self.get(model, Template::Shapesys);
        let reference = self.reference(model);
        if (errors.is_constant() && reference.is_constant()) || !derived.contains(&true) {
            return Ok(nominal);
        }
        let mut element_of = vec![0i64; terms.len()];
        s.shapesys.iter().enumerate().for_each(|(i, e)| element_of[e.term] = i as i64);
        let cells: Vec<i64> = element_of.iter().map(|e| s.shapesys[*e as usize].cell as i64).collect();
        let dims = [terms.len()];
        let [factors] = derive(b, &[errors, reference, nominal], |b, [errors, yields, nominal]| {
            let errors = super::rows::gather(b, errors, &element_of, &dims)?;
            let errors = super::rows::select_constant(b, &derived, &dims, errors, 1.0)?;
            let yields = super::rows::gather(b, yields, &cells, &dims)?;
            let ratio = b.div(yields, errors)?;
            let factors = b.mul(ratio, ratio)?;
            let mask: Vec<i64> = derived.iter().map(|d| i64::from(*d)).collect();
            let mask = b.constant(HostTensor::from_i64(DType::Bool, &dims, &mask));
            Ok([b.select(mask, factors, nominal)?])
        })?;
        Ok(factors)
    }
}

/// Which factors are meant: the constraint's or the auxiliary data's (a measurement may give either).
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum FactorsOf {
    Rates,
    Auxdata,
}

/// A vector that is known now, or a value of the graph.
#[derive(Clone, Debug)]
pub(super) enum Tensor {
    Constant(HostTensor),
    Value(Value),
}

impl Tensor {
    pub(super) fn vector(values: &[f64]) -> Tensor {
        Tensor::Constant(HostTensor::from_f64(DType::F64, &[values.len()], values))
    }

    pub(super) fn is_constant(&self) -> bool {
        matches!(self, Tensor::Constant(_))
    }

    /// As a value of the graph.
    pub(super) fn value(&self, b: &mut Builder) -> Value {
        match self {
            Tensor::Constant(tensor) => b.constant(tensor.clone()),
            Tensor::Value(value) => *value,
        }
    }

    /// In the layout of `rows`, 0 in empty slots.
    pub(super) fn laid(&self, b: &mut Builder, rows: &Rows) -> Built {
        self.arranged(b, rows.slots(), &rows.dims())
    }

    /// The elements that `slots` name, as an array of shape `dims`; 0 where there is none.
    pub(super) fn arranged(&self, b: &mut Builder, slots: &[Option<usize>], dims: &[usize]) -> Built {
        match self {
            Tensor::Constant(tensor) => {
                let values = tensor.as_slice::<f64>();
                let values: Vec<f64> = slots.iter().map(|e| e.map_or(0.0, |e| values[e])).collect();
                Ok(b.constant(HostTensor::from_f64(DType::F64, dims, &values)))
            }
            Tensor::Value(value) => {
                let indices: Vec<i64> = slots.iter().map(|e| e.unwrap_or(0) as i64).collect();
                let filled: Vec<bool> = slots.iter().map(Option::is_some).collect();
                let laid = super::rows::gather(b, *value, &indices, dims)?;
                super::rows::select_constant(b, &filled, dims, laid, 0.0)
            }
        }
    }
}

/// Applies `f` to inputs: right now if all of them are known, otherwise in the graph.
fn derive<const N: usize, const M: usize>(
    b: &mut Builder,
    inputs: &[Tensor; N],
    f: impl Fn(&mut Builder, [Value; N]) -> Result<[Value; M], TypeError>,
) -> Result<[Tensor; M], TypeError> {
    if inputs.iter().all(Tensor::is_constant) {
        let mut inner = Builder::new();
        let values = std::array::from_fn(|i| inputs[i].value(&mut inner));
        let results = f(&mut inner, values)?;
        let evaluated = eval::region(&inner.finish(&results), &[])
            .expect("these are elementwise ops, gathers and sums of constants, which evaluate");
        return Ok(std::array::from_fn(|i| Tensor::Constant(evaluated[i].clone())));
    }
    let values = std::array::from_fn(|i| inputs[i].value(b));
    Ok(f(b, values)?.map(Tensor::Value))
}
