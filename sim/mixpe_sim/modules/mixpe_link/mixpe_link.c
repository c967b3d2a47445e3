/* SPDX-License-Identifier: BSD-2-Clause
 *
 * LiteX simulation module: the host link of the simulated SoC as a TCP socket on 127.0.0.1.
 *
 *   host ──TCP──► rx ring ──1 to 4 bytes a cycle──► sink   (pads link.sink_*)
 *   host ◄──TCP── tx ring ◄──    4 bytes a cycle─── source (pads link.source_*)
 *
 * - No byte is lost: the socket is read only as far as the ring has room, `source_ready` falls when the tx ring is
 *   full, and handshakes are sampled at the falling edge, when all combinational paths have settled.
 * - Answers leave at once when the bridge is between two frames, else when no byte came for QUIET_CYCLES.
 * - When nothing is under way (rings empty, not `framing`, not `busy`, quiet) the simulation sleeps in poll(); so it
 *   does while the host is slow to read, or pauses inside a frame, so that host time never becomes a bridge timeout.
 * - `attached` says whether there is a client: the bridge forgets what the last one began.
 * - One client at a time; a second one is sent "BSY" and the end of the stream. After a disconnect the next client waits until the
 *   bridge has finished or dropped the frame that was cut.
 * - The simulation ends when its parent process does, however that died.
 *
 * Settings come from the environment, so that one build serves many runs: see host.h.
 */

#define _GNU_SOURCE /* accept4, POLLRDHUP */
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>

#include "../host.h"
#include "ring.h"

#define QUIET_CYCLES 64        /* without a byte: flush, and perhaps sleep */
#define SOCKET_CYCLES 64       /* between two looks at the socket */
#define PARENT_CYCLES (1 << 16) /* between two looks at the parent while the clock runs */
#define PARENT_MS 100          /* the same while it sleeps */
#define FRAME_MS 1000          /* a host that is silent for so long inside a frame has given it up */
#define FLUSH_BYTES (16 * 1024)
#define FLUSH_CYCLES (1 << 14) /* answers wait no longer than that while the host goes on sending */

/* Shorter than a word, so that no client can take it for an answer. */
static const char refusal[3] = {'B', 'S', 'Y'};

struct session_s {
  /* pads */
  uint8_t *source_valid, *source_ready;
  uint32_t *source_data;
  uint8_t *sink_valid, *sink_ready, *sink_count;
  uint32_t *sink_data;
  uint8_t *framing, *hungry, *busy, *attached;
  uint8_t *sys_clk;
  uint8_t last_clk;

  struct ring rx, tx;
  uint32_t quiet;   /* cycles since a byte moved */
  uint32_t look;    /* cycles until the next look at the socket */
  uint64_t flushed; /* cycle of the last flush */
  uint32_t watch;   /* cycles until the next look at the parent */
  int settling;     /* a client has left inside a frame: wait for its end, drop its answers */
  int cut;          /* the host sent nothing for FRAME_MS inside a frame: let the bridge's timeout come */
  int listener;
  int refused;      /* last client that was sent away; open until the next one, so that it can read why. -1: none */
  int client;       /* -1: none */
  int client_eof;   /* the host sends no more; what it sent is still served */
  int sleeps;
  uint64_t cycles;  /* simulated */
  pid_t parent;     /* 0: none */
};

/* Socket ----------------------------------------------------------------------------------------------------------- */

static int open_listener(void)
{
  int yes = 1;
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
  bind_loopback("mixpe_link", fd, INADDR_LOOPBACK);
  return fd;
}

static void drop_client(struct session_s *s)
{
  close(s->client);
  s->client = -1;
  s->client_eof = 0;
  s->settling = 1;
  ring_clear(&s->rx);
  ring_clear(&s->tx);
}

/* The host has ended, though what it sent before may not be read yet. */
static int client_has_ended(const struct session_s *s)
{
  struct pollfd fd = {.fd = s->client, .events = POLLRDHUP};
  return s->client_eof || (poll(&fd, 1, 0) == 1 && (fd.revents & (POLLRDHUP | POLLHUP | POLLERR)));
}

