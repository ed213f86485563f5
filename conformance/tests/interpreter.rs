//! The passes keep the meaning of every case, and a backend that is wrong is found out.

use std::sync::Arc;
use wootz_conformance::{Case, Outcome, random_case, run, run_all, suite};
use wootz_ir::{Graph, HostTensor, Target};
use wootz_runtime::{
    Backend, BackendError, BackendOptions, Bindings, Description, Executable, Instance, Prepared, Reference,
    Stages, Unavailable,
};

#[test]
fn the_suite_passes_on_the_reference() {
    let cases = suite();
    assert!(cases.len() > 1000, "{} cases", cases.len());
    match run_all(&Reference, &cases) {
        Ok(unsupported) => assert_eq!(unsupported, [""; 0]),
        Err(report) => panic!("{report}"),
    }
}

#[test]
fn random_programs_pass_on_the_reference() {
    let cases: Vec<Case> = (0..200).map(|seed| random_case(seed, 14)).collect();
    if let Err(report) = run_all(&Reference, &cases) {
        panic!("{report}");
    }
}

#[test]
fn names_of_cases_are_distinct() {
    let mut names: Vec<String> = suite().into_iter().map(|case| case.name).collect();
    names.sort();
    let twice: Vec<&String> =
        names.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| &pair[0]).collect();
    assert!(twice.is_empty(), "{twice:?}");
}

#[test]
fn a_random_program_is_the_prefix_of_a_longer_one() {
    let (short, long) = (random_case(5, 6), random_case(5, 12));
    assert_eq!(short.inputs, long.inputs);
    let ops = |case: &Case| -> Vec<&str> { case.graph.body.nodes().iter().map(|n| n.op.name()).collect() };
    assert!(ops(&long).starts_with(&ops(&short)[..6]), "{:?}\n{:?}", ops(&short), ops(&long));
}

/// The reference interpreter with one fault.
struct Faulty(Fault);

#[derive(Copy, Clone, PartialEq)]
enum Fault {
    /// Adds to the last element of the first output what no tolerance allows.
    Value,
    /// Adds a little, depending on the number of threads.
    Threads,
    /// Adds only if a parameter was given.
    Parameters,
    /// Says that it cannot.
    Refuses,
}

impl Backend for Faulty {
    fn name(&self) -> &'static str {
        "faulty"
    }

    fn check(&self) -> Result<(), Unavailable> {
        Ok(())
    }

    fn target(&self) -> Target {
        // What is compiled for one fault must not answer for another.
        let isa = ["value", "threads", "parameters", "refuses"][self.0 as usize];
        Target { backend: "faulty", isa, ..Reference.target() }
    }

    fn compile(
        &self,
        graph: &Graph,
        options: &BackendOptions,
        stages: &mut Stages,
    ) -> Result<Arc<dyn Executable>, BackendError> {
        if self.0 == Fault::Refuses {
            let site = wootz_ir::Site::default();
            return Err(BackendError::Unsupported { backend: "faulty", what: "anything".to_owned(), site });
        }
        let has_parameter = graph.inputs.iter().any(|i| i.role == wootz_ir::Role::Param);
        let skew = match self.0 {
            Fault::Value => 1e-4,
            Fault::Threads => options.threads.map_or(0.0, |n| 1e-15 * n as f64),
            Fault::Parameters if has_parameter => 1e-4,
            _ => 0.0,
        };
        let inner = Reference.compile(graph, options, stages)?;
        Ok(Arc::new(Skewed { inner, skew, bytes: graph.output_type(0).bytes().unwrap_or(0) }))
    }
}

struct Skewed {
    inner: Arc<dyn Executable>,
    skew: f64,
    bytes: usize,
}

impl Executable for Skewed {
    fn describe(&self) -> Description {
        self.inner.describe()
    }
    fn source(&self) -> String {
        self.inner.source()
    }
    fn fingerprint(&self) -> u128 {
        self.inner.fingerprint()
    }
    fn reads(&self, input: usize) -> bool {
        self.inner.reads(input)
    }
    fn prepares(&self, input: usize) -> bool {
        self.inner.prepares(input)
    }
    fn prepare(&self, params: &[Option<HostTensor>]) -> Result<Prepared, BackendError> {
        self.inner.prepare(params)
    }
    fn instance(&self) -> Result<Box<dyn Instance>, BackendError> {
        Ok(Box::new(SkewedRun { inner: self.inner.instance()?, skew: self.skew, bytes: self.bytes }))
    }
}

struct SkewedRun {
    inner: Box<dyn Instance>,
    skew: f64,
    bytes: usize,
}

impl Instance for SkewedRun {
    fn run(&mut self, prepared: &Prepared, bindings: &mut dyn Bindings) -> Result<(), BackendError> {
        self.inner.run(prepared, bindings)?;
        let last = self.bytes - 8..self.bytes;
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&bindings.output(0)[last.clone()]);
        let value = f64::from_ne_bytes(bytes) + self.skew;
        bindings.output(0)[last].copy_from_slice(&value.to_ne_bytes());
        Ok(())
    }
}

#[test]
fn a_faulty_backend_is_found_out() {
    // An f64 sum of two operands near one.
    let case = sum();
    assert_eq!(run(&Reference, &case).unwrap(), Outcome::Passed);
    for (fault, said) in [
        (Fault::Value, "level none: output `y0`: element 11"),
        (Fault::Threads, "level full on 2 threads: output `y0` has other bits than on one thread"),
        (Fault::Parameters, "level full with parameters: output `y0`: element 11"),
    ] {
        let message = run(&Faulty(fault), &case).unwrap_err().to_string();
        assert!(message.contains(said), "{message}");
        assert!(message.contains("add %0, %1"), "the program belongs to the message: {message}");
    }
    let Ok(Outcome::Unsupported(reason)) = run(&Faulty(Fault::Refuses), &case) else {
        panic!("a refusal is listed")
    };
    assert!(reason.contains("`faulty` does not support anything"), "{reason}");
}

fn sum() -> Case {
    let text = r#"graph(%0: f64[3, 4] = input "x0", %1: f64[3, 4] = input "x1") {
        %2 = add %0, %1
        return "y0" = %2
    }"#;
    let values: Vec<f64> = (0..12).map(|i| 0.5 + f64::from(i) / 100.0).collect();
    let x = HostTensor::from_f64(wootz_ir::DType::F64, &[3, 4], &values);
    Case {
        name: "a sum".to_owned(),
        graph: wootz_ir::text::parse(text).expect("the text is well-formed"),
        inputs: vec![x.clone(), x],
        tolerance: wootz_conformance::Tolerance::ELEMENT,
        derivative_of: None,
    }
}
