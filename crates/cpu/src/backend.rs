//! The CPU as a backend of the runtime.

// Reason: parameters are handed to the executor as pointers.
#![allow(unsafe_code)]

use crate::code::jit_allowed;
use crate::exec::{Buffers, ExecError, Memory, PrepareError, Program, plans};
use crate::fingerprint::fingerprint;
use crate::instance::{Foreign, Running, Slot};
use crate::isa::{Caches, Isa};
use crate::pool;
use crate::yardstick::{Fma, Roofline};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use wootz_ir::ops::Linalg;
use wootz_ir::{DType, Graph, HostTensor, Target};
use wootz_plan::{BufferId, ControlStep, GemmStep, LinalgStep, Place, Plan, PlanError, Rhs, Step, StepKind};
use wootz_runtime::{
    Backend, BackendError, BackendOptions, Bound, Description, Executable, Instance, KernelInfo, Limit,
    Prepared, Stages, Unavailable,
};

/// The processor this runs on.
#[derive(Copy, Clone, Debug, Default)]
pub struct Cpu {
    /// The instruction set to use; `None` is the widest there is (or what `WOOTZ_CPU` says).
    pub isa: Option<Isa>,
    /// Whether kernels become machine code; `None` is yes unless `WOOTZ_JIT=off`.
    pub jit: Option<bool>,
}

pub(crate) const NAME: &str = "cpu";

pub(crate) fn bug(message: impl Into<String>) -> BackendError {
    BackendError::Bug { backend: NAME, message: message.into() }
}

fn unavailable(error: impl std::fmt::Display, remedy: &str) -> Unavailable {
    Unavailable { backend: NAME, missing: error.to_string(), remedy: remedy.to_owned() }
}

impl Cpu {
    fn isa(&self) -> Result<Isa, Unavailable> {
        match self.isa {
            Some(isa) if isa.is_available() => Ok(isa),
            Some(isa) => Err(unavailable(format!("the instruction set {isa}"), "choose another one")),
            None => Isa::detect().map_err(|e| unavailable(e, "unset WOOTZ_CPU or give it another value")),
        }
    }
}

impl Backend for Cpu {
    fn name(&self) -> &'static str {
        NAME
    }

    fn check(&self) -> Result<(), Unavailable> {
        self.isa()?;
        pool::default_threads()
            .map_err(|e| unavailable(e, "unset WOOTZ_THREADS or give it another value"))?;
        Ok(())
    }

    fn target(&self) -> Target {
        let caches = Caches::detect();
        Target {
            backend: NAME,
            isa: self.isa().unwrap_or(Isa::Portable).name(),
            dtypes: DType::ALL.to_vec(),
            claims: wootz_plan::CLAIMS.to_vec(),
            panel: 64,
            caches: [caches.l1d, caches.l2, caches.l3],
            differentiable: false,
        }
    }

    fn compile(
        &self,
        graph: &Graph,
        options: &BackendOptions,
        stages: &mut Stages,
    ) -> Result<Arc<dyn Executable>, BackendError> {
        self.check()?;
        let isa = self.isa()?;
        let most = pool::default_threads().map_err(|e| bug(e.to_string()))?;
        let threads = options.threads.map_or(most, |n| n.clamp(1, most));
        let plan = stages.time("plan", || wootz_plan::lower(graph, &self.target())).map_err(plan_error)?;
        let program = stages
            .time("code", || Program::compile(&plan, isa, self.jit.unwrap_or_else(jit_allowed), threads))
            .map_err(exec_error)?;
        let aliased = |i: usize| graph.outputs.iter().position(|o| o.alias == Some(i));
        let aliases = (0..graph.inputs.len()).map(aliased).collect();
        Ok(Arc::new(Compiled { program: Arc::new(program), plan, isa, aliases }))
    }
}

fn plan_error(error: PlanError) -> BackendError {
    match error {
        PlanError::TooLarge { site } => BackendError::Unsupported {
            backend: NAME,
            what: "a tensor larger than the address space".into(),
            site,
        },
        other => bug(other.to_string()),
    }
}

fn exec_error(error: ExecError) -> BackendError {
    bug(error.to_string())
}

/// A compiled graph.
struct Compiled {
    program: Arc<Program>,
    plan: Plan,
    isa: Isa,
    /// The output that takes over each input.
    aliases: Vec<Option<usize>>,
}

impl Compiled {
    fn input_is_in(&self, steps: &[Step], input: usize) -> bool {
        let place = Place::Input(input);
        steps.iter().flat_map(|s| touched(&s.kind)).any(|b| self.plan.buffers[b.0 as usize].place == place)
    }

    fn infos(plan: &Plan, steps: &[Step]) -> Vec<KernelInfo> {
        steps.iter().map(|step| Compiled::info(plan, step)).collect()
    }

