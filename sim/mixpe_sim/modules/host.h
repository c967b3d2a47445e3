/* SPDX-License-Identifier: BSD-2-Clause
 *
 * What our simulation modules share: pads by name, the clock's edges, settings from the environment, life and death
 * with the parent, the port that is reported, and the speed at the end.
 *
 *   MIXPE_LINK_PORT     port to bind, 0 or unset: a free one
 *   MIXPE_LINK_REPORT   file descriptor that receives the port number as a line of text
 *   MIXPE_LINK_PARENT   process id of the parent to live and die with; unset: live on
 *   MIXPE_LINK_IDLE     0: never stop the clock
 */

#ifndef MIXPE_HOST_H
#define MIXPE_HOST_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "error.h"
#include "modules.h"

static inline long setting(const char *name, long otherwise)
{
  const char *text = getenv(name);
  return text && *text ? strtol(text, NULL, 10) : otherwise;
}

static inline void *find_pad(const char *module, struct pad_s *pads, const char *name)
{
  for (; pads->name; pads++)
    if (!strcmp(pads->name, name))
      return pads->signal;
  eprintf("%s: the SoC has no pad %s\n", module, name);
  return NULL;
}

enum edge { STANDS, RISES, FALLS };

/* What the clock did since the last call. */
static inline enum edge clock_edge(const uint8_t *clk, uint8_t *last)
{
  if (*clk == *last)
    return STANDS;
  *last = *clk;
  return *clk ? RISES : FALLS;
}

/* True when the parent is gone; the run then ends as on SIGTERM. */
static inline int is_orphan(pid_t parent)
{
  if (!parent || getppid() == parent)
    return 0;
  raise(SIGTERM);
  return 1;
}

/* Tells the parent that we are ready, and at which port. */
static inline void report_port(int port)
{
  long report = setting("MIXPE_LINK_REPORT", -1);

  if (report >= 0) {
    dprintf((int)report, "%d\n", port);
    close((int)report);
  }
}

/* Binds a socket to an address on loopback and reports its port; ends the simulation when it cannot. */
static inline void bind_loopback(const char *module, int fd, uint32_t host)
{
  struct sockaddr_in address = {.sin_family = AF_INET};
  socklen_t length = sizeof(address);
  int is_stream = 0;
  socklen_t size = sizeof(is_stream);
  char name[INET_ADDRSTRLEN];

  address.sin_addr.s_addr = htonl(host);
  address.sin_port = htons((uint16_t)setting("MIXPE_LINK_PORT", 0));
  inet_ntop(AF_INET, &address.sin_addr, name, sizeof(name));
  if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_TYPE, &is_stream, &size)
      || bind(fd, (struct sockaddr *)&address, sizeof(address))
      || (is_stream == SOCK_STREAM && listen(fd, 4))
      || getsockname(fd, (struct sockaddr *)&address, &length)) {
    fprintf(stderr, "%s: cannot listen on %s:%d: %s\n", module, name, ntohs(address.sin_port), strerror(errno));
    exit(1);
  }
  printf("[%s] listening on %s:%d\n", module, name, ntohs(address.sin_port));
  fflush(stdout);
  report_port(ntohs(address.sin_port));
}

static inline void print_speed(const char *module, uint64_t cycles)
{
  double seconds = (double)clock()/CLOCKS_PER_SEC;
  printf("[%s] %llu cycles in %.3f s of processor time: %.0f cycles/s\n", module, (unsigned long long)cycles, seconds,
         (double)cycles/seconds);
}

#endif
