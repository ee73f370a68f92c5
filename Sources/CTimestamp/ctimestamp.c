// SPDX-License-Identifier: GPL-2.0-or-later
#include "ctimestamp.h"

#include <errno.h>
#include <linux/ethtool.h>
#include <linux/if.h>
#include <linux/net_tstamp.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

int lp_timestamping_of(const char *device, struct lp_timestamping *result)
{
	struct ethtool_ts_info info = { .cmd = ETHTOOL_GET_TS_INFO };
	struct ifreq request = { .ifr_data = (void *)&info };
	int error = 0, fd;

	memset(result, 0, sizeof(*result));
	result->phc_index = -1;
	if (strlen(device) >= sizeof(request.ifr_name))
		return -ENAMETOOLONG;
	strcpy(request.ifr_name, device);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (ioctl(fd, SIOCETHTOOL, &request))
		error = -errno;
	close(fd);
	if (error)
		return error;
	result->phc_index = info.phc_index;
	result->hardware_transmit = !!(info.so_timestamping & SOF_TIMESTAMPING_TX_HARDWARE);
	result->hardware_receive = !!(info.so_timestamping & SOF_TIMESTAMPING_RX_HARDWARE);
	result->software_transmit = !!(info.so_timestamping & SOF_TIMESTAMPING_TX_SOFTWARE);
	result->software_receive = !!(info.so_timestamping & SOF_TIMESTAMPING_RX_SOFTWARE);
	result->receive_all = !!(info.rx_filters & 1u << HWTSTAMP_FILTER_ALL);
	return 0;
}
