/* SPDX-License-Identifier: BSD-2-Clause
 *
 * LiteX simulation module: the other end of the simulated SoC's Ethernet, as a UDP socket on 127.0.0.2 or a tap device.
 *
 *   host ──UDP 127.0.0.2──► Ethernet, IPv4, UDP headers ──GMII, a byte a cycle──► LiteEth (pads gmii.rx_*)
 *   host ◄─UDP────────────  headers taken off ◄───────────GMII─────────────────── LiteEth (pads gmii.tx_*)
 *
 * - What a machine with a network card would do is done here: frames with preamble, checksum and gaps, ARP both ways,
 *   IPv4. So neither a tap device nor rights are needed, and LiteEth is the one that boards have.
 * - The host's datagrams go to UDP port 1234 of 192.168.1.50, one at a time, at one byte a cycle. Answers go to whoever
 *   wrote last. LiteEth sends to the port it listens on, which is a number of its own here.
 * - A frame with a wrong checksum or for somebody else is dropped and counted, as a network card does.
 * - With a tap device the machine's own stack does all that but the preamble, checksum and gaps: frames pass as they are.
 * - When nothing is under way the simulation sleeps in poll(); time of the host is no time of the SoC.
 *
 * Settings: see host.h, and
 *
 *   MIXPE_ETH_TAP       name of a tap device; unset or empty: the UDP socket
 */

#define _GNU_SOURCE
#include <poll.h>

#include "../host.h"
#include "packet.h"
#include "tap.h"

#define LOOPBACK_2 (INADDR_LOOPBACK + 1) /* LiteEth answers to its own port number: host and SoC need two addresses */
#define SOC_IP 0xc0a80132                /* 192.168.1.50 */
#define HOST_IP 0xc0a80164               /* 192.168.1.100 */
#define HOST_MASK 0xffffff00
#define SOC_PORT 1234
#define PREAMBLE 8
#define GAP_CYCLES 12
#define LOOK_CYCLES 64         /* between two looks at the socket */
#define REPLY_CYCLES 256       /* until a frame is answered: LiteEth loses an ARP answer while it is still at work */
#define ARP_CYCLES (1 << 16)   /* until an ARP request is asked again */
#define QUIET_CYCLES (1 << 12) /* without anything on the wire or the SoC's bus before the clock may stop */
#define PARENT_CYCLES (1 << 16)
#define PARENT_MS 100

struct session_s {
  /* pads */
  uint8_t *rx_data, *rx_dv, *rx_er, *tx_data, *tx_en, *busy, *sys_clk;
  uint8_t last_clk;

  struct station host, soc;
  int knows_soc;             /* its MAC */
  uint32_t arp_wait;         /* cycles until it is asked for (again) */
  uint32_t reply_wait;       /* cycles until its own request is answered; 0: there is none */

  uint8_t to_soc[PREAMBLE + FRAME_MAX];
  uint32_t size, at;         /* of the frame on its way to the SoC; size 0: none */
  uint32_t gap;              /* cycles until the next */
  uint32_t look;             /* cycles until the next look at the socket */
  uint8_t from_soc[PREAMBLE + FRAME_MAX];
  uint32_t count;            /* bytes of the frame on its way from the SoC */

  int fd;                    /* of the socket, or of the tap device */
  int is_tap;
  struct sockaddr_in peer;   /* of the last datagram */
  int has_peer;
  uint64_t dropped;          /* frames from the SoC that no network card would take */

  uint32_t quiet, watch;
  uint64_t cycles;
  pid_t parent;
  int sleeps;
};

/* To the SoC ------------------------------------------------------------------------------------------------------- */

static void begin_frame(struct session_s *s, uint32_t size)
{
  memset(s->to_soc, 0x55, PREAMBLE - 1);
  s->to_soc[PREAMBLE - 1] = 0xd5;
  s->size = PREAMBLE + size;
  s->at = 0;
}

static int has_data(const struct session_s *s)
{
  struct pollfd fd = {.fd = s->fd, .events = POLLIN};
  return poll(&fd, 1, 0) == 1;
}

