// SPDX-License-Identifier: GPL-2.0-or-later
import Foundation

/// The newer QEMU in Debian's backports suite, downloaded and unpacked below a folder, not installed.
enum BackportedQEMU {
  private static let packages = ["qemu-system-x86", "qemu-system-common", "qemu-system-data", "seabios"]
  private static let keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

  /// The program; its libraries are those of the QEMU that is installed.
  ///
  /// - Parameter store: folder for what is unpacked; kept between runs.
  static func get(store: String) throws -> String {
    let files = FileManager.default
    let known = "\(store)/qemu-backports"
    let program = "\(known)/usr/bin/qemu-system-x86_64"
    if files.fileExists(atPath: program) { return program }
    try FreeSpace.require(200, in: store, "free some for QEMU")
    let folder = "\(known).part"
    try? files.removeItem(atPath: folder)
    for name in ["lists/partial", "cache/archives/partial"] {
      try files.createDirectory(atPath: "\(folder)/\(name)", withIntermediateDirectories: true)
    }
    // Where this machine's packages come from, with the suite changed; its own lists stay as they are.
    let targets = try Shell.run(
      "apt-get", "indextargets", "--format", "$(LABEL) $(CODENAME) $(SITE)", "Created-By: Packages")
    let words = targets.split(separator: "\n").map { $0.split(separator: " ") }
    guard let main = words.first(where: { $0.count == 3 && $0[0] == "Debian" && !$0[1].contains("-") }) else {
      throw LabError("apt knows no Debian release whose backports suite may have a newer QEMU: run 'apt-get update'")
    }
    let signed = files.fileExists(atPath: keyring) ? "[signed-by=\(keyring)] " : ""
    try "deb \(signed)\(main[2]) \(main[1])-backports main\n"
      .write(toFile: "\(folder)/sources.list", atomically: true, encoding: .utf8)
    let options = [
      "Etc::sourcelist=\(folder)/sources.list", "Etc::sourceparts=/dev/null", "State::lists=\(folder)/lists",
      "Cache=\(folder)/cache",
    ].flatMap { ["-o", "Dir::\($0)"] }
    try Shell.run(["apt-get"] + options + ["-q", "update"], limit: 300)
    try Shell.run(
      ["sh", "-c", "cd \"$0\" && apt-get \"$@\"", folder] + options + ["-q", "download"] + packages, limit: 600)
    for package in try files.contentsOfDirectory(atPath: folder) where package.hasSuffix(".deb") {
      try Shell.run("dpkg", "-x", "\(folder)/\(package)", folder, limit: 120)
      try files.removeItem(atPath: "\(folder)/\(package)")
    }
    for name in ["lists", "cache", "sources.list"] { try files.removeItem(atPath: "\(folder)/\(name)") }
    try files.moveItem(atPath: folder, toPath: known)
    return program
  }
}
