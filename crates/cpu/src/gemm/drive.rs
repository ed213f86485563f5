//! Runs a planned product: cuts it into tiles, packs what the plan says, calls the micro-kernels and the epilogue.

use std::ops::Range;

use super::kernel::{Form, Kernels, TileArgs};
use super::pack::{pack_panels, pack_slabs};
use super::plan::{AMode, BMode, GemmPlan, Kind, MAX_TILE_SLABS, Parts, Tiles, part};
use super::simd::Real;
use super::spec::{BLayout, CLayout};
use super::{Block, Elem, Epilogue};
use crate::pool::Team;

impl GemmPlan {
    /// Computes the product with the team's threads. Allocates nothing.
    ///
    /// `scratch` holds [`GemmPlan::scratch_bytes`] of the team's thread count (best aligned to 64 bytes); what it contains
    /// does not matter. `c` may be null for [`CLayout::Tile`].
    ///
    /// # Safety
    /// `a`, `b` and `c` must point to operands as the spec describes them (A and B readable, C writable), aligned for their
    /// types; C and `scratch` (aligned for the accumulator's type) must overlap nothing else (but an addend may be C) and,
    /// for the run, belong to it alone; a bias must hold `n` elements.
    pub unsafe fn run(
        &self,
        team: &Team<'_>,
        a: *const u8,
        b: *const u8,
        c: *mut u8,
        scratch: *mut u8,
        epilogue: &Epilogue<'_>,
    ) {
        if self.spec.batch == 0 || self.spec.m == 0 || self.spec.n == 0 {
            return;
        }
        // SAFETY: the caller's contract.
        unsafe {
            match self.elem {
                Elem::F64 => self.run_as::<f64>(team, a, b, c, scratch, epilogue),
                _ => self.run_as::<f32>(team, a, b, c, scratch, epilogue),
            }
        }
    }

    unsafe fn run_as<E: Real>(
        &self,
        team: &Team<'_>,
        a: *const u8,
        b: *const u8,
        c: *mut u8,
        scratch: *mut u8,
        epilogue: &Epilogue<'_>,
    ) {
        let swapped = matches!(&self.kind, Kind::Tiles(tiles) if tiles.swapped);
        let (a, b) = if swapped { (b, a) } else { (a, b) };
        let run = Run::<E> {
            plan: self,
            a,
            b,
            c: c.cast(),
            scratch,
            scale: epilogue.scale.map(E::from_f64),
            addend: epilogue.addend.cast(),
            bias: epilogue.bias.cast(),
            epilogue,
            kernels: E::kernels(self.isa),
        };
        // SAFETY: the caller's contract; tiles are disjoint parts of C, and each worker uses its own scratch memory.
        unsafe {
            match &self.kind {
                Kind::Tiles(tiles) => {
                    let (of_a, of_b) = (run.a_shares(tiles), run.b_shares(tiles));
                    team.run(of_a.len() + of_b.len(), &|index, _| {
                        if index < of_a.len() {
                            run.pack_a(tiles, of_a.at(index));
                        } else {
                            run.pack_b(of_b, of_b.at(index - of_a.len()));
                        }
                    });
                    team.run(self.tiles(), &|index, worker| run.tile(tiles, index, worker));
                }
                Kind::Dot(dot) => {
                    for batch in 0..self.spec.batch {
                        run.pack_vector(dot, batch);
                    }
                    team.run(self.tiles(), &|index, worker| run.dot_tile(dot, index, worker));
                }
            }
        }
    }
}

/// One run of a plan.
pub(super) struct Run<'a, E> {
    pub(super) plan: &'a GemmPlan,
    a: *const u8,
    b: *const u8,
    c: *mut E,
    pub(super) scratch: *mut u8,
    pub(super) scale: Option<E>,
    addend: *const E,
    pub(super) bias: *const E,
    pub(super) epilogue: &'a Epilogue<'a>,
    kernels: Kernels<E>,
}

// SAFETY: what the pointers point to is only read, or is written in parts that no two tasks share; see `run_as`.
unsafe impl<E> Sync for Run<'_, E> {}

/// Steps of K and slabs of B that a task packs at most: parts of a hundred kilobytes.
const PACK_STEPS: usize = 256;
const PACK_SLABS: usize = 8;

