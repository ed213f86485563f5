//! Instructions of AVX-512.

use super::{check, shapes};
use crate::jit::asm::vector::*;
use crate::jit::asm::{Gpr, Length, Mem, Rm, Vec};
use expect_test::expect;

#[test]
fn evex() {
    check(
        true,
        |a| {
            shapes(a, Length::L512, 31);
            let (x, y, z) = (Vec(31), Vec(20), Vec(7));
            for lane in 0..2 {
                a.vi(COMPARE[lane], Length::L512, Vec(3), y, z, 1);
                a.vi(COMPARE_INT[lane], Length::L512, Vec(3), y, z, 6);
                a.vm(BLEND_MASK[lane], Length::L512, x, y, z, Masked { by: 5, zero: false });
                a.vm(
                    LOAD[lane],
                    Length::L512,
                    x,
                    Vec(0),
                    Mem::Base(Gpr::RAX, 32),
                    Masked { by: 7, zero: true },
                );
                a.vm(
                    STORE[lane],
                    Length::L512,
                    x,
                    Vec(0),
                    Mem::Base(Gpr::RAX, 32),
                    Masked { by: 7, zero: false },
                );
                a.vm(
                    GATHER_BY_32[lane],
                    Length::L512,
                    x,
                    Vec(0),
                    Mem::Lanes(Gpr::R8, Vec(30), 2),
                    Masked { by: 1, zero: false },
                );
                a.vm(
                    SCATTER_BY_64[lane],
                    Length::L512,
                    x,
                    Vec(0),
                    Mem::Lanes(Gpr::R8, Vec(9), 3),
                    Masked { by: 1, zero: false },
                );
                a.v(TEST[lane], Length::L512, Vec(2), x, y);
            }
            for op in [MUL_INT[1], MIN_INT[1], MAX_INT[1], SHIFT_RIGHT_SIGNED[1]] {
                a.v(op, Length::L512, x, y, z);
            }
            a.v1(ABS_INT[1], Length::L512, x, y);
            a.vi(COMPARE_UNSIGNED, Length::L512, Vec(3), y, z, 1);
            for op in [U32_TO_F32, I64_TO_F64, F64_TO_I64] {
                a.v1(op, Length::L512, x, y);
            }
            for op in [U32_TO_F64, F32_TO_I64] {
                a.v1(op, Length::L512, x, Vec(18));
            }
            a.v1(I64_TO_F32, Length::L512, x, y);
            for op in [NARROW, NARROW_TO_BYTES[0], NARROW_TO_BYTES[1], NARROW_TO_HALVES] {
                a.vm(op, Length::L512, x, Vec(0), Mem::Base(Gpr::RAX, 32), Masked { by: 7, zero: false });
            }
            for op in [LOAD_BYTES, STORE_BYTES, STORE_HALVES] {
                a.vm(op, Length::L128, x, Vec(0), Mem::Base(Gpr::RAX, 32), Masked { by: 7, zero: false });
            }
            a.v(TEST_BYTES, Length::L128, Vec(3), x, x);
            a.v1(MASK_TO_BYTES, Length::L128, x, Vec(3));
            a.v1(MASK_TO_LANES[1], Length::L512, x, Vec(3));
            a.v1(BROADCAST_BYTE, Length::L128, x, Mem::Base(Gpr::RAX, 1));
            a.vi(EXTRACT_256, Length::L512, x, Vec(0), y, 1);
            a.vi(EXTRACT_128, Length::L256, x, Vec(0), y, 1);
            a.v1(MASK_LOAD, Length::L128, Vec(3), Mem::Base(Gpr::RAX, 32));
            a.v1(MASK_LOAD, Length::L128, Vec(3), Vec(5));
            a.v1(MASK_STORE, Length::L128, Vec(3), Mem::Base(Gpr::RAX, 32));
            a.v1(MASK_FROM_GPR, Length::L128, Vec(3), Rm::Reg(0));
            a.v1(MASK_TO_GPR, Length::L128, Vec(0), Rm::Reg(3));
            for op in [MASK_AND, MASK_AND_NOT, MASK_OR, MASK_XOR, MASK_XNOR] {
                a.v(op, Length::L256, Vec(3), Vec(4), Vec(5));
            }
            a.v1(MASK_NOT, Length::L128, Vec(3), Vec(5));
            a.v1(MASK_TEST, Length::L128, Vec(3), Vec(5));
            for op in RANGE {
                a.vi(op, Length::L512, x, y, z, 5);
            }
            a.low_bits(Gpr::RAX, Gpr::RDX, Gpr::RCX);
        },
        expect![[r#"
            vaddps zmm31,zmm28,zmm7
            vmulps zmm31,zmm28,zmm7
            vsubps zmm31,zmm28,zmm7
            vminps zmm31,zmm28,zmm7
            vdivps zmm31,zmm28,zmm7
            vmaxps zmm31,zmm28,zmm7
            vandps zmm31,zmm28,zmm7
            vandnps zmm31,zmm28,zmm7
            vorps zmm31,zmm28,zmm7
            vxorps zmm31,zmm28,zmm7
            vfmadd213ps zmm31,zmm28,zmm7
            vfmadd231ps zmm31,zmm28,zmm7
            vpaddd zmm7,zmm31,[r9+rcx*4+40h]
            vpsubd zmm7,zmm31,[r9+rcx*4+40h]
            vpsllvd zmm7,zmm31,[r9+rcx*4+40h]
            vpsrlvd zmm7,zmm31,[r9+rcx*4+40h]
            vmovups zmm31,[rbp]
            vsqrtps zmm31,[rbp]
            vpbroadcastd zmm31,[rbp]
            vmovups [r12+40h],zmm31
            vmovss xmm31,[r12+40h]
            vmovss [r9+rcx*4+40h],xmm31
            vrndscaleps zmm31,zmm28,8
            vpslld zmm31,zmm28,17h
            vpsrld zmm31,zmm28,9
            vpextrd [r9+rcx*4+40h],xmm31,1
            vaddpd zmm31,zmm28,zmm7
            vmulpd zmm31,zmm28,zmm7
            vsubpd zmm31,zmm28,zmm7
            vminpd zmm31,zmm28,zmm7
            vdivpd zmm31,zmm28,zmm7
            vmaxpd zmm31,zmm28,zmm7
            vandpd zmm31,zmm28,zmm7
            vandnpd zmm31,zmm28,zmm7
            vorpd zmm31,zmm28,zmm7
            vxorpd zmm31,zmm28,zmm7
            vfmadd213pd zmm31,zmm28,zmm7
            vfmadd231pd zmm31,zmm28,zmm7
            vpaddq zmm7,zmm31,[r9+rcx*4+40h]
            vpsubq zmm7,zmm31,[r9+rcx*4+40h]
            vpsllvq zmm7,zmm31,[r9+rcx*4+40h]
            vpsrlvq zmm7,zmm31,[r9+rcx*4+40h]
            vmovupd zmm31,[rbp]
            vsqrtpd zmm31,[rbp]
            vpbroadcastq zmm31,[rbp]
            vmovupd [r12+40h],zmm31
            vmovsd xmm31,[r12+40h]
            vmovsd [r9+rcx*4+40h],xmm31
            vrndscalepd zmm31,zmm28,8
            vpsllq zmm31,zmm28,17h
            vpsrlq zmm31,zmm28,9
            vpextrq [r9+rcx*4+40h],xmm31,1
            vpmulld zmm31,zmm28,zmm7
            vpmuludq zmm31,zmm28,zmm7
            vpminsd zmm31,zmm28,zmm7
            vpmaxsd zmm31,zmm28,zmm7
            vpminud zmm31,zmm28,zmm7
            vpmaxud zmm31,zmm28,zmm7
            vpackssdw zmm31,zmm28,zmm7
            vpackusdw zmm31,zmm28,zmm7
            vpacksswb zmm31,zmm28,zmm7
            vpackuswb zmm31,zmm28,zmm7
            vpabsd zmm31,zmm28
            vpsrad zmm31,zmm28,1Fh
            vpsravd zmm31,zmm28,zmm7
            vcvtps2pd zmm31,[r9+rcx*4+40h]
            vcvtdq2pd zmm31,[r9+rcx*4+40h]
            vpmovzxdq zmm31,[r9+rcx*4+40h]
            vpmovsxdq zmm31,[r9+rcx*4+40h]
            vpmovzxbd zmm31,[r9+rcx*4+40h]
            vpmovzxbq zmm31,[r9+rcx*4+40h]
            vpmovzxwd zmm31,[r9+rcx*4+40h]
            vcvtph2ps zmm31,[r9+rcx*4+40h]
            vcvtpd2ps ymm31,zmm28
            vcvtdq2ps zmm31,zmm28
            vcvttps2dq zmm31,zmm28
            vcvttpd2dq ymm31,zmm28
            vcvtps2ph [r9+rcx*4+40h],zmm31,0
            vshufps zmm31,zmm28,zmm7,88h
            vpshufd zmm31,zmm7,4Eh
            vmovq xmm31,r10
            vmovq rdx,xmm31
            vpextrb [r9+rcx*4+40h],xmm31,3
            vpextrw [r9+rcx*4+40h],xmm31,3
            vpinsrb xmm31,xmm28,[r9+rcx*4+40h],3
            vpinsrw xmm31,xmm28,[r9+rcx*4+40h],3
            vaddps zmm31,zmm28,[rel 480h]
            vrndscaleps zmm31,[rel 480h],1
            vcmpltps k3,zmm20,zmm7
            vpcmpnled k3,zmm20,zmm7
            vblendmps zmm31{k5},zmm20,zmm7
            vmovups zmm31{k7}{z},[rax+20h]
            vmovups [rax+20h]{k7},zmm31
            vgatherdps zmm31{k1},[r8+zmm30*4]
            vscatterqps [r8+zmm9*8]{k1},ymm31
            vptestmd k2,zmm31,zmm20
            vcmpltpd k3,zmm20,zmm7
            vpcmpnleq k3,zmm20,zmm7
            vblendmpd zmm31{k5},zmm20,zmm7
            vmovupd zmm31{k7}{z},[rax+20h]
            vmovupd [rax+20h]{k7},zmm31
            vgatherdpd zmm31{k1},[r8+ymm30*4]
            vscatterqpd [r8+zmm9*8]{k1},zmm31
            vptestmq k2,zmm31,zmm20
            vpmullq zmm31,zmm20,zmm7
            vpminsq zmm31,zmm20,zmm7
            vpmaxsq zmm31,zmm20,zmm7
            vpsravq zmm31,zmm20,zmm7
            vpabsq zmm31,zmm20
            vpcmpltud k3,zmm20,zmm7
            vcvtudq2ps zmm31,zmm20
            vcvtqq2pd zmm31,zmm20
            vcvttpd2qq zmm31,zmm20
            vcvtudq2pd zmm31,ymm18
            vcvttps2qq zmm31,ymm18
            vcvtqq2ps ymm31,zmm20
            vpmovqd [rax+20h]{k7},zmm31
            vpmovdb [rax+20h]{k7},zmm31
            vpmovqb [rax+20h]{k7},zmm31
            vpmovdw [rax+20h]{k7},zmm31
            vmovdqu8 xmm31{k7},[rax+20h]
            vmovdqu8 [rax+20h]{k7},xmm31
            vmovdqu16 [rax+20h]{k7},xmm31
            vptestmb k3,xmm31,xmm31
            vpmovm2b xmm31,k3
            vpmovm2q zmm31,k3
            vpbroadcastb xmm31,[rax+1]
            vextracti64x4 ymm20,zmm31,1
            vextracti32x4 xmm20,ymm31,1
            kmovw k3,[rax+20h]
            kmovw k3,k5
            kmovw [rax+20h],k3
            kmovd k3,eax
            kmovd eax,k3
            kandw k3,k4,k5
            kandnw k3,k4,k5
            korw k3,k4,k5
            kxorw k3,k4,k5
            kxnorw k3,k4,k5
            knotw k3,k5
            kortestw k3,k5
            vrangeps zmm31,zmm20,zmm7,5
            vrangepd zmm31,zmm20,zmm7,5
            bzhi eax,edx,ecx
        "#]],
    );
}
