// SPDX-License-Identifier: GPL-2.0-or-later
#include "ctimestamp.h"

#include <errno.h>
#include <linux/ethtool.h>
#include <linux/if.h>
#include <linux/if_arp.h>
#include <linux/net_tstamp.h>
#include <linux/ptp_clock.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static int ask(const char *device, unsigned long call, struct ifreq *request)
{
	int error = 0, fd;

	if (strlen(device) >= sizeof(request->ifr_name))
		return -ENAMETOOLONG;
	strcpy(request->ifr_name, device);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (ioctl(fd, call, request))
		error = -errno;
	close(fd);
	return error;
}

int lp_device_index(const char *device)
{
	struct ifreq request = { 0 };
	int error = ask(device, SIOCGIFINDEX, &request);

	return error ? error : request.ifr_ifindex;
}

int lp_device_is_ethernet(const char *device)
{
	struct ifreq request = { 0 };
	int error = ask(device, SIOCGIFHWADDR, &request);

	if (error)
		return error;
	switch (request.ifr_hwaddr.sa_family) {
	case ARPHRD_ETHER:
	case ARPHRD_LOOPBACK:
		return 1;
	case ARPHRD_NONE:
	case ARPHRD_RAWIP:
	case ARPHRD_PPP:
		return 0;
	default:
		return -EPROTOTYPE;
	}
}

int lp_device_driver(const char *device, char driver[32])
{
	struct ethtool_drvinfo info = { .cmd = ETHTOOL_GDRVINFO };
	struct ifreq request = { .ifr_data = (void *)&info };
	int error = ask(device, SIOCETHTOOL, &request);

	memset(driver, 0, 32);
	if (!error)
		memcpy(driver, info.driver, strnlen(info.driver, 31));
	return error;
}

struct lp_hardware_stamping lp_hardware_stamping_all(void)
{
	return (struct lp_hardware_stamping){ HWTSTAMP_TX_ON, HWTSTAMP_FILTER_ALL };
}

struct lp_hardware_stamping lp_hardware_stamping_none(void)
{
	return (struct lp_hardware_stamping){ HWTSTAMP_TX_OFF, HWTSTAMP_FILTER_NONE };
}

static int hardware_stamping(const char *device, unsigned long call,
			     struct lp_hardware_stamping *setting)
{
	struct hwtstamp_config config = { .tx_type = setting->transmit,
					  .rx_filter = setting->receive };
	struct ifreq request = { .ifr_data = (void *)&config };
	int error = ask(device, call, &request);

	if (!error)
		*setting = (struct lp_hardware_stamping){ config.tx_type, config.rx_filter };
	return error;
}

int lp_hardware_stamping_get(const char *device, struct lp_hardware_stamping *setting)
{
	*setting = lp_hardware_stamping_none();
	return hardware_stamping(device, SIOCGHWTSTAMP, setting);
}

int lp_hardware_stamping_set(const char *device, struct lp_hardware_stamping *setting)
{
	return hardware_stamping(device, SIOCSHWTSTAMP, setting);
}

int lp_timestamping_of(const char *device, struct lp_timestamping *result)
{
	struct ethtool_ts_info info = { .cmd = ETHTOOL_GET_TS_INFO };
	struct ifreq request = { .ifr_data = (void *)&info };
	int error;

	memset(result, 0, sizeof(*result));
	result->phc_index = -1;
	error = ask(device, SIOCETHTOOL, &request);
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

int lp_device_counters(const char *device, struct lp_device_counter *counters, uint32_t capacity)
{
	struct ethtool_drvinfo info = { .cmd = ETHTOOL_GDRVINFO };
	struct ifreq request = { .ifr_data = (void *)&info };
	struct ethtool_gstrings *names;
	struct ethtool_stats *values;
	int error = ask(device, SIOCETHTOOL, &request);
	uint32_t count = info.n_stats;

	if (error || !count)
		return error;
	// Drivers may count more than a moment ago: room for what the kernel then writes.
	names = calloc(1, sizeof(*names) + (size_t)(count + 64) * ETH_GSTRING_LEN);
	values = calloc(1, sizeof(*values) + (size_t)(count + 64) * sizeof(uint64_t));
	if (!names || !values) {
		error = -ENOMEM;
		goto out;
	}
	names->cmd = ETHTOOL_GSTRINGS;
	names->string_set = ETH_SS_STATS;
	names->len = count;
	request.ifr_data = (void *)names;
	if ((error = ask(device, SIOCETHTOOL, &request)))
		goto out;
	values->cmd = ETHTOOL_GSTATS;
	values->n_stats = count;
	request.ifr_data = (void *)values;
	if ((error = ask(device, SIOCETHTOOL, &request)))
		goto out;
	if (count > names->len)
		count = names->len;
	if (count > capacity)
		count = capacity;
	for (uint32_t i = 0; i < count; i++) {
		memcpy(counters[i].name, names->data + (size_t)i * ETH_GSTRING_LEN,
		       ETH_GSTRING_LEN);
		counters[i].name[ETH_GSTRING_LEN] = 0;
		counters[i].value = values->data[i];
	}
	error = (int)count;
out:
	free(names);
	free(values);
	return error;
}

static int64_t nanoseconds(struct ptp_clock_time time)
{
	return (int64_t)time.sec * 1000000000 + time.nsec;
}

// Takes the reading if its window is the shortest so far; a negative one stands for none.
static void take_shortest(struct lp_cross_stamp *best, struct ptp_clock_time before,
			  struct ptp_clock_time device, struct ptp_clock_time after)
{
	int64_t window = nanoseconds(after) - nanoseconds(before);

	// A clock that was set in between: no window at all.
	if (window < 0 || (best->window_ns >= 0 && window >= best->window_ns))
		return;
	best->device_ns = nanoseconds(device);
	best->realtime_ns = nanoseconds(before) + window / 2;
	best->monotonic_raw_ns = 0;
	best->window_ns = window;
}

int lp_ptp_precise(int fd, struct lp_cross_stamp *result)
{
	struct ptp_sys_offset_precise request = { 0 };

	if (ioctl(fd, PTP_SYS_OFFSET_PRECISE2, &request))
		return -errno;
	result->device_ns = nanoseconds(request.device);
	result->realtime_ns = nanoseconds(request.sys_realtime);
	result->monotonic_raw_ns = nanoseconds(request.sys_monoraw);
	result->window_ns = 0;
	return 0;
}

int lp_ptp_extended(int fd, struct lp_cross_stamp *result)
{
	struct ptp_sys_offset_extended request = { .n_samples = 5 };

	if (ioctl(fd, PTP_SYS_OFFSET_EXTENDED2, &request))
		return -errno;
	result->window_ns = -1;
	for (unsigned int i = 0; i < request.n_samples; i++)
		take_shortest(result, request.ts[i][0], request.ts[i][1], request.ts[i][2]);
	return result->window_ns < 0 ? -EAGAIN : 0;
}

int lp_ptp_basic(int fd, struct lp_cross_stamp *result)
{
	struct ptp_sys_offset request = { .n_samples = 5 };

	if (ioctl(fd, PTP_SYS_OFFSET2, &request))
		return -errno;
	result->window_ns = -1;
	// System and device alternate, the system's comes first and last.
	for (unsigned int i = 0; i < request.n_samples; i++)
		take_shortest(result, request.ts[2 * i], request.ts[2 * i + 1],
			      request.ts[2 * i + 2]);
	return result->window_ns < 0 ? -EAGAIN : 0;
}
