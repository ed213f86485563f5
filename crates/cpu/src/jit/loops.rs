//! The loop nest around the pieces of code.

use super::asm::vector::*;
use super::asm::{Condition, Gpr, Label, Length, Mem, Rm};
use super::generate::{ARGS, CONTEXT, COUNT, Generator, LANE, LEFT, Mode, SCRATCH, SCRATCH_2};
use super::memory::shifted;
use super::reduce::Partials;
use super::registers::{Class, FRAME, Kind, MOST_COPIES, TAIL_MASK, Value};
use super::shape::{Info, Level, Pieces, Shape, lane_bytes};
use super::stamp::Short;
use super::{Context, Writer, Written};
use std::cmp::Reverse;
use wootz_ir::DType;
use wootz_plan::Kernel;
use wootz_plan::kernel::{Inst, InstOp, LANES, Lanes, Reg, Stage};

/// Registers that the caller expects unchanged.
const SAVED: [Gpr; 6] = [Gpr::RBX, Gpr::RBP, Gpr::R12, Gpr::R13, Gpr::R14, Gpr::R15];
/// Most lanes of a tile without values that cross stages.
const WIDE_TILE: usize = 8192;
/// Points of a grid that are enough for tiles of any width.
const MANY_POINTS: usize = 1 << 16;
/// Bytes that values crossing stages may take in the first-level cache.
const TILE_BYTES: usize = 24 << 10;
/// Instructions of the kernel in the body of a loop, unless they are of two copies.
const MOST_INSTRUCTIONS: usize = 160;
/// Bytes of a cache line.
const LINE: usize = 64;
/// Rows of more bytes are not brought near before their turn: they would displace the current one.
const MOST_AHEAD: i64 = 32 << 10;
/// Registers that one instruction may need besides its operands and result.
const SPARE: usize = 3;

/// Writes a kernel's code.
pub(super) fn write(shape: Shape<'_>, wide: bool, listing: bool, writer: &mut Writer) -> Written {
    let kernel = shape.kernel;
    let (width, cost) = (tile_width(&shape), super::cost::nanoseconds(&shape));
    let Writer { mut asm, registers, mut pooled, mut homes } = std::mem::take(writer);
    asm.begin(wide);
    pooled.clear();
    pooled.resize(kernel.regs.len(), None);
    homes.clear();
    homes.resize(kernel.regs.len(), None);
    let mut generator = Generator {
        asm,
        registers: registers.reused(kinds(&shape, wide), if wide { 32 } else { 16 }),
        wide,
        pooled,
        homes,
        mode: Mode::Uniform,
        stage: &kernel.stages[0],
        stage_index: 0,
        spread: 1,
        first: 0,
        copies: 1,
        bases: vec![],
        between: false,
        tail_masks: [0; 2],
        lines: listing.then(Vec::new),
        shape,
    };
    generator.function(width);
    let frame = generator.registers.frame_bytes as usize;
    let (offset, instructions) = (generator.asm.start(), generator.asm.position());
    generator.asm.finish();
    let Generator { asm, registers, pooled, homes, lines, .. } = generator;
    *writer = Writer { asm, registers, pooled, homes };
    let lines = lines.unwrap_or_default();
    Written { offset, instructions, frame, width, cost, lines }
}

fn kinds(shape: &Shape<'_>, wide: bool) -> impl Iterator<Item = Kind> {
    let longest = if wide { Length::L512 } else { Length::L256 };
    let [four, eight] = [4, 8].map(|bytes| Class::Vector(Length::of(shape.lanes * bytes).min(longest)));
    let bools = match shape.lane_bytes {
        _ if wide => Class::Mask,
        8 => eight,
        _ => four,
    };
    let classes = DType::ALL.map(|dtype| match dtype {
        DType::Bool => bools,
        DType::F64 | DType::I64 => eight,
        _ => four,
    });
    let kind = move |(info, dtype): (&Info, &DType)| Kind {
        // Without a branch: registers are in no order.
        class: classes[*dtype as usize],
        varies: info.varies,
        stage: (info.level == Level::Lanes).then_some(info.stage),
    };
    shape.infos.iter().zip(&shape.kernel.regs).map(kind)
}

