//! An x86-64 assembler: only the instructions that kernels need, each encoded in a few nanoseconds.
//!
//! Vector instructions are rows of a table ([`vector`]) over two encoders, VEX for 128- and 256-bit vectors and EVEX for 512-bit
//! ones. References: *Intel 64 and IA-32 Architectures Software Developer's Manual*, volume 2, chapters 2.3 (VEX) and 2.7 (EVEX).

mod integer;
mod stamp;
pub(super) mod vector;

pub(super) use integer::Condition;
pub(super) use stamp::{Recording, Stamp};
pub(super) use vector::Length;

/// A general-purpose register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gpr(pub(super) u8);

#[allow(missing_docs)] // the processor's names
impl Gpr {
    pub(super) const RAX: Gpr = Gpr(0);
    pub(super) const RCX: Gpr = Gpr(1);
    pub(super) const RDX: Gpr = Gpr(2);
    pub(super) const RBX: Gpr = Gpr(3);
    pub(super) const RBP: Gpr = Gpr(5);
    pub(super) const RSI: Gpr = Gpr(6);
    pub(super) const RDI: Gpr = Gpr(7);
    pub(super) const R8: Gpr = Gpr(8);
    pub(super) const R9: Gpr = Gpr(9);
    pub(super) const R10: Gpr = Gpr(10);
    pub(super) const R11: Gpr = Gpr(11);
    pub(super) const R12: Gpr = Gpr(12);
    pub(super) const R13: Gpr = Gpr(13);
    pub(super) const R14: Gpr = Gpr(14);
    pub(super) const R15: Gpr = Gpr(15);
}

/// A vector register, or a mask register where an instruction takes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Vec(pub(super) u8);

/// The operand that an instruction does not have: of its number the encoders write what the processor wants to see.
pub(super) const UNUSED: Vec = Vec(32);

/// A place in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mem {
    /// [base + disp]
    Base(Gpr, i32),
    /// [base + index · 2^shift + disp]
    Indexed(Gpr, Gpr, u8, i32),
    /// [base + lane's index · 2^shift], of gathers and scatters.
    Lanes(Gpr, Vec, u8),
    /// A position in the pool of constants.
    Pool(u32),
}

/// A register or a place in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rm {
    Reg(u8),
    Mem(Mem),
}

impl From<Vec> for Rm {
    fn from(reg: Vec) -> Rm {
        Rm::Reg(reg.0)
    }
}

impl From<Mem> for Rm {
    fn from(mem: Mem) -> Rm {
        Rm::Mem(mem)
    }
}

/// A place in the code.
#[derive(Clone, Copy, Debug)]
pub(super) struct Label(usize);

/// Code being written, of one kernel after another: what one needed is room for the next.
#[derive(Default)]
pub(super) struct Assembler {
    code: std::vec::Vec<u8>,
    /// Where this code begins.
    start: usize,
    /// Whether vector instructions are EVEX-encoded.
    evex: bool,
    labels: std::vec::Vec<Option<usize>>,
    /// Where a 32-bit displacement to a label must be written.
    jumps: std::vec::Vec<(usize, Label)>,
    /// Where a 32-bit displacement to the pool must be written, with the end of the instruction.
    pooled: std::vec::Vec<(usize, usize, u32)>,
    pool: Pool,
    /// Copies of what is written that are written with it.
    stamp: Option<Stamp>,
    /// The vector instructions that were stamped, for one copy.
    recorded: stamp::Recording,
    /// Whether other instructions stand between them.
    interrupted: bool,
}

/// Bytes of a constant, at most: as long as the longest vector, so that every instruction can take it as an operand.
pub(super) const POOLED: usize = 64;

/// Constants.
#[derive(Default)]
struct Pool {
    /// Those that repeat eight bytes.
    splats: std::vec::Vec<Splat>,
    /// The last of those with a hash, plus 1.
    recent: std::vec::Vec<u32>,
    others: std::vec::Vec<[u8; POOLED]>,
    /// Where the splats were written.
    places: std::vec::Vec<u32>,
}

/// A constant that repeats eight bytes.
#[derive(Clone, Copy)]
struct Splat {
    bits: u64,
    /// Whether an instruction reads all of a vector, not only the first eight bytes.
    all: bool,
}

