"""Verilog modules that all pipelines share: FIFOs, ports without a buffer, register chains, sources."""

from __future__ import annotations

MIX = 2654435761  # an odd number: distinct words stay distinct modulo 2**32

FIFO = """module pipeline_fifo #(parameter DEPTH = 2)(
  input clk, input [31:0] in_data, input in_valid, output in_ready,
  output [31:0] out_data, output out_valid, input out_ready
);
  reg [31:0] memory [0:DEPTH-1];
  reg [31:0] head, tail, count;
  initial begin head = 0; tail = 0; count = 0; end
  assign in_ready = count < DEPTH;
  assign out_valid = count != 0;
  assign out_data = memory[head];
  wire put = in_valid && in_ready;
  wire take = out_valid && out_ready;
  always @(posedge clk) begin
    if (put) begin memory[tail] <= in_data; tail <= tail == DEPTH - 1 ? 0 : tail + 1; end
    if (take) head <= head == DEPTH - 1 ? 0 : head + 1;
    count <= count + put - take;
  end
endmodule
"""

MEMORY = """module pipeline_memory_fifo #(parameter DEPTH = 2)(
  input clk, input [31:0] in_data, input in_valid, output in_ready,
  output [31:0] out_data, output out_valid, input out_ready
);
  reg [31:0] memory [0:DEPTH-1];
  reg [31:0] head, tail, count, front;
  reg valid;
  initial begin head = 0; tail = 0; count = 0; valid = 0; end
  assign in_ready = count < DEPTH;
  assign out_valid = valid;
  assign out_data = front;
  wire put = in_valid && in_ready;
  wire take = valid && out_ready;
  wire load = (!valid || out_ready) && count != valid;
  always @(posedge clk) begin
    if (put) begin memory[tail] <= in_data; tail <= tail == DEPTH - 1 ? 0 : tail + 1; end
    if (load) begin front <= memory[head]; head <= head == DEPTH - 1 ? 0 : head + 1; end
    if (load || take) valid <= load;
    count <= count + put - take;
  end
endmodule
"""

DIRECT = """module pipeline_direct(
  input clk, input [31:0] in_data, input in_valid, output in_ready,
  output have, output [31:0] operand, input start
);
  assign have = in_valid;
  assign operand = in_data;
  assign in_ready = start;
endmodule
"""

HELD = """module pipeline_held #(parameter OUTPUTS = 1)(
  input clk, input [31:0] in_data, input in_valid, output in_ready,
  output have, output [31:0] operand, input start
);
  reg [31:0] kept, k;
  initial k = 0;
  assign have = k != 0 || in_valid;
  assign operand = k == 0 ? in_data : kept;
  assign in_ready = start && k == 0;
  always @(posedge clk) if (start) begin
    if (k == 0) kept <= in_data;
    k <= k == OUTPUTS - 1 ? 0 : k + 1;
  end
endmodule
"""

CHAIN = """module pipeline_chain #(parameter DEPTH = 1)(
  input clk, input [31:0] in_data, input in_valid, output in_ready,
  output [31:0] out_data, output out_valid, input out_ready
);
  reg [31:0] data [0:DEPTH-1];
  reg [DEPTH-1:0] valid;
  wire [DEPTH:0] ready;
  integer i;
  genvar g;
  initial valid = 0;
  assign ready[DEPTH] = out_ready;
  generate for (g = 0; g < DEPTH; g = g + 1) begin: stages
    assign ready[g] = !valid[g] || ready[g + 1];
  end endgenerate
  assign in_ready = ready[0];
  assign out_valid = valid[DEPTH-1];
  assign out_data = data[DEPTH-1];
  always @(posedge clk) for (i = 0; i < DEPTH; i = i + 1) if (ready[i]) begin
    valid[i] <= i == 0 ? in_valid : valid[i-1];
    data[i] <= i == 0 ? in_data : data[i-1];
  end
endmodule
"""

SOURCE = """module pipeline_source #(parameter WORDS = 1, TOTAL = 1, PERIOD = 0)(
  input clk, input [31:0] cycle, output [31:0] out_data, output out_valid, input out_ready
);
  reg [31:0] k;
  initial k = 0;
  assign out_valid = k < TOTAL && cycle >= (k / WORDS) * PERIOD;
  assign out_data = (k + 1) * 32'd{mix};
  always @(posedge clk) if (out_valid && out_ready) k <= k + 1;
endmodule
""".replace("{mix}", str(MIX))

LIBRARY = FIFO + MEMORY + DIRECT + HELD + CHAIN + SOURCE
