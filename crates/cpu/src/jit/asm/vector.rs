//! Vector instructions: two encoders, and a table of what they encode.

mod encode;

use super::{Assembler, Gpr, Mem, Rm, UNUSED, Vec};

/// Bytes of a vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(in crate::jit) enum Length {
    L128 = 0,
    L256 = 1,
    L512 = 2,
}

impl Length {
    /// The shortest vector that holds that many bytes.
    pub(in crate::jit) fn of(bytes: usize) -> Length {
        match bytes {
            0..=16 => Length::L128,
            17..=32 => Length::L256,
            _ => Length::L512,
        }
    }
}

/// A row of the processor's opcode map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::jit) struct VectorOp {
    /// The three-byte VEX prefix, of registers 0 and the shortest vectors, and the opcode after it.
    vex: u32,
    /// The EVEX prefix of the same.
    evex: u32,
    /// Encoded with VEX also where everything else is EVEX: mask registers and instructions on one.
    vex_only: bool,
    /// Which fields are mask registers (AVX-512).
    masks: u8,
    /// Whether the EVEX form can repeat one element in memory in all lanes.
    repeats: bool,
}

/// The lanes that an EVEX instruction writes: those of a mask register; the others are kept or set to zero.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::jit) struct Masked {
    /// 0 means all lanes.
    pub(in crate::jit) by: u8,
    pub(in crate::jit) zero: bool,
}

impl Masked {
    #[inline]
    fn bits(self) -> u8 {
        self.by | u8::from(self.zero) << 7
    }
}

/// What the fields of an instruction are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// Registers and an immediate.
    Plain,
    /// `reg` belongs to the opcode.
    Group,
    /// The immediate names a register.
    Blend,
}

/// An instruction.
#[derive(Clone, Copy, Debug)]
pub(in crate::jit) struct VectorInst {
    pub(in crate::jit) op: VectorOp,
    pub(in crate::jit) rm: Rm,
    pub(in crate::jit) parts: Parts,
}

/// What there is to an instruction besides its opcode and its last operand. It travels in a processor register: what was
/// stored in parts is slow to load as a whole.
#[derive(Clone, Copy, Debug)]
#[repr(align(8))]
pub(in crate::jit) struct Parts {
    pub(in crate::jit) length: Length,
    /// The result, or what is stored.
    pub(in crate::jit) reg: Vec,
    a: Vec,
    /// As the last byte of an EVEX prefix has it.
    mask: u8,
    immediate: Option<u8>,
    form: Form,
}

/// An instruction of one copy: where it stands, and what more there is to know.
#[derive(Clone, Copy, Debug)]
pub(in crate::jit) struct Recorded {
    begin: u32,
    end: u32,
    /// Of the instructions that address lanes, how many stand before it; [`NOTHING`] of others.
    pub(in crate::jit) lanes: u32,
    /// Its constant, or [`NOTHING`].
    pooled: u32,
    /// Bytes after the constant's place.
    trailing: u8,
}

/// In a [`Recorded`]: there is none.
pub(in crate::jit) const NOTHING: u32 = u32::MAX;

impl VectorInst {
    /// The same instruction for some lanes (AVX-512).
    pub(in crate::jit) fn masked(self, mask: Masked) -> VectorInst {
        VectorInst { parts: Parts { mask: mask.bits(), ..self.parts }, ..self }
    }
}

impl Assembler {
    /// dst = op(a, b); instructions of one operand take it as `b`, with [`UNUSED`] as `a`.
    #[inline]
    pub(in crate::jit) fn v(&mut self, op: VectorOp, length: Length, dst: Vec, a: Vec, b: impl Into<Rm>) {
        self.vm(op, length, dst, a, b, Masked::default());
    }

    /// The same with an immediate operand.
    #[inline]
    pub(in crate::jit) fn vi(
        &mut self,
        op: VectorOp,
        length: Length,
        dst: Vec,
        a: Vec,
        b: impl Into<Rm>,
        immediate: u8,
    ) {
        let (mask, immediate) = (0, Some(immediate));
        self.vector(op, b.into(), Parts { length, reg: dst, a, mask, immediate, form: Form::Plain });
    }