/* The next frame, if there is one to send. */
static void next_frame(struct session_s *s)
{
  uint8_t *frame = s->to_soc + PREAMBLE;

  if (s->is_tap) {
    ssize_t count = has_data(s) ? read(s->fd, frame, FRAME_MAX - 4) : 0;
    if (count > 0)
      begin_frame(s, frame_end(frame, (uint32_t)count));
  } else if (s->reply_wait == 1) {
    s->reply_wait = 0;
    begin_frame(s, arp_frame(frame, ARP_REPLY, &s->host, &s->soc));
  } else if (!has_data(s)) {
    return;
  } else if (!s->knows_soc) {
    if (!s->arp_wait) {
      s->arp_wait = ARP_CYCLES;
      begin_frame(s, arp_frame(frame, ARP_REQUEST, &s->host, &s->soc));
    }
  } else {
    struct sockaddr_in peer;
    socklen_t length = sizeof(peer);
    ssize_t count = recvfrom(s->fd, frame + UDP_HEADERS, UDP_MAX, MSG_DONTWAIT | MSG_TRUNC,
                             (struct sockaddr *)&peer, &length);
    if (count < 0 || count > (ssize_t)UDP_MAX)
      return; /* too long for a frame: dropped, since nobody on this wire takes fragments */
    s->peer = peer;
    s->has_peer = 1;
    begin_frame(s, udp_frame(frame, (uint32_t)count, &s->host, &s->soc, SOC_PORT));
  }
}

/* From the SoC ----------------------------------------------------------------------------------------------------- */

static void take_arp(struct session_s *s, const uint8_t *frame)
{
  if (get32(frame + 28) != s->soc.ip || get32(frame + 38) != s->host.ip)
    return;
  memcpy(s->soc.mac, frame + 22, 6);
  if (get16(frame + 20) == ARP_REQUEST)
    s->reply_wait = REPLY_CYCLES;
  else if (get16(frame + 20) == ARP_REPLY)
    s->knows_soc = 1;
}

static int take_udp(struct session_s *s, const uint8_t *frame, uint32_t size)
{
  const uint8_t *ip = frame + 14;
  uint32_t payload = (uint32_t)get16(frame + 38) - 8;

  if (ip[0] != 0x45 || ip_checksum(ip) || ip[9] != 17 || get32(ip + 16) != s->host.ip || get16(frame + 34) != SOC_PORT
      || payload > size - UDP_HEADERS)
    return 0;
  if (s->has_peer)
    (void)!sendto(s->fd, frame + UDP_HEADERS, payload, MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)&s->peer,
                  sizeof(s->peer));
  return 1;
}

static void take_frame(struct session_s *s)
{
  static const uint8_t start[PREAMBLE] = {0x55, 0x55, 0x55, 0x55, 0x55, 0x55, 0x55, 0xd5};
  const uint8_t *frame = s->from_soc + PREAMBLE;
  uint32_t size;
  int is_good = 0;

  if (s->count > PREAMBLE && s->count <= sizeof(s->from_soc) && !memcmp(s->from_soc, start, PREAMBLE)
      && (size = frame_check(frame, s->count - PREAMBLE))) {
    int is_mine = !memcmp(frame, s->host.mac, 6);
    if (s->is_tap) {
      is_good = write(s->fd, frame, size) == (ssize_t)size;
      s->gap = REPLY_CYCLES;
    } else if (get16(frame + 12) == TYPE_ARP) {
      take_arp(s, frame);
      is_good = 1;
    } else if (is_mine && get16(frame + 12) == TYPE_IPV4) {
      is_good = take_udp(s, frame, size);
    }
  }
  s->dropped += !is_good;
  s->count = 0;
}

/* Clock ------------------------------------------------------------------------------------------------------------ */

/* Stops the clock until a datagram comes. */
static void sleep_in_poll(struct session_s *s)
{
  struct pollfd fd = {.fd = s->fd, .events = POLLIN};
  while (poll(&fd, 1, PARENT_MS) == 0 && !is_orphan(s->parent))
    ;
}

/* Falling edge: what the SoC drives now is what the next rising edge would take. */
static void sample(struct session_s *s)
{
  s->quiet++;
  if (*s->tx_en) {
    if (s->count < sizeof(s->from_soc))
      s->from_soc[s->count] = *s->tx_data;
    s->count++;
    s->quiet = 0;
  } else if (s->count) {
    take_frame(s);
  }
  if (*s->busy)
    s->quiet = 0;
}

