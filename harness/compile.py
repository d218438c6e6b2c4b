"""Every kernel to machine code for each architecture, with no GPU, and what came out.

A launch configuration that spills registers, wants more shared memory than a multiprocessor has,
or misses the matrix units is slow or fails on the GPU alone; the compiler knows it beforehand.
Triton's wheel brings ptxas, cuobjdump and nvdisasm, so none of this needs CUDA.

This process imports neither torch nor triton: kernels are imported by its workers alone, without
TRITON_INTERPRET, under which Triton has nothing to compile.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import kernels
from harness import machine_code, workers
from harness.columns import columns

if TYPE_CHECKING:
    from kernels.spec import Build

# Bytes of shared memory a block may have (CUDA C++ Programming Guide, "Compute Capabilities").
# 8.0 itself has 166,912, but the kernels launch "sm_80" configurations on 8.6 and 8.9 too.
SHARED_LIMIT = {"sm_80": 101_376, "sm_90": 232_448, "sm_100": 232_448, "sm_120": 101_376}
ARCHITECTURES = tuple(SHARED_LIMIT)
# What a product must use: wgmma where the older mma.sync reaches only part of the peak.
MATRIX_INSTRUCTIONS = {
    "sm_80": ("mma",),
    "sm_90": ("wgmma",),
    "sm_100": ("tcgen05",),
    "sm_120": ("mma",),
}


@dataclass
class Entry:
    """What the compiler made of one kernel in one configuration, dtype and architecture.

    Attributes:
        kernel: the operation; function: its @triton.jit function.
        registers: of a thread.
        spilled_bytes: of a thread's local memory: registers that did not fit, and stack.
        shared_bytes: of a block, limit_bytes being what the architecture has.
        matrix: the matrix instructions, PTX's name and shape; empty without one.
        loads: from global memory: "TMA", or the widest instruction with its bits; empty without.
        problems: why this build fails; the figures above are None where it did not build, and
            loads where they were not looked for.
    """

    kernel: str
    function: str
    configuration: str
    dtype: str
    architecture: str
    limit_bytes: int
    registers: int | None = None
    spilled_bytes: int | None = None
    shared_bytes: int | None = None
    matrix: list[str] | None = None
    loads: list[str] | None = None
    problems: list[str] = field(default_factory=list)


def run(
    architectures: Sequence[str],
    json_file: Path | None = None,
    per_kernel: int | None = None,
    loads: bool = True,
) -> int:
    """Builds every kernel for the architectures and prints a table of what came out.

    Args:
        architectures: of ARCHITECTURES.
        json_file: where to write the entries too, or None.
        per_kernel: build only so many of each kernel and architecture, evenly spread; None: all.
        loads: whether to look for them, which takes nearly as long as to build.

    Returns:
        The exit status: 0 nothing wrong, 1 a build failed or has a problem.

    Raises:
        OSError: json_file cannot be written.
        BrokenProcessPool: the compiler crashed.
    """
    if json_file is not None:
        _check_writable(json_file)
    entries = compile_all(architectures, per_kernel, loads)
    if json_file is not None:
        json_file.write_text(json.dumps([asdict(entry) for entry in entries], indent=1) + "\n")
    print(table(entries))
    wrong = [entry for entry in entries if entry.problems]
    for entry in wrong:
        where = (entry.architecture, entry.kernel, entry.function, entry.configuration, entry.dtype)
        print(f"{' '.join(where)}: {'; '.join(entry.problems)}")
    print(f"{len(entries)} builds, {len(wrong)} with problems")
    return 1 if wrong else 0


def _check_writable(file: Path) -> None:
    """Raise the OSError of `run` before minutes are spent on what cannot be kept."""
    if file.is_dir() or not file.parent.is_dir():
        raise OSError(f"cannot write {file}: not a file in a folder that exists")
    try:
        if file.exists():
            file.open("ab").close()
        else:
            tempfile.TemporaryFile(dir=file.parent).close()
    except OSError as error:
        raise OSError(f"cannot write {file}: {error.strerror}; give another --json") from None


def compile_all(
    architectures: Sequence[str], per_kernel: int | None = None, loads: bool = True
) -> list[Entry]:
    """Builds side by side on the usable cores, and shows on stderr how long it still takes."""
    with workers.pool() as pool:
        pairs = [(name, sm) for sm in architectures for name in kernels.NAMES]
        counts = [pool.submit(_count, name, sm) for name, sm in pairs]
        tasks = [
            pool.submit(_compile, name, sm, index, loads)
            for (name, sm), builds in zip(pairs, counts, strict=True)
            for index in _spread(builds.result(), per_kernel)
        ]
        return workers.results(tasks, "compiling", lambda e: f"{e.architecture} {e.kernel}")


def _spread(count: int, wanted: int | None) -> list[int]:
    """Indices of `wanted` of `count` builds, the first and the last among them."""
    if wanted is None or wanted >= count:
        return [*range(count)]
    return sorted({round(i * (count - 1) / max(wanted - 1, 1)) for i in range(wanted)})


def _count(name: str, architecture: str) -> int:
    return len(kernels.load(name).builds(architecture))


def _compile(name: str, architecture: str, index: int, loads: bool) -> Entry:
    build = kernels.load(name).builds(architecture)[index]
    return inspect(name, build, architecture, loads)


def inspect(name: str, build: Build, architecture: str, loads: bool = True) -> Entry:
    """Compiles one build and reads the machine code; a failure is a problem of the entry.

    Args:
        name: the operation's.
        build: what to compile.
        architecture: one of ARCHITECTURES.
        loads: whether to look for them too: no problem is told by them.
    """
    limit = SHARED_LIMIT[architecture]
    entry = Entry(
        name, build.kernel.__name__, build.configuration, build.dtype, architecture, limit
    )
    try:
        compiled = _build(build, architecture)
        ptx, cubin = compiled.asm["ptx"], compiled.asm["cubin"]
        entry.registers, entry.spilled_bytes = machine_code.registers(cubin)
        sass = machine_code.instructions(cubin) if loads else ""
        waiting = machine_code.serialized(ptx)
    except Exception as error:  # whatever the compiler, ptxas or a tool raises
        lines = str(error).strip().splitlines()
        entry.problems.append(f"does not build: {type(error).__name__}: {(lines or [''])[0]}")
        return entry
    entry.shared_bytes = compiled.metadata.shared
    entry.matrix = machine_code.matrix_instructions(ptx)
    entry.loads = machine_code.global_loads(sass) if loads else None
    entry.problems = _problems(entry, build.matrix)
    for what, least in build.wide.items():
        found = sum(bits >= 128 for bits in machine_code.widths(ptx, what))
        if found < least:
            entry.problems.append(f"{found} {what}.global of 16 bytes, at least {least} expected")
    if waiting:
        entry.problems.append(f"each product waits for the one before: {waiting}")
    return entry


def _build(build: Build, architecture: str):
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    names = build.kernel.arg_names
    signature = {name: build.types.get(name, "constexpr") for name in names}
    aligned = {(names.index(name),): [["tt.divisibility", 16]] for name in build.aligned}
    return triton.compile(
        ASTSource(build.kernel, signature, dict(build.constants), aligned),
        target=GPUTarget("cuda", int(architecture.removeprefix("sm_")), 32),
        options={"num_warps": build.num_warps, "num_stages": build.num_stages},
    )


def _problems(entry: Entry, matrix_required: bool) -> list[str]:
    problems = []
    if entry.spilled_bytes:
        problems.append(f"spills {entry.spilled_bytes} bytes a thread")
    if entry.shared_bytes is not None and entry.shared_bytes > entry.limit_bytes:
        problems.append(f"{entry.shared_bytes} bytes of shared memory, at most {entry.limit_bytes}")
    wanted = MATRIX_INSTRUCTIONS[entry.architecture]
    found = entry.matrix or []
    if matrix_required and not any(name.partition(" ")[0] in wanted for name in found):
        problems.append(
            f"no {' or '.join(wanted)} instruction, only {', '.join(found) or 'scalar ones'}"
        )
    return problems


def table(entries: Sequence[Entry]) -> str:
    """The entries as text, a line each under a heading."""
    heading = ("", "kernel", "configuration", "dtype", "regs", "spilled", "shared", "limit")
    rows: list[tuple[str, ...]] = [(*heading, "matrix", "loads")]
    for entry in entries:
        figures = (entry.registers, entry.spilled_bytes, entry.shared_bytes, entry.limit_bytes)
        rows.append(
            (
                entry.architecture,
                f"{entry.kernel}{entry.function.removesuffix('_kernel')}",
                entry.configuration,
                entry.dtype,
                *("failed" if figure is None else f"{figure:,}" for figure in figures),
                ", ".join(entry.matrix or ["-"]),
                ", ".join(entry.loads or ["-"]) + (" !" if entry.problems else ""),
            )
        )
    return columns(rows, right=range(4, 8))  # numbers