/// Lanes of a tile: as many as let the values that cross stages stay in the first-level cache.
fn tile_width(shape: &Shape<'_>) -> usize {
    let crossing = shape.infos.iter().zip(&shape.kernel.regs).filter(|(info, _)| info.varies && info.crosses);
    match crossing
        .map(|(_, dtype)| if *dtype == DType::Bool { shape.lane_bytes } else { lane_bytes(*dtype) })
        .sum()
    {
        0 => WIDE_TILE,
        bytes => {
            // Whole rows of memory, where there is work enough for all threads.
            let most = if shape.kernel.points() >= MANY_POINTS { 4096 } else { 1024 };
            (TILE_BYTES / bytes / LANES * LANES).clamp(2 * LANES, most)
        }
    }
}

impl<'k> Generator<'k> {
    fn function(&mut self, width: usize) {
        let kernel: &'k Kernel = self.shape.kernel;
        // A tail writes a whole vector, and several vectors are computed side by side.
        self.reserve_homes(width + MOST_COPIES * self.shape.lanes);
        self.tail_masks = [self.registers.reserve(32), self.registers.reserve(32)];
        SAVED.into_iter().for_each(|r| self.asm.push(r));
        self.asm.mov(CONTEXT, Gpr::RDI);
        self.asm.load(FRAME, Mem::Base(CONTEXT, Context::WORK));
        self.asm.load(ARGS, Mem::Base(CONTEXT, Context::ARGS));
        for (index, stage) in kernel.stages.iter().enumerate() {
            (self.stage, self.stage_index) = (stage, index);
            let once = std::mem::take(&mut self.shape.pieces[index].once);
            if !once.is_empty() {
                self.piece(&once, Mode::Uniform, 0, 1, &[], |_, _, _| {});
            }
        }
        let (point, done) = (self.asm.here(), self.asm.label());
        if let Some(axis) = self.shape.lane_axis {
            self.asm.load(COUNT, Mem::Base(CONTEXT, Context::LANE_END));
            self.asm.sub(COUNT, Mem::Base(CONTEXT, Context::index_at(axis)).into());
            self.at_most(COUNT, width as i64);
        }
        for (index, stage) in kernel.stages.iter().enumerate() {
            (self.stage, self.stage_index) = (stage, index);
            self.stage(stage);
        }
        self.next_point(width, point, done);
        self.asm.bind(done);
        self.asm.zero_upper();
        SAVED.into_iter().rev().for_each(|r| self.asm.pop(r));
        self.asm.ret();
    }

    /// reg = min(reg, limit)
    fn at_most(&mut self, reg: Gpr, limit: i64) {
        self.asm.mov_imm(SCRATCH, limit);
        self.asm.cmp(reg, Rm::Reg(SCRATCH.0));
        self.asm.cmov(Condition::Above, reg, Rm::Reg(SCRATCH.0));
    }

    /// Goes on to the next tile or point of the grid, until the count is used up.
    fn next_point(&mut self, width: usize, point: Label, done: Label) {
        self.asm.sub_imm(Mem::Base(CONTEXT, Context::COUNT).into(), 1);
        self.asm.jump_if(Condition::Equal, done);
        if let Some(axis) = self.shape.lane_axis {
            let index = Mem::Base(CONTEXT, Context::index_at(axis));
            self.asm.add_imm(index.into(), width as i32);
            self.asm.load(SCRATCH, index);
            self.asm.cmp(SCRATCH, Mem::Base(CONTEXT, Context::LANE_END).into());
            self.asm.jump_if(Condition::Less, point);
            self.asm.load(SCRATCH, Mem::Base(CONTEXT, Context::LANE_FIRST));
            self.asm.store(index, SCRATCH);
        }
        let grid = &self.shape.kernel.grid;
        for axis in (0..grid.len()).rev().filter(|a| Some(*a) != self.shape.lane_axis && grid[*a] != 1) {
            let index = Mem::Base(CONTEXT, Context::index_at(axis));
            self.asm.add_imm(index.into(), 1);
            self.asm.mov_imm(SCRATCH, grid[axis] as i64);
            self.asm.cmp(SCRATCH, index.into());
            self.asm.jump_if(Condition::Above, point);
            self.asm.store_imm(index, 0);
        }
        self.asm.jump(point);
    }

