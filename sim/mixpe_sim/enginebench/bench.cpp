// SPDX-License-Identifier: BSD-2-Clause
// Runs a verilated engine with a memory behind two read ports and a write port. Commands and answers stall at random; a
// request outside the memory or a write without data stops the run with an error.
#include <cstdint>
#include <cstring>
#include <deque>
#include <vector>

#include "Vbench.h"
#include "ports.h"  // BEAT_BYTES
#include "verilated.h"

struct Request {
    uint64_t address, due;
};

struct Port {
    std::deque<Request> queue;
    bool     ready = false, answer = false;
    uint64_t address = 0;
};

enum Error { NONE, OUTSIDE, NO_DATA };

struct Bench {
    Vbench*              top;
    std::vector<uint8_t> memory;
    Port                 ports[3];
    uint32_t record[16] = {}, stall = 0, latency = 5;  // stall: of 65536
    uint64_t cycle = 0, seed = 1, writes = 0;
    int      error = NONE;

    bool go() {  // xorshift64*
        seed ^= seed >> 12; seed ^= seed << 25; seed ^= seed >> 27;
        return ((seed*0x2545F4914F6CDD1DULL) >> 40 & 0xFFFF) >= stall;
    }

    void sample(Port& port, bool valid, uint64_t address) {
        if (port.ready && valid) {
            if ((address + 1)*BEAT_BYTES > memory.size()) error = OUTSIDE;
            else port.queue.push_back({address*BEAT_BYTES, cycle + latency});
        }
        port.answer = false;
        if (!port.queue.empty() && port.queue.front().due <= cycle && go()) {
            port.address = port.queue.front().address;
            port.queue.pop_front();
            port.answer = true;
        }
        port.ready = go();
    }

    void step() {
        top->sys_clk = 0;
        top->eval();
        if (ports[2].answer) {
            if (!top->port2_wdata_valid) error = NO_DATA;
            const uint8_t* data = reinterpret_cast<const uint8_t*>(&top->port2_wdata_data);
            for (int i = 0; i < BEAT_BYTES; i++)
                if (top->port2_wdata_we >> i & 1) memory[ports[2].address + i] = data[i];
            writes++;
        }
        sample(ports[0], top->port0_cmd_valid, top->port0_cmd_addr);
        sample(ports[1], top->port1_cmd_valid, top->port1_cmd_addr);
        sample(ports[2], top->port2_cmd_valid, top->port2_cmd_addr);
        uint32_t value = record[top->index];
        top->sys_clk = 1;
        top->eval();
        top->value = value;
        top->port0_cmd_ready = ports[0].ready;
        top->port1_cmd_ready = ports[1].ready;
        top->port2_cmd_ready = ports[2].ready;
        top->port0_rdata_valid = ports[0].answer;
        if (ports[0].answer) memcpy(&top->port0_rdata_data, &memory[ports[0].address], BEAT_BYTES);
        top->port1_rdata_valid = ports[1].answer;
        if (ports[1].answer) memcpy(&top->port1_rdata_data, &memory[ports[1].address], BEAT_BYTES);
        top->port2_wdata_ready = ports[2].answer;
        cycle++;
    }
};

extern "C" {

void bench_reset(Bench* b) {
    b->top->sys_rst = 1;
    for (int i = 0; i < 3; i++) b->step();
    b->top->sys_rst = 0;
}

Bench* bench_new(uint64_t bytes) {
    Bench* b = new Bench;
    b->top = new Vbench;
    b->memory.resize(bytes);
    b->top->enable = 1;
    bench_reset(b);
    return b;
}

void bench_delete(Bench* b) {
    b->top->final();
    delete b->top;
    delete b;
}

uint8_t* bench_memory(Bench* b) { return b->memory.data(); }

void bench_setup(Bench* b, uint64_t seed, uint32_t stall, uint32_t latency) {
    b->seed = seed*2 + 1;
    b->stall = stall;
    b->latency = latency;
}

// Runs a record, at most `limit` cycles. result: code, choice or -1, memory words written. Returns the cycles, or
// -error; the limit where the record did not end.
int64_t bench_run(Bench* b, const uint32_t* words, uint32_t low, uint32_t high, uint64_t limit, int64_t* result) {
    memcpy(b->record, words, 64);
    uint64_t start = b->cycle, writes = b->writes;
    b->top->low_beat = low;
    b->top->high_beat = high;
    b->top->valid = 1;
    b->top->source_ready = 1;
    result[1] = -1;
    bool ended = false;
    while (!ended && b->cycle - start < limit && b->error == NONE) {
        b->top->sys_clk = 0;
        b->top->eval();
        bool popped = b->top->pop;
        if (b->top->choice_valid) result[1] = b->top->choice_token;
        if (b->top->source_valid) {
            result[0] = b->top->source_code;
            ended = true;
        }
        b->step();
        if (popped) b->top->valid = 0;
    }
    b->top->source_ready = 0;
    result[2] = b->writes - writes;
    return b->error == NONE ? int64_t(b->cycle - start) : -b->error;
}

// Aborts what runs as the supervisor does: nothing new begins, what is on its way ends, then the reset. Returns how many
// cycles that took, or -1 where it does not end.
int64_t bench_abort(Bench* b) {
    uint64_t start = b->cycle;
    b->top->enable = 0;
    b->top->valid = 0;
    b->step();
    b->step();
    for (int i = 0; i < 2000; i++) {
        b->top->sys_clk = 0;
        b->top->eval();
        if (b->top->quiet) break;
        b->step();
    }
    bool quiet = b->top->quiet;
    for (int i = 0; i < 3; i++) quiet &= b->ports[i].queue.empty() && !b->ports[i].answer;
    bench_reset(b);
    b->top->enable = 1;
    return quiet ? int64_t(b->cycle - start) : -1;
}
}
