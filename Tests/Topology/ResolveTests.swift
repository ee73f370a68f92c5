// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Recording
import Testing
import Topology

/// The attach ladder, absence and what is printed about them.
@Suite struct ResolveTests {
  private func topology(_ candidates: String, optional: Bool = false) throws -> Topology {
    try Topology(
      yaml: """
        format: 1
        name: t
        summary: A test
        hooks:
          txg1: {side: guest, watch: guest-device, candidates: [{tracepoint: net_dev_queue}]}
          rxg1:
            side: guest
            watch: guest-socket
            optional: \(optional)
            candidates: \(candidates)
        paths: {tx: [txg1, rxg1]}
        """, file: "t.yaml")
  }
  private let programs: Set<String> = [
    "tp_btf_net_dev_queue", "raw_tp_net_dev_queue", "fentry_f", "kprobe_f", "tp_btf_a", "tp_btf_b", "raw_tp_b",
    "raw_tp_a", "kprobe_g_constprop_0",
  ]
  private func facts(
    _ rungs: [Rung: RungStatus], tracepoints: Set<String> = ["net_dev_queue"], functions: Set<String> = []
  ) -> KernelFacts {
    KernelFacts(release: "6.1.0", rungs: rungs, tracepoints: tracepoints, functions: functions)
  }

  @Test func candidateOrderBeatsRungOrder() throws {
    let kernel = facts(
      [.tpBTF: .ok, .kprobe: .ok, .fentry: .refused("EPERM")], tracepoints: ["net_dev_queue", "a"], functions: ["f"])
    let resolved = try topology("[{function: f}, {tracepoint: a}]").resolve(facts: kernel, programs: programs)
    #expect(resolved.hooks[1].attachedAs == "kprobe:f")
    #expect(resolved.hooks[1].parts[0].attempts.map(\.description) == ["function f: fentry refused (EPERM)"])
  }

