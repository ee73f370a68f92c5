// SPDX-License-Identifier: GPL-2.0-or-later
enum Repair { static let folderName = "damaged" }