    fn stage(&mut self, stage: &'k Stage) {
        let rank = self.shape.kernel.grid.len();
        let lane = self.shape.lanes_of(stage);
        let own_lanes = lane.is_some_and(|a| a >= rank);
        let pieces = std::mem::take(&mut self.shape.pieces[self.stage_index]);
        if stage.loops.contains(&0) {
            return self.nothing(stage, own_lanes);
        }
        if own_lanes {
            self.asm.mov_imm(COUNT, stage.loops[stage.loops.len() - 1] as i64);
        }
        if !pieces.stage.is_empty() {
            self.piece(&pieces.stage, Mode::Uniform, 0, 1, &[], |_, _, _| {});
        }
        let outer_loops = stage.loops.len() - usize::from(own_lanes);
        let mut partials = self.begin_reductions(stage, own_lanes, outer_loops);
        let mut tops = vec![];
        for i in 0..outer_loops {
            self.asm.store_imm(Mem::Base(CONTEXT, Context::index_at(rank + i)), 0);
            tops.push(self.asm.here());
        }
        if !pieces.outer.is_empty() {
            self.piece(&pieces.outer, Mode::Uniform, 0, 1, &[], |_, _, _| {});
        }
        match lane {
            Some(_) => self.lanes(stage, &pieces, &mut partials),
            None => self.piece(&pieces.lanes, Mode::Uniform, 0, 1, &[], |_, _, _| {}),
        }
        for (i, top) in tops.into_iter().enumerate().rev() {
            let index = Mem::Base(CONTEXT, Context::index_at(rank + i));
            self.asm.add_imm(index.into(), 1);
            self.asm.mov_imm(SCRATCH, stage.loops[i] as i64);
            self.asm.cmp(SCRATCH, index.into());
            self.asm.jump_if(Condition::Above, top);
        }
        if own_lanes {
            self.join_partials(&partials);
            self.registers.release();
        }
    }

    /// A stage whose loops are empty.
    fn nothing(&mut self, stage: &'k Stage, own_lanes: bool) {
        if own_lanes {
            self.spread = 1;
            self.neutral_results(&stage.reduce);
        } else if !stage.reduce.is_empty() {
            self.each_vector(|g| g.begin_across(&stage.reduce));
        }
    }

    fn begin_reductions(&mut self, stage: &'k Stage, own_lanes: bool, outer_loops: usize) -> Vec<Partials> {
        if !own_lanes {
            if !stage.reduce.is_empty() {
                self.each_vector(|g| g.begin_across(&stage.reduce));
            }
            return vec![];
        }
        // A tail finds its partial results in the frame: they may stay in registers until the only tail.
        let count = stage.loops[stage.loops.len() - 1];
        self.spread_partials(&stage.reduce, count);
        let hold = count >= LANES && (outer_loops == 0 || count.is_multiple_of(LANES * self.spread));
        self.begin_partials(&stage.reduce, hold)
    }

    /// Code for each vector of a tile's lanes.
    fn each_vector(&mut self, write: impl FnOnce(&mut Self)) {
        self.asm.mov_imm(LANE, 0);
        let top = self.asm.here();
        write(self);
        self.asm.add_imm(Rm::Reg(LANE.0), self.shape.lanes as i32);
        self.asm.cmp(LANE, Rm::Reg(COUNT.0));
        self.asm.jump_if(Condition::Less, top);
    }

