/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Byte ring of a power-of-two size. `head` and `tail` count for ever and are masked on use, so no byte is wasted to
 * tell full from empty.
 */

#ifndef MIXPE_RING_H
#define MIXPE_RING_H

#include <stdint.h>

#define RING_BYTES (1u << 16)

struct ring {
  uint32_t head; /* bytes put */
  uint32_t tail; /* bytes taken */
  uint8_t data[RING_BYTES];
};

static inline uint32_t ring_used(const struct ring *r) { return r->head - r->tail; }
static inline uint32_t ring_free(const struct ring *r) { return RING_BYTES - ring_used(r); }

static inline void ring_put(struct ring *r, uint8_t byte) { r->data[r->head++ % RING_BYTES] = byte; }
static inline uint8_t ring_peek(const struct ring *r) { return r->data[r->tail % RING_BYTES]; }
static inline void ring_drop(struct ring *r) { r->tail++; }
static inline void ring_clear(struct ring *r) { r->tail = r->head; }

/* The part that lies in one piece, for recv() and send(). */
static inline uint32_t ring_put_run(const struct ring *r, uint8_t **at)
{
  uint32_t offset = r->head % RING_BYTES;
  uint32_t run = RING_BYTES - offset;
  *at = (uint8_t *)r->data + offset;
  return run < ring_free(r) ? run : ring_free(r);
}

static inline uint32_t ring_take_run(const struct ring *r, uint8_t **at)
{
  uint32_t offset = r->tail % RING_BYTES;
  uint32_t run = RING_BYTES - offset;
  *at = (uint8_t *)r->data + offset;
  return run < ring_used(r) ? run : ring_used(r);
}

#endif
