/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Stamps and flows, written to this CPU's ring buffer. */
#ifndef LATPROBE_EMIT_H
#define LATPROBE_EMIT_H

#include "core.h"

LP_INLINE void fill_stamp(struct lp_stamp *s, lp_u64 time, lp_u8 event, lp_u8 hook, lp_u16 queue,
			  const struct lp_packet *p)
{
	s->time_ns = time;
	s->event = event;
	s->hook = hook;
	s->queue = queue;
	// The three bit-fields in one store: one by one each would be read, changed and written back.
	((lp_u32 *)s)[3] =
		(p->length & 0xfffff) | (lp_u32)p->header_words << 20 | (lp_u32)p->kind << 28;
	s->flow = p->flow;
	s->sequence = p->sequence;
	s->key = p->key;
}

LP_INLINE void *ring_of_this_cpu(void)
{
	lp_u32 cpu = bpf_get_smp_processor_id();

	return bpf_map_lookup_elem(&rings, &cpu);
}

LP_INLINE void emit_stamp(struct lp_ledger *row, lp_u64 time, lp_u8 hook, lp_u16 queue,
			  const struct lp_packet *p)
{
	void *ring = ring_of_this_cpu();
	struct lp_stamp *s = ring ? bpf_ringbuf_reserve(ring, sizeof(*s), 0) : NULL;

	if (LP_UNLIKELY(!s)) {
		row->lost++;
		return;
	}
	fill_stamp(s, time, LP_EVENT_STAMP, hook, queue, p);
	row->emitted++;
	bpf_ringbuf_submit(s, BPF_RB_NO_WAKEUP); // user space looks by the clock
}

LP_INLINE void emit_held(struct lp_ledger *row, lp_u64 time, lp_u64 at, lp_u8 hook,
			 const struct lp_packet *p)
{
	void *ring = ring_of_this_cpu();
	struct lp_stamp_held *s = ring ? bpf_ringbuf_reserve(ring, sizeof(*s), 0) : NULL;

	if (LP_UNLIKELY(!s)) {
		row->lost++;
		return;
	}
	fill_stamp(&s->stamp, time, LP_EVENT_STAMP_HELD, hook, 0, p);
	s->at_ns = at;
	row->emitted++;
	bpf_ringbuf_submit(s, BPF_RB_NO_WAKEUP); // user space looks by the clock
}

// Writes the 5-tuple if this CPU has not done so lately.
LP_INLINE void emit_flow(lp_u64 time, const struct lp_packet *p, const struct lp_frame *f)
{
	lp_u32 zero = 0, slot = p->flow & (LP_FLOW_CACHE - 1);
	struct flow_cache *cache = bpf_map_lookup_elem(&flows, &zero);
	struct lp_flow *flow;
	void *ring;

	if (!cache || !LP_UNLIKELY(cache->flow[slot] != p->flow))
		return;
	ring = ring_of_this_cpu();
	flow = ring ? bpf_ringbuf_reserve(ring, sizeof(*flow), 0) : NULL;
	if (!flow)
		return; // the next packet of the flow tries again
	cache->flow[slot] = p->flow;
	__builtin_memset(flow, 0, sizeof(*flow));
	flow->time_ns = time;
	flow->event = LP_EVENT_FLOW;
	flow->family = p->family;
	flow->protocol = p->protocol;
	flow->flow = p->flow;
	flow->source_port = p->source_port;
	flow->destination_port = p->destination_port;
	if (p->family == 4) {
		__builtin_memcpy(flow->source, f->l3 + 12, 4);
		__builtin_memcpy(flow->destination, f->l3 + 16, 4);
	} else {
		__builtin_memcpy(flow->source, f->l3 + 8, 16);
		__builtin_memcpy(flow->destination, f->l3 + 24, 16);
	}
	bpf_ringbuf_submit(flow, BPF_RB_NO_WAKEUP);
}

// The whole way of a packet at a hook. p is filled unless it is VERDICT_NO_PACKET (not IP).
LP_INLINE enum verdict stamp_packet(lp_u64 time, lp_u8 hook, const struct view *v,
				    struct lp_packet *p, struct lp_frame *f)
{
	struct lp_ledger *row = ledger_of(hook);
	enum verdict verdict;
	struct sight s;
	int passes;

	if (!row || read_frame(f, &s, v))
		return VERDICT_NO_PACKET;
	passes = passes_filter(f, &s);
	if (read_packet(p, f, &s))
		return VERDICT_NO_PACKET;
	verdict = judge(passes, p);
	if (account(row, verdict)) {
		emit_flow(time, p, f);
		emit_stamp(row, time, hook, v->queue, p);
	}
	return verdict;
}

#endif
