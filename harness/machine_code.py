"""What the compiler made of a kernel, read from its PTX and machine code.

The tools that read it come with Triton's wheel and need no GPU; none of this is a time.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from pathlib import Path


def registers(cubin: bytes) -> tuple[int, int]:
    """Of a thread: its registers, and the bytes that did not fit there.

    Raises:
        OSError, subprocess.CalledProcessError: cuobjdump cannot be run, or not on this.
    """
    usage = _tool("cuobjdump", "--dump-resource-usage", cubin)
    numbers = {key: int(value) for key, value in re.findall(r"(\w+):(\d+)", usage)}
    return numbers["REG"], numbers["STACK"] + numbers["LOCAL"]


def instructions(cubin: bytes) -> str:
    """The machine code as text, an instruction a line; takes nearly as long as to build it.

    Raises:
        OSError, subprocess.CalledProcessError: nvdisasm cannot be run, or not on this.
    """
    return _tool("nvdisasm", "--print-code", cubin)


def _tool(name: str, option: str, cubin: bytes) -> str:
    import triton

    tool = getattr(triton.knobs.nvidia, name).path
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "kernel.cubin"
        file.write_bytes(cubin)
        return subprocess.run(
            [tool, option, str(file)], capture_output=True, text=True, check=True
        ).stdout


def serialized(ptx: str) -> str | None:
    """Why ptxas makes Hopper's asynchronous products wait for one another, or None.

    It says so in its log and nowhere else, and Triton keeps no log: so ptxas is run again.

    Raises:
        OSError, subprocess.CalledProcessError: ptxas cannot be run, or not on this.
    """
    if "wgmma" not in ptx:
        return None
    import triton

    command = [triton.knobs.nvidia.ptxas.path, "-v", "--gpu-name=sm_90a", "-o", os.devnull, "-"]
    log = subprocess.run(command, input=ptx, capture_output=True, text=True, check=True)
    return told_serialized(log.stdout + log.stderr)


def told_serialized(log: str) -> str | None:
    """The reason in ptxas's log, or None."""
    told = re.search(r"wgmma\S* instructions are serialized due to (.*?)( in the function|$)", log)
    return told[1] if told else None


def matrix_instructions(ptx: str) -> list[str]:
    """The matrix instructions in PTX, e.g. ["wgmma m64n256k16"]; tcgen05 has its shape in data."""
    found = re.findall(r"\b(wgmma|mma)\.(?:mma_async\.)?sync\.\S*?(m\d+n\d+k\d+)", ptx)
    kinds = re.findall(r"\b(tcgen05)\.mma\.\S*?(kind::\w+)", ptx)
    return sorted({f"{name} {shape}" for name, shape in found + kinds})


def narrow_loads(ptx: str, product: bool) -> bool:
    """Whether global memory is read fewer than 16 bytes at a time, and not by the TMA unit.

    Args:
        ptx: of one kernel.
        product: then most of the loads are its operands', and so most must be wide: one operand
            may be read well and the other not. Any other kernel reads single numbers too, so that
            one wide load is enough.
    """
    if "cp.async.bulk.tensor" in ptx:
        return False
    copies = re.findall(r"\bcp\.async\.c[ag]\.[^;,]*,[^;,]*, (\w+)", ptx)
    bits = [8 * int(size, 0) for size in copies] + widths(ptx, "ld")
    wide = sum(one >= 128 for one in bits)
    return len(bits) > 2 * wide if product else len(bits) > 0 == wide


def widths(ptx: str, what: str) -> list[int]:
    """The bits of each load ("ld") or store ("st") of global memory in PTX."""
    found = re.findall(rf"\b{what}\.global(?:\.[\w:]+)*?(?:\.v(\d))?\.[bfsu](\d+)\b", ptx)
    return [int(vector or 1) * int(element) for vector, element in found]


def global_loads(sass: str) -> list[str]:
    """How global memory is read: ["TMA"], or the widest load, e.g. ["LDG 128"] for LDG.E.128."""
    if "UTMALDG" in sass:
        return ["TMA"]
    widths: dict[str, int] = {}
    for name, modifiers in re.findall(r"\b(LDG|LDGSTS)((?:\.\w+)+)", sass):
        parts = modifiers.split(".")
        narrow = {"U8": 8, "S8": 8, "U16": 16, "S16": 16}
        bits = [int(part) for part in parts if part in ("64", "128", "256")]
        bits += [narrow[part] for part in parts if part in narrow]
        widths[name] = max(widths.get(name, 0), bits[0] if bits else 32)
    return [f"{name} {bits}" for name, bits in widths.items() if bits == max(widths.values())]