    fn info(plan: &Plan, step: &Step) -> KernelInfo {
        let buffers: BTreeSet<BufferId> = touched(&step.kind).into_iter().collect();
        let bytes = buffers.iter().map(|b| plan.buffers[b.0 as usize].bytes as u64).sum();
        let (kind, detail, flops) = match &step.kind {
            StepKind::Kernel { kernel, .. } => {
                ("fused", format!("grid {:?}", &kernel.grid[..]), kernel.flops())
            }
            StepKind::Gemm(gemm) => gemm_info(gemm),
            StepKind::PackRhs { k, n, .. } => ("pack", format!("{k}x{n}"), 0),
            StepKind::Copy { bytes, .. } => ("copy", format!("{bytes} bytes"), 0),
            StepKind::Scatter(s) => ("scatter", format!("{} of {}", s.batch * s.count, s.slice), 0),
            StepKind::Segment(s) => ("segment", format!("{} of {}", s.batch * s.rows, s.inner), 0),
            StepKind::Cumsum(s) => (
                "cumsum",
                format!("{}x{}x{} {}", s.outer, s.count, s.inner, s.dtype),
                (s.outer * s.count * s.inner) as u64,
            ),
            StepKind::Linalg(s) => (
                wootz_ir::Op::Linalg(s.op).name(),
                format!("{}x{}x{} {}", s.batch, s.n, s.columns, s.dtype),
                linalg_flops(s),
            ),
            StepKind::Control(control) => (control_name(control), String::new(), 0),
        };
        KernelInfo { kind, detail, site: step.site.0.path().to_owned(), flops, bytes }
    }
}

/// The least time of a step.
fn bound(step: &StepKind, info: &KernelInfo, roofline: &Roofline) -> Option<Bound> {
    let fma = match step {
        // What it calls has bounds of its own.
        StepKind::Control(_) => return None,
        StepKind::Gemm(gemm) if gemm.dtype == DType::F64 => Fma::F64,
        StepKind::Kernel { kernel, .. } if kernel.regs.contains(&DType::F64) => Fma::F64,
        _ => Fma::F32,
    };
    let peak = roofline.arithmetic_of(fma);
    let moved = info.bytes as f64 / roofline.bandwidth_at(info.bytes as usize);
    let computed = if peak > 0.0 { info.flops as f64 / peak } else { 0.0 };
    Some(match moved >= computed {
        true => Bound { ns: moved, limit: Limit::Memory },
        false => Bound { ns: computed, limit: Limit::Arithmetic },
    })
}

fn gemm_info(gemm: &GemmStep) -> (&'static str, String, u64) {
    let GemmStep { batch, m, n, k, dtype, .. } = gemm;
    let epilogue = if gemm.epilogue.is_some() { " with epilogue" } else { "" };
    let flops = 2 * (*batch as u64) * (*m as u64) * (*n as u64) * (*k as u64);
    ("gemm", format!("{batch}x{m}x{n}x{k} {dtype}{epilogue}"), flops)
}

fn linalg_flops(s: &LinalgStep) -> u64 {
    let [batch, n, columns] = [s.batch, s.n, s.columns].map(|x| x as u64);
    match s.op {
        Linalg::Cholesky => batch * n * n * n / 3,
        Linalg::TriangularSolve(_) => batch * n * n * columns,
    }
}

fn control_name(control: &ControlStep) -> &'static str {
    match control {
        ControlStep::Call { .. } => "call",
        ControlStep::Cond { .. } => "cond",
        ControlStep::While { .. } => "while",
        ControlStep::Scan { .. } => "scan",
    }
}

/// The buffers a step reads or writes.
fn touched(step: &StepKind) -> Vec<BufferId> {
    match step {
        StepKind::Kernel { args, .. } => args.clone(),
        StepKind::Gemm(gemm) => {
            let rhs = match &gemm.rhs {
                Rhs::Matrix(m) => m.buffer,
                Rhs::Packed(b) => *b,
            };
            let epilogue = gemm.epilogue.iter().flat_map(|e| e.args.iter().copied());
            [gemm.lhs.buffer, rhs].into_iter().chain(gemm.out).chain(epilogue).collect()
        }
        StepKind::PackRhs { rhs, out, .. } => vec![rhs.buffer, *out],
        StepKind::Copy { from, to, .. } => vec![*from, *to],
        StepKind::Scatter(s) => vec![s.indices, s.updates, s.out],
        StepKind::Segment(s) => vec![s.data, s.ids, s.out],
        StepKind::Cumsum(s) => vec![s.data, s.out],
        StepKind::Linalg(s) => s.inputs.iter().copied().chain([s.out]).collect(),
        StepKind::Control(control) => match &**control {
            ControlStep::Call { inputs, outputs, .. } => [&inputs[..], outputs].concat(),
            ControlStep::Cond { predicate, inputs, outputs, .. } => {
                [&[*predicate][..], inputs, outputs].concat()
            }
            ControlStep::While { captures, outputs, .. } => [&captures[..], outputs].concat(),
            ControlStep::Scan { carry, xs, captures, ys, .. } => {
                let rows = xs.iter().chain(ys).map(|(b, _)| *b);
                carry.iter().chain(captures).copied().chain(rows).collect()
            }
        },
    }
}

