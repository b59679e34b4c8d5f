import DataFiles
import Foundation

/// Work on the snapshots of a machine that nobody runs; the caller holds its locks.
struct SnapshotWork {
    let folder: String
    let name: String
    var tree: SnapshotTree
    /// What was found half done and put right, a sentence each.
    private(set) var notes: [String] = []

    /// Reads the tree, and finishes or rolls back what was interrupted.
    init(_ folder: String, name: String) throws(MachineError) {
        (self.folder, self.name) = (folder, name)
        tree = try SnapshotTree.read(folder)
        guard access(SnapshotTree.folder(folder), F_OK) == 0 else { return }
        try recover()
    }

    /// A tree that was just read, of a machine that runs: nothing in it is interrupted.
    init(reading tree: SnapshotTree, _ folder: String, name: String) { (self.folder, self.name, self.tree) = (folder, name, tree) }

    // MARK: Recovery

    private mutating func recover() throws(MachineError) {
        notes += DiskMerge.recover(in: folder) + DiskMerge.recover(in: SnapshotTree.folder(folder))
        if let pending = tree.pending {
            if let id = pending.merging {
                try recoverMerge(id)
            } else {
                try apply()
                notes.append("The interrupted work '\(pending.work)' on snapshots has been finished.")
            }
        }
        // One that is hidden and cannot be brought back was to be restored, and was not.
        for node in tree.nodes where !node.isComplete || node.isHidden && tree.undo?.id != node.id {
            do throws(MachineError) {
                try delete(node.id) { _, _ in true }
            } catch {
                notes.append("The snapshot '\(node.name)' is not whole and cannot be rolled back: \(error.description)")
                continue
            }
            notes.append("The snapshot '\(node.name)' was not whole; it has been rolled back.")
        }
        sweep()
    }

    /// Files that nobody names are what an interrupted work has left.
    private mutating func sweep() {
        // Which disks the machine has nobody knows while its file cannot be read.
        guard let run = try? settings(MachineFileText.read(folder)).run else { return }
        let kept = tree.files.union(run.disks + [run.floppy ?? ""]).union(neededBySavedState), names = FolderWork.names(SnapshotTree.folder(folder))
        // A merge that could not be ended needs its files.
        let targets = names.filter { $0.hasSuffix(MergeJournal.suffix) }.map { String($0.dropLast(MergeJournal.suffix.count)) }
        let merging = Set(targets.flatMap { [$0 + MergeJournal.suffix, $0 + ".undo"] })
        for file in names where !merging.contains(file) {
            let path = SnapshotTree.folderName + "/" + file
            if !kept.contains(path), !file.hasSuffix(".toml") {
                HostFile.unlink(folder + "/" + path)
                notes.append("'\(path)', left by interrupted work, has been removed.")
            }
        }
    }

    /// A machine that goes on from a snapshot that has been deleted meanwhile.
    private var neededBySavedState: [String] {
        SavedState.exists(in: folder) ? StateInfo.shared(folder + "/" + SavedState.fileName) : []
    }

    /// Files of a snapshot that has left the tree which nobody else needs.
    private func memoryFiles(of node: SnapshotTree.Node) -> [String] {
        let kept = tree.files.union(neededBySavedState)
        return ([SnapshotTree.memoryPath(node.id)] + (node.shares ?? [])).filter { !kept.contains($0) } + [SnapshotTree.detailsPath(node.id)]
            + [node.floppy].compactMap { $0 }
    }

    private func settings(_ text: String) throws(MachineError) -> MachineSettings { try MachineFileText.parse(text, folder).settings }

    // MARK: Steps

    /// Writes the tree with what is to be done, does it, and strikes it out.
    mutating func commit(_ pending: SnapshotTree.Pending) throws(MachineError) {
        tree.pending = pending
        try tree.write(folder)
        try apply()
    }

