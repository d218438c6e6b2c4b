"""Compiles matmul's configurations to machine code for one architecture; no GPU is needed.

    python tests/kernels/builds.py sm_90

prints a JSON list, one object a build. A process of its own, because TRITON_INTERPRET must not
be set when the kernels are imported.
"""

import importlib
import json
import re
import subprocess
import sys
import tempfile

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

module = importlib.import_module("kernels.matmul")
KERNEL = module._matmul_kernel
DTYPES = {"half": ("bf16", "fp16"), "tf32": ("fp32",), "ieee": ("fp32",)}


def build(architecture, key, dtype):
    """One kernel as the launcher would specialise it for contiguous operands."""
    arithmetic, shape = key
    tile = module.CONFIGS[architecture][key]
    constants = {
        "PRECISION": "tf32" if arithmetic == "tf32" else "ieee",
        "stride_ak": 1,
        "stride_bn": 1,
        "stride_cn": 1,
        **{name: value for name, value in tile._asdict().items() if name.isupper()},
    }
    signature = {
        name: "constexpr" if name in constants else f"*{dtype}" if name.endswith("_ptr") else "i32"
        for name in KERNEL.arg_names
    }
    # torch aligns memory to 16 bytes; sizes and strides are multiples of 16 unless ragged.
    aligned = {
        (place,): [["tt.divisibility", 16]]
        for place, (name, kind) in enumerate(signature.items())
        if kind != "constexpr" and (shape != "ragged" or name.endswith("_ptr"))
    }
    compiled = triton.compile(
        ASTSource(KERNEL, signature, constants, aligned),
        target=GPUTarget("cuda", int(architecture.removeprefix("sm_")), 32),
        options={"num_warps": tile.num_warps, "num_stages": tile.num_stages},
    )
    with tempfile.NamedTemporaryFile(suffix=".cubin") as cubin:
        cubin.write(compiled.asm["cubin"])
        cubin.flush()
        usage = subprocess.run(
            [triton.knobs.nvidia.cuobjdump.path, "--dump-resource-usage", cubin.name],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    numbers = {name: int(value) for name, value in re.findall(r"(\w+):(\d+)", usage)}
    return {
        "configuration": f"{arithmetic} {shape} {dtype}",
        "block_m": tile.BLOCK_M,
        "registers": numbers["REG"],
        "spilled_bytes": numbers["STACK"] + numbers["LOCAL"],
        "shared_bytes": compiled.metadata.shared,
        "matrix_instructions": sorted(
            {*re.findall(r"\b(wgmma\.mma_async|mma\.sync)\b", compiled.asm["ptx"])}
        ),
    }


if __name__ == "__main__":
    architecture = sys.argv[1]
    print(
        json.dumps(
            [
                build(architecture, key, dtype)
                for key in module.CONFIGS[architecture]
                for dtype in DTYPES[key[0]]
            ]
        )
    )