impl Compiled {
    /// What is slower here than it could be, and why.
    fn notes(&self) -> Vec<String> {
        if self.isa == Isa::Portable {
            return vec!["portable code: this processor has no AVX2, or WOOTZ_CPU says so".into()];
        }
        let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
        for declined in self.program.declined() {
            *reasons.entry(declined.0).or_default() += 1;
        }
        let kernels = |n: usize| if n == 1 { "1 kernel".to_owned() } else { format!("{n} kernels") };
        reasons.into_iter().map(|(why, n)| format!("{} run by the tile VM: {why}", kernels(n))).collect()
    }
}

impl Executable for Compiled {
    fn describe(&self) -> Description {
        Description {
            kernels: Compiled::infos(&self.plan, &self.plan.steps),
            prepare: Compiled::infos(&self.plan, &self.plan.prepare),
            arena: self.program.arena(),
            scratch: self.program.scratch(),
            prepared: self.plan.prepared.iter().sum(),
            constants: self.plan.constants.iter().map(|c| c.as_bytes().len()).sum(),
            notes: self.notes(),
        }
    }

    fn steps(&self) -> Vec<Vec<KernelInfo>> {
        plans(&self.plan).into_iter().map(|plan| Compiled::infos(plan, &plan.steps)).collect()
    }

    fn bounds(&self) -> Vec<Vec<Option<Bound>>> {
        let roofline = Roofline::quick(self.isa, self.program.threads());
        let plans = plans(&self.plan).into_iter();
        plans
            .map(|plan| {
                let steps = plan.steps.iter().zip(Compiled::infos(plan, &plan.steps));
                steps.map(|(step, info)| bound(&step.kind, &info, &roofline)).collect()
            })
            .collect()
    }

    fn source(&self) -> String {
        self.plan.to_string()
    }

    fn fingerprint(&self) -> u128 {
        fingerprint(&self.plan, self.isa)
    }

    fn reads(&self, input: usize) -> bool {
        // An output may be an input's memory as it is, without any step.
        self.input_is_in(&self.plan.steps, input)
    }

    fn prepares(&self, input: usize) -> bool {
        self.input_is_in(&self.plan.prepare, input)
    }

    fn prepare(&self, params: &[Option<HostTensor>]) -> Result<Prepared, BackendError> {
        let memory = |bytes| BackendError::OutOfMemory { backend: NAME, bytes };
        let mut prepared = Buffers::zeroed(self.program.prepared()).map_err(memory)?;
        let missing =
            (0..self.aliases.len()).find(|i| self.prepares(*i) && params.get(*i).is_none_or(Option::is_none));
        if let Some(i) = missing {
            return Err(bug(format!("parameter {i} was not given to prepare")));
        }
        let input = |i: usize| {
            let tensor = params.get(i).and_then(Option::as_ref);
            tensor.map_or(std::ptr::null_mut(), |t| t.as_bytes().as_ptr().cast_mut())
        };
        // SAFETY: the parameters that the prepare part reads are there, dense and aligned; nobody else has `prepared`.
        unsafe { self.program.prepare(&mut prepared, &input) }.map_err(|e| match e {
            PrepareError::Memory(bytes) => memory(bytes),
            PrepareError::Pool(e) => bug(e.to_string()),
        })?;
        Ok(Arc::new(prepared))
    }

    fn instance(&self) -> Result<Box<dyn Instance>, BackendError> {
        let memory =
            Memory::new(&self.program).map_err(|bytes| BackendError::OutOfMemory { backend: NAME, bytes })?;
        let slots = |ids: &[BufferId]| {
            ids.iter().map(|b| Slot::new(&self.plan.buffers[b.0 as usize])).collect::<Vec<_>>()
        };
        // What the prepare part alone reads is not given to a run.
        let is_given = |place| match place {
            Place::Input(i) => self.aliases[i].is_some() || self.reads(i),
            _ => true,
        };
        let foreign =
            self.program.foreign().filter(|(_, place)| is_given(*place)).map(Foreign::from).collect();
        Ok(Box::new(Running::new(
            self.program.clone(),
            memory,
            foreign,
            [&self.plan.inputs, &self.plan.outputs].map(|ids| slots(ids)),
            self.aliases.clone(),
        )))
    }
}
