//! The two encoders.

use super::super::{Assembler, Mem, Operand, Rm, Stamp, Vec};
use super::{A, B, BROADCAST, DST, Form, NOTHING, Parts, Recorded, VectorInst, WIDE};

impl VectorInst {
    /// The prefix and the opcode without what depends on registers and memory.
    #[inline]
    fn fixed(self, evex: bool) -> u64 {
        let VectorInst { op, parts: Parts { length, mask, .. }, .. } = self;
        if !evex {
            return u64::from(op.vex | (length as u32) << 18);
        }
        let prefix = op.evex | (length as u32) << 29 | u32::from(mask) << 24;
        u64::from(prefix) | u64::from(op.vex >> 24) << 32
    }
}

impl Assembler {
    /// Writes an instruction for every copy, and notes that of the first.
    #[inline]
    pub(super) fn copies(&mut self, inst: VectorInst) {
        let VectorInst { op, rm, parts } = inst;
        let evex = self.evex && !op.vex_only;
        let fixed = inst.fixed(evex);
        let begin = self.code.len();
        self.registers(fixed, evex, inst);
        let end = self.code.len();
        let Some(Stamp { copies, .. }) = self.stamp else { return };
        for copy in 1..copies {
            let Some(stamp) = &self.stamp else { return };
            let masks = if self.evex { op.masks } else { 0 };
            let moved = |field: u8, r: Vec| match masks & field {
                0 => stamp.vector(r, copy),
                _ => stamp.mask(r, copy),
            };
            let reg = if parts.form == Form::Group { parts.reg } else { moved(DST, parts.reg) };
            let rm = match rm {
                Rm::Reg(r) => Rm::Reg(moved(B, Vec(r)).0),
                Rm::Mem(mem) => Rm::Mem(stamp.mem(mem, copy)),
            };
            let immediate = match (parts.form, parts.immediate) {
                (Form::Blend, Some(i)) => Some(stamp.vector(Vec(i >> 4), copy).0 << 4),
                (_, immediate) => immediate,
            };
            let by = parts.mask & 7;
            let mask = u64::from(by ^ stamp.mask(Vec(by), copy).0);
            let parts = Parts { reg, a: moved(A, parts.a), immediate, ..parts };
            self.registers(fixed ^ mask << 24, evex, VectorInst { op, rm, parts });
        }
        let (mut lanes, mut pooled) = (NOTHING, NOTHING);
        match rm {
            Rm::Mem(Mem::Indexed(..)) => {
                lanes = self.recorded.lanes.len() as u32;
                self.recorded.lanes.push(inst);
            }
            Rm::Mem(Mem::Pool(index)) => pooled = index,
            _ => {}
        }
        let trailing = u8::from(parts.immediate.is_some());
        let at = |position: usize| (position - self.start) as u32;
        self.recorded.insts.push(Recorded { begin: at(begin), end: at(end), lanes, pooled, trailing });
    }

    /// Writes one instruction.
    #[inline]
    pub(in crate::jit) fn encode(&mut self, inst: VectorInst) {
        let evex = self.evex && !inst.op.vex_only;
        self.registers(inst.fixed(evex), evex, inst);
    }

    /// Writes an instruction of which [`VectorInst::fixed`] gave the rest.
    #[inline(always)]
    fn registers(&mut self, fixed: u64, evex: bool, inst: VectorInst) {
        let VectorInst { op, rm, parts: Parts { reg, a, immediate, .. } } = inst;
        let (fields, mut before) = if evex { (&EVEX, 5) } else { (&VEX, 4) };
        let mut word = fixed ^ fields.reg[usize::from(reg.0 & 63)] ^ fields.a[usize::from(a.0 & 63)];
        let (mut above, rest) = match rm {
            Rm::Reg(r) => {
                word ^= fields.b[usize::from(r & 63)];
                (0, 1)
            }
            Rm::Mem(Mem::Pool(index)) => {
                word ^= 5 << (8 * before);
                let one = op.vex == BROADCAST[1].vex;
                let repeated = evex && op.repeats && self.pool.element(index, op.evex & WIDE != 0);
                if repeated {
                    word |= REPEAT;
                }
                if !one && !repeated {
                    self.pool.needs_all(index);
                }
                (0, 5)
            }
            Rm::Mem(_) => {
                let (bits, length) = memory(rm, evex);
                word ^= bits as u64;
                ((bits >> 64) as u64, length)
            }
        };
        if !evex && word & (WIDE as u64 | MAP_AND_HIGH) == SHORT {
            // Two bytes of prefix where map, index and base have no other bits.
            let first = 0xc5 | word >> 8 & 0x7f00 | word & 0x8000;
            word = first | word >> 24 << 16 | above << 56;
            above >>= 8;
            before = 3;
        }
        let mut count = before + rest;
        if let Rm::Mem(Mem::Pool(index)) = rm {
            self.pool_operand(before + 1, usize::from(immediate.is_some()), index);
        }
        if let Some(immediate) = immediate {
            let immediate = u64::from(immediate);
            match count < 8 {
                true => word |= immediate << (8 * count),
                false => above |= immediate << (8 * (count - 8)),
            }
            count += 1;
        }
        self.bytes(u128::from(word) | u128::from(above) << 64, count);
    }

