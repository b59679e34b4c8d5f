import DataFiles
import Foundation

/// A machine whose disks stand on those of another one's snapshot: `linked.json` in its folder says on which.
struct LinkedClone: Codable {
    static let fileName = "linked.json"

    /// Name and snapshot of the other machine; both are in the same home.
    var machine: String
    var snapshot: String

    static func read(_ folder: String) -> LinkedClone? {
        guard let bytes = try? WholeFile.read(folder + "/" + fileName, what: "link", limit: 1 << 16) else { return nil }
        return try? JSONDecoder().decode(LinkedClone.self, from: Data(bytes))
    }

    func write(_ folder: String) throws(MachineError) {
        guard let data = try? JSONEncoder().encode(self) else { throw .failed("The link of the clone cannot be written.") }
        try WholeFile.write([UInt8](data) + [0x0A], to: folder + "/" + LinkedClone.fileName, what: "link of the clone")
    }

    /// Names of the clones that stand on a machine, or on one of its snapshots. Those that are just being made count too.
    static func all(on folder: String, snapshot: String? = nil) -> [String] {
        let home = WholeFile.directory(of: folder), machine = folder.split(separator: "/").last.map(String.init) ?? folder
        return FolderWork.names(home).sorted().filter { name in
            guard let link = read(home + "/" + name), !name.hasPrefix(FolderWork.Prefix.trash.rawValue) else { return false }
            return link.machine == machine && (snapshot == nil || link.snapshot == snapshot)
        }
    }

    static func checkNone(on folder: String, name: String, what: String) throws(MachineError) {
        if let clone = all(on: folder).first {
            throw MachineError(.wrongPlace, "'\(name)' cannot be \(what): the linked clone '\(clone)' stands on its disks.")
        }
    }
}

extension MachineStore {
    /// Makes a machine on the disks of another one's snapshot; it is off.
    /// - Parameter snapshot: nil: one is taken of the present state.
    /// - Throws: `.wrongPlace` for names that are taken or not there, and while the machine runs when a snapshot has to be taken.
    public func linkedClone(_ name: String, as new: String, of snapshot: String?) throws(MachineError) -> MachineEntry {
        let folder = try existing(name)
        try MachineName.check(new)
        try checkFree(new)
        let base = snapshot ?? "base of \(new)"
        if snapshot == nil { try takeSnapshot(name, base, description: "The linked clone '\(new)' stands on it.") }
        let node = try SnapshotTree.read(folder).find(base, of: name)
        guard node.isComplete else { throw MachineError(.wrongPlace, "The snapshot '\(base)' is not whole yet.") }
        let details = try SnapshotTree.details(of: node.id, folder)
        try build(new) { target throws(MachineError) in
            // First: from now on nobody deletes the snapshot.
            try LinkedClone(machine: name, snapshot: node.id).write(target)
            guard try SnapshotTree.read(folder).node(node.id) != nil else { throw MachineError(.wrongPlace, "The snapshot '\(base)' has gone.") }
            var file = try MachineFileText.parse(details.settings, target)
            var settings = file.settings
            for (index, disk) in node.disks.enumerated() where index < settings.run.disks.count {
                let parent = disk.hasPrefix("/") ? disk : folder + "/" + disk
                guard settings.run.access(ofDisk: index) == .writable else {
                    settings.run.disks[index] = parent
                    continue
                }
                let image = "disk-\(index + 1)." + (parent.lowercased().hasSuffix(".vdi") ? "vdi" : "qcow2")
                try NewImage.differencing(path: target + "/" + image, parent: parent)
                settings.run.disks[index] = image
            }
            // Everything else that lies in the first machine's folder is shared.
            let disks = settings.run.disks
            settings = settings.mappingPaths { $0.hasPrefix("/") ? $0 : folder + "/" + $0 }
            settings.run.disks = disks
            if let floppy = node.floppy {
                try SnapshotFloppy.write(
                    try WholeFile.read(folder + "/" + floppy, what: "floppy of the snapshot", limit: SnapshotFloppy.mostBytes), "floppy.img", in: target)
                settings.run.floppy = "floppy.img"
            }
            try MachineFileText.change(&file, settings)
            try MachineFileText.write(file.text, target)
        }
        return try entry(new)
    }
}
