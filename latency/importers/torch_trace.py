"""Chrome traces of torch.profiler (export_chrome_trace): a row for each operator, shape and precision.

Time of an operator: in a trace with GPU kernels, the sum of the kernels that the call launched, itself or through the
operators that it called; else the duration of the call. Launching is no part of kernel time, so the two are never
comparable, and neither is with times of CUDA events around eager calls. Fields: traces of torch 2.13, and for
kernels those that pytorch/kineto's tests hold: `External id` is the innermost operator at the launch, `correlation`
joins a kernel with the runtime call that launched it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hwsim.core.errors import InputError
from hwsim.latency.importers.imported import Imported, Labels, Skipped, Unreadable, settled, summary, wanted
from hwsim.latency.importers.json_files import is_number, load
from hwsim.latency.importers.torch_operators import Arguments, is_known, layout, operator_kernel, precision
from hwsim.latency.measurements import Measurement
from hwsim.latency.shapes import KernelShape

TRACE = "torch.profiler trace"
_OPERATORS, _LAUNCHES = ("cpu_op", "operator"), ("cuda_runtime", "cuda_driver", "runtime")
_KERNELS = ("kernel", "gpu_memcpy", "gpu_memset")
_HINT = "a file of torch.profiler's export_chrome_trace, with record_shapes=True, is wanted"
_Key = tuple[str, int, KernelShape, str, str, str]


@dataclass(slots=True)
class _Call:
    """One call of an operator; `kernel_us` is what it launched itself."""

    name: str
    end: float
    duration_us: float
    args: Mapping[str, object]
    parent: _Call | None
    children: list[_Call] = field(default_factory=list)
    kernel_us: float = 0.0
    kernels: int = 0
    holds_known: bool = False


def read_torch_trace(path: Path, labels: Labels) -> Imported:
    """Kernel rows of a trace; every kernel and call that gave none is among the skipped."""
    calls, lost = _calls(_events(path))
    on_gpu = any(call.kernels for call in calls) or bool(lost)
    if not any("Input Dims" in c.args or "Input dims" in c.args for c in calls):
        raise InputError("no operator with the sizes of its arguments", where=str(path), hint=_HINT)
    wanted(labels, "device", str(path))
    times: dict[_Key, list[float]] = defaultdict(list)
    skipped: dict[tuple[str, str], list[float]] = defaultdict(list)
    for name, reason, kernel_us in lost:
        skipped[name, reason].append(kernel_us)
    open_calls = [(call, False) for call in reversed(calls) if call.parent is None]
    while open_calls:
        call, in_linear = open_calls.pop()
        if is_known(call.name):
            _take(call, in_linear, on_gpu, labels, times, skipped)
        elif not on_gpu and not call.holds_known:
            skipped[call.name, "no shape is known for this operator"].append(call.duration_us)
        else:
            if call.kernels:
                skipped[call.name, "no shape is known for this operator"].append(call.kernel_us)
            open_calls += [(child, in_linear or call.name == "aten::linear") for child in reversed(call.children)]
    left_out = (Skipped(name, reason, len(us), sum(us)) for (name, reason), us in skipped.items())
    return Imported(TRACE, tuple(_rows(times, labels, on_gpu)), tuple(sorted(left_out, key=lambda s: -s.latency_us)))


def _rows(times: Mapping[_Key, list[float]], labels: Labels, on_gpu: bool) -> Iterable[Measurement]:
    source = f"{TRACE}: {'kernels' if on_gpu else 'duration of the call'}"
    for (operator, batch, shape, layout_, precision_, name), us in times.items():
        yield Measurement(
            labels.device, labels.runtime or "eager", precision_, layout_, operator, name, batch, shape, *summary(us),
            source,
        )  # fmt: skip


def _take(
    call: _Call, in_linear: bool, on_gpu: bool, labels: Labels,
    times: dict[_Key, list[float]], skipped: dict[tuple[str, str], list[float]],
) -> None:  # fmt: skip
    """Add the time of a known call to its kind's, or to the skipped with the reason."""
    time_us = _kernel_us(call) if on_gpu else call.duration_us
    try:
        if not time_us:
            raise Unreadable("no GPU kernel" if on_gpu else "took no time")
        dims, strides, types = (_list(call.args, key) for key in ("Input Dims", "Input Strides", "Input type"))
        arguments = Arguments(dims, _list(call.args, "Concrete Inputs"), strides, types, in_linear)
        operator, batch, shape = operator_kernel(call.name, arguments)
        key = (operator, batch, shape, layout(arguments), settled(precision(arguments), labels), call.name)
    except Unreadable as reason:
        skipped[call.name, str(reason)].append(time_us)
    else:
        times[key].append(time_us)


