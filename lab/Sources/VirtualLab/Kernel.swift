// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation

/// A Debian kernel, downloaded and unpacked below a folder, not installed.
package struct Kernel: Sendable {
  /// Debian's builds of a kernel.
  package static let flavours = ["cloud-amd64", "amd64", "rt-amd64"]

  /// As `uname -r` gives it.
  package var release: String
  /// The unpacked package, with `boot/` and `lib/modules/`.
  package var root: String

  package var image: String { "\(root)/boot/vmlinuz-\(release)" }

  /// The newest package of a series that is there already or that apt knows.
  ///
  /// - Parameters:
  ///   - series: `6.1`.
  ///   - flavour: `cloud-amd64`.
  ///   - store: folder for packages and what is unpacked from them; kept between runs.
  package static func get(series: String, flavour: String, store: String) throws -> Kernel {
    let files = FileManager.default
    try files.createDirectory(atPath: store, withIntermediateDirectories: true)
    let known = "\(store)/\(series)-\(flavour)"
    if let release = try? String(contentsOfFile: "\(known)/release", encoding: .utf8) {
      return Kernel(release: release, root: known)
    }
    var names = try packages(series: series, flavour: flavour)
    if names.isEmpty {
      // A fresh container has no package lists.
      try Shell.run("apt-get", "update", limit: 300)
      names = try packages(series: series, flavour: flavour)
    }
    guard let name = names.last else {
      throw LabError(
        "apt knows no package linux-image-\(series)*-\(flavour): enable Debian 12's main and security suites")
    }
    let folder = "\(known).part"
    try? files.removeItem(atPath: folder)
    try files.createDirectory(atPath: folder, withIntermediateDirectories: true)
    try Shell.run("sh", "-c", "cd \"$0\" && apt-get download -q \"$1\"", folder, name, limit: 600)
    guard let package = try files.contentsOfDirectory(atPath: folder).first(where: { $0.hasSuffix(".deb") }) else {
      throw LabError("\(name): apt-get download left no package in \(folder)")
    }
    try Shell.run("dpkg", "-x", "\(folder)/\(package)", folder, limit: 120)
    try files.removeItem(atPath: "\(folder)/\(package)")
    guard let release = try files.contentsOfDirectory(atPath: "\(folder)/lib/modules").first else {
      throw LabError("\(name): holds no modules")
    }
    try Shell.run("depmod", "-b", folder, release, limit: 120)
    // Last, so that a run that was ended in between leaves nothing half done.
    try release.write(toFile: "\(folder)/release", atomically: true, encoding: .utf8)
    try? files.removeItem(atPath: known)
    try files.moveItem(atPath: folder, toPath: known)
    return Kernel(release: release, root: known)
  }

  /// Names of the signed packages of a series, oldest first.
  private static func packages(series: String, flavour: String) throws -> [String] {
    let names = try Shell.run("apt-cache", "pkgnames", "linux-image-\(series).").split(separator: "\n").map(String.init)
    let numbers = /^linux-image-([0-9.]+)(-([0-9]+))?(\+[a-z0-9]+)?-(.*)$/
    return names.compactMap { name -> (name: String, version: [Int])? in
      guard let match = name.wholeMatch(of: numbers), match.5 == flavour else { return nil }
      return (name, match.1.split(separator: ".").compactMap { Int($0) } + [match.3.flatMap { Int($0) } ?? 0])
    }.sorted { $0.version.lexicographicallyPrecedes($1.version) }.map(\.name)
  }

  /// Files of modules and of those they need, in the order in which they must be loaded; none for what is built in.
  package func modules(_ names: [String]) throws -> [String] {
    var paths: [String] = []
    for name in names {
      let lines = try Shell.run("modprobe", "-D", "-d", root, "-S", release, name).split(separator: "\n")
      for line in lines {
        let words = line.split(separator: " ")
        guard words.first == "insmod", words.count > 1 else { continue }
        if !paths.contains(String(words[1])) { paths.append(String(words[1])) }
      }
    }
    return paths
  }
}

/// Commands of this machine.
package enum Shell {
  /// Runs a command that must succeed; returns its standard output.
  @discardableResult
  package static func run(_ arguments: String..., limit: Double = 60) throws -> String {
    try run(arguments, limit: limit)
  }

  @discardableResult
  package static func run(_ arguments: [String], limit: Double = 60) throws -> String {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("latprobe-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: folder) }
    let output = try Command(arguments, in: folder).wait(limit: limit)
    guard output.status == 0 else {
      throw LabError(
        "\(arguments.joined(separator: " ")) ended with \(output.status): \(output.errors.suffix(500))\(output.text.suffix(500))"
      )
    }
    return output.text
  }
}
