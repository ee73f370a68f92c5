/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What wakes whom on the way between guest and host. None of these has a packet in hand: the time is held and
 * bound to the first packet that comes of it (the worker, the interrupt), or the packet is held until it is told
 * of (the kick).
 */
#ifndef LATPROBE_VIRTIO_H
#define LATPROBE_VIRTIO_H

#include "emit.h"

// ------------------------------------------------------------- txhk: vhost's worker, by task

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, lp_u64);   // thread id
	__type(value, lp_u64); // when it began
} workers SEC(".maps");

LP_INLINE int hold_worker(lp_u64 now)
{
	lp_u64 task = bpf_get_current_pid_tgid();

	bpf_map_update_elem(&workers, &task, &now, BPF_ANY);
	return 0;
}

LP_INLINE void bind_time(lp_u64 now, lp_u64 at, lp_u8 hook, const struct lp_packet *p,
			 enum verdict verdict)
{
	struct lp_ledger *row = ledger_of(hook);

	if (row && account(row, verdict))
		emit_held(row, now, at, hook, p);
}

LP_INLINE void bind_worker(lp_u64 now, lp_u8 hook, const struct lp_packet *p, enum verdict verdict)
{
	lp_u64 task = bpf_get_current_pid_tgid();
	const lp_u64 *at = bpf_map_lookup_elem(&workers, &task);

	if (!at)
		return;
	bind_time(now, *at, hook, p, verdict);
	bpf_map_delete_elem(&workers, &task);
}

// ------------------------------------------------------------- rxgi, txgk: virtio-net, by CPU

// A guest's virtio-net device has at most one of each on a CPU at a time: poll and transmit do not migrate.
struct virtio_state {
	struct lp_target_key interrupted; // whose interrupt came
	lp_u64 interrupt_ns;		  // 0: none, or bound already
	struct lp_target_key sender;	  // whose packet waits for a kick
	lp_u32 queue;
	lp_u32 verdict;
	lp_u32 waits;
	lp_u32 reserved;
	struct lp_packet packet;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, lp_u32);
	__type(value, struct virtio_state);
} virtio SEC(".maps");

LP_INLINE struct virtio_state *virtio_state(void)
{
	lp_u32 zero = 0;

	return bpf_map_lookup_elem(&virtio, &zero);
}

LP_INLINE int is_same(const struct lp_target_key *a, const struct lp_target_key *b)
{
	return a->ifindex == b->ifindex && a->netns == b->netns;
}

// virtio-net's device and the hook point there; LP_HOOK_NONE where it is not watched.
LP_INLINE lp_u8 virtio_hook(struct virtqueue *vq, enum lp_site site, struct lp_target_key *device)
{
	struct virtnet_info *net = BPF_CORE_READ(vq, vdev, priv);
	struct net_device *dev = BPF_CORE_READ(net, dev);
	struct lp_target target;

	device_key_probe(device, dev);
	return find_target(&target, device) && is_named(&target, dev) ? target.hook[site]
								      : LP_HOOK_NONE;
}

LP_INLINE int hold_interrupt(lp_u64 now, struct virtqueue *vq)
{
	struct virtio_state *state = virtio_state();
	struct lp_target_key device;

	if (!state || !virtio_hook(vq, LP_AT_INTERRUPT, &device))
		return 0;
	state->interrupted = device;
	state->interrupt_ns = now;
	return 0;
}

LP_INLINE void bind_interrupt(lp_u64 now, const struct lp_target *target, const struct lp_packet *p,
			      enum verdict verdict)
{
	struct virtio_state *state = virtio_state();

	if (!state || !state->interrupt_ns || !is_same(&state->interrupted, &target->key))
		return;
	bind_time(now, state->interrupt_ns, target->hook[LP_AT_INTERRUPT], p, verdict);
	state->interrupt_ns = 0;
}

LP_INLINE void wait_for_kick(const struct lp_target *target, lp_u16 queue,
			     const struct lp_packet *p, enum verdict verdict)
{
	struct virtio_state *state = virtio_state();

	if (!state)
		return;
	state->sender = target->key;
	state->queue = queue;
	state->verdict = verdict;
	state->packet = *p;
	state->waits = 1;
}

// virtqueue_notify: of virtio-net's queues the even ones receive, the odd ones send.
LP_INLINE int stamp_kick(lp_u64 now, struct virtqueue *vq)
{
	struct virtio_state *state = virtio_state();
	struct lp_target_key device;
	struct lp_ledger *row;
	lp_u8 hook;

	if (!state || !state->waits || BPF_CORE_READ(vq, index) != 2 * state->queue + 1)
		return 0;
	hook = virtio_hook(vq, LP_AT_KICK, &device);
	row = hook && is_same(&device, &state->sender) ? ledger_of(hook) : NULL;
	if (!row)
		return 0;
	if (account(row, state->verdict))
		emit_stamp(row, now, hook, state->queue, &state->packet);
	state->waits = 0;
	return 0;
}

#endif