    private mutating func apply() throws(MachineError) {
        guard let pending = tree.pending else { return }
        if pending.memoryOf != nil { SavedState.remove(from: folder) }
        if let text = pending.settings { try MachineFileText.write(text, folder) }
        if let id = pending.memoryOf, !id.isEmpty {
            let state = SavedState(folder: folder, disks: SavedState.watched(try settings(MachineFileText.read(folder)).run))
            try state.note()
            guard HostFile.link(folder + "/" + SnapshotTree.memoryPath(id), state.path) else {
                throw .failed("The memory of the snapshot cannot be put in place: \(WholeFile.reason()).")
            }
        } else if pending.memoryOf == nil, SavedState.exists(in: folder) {
            try SavedState(folder: folder, disks: SavedState.watched(try settings(MachineFileText.read(folder)).run)).note()
        }
        for path in pending.removes { HostFile.unlink(folder + "/" + path) }
        FolderWork.sync(folder)
        FolderWork.sync(SnapshotTree.folder(folder))
        tree.pending = nil
        try tree.write(folder)
    }

    /// Images over those disks that the guest writes.
    /// - Returns: the disks with the new images in their places, from the machine's folder.
    static func overlays(_ settings: MachineSettings, over disks: [String], folder: String, id: String) throws(MachineError) -> [String] {
        var result = disks
        do throws(MachineError) {
            for (index, disk) in disks.enumerated() where settings.run.access(ofDisk: index) == .writable {
                let parent = disk.hasPrefix("/") ? disk : folder + "/" + disk
                let path = "\(SnapshotTree.folderName)/\(id)-\(index + 1)." + overlayExtension(parent)
                try SnapshotTree.makeFolder(folder)
                try NewImage.differencing(path: folder + "/" + path, parent: parent)
                result[index] = path
            }
        } catch {
            for (new, old) in zip(result, disks) where new != old { HostFile.unlink(folder + "/" + new) }
            throw error
        }
        return result
    }

    private static func overlayExtension(_ parent: String) -> String {
        parent.lowercased().hasSuffix(".vdi") ? "vdi" : "qcow2"
    }

    // MARK: Take, restore, delete

    /// - Returns: the new snapshot's id.
    @discardableResult
    mutating func take(_ snapshot: String, description: String, isHidden: Bool = false) throws(MachineError) -> String {
        if !isHidden { try tree.checkName(snapshot) }
        let text = try MachineFileText.read(folder)
        var file = try MachineFileText.parse(text, folder)
        let before = file.settings, id = SnapshotTree.freshID()
        var after = before
        let isSaved = SavedState.exists(in: folder), floppy = try SnapshotFloppy.contents(before, in: folder)
        try SnapshotTree.makeFolder(folder)
        if let floppy { try SnapshotFloppy.write(floppy, SnapshotFloppy.path(id), in: folder) }
        after.run.disks = try SnapshotWork.overlays(before, over: before.run.disks, folder: folder, id: id)
        try MachineFileText.change(&file, after)
        var screen: [String] = [], bytes: UInt64 = 0, shares: [String] = []
        if isSaved {
            screen = (try? StateInfo.read(folder + "/" + SavedState.fileName))?.screen ?? []
            guard HostFile.link(folder + "/" + SavedState.fileName, folder + "/" + SnapshotTree.memoryPath(id)) else {
                throw .failed("The saved state cannot be kept: \(WholeFile.reason()).")
            }
            var facts = stat()
            shares = neededBySavedState
            if stat(folder + "/" + SnapshotTree.memoryPath(id), &facts) == 0 { bytes = UInt64(max(0, facts.st_size)) }
        }
        try SnapshotTree.write(.init(settings: text, screen: screen), of: id, folder)
        tree.nodes.append(
            .init(
                id: id, name: snapshot, description: description, taken: Date().timeIntervalSince1970, parent: tree.current,
                state: isSaved ? "saved" : "off", hasMemory: isSaved, isComplete: true, disks: before.run.disks, bytes: bytes,
                shares: shares.isEmpty ? nil : shares, floppy: floppy == nil ? nil : SnapshotFloppy.path(id), hidden: isHidden ? true : nil))
        tree.current = id
        try commit(.init(work: "take", settings: file.text))
        return id
    }

    /// The machine becomes what it was. The present state is hidden until somebody commits, unless `keepingAs` names a snapshot that is taken of
    /// it first.
    mutating func restore(_ snapshot: String, keepingAs kept: String?) throws(MachineError) {
        let id = try tree.find(snapshot, of: name).id
        try commitUndo { _, _ in true }
        let node = try tree.find(id, of: name), description = "Taken before '\(node.name)' was restored."
        if let kept {
            try take(kept, description: description)
        } else {
            tree.undo = .init(work: "restore", id: try take("before '\(node.name)'", description: description, isHidden: true), name: node.name)
        }
        try bringBack(node)
    }