    /// The loop over lanes: several vectors at once, then a tail of single ones.
    fn lanes(&mut self, stage: &'k Stage, pieces: &Pieces<'k>, partials: &mut [Partials]) {
        let body = &pieces.lanes[..];
        let rank = self.shape.kernel.grid.len();
        let own_lanes = self.shape.lanes_of(stage).is_some_and(|a| a >= rank);
        let count = own_lanes.then(|| stage.loops[stage.loops.len() - 1]);
        let reduces = own_lanes && !stage.reduce.is_empty();
        self.prepare_bases(&pieces.accesses);
        self.asm.mov_imm(LANE, 0);
        let lanes = self.shape.lanes;
        let reduced: Vec<Reg> = stage.reduce.iter().map(|acc| acc.value).collect();
        let pressure = self.registers.read(body, &reduced, self.stage_index);
        let copies = self.copies_of(pressure.max(1), body.len(), reduces, count);
        // Partial result i takes in element i, i + LANES, …
        let steps = if reduces { copies.max(self.partial_vectors()) } else { copies };
        let step = steps * lanes;
        let (tail, done) = (self.asm.label(), self.asm.label());
        let stampable = self.is_stampable(stage, pieces);
        let mut held = vec![];
        let mut stamped = Err(Short);
        if count.is_none_or(|n| n >= step) {
            // Also for a tail that is all there is: it may be made of the same instructions.
            held = self.hold_shared(copies * pressure + SPARE);
            if count.is_none() {
                self.asm.cmp_imm(Rm::Reg(COUNT.0), step as i32);
                self.asm.jump_if(Condition::Less, tail);
            }
            let top = self.asm.here();
            stamped = if stampable { self.stamp(pieces, copies) } else { Err(Short) };
            if stamped.is_err() {
                let ahead = self.ahead(stage, pieces);
                for first in (0..steps).step_by(copies) {
                    self.fetch(&ahead, first, copies);
                    self.vectors(stage, body, Mode::Full, &reduced, partials, first, copies);
                }
            }
            self.asm.add_imm(Rm::Reg(LANE.0), step as i32);
            self.asm.lea(SCRATCH, Mem::Base(LANE, step as i32));
            self.asm.cmp(SCRATCH, Rm::Reg(COUNT.0));
            self.asm.jump_if(Condition::AtMost, top);
        }
        self.asm.bind(tail);
        if count.is_none_or(|n| !n.is_multiple_of(step)) {
            self.park_partials(partials);
            self.asm.cmp(LANE, Rm::Reg(COUNT.0));
            self.asm.jump_if(Condition::AtLeast, done);
            self.tail(|g| match &stamped {
                Ok(Some(stamped)) => g.write_tail(stamped),
                _ => {
                    g.registers.drop_held(&held);
                    g.vectors(stage, body, Mode::Tail, &reduced, partials, 0, 1);
                }
            });
        }
        self.registers.drop_held(&held);
        self.asm.bind(done);
    }

