// SPDX-License-Identifier: GPL-2.0-or-later
//
// libbpf for Swift: its headers, and the little that Swift cannot call itself (variadic callbacks,
// system calls without a libbpf wrapper).
#ifndef LATPROBE_CBPF_H
#define LATPROBE_CBPF_H

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <stddef.h>
#include <stdint.h>

#include "latprobe_abi.h"
#include "latprobe_config.h"

// Keeps libbpf's messages of this process in a buffer instead of on standard error.
void lp_messages_capture(void);
// The messages since the last call, oldest first, cut to the last 64 KiB; valid until the next call.
const char *lp_messages_take(void);

// Can a program of this rung (tp_btf, raw_tp, fentry, kprobe) be loaded and attached here?
// 0, or -errno of the step that failed; -ENOTSUP where the kernel has no such thing.
int lp_rung_try(const char *rung);

// Calls `found` with the name of every tracepoint (kind 0) and function (kind 1) in the kernel's BTF.
// 0, or -errno where there is no BTF.
int lp_kernel_symbols(void (*found)(void *context, int kind, const char *name), void *context);

// The name that the kernel's BTF has for a number of `enum skb_drop_reason`, shortened to fit; -ENOENT if it has none.
int lp_drop_reason(uint32_t reason, char *name, size_t size);
// To be called while the privilege is held that addresses need; lp_functions_of() uses it later.
void lp_functions_prepare(void);
// The functions that `count` addresses lie in, 64 bytes each; empty where /proc/kallsyms does not tell.
void lp_functions_of(const uint64_t *addresses, size_t count, char (*names)[64]);

// Reads one ring buffer into memory of the caller.
struct lp_drain;
struct lp_drain *lp_drain_open(int ring_fd);
// Copies whole records into `buffer` until it holds less than one more, or the ring is empty.
// Returns the number of bytes; records lie back to back.
size_t lp_drain_read(struct lp_drain *drain, void *buffer, size_t capacity);
void lp_drain_close(struct lp_drain *drain);

// How often the kernel skipped this program because it was running already on that CPU; 0 on old kernels.
uint64_t lp_program_misses(int program_fd);
// Nanoseconds in this program, of the times in which the kernel counted them (bpf_enable_stats).
uint64_t lp_program_run_time(int program_fd);

#endif
