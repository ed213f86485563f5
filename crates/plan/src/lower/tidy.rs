//! After emission: stores nobody reads go, and with them what only they needed; loops are joined; lanes are chosen; equal
//! kernels become one.

use super::Lowering;
use crate::kernel::{Address, Arg, Inst, InstOp, Kernel, Lanes, Reg, Stage};
use crate::{BufferId, ControlStep, GemmStep, Rhs, Step, StepKind};
use hashbrown::{DefaultHashBuilder, HashSet, HashTable};
use smallvec::SmallVec;
use std::hash::BuildHasher;
use std::sync::Arc;
use wootz_ir::{DType, Dims};

/// Removes stores to buffers that nothing reads, and finishes every kernel.
pub(super) fn drop_unread_stores(lowering: &mut Lowering<'_>) {
    let mut live: HashSet<BufferId> = lowering.outputs.iter().copied().collect();
    let mut shared = Shared::default();
    for steps in [&mut lowering.steps, &mut lowering.prepare] {
        let mut kept: Vec<Step> = Vec::with_capacity(steps.len());
        for mut step in std::mem::take(steps).into_iter().rev() {
            if trim(&mut step, &mut live, &mut shared) {
                kept.push(step);
            }
        }
        kept.reverse();
        *steps = kept;
    }
}

/// Trims one step, later steps reading `live`; false if nothing of it is left.
fn trim(step: &mut Step, live: &mut HashSet<BufferId>, shared: &mut Shared) -> bool {
    match &mut step.kind {
        StepKind::Kernel { kernel, args } => {
            let code = Arc::make_mut(kernel);
            let later: Vec<bool> = args.iter().map(|b| live.contains(b)).collect();
            if code.points() == 0 || !trim_kernel(code, args, live) {
                return false;
            }
            super::rows::keep_in_outputs(code, &later);
            renumber(code, args);
            finish(code);
            shared.share(kernel);
        }
        StepKind::Gemm(gemm) => {
            if !trim_gemm(gemm, live, shared) {
                return false;
            }
        }
        StepKind::PackRhs { rhs, out, .. } => {
            if !live.contains(out) {
                return false;
            }
            live.insert(rhs.buffer);
        }
        StepKind::Copy { from, to, bytes } => {
            if !live.contains(to) || *bytes == 0 {
                return false;
            }
            live.insert(*from);
        }
        StepKind::Scatter(s) => live.extend([s.indices, s.updates, s.out]),
        StepKind::Segment(s) => live.extend([s.data, s.ids]),
        StepKind::Cumsum(s) => live.extend([s.data]),
        StepKind::Linalg(s) => live.extend(&s.inputs),
        StepKind::Control(control) => live.extend(control_reads(control)),
    }
    true
}

fn trim_gemm(gemm: &mut GemmStep, live: &mut HashSet<BufferId>, shared: &mut Shared) -> bool {
    if gemm.batch * gemm.m * gemm.n == 0 {
        return false;
    }
    if let Some(epilogue) = &mut gemm.epilogue {
        let code = Arc::make_mut(&mut epilogue.kernel);
        if !trim_kernel(code, &epilogue.args, live) {
            return false;
        }
        renumber(code, &mut epilogue.args);
        match plain_store(code, gemm.dtype) {
            // The epilogue only stores the product: no epilogue.
            true => {
                gemm.out = Some(epilogue.args[0]);
                gemm.epilogue = None;
            }
            false => shared.share(&mut epilogue.kernel),
        }
    } else if gemm.out.is_none_or(|out| !live.contains(&out)) {
        return false;
    }
    live.insert(gemm.lhs.buffer);
    live.insert(match &gemm.rhs {
        Rhs::Matrix(m) => m.buffer,
        Rhs::Packed(b) => *b,
    });
    true
}

/// True if a kernel does nothing but store the tile row-major as elements of `dtype`.
fn plain_store(kernel: &Kernel, dtype: DType) -> bool {
    let [stage] = &kernel.stages[..] else { return false };
    let row_major = super::index::strides(&kernel.grid);
    match &stage.body[..] {
        [Inst { op: InstOp::Tile, out: Some(tile) }, Inst { op: InstOp::Store { arg, at, value }, .. }] => {
            value == tile
                && kernel.args[arg.0 as usize].dtype == dtype
                && at.offset == 0
                && at.index.is_none()
                && (0..kernel.grid.len()).all(|i| kernel.grid[i] == 1 || at.stride(i) == row_major[i])
        }
        _ => false,
    }
}

/// Kernels so far, each with its hash: they are long.
#[derive(Default)]
struct Shared {
    hasher: DefaultHashBuilder,
    kernels: HashTable<(u64, Arc<Kernel>)>,
}

impl Shared {
    /// Makes a kernel the same as an equal one before it.
    fn share(&mut self, kernel: &mut Arc<Kernel>) {
        let hash = self.hasher.hash_one(&**kernel);
        match self.kernels.find(hash, |(_, known)| known == kernel) {
            Some((_, known)) => *kernel = known.clone(),
            None => {
                self.kernels.insert_unique(hash, (hash, kernel.clone()), |(hash, _)| *hash);
            }
        }
    }
}

