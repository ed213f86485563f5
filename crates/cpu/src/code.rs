//! Compiled kernels: machine code where there is some for a kernel, else the tile VM.
//!
//! A [`Batch`] compiles the kernels of a program, on several threads where there are many. Their machine code goes into one mapping, which is written and then made
//! executable, once. Kernels are shared by structure across all programs of the process.

// Reason: code runs on raw pointers.
#![allow(unsafe_code)]

#[cfg(test)]
mod tests;

use crate::isa::Isa;
use crate::jit::{self, Context, Declined, Mapping, Writer, Written};
use crate::perf_map;
use crate::pool::{self, PoolError, Team};
use crate::vm::{self, Block};
use hashbrown::{HashMap, HashSet};
use std::cmp::Reverse;
use std::hash::{Hash, Hasher};
use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use wootz_ir::{Dims, Op};
use wootz_plan::Kernel;
use wootz_plan::kernel::{InstOp, Lanes};
use wootz_plan::math::{expand, expand_with_origins};
use wootz_runtime::ForkLock;

/// Name of the environment variable that turns machine code off.
pub const JIT_ENV: &str = "WOOTZ_JIT";

/// Whether kernels may become machine code: not with `WOOTZ_JIT=off`. The environment is read once.
#[must_use]
pub fn jit_allowed() -> bool {
    static ALLOWED: OnceLock<bool> = OnceLock::new();
    *ALLOWED
        .get_or_init(|| !std::env::var(JIT_ENV).is_ok_and(|v| matches!(v.as_str(), "off" | "0" | "false")))
}

/// A kernel's code.
#[derive(Debug)]
pub(crate) struct Code {
    grid: Dims,
    /// The grid loop that tiles run along.
    lane_axis: Option<usize>,
    /// Bytes of an element of the product that the kernel is the epilogue of.
    tile_bytes: usize,
    /// Estimated time of the whole kernel on one thread, in nanoseconds.
    cost: f64,
    /// Empty until its batch is finished.
    body: OnceLock<Body>,
}

#[derive(Debug)]
enum Body {
    Native { mapping: Arc<Mapping>, offset: usize, frame: usize, width: usize, units: usize },
    Tiles { code: vm::Code, why: Declined },
}

/// What identifies a kernel's code.
#[derive(Clone, PartialEq, Eq)]
struct Key {
    /// Of everything else; kernels are long.
    hash: u64,
    lane_axis: Option<usize>,
    isa: Isa,
    jit: bool,
    kernel: Arc<Kernel>,
}

impl Key {
    fn new(kernel: &Arc<Kernel>, lane_axis: Option<usize>, isa: Isa, jit: bool) -> Key {
        let mut hasher = Mix::default();
        (&**kernel, lane_axis, isa, jit).hash(&mut hasher);
        let hash = hasher.finish();
        Key { hash, lane_axis, isa, jit, kernel: kernel.clone() }
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

/// A quick hash of what consists of many small numbers.
#[derive(Default)]
struct Mix(u64);

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            self.write_u64(chunk.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)));
        }
    }

    fn write_u64(&mut self, word: u64) {
        // The high half of a product depends on all bits; zeros count, too.
        const ODD: [u64; 2] = [0x9e37_79b9_7f4a_7c15, 0xd1b5_4a32_d192_ed03];
        let product = u128::from(self.0 ^ word ^ ODD[0]) * u128::from(ODD[1]);
        self.0 = (product >> 64) as u64 ^ product as u64;
    }

    fn write_u8(&mut self, x: u8) {
        self.write_u64(x.into());
    }

    fn write_u32(&mut self, x: u32) {
        self.write_u64(x.into());
    }

    fn write_i64(&mut self, x: i64) {
        self.write_u64(x as u64);
    }

    fn write_usize(&mut self, x: usize) {
        self.write_u64(x as u64);
    }

    fn write_isize(&mut self, x: isize) {
        self.write_u64(x as u64);
    }
}

/// Code that some program still uses.
static SHARED: ForkLock<HashMap<Key, Weak<Code>>> = ForkLock::new();

/// Kernels being compiled.
pub(crate) struct Batch {
    isa: Isa,
    jit: bool,
    known: HashMap<Key, Arc<Code>>,
    /// The same of kernels that are no epilogues, by where they lie.
    places: HashMap<*const Kernel, Arc<Code>>,
    written: Vec<Piece>,
    /// What each thread wrote.
    writers: Vec<Mutex<Writer>>,
}

/// The machine code of a kernel.
struct Piece {
    key: Key,
    written: Written,
    /// Whose bytes it is among, and which.
    writer: usize,
    bytes: Range<usize>,
}

