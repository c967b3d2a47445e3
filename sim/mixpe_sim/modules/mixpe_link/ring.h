/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Byte ring of a power-of-two size. `head` and `tail` count for ever and are masked on use, so no byte is wasted to
 * tell full from empty.
 */

#ifndef MIXPE_RING_H
#define MIXPE_RING_H

#include <stdint.h>

#define RING_BYTES (1u << 16)
#define WORD_BYTES 4u

struct ring {
  uint32_t head; /* bytes put */
  uint32_t tail; /* bytes taken */
  uint8_t data[RING_BYTES];
};

static inline uint32_t ring_used(const struct ring *r) { return r->head - r->tail; }
static inline uint32_t ring_free(const struct ring *r) { return RING_BYTES - ring_used(r); }

/* Four bytes at once, the first one lowest. Bytes that are not there read as whatever the ring holds. */
static inline void ring_put_word(struct ring *r, uint32_t word)
{
  for (uint32_t i = 0; i < WORD_BYTES; i++)
    r->data[(r->head + i) % RING_BYTES] = (uint8_t)(word >> (8*i));
  r->head += WORD_BYTES;
}

static inline uint32_t ring_peek_word(const struct ring *r)
{
  uint32_t word = 0;
  for (uint32_t i = 0; i < WORD_BYTES; i++)
    word |= (uint32_t)r->data[(r->tail + i) % RING_BYTES] << (8*i);
  return word;
}

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