    private mutating func bringBack(_ node: SnapshotTree.Node) throws(MachineError) {
        let details = try SnapshotTree.details(of: node.id, folder)
        var file = try MachineFileText.parse(details.settings, folder)
        var settings = file.settings
        let id = SnapshotTree.freshID()
        let run = try? MachineFileText.parse(MachineFileText.read(folder), folder).settings.run
        let present = (run?.disks ?? []) + [run?.floppy].compactMap { $0 }
        try bringBackFloppy(node, id, &settings)
        settings.run.disks = try SnapshotWork.overlays(settings, over: node.disks, folder: folder, id: id)
        try MachineFileText.change(&file, settings)
        tree.current = node.id
        // Nobody stands on what the machine has written since the last snapshot.
        let frozen = Set(tree.nodes.flatMap { $0.disks + [$0.floppy ?? ""] }), fresh = Set(settings.run.disks + [settings.run.floppy ?? ""])
        let removes = present.filter { $0.hasPrefix(SnapshotTree.folderName + "/") && !frozen.contains($0) && !fresh.contains($0) }
        try commit(.init(work: "restore", settings: file.text, memoryOf: node.hasMemory ? node.id : "", removes: removes))
    }

    /// The image that was in the drive, when it is as it was; otherwise one of the machine's own.
    private func bringBackFloppy(_ node: SnapshotTree.Node, _ id: String, _ settings: inout MachineSettings) throws(MachineError) {
        guard let copy = node.floppy else { return }
        let bytes = try WholeFile.read(folder + "/" + copy, what: "floppy of the snapshot", limit: SnapshotFloppy.mostBytes)
        if let path = settings.run.floppy, !tree.nodes.contains(where: { $0.floppy == path }), let now = try? SnapshotFloppy.contents(path, in: folder),
            now == bytes
        {
            return
        }
        try SnapshotFloppy.write(bytes, SnapshotFloppy.path(id), in: folder)
        settings.run.floppy = SnapshotFloppy.path(id)
    }

    // MARK: Undo

    /// Nothing can be undone any more; what was kept for that goes.
    /// - Parameter progress: false cancels; then it can still be undone.
    mutating func commitUndo(_ progress: @escaping MachineStore.Progress) throws(MachineError) {
        guard let undo = tree.undo else { return }
        // As it is hidden, an interruption is put right by deleting it.
        tree.undo = nil
        do throws(MachineError) {
            if tree.node(undo.id) != nil { try delete(undo.id, progress: progress) } else { try tree.write(folder) }
        } catch {
            if tree.node(undo.id) != nil, tree.pending == nil {
                tree.undo = undo
                try tree.write(folder)
            }
            throw error
        }
    }

    /// A snapshot is not seen any more; `undo` brings it back.
    mutating func hide(_ id: String, progress: @escaping MachineStore.Progress) throws(MachineError) {
        guard let node = tree.node(id) else { throw MachineError(.wrongPlace, "There is no such snapshot.") }
        try checkNoClone(node)
        try commitUndo(progress)
        tree.change(id) { $0.hidden = true }
        tree.undo = .init(work: "delete", id: id, name: node.name)
        try tree.write(folder)
    }

    /// What the last restore or deletion has taken away is there again.
    /// - Returns: what was undone, in words.
    mutating func undo(progress: @escaping MachineStore.Progress) throws(MachineError) -> String {
        guard let undo = tree.undo, let node = tree.node(undo.id) else {
            throw MachineError(.wrongPlace, "There is nothing to undo: no restore or deletion that has not been committed.")
        }
        guard undo.work == "restore" else {
            tree.undo = nil
            let taken = Set(tree.visible.nodes.map(\.name))
            var free = node.name, number = 2
            while taken.contains(free) { (free, number) = ("\(node.name) \(number)", number + 1) }
            tree.change(node.id) { ($0.hidden, $0.name) = (nil, free) }
            try tree.write(folder)
            return undo.words
        }
        tree.undo = nil
        try bringBack(node)
        // It is the present state now, not a snapshot below it.
        try delete(node.id, progress: progress)
        return undo.words
    }

