// SPDX-License-Identifier: GPL-2.0-or-later

/// A way to attach a BPF program to a kernel symbol. The raw values begin the names of BPF programs.
package enum Rung: String, CaseIterable, Sendable, Codable, Hashable {
  case tpBTF = "tp_btf"
  case rawTP = "raw_tp"
  case fentry
  case kprobe

  /// The rungs that reach a kind of symbol, best first.
  package static func ladder(for kind: Topology.SymbolKind) -> [Rung] {
    switch kind {
    case .tracepoint: [.tpBTF, .rawTP]
    case .function: [.fentry, .kprobe]
    }
  }

  /// Name of the BPF program for a symbol on this rung: `tp_btf_net_dev_queue`. Dots become underscores.
  package func program(for symbol: String) -> String {
    "\(rawValue)_" + String(symbol.map { $0 == "." ? "_" : $0 })
  }
}

/// Whether programs of a rung can be attached at all on this kernel.
package enum RungStatus: Sendable, Equatable {
  case ok
  /// The kernel could, but says no; the reason is the error: `EPERM`.
  case refused(String)
  /// This kernel has no such thing; the reason says so: `not built into this kernel`.
  case unsupported(String)
}

/// What the resolver needs to know of a running (or imagined) kernel.
package struct KernelFacts: Sendable, Equatable {
  /// As `uname -r` gives it.
  package var release: String
  /// A rung that is missing here counts as unsupported.
  package var rungs: [Rung: RungStatus]
  package var tracepoints: Set<String>
  /// Functions that can be attached to, those of loaded modules included.
  package var functions: Set<String>

  package init(release: String, rungs: [Rung: RungStatus], tracepoints: Set<String>, functions: Set<String>) {
    self.release = release
    self.rungs = rungs
    self.tracepoints = tracepoints
    self.functions = functions
  }

  package func has(_ symbol: String, _ kind: Topology.SymbolKind) -> Bool {
    switch kind {
    case .tracepoint: tracepoints.contains(symbol)
    case .function: functions.contains(symbol)
    }
  }

  package func status(of rung: Rung) -> RungStatus {
    rungs[rung] ?? .unsupported("not known to work on this kernel")
  }
}