fn control_reads(control: &ControlStep) -> Vec<BufferId> {
    match control {
        ControlStep::Call { inputs, outputs, .. } => [&inputs[..], outputs].concat(),
        ControlStep::Cond { predicate, inputs, outputs, .. } => [&[*predicate][..], inputs, outputs].concat(),
        ControlStep::While { captures, outputs, .. } => [&captures[..], outputs].concat(),
        ControlStep::Scan { carry, xs, captures, .. } => {
            let xs: Vec<BufferId> = xs.iter().map(|(b, _)| *b).collect();
            [&carry[..], captures, &xs].concat()
        }
    }
}

/// Removes dead stores and dead registers; false if the kernel stores nothing any more.
fn trim_kernel(kernel: &mut Kernel, args: &[BufferId], live: &mut HashSet<BufferId>) -> bool {
    let mut needed = vec![false; kernel.regs.len()];
    let mut stores = false;
    for stage in kernel.stages.iter_mut().rev() {
        stage.reduce.retain(|acc| needed[acc.out.0 as usize]);
        stage.reduce.iter().for_each(|acc| needed[acc.value.0 as usize] = true);
        let mut body = Vec::with_capacity(stage.body.len());
        for inst in std::mem::take(&mut stage.body).into_iter().rev() {
            let keep = match (&inst.op, inst.out) {
                (InstOp::Store { arg, .. }, _) => live.contains(&args[arg.0 as usize]),
                (_, Some(out)) => needed[out.0 as usize],
                (_, None) => false,
            };
            if keep {
                stores |= matches!(inst.op, InstOp::Store { .. });
                inst.op.operands().iter().for_each(|r| needed[r.0 as usize] = true);
                if let InstOp::Load { arg, .. } = &inst.op {
                    live.insert(args[arg.0 as usize]);
                }
                body.push(inst);
            }
        }
        body.reverse();
        stage.body = body;
    }
    kernel.stages.retain(|s| !s.body.is_empty() || !s.reduce.is_empty());
    stores
}

/// Numbers registers in order of definition, arguments in order of use; drops those not used.
fn renumber(kernel: &mut Kernel, args: &mut Vec<BufferId>) {
    number_registers(kernel);
    let mut numbers: Vec<Option<u32>> = vec![None; kernel.args.len()];
    let mut order = Vec::new();
    let mut written = vec![false; kernel.args.len()];
    for inst in kernel.stages.iter_mut().flat_map(|s| &mut s.body) {
        if let InstOp::Load { arg, .. } | InstOp::Store { arg, .. } = &mut inst.op {
            let old = arg.0 as usize;
            arg.0 = *numbers[old].get_or_insert_with(|| {
                order.push(old);
                order.len() as u32 - 1
            });
            written[old] |= inst.out.is_none();
        }
    }
    kernel.args = order.iter().map(|i| Arg { write: written[*i], ..kernel.args[*i] }).collect();
    *args = order.iter().map(|i| args[*i]).collect();
}

/// Numbers registers in order of definition; drops those that are not defined.
pub(super) fn number_registers(kernel: &mut Kernel) {
    let mut regs = vec![Reg(0); kernel.regs.len()];
    let mut types = Vec::new();
    let mut define = |regs: &mut [Reg], out: &mut Reg| {
        types.push(kernel.regs[out.0 as usize]);
        regs[out.0 as usize] = Reg(types.len() as u32 - 1);
        *out = Reg(types.len() as u32 - 1);
    };
    for stage in &mut kernel.stages {
        for inst in &mut stage.body {
            inst.op.map_operands(|r| regs[r.0 as usize]);
            if let Some(out) = &mut inst.out {
                define(&mut regs, out);
            }
        }
        for acc in &mut stage.reduce {
            acc.value = regs[acc.value.0 as usize];
        }
        for acc in &mut stage.reduce {
            define(&mut regs, &mut acc.out);
        }
    }
    kernel.regs = types;
}

/// Drops and joins loops, then picks the lanes.
fn finish(kernel: &mut Kernel) {
    simplify_grid(kernel);
    let rank = kernel.grid.len();
    for stage in &mut kernel.stages {
        simplify_loops(stage, rank);
    }
    kernel.lanes = pick_lanes(kernel);
    super::sums::widen(kernel);
}

fn simplify_grid(kernel: &mut Kernel) {
    let mut axis = kernel.grid.len();
    while axis > 0 {
        axis -= 1;
        let joins = axis + 1 < kernel.grid.len() && {
            let inner = kernel.grid[axis + 1];
            kernel.stages.iter().all(|s| joinable(s, axis, inner))
        };
        if joins {
            kernel.grid[axis + 1] *= kernel.grid[axis];
        } else if kernel.grid[axis] != 1 {
            continue;
        }
        kernel.grid.remove(axis);
        for stage in &mut kernel.stages {
            remove_axis(stage, axis);
        }
    }
}