static void accept_clients(struct session_s *s)
{
  struct pollfd next = {.fd = s->listener, .events = POLLIN};
  int yes = 1;

  while (!s->settling && poll(&next, 1, 0) == 1) {
    if (s->client >= 0 && client_has_ended(s))
      return; /* no reason to refuse the next: it waits until the answers are out */
    int fd = accept4(s->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
      return;
    if (s->client >= 0) {
      (void)!send(fd, refusal, sizeof(refusal), MSG_NOSIGNAL);
      shutdown(fd, SHUT_WR);
      if (s->refused >= 0)
        close(s->refused);
      s->refused = fd;
      continue;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
    s->client = fd;
  }
}

static void receive(struct session_s *s)
{
  while (s->client >= 0 && !s->client_eof && ring_free(&s->rx)) {
    uint8_t *at;
    uint32_t run = ring_put_run(&s->rx, &at);
    ssize_t count = recv(s->client, at, run, 0);
    if (count > 0) {
      s->rx.head += (uint32_t)count;
      if ((uint32_t)count < run)
        return;
    } else if (count == 0) {
      s->client_eof = 1;
    } else if (errno == EAGAIN || errno == EINTR) {
      return;
    } else {
      drop_client(s);
    }
  }
}

static void flush(struct session_s *s)
{
  while (s->client >= 0 && ring_used(&s->tx)) {
    uint8_t *at;
    uint32_t run = ring_take_run(&s->tx, &at);
    ssize_t count = send(s->client, at, run, MSG_NOSIGNAL);
    if (count > 0)
      s->tx.tail += (uint32_t)count;
    else if (errno == EAGAIN || errno == EINTR)
      return;
    else
      drop_client(s);
  }
}

/* Stops the clock until a byte or a client comes or goes, there is room to send, or the limit is over (false). */
static int sleep_in_poll(struct session_s *s, int limit_ms)
{
  struct pollfd fds[2] = {
    {.fd = s->listener, .events = POLLIN},
    {.fd = s->client, .events = (s->client_eof || !ring_free(&s->rx) ? 0 : POLLIN) | (ring_used(&s->tx) ? POLLOUT : 0)},
  };
  for (int waited_ms = 0; limit_ms < 0 || waited_ms < limit_ms; waited_ms += PARENT_MS) {
    if (poll(fds, s->client >= 0 ? 2 : 1, PARENT_MS) != 0 || is_orphan(s->parent))
      return 1;
  }
  return 0;
}

/* Clock ------------------------------------------------------------------------------------------------------------ */

static void look_at_socket(struct session_s *s)
{
  int framing = *s->framing;
  int is_quiet = s->quiet >= QUIET_CYCLES;
  int is_through;  /* the SoC has nothing left to read, to answer or to compute */
  int is_cut;      /* what it waits for inside a frame will not come */

  if (s->settling && !framing && is_quiet)
    s->settling = 0;
  accept_clients(s);
  receive(s);
  if (ring_used(&s->tx) && ((!framing && !ring_used(&s->rx)) || is_quiet || ring_used(&s->tx) >= FLUSH_BYTES
                            || s->cycles - s->flushed >= FLUSH_CYCLES)) {
    flush(s);
    s->flushed = s->cycles;
  }
  is_through = is_quiet && !framing && !ring_used(&s->rx) && !s->settling;
  is_cut = is_quiet && *s->hungry && !ring_used(&s->rx);
  if (s->client_eof && (is_through || is_cut) && !ring_used(&s->tx))
    drop_client(s);
  else if (s->client >= 0 && ring_free(&s->tx) < WORD_BYTES)
    sleep_in_poll(s, -1);  /* the host reads slowly: time stands still for it, or the bridge would drop the frame */
  else if (s->sleeps && is_through && !*s->busy)
    sleep_in_poll(s, -1);
  else if (s->sleeps && is_quiet && *s->hungry && !ring_used(&s->rx) && !s->client_eof && !s->cut && s->client >= 0
           && !*s->busy)
    s->cut = !sleep_in_poll(s, FRAME_MS);
}

/* Falling edge: what the handshakes are now is what the next rising edge takes. */
static void sample(struct session_s *s)
{
  s->quiet++;
  if (*s->sink_valid && *s->sink_ready) {
    s->rx.tail += *s->sink_count;
    s->quiet = 0;
    s->cut = 0;
  }
  if (*s->source_valid && *s->source_ready) {
    if (s->client >= 0)
      ring_put_word(&s->tx, *s->source_data);
    s->quiet = 0;
  }
}

/* Rising edge: drive the inputs of the next cycle. */
static void drive(struct session_s *s)
{
  uint32_t count;

  if (--s->look == 0 || (ring_used(&s->tx) && !ring_used(&s->rx) && !*s->framing)) {
    s->look = SOCKET_CYCLES;
    look_at_socket(s);
  }
  if (--s->watch == 0) {
    s->watch = PARENT_CYCLES;
    is_orphan(s->parent);
  }
  s->cycles++;
  count = ring_used(&s->rx) < WORD_BYTES ? ring_used(&s->rx) : WORD_BYTES;
  *s->sink_valid = count != 0;
  *s->sink_count = (uint8_t)count;
  *s->sink_data = ring_peek_word(&s->rx);
  *s->source_ready = ring_free(&s->tx) >= WORD_BYTES;
  *s->attached = s->client >= 0;
}

static int link_tick(void *session, uint64_t time_ps)
{
  struct session_s *s = session;
  enum edge edge = clock_edge(s->sys_clk, &s->last_clk);

  (void)time_ps;
  if (edge == RISES)
    drive(s);
  else if (edge == FALLS)
    sample(s);
  return RC_OK;
}

/* Speed, as a line at the end of the run. */
static struct session_s *only_session;

static void report_speed(void)
{
  print_speed("mixpe_link", only_session->cycles);
}

/* Module ----------------------------------------------------------------------------------------------------------- */

static int link_start(void *base)
{
  (void)base;
  return RC_OK;
}

static int link_new(void **session, char *args)
{
  struct session_s *s = calloc(1, sizeof(*s));

  (void)args;
  if (!s)
    return RC_NOENMEM;
  signal(SIGPIPE, SIG_IGN);
  s->parent = (pid_t)setting("MIXPE_LINK_PARENT", 0);
  s->sleeps = setting("MIXPE_LINK_IDLE", 1) != 0;
  s->look = SOCKET_CYCLES; /* the SoC is still in reset: it would not keep a byte */
  s->watch = PARENT_CYCLES;
  s->client = -1;
  s->refused = -1;
  is_orphan(s->parent);
  s->listener = open_listener();
  only_session = s;
  atexit(report_speed);
  *session = s;
  return RC_OK;
}

static int link_add_pads(void *session, struct pad_list_s *list)
{
  struct session_s *s = session;

  if (!strcmp(list->name, "link")) {
    s->source_valid = find_pad("mixpe_link", list->pads, "source_valid");
    s->source_ready = find_pad("mixpe_link", list->pads, "source_ready");
    s->source_data = find_pad("mixpe_link", list->pads, "source_data");
    s->sink_valid = find_pad("mixpe_link", list->pads, "sink_valid");
    s->sink_ready = find_pad("mixpe_link", list->pads, "sink_ready");
    s->sink_data = find_pad("mixpe_link", list->pads, "sink_data");
    s->sink_count = find_pad("mixpe_link", list->pads, "sink_count");
    s->hungry = find_pad("mixpe_link", list->pads, "hungry");
    s->framing = find_pad("mixpe_link", list->pads, "framing");
    s->busy = find_pad("mixpe_link", list->pads, "busy");
    s->attached = find_pad("mixpe_link", list->pads, "attached");
    if (!s->source_valid || !s->source_ready || !s->source_data || !s->sink_valid || !s->sink_ready || !s->sink_data
        || !s->sink_count || !s->framing || !s->hungry || !s->busy
        || !s->attached)
      return RC_ERROR;
  }
  if (!strcmp(list->name, "sys_clk")) {
    s->sys_clk = find_pad("mixpe_link", list->pads, "sys_clk");
    if (!s->sys_clk)
      return RC_ERROR;
  }
  return RC_OK;
}

static struct ext_module_s link_module = {
  "mixpe_link", link_start, link_new, link_add_pads, NULL, link_tick,
};

int litex_sim_ext_module_init(int (*register_module)(struct ext_module_s *))
{
  return register_module(&link_module);
}
