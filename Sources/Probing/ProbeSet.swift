// SPDX-License-Identifier: GPL-2.0-or-later
internal import CBPF
internal import CLatprobeABI
internal import Glibc
package import Host
package import Recording
package import Topology

/// What to tell the programs before they are loaded.
package struct ProbeOptions: Sendable {
  package var filter: Filter?
  package var sampling = Machine.Sampling(oneIn: 1, udpBy: "packet", tcpBy: "flow")
  package var isNATProof = false
  /// Bytes of each CPU's ring buffer, a power of two; nil for a size that fits the machine.
  package var bufferSize: Int?
  /// How to hear of packets that the kernel throws away, ``KernelFacts/dropRung(_:)``; nil: not at all.
  package var dropRung: Rung?

  package init() {}
}

/// An opened BPF object; closed when it goes away.
@safe struct BPFObject: ~Copyable {
  let pointer: OpaquePointer

  init(_ file: BPFObjectFile) throws(KernelError) {
    lp_messages_capture()
    guard let object = unsafe bpf_object__open_mem(file.bytes, file.bytes.count, nil) else {
      throw KernelError.system("\(file.path) is not a BPF object", errno, "run 'make bpf'")
    }
    unsafe pointer = unsafe object
  }

  deinit { unsafe bpf_object__close(pointer) }

  /// Its programs in the order of the file.
  borrowing func eachProgram(_ body: (_ name: String, _ program: OpaquePointer) -> Void) {
    var program = unsafe bpf_object__next_program(pointer, nil)
    while let current = unsafe program {
      unsafe body(String(cString: bpf_program__name(current)), current)
      unsafe program = unsafe bpf_object__next_program(pointer, current)
    }
  }
}

/// Attached programs; each link detaches its program when this goes away.
@safe struct Links: ~Copyable {
  private var links: [OpaquePointer] = unsafe []
  private(set) var programs: [(name: String, file: Int32)] = []

  mutating func attach(_ name: String, of object: borrowing BPFObject) throws(KernelError) {
    guard let program = unsafe bpf_object__find_program_by_name(object.pointer, name) else {
      throw KernelError("the BPF object has no program \(name): run 'make bpf'")
    }
    guard let link = unsafe bpf_program__attach(program) else {
      throw KernelError.system("\(name) cannot be attached", errno, "see 'latprobe doctor'")
    }
    unsafe links.append(link)
    unsafe programs.append((name, bpf_program__fd(program)))
  }

  deinit {
    unsafe links.forEach { unsafe bpf_link__destroy($0) }
  }
}

/// One ring buffer a CPU.
struct Rings: ~Copyable {
  private(set) var files: [Int32] = []

  /// Makes the buffers and puts them into the map `rings`.
  init(cpus: [Int], size: Int, outer: Int32) throws(KernelError) {
    for cpu in cpus {
      var ring = unsafe bpf_map_create(BPF_MAP_TYPE_RINGBUF, "lp_ring", 0, 0, UInt32(size), nil)
      if ring >= 0 { files.append(ring) }
      var key = UInt32(cpu)
      guard ring >= 0, unsafe bpf_map_update_elem(outer, &key, &ring, 0) == 0 else {
        throw KernelError.system("a ring buffer of \(size) bytes for CPU \(cpu)", errno, "try a smaller --buffer")
      }
    }
  }

  deinit {
    for file in files { close(file) }
  }
}

