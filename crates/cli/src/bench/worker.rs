//! The hidden `wootz bench-worker`: wootz as one of the stacks under measurement.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use wootz::Cpu;
use wootz::ir::{DType, HostTensor, Role, TensorType};
use wootz::nn::{self, Traced};
use wootz::runtime::{
    self, BackendOptions, Bindings, Definition, Options, Params, Program, Session as RunSession, State,
};
use wootz_bench::protocol::{self, Failure, Loss, Mode, Phase, Setup, TensorFile};
use wootz_bench::worker::{Marks, Session, WorkerModel};

/// The native CPU backend.
pub(super) struct Wootz;

impl WorkerModel for Wootz {
    type Session = Case;

    fn versions(&self) -> BTreeMap<String, String> {
        let isa = runtime::Backend::target(&Cpu::default()).isa;
        [("wootz", env!("CARGO_PKG_VERSION")), ("instruction set", isa)]
            .map(|(name, version)| (name.to_owned(), version.to_owned()))
            .into()
    }

    fn prepare(&self, setup: &Setup, marks: &mut Marks) -> Result<Case, Failure> {
        if setup.case.dtype != protocol::DType::F32 {
            return Err(Failure::unsupported("the runner has f32 cases only"));
        }
        // The binary is the stack: there is nothing to import.
        marks.end(Phase::Import);
        let input = read(&setup.input)?;
        let target = setup.target.as_ref().map(read).transpose()?;
        let parameters: Vec<(Arc<str>, HostTensor)> = setup
            .parameters
            .iter()
            .map(|file| Ok((file.name.as_str().into(), read(file)?)))
            .collect::<Result<_, Failure>>()?;
        marks.end(Phase::Load);
        let definition: Definition = build(setup, &input, target.as_ref())?.into();
        marks.end(Phase::Build);
        let backend = BackendOptions { threads: Some(setup.case.threads) };
        let options = Options { backend, ..Options::default() };
        let program = runtime::compile(&definition, &BTreeMap::new(), &Cpu::default(), &options)
            .map_err(Failure::failed)?;
        marks.end(Phase::Compile);
        let case = match setup.case.mode {
            Mode::Inference => Case::Inference(inference(&program, parameters, input)?),
            Mode::Training => Case::Training(training(&program, parameters, input, target)?),
        };
        marks.end(Phase::Pack);
        Ok(case)
    }
}

/// Reads a file straight into a tensor.
fn read(file: &TensorFile) -> Result<HostTensor, Failure> {
    let dtype = match file.dtype {
        protocol::DType::F32 => DType::F32,
        protocol::DType::F64 => DType::F64,
        protocol::DType::I64 => DType::I64,
    };
    let named = |error: &dyn std::fmt::Display| Failure::failed(format!("{}: {error}", file.path.display()));
    let mut tensor = HostTensor::zeros(dtype, &file.shape).map_err(|e| named(&e))?;
    let mut stream = File::open(&file.path).map_err(|e| named(&e))?;
    stream.read_exact(tensor.bytes_mut()).map_err(|e| named(&e))?;
    match stream.read(&mut [0]) {
        Ok(0) => Ok(tensor),
        _ => Err(named(&"it holds more than its shape says")),
    }
}

fn build(setup: &Setup, input: &HostTensor, target: Option<&HostTensor>) -> Result<Traced, Failure> {
    let dims = &setup.case.model.dims;
    let model = if dims.len() == 2 { nn::linear(dims[0], dims[1]) } else { nn::mlp(dims) };
    let x: (&str, TensorType) = ("x", input.ty());
    let Some(target) = target else {
        return nn::trace(&model, &[x], nn::Mode::Inference).map_err(Failure::failed);
    };
    let optimizer = nn::sgd(setup.learning_rate);
    let step = match setup.case.model.loss {
        Loss::Mse => nn::training(model, nn::mse(), optimizer),
        Loss::CrossEntropy => nn::training(model, nn::cross_entropy(), optimizer),
    };
    step.trace(&[x, ("y", target.ty())]).map_err(Failure::failed)
}

