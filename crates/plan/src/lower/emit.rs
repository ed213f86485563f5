//! Writes the expressions of a cluster as a kernel: recursive descent from each root to what is stored, movement ops turning
//! into addresses on the way.

use super::Lowering;
use super::index::{Lin, Map, identity, is_identity, strides};
use super::split::{Partial, reduction};
use crate::BufferId;
use crate::kernel::{AccKind, Accumulate, Address, Arg, ArgId, Inst, InstOp, Kernel, Lanes, Reg, Stage};
use hashbrown::HashMap;
use wootz_ir::ops::Op;
use wootz_ir::{DType, Dims, Value};

/// A kernel being written.
pub(super) struct Emitter<'l, 'g> {
    pub(super) lowering: &'l mut Lowering<'g>,
    pub(super) kernel: Kernel,
    buffers: Vec<BufferId>,
    stage: Stage,
    /// Stores of the current stage, done after everything in it was loaded.
    stores: Vec<Inst>,
    /// Registers that live for a whole grid point, and those of the current stage's loops.
    outer: Scope,
    inner: Scope,
    /// The maps that values were read at, numbered, and the last one: chains of ops read all of theirs at one.
    maps: HashMap<Map, u32>,
    last_map: (Map, u32),
    /// Roots of this kernel: the register that holds them for the whole grid point, if there is one.
    members: HashMap<Value, Option<Reg>>,
    /// Reductions of the current stage.
    fresh: Vec<Value>,
    /// Looped roots of the current stage.
    looped: Vec<Value>,
    /// The contraction this kernel is the epilogue of.
    tile: Option<Value>,
}

#[derive(Default)]
struct Scope {
    /// By value, the number of the map it is read at, and mask.
    values: HashMap<(Value, u32, Option<Reg>), Reg>,
    insts: HashMap<(InstOp, DType), Reg>,
}

impl<'l, 'g> Emitter<'l, 'g> {
    pub(super) fn new(lowering: &'l mut Lowering<'g>, grid: Dims, tile: Option<Value>) -> Self {
        let kernel =
            Kernel { grid, lanes: Lanes::Grid, args: Vec::new(), stages: Vec::new(), regs: Vec::new() };
        Emitter {
            lowering,
            kernel,
            buffers: Vec::new(),
            stage: Stage::default(),
            stores: Vec::new(),
            outer: Scope::default(),
            inner: Scope::default(),
            maps: HashMap::from_iter([(Map::new(), 0)]),
            last_map: (Map::new(), 0),
            members: HashMap::new(),
            fresh: Vec::new(),
            looped: Vec::new(),
            tile,
        }
    }

    /// Ends the kernel.
    pub(super) fn finish(mut self) -> (Kernel, Vec<BufferId>) {
        self.close_stage();
        (self.kernel, self.buffers)
    }

    /// Computes a root and stores it.
    pub(super) fn root(&mut self, root: Value) {
        let rank = self.kernel.grid.len();
        let region = self.lowering.region;
        match region.defining_node(root).map(|n| (&n.op, n.inputs[..].first().copied())) {
            Some((op @ (Op::Reduce(_) | Op::ArgReduce(_)), Some(operand))) => {
                let Some((axes, kind)) = reduction(op) else { return };
                match self.lowering.partials.get(&root).copied() {
                    Some(partial) => self.combine(root, partial, kind),
                    None => self.reduction(root, operand, &axes, kind),
                }
            }
            _ => {
                let shape = self.lowering.shape(root).clone();
                let loops: Dims = shape[rank..].into();
                self.enter_stage(root, &loops);
                let map = identity(shape.len());
                let reg = self.compute(root, &map, None);
                let visible = loops.is_empty().then_some(reg);
                if visible.is_none() {
                    self.looped.push(root);
                    let number = self.number(&map);
                    self.inner.values.insert((root, number, None), reg);
                }
                self.members.insert(root, visible);
                self.store(root, &map, reg);
            }
        }
    }

    /// Stores the contraction's own value (an epilogue's tile).
    pub(super) fn store_tile(&mut self, value: Value) {
        let map = identity(self.kernel.grid.len());
        let reg = self.value(value, &map, None);
        self.store(value, &map, reg);
    }

    /// Computes a value that is not a root at every grid point and stores it in `buffer` at `map`'s position of `shape`.
    pub(super) fn copy_into(&mut self, value: Value, buffer: BufferId, shape: &Dims, map: &Map) {
        let own = identity(self.kernel.grid.len());
        let reg = self.value(value, &own, None);
        self.store_at(buffer, shape, map, reg);
    }

    fn reduction(&mut self, root: Value, operand: Value, axes: &[usize], kind: AccKind) {
        let shape = self.lowering.shape(operand).clone();
        let loops: Dims = axes.iter().map(|a| shape[*a]).collect();
        self.enter_stage(root, &loops);
        let (mut kept, mut reduced) = (0, self.kernel.grid.len());
        let map: Map = (0..shape.len())
            .map(|axis| {
                let counter = if axes.contains(&axis) { &mut reduced } else { &mut kept };
                *counter += 1;
                Lin::axis(*counter - 1)
            })
            .collect();
        let value = self.value(operand, &map, None);
        let out = self.accumulate(kind, value);
        self.fresh.push(root);
        self.members.insert(root, Some(out));
    }

