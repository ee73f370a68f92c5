// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation
import Glibc
import Wording

/// The folders in which topologies are found, first come first served.
package struct TopologyLibrary: Sendable, Equatable {
  package var directories: [String]
  /// `./probes` where it is there and nobody asked for it: ``standard(environment:executable:isRoot:)``.
  package var leftOut: String?

  package init(directories: [String]) {
    self.directories = directories
  }

  /// `$LATPROBE_PROBES` (folders separated by colons), `../share/latprobe/probes` as seen from the executable (an
  /// installed latprobe), `./probes`, and `probes` beside a `Package.swift` above the executable (a build in place).
  ///
  /// The working directory may be another user's: root reads its `./probes` only where it is asked to, by name or in
  /// `$LATPROBE_PROBES`.
  /// - Parameters:
  ///   - executable: absolute path of the running program, links resolved; nil if it is not known.
  ///   - isRoot: the process may do what the owner of `./probes` may not.
  package static func standard(
    environment: [String: String], executable: String? = executablePath(), isRoot: Bool = geteuid() == 0
  ) -> TopologyLibrary {
    var directories = (environment["LATPROBE_PROBES"] ?? "").split(separator: ":").map(String.init)
    if let executable {
      let folder = URL(fileURLWithPath: executable).deletingLastPathComponent()
      directories.append(folder.deletingLastPathComponent().appendingPathComponent("share/latprobe/probes").path)
    }
    if !isRoot { directories.append(working) }
    if let executable, let root = packageRoot(above: executable) { directories.append(root + "/probes") }
    var library = TopologyLibrary(directories: directories)
    if isRoot, isDirectory(working), !directories.contains(where: { resolved($0) == resolved(working) }) {
      library.leftOut = "./\(working)"
    }
    return library
  }

  private static let working = "probes"

  private static func resolved(_ path: String) -> String { URL(fileURLWithPath: path).resolvingSymlinksInPath().path }

  private static func isDirectory(_ path: String) -> Bool {
    var isDirectory: ObjCBool = false
    return unsafe FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory) && isDirectory.boolValue
  }

  /// One line for people; nil where nothing was left out.
  package var note: String? {
    leftOut.map {
      "\($0) is left out, as root does not take files of the working directory unasked: name a file in it, or set "
        + "LATPROBE_PROBES=\($0)"
    }
  }

  /// Where the running program lies, from `/proc`.
  package static func executablePath() -> String? {
    try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
  }

  private static func packageRoot(above executable: String) -> String? {
    var folder = URL(fileURLWithPath: executable).deletingLastPathComponent()
    // .build/TRIPLE/release/latprobe lies three folders below the root.
    for _ in 0..<4 where folder.path != "/" {
      if FileManager.default.fileExists(atPath: folder.appendingPathComponent("Package.swift").path) {
        return folder.path
      }
      folder.deleteLastPathComponent()
    }
    return nil
  }

  /// A topology file that was found; reading it may still fail.
  package struct Entry: Sendable, Equatable {
    /// File name without `.yaml`; what `--topology` takes.
    package var name: String
    package var path: String
  }

  /// The topologies by name; of several with one name, the one that ``load(_:)`` takes.
  package func list() -> [Entry] {
    var found: [String: Entry] = [:]
    for directory in directories {
      let files = (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []
      for file in files where file.hasSuffix(".yaml") && !file.hasPrefix(".") {
        let name = String(file.dropLast(".yaml".count))
        if found[name] == nil { found[name] = Entry(name: name, path: "\(directory)/\(file)") }
      }
    }
    return found.values.sorted { $0.name < $1.name }
  }

  /// Reads a topology.
  ///
  /// - Parameter name: a path if it holds a `/` or ends in `.yaml`, else a name to look up in ``directories``.
  package func load(_ name: String) throws(TopologyError) -> Topology {
    try TopologyLibrary.read(try path(of: name))
  }

  private func path(of name: String) throws(TopologyError) -> String {
    if name.contains("/") || name.hasSuffix(".yaml") { return name }
    let entries = list()
    if let entry = entries.first(where: { $0.name == name }) { return entry.path }
    let searched = directories.joined(separator: ", ")
    let names = entries.map(\.name)
    let remedy =
      names.isEmpty
      ? "name a file (./FILE.yaml), or set LATPROBE_PROBES to the folder that holds veth.yaml"
      : Words.nearest(to: name, among: names) == nil
        ? "\(Words.choice(of: name, among: names)); or name a file (./FILE.yaml)" : Words.choice(of: name, among: names)
    throw TopologyError(
      file: name, what: "there is no topology of this name in \(searched)",
      remedy: remedy + (names.isEmpty ? "" : note.map { "; \($0)" } ?? ""))
  }

  private static func read(_ path: String) throws(TopologyError) -> Topology {
    if isDirectory(path) {
      throw TopologyError(file: path, what: "this is a directory", remedy: "name a topology file (YAML)")
    }
    let read: Result<Data, any Error> = Result {
      let handle = try FileHandle(forReadingFrom: URL(fileURLWithPath: path))
      defer { try? handle.close() }
      // One byte more than allowed shows a file that is too large, without reading all of it.
      return try handle.read(upToCount: Topology.sizeLimit + 1) ?? Data()
    }
    let data: Data
    switch read {
    case .success(let bytes): data = bytes
    case .failure(let error):
      throw TopologyError(
        file: path, what: "cannot be read (\(reason(error)))", remedy: "check the path and its permissions")
    }
    guard data.count <= Topology.sizeLimit else { throw TopologyError.tooLarge(path) }
    guard let text = String(data: data, encoding: .utf8) else {
      throw TopologyError(file: path, what: "this is not UTF-8 text", remedy: "name a topology file (YAML)")
    }
    return try Topology(yaml: text, file: path)
  }

  private static func reason(_ error: any Error) -> String {
    switch error {
    case CocoaError.fileNoSuchFile, CocoaError.fileReadNoSuchFile: "no such file"
    case CocoaError.fileReadNoPermission: "no permission"
    default: (error as NSError).userInfo[NSUnderlyingErrorKey].map { "\($0)" } ?? error.localizedDescription
    }
  }
}
