//! Kernel → [`Code`].

use super::lanes::{self, BLOCK, Splats};
use super::{Access, Code, Op, Reduction, StageCode, accumulate, memory};
use crate::isa::Isa;
use wootz_ir::DType;
use wootz_ir::ops::{Binary, Unary};
use wootz_plan::Kernel;
use wootz_plan::kernel::{AccKind, Address, ArgId, Inst, InstOp, LANES, Lanes, Reg, Stage};

/// Bytes of registers that a tile may have: they must stay in the first-level cache with the memory streamed through it.
const TILE_BYTES: usize = 16 << 10;
/// Most lanes of a tile.
const MAX_WIDTH: usize = 1024;
/// Bytes of a register that is equal for all lanes.
const SCALAR_BYTES: u32 = 16;
/// No operand.
const NONE: u32 = 0;

/// How often an instruction must be executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    /// Once a run.
    Constant,
    /// Once a stage.
    Stage,
    /// For every iteration of the loops around the lanes.
    Outer,
    /// For every tile.
    Tile,
}

/// What is known of a register.
#[derive(Clone, Copy)]
struct Info {
    level: Level,
    varies: bool,
    stage: usize,
    /// The position in the stage's body after which it is not used any more; `usize::MAX` if a later stage or a reduction
    /// uses it.
    last: usize,
}

pub(super) fn compile(kernel: &Kernel, lane_axis: Option<usize>, isa: Isa) -> Code {
    let mut compiler = Compiler::new(kernel, lane_axis, isa);
    compiler.analyse();
    let stages: Vec<StageCode> = (0..kernel.stages.len()).map(|i| compiler.stage(i)).collect();
    compiler.finish(stages)
}

/// A place in the working memory, before the sizes of its parts are known.
#[derive(Clone, Copy)]
enum Home {
    Scalar(u32),
    /// A slot of a size class (log₂ of the bytes of a lane).
    Slot(usize, u32),
}

struct Compiler<'k> {
    kernel: &'k Kernel,
    lane_axis: Option<usize>,
    isa: Isa,
    regs: Vec<Info>,
    homes: Vec<Home>,
    scalars: u32,
    /// Slots of each size class, and those not in use.
    slots: [u32; 4],
    free: [Vec<u32>; 4],
    /// Slots that hold the partial results of arg-reductions along the grid, with the reduction's stage and position.
    constants: Vec<(u32, u64)>,
    prologue: Vec<Op>,
    /// Partial-result areas of reductions along the lanes, [`LANES`] · 8 bytes each.
    areas: u32,
    loaded: Vec<bool>,
    stored: Vec<usize>,
}

impl<'k> Compiler<'k> {
    fn new(kernel: &'k Kernel, lane_axis: Option<usize>, isa: Isa) -> Self {
        let info = Info { level: Level::Constant, varies: false, stage: 0, last: 0 };
        let (mut loaded, mut stored) = (vec![false; kernel.args.len()], vec![0; kernel.args.len()]);
        for inst in kernel.stages.iter().flat_map(|s| &s.body) {
            match &inst.op {
                InstOp::Load { arg, .. } => loaded[arg.0 as usize] = true,
                InstOp::Store { arg, .. } => stored[arg.0 as usize] += 1,
                _ => {}
            }
        }
        Compiler {
            kernel,
            lane_axis,
            isa,
            regs: vec![info; kernel.regs.len()],
            homes: vec![Home::Scalar(0); kernel.regs.len()],
            scalars: 1,
            slots: [0; 4],
            free: Default::default(),
            constants: Vec::new(),
            prologue: Vec::new(),
            areas: 0,
            loaded,
            stored,
        }
    }

    /// The axis that the lanes of a stage run along.
    fn lanes_of(&self, stage: &Stage) -> Option<usize> {
        match self.kernel.lanes {
            Lanes::Grid => self.lane_axis,
            Lanes::Inner => (!stage.loops.is_empty()).then(|| self.kernel.grid.len() + stage.loops.len() - 1),
        }
    }

