/* SPDX-License-Identifier: BSD-2-Clause
 *
 * A tap device: the wire's other end is this machine's own network stack, with its ARP, IPv4 and UDP. The device is made
 * when it is opened and goes with us; it gets an address and comes up here, unless it is up already (made for us by
 * somebody with more rights).
 */

#ifndef MIXPE_TAP_H
#define MIXPE_TAP_H

#include <fcntl.h>
#include <ifaddrs.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>

#include "../host.h"

static inline void tap_fails(const char *name, const char *what)
{
  fprintf(stderr, "mixpe_eth: tap device %s: %s: %s; it takes the rights of root, or a namespace of one's own "
                  "(unshare -rn), or a device that is up already\n", name, what, strerror(errno));
  exit(1);
}

static inline void set_address(struct ifreq *request, uint32_t address)
{
  struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(address)};
  memcpy(&request->ifr_addr, &in, sizeof(in));
}

/* Ends the simulation where another interface is in our network: its stations would be out of reach. */
static inline void check_network(const char *name, uint32_t ip, uint32_t mask)
{
  struct ifaddrs *all = NULL;

  if (getifaddrs(&all))
    tap_fails(name, "the machine's addresses");
  for (struct ifaddrs *each = all; each; each = each->ifa_next) {
    if (!each->ifa_addr || each->ifa_addr->sa_family != AF_INET || !strcmp(each->ifa_name, name))
      continue;
    uint32_t address = ntohl(((struct sockaddr_in *)each->ifa_addr)->sin_addr.s_addr);
    if ((address & mask) == (ip & mask)) {
      fprintf(stderr, "mixpe_eth: tap device %s: %s is in the SoC's network 192.168.1.0/24 already; use a namespace "
                      "of one's own (unshare -rn)\n", name, each->ifa_name);
      exit(1);
    }
  }
  freeifaddrs(all);
}

/* A descriptor that gives and takes whole frames without checksum; ends the simulation when there is none. */
static inline int open_tap(const char *name, uint32_t ip, uint32_t mask)
{
  struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
  int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  int control;

  if (fd < 0)
    tap_fails(name, "/dev/net/tun");
  check_network(name, ip, mask);
  control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (control < 0)
    tap_fails(name, "a socket");
  if (strlen(name) >= IFNAMSIZ) {
    errno = ENAMETOOLONG;
    tap_fails(name, "its name");
  }
  strcpy(request.ifr_name, name);
  if (ioctl(fd, TUNSETIFF, &request))
    tap_fails(name, "cannot be made");
  if (ioctl(control, SIOCGIFFLAGS, &request))
    tap_fails(name, "is not there");
  if (!(request.ifr_flags & IFF_UP)) {
    set_address(&request, ip);
    if (ioctl(control, SIOCSIFADDR, &request))
      tap_fails(name, "takes no address");
    set_address(&request, mask);
    if (ioctl(control, SIOCSIFNETMASK, &request))
      tap_fails(name, "takes no mask");
    if (ioctl(control, SIOCGIFFLAGS, &request))
      tap_fails(name, "is not there");
    request.ifr_flags |= IFF_UP | IFF_RUNNING;
    if (ioctl(control, SIOCSIFFLAGS, &request))
      tap_fails(name, "does not come up");
  }
  close(control);
  return fd;
}

#endif