/// Estimated nanoseconds of compiling an instruction.
const COMPILING: f64 = 200.0;

impl Batch {
    /// For an available instruction set; with or without machine code.
    pub(crate) fn new(isa: Isa, jit: bool) -> Batch {
        Batch { isa, jit, known: HashMap::new(), places: HashMap::new(), written: vec![], writers: vec![] }
    }

    /// Compiles a kernel (which must be well formed, see [`wootz_plan::verify_kernel`]). An epilogue of a product is a kernel
    /// over `[batch, m, n]` without stage loops, run by [`Code::run_block`].
    pub(crate) fn add(&mut self, kernel: &Arc<Kernel>, epilogue: bool) -> Arc<Code> {
        if let (Some(code), false) = (self.places.get(&Arc::as_ptr(kernel)), epilogue) {
            return code.clone();
        }
        let key = Key::new(kernel, lane_axis(kernel, epilogue), self.isa, self.jit);
        if let Some(code) = self.known.get(&key) {
            return code.clone();
        }
        if let Some(code) = SHARED.with(|shared| shared.get(&key).and_then(Weak::upgrade)) {
            self.known.insert(key, code.clone());
            return code;
        }
        self.compile(vec![key.clone()], &Team::serial());
        self.known[&key].clone()
    }

    /// Compiles kernels that are no epilogues, with at most `threads` threads. The code does not depend on how many.
    ///
    /// # Errors
    /// As [`pool::session`].
    pub(crate) fn add_all(&mut self, kernels: &[&Arc<Kernel>], threads: usize) -> Result<(), PoolError> {
        let instructions: usize = kernels.iter().map(|kernel| kernel.regs.len()).sum();
        // Sleeping threads wake while this one looks for what is known.
        pool::session_once(threads, COMPILING * instructions as f64, |team| {
            let key = |kernel: &&Arc<Kernel>| Key::new(kernel, lane_axis(kernel, false), self.isa, self.jit);
            let mut seen = HashSet::with_capacity(kernels.len());
            let mut keys: Vec<Key> = kernels.iter().map(key).filter(|key| seen.insert(key.clone())).collect();
            SHARED.with(|shared| {
                keys.retain(|key| match shared.get(key).and_then(Weak::upgrade) {
                    Some(code) => {
                        self.known.insert(key.clone(), code);
                        false
                    }
                    None => !self.known.contains_key(key),
                });
            });
            // The longest first: threads end at about the same time.
            keys.sort_by_key(|key| Reverse(key.kernel.regs.len()));
            self.compile(keys, team);
            let places = self.known.iter().filter(|(key, _)| key.lane_axis == lane_axis(&key.kernel, false));
            self.places.extend(places.map(|(key, code)| (Arc::as_ptr(&key.kernel), code.clone())));
        })
    }

    /// Compiles kernels that are not known.
    fn compile(&mut self, keys: Vec<Key>, team: &Team<'_>) {
        self.writers.resize_with(self.writers.len().max(team.threads()), Mutex::default);
        let compiled: Vec<OnceLock<_>> = keys.iter().map(|_| OnceLock::new()).collect();
        team.run(keys.len(), &|i, thread| {
            let mut writer = self.writers[thread].lock().unwrap_or_else(PoisonError::into_inner);
            let (code, written) = compile(&keys[i], &mut writer);
            let piece = written.map(|written| (thread, written.offset..writer.code().len(), written));
            // The cell is empty: it is this task's.
            drop(compiled[i].set((Arc::new(code), piece)));
        });
        for (key, compiled) in keys.into_iter().zip(compiled) {
            let (code, piece) = compiled.into_inner().expect("every task was run");
            if let Some((writer, bytes, written)) = piece {
                self.written.push(Piece { key: key.clone(), written, writer, bytes });
            }
            self.known.insert(key, code);
        }
    }

    /// Makes the machine code executable. Every kernel's code can be run after this.
    pub(crate) fn finish(self) {
        let taken = |writer: Mutex<Writer>| writer.into_inner().unwrap_or_else(PoisonError::into_inner);
        let writers: Vec<Writer> = self.writers.into_iter().map(taken).collect();
        let pieces = self.written.iter().map(|piece| &writers[piece.writer].code()[piece.bytes.clone()]);
        let mapping = if self.written.is_empty() { None } else { Mapping::new(pieces).map(Arc::new).ok() };
        let mut offset = 0;
        for Piece { key, written, bytes, .. } in &self.written {
            let begin = offset;
            offset += Mapping::place(bytes.len());
            let Some(code) = self.known.get(key) else { continue };
            if let (Some(mapping), true) = (&mapping, perf_map::is_wanted()) {
                perf_map::record(mapping.address() + begin, written.instructions, &name(&key.kernel));
            }
            let body = match &mapping {
                Some(mapping) => Body::Native {
                    mapping: mapping.clone(),
                    offset: begin,
                    frame: written.frame.next_multiple_of(64),
                    width: written.width,
                    units: units(&code.grid, code.lane_axis, written.width),
                },
                None => Body::tiles(key, Declined("executable memory is not allowed")),
            };
            drop(code.body.set(body));
        }
        SHARED.with(|shared| {
            if shared.len() > 64 && shared.len() == shared.capacity() {
                shared.retain(|_, code| code.strong_count() > 0);
            }
            shared.extend(self.known.into_iter().map(|(key, code)| (key, Arc::downgrade(&code))));
        });
    }
}

