// SPDX-License-Identifier: GPL-2.0-or-later
#include "cframesocket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/errqueue.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/net_tstamp.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

int lp_frame_open(int32_t index, int hardware)
{
	// Protocol 0: it hears nothing.
	struct sockaddr_ll address = { .sll_family = AF_PACKET, .sll_ifindex = index };
	int flags = SOF_TIMESTAMPING_TX_HARDWARE | SOF_TIMESTAMPING_RAW_HARDWARE |
		    SOF_TIMESTAMPING_OPT_ID | SOF_TIMESTAMPING_OPT_TSONLY;
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), error = 0;

	if (fd < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) ||
	    (hardware && setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPING, &flags, sizeof(flags))))
		error = -errno;
	if (!error)
		return fd;
	close(fd);
	return error;
}

void lp_frame_close(int fd)
{
	close(fd);
}

int lp_frame_send(int fd, const uint8_t *bytes, uint32_t length)
{
	return send(fd, bytes, length, 0) < 0 ? -errno : 0;
}

int lp_frame_sent(int fd, uint32_t *number, int64_t *time_ns)
{
	union {
		char bytes[512];
		struct cmsghdr align;
	} control;
	struct msghdr message = { .msg_control = &control, .msg_controllen = sizeof(control) };
	int has_time = 0, has_number = 0;

	if (recvmsg(fd, &message, MSG_ERRQUEUE | MSG_DONTWAIT) < 0)
		return errno == EAGAIN ? 0 : -errno;
	for (struct cmsghdr *part = CMSG_FIRSTHDR(&message); part;
	     part = CMSG_NXTHDR(&message, part)) {
		if (part->cmsg_level == SOL_SOCKET && part->cmsg_type == SCM_TIMESTAMPING) {
			struct scm_timestamping stamps;

			memcpy(&stamps, CMSG_DATA(part), sizeof(stamps));
			*time_ns = (int64_t)stamps.ts[2].tv_sec * 1000000000 + stamps.ts[2].tv_nsec;
			has_time = *time_ns != 0;
		} else if (part->cmsg_level == SOL_PACKET &&
			   part->cmsg_type == PACKET_TX_TIMESTAMP) {
			struct sock_extended_err error;

			memcpy(&error, CMSG_DATA(part), sizeof(error));
			*number = error.ee_data;
			has_number = error.ee_origin == SO_EE_ORIGIN_TIMESTAMPING;
		}
	}
	return has_time && has_number ? 1 : -EBADMSG;
}

int lp_frame_address(const char *device, uint8_t address[6])
{
	struct ifreq request = { 0 };
	int fd, error = 0;

	if (strlen(device) >= sizeof(request.ifr_name))
		return -ENAMETOOLONG;
	strcpy(request.ifr_name, device);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (ioctl(fd, SIOCGIFHWADDR, &request))
		error = -errno;
	close(fd);
	memcpy(address, request.ifr_hwaddr.sa_data, 6);
	return error;
}
