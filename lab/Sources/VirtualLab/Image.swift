// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Glibc

/// The file tree of a machine of the lab, packed as an initramfs.
struct Image {
  let root: String
  private let files = FileManager.default
  /// Programs and libraries that are there already.
  private var present: Set<String> = []

  /// - Parameters:
  ///   - root: folder to make; must not be there.
  ///   - name: host name of the machine.
  init(root: String, name: String, initScript: String) throws {
    self.root = root
    for folder in [
      "busybox", "proc", "sys", "dev", "tmp", "run", "root", "etc", "usr/bin", "usr/sbin", "usr/lib", "usr/lib64",
    ] {
      try files.createDirectory(atPath: "\(root)/\(folder)", withIntermediateDirectories: true)
    }
    for link in ["bin", "sbin", "lib", "lib64"] {
      try files.createSymbolicLink(atPath: "\(root)/\(link)", withDestinationPath: "usr/\(link)")
    }
    try name.write(toFile: "\(root)/name", atomically: false, encoding: .utf8)
    try "root:x:0:0:root:/root:/bin/sh\n".write(toFile: "\(root)/etc/passwd", atomically: false, encoding: .utf8)
    try "root:x:0:\n".write(toFile: "\(root)/etc/group", atomically: false, encoding: .utf8)
    try copy(initScript, to: "/init")
    try copy(try Image.find("busybox"), to: "/busybox/busybox")
  }

  /// Path of a program of this machine.
  static func find(_ name: String) throws -> String {
    for folder in ["/usr/local/bin", "/usr/bin", "/usr/sbin", "/bin", "/sbin"] {
      let path = "\(folder)/\(name)"
      if FileManager.default.isExecutableFile(atPath: path) { return path }
    }
    throw LabError("\(name) is missing: run 'make deps'")
  }

  func copy(_ source: String, to path: String) throws {
    let target = root + path
    try files.createDirectory(
      atPath: (target as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
    if !files.fileExists(atPath: target) {
      guard let real = unsafe realpath(source, nil) else { throw LabError("\(source): does not exist") }
      defer { unsafe free(real) }
      try files.copyItem(atPath: unsafe String(cString: real), toPath: target)
    }
  }

  /// A program with the libraries it is linked with, each at its own path.
  mutating func addProgram(_ source: String, as path: String? = nil) throws {
    let path = path ?? "/usr/bin/\((source as NSString).lastPathComponent)"
    try copy(source, to: path)
    for line in try Shell.run("ldd", source).split(separator: "\n") {
      // `name => path (address)`, or the loader: `path (address)`
      guard let library = line.split(whereSeparator: \.isWhitespace).map(String.init).last(where: { $0.hasPrefix("/") })
      else {
        continue
      }
      let plain = library.hasPrefix("/lib") ? "/usr" + library : library
      if present.insert(plain).inserted { try copy(library, to: plain) }
    }
  }

  /// Modules, unpacked, and the list from which `init` loads them.
  func addModules(_ names: [String], of kernel: Kernel) throws {
    var list = ""
    for path in try kernel.modules(names) {
      let name = (path as NSString).lastPathComponent
      try copy(path, to: "/modules.d/\(name)")
      if name.hasSuffix(".xz") { try Shell.run("xz", "-d", "\(root)/modules.d/\(name)") }
      list += "/modules.d/\(name.replacingOccurrences(of: ".xz", with: ""))\n"
    }
    try list.write(toFile: "\(root)/modules", atomically: false, encoding: .utf8)
  }

  /// Not compressed: unpacking takes longer than reading under emulation.
  func pack(to file: String) throws {
    try Shell.run("sh", "-c", "cd \"$0\" && find . | cpio --quiet -o -H newc >\"$1\"", root, file, limit: 120)
  }
}