impl Pool {
    fn clear(&mut self) {
        self.splats.clear();
        self.recent.clear();
        self.recent.resize(HASHES, 0);
        self.others.clear();
    }

    /// Whether a constant repeats eight bytes.
    fn repeats(&self, index: u32) -> bool {
        index & OTHER == 0
    }

    /// Whether all lanes of a constant are its first, of 8 or of 4 bytes.
    fn element(&self, index: u32, wide: bool) -> bool {
        let splat = self.splats.get(index as usize);
        splat.is_some_and(|Splat { bits, .. }| wide || *bits as u32 == (*bits >> 32) as u32)
    }

    /// Notes that an instruction reads all lanes.
    fn needs_all(&mut self, index: u32) {
        self.splats.get_mut(index as usize).into_iter().for_each(|splat| splat.all = true);
    }

    /// Writes the constants.
    fn write(&mut self, code: &mut std::vec::Vec<u8>, vector: usize) {
        code.extend_from_slice(self.others.as_flattened());
        self.places.resize(self.splats.len(), 0);
        // Whole vectors first: they are aligned.
        for all in [true, false] {
            for (splat, place) in
                self.splats.iter().zip(&mut self.places).filter(|(splat, _)| splat.all == all)
            {
                *place = code.len() as u32;
                let bytes = [splat.bits.to_le_bytes(); POOLED / 8];
                code.extend_from_slice(&bytes.as_flattened()[..if all { vector } else { 8 }]);
            }
        }
    }
}

/// Hashes of constants.
const HASHES: usize = 256;
/// In the index of a constant: that it is none of [`Pool::splats`].
const OTHER: u32 = 1 << 31;

impl Assembler {
    /// Begins code after what is there already.
    pub(super) fn begin(&mut self, evex: bool) {
        self.code.resize(self.code.len().next_multiple_of(POOLED), 0xcc);
        (self.start, self.evex) = (self.code.len(), evex);
        self.labels.clear();
        self.jumps.clear();
        self.pooled.clear();
        self.pool.clear();
        (self.stamp, self.interrupted) = (None, false);
    }

    /// All code so far.
    pub(super) fn code(&self) -> &[u8] {
        &self.code
    }

    /// Where this code begins in the buffer: a multiple of [`POOLED`].
    pub(super) fn start(&self) -> usize {
        self.start
    }

    /// Bytes written so far.
    pub(super) fn position(&self) -> usize {
        self.code.len() - self.start
    }

    pub(super) fn label(&mut self) -> Label {
        self.labels.push(None);
        Label(self.labels.len() - 1)
    }

    pub(super) fn bind(&mut self, label: Label) {
        self.labels[label.0] = Some(self.code.len());
    }

    /// A label at this place.
    pub(super) fn here(&mut self) -> Label {
        let label = self.label();
        self.bind(label);
        label
    }