    /// How an axis of a stage's loop nest changes what depends on it.
    fn axis(&self, stage: &Stage, axis: usize) -> (Level, bool) {
        let varies = self.lanes_of(stage) == Some(axis);
        let level = match self.kernel.lanes {
            _ if axis < self.kernel.grid.len() => Level::Stage,
            Lanes::Inner if !varies => Level::Outer,
            _ => Level::Tile,
        };
        (level, varies)
    }

    fn analyse(&mut self) {
        let kernel = self.kernel;
        for (index, stage) in kernel.stages.iter().enumerate() {
            for (position, inst) in stage.body.iter().enumerate() {
                for operand in inst.op.operands() {
                    self.used(operand, index, position);
                }
                if let Some(out) = inst.out {
                    let (level, varies) = self.level(stage, index, inst);
                    self.regs[out.0 as usize] = Info { level, varies, stage: index, last: position };
                }
            }
            for acc in &stage.reduce {
                self.used(acc.value, index, usize::MAX);
                let varies = kernel.lanes == Lanes::Grid && self.lane_axis.is_some();
                let info = Info { level: Level::Stage, varies, stage: index, last: usize::MAX };
                self.regs[acc.out.0 as usize] = info;
            }
        }
    }

    fn used(&mut self, reg: Reg, stage: usize, position: usize) {
        let info = &mut self.regs[reg.0 as usize];
        info.last = if info.stage == stage { info.last.max(position) } else { usize::MAX };
    }

    fn level(&self, stage: &Stage, index: usize, inst: &Inst) -> (Level, bool) {
        let mut level = (Level::Constant, false);
        let mut depend = |(l, v): (Level, bool)| level = (level.0.max(l), level.1 | v);
        for operand in inst.op.operands() {
            let info = self.regs[operand.0 as usize];
            let outside = info.stage != index && info.level > Level::Stage;
            depend((if outside { Level::Stage } else { info.level }, info.varies));
        }
        let axes =
            |at: &Address| -> Vec<usize> { (0..at.strides.len()).filter(|a| at.stride(*a) != 0).collect() };
        match &inst.op {
            InstOp::Index(axis) => depend(self.axis(stage, *axis as usize)),
            InstOp::Load { arg, at, .. } => {
                depend((Level::Stage, false));
                axes(at).into_iter().for_each(|a| depend(self.axis(stage, a)));
                let writes = |i: &Inst| matches!(&i.op, InstOp::Store { arg: to, .. } if to == arg);
                if stage.body.iter().any(writes) {
                    depend((Level::Tile, false));
                }
            }
            InstOp::Tile => depend((Level::Tile, self.lane_axis.is_some())),
            _ => {}
        }
        // Without loops there is nothing to move code out of.
        if stage.loops.is_empty() && level.0 > Level::Constant {
            level.0 = Level::Tile;
        }
        level
    }

    fn info(&self, reg: Reg) -> Info {
        self.regs[reg.0 as usize]
    }

    fn dtype(&self, reg: Reg) -> DType {
        self.kernel.regs[reg.0 as usize]
    }

    fn scalar(&mut self) -> Home {
        self.scalars += 1;
        Home::Scalar(self.scalars - 1)
    }

    fn slot(&mut self, bytes: usize) -> Home {
        let class = bytes.trailing_zeros() as usize;
        let slot = self.free[class].pop().unwrap_or_else(|| {
            self.slots[class] += 1;
            self.slots[class] - 1
        });
        Home::Slot(class, slot)
    }

    fn place(&mut self, reg: Reg) {
        let home = if self.info(reg).varies { self.slot(self.dtype(reg).size()) } else { self.scalar() };
        self.homes[reg.0 as usize] = home;
    }

