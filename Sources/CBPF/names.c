// SPDX-License-Identifier: GPL-2.0-or-later
#define _GNU_SOURCE
#include "cbpf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int lp_drop_reason(uint32_t reason, char *name, size_t size)
{
	static const char prefix[] = "SKB_DROP_REASON_";
	struct btf *kernel = btf__load_vmlinux_btf();
	int id = kernel ? btf__find_by_name_kind(kernel, "skb_drop_reason", BTF_KIND_ENUM) : -1;
	int error = -ENOENT;

	if (id >= 0) {
		const struct btf_type *type = btf__type_by_id(kernel, (__u32)id);
		const struct btf_enum *value = btf_enum(type);
		int i;

		for (i = 0; i < btf_vlen(type); i++) {
			const char *found = btf__name_by_offset(kernel, value[i].name_off);

			if ((uint32_t)value[i].val != reason)
				continue;
			if (strncmp(found, prefix, sizeof(prefix) - 1) == 0)
				found += sizeof(prefix) - 1;
			snprintf(name, size, "%s", found);
			error = 0;
			break;
		}
	}
	btf__free(kernel);
	return error;
}

static int symbols = -1;

void lp_functions_prepare(void)
{
	if (symbols < 0)
		symbols = open("/proc/kallsyms", O_RDONLY | O_CLOEXEC);
}

void lp_functions_of(const uint64_t *addresses, size_t count, char (*names)[64])
{
	uint64_t *best = calloc(count, sizeof(*best));
	int copy = symbols < 0 ? -1 : dup(symbols);
	FILE *file = copy < 0 ? NULL : fdopen(copy, "re");
	char *line = NULL;
	size_t room = 0, i;

	memset(names, 0, count * sizeof(*names));
	if (file)
		rewind(file);
	while (best && file && getline(&line, &room, file) > 0) {
		unsigned long long address;
		char kind, name[64];

		// Without the privilege to see them all addresses are 0.
		if (sscanf(line, "%llx %c %63s", &address, &kind, name) != 3 || !address ||
		    (kind != 't' && kind != 'T' && kind != 'w' && kind != 'W'))
			continue;
		for (i = 0; i < count; i++) {
			if (address > addresses[i] || address <= best[i])
				continue;
			best[i] = address;
			memcpy(names[i], name, sizeof(name));
		}
	}
	free(line);
	if (file)
		fclose(file);
	else if (copy >= 0)
		close(copy);
	free(best);
}
