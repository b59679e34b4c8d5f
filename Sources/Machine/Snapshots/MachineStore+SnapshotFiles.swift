import DataFiles
import Foundation
import Hardware

extension MachineStore {
    /// Writes a snapshot into one file: settings, description, screen, memory, and its disks as the guest sees them.
    /// - Throws: `.wrongPlace` when there is no such snapshot, `.failed`; nothing is left then.
    public func exportSnapshot(_ name: String, _ snapshot: String, to path: String, progress: @escaping Progress) throws(MachineError) {
        let folder = try existing(name)
        let lock = try MachineLock.take(.settings, of: folder, name: name, shared: true)
        defer { withExtendedLifetime(lock) {} }
        let node = try SnapshotTree.read(folder).find(snapshot, of: name)
        guard node.isComplete else { throw MachineError(.wrongPlace, "The snapshot '\(node.name)' is not whole yet.") }
        guard access(path, F_OK) != 0 else { throw .failed("There is already a file '\(path)'.") }
        let details = try SnapshotTree.details(of: node.id, folder)
        var layers: [any ImageLayer] = []
        for disk in node.disks { layers.append(try DiskCopy.open(disk.hasPrefix("/") ? disk : folder + "/" + disk)) }
        var meta = SnapshotFile.Meta()
        (meta.machine, meta.name, meta.description, meta.state) = (name, node.name, node.description, node.state)
        meta.taken = Int64(node.taken)
        meta.screen = details.screen
        meta.disks = layers.map { layer in
            .init(bytes: layer.bytes, ending: layer.format == .raw ? "img" : layer.format.rawValue)
        }
        var memory = node.hasMemory ? folder + "/" + SnapshotTree.memoryPath(node.id) : nil
        var whole: String?
        defer { if let whole { unlink(whole) } }
        if let state = memory, !StateInfo.shared(state).isEmpty {
            let new = "\(path).\(getpid()).memory"
            whole = new
            try WholeState.write(new, from: state) { _ in progress(0, 0) }
            memory = new
        }
        try SnapshotExport.write(path, meta, settings: details.settings, layers: layers, memory: memory,
            floppy: try node.floppy.map { path throws(MachineError) in
                try WholeFile.read(folder + "/" + path, what: "floppy of the snapshot", limit: SnapshotFloppy.mostBytes)
            },
            progress: progress)
    }

    /// Takes the snapshot in a file into a machine's tree, as one that stands on nothing.
    /// - Parameter wanted: its name; nil: the one that it had.
    /// - Returns: its name.
    /// - Throws: `.badInput` for a damaged file, `.wrongPlace`, `.failed`; nothing is changed then.
    @discardableResult
    public func importSnapshot(_ name: String, from path: String, as wanted: String?, progress: @escaping Progress) throws(MachineError) -> String {
        let folder = try existing(name)
        let lock = try MachineLock.take(.settings, of: folder, name: name)
        defer { withExtendedLifetime(lock) {} }
        try settleSnapshots(name, folder)
        var tree = try SnapshotTree.read(folder)
        guard tree.pending == nil else { throw MachineError(.wrongPlace, "A snapshot of '\(name)' is just being taken; try again.") }
        var file = try SnapshotImport(path)
        let snapshot = wanted ?? file.meta.name
        try tree.checkName(snapshot)
        let id = SnapshotTree.freshID()
        let disks = file.meta.disks.indices.map { "\(SnapshotTree.folderName)/\(id)-\($0 + 1).\(file.format(ofDisk: $0).fileExtension)" }
        let floppy = file.meta.floppyBytes == nil ? nil : SnapshotFloppy.path(id)
        let settings = try MachineStore.imported(file, disks: disks, floppy: floppy, folder)
        try SnapshotTree.makeFolder(folder)
        do throws(MachineError) {
            try file.unpack(disks: disks.map { folder + "/" + $0 }, memory: folder + "/" + SnapshotTree.memoryPath(id),
                floppy: folder + "/" + SnapshotFloppy.path(id), progress: progress)
            try SnapshotTree.write(.init(settings: settings, screen: file.meta.screen), of: id, folder)
            FolderWork.sync(SnapshotTree.folder(folder))
            tree.nodes.append(
                .init(
                    id: id, name: snapshot, description: file.meta.description, taken: Double(file.meta.taken), parent: nil, state: file.meta.state,
                    hasMemory: file.meta.memoryBytes > 0, isComplete: true, disks: disks, bytes: file.meta.memoryBytes, floppy: floppy))
            try tree.write(folder)
        } catch {
            for path in disks + [SnapshotFloppy.path(id), SnapshotTree.memoryPath(id), SnapshotTree.detailsPath(id)] { unlink(folder + "/" + path) }
            throw error
        }
        return snapshot
    }

    /// Makes a machine of the snapshot in a file; it is off then, or saved where the snapshot has its memory.
    /// - Throws: as `importSnapshot`.
    public func importMachine(_ new: String, from path: String, progress: @escaping Progress) throws(MachineError) -> MachineEntry {
        try MachineName.check(new)
        try checkFree(new)
        var file = try SnapshotImport(path)
        let disks = file.meta.disks.indices.map { "disk-\($0 + 1).\(file.format(ofDisk: $0).fileExtension)" }
        try build(new) { folder throws(MachineError) in
            let floppy = file.meta.floppyBytes == nil ? nil : "floppy.img"
            let settings = try MachineStore.imported(file, disks: disks, floppy: floppy, folder)
            try file.unpack(disks: disks.map { folder + "/" + $0 }, memory: folder + "/" + SavedState.fileName,
                floppy: folder + "/floppy.img", progress: progress)
            if file.meta.memoryBytes > 0 { try SavedState(folder: folder, disks: disks + [floppy].compactMap { $0 }).note() }
            try MachineFileText.write(settings, folder)
        }
        return try entry(new)
    }

    /// The text of the settings with other disks; media that lay in the other machine's folder are not there.
    private static func imported(
        _ file: SnapshotImport, disks: [String], floppy: String?, _ folder: String
    ) throws(MachineError) -> String {
        var text = try MachineFileText.parse(file.settings, folder)
        var settings = text.settings
        guard settings.run.disks.count == disks.count else {
            throw .badInput("The snapshot's settings name \(settings.run.disks.count) disks; it has \(disks.count).")
        }
        settings.run.disks = disks
        func isThere(_ path: String) -> Bool { access(path.hasPrefix("/") ? path : folder + "/" + path, F_OK) == 0 }
        if let floppy { settings.run.floppy = floppy } else if let path = settings.run.floppy, !isThere(path) { settings.run.floppy = nil }
        if let cdrom = settings.run.cdrom, !isThere(cdrom) { settings.run.cdrom = nil }
        try MachineFileText.change(&text, settings)
        return text.text
    }
}
