// swift-tools-version: 6.2
// SPDX-License-Identifier: GPL-2.0-or-later
import PackageDescription

let strict: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .strictMemorySafety(),
  .treatAllWarnings(as: .error),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
]
let strictC: [CSetting] = [.unsafeFlags(["-Wall", "-Wextra", "-Werror"])]

func module(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
  .target(name: name, dependencies: dependencies, swiftSettings: strict)
}
func tests(_ name: String, _ dependencies: [Target.Dependency], resources: [Resource]? = nil) -> Target {
  .testTarget(
    name: "\(name)Tests", dependencies: dependencies, path: "Tests/\(name)", resources: resources,
    swiftSettings: strict)
}

let argumentParser = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")
let yams = Target.Dependency.product(name: "Yams", package: "Yams")

let package = Package(
  name: "latprobe",
  products: [.executable(name: "latprobe", targets: ["latprobe"])],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
    .package(url: "https://github.com/jpsim/Yams", from: "6.2.0"),
  ],
  targets: [
    // The one header that BPF C, C shims and Swift share.
    .target(name: "CLatprobeABI", path: "bpf/abi", cSettings: strictC),
    .target(
      name: "CBPF", dependencies: ["CLatprobeABI"], cSettings: strictC,
      linkerSettings: [.linkedLibrary("bpf"), .linkedLibrary("elf"), .linkedLibrary("z")]),
    .target(name: "CCrypto", cSettings: strictC, linkerSettings: [.linkedLibrary("crypto")]),
    .target(name: "CPcap", cSettings: strictC, linkerSettings: [.linkedLibrary("pcap")]),
    .target(name: "CZlib", cSettings: strictC, linkerSettings: [.linkedLibrary("z")]),
    .target(name: "CZstd", cSettings: strictC, linkerSettings: [.linkedLibrary("zstd")]),
    .target(name: "CNetns", cSettings: strictC),
    .target(name: "CPrivileges", cSettings: strictC),
    .target(name: "CSeccomp", cSettings: strictC, linkerSettings: [.linkedLibrary("seccomp")]),
    .target(name: "CDrawer", dependencies: ["CSeccomp"], cSettings: strictC),
    .target(name: "CPacketRing", cSettings: strictC),
    .target(name: "CTimestamp", cSettings: strictC),
    .target(name: "CTiming", dependencies: ["CTimestamp"], cSettings: strictC),
    .target(name: "CTraffic", cSettings: strictC),
    .target(name: "CVsock", cSettings: strictC),
    // How times are said to people, and what somebody meant who mistyped a name.
    module("Wording", []),
    module("Clocks", ["CTimestamp"]),
    module("Digests", ["CCrypto"]),
    module("Recording", ["CLatprobeABI"]),
    module("PlainYAML", [yams]),
    module("Topology", ["PlainYAML", "Recording", "Wording", yams]),
    // A captured packet's stamp, by the same key as the kernel's programs.
    module("Stamping", ["CLatprobeABI", "Pairing", "Recording"]),
    // What producers of records share of the machine that they run on.
    module(
      "Host",
      ["CLatprobeABI", "CNetns", "CPcap", "CPrivileges", "CSeccomp", "CTimestamp", "Clocks", "Pairing", "Recording"]),
    module("Collecting", ["Clocks", "Host", "Recording"]),
    module(
      "Probing",
      ["CBPF", "CLatprobeABI", "CTimestamp", "Clocks", "Collecting", "Host", "Recording", "Topology", "Wording"]),
    module(
      "Tap",
      [
        "CPacketRing", "CTimestamp", "CZlib", "CZstd", "Clocks", "Collecting", "Host", "Pairing", "Recording",
        "Stamping",
      ]),
    // Test packets, the thread that sends them on time, and the sockets that they go through.
    module("TestPackets", ["CTraffic", "Clocks", "Digests", "Timing"]),
    module(
      "Traffic",
      [
        "CTraffic", "Clocks", "Collecting", "Host", "Pairing", "Recording", "Stamping", "TestPackets", "Timing",
        "Wording",
      ]),
    module("RFC2544", ["Clocks", "Recording", "TestPackets", "Timing"]),
    module("Remote", ["CVsock", "Clocks", "Digests", "Recording"]),
    module("Timing", ["CTiming", "Clocks"]),
    module("Analysis", ["Clocks", "Recording", "Wording"]),
    module("Pairing", ["PlainYAML", "Wording", yams]),
    module("Reporting", ["Analysis", "CDrawer", "PlainYAML", "Recording", "Wording", yams]),
    .executableTarget(
      name: "latprobe",
      dependencies: [
        "Clocks", "Collecting", "Host", "Recording", "Topology", "Probing", "Pairing", "RFC2544", "Tap", "TestPackets",
        "Traffic", "Timing",
        "Remote", "Analysis",
        "Reporting", "Wording", argumentParser,
      ], swiftSettings: strict),
    .executableTarget(
      name: "overhead", dependencies: ["CBPF", "Clocks", "Host", "Probing", "Recording", "Topology"],
      path: "benchmarks/overhead",
      exclude: ["overhead.bpf.c", "run.sh"], swiftSettings: strict),
    .executableTarget(
      name: "joinload", dependencies: ["CLatprobeABI", "Recording", argumentParser], path: "benchmarks/join",
      exclude: ["duck.py", "run.sh"],
      sources: ["Generate.swift"], swiftSettings: strict),
    .target(name: "CFuzzer", path: "fuzz/Sources/CFuzzer", cSettings: strictC),
    .target(
      name: "FuzzTargets",
      dependencies: [
        "CFuzzer", "Analysis", "Host", "Pairing", "Probing", "Recording", "Remote", "Reporting", "Stamping", "Tap",
        "TestPackets", "Topology", "Traffic",
      ], path: "fuzz/Sources/FuzzTargets", swiftSettings: strict),
    .target(name: "VirtualLab", dependencies: [yams], path: "lab/Sources/VirtualLab", swiftSettings: strict),
    .executableTarget(
      name: "lab", dependencies: ["VirtualLab", argumentParser], path: "lab/Sources/lab", swiftSettings: strict),
    tests("House", []),
    tests("Recording", ["Recording", "CLatprobeABI"]),
    tests("Wording", ["Wording"]),
    tests("Clocks", ["Clocks"]),
    tests("Digests", ["Digests"]),
    tests("Host", ["CSeccomp", "Clocks", "Host", "Recording"]),
    tests("Collecting", ["CLatprobeABI", "Clocks", "Collecting", "Host", "Recording"]),
    tests("Probing", ["CLatprobeABI", "Host", "Probing", "Recording", "Topology"]),
    tests(
      "Integration",
      ["Recording", "Analysis", "CLatprobeABI", "Pairing", "VirtualLab", "latprobe", "lab", argumentParser]),
    tests("FuzzTargets", ["FuzzTargets"]),
    tests("Remote", ["Remote", "Recording"]),
    tests("Timing", ["Timing", "Clocks"]),
    tests("Tap", ["Tap", "CLatprobeABI", "Host", "Pairing", "Recording", "Stamping", "Analysis"]),
    tests("TestPackets", ["CLatprobeABI", "Clocks", "TestPackets"]),
    tests("Traffic", ["Traffic", "CLatprobeABI", "Clocks", "Recording", "TestPackets"]),
    tests("RFC2544", ["RFC2544", "Recording", "TestPackets"]),
    tests("Topology", ["Topology", "Recording"]),
    tests("Analysis", ["Analysis", "CLatprobeABI", "Recording"]),
    tests("Pairing", ["Pairing", "VirtualLab"]),
    tests("Reporting", ["Analysis", "Recording", "Reporting", "Wording"]),
    tests("VirtualLab", ["VirtualLab"]),
  ]
)

// Its main is libFuzzer's, which is there only in a build with --sanitize fuzzer (`make fuzz`).
if Context.environment["LATPROBE_FUZZ"] != nil {
  package.targets.append(
    .executableTarget(name: "fuzz", dependencies: ["FuzzTargets"], path: "fuzz/Sources/fuzz", swiftSettings: strict))
}
