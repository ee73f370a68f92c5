// SPDX-License-Identifier: GPL-2.0-or-later
internal import Host

extension KVMGuest {
  /// Every guest of this host that this process may look into, by process id.
  ///
  /// Without CAP_SYS_PTRACE (root) the descriptors of other users' processes, and so their guests, are not seen.
  /// - Parameter root: where /proc and /sys are; empty for the machine's own.
  package static func all(root: String = "") -> [KVMGuest] {
    let files = ProcessFiles(root: root)
    var workers: [Int: [Int]] = [:]
    var guests: [KVMGuest] = []
    for pid in files.processes {
      if let owner = kernelWorkerOwner(files, pid) { workers[owner, default: []].append(pid) }
      if let guest = KVMGuest(files, pid) { guests.append(guest) }
    }
    for index in guests.indices { guests[index].add(workers, files) }
    return guests
  }

  /// Before Linux 6.4 vhost's workers are kernel threads `vhost-N`, N the thread that opened the device.
  private static func kernelWorkerOwner(_ files: ProcessFiles, _ pid: Int) -> Int? {
    guard let name = files.comm(pid), name.hasPrefix("vhost-"), let owner = Int(name.dropFirst(6)) else { return nil }
    // A kernel thread has no command line; a process that only bears the name has.
    return files.commandLine(pid).isEmpty ? owner : nil
  }

  private init?(_ files: ProcessFiles, _ pid: Int) {
    let descriptors = files.descriptors(pid)
    let machine = descriptors.first { $0.target == "anon_inode:kvm-vm" }?.number
    let vcpus = Set(descriptors.compactMap { KVMGuest.vcpu($0.target) })
    // /dev/kvm alone is no guest: libvirt opens it to ask what KVM can do.
    guard machine != nil || !vcpus.isEmpty else { return nil }
    let line = QEMUCommandLine(files.commandLine(pid))
    self.pid = pid
    name = line.name ?? files.comm(pid).flatMap { QEMUCommandLine.printable($0) } ?? "pid \(pid)"
    uuid = line.uuid
    vsockCID = line.vsockCID
    backends = line.backends
    descriptor = machine
    vcpuCount = vcpus.count
    taps = []
    macvtaps = []
    vhostNetCount = descriptors.count { $0.target == "/dev/vhost-net" }
    vfio = []
    threads = []
    for item in descriptors { take(item.number, item.target, files) }
    taps.sort { $0.name < $1.name }
    threads = KVMGuest.threads(files, pid, named: KVMDebug(root: files.root).vcpuThreads(of: self))
    vcpuCount = max(vcpuCount, threads(.vcpu).count)
  }

  private mutating func take(_ number: Int, _ target: String, _ files: ProcessFiles) {
    if target == "/dev/net/tun" {
      guard let name = files.tap(pid, descriptor: number) else { return }
      if let index = taps.firstIndex(where: { $0.name == name }) {
        taps[index].queues += 1
      } else {
        taps.append(GuestTap(name: name, queues: 1))
      }
    } else if target.hasPrefix("/dev/tap"), let index = Int(target.dropFirst(8)) {
      let name = KVMGuest.device(withIndex: index, files) ?? "ifindex \(index)"
      if !macvtaps.contains(name) { macvtaps.append(name) }
    } else if target.hasPrefix("/dev/vfio/"), target != "/dev/vfio/vfio" {
      vfio.append(String(target.dropFirst("/dev/vfio/".count)))
    }
  }

  private static func vcpu(_ target: String) -> Int? {
    let prefix = "anon_inode:kvm-vcpu:"
    return target.hasPrefix(prefix) ? Int(target.dropFirst(prefix.count)) : nil
  }

  private static func device(withIndex index: Int, _ files: ProcessFiles) -> String? {
    System.list("\(files.root)/sys/class/net").first {
      System.read("\(files.root)/sys/class/net/\($0)/ifindex", limit: 64) == String(index)
    }
  }

  /// - Parameter named: vCPU number by thread id, as KVM's debugfs has it; empty on older kernels.
  private static func threads(_ files: ProcessFiles, _ pid: Int, named: [Int: Int]) -> [GuestThread] {
    let states = files.threads(pid).compactMap { files.thread(pid, $0) }
    let hasNames = !named.isEmpty || states.contains { vcpu(ofThread: $0.name) != nil }
    let threads = states.compactMap { state -> GuestThread? in
      if let vcpu = named[state.id] ?? vcpu(ofThread: state.name) { return GuestThread(state, .vcpu, vcpu: vcpu) }
      if state.name.hasPrefix("vhost-") { return GuestThread(state, .vhost) }
      if state.id == pid { return GuestThread(state, .main) }
      if state.name.hasPrefix("IO ") { return GuestThread(state, .io) }
      // A monitor that names no threads: whoever has run the guest is a vCPU.
      return !hasNames && state.hasRunGuest ? GuestThread(state, .vcpu) : nil
    }
    return sorted(threads)
  }

  /// Adds the kernel's workers of this guest, which are processes of their own.
  private mutating func add(_ workers: [Int: [Int]], _ files: ProcessFiles) {
    guard !workers.isEmpty else { return }
    let owners = Set(files.threads(pid) + [pid])
    let found = owners.flatMap { workers[$0] ?? [] }.compactMap { files.thread($0, $0) }
    threads = KVMGuest.sorted(threads + found.map { GuestThread($0, .vhost) })
  }

  /// QEMU with `debug-threads=on` (libvirt's default) says `CPU 3/KVM`.
  private static func vcpu(ofThread name: String) -> Int? {
    guard name.hasPrefix("CPU "), name.hasSuffix("/KVM") else { return nil }
    return Int(name.dropFirst(4).dropLast(4))
  }

  private static func sorted(_ threads: [GuestThread]) -> [GuestThread] {
    let roles: [GuestThread.Role] = [.vcpu, .vhost, .main, .io]
    func rank(_ thread: GuestThread) -> [Int] {
      [roles.firstIndex(of: thread.role) ?? roles.count, thread.vcpu ?? 0, thread.id]
    }
    return threads.sorted { rank($0).lexicographicallyPrecedes(rank($1)) }
  }
}

extension GuestThread {
  fileprivate init(_ state: ThreadState, _ role: Role, vcpu: Int? = nil) {
    self.init(
      id: state.id, role: role, vcpu: vcpu, name: state.name, affinity: state.affinity, policy: state.policy,
      priority: state.priority, lastCPU: state.lastCPU)
  }
}
