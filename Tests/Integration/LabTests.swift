// SPDX-License-Identifier: GPL-2.0-or-later
import Testing
import VirtualLab

extension IntegrationSuites {
  /// A KVM host and its guest on real kernels, under emulation: function, order, counts and clocks, never latency.
  ///
  /// A boot takes 20 s and more, so that one test does several things to the machines it has.
  @Suite struct LabTests {
    @Test func hostAndGuestOnOneTimeLine() throws {
      try LabRun.with(LabMachines(kernel: "6.1")) { lab in
        let before = try lab.expectWholeJourneys()
        try lab.expectEveryRungToCountTheSame()
        try lab.expectDelayInTheHostsQueue(before)
        // One CPU: the guest's virtual CPU, vhost and QEMU all stand still.
        try lab.expectStopped(
          cpu: 0, slower: ["rxh1-rxg0"], alike: ["rxh0-rxh1", "txh0-txh1"], comparedWith: before)
        try lab.expectClocksToStayAligned()
        try lab.expectBulkWithoutWrongMatches()
        try lab.expectAPauseToBeTold()
      }
    }

    /// Two processors and two queues on both sides.
    @Test func plantedDelaysOnTwoProcessors() throws {
      let machines = LabMachines(kernel: "6.12", cpus: 2, nicOptions: "tx=timer,x-txtimer=8000000")
      try LabRun.with(machines) { lab in
        try lab.expectDoctorToKnowTheGuest()
        try lab.pinThreads(vhost: 1, others: 0)
        let before = try lab.expectDelayInTheNIC()
        // The guest's virtual CPUs: what comes in waits for them. Its own delays are stopped rarely, in the midst of them.
        try lab.expectStopped(
          cpu: 0, slower: ["rxh1-rxg0"], alike: ["rxh0-rxh1", "txg2-txh0", "txh0-txh1"],
          comparedWith: before)
        // vhost, a thread of QEMU's in this kernel: what comes in waits for it, and what goes out.
        try lab.expectStopped(
          cpu: 1, slower: ["rxh1-rxg0"], alike: ["rxh0-rxh1", "rxg0-rxg1", "txh0-txh1"],
          comparedWith: before)
        try lab.expectStopped(
          cpu: 1, sender: .guest, slower: ["txg2-txh0"], alike: ["txg1-txg2", "txh0-txh1", "rxh0-rxh1"],
          comparedWith: before)
        try lab.expectQueuesToBeTold()
        try lab.expectWakeUps()
      }
    }

    /// QEMU's own backend, kernels of two ages, an agent behind a virtio-serial port.
    @Test func guestWithoutVhost() throws {
      var machines = LabMachines(kernel: "6.12")
      machines.guestKernel = "6.1"
      machines.topology = "kvm-user"
      machines.isSerial = true
      try LabRun.with(machines) { _ = try $0.expectWholeJourneys() }
    }
  }
}

/// What a lab is made of.
struct LabMachines {
  var kernel: String
  /// Of host and guest each, and pairs of queues.
  var cpus = 1
  var nicOptions: String?
  var guestKernel: String?
  var topology = "kvm-vhost"
  /// The agent is reached through a virtio-serial port instead of vsock.
  var isSerial = false

  init(kernel: String, cpus: Int = 1, nicOptions: String? = nil) {
    self.kernel = kernel
    self.cpus = cpus
    self.nicOptions = nicOptions
  }

  var scenario: String {
    """
    format: 1
    name: test
    summary: machines for a test
    host: {kernel: "\(kernel)", cpus: \(cpus)\(nicOptions.map { ", nic_options: \"\($0)\"" } ?? "")}
    guest: {kernel: "\(guestKernel ?? kernel)", cpus: \(cpus), queues: \(cpus), vhost: \(topology == "kvm-vhost")}
    recording: {topology: \(topology)}
    workload: []
    """
  }

  /// Where the guest's agent listens, and where the host finds it.
  var agent: (listens: String, url: String) {
    isSerial
      ? ("serial:$(port latprobe)", "serial:/run/latprobe.sock") : ("vsock:", "vsock:\(VirtualLab.guestCID)")
  }
}