    /// dst = op(b)
    #[inline]
    pub(in crate::jit) fn v1(&mut self, op: VectorOp, length: Length, dst: Vec, b: impl Into<Rm>) {
        self.v(op, length, dst, UNUSED, b);
    }

    /// As [`Assembler::v`], for some lanes.
    #[inline]
    pub(in crate::jit) fn vm(
        &mut self,
        op: VectorOp,
        length: Length,
        dst: Vec,
        a: Vec,
        b: impl Into<Rm>,
        mask: Masked,
    ) {
        let (mask, immediate) = (mask.bits(), None);
        self.vector(op, b.into(), Parts { length, reg: dst, a, mask, immediate, form: Form::Plain });
    }

    /// A shift of every lane by a constant: one of the `SHIFT` opcodes with its group number.
    pub(in crate::jit) fn shift(&mut self, op: (VectorOp, u8), length: Length, dst: Vec, x: Vec, bits: u8) {
        let (reg, mask, immediate) = (Vec(op.1), 0, Some(bits));
        self.vector(op.0, x.into(), Parts { length, reg, a: dst, mask, immediate, form: Form::Group });
    }

    /// Chooses `b` where the mask in a vector register is set, else `a`; VEX only.
    pub(in crate::jit) fn blend(
        &mut self,
        op: VectorOp,
        length: Length,
        dst: Vec,
        a: Vec,
        b: impl Into<Rm>,
        mask: Vec,
    ) {
        let (mask, immediate) = (0, Some(mask.0 << 4));
        self.vector(op, b.into(), Parts { length, reg: dst, a, mask, immediate, form: Form::Blend });
    }

    /// A general-purpose register moved to the first lane of `dst`.
    pub(in crate::jit) fn move_in(&mut self, dst: Vec, from: Gpr) {
        self.v1(MOVQ_TO, Length::L128, dst, Rm::Reg(from.0));
    }

    /// The first lane of `x` moved to a general-purpose register.
    pub(in crate::jit) fn move_out(&mut self, to: Gpr, x: Vec) {
        self.v(MOVQ_FROM, Length::L128, x, UNUSED, Rm::Reg(to.0));
    }

    /// to = the low `count` bits of `x`, both 32-bit; BMI2.
    pub(in crate::jit) fn low_bits(&mut self, to: Gpr, x: Gpr, count: Gpr) {
        self.v(BZHI, Length::L128, Vec(to.0), Vec(count.0), Rm::Reg(x.0));
    }

    /// Leaves the upper halves of all vector registers zero, as code compiled for shorter vectors needs it.
    pub(in crate::jit) fn zero_upper(&mut self) {
        [0xc5, 0xf8, 0x77].into_iter().for_each(|b| self.byte(b));
    }

    /// Writes an instruction; while copies are stamped, that of every copy.
    fn vector(&mut self, mut op: VectorOp, rm: Rm, parts: Parts) {
        // Of a constant that is only loaded, no more than its repeated bytes need to lie in memory.
        if op.vex == LOAD[0].vex
            && let Rm::Mem(Mem::Pool(index)) = rm
            && parts.mask == 0
            && self.pool.repeats(index)
        {
            op = BROADCAST[1];
        }
        let inst = VectorInst { op, rm, parts };
        match self.stamp {
            Some(_) => self.copies(inst),
            None => self.encode(inst),
        }
    }
}

/// The W bit of a prefix.
const WIDE: u32 = 1 << 23;

/// Fields of an instruction, for [`VectorOp::masks`].
const DST: u8 = 1;
const A: u8 = 2;
const B: u8 = 4;