/// Programs attached to the kernel, their ring buffers and ledger. Detaches when it goes away.
package struct ProbeSet: ~Copyable {
  private let object: BPFObject
  private let links: Links
  private let buffers: Rings
  /// The section .bss, which holds nothing but the switch `enabled`.
  private let switchMap: Int32
  private let ledgerMap: Int32
  private let targetMap: Int32
  private let dropPlaces: DropPlaces?
  private let dropProgram: String?
  private var targets: Targets
  private let flowMap: Int32
  /// Bytes of one CPU's value in the map `flows`.
  private let flowCacheSize: Int
  private let hooks: [HookPoint]
  package let runTimes = RunTimes()
  /// What the cost of a stamp is measured of: hook points of packets at devices that share programs, and descriptors of
  /// these.
  private let measured: [(hooks: Set<String>, programs: [Int32])]

  /// CPUs that the kernel may ever use, ascending: there may be gaps. What it gives by CPU has one place for each.
  private let cpus: [Int]

  /// One ring buffer for each CPU that may ever be used.
  package var rings: [(cpu: Int, file: Int32)] { zip(cpus, buffers.files).map { ($0, $1) } }

  /// Names of all programs in the object.
  package static func programs(in file: BPFObjectFile) throws(KernelError) -> Set<String> {
    var names: Set<String> = []
    unsafe try BPFObject(file).eachProgram { name, _ in names.insert(name) }
    return names
  }

  /// Loads and attaches what `resolved` names. Nothing is stamped before ``enable()``.
  package init(
    _ file: BPFObjectFile, _ resolved: ResolvedTopology, _ plan: WatchPlan, _ options: ProbeOptions
  ) throws(KernelError) {
    var file = file
    if let filter = options.filter { try file.splice(filter) }
    let targets = try Targets(resolved, plan, tellsDrops: options.dropRung != nil)
    let dropProgram = options.dropRung?.program(for: "kfree_skb")
    let wanted = resolved.programs.union(dropProgram.map { [$0] } ?? [])
    let secret = UInt64.random(in: .min ... .max)
    let cpus = System.possibleCPUs
    // Locals first: a throw in between then destroys what is there.
    let object = try BPFObject(file)
    unsafe object.eachProgram { name, program in unsafe bpf_program__set_autoload(program, wanted.contains(name)) }
    try unsafe ProbeSet.configure(object.pointer, options, targets, secret: secret)
    let outer = try unsafe ProbeSet.map(object.pointer, "rings")
    unsafe bpf_map__set_max_entries(outer, UInt32((cpus.last ?? 0) + 1))
    guard unsafe bpf_object__load(object.pointer) == 0 else { throw ProbeSet.loadError(errno) }
    let buffers = try Rings(
      cpus: cpus, size: options.bufferSize ?? ProbeSet.defaultBuffer(cpus.count), outer: unsafe bpf_map__fd(outer))
    let targetMap = unsafe bpf_map__fd(try ProbeSet.map(object.pointer, "targets"))
    try ProbeSet.fill(targetMap, targets)
    let ledgerMap = unsafe bpf_map__fd(try ProbeSet.map(object.pointer, "ledger"))
    let flows = try unsafe ProbeSet.map(object.pointer, "flows")
    let switchMap = unsafe bpf_map__fd(try ProbeSet.map(object.pointer, ".bss"))
    let dropMap = unsafe bpf_map__fd(try ProbeSet.map(object.pointer, "drop_places"))
    var links = Links()
    for name in wanted.sorted() { try links.attach(name, of: object) }
    self.object = object
    self.links = links
    self.buffers = buffers
    self.ledgerMap = ledgerMap
    self.targetMap = targetMap
    if dropProgram != nil { lp_functions_prepare() }
    dropPlaces = dropProgram == nil ? nil : DropPlaces(map: dropMap, secret: secret)
    self.dropProgram = dropProgram
    self.targets = targets
    self.cpus = cpus
    flowMap = unsafe bpf_map__fd(flows)
    flowCacheSize = Int(unsafe bpf_map__value_size(flows))
    self.switchMap = switchMap
    hooks = resolved.attachedHooks.map(\.point)
    let atDevices = resolved.attachedHooks.filter { StampCost.hooks.contains($0.point) }.map { hook in
      (hook.point.name, Set(hook.probes.flatMap(\.programs)))
    }
    let attached = self.links.programs
    measured = StampCost.sites(atDevices).map { site in
      (site.hooks, attached.filter { site.programs.contains($0.name) }.map(\.file))
    }
  }

  /// From now on every hook stamps; all begin with the same packets.
  package borrowing func enable() throws(KernelError) { try turn(1) }
  package borrowing func disable() throws(KernelError) { try turn(0) }

  private borrowing func turn(_ state: UInt32) throws(KernelError) {
    var key: UInt32 = 0
    var state = state
    guard unsafe bpf_map_update_elem(switchMap, &key, &state, 0) == 0 else {
      throw KernelError.system("the programs cannot be switched", errno)
    }
  }

  /// A device of a watched one's name is there: from now on it is watched under the index it has now.
  mutating func follow(_ name: String, inNamespace inode: UInt32, to index: Int) throws(KernelError) {
    guard let (old, new) = targets.follow(name, inNamespace: inode, to: index), old != new else { return }
    try ProbeSet.fill(targetMap, targets, emptied: old)
  }

  /// Makes the programs write each flow's 5-tuple once more, for streams that begin now.
  package borrowing func forgetFlows() throws(KernelError) {
    var key: UInt32 = 0
    let nothing = [UInt8](repeating: 0, count: flowCacheSize * cpus.count)
    guard unsafe bpf_map_update_elem(flowMap, &key, nothing, 0) == 0 else {
      throw KernelError.system("the programs' list of flows cannot be cleared", errno)
    }
  }

  /// The ledger as it stands, a row for each hook point and CPU that saw anything.
  package borrowing func ledger() throws(KernelError) -> [LedgerRow] {
    var rows: [LedgerRow] = []
    for hook in hooks {
      var values = [lp_ledger](repeating: lp_ledger(), count: cpus.count)
      var key = UInt32(hook.rawValue)
      guard unsafe bpf_map_lookup_elem(ledgerMap, &key, &values) == 0 else {
        throw KernelError.system("the loss ledger cannot be read", errno)
      }
      for (cpu, value) in zip(cpus, values) {
        let seen = value.filtered + value.sampled_out + value.emitted + value.lost + value.unbound
        if seen == 0 && cpu != 0 { continue }
        rows.append(
          LedgerRow(
            hook: hook.name, cpu: cpu, seen: seen, filtered: value.filtered, sampledOut: value.sampled_out,
            emitted: value.emitted, lost: value.lost, unbound: value.unbound))
      }
    }
    return rows
  }

  /// Why and where packets were thrown away, and how many more of which that could not be written down; nil where
  /// nobody asks.
  borrowing func drops(named: Bool) throws(KernelError) -> (places: [DropPlace], lost: UInt64)? {
    guard let dropPlaces, let dropProgram else { return nil }
    var values = [lp_ledger](repeating: lp_ledger(), count: cpus.count)
    var key = UInt32(LP_HOOK_NONE.rawValue)
    guard unsafe bpf_map_lookup_elem(ledgerMap, &key, &values) == 0 else {
      throw KernelError.system("the count of dropped packets cannot be read", errno)
    }
    let lost = values.reduce(misses()[dropProgram] ?? 0) { $0 + $1.lost }
    return (dropPlaces.read(named: named), lost)
  }

  /// Stamps made so far at devices, and the time in the programs there that the kernel has counted.
  borrowing func totals() throws(KernelError) -> StampCost.Totals {
    let rows = try ledger()
    return StampCost.Totals(
      sites: measured.map { site in
        StampCost.Site(
          hooks: site.hooks, stamps: rows.sum { site.hooks.contains($0.hook) ? $0.emitted : 0 }.unsigned,
          nanoseconds: site.programs.reduce(0) { $0 + lp_program_run_time($1) })
      })
  }

  /// By program name: how often the kernel skipped it because it was running already.
  package borrowing func misses() -> [String: UInt64] {
    Dictionary(links.programs.map { ($0.name, lp_program_misses($0.file)) }, uniquingKeysWith: +)
  }
}
