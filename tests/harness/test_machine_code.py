"""What is read from PTX, from machine code and from the assembler's log."""

import pytest

from harness.machine_code import (
    global_loads,
    matrix_instructions,
    narrow_loads,
    serialized,
    told_serialized,
    widths,
)


def test_matrix_instructions():
    ptx = """
    wgmma.mma_async.sync.aligned.m64n256k16.f32.bf16.bf16 {%f1}, %rd1, %rd2, %p1, 1, 1, 0, 1;
    mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%f1}, {%r1}, {%r2}, {%f1};
    tcgen05.mma.cta_group::1.kind::f16 [%r1], %rd1, %rd2, %r2, %p1;
    """
    assert matrix_instructions(ptx) == ["mma m16n8k8", "tcgen05 kind::f16", "wgmma m64n256k16"]
    assert matrix_instructions("fma.rn.f32 %f1, %f2, %f3;") == []


def test_loads():
    sass = "LDG.E.128.CONSTANT R4, [R2]; LDG.E R1, [R2]; LDG.E.U16 R1, [R2]; LDGSTS.E [R1], [R2]"
    assert global_loads(sass) == ["LDG 128"]
    assert global_loads("LDGSTS.E.BYPASS.LTC128B.128 [R1]; LDG.E") == ["LDGSTS 128"]
    assert global_loads("LDG.E.LTC128B R1, [R2]") == ["LDG 32"]
    assert global_loads("UTMALDG.2D [UR8], [UR4]; LDG.E.128") == ["TMA"]
    assert global_loads("STG.E.128 [R2], R4") == []


WIDE = [
    "ld.global.v4.b32 { %r1, %r2, %r3, %r4 }, [ %rd1 + 0 ];",
    "ld.global.L1::evict_last.L2::cache_hint.v2.b64 { %rd1, %rd2 }, [ %rd3 + 0 ], %rd4;",
    "cp.async.cg.shared.global [ %r1 + 0 ], [ %rd2 + 0 ], 0x10, %r3;",
]
SLIM = [
    "ld.global.b16 { %rs1 }, [ %rd1 + 0 ];",
    "ld.global.v2.b32 { %r1, %r2 }, [ %rd1 + 0 ];",
    "cp.async.ca.shared.global [ %r1 + 0 ], [ %rd2 + 0 ], 0x4, %r3;",
]


@pytest.mark.parametrize("wide", WIDE)
@pytest.mark.parametrize("slim", SLIM)
def test_narrow_loads(wide, slim):
    for product in (False, True):
        assert narrow_loads(slim, product) and not narrow_loads(wide + slim, product)
        assert not narrow_loads(wide, product) and not narrow_loads("st.global.b16", product)
        tma = "cp.async.bulk.tensor.2d.shared::cta.global.mbarrier::complete_tx::bytes"
        assert not narrow_loads(slim + tma, product)
    assert narrow_loads(wide + 2 * slim, product=True)
    assert not narrow_loads(wide + 2 * slim, product=False)


def test_widths_of_loads_and_of_stores():
    ptx = "\n".join([*WIDE[:2], *SLIM[:2], "st.global.v4.b32 [ %rd1 + 0 ], { %r1 };"])
    assert (widths(ptx, "ld"), widths(ptx, "st")) == ([128, 128, 16, 64], [128])


def test_products_that_wait_are_told():
    log = (
        "ptxas info    : (C7515) Potential Performance Loss: wgmma.mma_async instructions are "
        "serialized due to non wgmma instructions defining accumulator registers in the function "
        "'_matmul_kernel'\nptxas info    : Used 175 registers\n"
    )
    assert told_serialized(log) == "non wgmma instructions defining accumulator registers"
    assert told_serialized("ptxas info    : Used 175 registers") is None
    assert serialized("mma.sync.aligned.m16n8k16") is None  # no other instruction has to wait


# Two products, and what comes between.
PTX = """
.version 8.3
.target sm_90a
.address_size 64
.visible .entry product(.param .u64 out) {
  .reg .f32 %f<5>; .reg .b64 %rd<3>; .reg .pred %p<2>;
  ld.param.u64 %rd1, [out];
  mov.f32 %f1, 0f00000000; mov.f32 %f2, %f1; mov.f32 %f3, %f1; mov.f32 %f4, %f1;
  mov.u64 %rd2, 0;
  setp.eq.u64 %p1, %rd2, %rd2;
  wgmma.fence.sync.aligned;
  wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16
    {%f1, %f2, %f3, %f4}, %rd2, %rd2, %p1, 1, 1, 0, 0;
  BETWEEN
  wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16
    {%f1, %f2, %f3, %f4}, %rd2, %rd2, %p1, 1, 1, 0, 0;
  wgmma.commit_group.sync.aligned;
  wgmma.wait_group.sync.aligned 0;
  st.global.f32 [%rd1], %f1;
  ret;
}
"""


def test_the_assembler_is_asked():
    waits = "wgmma.commit_group.sync.aligned; wgmma.wait_group.sync.aligned 1;"
    reads = "mul.f32 %f1, %f1, %f2; wgmma.fence.sync.aligned;"  # the first may still be under way
    assert serialized(PTX.replace("BETWEEN", waits)) is None
    assert "reading accumulator registers" in serialized(PTX.replace("BETWEEN", waits + reads))