    private func checkNoClone(_ node: SnapshotTree.Node) throws(MachineError) {
        if let clone = LinkedClone.all(on: folder, snapshot: node.id).first {
            throw MachineError(.wrongPlace, "'\(node.name)' cannot be deleted: the linked clone '\(clone)' stands on it; delete that one first.")
        }
        // Its images would be merged into these.
        for child in tree.children(of: node.id) {
            guard let clone = LinkedClone.all(on: folder, snapshot: child.id).first else { continue }
            throw MachineError(
                .wrongPlace,
                "'\(node.name)' cannot be deleted: the linked clone '\(clone)' stands on '\(child.name)', which stands on it; delete that one first.")
        }
    }

    /// What has to be merged with a snapshot's disks when it goes.
    private struct Dependents {
        /// Of the only thing that stands on it, in the order of the disks.
        var disks: [String]
        /// The snapshot that it is; nil: the present state.
        var child: String?
        /// For each disk: what stands on the dependent's image.
        var above: [[String]]
    }

    private func dependents(_ node: SnapshotTree.Node, _ present: [String]) throws(MachineError) -> Dependents? {
        let children = tree.children(of: node.id), isCurrent = tree.current == node.id
        let count = children.count + (isCurrent ? 1 : 0)
        guard count <= 1 else {
            throw MachineError(
                .wrongPlace,
                "'\(node.name)' cannot be deleted: \(children.count) snapshots\(isCurrent ? " and the present state" : "") stand on it; "
                    + "delete all but one of them first.")
        }
        guard let child = children.first else { return isCurrent ? Dependents(disks: present, child: nil, above: present.map { _ in [] }) : nil }
        let above = child.disks.indices.map { index in
            tree.children(of: child.id).compactMap { index < $0.disks.count ? $0.disks[index] : nil }
                + (tree.current == child.id && index < present.count ? [present[index]] : [])
        }
        return Dependents(disks: child.disks, child: child.id, above: above)
    }

    /// Removes a snapshot; what stands on its disks is merged with them.
    /// - Parameter progress: false cancels, as long as no disk has been merged.
    mutating func delete(_ id: String, progress: @escaping MachineStore.Progress) throws(MachineError) {
        guard let node = tree.node(id) else { throw MachineError(.wrongPlace, "There is no such snapshot.") }
        guard tree.pending == nil else { throw MachineError(.wrongPlace, "Other work on the snapshots is not over; try again.") }
        try checkNoClone(node)
        let present = try settings(MachineFileText.read(folder)).run.disks
        guard try dependents(node, present) != nil else {
            // A leaf.
            tree.nodes.removeAll { $0.id == id }
            let removes = node.disks.filter { $0.hasPrefix(SnapshotTree.folderName + "/") && !tree.files.contains($0) && !present.contains($0) }
            return try commit(.init(work: "delete", removes: removes + memoryFiles(of: node)))
        }
        tree.pending = .init(work: "delete", merging: id)
        try tree.write(folder)
        try finishMerge(id, progress)
    }

    /// Images that have to be merged when a snapshot goes whose disks are open: by number of the disk, with what stands on them.
    func merges(of id: String) throws(MachineError) -> [Int: (image: String, grandchildren: [String])] {
        guard let node = tree.node(id) else { throw MachineError(.wrongPlace, "There is no such snapshot.") }
        try checkNoClone(node)
        guard let over = try dependents(node, try settings(MachineFileText.read(folder)).run.disks) else { return [:] }
        var merges: [Int: (image: String, grandchildren: [String])] = [:]
        for (index, pair) in zip(node.disks, over.disks).enumerated() where pair.0 != pair.1 {
            merges[index] = (absolute(pair.1), over.above[index].filter { $0 != pair.1 }.map(absolute))
        }
        return merges
    }

    /// The data of a snapshot's images is copied; nobody has them open any more.
    mutating func conclude(_ id: String, _ prepared: [Int: DiskMerge]) throws(MachineError) { try finishMerge(id, { _, _ in true }, prepared) }

