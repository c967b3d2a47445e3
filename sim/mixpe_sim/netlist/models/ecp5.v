// SPDX-License-Identifier: BSD-2-Clause
// Cells of the ECP5 that Yosys has as black boxes, or with what Verilator does not take; as far as netlists here use them.

// A wire: its input is at the rate of its outputs. An output that is due later comes half a cycle later.
module EHXPLLL(
  input CLKI, CLKFB, PHASESEL1, PHASESEL0, PHASEDIR, PHASESTEP, PHASELOADREG, STDBY, PLLWAKESYNC, RST, ENCLKOP, ENCLKOS,
    ENCLKOS2, ENCLKOS3,
  output CLKOP, CLKOS, CLKOS2, CLKOS3, LOCK, INTLOCK, REFCLK, CLKINTFB
);
  parameter CLKI_DIV = 1, CLKFB_DIV = 1, CLKOP_DIV = 8, CLKOS_DIV = 8, CLKOS2_DIV = 8, CLKOS3_DIV = 8;
  parameter CLKOP_ENABLE = "", CLKOS_ENABLE = "", CLKOS2_ENABLE = "", CLKOS3_ENABLE = "", FEEDBK_PATH = "";
  parameter CLKOP_CPHASE = 0, CLKOS_CPHASE = 0, CLKOS2_CPHASE = 0, CLKOS3_CPHASE = 0;
  parameter CLKOP_FPHASE = 0, CLKOS_FPHASE = 0, CLKOS2_FPHASE = 0, CLKOS3_FPHASE = 0;
  assign CLKOP  = CLKI;
  assign CLKOS  = CLKOS_CPHASE != CLKOP_CPHASE ? ~CLKI : CLKI;
  assign CLKOS2 = CLKI;
  assign CLKOS3 = CLKI;
  assign LOCK   = ~RST;
  assign INTLOCK = LOCK;
  assign REFCLK = CLKI;
  assign CLKINTFB = CLKI;
endmodule

// For data that stand still, as a clock's.
module ODDRX1F(input SCLK, RST, D0, D1, output Q);
  parameter GSR = "ENABLED";
  assign Q = SCLK ? D0 : D1;
endmodule

module TRELLIS_IO(inout B, input I, input T, output O);
  parameter DIR = "INPUT";
  generate
    if (DIR == "INPUT") begin
      assign O = B;
    end else if (DIR == "OUTPUT") begin
      assign B = I;
      assign O = 1'b0;
    end else begin
      assign B = T ? 1'bz : I;
      assign O = B;
    end
  endgenerate
endmodule

// 1024 words of 18 bits at two ports of 1, 2, 4, 9, 18 or, with both ports' pins, 36 bits. What a port reads of a word
// that the other one writes in the same cycle is nothing. Resets of what is read are at the clock.
module DP16KD(
  input DIA17, DIA16, DIA15, DIA14, DIA13, DIA12, DIA11, DIA10, DIA9, DIA8, DIA7, DIA6, DIA5, DIA4, DIA3, DIA2, DIA1, DIA0,
  input ADA13, ADA12, ADA11, ADA10, ADA9, ADA8, ADA7, ADA6, ADA5, ADA4, ADA3, ADA2, ADA1, ADA0,
  input CEA, OCEA, CLKA, WEA, RSTA, CSA2, CSA1, CSA0,
  output DOA17, DOA16, DOA15, DOA14, DOA13, DOA12, DOA11, DOA10, DOA9, DOA8, DOA7, DOA6, DOA5, DOA4, DOA3, DOA2, DOA1, DOA0,
  input DIB17, DIB16, DIB15, DIB14, DIB13, DIB12, DIB11, DIB10, DIB9, DIB8, DIB7, DIB6, DIB5, DIB4, DIB3, DIB2, DIB1, DIB0,
  input ADB13, ADB12, ADB11, ADB10, ADB9, ADB8, ADB7, ADB6, ADB5, ADB4, ADB3, ADB2, ADB1, ADB0,
  input CEB, OCEB, CLKB, WEB, RSTB, CSB2, CSB1, CSB0,
  output DOB17, DOB16, DOB15, DOB14, DOB13, DOB12, DOB11, DOB10, DOB9, DOB8, DOB7, DOB6, DOB5, DOB4, DOB3, DOB2, DOB1, DOB0
);
  parameter DATA_WIDTH_A = 18, DATA_WIDTH_B = 18;
  parameter REGMODE_A = "NOREG", REGMODE_B = "NOREG", RESETMODE = "SYNC", ASYNC_RESET_RELEASE = "SYNC", GSR = "AUTO";
  parameter CSDECODE_A = "0b000", CSDECODE_B = "0b000", CLKAMUX = "CLKA", CLKBMUX = "CLKB";
  parameter WRITEMODE_A = "NORMAL", WRITEMODE_B = "NORMAL";
@INITVALS@

  wire [13:0] ada = {ADA13, ADA12, ADA11, ADA10, ADA9, ADA8, ADA7, ADA6, ADA5, ADA4, ADA3, ADA2, ADA1, ADA0};
  wire [13:0] adb = {ADB13, ADB12, ADB11, ADB10, ADB9, ADB8, ADB7, ADB6, ADB5, ADB4, ADB3, ADB2, ADB1, ADB0};
  wire [17:0] dia = {DIA17, DIA16, DIA15, DIA14, DIA13, DIA12, DIA11, DIA10, DIA9, DIA8, DIA7, DIA6, DIA5, DIA4, DIA3, DIA2,
    DIA1, DIA0};
  wire [17:0] dib = {DIB17, DIB16, DIB15, DIB14, DIB13, DIB12, DIB11, DIB10, DIB9, DIB8, DIB7, DIB6, DIB5, DIB4, DIB3, DIB2,
    DIB1, DIB0};
  reg [35:0] outa = 0, outb = 0;
  reg [17:0] memory [0:1023];
  wire clka = CLKAMUX == "INV" ? ~CLKA : CLKA;
  wire clkb = CLKBMUX == "INV" ? ~CLKB : CLKB;

  integer word;
  initial begin
