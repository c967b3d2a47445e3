// SPDX-License-Identifier: BSD-2-Clause
//
// What LiteX's simulation core asks of the Verilated model: same entry points as litex/build/sim/core/veril.cpp, with
// three differences. Tracing is compiled in only on request (it doubles the build and slows each cycle); the trace is
// not flushed twice a cycle; and SIGTERM or SIGINT end the run in good order, so that a trace is complete.

#include <csignal>
#include <cstdint>
#include <cstdio>

#include "Vsim.h"
#include "verilated.h"
#if VM_TRACE_FST
#include "verilated_fst_c.h"
using Trace = VerilatedFstC;
static const char *const trace_name = "sim.fst";
#elif VM_TRACE
#include "verilated_vcd_c.h"
using Trace = VerilatedVcdC;
static const char *const trace_name = "sim.vcd";
#endif
#if VM_COVERAGE
#include "verilated_cov.h"
#endif

static volatile std::sig_atomic_t asked_to_end = 0;
static uint64_t time_ps = 0;

#if VM_TRACE
static Trace *trace = nullptr;
static Vsim *traced = nullptr;
static uint64_t trace_start_ps;
static uint64_t trace_end_ps;
#endif

static void end_run(int)
{
  asked_to_end = 1;
}

extern "C" void litex_sim_init_cmdargs(int argc, char *argv[])
{
  struct sigaction action = {};

  Verilated::commandArgs(argc, argv);
  action.sa_handler = end_run;  // without SA_RESTART: a sleeping poll() returns
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
}

extern "C" void litex_sim_eval(void *vsim, uint64_t now_ps)
{
  static_cast<Vsim *>(vsim)->eval();
  time_ps = now_ps;
}

extern "C" void litex_sim_init_tracer(void *vsim, long start_ps, long end_ps)
{
#if VM_TRACE
  traced = static_cast<Vsim *>(vsim);
  trace_start_ps = static_cast<uint64_t>(start_ps);
  trace_end_ps = end_ps >= 0 ? static_cast<uint64_t>(end_ps) : UINT64_MAX;
  Verilated::traceEverOn(true);
  trace = new Trace;
  traced->trace(trace, 99);
  trace->set_time_unit("1ps");
  trace->set_time_resolution("1ps");
  trace->open(trace_name);
#else
  (void)vsim;
  (void)start_ps;
  (void)end_ps;
#endif
}

extern "C" void litex_sim_tracer_dump()
{
#if VM_TRACE
  if (traced->sim_trace && trace_start_ps <= time_ps && time_ps <= trace_end_ps)
    trace->dump(time_ps);
#endif
}

extern "C" int litex_sim_got_finish()
{
  const bool done = asked_to_end || Verilated::gotFinish();
#if VM_TRACE
  if (done && trace) {
    trace->close();
    trace = nullptr;
  }
#endif
  return done;
}

#if VM_COVERAGE
extern "C" void litex_sim_coverage_dump()
{
  Verilated::threadContextp()->coveragep()->write("sim.cov");
}
#endif

double sc_time_stamp()
{
  return static_cast<double>(time_ps);
}