/// A case made ready to run.
pub(super) enum Case {
    Inference(Box<RunSession>),
    Training(Box<Training>),
}

fn inference(
    program: &Program,
    parameters: Vec<(Arc<str>, HostTensor)>,
    input: HostTensor,
) -> Result<Box<RunSession>, Failure> {
    let mut session = program.session(&Params::new(parameters)).map_err(Failure::failed)?;
    session.set("x", input).map_err(Failure::failed)?;
    Ok(Box::new(session))
}

/// A training run: its state, and the memory of what is given and what comes out at every step.
pub(super) struct Training {
    program: Program,
    state: State,
    memory: Memory,
    parameters: Vec<Arc<str>>,
}

/// The tensors of a step that are not state, by position in the signature.
struct Memory {
    inputs: Vec<Option<HostTensor>>,
    outputs: Vec<Option<HostTensor>>,
}

impl Bindings for Memory {
    fn input(&self, index: usize) -> &[u8] {
        self.inputs[index].as_ref().map_or(&[], HostTensor::as_bytes)
    }

    fn output(&mut self, index: usize) -> &mut [u8] {
        self.outputs[index].as_mut().map_or(&mut [], HostTensor::bytes_mut)
    }
}

fn training(
    program: &Program,
    parameters: Vec<(Arc<str>, HostTensor)>,
    input: HostTensor,
    target: Option<HostTensor>,
) -> Result<Box<Training>, Failure> {
    let signature = program.signature();
    let names = parameters.iter().map(|(name, _)| name.clone()).collect();
    let zeros = |ty: &TensorType| {
        HostTensor::zeros(ty.dtype, &ty.shape.concrete().unwrap_or_default()).map_err(Failure::failed)
    };
    let mut held = parameters;
    for input in signature.inputs.iter().filter(|i| i.role == Role::State) {
        // The counter of plain SGD's steps is all the state it has, and starts at zero.
        held.push((input.name.clone(), zeros(&input.ty)?));
    }
    let state = State::from_tensors(signature, held).map_err(Failure::failed)?;
    let mut given = BTreeMap::from([("x", Some(input)), ("y", target)]);
    let inputs = signature.inputs.iter().map(|i| given.get_mut(&*i.name).and_then(Option::take)).collect();
    let output = |o: &runtime::OutputSpec| o.updates.is_none().then(|| zeros(&o.ty)).transpose();
    let outputs = signature.outputs.iter().map(output).collect::<Result<_, _>>()?;
    let memory = Memory { inputs, outputs };
    Ok(Box::new(Training { program: program.clone(), state, memory, parameters: names }))
}

impl Session for Case {
    fn step(&mut self) -> Result<(), Failure> {
        match self {
            Case::Inference(session) => session.run(),
            Case::Training(run) => run.program.step_with(&mut run.state, &mut run.memory),
        }
        .map_err(Failure::failed)
    }

    fn outputs(&mut self, directory: &Path) -> Result<Vec<TensorFile>, Failure> {
        let write = |name: &str, tensor: &HostTensor| {
            let values =
                tensor.try_as_slice::<f32>().ok_or_else(|| Failure::failed("an output is not f32"))?;
            Ok::<_, Failure>(TensorFile::write_f32(directory, name, tensor.dims(), values)?)
        };
        match self {
            Case::Inference(session) => Ok(vec![write("output", &session.outputs()[0])?]),
            Case::Training(run) => {
                let loss = run.program.signature().output("loss").map_err(Failure::failed)?;
                let loss =
                    run.memory.outputs[loss].as_ref().ok_or_else(|| Failure::failed("there is no loss"))?;
                let mut files = vec![write("loss", loss)?];
                for name in &run.parameters {
                    files.push(write(name, run.state.get(name).map_err(Failure::failed)?)?);
                }
                Ok(files)
            }
        }
    }
}
