"""A pipeline in Verilog: registered FIFOs with valid and ready, window buffers, units, register chains, lockstep forks.

Words carry data, so that order and windows can be checked beside the cycles: a source counts and mixes, every other
actor adds up the words that its ports need (all words of a window's box), port i weighted by 2 i + 1, and one. Every
module has its own text; nothing is read from the simulation in Python but depths, capacities and intervals.
"""

from __future__ import annotations

from hwsim.core.errors import UnsupportedError
from hwsim.cost_models.pipeline.graph import Actor, Edge, Graph, Port
from hwsim.cost_models.pipeline.windows import Axis


def verilog(graph: Graph, name: str, inferences: int = 1, period: int = 0, log: str = "events.txt") -> str:
    """The modules of a pipeline beside `primitives.LIBRARY`, and a bench `name` that writes all events to a file.

    Lines of the file are `S actor cycle` for a start, `W actor cycle data` for a write and `R fifo cycle` for a read,
    numbered as in the graph. It ends when nothing happens any more.

    Raises
    ------
    UnsupportedError
        For a FIFO without a bound or with a delay above 2, windows on three axes, or outputs that need no input.
    """
    units = [_actor_module(f"{name}_a{i}", actor) for i, actor in enumerate(graph.actors) if actor.ports]
    feeds = [
        _buffer_module(f"{name}_a{i}_p{p}", port, f"actor {actor.name}")
        for i, actor in enumerate(graph.actors)
        for p, port in enumerate(actor.ports)
        if port.kind == "buffered"
    ]
    return "\n".join((*feeds, *units, _bench(graph, name, inferences, period, log)))


def _table(name: str, values: tuple[int, ...]) -> str:
    """A function from positions to numbers."""
    if len(set(values)) == 1:
        return f"  function integer {name}(input integer o); {name} = {values[0]}; endfunction\n"
    cases = " ".join(f"{o}: {name} = {value};" for o, value in enumerate(values))
    return f"  function integer {name}(input integer o); case (o) {cases} default: {name} = 0; endcase endfunction\n"


def _buffer_module(name: str, port: Port, where: str) -> str:
    """A buffered port: a ring of words, and for each output the box of positions that it needs."""
    axes = (Axis(1, (0,), (0,)), *port.axes)[-2:]
    if len(port.axes) > 2 or any(
        last < first for axis in axes for first, last in zip(axis.first, axis.last, strict=True)
    ):
        raise UnsupportedError(
            "windows on three axes or without a word", where=where, hint="simulate it in Python only"
        )
    rows, columns = axes
    tables = _table("top", rows.first) + _table("bottom", rows.last)
    tables += _table("left", columns.first) + _table("right", columns.last)
    tables += _table("top_on", _from_here_on(rows.first)) + _table("left_on", _from_here_on(columns.first))
    return f"""module {name}(
  input clk, input [31:0] in_data, input in_valid, output in_ready,
  output have, output reg [31:0] operand, input start
);
{tables}  reg [31:0] memory [0:{port.capacity - 1}];
  reg [31:0] taken, base, rest, y, x;
  integer row, column, oldest, below;
  initial begin taken = 0; base = 0; rest = 0; y = 0; x = 0; end
  always @* begin
    oldest = top(y) * {columns.size} + left_on(x);
    below = top_on(y + 1) * {columns.size} + left_on(0);
    if (y + 1 < {len(rows.first)} && below < oldest) oldest = below;
  end
  wire last_x = x == {len(columns.first) - 1};
  wire last_y = y == {len(rows.first) - 1};
  assign have = taken > base + bottom(y) * {columns.size} + right(x);
  assign in_ready = taken < base + oldest + {port.capacity} && rest == 0;
  always @(posedge clk) begin
    if (in_valid && in_ready) begin
      memory[taken % {port.capacity}] <= in_data;
      taken <= taken + 1;
      rest <= {port.accept - 1};
    end else if (rest != 0) rest <= rest - 1;
    if (start) begin
      x <= last_x ? 0 : x + 1;
      if (last_x) y <= last_y ? 0 : y + 1;
      if (last_x && last_y) base <= base + {port.words};
    end
  end
  always @* begin
    operand = 0;
    for (row = top(y); row <= bottom(y); row = row + 1)
      for (column = left(x); column <= right(x); column = column + 1)
        operand = operand + memory[(base + row * {columns.size} + column) % {port.capacity}];
  end
endmodule
"""


def _from_here_on(first: tuple[int, ...]) -> tuple[int, ...]:
    """The least first position of an output and those after it: padded windows with gaps between taps may step back."""
    return tuple(min(first[o:]) for o in range(len(first)))


