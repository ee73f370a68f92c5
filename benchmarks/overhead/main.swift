// SPDX-License-Identifier: GPL-2.0-or-later
//
// Cost of a stamp in nanoseconds a packet: sends the same datagrams with nothing, an empty program, a minimal
// stamp and latprobe's stamp attached to net_dev_start_xmit, in turn, many times, and compares each round with
// the round without a program beside it. Run by run.sh in a namespace of its own.
import CBPF
import Clocks
import Foundation
import Glibc
import Probing
import Recording
import Topology

let topology = """
  format: 1
  name: overhead
  summary: One hook point
  hooks:
    txg2:
      side: guest
      watch: guest-device
      candidates: [{tracepoint: net_dev_start_xmit}]
    txh0:  # a path needs two; only the guest's side is attached
      side: host
      watch: guest-device
      candidates: [{tracepoint: netif_rx}]
  paths:
    tx: [txg2, txh0]
  """

struct Failure: Error, CustomStringConvertible { var description: String }

/// A socket that sends 64-byte frames to a neighbour that throws them away.
struct Sender {
  let socket: Int32

  init(address: String, port: UInt16) throws {
    socket = Glibc.socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
    var target = sockaddr_in()
    target.sin_family = sa_family_t(AF_INET)
    target.sin_port = port.bigEndian
    unsafe inet_pton(AF_INET, address, &target.sin_addr)
    let result = unsafe withUnsafePointer(to: &target) { pointer in
      unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        unsafe connect(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    }
    guard result == 0 else { throw Failure(description: "connect: errno \(errno)") }
  }

  /// Nanoseconds a packet, after a tenth of them to warm caches and freshly attached code.
  func round(_ packets: Int) -> Double {
    _ = burst(packets / 10)
    return burst(packets)
  }

  private func burst(_ packets: Int) -> Double {
    let payload = [UInt8](repeating: 0, count: 22)
    let start = Instant<Monotonic>.now
    for _ in 0..<packets { unsafe send(socket, payload, payload.count, 0) }
    return Double(Instant<Monotonic>.now.nanoseconds - start.nanoseconds) / Double(packets)
  }
}

/// Loads one program of overhead.bpf.o, attaches it and measures a round. Loaded anew each time, as latprobe's
/// programs are: a ring buffer that is in the caches already would flatter it.
func rival(_ name: String, of path: String, _ round: () -> Double) throws -> Double {
  guard let object = unsafe bpf_object__open_file(path, nil) else {
    throw Failure(description: "\(path): \(unsafe String(cString: strerror(errno))); 'make bench' builds it")
  }
  defer { unsafe bpf_object__close(object) }
  guard unsafe bpf_object__load(object) == 0, let program = unsafe bpf_object__find_program_by_name(object, name),
    let link = unsafe bpf_program__attach(program)
  else { throw Failure(description: "\(path), \(name): errno \(errno)") }
  defer { unsafe bpf_link__destroy(link) }
  return round()
}

func latprobe(
  _ file: BPFObjectFile, _ resolved: ResolvedTopology, _ plan: WatchPlan, _ packets: Int, _ round: () -> Double
)
  throws -> Double
{
  let probes = try ProbeSet(file, resolved, plan, ProbeOptions())
  let drain = try Drain(probes.rings)
  try probes.enable()
  let result = round()
  try probes.disable()
  while unsafe drain.run({ _, _ in }) > 0 {}
  let stamped = try probes.ledger().sum(\.emitted).unsigned
  guard stamped >= UInt64(packets) else {
    throw Failure(description: "latprobe stamped \(stamped) of \(packets) packets: the figure would mean nothing")
  }
  return result
}

func percentile(_ values: [Double], _ p: Double) -> Double {
  let sorted = values.sorted()
  return sorted[max(0, Int((Double(sorted.count) * p).rounded(.up)) - 1)]
}

func run() throws {
  let arguments = CommandLine.arguments
  guard arguments.count >= 5, let rounds = Int(arguments[3]), let packets = Int(arguments[4]), rounds > 0, packets > 0
  else {
    throw Failure(description: "usage: overhead OBJECT DEVICE ROUNDS PACKETS (see run.sh)")
  }
  let sender = try Sender(address: "198.18.0.2", port: 9)
  let file = try BPFObjectFile.find(executable: TopologyLibrary.executablePath())
  let parsed = try Topology(yaml: topology, file: "overhead")
  let resolved = try parsed.resolve(
    facts: try KernelFacts.live(), programs: try ProbeSet.programs(in: file), side: .guest)
  let plan = try WatchPlan.make(topology: parsed, namespaces: [], devices: [arguments[2]])

  var added: [String: [Double]] = [:]
  var bare: [Double] = []
  _ = sender.round(packets)
  for _ in 0..<rounds {
    // Each variant stands beside two rounds without a program: drift of the machine falls out.
    for name in ["empty", "minimal", "latprobe"] {
      let before = sender.round(packets)
      let with =
        name == "latprobe"
        ? try latprobe(file, resolved, plan, packets) { sender.round(packets) }
        : try rival(name, of: arguments[1]) { sender.round(packets) }
      let after = sender.round(packets)
      bare += [before, after]
      added[name, default: []].append(with - (before + after) / 2)
    }
  }
  print("\(rounds) rounds of \(packets) packets; a packet without a program: \(Int(percentile(bare, 0.5))) ns (median)")
  print("program     median   p25    p75   ns a packet added; ratio to minimal")
  let reference = percentile(added["minimal"] ?? [1], 0.5)
  for name in ["empty", "minimal", "latprobe"] {
    guard let values = added[name] else { continue }
    let text = String(
      format: "%7.1f %6.1f %6.1f   %.2f", percentile(values, 0.5), percentile(values, 0.25), percentile(values, 0.75),
      percentile(values, 0.5) / reference)
    print(name.padding(toLength: 10, withPad: " ", startingAt: 0), text)
  }
}

do { try run() } catch {
  FileHandle.standardError.write(Data("overhead: \(error)\n".utf8))
  exit(1)
}
