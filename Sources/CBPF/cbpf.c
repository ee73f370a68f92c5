// SPDX-License-Identifier: GPL-2.0-or-later
#define _GNU_SOURCE
#include "cbpf.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

// --------------------------------------------------------------------------------------- messages

#define MESSAGES_MAX (64 * 1024)

static pthread_mutex_t messages_lock = PTHREAD_MUTEX_INITIALIZER;
static char messages[MESSAGES_MAX], taken[MESSAGES_MAX];
static size_t messages_length;

static int keep_message(enum libbpf_print_level level, const char *format, va_list arguments)
{
	char line[8192];
	int length;

	if (level == LIBBPF_DEBUG)
		return 0;
	length = vsnprintf(line, sizeof(line), format, arguments);
	if (length < 0)
		return 0;
	if ((size_t)length >= sizeof(line))
		length = sizeof(line) - 1;
	pthread_mutex_lock(&messages_lock);
	if (messages_length + (size_t)length >= MESSAGES_MAX) {
		// The verifier's last lines say what was wrong.
		size_t keep = MESSAGES_MAX / 2;

		if (messages_length > keep) {
			memmove(messages, messages + messages_length - keep, keep);
			messages_length = keep;
		}
	}
	memcpy(messages + messages_length, line, (size_t)length);
	messages_length += (size_t)length;
	messages[messages_length] = 0;
	pthread_mutex_unlock(&messages_lock);
	return 0;
}

void lp_messages_capture(void)
{
	libbpf_set_print(keep_message);
}

const char *lp_messages_take(void)
{
	pthread_mutex_lock(&messages_lock);
	memcpy(taken, messages, messages_length + 1);
	messages_length = 0;
	messages[0] = 0;
	pthread_mutex_unlock(&messages_lock);
	return taken;
}

// ------------------------------------------------------------------------------------------- rungs

// Reads a word of the kernel's memory, as ours do: a kernel that is locked down forbids the reading, not the program.
static const struct bpf_insn reading[] = {
	{ .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = 1, .src_reg = 10 },
	{ .code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = 1, .imm = -8 },
	{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 2, .imm = 8 },
	{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 3, .imm = 0 },
	{ .code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_probe_read_kernel },
	{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = 0 },
	{ .code = BPF_JMP | BPF_EXIT },
};

static int load_reading(enum bpf_prog_type type, enum bpf_attach_type attach, int btf_id)
{
	LIBBPF_OPTS(bpf_prog_load_opts, options, .expected_attach_type = attach);

	if (btf_id)
		options.attach_btf_id = (__u32)btf_id;
	return bpf_prog_load(type, "lp_try", "GPL", reading, sizeof(reading) / sizeof(reading[0]),
			     &options);
}

// Opens a link on `name` (NULL: where the program was loaded for) and closes it again.
static int try_attach(int program, const char *name)
{
	int link = bpf_raw_tracepoint_open(name, program);

	close(program);
	if (link < 0)
		return link;
	close(link);
	return 0;
}

static int try_kprobe(int program)
{
	static const char function[] = "skb_consume_udp";
	struct perf_event_attr attribute = { .size = sizeof(attribute) };
	char text[16] = "";
	int file, event;

	file = open("/sys/bus/event_source/devices/kprobe/type", O_RDONLY | O_CLOEXEC);
	if (file < 0) {
		close(program);
		return -ENOTSUP;
	}
	if (read(file, text, sizeof(text) - 1) <= 0)
		text[0] = 0;
	close(file);
	attribute.type = (__u32)atoi(text);
	attribute.config1 = (uintptr_t)function;
	event = (int)syscall(SYS_perf_event_open, &attribute, -1, 0, -1, PERF_FLAG_FD_CLOEXEC);
	if (event < 0)
		event = -errno;
	else
		close(event);
	close(program);
	return event < 0 ? event : 0;
}

