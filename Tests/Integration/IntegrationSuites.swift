// SPDX-License-Identifier: GPL-2.0-or-later
import Testing

/// They share the machine's tracepoints and CPUs: one at a time.
@Suite(.serialized) enum IntegrationSuites {}