    /// The place of eight bytes repeated as often as the longest vector needs it. Equal ones are shared, unless another one of
    /// their hash came in between.
    #[inline]
    pub(super) fn splat(&mut self, bits: u64) -> Mem {
        let Pool { splats, recent, .. } = &mut self.pool;
        let hash = bits.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - HASHES.ilog2());
        let last = &mut recent[hash as usize];
        if *last == 0 || splats[*last as usize - 1].bits != bits {
            splats.push(Splat { bits, all: false });
            *last = splats.len() as u32;
        }
        Mem::Pool(*last - 1)
    }

    /// The place of a constant, equal ones shared.
    pub(super) fn constant(&mut self, bytes: [u8; POOLED]) -> Mem {
        let known = self.pool.others.iter().position(|c| *c == bytes);
        let at = known.unwrap_or_else(|| {
            self.pool.others.push(bytes);
            self.pool.others.len() - 1
        });
        Mem::Pool(at as u32 | OTHER)
    }

    /// Ends the code: its constants follow it. It may be placed at any multiple of [`POOLED`].
    pub(super) fn finish(&mut self) {
        for i in 0..self.jumps.len() {
            let (at, label) = self.jumps[i];
            let target = self.labels[label.0].expect("every label is bound");
            self.patch(at, target as i64 - (at as i64 + 4));
        }
        self.code.resize(self.code.len().next_multiple_of(POOLED), 0xcc);
        let others = self.code.len();
        let vector = if self.evex { POOLED } else { POOLED / 2 };
        self.pool.write(&mut self.code, vector);
        for i in 0..self.pooled.len() {
            let (at, end, index) = self.pooled[i];
            let place = match index & OTHER {
                0 => self.pool.places[index as usize] as usize,
                _ => others + (index & !OTHER) as usize * POOLED,
            };
            self.patch(at, place as i64 - end as i64);
        }
    }

    fn patch(&mut self, at: usize, displacement: i64) {
        let bytes = i32::try_from(displacement).expect("code is smaller than 2 GiB").to_le_bytes();
        self.code[at..at + 4].copy_from_slice(&bytes);
    }

    fn byte(&mut self, byte: u8) {
        self.code.push(byte);
    }

    /// The first `count` of some bytes, the lowest first.
    #[inline]
    fn bytes(&mut self, bytes: u128, count: usize) {
        let end = self.code.len() + count;
        self.code.extend_from_slice(&bytes.to_le_bytes());
        self.code.truncate(end);
    }

    fn long(&mut self, value: i32) {
        self.code.extend_from_slice(&value.to_le_bytes());
    }

    /// Writes the ModRM byte and what follows it.
    fn modrm(&mut self, reg: u8, rm: Rm, trailing: usize) {
        let Operand { bits, length, .. } = Operand::new(reg, rm, true);
        if let Rm::Mem(Mem::Pool(index)) = rm {
            self.pool_operand(1, trailing, index);
        }
        self.bytes(bits.into(), length);
    }

    /// Notes that the next instruction has a displacement to the pool after `before` bytes, and `trailing` after it.
    #[inline]
    fn pool_operand(&mut self, before: usize, trailing: usize, index: u32) {
        let at = self.code.len() + before;
        self.pooled.push((at, at + 4 + trailing, index));
    }
}

/// The ModRM byte and what follows it. High bits of registers belong into a prefix.
struct Operand {
    bits: u64,
    /// Bytes.
    length: usize,
    /// The registers that are part of it, 0 if there is none.
    base: u8,
    index: u8,
    /// Whether the index is a vector of lanes.
    lanes: bool,
}

impl Operand {
    /// `short` allows 8-bit displacements.
    #[inline]
    fn new(reg: u8, rm: Rm, short: bool) -> Operand {
        let reg = (reg & 7) << 3;
        let (base, index, shift, disp, lanes) = match rm {
            Rm::Reg(r) => {
                let bits = u64::from(0xc0 | reg | (r & 7));
                return Operand { bits, length: 1, base: r, index: 0, lanes: false };
            }
            Rm::Mem(Mem::Pool(_)) => {
                return Operand { bits: u64::from(reg | 5), length: 5, base: 0, index: 0, lanes: false };
            }
            Rm::Mem(Mem::Base(base, disp)) if base.0 & 7 != 4 => {
                let (mode, length) = Operand::mode(base, disp, short);
                let bits = u64::from(mode << 6 | reg | (base.0 & 7)) | u64::from(disp as u32) << 8;
                return Operand { bits, length: 1 + length, base: base.0, index: 0, lanes: false };
            }
            // No index, written as the stack pointer.
            Rm::Mem(Mem::Base(base, disp)) => (base, 4, 0, disp, false),
            Rm::Mem(Mem::Indexed(base, index, shift, disp)) => (base, index.0, shift, disp, false),
            Rm::Mem(Mem::Lanes(base, index, shift)) => (base, index.0, shift, 0, true),
        };
        let (mode, length) = Operand::mode(base, disp, short);
        let second = shift << 6 | (index & 7) << 3 | (base.0 & 7);
        let first = u64::from(mode << 6 | reg | 4) | u64::from(second) << 8;
        let bits = first | u64::from(disp as u32) << 16;
        Operand { bits, length: 2 + length, base: base.0, index, lanes }
    }

    /// The addressing mode, and how many bytes of displacement it has.
    #[inline]
    fn mode(base: Gpr, disp: i32, short: bool) -> (u8, usize) {
        match disp {
            0 if base.0 & 7 != 5 => (0, 0),
            -128..=127 if short => (1, 1),
            _ => (2, 4),
        }
    }
}

#[cfg(test)]
mod tests;
