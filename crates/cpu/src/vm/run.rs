//! Executes [`Code`].

use super::accumulate::State;
use super::lanes::BLOCK;
use super::memory::Place;
use super::{Access, Code, Op, Reduction, StageCode};
use std::ops::Range;
use wootz_plan::kernel::LANES;

/// A part of a product that an epilogue is run on.
#[derive(Clone, Copy, Debug)]
pub struct Block {
    /// Index of the matrix.
    pub batch: usize,
    /// First row.
    pub row: usize,
    /// First column.
    pub col: usize,
    /// Number of rows.
    pub rows: usize,
    /// Number of columns.
    pub cols: usize,
    /// The element at (`row`, `col`), of the dtype of the kernel's tile register.
    pub data: *const u8,
    /// Elements from one row to the next; columns are contiguous.
    pub row_stride: isize,
}

/// The state of a run.
struct Frame<'a> {
    code: &'a Code,
    args: &'a [*mut u8],
    work: *mut u8,
    /// Where each register is.
    regs: *mut *mut u8,
    /// The loop indices; along the lanes, that of the tile's first lane.
    index: *mut i64,
    /// Lanes of the tile that count, and lanes that are computed.
    lanes: usize,
    padded: usize,
    block: Option<Block>,
}

impl Code {
    /// Runs some of the kernel's [units](Code::units).
    ///
    /// # Safety
    /// There is a pointer for every argument of the kernel, aligned for its dtype and valid for every element that the
    /// kernel reads or writes; written arguments overlap no other. `work` is as [`Code::work_bytes`] says. Both belong to
    /// this run alone, except for elements of written arguments that only other units touch.
    pub unsafe fn run(&self, args: &[*mut u8], units: Range<usize>, work: *mut u8) {
        if units.is_empty() {
            return;
        }
        // SAFETY: the caller's contract.
        unsafe {
            let mut frame = Frame::new(self, args, work, None);
            let (tiles, length) = match self.lane_axis {
                Some(axis) => (self.grid[axis].div_ceil(self.width), self.grid[axis]),
                None => (1, 1),
            };
            let mut tile = units.start % tiles;
            frame.seek(units.start / tiles);
            for _ in units {
                let start = tile * self.width;
                frame.tile(start, (length - start).min(self.width));
                tile += 1;
                if tile == tiles {
                    tile = 0;
                    frame.next_point();
                }
            }
        }
    }

    /// Runs an epilogue ([`Code::compile_epilogue`]) on a part of its product.
    ///
    /// # Safety
    /// As [`Code::run`]; the block lies within the kernel's grid and its elements are readable.
    pub unsafe fn run_block(&self, args: &[*mut u8], block: &Block, work: *mut u8) {
        // SAFETY: the caller's contract.
        unsafe {
            let mut frame = Frame::new(self, args, work, Some(*block));
            frame.index.write(block.batch as i64);
            let by_column = self.lane_axis == Some(1);
            let (outer_axis, outer, lanes) = match by_column {
                true => (2, block.col..block.col + block.cols, block.row..block.row + block.rows),
                false => (1, block.row..block.row + block.rows, block.col..block.col + block.cols),
            };
            for i in outer {
                frame.index.add(outer_axis).write(i as i64);
                let mut start = lanes.start;
                while start < lanes.end {
                    let n = (lanes.end - start).min(self.width);
                    frame.tile(start, n);
                    start += n;
                }
            }
        }
    }
}

impl<'a> Frame<'a> {
    /// # Safety
    /// As [`Code::run`].
    unsafe fn new(code: &'a Code, args: &'a [*mut u8], work: *mut u8, block: Option<Block>) -> Self {
        let regs = work.cast::<*mut u8>();
        // SAFETY: the working memory begins with the pointer table and holds everything that offsets name.
        unsafe {
            for (i, home) in code.homes.iter().enumerate() {
                regs.add(i).write(work.add(*home as usize));
            }
            let index = work.add(code.indices_at as usize).cast::<i64>();
            for axis in 0..code.axes {
                index.add(axis).write(0);
            }
            for (reg, bits) in &code.constants {
                (*regs.add(*reg as usize)).cast::<u64>().write(*bits);
            }
            let mut frame = Frame { code, args, work, regs, index, lanes: 1, padded: 1, block };
            frame.ops(&code.prologue);
            frame
        }
    }

    /// Sets the indices of the grid loops around the lanes.
    ///
    /// # Safety
    /// As [`Code::run`].
    unsafe fn seek(&mut self, point: usize) {
        let mut rest = point;
        for axis in (0..self.code.grid.len()).rev().filter(|a| Some(*a) != self.code.lane_axis) {
            let size = self.code.grid[axis];
            // SAFETY: there is an index for every axis.
            unsafe { self.index.add(axis).write((rest % size) as i64) };
            rest /= size;
        }
    }

