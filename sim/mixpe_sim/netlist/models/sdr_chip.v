// SPDX-License-Identifier: BSD-2-Clause
// A chip of SDR memory at its pins, with bursts of one word. What its data sheet forbids ends the simulation.
module sdr_chip #(
  parameter BANK_BITS = 2, ROW_BITS = 11, COL_BITS = 8, DATA_BITS = 32
) (
  input clk, cke, cs_n, ras_n, cas_n, we_n,
  input [BANK_BITS-1:0] ba,
  input [ROW_BITS-1:0] a,
  input [(DATA_BITS+7)/8-1:0] dm,
  inout [DATA_BITS-1:0] dq
);
  localparam BANKS = 1 << BANK_BITS;
  reg [DATA_BITS-1:0] memory [0:(1 << (BANK_BITS + ROW_BITS + COL_BITS)) - 1];
  reg [ROW_BITS-1:0]  row [0:BANKS-1];
  reg [BANKS-1:0]     open = 0;
  reg [2:0]           latency = 0;      // none before the mode register is set
  reg [DATA_BITS-1:0] first, second, third;
  reg [2:0]           valid = 0;
  wire [2:0] command = {ras_n, cas_n, we_n};
  wire [BANK_BITS+ROW_BITS+COL_BITS-1:0] place = {ba, row[ba], a[COL_BITS-1:0]};
  integer index;

  task fail(input [8*40-1:0] text);
    begin
      $display("[sdr_chip] %0s", text);
      $finish;
    end
  endtask

  always @(posedge clk) begin
    first  <= memory[place];
    second <= first;
    third  <= second;
    valid  <= {valid[1:0], 1'b0};
    if (cke & ~cs_n) case (command)
      3'b000: begin
        if (open != 0)            fail("the mode is set while a row is open");
        if (a[2:0] != 0)          fail("bursts of more than a word");
        if (a[6:4] != 2 && a[6:4] != 3) fail("an unknown latency");
        latency <= a[6:4];
      end
      3'b001: if (open != 0)      fail("refresh while a row is open");
      3'b010: if (a[10])          open <= 0;
              else                open[ba] <= 0;
      3'b011: begin
        if (open[ba])             fail("a row is opened in a bank with one");
        row[ba]  <= a;
        open[ba] <= 1;
      end
      3'b100, 3'b101: begin
        if (~open[ba])            fail("no row is open");
        if (latency == 0)         fail("the mode is not set");
        if (a[10])                open[ba] <= 0;
        if (we_n)                 valid[0] <= 1;
        else for (index = 0; index < DATA_BITS; index = index + 1)
          if (~dm[index/8])       memory[place][index] <= dq[index];
      end
      default: ;
    endcase
  end

  assign dq = latency == 2 ? (valid[1] ? second : {DATA_BITS{1'bz}}) : (valid[2] ? third : {DATA_BITS{1'bz}});
endmodule