/// A row by its implied prefix (none, 66, F3, F2), its map (0F, 0F 38, 0F 3A), its opcode, and W in VEX and in EVEX.
const fn op(prefix: u8, map: u8, opcode: u8, vex_wide: bool, evex_wide: bool) -> VectorOp {
    // Register fields are stored inverted: all ones.
    let both = (map as u32) << 8 | 7 << 13 | 15 << 19 | (prefix as u32) << 16;
    let vex = both | 0xc4 | if vex_wide { WIDE } else { 0 } | (opcode as u32) << 24;
    let evex = both | 0x62 | 1 << 12 | 1 << 18 | 1 << 27 | if evex_wide { WIDE } else { 0 };
    VectorOp { vex, evex, vex_only: false, masks: 0, repeats: false }
}

/// Only the VEX form exists or is wanted.
const fn vex(prefix: u8, map: u8, opcode: u8, wide: bool) -> VectorOp {
    VectorOp { vex_only: true, ..op(prefix, map, opcode, wide, wide) }
}

/// The same with mask registers in some fields.
const fn on_masks(op: VectorOp, masks: u8) -> VectorOp {
    VectorOp { masks, ..op }
}

const fn to_masks([single, double]: [VectorOp; 2]) -> [VectorOp; 2] {
    [on_masks(single, DST), on_masks(double, DST)]
}

/// Siblings whose EVEX forms can repeat one element in memory in all lanes.
const fn repeats([single, double]: [VectorOp; 2]) -> [VectorOp; 2] {
    [VectorOp { repeats: true, ..single }, VectorOp { repeats: true, ..double }]
}

/// An instruction on `f32` and its sibling on `f64`, which differ in prefix and W.
const fn floats(opcode: u8) -> [VectorOp; 2] {
    [op(0, 1, opcode, false, false), op(1, 1, opcode, false, true)]
}

/// Siblings for 32- and 64-bit lanes in the map 0F 38, told apart by W.
const fn lanes38(opcode: u8) -> [VectorOp; 2] {
    [op(1, 2, opcode, false, false), op(1, 2, opcode, true, true)]
}

macro_rules! table {
    ($($name:ident: $type:ty = $value:expr;)*) => {$(pub(in crate::jit) const $name: $type = $value;)*};
}

type Pair = [VectorOp; 2];

