//! How times grow with a model: a large scaling against half and a quarter of it.

use wootz::histfactory::workload::scaling;
use wootz_bench::kernels::{Case, Contender, Goal, Per};

use super::super::kernels::Planned;
use super::cases::{Subject, Task, reference};
use super::native;

/// A contender, its bins, and its systematics beside the parameter of interest.
type Size = (&'static str, usize, usize);

const HALF_OF: &str = "wootz, half the model";
const QUARTER_OF: &str = "wootz, a quarter of it";
const DENSITIES: [Size; 3] = [("wootz", 10_000, 1_999), (HALF_OF, 5_000, 999), (QUARTER_OF, 2_500, 499)];
/// Fits solve dense systems, whose work grows with the cube.
const FITS: [Size; 3] = [("wootz", 2_500, 499), (HALF_OF, 1_250, 249), (QUARTER_OF, 625, 124)];
/// A tenth more than linear.
const HALF: f64 = 2.2;

/// The cases.
pub(super) fn all() -> impl Iterator<Item = Planned> {
    let linear = || vec![Goal::Ratio { against: HALF_OF.to_owned(), at_most: HALF }];
    let densities = [Task::Nll, Task::Gradient].into_iter().map(move |task| {
        let name = format!("10,000 bins, 2,000 parameters: {}", task.title());
        Planned::new(name, move |name| case(name, task, &DENSITIES, linear()))
    });
    let name = format!("2,500 bins, 500 parameters: {}", Task::Fit.title());
    densities.chain([Planned::new(name, |name| case(name, Task::Fit, &FITS, Vec::new()))])
}

fn case(name: String, task: Task, sizes: &[Size], goals: Vec<Goal>) -> Result<Case, String> {
    let mut contenders: Vec<Box<dyn Contender>> = Vec::new();
    for (name, bins, systematics) in sizes {
        let subject = Subject::new(scaling(*bins, *systematics), 1)?;
        let expected = reference(&subject, task)?;
        let contender = native::native(&subject, task, 0)?;
        contenders.push(Box::new(OfSize { name, contender, expected }));
    }
    Ok(Case {
        name,
        threads: 1,
        per: Per::Step,
        expected: vec![1.0],
        tolerance: 1e-8,
        subject: sizes[0].0.to_owned(),
        contenders,
        peers: Vec::new(),
        inputs: Vec::new(),
        document: None,
        goals,
    })
}

/// A contender whose result is its own model's, and so checked by itself.
struct OfSize {
    name: &'static str,
    contender: Box<dyn Contender>,
    expected: Vec<f64>,
}

impl Contender for OfSize {
    fn name(&self) -> &str {
        self.name
    }

    fn step(&mut self) -> Result<(), String> {
        self.contender.step()
    }

    /// 1 and the largest error, relative to the largest number.
    fn output(&mut self) -> Result<Option<Vec<f64>>, String> {
        let Some(output) = self.contender.output()? else { return Ok(None) };
        if output.len() != self.expected.len() {
            return Err(format!("{} numbers came out instead of {}", output.len(), self.expected.len()));
        }
        let larger = |m: f64, x: f64| if x > m || x.is_nan() { x } else { m };
        let errors = output.iter().zip(&self.expected).map(|(x, e)| (x - e).abs());
        let scale = self.expected.iter().fold(0.0, |m, e| larger(m, e.abs()));
        Ok(Some(vec![1.0 + errors.fold(0.0, larger) / scale]))
    }
}
