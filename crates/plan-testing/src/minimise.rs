//! Failing kernels made small: pieces are taken away as long as the kernel goes on failing.

use crate::Case;
use wootz_ir::{DType, F64};
use wootz_plan::kernel::{Inst, InstOp, Kernel, Reg, Stage};
use wootz_plan::verify_kernel;

/// Most kernels that are tried.
const TRIES: usize = 10_000;

/// A small case for which `fails` is true as well; it is asked about well-formed kernels only, which may read what was never
/// written.
pub fn minimise(case: &Case, fails: &mut dyn FnMut(&Case) -> bool) -> Case {
    let mut best = case.clone();
    let mut tries = 0;
    loop {
        let mut smaller = None;
        for candidate in candidates(&best) {
            tries += 1;
            if tries > TRIES {
                return best;
            }
            if size(&candidate.kernel) < size(&best.kernel)
                && verify_kernel(&candidate.kernel).is_ok()
                && fails(&candidate)
            {
                smaller = Some(candidate);
                break;
            }
        }
        match smaller {
            Some(candidate) => best = candidate,
            None => return best,
        }
    }
}

/// What becomes smaller: code, how often it is executed, what constants it needs.
fn size(kernel: &Kernel) -> (usize, usize, usize) {
    let constant = |i: &&Inst| matches!(i.op, InstOp::Float(_) | InstOp::Int(_));
    let constants: usize = kernel.stages.iter().map(|s| s.body.iter().filter(constant).count()).sum();
    let code: usize = kernel.stages.iter().map(|s| s.body.len() + s.reduce.len()).sum();
    let loops = kernel.stages.iter().flat_map(|s| &s.loops).chain(&kernel.grid).sum();
    (code - constants, loops, constants + kernel.stages.len())
}

/// The case with one thing taken away, large things first.
fn candidates(case: &Case) -> Vec<Case> {
    let kernel = &case.kernel;
    let mut out = Vec::new();
    let mut push = |kernel: Kernel| out.push(tidy(Case { kernel, buffers: case.buffers.clone() }));
    for stage in 0..kernel.stages.len() {
        let mut without = kernel.clone();
        let defined = defined(&without.stages[stage]);
        without.stages[stage].body.clear();
        without.stages[stage].reduce.clear();
        defined.into_iter().for_each(|reg| constant(&mut without, reg));
        push(without);
    }
    for (stage, position) in positions(kernel) {
        if matches!(kernel.stages[stage].body[position].op, InstOp::Store { .. }) {
            let mut without = kernel.clone();
            without.stages[stage].body.remove(position);
            push(without);
        }
    }
    for (stage, code) in kernel.stages.iter().enumerate() {
        for (position, acc) in code.reduce.iter().enumerate() {
            let mut without = kernel.clone();
            without.stages[stage].reduce.remove(position);
            constant(&mut without, acc.out);
            push(without);
        }
    }
    for (stage, position) in positions(kernel) {
        let inst = &kernel.stages[stage].body[position];
        if let (Some(reg), false) = (inst.out, matches!(inst.op, InstOp::Float(_) | InstOp::Int(_))) {
            let mut without = kernel.clone();
            without.stages[stage].body.remove(position);
            constant(&mut without, reg);
            push(without);
        }
        // An operand of the same dtype instead of the result.
        for operand in inst.op.operands() {
            if let Some(reg) =
                inst.out.filter(|reg| kernel.regs[reg.0 as usize] == kernel.regs[operand.0 as usize])
            {
                let mut without = kernel.clone();
                without.stages[stage].body.remove(position);
                rename(&mut without, reg, operand);
                constant(&mut without, reg);
                push(without);
            }
        }
        if let InstOp::Load { mask: Some(_), .. } = inst.op {
            let mut without = kernel.clone();
            if let InstOp::Load { mask, .. } = &mut without.stages[stage].body[position].op {
                *mask = None;
            }
            push(without);
        }
    }
    let shorter = |n: usize| [0, 1, n / 2, n - 1].into_iter().filter(move |m| *m < n);
    for (axis, size) in kernel.grid.iter().enumerate().filter(|(_, n)| **n > 0) {
        for n in shorter(*size) {
            let mut small = kernel.clone();
            small.grid[axis] = n;
            push(small);
        }
    }
    for (stage, code) in kernel.stages.iter().enumerate() {
        for (axis, size) in code.loops.iter().enumerate().filter(|(_, n)| **n > 0) {
            for n in shorter(*size) {
                let mut small = kernel.clone();
                small.stages[stage].loops[axis] = n;
                push(small);
            }
        }
    }
    out
}