/* Rising edge: drive the inputs of the next cycle. */
static void drive(struct session_s *s)
{
  if (s->arp_wait)
    s->arp_wait--;
  if (s->reply_wait > 1)
    s->reply_wait--;
  if (s->gap) {
    s->gap--;
  } else if (!s->size && (s->reply_wait == 1 || --s->look == 0)) {
    s->look = LOOK_CYCLES;
    next_frame(s);
  }
  *s->rx_er = 0;
  *s->rx_dv = s->size != 0;
  if (s->size) {
    *s->rx_data = s->to_soc[s->at++];
    s->quiet = 0;
    if (s->at == s->size) {
      s->size = 0;
      s->gap = GAP_CYCLES;
      s->look = 1;
    }
  }
  if (--s->watch == 0) {
    s->watch = PARENT_CYCLES;
    is_orphan(s->parent);
  }
  s->cycles++;
  if (s->sleeps && s->quiet >= QUIET_CYCLES && !s->reply_wait && !s->arp_wait) {
    sleep_in_poll(s);
    s->look = 1;
  }
}

static int eth_tick(void *session, uint64_t time_ps)
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

/* Module ----------------------------------------------------------------------------------------------------------- */

static struct session_s *only_session;

static void report(void)
{
  print_speed("mixpe_eth", only_session->cycles);
  printf("[mixpe_eth] %llu frames dropped\n", (unsigned long long)only_session->dropped);
}

static int eth_start(void *base)
{
  (void)base;
  return RC_OK;
}

static int eth_new(void **session, char *args)
{
  static const uint8_t mac[6] = {0x02, 'm', 'i', 'x', 'p', 'e'}; /* locally administered */
  struct session_s *s = calloc(1, sizeof(*s));
  const char *tap = getenv("MIXPE_ETH_TAP");

  (void)args;
  if (!s)
    return RC_NOENMEM;
  memcpy(s->host.mac, mac, 6);
  s->host.ip = HOST_IP;
  s->soc.ip = SOC_IP;
  s->parent = (pid_t)setting("MIXPE_LINK_PARENT", 0);
  s->sleeps = setting("MIXPE_LINK_IDLE", 1) != 0;
  s->gap = 4*REPLY_CYCLES; /* the SoC is still in reset */
  s->look = 1;
  s->watch = PARENT_CYCLES;
  is_orphan(s->parent);
  s->is_tap = tap && *tap;
  if (s->is_tap) {
    s->fd = open_tap(tap, HOST_IP, HOST_MASK);
    report_port(SOC_PORT);
  } else {
    s->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    bind_loopback("mixpe_eth", s->fd, LOOPBACK_2);
  }
  only_session = s;
  atexit(report);
  *session = s;
  return RC_OK;
}

static int eth_add_pads(void *session, struct pad_list_s *list)
{
  struct session_s *s = session;

  if (!strcmp(list->name, "gmii")) {
    s->rx_data = find_pad("mixpe_eth", list->pads, "rx_data");
    s->rx_dv = find_pad("mixpe_eth", list->pads, "rx_dv");
    s->rx_er = find_pad("mixpe_eth", list->pads, "rx_er");
    s->tx_data = find_pad("mixpe_eth", list->pads, "tx_data");
    s->tx_en = find_pad("mixpe_eth", list->pads, "tx_en");
    s->busy = find_pad("mixpe_eth", list->pads, "busy");
    if (!s->rx_data || !s->rx_dv || !s->rx_er || !s->tx_data || !s->tx_en || !s->busy)
      return RC_ERROR;
  }
  if (!strcmp(list->name, "sys_clk")) {
    s->sys_clk = find_pad("mixpe_eth", list->pads, "sys_clk");
    if (!s->sys_clk)
      return RC_ERROR;
  }
  return RC_OK;
}

static struct ext_module_s eth_module = {
  "mixpe_eth", eth_start, eth_new, eth_add_pads, NULL, eth_tick,
};

int litex_sim_ext_module_init(int (*register_module)(struct ext_module_s *))
{
  return register_module(&eth_module);
}
