// SPDX-License-Identifier: GPL-2.0-or-later
// Compiles the header's assertions for the machine that user space runs on.
#include "latprobe_abi.h"
