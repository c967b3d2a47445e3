/* SPDX-License-Identifier: BSD-2-Clause
 *
 * A netlist between a clock, a UART at its pins, and a TCP socket on 127.0.0.1.
 *
 * The UART takes its bits in the middle and gives them at the board's rate, byte after byte. One client at a time; while
 * there is none, and nothing is under way at the pins, the clock stands. The program ends when its parent does.
 */

#include <algorithm>
#include <arpa/inet.h>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "Vtop.h"
#include "verilated.h"

#include "pins.h"

static const double BIT_CYCLES = double(CLOCK_HZ)/BAUDRATE;
static const uint64_t LOOK_CYCLES = 512;  /* between two looks at socket and parent */
static const size_t QUEUE_BYTES = 4096;   /* taken from the socket and not yet sent */
static const int BITS = 10;               /* start, eight, stop */

/* As of the simulated SoC (modules/host.h): MIXPE_LINK_PORT, MIXPE_LINK_REPORT, MIXPE_LINK_PARENT. */
static long setting(const char *name, long otherwise)
{
  const char *text = getenv(name);
  return text && *text ? strtol(text, nullptr, 10) : otherwise;
}

/* To the device. */
struct Sender {
  std::deque<uint8_t> bytes;
  unsigned shift = 1;
  int left = 0;
  double next = 0;

  int level(uint64_t now) {
    if (left && now >= next) {
      shift >>= 1;
      next += BIT_CYCLES;
      left--;
    }
    if (!left) {
      if (bytes.empty())
        return 1;
      shift = 1u << 9 | unsigned(bytes.front()) << 1;
      bytes.pop_front();
      left = BITS;
      next = now + BIT_CYCLES;
    }
    return shift & 1;
  }
};

/* From the device. */
struct Receiver {
  std::deque<uint8_t> bytes;
  unsigned shift = 0;
  int left = 0;
  double next = 0;
  uint64_t broken = 0; /* bytes without a stop bit */

  void sample(uint64_t now, int level) {
    if (!left) {
      if (!level) {
        left = BITS - 1;
        next = now + 1.5*BIT_CYCLES;
      }
      return;
    }
    if (now < next)
      return;
    next += BIT_CYCLES;
    shift = shift >> 1 | unsigned(level) << 8;
    if (--left == 0) {
      if (level)
        bytes.push_back(shift & 0xFF);
      else
        broken++;
    }
  }
};

struct Socket {
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  int client = -1;

  Socket() {
    int yes = 1;
    struct sockaddr_in address = {};
    socklen_t size = sizeof address;
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(uint16_t(setting("MIXPE_LINK_PORT", 0)));
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(listener, (struct sockaddr *)&address, size) || listen(listener, 1)
        || getsockname(listener, (struct sockaddr *)&address, &size)) {
      perror("cannot listen on 127.0.0.1");
      exit(1);
    }
    int report = int(setting("MIXPE_LINK_REPORT", -1));
    if (report >= 0) {
      dprintf(report, "%d\n", ntohs(address.sin_port));
      close(report);
    }
  }

  void leave() {
    close(client);
    client = -1;
  }

  void wait(int limit_ms) {
    struct pollfd fd = {listener, POLLIN, 0};
    poll(&fd, 1, limit_ms);
  }

  void look(Sender &up, Receiver &down) {
    if (client < 0 && (client = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)) < 0)
      return;
    uint8_t data[QUEUE_BYTES];
    if (up.bytes.size() < QUEUE_BYTES) {
      ssize_t count = recv(client, data, QUEUE_BYTES - up.bytes.size(), 0);
      if (count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR))
        return leave();
      for (ssize_t n = 0; n < count; n++)
        up.bytes.push_back(data[n]);
    }
    size_t count = std::min(down.bytes.size(), sizeof data);
    std::copy_n(down.bytes.begin(), count, data);
    ssize_t sent = count ? send(client, data, count, MSG_NOSIGNAL) : 0;
    if (sent > 0)
      down.bytes.erase(down.bytes.begin(), down.bytes.begin() + sent);
    else if (sent < 0 && errno != EAGAIN && errno != EINTR)
      leave();
  }
};

static volatile sig_atomic_t is_over;

static void end(int) { is_over = 1; }

int main(int argc, char **argv)
{
  signal(SIGTERM, end);
  signal(SIGINT, end);
  signal(SIGPIPE, SIG_IGN);
  VerilatedContext context;
  context.commandArgs(argc, argv);
  context.randReset(2);
  Vtop top{&context};
  Socket link;
  Sender up;
  Receiver down;
  const pid_t parent = pid_t(setting("MIXPE_LINK_PARENT", 0));
  uint64_t cycles = 0;

  rest(top);
  while (!is_over && !context.gotFinish()) {
    if (cycles % LOOK_CYCLES == 0) {
      link.look(up, down);
      if (parent && getppid() != parent)
        break;
      if (link.client < 0) {
        down.bytes.clear(); /* nobody reads it */
        if (up.bytes.empty() && !up.left && !down.left && cycles) {
          link.wait(100);
          if (link.client < 0)
            link.look(up, down);
          if (link.client < 0)
            continue;
        }
      }
    }
    top.serial_rx = up.level(cycles);
    top.CLOCK = 1;
    top.eval();
    down.sample(cycles, top.serial_tx);
    top.CLOCK = 0;
    top.eval();
    cycles++;
  }
  top.final();
  if (down.broken)
    printf("%llu bytes without a stop bit\n", (unsigned long long)down.broken);
  printf("%llu cycles\n", (unsigned long long)cycles);
  return 0;
}