    private mutating func finishMerge(
        _ id: String, _ progress: @escaping MachineStore.Progress, _ prepared: [Int: DiskMerge] = [:]
    ) throws(MachineError) {
        guard let node = tree.node(id) else { return }
        var file = try MachineFileText.parse(MachineFileText.read(folder), folder)
        var settings = file.settings
        guard let over = try dependents(node, settings.run.disks) else { return }
        var merged = 0
        for (index, pair) in zip(node.disks, over.disks).enumerated() where pair.0 != pair.1 {
            let image = absolute(pair.1)
            // Merged before an interruption.
            guard access(image, F_OK) == 0 else {
                merged += 1
                continue
            }
            if var merge = prepared[index] {
                try merge.conclude()
                merged += 1
                continue
            }
            let isFirst = merged == 0
            do throws(MachineError) {
                try DiskMerge.run(image, .intoParent, grandchildren: over.above[index].filter { $0 != pair.1 }.map(absolute)) { done, total in
                    progress(done, total) || !isFirst
                }
            } catch {
                // What has been decided is finished by the next one who comes.
                if isFirst, access(absolute(pair.0) + MergeJournal.suffix, F_OK) != 0 {
                    tree.pending = nil
                    try tree.write(folder)
                }
                throw error
            }
            merged += 1
        }
        let disks = over.disks.enumerated().map { $0 < node.disks.count ? node.disks[$0] : $1 }
        if let child = over.child {
            tree.change(child) {
                $0.disks = disks
                $0.parent = node.parent
            }
        } else {
            settings.run.disks = disks
            try MachineFileText.change(&file, settings)
            tree.current = node.parent
        }
        for child in tree.children(of: id) { tree.change(child.id) { $0.parent = node.parent } }
        tree.nodes.removeAll { $0.id == id }
        try commit(
            .init(
                work: "delete", settings: over.child == nil ? file.text : nil, removes: memoryFiles(of: node)))
    }

    /// A merge was interrupted: when one of the disks was done all of them are, else none.
    private mutating func recoverMerge(_ id: String) throws(MachineError) {
        guard let node = tree.node(id) else { return }
        let over = try dependents(node, settings(MachineFileText.read(folder)).run.disks)
        // Their merges were ended by now, but those into images that lie elsewhere.
        for (disk, above) in zip(node.disks, over?.disks ?? []) where disk != above {
            let said = DiskMerge.recover(target: absolute(disk))
            if let said { notes.append(said) }
            guard access(absolute(disk) + MergeJournal.suffix, F_OK) != 0 else {
                throw .failed(
                    "The interrupted deletion of the snapshot '\(node.name)' cannot be ended: "
                        + (said ?? "somebody has '\(absolute(disk))' open; try again when it is free."))
            }
        }
        let begun = zip(node.disks, over?.disks ?? []).contains { $0.0 != $0.1 && access(absolute($0.1), F_OK) != 0 }
        if begun {
            try finishMerge(id) { _, _ in true }
            notes.append("The interrupted deletion of the snapshot '\(node.name)' has been finished.")
        } else {
            tree.pending = nil
            try tree.write(folder)
            notes.append("The interrupted deletion of the snapshot '\(node.name)' has been rolled back.")
        }
    }

    private func absolute(_ path: String) -> String { path.hasPrefix("/") ? path : folder + "/" + path }
}

/// `machine.toml` as text.
enum MachineFileText {
    static func read(_ folder: String) throws(MachineError) -> String {
        let bytes = try WholeFile.read(folder + "/" + MachineFile.name, what: "file", limit: MachineFile.maximumBytes)
        guard let text = String(validating: bytes, as: UTF8.self) else { throw .badInput("'\(folder)/\(MachineFile.name)' is not UTF-8 text.") }
        return text
    }

    static func parse(_ text: String, _ folder: String) throws(MachineError) -> MachineFile {
        do throws(DataError) {
            return try MachineFile(text: text, path: folder + "/" + MachineFile.name)
        } catch {
            throw .badInput("\(error).")
        }
    }

    static func change(_ file: inout MachineFile, _ settings: MachineSettings) throws(MachineError) {
        do throws(DataError) {
            try file.change(to: settings)
        } catch {
            throw .failed("\(error.description).")
        }
    }

    static func write(_ text: String, _ folder: String) throws(MachineError) {
        FolderWork.removeTemporaries(of: folder + "/" + MachineFile.name)
        try WholeFile.write(Array(text.utf8), to: folder + "/" + MachineFile.name, what: "machine's file")
        FolderWork.sync(folder)
    }
}
