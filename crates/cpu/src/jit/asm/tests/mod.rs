//! Every row of the table against an independent disassembler.

mod evex;

use super::vector::*;
use super::{Assembler, Condition, Gpr, Mem, Rm, Vec};
use expect_test::{Expect, expect};
use iced_x86::{Decoder, DecoderOptions, Formatter, NasmFormatter};

fn listing(evex: bool, write: impl FnOnce(&mut Assembler)) -> String {
    let mut asm = Assembler::default();
    asm.begin(evex);
    write(&mut asm);
    let end = asm.position();
    asm.finish();
    let mut decoder = Decoder::with_ip(64, &asm.code()[..end], 0, DecoderOptions::NONE);
    let mut formatter = NasmFormatter::new();
    let mut out = String::new();
    while decoder.can_decode() {
        let instruction = decoder.decode();
        let mut line = String::new();
        formatter.format(&instruction, &mut line);
        out += &line;
        out.push('\n');
    }
    out
}

pub(super) fn check(evex: bool, write: impl FnOnce(&mut Assembler), expected: Expect) {
    expected.assert_eq(&listing(evex, write));
}

#[test]
fn integers() {
    check(
        false,
        |a| {
            a.mov(Gpr::R15, Gpr::RDI);
            a.load(Gpr::RAX, Mem::Base(Gpr::R12, 8));
            a.load(Gpr::RAX, Mem::Base(Gpr::R13, 0));
            a.store(Mem::Indexed(Gpr::RBP, Gpr::R9, 3, 4096), Gpr::R11);
            let constant = a.splat(1);
            a.lea(Gpr::RCX, constant);
            a.mov_imm(Gpr::R8, -5);
            a.mov_imm(Gpr::R8, 1 << 40);
            a.store_imm(Mem::Base(Gpr::R12, 16), 7);
            a.add(Gpr::RAX, Rm::Reg(9));
            a.sub(Gpr::RAX, Mem::Base(Gpr::RDI, 300).into());
            a.and(Gpr::R10, Rm::Reg(3));
            a.add_imm(Rm::Reg(1), 1000);
            a.sub_imm(Mem::Base(Gpr::R13, 24).into(), 1);
            a.cmp_imm(Rm::Reg(10), 8);
            a.cmp(Gpr::RCX, Mem::Base(Gpr::R13, 40).into());
            a.imul_imm(Gpr::RDX, Mem::Base(Gpr::R13, 48).into(), 4096);
            a.imul(Gpr::RDX, Rm::Reg(12));
            a.shl(Gpr::R9, 3);
            a.cmov(Condition::Above, Gpr::RAX, Rm::Reg(2));
            a.load_byte(Gpr::RAX, Mem::Base(Gpr::R9, 1));
            a.load_half(Gpr::R10, Mem::Indexed(Gpr::RAX, Gpr::RCX, 1, 0));
            a.and_imm(Rm::Reg(0), 31);
            a.neg(Gpr::R9);
            a.sign_extend(Gpr::RSI);
            a.prefetch(Mem::Indexed(Gpr::RBP, Gpr::RCX, 2, 4096), false);
            a.prefetch(Mem::Indexed(Gpr::R9, Gpr::RCX, 2, 4096), true);
            a.push(Gpr::R12);
            a.pop(Gpr::RBX);
            let top = a.here();
            a.jump_if(Condition::Less, top);
            a.jump(top);
            a.ret();
        },
        expect![[r#"
            mov r15,rdi
            mov rax,[r12+8]
            mov rax,[r13]
            mov [rbp+r9*8+1000h],r11
            lea rcx,[rel 0C0h]
            mov r8,0FFFFFFFFFFFFFFFBh
            mov r8,10000000000h
            mov qword [r12+10h],7
            add rax,r9
            sub rax,[rdi+12Ch]
            and r10,rbx
            add rcx,3E8h
            sub qword [r13+18h],1
            cmp r10,8
            cmp rcx,[r13+28h]
            imul rdx,[r13+30h],1000h
            imul rdx,r12
            shl r9,3
            cmovg rax,rdx
            movzx rax,byte [r9+1]
            movzx r10,word [rax+rcx*2]
            and rax,1Fh
            neg r9
            movsxd rsi,esi
            prefetcht0 [rbp+rcx*4+1000h]
            prefetchw [r9+rcx*4+1000h]
            push r12
            pop rbx
            jl near 0000000000000093h
            jmp 0000000000000093h
            ret
        "#]],
    );
}

/// Instructions of every shape.
fn shapes(a: &mut Assembler, length: Length, high: u8) {
    let (x, y, z) = (Vec(high), Vec(high - 3), Vec(7));
    let far = Mem::Indexed(Gpr::R9, Gpr::RCX, 2, 64);
    for lane in 0..2 {
        for op in [ADD, MUL, SUB, MIN, DIV, MAX, AND, AND_NOT, OR, XOR, FMA_213, FMA_231] {
            a.v(op[lane], length, x, y, z);
        }
        for op in [ADD_INT, SUB_INT, SHIFT_LEFT, SHIFT_RIGHT] {
            a.v(op[lane], length, z, x, far);
        }
        for op in [LOAD, SQRT, BROADCAST] {
            a.v1(op[lane], length, x, Mem::Base(Gpr::RBP, 0));
        }
        a.v1(STORE[lane], length, x, Mem::Base(Gpr::R12, 64));
        a.v1(LOAD_ONE[lane], Length::L128, x, Mem::Base(Gpr::R12, 64));
        a.v1(STORE_ONE[lane], Length::L128, x, far);
        a.vi(ROUND[lane], length, x, Vec(0), y, 8);
        a.shift(SHIFT_LEFT_BY[lane], length, x, y, 23);
        a.shift(SHIFT_RIGHT_BY[lane], length, x, y, 9);
        a.vi(EXTRACT[lane], Length::L128, x, Vec(0), far, 1);
    }
    a.v(MUL_INT[0], length, x, y, z);
    a.v(MUL_LOW_HALVES, length, x, y, z);
    for op in [
        MIN_INT[0],
        MAX_INT[0],
        MIN_UNSIGNED,
        MAX_UNSIGNED,
        PACK_SIGNED,
        PACK_UNSIGNED,
        PACK_SIGNED_BYTES,
        PACK_UNSIGNED_BYTES,
    ] {
        a.v(op, length, x, y, z);
    }
    a.v1(ABS_INT[0], length, x, y);
    a.shift(SHIFT_RIGHT_SIGNED_BY, length, x, y, 31);
    a.v(SHIFT_RIGHT_SIGNED[0], length, x, y, z);
    for op in [
        F32_TO_F64,
        I32_TO_F64,
        ZERO_EXTEND,
        SIGN_EXTEND,
        ZERO_EXTEND_BYTES[0],
        ZERO_EXTEND_BYTES[1],
        ZERO_EXTEND_HALVES,
        F16_TO_F32,
    ] {
        a.v1(op, length, x, far);
    }
    for op in [F64_TO_F32, I32_TO_F32, F32_TO_I32, F64_TO_I32] {
        a.v1(op, length, x, y);
    }
    a.vi(F32_TO_F16, length, x, Vec(0), far, 0);
    a.vi(SHUFFLE, length, x, y, z, 0x88);
    a.vi(SHUFFLE_INT, length, x, Vec(0), z, 0x4e);
    a.move_in(x, Gpr::R10);
    a.move_out(Gpr::RDX, x);
    a.vi(EXTRACT_BYTE, Length::L128, x, Vec(0), far, 3);
    a.vi(EXTRACT_HALF, Length::L128, x, Vec(0), far, 3);
    a.vi(INSERT_BYTE, Length::L128, x, y, far, 3);
    a.vi(INSERT_HALF, Length::L128, x, y, far, 3);
    let constant = a.constant([1; super::POOLED]);
    a.v(ADD[0], length, x, y, constant);
    a.vi(ROUND[0], length, x, Vec(0), constant, 1);
}

#[test]
fn vex() {
    check(
        false,
        |a| {
            shapes(a, Length::L256, 15);
            let (x, y, z) = (Vec(15), Vec(12), Vec(7));
            for lane in 0..2 {
                a.vi(COMPARE[lane], Length::L256, x, y, z, 1);
                a.v(EQUAL_INT[lane], Length::L256, x, y, z);
                a.v(GREATER_INT[lane], Length::L256, x, y, z);
                a.blend(BLEND[lane], Length::L256, x, y, z, Vec(14));
                a.v(MASKED_LOAD[lane], Length::L256, x, y, Mem::Base(Gpr::RAX, 32));
                a.v(MASKED_STORE[lane], Length::L256, x, y, Mem::Base(Gpr::RAX, 32));
                a.v(GATHER_BY_32[lane], Length::L256, x, y, Mem::Lanes(Gpr::R8, Vec(9), 2));
                a.v(GATHER_BY_64[lane], Length::L256, x, y, Mem::Lanes(Gpr::R8, Vec(9), 3));
            }
            a.vi(EXTRACT_128, Length::L256, x, Vec(0), y, 1);
            a.zero_upper();
        },
        expect![[r#"
            vaddps ymm15,ymm12,ymm7
            vmulps ymm15,ymm12,ymm7
            vsubps ymm15,ymm12,ymm7
            vminps ymm15,ymm12,ymm7
            vdivps ymm15,ymm12,ymm7
            vmaxps ymm15,ymm12,ymm7
            vandps ymm15,ymm12,ymm7
            vandnps ymm15,ymm12,ymm7
            vorps ymm15,ymm12,ymm7
            vxorps ymm15,ymm12,ymm7
            vfmadd213ps ymm15,ymm12,ymm7
            vfmadd231ps ymm15,ymm12,ymm7
            vpaddd ymm7,ymm15,[r9+rcx*4+40h]
            vpsubd ymm7,ymm15,[r9+rcx*4+40h]
            vpsllvd ymm7,ymm15,[r9+rcx*4+40h]
            vpsrlvd ymm7,ymm15,[r9+rcx*4+40h]
            vmovups ymm15,[rbp]
            vsqrtps ymm15,[rbp]
            vpbroadcastd ymm15,[rbp]
            vmovups [r12+40h],ymm15
            vmovss xmm15,[r12+40h]
            vmovss [r9+rcx*4+40h],xmm15
            vroundps ymm15,ymm12,8
            vpslld ymm15,ymm12,17h
            vpsrld ymm15,ymm12,9
            vpextrd [r9+rcx*4+40h],xmm15,1
            vaddpd ymm15,ymm12,ymm7
            vmulpd ymm15,ymm12,ymm7
            vsubpd ymm15,ymm12,ymm7
            vminpd ymm15,ymm12,ymm7
            vdivpd ymm15,ymm12,ymm7
            vmaxpd ymm15,ymm12,ymm7
            vandpd ymm15,ymm12,ymm7
            vandnpd ymm15,ymm12,ymm7
            vorpd ymm15,ymm12,ymm7
            vxorpd ymm15,ymm12,ymm7
            vfmadd213pd ymm15,ymm12,ymm7
            vfmadd231pd ymm15,ymm12,ymm7
            vpaddq ymm7,ymm15,[r9+rcx*4+40h]
            vpsubq ymm7,ymm15,[r9+rcx*4+40h]
            vpsllvq ymm7,ymm15,[r9+rcx*4+40h]
            vpsrlvq ymm7,ymm15,[r9+rcx*4+40h]
            vmovupd ymm15,[rbp]
            vsqrtpd ymm15,[rbp]
            vpbroadcastq ymm15,[rbp]
            vmovupd [r12+40h],ymm15
            vmovsd xmm15,[r12+40h]
            vmovsd [r9+rcx*4+40h],xmm15
            vroundpd ymm15,ymm12,8
            vpsllq ymm15,ymm12,17h
            vpsrlq ymm15,ymm12,9
            vpextrq [r9+rcx*4+40h],xmm15,1
            vpmulld ymm15,ymm12,ymm7
            vpmuludq ymm15,ymm12,ymm7
            vpminsd ymm15,ymm12,ymm7
            vpmaxsd ymm15,ymm12,ymm7
            vpminud ymm15,ymm12,ymm7
            vpmaxud ymm15,ymm12,ymm7
            vpackssdw ymm15,ymm12,ymm7
            vpackusdw ymm15,ymm12,ymm7
            vpacksswb ymm15,ymm12,ymm7
            vpackuswb ymm15,ymm12,ymm7
            vpabsd ymm15,ymm12
            vpsrad ymm15,ymm12,1Fh
            vpsravd ymm15,ymm12,ymm7
            vcvtps2pd ymm15,[r9+rcx*4+40h]
            vcvtdq2pd ymm15,[r9+rcx*4+40h]
            vpmovzxdq ymm15,[r9+rcx*4+40h]
            vpmovsxdq ymm15,[r9+rcx*4+40h]
            vpmovzxbd ymm15,[r9+rcx*4+40h]
            vpmovzxbq ymm15,[r9+rcx*4+40h]
            vpmovzxwd ymm15,[r9+rcx*4+40h]
            vcvtph2ps ymm15,[r9+rcx*4+40h]
            vcvtpd2ps xmm15,ymm12
            vcvtdq2ps ymm15,ymm12
            vcvttps2dq ymm15,ymm12
            vcvttpd2dq xmm15,ymm12
            vcvtps2ph [r9+rcx*4+40h],ymm15,0
            vshufps ymm15,ymm12,ymm7,88h
            vpshufd ymm15,ymm7,4Eh
            vmovq xmm15,r10
            vmovq rdx,xmm15
            vpextrb [r9+rcx*4+40h],xmm15,3
            vpextrw [r9+rcx*4+40h],xmm15,3
            vpinsrb xmm15,xmm12,[r9+rcx*4+40h],3
            vpinsrw xmm15,xmm12,[r9+rcx*4+40h],3
            vaddps ymm15,ymm12,[rel 280h]
            vroundps ymm15,[rel 280h],1
            vcmpltps ymm15,ymm12,ymm7
            vpcmpeqd ymm15,ymm12,ymm7
            vpcmpgtd ymm15,ymm12,ymm7
            vblendvps ymm15,ymm12,ymm7,ymm14
            vmaskmovps ymm15,ymm12,[rax+20h]
            vmaskmovps [rax+20h],ymm12,ymm15
            vgatherdps ymm15,[r8+ymm9*4],ymm12
            vgatherqps xmm15,[r8+ymm9*8],xmm12
            vcmpltpd ymm15,ymm12,ymm7
            vpcmpeqq ymm15,ymm12,ymm7
            vpcmpgtq ymm15,ymm12,ymm7
            vblendvpd ymm15,ymm12,ymm7,ymm14
            vmaskmovpd ymm15,ymm12,[rax+20h]
            vmaskmovpd [rax+20h],ymm12,ymm15
            vgatherdpd ymm15,[r8+xmm9*4],ymm12
            vgatherqpd ymm15,[r8+ymm9*8],ymm12
            vextracti128 xmm12,ymm15,1
            vzeroupper
        "#]],
    );
}
