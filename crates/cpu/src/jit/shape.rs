//! What the code generator must know of a kernel before it writes anything: how often each register is computed, whether it
//! differs between lanes, how many lanes a vector has.

use super::Declined;
use wootz_ir::DType;
use wootz_ir::ops::{Binary, Unary};
use wootz_plan::Kernel;
use wootz_plan::kernel::{AccKind, Address, Inst, InstOp, Lanes, Reg, Stage};

/// How often a register is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)] // Reason: processors load no less, which is slow after parts of it were stored.
pub(super) enum Level {
    /// A literal: it lies in the pool of constants.
    Literal,
    /// Once a call.
    Once,
    /// Once a stage.
    Stage,
    /// For every iteration of the loops around the lanes.
    Outer,
    /// In the loop over lanes.
    Lanes,
}

/// A constant of the kernel.
#[derive(Clone, Copy, Debug)]
pub(super) enum Literal {
    Float(f64),
    Int(i64),
}

/// What is known of a register.
#[derive(Clone, Copy, Debug)]
pub(super) struct Info {
    pub(super) level: Level,
    /// Whether lanes differ.
    pub(super) varies: bool,
    /// The stage that defines it.
    pub(super) stage: u32,
    /// Whether another stage uses it.
    pub(super) crosses: bool,
    /// How many operands it is.
    pub(super) uses: u32,
}

/// A stage's instructions by how often they are computed; literals are not.
#[derive(Default)]
pub(super) struct Pieces<'k> {
    pub(super) once: Vec<&'k Inst>,
    pub(super) stage: Vec<&'k Inst>,
    pub(super) outer: Vec<&'k Inst>,
    pub(super) lanes: Vec<&'k Inst>,
    /// Those of `lanes` that access memory or count lanes.
    pub(super) accesses: Vec<&'k Inst>,
    /// Those of `lanes` that divide or take roots.
    pub(super) divisions: Vec<&'k Inst>,
    /// Whether one of `lanes` computes the same for all of them.
    pub(super) uniform: bool,
}

/// A kernel with what is known of it.
pub(super) struct Shape<'k> {
    pub(super) kernel: &'k Kernel,
    pub(super) infos: Vec<Info>,
    /// By register.
    pub(super) literals: Vec<Option<Literal>>,
    /// By stage.
    pub(super) pieces: Vec<Pieces<'k>>,
    /// The grid loop that lanes run along.
    pub(super) lane_axis: Option<usize>,
    /// Lanes of a vector.
    pub(super) lanes: usize,
    /// Bytes of a lane of the widest register that varies.
    pub(super) lane_bytes: usize,
    /// Whether bools lie in mask registers (AVX-512).
    mask_registers: bool,
}

/// Loops that a kernel may have.
pub(super) const MAX_AXES: usize = 16;
/// Distances of lanes that 32-bit numbers hold for a whole vector.
const MAX_STRIDE: i64 = 1 << 26;
/// Instructions that are worth compiling in one piece.
const MAX_INSTRUCTIONS: usize = 6000;

/// Bytes of a lane in a register; bools are masks as wide as the widest lanes.
pub(super) fn lane_bytes(dtype: DType) -> usize {
    if matches!(dtype, DType::F64 | DType::I64) { 8 } else { 4 }
}