def _kernel_us(call: _Call) -> float:
    """Time of all kernels below a call."""
    total, open_calls = 0.0, [call]
    while open_calls:
        one = open_calls.pop()
        total += one.kernel_us
        open_calls += one.children
    return total


def _events(path: Path) -> list[Mapping[str, object]]:
    """The complete events ("ph": "X") of a trace, each with number `ts` and `dur` in microseconds."""
    value = load(path)
    events = value.get("traceEvents") if isinstance(value, Mapping) else value
    if not isinstance(events, list):
        raise InputError("key 'traceEvents' is missing", where=str(path), hint=_HINT)
    found: list[Mapping[str, object]] = []
    for index, event in enumerate(events):
        if isinstance(event, Mapping) and event.get("ph") == "X":
            for key in ("ts", "dur"):
                time = event.get(key)
                if not is_number(time) or not abs(time) < float("inf") or (key == "dur" and time < 0):
                    where = f"{path}: traceEvents[{index}]"
                    raise InputError(f"{key} = {time!r:.40}", where=where, hint="microseconds are wanted")
            found.append(event)
    return found


def _calls(events: list[Mapping[str, object]]) -> tuple[list[_Call], list[tuple[str, str, float]]]:
    """Calls nested as they ran, kernels added to the call that launched them; and those that count for no call, why."""
    by_thread: dict[object, list[Mapping[str, object]]] = defaultdict(list)
    for event in events:
        if _category(event) in _OPERATORS + _LAUNCHES:
            by_thread[str(event.get("pid")), str(event.get("tid"))].append(event)
    calls: list[_Call] = []
    by_id: dict[object, _Call] = {}
    by_launch: dict[object, _Call] = {}
    for thread in by_thread.values():
        calls += _nested(thread, by_id, by_launch)
    lost = []
    for event in events:
        if _category(event) in _KERNELS:
            args, name = _args(event), str(event.get("name", ""))
            call = by_launch.get(_id(args, "correlation")) or by_id.get(_id(args, "External id"))
            if "HtoD" in name or "DtoH" in name:
                lost.append((name, "a copy between host and device", _number(event, "dur")))
            elif call is None:
                lost.append((name, "a kernel that no operator launched", _number(event, "dur")))
            else:
                call.kernel_us += _number(event, "dur")
                call.kernels += 1
    return calls, lost


def _nested(
    events: list[Mapping[str, object]], by_id: dict[object, _Call], by_launch: dict[object, _Call]
) -> list[_Call]:
    """The calls of one thread; an event inside another's time was called by it."""
    calls: list[_Call] = []
    running: list[_Call] = []
    for event in sorted(events, key=lambda e: (_number(e, "ts"), -_number(e, "dur"))):
        start, duration, args = _number(event, "ts"), _number(event, "dur"), _args(event)
        while running and running[-1].end <= start:
            running.pop()
        parent = running[-1] if running else None
        if _category(event) in _LAUNCHES:
            launcher = parent or by_id.get(_id(args, "External id"))
            if launcher and _id(args, "correlation") is not None:
                by_launch[_id(args, "correlation")] = launcher
            continue
        call = _Call(str(event.get("name", "")), start + duration, duration, args, parent)
        calls.append(call)
        running.append(call)
        by_id[_id(args, "External id")] = call
        if parent:
            parent.children.append(call)
    for call in reversed(calls):
        if call.parent and (call.holds_known or is_known(call.name)):
            call.parent.holds_known = True
    by_id.pop(None, None)
    return calls


def _category(event: Mapping[str, object]) -> str:
    return str(event.get("cat", "")).lower()


def _args(event: Mapping[str, object]) -> Mapping[str, object]:
    args = event.get("args")
    return args if isinstance(args, Mapping) else {}


def _number(event: Mapping[str, object], key: str) -> float:
    value = event[key]
    return float(value) if is_number(value) else 0.0


def _id(args: Mapping[str, object], key: str) -> int | None:
    """An id above 0; 0 and nothing mean none. torch before 2.0 wrote `external id`."""
    value = args.get(key, args.get(key.lower()))
    return value if type(value) is int and value > 0 else None


def _list(args: Mapping[str, object], key: str) -> list[object]:
    value = args.get(key, args.get(key.capitalize()))
    return value if isinstance(value, list) else []