fn positions(kernel: &Kernel) -> impl Iterator<Item = (usize, usize)> + '_ {
    // Later code first: it needs what comes before.
    let stages = kernel.stages.iter().enumerate().rev();
    stages.flat_map(|(stage, code)| (0..code.body.len()).rev().map(move |position| (stage, position)))
}

fn defined(stage: &Stage) -> Vec<Reg> {
    stage.body.iter().filter_map(|i| i.out).chain(stage.reduce.iter().map(|acc| acc.out)).collect()
}

/// Defines a register as 1 in front of everything.
fn constant(kernel: &mut Kernel, reg: Reg) {
    let op = match kernel.regs[reg.0 as usize].is_float() {
        true => InstOp::Float(F64(1.0)),
        false => InstOp::Int(1),
    };
    if kernel.stages.first().is_none_or(|s| !s.loops.is_empty()) {
        kernel.stages.insert(0, Stage::default());
    }
    kernel.stages[0].body.insert(0, Inst { out: Some(reg), op });
}

fn rename(kernel: &mut Kernel, from: Reg, to: Reg) {
    let go = |reg: Reg| if reg == from { to } else { reg };
    for stage in &mut kernel.stages {
        stage.body.iter_mut().for_each(|inst| inst.op.map_operands(go));
        stage.reduce.iter_mut().for_each(|acc| acc.value = go(acc.value));
    }
}

/// Drops what nothing needs, and numbers what is left.
fn tidy(mut case: Case) -> Case {
    let kernel = &mut case.kernel;
    let mut needed = vec![false; kernel.regs.len()];
    for stage in kernel.stages.iter_mut().rev() {
        stage.reduce.retain(|acc| needed[acc.out.0 as usize]);
        stage.reduce.iter().for_each(|acc| needed[acc.value.0 as usize] = true);
        let mut body = std::mem::take(&mut stage.body);
        body.reverse();
        body.retain(|inst| {
            let keep = inst.out.is_none_or(|reg| needed[reg.0 as usize]);
            if keep {
                inst.op.operands().iter().for_each(|reg| needed[reg.0 as usize] = true);
            }
            keep
        });
        body.reverse();
        stage.body = body;
    }
    kernel.stages.retain(|s| !s.body.is_empty() || !s.reduce.is_empty());
    number_registers(kernel);
    drop_args(&mut case);
    case
}

fn number_registers(kernel: &mut Kernel) {
    let order: Vec<Reg> = kernel.stages.iter().flat_map(defined).collect();
    let mut numbers = vec![Reg(u32::MAX); kernel.regs.len()];
    for (i, reg) in order.iter().enumerate() {
        numbers[reg.0 as usize] = Reg(i as u32);
    }
    let regs: Vec<DType> = order.iter().map(|reg| kernel.regs[reg.0 as usize]).collect();
    let go = |reg: Reg| numbers[reg.0 as usize];
    for stage in &mut kernel.stages {
        for inst in &mut stage.body {
            inst.op.map_operands(go);
            inst.out = inst.out.map(go);
        }
        for acc in &mut stage.reduce {
            (acc.value, acc.out) = (go(acc.value), go(acc.out));
        }
    }
    kernel.regs = regs;
}

fn drop_args(case: &mut Case) {
    let kernel = &mut case.kernel;
    let mut used = vec![false; kernel.args.len()];
    let accesses = |kernel: &mut Kernel, f: &mut dyn FnMut(&mut u32)| {
        for inst in kernel.stages.iter_mut().flat_map(|s| &mut s.body) {
            if let InstOp::Load { arg, .. } | InstOp::Store { arg, .. } = &mut inst.op {
                f(&mut arg.0);
            }
        }
    };
    accesses(kernel, &mut |arg| used[*arg as usize] = true);
    let numbers: Vec<u32> =
        (0..used.len()).map(|i| used[..i].iter().filter(|u| **u).count() as u32).collect();
    accesses(kernel, &mut |arg| *arg = numbers[*arg as usize]);
    let mut keep = used.iter();
    kernel.args.retain(|_| keep.next() == Some(&true));
    let mut keep = used.iter();
    case.buffers.retain(|_| keep.next() == Some(&true));
}