    fn stage(&mut self, index: usize) -> StageCode {
        let stage = &self.kernel.stages[index];
        let lanes = self.lanes_of(stage);
        let rank = self.kernel.grid.len();
        let lane = lanes.filter(|a| *a >= rank).map(|a| (a, stage.loops[a - rank]));
        let mut loops: smallvec::SmallVec<[usize; 4]> = stage.loops.iter().copied().collect();
        if lane.is_some() {
            loops.pop();
        }
        let mut code =
            StageCode { loops, lane, once: vec![], outer: vec![], body: vec![], accumulate: vec![] };
        // What lives through the stage gets its place before what lives within an iteration.
        for inst in &stage.body {
            if let Some(out) = inst.out.filter(|r| self.info(*r).level < Level::Tile) {
                self.place(out);
            }
        }
        for acc in &stage.reduce {
            self.place(acc.out);
            let reduction = self.reduction(acc.kind, acc.value, acc.out);
            code.accumulate.push(reduction);
        }
        for (position, inst) in stage.body.iter().enumerate() {
            let level = inst.out.map_or(Level::Tile, |r| self.info(r).level);
            if let Some(out) = inst.out.filter(|_| level == Level::Tile) {
                self.place(out);
                if let Some(target) = self.target(stage, index, position, out) {
                    code.body.push(target);
                }
            }
            let op = self.inst(stage, index, inst);
            match (level, op) {
                (_, None) => {}
                (Level::Constant, Some(op)) => self.prologue.push(op),
                (Level::Stage, Some(op)) => code.once.push(op),
                (Level::Outer, Some(op)) => code.outer.push(op),
                (Level::Tile, Some(op)) => code.body.push(op),
            }
            self.release(inst, index, position);
        }
        code
    }

    /// Frees the slots of registers that an instruction uses last.
    fn release(&mut self, inst: &Inst, stage: usize, position: usize) {
        let mut seen: smallvec::SmallVec<[Reg; 4]> = inst.op.operands().into_iter().chain(inst.out).collect();
        seen.sort_unstable();
        seen.dedup();
        for reg in seen {
            let info = self.info(reg);
            let here = info.stage == stage && info.last == position && info.level == Level::Tile;
            if let (true, Home::Slot(class, slot)) = (here, self.homes[reg.0 as usize]) {
                self.free[class].push(slot);
            }
        }
    }

    fn reduction(&mut self, kind: AccKind, value: Reg, out: Reg) -> Reduction {
        let dtype = self.dtype(value);
        let arg = matches!(kind, AccKind::ArgMax | AccKind::ArgMin);
        let reducer = accumulate::pick(kind, dtype, self.isa);
        let area = self.areas;
        // Resolved to offsets in `finish`.
        self.areas += if arg { 2 } else { 1 };
        Reduction {
            reducer,
            value: value.0,
            splat: !self.info(value).varies,
            out: out.0,
            out_bytes: self.dtype(out).size(),
            values_at: area,
            positions_at: arg.then_some(area + 1),
        }
    }

    fn access(&self, stage: &Stage, arg: ArgId, at: &Address, mask: Option<Reg>) -> Box<Access> {
        let with_variance = |r: Reg| (r.0, self.info(r).varies);
        let terms = (0..at.strides.len()).filter(|a| at.stride(*a) != 0).map(|a| (a as u32, at.stride(a)));
        Box::new(Access {
            arg: arg.0,
            bytes: self.kernel.args[arg.0 as usize].dtype.size() as i64,
            offset: at.offset,
            terms: terms.collect(),
            lane: self.lanes_of(stage).map_or(0, |a| at.stride(a)),
            index: at.index.map(with_variance),
            mask: mask.map(with_variance),
        })
    }