    /// The second step of a reduction: combines partial results.
    fn combine(&mut self, root: Value, partial: Partial, kind: AccKind) {
        let shape: Dims = self.kernel.grid.iter().copied().chain([partial.count]).collect();
        self.enter_stage(root, &[partial.count][..].into());
        let at = self.address(&shape, &identity(shape.len()));
        let arg = self.arg(partial.buffer);
        let dtype = self.kernel.args[arg.0 as usize].dtype;
        let value = self.inst(InstOp::Load { arg, at, mask: None }, dtype);
        let out = self.accumulate(kind, value);
        let Some(positions) = partial.positions else {
            self.fresh.push(root);
            self.members.insert(root, Some(out));
            return;
        };
        // The chunk that holds the best value knows where in the operand it stands.
        self.close_stage();
        let own = identity(self.kernel.grid.len());
        let chunk: Map = own.iter().cloned().chain([Lin::computed(out)]).collect();
        let at = self.address(&shape, &chunk);
        let arg = self.arg(positions);
        let position = self.inst(InstOp::Load { arg, at, mask: None }, DType::I64);
        self.members.insert(root, Some(position));
        self.store(root, &own, position);
    }

    /// Reduces a register over the loops of the current stage.
    pub(super) fn accumulate(&mut self, kind: AccKind, value: Reg) -> Reg {
        let dtype = match kind {
            AccKind::ArgMax | AccKind::ArgMin => DType::I64,
            _ => self.reg_type(value),
        };
        let out = self.new_reg(dtype);
        self.stage.reduce.push(Accumulate { kind, value, out });
        out
    }

    /// The loops of the first stage.
    pub(super) fn set_loops(&mut self, loops: Dims) {
        self.stage.loops = loops;
    }

    /// Stores a reduction's result once the current stage is done.
    pub(super) fn store_after(&mut self, buffer: BufferId, shape: &Dims, map: &Map, value: Reg) {
        self.close_stage();
        self.store_at(buffer, shape, map, value);
    }

    /// Makes sure that the current stage has these loops and that what `root` reads is complete.
    fn enter_stage(&mut self, root: Value, loops: &Dims) {
        let lowering = &*self.lowering;
        let empty = self.stage.body.is_empty() && self.stage.reduce.is_empty() && self.stores.is_empty();
        let reads =
            super::cluster::reads_of_root(lowering.region, &lowering.shapes, &lowering.analysis, root);
        let waits = reads.iter().any(|r| {
            self.fresh.contains(&r.value) || (self.looped.contains(&r.value) && !r.follows_every_loop())
        });
        if self.stage.loops != *loops || waits {
            if !empty {
                self.close_stage();
            }
            self.stage.loops = loops.clone();
        }
    }

    fn close_stage(&mut self) {
        let mut stage = std::mem::take(&mut self.stage);
        stage.body.append(&mut self.stores);
        if !stage.body.is_empty() || !stage.reduce.is_empty() {
            self.kernel.stages.push(stage);
        }
        self.inner = Scope::default();
        self.looped.clear();
        // A reduction's result is stored once it is known, by a stage of its own.
        for root in std::mem::take(&mut self.fresh) {
            if let Some(Some(reg)) = self.members.get(&root).copied() {
                self.store(root, &identity(self.kernel.grid.len()), reg);
            }
        }
        let body = std::mem::take(&mut self.stores);
        if !body.is_empty() {
            self.kernel.stages.push(Stage { body, ..Stage::default() });
        }
    }

    fn store(&mut self, root: Value, map: &Map, value: Reg) {
        let buffer = self.lowering.buffer(root);
        let shape = self.lowering.shape(root).clone();
        self.store_at(buffer, &shape, map, value);
    }

    pub(super) fn store_at(&mut self, buffer: BufferId, shape: &Dims, map: &Map, value: Reg) {
        let at = self.address(shape, map);
        let arg = self.arg(buffer);
        self.kernel.args[arg.0 as usize].write = true;
        self.stores.push(Inst { out: None, op: InstOp::Store { arg, at, value } });
    }

    /// The register holding a value at the position `map`.
    pub(super) fn value(&mut self, value: Value, map: &Map, mask: Option<Reg>) -> Reg {
        let analysis = &self.lowering.analysis;
        let storage = analysis.storage(value);
        if analysis.is_stored(value) {
            let same = self.lowering.shapes[storage.index()] == self.lowering.shapes[value.index()];
            let own_point = same && is_identity(map);
            if let (Some(Some(reg)), true) = (self.members.get(&storage), own_point) {
                return *reg;
            }
            if Some(storage) == self.tile && own_point {
                let dtype = self.lowering.region.ty(value).dtype.compute();
                return self.inst(InstOp::Tile, dtype);
            }
        }
        let key = (value, self.number(map), mask);
        if let Some(reg) = self.inner.values.get(&key).or_else(|| self.outer.values.get(&key)) {
            return *reg;
        }
        let reg = if self.lowering.analysis.is_stored(value) {
            self.load(value, map, mask)
        } else {
            self.compute(value, map, mask)
        };
        self.scope().values.insert(key, reg);
        reg
    }