@INITIALS@
  end

  // Bits of a pair of words that an access of a width is about.
  function [35:0] mask_of(input integer width, input [13:0] address);
    case (width)
      1:       mask_of = 36'h1 << (18*address[4] + 9*address[3] + address[2:0]);
      2:       mask_of = 36'h3 << (18*address[4] + 9*address[3] + 2*address[2:1]);
      4:       mask_of = 36'hF << (18*address[4] + 9*address[3] + 4*address[2]);
      9:       mask_of = 36'h1FF << (18*address[4] + 9*address[3]);
      18:      mask_of = {18'b0, {9{address[1]}}, {9{address[0]}}} << 18*address[4];
      default: mask_of = {{9{address[3]}}, {9{address[2]}}, {9{address[1]}}, {9{address[0]}}};
    endcase
  endfunction

  // Where its lowest bit is.
  function [5:0] place_of(input integer width, input [13:0] address);
    case (width)
      1:       place_of = 18*address[4] + 9*address[3] + address[2:0];
      2:       place_of = 18*address[4] + 9*address[3] + 2*address[2:1];
      4:       place_of = 18*address[4] + 9*address[3] + 4*address[2];
      9:       place_of = 18*address[4] + 9*address[3];
      18:      place_of = 18*address[4];
      default: place_of = 0;
    endcase
  endfunction

  function [35:0] whole_of(input integer width);
    whole_of = (36'h1 << width) - 36'h1;
  endfunction

  reg [35:0] pair_a, mask_a, lost_a, next_a, read_a;
  always @(posedge clka) begin
    if (CEA) begin
      pair_a = {memory[{ada[13:5], 1'b1}], memory[{ada[13:5], 1'b0}]};
      mask_a = WEA ? mask_of(DATA_WIDTH_A, ada) : 36'b0;
      next_a = (pair_a & ~mask_a) | (({dib, dia} << place_of(DATA_WIDTH_A, ada)) & mask_a);
      if (mask_a[17:0] != 0)  memory[{ada[13:5], 1'b0}] <= next_a[17:0];
      if (mask_a[35:18] != 0) memory[{ada[13:5], 1'b1}] <= next_a[35:18];
      if (~WEA | WRITEMODE_A != "NORMAL") begin
        lost_a = CEB & WEB & ada[13:5] == adb[13:5] ? mask_of(DATA_WIDTH_B, adb) : 36'b0;
        read_a = WRITEMODE_A == "WRITETHROUGH" ? next_a : (pair_a & ~lost_a) | ({36{1'bx}} & lost_a);
        outa <= (read_a >> place_of(DATA_WIDTH_A, ada)) & whole_of(DATA_WIDTH_A);
      end
    end
    if (RSTA) outa <= 0;
  end
  reg [35:0] pair_b, mask_b, lost_b, next_b, read_b;
  always @(posedge clkb) begin
    if (CEB) begin
      pair_b = {memory[{adb[13:5], 1'b1}], memory[{adb[13:5], 1'b0}]};
      mask_b = WEB ? mask_of(DATA_WIDTH_B, adb) : 36'b0;
      next_b = (pair_b & ~mask_b) | (((DATA_WIDTH_B == 36 ? {dib, dia} : {18'b0, dib}) << place_of(DATA_WIDTH_B, adb)) & mask_b);
      if (mask_b[17:0] != 0)  memory[{adb[13:5], 1'b0}] <= next_b[17:0];
      if (mask_b[35:18] != 0) memory[{adb[13:5], 1'b1}] <= next_b[35:18];
      if (~WEB | WRITEMODE_B != "NORMAL") begin
        lost_b = CEA & WEA & adb[13:5] == ada[13:5] ? mask_of(DATA_WIDTH_A, ada) : 36'b0;
        read_b = WRITEMODE_B == "WRITETHROUGH" ? next_b : (pair_b & ~lost_b) | ({36{1'bx}} & lost_b);
        outb <= (read_b >> place_of(DATA_WIDTH_B, adb)) & whole_of(DATA_WIDTH_B);
      end
    end
    if (RSTB) outb <= 0;
  end
  generate
    if (REGMODE_A != "NOREG" || REGMODE_B != "NOREG") NO_MODEL_OF_ITS_OUTPUT_REGISTERS missing();
  endgenerate

  // A port of 36 bits has both ports' pins.
  assign {DOA17, DOA16, DOA15, DOA14, DOA13, DOA12, DOA11, DOA10, DOA9, DOA8, DOA7, DOA6, DOA5, DOA4, DOA3, DOA2, DOA1, DOA0}
    = DATA_WIDTH_B == 36 ? outb[17:0] : outa[17:0];
  assign {DOB17, DOB16, DOB15, DOB14, DOB13, DOB12, DOB11, DOB10, DOB9, DOB8, DOB7, DOB6, DOB5, DOB4, DOB3, DOB2, DOB1, DOB0}
    = DATA_WIDTH_B == 36 ? outb[35:18] : outb[17:0];
endmodule
