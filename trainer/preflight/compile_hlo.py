"""Compiles HLO files for a TPU; runs in the compiler's own environment and process.

    python compile_hlo.py JOB.json RESULT.json

It knows JAX and nothing of ours. JOB.json holds `topology`, `options` for it, and
`programs`; of each:

- `name`, `file`: an HLO proto, its arguments the batch first, the variables behind.
- `batch_arguments`: how many arguments are split over the cores by their first axis.
- `cores`: cores that run it together; the batch is split, variables are copied.
- `resize`: pairs [rows, rows], the first number standing for the second in tables.

RESULT.json gets `versions`, `device`, `cores` and `programs`, one result each: numbers
of the compiler, or its `error`. TF's own bridge made the HLO; the recipe from there on:
HLO -> StableHLO -> an exported function -> `jax.jit` -> the TPU compiler.
"""

from __future__ import annotations

import collections
import dataclasses
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

os.environ.update(
    JAX_PLATFORMS="cpu",
    JAX_ENABLE_X64="1",  # the step counter is int64
    TPU_SKIP_MDS_QUERY="1",  # there is no metadata server to ask
    TPU_WORKER_HOSTNAMES="localhost",
    TPU_STDERR_LOG_LEVEL="3",
    TPU_MIN_LOG_LEVEL="3",
    ALLOW_MULTIPLE_LIBTPU_LOAD="1",  # else one process a machine
)
os.environ.setdefault("TPU_ACCELERATOR_TYPE", "v5litepod-4")  # need not be the slice

import jax
import jax.numpy as jnp
import jaxlib
import numpy as np
from jax import export
from jax._src.interpreters import mlir as jax_mlir
from jax.experimental import topologies
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxlib import xla_client
from jaxlib.mlir import ir

_TYPES = {
    "f16": "float16",
    "bf16": "bfloat16",
    "f32": "float32",
    "f64": "float64",
    "i1": "bool",
    "i8": "int8",
    "i16": "int16",
    "i32": "int32",
    "i64": "int64",
    "ui8": "uint8",
    "ui16": "uint16",
    "ui32": "uint32",
    "ui64": "uint64",
}
_ALIASES = "mhlo.input_output_alias"  # which results take which argument's place
_LARGEST = 40  # buffers that are named


@dataclasses.dataclass
class Module:
    """A program as the exporter takes it."""

    bytecode: bytes
    arguments: list[jax.ShapeDtypeStruct]
    results: list[jax.ShapeDtypeStruct]
    updated: list[int]  # arguments that the program overwrites


def main(job_path: str, result_path: str) -> None:
    with open(job_path) as file:
        job = json.load(file)
    topology = topologies.get_topology_desc(
        platform="tpu", topology_name=job["topology"], **job["options"]
    )
    found: dict[str, Any] = {
        "versions": {"jax": jax.__version__, "jaxlib": jaxlib.__version__},
        "device": topology.devices[0].device_kind,
        "cores": len(topology.devices),
        "programs": [],
    }
    write(found, result_path)
    for program in job["programs"]:
        found["programs"].append(attempt(program, topology))
        write(found, result_path)
        print(program["name"], flush=True)


def write(found: Mapping[str, Any], path: str) -> None:
    """Whole at any moment: should the compiler die, the results before it are kept."""
    with open(path + ".part", "w") as file:
        json.dump(found, file)
    os.replace(path + ".part", path)


def attempt(program: Mapping[str, Any], topology: Any) -> dict[str, Any]:
    """What the compiler says of one program; its refusal is a result too."""
    started = time.perf_counter()
    try:
        result = measure(*compiled(program, topology))
    except Exception as error:  # any refusal of any version of the compiler
        result = {"error": f"{type(error).__name__}: {error}"}
    result["name"] = program["name"]
    result["compile_s"] = round(time.perf_counter() - started, 2)
    return result


def compiled(program: Mapping[str, Any], topology: Any) -> tuple[Any, Module]:
    with open(program["file"], "rb") as file:
        module = read(file.read(), dict(map(tuple, program["resize"])))
    devices = np.array(topology.devices[: program["cores"]])
    mesh = Mesh(devices, ("cores",))
    whole = NamedSharding(mesh, PartitionSpec())
    split = NamedSharding(mesh, PartitionSpec("cores"))
    batch = program["batch_arguments"]
    placed = tuple(
        split if index < batch and argument.shape else whole
        for index, argument in enumerate(module.arguments)
    )
    function = jax.jit(
        exported(module).call,
        in_shardings=placed,
        out_shardings=tuple(whole for _ in module.results),
        donate_argnums=tuple(module.updated),
    )
    return function.lower(*module.arguments).compile(), module


def read(proto: bytes, resize: Mapping[int, int]) -> Module:
    """HLO proto -> module, its tables as large as they are to be."""
    text = xla_client._xla.mlir.hlo_to_stablehlo(proto)
    with jax_mlir.make_ir_context(), ir.Location.unknown():
        module = ir.Module.parse(text)
        walk(module.operation, drop_copy)
        if resize:
            module = ir.Module.parse(resized(str(module), resize))
        return describe(module)


