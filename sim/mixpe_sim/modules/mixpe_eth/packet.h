/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Ethernet frames with ARP or UDP over IPv4, from the bytes after the preamble to the checksum at the end. Only what a
 * host needs that talks UDP with one other station.
 *
 *   0   destination, 6 source, 12 type
 *   14  ARP: operation at 20, sender's MAC 22 and IP 28, target's MAC 32 and IP 38
 *   14  IPv4: length 16, protocol 23, checksum 24, source 26, destination 30; UDP: ports 34 and 36, length 38, data 42
 */

#ifndef MIXPE_PACKET_H
#define MIXPE_PACKET_H

#include <stdint.h>
#include <string.h>

#define FRAME_MIN 60u             /* without the checksum */
#define FRAME_MAX 1518u
#define UDP_HEADERS 42u
#define UDP_MAX (1500u - 28u)
#define TYPE_IPV4 0x0800
#define TYPE_ARP 0x0806
#define ARP_REQUEST 1
#define ARP_REPLY 2

struct station {
  uint8_t mac[6];
  uint32_t ip;
};

static inline uint16_t get16(const uint8_t *p) { return (uint16_t)(p[0] << 8 | p[1]); }
static inline uint32_t get32(const uint8_t *p) { return (uint32_t)get16(p) << 16 | get16(p + 2); }
static inline void put16(uint8_t *p, uint32_t value) { p[0] = (uint8_t)(value >> 8); p[1] = (uint8_t)value; }
static inline void put32(uint8_t *p, uint32_t value) { put16(p, value >> 16); put16(p + 2, value); }

/* CRC-32 as Ethernet has it, bit by bit: a frame has 1500 bytes, and the simulation is slower by far. */
static inline uint32_t frame_crc(const uint8_t *data, uint32_t size)
{
  uint32_t crc = 0xffffffff;
  for (uint32_t i = 0; i < size; i++) {
    crc ^= data[i];
    for (int bit = 0; bit < 8; bit++)
      crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc;
}

static inline uint16_t ip_checksum(const uint8_t *header)
{
  uint32_t sum = 0;
  for (int i = 0; i < 20; i += 2)
    sum += get16(header + i);
  sum = (sum & 0xffff) + (sum >> 16);
  return (uint16_t)~(sum + (sum >> 16));
}

/* Pads and adds the checksum, least significant byte first; returns the size. */
static inline uint32_t frame_end(uint8_t *frame, uint32_t size)
{
  if (size < FRAME_MIN) {
    memset(frame + size, 0, FRAME_MIN - size);
    size = FRAME_MIN;
  }
  uint32_t crc = frame_crc(frame, size);
  for (int i = 0; i < 4; i++)
    frame[size + i] = (uint8_t)(crc >> (8*i));
  return size + 4;
}

/* Size without the checksum; 0 for a frame that is too short or whose checksum is wrong. */
static inline uint32_t frame_check(const uint8_t *frame, uint32_t size)
{
  if (size < FRAME_MIN + 4)
    return 0;
  uint32_t crc = frame_crc(frame, size - 4);
  for (int i = 0; i < 4; i++)
    if (frame[size - 4 + i] != (uint8_t)(crc >> (8*i)))
      return 0;
  return size - 4;
}

static inline uint32_t arp_frame(uint8_t *frame, int operation, const struct station *from, const struct station *to)
{
  static const uint8_t all[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
  static const uint8_t kind[6] = {0, 1, TYPE_IPV4 >> 8, TYPE_IPV4 & 0xff, 6, 4};

  memcpy(frame, operation == ARP_REQUEST ? all : to->mac, 6);
  memcpy(frame + 6, from->mac, 6);
  put16(frame + 12, TYPE_ARP);
  memcpy(frame + 14, kind, 6);
  put16(frame + 20, (uint32_t)operation);
  memcpy(frame + 22, from->mac, 6);
  put32(frame + 28, from->ip);
  memcpy(frame + 32, to->mac, 6);
  put32(frame + 38, to->ip);
  return frame_end(frame, 42);
}

/* The payload is in place already, from UDP_HEADERS on. */
static inline uint32_t udp_frame(uint8_t *frame, uint32_t payload, const struct station *from, const struct station *to,
                                 uint16_t port)
{
  uint8_t *ip = frame + 14, *udp = frame + 34;

  memcpy(frame, to->mac, 6);
  memcpy(frame + 6, from->mac, 6);
  put16(frame + 12, TYPE_IPV4);
  memset(ip, 0, 28);
  ip[0] = 0x45;
  put16(ip + 2, 28 + payload);
  ip[6] = 0x40;                        /* not to be cut into fragments */
  ip[8] = 64;
  ip[9] = 17;
  put32(ip + 12, from->ip);
  put32(ip + 16, to->ip);
  put16(ip + 10, ip_checksum(ip));
  put16(udp, port);
  put16(udp + 2, port);
  put16(udp + 4, 8 + payload);         /* without a checksum, as LiteEth sends its own */
  return frame_end(frame, UDP_HEADERS + payload);
}

#endif
