// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Glibc

/// A folder that becomes the initial file tree of a machine, or the disk that both machines share.
struct FileTree {
  let root: String
  private let files = FileManager.default
  /// Libraries that are there already.
  private var present: Set<String> = []

  /// - Parameter root: folder to make; must not be there.
  init(root: String) throws {
    self.root = root
    try files.createDirectory(atPath: root, withIntermediateDirectories: true)
  }

  /// Path of a program of this machine, by its name or its path.
  static func find(_ name: String) throws -> String {
    let folders = ["/usr/local/bin", "/usr/bin", "/usr/sbin", "/bin", "/sbin"]
    for path in name.contains("/") ? [name] : folders.map({ "\($0)/\(name)" }) {
      if FileManager.default.isExecutableFile(atPath: path) { return path }
    }
    throw LabError("\(name) is missing: run 'make deps'")
  }

  /// Only linked where that is possible: nothing here writes to a file that is there.
  func place(_ source: String, at path: String) throws {
    let target = root + path
    try files.createDirectory(
      atPath: (target as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
    guard !files.fileExists(atPath: target) else { return }
    guard let real = unsafe realpath(source, nil) else { throw LabError("\(source) is missing") }
    defer { unsafe free(real) }
    if unsafe link(real, target) != 0 { try files.copyItem(atPath: unsafe String(cString: real), toPath: target) }
  }

  func write(_ text: String, to path: String) throws {
    let folder = ((root + path) as NSString).deletingLastPathComponent
    try files.createDirectory(atPath: folder, withIntermediateDirectories: true)
    try text.write(toFile: root + path, atomically: false, encoding: .utf8)
  }

  /// A program with the libraries it is linked with, each at its own path.
  mutating func addProgram(_ source: String, at path: String? = nil) throws {
    try place(source, at: path ?? "/usr/bin/\((source as NSString).lastPathComponent)")
    for library in try FileTree.libraries(of: source) {
      let plain = library.hasPrefix("/lib") ? "/usr" + library : library
      if present.insert(plain).inserted { try place(library, at: plain) }
    }
  }

  private static func libraries(of program: String) throws -> [String] {
    // A line is `name => path (address)`, or the loader: `path (address)`.
    try Shell.run("ldd", program).split(separator: "\n").compactMap { line in
      line.split(whereSeparator: \.isWhitespace).map(String.init).last { $0.hasPrefix("/") }
    }
  }

  /// Modules, unpacked, and the list from which `init` loads them.
  func addModules(_ names: [String], of kernel: Kernel) throws {
    var list = ""
    for path in try kernel.modules(names) {
      let target = "/modules.d/\((path as NSString).lastPathComponent.replacingOccurrences(of: ".xz", with: ""))"
      try place(path, at: target + (path.hasSuffix(".xz") ? ".xz" : ""))
      if path.hasSuffix(".xz") { try Shell.run("xz", "-dkf", "\(root)\(target).xz") }
      list += target + "\n"
    }
    try write(list, to: "/modules")
  }

  /// The initramfs of a machine. Not compressed: unpacking takes longer than reading under emulation.
  func pack(to file: String) throws {
    try Shell.run("sh", "-c", "cd \"$0\" && find . ! -name '*.xz' | cpio --quiet -o -H newc >\"$1\"", root, file)
  }

  /// A file system, of which the machines read what they use: most of the libraries is not.
  func makeDisk(_ file: String) throws {
    guard let size = Int(try Shell.run("du", "-sk", root).prefix { $0.isNumber }) else {
      throw LabError("du gave no size of \(root)")
    }
    try Shell.run(
      FileTree.find("mke2fs"), "-q", "-F", "-t", "ext4", "-m", "0", "-O", "^has_journal", "-d", root, file,
      "\(size + size / 8 + 16384)k")
  }
}