/// The code of a kernel. Machine code is written to the end of the writer's.
fn compile(key: &Key, writer: &mut Writer) -> (Code, Option<Written>) {
    let Key { kernel, lane_axis, isa, .. } = key;
    let written = match key.jit {
        true => jit::write(&expand(kernel, isa.has_fma()), *lane_axis, *isa, false, writer),
        false => Err(Declined("turned off")),
    };
    let in_tiles = |_: &Declined| vm::cost(kernel) * kernel.points() as f64;
    let cost = written.as_ref().map_or_else(in_tiles, |w| w.cost);
    let (body, written) = match written {
        Ok(written) => (OnceLock::new(), Some(written)),
        Err(why) => (OnceLock::from(Body::tiles(key, why)), None),
    };
    let (grid, tile_bytes) = (kernel.grid.clone(), tile_bytes(kernel));
    (Code { grid, lane_axis: *lane_axis, tile_bytes, cost, body }, written)
}

/// The machine code of a kernel (or of an epilogue of a product) as text. Before each piece stands the instruction of the kernel
/// that it belongs to; where that is [expanded](expand), the native instruction that it computes follows.
///
/// # Errors
/// Why there is no machine code for it: the tile VM runs the kernel.
pub fn assembly(kernel: &Kernel, epilogue: bool, isa: Isa) -> Result<String, &'static str> {
    // What follows names instructions by their position.
    let kernel = &*jit::written_out(kernel);
    let (expanded, origins) = expand_with_origins(kernel, isa.has_fma());
    let mut writer = Writer::default();
    let written = jit::write(&expanded, lane_axis(kernel, epilogue), isa, true, &mut writer)
        .map_err(|declined| declined.0)?;
    let text = |kernel: &Kernel, at: usize| {
        kernel.stages.iter().flat_map(|s| &s.body).nth(at).map(|inst| kernel.inst_text(inst))
    };
    let comment = |at: usize| {
        let own = text(&expanded, at).unwrap_or_default();
        match origins.get(at).and_then(|origin| text(kernel, *origin as usize)) {
            Some(source) => format!("{source}  |  {own}"),
            None => own,
        }
    };
    Ok(jit::listing(&written, writer.code(), comment))
}

/// What a profiler shows of a kernel: its loops and its arithmetic.
fn name(kernel: &Kernel) -> String {
    let stages = kernel.stages.iter().map(|stage| {
        let insts = stage.body.iter().filter_map(|i| match &i.op {
            InstOp::Unary(op, _) => Some(Op::Unary(*op).name()),
            InstOp::Binary(op, ..) => Some(Op::Binary(*op).name()),
            _ => None,
        });
        let reductions = stage.reduce.iter().map(|acc| acc.kind.name());
        insts.chain(reductions).collect::<Vec<_>>().join(" ")
    });
    format!("wootz {:?} {}", &kernel.grid[..], stages.collect::<Vec<_>>().join(" | "))
}

/// The grid loop that tiles run along.
fn lane_axis(kernel: &Kernel, epilogue: bool) -> Option<usize> {
    let rank = kernel.grid.len();
    match kernel.lanes {
        _ if epilogue => {
            // A product with a vector has one column.
            let column = rank == 3 && kernel.grid[2] == 1;
            rank.checked_sub(if column { 2 } else { 1 })
        }
        Lanes::Grid => rank.checked_sub(1),
        Lanes::Inner => None,
    }
}

fn tile_bytes(kernel: &Kernel) -> usize {
    let insts = kernel.stages.iter().flat_map(|s| &s.body);
    let tile = insts.filter(|i| i.op == InstOp::Tile).find_map(|i| i.out);
    tile.map_or(0, |reg| kernel.regs[reg.0 as usize].size())
}

/// Tiles of `width` grid points along the lanes, or grid points.
fn units(grid: &Dims, lane_axis: Option<usize>, width: usize) -> usize {
    let points: usize = grid.iter().product();
    match lane_axis {
        Some(axis) if points > 0 => points / grid[axis] * grid[axis].div_ceil(width),
        _ => points,
    }
}

