// SPDX-License-Identifier: GPL-2.0-or-later
//
// A process apart that runs gnuplot: with a script on its standard input and the picture on its standard output, without
// privileges, and so confined that it starts no program, reaches no network and changes no file.
#ifndef LATPROBE_CDRAWER_H
#define LATPROBE_CDRAWER_H

#include <stddef.h>
#include <stdint.h>

// Starts it; to be done before this process confines itself. The user and group are those that gnuplot runs as
// where this process is root. A socket that ends it when it is closed, or -errno.
int lp_drawer_start(const char *program, uint32_t user, uint32_t group);

// Draws. `picture` and `complaint` are files in memory, at their beginning, to be closed by the caller.
// gnuplot's exit code, 256 + signal, or -errno: -ENOENT without gnuplot.
int lp_drawer_draw(int drawer, const void *script, size_t size, int *picture, int *complaint);

#endif