    /// The accesses of a stage that reads a row again, with the distance to the next point's row: while it computes, the
    /// next point's row may come from where it lies.
    fn ahead(&self, stage: &Stage, pieces: &Pieces<'k>) -> Vec<(&'k Inst, i32)> {
        let kernel = self.shape.kernel;
        let Some(axis) = kernel.grid.len().checked_sub(1).filter(|a| kernel.grid[*a] > 1) else {
            return vec![];
        };
        let reads = |stage: &Stage, inst: &Inst| {
            let same = |other: &Inst| matches!(other.op, InstOp::Load { .. }) && other.op == inst.op;
            stage.body.iter().any(same)
        };
        let again = |inst: &&&Inst| {
            kernel.stages[..self.stage_index]
                .iter()
                .filter(|s| s.loops == stage.loops)
                .any(|s| reads(s, inst))
        };
        if kernel.lanes != Lanes::Inner || !pieces.accesses.iter().any(|inst| again(&inst)) {
            return vec![];
        }
        let next = |inst: &&'k Inst| {
            let (InstOp::Load { arg, at, mask: None } | InstOp::Store { arg, at, .. }) = &inst.op else {
                return None;
            };
            let bytes = at.stride(axis).checked_mul(kernel.args[arg.0 as usize].dtype.size() as i64)?;
            let moves = self.shape.contiguous(stage, at) && (64..MOST_AHEAD).contains(&bytes);
            moves.then_some((*inst, bytes as i32))
        };
        pieces.accesses.iter().filter_map(next).collect()
    }

    /// Brings the lines near that the next point accesses where this one accesses `copies` vectors.
    fn fetch(&mut self, ahead: &[(&'k Inst, i32)], first: usize, copies: usize) {
        (self.mode, self.first, self.copies) = (Mode::Full, first, copies);
        for (inst, distance) in ahead {
            let (InstOp::Load { arg, at, .. } | InstOp::Store { arg, at, .. }) = &inst.op else { continue };
            let vector = self.shape.lanes * self.shape.kernel.args[arg.0 as usize].dtype.size();
            for copy in (0..copies).step_by((LINE / vector).max(1)) {
                let at = shifted(self.element(*arg, at, copy), *distance);
                self.asm.prefetch(at, inst.out.is_none());
            }
        }
    }

    /// `copies` vectors, folded into the partial results.
    #[allow(clippy::too_many_arguments)] // Reason: a piece of code and where its results go.
    fn vectors(
        &mut self,
        stage: &'k Stage,
        body: &[&'k Inst],
        mode: Mode,
        reduced: &[Reg],
        partials: &[Partials],
        first: usize,
        copies: usize,
    ) {
        self.pass(body, mode, first, copies, reduced, |g, i, copy| match partials.get(i) {
            Some(partials) => g.fold(partials, copy),
            None => g.fold_across(&stage.reduce[i], copy),
        });
    }

    /// Single vectors, of which the last may be short.
    fn tail(&mut self, write: impl FnOnce(&mut Self)) {
        let top = self.asm.here();
        self.asm.mov(LEFT, COUNT);
        self.asm.sub(LEFT, Rm::Reg(LANE.0));
        self.at_most(LEFT, self.shape.lanes as i64);
        self.tail_mask();
        write(self);
        self.asm.add_imm(Rm::Reg(LANE.0), self.shape.lanes as i32);
        self.asm.cmp(LANE, Rm::Reg(COUNT.0));
        self.asm.jump_if(Condition::Less, top);
    }

    /// The mask of the first [`LEFT`] lanes.
    fn tail_mask(&mut self) {
        if self.wide {
            self.asm.mov_imm(SCRATCH, -1);
            self.asm.low_bits(SCRATCH, SCRATCH, LEFT);
            return self.asm.v1(MASK_FROM_GPR, Length::L128, TAIL_MASK, Rm::Reg(SCRATCH.0));
        }
        // Half of it all ones, half zeros: masks are windows over the middle.
        let mut window = [0; super::asm::POOLED];
        window[..32].fill(0xff);
        let window = self.asm.constant(window);
        for (pair, bytes) in [(0, 4), (1, 8)].into_iter().filter(|(_, b)| *b <= self.shape.lane_bytes) {
            self.asm.lea(SCRATCH, window);
            self.asm.mov(SCRATCH_2, LEFT);
            self.asm.shl(SCRATCH_2, if bytes == 8 { 3 } else { 2 });
            self.asm.sub(SCRATCH, Rm::Reg(SCRATCH_2.0));
            self.asm.v1(LOAD[0], Length::L256, super::asm::Vec(0), Mem::Base(SCRATCH, 32));
            let to = Mem::Base(FRAME, self.tail_masks[pair] as i32);
            self.asm.v1(STORE[0], Length::L256, super::asm::Vec(0), to);
        }
    }

    /// How many vectors are computed side by side: as many as registers allow without evictions.
    fn copies_of(&self, pressure: usize, length: usize, reduces: bool, count: Option<usize>) -> usize {
        let free = self.registers.free_vectors().saturating_sub(SPARE);
        let mut copies = MOST_COPIES;
        let partials = self.partial_vectors();
        while copies > 1 {
            let long = count.is_some_and(|n| !reduces && n < copies * self.shape.lanes);
            // Whole vectors without a tail are better than more vectors at once.
            let even = |c: usize| count.is_some_and(|n| n.is_multiple_of(c * self.shape.lanes));
            let uneven = !reduces && !even(copies) && even(copies / 2) && count.is_some_and(|n| n < 256);
            // Enough in flight, and no longer than the processor's cache of decoded instructions bears.
            let enough = copies == 2 || copies * length <= MOST_INSTRUCTIONS;
            // Several vectors that go into the same partial results leave nothing to a tail.
            let whole = !reduces || copies <= partials || even(copies);
            if copies * pressure <= free && enough && whole && !long && !uneven {
                break;
            }
            copies /= 2;
        }
        copies
    }

    /// Lets registers that are free during the whole loop hold constants and uniform values, the most used first.
    fn hold_shared(&mut self, needed: usize) -> Vec<super::asm::Vec> {
        let shared = self.registers.used().iter().filter(|used| {
            let Kind { class, varies, .. } = self.registers.kinds[used.reg.0 as usize];
            !varies && class != Class::Mask
        });
        let mut wanted: Vec<(Reverse<u32>, Reg)> =
            shared.map(|used| (Reverse(used.count), used.reg)).collect();
        let room = self.registers.free_vectors().saturating_sub(needed);
        if room < wanted.len() {
            wanted.select_nth_unstable(room);
        }
        let mut held = vec![];
        for (_, reg) in wanted.into_iter().take(room) {
            // A value that the loop itself computes is not there yet.
            if self.registers.kinds[reg.0 as usize].stage == Some(self.stage_index as u32) {
                continue;
            }
            let from = match (self.literal(reg), self.homes[reg.0 as usize]) {
                (Some(memory), _) => memory,
                (None, Some(at)) => Mem::Base(FRAME, at as i32),
                (None, None) => continue,
            };
            let Some(to) = self.registers.hold(Some(Value { reg, copy: 0, shared: true })) else { break };
            let length = self.length(self.shape.dtype(reg));
            self.asm.v1(LOAD[0], length, to, from);
            held.push(to);
        }
        held
    }
}