impl Body {
    fn tiles(Key { kernel, lane_axis, isa, .. }: &Key, why: Declined) -> Body {
        let kernel = expand(kernel, isa.has_fma());
        Body::Tiles { code: vm::Code::compile_along(&kernel, *lane_axis, *isa), why }
    }
}

impl Code {
    fn body(&self) -> &Body {
        self.body.get().expect("the batch is finished before anything runs")
    }

    /// Why the tile VM runs the kernel, if it does.
    pub(crate) fn declined(&self) -> Option<Declined> {
        match self.body() {
            Body::Native { .. } => None,
            Body::Tiles { why, .. } => Some(*why),
        }
    }

    /// Independent pieces of work: tiles of grid points, or grid points.
    pub(crate) fn units(&self) -> usize {
        match self.body() {
            Body::Tiles { code, .. } => code.units(),
            Body::Native { units, .. } => *units,
        }
    }

    /// Bytes of working memory that a run needs, aligned to 64 bytes and zeroed before its first use.
    pub(crate) fn work_bytes(&self) -> usize {
        match self.body() {
            Body::Native { frame, .. } => *frame,
            Body::Tiles { code, .. } => code.work_bytes(),
        }
    }

    /// Estimated time of the whole kernel on one thread, in nanoseconds.
    pub(crate) fn cost(&self) -> f64 {
        self.cost
    }

    /// Runs some of the kernel's [units](Code::units).
    ///
    /// # Safety
    /// There is a pointer for every argument of the kernel, aligned for its dtype and valid for every element that the
    /// kernel reads or writes; written arguments overlap no other. `work` is as [`Code::work_bytes`] says. Both belong to
    /// this run alone, except for elements of written arguments that only other units touch.
    pub(crate) unsafe fn run(&self, args: &[*mut u8], units: Range<usize>, work: *mut u8) {
        let (mapping, offset, width) = match self.body() {
            // SAFETY: the caller's contract.
            Body::Tiles { code, .. } => return unsafe { code.run(args, units, work) },
            Body::Native { mapping, offset, width, .. } => (mapping, *offset, *width),
        };
        if units.is_empty() {
            return;
        }
        let mut context = Context::new(args, work, units.len());
        if let Some(axis) = self.lane_axis {
            context.lane_end = self.grid[axis] as i64;
        }
        // Small kernels run in one piece, and take hardly longer than these divisions.
        if units.start > 0 {
            self.locate(units.start, width, &mut context);
        }
        // SAFETY: the caller's contract; the units lie within the grid.
        unsafe { mapping.call(offset, &mut context) }
    }

    /// Where a unit lies in the grid.
    fn locate(&self, unit: usize, width: usize, context: &mut Context) {
        let mut point = unit;
        if let Some(axis) = self.lane_axis {
            let tiles = self.grid[axis].div_ceil(width);
            context.index[axis] = (point % tiles * width) as i64;
            point /= tiles;
        }
        for axis in (0..self.grid.len()).rev().filter(|a| Some(*a) != self.lane_axis) {
            context.index[axis] = (point % self.grid[axis]) as i64;
            point /= self.grid[axis];
        }
    }

    /// Runs an epilogue on a part of its product.
    ///
    /// # Safety
    /// As [`Code::run`]; the block lies within the kernel's grid and its elements are readable.
    pub(crate) unsafe fn run_block(&self, args: &[*mut u8], block: &Block, work: *mut u8) {
        let (mapping, offset, width) = match self.body() {
            // SAFETY: the caller's contract.
            Body::Tiles { code, .. } => return unsafe { code.run_block(args, block, work) },
            Body::Native { mapping, offset, width, .. } => (mapping, *offset, *width),
        };
        if block.rows == 0 || block.cols == 0 {
            return;
        }
        let by_column = self.lane_axis == Some(1);
        let (outer, first, lanes) = match by_column {
            true => (block.cols, block.row, block.rows),
            false => (block.rows, block.col, block.cols),
        };
        let mut context = Context::new(args, work, outer * lanes.div_ceil(width));
        context.index[..3].copy_from_slice(&[block.batch as i64, block.row as i64, block.col as i64]);
        (context.lane_first, context.lane_end) = (first as i64, (first + lanes) as i64);
        let bytes = self.tile_bytes as i64;
        (context.tile_row, context.tile_column) = (block.row_stride as i64 * bytes, bytes);
        let before = block.row as i64 * context.tile_row + block.col as i64 * bytes;
        context.tile = block.data.wrapping_offset(-before as isize);
        // SAFETY: the caller's contract.
        unsafe { mapping.call(offset, &mut context) }
    }
}