/// Work cut along three dimensions.
#[derive(Clone, Copy)]
struct Shares {
    batch: usize,
    major: usize,
    minor: usize,
}

impl Shares {
    fn len(self) -> usize {
        self.batch * self.major * self.minor
    }

    /// Indices along the dimensions.
    fn at(self, index: usize) -> [usize; 3] {
        [index / self.minor / self.major, index / self.minor % self.major, index % self.minor]
    }
}

/// A tile's place: a product, rows and slabs.
pub(super) struct Place {
    pub(super) batch: usize,
    pub(super) rows: Range<usize>,
    pub(super) slabs: Range<usize>,
}

/// A tile's memory in a thread's scratch.
pub(super) struct TileScratch<E> {
    pub(super) b: *mut E,
    pub(super) sums: *mut E,
    pub(super) slab: *mut E,
    pub(super) c: *mut E,
}

impl<E: Real> Run<'_, E> {
    /// One of a batch's A.
    pub(super) fn a_of(&self, batch: usize) -> *const u8 {
        let a = &self.plan.spec.a;
        self.a.wrapping_offset(a.batch_offset(batch) * a.elem.size() as isize)
    }

    /// One of a batch's B.
    pub(super) fn b_of(&self, batch: usize) -> *const u8 {
        let (offset, size) = match &self.plan.spec.b {
            BLayout::Strided(b) => (b.batch_offset(batch), b.elem.size()),
            BLayout::Packed { batch_stride } => (batch as isize * batch_stride, size_of::<E>()),
        };
        self.b.wrapping_offset(offset * size as isize)
    }

    /// One of a batch's C.
    pub(super) fn c_of(&self, batch: usize) -> *mut E {
        match self.plan.spec.c {
            CLayout::Rows { batch_stride, .. } | CLayout::Packed { batch_stride } => {
                self.c.wrapping_offset(batch as isize * batch_stride)
            }
            CLayout::Tile => self.c,
        }
    }

    /// What is added to an element of C: where it lies, null if nothing is.
    pub(super) fn addend_of(&self, c: *const E) -> *const E {
        if !self.plan.spec.accumulate {
            std::ptr::null()
        } else if self.addend.is_null() {
            c
        } else {
            let bytes = c.addr().wrapping_sub(self.c.addr());
            self.addend.wrapping_byte_add(bytes)
        }
    }

    /// The parts in which A is packed before the tiles run: rows of a tile by some of K.
    fn a_shares(&self, tiles: &Tiles) -> Shares {
        let batch = if tiles.a == AMode::Pack { self.plan.spec.batch } else { 0 };
        Shares { batch, major: tiles.m_tiles, minor: self.plan.spec.k.div_ceil(PACK_STEPS) }
    }

    /// The parts in which B is packed before the tiles run: some slabs by some of K, longer where memory is contiguous.
    fn b_shares(&self, tiles: &Tiles) -> Shares {
        let spec = &self.plan.spec;
        let batch = if tiles.b == BMode::PackAll { spec.batch } else { 0 };
        match spec.b {
            BLayout::Strided(b) if b.row_stride == 1 => {
                Shares { batch, major: self.plan.slabs(), minor: spec.k.min(1) }
            }
            _ => {
                let major = self.plan.slabs().div_ceil(PACK_SLABS);
                Shares { batch, major, minor: spec.k.div_ceil(PACK_STEPS) }
            }
        }
    }

    /// Packs a part of A into the shared memory: for each micro-kernel's rows a panel `[k][rows]`.
    unsafe fn pack_a(&self, tiles: &Tiles, [batch, tile, part_of_k]: [usize; 3]) {
        let spec = &self.plan.spec;
        let steps = part(spec.k, spec.k.div_ceil(PACK_STEPS), part_of_k);
        let tile_rows = self.plan.rows_of_tile(tiles, tile);
        let source = spec.a.source_of_a(self.plan.isa, self.a_of(batch)).at(steps.start, tile_rows.start);
        let (count, most) = (tile_rows.len().div_ceil(self.kernels.rows), self.kernels.rows);
        // SAFETY: the plan counted the packed matrices of the whole batch in the shared memory.
        unsafe {
            let out = self.shared_a(batch, tile_rows.start);
            if tile_rows.len() == count * most {
                let out = out.add(steps.start * most);
                pack_panels(source, steps.len(), tile_rows.len(), most, spec.k * most, out);
                return;
            }
            for i in 0..count {
                let rows = part(tile_rows.len(), count, i);
                let out = out.add(rows.start * spec.k + steps.start * rows.len());
                pack_panels(source.at(0, rows.start), steps.len(), rows.len(), rows.len(), 0, out);
            }
        }
    }

    /// Packs a part of B into the shared memory.
    unsafe fn pack_b(&self, shares: Shares, [batch, slabs, part_of_k]: [usize; 3]) {
        let spec = &self.plan.spec;
        let BLayout::Strided(b) = spec.b else { return };
        let steps = part(spec.k, shares.minor, part_of_k);
        let slabs = part(self.plan.slabs(), shares.major, slabs);
        let slab_len = spec.k * E::SLAB;
        // SAFETY: the plan counted the packed matrices of the whole batch in the shared memory.
        unsafe {
            let out = self.shared_b(batch).add(slabs.start * slab_len + steps.start * E::SLAB);
            pack_slabs(b.source_of_b(self.plan.isa, self.b_of(batch)), spec.n, slabs, steps, out, slab_len);
        }
    }

    /// One product's packed A in the shared memory, from a row on that starts a tile.
    fn shared_a(&self, batch: usize, row: usize) -> *mut E {
        let spec = &self.plan.spec;
        self.scratch.cast::<E>().wrapping_add((batch * spec.m + row) * spec.k)
    }

    /// One product's packed B in the shared memory, behind all of A.
    fn shared_b(&self, batch: usize) -> *mut E {
        let behind = self.scratch.wrapping_add(self.plan.shared_a_bytes()).cast::<E>();
        behind.wrapping_add(batch * self.plan.slabs() * self.plan.spec.k * E::SLAB)
    }

    /// A worker's own memory.
    pub(super) fn own_scratch(&self, worker: usize) -> *mut u8 {
        self.scratch.wrapping_add(self.plan.shared_bytes() + worker * self.plan.per_thread_bytes())
    }

    /// Computes a tile of C.
    unsafe fn tile(&self, tiles: &Tiles, index: usize, worker: usize) {
        let (mt, rest) = (index % tiles.m_tiles, index / tiles.m_tiles);
        let place = Place {
            batch: rest / tiles.n_tiles,
            rows: self.plan.rows_of_tile(tiles, mt),
            slabs: part(self.plan.slabs(), tiles.n_tiles, rest % tiles.n_tiles),
        };
        let own = self.own_scratch(worker);
        let [b, sums, slab, _] = self.plan.tile_bytes(tiles).unwrap_or_default();
        let at = |bytes: usize| own.wrapping_add(bytes).cast();
        let own = TileScratch { b: at(0), sums: at(b), slab: at(b + sums), c: at(b + sums + slab) };
        // SAFETY: the place is a tile of the plan, so its operands are in bounds and its scratch memory is counted.
        unsafe {
            for block in 0..tiles.k_blocks {
                self.k_block(tiles, &place, block, &own);
            }
            self.finish(tiles, &place, &own, worker);
        }
    }

    /// Adds one block of K to a tile.
    unsafe fn k_block(&self, tiles: &Tiles, place: &Place, block: usize, own: &TileScratch<E>) {
        let (spec, isa) = (&self.plan.spec, self.plan.isa);
        let steps = part(spec.k, tiles.k_blocks, block);
        let row_count = place.rows.len();
        let kernel_tiles = row_count.div_ceil(self.kernels.rows);
        let row_parts = Parts::new(row_count, kernel_tiles);
        let source_a = spec.a.source_of_a(isa, self.a_of(place.batch)).at(steps.start, place.rows.start);
        // SAFETY: as in `tile`.
        unsafe {
            // A partial last slab of a B that is read where it lies is a group of its own.
            let alone = usize::from(
                matches!(tiles.b, BMode::Direct | BMode::PackFused)
                    && place.slabs.end == self.plan.slabs()
                    && !spec.n.is_multiple_of(E::SLAB),
            );
            let most = match tiles.b {
                _ if row_count == 1 => self.kernels.slabs_of_one_row,
                // Fewer lines of one row of B, so more rows, fit the cache sets that a power-of-two stride reaches.
                BMode::PackFused => self.kernels.slabs.min(2),
                _ => self.kernels.slabs,
            };
            let together = place.slabs.len() - alone;
            let groups = together.div_ceil(most);
            let slabs_of = |group: usize| {
                if group == groups {
                    return place.slabs.end - 1..place.slabs.end;
                }
                let slabs = part(together, groups, group);
                place.slabs.start + slabs.start..place.slabs.start + slabs.end
            };
            // The `i`-th rows by a group of slabs, whose arguments are for the first row.
            let micro_tile =
                |args: &TileArgs<E>, slabs: usize, i: usize, next: (*const E, isize), packing| {
                    let rows = row_parts.at(i);
                    let (a, a_stride) = match tiles.a {
                        AMode::Pack => {
                            let panel = self.shared_a(place.batch, place.rows.start + rows.start);
                            (panel.add(steps.start * rows.len()).cast_const(), rows.len() as isize)
                        }
                        AMode::RowMajor => (source_a.at(0, rows.start).ptr.cast(), spec.a.row_stride),
                        AMode::ColMajor => (source_a.at(0, rows.start).ptr.cast(), spec.a.col_stride),
                    };
                    let form = match tiles.a {
                        AMode::RowMajor if packing => Form::RowMajorPacking,
                        AMode::RowMajor => Form::RowMajor,
                        AMode::ColMajor | AMode::Pack => Form::ColMajor,
                    };
                    let at = rows.start as isize * args.c_stride;
                    let addend =
                        if args.addend.is_null() { args.addend } else { args.addend.wrapping_offset(at) };
                    let (c, (b_next, b_next_stride)) = (args.c.offset(at), next);
                    let kernel = (self.kernels.select)(rows.len(), slabs, form);
                    kernel(&TileArgs { a, a_stride, c, addend, b_next, b_next_stride, ..*args });
                };
            if tiles.rows_first {
                let mut args = [None; MAX_TILE_SLABS];
                for (group, args) in args.iter_mut().enumerate().take(groups) {
                    let slabs = slabs_of(group);
                    *args = Some((slabs.len(), self.group_args(tiles, place, block, slabs, own)));
                }
                for i in 0..kernel_tiles {
                    let mut next = self.next_rows(tiles, place, row_parts.at(i));
                    for (slabs, args) in args.iter().flatten() {
                        micro_tile(args, *slabs, i, next, false);
                        next.1 = 0;
                    }
                }
                return;
            }
            for group in 0..groups + alone {
                let slabs = slabs_of(group);
                let mut args = self.group_args(tiles, place, block, slabs.clone(), own);
                let packing = tiles.b == BMode::PackFused && group < groups;
                for i in 0..kernel_tiles {
                    let next = self.next_slab(tiles, place, &steps, slabs.end, i, args.b);
                    micro_tile(&args, slabs.len(), i, next, packing && i == 0);
                    if packing {
                        args.b = own.b;
                        args.b_k_stride = E::SLAB as isize;
                        args.b_slab_stride = (steps.len() * E::SLAB) as isize;
                    }
                }
            }
        }
    }

    /// What a micro-kernel over the `i`-th rows of a tile fetches of the next rows of A, with the distance from step to
    /// step: nothing unless the rows of A follow each other.
    fn next_rows(&self, tiles: &Tiles, place: &Place, rows: Range<usize>) -> (*const E, isize) {
        let spec = &self.plan.spec;
        let next = place.rows.start + rows.end;
        let source = spec.a.source_of_a(self.plan.isa, self.a_of(place.batch)).at(0, next);
        let in_place = tiles.a == AMode::RowMajor && tiles.k_blocks == 1;
        let joined = in_place && spec.a.row_stride == spec.k as isize && next < spec.m;
        (source.ptr.cast(), if joined { rows.len() as isize } else { 0 })
    }

    /// What the `pass`-th micro-kernel over a group of slabs that ends before `end` fetches for the next group: that
    /// group's `pass`-th slab, with the distance between its lines.
    fn next_slab(
        &self,
        tiles: &Tiles,
        place: &Place,
        steps: &Range<usize>,
        end: usize,
        pass: usize,
        otherwise: *const E,
    ) -> (*const E, isize) {
        // In this tile's block of K, in its next block, or in the next tile.
        let (group, step) = if end < place.slabs.end {
            (end, steps.start)
        } else if steps.end < self.plan.spec.k {
            (place.slabs.start, steps.end)
        } else {
            (end, 0)
        };
        let slab = group + pass;
        if pass >= self.kernels.slabs || slab >= self.plan.slabs() {
            return (otherwise, 0);
        }
        let base = match (tiles.b, &self.plan.spec.b) {
            (BMode::Packed, _) => self.b_of(place.batch).cast(),
            (BMode::PackAll, _) => self.shared_b(place.batch).cast_const(),
            (BMode::PackFused, BLayout::Strided(b)) => {
                let source = b.source_of_b(self.plan.isa, self.b_of(place.batch));
                return (source.at(step, slab * E::SLAB).ptr.cast(), b.row_stride);
            }
            _ => return (otherwise, 0),
        };
        let at = (slab * self.plan.spec.k + step) * E::SLAB;
        (base.wrapping_add(at), E::SLAB as isize)
    }

    /// The kernel's arguments for a group of slabs: all but A, with C at the tile's first row.
    unsafe fn group_args(
        &self,
        tiles: &Tiles,
        place: &Place,
        block: usize,
        slabs: Range<usize>,
        own: &TileScratch<E>,
    ) -> TileArgs<E> {
        let spec = &self.plan.spec;
        let steps = part(spec.k, tiles.k_blocks, block);
        let (slab, k) = (E::SLAB, steps.len());
        let packed = |base: *const E| {
            let at = slabs.start * spec.k * slab + steps.start * slab;
            (base.wrapping_add(at), slab as isize, (spec.k * slab) as isize)
        };
        let (b, b_k_stride, b_slab_stride) = match (tiles.b, &spec.b) {
            (BMode::PackAll, _) => packed(self.shared_b(place.batch)),
            (_, BLayout::Strided(matrix)) => {
                let source = matrix.source_of_b(self.plan.isa, self.b_of(place.batch));
                if slabs.end * slab > spec.n {
                    // SAFETY: the thread's memory has room for one slab of a block of K.
                    unsafe { pack_slabs(source, spec.n, slabs.clone(), steps.clone(), own.b, 0) };
                    (own.b.cast_const(), slab as isize, 0)
                } else {
                    let from = source.at(steps.start, slabs.start * slab).ptr;
                    (from.cast(), matrix.row_stride, slab as isize)
                }
            }
            (_, BLayout::Packed { .. }) => packed(self.b_of(place.batch).cast()),
        };
        let (c, c_stride, c_slab_stride) = self.sums(tiles, place, slabs.start, own);
        // What is staged is finished on its way to C.
        let last = block + 1 == tiles.k_blocks && !tiles.staged;
        let bias = if last && !self.bias.is_null() {
            self.bias.wrapping_add(slabs.start * slab)
        } else {
            std::ptr::null()
        };
        TileArgs {
            k,
            a: std::ptr::null(),
            a_stride: 0,
            b,
            b_k_stride,
            b_slab_stride,
            b_next: b,
            b_next_stride: 0,
            b_packed: own.b,
            c,
            c_stride,
            c_slab_stride,
            cols: (slabs.end * slab).min(spec.n) - slabs.start * slab,
            accumulate: block > 0,
            scale: self.scale.filter(|_| last),
            addend: if last { self.addend_of(c) } else { std::ptr::null() },
            bias,
            relu: last && self.epilogue.relu,
        }
    }

    pub(super) fn hook(&self, block: &Block) {
        if let Some(hook) = self.epilogue.hook {
            hook(block);
        }
    }

    /// The epilogue, without the hook, of one element that goes `to` column `col` of C.
    #[inline]
    pub(super) unsafe fn scalar_epilogue(&self, mut x: E, to: *mut E, col: usize) -> E {
        if let Some(scale) = self.scale {
            x = x * scale;
        }
        let addend = self.addend_of(to);
        // SAFETY: an addend is laid out as C, and a bias holds n elements, by the contract of `run`.
        unsafe {
            if !addend.is_null() {
                x += *addend;
            }
            if !self.bias.is_null() {
                x += *self.bias.add(col);
            }
        }
        if self.epilogue.relu && E::default() > x { E::default() } else { x }
    }
}