def _actor_module(name: str, actor: Actor) -> str:
    """Ports, unit and register chain of an actor."""
    count = len(actor.ports)
    ports = "".join(f", input [31:0] in_data{i}, input in_valid{i}, output in_ready{i}" for i in range(count))
    feeds = []
    for i, port in enumerate(actor.ports):
        kind = {"direct": "pipeline_direct", "held": f"pipeline_held #({actor.words})"}.get(port.kind, f"{name}_p{i}")
        wires = f".in_data(in_data{i}), .in_valid(in_valid{i}), .in_ready(in_ready{i})"
        feeds.append(f"  wire have{i}; wire [31:0] operand{i};")
        feeds.append(f"  {kind} feed{i}(.clk(clk), {wires}, .have(have{i}), .operand(operand{i}), .start(start));")
    have = " && ".join(f"have{i}" for i in range(count))
    total = " + ".join(f"{2 * i + 1} * operand{i}" for i in range(count))
    wires = ".out_data(out_data), .out_valid(out_valid), .out_ready(out_ready)"
    chain = f"  pipeline_chain #({actor.depth}) chain(.clk(clk), .in_data(unit_data), .in_valid(unit_valid), "
    chain += f".in_ready(unit_ready), {wires});"
    if actor.depth == 0:
        chain = "  assign out_data = unit_data; assign out_valid = unit_valid; assign unit_ready = out_ready;"
    lines = "\n".join(feeds)
    return f"""module {name}(
  input clk{ports}, output start, output [31:0] out_data, output out_valid, input out_ready
);
{_table("extra", tuple(int(i) - 1 for i in actor.intervals))}  reg [31:0] k, left, result;
  reg busy;
  wire have, unit_valid, unit_ready;
  wire [31:0] total, unit_data;
  initial begin k = 0; left = 0; busy = 0; end
{lines}
  assign have = {have};
  assign total = {total} + 1;
  wire at_once = extra(k) == 0;
  assign start = have && !busy && (!at_once || unit_ready);
  assign unit_valid = busy ? left == 0 : have && at_once;
  assign unit_data = busy ? result : total;
  always @(posedge clk) begin
    if (start) begin
      k <= k == {actor.words - 1} ? 0 : k + 1;
      result <= total;
      busy <= !at_once;
      left <= extra(k) - 1;
    end else if (busy) begin
      if (left != 0) left <= left - 1;
      else if (unit_ready) busy <= 0;
    end
  end
{chain}
endmodule
"""


def _bench(graph: Graph, name: str, inferences: int, period: int, log: str) -> str:
    """All modules, connected, and what writes the log."""
    index = {actor.name: i for i, actor in enumerate(graph.actors)}
    fed = {(edge.target, edge.port): i for i, edge in enumerate(graph.edges)}
    body, events = [], []
    for i, actor in enumerate(graph.actors):
        leaves = [e for e, edge in enumerate(graph.edges) if edge.source == actor.name]
        ready = " && ".join(f"ready{e}" for e in leaves) or "1'b1"
        body.append(f"  wire start{i}, valid{i}, all{i}; wire [31:0] data{i}; assign all{i} = {ready};")
        out = f".out_data(data{i}), .out_valid(valid{i}), .out_ready(all{i})"
        if actor.ports:
            ports = [fed[actor.name, p] for p in range(len(actor.ports))]
            wires = "".join(
                f".in_data{p}(word{e}), .in_valid{p}(there{e}), .in_ready{p}(take{e}), " for p, e in enumerate(ports)
            )
            body.append(f"  {name}_a{i} a{i}(.clk(clk), {wires}.start(start{i}), {out});")
        else:
            total = actor.words * inferences
            body.append(f"  pipeline_source #({actor.words}, {total}, {period}) a{i}(.clk(clk), .cycle(cycle), {out});")
            body.append(f"  assign start{i} = valid{i} && all{i};")
        events.append((f"start{i}", f'"S {i} %0d\\n", cycle'))
        events.append((f"valid{i} && all{i}", f'"W {i} %0d %0d\\n", cycle, data{i}'))
    for e, edge in enumerate(graph.edges):
        i = index[edge.source]
        body.append(f"  wire ready{e}, there{e}, take{e}; wire [31:0] word{e};")
        put = f".in_data(data{i}), .in_valid(valid{i} && all{i}), .in_ready(ready{e})"
        body.append(
            f"  {_fifo(edge)} #({edge.depth}) f{e}(.clk(clk), {put}, "
            f".out_data(word{e}), .out_valid(there{e}), .out_ready(take{e}));"
        )
        events.append((f"there{e} && take{e}", f'"R {e} %0d\\n", cycle'))
    lines = "\n".join(body)
    writes = "\n".join(f"    if ({when}) $fwrite(file, {what});" for when, what in events)
    some = " || ".join(f"({when})" for when, _ in events)
    return f"""module {name};
  reg clk;
  reg [31:0] cycle, idle;
  integer file;
{lines}
  initial begin
    clk = 0; cycle = 0; idle = 0;
    file = $fopen("{log}", "w");
    while (idle <= {_longest_pause(graph, period)}) begin #1 clk = 1; #1 clk = 0; end
    $fclose(file);
  end
  always @(posedge clk) begin
    cycle <= cycle + 1;
    idle <= {some} ? 0 : idle + 1;
{writes}
  end
endmodule
"""


def _fifo(edge: Edge) -> str:
    if edge.depth is None or edge.delay > 2:
        hint = "give it a depth and a delay of 1 or 2"
        raise UnsupportedError("a FIFO without a bound or of a longer delay", where=f"FIFO {edge.name}", hint=hint)
    return "pipeline_fifo" if edge.delay == 1 else "pipeline_memory_fifo"


def _longest_pause(graph: Graph, period: int) -> int:
    """More cycles than can pass without any event before the next one."""
    longest = [int(a.intervals.max()) + a.depth + max((p.accept for p in a.ports), default=0) for a in graph.actors]
    return max(longest) + period + 4