def describe(module: ir.Module) -> Module:
    main_function = next(
        op
        for op in module.body.operations
        if ir.StringAttr(op.attributes["sym_name"]).value == "main"
    )
    attributes = module.operation.attributes
    aliases = str(attributes[_ALIASES]) if _ALIASES in attributes else ""
    updated = [int(n) for n in re.findall(r"parameter_number = (\d+)", aliases)]
    arguments = [shape_of(t) for t in main_function.type.inputs]
    results = [shape_of(t) for t in main_function.type.results]
    if "arg_attrs" in main_function.attributes:  # jit sets its own
        del main_function.attributes["arg_attrs"]
    return Module(jax_mlir.module_to_bytecode(module), arguments, results, updated)


def shape_of(kind: ir.Type) -> jax.ShapeDtypeStruct:
    tensor = ir.RankedTensorType(kind)
    dtype = jnp.dtype(_TYPES[str(tensor.element_type)])
    return jax.ShapeDtypeStruct(tuple(tensor.shape), dtype)


def walk(op: ir.Operation, change: Callable[[ir.Operation], None]) -> None:
    for region in op.regions:
        for block in region.blocks:
            for child in list(block.operations):
                walk(child.operation, change)
                change(child.operation)


def drop_copy(op: ir.Operation) -> None:
    """Erases TF's copies of returned variables, which the compiler refuses here."""
    if op.name == "mhlo.copy":
        op.results[0].replace_all_uses_with(op.operands[0])
        op.erase()


def resized(text: str, resize: Mapping[int, int]) -> str:
    """Tables of a stand-in's rows become tables of the true number of rows."""
    rows = "|".join(map(str, resize))
    pattern = re.compile(rf"tensor<({rows})x")
    return pattern.sub(lambda m: f"tensor<{resize[int(m[1])]}x", text)


def exported(module: Module) -> export.Exported:
    """The module in the place of a function with the same arguments and results."""

    def same_shapes(*_: Any) -> tuple[jax.Array, ...]:
        return tuple(jnp.zeros(r.shape, r.dtype) for r in module.results)

    shell = jax.jit(same_shapes, keep_unused=True)
    found = export.export(shell, platforms=["tpu"])(*module.arguments)
    return dataclasses.replace(found, mlir_module_serialized=module.bytecode)


def measure(executable: Any, module: Module) -> dict[str, Any]:
    """Numbers of one core."""
    cost, memory = executable.cost_analysis(), executable.memory_analysis()
    text = executable.as_text()
    entry = text[text.index("\nENTRY") :]
    return {
        "flops": cost.get("flops", 0.0),
        "bytes": cost.get("bytes accessed", 0.0),
        "optimal_s": cost.get("optimal_seconds", 0.0),
        "custom_calls": entry.count(" custom-call("),
        "peak_bytes": memory.peak_memory_in_bytes,
        "argument_bytes": memory.argument_size_in_bytes,
        "output_bytes": memory.output_size_in_bytes,
        "alias_bytes": memory.alias_size_in_bytes,
        "temp_bytes": memory.temp_size_in_bytes,
        "code_bytes": memory.generated_code_size_in_bytes,
        "arguments": [[str(a.dtype), list(a.shape)] for a in module.arguments],
        "collectives": collectives(text),
        "largest": largest(entry),
    }


_SIZES = {"pred": 1, "s8": 1, "u8": 1, "bf16": 2, "f16": 2, "s16": 2, "u16": 2}
_SIZES |= {"s32": 4, "u32": 4, "f32": 4, "s64": 8, "u64": 8, "f64": 8}
_INSTRUCTION = re.compile(
    r"^\s*(?:ROOT )?%?(?P<name>[\w.-]+) = (?P<type>\w+)\[(?P<shape>[\d,<=]*)\]"
    r"(?P<layout>\{[^}]*\})? (?P<kind>[\w-]+)\(",
    re.MULTILINE,
)
_OP_NAME = re.compile(r'op_name="([^"]*)"')
# Their results may be tuples, which `_INSTRUCTION` passes over.
_COLLECTIVE = re.compile(
    r" (all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute)"
    r"(?:-start)?\("
)
_NAMES_ONLY = ("parameter", "bitcast", "constant", "copy-start", "copy-done")


def instructions(text: str) -> Iterator[tuple[re.Match[str], str]]:
    """(match, the TF op that the instruction comes from) of every instruction."""
    for match in _INSTRUCTION.finditer(text):
        line = text[match.start() : text.find("\n", match.end())]
        origin = _OP_NAME.search(line)
        yield match, origin[1] if origin else ""


def size_of(match: re.Match[str]) -> int:
    count = 1
    for side in match["shape"].split(","):
        count *= int(side.lstrip("<=")) if side else 1
    return count * _SIZES.get(match["type"], 4)


def largest(entry: str) -> list[dict[str, Any]]:
    """The largest results in HBM that the program keeps beside its arguments."""
    kept = [
        (size_of(match), match["type"], match["shape"], match["kind"], origin)
        for match, origin in instructions(entry)
        # S(1) lies on the chip, not in HBM.
        if match["kind"] not in _NAMES_ONLY and "S(" not in (match["layout"] or "")
    ]
    kept.sort(key=lambda found: -found[0])
    keys = ("bytes", "type", "shape", "kind", "op")
    return [dict(zip(keys, found, strict=True)) for found in kept[:_LARGEST]]


def collectives(text: str) -> dict[str, int]:
    """Kind -> number of instructions in which cores talk to each other."""
    return dict(collections.Counter(_COLLECTIVE.findall(text)))


if __name__ == "__main__":
    main(*sys.argv[1:])