    fn inst(&mut self, stage: &Stage, index: usize, inst: &Inst) -> Option<Op> {
        let out = inst.out.map_or(NONE, |r| r.0);
        let varies = inst.out.is_some_and(|r| self.info(r).varies);
        let dtype = inst.out.map(|r| self.dtype(r));
        let splats = |regs: &[Reg]| {
            let mut splats = Splats::default();
            for (splat, reg) in splats.0.iter_mut().zip(regs) {
                *splat = !self.info(*reg).varies;
            }
            // Among operands that are all equal for all lanes, nothing is a splat: there is one lane.
            if varies { splats } else { Splats::default() }
        };
        let call = |f, x: Reg, y: u32, z: u32| Some(Op::Call { f, out, x: x.0, y, z, varies });
        match &inst.op {
            InstOp::Float(v) => {
                let bits = match dtype {
                    Some(DType::F64) => v.0.to_bits(),
                    _ => u64::from((v.0 as f32).to_bits()),
                };
                self.constants.push((out, bits));
                None
            }
            InstOp::Int(v) => {
                let bits = if dtype == Some(DType::Bool) { u64::from(*v != 0) } else { *v as u64 };
                self.constants.push((out, bits));
                None
            }
            InstOp::Index(axis) => Some(Op::Index { out, axis: *axis, varies }),
            InstOp::Load { arg, at, mask } => {
                let stored = self.kernel.args[arg.0 as usize].dtype;
                let at = self.access(stage, *arg, at, *mask);
                let whole = at.mask.is_none() && (!varies || (at.lane == 1 && at.index.is_none()));
                let direct =
                    whole && stored == stored.compute() && self.undisturbed(stage, index, *arg, inst.out);
                Some(Op::Load { f: memory::load(stored), out, at, varies, direct })
            }
            InstOp::Tile => {
                let dtype = dtype.unwrap_or(DType::F32);
                Some(Op::Tile { f: memory::load(dtype), out, bytes: dtype.size() as u32, varies })
            }
            InstOp::Unary(op @ Unary::Polygamma(order), x) => {
                let f = lanes::unary(*op, self.dtype(*x), self.isa);
                let order_reg = self.hidden(u64::from(*order));
                Some(Op::Call { f, out, x: x.0, y: order_reg, z: NONE, varies })
            }
            InstOp::Unary(op, x) => call(lanes::unary(*op, self.dtype(*x), self.isa), *x, NONE, NONE),
            InstOp::Sigmoid(_) => unreachable!("{}", lanes::EXPANDED),
            InstOp::Binary(op, x, y) => {
                let f = lanes::binary(*op, self.dtype(*x), splats(&[*x, *y]), self.isa);
                call(f, *x, y.0, NONE)
            }
            InstOp::Compare(op, x, y) => {
                let f = lanes::compare(*op, self.dtype(*x), splats(&[*x, *y]), self.isa);
                call(f, *x, y.0, NONE)
            }
            InstOp::Select(c, x, y) => {
                let f = lanes::select(self.dtype(*x), splats(&[*c, *x, *y]), self.isa);
                call(f, *c, x.0, y.0)
            }
            InstOp::Fma(x, y, z) => {
                let f = lanes::fma(self.dtype(*x), splats(&[*x, *y, *z]), self.isa);
                call(f, *x, y.0, z.0)
            }
            InstOp::Cast(x) => {
                let to = dtype.unwrap_or(DType::F32);
                call(lanes::cast(self.dtype(*x), to, self.isa), *x, NONE, NONE)
            }
            InstOp::Bitcast(x) => call(lanes::bitcast(self.dtype(*x), self.isa), *x, NONE, NONE),
            InstOp::Round(to, x) => call(lanes::round(*to, self.isa), *x, NONE, NONE),
            InstOp::Store { arg, at, value } => {
                let f = memory::store(self.kernel.args[arg.0 as usize].dtype);
                let at = self.access(stage, *arg, at, None);
                let value_varies = self.info(*value).varies;
                let varies = value_varies || at.lane != 0 || at.index.is_some_and(|(_, v)| v);
                Some(Op::Store { f, value: value.0, splat: !value_varies, at, varies })
            }
        }
    }

    /// A register for a constant that the kernel does not name.
    fn hidden(&mut self, bits: u64) -> u32 {
        let home = self.scalar();
        self.homes.push(home);
        let reg = self.homes.len() as u32 - 1;
        self.constants.push((reg, bits));
        reg
    }

    /// True if a loaded argument keeps its contents as long as the register is used.
    fn undisturbed(&self, stage: &Stage, index: usize, arg: ArgId, out: Option<Reg>) -> bool {
        if self.stored[arg.0 as usize] == 0 {
            return true;
        }
        let Some(info) = out.map(|r| self.info(r)) else { return false };
        let writes = |i: &Inst| matches!(&i.op, InstOp::Store { arg: to, .. } if *to == arg);
        let first = stage.body.iter().position(writes);
        info.stage == index && first.map_or(info.last != usize::MAX, |first| info.last < first)
    }

