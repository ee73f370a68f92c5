// SPDX-License-Identifier: GPL-2.0-or-later
#include "cpacketring.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/net_tstamp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>

_Static_assert(sizeof(struct lp_ring_filter) == sizeof(struct sock_filter), "sock_filter");

// A block that is not full is handed over after this time.
static const unsigned int retire_ms = 20;

static int set(int fd, int level, int option, const void *value, socklen_t size)
{
	return setsockopt(fd, level, option, value, size) ? -errno : 0;
}

// From Linux 6.2 on the header of virtio-net that comes before a frame can say that it is several UDP datagrams; before,
// such a frame would be dropped for want of a word for it.
static int knows_segments(void)
{
	struct utsname name;
	unsigned int major, minor;

	return !uname(&name) && sscanf(name.release, "%u.%u", &major, &minor) == 2 &&
	       (major > 6 || (major == 6 && minor >= 2));
}

static int configure(struct lp_ring *ring, const struct lp_ring_filter *filter, uint16_t length,
		     int hardware)
{
	struct tpacket_req3 request = {
		.tp_block_size = ring->block_size,
		.tp_block_nr = ring->blocks,
		.tp_frame_size = 2048,
		.tp_frame_nr = ring->block_size / 2048 * ring->blocks,
		.tp_retire_blk_tov = retire_ms,
	};
	struct sock_fprog program = { .len = length, .filter = (struct sock_filter *)filter };
	// Software stamps are generated for the sockets that ask for them; the ring takes what is there.
	int generate =
		SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE |
		(hardware ? SOF_TIMESTAMPING_RX_HARDWARE | SOF_TIMESTAMPING_RAW_HARDWARE : 0);
	int show = hardware ? SOF_TIMESTAMPING_RAW_HARDWARE : SOF_TIMESTAMPING_SOFTWARE;
	int version = TPACKET_V3, on = 1, error;

	if (length &&
	    (error = set(ring->fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program))))
		return error;
	if ((error = set(ring->fd, SOL_PACKET, PACKET_VERSION, &version, sizeof(version))) ||
	    (error = set(ring->fd, SOL_SOCKET, SO_TIMESTAMPING, &generate, sizeof(generate))) ||
	    (error = set(ring->fd, SOL_PACKET, PACKET_TIMESTAMP, &show, sizeof(show))))
		return error;
	ring->has_segments =
		knows_segments() && !set(ring->fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on));
	return set(ring->fd, SOL_PACKET, PACKET_RX_RING, &request, sizeof(request));
}

int lp_ring_open(struct lp_ring *ring, int32_t index, uint32_t block_size, uint32_t blocks,
		 const struct lp_ring_filter *filter, uint16_t filter_length, int hardware,
		 int promiscuous, int received)
{
	struct sockaddr_ll address = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_ALL),
		.sll_ifindex = index,
	};
	struct packet_mreq membership = { .mr_ifindex = index, .mr_type = PACKET_MR_PROMISC };
	int error, on = 1;

	memset(ring, 0, sizeof(*ring));
	ring->block_size = block_size;
	ring->blocks = blocks;
	ring->size = (uint64_t)block_size * blocks;
	// Protocol 0: nothing comes before the filter is there.
	ring->fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (ring->fd < 0)
		return -errno;
	error = configure(ring, filter, filter_length, hardware);
	if (!error) {
		void *memory =
			mmap(NULL, ring->size, PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd, 0);

		if (memory == MAP_FAILED)
			error = -errno;
		else
			ring->memory = memory;
	}
	if (!error && received)
		error = set(ring->fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on));
	if (!error && promiscuous)
		error = set(ring->fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &membership,
			    sizeof(membership));
	if (!error && bind(ring->fd, (struct sockaddr *)&address, sizeof(address)))
		error = -errno;
	if (error)
		lp_ring_close(ring);
	return error;
}

void lp_ring_close(struct lp_ring *ring)
{
	if (ring->memory)
		munmap(ring->memory, ring->size);
	if (ring->fd >= 0)
		close(ring->fd);
	ring->memory = NULL;
	ring->fd = -1;
}

int lp_ring_drops(const struct lp_ring *ring, uint32_t *drops)
{
	struct tpacket_stats_v3 statistics;
	socklen_t size = sizeof(statistics);

	if (getsockopt(ring->fd, SOL_PACKET, PACKET_STATISTICS, &statistics, &size))
		return -errno;
	*drops = statistics.tp_drops;
	return 0;
}

struct tpacket_block_desc *lp_ring_block(const struct lp_ring *ring)
{
	struct tpacket_block_desc *block =
		(struct tpacket_block_desc *)(ring->memory +
					      (uint64_t)ring->next * ring->block_size);
	uint32_t status = __atomic_load_n(&block->hdr.bh1.block_status, __ATOMIC_ACQUIRE);

	return status & TP_STATUS_USER ? block : NULL;
}

void lp_ring_release(struct lp_ring *ring, struct tpacket_block_desc *block)
{
	__atomic_store_n(&block->hdr.bh1.block_status, TP_STATUS_KERNEL, __ATOMIC_RELEASE);
	ring->next = (ring->next + 1) % ring->blocks;
}
