// SPDX-License-Identifier: BSD-2-Clause
// Cells of the iCE40 that Yosys has no model of. A wire: its input is at the rate of its output.
module SB_PLL40_PAD #(
  parameter FEEDBACK_PATH = "", parameter DIVR = 0, parameter DIVF = 0, parameter DIVQ = 0, parameter FILTER_RANGE = 0
) (input PACKAGEPIN, input RESETB, output PLLOUTGLOBAL, output LOCK);
  assign PLLOUTGLOBAL = PACKAGEPIN;
  assign LOCK         = RESETB;
endmodule