    /// # Safety
    /// As [`Code::run`].
    unsafe fn next_point(&mut self) {
        for axis in (0..self.code.grid.len()).rev().filter(|a| Some(*a) != self.code.lane_axis) {
            // SAFETY: there is an index for every axis.
            unsafe {
                let at = self.index.add(axis);
                *at += 1;
                if *at < self.code.grid[axis] as i64 {
                    return;
                }
                *at = 0;
            }
        }
    }

    fn set_lanes(&mut self, n: usize) {
        self.lanes = n;
        self.padded = n.next_multiple_of(BLOCK);
    }

    /// Runs all stages for the grid points from `start` on along the lanes, or for one grid point.
    ///
    /// # Safety
    /// As [`Code::run`].
    unsafe fn tile(&mut self, start: usize, n: usize) {
        // SAFETY: the caller's contract.
        unsafe {
            let code = self.code;
            if let Some(axis) = code.lane_axis {
                self.index.add(axis).write(start as i64);
            }
            self.set_lanes(n);
            for stage in &code.stages {
                match stage.lane {
                    Some((axis, length)) => self.stage_along(stage, axis, length),
                    None => self.stage_across(stage),
                }
            }
        }
    }

    /// A stage whose own last loop is walked in tiles.
    ///
    /// # Safety
    /// As [`Code::run`].
    unsafe fn stage_along(&mut self, stage: &StageCode, axis: usize, length: usize) {
        // SAFETY: the caller's contract.
        unsafe {
            for reduction in &stage.accumulate {
                (reduction.reducer.reset)(self.state(reduction), LANES);
            }
            let iterations: usize = stage.loops.iter().product();
            if iterations > 0 && length > 0 {
                self.set_lanes(1);
                self.ops(&stage.once);
                for iteration in 0..iterations {
                    self.set_lanes(1);
                    self.ops(&stage.outer);
                    let mut start = 0;
                    while start < length {
                        let n = (length - start).min(self.code.width);
                        self.index.add(axis).write(start as i64);
                        self.set_lanes(n);
                        self.ops(&stage.body);
                        for reduction in &stage.accumulate {
                            let value = *self.regs.add(reduction.value as usize);
                            let position = (iteration * length + start) as i64;
                            (reduction.reducer.fold)(
                                self.state(reduction),
                                value,
                                reduction.splat,
                                n,
                                position,
                            );
                        }
                        start += n;
                    }
                    self.next_iteration(stage);
                }
            }
            for reduction in &stage.accumulate {
                let state = self.state(reduction);
                (reduction.reducer.join)(state);
                self.result(reduction, state, 1);
            }
            self.set_lanes(1);
            // The next stage may have an outer loop at this position, which begins at 0.
            self.index.add(axis).write(0);
        }
    }

    /// A stage in which every lane walks all loops.
    ///
    /// # Safety
    /// As [`Code::run`].
    unsafe fn stage_across(&mut self, stage: &StageCode) {
        // SAFETY: the caller's contract.
        unsafe {
            // A reduction outside of any lanes has one partial result.
            let n = if self.code.lane_axis.is_some() { self.padded } else { 1 };
            for reduction in &stage.accumulate {
                (reduction.reducer.reset)(self.state(reduction), n);
            }
            let iterations: usize = stage.loops.iter().product();
            if iterations > 0 {
                self.ops(&stage.once);
                for iteration in 0..iterations {
                    self.ops(&stage.outer);
                    self.ops(&stage.body);
                    for reduction in &stage.accumulate {
                        let value = *self.regs.add(reduction.value as usize);
                        (reduction.reducer.point)(
                            self.state(reduction),
                            value,
                            reduction.splat,
                            n,
                            iteration as i64,
                        );
                    }
                    self.next_iteration(stage);
                }
            }
            for reduction in &stage.accumulate {
                self.result(reduction, self.state(reduction), n);
            }
        }
    }

    /// Advances the stage's loops around the lanes.
    ///
    /// # Safety
    /// As [`Code::run`].
    unsafe fn next_iteration(&mut self, stage: &StageCode) {
        let rank = self.code.grid.len();
        for (i, size) in stage.loops.iter().enumerate().rev() {
            // SAFETY: there is an index for every axis.
            unsafe {
                let at = self.index.add(rank + i);
                *at += 1;
                if *at < *size as i64 {
                    return;
                }
                *at = 0;
            }
        }
    }

    /// # Safety
    /// As [`Code::run`].
    unsafe fn state(&self, reduction: &Reduction) -> State {
        // SAFETY: the offsets lie within the working memory.
        unsafe {
            State {
                values: self.work.add(reduction.values_at as usize),
                positions: match reduction.positions_at {
                    Some(at) => self.work.add(at as usize).cast(),
                    None => std::ptr::null_mut(),
                },
            }
        }
    }

    /// Moves the first `n` results to the reduction's register.
    ///
    /// # Safety
    /// As [`Code::run`].
    unsafe fn result(&mut self, reduction: &Reduction, state: State, n: usize) {
        // SAFETY: the caller's contract.
        unsafe {
            let out = *self.regs.add(reduction.out as usize);
            match reduction.positions_at {
                None => std::ptr::copy_nonoverlapping(state.values, out, n * reduction.out_bytes),
                Some(_) => {
                    for i in 0..n {
                        // Of nothing, the position is 0.
                        out.cast::<i64>().add(i).write((*state.positions.add(i)).max(0));
                    }
                }
            }
        }
    }

