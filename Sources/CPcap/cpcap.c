// SPDX-License-Identifier: GPL-2.0-or-later
#define _GNU_SOURCE
#include "cpcap.h"

#include <errno.h>
#include <fcntl.h>
#include <pcap/pcap.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

_Static_assert(sizeof(struct lp_cbpf_instruction) == sizeof(struct bpf_insn), "bpf_insn");

// How libpcap's compiler ended, as its process says it.
enum { NO_MEMORY = -2 };
struct outcome {
	int32_t count; // of steps; below 0: none
	char error[256];
};

// Of what a process may write to: as much as it has, and what is left for a filter.
static void limit_memory(void)
{
	char text[128] = "";
	unsigned long pages = 0;
	int file = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);

	if (file < 0)
		return;
	if (read(file, text, sizeof(text) - 1) > 0 &&
	    sscanf(text, "%*u %*u %*u %*u %*u %lu", &pages) == 1) {
		rlim_t bytes = (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE) + LP_PCAP_BYTES;
		const struct rlimit memory = { bytes, bytes };

		setrlimit(RLIMIT_DATA, &memory);
	}
	close(file);
}

static void compile(const char *expression, int raw_ip, size_t capacity, int end)
{
	struct outcome outcome = { .count = -1 };
	struct bpf_program compiled;
	pcap_t *pcap = pcap_open_dead(raw_ip ? DLT_RAW : DLT_EN10MB, 262144);
	size_t size = 0;

	if (!pcap) {
		snprintf(outcome.error, sizeof(outcome.error), "out of memory");
	} else if (pcap_compile(pcap, &compiled, expression, 1, PCAP_NETMASK_UNKNOWN)) {
		snprintf(outcome.error, sizeof(outcome.error), "%s", pcap_geterr(pcap));
		// Its word for it is "malloc".
		if (strstr(outcome.error, "malloc") || strstr(outcome.error, "memory"))
			outcome.count = NO_MEMORY;
	} else if (compiled.bf_len > capacity) {
		snprintf(outcome.error, sizeof(outcome.error), "the filter is too long (%u steps)",
			 compiled.bf_len);
	} else {
		outcome.count = (int32_t)compiled.bf_len;
		size = compiled.bf_len * sizeof(*compiled.bf_insns);
	}
	if (write(end, &outcome, sizeof(outcome)) != sizeof(outcome))
		_exit(1);
	for (size_t done = 0; done < size;) {
		ssize_t count = write(end, (char *)compiled.bf_insns + done, size - done);

		if (count < 0 && errno != EINTR)
			_exit(1);
		done += count > 0 ? (size_t)count : 0;
	}
	_exit(0);
}

// Bytes until the other end is closed, as many as there is room for.
static size_t read_all(int file, void *bytes, size_t size)
{
	size_t done = 0;

	while (done < size) {
		ssize_t count = read(file, (char *)bytes + done, size - done);

		if (count < 0 && errno == EINTR)
			continue;
		if (count <= 0)
			break;
		done += (size_t)count;
	}
	return done;
}

int lp_pcap_compile(const char *expression, int raw_ip, struct lp_cbpf_instruction *program,
		    size_t capacity, char *error)
{
	const struct rlimit processor = { LP_PCAP_SECONDS, LP_PCAP_SECONDS };
	const struct rlimit no_core = { 0, 0 };
	struct outcome outcome;
	int ends[2];
	size_t got, size;
	pid_t child;

	if (pipe2(ends, O_CLOEXEC)) {
		snprintf(error, 256, "no pipe: %s", strerror(errno));
		return -1;
	}
	child = fork();
	if (child == 0) {
		setrlimit(RLIMIT_CPU, &processor);
		setrlimit(RLIMIT_CORE, &no_core);
		limit_memory();
		// Where it waits for something, names of hosts say.
		alarm(10 * LP_PCAP_SECONDS);
		compile(expression, raw_ip, capacity, ends[1]);
	}
	close(ends[1]);
	if (child < 0) {
		close(ends[0]);
		snprintf(error, 256, "no process: %s", strerror(errno));
		return -1;
	}
	got = read_all(ends[0], &outcome, sizeof(outcome));
	size = got == sizeof(outcome) && outcome.count > 0
		       ? (size_t)outcome.count * sizeof(*program)
		       : 0;
	if (size && read_all(ends[0], program, size) != size)
		got = 0;
	close(ends[0]);
	while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
		;
	if (got != sizeof(outcome) || outcome.count == NO_MEMORY) {
		snprintf(error, 256,
			 "libpcap does not compile it within %d s and %d MiB: name a net or a "
			 "portrange instead of many hosts and ports",
			 LP_PCAP_SECONDS, LP_PCAP_BYTES >> 20);
		return -1;
	}
	memcpy(error, outcome.error, sizeof(outcome.error));
	return outcome.count;
}

uint32_t lp_pcap_run(const struct lp_cbpf_instruction *program, size_t count, const uint8_t *frame,
		     uint32_t length, uint32_t captured)
{
	struct bpf_program filter = { .bf_len = (u_int)count,
				      .bf_insns = (struct bpf_insn *)program };
	struct pcap_pkthdr header = { .caplen = captured, .len = length };

	return (uint32_t)pcap_offline_filter(&filter, &header, frame);
}