    /// Writes the instruction of a copy again.
    #[inline]
    pub(in crate::jit) fn encode_again(&mut self, recorded: &Recorded) {
        let Recorded { begin, end, pooled, trailing, .. } = *recorded;
        if pooled != NOTHING {
            let trailing = usize::from(trailing);
            self.pool_operand((end - begin) as usize - 4 - trailing, trailing, pooled);
        }
        let at = |position: u32| self.start + position as usize;
        let range = at(begin)..at(end);
        // Instructions are shorter than this: a copy of known length is a pair of moves.
        match self.code.get(range.start..range.start + MOST_BYTES) {
            Some(bytes) => {
                let bytes: [u8; MOST_BYTES] = bytes.try_into().expect("the slice has this length");
                self.bytes(u128::from_le_bytes(bytes), range.len());
            }
            None => self.code.extend_from_within(range),
        }
    }
}

/// What a place in memory flips in an instruction's prefix, opcode and ModRM, with what follows; the bytes from ModRM on.
fn memory(rm: Rm, evex: bool) -> (u128, usize) {
    // 8-bit displacements of EVEX count vectors or elements, depending on the instruction: longer ones do not.
    let Operand { bits, length, base, index, lanes } = Operand::new(0, rm, !evex);
    let bit = |of: u8, at: u8| u128::from(of >> at & 1);
    let mut all = u128::from(bits) << (if evex { 40 } else { 32 }) | bit(index, 3) << 14 | bit(base, 3) << 13;
    if lanes && evex {
        // The high bit of a lane index register lies where that of `a` would.
        all |= bit(index, 4) << 27;
    }
    (all, length)
}

/// The longest instruction, and one more.
const MOST_BYTES: usize = 16;

/// What the numbers of registers flip in an instruction's prefix, opcode and ModRM.
struct Fields {
    reg: [u64; 64],
    a: [u64; 64],
    b: [u64; 64],
}

static VEX: Fields = Fields::new(false);
static EVEX: Fields = Fields::new(true);

impl Fields {
    /// High bits of registers stand inverted in the prefix.
    const fn new(evex: bool) -> Fields {
        let modrm = if evex { 40 } else { 32 };
        let mut fields = Fields { reg: [0; 64], a: [0; 64], b: [0; 64] };
        let mut i = 0;
        while i < 64 {
            let (low, high, highest) = (i as u64 & 7, i as u64 >> 3 & 1, i as u64 >> 4 & 1);
            fields.reg[i] = high << 15 | low << (modrm + 3);
            fields.a[i] = (i as u64 & 15) << 19;
            fields.b[i] = high << 13 | (0xc0 | low) << modrm;
            if evex {
                fields.reg[i] |= highest << 12;
                fields.a[i] |= highest << 27;
                // Where an index register would have its high bit.
                fields.b[i] |= highest << 14;
            }
            i += 1;
        }
        fields
    }
}

/// In an EVEX prefix: the operand in memory is one element, for all lanes.
const REPEAT: u64 = 1 << 28;
/// The map, and the high bits of index and base.
const MAP_AND_HIGH: u64 = 0x7f00;
/// Of a prefix with a shorter form: the map 0F, and inverted zeros.
const SHORT: u64 = 0x6100;