impl<'k> Shape<'k> {
    pub(super) fn new(
        kernel: &'k Kernel,
        lane_axis: Option<usize>,
        vector_bytes: usize,
    ) -> Result<Shape<'k>, Declined> {
        let info = Info { level: Level::Literal, varies: false, stage: 0, crosses: false, uses: 0 };
        let infos = vec![info; kernel.regs.len()];
        let mut shape = Shape {
            kernel,
            infos,
            literals: vec![None; kernel.regs.len()],
            pieces: Vec::with_capacity(kernel.stages.len()),
            lane_axis,
            lanes: 0,
            lane_bytes: 4,
            mask_registers: vector_bytes == 64,
        };
        let instructions: usize = kernel.stages.iter().map(|s| s.body.len()).sum();
        if instructions > MAX_INSTRUCTIONS {
            return Err(Declined("too many instructions"));
        }
        for (index, stage) in kernel.stages.iter().enumerate() {
            shape.stage(index, stage)?;
        }
        shape.lanes = vector_bytes / shape.lane_bytes;
        Ok(shape)
    }

    pub(super) fn info(&self, reg: Reg) -> Info {
        self.infos[reg.0 as usize]
    }

    pub(super) fn dtype(&self, reg: Reg) -> DType {
        self.kernel.regs[reg.0 as usize]
    }

    /// The axis that the lanes of a stage run along.
    pub(super) fn lanes_of(&self, stage: &Stage) -> Option<usize> {
        match self.kernel.lanes {
            Lanes::Grid => self.lane_axis,
            Lanes::Inner => (!stage.loops.is_empty()).then(|| self.kernel.grid.len() + stage.loops.len() - 1),
        }
    }

    /// The size of a loop.
    pub(super) fn extent(&self, stage: &Stage, axis: usize) -> usize {
        let rank = self.kernel.grid.len();
        if axis < rank { self.kernel.grid[axis] } else { stage.loops[axis - rank] }
    }

    fn stage(&mut self, index: usize, stage: &'k Stage) -> Result<(), Declined> {
        let kernel = self.kernel;
        if kernel.grid.len() + stage.loops.len() > MAX_AXES {
            return Err(Declined("too many loops"));
        }
        if kernel.lanes == Lanes::Grid && self.lane_axis.is_none() && !stage.loops.is_empty() {
            return Err(Declined("a reduction outside of any lanes"));
        }
        let number = index as u32;
        let mut pieces = Pieces { lanes: Vec::with_capacity(stage.body.len()), ..Pieces::default() };
        for inst in &stage.body {
            if let (InstOp::Float(_) | InstOp::Int(_), Some(out)) = (&inst.op, inst.out) {
                let level = self.literal(&inst.op, out);
                self.define(out, Info { level, varies: false, stage: number, crosses: false, uses: 0 });
                if level == Level::Once {
                    pieces.once.push(inst);
                }
                continue;
            }
            let operands = self.operands(inst, number);
            self.supported(stage, inst)?;
            let (level, varies) = match inst.out {
                Some(out) => {
                    let (level, varies) = self.level(stage, inst, operands)?;
                    self.define(out, Info { level, varies, stage: number, crosses: false, uses: 0 });
                    (level, varies)
                }
                None => self.effect(stage, inst).map(|()| (Level::Lanes, true))?,
            };
            match level {
                // Dealt with above.
                Level::Literal => {}
                Level::Once => pieces.once.push(inst),
                Level::Stage => pieces.stage.push(inst),
                Level::Outer => pieces.outer.push(inst),
                Level::Lanes => {
                    pieces.lanes.push(inst);
                    pieces.uniform |= !varies;
                    if let InstOp::Load { .. } | InstOp::Store { .. } | InstOp::Tile | InstOp::Index(_) =
                        inst.op
                    {
                        pieces.accesses.push(inst);
                    } else if let InstOp::Unary(Unary::Sqrt, _) | InstOp::Binary(Binary::Div, ..) = inst.op {
                        pieces.divisions.push(inst);
                    }
                }
            }
        }
        self.pieces.push(pieces);
        if !stage.reduce.is_empty() && stage.loops.is_empty() {
            return Err(Declined("a reduction without loops"));
        }
        for acc in &stage.reduce {
            self.used(acc.value, number);
            let dtype = self.dtype(acc.value);
            match acc.kind {
                AccKind::ArgMax | AccKind::ArgMin => return Err(Declined("the position of an extreme")),
                _ if dtype == DType::U8 => return Err(Declined("reductions of bytes")),
                _ => {}
            }
            if lane_bytes(dtype) == 8 {
                self.lane_bytes = 8;
            }
            let varies = kernel.lanes == Lanes::Grid && self.lane_axis.is_some();
            if varies && dtype == DType::Bool {
                return Err(Declined("bools reduced across a grid"));
            }
            self.define(acc.out, Info { level: Level::Stage, varies, stage: number, crosses: true, uses: 0 });
        }
        Ok(())
    }

    #[inline]
    fn define(&mut self, reg: Reg, info: Info) {
        self.infos[reg.0 as usize] = info;
        // Masks are as wide as anything else.
        if info.varies && lane_bytes(self.dtype(reg)) == 8 {
            self.lane_bytes = 8;
        }
    }

    /// Whether a store can be done.
    fn effect(&mut self, stage: &Stage, inst: &Inst) -> Result<(), Declined> {
        let InstOp::Store { arg, at, value } = &inst.op else { return Ok(()) };
        let lane = self.lanes_of(stage);
        let index = at.index.is_some_and(|r| self.info(r).varies);
        let moves = lane.is_some_and(|a| at.stride(a) != 0) || index;
        if lane.is_some() && !moves {
            return Err(Declined("all lanes store to one element"));
        }
        if lane.is_some_and(|a| at.stride(a).saturating_abs() >= MAX_STRIDE) {
            return Err(Declined("lanes very far apart"));
        }
        let small = self.kernel.args[arg.0 as usize].dtype.size() < 4;
        if small && (index || lane.is_some_and(|a| at.stride(a) != 1)) {
            return Err(Declined("scattered elements of less than four bytes"));
        }
        // All lanes are stored, also of a value that is the same for all.
        if moves && lane_bytes(self.dtype(*value)) == 8 {
            self.lane_bytes = 8;
        }
        Ok(())
    }

    /// Notes what an instruction uses; gives how often the last of its operands is computed and whether one varies.
    #[inline]
    fn operands(&mut self, inst: &Inst, stage: u32) -> (Level, bool) {
        let (mut level, mut varies) = (Level::Literal, false);
        for operand in inst.op.operands() {
            let info = &mut self.infos[operand.0 as usize];
            let outside = info.stage != stage;
            info.crosses |= outside;
            info.uses += 1;
            level = level.max(if outside { info.level.min(Level::Stage) } else { info.level });
            varies |= info.varies;
        }
        (level, varies)
    }

    fn used(&mut self, reg: Reg, stage: u32) {
        let info = &mut self.infos[reg.0 as usize];
        info.crosses |= info.stage != stage;
        info.uses += 1;
    }

    /// How an axis of a stage's loop nest changes what depends on it.
    fn axis(&self, stage: &Stage, axis: usize) -> (Level, bool) {
        let varies = self.lanes_of(stage) == Some(axis);
        match axis < self.kernel.grid.len() {
            _ if varies => (Level::Lanes, true),
            true => (Level::Stage, false),
            false => (Level::Outer, false),
        }
    }

    /// How often a constant is computed.
    fn literal(&mut self, op: &InstOp, out: Reg) -> Level {
        self.literals[out.0 as usize] = match op {
            InstOp::Float(v) => Some(Literal::Float(v.0)),
            InstOp::Int(v) => Some(Literal::Int(*v)),
            _ => None,
        };
        // A mask register is not loaded from the pool of constants.
        let mask = self.mask_registers && self.dtype(out) == DType::Bool;
        if mask { Level::Once } else { Level::Literal }
    }

    fn level(&self, stage: &Stage, inst: &Inst, operands: (Level, bool)) -> Result<(Level, bool), Declined> {
        let mut level = (operands.0.max(Level::Once), operands.1);
        let mut depend = |(l, v): (Level, bool)| level = (level.0.max(l), level.1 | v);
        match &inst.op {
            InstOp::Index(axis) => depend(self.axis(stage, *axis as usize)),
            InstOp::Load { arg, at, .. } => {
                depend((Level::Stage, false));
                for axis in (0..at.strides.len()).filter(|a| at.stride(*a) != 0) {
                    depend(self.axis(stage, axis));
                }
                let stored = |i: &Inst| matches!(&i.op, InstOp::Store { arg: to, .. } if to == arg);
                if !level.1 && self.lanes_of(stage).is_some() && stage.body.iter().any(stored) {
                    return Err(Declined("a load of one element that the stage's loops store"));
                }
            }
            InstOp::Tile => depend((Level::Lanes, self.lane_axis.is_some())),
            _ => {}
        }
        // Without lanes there is nothing to move code out of.
        if level.1 || (level.0 > Level::Once && self.lanes_of(stage).is_none()) {
            level.0 = Level::Lanes;
        }
        Ok(level)
    }

    /// Whether all lanes of an address lie next to each other.
    pub(super) fn contiguous(&self, stage: &Stage, at: &Address) -> bool {
        let stride = self.lanes_of(stage).map_or(0, |a| at.stride(a));
        stride == 1 && at.index.is_none_or(|r| !self.info(r).varies)
    }

    fn supported(&self, stage: &Stage, inst: &Inst) -> Result<(), Declined> {
        let dtype = |r: &Reg| self.dtype(*r);
        let fine = match &inst.op {
            InstOp::Unary(op, x) => match op {
                Unary::Neg | Unary::Abs => dtype(x) != DType::U8,
                Unary::Not => dtype(x) != DType::U8,
                Unary::Sqrt | Unary::Floor | Unary::Ceil | Unary::Round => true,
                _ => false,
            },
            InstOp::Binary(op, x, _) => match op {
                Binary::Add | Binary::Sub | Binary::Mul => !matches!(dtype(x), DType::U8 | DType::Bool),
                Binary::Div => dtype(x).is_float(),
                Binary::Min | Binary::Max => true,
                Binary::And | Binary::Or | Binary::Xor => true,
                Binary::Shl | Binary::Shr => !matches!(dtype(x), DType::U8 | DType::Bool),
                _ => false,
            },
            InstOp::Load { arg, at, mask } => {
                let stored = self.kernel.args[arg.0 as usize].dtype;
                let lane = self.lanes_of(stage).map_or(0, |a| at.stride(a));
                let varies = lane != 0 || at.index.is_some_and(|r| self.info(r).varies);
                let near = lane.saturating_abs() < MAX_STRIDE;
                // Lanes of their own, by their addresses or by what masks them, are gathered four bytes at a time.
                let small = match mask {
                    Some(mask) => !varies && !self.info(*mask).varies,
                    None => !varies || self.contiguous(stage, at),
                };
                near && (stored.size() >= 4 || small)
            }
            InstOp::Tile => self.lane_axis == Some(2),
            InstOp::Sigmoid(_) => false,
            _ => true,
        };
        if fine { Ok(()) } else { Err(Declined("an instruction without a vector form")) }
    }
}
