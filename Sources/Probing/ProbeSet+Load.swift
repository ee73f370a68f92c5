// SPDX-License-Identifier: GPL-2.0-or-later
internal import CBPF
internal import CLatprobeABI
internal import Glibc
internal import Host
internal import Recording

extension ProbeSet {
  static func map(_ object: OpaquePointer, _ name: String) throws(KernelError) -> OpaquePointer {
    // libbpf names sections of the object `OBJECT.rodata`; the suffix is what counts.
    var map = unsafe bpf_object__next_map(object, nil)
    while let current = unsafe map {
      let found = unsafe String(cString: bpf_map__name(current))
      if found == name || (name.hasPrefix(".") && found.hasSuffix(name)) { return unsafe current }
      unsafe map = unsafe bpf_object__next_map(object, current)
    }
    throw KernelError("the BPF object has no map \(name): run 'make bpf'")
  }

  static func configure(
    _ object: OpaquePointer, _ options: ProbeOptions, _ targets: Targets, secret: UInt64
  ) throws(KernelError) {
    var size = 0
    let rodata = try unsafe map(object, ".rodata")
    guard let memory = unsafe bpf_map__initial_value(rodata, &size), size == MemoryLayout<lp_config>.size else {
      throw KernelError("the BPF object does not belong to this latprobe: run 'make bpf'")
    }
    func by(_ unit: String) -> UInt8 { UInt8((unit == "flow" ? LP_SAMPLE_FLOW : LP_SAMPLE_PACKET).rawValue) }
    var config = unsafe memory.load(as: lp_config.self)
    config.sample_one_in = max(1, options.sampling.oneIn)
    config.sample_tcp_by = by(options.sampling.tcpBy)
    config.sample_other_by = by(options.sampling.udpBy)
    config.identity = UInt8((options.isNATProof ? LP_IDENTITY_NAT_PROOF : LP_IDENTITY_FULL).rawValue)
    config.filter = options.filter == nil ? 0 : 1
    config.wakeups = targets.hasWakeups ? 1 : 0
    config.inner = targets.looksWithin ? 1 : 0
    config.netns_by_inode = targets.cookies.isEmpty ? 1 : 0
    config.secret = secret
    let calls = SendCall.numbers
    config.send_calls = (calls[0], calls[1], calls[2], calls[3], calls[4], -1)
    guard unsafe bpf_map__set_initial_value(rodata, &config, size) == 0 else {
      throw KernelError.system("the BPF programs cannot be configured", errno)
    }
  }

  /// 256 MiB in all at most, from 1 MiB to 16 MiB each: at 16 MiB and 40 bytes a stamp, 20 ms hold 20 million
  /// stamps a second.
  static func defaultBuffer(_ cpus: Int) -> Int {
    var size = 16 << 20
    while size > 1 << 20 && size * cpus > 256 << 20 { size >>= 1 }
    return size
  }

  /// - Parameter emptied: a row that is there no more.
  static func fill(_ map: Int32, _ targets: Targets, emptied: Targets.Key? = nil) throws(KernelError) {
    func key(_ key: Targets.Key) -> lp_target_key {
      lp_target_key(netns: key.namespace, ifindex: key.index, reserved: 0)
    }
    var buckets: [UInt32: [lp_target]] = [:]
    if let emptied { buckets[lp_target_bucket_of(key(emptied))] = [] }
    for (place, row) in targets.rows {
      var target = lp_target()
      target.key = key(place)
      target.ethernet = row.isEthernet ? 1 : 0
      target.inner = row.looksWithin ? 1 : 0
      unsafe withUnsafeMutableBytes(of: &target.hook) { bytes in
        for (site, hook) in row.hooks { unsafe bytes[site] = hook.rawValue }
        if row.tellsDrops { unsafe bytes[Int(LP_AT_DROP.rawValue)] = 1 }
      }
      unsafe withUnsafeMutableBytes(of: &target.name) { bytes in
        for (place, byte) in row.name.utf8.prefix(Int(LP_DEVICE_NAME) - 1).enumerated() { unsafe bytes[place] = byte }
      }
      buckets[lp_target_bucket_of(target.key), default: []].append(target)
    }
    for (index, targets) in buckets {
      guard targets.count <= Int(LP_TARGET_WAYS) else {
        throw KernelError("too many devices to watch; name fewer with --dev")
      }
      var index = index
      var bucket = lp_target_bucket()
      unsafe withUnsafeMutableBytes(of: &bucket) { bytes in
        for (way, target) in targets.enumerated() {
          unsafe bytes.storeBytes(of: target, toByteOffset: way * MemoryLayout<lp_target>.stride, as: lp_target.self)
        }
      }
      guard unsafe bpf_map_update_elem(map, &index, &bucket, 0) == 0 else {
        throw KernelError.system("the devices to watch cannot be told to the programs", errno)
      }
    }
  }

  static func loadError(_ code: Int32) -> KernelError {
    let text = unsafe String(cString: lp_messages_take())
    if code == EPERM || code == EACCES, let complaint = Capability.complaint {
      return KernelError(complaint)
    }
    // The verifier's verdict stands in the line before its summary; the rest is for LATPROBE_DEBUG.
    let lines = text.split(separator: "\n")
    let verdict = lines.firstIndex { $0.hasPrefix("processed ") }.map { lines[max(0, $0 - 1)] } ?? lines.last ?? ""
    if unsafe getenv("LATPROBE_DEBUG") != nil { _ = unsafe write(2, text, text.utf8.count) }
    return .system(
      "the kernel refused the BPF programs", code, "it said '\(verdict)'; LATPROBE_DEBUG=1 prints all it said")
  }
}

/// System calls whose first argument is the socket that sends.
enum SendCall {
  static var numbers: [Int64] {
    #if arch(x86_64)
      [44, 46, 307, 1, 20]  // sendto sendmsg sendmmsg write writev
    #else
      [206, 211, 269, 64, 66]  // the generic table: arm64, riscv64
    #endif
  }
}