    fn number(&mut self, map: &Map) -> u32 {
        if self.last_map.0 != *map {
            let next = self.maps.len() as u32;
            let number = *self.maps.entry_ref(map).or_insert(next);
            self.last_map = (map.clone(), number);
        }
        self.last_map.1
    }

    fn load(&mut self, value: Value, map: &Map, mask: Option<Reg>) -> Reg {
        let buffer = self.lowering.buffer(value);
        let shape = self.lowering.shape(value).clone();
        let at = self.address(&shape, map);
        let arg = self.arg(buffer);
        let dtype = self.kernel.args[arg.0 as usize].dtype.compute();
        self.inst(InstOp::Load { arg, at, mask }, dtype)
    }

    fn address(&mut self, shape: &Dims, map: &Map) -> Box<Address> {
        let mut sum = Lin::default();
        for (stride, lin) in strides(shape).into_iter().zip(map) {
            self.add_scaled(&mut sum, lin, stride);
        }
        Box::new(Address { offset: sum.offset, strides: sum.coeffs, index: sum.reg })
    }

    /// sum += scale · lin, registers included.
    pub(super) fn add_scaled(&mut self, sum: &mut Lin, lin: &Lin, scale: i64) {
        sum.add_affine(lin, scale);
        let Some(reg) = lin.reg else { return };
        let scaled = self.mul_int(reg, scale);
        sum.reg = Some(match sum.reg {
            None => scaled,
            Some(old) => self.inst(InstOp::Binary(wootz_ir::ops::Binary::Add, old, scaled), DType::I64),
        });
    }

    pub(super) fn mul_int(&mut self, reg: Reg, scale: i64) -> Reg {
        if scale == 1 {
            return reg;
        }
        let scale = self.inst(InstOp::Int(scale), DType::I64);
        self.inst(InstOp::Binary(wootz_ir::ops::Binary::Mul, reg, scale), DType::I64)
    }

    /// An axis's index as an i64 register.
    pub(super) fn index_reg(&mut self, lin: &Lin) -> Reg {
        use wootz_ir::ops::Binary::Add;
        let mut sum = lin.reg;
        for (axis, coeff) in lin.coeffs.iter().enumerate().filter(|(_, c)| **c != 0) {
            let index = self.inst(InstOp::Index(axis as u32), DType::I64);
            let term = self.mul_int(index, *coeff);
            sum = Some(match sum {
                None => term,
                Some(sum) => self.inst(InstOp::Binary(Add, sum, term), DType::I64),
            });
        }
        match sum {
            None => self.inst(InstOp::Int(lin.offset), DType::I64),
            Some(sum) if lin.offset == 0 => sum,
            Some(sum) => {
                let offset = self.inst(InstOp::Int(lin.offset), DType::I64);
                self.inst(InstOp::Binary(Add, sum, offset), DType::I64)
            }
        }
    }

    /// Adds an instruction, or finds the register that already holds its result.
    pub(super) fn inst(&mut self, op: InstOp, dtype: DType) -> Reg {
        let key = (op, dtype);
        if let Some(reg) = self.inner.insts.get(&key).or_else(|| self.outer.insts.get(&key)) {
            return *reg;
        }
        let out = self.new_reg(dtype);
        self.stage.body.push(Inst { out: Some(out), op: key.0.clone() });
        self.scope().insts.insert(key, out);
        out
    }

    /// The sizes of the loops around the current code.
    pub(super) fn extent(&self, axis: usize) -> usize {
        self.kernel.grid.iter().chain(&self.stage.loops).copied().nth(axis).unwrap_or(1)
    }

    pub(super) fn reg_type(&self, reg: Reg) -> DType {
        self.kernel.regs[reg.0 as usize]
    }

    fn new_reg(&mut self, dtype: DType) -> Reg {
        self.kernel.regs.push(dtype);
        Reg(self.kernel.regs.len() as u32 - 1)
    }

    fn scope(&mut self) -> &mut Scope {
        if self.stage.loops.is_empty() { &mut self.outer } else { &mut self.inner }
    }

    fn arg(&mut self, buffer: BufferId) -> ArgId {
        let at = self.buffers.iter().position(|b| *b == buffer).unwrap_or_else(|| {
            let dtype = self.lowering.buffers[buffer.0 as usize].dtype;
            self.kernel.args.push(Arg { dtype, write: false });
            self.buffers.push(buffer);
            self.buffers.len() - 1
        });
        ArgId(at as u32)
    }
}
