//! The kernels of a plan as text: what `wootz inspect --kernels` shows below its table.

use std::fmt::Write;
use std::sync::Arc;

use serde_json::{Value, json};
use wootz::cpu::isa::Isa;
use wootz::plan::{self, ControlStep, Kernel, Plan, Step, StepKind};

/// How a kernel's elementary functions are shown.
#[derive(Copy, Clone, PartialEq, Eq)]
pub(crate) enum Math {
    /// As the instructions they are: `exp`, `tanh`.
    Named,
    /// Written out in native instructions, as executors see them.
    Expanded,
}

/// What is shown of a kernel.
#[derive(Copy, Clone)]
pub(crate) struct Show {
    pub(crate) math: Math,
    /// The instruction set to show machine code of.
    pub(crate) assembly: Option<Isa>,
}

/// A kernel and the steps that run it.
pub(crate) struct Listed {
    code: Kernel,
    /// Its machine code, or why it has none.
    assembly: Option<Result<String, &'static str>>,
    /// `run 3`, `prepare 0`: the part of the plan and the step's number there; steps of regions follow their owner's.
    steps: Vec<String>,
    /// Where in the model they come from.
    sites: Vec<String>,
}

/// Every kernel of a plan and of the plans it calls, equal ones once, in order of their first step.
pub(crate) fn list(plan: &Plan, show: Show) -> Vec<Listed> {
    let mut found: Vec<(Arc<Kernel>, Listed)> = Vec::new();
    for (part, steps) in [("prepare", &plan.prepare), ("run", &plan.steps)] {
        collect(part, steps, show, &mut found);
    }
    found.into_iter().map(|(_, listed)| listed).collect()
}

/// The kernels with a line each that says which steps run it.
pub(crate) fn text(kernels: &[Listed]) -> String {
    let mut out = String::new();
    for Listed { code, assembly, steps, sites } in kernels {
        let sites = if sites.is_empty() { String::new() } else { format!(", at {}", sites.join(", ")) };
        let _ = writeln!(out, "# step {}{sites}\n{code}\n", steps.join(", "));
        let _ = match assembly {
            Some(Ok(listing)) => writeln!(out, "{listing}"),
            Some(Err(why)) => writeln!(out, "; no machine code: {why}\n"),
            None => Ok(()),
        };
    }
    out.trim_end().to_owned()
}

pub(crate) fn json(kernels: &[Listed]) -> Value {
    let one = |k: &Listed| {
        let mut kernel = json!({"code": k.code.to_string(), "steps": k.steps, "sites": k.sites});
        match &k.assembly {
            Some(Ok(listing)) => kernel["assembly"] = json!(listing),
            Some(Err(why)) => kernel["no_assembly"] = json!(why),
            None => {}
        }
        kernel
    };
    kernels.iter().map(one).collect()
}

fn collect(part: &str, steps: &[Step], show: Show, found: &mut Vec<(Arc<Kernel>, Listed)>) {
    for (number, step) in steps.iter().enumerate() {
        let name = format!("{part} {number}");
        match &step.kind {
            StepKind::Kernel { kernel, .. } => add((kernel, false), name, step, show, found),
            StepKind::Gemm(gemm) => {
                if let Some(epilogue) = &gemm.epilogue {
                    let name = format!("{name} (epilogue)");
                    add((&epilogue.kernel, true), name, step, show, found);
                }
            }
            StepKind::Control(control) => {
                let bodies = match &**control {
                    ControlStep::Call { body, .. } | ControlStep::Scan { body, .. } => vec![body],
                    ControlStep::Cond { then, otherwise, .. } => vec![then, otherwise],
                    ControlStep::While { cond, body, .. } => vec![cond, body],
                };
                for (i, body) in bodies.into_iter().enumerate() {
                    collect(&format!("{name}.{i}"), &body.plan.steps, show, found);
                }
            }
            _ => {}
        }
    }
}

fn add(
    (kernel, epilogue): (&Arc<Kernel>, bool),
    name: String,
    step: &Step,
    show: Show,
    found: &mut Vec<(Arc<Kernel>, Listed)>,
) {
    let at = found.iter().position(|(known, _)| known == kernel).unwrap_or_else(|| {
        let code = match show.math {
            Math::Named => (**kernel).clone(),
            Math::Expanded => plan::math::expand(kernel, true).into_owned(),
        };
        let assembly = show.assembly.map(|isa| wootz::cpu::assembly(kernel, epilogue, isa));
        found.push((kernel.clone(), Listed { code, assembly, steps: Vec::new(), sites: Vec::new() }));
        found.len() - 1
    });
    let listed = &mut found[at].1;
    listed.steps.push(name);
    let site = step.site.0.path().to_owned();
    if !site.is_empty() && !listed.sites.contains(&site) {
        listed.sites.push(site);
    }
}