  @Test func companionsMustBeThereOnTheSameRung() throws {
    let file = try topology("[{tracepoint: a, with: [b]}, {tracepoint: b}]")
    let kernel = facts([.tpBTF: .ok, .rawTP: .ok], tracepoints: ["net_dev_queue", "a", "b"])
    #expect(try file.resolve(facts: kernel, programs: programs).hooks[1].attachedAs == "tp_btf:a+b")
    // No tp_btf program for the companion: the rung below has both.
    let fewer = programs.subtracting(["tp_btf_b"])
    let below = try file.resolve(facts: kernel, programs: fewer)
    #expect(below.hooks[1].attachedAs == "raw_tp:a+b")
    #expect(below.hooks[1].probes[0].programs == ["raw_tp_a", "raw_tp_b"])
    #expect(
      below.hooks[1].parts[0].attempts.map(\.description)
        == ["tracepoint a with b: tp_btf has no program tp_btf_b in this build"])
    // The companion is not in the kernel: next candidate, or none.
    let without = facts([.tpBTF: .ok, .rawTP: .ok], tracepoints: ["net_dev_queue", "a"])
    let absent = try file.resolve(facts: without, programs: programs).hooks[1]
    #expect(absent.attachedAs == nil)
    #expect(absent.absentBecause == "tracepoint a with b: this kernel has no b; tracepoint b: not in this kernel")
  }

  @Test func rungsOfACandidateLimitAndOrderItsLadder() throws {
    let kernel = facts([.tpBTF: .ok, .rawTP: .ok, .fentry: .ok, .kprobe: .ok], tracepoints: ["net_dev_queue", "a"])
    func attached(_ candidates: String) throws -> String? {
      try topology(candidates).resolve(facts: kernel, programs: programs).hooks[1].attachedAs
    }
    #expect(try attached("[{tracepoint: a}]") == "tp_btf:a")
    #expect(try attached("[{tracepoint: a, rungs: [raw_tp]}]") == "raw_tp:a")
    #expect(try attached("[{tracepoint: a, rungs: [raw_tp, tp_btf]}]") == "raw_tp:a")
    // A rung that is not allowed is not fallen back on, nor named among what was tried.
    var without = kernel
    without.rungs[.rawTP] = .refused("EPERM")
    let absent = try topology("[{tracepoint: a, rungs: [raw_tp]}]").resolve(facts: without, programs: programs)
    #expect(absent.hooks[1].absentBecause == "tracepoint a: raw_tp refused (EPERM)")
    // Nor will a program on another rung do.
    let error = #expect(throws: TopologyError.self) {
      try topology("[{tracepoint: b, rungs: [tp_btf]}]").resolve(
        facts: kernel, programs: ["tp_btf_net_dev_queue", "raw_tp_b"])
    }
    #expect(
      error?.description == "t.yaml:10:18: this build of latprobe has no program for the tracepoint b on tp_btf; "
        + "it has them for net_dev_queue")
  }

  @Test func absenceTellsRefusalFromWhatTheKernelHasNot() throws {
    let file = try topology("[{function: f}]")
    let none = facts([.tpBTF: .ok, .fentry: .ok, .kprobe: .ok])
    let lacking = try file.resolve(facts: none, programs: programs).hooks[1].parts[0].absence
    #expect(lacking?.reason == "function f: not in this kernel")
    #expect(lacking?.kind == .notInThisKernel)
    let refused = facts([.tpBTF: .ok, .fentry: .refused("EPERM"), .kprobe: .refused("EPERM")], functions: ["f"])
    let resolved = try file.resolve(facts: refused, programs: programs)
    let absence = resolved.hooks[1].parts[0].absence
    #expect(absence?.reason == "function f: fentry refused (EPERM), kprobe refused (EPERM)")
    #expect(absence?.kind == .refused)
    #expect(resolved.table().contains("latprobe doctor"))
    #expect(resolved.attachedHooks.map(\.point) == [.txg1])
  }

  @Test func optionalHooksAreLeftOutQuietlyRequiredOnesWarn() throws {
    let kernel = facts([.tpBTF: .ok])
    let quiet = try topology("[{function: f}]", optional: true).resolve(facts: kernel, programs: programs)
    #expect(quiet.warnings == [])
    #expect(quiet.hooks[1].isOptional)
    let loud = try topology("[{function: f}]").resolve(facts: kernel, programs: programs)
    #expect(loud.warnings == ["rxg1 is absent: function f: not in this kernel"])
  }

  @Test func aCandidateWithoutAnyProgramIsAnErrorAtItsPlace() throws {
    let kernel = facts([.tpBTF: .ok])
    func message(_ candidates: String, _ programs: Set<String>) throws -> String? {
      let file = try topology(candidates)
      do throws(TopologyError) {
        _ = try file.resolve(facts: kernel, programs: programs)
        return nil
      } catch { return error.description }
    }
    #expect(
      try message("[{function: f}, {function: nosuch}]", programs)
        == "t.yaml:10:33: this build of latprobe has no program for the function nosuch; it has them for f g_constprop_0"
    )
    #expect(
      try message("[{tracepoint: a, with: [nosuch]}]", programs)
        == "t.yaml:10:18: this build of latprobe has no program for the tracepoint nosuch; it has them for a b net_dev_queue"
    )
    #expect(
      try message("[{tracepoint: a, with: [b]}]", ["tp_btf_net_dev_queue", "tp_btf_a", "raw_tp_b"])
        == "t.yaml:10:18: this build of latprobe has no program for the tracepoint a with b on one rung; it has them for a b net_dev_queue"
    )
    #expect(
      try message("[{function: f}]", ["tp_btf_net_dev_queue"])
        == "t.yaml:10:18: this build of latprobe has no program for the function f; it has none for any function")
    #expect(try message("[{function: g.constprop.0}]", programs) == nil)
  }

  @Test func tableNamesEveryHookAndReason() throws {
    let kernel = facts([.rawTP: .ok, .tpBTF: .refused("EPERM")])
    let resolved = try topology("[{function: f}]").resolve(facts: kernel, programs: programs)
    #expect(
      resolved.table() == """
        t: A test
        kernel 6.1.0, t.yaml

        hook  side   watches       attached as
        txg1  guest  guest-device  raw_tp:net_dev_queue
        rxg1  guest  guest-socket  absent
                                     not function f: not in this kernel

        path tx: txg1 rxg1

        """)
    #expect(resolved.table(verbose: true).contains("  program raw_tp_net_dev_queue\n"))
    #expect(resolved.table(verbose: true).contains("  not tracepoint net_dev_queue: tp_btf refused (EPERM)\n"))
  }

  @Test func jsonHasNullForWhatIsNotThere() throws {
    let resolved = try topology("[{function: f}]").resolve(facts: facts([.tpBTF: .ok]), programs: programs)
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys]
    let json = String(decoding: try encoder.encode(resolved), as: UTF8.self)
    #expect(json.contains(#""kernel":"6.1.0""#))
    #expect(json.contains(#""side":null"#))
    #expect(
      json.contains(
        #"{"absent_because":null,"attached_as":"tp_btf:net_dev_queue","name":"txg1","optional":false,"#))
    #expect(
      json.contains(
        #"{"absent_because":"function f: not in this kernel","attached_as":null,"name":"rxg1","optional":false,"#))
    #expect(json.contains(#""absence":"not_in_this_kernel""#))
    #expect(json.contains(#""programs":["tp_btf_net_dev_queue"]"#))
  }

  @Test func attachedHooksGoIntoTheRecording() throws {
    let resolved = try topology("[{function: f}]").resolve(facts: facts([.tpBTF: .ok]), programs: programs)
    #expect(
      resolved.hooks.map { $0.attachedHook(watches: ["eth0"]) } == [
        AttachedHook(name: "txg1", attachedAs: "tp_btf:net_dev_queue", watches: ["eth0"]),
        AttachedHook(
          name: "rxg1", attachedAs: nil, absentBecause: "function f: not in this kernel", watches: ["eth0"]),
      ])
    #expect(resolved.recordedPaths == [Path(name: "tx", hooks: ["txg1", "rxg1"])])
  }
}
