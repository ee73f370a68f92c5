// SPDX-License-Identifier: GPL-2.0-or-later
import ArgumentParser
import Foundation
import Host
import Recording
import Tap

/// What the arguments of `latprobe pair` name.
enum PairInputs {
  /// Files of one capture, `-` for standard input.
  case captures([String])
  case devices([TapInput])

  /// A path with `/` is a file, `wire-in=IF` and `wire-out=IF` are devices; of a bare name there is one or the other,
  /// and where there are both it is the device.
  ///
  /// - Parameter warn: told in one line of such a name.
  init(_ arguments: [String], warn: (String) -> Void) throws {
    var captures: [String] = []
    var devices: [TapInput] = []
    for argument in arguments {
      let device = TapInput(argument)
      let isFile = FileManager.default.fileExists(atPath: argument)
      if device.hook != nil {
        devices.append(device)
      } else if argument == "-" || argument.contains("/") {
        captures += try PairInputs.files(argument)
      } else if Link.exists(argument) {
        if isFile { warn("'\(argument)' is a device and a file: the device is taken; './\(argument)' is the file") }
        devices.append(device)
      } else if isFile {
        captures += try PairInputs.files(argument)
      } else {
        let meant = TapInput.meant(by: argument)
        throw PairFailure(
          description:
            "'\(argument)' is no file, and there is no such device here"
            + (meant.isEmpty
              ? ": give a capture file, or see 'ip link' (--netns names the devices' namespace)" : meant))
      }
    }
    guard captures.isEmpty || devices.isEmpty else {
      throw PairFailure(
        description: "'\(captures[0])' is a capture and '\(devices[0].name)' a device: pair them one after the other")
    }
    guard Set(devices.map(\.name)).count == devices.count else {
      throw ValidationError("each device can be named once")
    }
    guard captures.count(where: { $0 == "-" }) < 2 else {
      throw ValidationError("standard input can be read only once")
    }
    self = devices.isEmpty ? .captures(captures) : .devices(devices)
  }

  /// The file; of a folder its files in order of their names.
  private static func files(_ path: String) throws -> [String] {
    guard let names = names(in: path) else { return [path] }
    guard !names.contains("session.json") else {
      throw PairFailure(description: "'\(path)' is a recording, not a capture: see it with 'latprobe report \(path)'")
    }
    let files = names.map { path.hasSuffix("/") ? path + $0 : "\(path)/\($0)" }.filter {
      PairInputs.names(in: $0) == nil
    }
    guard !files.isEmpty else { throw PairFailure(description: "'\(path)' is a folder without files: give captures") }
    return files
  }

  /// Nil for what is no folder.
  private static func names(in path: String) -> [String]? {
    try? FileManager.default.contentsOfDirectory(atPath: path).sorted().filter { !$0.hasPrefix(".") }
  }
}

struct PairFailure: Error, CustomStringConvertible {
  var description: String
}