fn simplify_loops(stage: &mut Stage, rank: usize) {
    let mut axis = stage.loops.len();
    // The last loop stays, so that a stage with loops keeps at least one.
    while axis > 0 {
        axis -= 1;
        let last = axis + 1 == stage.loops.len();
        let joins = !last && joinable(stage, rank + axis, stage.loops[axis + 1]);
        if joins {
            stage.loops[axis + 1] *= stage.loops[axis];
        } else if stage.loops[axis] != 1 || stage.loops.len() == 1 {
            continue;
        }
        stage.loops.remove(axis);
        remove_axis(stage, rank + axis);
    }
}

/// True if loops `axis` and `axis + 1` (of size `inner`) can be walked as one.
fn joinable(stage: &Stage, axis: usize, inner: usize) -> bool {
    stage.body.iter().all(|inst| match &inst.op {
        InstOp::Index(a) => *a as usize != axis && *a as usize != axis + 1,
        InstOp::Load { at, .. } | InstOp::Store { at, .. } => {
            at.stride(axis) == at.stride(axis + 1) * inner as i64
        }
        _ => true,
    })
}

/// Removes an axis of size 1, or one that was joined with the next.
fn remove_axis(stage: &mut Stage, axis: usize) {
    for inst in &mut stage.body {
        match &mut inst.op {
            InstOp::Index(a) if *a as usize == axis => inst.op = InstOp::Int(0),
            InstOp::Index(a) if *a as usize > axis => *a -= 1,
            InstOp::Load { at, .. } | InstOp::Store { at, .. } if axis < at.strides.len() => {
                at.strides.remove(axis);
                at.trim();
            }
            _ => {}
        }
    }
}

/// The loop along which most accesses are contiguous.
fn pick_lanes(kernel: &Kernel) -> Lanes {
    let rank = kernel.grid.len();
    let longest = kernel.stages.iter().filter_map(|s| s.loops.last()).max().copied();
    let Some(longest) = longest else { return Lanes::Grid };
    let Some(width) = kernel.grid.last().copied() else { return Lanes::Inner };
    // Short rows waste lanes: take several rows at once even if their elements are apart.
    if longest < 16 && width >= 2 * longest {
        return Lanes::Grid;
    }
    let (mut grid, mut inner) = (0usize, 0usize);
    for stage in &kernel.stages {
        let work = stage.loops.iter().product::<usize>();
        let addresses = stage.body.iter().filter_map(|i| match &i.op {
            InstOp::Load { at, .. } | InstOp::Store { at, .. } => Some(at),
            _ => None,
        });
        for at in addresses {
            let contiguous = |axis: Option<usize>| axis.is_none_or(|a| matches!(at.stride(a), 0 | 1));
            grid += work * usize::from(contiguous(Some(rank - 1)));
            inner += work
                * usize::from(contiguous((!stage.loops.is_empty()).then(|| rank + stage.loops.len() - 1)));
        }
    }
    if grid > inner { Lanes::Grid } else { Lanes::Inner }
}

/// The kernel over exactly three loops, [batch, m, n], from one whose grid is that many axes of each; `None` if some access cannot
/// be walked so.
pub(super) fn regroup(kernel: &Kernel, groups: &[usize; 3]) -> Option<Kernel> {
    if kernel.stages.iter().any(|s| !s.loops.is_empty()) {
        return None;
    }
    let mut out = kernel.clone();
    let mut start = 0;
    let ranges = groups.map(|n| {
        start += n;
        start - n..start
    });
    let size = |r: &std::ops::Range<usize>| kernel.grid[r.clone()].iter().product::<usize>();
    out.grid = ranges.iter().map(size).collect::<Dims>();
    for inst in out.stages.iter_mut().flat_map(|s| &mut s.body) {
        match &mut inst.op {
            InstOp::Index(axis) => {
                let axis_was = *axis as usize;
                let group = ranges.iter().position(|r| r.contains(&axis_was))?;
                let alone = ranges[group].clone().all(|a| a == axis_was || kernel.grid[a] == 1);
                match (alone, kernel.grid[axis_was]) {
                    (_, 1) => inst.op = InstOp::Int(0),
                    (true, _) => *axis = group as u32,
                    (false, _) => return None,
                }
            }
            InstOp::Load { at, .. } | InstOp::Store { at, .. } => {
                let strides: Option<SmallVec<[i64; 4]>> =
                    ranges.iter().map(|r| joined(kernel, at, r.clone())).collect();
                at.strides = strides?;
                at.trim();
            }
            _ => {}
        }
    }
    Some(out)
}

fn joined(kernel: &Kernel, at: &Address, axes: std::ops::Range<usize>) -> Option<i64> {
    let mut joined: Option<(usize, i64)> = None;
    for axis in axes.rev().filter(|a| kernel.grid[*a] != 1) {
        let (size, stride) = (kernel.grid[axis], at.stride(axis));
        joined = Some(match joined {
            None => (size, stride),
            Some((inner, step)) if stride == step * inner as i64 => (inner * size, step),
            Some(_) => return None,
        });
    }
    Some(joined.map_or(0, |(_, stride)| stride))
}