int lp_rung_try(const char *rung)
{
	int id, program;

	if (strcmp(rung, "tp_btf") == 0) {
		id = libbpf_find_vmlinux_btf_id("net_dev_queue", BPF_TRACE_RAW_TP);
		if (id < 0)
			return -ENOTSUP;
		program = load_reading(BPF_PROG_TYPE_TRACING, BPF_TRACE_RAW_TP, id);
		return program < 0 ? program : try_attach(program, NULL);
	}
	if (strcmp(rung, "raw_tp") == 0) {
		program = load_reading(BPF_PROG_TYPE_RAW_TRACEPOINT, 0, 0);
		return program < 0 ? program : try_attach(program, "net_dev_queue");
	}
	if (strcmp(rung, "fentry") == 0) {
		id = libbpf_find_vmlinux_btf_id("skb_consume_udp", BPF_TRACE_FENTRY);
		if (id < 0)
			return -ENOTSUP;
		program = load_reading(BPF_PROG_TYPE_TRACING, BPF_TRACE_FENTRY, id);
		return program < 0 ? program : try_attach(program, NULL);
	}
	if (strcmp(rung, "kprobe") == 0) {
		program = load_reading(BPF_PROG_TYPE_KPROBE, 0, 0);
		return program < 0 ? program : try_kprobe(program);
	}
	return -EINVAL;
}

typedef void (*found_symbol)(void *context, int kind, const char *name);

// Those that `btf` adds to the ids below `first`.
static void each_symbol(const struct btf *btf, __u32 first, found_symbol found, void *context)
{
	static const char prefix[] = "btf_trace_";
	__u32 id, count = btf__type_cnt(btf);

	for (id = first; id < count; id++) {
		const struct btf_type *type = btf__type_by_id(btf, id);
		const char *name = btf__name_by_offset(btf, type->name_off);

		if (btf_is_typedef(type) && strncmp(name, prefix, sizeof(prefix) - 1) == 0)
			found(context, 0, name + sizeof(prefix) - 1);
		else if (btf_is_func(type))
			found(context, 1, name);
	}
}

int lp_kernel_symbols(found_symbol found, void *context)
{
	struct btf *kernel = btf__load_vmlinux_btf();
	DIR *modules;
	struct dirent *entry;

	if (!kernel)
		return -errno;
	each_symbol(kernel, 1, found, context);
	// A file a loaded module that has BTF; one that goes away meanwhile is passed over.
	modules = opendir("/sys/kernel/btf");
	while (modules && (entry = readdir(modules))) {
		struct btf *module;

		if (entry->d_name[0] == '.' || strcmp(entry->d_name, "vmlinux") == 0)
			continue;
		module = btf__load_module_btf(entry->d_name, kernel);
		if (!module)
			continue;
		each_symbol(module, btf__type_cnt(kernel), found, context);
		btf__free(module);
	}
	if (modules)
		closedir(modules);
	btf__free(kernel);
	return 0;
}

// ------------------------------------------------------------------------------------------- drain

struct lp_drain {
	struct ring_buffer *ring;
	unsigned char *buffer;
	size_t length, capacity;
};

// libbpf takes a record as consumed whatever is returned; a negative value only ends the round.
static int take_record(void *context, void *data, size_t size)
{
	struct lp_drain *drain = context;

	memcpy(drain->buffer + drain->length, data, size);
	drain->length += size;
	return drain->capacity - drain->length < sizeof(struct lp_flow) ? -ENOBUFS : 0;
}

struct lp_drain *lp_drain_open(int ring_fd)
{
	struct lp_drain *drain = calloc(1, sizeof(*drain));

	if (!drain)
		return NULL;
	drain->ring = ring_buffer__new(ring_fd, take_record, drain, NULL);
	if (!drain->ring) {
		free(drain);
		return NULL;
	}
	return drain;
}

size_t lp_drain_read(struct lp_drain *drain, void *buffer, size_t capacity)
{
	drain->buffer = buffer;
	drain->capacity = capacity;
	drain->length = 0;
	if (capacity >= sizeof(struct lp_flow))
		ring_buffer__consume(drain->ring);
	return drain->length;
}

void lp_drain_close(struct lp_drain *drain)
{
	ring_buffer__free(drain->ring);
	free(drain);
}

// All zero where the kernel does not tell.
static struct bpf_prog_info info_of(int program_fd)
{
	struct bpf_prog_info info = {};
	__u32 length = sizeof(info);

	bpf_obj_get_info_by_fd(program_fd, &info, &length);
	return info;
}

uint64_t lp_program_misses(int program_fd)
{
	return info_of(program_fd).recursion_misses;
}

uint64_t lp_program_run_time(int program_fd)
{
	return info_of(program_fd).run_time_ns;
}