// Pairs are for 32-bit and 64-bit lanes.
table! {
    LOAD: Pair = floats(0x10);
    STORE: Pair = floats(0x11);
    LOAD_ONE: Pair = [op(2, 1, 0x10, false, false), op(3, 1, 0x10, false, true)];
    STORE_ONE: Pair = [op(2, 1, 0x11, false, false), op(3, 1, 0x11, false, true)];
    LOAD_BYTES: VectorOp = op(3, 1, 0x6f, false, false);
    STORE_BYTES: VectorOp = op(3, 1, 0x7f, false, false);
    STORE_HALVES: VectorOp = op(3, 1, 0x7f, true, true);
    MASKED_LOAD: Pair = [op(1, 2, 0x2c, false, false), op(1, 2, 0x2d, false, false)];
    MASKED_STORE: Pair = [op(1, 2, 0x2e, false, false), op(1, 2, 0x2f, false, false)];
    MOVQ_TO: VectorOp = op(1, 1, 0x6e, true, true);
    MOVQ_FROM: VectorOp = op(1, 1, 0x7e, true, true);
    BROADCAST: Pair = [op(1, 2, 0x58, false, false), op(1, 2, 0x59, false, true)];
    BROADCAST_BYTE: VectorOp = op(1, 2, 0x78, false, false);

    ADD: Pair = repeats(floats(0x58));
    MUL: Pair = repeats(floats(0x59));
    SUB: Pair = repeats(floats(0x5c));
    MIN: Pair = repeats(floats(0x5d));
    DIV: Pair = repeats(floats(0x5e));
    MAX: Pair = repeats(floats(0x5f));
    // AVX-512: an extreme of two numbers, of zeros by their sign; where one of them is NaN, the other.
    RANGE: Pair = [op(1, 3, 0x50, false, false), op(1, 3, 0x50, true, true)];
    SQRT: Pair = repeats(floats(0x51));
    AND: Pair = repeats(floats(0x54));
    AND_NOT: Pair = repeats(floats(0x55));
    OR: Pair = repeats(floats(0x56));
    XOR: Pair = repeats(floats(0x57));
    COMPARE: Pair = repeats(to_masks(floats(0xc2)));
    ROUND: Pair = [op(1, 3, 0x08, false, false), op(1, 3, 0x09, false, true)];
    FMA_213: Pair = repeats(lanes38(0xa8));
    FMA_231: Pair = repeats(lanes38(0xb8));
    BLEND: Pair = [vex(1, 3, 0x4a, false), vex(1, 3, 0x4b, false)];
    BLEND_MASK: Pair = repeats(lanes38(0x65));

    ADD_INT: Pair = repeats([op(1, 1, 0xfe, false, false), op(1, 1, 0xd4, false, true)]);
    SUB_INT: Pair = repeats([op(1, 1, 0xfa, false, false), op(1, 1, 0xfb, false, true)]);
    MUL_INT: Pair = lanes38(0x40);
    MUL_LOW_HALVES: VectorOp = op(1, 1, 0xf4, false, true);
    MIN_INT: Pair = [op(1, 2, 0x39, false, false), op(1, 2, 0x39, true, true)];
    MAX_INT: Pair = [op(1, 2, 0x3d, false, false), op(1, 2, 0x3d, true, true)];
    MIN_UNSIGNED: VectorOp = op(1, 2, 0x3b, false, false);
    MAX_UNSIGNED: VectorOp = op(1, 2, 0x3f, false, false);
    ABS_INT: Pair = [op(1, 2, 0x1e, false, false), op(1, 2, 0x1f, true, true)];
    EQUAL_INT: Pair = to_masks([op(1, 1, 0x76, false, false), op(1, 2, 0x29, false, true)]);
    GREATER_INT: Pair = to_masks([op(1, 1, 0x66, false, false), op(1, 2, 0x37, false, true)]);
    COMPARE_INT: Pair = to_masks([op(1, 3, 0x1f, false, false), op(1, 3, 0x1f, true, true)]);
    COMPARE_UNSIGNED: VectorOp = on_masks(op(1, 3, 0x1e, false, false), DST);
    TEST: Pair = to_masks(lanes38(0x27));
    TEST_BYTES: VectorOp = on_masks(op(1, 2, 0x26, false, false), DST);
    SHIFT_LEFT: Pair = lanes38(0x47);
    SHIFT_RIGHT: Pair = lanes38(0x45);
    SHIFT_RIGHT_SIGNED: Pair = lanes38(0x46);

    ZERO_EXTEND_BYTES: Pair = [op(1, 2, 0x31, false, false), op(1, 2, 0x32, false, false)];
    ZERO_EXTEND_HALVES: VectorOp = op(1, 2, 0x33, false, false);
    ZERO_EXTEND: VectorOp = op(1, 2, 0x35, false, false);
    SIGN_EXTEND: VectorOp = op(1, 2, 0x25, false, false);
    NARROW: VectorOp = op(2, 2, 0x35, false, false);
    NARROW_TO_BYTES: Pair = [op(2, 2, 0x31, false, false), op(2, 2, 0x32, false, false)];
    NARROW_TO_HALVES: VectorOp = op(2, 2, 0x33, false, false);
    MASK_TO_LANES: Pair = [on_masks(op(2, 2, 0x38, false, false), B), on_masks(op(2, 2, 0x38, true, true), B)];
    MASK_TO_BYTES: VectorOp = on_masks(op(2, 2, 0x28, false, false), B);
    EXTRACT_128: VectorOp = op(1, 3, 0x39, false, false);
    EXTRACT_256: VectorOp = op(1, 3, 0x3b, true, true);
    SHUFFLE: VectorOp = op(0, 1, 0xc6, false, false);
    SHUFFLE_INT: VectorOp = op(1, 1, 0x70, false, false);
    PACK_SIGNED: VectorOp = op(1, 1, 0x6b, false, false);
    PACK_SIGNED_BYTES: VectorOp = op(1, 1, 0x63, false, false);
    PACK_UNSIGNED: VectorOp = op(1, 2, 0x2b, false, false);
    PACK_UNSIGNED_BYTES: VectorOp = op(1, 1, 0x67, false, false);
    EXTRACT: Pair = [op(1, 3, 0x16, false, false), op(1, 3, 0x16, true, true)];
    EXTRACT_BYTE: VectorOp = op(1, 3, 0x14, false, false);
    EXTRACT_HALF: VectorOp = op(1, 3, 0x15, false, false);
    INSERT_BYTE: VectorOp = op(1, 3, 0x20, false, false);
    INSERT_HALF: VectorOp = op(1, 1, 0xc4, false, false);

    F32_TO_F64: VectorOp = op(0, 1, 0x5a, false, false);
    F64_TO_F32: VectorOp = op(1, 1, 0x5a, false, true);
    I32_TO_F32: VectorOp = op(0, 1, 0x5b, false, false);
    I32_TO_F64: VectorOp = op(2, 1, 0xe6, false, false);
    F32_TO_I32: VectorOp = op(2, 1, 0x5b, false, false);
    F64_TO_I32: VectorOp = op(1, 1, 0xe6, false, true);
    U32_TO_F32: VectorOp = op(3, 1, 0x7a, false, false);
    U32_TO_F64: VectorOp = op(2, 1, 0x7a, false, false);
    I64_TO_F32: VectorOp = op(0, 1, 0x5b, true, true);
    I64_TO_F64: VectorOp = op(2, 1, 0xe6, true, true);
    F32_TO_I64: VectorOp = op(1, 1, 0x7a, false, false);
    F64_TO_I64: VectorOp = op(1, 1, 0x7a, true, true);
    F32_TO_U32: VectorOp = op(0, 1, 0x78, false, false);
    F64_TO_U32: VectorOp = op(0, 1, 0x78, true, true);
    F16_TO_F32: VectorOp = op(1, 2, 0x13, false, false);
    F32_TO_F16: VectorOp = op(1, 3, 0x1d, false, false);

    GATHER_BY_32: Pair = lanes38(0x92);
    GATHER_BY_64: Pair = lanes38(0x93);
    SCATTER_BY_32: Pair = lanes38(0xa2);
    SCATTER_BY_64: Pair = lanes38(0xa3);

    MASK_LOAD: VectorOp = on_masks(vex(0, 1, 0x90, false), DST | A | B);
    MASK_STORE: VectorOp = on_masks(vex(0, 1, 0x91, false), DST | A | B);
    MASK_FROM_GPR: VectorOp = vex(3, 1, 0x92, false);
    MASK_TO_GPR: VectorOp = vex(3, 1, 0x93, false);
    MASK_AND: VectorOp = on_masks(vex(0, 1, 0x41, false), DST | A | B);
    MASK_AND_NOT: VectorOp = on_masks(vex(0, 1, 0x42, false), DST | A | B);
    // Sets the flags by the bits of either.
    MASK_TEST: VectorOp = on_masks(vex(0, 1, 0x98, false), DST | B);
    MASK_OR: VectorOp = on_masks(vex(0, 1, 0x45, false), DST | A | B);
    MASK_XOR: VectorOp = on_masks(vex(0, 1, 0x47, false), DST | A | B);
    MASK_XNOR: VectorOp = on_masks(vex(0, 1, 0x46, false), DST | A | B);
    MASK_NOT: VectorOp = on_masks(vex(0, 1, 0x44, false), DST | A | B);
    BZHI: VectorOp = vex(0, 2, 0xf5, false);

    SHIFT_LEFT_BY: [(VectorOp, u8); 2] =
        [(op(1, 1, 0x72, false, false), 6), (op(1, 1, 0x73, false, true), 6)];
    SHIFT_RIGHT_BY: [(VectorOp, u8); 2] =
        [(op(1, 1, 0x72, false, false), 2), (op(1, 1, 0x73, false, true), 2)];
    SHIFT_RIGHT_SIGNED_BY: (VectorOp, u8) = (op(1, 1, 0x72, false, false), 4);
}