    /// The instruction that lets a value be computed where it is stored, if it may be.
    fn target(&self, stage: &Stage, index: usize, position: usize, out: Reg) -> Option<Op> {
        let computed = !matches!(
            stage.body[position].op,
            InstOp::Load { .. } | InstOp::Index(_) | InstOp::Tile | InstOp::Float(_) | InstOp::Int(_)
        );
        let info = self.info(out);
        if !computed || !info.varies || info.stage != index {
            return None;
        }
        let (arg, at) = stage.body[position..].iter().find_map(|i| match &i.op {
            InstOp::Store { arg, at, value } if *value == out => Some((*arg, at)),
            _ => None,
        })?;
        let dtype = self.kernel.args[arg.0 as usize].dtype;
        let alone = !self.loaded[arg.0 as usize] && self.stored[arg.0 as usize] == 1;
        let access = self.access(stage, arg, at, None);
        let fits = dtype == dtype.compute() && access.lane == 1 && access.index.is_none();
        (alone && fits).then_some(Op::Target { reg: out.0, at: access })
    }

    fn finish(self, mut stages: Vec<StageCode>) -> Code {
        let kernel = self.kernel;
        let lane_bytes: usize = (0..4).map(|c| (self.slots[c] as usize) << c).sum();
        let longest = match kernel.lanes {
            Lanes::Grid => self.lane_axis.map_or(1, |a| kernel.grid[a]),
            Lanes::Inner => stages.iter().filter_map(|s| s.lane).map(|(_, n)| n).max().unwrap_or(1),
        };
        let fitting = (TILE_BYTES / lane_bytes.max(1)) / LANES * LANES;
        let width = fitting.clamp(2 * LANES, MAX_WIDTH).min(longest.max(1).next_multiple_of(LANES));
        debug_assert!(width.is_multiple_of(BLOCK) && width.is_multiple_of(LANES));
        let axes = kernel.grid.len() + kernel.stages.iter().map(|s| s.loops.len()).max().unwrap_or(0);

        // Pointer table, indices, scalars, partial results, tiles.
        let indices_at = 8 * self.homes.len();
        let scalars_at = (indices_at + 8 * axes).next_multiple_of(64);
        let areas_at = (scalars_at + (SCALAR_BYTES * self.scalars) as usize).next_multiple_of(64);
        let area_bytes = 8 * width.max(LANES);
        let mut end = areas_at + self.areas as usize * area_bytes;
        let mut class_at = [0; 4];
        for class in (0..4).rev() {
            class_at[class] = end;
            end += ((self.slots[class] as usize) << class) * width;
        }
        let homes: Vec<u32> = self
            .homes
            .iter()
            .map(|home| match *home {
                Home::Scalar(i) => scalars_at as u32 + i * SCALAR_BYTES,
                Home::Slot(class, i) => (class_at[class] + ((i as usize) << class) * width) as u32,
            })
            .collect();
        let area = |i: u32| (areas_at + i as usize * area_bytes) as u32;
        for reduction in stages.iter_mut().flat_map(|s| &mut s.accumulate) {
            reduction.values_at = area(reduction.values_at);
            reduction.positions_at = reduction.positions_at.map(area);
        }
        Code {
            grid: kernel.grid.clone(),
            lane_axis: self.lane_axis,
            width,
            constants: self.constants,
            prologue: self.prologue,
            stages,
            homes,
            indices_at: indices_at as u32,
            axes,
            work_bytes: end.next_multiple_of(64),
        }
    }
}

/// Estimated nanoseconds of one grid point.
pub(crate) fn cost(kernel: &Kernel) -> f64 {
    let inst = |i: &Inst| match &i.op {
        InstOp::Float(_) | InstOp::Int(_) => 0.0,
        InstOp::Unary(op, _) => match op {
            Unary::Sqrt => 0.5,
            Unary::Polygamma(_) => 50.0,
            _ => 0.1,
        },
        InstOp::Binary(Binary::Pow | Binary::Rem, ..) => 10.0,
        InstOp::Binary(Binary::Div | Binary::FloorDiv, ..) => 0.5,
        InstOp::Load { at, mask, .. } if at.index.is_some() || mask.is_some() => 1.0,
        _ => 0.1,
    };
    let stage = |s: &Stage| {
        let once: f64 = s.body.iter().map(inst).sum::<f64>() + 0.1 * s.reduce.len() as f64;
        once * s.loops.iter().product::<usize>() as f64 + 2.0
    };
    kernel.stages.iter().map(stage).sum()
}