    /// # Safety
    /// As [`Code::run`].
    unsafe fn ops(&mut self, ops: &[Op]) {
        for op in ops {
            // SAFETY: the caller's contract.
            unsafe { self.op(op) }
        }
    }

    /// # Safety
    /// As [`Code::run`].
    #[inline(always)]
    unsafe fn op(&mut self, op: &Op) {
        // SAFETY: the caller's contract; the compiler resolved registers, lanes and functions.
        unsafe {
            match op {
                Op::Call { f, out, x, y, z, varies } => {
                    let n = if *varies { self.padded } else { 1 };
                    f(self.reg(*out), self.reg(*x), self.reg(*y), self.reg(*z), n);
                }
                Op::Load { f, out, at, varies, direct } => {
                    let n = if *varies { self.lanes } else { 1 };
                    let place = self.place(at);
                    if *direct && (!*varies || self.lanes == self.padded) {
                        let index = if place.index.is_null() { 0 } else { *place.index };
                        self.set_reg(*out, place.base.offset((index * at.bytes) as isize));
                    } else {
                        let home = self.home(*out);
                        self.set_reg(*out, home);
                        f(home, &place, n);
                    }
                }
                Op::Store { f, value, splat, at, varies } => {
                    let n = if *varies { self.lanes } else { 1 };
                    let place = self.place(at);
                    let value = self.reg(*value);
                    // The value was computed in place.
                    if !std::ptr::eq(value, place.base) {
                        f(&place, value, *splat, n);
                    }
                }
                Op::Target { reg, at } => {
                    let full = self.lanes == self.padded;
                    let to = if full { self.place(at).base } else { self.home(*reg) };
                    self.set_reg(*reg, to);
                }
                Op::Index { out, axis, varies } => {
                    let (to, from) = (self.reg(*out).cast::<i64>(), *self.index.add(*axis as usize));
                    let n = if *varies { self.padded } else { 1 };
                    for i in 0..n {
                        to.add(i).write(from + i as i64);
                    }
                }
                Op::Tile { f, out, bytes, varies } => self.tile_load(*f, *out, *bytes, *varies),
            }
        }
    }

    /// # Safety
    /// As [`Code::run_block`].
    unsafe fn tile_load(&mut self, f: super::LoadFn, out: u32, bytes: u32, varies: bool) {
        let Some(block) = self.block else { return };
        // SAFETY: the caller's contract; indices lie within the block.
        unsafe {
            let row = *self.index.add(1) as isize - block.row as isize;
            let col = *self.index.add(2) as isize - block.col as isize;
            let base = block.data.offset((row * block.row_stride + col) * bytes as isize).cast_mut();
            let stride = if self.code.lane_axis == Some(1) { block.row_stride as i64 } else { 1 };
            if !varies || (stride == 1 && self.lanes == self.padded) {
                return self.set_reg(out, base);
            }
            let (index, mask) = (std::ptr::null(), std::ptr::null());
            let place = Place { base, stride, index, index_step: 0, mask, mask_step: 0 };
            let home = self.home(out);
            self.set_reg(out, home);
            f(home, &place, self.lanes);
        }
    }

    /// # Safety
    /// As [`Code::run`].
    #[inline(always)]
    unsafe fn reg(&self, reg: u32) -> *mut u8 {
        // SAFETY: the table has an entry for every register.
        unsafe { *self.regs.add(reg as usize) }
    }

    /// # Safety
    /// As [`Code::run`].
    #[inline(always)]
    unsafe fn set_reg(&mut self, reg: u32, to: *mut u8) {
        // SAFETY: the table has an entry for every register.
        unsafe { self.regs.add(reg as usize).write(to) }
    }

    /// # Safety
    /// As [`Code::run`].
    #[inline(always)]
    unsafe fn home(&self, reg: u32) -> *mut u8 {
        // SAFETY: homes lie within the working memory.
        unsafe { self.work.add(self.code.homes[reg as usize] as usize) }
    }

    /// # Safety
    /// As [`Code::run`].
    #[inline(always)]
    unsafe fn place(&self, at: &Access) -> Place {
        // SAFETY: the caller's contract.
        unsafe {
            let mut element = at.offset;
            for (axis, stride) in &at.terms {
                element += stride * *self.index.add(*axis as usize);
            }
            let operand = |reg: Option<(u32, bool)>| match reg {
                Some((reg, varies)) => (self.reg(reg).cast_const(), usize::from(varies)),
                None => (std::ptr::null(), 0),
            };
            let ((index, index_step), (mask, mask_step)) = (operand(at.index), operand(at.mask));
            // A masked-out lane 0 may have an address outside of its buffer.
            let base = self.args[at.arg as usize].wrapping_offset((element * at.bytes) as isize);
            Place { base, stride: at.lane, index: index.cast(), index_step, mask, mask_step }
        }
    }
}
