// SPDX-License-Identifier: BSD-2-Clause
// Runs a verilated accelerator with a memory behind its native ports. Commands, answers and the collection of results
// stall at random; a request outside the memory or a write without data stops the run with an error.
#include <cstdint>
#include <cstring>
#include <deque>
#include <vector>

#include "Vaccelerator.h"
#include "ports.h"  // NPORTS, BEAT_BYTES, PORT_LIST(X) and accessors, generated for the configuration
#include "verilated.h"

struct Request {
    bool     write;
    uint64_t address;
    uint64_t due;
};

struct Port {
    std::deque<Request> queue;
    bool     ready = false, rvalid = false, wready = false;
    uint64_t address = 0;
};

struct Ended {
    uint32_t tag, code, cycles;
};

enum Error { NONE, OUTSIDE, NO_DATA };

const unsigned POST_WORD = JOB_WORDS - 1;

struct Harness {
    Vaccelerator*        top;
    std::vector<uint8_t> memory;
    Port                 ports[NPORTS];
    std::deque<std::vector<uint32_t>> jobs;
    std::vector<Ended>   ended;
    uint64_t cycle = 0, seed = 1, events[NEVENTS] = {};
    uint32_t stall = 0;  // of 65536
    uint32_t latency = 5;
    int      error = NONE;
    unsigned word = 0;  // of the descriptor that is being written
    bool     accept = false;

    uint32_t random() {  // xorshift64*
        seed ^= seed >> 12; seed ^= seed << 25; seed ^= seed >> 27;
        return uint32_t((seed*0x2545F4914F6CDD1DULL) >> 40) & 0xFFFF;
    }
    bool go() { return random() >= stall; }

    void sample(Port& port, bool valid, bool we, uint64_t address, bool wvalid, const void* wdata, uint32_t enables) {
        if (port.ready && valid) {
            if ((address + 1)*BEAT_BYTES > memory.size()) error = OUTSIDE;
            else port.queue.push_back({we, address*BEAT_BYTES, cycle + latency});
        }
        if (port.wready) {
            if (!wvalid) error = NO_DATA;
            else for (int i = 0; i < BEAT_BYTES; i++)
                if (enables >> i & 1) memory[port.address + i] = static_cast<const uint8_t*>(wdata)[i];
        }
        port.rvalid = port.wready = false;
        if (!port.queue.empty() && port.queue.front().due <= cycle && go()) {
            Request request = port.queue.front();
            port.queue.pop_front();
            port.address = request.address;
            (request.write ? port.wready : port.rvalid) = true;
        }
        port.ready = go();
    }

    void step() {
        // A word a cycle; the last one waits until the queue takes a job.
        top->post_write = !jobs.empty() && (word < POST_WORD || top->post_ready);
        top->post_word = word;
        top->post_data = jobs.empty() ? 0 : jobs.front()[word];
        bool posted = top->post_write && word == POST_WORD;
        if (top->post_write) word++;
        top->source_ready = accept;
        top->sys_clk = 0;
        top->eval();
        if (posted) {
            jobs.pop_front();
            word = 0;
        }
        if (accept && top->source_valid)
            ended.push_back({top->source_tag, top->source_code, top->source_cycles});
        const uint32_t now[NEVENTS] = {EVENT_LIST};
        for (int i = 0; i < NEVENTS; i++) events[i] += now[i];
#define SAMPLE(I) sample(ports[I], top->port##I##_cmd_valid, top->port##I##_cmd_we, top->port##I##_cmd_addr, \
            WDATA_VALID_##I, WDATA_##I, WDATA_WE_##I);
        PORT_LIST(SAMPLE)
        top->sys_clk = 1;
        top->eval();
#define DRIVE(I) drive##I();
        PORT_LIST(DRIVE)
        accept = go();
        cycle++;
    }
#define DRIVER(I) void drive##I() { \
        Port& p = ports[I]; \
        top->port##I##_cmd_ready = p.ready; \
        DRIVE_DATA_##I \
    }
    PORT_LIST(DRIVER)
};

extern "C" {

Harness* harness_new(uint64_t bytes) {
    Harness* h = new Harness;
    h->top = new Vaccelerator;
    h->memory.resize(bytes);
    h->top->sys_rst = 1;
    h->top->reset = 0;
    for (int i = 0; i < 4; i++) {
        h->top->sys_clk = 0; h->top->eval();
        h->top->sys_clk = 1; h->top->eval();
    }
    h->top->sys_rst = 0;
    return h;
}

void harness_delete(Harness* h) {
    h->top->final();
    delete h->top;
    delete h;
}

uint8_t* harness_memory(Harness* h) { return h->memory.data(); }

void harness_setup(Harness* h, uint64_t seed, uint32_t stall, uint32_t latency) {
    h->seed = seed*2 + 1;
    h->stall = stall;
    h->latency = latency;
}

void harness_post(Harness* h, const uint32_t* words) { h->jobs.emplace_back(words, words + JOB_WORDS); }

// Runs until `count` jobs have ended, at most `limit` cycles. Returns the cycles run, or -error.
int64_t harness_run(Harness* h, uint64_t count, uint64_t limit) {
    uint64_t start = h->cycle;
    while (h->ended.size() < count && h->cycle - start < limit && h->error == NONE) h->step();
    return h->error == NONE ? int64_t(h->cycle - start) : -h->error;
}

uint64_t harness_ended(Harness* h, uint32_t* out, uint64_t most) {
    uint64_t n = h->ended.size() < most ? h->ended.size() : most;
    for (uint64_t i = 0; i < n; i++) memcpy(out + 3*i, &h->ended[i], 12);
    h->ended.erase(h->ended.begin(), h->ended.begin() + n);
    return n;
}

void harness_reset(Harness* h) {
    h->jobs.clear();
    h->word = 0;
    h->top->reset = 1;
    h->step();
    h->top->reset = 0;
}

void harness_events(Harness* h, uint64_t* out) { memcpy(out, h->events, sizeof(h->events)); }

void harness_registers(Harness* h, uint32_t* out) {
    const uint32_t now[] = {REGISTER_LIST};
    memcpy(out, now, sizeof(now));
}
}
